//! What the operations do to numbers (RFC 9669, section 4): for constants, and as the measure of soundness in tests.

use backstop_isa::{AluOp, ByteOrder, CmpOp, Size, Width};

/// `dst op src`. W32 takes the low halves and zero-extends.
pub fn alu(op: AluOp, width: Width, dst: u64, src: u64) -> u64 {
    match width {
        Width::W64 => alu64(op, dst, src),
        Width::W32 => u64::from(alu32(op, dst as u32, src as u32)),
    }
}

macro_rules! arithmetic {
    ($name:ident, $u:ty, $s:ty) => {
        fn $name(op: AluOp, a: $u, b: $u) -> $u {
            match op {
                AluOp::Add => a.wrapping_add(b),
                AluOp::Sub => a.wrapping_sub(b),
                AluOp::Mul => a.wrapping_mul(b),
                AluOp::Div => a.checked_div(b).unwrap_or(0),
                AluOp::Sdiv if b == 0 => 0,
                AluOp::Sdiv => (a as $s).wrapping_div(b as $s) as $u,
                AluOp::Mod => a.checked_rem(b).unwrap_or(a),
                AluOp::Smod if b == 0 => a,
                AluOp::Smod => (a as $s).wrapping_rem(b as $s) as $u,
                AluOp::Or => a | b,
                AluOp::And => a & b,
                AluOp::Xor => a ^ b,
                AluOp::Lsh => a.wrapping_shl(b as u32),
                AluOp::Rsh => a.wrapping_shr(b as u32),
                AluOp::Arsh => (a as $s).wrapping_shr(b as u32) as $u,
            }
        }
    };
}

arithmetic!(alu64, u64, i64);
arithmetic!(alu32, u32, i32);

/// `-dst`.
pub fn neg(width: Width, dst: u64) -> u64 {
    alu(AluOp::Sub, width, 0, dst)
}

/// The low `from` bytes of `src`, sign-extended to `width`, zero-extended to 64 bits.
pub fn movsx(width: Width, from: Size, src: u64) -> u64 {
    let spare = 64 - from.bits();
    let wide = ((src << spare) as i64 >> spare) as u64;
    match width {
        Width::W64 => wide,
        Width::W32 => u64::from(wide as u32),
    }
}

/// Byte order conversion on a little-endian machine.
pub fn byte_order(order: ByteOrder, size: Size, dst: u64) -> u64 {
    let spare = 64 - size.bits();
    match order {
        ByteOrder::Le => dst << spare >> spare,
        ByteOrder::Be | ByteOrder::Swap => dst.swap_bytes() >> spare,
    }
}

/// Whether the branch is taken.
pub fn compare(op: CmpOp, width: Width, a: u64, b: u64) -> bool {
    let (a, b, sa, sb) = match width {
        Width::W64 => (a, b, a as i64, b as i64),
        Width::W32 => (a & 0xffff_ffff, b & 0xffff_ffff, i64::from(a as i32), i64::from(b as i32)),
    };
    match op {
        CmpOp::Eq => a == b,
        CmpOp::Ne => a != b,
        CmpOp::Set => a & b != 0,
        CmpOp::Gt => a > b,
        CmpOp::Ge => a >= b,
        CmpOp::Lt => a < b,
        CmpOp::Le => a <= b,
        CmpOp::Sgt => sa > sb,
        CmpOp::Sge => sa >= sb,
        CmpOp::Slt => sa < sb,
        CmpOp::Sle => sa <= sb,
    }
}
