//! The rows themselves: every operation once, with its opcode byte and what each field carries.
//!
//! Source of the numbers: RFC 9669 (sections 4 and 5, and appendix A for the conformance groups); for `may_goto`,
//! `addr_space_cast`, load-acquire and store-release the Linux kernel, checked against a running one.
//!
//! Invariants, checked when the crate is compiled or by its tests: rows of one opcode byte stand next to each other and
//! differ in exactly one field, the selector; no operation and no name appears twice.

use super::{Group, ImmField, NextField, OffField, Op, RegField, Row, SrcKind};
use crate::insn::{AluOp, AtomicOp, ByteOrder, CmpOp, Pseudo, Size, Width};

use AluOp::*;
use ByteOrder::*;
use Group::*;
use Pseudo::*;
use RegField::{Read, ReadWrite, Write, Zero};
use Size::*;
use SrcKind::*;
use Width::*;

/// A row without operands; the constructors below fill in what their family has.
const fn bare(code: u8, name: &'static str, group: Group, op: Op) -> Row {
    Row { code, name, group, op, dst: Zero, src: Zero, off: OffField::Zero, imm: ImmField::Zero, next: NextField::None }
}

const fn alu(code: u8, name: &'static str, group: Group, width: Width, op: AluOp, src: SrcKind) -> Row {
    let imm = match op {
        Lsh | Rsh | Arsh => ImmField::Shift(width),
        Div | Sdiv | Mod | Smod => ImmField::Divisor,
        Add | Sub | Mul | Or | And | Xor => ImmField::Value,
    };
    let off = match op {
        Div | Mod => OffField::Code(0),
        Sdiv | Smod => OffField::Code(1),
        _ => OffField::Zero,
    };
    let row = Row { dst: ReadWrite, off, ..bare(code, name, group, Op::Alu { width, op, src }) };
    with_source(row, src, imm)
}

/// Adds the second operand: a register, or an immediate of the given meaning.
const fn with_source(row: Row, src: SrcKind, imm: ImmField) -> Row {
    match src {
        Imm => Row { imm, ..row },
        Reg => Row { src: Read, ..row },
    }
}

const fn neg(code: u8, name: &'static str, group: Group, width: Width) -> Row {
    Row { dst: ReadWrite, ..bare(code, name, group, Op::Neg { width }) }
}

const fn mov(code: u8, name: &'static str, group: Group, width: Width, src: SrcKind) -> Row {
    let off = match src {
        Imm => OffField::Zero,
        Reg => OffField::Code(0),
    };
    let row = Row { dst: Write, off, ..bare(code, name, group, Op::Mov { width, src }) };
    with_source(row, src, ImmField::Value)
}

const fn movsx(code: u8, name: &'static str, group: Group, width: Width, from: Size) -> Row {
    Row {
        dst: Write,
        src: Read,
        off: OffField::Code(from.bits() as i16),
        ..bare(code, name, group, Op::MovSx { width, from })
    }
}

const fn addr_space_cast() -> Row {
    Row {
        dst: Write,
        src: Read,
        off: OffField::Code(1),
        imm: ImmField::AddrSpaces,
        ..bare(0xbf, "addr_space_cast", Group::AddrSpaceCast, Op::AddrSpaceCast)
    }
}

const fn end(code: u8, name: &'static str, group: Group, order: ByteOrder, size: Size) -> Row {
    Row { dst: ReadWrite, imm: ImmField::Code(size.bits() as i32), ..bare(code, name, group, Op::End { order, size }) }
}

const fn jump(code: u8, name: &'static str, long: bool) -> Row {
    let row = bare(code, name, Base32, Op::Jump { long });
    if long { Row { imm: ImmField::Jump, ..row } } else { Row { off: OffField::Jump, ..row } }
}

const fn may_goto() -> Row {
    Row { off: OffField::Jump, ..bare(0xe5, "may_goto", Group::MayGoto, Op::MayGoto) }
}

const fn call(name: &'static str, op: Op, sub: u8, imm: ImmField) -> Row {
    let off = match op {
        Op::CallKfunc => OffField::KfuncBtf,
        _ => OffField::Zero,
    };
    Row { src: RegField::Code(sub), off, imm, ..bare(0x85, name, Base32, op) }
}

const fn exit() -> Row {
    bare(0x95, "exit", Base32, Op::Exit)
}

const fn branch(code: u8, name: &'static str, group: Group, width: Width, op: CmpOp, src: SrcKind) -> Row {
    let row = Row { dst: Read, off: OffField::Jump, ..bare(code, name, group, Op::Branch { width, op, src }) };
    with_source(row, src, ImmField::Value)
}

