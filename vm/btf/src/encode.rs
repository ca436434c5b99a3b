//! From tables back to bytes: the inverse of `parse`.

use crate::parse::{HEADER_LEN, MAGIC, Tables, encoded_len};
use crate::types::*;

struct Writer {
    out: Vec<u8>,
}

impl Writer {
    fn words<const N: usize>(&mut self, words: [u32; N]) {
        words.iter().for_each(|w| self.out.extend_from_slice(&w.to_le_bytes()));
    }

    fn head(&mut self, name: Name, kind: Kind, flag: bool, vlen: u32, word: u32) {
        self.words([name.0, u32::from(flag) << 31 | u32::from(kind as u8) << 24 | vlen, word]);
    }
}

/// A whole `.BTF` section: header, types, strings.
pub(crate) fn encode(tables: &Tables, strings: &[u8]) -> Vec<u8> {
    let types_len: usize = tables.types.iter().map(encoded_len).sum();
    let mut w = Writer { out: Vec::with_capacity(HEADER_LEN + types_len + strings.len()) };
    w.out.extend_from_slice(&MAGIC.to_le_bytes());
    w.out.extend_from_slice(&[1, 0]);
    w.words([HEADER_LEN as u32, 0, types_len as u32, types_len as u32, strings.len() as u32]);
    for ty in tables.types.iter().skip(1) {
        encode_type(&mut w, tables, ty);
    }
    w.out.extend_from_slice(strings);
    w.out
}

fn encode_type(w: &mut Writer, tables: &Tables, ty: &Type) {
    let kind = ty.kind();
    let name = ty.name();
    match *ty {
        Type::Void => {}
        Type::Int(i) => {
            let encoding = match i.encoding {
                Encoding::Unsigned => 0,
                Encoding::Signed => 1,
                Encoding::Char => 2,
                Encoding::Bool => 4,
            };
            w.head(name, kind, false, 0, i.size.into());
            w.words([encoding << 24 | u32::from(i.bit_offset) << 16 | u32::from(i.bits)]);
        }
        Type::Ptr { to }
        | Type::Typedef { to, .. }
        | Type::Volatile { to }
        | Type::Const { to }
        | Type::Restrict { to } => w.head(name, kind, false, 0, to.0),
        Type::TypeTag { to, attribute, .. } => w.head(name, kind, attribute, 0, to.0),
        Type::Array { elem, index, len } => {
            w.head(name, kind, false, 0, 0);
            w.words([elem.0, index.0, len]);
        }
        Type::Struct(c) | Type::Union(c) => {
            w.head(name, kind, c.bitfields, c.members.len, c.size);
            for m in c.members.of(&tables.members) {
                let bits = if c.bitfields { u32::from(m.bit_size) << 24 } else { 0 };
                w.words([m.name.0, m.ty.0, bits | m.bit_offset]);
            }
        }
        Type::Enum(e) => {
            w.head(name, kind, e.signed, e.values.len, e.size.into());
            e.values.of(&tables.enumerators).iter().for_each(|v| w.words([v.name.0, v.value as u32]));
        }
        Type::Enum64(e) => {
            w.head(name, kind, e.signed, e.values.len, e.size.into());
            let values = e.values.of(&tables.enumerators);
            values.iter().for_each(|v| w.words([v.name.0, v.value as u32, (v.value >> 32) as u32]));
        }
        Type::Fwd { union, .. } => w.head(name, kind, union, 0, 0),
        Type::Func { proto, linkage, .. } => w.head(name, kind, false, linkage as u32, proto.0),
        Type::FuncProto { ret, params } => {
            w.head(name, kind, false, params.len, ret.0);
            params.of(&tables.params).iter().for_each(|p| w.words([p.name.0, p.ty.0]));
        }
        Type::Var { ty, linkage, .. } => {
            w.head(name, kind, false, 0, ty.0);
            w.words([linkage as u32]);
        }
        Type::Datasec { size, vars, .. } => {
            w.head(name, kind, false, vars.len, size);
            vars.of(&tables.vars).iter().for_each(|v| w.words([v.ty.0, v.offset, v.size]));
        }
        Type::Float { size, .. } => w.head(name, kind, false, 0, size.into()),
        Type::DeclTag { target, component, attribute, .. } => {
            w.head(name, kind, attribute, 0, target.0);
            w.words([component.unwrap_or(u32::MAX)]);
        }
    }
}
