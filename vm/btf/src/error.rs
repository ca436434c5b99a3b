//! Why BTF is refused. Every error names the place and what to do about it.

use crate::types::{Kind, Name, TypeId};

/// Why `.BTF` data is refused.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum BtfError {
    /// Fewer bytes than a header.
    #[error("BTF: {len} bytes are too few for a header of 24: give the whole .BTF section (objects need clang -g)")]
    TooShort {
        /// How many there are.
        len: usize,
    },
    /// Written for a big-endian machine.
    #[error("BTF: the data is big endian: compile with -target bpfel (or -target bpf on a little-endian machine)")]
    BigEndian,
    /// Some other data.
    #[error("BTF: magic is {found:#06x}, not 0xeb9f: this is not a .BTF section")]
    BadMagic {
        /// First two bytes, little endian.
        found: u16,
    },
    /// A version that does not exist yet.
    #[error("BTF: version {found} is unknown (1 is known): use a compiler that writes version 1")]
    BadVersion {
        /// Version in the header.
        found: u8,
    },
    /// The header claims something impossible.
    #[error("BTF header at byte {offset}: {what}: the section is damaged or cut, rebuild the object")]
    BadHeader {
        /// Byte of the offending field.
        offset: usize,
        /// What is wrong.
        what: &'static str,
    },
    /// The string section is not as it must be.
    #[error("BTF string section at byte {offset:#x}: {what}: the section is damaged or cut, rebuild the object")]
    BadStrings {
        /// Where the section begins.
        offset: usize,
        /// What is wrong.
        what: &'static str,
    },
    /// A type is wrong.
    #[error("BTF type {id} {kind} at byte {offset:#x}: {problem}; {}", problem.remedy())]
    Type {
        /// Which.
        id: TypeId,
        /// Where its record begins, in bytes from the start of the data.
        offset: usize,
        /// Kind of the record.
        kind: KindLabel,
        /// What is wrong.
        problem: TypeProblem,
    },
}

/// A kind as it was found, known or not.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct KindLabel(pub u8);

impl From<Kind> for KindLabel {
    fn from(kind: Kind) -> KindLabel {
        KindLabel(kind as u8)
    }
}

impl std::fmt::Display for KindLabel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match Kind::from_raw(self.0) {
            Some(kind) => kind.fmt(f),
            None => write!(f, "(kind {})", self.0),
        }
    }
}

