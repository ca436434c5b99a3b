//! Every operation on small abstract values near the edges of the ranges: all members of the operands are tried, so
//! soundness is certain there, and the looseness against the best abstraction is counted.

#[path = "domain_support/edges.rs"]
mod edges;
#[path = "domain_support/mod.rs"]
mod support;

use backstop_isa::{AluOp, ByteOrder, CmpOp, Size, Width};
use backstop_verifier::domain::{
    self as domain, Branches, Precision, Scalar, Tnum, always, always_same, concrete, refine, refine_same, sign_fork,
};
use edges::EDGES;
use std::fmt::Write;
use support::{ALU_OPS, CMP_OPS, WIDTHS};

/// The members, of which there are few: by the bits that may vary or by the range, whichever is smaller.
fn members(s: &Scalar) -> Vec<u64> {
    let span = s.umax.wrapping_sub(s.umin).min(s.smax.wrapping_sub(s.smin) as u64);
    if span <= 1 << 12 {
        let start = if s.umax.wrapping_sub(s.umin) == span { s.umin } else { s.smin as u64 };
        return (0..=span).map(|i| start.wrapping_add(i)).filter(|x| s.contains(*x)).collect();
    }
    assert!(s.tnum.mask.count_ones() <= 12, "too many members to list: {s}");
    let mut all = Vec::new();
    let mut subset = 0u64;
    loop {
        all.push(s.tnum.value | subset);
        if subset == s.tnum.mask {
            break;
        }
        subset = (subset | !s.tnum.mask).wrapping_add(1) & s.tnum.mask;
    }
    all.retain(|x| s.contains(*x));
    all
}

/// The tightest scalar over a set, if it is not empty: each view for itself.
fn best(set: &[u64]) -> Option<Scalar> {
    let mut views = set.iter().map(|x| Scalar::constant(*x));
    let mut all = views.next()?;
    for one in views {
        all.tnum = all.tnum.union(one.tnum);
        all.umin = all.umin.min(one.umin);
        all.umax = all.umax.max(one.umax);
        all.smin = all.smin.min(one.smin);
        all.smax = all.smax.max(one.smax);
        all.u32_min = all.u32_min.min(one.u32_min);
        all.u32_max = all.u32_max.max(one.u32_max);
        all.s32_min = all.s32_min.min(one.s32_min);
        all.s32_max = all.s32_max.max(one.s32_max);
    }
    Some(all)
}

/// Constants, short ranges over and beside every edge, and numbers with a few unknown bits.
fn samples() -> Vec<Scalar> {
    let mut all = Vec::new();
    for edge in EDGES {
        for (before, after) in [(0, 0), (1, 0), (2, 1), (0, 5), (9, 2)] {
            all.push(range_around(edge, before, after));
        }
        all.push(Scalar::from_tnum(Tnum::new(edge | 1, 6)));
        all.push(Scalar::from_tnum(Tnum::new(edge, (1 << 63) | (1 << 31) | 1)));
    }
    all.push(range_around(63, 33, 1));
    all.push(range_around(7, 0, 0));
    all.push(range_around(u64::MAX - 6, 0, 0));
    all
}

/// From `before` under the edge to `after` over it; a range through 0 is a signed one.
fn range_around(edge: u64, before: u64, after: u64) -> Scalar {
    let (min, max) = (edge.wrapping_sub(before), edge.wrapping_add(after));
    if min <= max { Scalar::range(min, max) } else { Scalar::signed_range(min as i64, max as i64) }
}

/// Results that are the best there are, of all.
#[derive(Default, Clone, Copy)]
struct Count {
    exact: u32,
    all: u32,
}

impl Count {
    fn add(&mut self, got: &Scalar, set: &[u64]) {
        self.all += 1;
        self.exact += u32::from(best(set) == Some(*got));
    }
}

fn check(got: &Scalar, set: &[u64], what: impl Fn() -> String) {
    for x in set {
        assert!(got.contains(*x), "{}: {x:#x} is not in {got}", what());
    }
    assert!(!got.is_contradiction(), "{}: {got} contradicts itself", what());
}

