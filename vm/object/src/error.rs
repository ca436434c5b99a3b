//! Why an object cannot be opened or a program of it cannot be linked. Each error names the place and the remedy.

use std::fmt;

use backstop_btf::core::{CoreError, PatchError};
use backstop_btf::{BtfError, ExtError};
use backstop_model::MapSpecError;
use backstop_model::sections::SectionError;

/// An instruction of an object, in the user's terms.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Place {
    /// Function that holds it.
    pub function: String,
    /// ELF section.
    pub section: String,
    /// Byte offset in the section.
    pub offset: u64,
    /// Source position (`filter.c:12`), where the object has line information.
    pub line: Option<String>,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "function `{}`, section `{}`, byte {:#x}", self.function, self.section, self.offset)?;
        match &self.line {
            Some(line) => write!(f, ", {line}"),
            None => Ok(()),
        }
    }
}

/// Why the bytes are no eBPF object.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ElfProblem {
    /// Not ELF, or cut before its header ends.
    #[error("it is no 64-bit ELF file ({0}); give an object made by `clang -target bpf -c`")]
    NotElf(String),
    /// A big-endian object.
    #[error("it is a big-endian object; compile with -target bpfel (or -target bpf on a little-endian machine)")]
    BigEndian,
    /// For another machine.
    #[error("its machine is {0}, not BPF (247); compile with -target bpf")]
    Machine(u16),
    /// Not a relocatable file.
    #[error("its ELF type is {0}, not a relocatable object (1); link with `bpftool gen object`, not with ld")]
    Kind(u16),
    /// The table of sections, symbols or strings is damaged.
    #[error("its {part} is damaged ({detail}); the file is cut or corrupt, rebuild it")]
    Table {
        /// Which.
        part: &'static str,
        /// What was found.
        detail: String,
    },
}

/// Why a map's description is refused.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum MapProblem {
    /// The object has `.maps` but no BTF.
    #[error("`.maps` needs BTF; compile with -g")]
    NoBtf,
    /// The variable is no struct.
    #[error(
        "it is not a struct of map attributes; declare it as `struct {{ __uint(type, ...); ... }} name SEC(\".maps\")`"
    )]
    NotStruct,
    /// The variable has no symbol, or it lies outside the section.
    #[error("it has no symbol in its section; rebuild the object")]
    NoSymbol,
    /// An attribute that maps do not have.
    #[error("attribute `{0}` is unknown; remove it")]
    UnknownAttribute(String),
    /// An attribute of the wrong shape.
    #[error("attribute `{attribute}` {why}")]
    BadAttribute {
        /// Which.
        attribute: String,
        /// What is wrong and what would be right.
        why: &'static str,
    },
    /// No type given.
    #[error("attribute `type` is missing; add __uint(type, BPF_MAP_TYPE_...)")]
    NoType,
    /// A kind that Linux 6.18 does not have.
    #[error("map type {0} does not exist in Linux 6.18; use one of 1 to 33")]
    UnknownType(u32),
    /// Two statements about a size contradict each other.
    #[error("`{attribute}` is {declared}, and the type has {size} bytes; make them agree")]
    SizeMismatch {
        /// `key_size` or `value_size`.
        attribute: &'static str,
        /// As a number.
        declared: u32,
        /// By the type.
        size: u64,
    },
    /// A relocation of `.values` is wrong.
    #[error("its initial value at byte {offset:#x} of the section {why}")]
    BadValue {
        /// Byte of the section.
        offset: u64,
        /// What is wrong and what would be right.
        why: String,
    },
    /// A legacy definition with a length that it cannot have.
    #[error(
        "a definition in section `maps` has {0} bytes, and `struct bpf_map_def` has at least 20; use SEC(\".maps\")"
    )]
    LegacySize(u64),
    /// A legacy definition with fields that nobody knows.
    #[error("its definition has non-zero bytes after the 20 known ones; use SEC(\".maps\")")]
    LegacyExtra,
}

