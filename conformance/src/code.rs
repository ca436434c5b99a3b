//! Slots for the parts of a trial that are not under test.

use backstop::isa::{AluOp, CmpOp, Instr, Operand, Reg, Size, Slot, Width};

/// Register numbers that the frame of a block uses.
pub(crate) const FP: u8 = 10;

pub(crate) fn reg(n: u8) -> Reg {
    Reg::new(n).unwrap_or(Reg::R0)
}

pub(crate) fn one(instr: Instr) -> Slot {
    instr.encode().first()
}

pub(crate) fn load(dst: u8, base: u8, off: i16) -> Slot {
    one(Instr::Load { size: Size::B8, signed: false, dst: reg(dst), base: reg(base), off })
}

pub(crate) fn store(base: u8, off: i16, src: u8) -> Slot {
    one(Instr::Store { size: Size::B8, base: reg(base), off, src: Operand::Reg(reg(src)) })
}

pub(crate) fn store_imm(base: u8, off: i16, imm: i32) -> Slot {
    one(Instr::Store { size: Size::B8, base: reg(base), off, src: Operand::Imm(imm) })
}

pub(crate) fn mov(dst: u8, src: u8) -> Slot {
    one(Instr::Mov { width: Width::W64, dst: reg(dst), src: Operand::Reg(reg(src)) })
}

pub(crate) fn mov_imm(dst: u8, imm: i32) -> Slot {
    one(Instr::Mov { width: Width::W64, dst: reg(dst), src: Operand::Imm(imm) })
}

pub(crate) fn alu(op: AluOp, dst: u8, src: u8) -> Slot {
    one(Instr::Alu { width: Width::W64, op, dst: reg(dst), src: Operand::Reg(reg(src)) })
}

pub(crate) fn alu_imm(op: AluOp, dst: u8, imm: i32) -> Slot {
    one(Instr::Alu { width: Width::W64, op, dst: reg(dst), src: Operand::Imm(imm) })
}

pub(crate) fn branch(op: CmpOp, dst: u8, src: u8, off: i16) -> Slot {
    one(Instr::Branch { width: Width::W64, op, dst: reg(dst), src: Operand::Reg(reg(src)), off })
}

pub(crate) fn branch_imm(op: CmpOp, dst: u8, imm: i32, off: i16) -> Slot {
    one(Instr::Branch { width: Width::W64, op, dst: reg(dst), src: Operand::Imm(imm), off })
}

pub(crate) fn goto(off: i32) -> Slot {
    one(Instr::Jump { off, long: false })
}

pub(crate) fn exit() -> Slot {
    one(Instr::Exit)
}

pub(crate) fn helper(id: i32) -> Slot {
    one(Instr::CallHelper { id })
}

/// A call whose distance is set when the functions have their places.
pub(crate) fn call() -> Slot {
    one(Instr::CallLocal { off: 0 })
}
