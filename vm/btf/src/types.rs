//! The type model: what one BTF record says, in Rust's terms.
//!
//! A [`Type`] is small and `Copy`; variable-length parts (members, enumerators, parameters, section variables) lie in
//! shared tables of [`crate::Btf`] and are named by a [`Span`], so that a kernel's hundred thousand types cost four
//! allocations. Field meanings follow the kernel's `Documentation/bpf/btf.rst`.

use std::fmt;

/// Number of a type; 0 is `void`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct TypeId(pub u32);

impl TypeId {
    /// `void`.
    pub const VOID: TypeId = TypeId(0);

    /// Position in the table of types.
    pub const fn index(self) -> usize {
        self.0 as usize
    }

    /// Whether this is `void`.
    pub const fn is_void(self) -> bool {
        self.0 == 0
    }
}

impl fmt::Debug for TypeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{}]", self.0)
    }
}

impl fmt::Display for TypeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{}]", self.0)
    }
}

/// Byte offset of a string in the string section; 0 is the empty string. Read it with [`crate::Btf::str`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Name(pub u32);

impl Name {
    /// The empty string.
    pub const EMPTY: Name = Name(0);
}

/// Kind number of a record, as stored.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(u8)]
pub enum Kind {
    /// Not a record: the type 0.
    Void = 0,
    /// Integer.
    Int = 1,
    /// Pointer.
    Ptr = 2,
    /// Array.
    Array = 3,
    /// Struct.
    Struct = 4,
    /// Union.
    Union = 5,
    /// Enum with 32-bit values.
    Enum = 6,
    /// Forward declaration of a struct or union.
    Fwd = 7,
    /// Typedef.
    Typedef = 8,
    /// `volatile`.
    Volatile = 9,
    /// `const`.
    Const = 10,
    /// `restrict`.
    Restrict = 11,
    /// A function.
    Func = 12,
    /// Parameters and result of a function.
    FuncProto = 13,
    /// A variable.
    Var = 14,
    /// The variables of an ELF section.
    Datasec = 15,
    /// Floating point number.
    Float = 16,
    /// `btf_decl_tag` attribute.
    DeclTag = 17,
    /// `btf_type_tag` attribute.
    TypeTag = 18,
    /// Enum with 64-bit values.
    Enum64 = 19,
}

impl Kind {
    /// The kind of this number, if there is one (1 to 19).
    pub const fn from_raw(raw: u8) -> Option<Kind> {
        Some(match raw {
            1 => Kind::Int,
            2 => Kind::Ptr,
            3 => Kind::Array,
            4 => Kind::Struct,
            5 => Kind::Union,
            6 => Kind::Enum,
            7 => Kind::Fwd,
            8 => Kind::Typedef,
            9 => Kind::Volatile,
            10 => Kind::Const,
            11 => Kind::Restrict,
            12 => Kind::Func,
            13 => Kind::FuncProto,
            14 => Kind::Var,
            15 => Kind::Datasec,
            16 => Kind::Float,
            17 => Kind::DeclTag,
            18 => Kind::TypeTag,
            19 => Kind::Enum64,
            _ => return None,
        })
    }

    /// Name as in the kernel's headers, without `BTF_KIND_`.
    pub const fn label(self) -> &'static str {
        match self {
            Kind::Void => "VOID",
            Kind::Int => "INT",
            Kind::Ptr => "PTR",
            Kind::Array => "ARRAY",
            Kind::Struct => "STRUCT",
            Kind::Union => "UNION",
            Kind::Enum => "ENUM",
            Kind::Fwd => "FWD",
            Kind::Typedef => "TYPEDEF",
            Kind::Volatile => "VOLATILE",
            Kind::Const => "CONST",
            Kind::Restrict => "RESTRICT",
            Kind::Func => "FUNC",
            Kind::FuncProto => "FUNC_PROTO",
            Kind::Var => "VAR",
            Kind::Datasec => "DATASEC",
            Kind::Float => "FLOAT",
            Kind::DeclTag => "DECL_TAG",
            Kind::TypeTag => "TYPE_TAG",
            Kind::Enum64 => "ENUM64",
        }
    }

    /// The word that C puts before a name of this kind, as libbpf's messages do (`struct`, `typedef`, ...).
    pub const fn keyword(self) -> &'static str {
        match self {
            Kind::Void => "void",
            Kind::Int => "int",
            Kind::Ptr => "ptr",
            Kind::Array => "array",
            Kind::Struct => "struct",
            Kind::Union => "union",
            Kind::Enum => "enum",
            Kind::Fwd => "fwd",
            Kind::Typedef => "typedef",
            Kind::Volatile => "volatile",
            Kind::Const => "const",
            Kind::Restrict => "restrict",
            Kind::Func => "func",
            Kind::FuncProto => "func_proto",
            Kind::Var => "var",
            Kind::Datasec => "datasec",
            Kind::Float => "float",
            Kind::DeclTag => "decl_tag",
            Kind::TypeTag => "type_tag",
            Kind::Enum64 => "enum64",
        }
    }

    /// ENUM or ENUM64.
    pub const fn is_any_enum(self) -> bool {
        matches!(self, Kind::Enum | Kind::Enum64)
    }

    /// STRUCT or UNION.
    pub const fn is_composite(self) -> bool {
        matches!(self, Kind::Struct | Kind::Union)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.label())
    }
}

