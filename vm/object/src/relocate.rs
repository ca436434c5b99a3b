//! Applies relocations to the slots of a linked program: CO-RE first, then symbols, as libbpf does.

use std::cell::OnceCell;
use std::sync::Arc;

use backstop_btf::core::{Resolver, patch};
use backstop_btf::essential_name;
use backstop_btf::{Btf, Kind, Type, TypeId};
use backstop_isa::Slot;
use backstop_model::{Kfunc, Poisoned};

use crate::elf::{Home, RELOC_CALL, RELOC_LD64, Reloc};
use crate::error::{LinkError, Place};
use crate::externs::{Extern, ExternKind};
use crate::functions::Function;
use crate::link::Linker;
use crate::proto;

pub(crate) const CALL: u8 = 0x85;
pub(crate) const LD_IMM64: u8 = 0x18;
pub(crate) const PSEUDO_CALL: u8 = 1;
const PSEUDO_KFUNC: u8 = 2;
pub(crate) const PSEUDO_FUNC: u8 = 4;
const PSEUDO_BTF_ID: u8 = 3;
const PSEUDO_MAP_IDX: u8 = 5;
const PSEUDO_MAP_VALUE_IDX: u8 = 6;

/// Helper number that calls of a missing weak kfunc become (libbpf's), the symbol's number added.
const POISON_KFUNC: i32 = 2_002_000_000;

/// One instruction that is being changed.
struct Site<'a> {
    function: &'a Function,
    /// Slot in the section.
    at: usize,
    /// Slot in the program.
    slot: usize,
}

/// Applies all relocations of the functions taken.
pub(crate) fn apply(linker: &mut Linker<'_>) -> Result<(), LinkError> {
    apply_core(linker)?;
    for (index, start) in linker.taken.clone() {
        let Some(function) = linker.function(index) else { continue };
        let len = function.end - function.start;
        let mut i = 0;
        while i < len {
            let site = Site { function, at: function.start + i, slot: start + i };
            i += apply_one(linker, &site)?;
        }
    }
    linker.poisoned.sort_by_key(|p| p.slot);
    Ok(())
}

fn apply_core(linker: &mut Linker<'_>) -> Result<(), LinkError> {
    let object = linker.object;
    let Some(local) = &object.btf else { return Ok(()) };
    let targets: Vec<&Btf> = linker.env.core_targets().iter().map(Arc::as_ref).collect();
    let kernel = OnceCell::new();
    let env = linker.env;
    let mut resolver = Resolver::new(local, &targets).assuming(env.knows_type());
    for (index, start) in linker.taken.clone() {
        let Some(function) = linker.function(index) else { continue };
        let (from, to) = (function.offset(), function.end as u64 * 8);
        for relo in object.debug.relos(&function.section, from, to) {
            let at = (relo.insn_off / 8) as usize;
            let slot = start + at.saturating_sub(function.start);
            let program = || linker.program.to_owned();
            let place = || Box::new(object.place(function, at));
            if kernel.get().is_none()
                && !resolver.has_candidate(relo)
                && let Some(types) = kernel.get_or_init(|| env.kernel_types())
            {
                resolver.add_target(types);
            }
            let resolution = resolver.resolve(relo).map_err(|source| LinkError::Core {
                program: program(),
                place: place(),
                source: Box::new(source),
            })?;
            let end = start + (function.end - function.start);
            let own = linker.slots.get_mut(..end).unwrap_or(&mut []);
            let poison = patch(own, slot, &resolution).map_err(|source| LinkError::CorePatch {
                program: program(),
                place: place(),
                source: Box::new(source),
            })?;
            if let Some(poison) = poison {
                note(linker, slot, poison.to_string());
            }
        }
    }
    Ok(())
}

fn note(linker: &mut Linker<'_>, slot: usize, wanted: String) {
    linker.poisoned.push(Poisoned { slot: u32::try_from(slot).unwrap_or(u32::MAX), wanted });
}

