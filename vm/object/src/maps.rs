//! The maps that an object declares: `.maps` with BTF, and the older `maps` section.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use backstop_btf::{Btf, Kind, Type};
use backstop_model::{MapKind, MapSpec};

use crate::elf::{Elf, Home, RELOC_ABS64, Symbol, SymbolKind};
use crate::error::{MapProblem, ObjectError};
use crate::functions::Functions;
use crate::map_def;

/// A map and where it is declared.
#[derive(Clone, Debug)]
pub(crate) struct Map {
    pub spec: Arc<MapSpec>,
    pub section: String,
    pub section_index: usize,
    /// Byte offset of the declaration in the section; 0 for a data section.
    pub offset: u64,
}

/// Bytes of `struct bpf_map_def` that have a meaning.
const LEGACY_LEN: usize = 20;

fn error(elf: &Elf<'_>, section: &str, map: &str, problem: MapProblem) -> ObjectError {
    ObjectError::Map {
        object: elf.object.to_owned(),
        section: section.to_owned(),
        map: map.to_owned(),
        problem: Box::new(problem),
    }
}

/// All maps of both kinds.
pub(crate) fn collect(
    elf: &Elf<'_>,
    btf: Option<&Arc<Btf>>,
    functions: &Functions,
    notes: &mut Vec<String>,
) -> Result<Vec<Map>, ObjectError> {
    let mut maps = Vec::new();
    if let Some((index, section)) = elf.section_named(".maps").filter(|(_, s)| s.size > 0) {
        let btf = btf.ok_or_else(|| error(elf, ".maps", "", MapProblem::NoBtf))?;
        let placed = btf_maps(elf, index, section.size, btf, &mut maps, notes)?;
        initial_values(elf, index, &placed, functions, &mut maps)?;
    }
    if let Some((index, section)) = elf.section_named("maps").filter(|(_, s)| s.size > 0) {
        legacy_maps(elf, index, section.data, &mut maps)?;
    }
    let mut names = HashSet::new();
    if let Some(twice) = maps.iter().find(|m| !names.insert(m.spec.name.clone())) {
        let (object, name) = (elf.object.to_owned(), twice.spec.name.clone());
        return Err(ObjectError::DuplicateMap { object, name });
    }
    Ok(maps)
}

/// Where a `.maps` variable lies: bytes of the variable, and where its `.values` begin.
struct Placed {
    start: u64,
    end: u64,
    values_at: Option<u64>,
    map: usize,
}

fn btf_maps(
    elf: &Elf<'_>,
    index: usize,
    section_size: u64,
    btf: &Arc<Btf>,
    maps: &mut Vec<Map>,
    notes: &mut Vec<String>,
) -> Result<Vec<Placed>, ObjectError> {
    let fail = |map: &str, problem| error(elf, ".maps", map, problem);
    let section = btf.find(".maps", Kind::Datasec).ok_or_else(|| fail("", MapProblem::NoBtf))?;
    let symbols: HashMap<&str, &Symbol> = elf
        .symbols_of(index)
        .filter(|s| matches!(s.kind, SymbolKind::Data | SymbolKind::Other))
        .map(|s| (s.name.as_str(), s))
        .collect();
    let mut placed = Vec::new();
    for var in btf.datasec_vars(section) {
        let name = btf.name(var.ty);
        let Type::Var { ty, .. } = *btf.ty(var.ty) else { return Err(fail(name, MapProblem::NotStruct)) };
        let symbol = symbols.get(name).ok_or_else(|| fail(name, MapProblem::NoSymbol))?;
        let end = symbol.value.checked_add(u64::from(var.size)).filter(|&e| e <= section_size);
        let end = end.ok_or_else(|| fail(name, MapProblem::NoSymbol))?;
        let def = map_def::parse(btf, ty, name).map_err(|problem| fail(name, problem))?;
        if def.pinned {
            notes.push(format!("map `{name}`: pinning is left aside; share maps through the host's API"));
        }
        placed.push(Placed { start: symbol.value, end, values_at: def.values_at, map: maps.len() });
        maps.push(Map {
            spec: Arc::new(def.spec),
            section: ".maps".to_owned(),
            section_index: index,
            offset: symbol.value,
        });
    }
    placed.sort_by_key(|p| p.start);
    Ok(placed)
}

