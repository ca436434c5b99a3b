//! One object with one of everything, opened and linked: what came out is held by golden text.

use std::fmt::Write as _;
use std::sync::Arc;

use backstop_btf::{Btf, BtfBuilder, Encoding, Kind, Linkage, Type};
use backstop_model::{HostContext, Kfunc, MapKind, ProgKind, ProgType, Program};
use backstop_object::{
    ElfProblem, ExternKind, LinkEnv, LinkError, LinkedProgram, Object, ObjectError, StandardEnv, Visibility,
};

type Checked<T = ()> = Result<T, Box<dyn std::error::Error>>;

const EVERYTHING: &[u8] = include_bytes!("data/everything.bpf.o");

fn open() -> Checked<Object> {
    Ok(Object::parse(EVERYTHING, "everything")?)
}

fn standard() -> Checked<StandardEnv> {
    Ok(StandardEnv::new([])?)
}

fn link(program: &str) -> Checked<LinkedProgram> {
    Ok(open()?.link(program, &standard()?)?)
}

/// The functions of a program and every instruction that a relocation decided.
fn render(program: &Program) -> String {
    let mut text = String::new();
    let btf = program.btf.as_deref();
    let name_at = |slot: i64| {
        let info = program.func_info.iter().find(|f| i64::from(f.slot) == slot);
        info.and_then(|f| btf.map(|b| b.name(f.func).to_owned())).unwrap_or_else(|| format!("slot {slot}"))
    };
    for (i, slot) in program.slots.iter().enumerate() {
        if program.func_info.iter().any(|f| f.slot as usize == i) {
            let _ = writeln!(text, "{}:", name_at(i as i64));
        }
        let map = || program.maps.get(slot.imm as usize).map_or("?", |m| m.name.as_str());
        let next = program.slots.get(i + 1).copied().unwrap_or_default();
        let line = match (slot.code, slot.src) {
            (0x85, 1) => format!("call {}", name_at(i as i64 + 1 + i64::from(slot.imm))),
            (0x85, 2) => format!("call kfunc {}", program.kfuncs.get(slot.imm as usize).map_or("?", |k| &k.name)),
            (0x85, 0) if slot.imm > 1000 => format!("call {}", slot.imm),
            (0x18, 4) => format!("r{} = &{}", slot.dst, name_at(i as i64 + 1 + i64::from(slot.imm))),
            (0x18, 5) => format!("r{} = map {}", slot.dst, map()),
            (0x18, 6) => format!("r{} = value of {} + {}", slot.dst, map(), next.imm),
            (0x18, 0) => format!("r{} = {} ll", slot.dst, slot.imm),
            _ => continue,
        };
        let _ = writeln!(text, "  {i:3} {line}");
    }
    for poisoned in &program.poisoned {
        let _ = writeln!(text, "poisoned {}: {}", poisoned.slot, poisoned.wanted);
    }
    text
}

const EVERYTHING_LINKED: &str = "\
everything:
    0 r1 = value of everythi.rodata + 0
    8 r1 = map flows
   14 r2 = &each
   18 r1 = 0 ll
   22 call 2002000029
   26 r1 = 0 ll
   33 call global_sub
   36 call leaf
   38 r1 = value of everythi.bss + 0
   47 r1 = value of .rodata.words + 0
   55 call hidden_sub
   57 call far_away
each:
   62 call leaf
leaf:
   69 r1 = value of everythi.bss + 8
   76 call kfunc bpf_throw
   77 r1 = value of everythi.data + 0
global_sub:
   82 call leaf
hidden_sub:
   86 call leaf
far_away:
   90 call leaf
on_throw:
   94 call leaf
   99 call only_on_throw
only_on_throw:
poisoned 22: weak kfunc `missing_kfunc`, which is not there
";

#[test]
fn functions_come_in_libbpfs_order_and_relocations_are_applied() -> Checked {
    let linked = link("everything")?;
    assert_eq!(render(&linked.program), EVERYTHING_LINKED);
    Ok(())
}