/// A run of entries in one of the shared tables.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Span {
    pub(crate) start: u32,
    pub(crate) len: u32,
}

impl Span {
    pub(crate) fn of<T>(self, table: &[T]) -> &[T] {
        let start = self.start as usize;
        table.get(start..start.saturating_add(self.len as usize)).unwrap_or(&[])
    }

    pub(crate) fn of_mut<T>(self, table: &mut [T]) -> &mut [T] {
        let start = self.start as usize;
        table.get_mut(start..start.saturating_add(self.len as usize)).unwrap_or(&mut [])
    }

    /// How many entries.
    pub const fn len(self) -> usize {
        self.len as usize
    }

    /// Whether there are none.
    pub const fn is_empty(self) -> bool {
        self.len == 0
    }
}

/// What an integer's bits mean.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Encoding {
    /// Unsigned number.
    #[default]
    Unsigned,
    /// Two's complement.
    Signed,
    /// Character (clang marks `char` as signed; pahole may use this).
    Char,
    /// `bool`.
    Bool,
}

/// An integer type.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Int {
    /// Its name.
    pub name: Name,
    /// Bytes, 1 to 16.
    pub size: u8,
    /// Bits that count, from `bit_offset` on.
    pub bits: u8,
    /// First bit (0 but for bitfields in the old style).
    pub bit_offset: u8,
    /// Meaning.
    pub encoding: Encoding,
}

impl Int {
    /// Whether it is sign-extended when widened.
    pub const fn is_signed(&self) -> bool {
        matches!(self.encoding, Encoding::Signed)
    }
}

/// A struct or union.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Composite {
    /// Its tag; may be empty.
    pub name: Name,
    /// Bytes.
    pub size: u32,
    /// Members, see [`crate::Btf::members`].
    pub members: Span,
    /// Whether member records carry bitfield sizes (the record's `kind_flag`).
    pub bitfields: bool,
}

/// An enum of either width.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Enum {
    /// Its tag; may be empty.
    pub name: Name,
    /// Bytes: 1, 2, 4 or 8.
    pub size: u8,
    /// Whether values are signed.
    pub signed: bool,
    /// Enumerators, see [`crate::Btf::enumerators`]. None means a forward declaration.
    pub values: Span,
}

/// Linkage of functions and variables.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Linkage {
    /// Visible in its file only.
    Static,
    /// Visible to all (also for variables, where the kernel says `allocated`).
    Global,
    /// Defined elsewhere (a kfunc, a kernel variable).
    Extern,
}

/// One type. See [`crate::Btf::ty`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Type {
    /// `void`; also what an unknown id reads as.
    Void,
    /// Integer.
    Int(Int),
    /// Pointer to `to`.
    Ptr {
        /// Pointee.
        to: TypeId,
    },
    /// Array; `len` 0 is a flexible array.
    Array {
        /// Element.
        elem: TypeId,
        /// Type of the index.
        index: TypeId,
        /// How many elements.
        len: u32,
    },
    /// Struct.
    Struct(Composite),
    /// Union.
    Union(Composite),
    /// Enum, 32-bit values.
    Enum(Enum),
    /// Enum, 64-bit values.
    Enum64(Enum),
    /// Forward declaration.
    Fwd {
        /// Tag.
        name: Name,
        /// Of a union rather than a struct.
        union: bool,
    },
    /// Typedef.
    Typedef {
        /// New name.
        name: Name,
        /// What it names.
        to: TypeId,
    },
    /// `volatile`.
    Volatile {
        /// Qualified type.
        to: TypeId,
    },
    /// `const`.
    Const {
        /// Qualified type.
        to: TypeId,
    },
    /// `restrict`.
    Restrict {
        /// Qualified type.
        to: TypeId,
    },
    /// Function.
    Func {
        /// Name.
        name: Name,
        /// Its FUNC_PROTO.
        proto: TypeId,
        /// Linkage.
        linkage: Linkage,
    },
    /// Prototype.
    FuncProto {
        /// Result.
        ret: TypeId,
        /// Parameters, see [`crate::Btf::params`].
        params: Span,
    },
    /// Variable.
    Var {
        /// Name.
        name: Name,
        /// Type.
        ty: TypeId,
        /// Linkage.
        linkage: Linkage,
    },
    /// Section of variables.
    Datasec {
        /// Section name.
        name: Name,
        /// Bytes; 0 in an object that is not linked yet.
        size: u32,
        /// Variables, see [`crate::Btf::datasec_vars`].
        vars: Span,
    },
    /// Floating point number.
    Float {
        /// Name.
        name: Name,
        /// Bytes.
        size: u8,
    },
    /// Declaration tag.
    DeclTag {
        /// The tag's text.
        name: Name,
        /// What is tagged.
        target: TypeId,
        /// Which member or parameter of it, counted from 0; none for the whole.
        component: Option<u32>,
        /// Whether it is a plain attribute (the record's `kind_flag`, Linux 6.15).
        attribute: bool,
    },
    /// Type tag.
    TypeTag {
        /// The tag's text.
        name: Name,
        /// Tagged type.
        to: TypeId,
        /// Whether it is a plain attribute (the record's `kind_flag`, Linux 6.15).
        attribute: bool,
    },
}

