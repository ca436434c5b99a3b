//! `.BTF.ext`: which function, which source line and which CO-RE relocation belong to an instruction.
//!
//! Records are grouped by ELF section and sorted by instruction. Instruction offsets are in bytes from the start of the
//! section, as in the object file (the kernel's interface counts in instructions instead).

use std::collections::HashMap;

use crate::btf::Btf;
use crate::parse::{MAGIC, u16_at, u32_at};
use crate::types::*;

/// Longest name of an ELF section that is believed.
const MAX_SECTION_NAME: usize = 256;

/// Why `.BTF.ext` data is refused.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ExtError {
    /// Fewer bytes than a header.
    #[error("BTF.ext: {len} bytes are too few for a header of 24: give the whole .BTF.ext section")]
    TooShort {
        /// How many there are.
        len: usize,
    },
    /// Written for a big-endian machine.
    #[error("BTF.ext: the data is big endian: compile with -target bpfel")]
    BigEndian,
    /// Some other data.
    #[error("BTF.ext: magic is {found:#06x}, not 0xeb9f: this is not a .BTF.ext section")]
    BadMagic {
        /// First two bytes, little endian.
        found: u16,
    },
    /// A version that does not exist yet.
    #[error("BTF.ext: version {found} is unknown (1 is known): use a compiler that writes version 1")]
    BadVersion {
        /// Version in the header.
        found: u8,
    },
    /// The header claims something impossible.
    #[error("BTF.ext header at byte {offset}: {what}: the section is damaged or cut, rebuild the object")]
    BadHeader {
        /// Byte of the offending field.
        offset: usize,
        /// What is wrong.
        what: &'static str,
    },
    /// Part of the information is wrong.
    #[error(
        "BTF.ext {part} at byte {offset:#x}{}: {problem}; rebuild the object, or drop its debug information with \
             llvm-strip -g",
        section_note(section)
    )]
    Record {
        /// `func_info`, `line_info` or `core_relo`.
        part: &'static str,
        /// ELF section of the program, if known yet.
        section: String,
        /// Byte from the start of the data.
        offset: usize,
        /// What is wrong.
        problem: RecordProblem,
    },
}

fn section_note(section: &str) -> String {
    if section.is_empty() { String::new() } else { format!(" (section {section})") }
}

/// What is wrong with a part of `.BTF.ext`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum RecordProblem {
    /// The part ends inside something.
    #[error("{needed} bytes are needed and {left} are left")]
    Truncated {
        /// Needed bytes.
        needed: u64,
        /// Bytes of the part that are left.
        left: usize,
    },
    /// Records smaller than the known ones, or odd.
    #[error("record size {size} is not possible (at least {least}, a multiple of 4)")]
    BadRecordSize {
        /// Size given.
        size: u32,
        /// Size of the known fields.
        least: u32,
    },
    /// A section without records.
    #[error("the section has no records")]
    NoRecords,
    /// A string offset outside the string section.
    #[error("string offset {0} lies outside the string section")]
    NameOutside(u32),
    /// A section name longer than any.
    #[error("the section name at string offset {0} is longer than 256 bytes")]
    NameTooLong(u32),
    /// An instruction offset between instructions.
    #[error("instruction offset {0} is no multiple of 8")]
    Misaligned(u32),
    /// A type that does not exist or is of another kind than needed.
    #[error("type {0} does not exist or is no function")]
    BadType(TypeId),
    /// A relocation kind that does not exist.
    #[error("relocation kind {0} is unknown")]
    BadKind(u32),
}

/// Start of a function.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FuncInfo {
    /// Byte offset of its first instruction.
    pub insn_off: u32,
    /// Its FUNC.
    pub func: TypeId,
}

/// Start of the code of a source line.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LineInfo {
    /// Byte offset of its first instruction.
    pub insn_off: u32,
    /// File name.
    pub file: Name,
    /// Text of the line.
    pub text: Name,
    /// Line, from 1; 0 if unknown.
    pub line: u32,
    /// Column, from 1; 0 if unknown.
    pub column: u32,
}

