//! Transfer functions tighter than Linux's: divisions, shifts by ranges, sign extensions, 32-bit results of unknown value.
//!
//! Each result is met with Linux's, so it is never looser. Both are sound, hence so is their meet, and it can't be empty
//! as long as the operands are not.

use super::Precision;
use super::alu::{fold, linux, linux_movsx};
use super::range::Range;
use super::scalar::Scalar;
use super::tnum::Tnum;
use backstop_isa::{AluOp, Size, Width};

pub(super) fn alu(op: AluOp, width: Width, dst: &Scalar, src: &Scalar) -> Scalar {
    if let Some(result) = fold(op, width, dst, src) {
        return result;
    }
    let mut plain = linux(op, width, dst, src);
    if width == Width::W32 && plain.is_unknown() {
        plain = Scalar::from_size(4);
    }
    let (a, b) = match width {
        Width::W64 => (*dst, *src),
        Width::W32 => (super::mov32(dst), super::mov32(src)),
    };
    let extra = match op {
        AluOp::Div => unsigned(div(a.u64_range(), b.u64_range())),
        AluOp::Mod => modulo(&a, &b),
        AluOp::Sdiv => sdiv(width, dst, src),
        AluOp::Smod => smod(width, dst, src),
        AluOp::Lsh | AluOp::Rsh | AluOp::Arsh => return shift(op, width, dst, &b),
        AluOp::Add | AluOp::Sub | AluOp::Mul | AluOp::Or | AluOp::And | AluOp::Xor => {
            let mut tight = plain;
            return if tight.sync_fully() { plain } else { tight };
        }
    };
    plain.meet(&extra).unwrap_or(plain)
}

fn unsigned(r: Range<u64>) -> Scalar {
    Scalar::range(r.min, r.max)
}

/// Quotients; by zero gives 0.
fn div(a: Range<u64>, b: Range<u64>) -> Range<u64> {
    if b.max == 0 {
        return Range::exactly(0);
    }
    let min = if b.min == 0 { 0 } else { a.min / b.max };
    Range::new(min, a.max / b.min.max(1))
}

/// Remainders; by zero leaves the dividend, as does a greater divisor.
fn modulo(a: &Scalar, b: &Scalar) -> Scalar {
    if b.umax == 0 || a.umax < b.umin {
        return *a;
    }
    if b.umin == 0 { Scalar::range(0, a.umax) } else { Scalar::range(0, a.umax.min(b.umax - 1)) }
}

fn signed_view(width: Width, s: &Scalar) -> Range<i64> {
    match width {
        Width::W64 => s.s64_range(),
        Width::W32 => Range::new(s.s32_min.into(), s.s32_max.into()),
    }
}

/// A signed result of `width`, as the register holds it.
fn signed(width: Width, r: Range<i64>) -> Scalar {
    match width {
        Width::W64 => Scalar::signed_range(r.min, r.max),
        Width::W32 => {
            let mut s = Scalar::unknown();
            match (i32::try_from(r.min), i32::try_from(r.max)) {
                (Ok(min), Ok(max)) => s.set_s32(Range::new(min, max)),
                // MIN / -1 wraps to MIN: nothing is known of the sign.
                _ => return Scalar::from_size(4),
            }
            s.sync();
            super::mov32(&s)
        }
    }
}

/// Signed quotients: their size is at most the dividend's, and the end points give the extremes for a divisor of one sign.
fn sdiv(width: Width, dst: &Scalar, src: &Scalar) -> Scalar {
    let (a, b) = (signed_view(width, dst), signed_view(width, src));
    let quotients = if b.min > 0 || b.max < 0 {
        let ends = [(a.min, b.min), (a.min, b.max), (a.max, b.min), (a.max, b.max)];
        let mut all = Range::new(i64::MAX, i64::MIN);
        for (x, y) in ends {
            // MIN / -1 wraps.
            let Some(q) = x.checked_div(y) else { return signed(width, Range::FULL) };
            all = all.join(Range::exactly(q));
        }
        // Dividends on both sides of zero, or divisors greater than them, reach 0 in between.
        if a.contains(0) { all.join(Range::exactly(0)) } else { all }
    } else {
        let size = a.min.unsigned_abs().max(a.max.unsigned_abs());
        let Ok(size) = i64::try_from(size) else { return signed(width, Range::FULL) };
        Range::new(-size, size)
    };
    signed(width, quotients)
}

/// Signed remainders: the dividend's sign, smaller than the divisor, no greater than the dividend.
fn smod(width: Width, dst: &Scalar, src: &Scalar) -> Scalar {
    let (a, b) = (signed_view(width, dst), signed_view(width, src));
    let mut min = a.min.min(0);
    let mut max = a.max.max(0);
    if !b.contains(0) {
        let below = (b.min.unsigned_abs().max(b.max.unsigned_abs()) - 1).min(i64::MAX as u64) as i64;
        min = min.max(-below);
        max = max.min(below);
    }
    signed(width, Range::new(min, max))
}

/// The union over the possible amounts, of which there are at most as many as bits.
fn shift(op: AluOp, width: Width, dst: &Scalar, amounts: &Scalar) -> Scalar {
    let bits = match width {
        Width::W64 => 64,
        Width::W32 => 32,
    };
    let masked = super::alu(AluOp::And, Width::W64, amounts, &Scalar::constant(bits - 1), Precision::Linux);
    let results = (0..bits)
        .filter(|&amount| masked.contains(amount))
        .map(|amount| linux(op, width, dst, &Scalar::constant(amount)));
    results.reduce(|all, one| all.join(&one)).unwrap_or_else(Scalar::unknown)
}

/// Linux's result, met with the extended bits and with the low half's signed range where that needs no more than `from`.
pub(super) fn movsx(width: Width, from: Size, src: &Scalar) -> Scalar {
    let plain = linux_movsx(width, from, src);
    let bits: Tnum = src.tnum.sign_cast(from.bytes());
    let extended = match width {
        Width::W64 => Scalar::from_tnum(bits),
        Width::W32 => Scalar::from_tnum(bits.subreg()),
    };
    let limit = 1i64 << (from.bits().min(32) - 1);
    let low = signed_view(Width::W32, src);
    let fits = from != Size::B8 && Range::new(-limit, limit - 1).includes(low);
    let kept = if fits { signed(width, low) } else { Scalar::unknown() };
    extended.meet(&kept).and_then(|extra| plain.meet(&extra)).unwrap_or(plain)
}
