//! Global data: `.rodata`, `.data` and `.bss` sections as maps of one value, and the variables in them.

use std::sync::Arc;

use backstop_btf::{Btf, Kind, TypeId};
use backstop_model::{MAP_F_RDONLY_PROG, MapKind, MapSpec};

use crate::elf::{Elf, Section, SymbolKind};
use crate::error::ObjectError;
use crate::maps::Map;

/// Bytes of a page of an arena.
const ARENA_PAGE: u64 = 4096;

/// Most bytes of global data that one object may have in all its sections: 64 MiB.
pub const MAX_DATA_BYTES: u64 = 64 << 20;

/// The host can map such a map's value into its own memory, as libbpf asks for where a variable can be seen from outside.
const F_MMAPABLE: u32 = 1 << 10;

/// A global variable.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Global {
    /// Name.
    pub name: String,
    /// Index of its map in the object.
    pub map: usize,
    /// Section that holds it.
    pub section: String,
    /// Byte offset in the map's value.
    pub offset: u32,
    /// Size in bytes.
    pub size: u32,
    /// Its type in the object's BTF.
    pub ty: Option<TypeId>,
    /// Whether programs may write it.
    pub writable: bool,
}

/// Section of the variables that programs declare in an arena (`__arena` globals).
const ARENA_SECTION: &str = ".addr_space.1";

/// The section of arena variables and the arena that holds them, from its first byte on (libbpf: `init_arena_map_data`).
/// What they are initialised with is left aside: no engine has arenas yet.
pub(crate) fn arena(
    elf: &Elf<'_>,
    maps: &[Map],
    notes: &mut Vec<String>,
) -> Result<Option<(usize, usize)>, ObjectError> {
    let Some((index, section)) = elf.section_named(ARENA_SECTION).filter(|(_, s)| !s.is_nobits() && s.size > 0) else {
        return Ok(None);
    };
    let fail = |why: &str| {
        let (object, section) = (elf.object.to_owned(), section.name.clone());
        Err(ObjectError::Section { object, section, why: why.to_owned() })
    };
    let Some(map) = maps.iter().position(|m| m.spec.kind == MapKind::Arena) else {
        return fail(
            "global variables in an arena want one; declare a map of type BPF_MAP_TYPE_ARENA in SEC(\".maps\")",
        );
    };
    let pages = maps.get(map).map_or(0, |m| u64::from(m.spec.max_entries));
    if pages != 0 && section.size > pages * ARENA_PAGE {
        return fail("the arena is too small for its global variables; raise its max_entries (pages)");
    }
    if section.data.iter().any(|&byte| byte != 0) {
        notes.push(format!("section `{ARENA_SECTION}`: initial values of arena variables are left aside"));
    }
    Ok(Some((index, map)))
}

/// Whether a section holds global data.
pub(crate) fn is_data(section: &Section<'_>) -> bool {
    let is = |base: &str| section.name.strip_prefix(base).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'));
    if section.is_nobits() {
        return is(".bss");
    }
    is(".rodata") || is(".data")
}

/// Maps of all data sections, appended to `maps`.
pub(crate) fn collect(elf: &Elf<'_>, btf: Option<&Arc<Btf>>, maps: &mut Vec<Map>) -> Result<(), ObjectError> {
    let mut total = 0u64;
    for (index, section) in elf.sections.iter().enumerate() {
        if !is_data(section) || section.size == 0 {
            continue;
        }
        total = total.saturating_add(section.size);
        if total > MAX_DATA_BYTES {
            let (object, name) = (elf.object.to_owned(), section.name.clone());
            return Err(ObjectError::DataTooLarge { object, section: name, bytes: total, limit: MAX_DATA_BYTES });
        }
        maps.push(Map {
            spec: Arc::new(spec(elf, index, section, btf)),
            section: section.name.clone(),
            section_index: index,
            offset: 0,
        });
    }
    Ok(())
}

fn spec(elf: &Elf<'_>, index: usize, section: &Section<'_>, btf: Option<&Arc<Btf>>) -> MapSpec {
    let frozen = section.name.starts_with(".rodata");
    let value_type = btf.and_then(|b| b.find(&section.name, Kind::Datasec));
    let visible = elf.symbols_of(index).any(|s| s.kind == SymbolKind::Data && !s.local && !s.hidden);
    let mapped = if visible && value_type.is_some() { F_MMAPABLE } else { 0 };
    // Below MAX_DATA_BYTES, which was checked before.
    let size = section.size as u32;
    MapSpec {
        flags: mapped | if frozen { MAP_F_RDONLY_PROG } else { 0 },
        btf: value_type.and(btf).cloned(),
        value_type,
        // Sections without contents are zero, as every new map is.
        initial: (!section.is_nobits()).then(|| section.data.into()),
        frozen,
        ..data_spec(elf.object, &section.name, size)
    }
}

/// The map behind `.kconfig` variables: `size` bytes, at first zeros, that no program can write.
pub(crate) fn kconfig_map(object: &str, size: u32) -> Map {
    let spec = MapSpec {
        flags: F_MMAPABLE | MAP_F_RDONLY_PROG,
        initial: Some(vec![0; size as usize].into()),
        frozen: true,
        ..data_spec(object, ".kconfig", size)
    };
    Map { spec: Arc::new(spec), section: ".kconfig".to_owned(), section_index: usize::MAX, offset: 0 }
}

/// A data map: an array of one value.
fn data_spec(object: &str, section: &str, size: u32) -> MapSpec {
    MapSpec::new(map_name(object, section), MapKind::Array, 4, size, 1)
}

/// libbpf's name of a data map: at most 15 bytes, the object's name cut to make room for the section's; sections with a
/// second dot go by their own name. Bytes that a map's name cannot have become `_`.
fn map_name(object: &str, section: &str) -> String {
    const MAX: usize = 15;
    let own = section.get(1..).is_some_and(|rest| rest.contains('.'));
    let cut = |s: &str, max: usize| s.chars().take(max).collect::<String>();
    let name = if own {
        cut(section, MAX)
    } else {
        let suffix = section.len().max(7);
        format!("{}{section}", cut(object, MAX.saturating_sub(suffix)))
    };
    let clean = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '_' | '.') { c } else { '_' };
    name.chars().map(clean).collect()
}

/// The variables in the object's data maps.
pub(crate) fn globals(elf: &Elf<'_>, btf: Option<&Btf>, maps: &[Map]) -> Vec<Global> {
    let mut all = Vec::new();
    for (map, of) in maps.iter().enumerate().filter(|(_, m)| is_data_map(elf, m)) {
        let vars: std::collections::HashMap<&str, TypeId> = match (btf, of.spec.value_type) {
            (Some(btf), Some(section)) => btf.datasec_vars(section).iter().map(|v| (btf.name(v.ty), v.ty)).collect(),
            _ => Default::default(),
        };
        for symbol in elf.symbols_of(of.section_index).filter(|s| s.kind == SymbolKind::Data) {
            let fits = symbol.value.checked_add(symbol.size).is_some_and(|e| e <= u64::from(of.spec.value_size));
            let (true, Ok(offset), Ok(size)) = (fits, u32::try_from(symbol.value), u32::try_from(symbol.size)) else {
                continue;
            };
            all.push(Global {
                name: symbol.name.clone(),
                map,
                section: of.section.clone(),
                offset,
                size,
                ty: vars.get(symbol.name.as_str()).copied(),
                writable: !of.spec.frozen,
            });
        }
    }
    all
}

fn is_data_map(elf: &Elf<'_>, map: &Map) -> bool {
    elf.sections.get(map.section_index).is_some_and(is_data)
}
