//! From bytes to tables. Everything that later code relies on is established here or in `check`, once.
//!
//! Allocation is bounded by the input: a count is believed only after the bytes that it claims were found.

use crate::error::{BtfError, KindLabel, TypeProblem};
use crate::types::*;

/// Little-endian magic.
pub(crate) const MAGIC: u16 = 0xeb9f;
/// Bytes of the header that this module knows.
pub(crate) const HEADER_LEN: usize = 24;
/// Linux's `BTF_MAX_TYPE`.
const MAX_TYPE: u32 = 0x000f_ffff;
/// Linux's `BTF_MAX_NAME_OFFSET`.
const MAX_STRINGS: usize = 0x00ff_ffff;
/// Longest name of a type, member, parameter or enumerator. Linux allows 512 for identifiers; tags may be longer. Without
/// a limit, many references to one huge string would cost more time than anyone has.
const MAX_NAME: usize = 1024;
/// Bits of the info word that mean something: kind_flag, kind, vlen.
const INFO_MASK: u32 = 0x9f00_ffff;

/// All types with their shared lists.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tables {
    pub types: Vec<Type>,
    pub members: Vec<Member>,
    pub enumerators: Vec<Enumerator>,
    pub params: Vec<Param>,
    pub vars: Vec<SecVar>,
}

pub(crate) fn u16_at(b: &[u8], at: usize) -> Option<u16> {
    let s = b.get(at..at.checked_add(2)?)?;
    Some(u16::from_le_bytes(s.try_into().ok()?))
}

pub(crate) fn u32_at(b: &[u8], at: usize) -> Option<u32> {
    let s = b.get(at..at.checked_add(4)?)?;
    Some(u32::from_le_bytes(s.try_into().ok()?))
}

/// Where the two sections lie, checked against the data.
pub(crate) struct Layout<'a> {
    pub types: &'a [u8],
    /// Byte of the data at which the types begin.
    pub types_at: usize,
    pub strings: &'a [u8],
}

/// Reads and checks the header.
pub(crate) fn layout(b: &[u8]) -> Result<Layout<'_>, BtfError> {
    let short = BtfError::TooShort { len: b.len() };
    let magic = u16_at(b, 0).ok_or_else(|| short.clone())?;
    if magic == MAGIC.swap_bytes() {
        return Err(BtfError::BigEndian);
    }
    if magic != MAGIC {
        return Err(BtfError::BadMagic { found: magic });
    }
    let (Some(&version), Some(&flags)) = (b.get(2), b.get(3)) else {
        return Err(short);
    };
    if version != 1 {
        return Err(BtfError::BadVersion { found: version });
    }
    let bad = |offset, what| BtfError::BadHeader { offset, what };
    if flags != 0 {
        return Err(bad(3, "unknown flags are set"));
    }
    let field = |at| u32_at(b, at).map(|v| v as usize).ok_or_else(|| short.clone());
    let (hdr_len, type_off, type_len) = (field(4)?, field(8)?, field(12)?);
    let (str_off, str_len) = (field(16)?, field(20)?);
    if hdr_len < HEADER_LEN {
        return Err(bad(4, "header length is below 24"));
    }
    let Some(extra) = b.get(HEADER_LEN..hdr_len) else {
        return Err(bad(4, "header length is beyond the data"));
    };
    if extra.iter().any(|&x| x != 0) {
        return Err(bad(HEADER_LEN, "fields of a newer header are set"));
    }
    let body = b.get(hdr_len..).unwrap_or(&[]);
    let part = |off: usize, len: usize| off.checked_add(len).and_then(|end| body.get(off..end));
    if type_off % 4 != 0 {
        return Err(bad(8, "type section is not 4-byte aligned"));
    }
    let types = part(type_off, type_len).ok_or(bad(12, "type section ends beyond the data"))?;
    let strings = part(str_off, str_len).ok_or(bad(20, "string section ends beyond the data"))?;
    if type_off < str_off.saturating_add(str_len) && str_off < type_off.saturating_add(type_len) {
        return Err(bad(16, "type and string sections overlap"));
    }
    let strings_at = hdr_len.saturating_add(str_off);
    let bad_strings = |what| BtfError::BadStrings { offset: strings_at, what };
    if strings.first() != Some(&0) {
        return Err(bad_strings("does not begin with an empty string"));
    }
    if strings.last() != Some(&0) {
        return Err(bad_strings("does not end with a NUL"));
    }
    if strings.len() > MAX_STRINGS {
        return Err(bad_strings("is longer than 16 MiB"));
    }
    Ok(Layout { types, types_at: hdr_len.saturating_add(type_off), strings })
}

