//! Tristate numbers: each bit is 0, 1 or unknown.
//!
//! Invariant: `value & mask == 0`; a set bit of `mask` is an unknown bit. Method names follow Linux's `tnum.c`, whose
//! precision (6.18) these operations have. Every abstract number here has at least one concrete one: the domain has no
//! empty element, so [`Tnum::intersect`] asks that its operands overlap.

use super::range::Range;

/// A number of 64 bits of which some are unknown.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Tnum {
    /// The known bits that are 1.
    pub value: u64,
    /// The unknown bits.
    pub mask: u64,
}

const LOW_32: u64 = u32::MAX as u64;

impl Tnum {
    /// All bits unknown.
    pub const UNKNOWN: Tnum = Tnum { value: 0, mask: u64::MAX };

    /// Bits of `mask` unknown, the others as in `value` (bits of `value` under `mask` are dropped).
    pub const fn new(value: u64, mask: u64) -> Tnum {
        Tnum { value: value & !mask, mask }
    }

    /// Exactly this number.
    pub const fn constant(value: u64) -> Tnum {
        Tnum { value, mask: 0 }
    }

    /// The tightest number that covers `min..=max` (unsigned): the common leading bits are known.
    pub const fn range(min: u64, max: u64) -> Tnum {
        let differing = u64::BITS - (min ^ max).leading_zeros();
        if differing == u64::BITS {
            return Tnum::UNKNOWN;
        }
        Tnum::new(min, (1 << differing) - 1)
    }

    /// The number, if all bits are known.
    pub const fn is_const(self) -> Option<u64> {
        if self.mask == 0 { Some(self.value) } else { None }
    }

    /// Whether no bit is known.
    pub const fn is_unknown(self) -> bool {
        self.mask == u64::MAX
    }

    /// Smallest unsigned member.
    pub const fn umin(self) -> u64 {
        self.value
    }

    /// Largest unsigned member.
    pub const fn umax(self) -> u64 {
        self.value | self.mask
    }

    /// Whether `x` is a member.
    pub const fn contains(self, x: u64) -> bool {
        x & !self.mask == self.value
    }

    /// Whether every member of `other` is a member of `self` (Linux's `tnum_in`).
    pub const fn includes(self, other: Tnum) -> bool {
        other.mask & !self.mask == 0 && other.value & !self.mask == self.value
    }

    /// Whether the two have a member in common.
    pub const fn overlaps(self, other: Tnum) -> bool {
        let known = !(self.mask | other.mask);
        (self.value ^ other.value) & known == 0
    }

    /// The smallest member greater than `x`, or the greatest member if there is none.
    pub const fn next_above(self, x: u64) -> u64 {
        if x >= self.umax() {
            return self.umax();
        }
        if x < self.value {
            return self.value;
        }
        let from = x + 1;
        let wrong = (from ^ self.value) & !self.mask;
        if wrong == 0 {
            return from;
        }
        let top = 63 - wrong.leading_zeros();
        let free_above = self.mask & !(u64::MAX >> (63 - top));
        let free = if self.value >> top & 1 == 1 {
            // The known bit is above what `from` asks: the free bits below it may be 0.
            from & free_above
        } else {
            // The known bit is below: count up in the free bits over it; the others are set, so that the carry passes.
            (from | !free_above).wrapping_add(1) & free_above
        };
        free | self.value
    }

    /// Whether all members are multiples of `size`, a power of two (0 asks nothing).
    pub const fn is_aligned(self, size: u64) -> bool {
        size == 0 || (self.value | self.mask) & (size - 1) == 0
    }

    /// `self << shift`; `shift` below 64.
    pub const fn lshift(self, shift: u32) -> Tnum {
        Tnum { value: self.value.wrapping_shl(shift), mask: self.mask.wrapping_shl(shift) }
    }

    /// `self >> shift`, zeros coming in; `shift` below 64.
    pub const fn rshift(self, shift: u32) -> Tnum {
        Tnum { value: self.value.wrapping_shr(shift), mask: self.mask.wrapping_shr(shift) }
    }

    /// `self >> shift`, copies of bit 63 coming in; `shift` below 64.
    pub const fn arshift(self, shift: u32) -> Tnum {
        Tnum {
            value: (self.value as i64).wrapping_shr(shift) as u64,
            mask: (self.mask as i64).wrapping_shr(shift) as u64,
        }
    }

    /// The low 32 bits shifted right arithmetically, zero-extended; `shift` below 32.
    pub const fn arshift32(self, shift: u32) -> Tnum {
        Tnum {
            value: (self.value as i32).wrapping_shr(shift) as u32 as u64,
            mask: (self.mask as i32).wrapping_shr(shift) as u32 as u64,
        }
    }

    /// Sum, wrapping.
    pub const fn add(self, other: Tnum) -> Tnum {
        let masks = self.mask.wrapping_add(other.mask);
        let values = self.value.wrapping_add(other.value);
        // A carry differs between the smallest and the largest sum exactly where these two disagree.
        let carries = masks.wrapping_add(values) ^ values;
        Tnum::new(values, carries | self.mask | other.mask)
    }