/// Why an object cannot be opened.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ObjectError {
    /// The file as such.
    #[error("object `{object}`: {problem}")]
    Elf {
        /// The object.
        object: String,
        /// What is wrong.
        problem: ElfProblem,
    },
    /// A section lies outside the file, or its contents do.
    #[error(
        "object `{object}`, section {index} `{section}`: bytes {offset:#x}..{end:#x} lie outside the file of {len:#x}; \
             the file is cut or corrupt, rebuild it"
    )]
    SectionOutside {
        /// The object.
        object: String,
        /// Section number.
        index: usize,
        /// Section name.
        section: String,
        /// First byte.
        offset: u64,
        /// Byte after the last.
        end: u128,
        /// File length.
        len: u64,
    },
    /// Two sections share bytes.
    #[error(
        "object `{object}`: sections `{first}` and `{second}` overlap at byte {offset:#x} of the file; the file is \
             corrupt, rebuild it"
    )]
    SectionsOverlap {
        /// The object.
        object: String,
        /// One.
        first: String,
        /// The other.
        second: String,
        /// First shared byte.
        offset: u64,
    },
    /// A section that Backstop refuses by name, or whose contents can't be used.
    #[error("object `{object}`, section `{section}`: {why}")]
    Section {
        /// The object.
        object: String,
        /// Section name.
        section: String,
        /// What is wrong and what to do.
        why: String,
    },
    /// A function's symbol is wrong.
    #[error("object `{object}`, section `{section}`, function `{function}` at byte {offset:#x}: {why}")]
    Function {
        /// The object.
        object: String,
        /// Section name.
        section: String,
        /// The function.
        function: String,
        /// Byte offset in the section.
        offset: u64,
        /// What is wrong and what to do.
        why: String,
    },
    /// Two programs of one name.
    #[error("object `{object}`: two programs are called `{name}`, in sections `{first}` and `{second}`; rename one")]
    DuplicateProgram {
        /// The object.
        object: String,
        /// The name.
        name: String,
        /// Section of the first.
        first: String,
        /// Section of the second.
        second: String,
    },
    /// Two maps of one name.
    #[error("object `{object}`: two maps are called `{name}`; rename one")]
    DuplicateMap {
        /// The object.
        object: String,
        /// The name.
        name: String,
    },
    /// A relocation is wrong in itself.
    #[error("object `{object}`, section `{section}`: relocation at byte {offset:#x} {why}; rebuild the object")]
    Relocation {
        /// The object.
        object: String,
        /// The section that it changes.
        section: String,
        /// Byte offset in that section.
        offset: u64,
        /// What is wrong.
        why: String,
    },
    /// A map's description.
    #[error("object `{object}`, section `{section}`, map `{map}`: {problem}")]
    Map {
        /// The object.
        object: String,
        /// Section name.
        section: String,
        /// The map.
        map: String,
        /// What is wrong.
        problem: Box<MapProblem>,
    },
    /// Global data of more bytes than are allowed.
    #[error(
        "object `{object}`, section `{section}`: global data of {bytes} bytes in all are more than the limit of {limit}; \
             put large tables into a map"
    )]
    DataTooLarge {
        /// The object.
        object: String,
        /// The section that crosses the limit.
        section: String,
        /// Bytes up to and with it.
        bytes: u64,
        /// The limit.
        limit: u64,
    },
    /// A global variable is unknown.
    #[error("object `{object}` has no global variable `{name}`{}", hint(known))]
    NoGlobal {
        /// The object.
        object: String,
        /// The name.
        name: String,
        /// Some that it has.
        known: String,
    },
    /// A global variable was given another number of bytes than it has.
    #[error("object `{object}`: global variable `{name}` has {size} bytes, and {given} were given")]
    GlobalSize {
        /// The object.
        object: String,
        /// The name.
        name: String,
        /// Bytes of the variable.
        size: u32,
        /// Bytes given.
        given: usize,
    },
    /// A map is unknown.
    #[error("object `{object}` has no map `{name}`{}", hint(known))]
    NoMap {
        /// The object.
        object: String,
        /// The name.
        name: String,
        /// Some that it has.
        known: String,
    },
    /// A map of global data was to get another size.
    #[error("object `{object}`: map `{name}` holds global data, whose size its sections decide")]
    DataMap {
        /// The object.
        object: String,
        /// The map.
        name: String,
    },
    /// A `.kconfig` variable is unknown.
    #[error(
        "object `{object}` has no `.kconfig` variable `{name}`; declare it as `extern int {name} SEC(\".kconfig\")` and use it"
    )]
    NoKconfig {
        /// The object.
        object: String,
        /// The name.
        name: String,
    },
    /// A `.kconfig` variable can't have this value.
    #[error(
        "object `{object}`: `.kconfig` variable `{name}` has {size} bytes and can't be {value:#x}; only numbers that fit can be given"
    )]
    KconfigValue {
        /// The object.
        object: String,
        /// The name.
        name: String,
        /// Its bytes.
        size: u32,
        /// What was given.
        value: u64,
    },
    /// The `.BTF` section.
    #[error("object `{object}`, section `.BTF`: {source}")]
    Btf {
        /// The object.
        object: String,
        /// What is wrong.
        source: Box<BtfError>,
    },
    /// The `.BTF.ext` section.
    #[error("object `{object}`, section `.BTF.ext`: {source}")]
    BtfExt {
        /// The object.
        object: String,
        /// What is wrong.
        source: Box<ExtError>,
    },
}