/// Makes the string section a `str` of the same length; source lines in it may be in any encoding, and their foreign
/// bytes become `?` so that offsets stay.
pub(crate) fn strings_of(bytes: &[u8]) -> Box<str> {
    if let Ok(s) = std::str::from_utf8(bytes) {
        return s.into();
    }
    let mut out = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        out.push_str(chunk.valid());
        out.extend(chunk.invalid().iter().map(|_| '?'));
    }
    out.into()
}

/// Decodes the type section. References are not checked yet.
pub(crate) fn decode(layout: &Layout<'_>) -> Result<Tables, BtfError> {
    let mut tables = Tables::default();
    tables.types.reserve(layout.types.len() / 16);
    tables.types.push(Type::Void);
    let mut at = 0usize;
    while at < layout.types.len() {
        let rest = layout.types.get(at..).unwrap_or(&[]);
        let id = tables.types.len() as u32;
        let kind = KindLabel(rest.get(7).map_or(0, |b| b & 0x1f));
        let mut one = Record { b: rest, strings: layout.strings, tables: &mut tables };
        let (ty, len) =
            if id > MAX_TYPE { Err(TypeProblem::TooManyTypes { max: MAX_TYPE }) } else { one.decode() }.map_err(
                |problem| BtfError::Type { id: TypeId(id), offset: layout.types_at.saturating_add(at), kind, problem },
            )?;
        tables.types.push(ty);
        at = at.saturating_add(len);
    }
    Ok(tables)
}

/// Bytes that a type takes in the type section.
pub(crate) fn encoded_len(ty: &Type) -> usize {
    12 + match ty {
        Type::Void => return 0,
        Type::Int(_) | Type::Var { .. } | Type::DeclTag { .. } => 4,
        Type::Array { .. } => 12,
        Type::Struct(c) | Type::Union(c) => c.members.len() * 12,
        Type::Enum(e) => e.values.len() * 8,
        Type::Enum64(e) => e.values.len() * 12,
        Type::FuncProto { params, .. } => params.len() * 8,
        Type::Datasec { vars, .. } => vars.len() * 12,
        Type::Ptr { .. }
        | Type::Fwd { .. }
        | Type::Typedef { .. }
        | Type::Volatile { .. }
        | Type::Const { .. }
        | Type::Restrict { .. }
        | Type::Func { .. }
        | Type::Float { .. }
        | Type::TypeTag { .. } => 0,
    }
}

/// Whether a kind has a name.
enum Named {
    Must,
    May,
    Never,
}

const fn naming(kind: Kind) -> Named {
    match kind {
        Kind::Fwd | Kind::Typedef | Kind::Func | Kind::Var | Kind::Datasec | Kind::DeclTag | Kind::TypeTag => {
            Named::Must
        }
        Kind::Int | Kind::Float | Kind::Struct | Kind::Union | Kind::Enum | Kind::Enum64 => Named::May,
        Kind::Void | Kind::Ptr | Kind::Array | Kind::Volatile | Kind::Const | Kind::Restrict | Kind::FuncProto => {
            Named::Never
        }
    }
}

/// Bits of the info word that a kind may set: (kind_flag, vlen).
const fn info_use(kind: Kind) -> (bool, bool) {
    match kind {
        Kind::Struct | Kind::Union | Kind::Enum | Kind::Enum64 => (true, true),
        Kind::Fwd | Kind::DeclTag | Kind::TypeTag => (true, false),
        // The count of a FUNC is its linkage.
        Kind::Func | Kind::FuncProto | Kind::Datasec => (false, true),
        _ => (false, false),
    }
}

struct Record<'a, 't> {
    b: &'a [u8],
    strings: &'a [u8],
    tables: &'t mut Tables,
}

