//! Branches: which way a compare can go, and what each way teaches of both operands.

use super::Precision;
use super::range::Range;
use super::scalar::Scalar;
use super::tnum::Tnum;
use backstop_isa::{CmpOp, Width};

/// What is known of the two operands after a branch.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Branches {
    /// Where the condition holds; `None` if it can't.
    pub taken: Option<(Scalar, Scalar)>,
    /// Where it does not hold; `None` if it must.
    pub not_taken: Option<(Scalar, Scalar)>,
}

/// A condition in the form that refinement works on: `a` and `b` may have changed places.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fact {
    Eq,
    Ne,
    /// `a & b != 0`
    Set,
    /// `a & b == 0`
    Clear,
    Lt,
    Le,
    Slt,
    Sle,
}

/// The fact that holds where the branch is taken (`holds`) or not, and whether the operands change places.
fn fact(op: CmpOp, holds: bool) -> (Fact, bool) {
    match (op, holds) {
        (CmpOp::Eq, true) | (CmpOp::Ne, false) => (Fact::Eq, false),
        (CmpOp::Ne, true) | (CmpOp::Eq, false) => (Fact::Ne, false),
        (CmpOp::Set, true) => (Fact::Set, false),
        (CmpOp::Set, false) => (Fact::Clear, false),
        (CmpOp::Lt, true) | (CmpOp::Ge, false) => (Fact::Lt, false),
        (CmpOp::Le, true) | (CmpOp::Gt, false) => (Fact::Le, false),
        (CmpOp::Gt, true) | (CmpOp::Le, false) => (Fact::Lt, true),
        (CmpOp::Ge, true) | (CmpOp::Lt, false) => (Fact::Le, true),
        (CmpOp::Slt, true) | (CmpOp::Sge, false) => (Fact::Slt, false),
        (CmpOp::Sle, true) | (CmpOp::Sgt, false) => (Fact::Sle, false),
        (CmpOp::Sgt, true) | (CmpOp::Sle, false) => (Fact::Slt, true),
        (CmpOp::Sge, true) | (CmpOp::Slt, false) => (Fact::Sle, true),
    }
}

/// The views of one width, 32-bit ones widened, so that the decision is written once.
struct View {
    bits: Tnum,
    unsigned: Range<u64>,
    signed: Range<i64>,
}

impl View {
    fn of(width: Width, s: &Scalar) -> View {
        match width {
            Width::W64 => View { bits: s.tnum, unsigned: s.u64_range(), signed: s.s64_range() },
            Width::W32 => View {
                bits: s.tnum.subreg(),
                unsigned: Range::new(s.u32_min.into(), s.u32_max.into()),
                signed: Range::new(s.s32_min.into(), s.s32_max.into()),
            },
        }
    }
}

/// Whether `a op b` always holds (`Some(true)`), never (`Some(false)`), or may go either way.
pub fn always(op: CmpOp, width: Width, a: &Scalar, b: &Scalar) -> Option<bool> {
    let (x, y) = (View::of(width, a), View::of(width, b));
    match op {
        CmpOp::Eq => equal(width, a, b, &x, &y),
        CmpOp::Ne => equal(width, a, b, &x, &y).map(|equal| !equal),
        CmpOp::Set => intersects(x.bits, y.bits),
        CmpOp::Gt => less(y.unsigned, x.unsigned),
        CmpOp::Lt => less(x.unsigned, y.unsigned),
        CmpOp::Ge => less(x.unsigned, y.unsigned).map(|less| !less),
        CmpOp::Le => less(y.unsigned, x.unsigned).map(|less| !less),
        CmpOp::Sgt => less(y.signed, x.signed),
        CmpOp::Slt => less(x.signed, y.signed),
        CmpOp::Sge => less(x.signed, y.signed).map(|less| !less),
        CmpOp::Sle => less(y.signed, x.signed).map(|less| !less),
    }
}

fn less<T: super::range::Bound>(a: Range<T>, b: Range<T>) -> Option<bool> {
    if a.max < b.min {
        Some(true)
    } else if a.min >= b.max {
        Some(false)
    } else {
        None
    }
}