/// Relocations of `.maps`: the programs and maps that initialisers name.
fn initial_values(
    elf: &Elf<'_>,
    index: usize,
    placed: &[Placed],
    functions: &Functions,
    maps: &mut [Map],
) -> Result<(), ObjectError> {
    let mut found: HashMap<usize, Vec<(u32, String)>> = HashMap::new();
    let by_offset: HashMap<u64, &str> = maps.iter().map(|m| (m.offset, m.spec.name.as_str())).collect();
    for reloc in elf.relocs.get(&index).map_or(&[][..], Vec::as_slice) {
        let at = placed.partition_point(|p| p.start <= reloc.offset);
        let place = at.checked_sub(1).and_then(|i| placed.get(i)).filter(|p| reloc.offset < p.end);
        let (Some(place), Some(symbol)) = (place, elf.symbols.get(reloc.symbol)) else {
            let why = "is in no map".to_owned();
            let (object, section) = (elf.object.to_owned(), ".maps".to_owned());
            return Err(ObjectError::Relocation { object, section, offset: reloc.offset, why });
        };
        let Some(map) = maps.get(place.map) else { continue };
        let bad = |why: String| {
            let problem = MapProblem::BadValue { offset: reloc.offset, why };
            error(elf, ".maps", &map.spec.name, problem)
        };
        let from = place.values_at.and_then(|v| reloc.offset.checked_sub(place.start)?.checked_sub(v));
        let from = from.ok_or_else(|| bad("is not in `.values`; only those can be initialised".to_owned()))?;
        if from % 8 != 0 || reloc.kind != RELOC_ABS64 {
            return Err(bad("is no pointer; rebuild the object".to_owned()));
        }
        let slot = u32::try_from(from / 8).ok().filter(|&i| i < map.spec.max_entries || map.spec.max_entries == 0);
        let slot = slot.ok_or_else(|| {
            bad(format!("is element {}, and max_entries is {}; raise it", from / 8, map.spec.max_entries))
        })?;
        let name = value_name(elf, index, functions, &by_offset, map.spec.kind, symbol).map_err(bad)?;
        found.entry(place.map).or_default().push((slot, name));
    }
    for (map, values) in found {
        if let Some(map) = maps.get_mut(map) {
            Arc::make_mut(&mut map.spec).values = values;
        }
    }
    Ok(())
}

fn value_name(
    elf: &Elf<'_>,
    maps_section: usize,
    functions: &Functions,
    maps: &HashMap<u64, &str>,
    kind: MapKind,
    symbol: &Symbol,
) -> Result<String, String> {
    if kind == MapKind::ProgArray {
        let Home::Section(section) = symbol.home else {
            return Err(format!("names `{}`, which the object does not define", symbol.name));
        };
        let slot = usize::try_from(symbol.value / 8).unwrap_or(usize::MAX);
        return functions
            .starting_at(section, slot)
            .and_then(|i| functions.all.get(i))
            .filter(|f| f.is_program && symbol.value.is_multiple_of(8))
            .map(|f| f.name.clone())
            .ok_or_else(|| {
                let section = elf.section_name(section);
                format!("names `{}` in section `{section}`, which is no program; name a SEC() function", symbol.name)
            });
    }
    if symbol.home != Home::Section(maps_section) {
        return Err(format!("names `{}`, which is no map; name a map of `.maps`", symbol.name));
    }
    maps.get(&symbol.value)
        .map(|&name| name.to_owned())
        .ok_or_else(|| format!("names `{}`, where no map begins; name a map of `.maps`", symbol.name))
}

fn legacy_maps(elf: &Elf<'_>, index: usize, data: &[u8], maps: &mut Vec<Map>) -> Result<(), ObjectError> {
    let mut symbols: Vec<&Symbol> = elf
        .symbols_of(index)
        .filter(|s| matches!(s.kind, SymbolKind::Data | SymbolKind::Other) && !s.name.is_empty())
        .collect();
    symbols.sort_by_key(|s| s.value);
    for (i, symbol) in symbols.iter().enumerate() {
        let fail = |problem| error(elf, "maps", &symbol.name, problem);
        let next = symbols.get(i + 1).map_or(data.len() as u64, |n| n.value);
        let size = if symbol.size == 0 { next.saturating_sub(symbol.value) } else { symbol.size };
        let range = usize::try_from(symbol.value).ok().zip(usize::try_from(size).ok());
        let bytes = range.and_then(|(at, len)| data.get(at..at.checked_add(len)?));
        let bytes = bytes.ok_or_else(|| fail(MapProblem::NoSymbol))?;
        let Some((known, rest)) = bytes.split_at_checked(LEGACY_LEN) else {
            return Err(fail(MapProblem::LegacySize(size)));
        };
        if rest.iter().any(|&b| b != 0) {
            return Err(fail(MapProblem::LegacyExtra));
        }
        let spec = legacy_spec(&symbol.name, known).map_err(fail)?;
        maps.push(Map { spec: Arc::new(spec), section: "maps".to_owned(), section_index: index, offset: symbol.value });
    }
    Ok(())
}

fn legacy_spec(name: &str, bytes: &[u8]) -> Result<MapSpec, MapProblem> {
    let mut words = bytes.as_chunks::<4>().0.iter().map(|w| u32::from_le_bytes(*w));
    let mut word = || words.next().unwrap_or(0);
    let number = word();
    let kind = MapKind::from_number(number).ok_or(MapProblem::UnknownType(number))?;
    let (key_size, value_size, max_entries) = (word(), word(), map_def::entries(kind, word()));
    let flags = word();
    Ok(MapSpec { flags, ..MapSpec::new(name, kind, key_size, value_size, max_entries) })
}