impl Record<'_, '_> {
    fn word(&self, at: usize) -> Result<u32, TypeProblem> {
        u32_at(self.b, at).ok_or(TypeProblem::Truncated { needed: at as u64 + 4, left: self.b.len() })
    }

    fn name(&self, offset: u32) -> Result<Name, TypeProblem> {
        let name = Name(offset);
        if offset == 0 {
            return Ok(name);
        }
        let rest = self
            .strings
            .get(offset as usize..)
            .filter(|r| !r.is_empty())
            .ok_or(TypeProblem::NameOutside { name, len: self.strings.len() })?;
        let mut ascii = true;
        for (i, &c) in rest.iter().enumerate().take(MAX_NAME + 1) {
            match c {
                0 if ascii => return Ok(name),
                0 => {
                    let text = rest.get(..i).unwrap_or(&[]);
                    return std::str::from_utf8(text).map(|_| name).map_err(|_| TypeProblem::BadName { name });
                }
                1..=0x1f | 0x7f => return Err(TypeProblem::BadName { name }),
                _ => ascii &= c < 0x80,
            }
        }
        Err(TypeProblem::NameTooLong { name, max: MAX_NAME })
    }

    /// Makes sure that `count` entries of `each` bytes follow the common 12.
    fn list(&self, count: u32, each: u32) -> Result<(), TypeProblem> {
        let needed = 12 + u64::from(count) * u64::from(each);
        if needed > self.b.len() as u64 {
            return Err(TypeProblem::Truncated { needed, left: self.b.len() });
        }
        Ok(())
    }

    fn decode(&mut self) -> Result<(Type, usize), TypeProblem> {
        let (name, info, word) = (self.word(0)?, self.word(4)?, self.word(8)?);
        let kind = Kind::from_raw((info >> 24 & 0x1f) as u8).ok_or(TypeProblem::UnknownKind)?;
        let (flag, vlen) = (info >> 31 == 1, info & 0xffff);
        let (may_flag, may_vlen) = info_use(kind);
        if info & !INFO_MASK != 0 || (flag && !may_flag) || (vlen != 0 && !may_vlen) {
            return Err(TypeProblem::BadInfo { info });
        }
        let name = self.name(name)?;
        let empty = self.strings.get(name.0 as usize) == Some(&0);
        match naming(kind) {
            Named::Must if empty => return Err(TypeProblem::NameMissing),
            Named::Never if name != Name::EMPTY => return Err(TypeProblem::NameForbidden { name }),
            _ => {}
        }
        let to = TypeId(word);
        let ty = match kind {
            Kind::Void => return Err(TypeProblem::UnknownKind),
            Kind::Int => self.int(name, word)?,
            Kind::Ptr => Type::Ptr { to },
            Kind::Array if word != 0 => return Err(TypeProblem::BadSize { size: word }),
            Kind::Array => {
                Type::Array { elem: TypeId(self.word(12)?), index: TypeId(self.word(16)?), len: self.word(20)? }
            }
            Kind::Struct => Type::Struct(self.composite(name, word, flag, vlen)?),
            Kind::Union => Type::Union(self.composite(name, word, flag, vlen)?),
            Kind::Enum => Type::Enum(self.enumeration(name, word, flag, vlen, 8)?),
            Kind::Enum64 => Type::Enum64(self.enumeration(name, word, flag, vlen, 12)?),
            Kind::Fwd if word != 0 => return Err(TypeProblem::BadSize { size: word }),
            Kind::Fwd => Type::Fwd { name, union: flag },
            Kind::Typedef => Type::Typedef { name, to },
            Kind::Volatile => Type::Volatile { to },
            Kind::Const => Type::Const { to },
            Kind::Restrict => Type::Restrict { to },
            Kind::Func => Type::Func { name, proto: to, linkage: linkage(vlen)? },
            Kind::FuncProto => self.func_proto(to, vlen)?,
            Kind::Var => Type::Var { name, ty: to, linkage: linkage(self.word(12)?)? },
            Kind::Datasec => self.datasec(name, word, vlen)?,
            Kind::Float => match word {
                2 | 4 | 8 | 12 | 16 => Type::Float { name, size: word as u8 },
                size => return Err(TypeProblem::BadSize { size }),
            },
            Kind::DeclTag => {
                let component = match self.word(12)? {
                    u32::MAX => None,
                    n => Some(n),
                };
                Type::DeclTag { name, target: to, component, attribute: flag }
            }
            Kind::TypeTag => Type::TypeTag { name, to, attribute: flag },
        };
        Ok((ty, encoded_len(&ty)))
    }

