//! Division by a constant as a multiplication by its reciprocal (T. Granlund, P. Montgomery, "Division by invariant integers
//! using multiplication", 1994).

/// n / d = (n * factor) >> (bits + shift) for all n of that many bits, where `factor` may have one bit more.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Reciprocal {
    /// The factor without its bit number `bits`.
    pub(crate) low: u64,
    /// The factor has bit number `bits` as well; `shift` is then at least 1.
    pub(crate) has_top: bool,
    pub(crate) shift: u8,
}

/// The reciprocal of a divisor for dividends of `bits` (32 or 64) bits; none for 0, powers of two, and divisors above half the range.
pub(crate) fn reciprocal(divisor: u64, bits: u32) -> Option<Reciprocal> {
    if divisor < 3 || divisor.is_power_of_two() || divisor > 1 << (bits - 1) {
        return None;
    }
    let d = u128::from(divisor);
    let log = divisor.next_power_of_two().trailing_zeros();
    (0..=log).find_map(|shift| {
        let power = 1u128.checked_shl(bits + shift)?;
        // For bits = 64 and shift = 64 the power does not fit, but log is at most 63 here.
        let factor = power.div_ceil(d);
        let error = factor * d - power;
        let fits = factor >> bits == 0;
        let exact = error <= 1 << shift;
        let good = exact && (fits || shift == log);
        good.then(|| Reciprocal { low: (factor & ((1u128 << bits) - 1)) as u64, has_top: !fits, shift: shift as u8 })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn divide(n: u64, r: Reciprocal, bits: u32) -> u64 {
        let factor = u128::from(r.low) | (u128::from(r.has_top) << bits);
        // 64 + 65 bits don't fit: by halves.
        let low = u128::from(n) * (factor & 0xffff_ffff);
        let high = u128::from(n) * (factor >> 32) + (low >> 32);
        (high >> (bits - 32 + u32::from(r.shift))) as u64
    }

    fn check(d: u64, bits: u32) {
        let Some(r) = reciprocal(d, bits) else { return };
        assert!(!r.has_top || r.shift >= 1, "{d}: {r:?}");
        let max = u64::MAX >> (64 - bits);
        let near = |n: u64| (0..4).flat_map(move |k| [n.wrapping_sub(k) & max, n.wrapping_add(k) & max]);
        let multiples = [1, 2, 3, max / d, max / d / 2, max / d / 3].map(|q| q.wrapping_mul(d));
        for n in [0, max, max / 2].into_iter().chain(multiples).flat_map(near) {
            assert_eq!(divide(n, r, bits), n / d, "{n} / {d} with {r:?}");
        }
    }

    #[test]
    fn quotients_are_exact() {
        for bits in [32, 64] {
            let max = u64::MAX >> (64 - bits);
            for d in (0..5000)
                .chain((0..bits).flat_map(|s| (0..9).map(move |k| (1u64 << s).wrapping_add(k).wrapping_sub(4) & max)))
            {
                check(d, bits);
            }
            let mut d = 0x9e37_79b9_7f4a_7c15u64;
            for _ in 0..20_000 {
                d = d.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
                check((d >> 8) & max, bits);
                check(d % (max / 3), bits);
            }
        }
    }
}
