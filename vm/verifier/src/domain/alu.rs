//! Arithmetic: transfer functions of Linux 6.18, and the way to the sharper ones.
//!
//! Both halves are computed for most operations, whatever the width: a 64-bit sum's low half is the sum of the low
//! halves. A 32-bit operation then drops what was found of the high half.

use super::range::Range;
use super::scalar::Scalar;
use super::{Precision, concrete, extend, sharper};
use backstop_isa::{AluOp, ByteOrder, Size, Width};

/// `dst op src`; an immediate is a constant, sign-extended to 64 bits in both widths.
pub fn alu(op: AluOp, width: Width, dst: &Scalar, src: &Scalar, precision: Precision) -> Scalar {
    match precision {
        Precision::Linux => linux(op, width, dst, src),
        Precision::Sharper => sharper::alu(op, width, dst, src),
    }
}

/// `-dst`.
pub fn neg(width: Width, dst: &Scalar, precision: Precision) -> Scalar {
    alu(AluOp::Sub, width, &Scalar::constant(0), dst, precision)
}

/// The low half of `src`, zero-extended.
pub fn mov32(src: &Scalar) -> Scalar {
    src.zero_extend_subreg().settle()
}

/// The low `from` bytes of `src`, sign-extended to `width`.
pub fn movsx(width: Width, from: Size, src: &Scalar, precision: Precision) -> Scalar {
    match precision {
        Precision::Linux => linux_movsx(width, from, src),
        Precision::Sharper => sharper::movsx(width, from, src),
    }
}

pub(super) fn linux_movsx(width: Width, from: Size, src: &Scalar) -> Scalar {
    match (width, from) {
        (Width::W64, _) => extend::sign_extend_load(from.bytes(), src),
        (Width::W32, Size::B1 | Size::B2) => {
            extend::sign_extend_subreg(from.bytes(), src).zero_extend_subreg().settle()
        }
        (Width::W32, Size::B4 | Size::B8) => mov32(src),
    }
}

/// Byte order conversion of the low `size` bytes on a little-endian machine, zero-extended. A swap keeps only what the known
/// bits say; both precisions agree.
pub fn byte_order(order: ByteOrder, size: Size, dst: &Scalar) -> Scalar {
    let ordered = match order {
        ByteOrder::Le => *dst,
        ByteOrder::Be | ByteOrder::Swap => Scalar::from_tnum(dst.tnum.bswap(size.bytes())),
    };
    extend::zero_extend_load(size.bytes(), &ordered)
}

/// The two values to walk separately before `dst op src`, if Linux 6.18 does so: where `dst` spans -1 and 0 (the mask that an
/// arithmetic shift makes of a sign) and is about to be and'ed or or'ed with a constant, Linux first goes on with -1 and
/// comes back to the same instruction with 0. The first of the pair is -1, the second 0, each in all 64 bits or only in the
/// low half; both are to be handed to [`alu`] in place of `dst`.
pub fn sign_fork(op: AluOp, dst: &Scalar, src: &Scalar) -> Option<(Scalar, Scalar)> {
    if !matches!(op, AluOp::And | AluOp::Or) || src.is_const().is_none() {
        return None;
    }
    if dst.s64_range() == Range::new(-1, 0) {
        return Some((Scalar::constant(u64::MAX), Scalar::constant(0)));
    }
    let half = |low: i32| {
        let mut s = *dst;
        s.tnum = s.tnum.const_subreg(low as u32);
        s.set_s32(Range::exactly(low));
        s.set_u32(Range::exactly(low as u32));
        s
    };
    (dst.s32_range() == Range::new(-1, 0)).then(|| (half(-1), half(0)))
}