fn equal(width: Width, a: &Scalar, b: &Scalar, x: &View, y: &View) -> Option<bool> {
    if let (Some(v), Some(w)) = (x.bits.is_const(), y.bits.is_const()) {
        return Some(v == w);
    }
    let low_halves_differ =
        width == Width::W64 && (a.u32_range().misses(b.u32_range()) || a.s32_range().misses(b.s32_range()));
    let differ =
        !x.bits.overlaps(y.bits) || x.unsigned.misses(y.unsigned) || x.signed.misses(y.signed) || low_halves_differ;
    if differ { Some(false) } else { None }
}

/// Whether `a & b != 0`; decided only if one of the two is known.
fn intersects(a: Tnum, b: Tnum) -> Option<bool> {
    let (bits, known) = match (a.is_const(), b.is_const()) {
        (_, Some(known)) => (a, known),
        (Some(known), None) => (b, known),
        (None, None) => return None,
    };
    if bits.value & known != 0 {
        Some(true)
    } else if bits.umax() & known == 0 {
        Some(false)
    } else {
        None
    }
}

/// [`always`] for a register compared with itself.
pub fn always_same(op: CmpOp, width: Width, a: &Scalar) -> Option<bool> {
    match op {
        CmpOp::Eq | CmpOp::Ge | CmpOp::Le | CmpOp::Sge | CmpOp::Sle => Some(true),
        CmpOp::Ne | CmpOp::Gt | CmpOp::Lt | CmpOp::Sgt | CmpOp::Slt => Some(false),
        CmpOp::Set => {
            let view = View::of(width, a);
            match view.bits.is_const() {
                Some(v) => Some(v != 0),
                None if view.bits.contains(0) && view.signed.contains(0) => None,
                None => Some(true),
            }
        }
    }
}

/// What both ways of `if a op b` leave of the operands. A way that [`always`] excludes is `None`, and then the other
/// leaves them as they are, as in Linux. A contradiction found only by refining is `None` if sharper; Linux walks the dead
/// branch with the ranges forgotten.
pub fn refine(op: CmpOp, width: Width, a: &Scalar, b: &Scalar, precision: Precision) -> Branches {
    match always(op, width, a, b) {
        Some(true) => Branches { taken: Some((*a, *b)), not_taken: None },
        Some(false) => Branches { taken: None, not_taken: Some((*a, *b)) },
        None => Branches {
            taken: assume(op, true, width, a, b, precision),
            not_taken: assume(op, false, width, a, b, precision),
        },
    }
}

/// [`refine`] for a register compared with itself; both scalars of a way are the same. Linux 6.18 does not see that they
/// are one: it decides as for two registers, and refines the one register as both operands.
pub fn refine_same(op: CmpOp, width: Width, a: &Scalar, precision: Precision) -> Branches {
    if op == CmpOp::Set && precision == Precision::Sharper {
        let zero = refine(CmpOp::Ne, width, a, &Scalar::constant(0), precision);
        let twice = |way: Option<(Scalar, Scalar)>| way.map(|(x, _)| (x, x));
        return Branches { taken: twice(zero.taken), not_taken: twice(zero.not_taken) };
    }
    let decided = match precision {
        Precision::Linux => always(op, width, a, a),
        Precision::Sharper => always_same(op, width, a),
    };
    let way = |holds: bool| {
        if decided == Some(!holds) {
            return None;
        }
        let refined = match precision {
            Precision::Linux if decided.is_none() => assume_same(op, holds, width, a),
            _ => *a,
        };
        Some((refined, refined))
    };
    Branches { taken: way(true), not_taken: way(false) }
}

fn assume_same(op: CmpOp, holds: bool, width: Width, a: &Scalar) -> Scalar {
    let (fact, _) = fact(op, holds);
    let (mut x, mut y) = (*a, *a);
    apply(fact, width, &mut x, &mut y, Precision::Linux);
    x.clip_u64(y.u64_range());
    x.clip_s64(y.s64_range());
    x.clip_u32(y.u32_range());
    x.clip_s32(y.s32_range());
    // Once as the first operand, once as the second.
    x.sync();
    x.settle()
}

fn assume(
    op: CmpOp,
    holds: bool,
    width: Width,
    a: &Scalar,
    b: &Scalar,
    precision: Precision,
) -> Option<(Scalar, Scalar)> {
    let (fact, swapped) = fact(op, holds);
    let (mut x, mut y) = if swapped { (*b, *a) } else { (*a, *b) };
    apply(fact, width, &mut x, &mut y, precision);
    let (x, y) = match precision {
        Precision::Linux => (x.settle(), y.settle()),
        Precision::Sharper => {
            if x.sync_fully() | y.sync_fully() {
                return None;
            }
            (x, y)
        }
    };
    Some(if swapped { (y, x) } else { (x, y) })
}

