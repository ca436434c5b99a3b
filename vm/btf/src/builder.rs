//! Makes BTF from Rust: for host types, for the kernel and for tests.
//!
//! Ids are given out at once, so a type may refer to one that is added later by reserving it with
//! [`BtfBuilder::next_id`]. Nothing is checked before [`BtfBuilder::build`].

use std::collections::HashMap;

use crate::btf::Btf;
use crate::encode::encode;
use crate::error::BtfError;
use crate::parse::Tables;
use crate::types::*;

/// Collects types; see the module's description.
#[derive(Clone, Debug)]
pub struct BtfBuilder {
    tables: Tables,
    strings: Vec<u8>,
    interned: HashMap<String, Name>,
    /// First list that is longer than a record can say.
    too_long: Option<(TypeId, Kind)>,
}

impl Default for BtfBuilder {
    fn default() -> BtfBuilder {
        BtfBuilder::new()
    }
}

/// Longest list of a record.
const MAX_LIST: usize = 0xffff;

impl BtfBuilder {
    /// An empty set of types.
    pub fn new() -> BtfBuilder {
        let tables = Tables { types: vec![Type::Void], ..Tables::default() };
        BtfBuilder { tables, strings: vec![0], interned: HashMap::new(), too_long: None }
    }

    /// Goes on where an existing set of types ends; its ids and string offsets stay.
    pub fn extend(btf: &Btf) -> BtfBuilder {
        let strings = btf.strings.as_bytes().to_vec();
        BtfBuilder { tables: btf.tables.clone(), strings, interned: HashMap::new(), too_long: None }
    }

    /// The id that the next added type gets.
    pub fn next_id(&self) -> TypeId {
        TypeId(self.tables.types.len() as u32)
    }

    /// Adds a string (up to its first NUL) and returns where it is; equal strings are stored once.
    pub fn string(&mut self, text: &str) -> Name {
        let text = text.split('\0').next().unwrap_or("");
        if text.is_empty() {
            return Name::EMPTY;
        }
        if let Some(&name) = self.interned.get(text) {
            return name;
        }
        let name = Name(self.strings.len() as u32);
        self.strings.extend_from_slice(text.as_bytes());
        self.strings.push(0);
        self.interned.insert(text.to_owned(), name);
        name
    }

    fn push(&mut self, ty: Type) -> TypeId {
        let id = self.next_id();
        self.tables.types.push(ty);
        id
    }

    fn span(&mut self, kind: Kind, start: usize, len: usize) -> Span {
        if len > MAX_LIST && self.too_long.is_none() {
            self.too_long = Some((self.next_id(), kind));
        }
        Span { start: start as u32, len: len.min(MAX_LIST) as u32 }
    }

    /// An integer of `size` bytes.
    pub fn int(&mut self, name: &str, size: u8, encoding: Encoding) -> TypeId {
        let name = self.string(name);
        self.push(Type::Int(Int { name, size, bits: size.saturating_mul(8), bit_offset: 0, encoding }))
    }

    /// A floating point number of `size` bytes.
    pub fn float(&mut self, name: &str, size: u8) -> TypeId {
        let name = self.string(name);
        self.push(Type::Float { name, size })
    }

    /// A pointer.
    pub fn ptr(&mut self, to: TypeId) -> TypeId {
        self.push(Type::Ptr { to })
    }

    /// A `const` type.
    pub fn constant(&mut self, to: TypeId) -> TypeId {
        self.push(Type::Const { to })
    }

    /// A `volatile` type.
    pub fn volatile(&mut self, to: TypeId) -> TypeId {
        self.push(Type::Volatile { to })
    }

    /// A `restrict` type.
    pub fn restrict(&mut self, to: TypeId) -> TypeId {
        self.push(Type::Restrict { to })
    }

    /// A typedef.
    pub fn typedef(&mut self, name: &str, to: TypeId) -> TypeId {
        let name = self.string(name);
        self.push(Type::Typedef { name, to })
    }

    /// A tagged type.
    pub fn type_tag(&mut self, text: &str, to: TypeId) -> TypeId {
        let name = self.string(text);
        self.push(Type::TypeTag { name, to, attribute: false })
    }

    /// An array indexed by `index`, which must be an integer.
    pub fn array(&mut self, elem: TypeId, index: TypeId, len: u32) -> TypeId {
        self.push(Type::Array { elem, index, len })
    }

    /// A struct of `size` bytes; members are (name, type, bit offset).
    pub fn structure(&mut self, name: &str, size: u32, members: &[(&str, TypeId, u32)]) -> TypeId {
        let c = self.composite(name, size, Kind::Struct, members.iter().map(|&(n, t, o)| (n, t, o, 0)));
        self.push(Type::Struct(c))
    }

