//! Soundness on random 64-bit operands: a number, an abstract value around it, and what every operation makes of both.
//!
//! The seed is printed; `BACKSTOP_SEED=n` repeats a run.

#[path = "domain_support/edges.rs"]
mod edges;
#[path = "domain_support/mod.rs"]
mod support;

use backstop_isa::{ByteOrder, Size, Width};
use backstop_verifier::domain::{self as domain, Precision, Scalar, Tnum, concrete, refine, sign_fork};
use edges::EDGES;
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use support::{ALU_OPS, CMP_OPS, WIDTHS};

const CASES: u32 = 4_000;

fn runner() -> TestRunner {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(1, |d| d.as_nanos() as u64);
    let seed = std::env::var("BACKSTOP_SEED").ok().and_then(|s| s.parse().ok()).unwrap_or(now);
    println!("BACKSTOP_SEED={seed}");
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let config = Config { cases: CASES, failure_persistence: None, ..Config::default() };
    TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &bytes))
}

/// Numbers of every length, and those near the edges.
fn number() -> impl Strategy<Value = u64> {
    prop_oneof![
        any::<u64>(),
        (any::<u64>(), 0u32..64).prop_map(|(x, shift)| x >> shift),
        (any::<u64>(), 0u32..64).prop_map(|(x, shift)| !(x >> shift)),
        (prop::sample::select(EDGES.to_vec()), 0u64..9).prop_map(|(edge, i)| edge.wrapping_add(i).wrapping_sub(4)),
    ]
}

/// What is claimed of a number: views that hold it, each present or not.
fn around(x: u64) -> impl Strategy<Value = Scalar> {
    let view = || prop::option::of((number(), number()));
    (prop::option::of(number()), view(), view(), view(), view()).prop_map(move |(mask, u, s, u32_, s32)| {
        let mut a = Scalar::unknown();
        if let Some(mask) = mask {
            a.tnum = Tnum::new(x, mask);
        }
        if let Some((down, up)) = u {
            (a.umin, a.umax) = (x.saturating_sub(down), x.saturating_add(up));
        }
        if let Some((down, up)) = s {
            (a.smin, a.smax) = ((x as i64).saturating_sub_unsigned(down), (x as i64).saturating_add_unsigned(up));
        }
        if let Some((down, up)) = u32_ {
            (a.u32_min, a.u32_max) = ((x as u32).saturating_sub(down as u32), (x as u32).saturating_add(up as u32));
        }
        if let Some((down, up)) = s32 {
            let low = x as i32;
            (a.s32_min, a.s32_max) = (low.saturating_sub_unsigned(down as u32), low.saturating_add_unsigned(up as u32));
        }
        a
    })
}

/// A number and a consistent abstract value that holds it: unknown, constant or anything between.
fn operand() -> impl Strategy<Value = (u64, Scalar)> {
    number().prop_flat_map(|x| {
        prop_oneof![
            1 => Just((x, Scalar::constant(x))),
            1 => Just((x, Scalar::unknown())),
            6 => around(x).prop_map(move |mut a| {
                a.sync();
                (x, a)
            }),
        ]
    })
}

macro_rules! holds {
    ($s:expr, $x:expr, $($what:tt)*) => {{
        let (s, x): (Scalar, u64) = ($s, $x);
        prop_assert!(s.contains(x) && !s.is_contradiction(), "{}: {x:#x} not in {s}", format!($($what)*));
    }};
}

#[test]
fn deduction_keeps_every_member() {
    let strategy = number().prop_flat_map(|x| (Just(x), around(x)));
    let done = runner().run(&strategy, |(x, raw)| {
        let mut synced = raw;
        prop_assert!(!synced.sync(), "{raw:?} holds {x:#x} and was called empty");
        holds!(synced, x, "sync of {raw:?}");
        let mut fully = raw;
        prop_assert!(!fully.sync_fully());
        holds!(fully, x, "full sync of {raw:?}");
        prop_assert!(
            fully.is_subset_of(&raw) && fully.is_subset_of(&synced),
            "{fully:?} is beyond {raw:?} or {synced:?}"
        );
        Ok(())
    });
    done.unwrap_or_else(|e| panic!("{e}"));
}

