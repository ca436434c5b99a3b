//! Whether two types, perhaps of different programs, are the same in everything that machine code sees.

use std::collections::HashSet;

use crate::btf::Btf;
use crate::types::*;

/// Most comparisons of one question; beyond that the answer is no.
const MAX_STEPS: u32 = 1 << 16;
/// Most levels of recursion. Containment is limited by validation; pointers to pointers and prototypes are not.
const MAX_LEVEL: u32 = 200;

/// Whether two types have the same shape: typedefs, qualifiers and the names of integers don't count; names of structs
/// (without flavour), of members and of enumerators, offsets and sizes do. A named struct behind a pointer is compared
/// by name only, and a forward declaration stands for it.
pub fn same_shape(a: (&Btf, TypeId), b: (&Btf, TypeId)) -> bool {
    Compare { a: a.0, b: b.0, steps: MAX_STEPS, assumed: HashSet::new() }.same(a.1, b.1, false, 0)
}

/// Whether a value of type `from` may stand where `to` is asked for: the same shape, integers and enums of equal size,
/// or pointers one of which is `void *`; never a pointer to `const` where a writable one is asked for.
pub fn assignable(from: (&Btf, TypeId), to: (&Btf, TypeId)) -> bool {
    if let (Some(source), Some(dest)) = (from.0.pointee(from.1), to.0.pointee(to.1)) {
        if from.0.is_const(source) && !to.0.is_const(dest) {
            return false;
        }
        let void = from.0.resolve(source).is_void() || to.0.resolve(dest).is_void();
        return void || same_shape(from, to);
    }
    let scalar = |btf: &Btf, id| matches!(btf.resolved(id), Type::Int(_) | Type::Enum(_) | Type::Enum64(_));
    if scalar(from.0, from.1) && scalar(to.0, to.1) {
        return from.0.size_of(from.1) == to.0.size_of(to.1);
    }
    same_shape(from, to)
}

struct Compare<'a> {
    a: &'a Btf,
    b: &'a Btf,
    steps: u32,
    /// Pairs that are compared or were found equal: the question may come back to them.
    assumed: HashSet<(TypeId, TypeId, bool)>,
}

impl Compare<'_> {
    fn names(&self, a: Name, b: Name) -> bool {
        self.a.str(a) == self.b.str(b)
    }

    fn tags(&self, a: Name, b: Name) -> bool {
        crate::essential_name(self.a.str(a)) == crate::essential_name(self.b.str(b))
    }

    fn same(&mut self, a: TypeId, b: TypeId, behind: bool, level: u32) -> bool {
        if self.steps == 0 || level > MAX_LEVEL {
            return false;
        }
        self.steps -= 1;
        let (a, b) = (self.a.resolve(a), self.b.resolve(b));
        if !self.assumed.insert((a, b, behind)) {
            return true;
        }
        let (btf_a, btf_b) = (self.a, self.b);
        match (*btf_a.ty(a), *btf_b.ty(b)) {
            (Type::Void, Type::Void) => true,
            (Type::Int(x), Type::Int(y)) => {
                (x.size, x.bits, x.bit_offset, x.is_signed()) == (y.size, y.bits, y.bit_offset, y.is_signed())
            }
            (Type::Float { size: x, .. }, Type::Float { size: y, .. }) => x == y,
            (Type::Ptr { to: x }, Type::Ptr { to: y }) => self.same(x, y, true, level + 1),
            (Type::Array { elem: x, len: n, .. }, Type::Array { elem: y, len: m, .. }) => {
                n == m && self.same(x, y, false, level + 1)
            }
            (Type::Struct(x), Type::Struct(y)) | (Type::Union(x), Type::Union(y)) => {
                let named = !btf_a.str(x.name).is_empty();
                self.tags(x.name, y.name) && ((behind && named) || self.composites(&x, &y, level))
            }
            (Type::Fwd { name: x, union: u }, Type::Fwd { name: y, union: v }) => u == v && self.tags(x, y),
            (Type::Fwd { name: x, union }, other) | (other, Type::Fwd { name: x, union }) if behind => {
                let kind = if union { Kind::Union } else { Kind::Struct };
                let forward_in_a = btf_a.kind(a) == Kind::Fwd;
                let names = if forward_in_a { self.tags(x, other.name()) } else { self.tags(other.name(), x) };
                other.kind() == kind && names
            }
            (Type::Enum(x), Type::Enum(y)) | (Type::Enum64(x), Type::Enum64(y)) => self.enums(&x, &y),
            (Type::FuncProto { ret: x, params: p }, Type::FuncProto { ret: y, params: q }) => {
                let (p, q) = (p.of(&btf_a.tables.params), q.of(&btf_b.tables.params));
                p.len() == q.len()
                    && self.same(x, y, false, level + 1)
                    && p.iter().zip(q).all(|(p, q)| self.same(p.ty, q.ty, false, level + 1))
            }
            _ => false,
        }
    }

    fn composites(&mut self, x: &Composite, y: &Composite, level: u32) -> bool {
        let (xs, ys) = (x.members.of(&self.a.tables.members), y.members.of(&self.b.tables.members));
        x.size == y.size
            && xs.len() == ys.len()
            && xs.iter().zip(ys).all(|(m, n)| {
                (m.bit_offset, m.bit_size) == (n.bit_offset, n.bit_size)
                    && self.names(m.name, n.name)
                    && self.same(m.ty, n.ty, false, level + 1)
            })
    }

    fn enums(&self, x: &Enum, y: &Enum) -> bool {
        let (xs, ys) = (x.values.of(&self.a.tables.enumerators), y.values.of(&self.b.tables.enumerators));
        (x.size, x.signed, xs.len()) == (y.size, y.signed, ys.len())
            && self.tags(x.name, y.name)
            && xs.iter().zip(ys).all(|(v, w)| v.value == w.value && self.names(v.name, w.name))
    }
}
