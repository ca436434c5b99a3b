//! Memory as its BTF type says: what maps and globals hold, for people and for JSON.
//!
//! Work and output are bounded by the bytes given and by [`MAX_DEPTH`]; bytes that the type does not cover are shown raw.

pub mod flow;
pub mod table;

use std::fmt;

use backstop::btf::{Btf, Encoding, Kind, Member, Type, TypeId};

use crate::output::hex;

/// Levels of structs and arrays in each other that are opened.
const MAX_DEPTH: u32 = 16;
/// Elements of an array that text shows.
const MAX_SHOWN: usize = 16;

/// A decoded value.
#[derive(Clone, PartialEq, Debug)]
pub enum Value {
    /// A number.
    Int(i128),
    /// `true` or `false`.
    Bool(bool),
    /// An enumerator's name and its value.
    Named(String, i64),
    /// A pointer or another address.
    Address(u64),
    /// Characters up to the first zero.
    Text(String),
    /// Fields of a struct or union.
    Struct(Vec<(String, Value)>),
    /// Elements.
    Array(Vec<Value>),
    /// Bytes that no type explains.
    Bytes(Vec<u8>),
}

/// Reads bytes as a type.
pub fn decode(btf: &Btf, ty: TypeId, bytes: &[u8]) -> Value {
    decode_at(btf, ty, bytes, 0)
}

fn decode_at(btf: &Btf, ty: TypeId, bytes: &[u8], depth: u32) -> Value {
    let raw = || Value::Bytes(bytes.to_vec());
    let size = btf.size_of(ty).and_then(|s| usize::try_from(s).ok());
    let Some(own) = size.and_then(|s| bytes.get(..s)) else { return raw() };
    if depth > MAX_DEPTH {
        return raw();
    }
    match *btf.resolved(ty) {
        Type::Int(int) => {
            let big_endian = is_big_endian(btf, ty);
            match (integer(own, int.is_signed(), big_endian), int.encoding) {
                (Some(n), Encoding::Bool) => Value::Bool(n != 0),
                (Some(n), _) => Value::Int(n),
                (None, _) => raw(),
            }
        }
        Type::Enum(e) | Type::Enum64(e) => match integer(own, e.signed, false).and_then(|n| i64::try_from(n).ok()) {
            Some(n) => {
                btf.enum_name(btf.resolve(ty), n).map_or(Value::Int(n.into()), |name| Value::Named(name.to_owned(), n))
            }
            None => raw(),
        },
        Type::Ptr { .. } => integer(own, false, false).map_or_else(raw, |n| Value::Address(n as u64)),
        Type::Array { elem, .. } => array(btf, elem, own, depth),
        Type::Struct(_) | Type::Union(_) => {
            let fields = btf.members(btf.resolve(ty)).iter().flat_map(|m| member(btf, m, own, depth));
            Value::Struct(fields.collect())
        }
        Type::Var { ty, .. } => decode_at(btf, ty, own, depth + 1),
        _ => raw(),
    }
}

/// A member, or for an anonymous struct its members.
fn member(btf: &Btf, member: &Member, bytes: &[u8], depth: u32) -> Vec<(String, Value)> {
    let name = btf.str(member.name).to_owned();
    if member.is_bitfield() {
        return vec![(name, bitfield(btf, member, bytes))];
    }
    let from = member.byte_offset() as usize;
    let size = btf.size_of(member.ty).and_then(|s| usize::try_from(s).ok()).unwrap_or(0);
    let own = from.checked_add(size).and_then(|end| bytes.get(from..end)).unwrap_or_default();
    match (name.is_empty(), decode_at(btf, member.ty, own, depth + 1)) {
        (true, Value::Struct(fields)) => fields,
        (_, value) => vec![(name, value)],
    }
}

fn bitfield(btf: &Btf, member: &Member, bytes: &[u8]) -> Value {
    let mut bits = 0u128;
    for i in 0..u32::from(member.bit_size) {
        let at = member.bit_offset.saturating_add(i);
        let byte = bytes.get((at / 8) as usize).copied().unwrap_or(0);
        bits |= u128::from(byte >> (at % 8) & 1).checked_shl(i).unwrap_or(0);
    }
    let signed = matches!(btf.resolved(member.ty), Type::Int(i) if i.is_signed());
    let top = u32::from(member.bit_size).saturating_sub(1);
    let negative = signed && bits.checked_shr(top).unwrap_or(0) & 1 == 1;
    let value = bits as i128;
    Value::Int(if negative { value.wrapping_sub(1i128.checked_shl(top + 1).unwrap_or(0)) } else { value })
}

