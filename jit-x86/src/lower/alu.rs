//! Arithmetic, moves, shifts and byte order.

use backstop_isa::{AluOp, ByteOrder, Operand, Reg, Size, Width};

use super::Lowering;
use super::div::Division;
use crate::emit::{Arith, Shift};
use crate::regs::{Addr, Gpr};

impl Lowering<'_, '_> {
    pub(super) fn alu(&mut self, width: Width, op: AluOp, dst: Reg, src: Operand) {
        if let Some(division) = Division::of(width, op, dst) {
            return self.divide(division, src);
        }
        match op {
            AluOp::Add => self.arith(width, Arith::Add, dst, src),
            AluOp::Sub => self.arith(width, Arith::Sub, dst, src),
            AluOp::Or => self.arith(width, Arith::Or, dst, src),
            AluOp::And => self.arith(width, Arith::And, dst, src),
            AluOp::Xor => self.arith(width, Arith::Xor, dst, src),
            AluOp::Mul => self.multiply(width, dst, src),
            AluOp::Lsh => self.shift(width, Shift::Shl, dst, src),
            AluOp::Rsh => self.shift(width, Shift::Shr, dst, src),
            AluOp::Arsh => self.shift(width, Shift::Sar, dst, src),
            AluOp::Div | AluOp::Sdiv | AluOp::Mod | AluOp::Smod => {}
        }
    }

    fn arith(&mut self, width: Width, op: Arith, dst: Reg, src: Operand) {
        let d = Gpr::of(dst);
        match src {
            Operand::Reg(src) if op == Arith::Xor && src == dst => self.m.load_const(d, 0),
            Operand::Reg(src) => self.m.e.arith_rr(width, op, d, Gpr::of(src)),
            Operand::Imm(imm) => self.m.arith_imm(width, op, d, imm),
        }
    }

    pub(super) fn mov(&mut self, width: Width, dst: Reg, src: Operand) {
        let d = Gpr::of(dst);
        match (src, width) {
            (Operand::Reg(src), Width::W64) if src == dst => {}
            (Operand::Reg(src), _) => self.m.mov(width, d, Gpr::of(src)),
            (Operand::Imm(imm), Width::W32) => self.m.load_const(d, u64::from(imm as u32)),
            (Operand::Imm(imm), Width::W64) => self.m.load_const(d, imm as i64 as u64),
        }
    }

    fn multiply(&mut self, width: Width, dst: Reg, src: Operand) {
        let d = Gpr::of(dst);
        match src {
            Operand::Reg(src) => self.m.e.imul_rr(width, d, Gpr::of(src)),
            Operand::Imm(0) => self.m.load_const(d, 0),
            Operand::Imm(-1) => self.m.e.neg(width, d),
            Operand::Imm(imm @ (3 | 5 | 9)) => {
                let scale = (imm - 1).trailing_zeros() as u8;
                self.m.e.lea(width, d, Addr::indexed(d, d, scale, 0));
            }
            Operand::Imm(imm) if imm > 0 && imm.count_ones() == 1 => {
                self.m.shift_imm(width, Shift::Shl, d, imm.trailing_zeros() as u8)
            }
            Operand::Imm(imm) => self.m.e.imul_rri(width, d, d, imm),
        }
    }

    fn shift(&mut self, width: Width, op: Shift, dst: Reg, src: Operand) {
        let mask = match width {
            Width::W32 => 31,
            Width::W64 => 63,
        };
        match src {
            Operand::Imm(count) => self.m.shift_imm(width, op, Gpr::of(dst), (count & mask) as u8),
            Operand::Reg(src) => self.shift_by_register(width, op, Gpr::of(dst), Gpr::of(src)),
        }
    }

    /// The machine masks the count as BPF does.
    fn shift_by_register(&mut self, width: Width, op: Shift, d: Gpr, count: Gpr) {
        if self.options.cpu.bmi2 {
            match op {
                Shift::Shl => return self.m.e.shlx(width, d, d, count),
                Shift::Shr => return self.m.e.shrx(width, d, d, count),
                Shift::Sar => return self.m.e.sarx(width, d, d, count),
                Shift::Rol => {}
            }
        }
        if count == Gpr::RCX {
            return self.m.e.shift_cl(width, op, d);
        }
        // The count must lie in cl: rcx, which may be what is shifted, waits aside.
        let aside = Gpr::SCRATCH0;
        self.m.mov(Width::W64, aside, Gpr::RCX);
        self.m.mov(Width::W32, Gpr::RCX, count);
        self.m.e.shift_cl(width, op, if d == Gpr::RCX { aside } else { d });
        self.m.mov(Width::W64, Gpr::RCX, aside);
    }

    pub(super) fn byte_order(&mut self, order: ByteOrder, size: Size, dst: Reg) {
        let d = Gpr::of(dst);
        match (order, size) {
            (ByteOrder::Le, Size::B8) => {}
            (ByteOrder::Le, Size::B1 | Size::B2 | Size::B4) => self.m.e.movzx(size, d, d),
            (ByteOrder::Be | ByteOrder::Swap, Size::B8) => self.m.e.bswap(Width::W64, d),
            (ByteOrder::Be | ByteOrder::Swap, Size::B4) => self.m.e.bswap(Width::W32, d),
            (ByteOrder::Be | ByteOrder::Swap, Size::B2) => {
                self.m.e.bswap(Width::W32, d);
                self.m.shift_imm(Width::W32, Shift::Shr, d, 16);
            }
            (ByteOrder::Be | ByteOrder::Swap, Size::B1) => self.m.e.movzx(size, d, d),
        }
    }
}