const fn load(code: u8, name: &'static str, group: Group, size: Size, signed: bool) -> Row {
    Row { dst: Write, src: Read, off: OffField::Memory, ..bare(code, name, group, Op::Load { size, signed }) }
}

const fn store(code: u8, name: &'static str, group: Group, size: Size, src: SrcKind) -> Row {
    let row = Row { dst: Read, off: OffField::Memory, ..bare(code, name, group, Op::Store { size, src }) };
    with_source(row, src, ImmField::Value)
}

const fn atomic(code: u8, sub: i32, name: &'static str, group: Group, size: Size, op: AtomicOp, fetch: bool) -> Row {
    let src = match op {
        // Compare-and-exchange returns the old value in r0 and leaves its operand alone.
        AtomicOp::Cmpxchg => Read,
        _ if fetch => ReadWrite,
        _ => Read,
    };
    Row {
        dst: Read,
        src,
        off: OffField::Memory,
        imm: ImmField::Code(sub),
        ..bare(code, name, group, Op::Atomic { size, op, fetch })
    }
}

const fn load_acquire(code: u8, name: &'static str, size: Size) -> Row {
    Row {
        dst: Write,
        src: Read,
        off: OffField::Memory,
        imm: ImmField::Code(0x100),
        ..bare(code, name, AcquireRelease, Op::LoadAcquire { size })
    }
}

const fn store_release(code: u8, name: &'static str, size: Size) -> Row {
    Row {
        dst: Read,
        src: Read,
        off: OffField::Memory,
        imm: ImmField::Code(0x110),
        ..bare(code, name, AcquireRelease, Op::StoreRelease { size })
    }
}

const fn load_imm64() -> Row {
    Row {
        dst: Write,
        src: RegField::Code(0),
        imm: ImmField::Value,
        next: NextField::Value,
        ..bare(0x18, "load_imm64", Base64, Op::LoadImm64)
    }
}

const fn load_pseudo(sub: u8, name: &'static str, kind: Pseudo, next: NextField) -> Row {
    let imm = match kind {
        Func => ImmField::Jump,
        MapFd | MapValueFd | BtfId | MapIdx | MapValueIdx => ImmField::Value,
    };
    Row { dst: Write, src: RegField::Code(sub), imm, next, ..bare(0x18, name, Base64, Op::LoadPseudo { kind }) }
}

const fn packet(code: u8, name: &'static str, size: Size, indexed: bool) -> Row {
    let src = if indexed { Read } else { Zero };
    Row { src, imm: ImmField::Value, ..bare(code, name, Packet, Op::LegacyLoad { size, indexed }) }
}