/// What a CO-RE relocation asks (`enum bpf_core_relo_kind`).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(u8)]
pub enum CoreKind {
    /// Byte offset of a field.
    FieldByteOffset = 0,
    /// Bytes of a field.
    FieldByteSize = 1,
    /// Whether a field exists.
    FieldExists = 2,
    /// Whether a field is signed.
    FieldSigned = 3,
    /// Left shift that brings a bitfield to the top of 64 bits.
    FieldLshiftU64 = 4,
    /// Right shift that brings it down again.
    FieldRshiftU64 = 5,
    /// Id of the type in the program's BTF.
    TypeIdLocal = 6,
    /// Id of the type in the target's BTF.
    TypeIdTarget = 7,
    /// Whether a type exists.
    TypeExists = 8,
    /// Bytes of a type.
    TypeSize = 9,
    /// Whether an enumerator exists.
    EnumvalExists = 10,
    /// Value of an enumerator.
    EnumvalValue = 11,
    /// Whether a type exists and has the same shape.
    TypeMatches = 12,
}

impl CoreKind {
    /// The kind of this number, if there is one.
    pub const fn from_raw(raw: u32) -> Option<CoreKind> {
        use CoreKind::*;
        Some(match raw {
            0 => FieldByteOffset,
            1 => FieldByteSize,
            2 => FieldExists,
            3 => FieldSigned,
            4 => FieldLshiftU64,
            5 => FieldRshiftU64,
            6 => TypeIdLocal,
            7 => TypeIdTarget,
            8 => TypeExists,
            9 => TypeSize,
            10 => EnumvalExists,
            11 => EnumvalValue,
            12 => TypeMatches,
            _ => return None,
        })
    }

    /// libbpf's short name.
    pub const fn label(self) -> &'static str {
        match self {
            CoreKind::FieldByteOffset => "byte_off",
            CoreKind::FieldByteSize => "byte_sz",
            CoreKind::FieldExists => "field_exists",
            CoreKind::FieldSigned => "signed",
            CoreKind::FieldLshiftU64 => "lshift_u64",
            CoreKind::FieldRshiftU64 => "rshift_u64",
            CoreKind::TypeIdLocal => "local_type_id",
            CoreKind::TypeIdTarget => "target_type_id",
            CoreKind::TypeExists => "type_exists",
            CoreKind::TypeSize => "type_size",
            CoreKind::EnumvalExists => "enumval_exists",
            CoreKind::EnumvalValue => "enumval_value",
            CoreKind::TypeMatches => "type_matches",
        }
    }
}

impl std::fmt::Display for CoreKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.label())
    }
}

/// A CO-RE relocation record.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CoreRelo {
    /// Byte offset of the instruction to be patched.
    pub insn_off: u32,
    /// Root type in the program's BTF.
    pub ty: TypeId,
    /// Access string, such as `0:1:2`.
    pub access: Name,
    /// What is asked.
    pub kind: CoreKind,
}

/// Records of one ELF section.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ExtSection<R> {
    /// Section name.
    pub name: String,
    /// Records by rising instruction offset.
    pub records: Vec<R>,
}

/// A validated `.BTF.ext` section.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct BtfExt {
    /// Function starts.
    pub funcs: Vec<ExtSection<FuncInfo>>,
    /// Line starts.
    pub lines: Vec<ExtSection<LineInfo>>,
    /// CO-RE relocations.
    pub relos: Vec<ExtSection<CoreRelo>>,
}

fn of_section<'a, R>(sections: &'a [ExtSection<R>], name: &str) -> &'a [R] {
    sections.iter().find(|s| s.name == name).map_or(&[], |s| &s.records)
}