impl Type {
    /// Kind of the record.
    pub const fn kind(&self) -> Kind {
        match self {
            Type::Void => Kind::Void,
            Type::Int(_) => Kind::Int,
            Type::Ptr { .. } => Kind::Ptr,
            Type::Array { .. } => Kind::Array,
            Type::Struct(_) => Kind::Struct,
            Type::Union(_) => Kind::Union,
            Type::Enum(_) => Kind::Enum,
            Type::Enum64(_) => Kind::Enum64,
            Type::Fwd { .. } => Kind::Fwd,
            Type::Typedef { .. } => Kind::Typedef,
            Type::Volatile { .. } => Kind::Volatile,
            Type::Const { .. } => Kind::Const,
            Type::Restrict { .. } => Kind::Restrict,
            Type::Func { .. } => Kind::Func,
            Type::FuncProto { .. } => Kind::FuncProto,
            Type::Var { .. } => Kind::Var,
            Type::Datasec { .. } => Kind::Datasec,
            Type::Float { .. } => Kind::Float,
            Type::DeclTag { .. } => Kind::DeclTag,
            Type::TypeTag { .. } => Kind::TypeTag,
        }
    }

    /// Its name; empty for kinds without one.
    pub const fn name(&self) -> Name {
        match *self {
            Type::Int(Int { name, .. })
            | Type::Struct(Composite { name, .. })
            | Type::Union(Composite { name, .. })
            | Type::Enum(Enum { name, .. })
            | Type::Enum64(Enum { name, .. })
            | Type::Fwd { name, .. }
            | Type::Typedef { name, .. }
            | Type::Func { name, .. }
            | Type::Var { name, .. }
            | Type::Datasec { name, .. }
            | Type::Float { name, .. }
            | Type::DeclTag { name, .. }
            | Type::TypeTag { name, .. } => name,
            Type::Void
            | Type::Ptr { .. }
            | Type::Array { .. }
            | Type::Volatile { .. }
            | Type::Const { .. }
            | Type::Restrict { .. }
            | Type::FuncProto { .. } => Name::EMPTY,
        }
    }

    /// What a typedef, qualifier or type tag stands for; none for other kinds.
    pub const fn modified(&self) -> Option<TypeId> {
        match *self {
            Type::Typedef { to, .. }
            | Type::Volatile { to }
            | Type::Const { to }
            | Type::Restrict { to }
            | Type::TypeTag { to, .. } => Some(to),
            _ => None,
        }
    }

    /// The struct or union.
    pub const fn composite(&self) -> Option<&Composite> {
        match self {
            Type::Struct(c) | Type::Union(c) => Some(c),
            _ => None,
        }
    }

    /// The enum of either width.
    pub const fn enumeration(&self) -> Option<&Enum> {
        match self {
            Type::Enum(e) | Type::Enum64(e) => Some(e),
            _ => None,
        }
    }
}

/// A member of a struct or union.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Member {
    /// Name; empty for anonymous structs and unions.
    pub name: Name,
    /// Type.
    pub ty: TypeId,
    /// Bits from the start of the struct.
    pub bit_offset: u32,
    /// Bits of a bitfield; 0 for an ordinary member.
    pub bit_size: u8,
}

impl Member {
    /// Bytes from the start of the struct, rounded down for bitfields.
    pub const fn byte_offset(&self) -> u32 {
        self.bit_offset / 8
    }

    /// Whether it is a bitfield.
    pub const fn is_bitfield(&self) -> bool {
        self.bit_size != 0
    }
}

/// One constant of an enum.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Enumerator {
    /// Name.
    pub name: Name,
    /// Value, extended to 64 bits as the enum's signedness says; cast to `u64` for an unsigned enum.
    pub value: i64,
}

/// A parameter. The last one of type `void` without a name means `...`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Param {
    /// Name; may be empty.
    pub name: Name,
    /// Type.
    pub ty: TypeId,
}

/// A variable's place in its section.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct SecVar {
    /// The VAR (or, in `.ksyms`, the FUNC).
    pub ty: TypeId,
    /// Bytes from the start of the section.
    pub offset: u32,
    /// Bytes.
    pub size: u32,
}
