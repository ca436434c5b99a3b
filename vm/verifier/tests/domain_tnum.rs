//! Tristate numbers, exhaustively at five bits: sound, and how loose against the best abstraction.

use backstop_verifier::domain::Tnum;
use std::fmt::Write;

const BITS: u32 = 5;

/// Every tristate number of `BITS` bits.
fn all() -> Vec<Tnum> {
    let numbers = 0..1u64 << BITS;
    numbers
        .clone()
        .flat_map(|mask| numbers.clone().filter(move |v| v & mask == 0).map(move |v| Tnum::new(v, mask)))
        .collect()
}

fn members(t: Tnum) -> impl Iterator<Item = u64> + Clone {
    let mut next = Some(0u64);
    std::iter::from_fn(move || {
        let subset = next?;
        next = if subset == t.mask { None } else { Some((subset | !t.mask).wrapping_add(1) & t.mask) };
        Some(t.value | subset)
    })
}

/// The tightest tristate number over a set, which is not empty.
fn best(set: impl Iterator<Item = u64>) -> Tnum {
    set.map(Tnum::constant).reduce(Tnum::union).expect("a tristate number has members")
}

/// How often an operation is not the best, and by how many bits in all.
#[derive(Default)]
struct Looseness {
    cases: u32,
    loose: u32,
    bits: u32,
}

impl Looseness {
    fn compare(&mut self, got: Tnum, best: Tnum, what: impl FnOnce() -> String) {
        assert_eq!(got.value & got.mask, 0, "{} = {got} is no tristate number", what());
        assert!(got.includes(best), "{} = {got} misses members of {best}", what());
        self.cases += 1;
        if got != best {
            self.loose += 1;
            self.bits += (got.mask & !best.mask).count_ones();
        }
    }
}

type Abstract2 = fn(Tnum, Tnum) -> Tnum;
type Concrete2 = fn(u64, u64) -> u64;

const BINARY: [(&str, Abstract2, Concrete2); 6] = [
    ("add", Tnum::add, u64::wrapping_add),
    ("sub", Tnum::sub, u64::wrapping_sub),
    ("mul", Tnum::mul, u64::wrapping_mul),
    ("and", Tnum::and, |a, b| a & b),
    ("or", Tnum::or, |a, b| a | b),
    ("xor", Tnum::xor, |a, b| a ^ b),
];

/// Operations at the bottom of the word, and at its top, where results wrap.
const PLACES: [(&str, u32); 2] = [("low", 0), ("top", 64 - BITS)];

const GOLDEN: &str = "\
add low: 59049 cases, 0 loose by 0 bits
add top: 59049 cases, 0 loose by 0 bits
sub low: 59049 cases, 0 loose by 0 bits
sub top: 59049 cases, 0 loose by 0 bits
mul low: 59049 cases, 8491 loose by 13243 bits
mul top: 59049 cases, 3075 loose by 3502 bits
and low: 59049 cases, 0 loose by 0 bits
and top: 59049 cases, 0 loose by 0 bits
or low: 59049 cases, 0 loose by 0 bits
or top: 59049 cases, 0 loose by 0 bits
xor low: 59049 cases, 0 loose by 0 bits
xor top: 59049 cases, 0 loose by 0 bits
";

#[test]
fn binary_operations() {
    let mut table = String::new();
    for (name, op, concrete) in BINARY {
        for (place, shift) in PLACES {
            let mut sum = Looseness::default();
            for a in all() {
                // Only one factor moves up: the product of two high ones is 0.
                let a = a.lshift(shift);
                for b in all() {
                    let b = if name == "mul" { b } else { b.lshift(shift) };
                    let results = members(a).flat_map(|x| members(b).map(move |y| concrete(x, y)));
                    sum.compare(op(a, b), best(results), || format!("{name} {a} {b}"));
                }
            }
            let _ = writeln!(table, "{name} {place}: {} cases, {} loose by {} bits", sum.cases, sum.loose, sum.bits);
        }
    }
    print!("{table}");
    assert_eq!(table, GOLDEN);
}

