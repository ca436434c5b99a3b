//! Arithmetic and comparison, written once for all operations that use it (RFC 9669, sections 4.1 to 4.3).
//!
//! Operation and condition are constants wherever these are called, so that each use becomes its one instruction.

use backstop_isa::{AluOp, CmpOp};

/// An immediate as a 64-bit operand.
#[inline(always)]
pub(crate) fn sign_extended(imm: i32) -> u64 {
    i64::from(imm) as u64
}

/// An immediate as a 32-bit operand.
#[inline(always)]
pub(crate) fn zero_extended(imm: i32) -> u64 {
    u64::from(imm as u32)
}

#[inline(always)]
pub(crate) fn alu64(op: AluOp, a: u64, b: u64) -> u64 {
    match op {
        AluOp::Add => a.wrapping_add(b),
        AluOp::Sub => a.wrapping_sub(b),
        AluOp::Mul => a.wrapping_mul(b),
        AluOp::Div => a.checked_div(b).unwrap_or(0),
        AluOp::Sdiv if b == 0 => 0,
        AluOp::Sdiv => (a as i64).wrapping_div(b as i64) as u64,
        AluOp::Mod => a.checked_rem(b).unwrap_or(a),
        AluOp::Smod if b == 0 => a,
        AluOp::Smod => (a as i64).wrapping_rem(b as i64) as u64,
        AluOp::Or => a | b,
        AluOp::And => a & b,
        AluOp::Xor => a ^ b,
        AluOp::Lsh => a.wrapping_shl(b as u32),
        AluOp::Rsh => a.wrapping_shr(b as u32),
        AluOp::Arsh => (a as i64).wrapping_shr(b as u32) as u64,
    }
}

/// Over the low 32 bits; the result is zero-extended.
#[inline(always)]
pub(crate) fn alu32(op: AluOp, a: u64, b: u64) -> u64 {
    let (a, b) = (a as u32, b as u32);
    u64::from(match op {
        AluOp::Add => a.wrapping_add(b),
        AluOp::Sub => a.wrapping_sub(b),
        AluOp::Mul => a.wrapping_mul(b),
        AluOp::Div => a.checked_div(b).unwrap_or(0),
        AluOp::Sdiv if b == 0 => 0,
        AluOp::Sdiv => (a as i32).wrapping_div(b as i32) as u32,
        AluOp::Mod => a.checked_rem(b).unwrap_or(a),
        AluOp::Smod if b == 0 => a,
        AluOp::Smod => (a as i32).wrapping_rem(b as i32) as u32,
        AluOp::Or => a | b,
        AluOp::And => a & b,
        AluOp::Xor => a ^ b,
        AluOp::Lsh => a.wrapping_shl(b),
        AluOp::Rsh => a.wrapping_shr(b),
        AluOp::Arsh => (a as i32).wrapping_shr(b) as u32,
    })
}

#[inline(always)]
pub(crate) fn holds64(cond: CmpOp, a: u64, b: u64) -> bool {
    match cond {
        CmpOp::Eq => a == b,
        CmpOp::Ne => a != b,
        CmpOp::Set => a & b != 0,
        CmpOp::Gt => a > b,
        CmpOp::Ge => a >= b,
        CmpOp::Lt => a < b,
        CmpOp::Le => a <= b,
        CmpOp::Sgt => (a as i64) > b as i64,
        CmpOp::Sge => (a as i64) >= b as i64,
        CmpOp::Slt => (a as i64) < b as i64,
        CmpOp::Sle => (a as i64) <= b as i64,
    }
}

/// Over the low 32 bits.
#[inline(always)]
pub(crate) fn holds32(cond: CmpOp, a: u64, b: u64) -> bool {
    let (a, b) = (a as u32, b as u32);
    match cond {
        CmpOp::Eq => a == b,
        CmpOp::Ne => a != b,
        CmpOp::Set => a & b != 0,
        CmpOp::Gt => a > b,
        CmpOp::Ge => a >= b,
        CmpOp::Lt => a < b,
        CmpOp::Le => a <= b,
        CmpOp::Sgt => (a as i32) > b as i32,
        CmpOp::Sge => (a as i32) >= b as i32,
        CmpOp::Slt => (a as i32) < b as i32,
        CmpOp::Sle => (a as i32) <= b as i32,
    }
}
