//! A part of a large set of types: what some of them need, without the rest.
//!
//! Made for kernels, whose types all hang together by pointers. What a kept type holds by value is kept whole; a struct that is
//! only pointed to, and was not asked for, stays as one of its name without bytes, so that nothing can be read from it.

use std::collections::{BTreeSet, HashMap};

use crate::btf::Btf;
use crate::parse::Tables;
use crate::types::*;

impl Btf {
    /// The types `wanted`, with all that they hold by value. Structs and unions that are merely pointed to become empty ones of their
    /// name; what functions take and give is treated like what a struct points to. Ids and string offsets change; declaration tags of
    /// kept types stay.
    pub fn reduced(&self, wanted: impl IntoIterator<Item = TypeId>) -> Btf {
        let mut whole = BTreeSet::new();
        let mut open: Vec<TypeId> = wanted.into_iter().collect();
        while let Some(id) = open.pop() {
            if !id.is_void() && self.get(id).is_some() && whole.insert(id) {
                self.by_value(id, &mut open);
            }
        }
        let mut kept = whole.clone();
        let mut open: Vec<TypeId> = whole.iter().copied().collect();
        while let Some(id) = open.pop() {
            if !whole.contains(&id) && self.kind(id).is_composite() {
                continue;
            }
            let mut next = Vec::new();
            self.by_reference(id, &mut next);
            open.extend(next.into_iter().filter(|to| !to.is_void() && kept.insert(*to)));
        }
        let tagged = |id: &TypeId| match self.ty(*id) {
            Type::DeclTag { target, component: None, .. } => kept.contains(target),
            Type::DeclTag { target, .. } => whole.contains(target),
            _ => false,
        };
        let tags: Vec<TypeId> = self.ids().filter(tagged).collect();
        kept.extend(tags);
        Copying {
            from: self,
            whole: &whole,
            ids: renumbered(&kept),
            tables: Tables::default(),
            strings: vec![0],
            names: HashMap::new(),
        }
        .run(&kept)
    }

    /// Types whose layout a type needs.
    fn by_value(&self, id: TypeId, out: &mut Vec<TypeId>) {
        match *self.ty(id) {
            Type::Array { elem, index, .. } => out.extend([elem, index]),
            Type::Struct(_) | Type::Union(_) => out.extend(self.members(id).iter().map(|m| m.ty)),
            Type::Func { proto, .. } => out.push(proto),
            Type::Var { ty, .. } => out.push(ty),
            ref ty => out.extend(ty.modified()),
        }
    }

    /// All types that a type names.
    fn by_reference(&self, id: TypeId, out: &mut Vec<TypeId>) {
        match *self.ty(id) {
            Type::Ptr { to } => out.push(to),
            Type::FuncProto { ret, .. } => {
                out.push(ret);
                out.extend(self.params(id).iter().map(|p| p.ty));
            }
            _ => self.by_value(id, out),
        }
    }
}

fn renumbered(kept: &BTreeSet<TypeId>) -> HashMap<TypeId, TypeId> {
    kept.iter().zip(1..).map(|(old, new)| (*old, TypeId(new))).collect()
}

struct Copying<'b> {
    from: &'b Btf,
    whole: &'b BTreeSet<TypeId>,
    ids: HashMap<TypeId, TypeId>,
    tables: Tables,
    strings: Vec<u8>,
    names: HashMap<Name, Name>,
}

