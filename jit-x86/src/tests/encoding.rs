//! Every operation with every register: valid, shortest, and writing only what it may.

use backstop_ir::{Block, Func, MapId, Mem, Op, OpId, OpKind, Role, Term};
use backstop_isa::{AluOp, AtomicOp, ByteOrder, CmpOp, Operand, Reg, Size, Width};
use iced_x86::{Encoder, FlowControl, Instruction, InstructionInfoFactory, Mnemonic, OpAccess, Register};

use super::{all_options, decode, text};
use crate::Image;

const WIDTHS: [Width; 2] = [Width::W32, Width::W64];
const SIZES: [Size; 4] = [Size::B1, Size::B2, Size::B4, Size::B8];
const IMMEDIATES: [i32; 16] =
    [0, 1, -1, 2, 5, 7, 10, 127, 128, -128, -129, 255, 0xffff, 1_000_000_007, i32::MAX, i32::MIN];
const OFFSETS: [i32; 6] = [0, 8, -8, 127, 128, -32768];
const ALU: [AluOp; 13] = [
    AluOp::Add,
    AluOp::Sub,
    AluOp::Mul,
    AluOp::Div,
    AluOp::Sdiv,
    AluOp::Mod,
    AluOp::Smod,
    AluOp::Or,
    AluOp::And,
    AluOp::Xor,
    AluOp::Lsh,
    AluOp::Rsh,
    AluOp::Arsh,
];
const CMP: [CmpOp; 11] = [
    CmpOp::Eq,
    CmpOp::Ne,
    CmpOp::Set,
    CmpOp::Gt,
    CmpOp::Ge,
    CmpOp::Lt,
    CmpOp::Le,
    CmpOp::Sgt,
    CmpOp::Sge,
    CmpOp::Slt,
    CmpOp::Sle,
];
const ATOMIC: [AtomicOp; 6] =
    [AtomicOp::Add, AtomicOp::Or, AtomicOp::And, AtomicOp::Xor, AtomicOp::Xchg, AtomicOp::Cmpxchg];

fn writable() -> impl Iterator<Item = Reg> {
    Reg::all().filter(|&r| r != Reg::R10)
}

fn operands() -> impl Iterator<Item = Operand> {
    Reg::all().map(Operand::Reg).chain(IMMEDIATES.map(Operand::Imm))
}

fn function(kind: OpKind, term: Term) -> Func {
    let tail = |n: u32| Block { ops: Vec::new(), term: Term::Return, term_id: OpId(2 + n) };
    let first = Block { ops: vec![Op { id: OpId(0), kind }], term, term_id: OpId(1) };
    Func {
        name: "f".to_owned(),
        role: Role::Main,
        blocks: vec![first, tail(0), tail(1)],
        stack: 0,
        writes: [true; 4],
        may_goto: false,
        tail_calls: false,
    }
}

fn check(kind: OpKind) {
    check_function(&function(kind, Term::Return));
}

fn check_function(func: &Func) {
    for options in all_options() {
        let image =
            crate::lower::image(std::slice::from_ref(func), None, &options).expect("an operation that compiles");
        for instructions in decode(&image) {
            for i in &instructions {
                shortest(i, &image);
                keeps_fixed_registers(i, &image);
            }
        }
    }
}

/// iced's encoder finds nothing shorter.
fn shortest(i: &Instruction, image: &Image) {
    // Loading all 64 bits, iced always takes the long form; ours is never longer.
    let mut encoder = Encoder::new(64);
    let length = encoder.encode(i, i.ip()).unwrap_or_else(|e| panic!("{e}\n{}", text(image)));
    assert!(i.len() <= length, "{} bytes could be {length} at {:#x}\n{}", i.len(), i.ip(), text(image));
}