#[test]
fn a_program_has_only_the_maps_that_it_names_and_shares_them() -> Checked {
    let object = open()?;
    let env = standard()?;
    let everything = object.link("everything", &env)?;
    let target = object.link("target", &env)?;
    let names = |l: &LinkedProgram| l.program.maps.iter().map(|m| m.name.clone()).collect::<Vec<_>>();
    let expected = ["everythi.rodata", "flows", "everythi.bss", ".rodata.words", "everythi.data"];
    assert_eq!(names(&everything), expected);
    assert_eq!(names(&target), ["outer", "legacy", "jumps", "everyth.kconfig"]);
    for linked in [&everything, &target] {
        assert_eq!(linked.map_indices.len(), linked.program.maps.len());
        for (map, &index) in linked.program.maps.iter().zip(&linked.map_indices) {
            assert!(Arc::ptr_eq(map, &object.maps()[index].spec), "{} is shared", map.name);
        }
    }
    Ok(())
}

#[test]
fn function_and_line_information_moves_with_the_code() -> Checked {
    let program = link("everything")?.program;
    let btf = program.btf.as_deref().ok_or("no types")?;
    assert!(program.func_info.is_sorted_by(|a, b| a.slot < b.slot));
    assert!(program.line_info.is_sorted_by(|a, b| a.slot < b.slot));
    assert_eq!(program.func_info[0].slot, 0);
    // Every function's first instruction has a line, and it lies in that function's text.
    for info in &program.func_info {
        assert!(program.line_info.iter().any(|l| l.slot == info.slot), "{}", btf.name(info.func));
    }
    let throw = program.line_at(76).ok_or("no line")?;
    assert!(btf.str(backstop_btf::Name(throw.text)).contains("bpf_throw(x)"));
    assert!(btf.str(backstop_btf::Name(throw.file)).ends_with("everything.bpf.c"));
    Ok(())
}

#[test]
fn hidden_functions_are_static_for_the_verifier() -> Checked {
    let object = open()?;
    let btf = object.btf().ok_or("no types")?;
    let linkage = |name: &str| match btf.find(name, Kind::Func).map(|id| *btf.ty(id)) {
        Some(Type::Func { linkage, .. }) => Some(linkage),
        _ => None,
    };
    assert_eq!(linkage("hidden_sub"), Some(Linkage::Static));
    assert_eq!(linkage("global_sub"), Some(Linkage::Global));
    assert_eq!(linkage("leaf"), Some(Linkage::Static));
    assert_eq!(linkage("bpf_throw"), Some(Linkage::Extern));
    Ok(())
}

#[test]
fn programs_functions_and_sections_are_listed() -> Checked {
    let object = open()?;
    let mut text = String::new();
    for p in object.programs() {
        let kind = p.kind.as_ref().map_or("unknown", |k| k.kind.ty.name());
        writeln!(text, "{} {} +{} {} slots, {kind}, autoload {}", p.name, p.section, p.offset, p.slots, p.autoload)?;
    }
    let expected = "\
everything xdp +0 61 slots, xdp, autoload true
target ?xdp.frags +0 22 slots, xdp, autoload false
relocated tc +0 13 slots, sched_cls, autoload true
needs_config tc +104 4 slots, sched_cls, autoload true
needs_kfunc tc +136 3 slots, sched_cls, autoload true
wrong_prototype tc +160 4 slots, sched_cls, autoload true
memory raw_mem/128 +0 2 slots, raw_mem, autoload true
host host/request +0 2 slots, host, autoload true
custom nobody/knows +0 2 slots, unknown, autoload false
";
    let mut lines: Vec<&str> = text.lines().collect();
    let mut wanted: Vec<&str> = expected.lines().collect();
    lines.sort_unstable();
    wanted.sort_unstable();
    assert_eq!(lines, wanted);
    let seen = |name: &str| object.functions().iter().find(|f| f.name == name).map(|f| (f.visibility, f.is_program));
    assert_eq!(seen("leaf"), Some((Visibility::Static, false)));
    assert_eq!(seen("far_away"), Some((Visibility::Static, false)));
    assert_eq!(seen("global_sub"), Some((Visibility::Global, false)));
    assert_eq!(seen("hidden_sub"), Some((Visibility::Hidden, false)));
    assert_eq!(seen("everything"), Some((Visibility::Global, true)));
    assert_eq!(object.license(), "Dual MIT/GPL");
    Ok(())
}