const ALU_GOLDEN: &str = "\
operation: exact results of all, as Linux and sharper
Add W32: 2249 and 2249 of 3481
Add W64: 2974 and 2974 of 3481
Sub W32: 2545 and 2545 of 3481
Sub W64: 3100 and 3100 of 3481
Mul W32: 1973 and 1973 of 3481
Mul W64: 815 and 815 of 3481
Div W32: 0 and 2449 of 3481
Div W64: 0 and 2653 of 3481
Sdiv W32: 0 and 1457 of 3481
Sdiv W64: 12 and 2139 of 3481
Mod W32: 0 and 1740 of 3481
Mod W64: 0 and 1520 of 3481
Smod W32: 0 and 2135 of 3481
Smod W64: 12 and 803 of 3481
Or W32: 2135 and 2135 of 3481
Or W64: 1847 and 1847 of 3481
And W32: 2919 and 2919 of 3481
And W64: 2587 and 2587 of 3481
Xor W32: 1253 and 1253 of 3481
Xor W64: 1157 and 1157 of 3481
Lsh W32: 66 and 1353 of 3481
Lsh W64: 87 and 1331 of 3481
Rsh W32: 106 and 2273 of 3481
Rsh W64: 112 and 2050 of 3481
Arsh W32: 94 and 2953 of 3481
Arsh W64: 115 and 2432 of 3481
";

#[test]
fn arithmetic() {
    let samples: Vec<(Scalar, Vec<u64>)> = samples().into_iter().map(|s| (s, members(&s))).collect();
    let mut table = String::from("operation: exact results of all, as Linux and sharper\n");
    for op in ALU_OPS {
        for width in WIDTHS {
            let (mut linux, mut sharper) = (Count::default(), Count::default());
            for (a, xs) in &samples {
                for (b, ys) in &samples {
                    let set: Vec<u64> =
                        xs.iter().flat_map(|x| ys.iter().map(|y| concrete::alu(op, width, *x, *y))).collect();
                    let what = || format!("{op:?} {width:?} of {a} and {b}");
                    let plain = domain::alu(op, width, a, b, Precision::Linux);
                    let tight = domain::alu(op, width, a, b, Precision::Sharper);
                    check(&plain, &set, what);
                    check(&tight, &set, what);
                    assert!(tight.is_subset_of(&plain), "{}: {tight} is looser than {plain}", what());
                    linux.add(&plain, &set);
                    sharper.add(&tight, &set);
                }
            }
            let name = format!("{op:?} {width:?}");
            let _ = writeln!(table, "{name}: {} and {} of {}", linux.exact, sharper.exact, linux.all);
        }
    }
    print!("{table}");
    assert_eq!(table, ALU_GOLDEN);
}

type Unary<'a> = (&'a str, &'a dyn Fn(&Scalar) -> Scalar, &'a dyn Fn(u64) -> u64);

fn unary(name: &str, op: &dyn Fn(&Scalar) -> Scalar, concrete: &dyn Fn(u64) -> u64) -> String {
    let mut count = Count::default();
    for s in samples() {
        let set: Vec<u64> = members(&s).into_iter().map(concrete).collect();
        let got = op(&s);
        check(&got, &set, || format!("{name} of {s}"));
        count.add(&got, &set);
    }
    format!("{name}: {} of {}\n", count.exact, count.all)
}

const UNARY_GOLDEN: &str = "\
mov32: 59 of 59
neg W32: 59 of 59
neg W64: 59 of 59
movsx W32 B1 Linux: 19 of 59
movsx W32 B1 Sharper: 47 of 59
movsx W32 B2 Linux: 19 of 59
movsx W32 B2 Sharper: 47 of 59
movsx W64 B1 Linux: 19 of 59
movsx W64 B1 Sharper: 47 of 59
movsx W64 B2 Linux: 19 of 59
movsx W64 B2 Sharper: 47 of 59
movsx W64 B4 Linux: 19 of 59
movsx W64 B4 Sharper: 47 of 59
load B1: 59 of 59
signed load B1: 19 of 59
load B2: 59 of 59
signed load B2: 19 of 59
load B4: 59 of 59
signed load B4: 19 of 59
load B8: 59 of 59
signed load B8: 59 of 59
Le B2: 59 of 59
Le B4: 59 of 59
Le B8: 59 of 59
Be B2: 50 of 59
Be B4: 26 of 59
Be B8: 26 of 59
Swap B2: 50 of 59
Swap B4: 26 of 59
Swap B8: 26 of 59
";