/// Handles the instruction at a site; gives how many slots it takes.
fn apply_one(linker: &mut Linker<'_>, site: &Site<'_>) -> Result<usize, LinkError> {
    let Some(&slot) = linker.slots.get(site.slot) else { return Ok(1) };
    let reloc = linker.object.reloc_at(site.function.section_index, site.at);
    let wide = slot.code == LD_IMM64;
    let inside = site.at + 1 < site.function.end;
    if wide
        && inside
        && let Some(r) = linker.object.reloc_at(site.function.section_index, site.at + 1)
    {
        return Err(bad(linker, site, r, "changes the second half of a 64-bit load"));
    }
    match (reloc, slot.code, slot.src) {
        (None, CALL, PSEUDO_CALL) | (None, LD_IMM64, PSEUDO_FUNC) => local_function(linker, site, &slot)?,
        (None, ..) => {}
        (Some(r), LD_IMM64, _) if !inside => {
            return Err(bad(linker, site, r, "changes a 64-bit load that is cut off by the function's end"));
        }
        (Some(r), LD_IMM64, _) if r.kind == RELOC_LD64 => load(linker, site, r, &slot)?,
        (Some(r), CALL, PSEUDO_CALL) if r.kind == RELOC_CALL => call(linker, site, r, &slot)?,
        (Some(r), ..) => {
            let why = "is of a type that its instruction cannot take (a 64-bit load or a call to a symbol)";
            return Err(bad(linker, site, r, why));
        }
    }
    Ok(if wide { 2 } else { 1 })
}

fn place(linker: &Linker<'_>, site: &Site<'_>) -> Box<Place> {
    Box::new(linker.object.place(site.function, site.at))
}

fn bad(linker: &Linker<'_>, site: &Site<'_>, reloc: &Reloc, why: &str) -> LinkError {
    LinkError::BadRelocation {
        program: linker.program.to_owned(),
        place: place(linker, site),
        symbol: linker.object.symbol_text(reloc.symbol),
        why: why.to_owned(),
    }
}

fn set(linker: &mut Linker<'_>, at: usize, slot: Slot) {
    if let Some(place) = linker.slots.get_mut(at) {
        *place = slot;
    }
}

/// Writes both halves of a 64-bit load.
fn set_load(linker: &mut Linker<'_>, site: &Site<'_>, old: &Slot, src: u8, imm: i32, next_imm: i32) {
    set(linker, site.slot, Slot { src, imm, off: 0, ..*old });
    set(linker, site.slot + 1, Slot { imm: next_imm, ..Slot::default() });
}

/// Makes a call or function address relative to where the function lies in the program.
fn local_function(linker: &mut Linker<'_>, site: &Site<'_>, old: &Slot) -> Result<(), LinkError> {
    let target = linker.mention(site.function, site.at, old)?;
    let Some(start) = target.and_then(|t| linker.start_of(t)) else { return Ok(()) };
    // Both lie below MAX_SLOTS, so the difference fits.
    let imm = (start as i64 - site.slot as i64 - 1) as i32;
    if old.code == CALL {
        set(linker, site.slot, Slot { src: PSEUDO_CALL, imm, ..*old });
    } else {
        set_load(linker, site, old, PSEUDO_FUNC, imm, 0);
    }
    Ok(())
}

fn call(linker: &mut Linker<'_>, site: &Site<'_>, reloc: &Reloc, old: &Slot) -> Result<(), LinkError> {
    let object = linker.object;
    match object.symbols.get(reloc.symbol).map(|s| s.home) {
        Some(Home::Section(section)) if object.functions.code.contains_key(&section) => {
            return local_function(linker, site, old);
        }
        Some(Home::Undefined) => {}
        _ => return Err(bad(linker, site, reloc, "is a call to something that is no function")),
    }
    let Some(wanted) = object.externs.get(&reloc.symbol) else {
        return Err(bad(linker, site, reloc, "is a call to a symbol without a name"));
    };
    match kfunc(linker, site, reloc, wanted)? {
        Some(kfunc) => {
            let imm = kfunc_number(linker, kfunc);
            set(linker, site.slot, Slot { code: CALL, dst: 0, src: PSEUDO_KFUNC, off: 0, imm });
        }
        None => {
            let number = i32::try_from(reloc.symbol).unwrap_or(0) % 1_000_000;
            set(linker, site.slot, Slot { code: CALL, dst: 0, src: 0, off: 0, imm: POISON_KFUNC + number });
            note(linker, site.slot, format!("weak kfunc `{}`, which is not there", wanted.name));
        }
    }
    Ok(())
}

