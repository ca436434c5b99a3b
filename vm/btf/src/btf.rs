//! A validated set of types and the questions that can be asked of it.
//!
//! Every query is total: an id that does not exist reads as `void`, an absent thing as `None` or an empty list.

use crate::check;
use crate::encode;
use crate::error::BtfError;
use crate::parse::{self, Tables, encoded_len};
use crate::types::*;

/// Bytes of a pointer in BPF programs and in every kernel that this is for.
pub const POINTER_SIZE: u64 = 8;

/// Longest string that is handed out, in bytes.
const MAX_STRING: usize = 1 << 16;

/// A validated `.BTF` section.
#[derive(Clone, Debug)]
pub struct Btf {
    pub(crate) tables: Tables,
    pub(crate) strings: Box<str>,
    index: NameIndex,
    /// (target, component or `u32::MAX`, tag), sorted.
    tags: Vec<(TypeId, u32, TypeId)>,
}

/// Chained hash table from a name without its flavour to types, lowest id first.
#[derive(Clone, Debug, Default)]
struct NameIndex {
    heads: Vec<u32>,
    next: Vec<u32>,
}

fn hash(name: &str) -> usize {
    let fnv = |h: u64, b: u8| (h ^ u64::from(b)).wrapping_mul(0x0000_0100_0000_01b3);
    let h = name.bytes().fold(0xcbf2_9ce4_8422_2325, fnv);
    (h ^ (h >> 32)) as usize
}

/// A function's parameters and result.
#[derive(Clone, Copy, Debug)]
pub struct Proto<'a> {
    /// The FUNC_PROTO.
    pub id: TypeId,
    /// Result; `void` if there is none.
    pub ret: TypeId,
    /// Parameters without the `...`.
    pub params: &'a [Param],
    /// Whether the function takes `...`.
    pub variadic: bool,
}

impl Btf {
    /// Reads and validates the bytes of a `.BTF` section (or of `/sys/kernel/btf/vmlinux`).
    ///
    /// # Errors
    /// Names the type, its place, what is wrong and what to do; big-endian data are refused as such.
    pub fn parse(bytes: &[u8]) -> Result<Btf, BtfError> {
        let layout = parse::layout(bytes)?;
        let tables = parse::decode(&layout)?;
        check::check(&tables, layout.strings).map_err(|(id, problem)| {
            let before: usize = tables.types.iter().take(id.index()).map(encoded_len).sum();
            let kind = tables.types.get(id.index()).map_or(Kind::Void, Type::kind).into();
            BtfError::Type { id, offset: layout.types_at.saturating_add(before), kind, problem }
        })?;
        Ok(Btf::assemble(tables, parse::strings_of(layout.strings)))
    }

    pub(crate) fn assemble(tables: Tables, strings: Box<str>) -> Btf {
        let mut btf = Btf { tables, strings, index: NameIndex::default(), tags: Vec::new() };
        let count = btf.tables.types.len();
        let buckets = count.next_power_of_two();
        let mut index = NameIndex { heads: vec![0; buckets], next: vec![0; count] };
        for id in (1..count as u32).rev().map(TypeId) {
            let name = essential_name(btf.name(id));
            if name.is_empty() {
                continue;
            }
            let bucket = hash(name) & (buckets - 1);
            if let (Some(head), Some(next)) = (index.heads.get_mut(bucket), index.next.get_mut(id.index())) {
                *next = std::mem::replace(head, id.0);
            }
        }
        btf.index = index;
        btf.tags = btf
            .ids()
            .filter_map(|id| match *btf.ty(id) {
                Type::DeclTag { target, component, .. } => Some((target, component.unwrap_or(u32::MAX), id)),
                _ => None,
            })
            .collect();
        btf.tags.sort_unstable();
        btf
    }

    /// How many types there are, `void` among them: ids are below this.
    pub fn len(&self) -> usize {
        self.tables.types.len()
    }

    /// Whether there is no type but `void`.
    pub fn is_empty(&self) -> bool {
        self.len() <= 1
    }

    /// All ids but that of `void`.
    pub fn ids(&self) -> impl Iterator<Item = TypeId> + use<> {
        (1..self.tables.types.len() as u32).map(TypeId)
    }

    /// The type of this id; `void` if there is none.
    pub fn ty(&self, id: TypeId) -> &Type {
        self.get(id).unwrap_or(&Type::Void)
    }

    /// The type of this id, if there is one.
    pub fn get(&self, id: TypeId) -> Option<&Type> {
        self.tables.types.get(id.index())
    }

    /// Kind of the type of this id.
    pub fn kind(&self, id: TypeId) -> Kind {
        self.ty(id).kind()
    }

    /// A string of the string section; empty if the offset is outside. Bytes that were not UTF-8 read as `?`, and what
    /// goes beyond 64 KiB is left out (no name is that long, only a source line could be).
    pub fn str(&self, name: Name) -> &str {
        let rest = self.strings.get(name.0 as usize..).unwrap_or("");
        let mut end = rest.len().min(MAX_STRING);
        while !rest.is_char_boundary(end) {
            end -= 1;
        }
        let rest = rest.get(..end).unwrap_or("");
        rest.split('\0').next().unwrap_or("")
    }

