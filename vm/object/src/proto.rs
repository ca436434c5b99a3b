//! Whether a program's declaration of a kfunc fits the kfunc (libbpf: `bpf_core_types_are_compat`).
//!
//! The rule is lax on purpose: names and sizes of what pointers lead to do not count, only how many parameters there are and
//! of what kind each is. The verifier judges the call itself by the kfunc's own prototype.

use backstop_btf::{Btf, Kind, Type, TypeId};

/// Levels of pointers and arrays that are looked through.
const MAX_DEPTH: u32 = 32;

/// Whether two functions have compatible prototypes.
pub(crate) fn compatible(local: (&Btf, TypeId), target: (&Btf, TypeId)) -> bool {
    same_proto(local, target, MAX_DEPTH)
}

fn same_proto(local: (&Btf, TypeId), target: (&Btf, TypeId), depth: u32) -> bool {
    let (Some(a), Some(b)) = (local.0.proto(local.1), target.0.proto(target.1)) else { return false };
    let mut pairs = a.params.iter().zip(b.params);
    a.params.len() == b.params.len()
        && same((local.0, a.ret), (target.0, b.ret), depth)
        && pairs.all(|(p, q)| same((local.0, p.ty), (target.0, q.ty), depth))
}

fn same(local: (&Btf, TypeId), target: (&Btf, TypeId), depth: u32) -> bool {
    let Some(depth) = depth.checked_sub(1) else { return true };
    let (a, b) = (local.0.resolve(local.1), target.0.resolve(target.1));
    let (ka, kb) = (local.0.kind(a), target.0.kind(b));
    match (local.0.ty(a), target.0.ty(b)) {
        (Type::Ptr { to: x }, Type::Ptr { to: y }) => same((local.0, *x), (target.0, *y), depth),
        (Type::Array { elem: x, .. }, Type::Array { elem: y, .. }) => same((local.0, *x), (target.0, *y), depth),
        (Type::FuncProto { .. }, Type::FuncProto { .. }) => same_proto((local.0, a), (target.0, b), depth),
        _ => ka == kb || ka.is_any_enum() && kb.is_any_enum() || is_record(ka) && is_record(kb),
    }
}

/// A struct may be declared without its contents.
fn is_record(kind: Kind) -> bool {
    kind.is_composite() || kind == Kind::Fwd
}
