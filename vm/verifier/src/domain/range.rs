//! Closed ranges over the four machine integers, with Linux's rules for wrapping.
//!
//! A range with `min > max` is empty; it arises only from [`Range::intersect`] and is never fed to arithmetic.

/// A bounded machine integer.
pub(super) trait Bound: Copy + Ord {
    const MIN: Self;
    const MAX: Self;
    const SIGNED: bool;
    fn add_wraps(self, other: Self) -> (Self, bool);
    fn sub_wraps(self, other: Self) -> (Self, bool);
    fn mul_checked(self, other: Self) -> Option<Self>;
    fn succ(self) -> Self;
    fn pred(self) -> Self;
}

macro_rules! bound {
    ($($int:ty),*) => {$(
        impl Bound for $int {
            const MIN: Self = <$int>::MIN;
            const MAX: Self = <$int>::MAX;
            #[allow(unused_comparisons, reason = "the macro also serves unsigned integers")]
            const SIGNED: bool = <$int>::MIN < 0;
            fn add_wraps(self, other: Self) -> (Self, bool) {
                self.overflowing_add(other)
            }
            fn sub_wraps(self, other: Self) -> (Self, bool) {
                self.overflowing_sub(other)
            }
            fn mul_checked(self, other: Self) -> Option<Self> {
                self.checked_mul(other)
            }
            fn succ(self) -> Self {
                self.wrapping_add(1)
            }
            fn pred(self) -> Self {
                self.wrapping_sub(1)
            }
        }
    )*};
}

bound!(u64, i64, u32, i32);

/// All integers from `min` to `max`, both included.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Range<T> {
    pub min: T,
    pub max: T,
}

impl<T: Bound> Range<T> {
    pub const FULL: Self = Range { min: T::MIN, max: T::MAX };

    pub fn new(min: T, max: T) -> Self {
        Range { min, max }
    }

    pub fn exactly(value: T) -> Self {
        Range { min: value, max: value }
    }

    pub fn intersect(self, other: Self) -> Self {
        Range { min: self.min.max(other.min), max: self.max.min(other.max) }
    }

    pub fn join(self, other: Self) -> Self {
        Range { min: self.min.min(other.min), max: self.max.max(other.max) }
    }

    pub fn contains(self, value: T) -> bool {
        self.min <= value && value <= self.max
    }

    pub fn includes(self, other: Self) -> bool {
        self.min <= other.min && other.max <= self.max
    }

    /// Whether no value is in both.
    pub fn misses(self, other: Self) -> bool {
        self.min > other.max || self.max < other.min
    }

    /// Sums. Unsigned ones stay a range if all sums wrap or none does; signed ones only if none does.
    pub fn add(self, other: Self) -> Self {
        let (min, min_wraps) = self.min.add_wraps(other.min);
        let (max, max_wraps) = self.max.add_wraps(other.max);
        Self::unless_split(min, min_wraps, max, max_wraps)
    }

    /// Differences, with the rule of [`Range::add`].
    pub fn sub(self, other: Self) -> Self {
        let (min, min_wraps) = self.min.sub_wraps(other.max);
        let (max, max_wraps) = self.max.sub_wraps(other.min);
        Self::unless_split(min, min_wraps, max, max_wraps)
    }

    fn unless_split(min: T, min_wraps: bool, max: T, max_wraps: bool) -> Self {
        let lost = if T::SIGNED { min_wraps || max_wraps } else { min_wraps != max_wraps };
        if lost { Self::FULL } else { Range { min, max } }
    }

    /// Products: the extremes are products of end points, unless one of these overflows.
    pub fn mul(self, other: Self) -> Self {
        let corners = [
            self.min.mul_checked(other.min),
            self.min.mul_checked(other.max),
            self.max.mul_checked(other.min),
            self.max.mul_checked(other.max),
        ];
        let [Some(a), Some(b), Some(c), Some(d)] = corners else { return Self::FULL };
        Range { min: a.min(b).min(c).min(d), max: a.max(b).max(c).max(d) }
    }

    /// Without `value`, where it is an end point.
    pub fn trim(mut self, value: T) -> Self {
        if self.min == value {
            self.min = self.min.succ();
        }
        if self.max == value {
            self.max = self.max.pred();
        }
        self
    }
}