#[test]
fn maps_are_read_with_their_initial_values() -> Checked {
    let object = open()?;
    let map = |name: &str| object.map_index(name).map(|i| object.maps()[i].spec.clone()).ok_or(name.to_owned());
    let flows = map("flows")?;
    assert_eq!((flows.kind, flows.key_size, flows.value_size), (MapKind::Hash, 4, 16));
    assert_eq!((flows.max_entries, flows.flags), (16, 1));
    assert_eq!(flows.btf.as_ref().zip(flows.value_type).map(|(b, t)| b.name(t).to_owned()).as_deref(), Some("value"));
    let outer = map("outer")?;
    assert_eq!((outer.kind, outer.key_size, outer.value_size), (MapKind::ArrayOfMaps, 4, 4));
    assert_eq!(outer.inner.as_ref().map(|i| (i.kind, i.value_size)), Some((MapKind::Array, 8)));
    assert_eq!(outer.values, [(0, "first".to_owned()), (2, "second".to_owned())]);
    let jumps = map("jumps")?;
    assert_eq!((jumps.kind, jumps.key_size, jumps.value_size), (MapKind::ProgArray, 4, 4));
    assert_eq!(jumps.values, [(1, "target".to_owned())]);
    let arena = map("arena")?;
    assert_eq!((arena.kind, arena.extra, arena.max_entries), (MapKind::Arena, 1 << 44, 2));
    assert_eq!(map("ring")?.max_entries, 8192, "rounded up to whole pages, a power of two");
    let legacy = map("legacy")?;
    assert_eq!((legacy.kind, legacy.value_size, legacy.max_entries), (MapKind::Array, 8, 3));
    assert!(object.notes().iter().any(|n| n.contains("`flows`") && n.contains("pinning")), "{:?}", object.notes());
    for spec in object.maps() {
        spec.spec.validate()?;
    }
    Ok(())
}

#[test]
fn global_data_is_in_maps_and_can_be_set_before_load() -> Checked {
    let mut object = open()?;
    let global = object.global("threshold").ok_or("no threshold")?.clone();
    let spec = object.maps()[global.map].spec.clone();
    assert_eq!((global.section.as_str(), global.size, global.writable), (".rodata", 4, false));
    assert_eq!((spec.frozen, spec.max_entries, spec.key_size), (true, 1, 4));
    let btf = object.btf().ok_or("no types")?;
    assert_eq!(global.ty.map(|t| btf.name(t)), Some("threshold"));
    assert_eq!(object.global_bytes("threshold").as_deref(), Some(&5u32.to_le_bytes()[..]));
    assert_eq!(object.global_bytes("count").as_deref(), Some(&[0; 8][..]));
    assert_eq!(object.global_bytes("word").as_deref(), Some(&b"abc\0\0"[..]));
    assert!(object.maps()[object.global("count").ok_or("no count")?.map].spec.initial.is_none());

    object.set_global_bytes("threshold", &9u32.to_le_bytes())?;
    object.set_global_bytes("count", &7u64.to_le_bytes())?;
    assert_eq!(object.global_bytes("threshold").as_deref(), Some(&9u32.to_le_bytes()[..]));
    let linked = object.link("everything", &standard()?)?;
    assert_eq!(linked.program.maps[0].initial.as_deref(), Some(&9u32.to_le_bytes()[..]));
    assert_eq!(object.global_bytes("count").as_deref(), Some(&7u64.to_le_bytes()[..]));

    assert!(matches!(
        object.set_global_bytes("threshold", &[1]),
        Err(ObjectError::GlobalSize { size: 4, given: 1, .. })
    ));
    let unknown = object.set_global_bytes("thresholt", &[1]).err().ok_or("accepted")?;
    assert!(unknown.to_string().contains("thresholt") && unknown.to_string().contains("threshold"), "{unknown}");
    Ok(())
}

