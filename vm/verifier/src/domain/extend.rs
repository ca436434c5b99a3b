//! Truncation and extension: 32-bit results, sign-extending moves, narrow loads of known values.

use super::range::Range;
use super::scalar::Scalar;
use super::tnum::Tnum;

impl Scalar {
    /// The low half, zero-extended, of a scalar whose 32-bit views are right; the 64-bit ranges are written anew.
    pub(super) fn zero_extend_subreg(mut self) -> Scalar {
        self.tnum = self.tnum.subreg();
        self.set_u64(Range::new(self.u32_min.into(), self.u32_max.into()));
        let signed = if self.s32_min >= 0 && self.s32_max >= 0 {
            Range::new(self.s32_min.into(), self.s32_max.into())
        } else {
            Range::new(0, u32::MAX.into())
        };
        self.set_s64(signed);
        self
    }
}

/// The low `bytes` (1, 2, 4 or 8) of `value`, zero-extended: a narrow load of a known value.
pub fn zero_extend_load(bytes: u32, value: &Scalar) -> Scalar {
    let mut s = *value;
    s.tnum = s.tnum.cast(bytes);
    let low = if bytes >= 8 { u64::MAX } else { (1 << (bytes * 8)) - 1 };
    if bytes < 8 {
        let unsigned =
            if s.umin & !low == s.umax & !low { Range::new(s.umin & low, s.umax & low) } else { Range::new(0, low) };
        s.set_u64(unsigned);
        s.set_s64(Range::new(unsigned.min as i64, unsigned.max as i64));
    }
    if bytes < 4 {
        s.set_u32(Range::FULL);
        s.set_s32(Range::FULL);
    }
    s.sync();
    s
}

/// The low `bytes` (1, 2 or 4; 8 changes nothing) of `value`, sign-extended to 64 bits.
pub fn sign_extend_load(bytes: u32, value: &Scalar) -> Scalar {
    let bits = bytes * 8;
    if bits == 0 || bits >= 64 {
        return *value;
    }
    let extend = |x: u64| (x << (64 - bits)) as i64 >> (64 - bits);
    if let Some(v) = value.is_const() {
        return Scalar::constant(extend(v) as u64);
    }
    if value.smin >> bits == value.smax >> bits {
        let (a, b) = (extend(value.smin as u64), extend(value.smax as u64));
        let (min, max) = (a.min(b), a.max(b));
        if (min >= 0) == (max >= 0) {
            return same_sign(min, max);
        }
    }
    let limit = 1i64 << (bits - 1);
    let mut s = Scalar::unknown();
    s.set_s64(Range::new(-limit, limit - 1));
    s.set_s32(Range::new((-limit) as i32, (limit - 1) as i32));
    s
}

/// A signed range that does not cross zero and fits 32 bits, in all views.
fn same_sign(min: i64, max: i64) -> Scalar {
    Scalar {
        tnum: Tnum::range(min as u64, max as u64),
        umin: min as u64,
        umax: max as u64,
        smin: min,
        smax: max,
        u32_min: min as u32,
        u32_max: max as u32,
        s32_min: min as i32,
        s32_max: max as i32,
    }
}

/// The low `bytes` (1 or 2) of `value`, sign-extended to 32 bits; only the 32-bit views and the low bits are right.
pub(super) fn sign_extend_subreg(bytes: u32, value: &Scalar) -> Scalar {
    let bits = bytes * 8;
    let extend = |x: u32| (x << (32 - bits)) as i32 >> (32 - bits);
    let mut s = *value;
    if let Some(v) = value.is_const() {
        let v = extend(v as u32);
        s.tnum = Tnum::constant(v as i64 as u64);
        s.set_s32(Range::exactly(v));
        s.set_u32(Range::exactly(v as u32));
        return s;
    }
    if value.s32_min >> bits == value.s32_max >> bits {
        let (a, b) = (extend(value.s32_min as u32), extend(value.s32_max as u32));
        let (min, max) = (a.min(b), a.max(b));
        if (min >= 0) == (max >= 0) {
            s.set_s32(Range::new(min, max));
            s.set_u32(Range::new(min as u32, max as u32));
            s.tnum = Tnum::range(min as i64 as u64, max as i64 as u64).subreg();
            return s;
        }
    }
    let limit = 1i32 << (bits - 1);
    s.set_s32(Range::new(-limit, limit - 1));
    s.set_u32(Range::FULL);
    s.tnum = Tnum::UNKNOWN.subreg();
    s
}