fn hint(known: &str) -> String {
    if known.is_empty() { String::new() } else { format!("; it has {known}") }
}

/// What to do about a map of impossible sizes.
fn sizing(source: &MapSpecError) -> &'static str {
    match source {
        MapSpecError::MaxEntries { found: 0, .. } => {
            "; declare it, or set it before the load (`Object::set_max_entries`, `--map-size NAME=N`)"
        }
        MapSpecError::ValueSize { found: 0, .. } => {
            "; declare it, or set it before the load (`Object::set_value_size`)"
        }
        _ => "",
    }
}

/// Why a program cannot be linked.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum LinkError {
    /// No such program.
    #[error("object `{object}` has no program `{program}`{}", hint(known))]
    NoProgram {
        /// The object.
        object: String,
        /// The name asked for.
        program: String,
        /// Programs that it has.
        known: String,
    },
    /// No section has instructions.
    #[error(
        "object `{object}` holds no code: put the function into `.text` or a section of its own (SHT_PROGBITS, SHF_EXECINSTR)"
    )]
    NoCode {
        /// The object.
        object: String,
    },
    /// Nothing says where the one program of an object begins.
    #[error(
        "object `{object}` has code in sections {sections} and no global function, so which is to run can't be told; make one \
             function global"
    )]
    NoEntry {
        /// The object.
        object: String,
        /// Names of the sections.
        sections: String,
    },
    /// The section's name gives no program type.
    #[error("program `{program}`: {source}")]
    Section {
        /// The program.
        program: String,
        /// What is wrong.
        source: SectionError,
    },
    /// `host/STRUCT` names a struct that the host has not declared.
    #[error(
        "program `{program}`, section `{section}`: the host has no context struct `{name}`; declare it to the linker"
    )]
    NoHostContext {
        /// The program.
        program: String,
        /// Its section.
        section: String,
        /// The struct.
        name: String,
    },
    /// A map that the program uses can't be made as it is described.
    #[error("program `{program}`, section `{section}`: {source}{}", sizing(source))]
    Map {
        /// The program.
        program: String,
        /// Section that declares the map.
        section: String,
        /// Which map, and what is wrong.
        source: Box<MapSpecError>,
    },
    /// More instructions than the verifier will look at.
    #[error(
        "program `{program}` has more than {limit} instruction slots with all that it calls; split it by tail calls"
    )]
    TooLarge {
        /// The program.
        program: String,
        /// Most that are allowed.
        limit: usize,
    },
    /// A call or function address that leads to no function.
    #[error(
        "program `{program}`, {place}: the call leads to byte {target:#x} of section `{section}`, where no function \
             begins; rebuild the object"
    )]
    BadCallTarget {
        /// The program.
        program: String,
        /// The call.
        place: Box<Place>,
        /// Section that it leads to.
        section: String,
        /// Byte offset there (negative: before the section).
        target: i64,
    },
    /// A relocation that its instruction can't take.
    #[error("program `{program}`, {place}: relocation for `{symbol}` {why}; rebuild the object")]
    BadRelocation {
        /// The program.
        program: String,
        /// The instruction.
        place: Box<Place>,
        /// Symbol that it refers to.
        symbol: String,
        /// What is wrong.
        why: String,
    },
    /// A symbol that nobody defines.
    #[error("program `{program}`, {place}: `{symbol}` is not defined: {remedy}")]
    Unresolved {
        /// The program.
        program: String,
        /// Where it is used.
        place: Box<Place>,
        /// The symbol.
        symbol: String,
        /// What would help.
        remedy: &'static str,
    },
    /// A kfunc's prototype differs from the host's.
    #[error(
        "program `{program}`, {place}: kfunc `{symbol}` is declared with another prototype than it has; take its \
             declaration from the runtime's headers"
    )]
    KfuncPrototype {
        /// The program.
        program: String,
        /// Where it is called.
        place: Box<Place>,
        /// The kfunc.
        symbol: String,
    },
    /// A CO-RE relocation is malformed or ambiguous.
    #[error("program `{program}`, {place}: {source}")]
    Core {
        /// The program.
        program: String,
        /// The instruction.
        place: Box<Place>,
        /// What is wrong.
        source: Box<CoreError>,
    },
    /// A CO-RE relocation does not fit its instruction.
    #[error("program `{program}`, {place}: {source}")]
    CorePatch {
        /// The program.
        program: String,
        /// The instruction.
        place: Box<Place>,
        /// What is wrong.
        source: Box<PatchError>,
    },
}