    fn int(&self, name: Name, size: u32) -> Result<Type, TypeProblem> {
        if !(1..=16).contains(&size) {
            return Err(TypeProblem::BadSize { size });
        }
        let word = self.word(12)?;
        let bad = TypeProblem::BadInt { word, size };
        let (bits, bit_offset) = (word & 0xff, word >> 16 & 0xff);
        if word & 0xf000_ff00 != 0 || bits == 0 || bits + bit_offset > size * 8 {
            return Err(bad);
        }
        let encoding = match word >> 24 & 0xf {
            0 => Encoding::Unsigned,
            1 => Encoding::Signed,
            2 => Encoding::Char,
            4 => Encoding::Bool,
            _ => return Err(bad),
        };
        Ok(Type::Int(Int { name, size: size as u8, bits: bits as u8, bit_offset: bit_offset as u8, encoding }))
    }

    fn composite(&mut self, name: Name, size: u32, flag: bool, vlen: u32) -> Result<Composite, TypeProblem> {
        self.list(vlen, 12)?;
        let start = self.tables.members.len() as u32;
        for at in (12..).step_by(12).take(vlen as usize) {
            let offset = self.word(at + 8)?;
            let member = Member {
                name: self.name(self.word(at)?)?,
                ty: TypeId(self.word(at + 4)?),
                bit_offset: if flag { offset & 0x00ff_ffff } else { offset },
                bit_size: if flag { (offset >> 24) as u8 } else { 0 },
            };
            self.tables.members.push(member);
        }
        Ok(Composite { name, size, members: Span { start, len: vlen }, bitfields: flag })
    }

    fn enumeration(&mut self, name: Name, size: u32, signed: bool, vlen: u32, each: u32) -> Result<Enum, TypeProblem> {
        if !matches!(size, 1 | 2 | 4 | 8) {
            return Err(TypeProblem::BadSize { size });
        }
        self.list(vlen, each)?;
        let start = self.tables.enumerators.len() as u32;
        for at in (12..).step_by(each as usize).take(vlen as usize) {
            let low = self.word(at + 4)?;
            let value = match (each, signed) {
                (8, true) => i64::from(low as i32),
                (8, false) => i64::from(low),
                _ => (u64::from(self.word(at + 8)?) << 32 | u64::from(low)) as i64,
            };
            let name = self.name(self.word(at)?)?;
            self.tables.enumerators.push(Enumerator { name, value });
        }
        Ok(Enum { name, size: size as u8, signed, values: Span { start, len: vlen } })
    }

    fn func_proto(&mut self, ret: TypeId, vlen: u32) -> Result<Type, TypeProblem> {
        self.list(vlen, 8)?;
        let start = self.tables.params.len() as u32;
        for at in (12..).step_by(8).take(vlen as usize) {
            let param = Param { name: self.name(self.word(at)?)?, ty: TypeId(self.word(at + 4)?) };
            self.tables.params.push(param);
        }
        Ok(Type::FuncProto { ret, params: Span { start, len: vlen } })
    }

    fn datasec(&mut self, name: Name, size: u32, vlen: u32) -> Result<Type, TypeProblem> {
        self.list(vlen, 12)?;
        let start = self.tables.vars.len() as u32;
        for at in (12..).step_by(12).take(vlen as usize) {
            let var = SecVar { ty: TypeId(self.word(at)?), offset: self.word(at + 4)?, size: self.word(at + 8)? };
            self.tables.vars.push(var);
        }
        Ok(Type::Datasec { name, size, vars: Span { start, len: vlen } })
    }
}

fn linkage(raw: u32) -> Result<Linkage, TypeProblem> {
    Ok(match raw {
        0 => Linkage::Static,
        1 => Linkage::Global,
        2 => Linkage::Extern,
        found => return Err(TypeProblem::BadLinkage { found }),
    })
}