/// What is wrong with a type.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum TypeProblem {
    /// The section ends inside the record.
    #[error("the record needs {needed} bytes and the section has {left} left")]
    Truncated {
        /// Bytes of the record as far as known.
        needed: u64,
        /// Bytes that are there.
        left: usize,
    },
    /// More types than BTF can number.
    #[error("more than {max} types")]
    TooManyTypes {
        /// Linux's limit.
        max: u32,
    },
    /// A kind that is not among the 19.
    #[error("the kind is unknown")]
    UnknownKind,
    /// Reserved bits are set, or a flag or count that the kind does not have.
    #[error("info word {info:#010x} has bits that this kind does not use")]
    BadInfo {
        /// The word.
        info: u32,
    },
    /// A string offset outside the string section.
    #[error("name offset {name:?} lies outside the string section of {len} bytes", name = name.0)]
    NameOutside {
        /// The offset.
        name: Name,
        /// Bytes of strings.
        len: usize,
    },
    /// A name with control characters or broken UTF-8.
    #[error("the name at string offset {} is not printable", name.0)]
    BadName {
        /// The offset.
        name: Name,
    },
    /// A name longer than anything real.
    #[error("the name at string offset {} is longer than {max} bytes", name.0)]
    NameTooLong {
        /// The offset.
        name: Name,
        /// Limit.
        max: usize,
    },
    /// A kind that must have a name has none.
    #[error("the name is missing")]
    NameMissing,
    /// A kind that has no name has one.
    #[error("this kind has no name, and string offset {} is given", name.0)]
    NameForbidden {
        /// The offset.
        name: Name,
    },
    /// A reference to a type that does not exist.
    #[error("refers to type {to}, and the last one is [{last}]")]
    IdOutside {
        /// The reference.
        to: TypeId,
        /// Highest id.
        last: u32,
    },
    /// A reference to a type of a kind that may not stand there.
    #[error("{role} is type {to} of kind {found}, which may not stand there")]
    BadReference {
        /// What the reference is for.
        role: &'static str,
        /// The reference.
        to: TypeId,
        /// Its kind.
        found: Kind,
    },
    /// Something of no size stands where a size is needed.
    #[error("{role} is type {to}, which has no size")]
    Unsized {
        /// What the reference is for.
        role: &'static str,
        /// The reference.
        to: TypeId,
    },
    /// A type contains itself, or a chain of typedefs, qualifiers and pointers ends in itself.
    #[error("the type leads back to itself through type {through}")]
    Cycle {
        /// The type whose reference closes the circle.
        through: TypeId,
    },
    /// Nested more deeply than anything real.
    #[error("the type is nested more than {max} deep")]
    TooDeep {
        /// Limit.
        max: u32,
    },
    /// A size that the kind can't have.
    #[error("size {size} is not possible for this kind")]
    BadSize {
        /// Bytes.
        size: u32,
    },
    /// An integer's description contradicts itself.
    #[error("integer word {word:#010x} is not possible for {size} bytes")]
    BadInt {
        /// The word.
        word: u32,
        /// Bytes of the type.
        size: u32,
    },
    /// An array is larger than 32 bits can count.
    #[error("{len} elements of {elem_size} bytes are more than 4 GiB")]
    ArrayOverflow {
        /// Elements.
        len: u32,
        /// Bytes of one.
        elem_size: u64,
    },
    /// A member does not fit.
    #[error("member {index} ends at bit {end}, and the type has {bits}")]
    MemberOutside {
        /// Which.
        index: u32,
        /// Its end.
        end: u64,
        /// Bits of the struct.
        bits: u64,
    },
    /// A member is misplaced or no integer although it is a bitfield.
    #[error("member {index} is no possible bitfield (bit {bit_offset}, {bit_size} bits)")]
    BadBitfield {
        /// Which.
        index: u32,
        /// Its start.
        bit_offset: u32,
        /// Its bits; 0 if it is none.
        bit_size: u8,
    },
    /// A section variable does not fit.
    #[error("variable {index} takes bytes {start}..{end}, and the section has {size}")]
    VarOutside {
        /// Which.
        index: u32,
        /// First byte.
        start: u64,
        /// Byte after the last.
        end: u64,
        /// Bytes of the section.
        size: u32,
    },
    /// A linkage that does not exist.
    #[error("linkage {found} is unknown")]
    BadLinkage {
        /// The number.
        found: u32,
    },
    /// A tag names a member or parameter that does not exist.
    #[error("the tag is for component {component}, and its target has {count}")]
    BadComponent {
        /// The number.
        component: i32,
        /// How many there are.
        count: u32,
    },
    /// A list made by the builder is longer than a record can say.
    #[error("a list has more than {max} entries")]
    ListTooLong {
        /// Limit.
        max: usize,
    },
    /// `void` as a parameter other than a nameless last one.
    #[error("parameter {index} is void")]
    VoidParam {
        /// Which.
        index: u32,
    },
}

impl TypeProblem {
    /// What the user can do.
    pub const fn remedy(&self) -> &'static str {
        match self {
            TypeProblem::Truncated { .. } => "the file is cut or damaged, rebuild it",
            TypeProblem::TooManyTypes { .. } => "split the object or drop unused types",
            TypeProblem::UnknownKind | TypeProblem::BadInfo { .. } => {
                "use a compiler that writes the 19 kinds of Linux 6.18 (clang 19 does)"
            }
            TypeProblem::ListTooLong { .. } => "split the type",
            TypeProblem::NameTooLong { .. } => "shorten the name in the source",
            TypeProblem::TooDeep { .. } | TypeProblem::ArrayOverflow { .. } => {
                "simplify the type in the source, or rebuild the object if it is damaged"
            }
            TypeProblem::Cycle { .. } => "C can't express this, so the data is damaged: rebuild the object",
            _ => "the data is damaged: rebuild the object with clang -g, or drop it with llvm-strip -g",
        }
    }
}