#[rustfmt::skip]
pub(super) static ROWS: &[Row] = &[
    // 32-bit arithmetic.
    alu(0x04, "add32_imm", Base32, W32, Add, Imm),
    alu(0x0c, "add32_reg", Base32, W32, Add, Reg),
    alu(0x14, "sub32_imm", Base32, W32, Sub, Imm),
    alu(0x1c, "sub32_reg", Base32, W32, Sub, Reg),
    alu(0x24, "mul32_imm", Divmul32, W32, Mul, Imm),
    alu(0x2c, "mul32_reg", Divmul32, W32, Mul, Reg),
    alu(0x34, "div32_imm", Divmul32, W32, Div, Imm),
    alu(0x34, "sdiv32_imm", Divmul32, W32, Sdiv, Imm),
    alu(0x3c, "div32_reg", Divmul32, W32, Div, Reg),
    alu(0x3c, "sdiv32_reg", Divmul32, W32, Sdiv, Reg),
    alu(0x44, "or32_imm", Base32, W32, Or, Imm),
    alu(0x4c, "or32_reg", Base32, W32, Or, Reg),
    alu(0x54, "and32_imm", Base32, W32, And, Imm),
    alu(0x5c, "and32_reg", Base32, W32, And, Reg),
    alu(0x64, "lsh32_imm", Base32, W32, Lsh, Imm),
    alu(0x6c, "lsh32_reg", Base32, W32, Lsh, Reg),
    alu(0x74, "rsh32_imm", Base32, W32, Rsh, Imm),
    alu(0x7c, "rsh32_reg", Base32, W32, Rsh, Reg),
    neg(0x84, "neg32", Base32, W32),
    alu(0x94, "mod32_imm", Divmul32, W32, Mod, Imm),
    alu(0x94, "smod32_imm", Divmul32, W32, Smod, Imm),
    alu(0x9c, "mod32_reg", Divmul32, W32, Mod, Reg),
    alu(0x9c, "smod32_reg", Divmul32, W32, Smod, Reg),
    alu(0xa4, "xor32_imm", Base32, W32, Xor, Imm),
    alu(0xac, "xor32_reg", Base32, W32, Xor, Reg),
    mov(0xb4, "mov32_imm", Base32, W32, Imm),
    mov(0xbc, "mov32_reg", Base32, W32, Reg),
    movsx(0xbc, "movsx32_s8", Base32, W32, B1),
    movsx(0xbc, "movsx32_s16", Base32, W32, B2),
    alu(0xc4, "arsh32_imm", Base32, W32, Arsh, Imm),
    alu(0xcc, "arsh32_reg", Base32, W32, Arsh, Reg),
    end(0xd4, "le16", Base32, Le, B2),
    end(0xd4, "le32", Base32, Le, B4),
    end(0xd4, "le64", Base64, Le, B8),
    end(0xdc, "be16", Base32, Be, B2),
    end(0xdc, "be32", Base32, Be, B4),
    end(0xdc, "be64", Base64, Be, B8),
    // 64-bit arithmetic.
    alu(0x07, "add64_imm", Base64, W64, Add, Imm),
    alu(0x0f, "add64_reg", Base64, W64, Add, Reg),
    alu(0x17, "sub64_imm", Base64, W64, Sub, Imm),
    alu(0x1f, "sub64_reg", Base64, W64, Sub, Reg),
    alu(0x27, "mul64_imm", Divmul64, W64, Mul, Imm),
    alu(0x2f, "mul64_reg", Divmul64, W64, Mul, Reg),
    alu(0x37, "div64_imm", Divmul64, W64, Div, Imm),
    alu(0x37, "sdiv64_imm", Divmul64, W64, Sdiv, Imm),
    alu(0x3f, "div64_reg", Divmul64, W64, Div, Reg),
    alu(0x3f, "sdiv64_reg", Divmul64, W64, Sdiv, Reg),
    alu(0x47, "or64_imm", Base64, W64, Or, Imm),
    alu(0x4f, "or64_reg", Base64, W64, Or, Reg),
    alu(0x57, "and64_imm", Base64, W64, And, Imm),
    alu(0x5f, "and64_reg", Base64, W64, And, Reg),
    alu(0x67, "lsh64_imm", Base64, W64, Lsh, Imm),
    alu(0x6f, "lsh64_reg", Base64, W64, Lsh, Reg),
    alu(0x77, "rsh64_imm", Base64, W64, Rsh, Imm),
    alu(0x7f, "rsh64_reg", Base64, W64, Rsh, Reg),
    neg(0x87, "neg64", Base64, W64),
    alu(0x97, "mod64_imm", Divmul64, W64, Mod, Imm),
    alu(0x97, "smod64_imm", Divmul64, W64, Smod, Imm),
    alu(0x9f, "mod64_reg", Divmul64, W64, Mod, Reg),
    alu(0x9f, "smod64_reg", Divmul64, W64, Smod, Reg),
    alu(0xa7, "xor64_imm", Base64, W64, Xor, Imm),
    alu(0xaf, "xor64_reg", Base64, W64, Xor, Reg),
    mov(0xb7, "mov64_imm", Base64, W64, Imm),
    mov(0xbf, "mov64_reg", Base64, W64, Reg),
    addr_space_cast(),
    movsx(0xbf, "movsx64_s8", Base64, W64, B1),
    movsx(0xbf, "movsx64_s16", Base64, W64, B2),
    movsx(0xbf, "movsx64_s32", Base64, W64, B4),
    alu(0xc7, "arsh64_imm", Base64, W64, Arsh, Imm),
    alu(0xcf, "arsh64_reg", Base64, W64, Arsh, Reg),
    end(0xd7, "bswap16", Base32, Swap, B2),
    end(0xd7, "bswap32", Base32, Swap, B4),
    end(0xd7, "bswap64", Base64, Swap, B8),
    // Jumps and calls.
    jump(0x05, "ja", false),
    jump(0x06, "gotol", true),
    may_goto(),
    call("call_helper", Op::CallHelper, 0, ImmField::Helper),
    call("call_local", Op::CallLocal, 1, ImmField::Jump),
    call("call_kfunc", Op::CallKfunc, 2, ImmField::Kfunc),
    exit(),
    // 64-bit conditional branches.
    branch(0x15, "jeq64_imm", Base64, W64, CmpOp::Eq, Imm),
    branch(0x1d, "jeq64_reg", Base64, W64, CmpOp::Eq, Reg),
    branch(0x25, "jgt64_imm", Base64, W64, CmpOp::Gt, Imm),
    branch(0x2d, "jgt64_reg", Base64, W64, CmpOp::Gt, Reg),
    branch(0x35, "jge64_imm", Base64, W64, CmpOp::Ge, Imm),
    branch(0x3d, "jge64_reg", Base64, W64, CmpOp::Ge, Reg),
    branch(0x45, "jset64_imm", Base64, W64, CmpOp::Set, Imm),
    branch(0x4d, "jset64_reg", Base64, W64, CmpOp::Set, Reg),
    branch(0x55, "jne64_imm", Base64, W64, CmpOp::Ne, Imm),
    branch(0x5d, "jne64_reg", Base64, W64, CmpOp::Ne, Reg),
    branch(0x65, "jsgt64_imm", Base64, W64, CmpOp::Sgt, Imm),
    branch(0x6d, "jsgt64_reg", Base64, W64, CmpOp::Sgt, Reg),
    branch(0x75, "jsge64_imm", Base64, W64, CmpOp::Sge, Imm),
    branch(0x7d, "jsge64_reg", Base64, W64, CmpOp::Sge, Reg),
    branch(0xa5, "jlt64_imm", Base64, W64, CmpOp::Lt, Imm),
    branch(0xad, "jlt64_reg", Base64, W64, CmpOp::Lt, Reg),
    branch(0xb5, "jle64_imm", Base64, W64, CmpOp::Le, Imm),
    branch(0xbd, "jle64_reg", Base64, W64, CmpOp::Le, Reg),
    branch(0xc5, "jslt64_imm", Base64, W64, CmpOp::Slt, Imm),
    branch(0xcd, "jslt64_reg", Base64, W64, CmpOp::Slt, Reg),
    branch(0xd5, "jsle64_imm", Base64, W64, CmpOp::Sle, Imm),
    branch(0xdd, "jsle64_reg", Base64, W64, CmpOp::Sle, Reg),
    // 32-bit conditional branches.
    branch(0x16, "jeq32_imm", Base32, W32, CmpOp::Eq, Imm),
    branch(0x1e, "jeq32_reg", Base32, W32, CmpOp::Eq, Reg),
    branch(0x26, "jgt32_imm", Base32, W32, CmpOp::Gt, Imm),
    branch(0x2e, "jgt32_reg", Base32, W32, CmpOp::Gt, Reg),
    branch(0x36, "jge32_imm", Base32, W32, CmpOp::Ge, Imm),
    branch(0x3e, "jge32_reg", Base32, W32, CmpOp::Ge, Reg),
    branch(0x46, "jset32_imm", Base32, W32, CmpOp::Set, Imm),
    branch(0x4e, "jset32_reg", Base32, W32, CmpOp::Set, Reg),
    branch(0x56, "jne32_imm", Base32, W32, CmpOp::Ne, Imm),
    branch(0x5e, "jne32_reg", Base32, W32, CmpOp::Ne, Reg),
    branch(0x66, "jsgt32_imm", Base32, W32, CmpOp::Sgt, Imm),
    branch(0x6e, "jsgt32_reg", Base32, W32, CmpOp::Sgt, Reg),
    branch(0x76, "jsge32_imm", Base32, W32, CmpOp::Sge, Imm),
    branch(0x7e, "jsge32_reg", Base32, W32, CmpOp::Sge, Reg),
    branch(0xa6, "jlt32_imm", Base32, W32, CmpOp::Lt, Imm),
    branch(0xae, "jlt32_reg", Base32, W32, CmpOp::Lt, Reg),
    branch(0xb6, "jle32_imm", Base32, W32, CmpOp::Le, Imm),
    branch(0xbe, "jle32_reg", Base32, W32, CmpOp::Le, Reg),
    branch(0xc6, "jslt32_imm", Base32, W32, CmpOp::Slt, Imm),
    branch(0xce, "jslt32_reg", Base32, W32, CmpOp::Slt, Reg),
    branch(0xd6, "jsle32_imm", Base32, W32, CmpOp::Sle, Imm),
    branch(0xde, "jsle32_reg", Base32, W32, CmpOp::Sle, Reg),
    // Loads, stores.
    load(0x61, "load_u32", Base32, B4, false),
    load(0x69, "load_u16", Base32, B2, false),
    load(0x71, "load_u8", Base32, B1, false),
    load(0x79, "load_u64", Base64, B8, false),
    load(0x81, "load_s32", Base64, B4, true),
    load(0x89, "load_s16", Base32, B2, true),
    load(0x91, "load_s8", Base32, B1, true),
    store(0x62, "store_imm32", Base32, B4, Imm),
    store(0x63, "store_reg32", Base32, B4, Reg),
    store(0x6a, "store_imm16", Base32, B2, Imm),
    store(0x6b, "store_reg16", Base32, B2, Reg),
    store(0x72, "store_imm8", Base32, B1, Imm),
    store(0x73, "store_reg8", Base32, B1, Reg),
    store(0x7a, "store_imm64", Base64, B8, Imm),
    store(0x7b, "store_reg64", Base64, B8, Reg),
    // Atomics. Read-modify-write exists for 4 and 8 bytes, load-acquire and store-release for all sizes.
    atomic(0xc3, 0x0, "atomic32_add", Atomic32, B4, AtomicOp::Add, false),
    atomic(0xc3, 0x40, "atomic32_or", Atomic32, B4, AtomicOp::Or, false),
    atomic(0xc3, 0x50, "atomic32_and", Atomic32, B4, AtomicOp::And, false),
    atomic(0xc3, 0xa0, "atomic32_xor", Atomic32, B4, AtomicOp::Xor, false),
    atomic(0xc3, 0x1, "atomic32_fetch_add", Atomic32, B4, AtomicOp::Add, true),
    atomic(0xc3, 0x41, "atomic32_fetch_or", Atomic32, B4, AtomicOp::Or, true),
    atomic(0xc3, 0x51, "atomic32_fetch_and", Atomic32, B4, AtomicOp::And, true),
    atomic(0xc3, 0xa1, "atomic32_fetch_xor", Atomic32, B4, AtomicOp::Xor, true),
    atomic(0xc3, 0xe1, "atomic32_xchg", Atomic32, B4, AtomicOp::Xchg, true),
    atomic(0xc3, 0xf1, "atomic32_cmpxchg", Atomic32, B4, AtomicOp::Cmpxchg, true),
    load_acquire(0xc3, "load_acquire32", B4),
    store_release(0xc3, "store_release32", B4),
    load_acquire(0xcb, "load_acquire16", B2),
    store_release(0xcb, "store_release16", B2),
    load_acquire(0xd3, "load_acquire8", B1),
    store_release(0xd3, "store_release8", B1),
    atomic(0xdb, 0x0, "atomic64_add", Atomic64, B8, AtomicOp::Add, false),
    atomic(0xdb, 0x40, "atomic64_or", Atomic64, B8, AtomicOp::Or, false),
    atomic(0xdb, 0x50, "atomic64_and", Atomic64, B8, AtomicOp::And, false),
    atomic(0xdb, 0xa0, "atomic64_xor", Atomic64, B8, AtomicOp::Xor, false),
    atomic(0xdb, 0x1, "atomic64_fetch_add", Atomic64, B8, AtomicOp::Add, true),
    atomic(0xdb, 0x41, "atomic64_fetch_or", Atomic64, B8, AtomicOp::Or, true),
    atomic(0xdb, 0x51, "atomic64_fetch_and", Atomic64, B8, AtomicOp::And, true),
    atomic(0xdb, 0xa1, "atomic64_fetch_xor", Atomic64, B8, AtomicOp::Xor, true),
    atomic(0xdb, 0xe1, "atomic64_xchg", Atomic64, B8, AtomicOp::Xchg, true),
    atomic(0xdb, 0xf1, "atomic64_cmpxchg", Atomic64, B8, AtomicOp::Cmpxchg, true),
    load_acquire(0xdb, "load_acquire64", B8),
    store_release(0xdb, "store_release64", B8),
    // 64-bit immediates, by the sub-code in the source register field.
    load_imm64(),
    load_pseudo(1, "load_map_fd", MapFd, NextField::Zero),
    load_pseudo(2, "load_map_value_fd", MapValueFd, NextField::Value),
    load_pseudo(3, "load_btf_id", BtfId, NextField::Value),
    load_pseudo(4, "load_func", Func, NextField::Zero),
    load_pseudo(5, "load_map_idx", MapIdx, NextField::Zero),
    load_pseudo(6, "load_map_value_idx", MapValueIdx, NextField::Value),
    // Legacy packet loads.
    packet(0x20, "packet_abs32", B4, false),
    packet(0x40, "packet_ind32", B4, true),
    packet(0x28, "packet_abs16", B2, false),
    packet(0x48, "packet_ind16", B2, true),
    packet(0x30, "packet_abs8", B1, false),
    packet(0x50, "packet_ind8", B1, true),
];
