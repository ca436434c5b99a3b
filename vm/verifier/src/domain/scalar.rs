//! The scalar: five views of one number.

use super::range::Range;
use super::tnum::Tnum;

/// A set of 64-bit numbers: those that satisfy the tristate number and all four ranges.
///
/// The fields may be read and set; whoever sets one calls [`Scalar::sync`] before the value is used. All operations
/// of this module return values that are in sync.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Scalar {
    /// Known bits.
    pub tnum: Tnum,
    /// Smallest as unsigned 64-bit number.
    pub umin: u64,
    /// Largest as unsigned 64-bit number.
    pub umax: u64,
    /// Smallest as signed 64-bit number.
    pub smin: i64,
    /// Largest as signed 64-bit number.
    pub smax: i64,
    /// Smallest of the low half as unsigned 32-bit number.
    pub u32_min: u32,
    /// Largest of the low half as unsigned 32-bit number.
    pub u32_max: u32,
    /// Smallest of the low half as signed 32-bit number.
    pub s32_min: i32,
    /// Largest of the low half as signed 32-bit number.
    pub s32_max: i32,
}

impl Default for Scalar {
    fn default() -> Self {
        Scalar::unknown()
    }
}

impl Scalar {
    /// Any number.
    pub const fn unknown() -> Scalar {
        Scalar::unbounded(Tnum::UNKNOWN)
    }

    /// Exactly `value`.
    pub const fn constant(value: u64) -> Scalar {
        Scalar {
            tnum: Tnum::constant(value),
            umin: value,
            umax: value,
            smin: value as i64,
            smax: value as i64,
            u32_min: value as u32,
            u32_max: value as u32,
            s32_min: value as i32,
            s32_max: value as i32,
        }
    }

    /// What a zero-extending load of `bytes` (1, 2, 4 or 8) gives.
    pub fn from_size(bytes: u32) -> Scalar {
        super::extend::zero_extend_load(bytes, &Scalar::unknown())
    }

    /// What a sign-extending load of `bytes` (1, 2 or 4) gives.
    pub fn from_signed_size(bytes: u32) -> Scalar {
        super::extend::sign_extend_load(bytes, &Scalar::unknown())
    }

    /// Unsigned numbers from `min` to `max`, both included.
    pub fn range(min: u64, max: u64) -> Scalar {
        let mut s = Scalar { umin: min, umax: max, ..Scalar::unknown() };
        s.sync();
        s
    }

    /// Signed numbers from `min` to `max`, both included.
    pub fn signed_range(min: i64, max: i64) -> Scalar {
        let mut s = Scalar { smin: min, smax: max, ..Scalar::unknown() };
        s.sync();
        s
    }

    /// The members of a tristate number.
    pub fn from_tnum(tnum: Tnum) -> Scalar {
        let mut s = Scalar::unbounded(tnum);
        s.sync();
        s
    }

    /// These bits known, no range learnt from them yet.
    pub(super) const fn unbounded(tnum: Tnum) -> Scalar {
        Scalar {
            tnum,
            umin: 0,
            umax: u64::MAX,
            smin: i64::MIN,
            smax: i64::MAX,
            u32_min: 0,
            u32_max: u32::MAX,
            s32_min: i32::MIN,
            s32_max: i32::MAX,
        }
    }

    /// The number, if it can be only one.
    pub const fn is_const(&self) -> Option<u64> {
        self.tnum.is_const()
    }

    /// The low 32 bits, if they can be only one number.
    pub const fn is_const32(&self) -> Option<u32> {
        self.tnum.subreg_is_const()
    }

    /// Whether nothing at all is known.
    pub fn is_unknown(&self) -> bool {
        *self == Scalar::unknown()
    }

    /// Whether it can't be 0.
    pub fn is_nonzero(&self) -> bool {
        !self.contains(0)
    }

    /// How many low bits suffice to hold every member: 0 to 64 (Linux's `get_reg_width`).
    pub const fn width(&self) -> u32 {
        u64::BITS - self.umax.leading_zeros()
    }

    /// Whether `x` is a member.
    pub fn contains(&self, x: u64) -> bool {
        self.tnum.contains(x)
            && self.u64_range().contains(x)
            && self.s64_range().contains(x as i64)
            && self.u32_range().contains(x as u32)
            && self.s32_range().contains(x as i32)
    }

    /// Whether each of the five views lies inside `other`'s, which makes every member a member of `other`: what state
    /// pruning asks of a precise scalar.
    pub fn is_subset_of(&self, other: &Scalar) -> bool {
        other.u64_range().includes(self.u64_range())
            && other.s64_range().includes(self.s64_range())
            && other.u32_range().includes(self.u32_range())
            && other.s32_range().includes(self.s32_range())
            && other.tnum.includes(self.tnum)
    }

    /// What covers both.
    pub fn join(&self, other: &Scalar) -> Scalar {
        let mut s = Scalar::unbounded(self.tnum.union(other.tnum));
        s.set_u64(self.u64_range().join(other.u64_range()));
        s.set_s64(self.s64_range().join(other.s64_range()));
        s.set_u32(self.u32_range().join(other.u32_range()));
        s.set_s32(self.s32_range().join(other.s32_range()));
        s.sync();
        s
    }

    /// What is known of a member of both, or `None` if there is none for sure.
    pub fn meet(&self, other: &Scalar) -> Option<Scalar> {
        if !self.tnum.overlaps(other.tnum) {
            return None;
        }
        let mut s = Scalar::unbounded(self.tnum.intersect(other.tnum));
        s.set_u64(self.u64_range().intersect(other.u64_range()));
        s.set_s64(self.s64_range().intersect(other.s64_range()));
        s.set_u32(self.u32_range().intersect(other.u32_range()));
        s.set_s32(self.s32_range().intersect(other.s32_range()));
        if s.sync_fully() { None } else { Some(s) }
    }

    pub(super) const fn u64_range(&self) -> Range<u64> {
        Range { min: self.umin, max: self.umax }
    }

    pub(super) const fn s64_range(&self) -> Range<i64> {
        Range { min: self.smin, max: self.smax }
    }

    pub(super) const fn u32_range(&self) -> Range<u32> {
        Range { min: self.u32_min, max: self.u32_max }
    }

    pub(super) const fn s32_range(&self) -> Range<i32> {
        Range { min: self.s32_min, max: self.s32_max }
    }

    pub(super) const fn set_u64(&mut self, r: Range<u64>) {
        (self.umin, self.umax) = (r.min, r.max);
    }

    pub(super) const fn set_s64(&mut self, r: Range<i64>) {
        (self.smin, self.smax) = (r.min, r.max);
    }

    pub(super) const fn set_u32(&mut self, r: Range<u32>) {
        (self.u32_min, self.u32_max) = (r.min, r.max);
    }

    pub(super) const fn set_s32(&mut self, r: Range<i32>) {
        (self.s32_min, self.s32_max) = (r.min, r.max);
    }

    pub(super) fn clip_u64(&mut self, r: Range<u64>) {
        self.set_u64(self.u64_range().intersect(r));
    }

    pub(super) fn clip_s64(&mut self, r: Range<i64>) {
        self.set_s64(self.s64_range().intersect(r));
    }

    pub(super) fn clip_u32(&mut self, r: Range<u32>) {
        self.set_u32(self.u32_range().intersect(r));
    }

    pub(super) fn clip_s32(&mut self, r: Range<i32>) {
        self.set_s32(self.s32_range().intersect(r));
    }
}