#[test]
fn moves_extensions_and_byte_orders() {
    let mut table = String::new();
    let simple: [Unary<'_>; 3] = [
        ("mov32", &domain::mov32, &|x| x & 0xffff_ffff),
        ("neg W32", &|s| domain::neg(Width::W32, s, Precision::Linux), &|x| concrete::neg(Width::W32, x)),
        ("neg W64", &|s| domain::neg(Width::W64, s, Precision::Linux), &|x| concrete::neg(Width::W64, x)),
    ];
    for (name, op, concrete) in simple {
        table += &unary(name, op, concrete);
    }
    for (width, from) in [
        (Width::W32, Size::B1),
        (Width::W32, Size::B2),
        (Width::W64, Size::B1),
        (Width::W64, Size::B2),
        (Width::W64, Size::B4),
    ] {
        for precision in [Precision::Linux, Precision::Sharper] {
            let name = format!("movsx {width:?} {from:?} {precision:?}");
            table += &unary(&name, &|s| domain::movsx(width, from, s, precision), &|x| concrete::movsx(width, from, x));
        }
    }
    for size in [Size::B1, Size::B2, Size::B4, Size::B8] {
        let (bytes, spare) = (size.bytes(), 64 - size.bits());
        table += &unary(&format!("load {size:?}"), &|s| domain::zero_extend_load(bytes, s), &|x| x << spare >> spare);
        table += &unary(&format!("signed load {size:?}"), &|s| domain::sign_extend_load(bytes, s), &|x| {
            ((x << spare) as i64 >> spare) as u64
        });
    }
    for order in [ByteOrder::Le, ByteOrder::Be, ByteOrder::Swap] {
        for size in [Size::B2, Size::B4, Size::B8] {
            let name = format!("{order:?} {size:?}");
            table += &unary(&name, &|s| domain::byte_order(order, size, s), &|x| concrete::byte_order(order, size, x));
        }
    }
    print!("{table}");
    assert_eq!(table, UNARY_GOLDEN);
}

/// Pairs of members by the way they go.
struct Ways {
    taken: Vec<(u64, u64)>,
    not_taken: Vec<(u64, u64)>,
}

fn ways(op: CmpOp, width: Width, xs: &[u64], ys: &[u64]) -> Ways {
    let pairs = xs.iter().flat_map(|x| ys.iter().map(move |y| (*x, *y)));
    let (taken, not_taken) = pairs.partition(|(x, y)| concrete::compare(op, width, *x, *y));
    Ways { taken, not_taken }
}

/// Checks one way; says whether it is exact: absent if nothing goes there, both operands best otherwise.
fn check_way(got: Option<(Scalar, Scalar)>, pairs: &[(u64, u64)], what: &dyn Fn() -> String) -> bool {
    let Some((a, b)) = got else {
        assert!(pairs.is_empty(), "{}: held impossible, but goes with {:#x?}", what(), pairs[0]);
        return true;
    };
    let xs: Vec<u64> = pairs.iter().map(|p| p.0).collect();
    let ys: Vec<u64> = pairs.iter().map(|p| p.1).collect();
    for (s, set) in [(a, &xs), (b, &ys)] {
        for x in set {
            assert!(s.contains(*x), "{}: {x:#x} is not in {s}", what());
        }
    }
    best(&xs) == Some(a) && best(&ys) == Some(b)
}

fn check_branches(got: &Branches, ways: &Ways, what: &dyn Fn() -> String) -> u32 {
    u32::from(check_way(got.taken, &ways.taken, &|| format!("{} taken", what())))
        + u32::from(check_way(got.not_taken, &ways.not_taken, &|| format!("{} not taken", what())))
}

const REFINE_GOLDEN: &str = "\
condition: exact ways of all, as Linux and sharper
Eq W32: 6474 and 6762 of 6962
Eq W64: 6862 and 6928 of 6962
Ne W32: 6474 and 6762 of 6962
Ne W64: 6862 and 6928 of 6962
Set W32: 3060 and 3298 of 6962
Set W64: 3185 and 3423 of 6962
Gt W32: 6330 and 6330 of 6962
Gt W64: 6826 and 6826 of 6962
Ge W32: 6330 and 6330 of 6962
Ge W64: 6826 and 6826 of 6962
Lt W32: 6330 and 6330 of 6962
Lt W64: 6826 and 6826 of 6962
Le W32: 6330 and 6330 of 6962
Le W64: 6826 and 6826 of 6962
Sgt W32: 6490 and 6490 of 6962
Sgt W64: 6828 and 6828 of 6962
Sge W32: 6490 and 6490 of 6962
Sge W64: 6828 and 6828 of 6962
Slt W32: 6490 and 6490 of 6962
Slt W64: 6828 and 6828 of 6962
Sle W32: 6490 and 6490 of 6962
Sle W64: 6828 and 6828 of 6962
";