pub(super) fn linux(op: AluOp, width: Width, dst: &Scalar, src: &Scalar) -> Scalar {
    if let (Some(a), Some(b)) = (dst.is_const(), src.is_const())
        && folds_in_linux(op, width, b)
    {
        return Scalar::constant(concrete::alu(op, width, a, b));
    }
    let mut s = *dst;
    match op {
        AluOp::Add => add(&mut s, src),
        AluOp::Sub => sub(&mut s, src),
        AluOp::Mul => mul(&mut s, src),
        AluOp::And => and(&mut s, src),
        AluOp::Or => or(&mut s, src),
        AluOp::Xor => xor(&mut s, src),
        AluOp::Lsh | AluOp::Rsh | AluOp::Arsh => {
            let Some(amount) = shift_amount(width, src) else { return Scalar::unknown() };
            shift(op, width, &mut s, amount);
        }
        AluOp::Div | AluOp::Sdiv | AluOp::Mod | AluOp::Smod => return Scalar::unknown(),
    }
    match width {
        Width::W32 => s.zero_extend_subreg().settle(),
        Width::W64 => s.settle(),
    }
}

/// Whether the general way would come to the constant result: all but divisions, and shifts beyond the width.
fn folds_in_linux(op: AluOp, width: Width, src: u64) -> bool {
    match op {
        AluOp::Div | AluOp::Sdiv | AluOp::Mod | AluOp::Smod => false,
        AluOp::Lsh | AluOp::Rsh | AluOp::Arsh => src < bits(width),
        AluOp::Add | AluOp::Sub | AluOp::Mul | AluOp::Or | AluOp::And | AluOp::Xor => true,
    }
}

fn bits(width: Width) -> u64 {
    match width {
        Width::W64 => 64,
        Width::W32 => 32,
    }
}

/// The shift, if it is one known number below the width. A 32-bit shift looks at all 64 bits of the bound.
fn shift_amount(width: Width, src: &Scalar) -> Option<u32> {
    let amount = match width {
        Width::W64 => src.is_const()?,
        Width::W32 => src.is_const32()?.into(),
    };
    (src.umax < bits(width)).then_some(amount as u32)
}

fn add(s: &mut Scalar, src: &Scalar) {
    s.set_s32(s.s32_range().add(src.s32_range()));
    s.set_u32(s.u32_range().add(src.u32_range()));
    s.set_s64(s.s64_range().add(src.s64_range()));
    s.set_u64(s.u64_range().add(src.u64_range()));
    s.tnum = s.tnum.add(src.tnum);
}

fn sub(s: &mut Scalar, src: &Scalar) {
    s.set_s32(s.s32_range().sub(src.s32_range()));
    s.set_u32(s.u32_range().sub(src.u32_range()));
    s.set_s64(s.s64_range().sub(src.s64_range()));
    s.set_u64(s.u64_range().sub(src.u64_range()));
    s.tnum = s.tnum.sub(src.tnum);
}

fn mul(s: &mut Scalar, src: &Scalar) {
    s.tnum = s.tnum.mul(src.tnum);
    s.set_s32(s.s32_range().mul(src.s32_range()));
    s.set_u32(s.u32_range().mul(src.u32_range()));
    s.set_s64(s.s64_range().mul(src.s64_range()));
    s.set_u64(s.u64_range().mul(src.u64_range()));
}

fn and(s: &mut Scalar, src: &Scalar) {
    s.tnum = s.tnum.and(src.tnum);
    bitwise(
        s,
        src,
        Range::new(s.tnum.value as u32, s.u32_max.min(src.u32_max)),
        Range::new(s.tnum.value, s.umax.min(src.umax)),
    );
}

fn or(s: &mut Scalar, src: &Scalar) {
    s.tnum = s.tnum.or(src.tnum);
    bitwise(
        s,
        src,
        Range::new(s.u32_min.max(src.u32_min), s.tnum.umax() as u32),
        Range::new(s.umin.max(src.umin), s.tnum.umax()),
    );
}

fn xor(s: &mut Scalar, src: &Scalar) {
    s.tnum = s.tnum.xor(src.tnum);
    bitwise(s, src, s.tnum.u32_range(), s.tnum.u64_range());
}

