//! Whether a type of the target is what the program's type stands for, by libbpf's rules.
//!
//! `None` as a result means that the work allowed was used up.

use std::collections::HashSet;

use super::spec::{Spec, asks_enumerator};
use crate::btf::{Btf, essential_name};
use crate::ext::CoreKind;
use crate::types::*;

/// Most levels of prototypes and pointers in each other (libbpf's limit).
const MAX_LEVEL: u32 = 32;

/// Whether types of these kinds may stand for each other: equal, or enums of either width.
pub(crate) const fn kinds_compatible(a: Kind, b: Kind) -> bool {
    a as u8 == b as u8 || (a.is_any_enum() && b.is_any_enum())
}

pub(crate) struct Matcher<'a> {
    pub local: &'a Btf,
    pub target: &'a Btf,
    /// Comparisons that are still allowed.
    pub steps: u32,
}

impl Matcher<'_> {
    fn spend(&mut self) -> Option<()> {
        self.steps = self.steps.checked_sub(1)?;
        Some(())
    }

    /// The program's access spelled in the candidate `id`, if it has all that the access needs.
    pub fn spec(&mut self, local: &Spec, local_root: TypeId, id: TypeId) -> Option<Option<Spec>> {
        self.spend()?;
        let mut spec = Spec::new(id, local.kind);
        let fits = match local.kind {
            CoreKind::TypeMatches => self.matches(local_root, id, false, MAX_LEVEL)?,
            CoreKind::TypeExists | CoreKind::TypeSize | CoreKind::TypeIdTarget | CoreKind::TypeIdLocal => {
                kinds_compatible(self.local.kind(local_root), self.target.kind(id))
                    && self.compatible(local_root, id, MAX_LEVEL)?
            }
            kind if asks_enumerator(kind) => self.enumerator(local, &mut spec)?,
            _ => self.field(local, &mut spec)?,
        };
        Some(fits.then_some(spec))
    }

    fn enumerator(&mut self, local: &Spec, spec: &mut Spec) -> Option<bool> {
        let Some(name) = local.accessors.first().and_then(|a| a.name) else {
            return Some(false);
        };
        let wanted = essential_name(self.local.str(name));
        let ty = self.target.resolve(spec.root);
        for (i, e) in self.target.enumerators(ty).iter().enumerate() {
            self.spend()?;
            if essential_name(self.target.str(e.name)) == wanted {
                spec.step(ty, i as u32, Some(e.name));
                spec.raw.push(i as u32);
                return Some(true);
            }
        }
        Some(false)
    }

    fn field(&mut self, local: &Spec, spec: &mut Spec) -> Option<bool> {
        let mut at = self.target.resolve(spec.root);
        for (i, acc) in local.accessors.iter().enumerate() {
            at = self.target.resolve(at);
            if acc.name.is_some() {
                let Some(member) = self.local.members(acc.ty).get(acc.index as usize) else {
                    return Some(false);
                };
                match self.member(member, at, spec, &mut HashSet::new())? {
                    Some(ty) => at = ty,
                    None => return Some(false),
                }
                continue;
            }
            if i > 0 {
                let Type::Array { elem, len, .. } = *self.target.ty(at) else {
                    return Some(false);
                };
                if acc.index >= len && !spec.ends_in_flexible(self.target, len) {
                    return Some(false);
                }
                at = self.target.resolve(elem);
            }
            spec.step(at, acc.index, None);
            spec.raw.push(acc.index);
            if spec.advance(self.target, at, acc.index).is_err() {
                return Some(false);
            }
        }
        Some(true)
    }

    /// Finds the program's member in a struct of the target, also in anonymous members, and returns its type. Types in
    /// `barren` are known not to have it.
    fn member(
        &mut self,
        wanted: &Member,
        ty: TypeId,
        spec: &mut Spec,
        barren: &mut HashSet<TypeId>,
    ) -> Option<Option<TypeId>> {
        let ty = self.target.resolve(ty);
        if !barren.insert(ty) || spec.raw.len() >= super::spec::MAX_STEPS {
            return Some(None);
        }
        let name = self.local.str(wanted.name);
        for (i, m) in self.target.members(ty).iter().enumerate() {
            self.spend()?;
            let own = self.target.str(m.name);
            if !own.is_empty() && own != name {
                continue;
            }
            let before = spec.bit_offset;
            spec.bit_offset = before.saturating_add(m.bit_offset.into());
            spec.raw.push(i as u32);
            if own.is_empty() {
                if let Some(found) = self.member(wanted, m.ty, spec, barren)? {
                    return Some(Some(found));
                }
            } else if self.fields_compatible(wanted.ty, m.ty)? {
                spec.step(ty, i as u32, Some(m.name));
                return Some(Some(m.ty));
            }
            spec.bit_offset = before;
            spec.raw.pop();
        }
        Some(None)
    }

    fn same_name(&self, a: TypeId, b: TypeId) -> bool {
        essential_name(self.local.name(a)) == essential_name(self.target.name(b))
    }

    /// Whether a field of one type can be read as one of the other: sizes and signs of integers may differ.
    fn fields_compatible(&mut self, a: TypeId, b: TypeId) -> Option<bool> {
        let (mut a, mut b) = (a, b);
        loop {
            self.spend()?;
            (a, b) = (self.local.resolve(a), self.target.resolve(b));
            let (x, y) = (self.local.ty(a), self.target.ty(b));
            if x.kind().is_composite() && y.kind().is_composite() {
                return Some(true);
            }
            if !kinds_compatible(x.kind(), y.kind()) {
                return Some(false);
            }
            return Some(match (x, y) {
                (Type::Ptr { .. } | Type::Float { .. }, _) => true,
                (Type::Fwd { .. } | Type::Enum(_) | Type::Enum64(_), _) => {
                    self.local.name(a).is_empty() || self.target.name(b).is_empty() || self.same_name(a, b)
                }
                (Type::Int(x), Type::Int(y)) => x.bit_offset == 0 && y.bit_offset == 0,
                (Type::Array { elem: x, .. }, Type::Array { elem: y, .. }) => {
                    (a, b) = (*x, *y);
                    continue;
                }
                _ => false,
            });
        }
    }

    /// Whether a type exists in the target, given that the names agree: kinds, prototypes and what pointers lead to.
    fn compatible(&mut self, a: TypeId, b: TypeId, level: u32) -> Option<bool> {
        let (mut a, mut b) = (a, b);
        for level in (0..level).rev() {
            self.spend()?;
            (a, b) = (self.local.resolve(a), self.target.resolve(b));
            let (x, y) = (*self.local.ty(a), *self.target.ty(b));
            if !kinds_compatible(x.kind(), y.kind()) {
                return Some(false);
            }
            match (x, y) {
                (Type::Int(x), Type::Int(y)) => {
                    return Some(x.bit_offset == 0 && y.bit_offset == 0);
                }
                (Type::Ptr { to: x }, Type::Ptr { to: y })
                | (Type::Array { elem: x, .. }, Type::Array { elem: y, .. }) => (a, b) = (x, y),
                (Type::FuncProto { ret: x, .. }, Type::FuncProto { ret: y, .. }) => {
                    let (local, target) = (self.local, self.target);
                    let (ps, qs) = (local.params(a), target.params(b));
                    if ps.len() != qs.len() {
                        return Some(false);
                    }
                    for (p, q) in ps.iter().zip(qs) {
                        if !self.compatible(p.ty, q.ty, level)? {
                            return Some(false);
                        }
                    }
                    (a, b) = (x, y);
                }
                _ => {
                    let kind = x.kind();
                    return Some(kind.is_composite() || kind.is_any_enum() || matches!(kind, Kind::Void | Kind::Fwd));
                }
            }
        }
        Some(false)
    }

    /// Whether a type of the target has all that the program's type declares, member by member; behind pointers, structs
    /// are compared by name only.
    fn matches(&mut self, a: TypeId, b: TypeId, behind: bool, level: u32) -> Option<bool> {
        let (mut a, mut b, mut behind) = (a, b, behind);
        for level in (0..level).rev() {
            self.spend()?;
            (a, b) = (self.local.resolve(a), self.target.resolve(b));
            if !self.same_name(a, b) {
                return Some(false);
            }
            let (x, y) = (*self.local.ty(a), *self.target.ty(b));
            match (x, y) {
                (Type::Void, Type::Void) => return Some(true),
                (Type::Int(x), Type::Int(y)) => {
                    return Some(x.size == y.size && x.is_signed() == y.is_signed());
                }
                (Type::Enum(_) | Type::Enum64(_), Type::Enum(_) | Type::Enum64(_)) => {
                    return self.enums(a, b);
                }
                (Type::Fwd { union: u, .. }, Type::Fwd { union: v, .. }) => return Some(u == v),
                (Type::Fwd { union, .. }, Type::Struct(_)) => return Some(behind && !union),
                (Type::Fwd { union, .. }, Type::Union(_)) => return Some(behind && union),
                (Type::Struct(_), Type::Fwd { union, .. }) => return Some(behind && !union),
                (Type::Union(_), Type::Fwd { union, .. }) => return Some(behind && union),
                (Type::Struct(_), Type::Struct(_)) | (Type::Union(_), Type::Union(_)) => {
                    return if behind { Some(true) } else { self.composites(a, b, level) };
                }
                (Type::Ptr { to: x }, Type::Ptr { to: y }) => (a, b, behind) = (x, y, true),
                (Type::Array { elem: x, len: n, .. }, Type::Array { elem: y, len: m, .. }) => {
                    if n != m {
                        return Some(false);
                    }
                    (a, b) = (x, y);
                }
                (Type::FuncProto { ret: x, .. }, Type::FuncProto { ret: y, .. }) => {
                    let (local, target) = (self.local, self.target);
                    let (ps, qs) = (local.params(a), target.params(b));
                    if ps.len() != qs.len() {
                        return Some(false);
                    }
                    for (p, q) in ps.iter().zip(qs) {
                        if !self.matches(p.ty, q.ty, behind, level)? {
                            return Some(false);
                        }
                    }
                    (a, b) = (x, y);
                }
                _ => return Some(false),
            }
        }
        Some(false)
    }

    fn enums(&mut self, a: TypeId, b: TypeId) -> Option<bool> {
        let (local, target) = (self.local, self.target);
        let (xs, ys) = (local.enumerators(a), target.enumerators(b));
        if local.size_of(a) != target.size_of(b) || xs.len() > ys.len() {
            return Some(false);
        }
        for x in xs {
            let name = essential_name(local.str(x.name));
            let mut found = false;
            for y in ys {
                self.spend()?;
                found = essential_name(target.str(y.name)) == name;
                if found {
                    break;
                }
            }
            if !found {
                return Some(false);
            }
        }
        Some(true)
    }

    fn composites(&mut self, a: TypeId, b: TypeId, level: u32) -> Option<bool> {
        let (local, target) = (self.local, self.target);
        let (xs, ys) = (local.members(a), target.members(b));
        if xs.len() > ys.len() {
            return Some(false);
        }
        for x in xs {
            let name = essential_name(local.str(x.name));
            let mut found = false;
            for y in ys {
                self.spend()?;
                found = essential_name(target.str(y.name)) == name && self.matches(x.ty, y.ty, false, level)?;
                if found {
                    break;
                }
            }
            if !found {
                return Some(false);
            }
        }
        Some(true)
    }
}