fn apply(fact: Fact, width: Width, x: &mut Scalar, y: &mut Scalar, precision: Precision) {
    match fact {
        Fact::Eq => make_equal(width, x, y),
        Fact::Ne => with_constant(width, x, y, |s, v| make_unequal(width, s, v)),
        Fact::Set => with_constant(width, x, y, |s, v| set_bits(width, s, v)),
        Fact::Clear => with_constant(width, x, y, |s, v| clear_bits(width, s, v, precision)),
        Fact::Lt | Fact::Le => {
            let strict = fact == Fact::Lt;
            match width {
                Width::W64 => order(&mut x.umax, &mut y.umin, x.umin, y.umax, strict),
                Width::W32 => order(&mut x.u32_max, &mut y.u32_min, x.u32_min, y.u32_max, strict),
            }
        }
        Fact::Slt | Fact::Sle => {
            let strict = fact == Fact::Slt;
            match width {
                Width::W64 => order(&mut x.smax, &mut y.smin, x.smin, y.smax, strict),
                Width::W32 => order(&mut x.s32_max, &mut y.s32_min, x.s32_min, y.s32_max, strict),
            }
        }
    }
}

/// `x <= y`, or `x < y` if strict: `x` ends before `y`'s greatest, `y` begins after `x`'s least.
fn order<T: super::range::Bound>(x_max: &mut T, y_min: &mut T, x_min: T, y_max: T, strict: bool) {
    *x_max = (*x_max).min(if strict { y_max.pred() } else { y_max });
    *y_min = (*y_min).max(if strict { x_min.succ() } else { x_min });
}

fn make_equal(width: Width, x: &mut Scalar, y: &mut Scalar) {
    match width {
        Width::W64 => {
            x.clip_u64(y.u64_range());
            x.clip_s64(y.s64_range());
            y.set_u64(x.u64_range());
            y.set_s64(x.s64_range());
            x.tnum = x.tnum.intersect(y.tnum);
            y.tnum = x.tnum;
        }
        Width::W32 => {
            x.clip_u32(y.u32_range());
            x.clip_s32(y.s32_range());
            y.set_u32(x.u32_range());
            y.set_s32(x.s32_range());
            let low = x.tnum.subreg().intersect(y.tnum.subreg());
            x.tnum = x.tnum.with_subreg(low);
            y.tnum = y.tnum.with_subreg(low);
        }
    }
}

/// Applies `change` to one operand with the value of the other, if that is known (the second is asked first).
fn with_constant(width: Width, x: &mut Scalar, y: &mut Scalar, change: impl Fn(&mut Scalar, u64)) {
    let known = |s: &Scalar| match width {
        Width::W64 => s.is_const(),
        Width::W32 => s.is_const32().map(u64::from),
    };
    if let Some(v) = known(y) {
        change(x, v);
    } else if let Some(v) = known(x) {
        change(y, v);
    }
}

fn make_unequal(width: Width, s: &mut Scalar, v: u64) {
    match width {
        Width::W64 => {
            s.set_u64(s.u64_range().trim(v));
            s.set_s64(s.s64_range().trim(v as i64));
        }
        Width::W32 => {
            s.set_u32(s.u32_range().trim(v as u32));
            s.set_s32(s.s32_range().trim(v as i32));
        }
    }
}

/// `s & v != 0` says which bit is set only if `v` has just one.
fn set_bits(width: Width, s: &mut Scalar, v: u64) {
    if v.is_power_of_two() {
        s.tnum = match width {
            Width::W64 => s.tnum.or(Tnum::constant(v)),
            Width::W32 => s.tnum.with_subreg(s.tnum.subreg().or(Tnum::constant(v))),
        };
    }
}

/// `s & v == 0`. Linux forgets the ranges here and rebuilds them from the bits.
fn clear_bits(width: Width, s: &mut Scalar, v: u64, precision: Precision) {
    let bits = match width {
        Width::W64 => s.tnum.and(Tnum::constant(!v)),
        Width::W32 => s.tnum.with_subreg(s.tnum.subreg().and(Tnum::constant(!v))),
    };
    match precision {
        Precision::Linux => *s = Scalar::unbounded(bits),
        Precision::Sharper => s.tnum = bits,
    }
}
