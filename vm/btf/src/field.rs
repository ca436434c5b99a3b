//! Members by name and by place, through anonymous and nested structs, arrays and unions.

use std::collections::HashSet;

use crate::btf::Btf;
use crate::render::short;
use crate::types::*;

/// Most members that one search by place looks at: unions of unions can nest into more than anyone can wait for.
const MAX_STEPS: u32 = 1 << 16;

/// A member that was found by name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Field {
    /// Struct or union that declares it (perhaps an anonymous one).
    pub parent: TypeId,
    /// Which member of `parent`.
    pub index: u32,
    /// Its type.
    pub ty: TypeId,
    /// Bits from the start of the type that was searched.
    pub bit_offset: u64,
    /// Bits of a bitfield; 0 for an ordinary member.
    pub bit_size: u8,
}

impl Field {
    /// Bytes from the start of the type that was searched, rounded down for bitfields.
    pub const fn byte_offset(&self) -> u64 {
        self.bit_offset / 8
    }
}

/// What lies at a place of a type: a scalar, a pointer, or a bitfield.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Leaf {
    /// Its type, typedefs and qualifiers included.
    pub ty: TypeId,
    /// Bits from the start of the type that was searched.
    pub bit_offset: u64,
    /// Bits of a bitfield; 0 for others.
    pub bit_size: u8,
    /// How C names it, such as `in.arr[2].x`; empty if the type searched is itself a scalar.
    pub path: String,
}

impl Btf {
    /// A member of a struct or union by name, also one in anonymous members; `a.b` looks for `b` in the member `a`.
    pub fn field(&self, ty: TypeId, path: &str) -> Option<Field> {
        let mut found: Option<Field> = None;
        for name in path.split('.') {
            let (ty, base) = found.map_or((ty, 0), |f| (f.ty, f.bit_offset));
            let mut field = self.member_named(ty, name, &mut HashSet::new())?;
            field.bit_offset = field.bit_offset.checked_add(base)?;
            found = Some(field);
        }
        found
    }

    /// Types in `barren` are known not to lead to the name, so shared anonymous types are searched once.
    fn member_named(&self, ty: TypeId, name: &str, barren: &mut HashSet<TypeId>) -> Option<Field> {
        let parent = self.resolve(ty);
        if name.is_empty() || !barren.insert(parent) {
            return None;
        }
        for (index, m) in self.members(parent).iter().enumerate() {
            let own = self.str(m.name);
            if own == name {
                let (bit_offset, bit_size) = (m.bit_offset.into(), m.bit_size);
                return Some(Field { parent, index: index as u32, ty: m.ty, bit_offset, bit_size });
            }
            if !own.is_empty() {
                continue;
            }
            if let Some(mut field) = self.member_named(m.ty, name, barren) {
                field.bit_offset = field.bit_offset.checked_add(m.bit_offset.into())?;
                return Some(field);
            }
        }
        None
    }

    /// What lies at bytes `offset..offset + size` of a type: if a union offers more than one thing, the first that has
    /// just these bytes, else the first that covers them.
    pub fn leaf_at(&self, ty: TypeId, offset: u64, size: u64) -> Option<Leaf> {
        let start = offset.checked_mul(8)?;
        let end = size.checked_mul(8)?.checked_add(start)?;
        let mut search = Search { btf: self, start, end, steps: MAX_STEPS, path: Vec::new(), best: None };
        search.descend(ty, 0);
        search.best.map(|(leaf, _)| leaf)
    }
}

#[derive(Clone, Copy)]
enum Step {
    Member(Name),
    Element(u64),
}

struct Search<'a> {
    btf: &'a Btf,
    /// Wanted bits.
    start: u64,
    end: u64,
    steps: u32,
    path: Vec<Step>,
    /// Best leaf so far and whether nothing can be better.
    best: Option<(Leaf, bool)>,
}

impl Search<'_> {
    fn done(&self) -> bool {
        self.steps == 0 || matches!(self.best, Some((_, true)))
    }

    fn covers(&self, from: u64, bits: u64) -> bool {
        from <= self.start && self.end <= from.saturating_add(bits)
    }

    fn enter(&mut self, step: Step, ty: TypeId, base: u64) {
        self.path.push(step);
        self.descend(ty, base);
        self.path.pop();
    }

    /// Recursion follows containment by value, the depth of which is limited.
    fn descend(&mut self, ty: TypeId, base: u64) {
        let bits = self.btf.size_of(ty).unwrap_or(0).saturating_mul(8);
        match *self.btf.resolved(ty) {
            Type::Struct(c) | Type::Union(c) => {
                for m in c.members.of(&self.btf.tables.members) {
                    if self.done() {
                        return;
                    }
                    self.steps -= 1;
                    self.member(m, base.saturating_add(m.bit_offset.into()));
                }
            }
            Type::Array { elem, .. } if self.covers(base, bits) => {
                let each = self.btf.size_of(elem).unwrap_or(0).saturating_mul(8);
                if let Some(i) = (self.start - base).checked_div(each) {
                    self.enter(Step::Element(i), elem, base + i * each);
                }
            }
            Type::Array { .. } => {}
            _ => self.leaf(ty, base, bits, 0),
        }
    }

    fn member(&mut self, m: &Member, at: u64) {
        if m.is_bitfield() {
            self.path.push(Step::Member(m.name));
            self.leaf(m.ty, at, m.bit_size.into(), m.bit_size);
            self.path.pop();
        } else if self.covers(at, self.btf.size_of(m.ty).unwrap_or(0).saturating_mul(8)) {
            self.enter(Step::Member(m.name), m.ty, at);
        }
    }

    fn leaf(&mut self, ty: TypeId, at: u64, bits: u64, bit_size: u8) {
        // A load that covers a bitfield is how its bits are read, so a bitfield need only lie inside.
        let inside = bit_size != 0 && self.start <= at && at.saturating_add(bits) <= self.end;
        let exact = at == self.start && at.saturating_add(bits) == self.end;
        if exact || (self.best.is_none() && (inside || self.covers(at, bits))) {
            let leaf = Leaf { ty, bit_offset: at, bit_size, path: self.spell() };
            self.best = Some((leaf, exact));
        }
    }

    fn spell(&self) -> String {
        let mut out = String::new();
        for step in &self.path {
            match *step {
                Step::Member(name) if self.btf.str(name).is_empty() => {}
                Step::Member(name) => {
                    if !out.is_empty() {
                        out.push('.');
                    }
                    out.push_str(&short(self.btf.str(name)));
                }
                Step::Element(i) => out.push_str(&format!("[{i}]")),
            }
        }
        out
    }
}