#[test]
fn section_variables_are_placed_in_the_types() -> Checked {
    let object = open()?;
    let btf = object.btf().ok_or("no types")?;
    let bss = btf.find(".bss", Kind::Datasec).ok_or("no .bss")?;
    let mut vars: Vec<_> = btf.datasec_vars(bss).iter().map(|v| (v.offset, btf.name(v.ty))).collect();
    vars.sort_unstable();
    assert_eq!(vars, [(0, "count"), (8, "hidden_count")]);
    assert_eq!(btf.size_of(bss), Some(12));
    Ok(())
}

#[test]
fn core_relocations_find_the_built_in_types() -> Checked {
    let program = link("relocated")?.program;
    let offsets: Vec<(u8, i16)> = program.slots.iter().take(2).map(|s| (s.code, s.off)).collect();
    // __sk_buff.len is at 0 and .mark at 8, whatever the program's copy says.
    assert_eq!(offsets, [(0x61, 0), (0x61, 8)]);
    assert_eq!(program.slots[3].imm, 0, "the field does not exist");
    assert_eq!(program.poisoned.len(), 1);
    assert_eq!(program.poisoned[0].slot, 5);
    assert!(program.poisoned[0].wanted.contains("not_there"), "{}", program.poisoned[0].wanted);
    assert!(backstop_btf::core::is_poison(&program.slots[5]));
    assert_eq!((program.slots[7].imm, program.slots[9].imm), (16, 3));
    Ok(())
}

#[test]
fn core_relocations_prefer_given_types() -> Checked {
    let mut builder = BtfBuilder::new();
    let word = builder.int("unsigned int", 4, Encoding::Unsigned);
    let long = builder.int("unsigned long long", 8, Encoding::Unsigned);
    builder.structure("__sk_buff", 24, &[("mark", word, 64), ("not_there", long, 128), ("len", word, 32)]);
    let theirs = Arc::new(Btf::parse(&builder.emit()?)?);
    let program = open()?.link("relocated", &StandardEnv::new([theirs])?)?.program;
    assert_eq!((program.slots[0].off, program.slots[1].off), (4, 8));
    assert_eq!((program.slots[3].imm, program.slots[5].off), (1, 16));
    assert!(program.poisoned.is_empty());
    Ok(())
}

#[test]
fn externs_are_listed_with_what_they_are() -> Checked {
    let object = open()?;
    let all: Vec<_> = object.externs().iter().map(|e| (e.name.as_str(), e.kind, e.weak)).collect();
    assert_eq!(
        all,
        [
            ("CONFIG_STRONG", ExternKind::Kconfig, false),
            ("CONFIG_WEAK", ExternKind::Kconfig, true),
            ("absent_kfunc", ExternKind::Kfunc, false),
            ("bpf_rcu_read_lock___mine", ExternKind::Kfunc, false),
            ("bpf_throw", ExternKind::Kfunc, all_weak(&object, "bpf_throw")),
            ("missing_kfunc", ExternKind::Kfunc, true),
            ("missing_variable", ExternKind::Variable, true),
        ]
    );
    let relocs = object.relocations();
    let has = |section: &str, offset, target: &str| {
        relocs.iter().any(|r| r.section == section && r.offset == offset && r.target == target)
    };
    assert!(has("xdp", 0, "threshold") && has("xdp", 0x70, ".text") && has(".maps", 0x90, "target"));
    assert!(
        relocs.iter().any(|r| r.section == "tc" && r.kind == "field_exists" && r.target.contains("__sk_buff___mine"))
    );
    Ok(())
}

/// Whether the headers declare it weak is theirs to say.
fn all_weak(object: &Object, name: &str) -> bool {
    object.externs().iter().any(|e| e.name == name && e.weak)
}

