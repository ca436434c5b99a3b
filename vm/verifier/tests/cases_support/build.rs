//! A case to a linked program.

use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use backstop_btf::{Btf, Kind};
use backstop_isa::{Slot, Symbol, assemble_with};
use backstop_model::kernel_btf::reduced_btf;
use backstop_model::{
    AttachType, BuiltinKfunc, FuncInfo, MapKind, MapSpec, ProgKind, ProgType, Program, helpers, kfuncs,
};

use super::corpus::{Case, expand};
use super::types::{FuncLine, Types};

const LD_IMM64: u8 = 0x18;
const CALL: u8 = 0x85;
const PSEUDO_CALL: u8 = 1;
const PSEUDO_FUNC: u8 = 4;

/// A case's program, as it is for the kernel whose types come with the model.
pub fn program(case: &Case) -> Result<Program, String> {
    let kernel = reduced_btf().ok_or("no types of the kernel")?;
    program_for(case, &kernel)
}

/// A case's program for the kernel that has these types; the parts that both judges need are in the program itself.
pub fn program_for(case: &Case, kernel: &Btf) -> Result<Program, String> {
    let mut types = Types::of(case);
    let (maps, btf_for_maps) = all_maps(case, &mut types)?;
    let text = with_type_ids(&with_kernel_types(&expand(&case.body), kernel)?, &mut types);
    let names: Vec<String> = maps.iter().map(|map| map.name.clone()).collect();
    let (slots, kfunc_names) = assembled(&text, &names)?;
    let lines = FuncLine::all(case);
    let wants_btf = match case.first("btf") {
        Some("off") => false,
        Some(_) => true,
        None => {
            !lines.is_empty()
                || btf_for_maps
                || case.first("tag").is_some()
                || case.first("struct").is_some()
                || case.first("section").is_some()
                || slots.iter().any(|slot| slot.code == LD_IMM64 && slot.src == PSEUDO_FUNC)
        }
    };
    let func_info = if wants_btf { func_info(case, &text, &slots, &lines, &mut types)? } else { Vec::new() };
    let btf = wants_btf.then(|| Arc::new(types.build()));
    let maps = maps.into_iter().map(|map| with_btf(map, btf.as_ref())).collect();
    Ok(Program {
        name: "main".to_owned(),
        section: String::new(),
        kind: kind(case)?,
        slots,
        maps,
        kfuncs: kfunc_names.iter().map(|name| kfunc(name)).collect::<Result<_, _>>()?,
        btf,
        func_info,
        line_info: Vec::new(),
        poisoned: Vec::new(),
        license: case.first("license").unwrap_or("GPL").to_owned(),
    })
}

fn kind(case: &Case) -> Result<ProgKind, String> {
    let mut words = case.first("type").ok_or("no type")?.split_whitespace();
    let name = words.next().unwrap_or_default();
    let ty = ProgType::LINUX
        .into_iter()
        .chain([ProgType::RawMem])
        .find(|ty| ty.name() == name)
        .ok_or_else(|| format!("no program type `{name}`"))?;
    let mut kind = ProgKind::new(ty);
    for word in words {
        match word {
            "sleepable" => kind.sleepable = true,
            "frags" => kind.frags = true,
            length => kind.memory_len = length.parse().map_err(|_| format!("type word `{length}`"))?,
        }
    }
    if let Some(attach) = case.first("attach") {
        let number = attach.parse::<u32>().map_err(|_| format!("attach `{attach}`"))?;
        let known = [
            AttachType::CgroupInetIngress,
            AttachType::CgroupInetEgress,
            AttachType::XdpDevmap,
            AttachType::XdpCpumap,
            AttachType::TraceIter,
            AttachType::TraceFentry,
            AttachType::TraceFexit,
            AttachType::TraceModifyReturn,
            AttachType::TraceRawTp,
            AttachType::KprobeMulti,
            AttachType::UprobeMulti,
            AttachType::KprobeSession,
        ];
        kind.attach =
            known.into_iter().find(|known| known.linux_number() == number).unwrap_or(AttachType::Other(number));
    }
    Ok(kind)
}

fn kfunc(name: &str) -> Result<Arc<backstop_model::Kfunc>, String> {
    let builtin = BuiltinKfunc::ALL
        .iter()
        .find(|kfunc| kfunc.name() == name)
        .ok_or_else(|| format!("`{name}` is no helper, kfunc, map or label"))?;
    kfuncs::builtin(*builtin).map_err(|error| error.to_string())
}

fn helper(name: &str) -> Option<i32> {
    if let Some(proto) = helpers::by_name(name) {
        return i32::try_from(proto.id).ok();
    }
    (1..400).find(|id| helpers::name(*id) == Some(name)).and_then(|id| i32::try_from(id).ok())
}