impl BtfExt {
    /// Reads and validates the bytes of a `.BTF.ext` section that belongs to `btf`.
    ///
    /// # Errors
    /// Names the part, the ELF section, the byte and what is wrong.
    pub fn parse(bytes: &[u8], btf: &Btf) -> Result<BtfExt, ExtError> {
        let short = ExtError::TooShort { len: bytes.len() };
        let magic = u16_at(bytes, 0).ok_or_else(|| short.clone())?;
        if magic == MAGIC.swap_bytes() {
            return Err(ExtError::BigEndian);
        }
        if magic != MAGIC {
            return Err(ExtError::BadMagic { found: magic });
        }
        let (Some(&version), Some(&flags)) = (bytes.get(2), bytes.get(3)) else {
            return Err(short);
        };
        if version != 1 {
            return Err(ExtError::BadVersion { found: version });
        }
        if flags != 0 {
            return Err(ExtError::BadHeader { offset: 3, what: "unknown flags are set" });
        }
        let hdr_len = u32_at(bytes, 4).ok_or(short.clone())? as usize;
        if hdr_len < 24 {
            return Err(ExtError::BadHeader { offset: 4, what: "header length is below 24" });
        }
        let Some(header) = bytes.get(..hdr_len) else {
            return Err(ExtError::BadHeader { offset: 4, what: "header length is beyond the data" });
        };
        let part = |at: usize, name, record| Part::new(bytes, header, at, name, record);
        let funcs = part(8, "func_info", 8)?.read(btf, func_info)?;
        let lines = part(16, "line_info", 16)?.read(btf, line_info)?;
        let relos = part(24, "core_relo", 16)?.read(btf, core_relo)?;
        Ok(BtfExt { funcs, lines, relos })
    }

    /// Function starts of an ELF section.
    pub fn func_info(&self, section: &str) -> &[FuncInfo] {
        of_section(&self.funcs, section)
    }

    /// Line starts of an ELF section.
    pub fn line_info(&self, section: &str) -> &[LineInfo] {
        of_section(&self.lines, section)
    }

    /// CO-RE relocations of an ELF section.
    pub fn core_relos(&self, section: &str) -> &[CoreRelo] {
        of_section(&self.relos, section)
    }

    /// The line that the instruction at this byte of an ELF section belongs to.
    pub fn line_at(&self, section: &str, insn_off: u32) -> Option<&LineInfo> {
        let lines = self.line_info(section);
        let after = lines.partition_point(|l| l.insn_off <= insn_off);
        lines.get(after.checked_sub(1)?)
    }
}

/// One of the three parts: a record size, then sections with their records.
struct Part<'a> {
    name: &'static str,
    /// Bytes of the fields that are known.
    least: u32,
    data: &'a [u8],
    /// Byte of the whole data at which the part begins.
    base: usize,
}

type ReadRecord<R> = fn(&[u8], &Btf) -> Result<(u32, R), RecordProblem>;