/// The kfunc that an extern stands for; none if it is weak and not there.
fn kfunc(
    linker: &Linker<'_>,
    site: &Site<'_>,
    reloc: &Reloc,
    wanted: &Extern,
) -> Result<Option<Arc<Kfunc>>, LinkError> {
    let unresolved = |remedy| {
        let (program, symbol) = (linker.program.to_owned(), wanted.name.clone());
        LinkError::Unresolved { program, place: place(linker, site), symbol, remedy }
    };
    if wanted.kind != ExternKind::Kfunc {
        if wanted.weak {
            return Ok(None);
        }
        return Err(unresolved(
            "define it in this object, or declare it `extern ... __ksym` and compile with -g if it is a kfunc",
        ));
    }
    let offered = linker.env.kfunc(&wanted.name).or_else(|| linker.env.kfunc(essential_name(&wanted.name)));
    let Some(offered) = offered else {
        if wanted.weak {
            return Ok(None);
        }
        return Err(unresolved(
            "no such kfunc: give it to the linker, check its spelling, or declare it __weak and test it",
        ));
    };
    let local = linker.object.btf.as_deref().zip(linker.extern_type(reloc.symbol));
    if local.is_none_or(|local| proto::compatible(local, (&offered.btf, offered.func))) {
        return Ok(Some(offered));
    }
    if wanted.weak {
        return Ok(None);
    }
    let (program, symbol) = (linker.program.to_owned(), wanted.name.clone());
    Err(LinkError::KfuncPrototype { program, place: place(linker, site), symbol })
}

fn kfunc_number(linker: &mut Linker<'_>, kfunc: Arc<Kfunc>) -> i32 {
    if let Some(&number) = linker.kfunc_numbers.get(&kfunc.name) {
        return number;
    }
    // At most one a slot, and there are at most MAX_SLOTS.
    let number = linker.kfuncs.len() as i32;
    linker.kfunc_numbers.insert(kfunc.name.clone(), number);
    linker.kfuncs.push(kfunc);
    number
}

fn map_number(linker: &mut Linker<'_>, map: usize) -> Option<i32> {
    if let Some(&number) = linker.map_numbers.get(&map) {
        return Some(number);
    }
    let spec = linker.object.maps.get(map)?.spec.clone();
    let number = linker.maps.len() as i32;
    linker.map_numbers.insert(map, number);
    linker.maps.push(spec);
    linker.map_indices.push(map);
    Some(number)
}

fn load(linker: &mut Linker<'_>, site: &Site<'_>, reloc: &Reloc, old: &Slot) -> Result<(), LinkError> {
    let object = linker.object;
    let Some(symbol) = object.symbols.get(reloc.symbol) else {
        return Err(bad(linker, site, reloc, "refers to no symbol"));
    };
    let section = match symbol.home {
        Home::Section(section) => section,
        Home::Undefined => return load_extern(linker, site, reloc, old),
        Home::Other => return Err(bad(linker, site, reloc, "refers to an absolute or common symbol")),
    };
    if object.functions.code.contains_key(&section) {
        return local_function(linker, site, old);
    }
    // A symbol's value plus what the instruction holds: clang names the section and puts the offset into the instruction.
    let offset = i64::try_from(symbol.value).ok().and_then(|v| v.checked_add(i64::from(old.imm)));
    let Some(offset) = offset else { return Err(bad(linker, site, reloc, "has an offset beyond 63 bits")) };
    if let Some(&map) = object.data_maps.get(&section) {
        let Ok(offset) = i32::try_from(offset) else {
            return Err(bad(linker, site, reloc, "has an offset outside its section"));
        };
        let number = map_number(linker, map).ok_or_else(|| bad(linker, site, reloc, "refers to no map"))?;
        set_load(linker, site, old, PSEUDO_MAP_VALUE_IDX, number, offset);
        return Ok(());
    }
    let key = u64::try_from(offset).ok().map(|o| (section, o));
    match key.and_then(|k| object.map_at.get(&k)).copied() {
        Some(map) => {
            let number = map_number(linker, map).ok_or_else(|| bad(linker, site, reloc, "refers to no map"))?;
            set_load(linker, site, old, PSEUDO_MAP_IDX, number, 0);
            Ok(())
        }
        None => {
            let name = object.section_names.get(section).map_or("?", String::as_str);
            let why = format!("refers to byte {offset} of section `{name}`, where no map, function or global data lie");
            Err(bad(linker, site, reloc, &why))
        }
    }
}