    /// Whether an offset lies in the string section.
    pub(crate) fn has_str(&self, name: Name) -> bool {
        (name.0 as usize) < self.strings.len()
    }

    /// Name of a type; empty if it has none.
    pub fn name(&self, id: TypeId) -> &str {
        self.str(self.ty(id).name())
    }

    /// Lowest type of exactly this name and kind.
    pub fn find(&self, name: &str, kind: Kind) -> Option<TypeId> {
        self.find_all(name).find(|&id| self.kind(id) == kind)
    }

    /// All types of exactly this name, of any kind, by rising id.
    pub fn find_all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = TypeId> + 'a {
        self.find_essential(essential_name(name)).filter(move |&id| self.name(id) == name)
    }

    /// All types whose name without the flavour (`___x`) is this, by rising id.
    pub fn find_essential<'a>(&'a self, essential: &'a str) -> impl Iterator<Item = TypeId> + 'a {
        let bucket = hash(essential) & self.index.heads.len().wrapping_sub(1);
        let mut at = self.index.heads.get(bucket).copied().unwrap_or(0);
        if essential.is_empty() {
            at = 0;
        }
        std::iter::from_fn(move || {
            while at != 0 {
                let id = TypeId(at);
                at = self.index.next.get(id.index()).copied().unwrap_or(0);
                if essential_name(self.name(id)) == essential {
                    return Some(id);
                }
            }
            None
        })
    }

    /// The type behind typedefs, qualifiers and type tags.
    pub fn resolve(&self, id: TypeId) -> TypeId {
        let mut at = id;
        for _ in 0..=check::MAX_DEPTH {
            match self.ty(at).modified() {
                Some(to) => at = to,
                None => break,
            }
        }
        at
    }

    /// The type behind typedefs, qualifiers and type tags, itself.
    pub fn resolved(&self, id: TypeId) -> &Type {
        self.ty(self.resolve(id))
    }

    /// The type behind qualifiers and type tags; typedefs stay.
    pub fn strip_qualifiers(&self, id: TypeId) -> TypeId {
        let mut at = id;
        for _ in 0..=check::MAX_DEPTH {
            match *self.ty(at) {
                Type::Volatile { to } | Type::Const { to } | Type::Restrict { to } | Type::TypeTag { to, .. } => {
                    at = to
                }
                _ => break,
            }
        }
        at
    }

    /// Whether a type is `const` on its outside, under any typedefs and other qualifiers.
    pub fn is_const(&self, id: TypeId) -> bool {
        let mut at = id;
        for _ in 0..=check::MAX_DEPTH {
            match self.ty(at) {
                Type::Const { .. } => return true,
                ty => match ty.modified() {
                    Some(to) => at = to,
                    None => return false,
                },
            }
        }
        false
    }

    /// Type tags on the outside of a type (`__rcu`, `__user`, ...), outermost first.
    pub fn type_tags(&self, id: TypeId) -> impl Iterator<Item = &str> {
        let mut at = Some(id);
        std::iter::from_fn(move || {
            while let Some(id) = at {
                let ty = self.ty(id);
                at = ty.modified();
                if let Type::TypeTag { name, .. } = *ty {
                    return Some(self.str(name));
                }
            }
            None
        })
    }

    /// What a pointer points to, under typedefs and qualifiers.
    pub fn pointee(&self, id: TypeId) -> Option<TypeId> {
        match *self.resolved(id) {
            Type::Ptr { to } => Some(to),
            _ => None,
        }
    }

    /// Size in bytes; none for `void`, functions and forward declarations.
    pub fn size_of(&self, id: TypeId) -> Option<u64> {
        let (mut at, mut times) = (id, 1u64);
        // Arrays and modifiers together nest no deeper than the limit; a VAR may stand before them.
        for _ in 0..=check::MAX_DEPTH + 1 {
            let size = match *self.ty(at) {
                Type::Int(i) => i.size.into(),
                Type::Ptr { .. } => POINTER_SIZE,
                Type::Struct(c) | Type::Union(c) => c.size.into(),
                Type::Enum(e) | Type::Enum64(e) => e.size.into(),
                Type::Float { size, .. } => size.into(),
                Type::Datasec { size, .. } => size.into(),
                Type::Array { elem, len, .. } => {
                    times = times.checked_mul(len.into())?;
                    at = elem;
                    continue;
                }
                Type::Var { ty, .. } => {
                    at = ty;
                    continue;
                }
                ref ty => {
                    at = ty.modified()?;
                    continue;
                }
            };
            return times.checked_mul(size);
        }
        None
    }

    /// Members of a struct or union (seen through typedefs and qualifiers); empty for other types.
    pub fn members(&self, id: TypeId) -> &[Member] {
        self.resolved(id).composite().map_or(&[], |c| c.members.of(&self.tables.members))
    }

    /// Enumerators of an enum of either width (seen through typedefs); empty for other types.
    pub fn enumerators(&self, id: TypeId) -> &[Enumerator] {
        self.resolved(id).enumeration().map_or(&[], |e| e.values.of(&self.tables.enumerators))
    }

    /// Value of an enum's constant.
    pub fn enum_value(&self, id: TypeId, name: &str) -> Option<i64> {
        self.enumerators(id).iter().find(|e| self.str(e.name) == name).map(|e| e.value)
    }

    /// Name of an enum's constant by its value.
    pub fn enum_name(&self, id: TypeId, value: i64) -> Option<&str> {
        self.enumerators(id).iter().find(|e| e.value == value).map(|e| self.str(e.name))
    }

    /// Parameters of a FUNC or FUNC_PROTO as stored; empty for other types.
    pub fn params(&self, id: TypeId) -> &[Param] {
        let id = match *self.ty(id) {
            Type::Func { proto, .. } => proto,
            _ => self.resolve(id),
        };
        match *self.ty(id) {
            Type::FuncProto { params, .. } => params.of(&self.tables.params),
            _ => &[],
        }
    }

    /// Prototype of a FUNC, of a FUNC_PROTO, or of a pointer to one.
    pub fn proto(&self, id: TypeId) -> Option<Proto<'_>> {
        let mut at = self.resolve(id);
        match *self.ty(at) {
            Type::Func { proto, .. } => at = proto,
            Type::Ptr { to } => at = self.resolve(to),
            _ => {}
        }
        let Type::FuncProto { ret, params } = *self.ty(at) else {
            return None;
        };
        let all = params.of(&self.tables.params);
        Some(match all.split_last() {
            Some((last, front)) if last.ty.is_void() => Proto { id: at, ret, params: front, variadic: true },
            _ => Proto { id: at, ret, params: all, variadic: false },
        })
    }

    /// Variables of a DATASEC; empty for other types.
    pub fn datasec_vars(&self, id: TypeId) -> &[SecVar] {
        match self.ty(id) {
            Type::Datasec { vars, .. } => vars.of(&self.tables.vars),
            _ => &[],
        }
    }

    /// Declaration tags of a type as a whole (`None`) or of one of its members or parameters.
    pub fn decl_tags(&self, of: TypeId, component: Option<u32>) -> impl Iterator<Item = &str> {
        let key = (of, component.unwrap_or(u32::MAX));
        let from = self.tags.partition_point(|&(t, c, _)| (t, c) < key);
        let rest = self.tags.get(from..).unwrap_or(&[]);
        rest.iter().take_while(move |&&(t, c, _)| (t, c) == key).map(|&(_, _, tag)| self.name(tag))
    }

    /// Gives a DATASEC of an unlinked object its size and its variables their offsets, as a linker does from the ELF
    /// symbols. Offsets come in the order of [`Btf::datasec_vars`]; those without an offset keep theirs. Nothing happens
    /// if `id` is no DATASEC. Afterwards variables are in the order of their offsets, as the kernel wants them.
    ///
    /// # Errors
    /// If a variable ends beyond the section; nothing is changed then.
    pub fn place_datasec(&mut self, id: TypeId, size: u32, offsets: &[u32]) -> Result<(), BtfError> {
        let Some(Type::Datasec { vars, .. }) = self.tables.types.get(id.index()).copied() else {
            return Ok(());
        };
        let mut placed = vars.of(&self.tables.vars).to_vec();
        placed.iter_mut().zip(offsets).for_each(|(v, &o)| v.offset = o);
        placed.sort_by_key(|v| v.offset);
        check::datasec_fits(size, &placed).map_err(|problem| {
            let before: usize = self.tables.types.iter().take(id.index()).map(encoded_len).sum();
            BtfError::Type { id, offset: parse::HEADER_LEN + before, kind: Kind::Datasec.into(), problem }
        })?;
        vars.of_mut(&mut self.tables.vars).copy_from_slice(&placed);
        if let Some(Type::Datasec { size: s, .. }) = self.tables.types.get_mut(id.index()) {
            *s = size;
        }
        Ok(())
    }

    /// The bytes of a `.BTF` section of these types, with string offsets unchanged; fit for `BPF_BTF_LOAD`.
    pub fn encode(&self) -> Vec<u8> {
        encode::encode(&self.tables, self.strings.as_bytes())
    }
}

/// A name without its flavour: `task_struct___v2` is `task_struct` (libbpf's `bpf_core_essential_name_len`).
pub fn essential_name(name: &str) -> &str {
    let b = name.as_bytes();
    let is_flavour = |w: &[u8]| matches!(w, [a, b'_', b'_', b'_', z] if *a != b'_' && *z != b'_');
    // The separator begins after the first byte of the window; a char boundary, since `_` follows.
    match b.windows(5).rposition(is_flavour) {
        Some(i) => name.get(..=i).unwrap_or(name),
        None => name,
    }
}