/// Assembles, and puts in place the functions whose addresses are taken: `rX = func LABEL ll`, or `func +N` with N as
/// the kernel counts it (from the slot after the load's first).
fn assembled(text: &str, maps: &[String]) -> Result<(Vec<Slot>, Vec<String>), String> {
    let mut targets = Vec::new();
    let mut plain = String::new();
    for line in text.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        let at = words.windows(2).position(|pair| pair == ["=", "func"]);
        let (Some(at), Some(&"ll")) = (at.filter(|at| *at > 0), words.last()) else {
            plain.push_str(line);
            plain.push('\n');
            continue;
        };
        let labels = words[..at - 1].join(" ");
        let register = words[at - 1].trim_start_matches('r');
        plain.push_str(&format!("{labels} .slot 0x18, {register}, 4, 0, 0\n.slot 0, 0, 0, 0, 0\n"));
        targets.push(words[at + 2]);
    }
    let (mut slots, kfuncs) = assembled_plain(&plain, maps)?;
    let loads: Vec<usize> =
        (0..slots.len()).filter(|at| slots[*at].code == LD_IMM64 && slots[*at].src == PSEUDO_FUNC).collect();
    for (at, target) in loads.into_iter().zip(targets) {
        let imm = match target.parse::<i32>() {
            Ok(number) => number,
            Err(_) => {
                let slot = label_slot(&plain, maps, target)?;
                i32::try_from(slot).unwrap_or(0) - i32::try_from(at).unwrap_or(0) - 1
            }
        };
        slots[at].imm = imm;
    }
    Ok((slots, kfuncs))
}

/// The slot of a label, found by one more jump to it at the end.
fn label_slot(text: &str, maps: &[String], label: &str) -> Result<usize, String> {
    let (slots, _) = assembled_plain(&format!("{text}\ngotol {label}\n"), maps)?;
    let last = slots.last().ok_or("no code")?;
    let slot = i64::try_from(slots.len()).unwrap_or(0) + i64::from(last.imm);
    usize::try_from(slot).map_err(|_| format!("label {label} lies before the start"))
}

fn assembled_plain(text: &str, maps: &[String]) -> Result<(Vec<Slot>, Vec<String>), String> {
    let kfuncs = RefCell::new(Vec::<String>::new());
    let slots = assemble_with(text, &|name| {
        if let Some(index) = maps.iter().position(|map| map == name) {
            return i32::try_from(index).ok().map(Symbol::Map);
        }
        if !name.starts_with("bpf_") {
            return helper(name).map(Symbol::Helper);
        }
        let mut kfuncs = kfuncs.borrow_mut();
        let place = kfuncs.iter().position(|known| known == name).unwrap_or(kfuncs.len());
        if place == kfuncs.len() {
            kfuncs.push(name.to_owned());
        }
        i32::try_from(place).ok().map(|id| Symbol::Kfunc { id, off: 0 })
    })
    .map_err(|error| format!("assembler: {error}"))?;
    Ok((slots, kfuncs.into_inner()))
}

/// `$kernel.foo` to the id of the kernel's struct, `$kernel.foo.bar` to the offset of a field.
fn with_kernel_types(text: &str, kernel: &Btf) -> Result<String, String> {
    let mut out = String::new();
    let mut parts = text.split("$kernel.");
    out.push_str(parts.next().unwrap_or_default());
    for part in parts {
        let end = part.find(|c: char| !c.is_ascii_alphanumeric() && c != '_' && c != '.').unwrap_or(part.len());
        let (path, rest) = part.split_at(end);
        let (name, field) = path.split_once('.').map_or((path, None), |(name, field)| (name, Some(field)));
        let kinds = [Kind::Struct, Kind::Var, Kind::Typedef, Kind::Int, Kind::Union, Kind::Func];
        let ty = kinds
            .into_iter()
            .find_map(|kind| kernel.find(name, kind))
            .ok_or_else(|| format!("the kernel has no `{name}`"))?;
        let number = match field {
            None => u64::from(ty.0),
            Some(field) => kernel.field(ty, field).ok_or_else(|| format!("no field `{path}`"))?.byte_offset(),
        };
        out.push_str(&number.to_string());
        out.push_str(rest);
    }
    Ok(out)
}

/// `$foo` to the id of the type.
fn with_type_ids(text: &str, types: &mut Types) -> String {
    let mut out = String::new();
    let mut parts = text.split('$');
    out.push_str(parts.next().unwrap_or_default());
    for part in parts {
        let end = part.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(part.len());
        let (name, rest) = part.split_at(end);
        out.push_str(&types.id(name).0.to_string());
        out.push_str(rest);
    }
    out
}

/// First slots of all functions.
fn starts(slots: &[Slot]) -> BTreeSet<usize> {
    let mut starts = BTreeSet::from([0]);
    let mut at = 0;
    while let Some(slot) = slots.get(at) {
        let next = at + 1;
        let target = i64::try_from(next).unwrap_or(0) + i64::from(slot.imm);
        if (slot.code == CALL && slot.src == PSEUDO_CALL) || (slot.code == LD_IMM64 && slot.src == PSEUDO_FUNC) {
            starts.extend(usize::try_from(target).ok().filter(|start| *start < slots.len()));
        }
        at = if slot.code == LD_IMM64 { at + 2 } else { next };
    }
    starts
}