fn array(btf: &Btf, elem: TypeId, bytes: &[u8], depth: u32) -> Value {
    let each = btf.size_of(elem).and_then(|s| usize::try_from(s).ok()).filter(|s| *s > 0);
    let Some(each) = each else { return Value::Bytes(bytes.to_vec()) };
    if is_character(btf, elem)
        && let Some(text) = text(bytes)
    {
        return Value::Text(text);
    }
    Value::Array(bytes.chunks_exact(each).map(|e| decode_at(btf, elem, e, depth + 1)).collect())
}

fn is_character(btf: &Btf, ty: TypeId) -> bool {
    matches!(btf.resolved(ty), Type::Int(i) if i.size == 1 && (btf.str(i.name) == "char" || i.encoding == Encoding::Char))
}

/// Printable characters, then zeros only.
fn text(bytes: &[u8]) -> Option<String> {
    let end = bytes.iter().position(|b| *b == 0).unwrap_or(bytes.len());
    let (text, rest) = bytes.split_at_checked(end)?;
    let readable = text.iter().all(|b| b.is_ascii_graphic() || *b == b' ') && rest.iter().all(|b| *b == 0);
    readable.then(|| String::from_utf8_lossy(text).into_owned())
}

/// Whether a typedef on the way says that the number is in network order (`__be16`, `be32`, ...).
pub fn is_big_endian(btf: &Btf, ty: TypeId) -> bool {
    let mut at = ty;
    // Longer chains of typedefs than this are nobody's.
    for _ in 0..32 {
        if btf.kind(at) == Kind::Typedef && matches!(btf.name(at).trim_start_matches('_'), "be16" | "be32" | "be64") {
            return true;
        }
        match btf.ty(at).modified() {
            Some(next) => at = next,
            None => return false,
        }
    }
    false
}

fn integer(bytes: &[u8], signed: bool, big_endian: bool) -> Option<i128> {
    if bytes.is_empty() || bytes.len() > 16 {
        return None;
    }
    let fold = |value: u128, byte: &u8| value << 8 | u128::from(*byte);
    let value = if big_endian { bytes.iter().fold(0, fold) } else { bytes.iter().rev().fold(0, fold) };
    let unused = 128 - 8 * bytes.len() as u32;
    let value = (value << unused) as i128;
    Some(if signed { value >> unused } else { ((value as u128) >> unused) as i128 })
}

impl Value {
    /// Adds another value of the same type, number by number: per-CPU copies into one. What is no number stays.
    pub fn add(&mut self, other: &Value) {
        match (self, other) {
            (Value::Int(a), Value::Int(b)) => *a = a.saturating_add(*b),
            (Value::Struct(a), Value::Struct(b)) => a.iter_mut().zip(b).for_each(|((_, a), (_, b))| a.add(b)),
            (Value::Array(a), Value::Array(b)) => a.iter_mut().zip(b).for_each(|(a, b)| a.add(b)),
            _ => {}
        }
    }

    /// Whether it is all zeros.
    pub fn is_zero(&self) -> bool {
        match self {
            Value::Int(n) => *n == 0,
            Value::Bool(b) => !b,
            Value::Named(_, n) => *n == 0,
            Value::Address(a) => *a == 0,
            Value::Text(t) => t.is_empty(),
            Value::Struct(fields) => fields.iter().all(|(_, v)| v.is_zero()),
            Value::Array(elements) => elements.iter().all(Value::is_zero),
            Value::Bytes(bytes) => bytes.iter().all(|b| *b == 0),
        }
    }

    /// The largest number in it.
    pub fn largest(&self) -> i128 {
        match self {
            Value::Int(n) => *n,
            Value::Struct(fields) => fields.iter().map(|(_, v)| v.largest()).max().unwrap_or(0),
            Value::Array(elements) => elements.iter().map(Value::largest).max().unwrap_or(0),
            _ => 0,
        }
    }

    /// A field's number, by its name.
    pub fn number(&self, field: &str) -> Option<i128> {
        match self {
            Value::Struct(fields) => fields.iter().find_map(|(name, value)| match value {
                Value::Int(n) if name == field => Some(*n),
                _ => None,
            }),
            _ => None,
        }
    }

