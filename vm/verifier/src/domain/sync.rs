//! Consistency: what each view of a scalar teaches the others.
//!
//! The deductions, their order and their number of rounds are those of Linux 6.18 (`reg_bounds_sync`), because the order
//! decides what is found: there is no fixpoint. A deduction only ever removes numbers that another view excludes; it may
//! rewrite a bound with a looser one that says the same together with the other views.

use super::range::Range;
use super::scalar::Scalar;
use super::tnum::Tnum;

/// Deduction rounds between the two looks at the known bits.
const ROUNDS: usize = 3;
/// Bound on the repetitions of [`Scalar::sync_fully`]; each but the last has tightened something.
const REPETITIONS: usize = 8;

const HIGH_32: u64 = !(u32::MAX as u64);

impl Scalar {
    /// Brings the five views in line with each other, as Linux does. True if they contradict each other: no number is
    /// left. False is no promise that there is one.
    pub fn sync(&mut self) -> bool {
        self.learn_from_bits();
        for _ in 0..ROUNDS {
            self.deduce_32();
            self.deduce_64();
            self.deduce_across();
        }
        self.learn_bits();
        self.learn_from_bits();
        self.is_contradiction()
    }

    /// [`Scalar::sync`] until nothing changes (within bounds): tighter than Linux.
    pub fn sync_fully(&mut self) -> bool {
        for _ in 0..REPETITIONS {
            let before = *self;
            self.sync();
            // Linux overwrites a bound here and there; nothing that was known is given up.
            self.clip_u64(before.u64_range());
            self.clip_s64(before.s64_range());
            self.clip_u32(before.u32_range());
            self.clip_s32(before.s32_range());
            if self.is_contradiction() {
                return true;
            }
            if *self == before {
                break;
            }
        }
        false
    }

    /// Whether the views contradict each other (Linux's "range bounds violation" and its kin).
    pub fn is_contradiction(&self) -> bool {
        let empty = self.umin > self.umax
            || self.smin > self.smax
            || self.u32_min > self.u32_max
            || self.s32_min > self.s32_max;
        let constant = self
            .tnum
            .is_const()
            .is_some_and(|v| self.u64_range() != Range::exactly(v) || self.s64_range() != Range::exactly(v as i64));
        let constant32 = self
            .tnum
            .subreg_is_const()
            .is_some_and(|v| self.u32_range() != Range::exactly(v) || self.s32_range() != Range::exactly(v as i32));
        empty || constant || constant32
    }

    /// [`Scalar::sync`]; a contradiction forgets all ranges and keeps the bits, as Linux does when it walks a branch that
    /// it could not see to be dead.
    pub(super) fn settle(mut self) -> Scalar {
        if self.sync() { Scalar::unbounded(self.tnum) } else { self }
    }

    pub(super) fn learn_from_bits(&mut self) {
        self.learn_32_from_bits();
        self.clip_u64(self.tnum.u64_range());
        self.clip_s64(self.tnum.s64_range());
        if let Some(only) = self.only_member() {
            *self = Scalar::constant(only);
        }
    }

    /// The one number that is both in the unsigned range and a member by its bits, where Linux looks for it.
    fn only_member(&self) -> Option<u64> {
        let next = self.tnum.next_above(self.umin);
        if self.tnum.contains(self.umin) {
            (next > self.umax).then_some(self.umin)
        } else {
            let last = next == self.tnum.umax();
            let alone = next <= self.umax && self.tnum.next_above(next) > self.umax;
            (last || alone).then_some(next)
        }
    }

    pub(super) fn learn_32_from_bits(&mut self) {
        self.clip_u32(self.tnum.u32_range());
        self.clip_s32(self.tnum.s32_range());
    }

    fn learn_bits(&mut self) {
        let bits = self.tnum.intersect(Tnum::range(self.umin, self.umax));
        let low = bits.subreg().intersect(Tnum::range(self.u32_min.into(), self.u32_max.into()));
        self.tnum = bits.with_subreg(low);
    }