#[test]
fn unary_operations_are_exact() {
    for place in [0, 13, 29, 59] {
        for t in all() {
            let t = t.lshift(place);
            let exact = |name: &str, got: Tnum, concrete: &dyn Fn(u64) -> u64| {
                assert_eq!(got, best(members(t).map(concrete)), "{name} of {t}");
            };
            exact("neg", t.neg(), &u64::wrapping_neg);
            exact("subreg", t.subreg(), &|x| x & 0xffff_ffff);
            exact("clear_subreg", t.clear_subreg(), &|x| x >> 32 << 32);
            exact("const_subreg", t.const_subreg(77), &|x| (x >> 32 << 32) | 77);
            for bytes in [1, 2, 4, 8] {
                exact("cast", t.cast(bytes), &|x| x << (64 - 8 * bytes) >> (64 - 8 * bytes));
                exact("sign_cast", t.sign_cast(bytes), &|x| {
                    ((x << (64 - 8 * bytes)) as i64 >> (64 - 8 * bytes)) as u64
                });
            }
            for bytes in [2, 4, 8] {
                exact("bswap", t.bswap(bytes), &|x| x.swap_bytes() >> (64 - 8 * bytes));
            }
            for shift in [0, 1, 7, 31] {
                exact("lshift", t.lshift(shift), &|x| x << shift);
                exact("rshift", t.rshift(shift), &|x| x >> shift);
                exact("arshift", t.arshift(shift), &|x| (x as i64 >> shift) as u64);
                exact("arshift32", t.arshift32(shift), &|x| u64::from((x as i32 >> shift) as u32));
            }
        }
    }
}

#[test]
fn relations_agree_with_the_members() {
    for a in all() {
        let constant = (members(a).count() == 1).then_some(a.value);
        assert_eq!(a.is_const(), constant);
        for size in [1, 2, 4, 8, 16, 32] {
            assert_eq!(a.is_aligned(size), members(a).all(|x| x % size == 0), "{a} aligned to {size}");
        }
        for x in 0..1u64 << BITS {
            assert_eq!(a.contains(x), members(a).any(|m| m == x), "{x} in {a}");
            let next = members(a).filter(|m| *m > x).min().unwrap_or(a.umax());
            assert_eq!(a.next_above(x), next, "the member of {a} above {x}");
        }
        for b in all() {
            assert_eq!(a.includes(b), members(b).all(|x| a.contains(x)), "{b} in {a}");
            let common = members(a).filter(|x| b.contains(*x));
            assert_eq!(a.overlaps(b), common.clone().next().is_some(), "{a} meets {b}");
            if a.overlaps(b) {
                assert_eq!(a.intersect(b), best(common), "{a} and {b}");
            }
            assert_eq!(a.union(b), best(members(a).chain(members(b))), "{a} or {b}");
            let joined: Vec<u64> = members(a).flat_map(|x| members(b).map(move |y| (x << 32) | y)).collect();
            assert_eq!(a.lshift(32).with_subreg(b), best(joined.into_iter()), "{a} over {b}");
        }
    }
}

#[test]
fn ranges_are_covered_tightly() {
    for min in 0..64u64 {
        for max in min..64 {
            for base in [0, 0xffff_ffe0, u64::MAX - 63] {
                let (low, high) = (base + min, base + max);
                let got = Tnum::range(low, high);
                // The rule is common leading bits: loose within, exact in the leading ones.
                assert!((low..=high).all(|x| got.contains(x)), "{low:#x}..={high:#x} in {got}");
                let leading = (low ^ high).leading_zeros();
                assert_eq!(got.mask.leading_zeros(), leading, "{low:#x}..={high:#x} as {got}");
            }
        }
    }
    assert_eq!(Tnum::range(0, u64::MAX), Tnum::UNKNOWN);
    assert!(Tnum::UNKNOWN.is_unknown() && !Tnum::range(0, u64::MAX >> 1).is_unknown());
}