    /// As JSON. Numbers that JSON's readers may not hold exactly (beyond 64 bits) become text.
    pub fn json(&self) -> serde_json::Value {
        match self {
            Value::Int(n) => match (u64::try_from(*n), i64::try_from(*n)) {
                (Ok(n), _) => n.into(),
                (_, Ok(n)) => n.into(),
                _ => n.to_string().into(),
            },
            Value::Bool(b) => (*b).into(),
            Value::Named(name, _) => name.as_str().into(),
            Value::Address(a) => format!("{a:#x}").into(),
            Value::Text(text) => text.as_str().into(),
            Value::Struct(fields) => {
                fields.iter().map(|(n, v)| (n.clone(), v.json())).collect::<serde_json::Map<_, _>>().into()
            }
            Value::Array(elements) => elements.iter().map(Value::json).collect::<Vec<_>>().into(),
            Value::Bytes(bytes) => hex(bytes).into(),
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Int(n) => write!(f, "{n}"),
            Value::Bool(b) => write!(f, "{b}"),
            Value::Named(name, _) => write!(f, "{name}"),
            Value::Address(a) => write!(f, "{a:#x}"),
            Value::Text(text) => write!(f, "{text:?}"),
            Value::Bytes(bytes) => match bytes.get(..MAX_SHOWN * 2) {
                Some(shown) if bytes.len() > shown.len() => write!(f, "{}... ({} bytes)", hex(shown), bytes.len()),
                _ => write!(f, "{}", hex(bytes)),
            },
            Value::Struct(fields) => {
                let fields = fields.iter().map(|(name, value)| format!("{name} {value}"));
                write!(f, "{{{}}}", fields.collect::<Vec<_>>().join(", "))
            }
            Value::Array(elements) => {
                let shown: Vec<String> = elements.iter().take(MAX_SHOWN).map(Value::to_string).collect();
                let more = if elements.len() > MAX_SHOWN { ", ..." } else { "" };
                write!(f, "[{}{more}]", shown.join(", "))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use backstop::btf::BtfBuilder;

    use super::*;

    #[test]
    fn structs_with_network_order_and_bitfields() {
        let mut b = BtfBuilder::new();
        let u16 = b.int("unsigned short", 2, Encoding::Unsigned);
        let be16 = b.typedef("__be16", u16);
        let int = b.int("int", 4, Encoding::Signed);
        let ty = b.structure_with_bitfields(
            "s",
            8,
            &[("port", be16, 0, 0), ("low", u16, 16, 3), ("high", int, 19, 2), ("n", int, 32, 0)],
        );
        let btf = b.build().expect("types that fit");
        let bytes = [0x01, 0xbb, 0b0001_1101, 0, 0xff, 0xff, 0xff, 0xff];
        assert_eq!(decode(&btf, ty, &bytes).to_string(), "{port 443, low 5, high -1, n -1}");
    }

    #[test]
    fn short_bytes_stay_raw() {
        let mut b = BtfBuilder::new();
        let int = b.int("int", 4, Encoding::Signed);
        let btf = b.build().expect("types that fit");
        assert_eq!(decode(&btf, int, &[1, 2]), Value::Bytes(vec![1, 2]));
    }

    #[test]
    fn characters_are_text() {
        let mut b = BtfBuilder::new();
        let char = b.int("char", 1, Encoding::Signed);
        let int = b.int("int", 4, Encoding::Signed);
        let name = b.array(char, int, 8);
        let btf = b.build().expect("types that fit");
        assert_eq!(decode(&btf, name, b"eth0\0\0\0\0"), Value::Text("eth0".to_owned()));
        assert_eq!(decode(&btf, name, b"eth0\0\0\0\x01").to_string(), "[101, 116, 104, 48, 0, 0, 0, 1]");
    }

    #[test]
    fn copies_add_up() {
        let mut sum = Value::Struct(vec![("packets".to_owned(), Value::Int(1)), ("ok".to_owned(), Value::Bool(true))]);
        sum.add(&Value::Struct(vec![("packets".to_owned(), Value::Int(41)), ("ok".to_owned(), Value::Bool(true))]));
        assert_eq!(sum.number("packets"), Some(42));
        assert_eq!(sum.largest(), 42);
    }
}