impl<'a> Part<'a> {
    /// Finds a part by its two header words; a header too short for them has an empty part.
    fn new(all: &'a [u8], header: &[u8], at: usize, name: &'static str, least: u32) -> Result<Part<'a>, ExtError> {
        let (Some(off), Some(len)) = (u32_at(header, at), u32_at(header, at + 4)) else {
            return Ok(Part { name, least, data: &[], base: 0 });
        };
        if off % 4 != 0 {
            return Err(ExtError::BadHeader { offset: at, what: "a part is not 4-byte aligned" });
        }
        let base = header.len().saturating_add(off as usize);
        let data = base.checked_add(len as usize).and_then(|end| all.get(base..end));
        let data = data.ok_or(ExtError::BadHeader { offset: at + 4, what: "a part ends beyond the data" })?;
        Ok(Part { name, least, data, base })
    }

    fn error(&self, at: usize, section: &str, problem: RecordProblem) -> ExtError {
        let offset = self.base.saturating_add(at);
        ExtError::Record { part: self.name, section: section.to_owned(), offset, problem }
    }

    fn word(&self, at: usize, section: &str) -> Result<u32, ExtError> {
        let left = self.data.len().saturating_sub(at);
        u32_at(self.data, at).ok_or_else(|| self.error(at, section, RecordProblem::Truncated { needed: 4, left }))
    }

    fn read<R: Copy>(&self, btf: &Btf, read: ReadRecord<R>) -> Result<Vec<ExtSection<R>>, ExtError> {
        let mut sections: Vec<ExtSection<(u32, R)>> = Vec::new();
        if self.data.is_empty() {
            return Ok(Vec::new());
        }
        let size = self.word(0, "")?;
        if size < self.least || size % 4 != 0 {
            return Err(self.error(0, "", RecordProblem::BadRecordSize { size, least: self.least }));
        }
        let mut by_name: HashMap<&str, usize> = HashMap::new();
        let mut at = 4usize;
        while at < self.data.len() {
            let name = Name(self.word(at, "")?);
            if !btf.has_str(name) {
                return Err(self.error(at, "", RecordProblem::NameOutside(name.0)));
            }
            let offset = name.0;
            let name = btf.str(name);
            if name.len() > MAX_SECTION_NAME {
                return Err(self.error(at, "", RecordProblem::NameTooLong(offset)));
            }
            let count = self.word(at + 4, name)?;
            if count == 0 {
                return Err(self.error(at + 4, name, RecordProblem::NoRecords));
            }
            at += 8;
            let needed = u64::from(count) * u64::from(size);
            let rest = self.data.get(at..).unwrap_or(&[]);
            let Some(body) = usize::try_from(needed).ok().and_then(|n| rest.get(..n)) else {
                return Err(self.error(at, name, RecordProblem::Truncated { needed, left: rest.len() }));
            };
            let slot = *by_name.entry(name).or_insert_with(|| {
                sections.push(ExtSection { name: name.to_owned(), records: Vec::new() });
                sections.len() - 1
            });
            for (i, record) in body.chunks_exact(size as usize).enumerate() {
                let one = read(record, btf).map_err(|p| self.error(at + i * size as usize, name, p))?;
                if let Some(section) = sections.get_mut(slot) {
                    section.records.push(one);
                }
            }
            at += body.len();
        }
        Ok(sections.into_iter().map(sorted).collect())
    }
}

fn sorted<R: Copy>(mut section: ExtSection<(u32, R)>) -> ExtSection<R> {
    section.records.sort_by_key(|&(off, _)| off);
    ExtSection { name: section.name, records: section.records.iter().map(|&(_, r)| r).collect() }
}

/// A word of a record, which was cut to at least the known length.
fn word(record: &[u8], at: usize) -> Result<u32, RecordProblem> {
    u32_at(record, at).ok_or(RecordProblem::Truncated { needed: at as u64 + 4, left: record.len() })
}

fn insn_off(record: &[u8]) -> Result<u32, RecordProblem> {
    match word(record, 0)? {
        off if off % 8 == 0 => Ok(off),
        off => Err(RecordProblem::Misaligned(off)),
    }
}

fn string(record: &[u8], at: usize, btf: &Btf) -> Result<Name, RecordProblem> {
    let name = Name(word(record, at)?);
    if btf.has_str(name) { Ok(name) } else { Err(RecordProblem::NameOutside(name.0)) }
}

fn func_info(record: &[u8], btf: &Btf) -> Result<(u32, FuncInfo), RecordProblem> {
    let (insn_off, func) = (insn_off(record)?, TypeId(word(record, 4)?));
    match btf.kind(func) {
        Kind::Func => Ok((insn_off, FuncInfo { insn_off, func })),
        _ => Err(RecordProblem::BadType(func)),
    }
}

fn line_info(record: &[u8], btf: &Btf) -> Result<(u32, LineInfo), RecordProblem> {
    let insn_off = insn_off(record)?;
    let place = word(record, 12)?;
    let (file, text) = (string(record, 4, btf)?, string(record, 8, btf)?);
    Ok((insn_off, LineInfo { insn_off, file, text, line: place >> 10, column: place & 0x3ff }))
}

fn core_relo(record: &[u8], btf: &Btf) -> Result<(u32, CoreRelo), RecordProblem> {
    let (insn_off, ty) = (insn_off(record)?, TypeId(word(record, 4)?));
    if btf.get(ty).is_none() {
        return Err(RecordProblem::BadType(ty));
    }
    let raw = word(record, 12)?;
    let kind = CoreKind::from_raw(raw).ok_or(RecordProblem::BadKind(raw))?;
    Ok((insn_off, CoreRelo { insn_off, ty, access: string(record, 8, btf)?, kind }))
}