#[test]
fn what_cannot_be_resolved_is_refused_by_name_and_line() -> Checked {
    let object = open()?;
    let env = standard()?;
    let error = |program: &str| object.link(program, &env).err().map(|e| e.to_string()).unwrap_or_default();
    let config = error("needs_config");
    assert!(
        config.contains("CONFIG_STRONG") && config.contains("__weak") && config.contains("everything.bpf.c:"),
        "{config}"
    );
    let kfunc = error("needs_kfunc");
    assert!(kfunc.contains("absent_kfunc") && kfunc.contains("section `tc`, byte 0x90"), "{kfunc}");
    let prototype = error("wrong_prototype");
    assert!(prototype.contains("bpf_rcu_read_lock___mine") && prototype.contains("prototype"), "{prototype}");
    let section = error("custom");
    assert!(section.contains("nobody/knows") && section.contains("raw_mem"), "{section}");
    let nobody = error("nobody");
    assert!(nobody.contains("no program `nobody`") && nobody.contains("`everything`"), "{nobody}");
    assert!(error("leaf").contains("no program"), "a subprogram is no program");
    Ok(())
}

/// An environment with a context struct and an address.
struct Host(StandardEnv);

impl LinkEnv for Host {
    fn kfunc(&self, name: &str) -> Option<Arc<Kfunc>> {
        self.0.kfunc(name)
    }
    fn core_targets(&self) -> &[Arc<Btf>] {
        self.0.core_targets()
    }
    fn ksym(&self, name: &str) -> Option<u64> {
        (name == "missing_variable").then_some(0x1_0000_0002)
    }
    fn host_context(&self, name: &str) -> Option<Arc<HostContext>> {
        (name == "request").then(|| Arc::new(HostContext { name: name.to_owned(), size: 8, fields: Vec::new() }))
    }
}

#[test]
fn the_host_gives_context_structs_sections_and_addresses() -> Checked {
    let env = Host(standard()?);
    let custom = |name: &str| (name == "nobody/knows").then(|| ProgKind::new(ProgType::RawMem));
    let object = Object::parse_with(EVERYTHING, "everything", &custom)?;
    assert_eq!(object.link("custom", &env)?.program.kind.ty, ProgType::RawMem);
    let host = object.link("host", &env)?.program;
    assert_eq!(host.kind.host.map(|h| h.name.clone()).as_deref(), Some("request"));
    let slots = object.link("everything", &env)?.program.slots;
    assert_eq!((slots[26].imm, slots[27].imm), (2, 1));
    let plain = standard()?;
    assert!(matches!(object.link("host", &plain), Err(LinkError::NoHostContext { name, .. }) if name == "request"));
    assert_eq!(object.link("memory", &plain)?.program.kind.memory_len, 128);
    Ok(())
}

#[test]
fn every_committed_object_opens_and_every_program_links() -> Checked {
    let env = standard()?;
    let mut programs = 0;
    for folder in ["tests/objects", "examples/firewall"] {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(folder);
        for entry in std::fs::read_dir(&folder)? {
            let path = entry?.path();
            if path.extension().is_none_or(|e| e != "o") {
                continue;
            }
            let stem = path.file_name().and_then(|n| n.to_str()).and_then(|n| n.split('.').next()).unwrap_or("object");
            let object = match Object::parse(&std::fs::read(&path)?, stem) {
                Ok(object) => object,
                Err(ObjectError::Section { section, .. }) if stem == "cleanup" && section == ".bpf_cleanup" => continue,
                Err(ObjectError::Elf { problem: ElfProblem::BigEndian, .. }) if stem.contains("big") => continue,
                Err(error) => return Err(format!("{}: {error}", path.display()).into()),
            };
            for program in object.programs() {
                let linked = match object.link(&program.name, &env) {
                    Ok(linked) => linked.program,
                    // A struct that only a host can give.
                    Err(LinkError::NoHostContext { .. }) => continue,
                    Err(LinkError::Unresolved { symbol, .. }) if symbol == "bpf_no_such_kfunc" => continue,
                    // What only a host can settle.
                    Err(LinkError::Map { .. } | LinkError::Unresolved { .. }) if stem == "sizes" => continue,
                    // Kfuncs that only a host can give.
                    Err(LinkError::Unresolved { .. }) if stem == "host" => continue,
                    Err(error) => return Err(format!("{}: {error}", path.display()).into()),
                };
                assert_eq!(linked.func_info.first().map(|f| f.slot), Some(0), "{}", program.name);
                programs += 1;
            }
        }
    }
    assert!(programs > 20, "only {programs} programs were found");
    Ok(())
}
