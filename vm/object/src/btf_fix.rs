//! Two things that the compiler leaves to the loader in a program's BTF: where the variables of a section lie, and that
//! hidden functions are static for the verifier (libbpf does both).

use std::collections::{HashMap, HashSet};

use backstop_btf::{Btf, BtfError, Kind, Linkage, Type, TypeId};

use crate::elf::{Elf, SymbolKind};

/// Gives every DATASEC of a section of the file its size and its variables' offsets.
///
/// Variables without a symbol stay at 0, as nothing can refer to them.
pub(crate) fn place_sections(btf: &mut Btf, elf: &Elf<'_>) -> Result<(), BtfError> {
    let sections: Vec<TypeId> = btf.ids().filter(|&id| btf.kind(id) == Kind::Datasec).collect();
    let mut seen = HashSet::new();
    for id in sections {
        // A second record of the same section is not the compiler's; it stays as it is.
        if !seen.insert(btf.name(id).to_owned()) {
            continue;
        }
        let Some((index, section)) = elf.section_named(btf.name(id)) else { continue };
        let Ok(size) = u32::try_from(section.size) else { continue };
        let symbols: HashMap<&str, u64> = elf
            .symbols_of(index)
            .filter(|s| matches!(s.kind, SymbolKind::Data | SymbolKind::Other))
            .map(|s| (s.name.as_str(), s.value))
            .collect();
        let place = |v: &backstop_btf::SecVar| {
            symbols.get(btf.name(v.ty)).and_then(|&at| u32::try_from(at).ok()).unwrap_or(v.offset)
        };
        let offsets: Vec<u32> = btf.datasec_vars(id).iter().map(place).collect();
        btf.place_datasec(id, size, &offsets)?;
    }
    Ok(())
}

/// Makes functions static. The record of a function holds its linkage in the low half of its second word.
pub(crate) fn make_static(btf: Btf, names: &[&str]) -> Result<Btf, BtfError> {
    let global = |id: &TypeId| matches!(btf.ty(*id), Type::Func { linkage: Linkage::Global, .. });
    let ids: HashSet<TypeId> = names.iter().filter_map(|name| btf.find(name, Kind::Func)).filter(global).collect();
    if ids.is_empty() {
        return Ok(btf);
    }
    let mut bytes = btf.encode();
    let mut at = u32_at(&bytes, 4).saturating_add(u32_at(&bytes, 8));
    for id in btf.ids() {
        let info = u32_at(&bytes, at + 4);
        if ids.contains(&id)
            && let Some(word) = bytes.get_mut(at + 4..at + 6)
        {
            word.fill(0);
        }
        at += record_len(info as u32);
    }
    Btf::parse(&bytes)
}

fn u32_at(bytes: &[u8], at: usize) -> usize {
    let word = bytes.get(at..).and_then(|b| b.first_chunk::<4>());
    word.map_or(0, |b| u32::from_le_bytes(*b) as usize)
}

/// Bytes of a record by its info word (`Documentation/bpf/btf.rst`).
fn record_len(info: u32) -> usize {
    let count = (info & 0xffff) as usize;
    let tail = match Kind::from_raw((info >> 24 & 0x1f) as u8) {
        Some(Kind::Int | Kind::Var | Kind::DeclTag) => 4,
        Some(Kind::Array) => 12,
        Some(Kind::Struct | Kind::Union | Kind::Datasec | Kind::Enum64) => 12 * count,
        Some(Kind::Enum | Kind::FuncProto) => 8 * count,
        _ => 0,
    };
    12 + tail
}