impl Copying<'_> {
    fn run(mut self, kept: &BTreeSet<TypeId>) -> Btf {
        self.tables.types.push(Type::Void);
        for id in kept {
            let ty = self.copied(*id);
            self.tables.types.push(ty);
        }
        let strings = crate::parse::strings_of(&self.strings);
        Btf::assemble(self.tables, strings)
    }

    fn id(&self, old: TypeId) -> TypeId {
        self.ids.get(&old).copied().unwrap_or(TypeId::VOID)
    }

    fn name(&mut self, old: Name) -> Name {
        if old == Name::EMPTY {
            return old;
        }
        if let Some(known) = self.names.get(&old) {
            return *known;
        }
        let new = Name(self.strings.len() as u32);
        self.strings.extend_from_slice(self.from.str(old).as_bytes());
        self.strings.push(0);
        self.names.insert(old, new);
        new
    }

    fn copied(&mut self, id: TypeId) -> Type {
        match *self.from.ty(id) {
            Type::Void => Type::Void,
            Type::Int(i) => Type::Int(Int { name: self.name(i.name), ..i }),
            Type::Ptr { to } => Type::Ptr { to: self.id(to) },
            Type::Array { elem, index, len } => Type::Array { elem: self.id(elem), index: self.id(index), len },
            Type::Struct(c) => Type::Struct(self.composite(id, c)),
            Type::Union(c) => Type::Union(self.composite(id, c)),
            Type::Enum(e) => Type::Enum(self.enumeration(id, e)),
            Type::Enum64(e) => Type::Enum64(self.enumeration(id, e)),
            Type::Fwd { name, union } => Type::Fwd { name: self.name(name), union },
            Type::Typedef { name, to } => Type::Typedef { name: self.name(name), to: self.id(to) },
            Type::Volatile { to } => Type::Volatile { to: self.id(to) },
            Type::Const { to } => Type::Const { to: self.id(to) },
            Type::Restrict { to } => Type::Restrict { to: self.id(to) },
            Type::Func { name, proto, linkage } => Type::Func { name: self.name(name), proto: self.id(proto), linkage },
            Type::FuncProto { ret, .. } => {
                let start = self.tables.params.len() as u32;
                let params = self.from.params(id).to_vec();
                for p in &params {
                    let param = Param { name: self.name(p.name), ty: self.id(p.ty) };
                    self.tables.params.push(param);
                }
                Type::FuncProto { ret: self.id(ret), params: Span { start, len: params.len() as u32 } }
            }
            Type::Var { name, ty, linkage } => Type::Var { name: self.name(name), ty: self.id(ty), linkage },
            Type::Datasec { name, size, .. } => {
                let start = self.tables.vars.len() as u32;
                let vars: Vec<SecVar> = self.from.datasec_vars(id).to_vec();
                let kept = vars.into_iter().filter(|v| self.ids.contains_key(&v.ty));
                let kept: Vec<SecVar> = kept.map(|v| SecVar { ty: self.id(v.ty), ..v }).collect();
                let len = kept.len() as u32;
                self.tables.vars.extend(kept);
                Type::Datasec { name: self.name(name), size, vars: Span { start, len } }
            }
            Type::Float { name, size } => Type::Float { name: self.name(name), size },
            Type::DeclTag { name, target, component, attribute } => {
                Type::DeclTag { name: self.name(name), target: self.id(target), component, attribute }
            }
            Type::TypeTag { name, to, attribute } => {
                Type::TypeTag { name: self.name(name), to: self.id(to), attribute }
            }
        }
    }

    fn composite(&mut self, id: TypeId, c: Composite) -> Composite {
        let name = self.name(c.name);
        let start = self.tables.members.len() as u32;
        if !self.whole.contains(&id) {
            return Composite { name, size: 0, members: Span { start, len: 0 }, bitfields: false };
        }
        let members = self.from.members(id).to_vec();
        for m in &members {
            let member = Member { name: self.name(m.name), ty: self.id(m.ty), ..*m };
            self.tables.members.push(member);
        }
        Composite { name, members: Span { start, len: members.len() as u32 }, ..c }
    }

    fn enumeration(&mut self, id: TypeId, e: Enum) -> Enum {
        let start = self.tables.enumerators.len() as u32;
        let values = self.from.enumerators(id).to_vec();
        for v in &values {
            let value = Enumerator { name: self.name(v.name), value: v.value };
            self.tables.enumerators.push(value);
        }
        Enum { name: self.name(e.name), values: Span { start, len: values.len() as u32 }, ..e }
    }
}