    /// Difference, wrapping.
    pub const fn sub(self, other: Tnum) -> Tnum {
        let values = self.value.wrapping_sub(other.value);
        let borrows = values.wrapping_add(self.mask) ^ values.wrapping_sub(other.mask);
        Tnum::new(values, borrows | self.mask | other.mask)
    }

    /// Two's complement.
    pub const fn neg(self) -> Tnum {
        Tnum::constant(0).sub(self)
    }

    /// Bitwise and.
    pub const fn and(self, other: Tnum) -> Tnum {
        let ones = self.value & other.value;
        Tnum { value: ones, mask: self.umax() & other.umax() & !ones }
    }

    /// Bitwise or.
    pub const fn or(self, other: Tnum) -> Tnum {
        let ones = self.value | other.value;
        Tnum { value: ones, mask: (self.mask | other.mask) & !ones }
    }

    /// Bitwise exclusive or.
    pub const fn xor(self, other: Tnum) -> Tnum {
        Tnum::new(self.value ^ other.value, self.mask | other.mask)
    }

    /// Product, wrapping: long multiplication where an unknown bit of `self` joins the sums with and without the addend.
    pub const fn mul(self, other: Tnum) -> Tnum {
        let mut sum = Tnum::constant(0);
        let mut bits = self;
        let mut addend = other;
        while bits.value | bits.mask != 0 {
            if bits.value & 1 != 0 {
                sum = sum.add(addend);
            } else if bits.mask & 1 != 0 {
                sum = sum.union(sum.add(addend));
            }
            bits = bits.rshift(1);
            addend = addend.lshift(1);
        }
        sum
    }

    /// What is known of a number that is a member of both; meaningful only if the two overlap.
    pub const fn intersect(self, other: Tnum) -> Tnum {
        Tnum::new(self.value | other.value, self.mask & other.mask)
    }

    /// The tightest number that covers both.
    pub const fn union(self, other: Tnum) -> Tnum {
        Tnum::new(self.value & other.value, (self.value ^ other.value) | self.mask | other.mask)
    }

    /// The low `bytes` bytes, zero-extended.
    pub const fn cast(self, bytes: u32) -> Tnum {
        if bytes >= 8 {
            return self;
        }
        let low = (1 << (bytes * 8)) - 1;
        Tnum { value: self.value & low, mask: self.mask & low }
    }

    /// The low `bytes` bytes, sign-extended.
    pub const fn sign_cast(self, bytes: u32) -> Tnum {
        if bytes >= 8 || bytes == 0 {
            return self;
        }
        let spare = 64 - bytes * 8;
        self.lshift(spare).arshift(spare)
    }

    /// The low 32 bits, zero-extended.
    pub const fn subreg(self) -> Tnum {
        self.cast(4)
    }

    /// The same with the low 32 bits zero.
    pub const fn clear_subreg(self) -> Tnum {
        Tnum { value: self.value & !LOW_32, mask: self.mask & !LOW_32 }
    }

    /// The same with the low 32 bits of `low` in place of its own.
    pub const fn with_subreg(self, low: Tnum) -> Tnum {
        self.clear_subreg().or(low.subreg())
    }

    /// The same with the low 32 bits known to be `low`.
    pub const fn const_subreg(self, low: u32) -> Tnum {
        self.with_subreg(Tnum::constant(low as u64))
    }

    /// The low 32 bits, if all of them are known.
    pub const fn subreg_is_const(self) -> Option<u32> {
        if self.mask & LOW_32 == 0 { Some(self.value as u32) } else { None }
    }

    /// The low `bytes` bytes (2, 4 or 8) in reverse order, zero-extended.
    pub const fn bswap(self, bytes: u32) -> Tnum {
        let spare = 64u32.saturating_sub(bytes * 8);
        Tnum { value: self.value.swap_bytes().wrapping_shr(spare), mask: self.mask.swap_bytes().wrapping_shr(spare) }
    }

    pub(super) const fn u64_range(self) -> Range<u64> {
        Range { min: self.umin(), max: self.umax() }
    }

    /// Smallest: sign bit set if it may be, the other unknown bits clear. Largest: the reverse.
    pub(super) const fn s64_range(self) -> Range<i64> {
        let sign = i64::MIN as u64;
        Range { min: (self.value | (self.mask & sign)) as i64, max: (self.value | (self.mask & !sign)) as i64 }
    }

    pub(super) const fn u32_range(self) -> Range<u32> {
        Range { min: self.value as u32, max: self.umax() as u32 }
    }

    pub(super) const fn s32_range(self) -> Range<i32> {
        let (value, mask, sign) = (self.value as u32, self.mask as u32, i32::MIN as u32);
        Range { min: (value | (mask & sign)) as i32, max: (value | (mask & !sign)) as i32 }
    }
}