/// Ends a bitwise operation whose bits stand in `s.tnum`: signed ranges follow the unsigned ones where these do not cross
/// the sign, else they are lost.
fn bitwise(s: &mut Scalar, src: &Scalar, low: Range<u32>, full: Range<u64>) {
    match (src.is_const32(), s.is_const32()) {
        (Some(_), Some(v)) => {
            s.set_u32(Range::exactly(v));
            s.set_s32(Range::exactly(v as i32));
        }
        _ => {
            s.set_u32(low);
            let (min, max) = (low.min as i32, low.max as i32);
            s.set_s32(if min <= max { Range::new(min, max) } else { Range::FULL });
        }
    }
    if let (Some(_), Some(v)) = (src.is_const(), s.is_const()) {
        *s = Scalar::constant(v);
        return;
    }
    s.set_u64(full);
    let (min, max) = (full.min as i64, full.max as i64);
    s.set_s64(if min <= max { Range::new(min, max) } else { Range::FULL });
    s.learn_from_bits();
}

fn shift(op: AluOp, width: Width, s: &mut Scalar, amount: u32) {
    match (op, width) {
        (AluOp::Lsh, Width::W64) => lsh64(s, amount),
        (AluOp::Lsh, Width::W32) => {
            s.tnum = s.tnum.subreg().lshift(amount).subreg();
            lsh_low(s, amount);
            forget_64(s);
            s.learn_32_from_bits();
        }
        (AluOp::Rsh, Width::W64) => {
            s.tnum = s.tnum.rshift(amount);
            s.set_u64(Range::new(s.umin >> amount, s.umax >> amount));
            s.set_s64(Range::FULL);
            forget_32(s);
            s.learn_from_bits();
        }
        (AluOp::Rsh, Width::W32) => {
            s.tnum = s.tnum.subreg().rshift(amount);
            s.set_u32(Range::new(s.u32_min >> amount, s.u32_max >> amount));
            s.set_s32(Range::FULL);
            forget_64(s);
            s.learn_32_from_bits();
        }
        (_, Width::W64) => {
            s.tnum = s.tnum.arshift(amount);
            s.set_s64(Range::new(s.smin >> amount, s.smax >> amount));
            s.set_u64(Range::FULL);
            forget_32(s);
            s.learn_from_bits();
        }
        (_, Width::W32) => {
            s.tnum = s.tnum.arshift32(amount);
            s.set_s32(Range::new(s.s32_min >> amount, s.s32_max >> amount));
            s.set_u32(Range::FULL);
            forget_64(s);
            s.learn_32_from_bits();
        }
    }
}

fn lsh64(s: &mut Scalar, amount: u32) {
    // Half of the sign extension that compilers write as two shifts by 32.
    let signed =
        if amount == 32 { Range::new(i64::from(s.s32_min) << 32, i64::from(s.s32_max) << 32) } else { Range::FULL };
    s.set_s64(signed);
    let kept = s.umax <= 1 << (63 - amount);
    s.set_u64(if kept { Range::new(s.umin << amount, s.umax << amount) } else { Range::FULL });
    lsh_low(s, amount);
    s.tnum = s.tnum.lshift(amount);
    s.learn_from_bits();
}

/// The low half's ranges shifted left; unknown if a bit may leave it.
fn lsh_low(s: &mut Scalar, amount: u32) {
    s.set_s32(Range::FULL);
    let kept = amount <= 31 && s.u32_max <= 1 << (31 - amount);
    s.set_u32(if kept { Range::new(s.u32_min << amount, s.u32_max << amount) } else { Range::FULL });
}

fn forget_64(s: &mut Scalar) {
    s.set_u64(Range::FULL);
    s.set_s64(Range::FULL);
}

fn forget_32(s: &mut Scalar) {
    s.set_u32(Range::FULL);
    s.set_s32(Range::FULL);
}

/// The result, if both operands are known.
pub(super) fn fold(op: AluOp, width: Width, dst: &Scalar, src: &Scalar) -> Option<Scalar> {
    let (a, b) = match width {
        Width::W64 => (dst.is_const()?, src.is_const()?),
        Width::W32 => (dst.is_const32()?.into(), src.is_const32()?.into()),
    };
    Some(Scalar::constant(concrete::alu(op, width, a, b)))
}