    /// 32-bit ranges from the 64-bit ones and from each other.
    fn deduce_32(&mut self) {
        let (umin, umax) = (self.umin, self.umax);
        if umin >> 32 == umax >> 32 {
            self.clip_u32(Range::new(umin as u32, umax as u32));
            if umin as i32 <= umax as i32 {
                self.clip_s32(Range::new(umin as i32, umax as i32));
            }
        }
        let (smin, smax) = (self.smin, self.smax);
        if smin >> 32 == smax >> 32 {
            if smin as u32 <= smax as u32 {
                self.clip_u32(Range::new(smin as u32, smax as u32));
            }
            if smin as i32 <= smax as i32 {
                self.clip_s32(Range::new(smin as i32, smax as i32));
            }
        }
        self.deduce_s32_over_carry(umin, umax);
        self.deduce_s32_over_carry(smin as u64, smax as u64);
        if self.u32_min as i32 <= self.u32_max as i32 {
            self.clip_s32(Range::new(self.u32_min as i32, self.u32_max as i32));
        }
        if self.s32_min as u32 <= self.s32_max as u32 {
            self.clip_u32(Range::new(self.s32_min as u32, self.s32_max as u32));
        } else if self.u32_max < self.s32_min as u32 {
            // As in `deduce_64`: only one of the signed range's two unsigned pieces is met.
            self.s32_min = self.u32_min as i32;
            self.u32_max = self.u32_max.min(self.s32_max as u32);
        } else if (self.s32_max as u32) < self.u32_min {
            self.s32_max = self.u32_max as i32;
            self.u32_min = self.u32_min.max(self.s32_min as u32);
        }
    }

    /// Where the high halves are neighbours and the low halves run from negative to positive, the low halves are a
    /// signed range.
    fn deduce_s32_over_carry(&mut self, min: u64, max: u64) {
        let neighbours = ((min >> 32) as u32).wrapping_add(1) == (max >> 32) as u32;
        if neighbours && (min as i32) < 0 && max as i32 >= 0 {
            self.clip_s32(Range::new(min as i32, max as i32));
        }
    }

    /// 64-bit ranges from each other.
    fn deduce_64(&mut self) {
        if self.umin as i64 <= self.umax as i64 {
            self.clip_s64(Range::new(self.umin as i64, self.umax as i64));
        }
        if self.smin as u64 <= self.smax as u64 {
            self.clip_u64(Range::new(self.smin as u64, self.smax as u64));
        } else if self.umax < self.smin as u64 {
            // The signed range is two pieces as unsigned numbers, [0, smax] and [smin, MAX]; only the first is met.
            self.smin = self.umin as i64;
            self.umax = self.umax.min(self.smax as u64);
        } else if (self.smax as u64) < self.umin {
            self.smax = self.umax as i64;
            self.umin = self.umin.max(self.smin as u64);
        }
    }

    /// 64-bit ranges from the 32-bit ones: the low half of each end point moves inside.
    fn deduce_across(&mut self) {
        let with_low = |wide: u64, low: u32| (wide & HIGH_32) | u64::from(low);
        self.clip_u64(Range::new(with_low(self.umin, self.u32_min), with_low(self.umax, self.u32_max)));
        self.clip_s64(Range::new(
            with_low(self.smin as u64, self.u32_min) as i64,
            with_low(self.smax as u64, self.u32_max) as i64,
        ));
        // After a sign extension: a low half that is not negative excludes the high half of ones.
        let extended = self.smin >= i64::from(i32::MIN) && self.smax <= i64::from(i32::MAX);
        if self.s32_min >= 0 && extended {
            self.set_s64(Range::new(self.s32_min.into(), self.s32_max.into()));
            self.set_u64(Range::new(self.s32_min as u64, self.s32_max as u64));
            self.tnum = self.tnum.intersect(Tnum::range(self.smin as u64, self.smax as u64));
        }
    }
}