    /// A union of `size` bytes; members are (name, type).
    pub fn union(&mut self, name: &str, size: u32, members: &[(&str, TypeId)]) -> TypeId {
        let c = self.composite(name, size, Kind::Union, members.iter().map(|&(n, t)| (n, t, 0, 0)));
        self.push(Type::Union(c))
    }

    /// A struct with bitfields; members are (name, type, bit offset, bits or 0).
    pub fn structure_with_bitfields(&mut self, name: &str, size: u32, members: &[(&str, TypeId, u32, u8)]) -> TypeId {
        let mut c = self.composite(name, size, Kind::Struct, members.iter().copied());
        c.bitfields = true;
        self.push(Type::Struct(c))
    }

    fn composite<'n>(
        &mut self,
        name: &str,
        size: u32,
        kind: Kind,
        members: impl Iterator<Item = (&'n str, TypeId, u32, u8)>,
    ) -> Composite {
        let name = self.string(name);
        let start = self.tables.members.len();
        for (name, ty, bit_offset, bit_size) in members {
            let name = self.string(name);
            self.tables.members.push(Member { name, ty, bit_offset, bit_size });
        }
        let members = self.span(kind, start, self.tables.members.len() - start);
        Composite { name, size, members, bitfields: false }
    }

    /// A forward declaration.
    pub fn forward(&mut self, name: &str, union: bool) -> TypeId {
        let name = self.string(name);
        self.push(Type::Fwd { name, union })
    }

    /// An enum of `size` bytes with values of 32 bits.
    pub fn enumeration(&mut self, name: &str, size: u8, signed: bool, values: &[(&str, i64)]) -> TypeId {
        let e = self.any_enum(name, size, signed, Kind::Enum, values);
        self.push(Type::Enum(e))
    }

    /// An enum of `size` bytes with values of 64 bits.
    pub fn enumeration64(&mut self, name: &str, size: u8, signed: bool, values: &[(&str, i64)]) -> TypeId {
        let e = self.any_enum(name, size, signed, Kind::Enum64, values);
        self.push(Type::Enum64(e))
    }

    fn any_enum(&mut self, name: &str, size: u8, signed: bool, kind: Kind, values: &[(&str, i64)]) -> Enum {
        let name = self.string(name);
        let start = self.tables.enumerators.len();
        for &(name, value) in values {
            let name = self.string(name);
            self.tables.enumerators.push(Enumerator { name, value });
        }
        Enum { name, size, signed, values: self.span(kind, start, values.len()) }
    }

    /// A prototype; parameters are (name, type). A last `("", TypeId::VOID)` is `...`.
    pub fn func_proto(&mut self, ret: TypeId, params: &[(&str, TypeId)]) -> TypeId {
        let start = self.tables.params.len();
        for &(name, ty) in params {
            let name = self.string(name);
            self.tables.params.push(Param { name, ty });
        }
        let params = self.span(Kind::FuncProto, start, params.len());
        self.push(Type::FuncProto { ret, params })
    }

    /// A function.
    pub fn func(&mut self, name: &str, proto: TypeId, linkage: Linkage) -> TypeId {
        let name = self.string(name);
        self.push(Type::Func { name, proto, linkage })
    }

    /// A variable.
    pub fn var(&mut self, name: &str, ty: TypeId, linkage: Linkage) -> TypeId {
        let name = self.string(name);
        self.push(Type::Var { name, ty, linkage })
    }

    /// A section of `size` bytes.
    pub fn datasec(&mut self, name: &str, size: u32, vars: &[SecVar]) -> TypeId {
        let name = self.string(name);
        let start = self.tables.vars.len();
        self.tables.vars.extend_from_slice(vars);
        let vars = self.span(Kind::Datasec, start, vars.len());
        self.push(Type::Datasec { name, size, vars })
    }

    /// A declaration tag on a type, or on one of its members or parameters.
    pub fn decl_tag(&mut self, text: &str, target: TypeId, component: Option<u32>) -> TypeId {
        let name = self.string(text);
        self.push(Type::DeclTag { name, target, component, attribute: false })
    }

    /// The types, validated.
    ///
    /// # Errors
    /// As [`Btf::parse`]; also if a list has more than 65535 entries.
    pub fn build(&self) -> Result<Btf, BtfError> {
        if let Some((id, kind)) = self.too_long {
            let problem = crate::TypeProblem::ListTooLong { max: MAX_LIST };
            return Err(BtfError::Type { id, offset: 0, kind: kind.into(), problem });
        }
        Btf::parse(&encode(&self.tables, &self.strings))
    }

    /// The bytes of a `.BTF` section, validated.
    ///
    /// # Errors
    /// As [`BtfBuilder::build`].
    pub fn emit(&self) -> Result<Vec<u8>, BtfError> {
        Ok(self.build()?.encode())
    }
}