#[test]
fn branches() {
    let samples: Vec<(Scalar, Vec<u64>)> = samples().into_iter().map(|s| (s, members(&s))).collect();
    let mut table = String::from("condition: exact ways of all, as Linux and sharper\n");
    for op in CMP_OPS {
        for width in WIDTHS {
            let (mut linux, mut sharper, mut all) = (0, 0, 0);
            for (a, xs) in &samples {
                for (b, ys) in &samples {
                    let ways = ways(op, width, xs, ys);
                    let what = || format!("{op:?} {width:?} of {a} and {b}");
                    match always(op, width, a, b) {
                        Some(true) => assert!(ways.not_taken.is_empty(), "{} is not always so", what()),
                        Some(false) => assert!(ways.taken.is_empty(), "{} may be so", what()),
                        None => {}
                    }
                    linux += check_branches(&refine(op, width, a, b, Precision::Linux), &ways, &what);
                    sharper += check_branches(&refine(op, width, a, b, Precision::Sharper), &ways, &what);
                    all += 2;
                }
            }
            let _ = writeln!(table, "{op:?} {width:?}: {linux} and {sharper} of {all}");
        }
    }
    print!("{table}");
    assert_eq!(table, REFINE_GOLDEN);
}

#[test]
fn a_register_compared_with_itself() {
    for op in CMP_OPS {
        for width in WIDTHS {
            for s in samples() {
                let (taken, not_taken): (Vec<u64>, Vec<u64>) =
                    members(&s).into_iter().partition(|x| concrete::compare(op, width, *x, *x));
                let pairs = |set: Vec<u64>| set.into_iter().map(|x| (x, x)).collect();
                let ways = Ways { taken: pairs(taken), not_taken: pairs(not_taken) };
                let what = || format!("{op:?} {width:?} of {s} with itself");
                check_branches(&refine_same(op, width, &s, Precision::Linux), &ways, &what);
                check_branches(&refine_same(op, width, &s, Precision::Sharper), &ways, &what);
                match always_same(op, width, &s) {
                    Some(true) => assert!(ways.not_taken.is_empty(), "{}", what()),
                    Some(false) => assert!(ways.taken.is_empty(), "{}", what()),
                    None => assert!(!ways.taken.is_empty() || !ways.not_taken.is_empty(), "{}", what()),
                }
            }
        }
    }
}

#[test]
fn forks_cover_their_operand() {
    let mask = Scalar::constant(0x55);
    for dst in [Scalar::signed_range(-1, 0), domain::mov32(&Scalar::signed_range(-1, 0))] {
        assert_eq!(sign_fork(AluOp::Add, &dst, &mask), None);
        assert_eq!(sign_fork(AluOp::And, &dst, &dst), None);
        for op in [AluOp::And, AluOp::Or] {
            let (ones, zeros) = sign_fork(op, &dst, &mask).expect("a sign mask is forked");
            for x in [u64::MAX, 0xffff_ffff, 0] {
                assert_eq!(dst.contains(x), ones.contains(x) || zeros.contains(x), "{x:#x} of {dst}");
            }
        }
    }
    assert_eq!(sign_fork(AluOp::And, &Scalar::signed_range(-1, 1), &mask), None);
}

#[test]
fn joins_meets_and_subsets() {
    let samples: Vec<(Scalar, Vec<u64>)> = samples().into_iter().map(|s| (s, members(&s))).collect();
    for (a, xs) in &samples {
        assert!(a.is_subset_of(a) && a.is_subset_of(&Scalar::unknown()));
        assert_eq!(a.is_const(), (xs.len() == 1).then(|| xs[0]), "{a}");
        assert_eq!(a.is_nonzero(), !xs.contains(&0), "{a}");
        let widest = xs.iter().map(|x| 64 - x.leading_zeros()).max();
        assert_eq!(Some(a.width()), widest, "{a}");
        for (b, ys) in &samples {
            let join = a.join(b);
            assert!(xs.iter().chain(ys).all(|x| join.contains(*x)), "{a} or {b} = {join}");
            let common: Vec<u64> = xs.iter().copied().filter(|x| ys.contains(x)).collect();
            match a.meet(b) {
                Some(meet) => assert!(common.iter().all(|x| meet.contains(*x)), "{a} and {b} = {meet}"),
                None => assert_eq!(common, [], "{a} and {b}"),
            }
            if a.is_subset_of(b) {
                assert_eq!(common.len(), xs.len(), "{a} in {b}");
            }
        }
    }
}