fn label_slots(text: &str, maps: &[String], labels: &[&str]) -> Result<HashMap<String, usize>, String> {
    // Addresses of functions take two slots wherever they point, and only places are wanted here.
    let lines = text.lines().map(|line| match line.find("= func ") {
        Some(at) => format!("{}= 0 ll", &line[..at]),
        None => line.to_owned(),
    });
    let plain = lines.collect::<Vec<_>>().join("\n");
    labels.iter().map(|label| Ok(((*label).to_owned(), label_slot(&plain, maps, label)?))).collect()
}

fn func_info(
    case: &Case,
    text: &str,
    slots: &[Slot],
    lines: &[FuncLine<'_>],
    types: &mut Types,
) -> Result<Vec<FuncInfo>, String> {
    let names: Vec<String> =
        case.all("map").map(|line| line.split_whitespace().next().unwrap_or_default().to_owned()).collect();
    let labels: Vec<&str> = lines.iter().map(|line| line.label).filter(|label| *label != "main").collect();
    let mut places = label_slots(text, &names, &labels)?;
    places.insert("main".to_owned(), 0);
    let mut starts = starts(slots);
    starts.extend(places.values().copied());
    let mut records = Vec::new();
    for (number, start) in starts.into_iter().enumerate() {
        let line = lines.iter().find(|line| places.get(line.label) == Some(&start));
        let name = if start == 0 { "main".to_owned() } else { format!("sub{number}") };
        let func = types.func(line, &name);
        if start == 0 {
            case.all("tag").for_each(|tag| types.tag(tag, func));
        }
        records.push(FuncInfo { slot: u32::try_from(start).map_err(|_| "too long")?, func });
    }
    Ok(records)
}

/// The program's maps without their BTF yet, and whether any needs it.
fn all_maps(case: &Case, types: &mut Types) -> Result<(Vec<MapSpec>, bool), String> {
    let mut templates: HashMap<String, Arc<MapSpec>> = HashMap::new();
    let mut maps = Vec::new();
    let mut typed = false;
    for line in case.header.iter().filter(|line| line.key == "map" || line.key == "inner") {
        let map = one_map(&line.value, &templates, types).map_err(|why| format!("map `{}`: {why}", line.value))?;
        typed |= map.value_type.is_some();
        if line.key == "inner" {
            templates.insert(map.name.clone(), Arc::new(map));
        } else {
            maps.push(map);
        }
    }
    Ok((maps, typed))
}

fn number(text: &str) -> Result<u64, String> {
    let parsed = match text.strip_prefix("0x") {
        Some(hex) => u64::from_str_radix(hex, 16),
        None => text.parse(),
    };
    parsed.map_err(|_| format!("`{text}` is no number"))
}

fn one_map(line: &str, templates: &HashMap<String, Arc<MapSpec>>, types: &mut Types) -> Result<MapSpec, String> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let [name, kind, key, value, entries, options @ ..] = words.as_slice() else {
        return Err("want NAME KIND KEY VALUE ENTRIES".to_owned());
    };
    let kind =
        MapKind::ALL.into_iter().find(|known| known.info().name == *kind).ok_or_else(|| format!("no kind `{kind}`"))?;
    let word = |text: &str| number(text).and_then(|n| u32::try_from(n).map_err(|_| "too large".to_owned()));
    let mut map = MapSpec::new(*name, kind, word(key)?, word(value)?, word(entries)?);
    for option in options {
        let (key, value) = option.split_once('=').ok_or_else(|| format!("option `{option}`"))?;
        match key {
            "flags" => map.flags = word(value)?,
            "extra" => map.extra = number(value)?,
            "inner" => map.inner = Some(templates.get(value).ok_or("no such template")?.clone()),
            "type" => {
                map.value_type = Some(types.id(value));
                map.key_type = types.key(map.key_size);
            }
            "section" => map.value_type = Some(types.section_id(value).ok_or("no such section")?),
            "frozen" => {
                map.initial = Some(bytes(value, map.value_size as usize)?.into());
                map.flags |= backstop_model::MAP_F_RDONLY_PROG;
                map.frozen = true;
            }
            other => return Err(format!("option `{other}`")),
        }
    }
    Ok(map)
}

fn bytes(hex: &str, len: usize) -> Result<Vec<u8>, String> {
    let mut out: Vec<u8> = (0..hex.len() / 2)
        .map(|i| u8::from_str_radix(&hex[2 * i..2 * i + 2], 16).map_err(|_| format!("`{hex}` is no hex")))
        .collect::<Result<_, _>>()?;
    out.resize(len, 0);
    Ok(out)
}

fn with_btf(mut map: MapSpec, btf: Option<&Arc<Btf>>) -> Arc<MapSpec> {
    if map.value_type.is_some() {
        map.btf = btf.cloned();
    }
    if let Some(inner) = &map.inner
        && inner.value_type.is_some()
    {
        map.inner = Some(with_btf((**inner).clone(), btf));
    }
    Arc::new(map)
}