fn load_extern(linker: &mut Linker<'_>, site: &Site<'_>, reloc: &Reloc, old: &Slot) -> Result<(), LinkError> {
    let object = linker.object;
    let Some(wanted) = object.externs.get(&reloc.symbol) else {
        return Err(bad(linker, site, reloc, "refers to a symbol without a name"));
    };
    let value = match wanted.kind {
        // Programs only ask whether a kfunc is there; its address is the runtime's affair.
        ExternKind::Kfunc => kfunc(linker, site, reloc, wanted)?.map_or(0, |_| 1),
        ExternKind::Kconfig if wanted.weak || object.kconfig_given.contains(&wanted.name) => {
            return load_kconfig(linker, site, reloc, wanted, old);
        }
        ExternKind::Kconfig => {
            let remedy = "there is no kernel configuration here, .kconfig has LINUX_KERNEL_VERSION and what the host gives \
                          (`Object::set_kconfig`, `--kconfig NAME=VALUE`); or declare it __weak, it then reads as 0";
            return Err(unresolved(linker, site, wanted, remedy));
        }
        ExternKind::Variable | ExternKind::Unknown => match linker.env.ksym(&wanted.name) {
            Some(value) => value,
            None if let Some(var) = kernel_variable(linker, wanted) => {
                set_load(linker, site, old, PSEUDO_BTF_ID, var.0 as i32, 0);
                return Ok(());
            }
            None if wanted.weak => 0,
            None => {
                let remedy = "no such variable: give it to the linker, or declare it __weak and test its address";
                return Err(unresolved(linker, site, wanted, remedy));
            }
        },
    };
    set_load(linker, site, old, 0, value as i32, (value >> 32) as i32);
    Ok(())
}

/// The kernel's variable that a typed extern of `.ksyms` means; an extern without a type (`const void`) means an address that is not
/// known here.
fn kernel_variable(linker: &Linker<'_>, wanted: &Extern) -> Option<TypeId> {
    let own = linker.object.btf.as_deref()?;
    let Type::Var { ty, .. } = *own.ty(wanted.ty?) else { return None };
    if own.resolve(ty).is_void() {
        return None;
    }
    let kernel = linker.env.kernel_types()?;
    let var = kernel.find(&wanted.name, Kind::Var)?;
    let Type::Var { ty: theirs, .. } = *kernel.ty(var) else { return None };
    let (own_ty, theirs) = (own.resolve(ty), kernel.resolve(theirs));
    let alike = own.kind(own_ty) == kernel.kind(theirs)
        && (!own.kind(own_ty).is_composite()
            || essential_name(own.name(own_ty)) == essential_name(kernel.name(theirs)));
    alike.then_some(var)
}

fn unresolved(linker: &Linker<'_>, site: &Site<'_>, wanted: &Extern, remedy: &'static str) -> LinkError {
    let (program, symbol) = (linker.program.to_owned(), wanted.name.clone());
    LinkError::Unresolved { program, place: place(linker, site), symbol, remedy }
}

fn load_kconfig(
    linker: &mut Linker<'_>,
    site: &Site<'_>,
    reloc: &Reloc,
    wanted: &Extern,
    old: &Slot,
) -> Result<(), LinkError> {
    let found =
        linker.object.kconfig.as_ref().and_then(|(map, offsets)| Some((*map, offsets.get(&wanted.name)?.offset)));
    let Some((map, offset)) = found else {
        return Err(bad(linker, site, reloc, "refers to a configuration value without a size"));
    };
    let number = map_number(linker, map).ok_or_else(|| bad(linker, site, reloc, "refers to no map"))?;
    // Below MAX_DATA_BYTES.
    set_load(linker, site, old, PSEUDO_MAP_VALUE_IDX, number, offset as i32);
    Ok(())
}