/// rbp and r12 change in prologue and epilogue only, rsp by nothing but pushes and pops.
fn keeps_fixed_registers(i: &Instruction, image: &Image) {
    let frame = matches!(i.mnemonic(), Mnemonic::Push | Mnemonic::Pop | Mnemonic::Leave)
        || matches!(i.flow_control(), FlowControl::Return | FlowControl::IndirectCall)
        || (i.mnemonic() == Mnemonic::Mov
            && matches!(i.op0_register(), Register::RBP | Register::R12)
            && i.op1_register() != Register::None
            && i.ip() < 16)
        || (i.mnemonic() == Mnemonic::Sub && i.op0_register() == Register::RSP);
    if frame {
        return;
    }
    let mut factory = InstructionInfoFactory::new();
    for used in factory.info(i).used_registers() {
        let fixed = matches!(used.register().full_register(), Register::RBP | Register::R12 | Register::RSP);
        let writes = !matches!(used.access(), OpAccess::Read | OpAccess::CondRead | OpAccess::None);
        assert!(!(fixed && writes), "{:?} is written at {:#x}\n{}", used.register(), i.ip(), text(image));
    }
}

#[test]
fn arithmetic() {
    for width in WIDTHS {
        for dst in writable() {
            for op in ALU {
                operands().for_each(|src| check(OpKind::Alu { width, op, dst, src }));
            }
            check(OpKind::Neg { width, dst });
            operands().for_each(|src| check(OpKind::Mov { width, dst, src }));
        }
    }
}

#[test]
fn extensions_and_byte_order() {
    for dst in writable() {
        for src in Reg::all() {
            for (width, from) in [
                (Width::W32, Size::B1),
                (Width::W32, Size::B2),
                (Width::W64, Size::B1),
                (Width::W64, Size::B2),
                (Width::W64, Size::B4),
            ] {
                check(OpKind::MovSx { width, from, dst, src });
            }
        }
        for order in [ByteOrder::Le, ByteOrder::Be, ByteOrder::Swap] {
            for size in [Size::B2, Size::B4, Size::B8] {
                check(OpKind::End { order, size, dst });
            }
        }
    }
}

#[test]
fn constants() {
    for dst in writable() {
        for value in [0, 1, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff, 1 << 32, 0xffff_ffff_8000_0000, u64::MAX, 1 << 63] {
            check(OpKind::Const { dst, value });
        }
        check(OpKind::MapAddr { dst, map: MapId(0) });
        check(OpKind::MapValueAddr { dst, map: MapId(0), off: 8 });
    }
}

#[test]
fn plain_accesses() {
    let mem = Mem::Plain;
    for base in Reg::all() {
        for size in SIZES {
            for off in OFFSETS {
                for dst in writable() {
                    check(OpKind::Load { size, signed: false, dst, base, off, mem });
                    if size != Size::B8 {
                        check(OpKind::Load { size, signed: true, dst, base, off, mem });
                    }
                }
                operands().for_each(|src| check(OpKind::Store { size, base, off, src, mem }));
            }
        }
    }
}

#[test]
fn atomic_accesses() {
    let mem = Mem::Plain;
    for base in Reg::all() {
        for src in writable() {
            for size in SIZES {
                check(OpKind::LoadAcquire { size, dst: src, base, off: 8, mem });
                check(OpKind::StoreRelease { size, base, off: 8, src, mem });
            }
            for size in [Size::B4, Size::B8] {
                for op in ATOMIC {
                    let always = matches!(op, AtomicOp::Xchg | AtomicOp::Cmpxchg);
                    check(OpKind::Atomic { size, op, fetch: true, base, off: -8, src, mem });
                    if !always {
                        check(OpKind::Atomic { size, op, fetch: false, base, off: 0, src, mem });
                    }
                }
            }
        }
    }
}

#[test]
fn branches() {
    use backstop_ir::BlockId;
    let nothing = OpKind::Const { dst: Reg::R0, value: 0 };
    for width in WIDTHS {
        for op in CMP {
            for dst in Reg::all() {
                for src in operands() {
                    for (then, otherwise) in
                        [(BlockId(1), BlockId(2)), (BlockId(2), BlockId(1)), (BlockId(0), BlockId(2))]
                    {
                        let term = Term::Branch { width, op, dst, src, then, otherwise };
                        check_function(&function(nothing, term));
                    }
                }
            }
        }
    }
}