#[test]
fn arithmetic_is_sound() {
    let done = runner().run(&(operand(), operand()), |((x, a), (y, b))| {
        for op in ALU_OPS {
            for width in WIDTHS {
                let z = concrete::alu(op, width, x, y);
                let plain = domain::alu(op, width, &a, &b, Precision::Linux);
                let tight = domain::alu(op, width, &a, &b, Precision::Sharper);
                holds!(plain, z, "{op:?} {width:?} of {a} and {b}");
                holds!(tight, z, "sharper {op:?} {width:?} of {a} and {b}");
                prop_assert!(tight.is_subset_of(&plain), "{op:?} {width:?} of {a} and {b}: {tight} beyond {plain}");
                if let Some((ones, zeros)) = sign_fork(op, &a, &b) {
                    prop_assert!(ones.contains(x) || zeros.contains(x), "fork of {a} loses {x:#x}");
                }
            }
        }
        Ok(())
    });
    done.unwrap_or_else(|e| panic!("{e}"));
}

#[test]
fn moves_and_extensions_are_sound() {
    let done = runner().run(&operand(), |(x, a)| {
        holds!(domain::mov32(&a), x & 0xffff_ffff, "mov32 of {a}");
        for width in WIDTHS {
            holds!(domain::neg(width, &a, Precision::Linux), concrete::neg(width, x), "neg {width:?} of {a}");
            holds!(domain::neg(width, &a, Precision::Sharper), concrete::neg(width, x), "neg {width:?} of {a}");
            for from in [Size::B1, Size::B2, Size::B4] {
                let extended = concrete::movsx(width, from, x);
                let plain = domain::movsx(width, from, &a, Precision::Linux);
                let tight = domain::movsx(width, from, &a, Precision::Sharper);
                holds!(plain, extended, "movsx {width:?} {from:?} of {a}");
                holds!(tight, extended, "sharper movsx {width:?} {from:?} of {a}");
                prop_assert!(tight.is_subset_of(&plain), "movsx {width:?} {from:?} of {a}: {tight} beyond {plain}");
            }
        }
        for size in [Size::B1, Size::B2, Size::B4, Size::B8] {
            let zero = concrete::byte_order(ByteOrder::Le, size, x);
            let signed = concrete::movsx(Width::W64, size, x);
            holds!(domain::zero_extend_load(size.bytes(), &a), zero, "load {size:?} of {a}");
            holds!(domain::sign_extend_load(size.bytes(), &a), signed, "signed load {size:?} of {a}");
            holds!(Scalar::from_size(size.bytes()), zero, "unknown load {size:?}");
            holds!(Scalar::from_signed_size(size.bytes()), signed, "unknown signed load {size:?}");
            for order in [ByteOrder::Le, ByteOrder::Be, ByteOrder::Swap] {
                if size != Size::B1 {
                    let swapped = concrete::byte_order(order, size, x);
                    holds!(domain::byte_order(order, size, &a), swapped, "{order:?} {size:?} of {a}");
                }
            }
        }
        Ok(())
    });
    done.unwrap_or_else(|e| panic!("{e}"));
}

#[test]
fn refinement_is_sound() {
    // Half of the time the same number on both sides, so that equality is met.
    let pair = (operand(), operand(), any::<bool>()).prop_flat_map(|(a, b, same)| {
        let other = if same {
            around(a.0)
                .prop_map(move |mut s| {
                    s.sync();
                    (a.0, s)
                })
                .boxed()
        } else {
            Just(b).boxed()
        };
        (Just(a), other)
    });
    let done = runner().run(&pair, |((x, a), (y, b))| {
        for op in CMP_OPS {
            for width in WIDTHS {
                let holds = concrete::compare(op, width, x, y);
                for precision in [Precision::Linux, Precision::Sharper] {
                    let ways = refine(op, width, &a, &b, precision);
                    let way = if holds { ways.taken } else { ways.not_taken };
                    let Some((s, t)) = way else {
                        return Err(TestCaseError::fail(format!(
                            "{op:?} {width:?} of {a} and {b}: lost {x:#x}, {y:#x}"
                        )));
                    };
                    holds!(s, x, "{op:?} {width:?} {holds} of {a} and {b}, first");
                    holds!(t, y, "{op:?} {width:?} {holds} of {a} and {b}, second");
                }
            }
        }
        Ok(())
    });
    done.unwrap_or_else(|e| panic!("{e}"));
}
