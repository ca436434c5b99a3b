//! Damaged and hostile objects: an error that names the place, never a panic, a hang or a large allocation.

use std::time::{SystemTime, UNIX_EPOCH};

use backstop_object::{ElfProblem, LinkError, MAX_DATA_BYTES, MAX_SLOTS, MapProblem, Object, ObjectError, StandardEnv};

type Checked<T = ()> = Result<T, Box<dyn std::error::Error>>;

const EVERYTHING: &[u8] = include_bytes!("data/everything.bpf.o");

fn u16_at(bytes: &[u8], at: usize) -> usize {
    usize::from(u16::from_le_bytes([bytes[at], bytes[at + 1]]))
}

fn u64_at(bytes: &[u8], at: usize) -> usize {
    u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap_or([0; 8])) as usize
}

fn u32_at(bytes: &[u8], at: usize) -> usize {
    u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap_or([0; 4])) as usize
}

fn put(bytes: &mut [u8], at: usize, value: &[u8]) {
    bytes[at..at + value.len()].copy_from_slice(value);
}

/// Place of the header of a section, by its name.
fn header_of(bytes: &[u8], name: &str) -> usize {
    let (table, count, strings) = (u64_at(bytes, 0x28), u16_at(bytes, 0x3c), u16_at(bytes, 0x3e));
    let names = u64_at(bytes, table + strings * 64 + 24);
    (0..count)
        .map(|i| table + i * 64)
        .find(|&h| {
            let text = &bytes[names + u32_at(bytes, h)..];
            text.split(|&b| b == 0).next() == Some(name.as_bytes())
        })
        .unwrap_or_else(|| panic!("the object has no section {name}"))
}

fn contents_of(bytes: &[u8], name: &str) -> usize {
    u64_at(bytes, header_of(bytes, name) + 24)
}

/// Place of a symbol's record, by its name.
fn symbol_of(bytes: &[u8], name: &str) -> usize {
    let header = header_of(bytes, ".symtab");
    let (at, size) = (u64_at(bytes, header + 24), u64_at(bytes, header + 32));
    let names = contents_of(bytes, ".strtab");
    (at..at + size)
        .step_by(24)
        .find(|&s| {
            let text = &bytes[names + u32_at(bytes, s)..];
            text.split(|&b| b == 0).next() == Some(name.as_bytes())
        })
        .unwrap_or_else(|| panic!("the object has no symbol {name}"))
}

fn edited(edit: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut bytes = EVERYTHING.to_vec();
    edit(&mut bytes);
    bytes
}

fn refusal(bytes: &[u8]) -> ObjectError {
    match Object::parse(bytes, "edited") {
        Ok(_) => panic!("the object was accepted"),
        Err(error) => error,
    }
}

fn link_refusal(bytes: &[u8], program: &str) -> Checked<LinkError> {
    let object = Object::parse(bytes, "edited")?;
    match object.link(program, &StandardEnv::new([])?) {
        Ok(_) => Err("the program was linked".into()),
        Err(error) => Ok(error),
    }
}

fn elf_problem(bytes: &[u8]) -> ElfProblem {
    match refusal(bytes) {
        ObjectError::Elf { problem, .. } => problem,
        other => panic!("another error: {other}"),
    }
}

#[test]
fn what_is_no_bpf_object_is_refused_by_name() {
    assert!(matches!(elf_problem(b""), ElfProblem::NotElf(_)));
    assert!(matches!(elf_problem(b"#!/bin/sh\n"), ElfProblem::NotElf(_)));
    assert!(matches!(elf_problem(&EVERYTHING[..40]), ElfProblem::NotElf(_)));
    assert_eq!(elf_problem(&edited(|b| put(b, 5, &[2]))), ElfProblem::BigEndian);
    assert_eq!(elf_problem(&edited(|b| put(b, 18, &[62, 0]))), ElfProblem::Machine(62));
    assert_eq!(elf_problem(&edited(|b| put(b, 16, &[3, 0]))), ElfProblem::Kind(3));
    assert!(elf_problem(&edited(|b| put(b, 5, &[2]))).to_string().contains("bpfel"));
}

#[test]
fn sections_outside_the_file_or_overlapping_are_refused() {
    let outside = refusal(&edited(|b| {
        let at = header_of(b, ".rodata") + 24;
        put(b, at, &u64::MAX.to_le_bytes());
    }));
    assert!(matches!(&outside, ObjectError::SectionOutside { section, .. } if section == ".rodata"), "{outside}");
    let overlap = refusal(&edited(|b| {
        let (at, onto) = (header_of(b, ".rodata") + 24, contents_of(b, "xdp") as u64);
        put(b, at, &onto.to_le_bytes());
    }));
    assert!(matches!(&overlap, ObjectError::SectionsOverlap { .. }), "{overlap}");
    assert!(overlap.to_string().contains("`.rodata`") && overlap.to_string().contains("`xdp`"), "{overlap}");
    let cut = refusal(&EVERYTHING[..EVERYTHING.len() - 1]);
    assert!(matches!(&cut, ObjectError::Elf { problem: ElfProblem::Table { .. }, .. }), "{cut}");
    let half = refusal(&edited(|b| {
        let at = header_of(b, "tc") + 32;
        let odd = u64_at(b, at) as u64 - 4;
        put(b, at, &odd.to_le_bytes());
    }));
    assert!(matches!(&half, ObjectError::Section { section, .. } if section == "tc"), "{half}");
}

#[test]
fn huge_global_data_is_bounded() {
    for size in [MAX_DATA_BYTES + 1, 4 << 30, u64::MAX] {
        let error = refusal(&edited(|b| {
            let at = header_of(b, ".bss") + 32;
            put(b, at, &size.to_le_bytes());
        }));
        assert!(
            matches!(&error, ObjectError::DataTooLarge { section, limit: MAX_DATA_BYTES, .. } if section == ".bss"),
            "{error}"
        );
    }
}

#[test]
fn functions_outside_overlapping_or_misplaced_are_refused() {
    let with = |symbol: &str, field: usize, value: u64| {
        refusal(&edited(|b| {
            let at = symbol_of(b, symbol) + field;
            put(b, at, &value.to_le_bytes());
        }))
    };
    for (error, function) in [
        (with("everything", 16, 1 << 40), "everything"),
        (with("everything", 8, u64::MAX - 7), "everything"),
        (with("everything", 16, 12), "everything"),
        (with("relocated", 16, 0x70), "needs_config"),
    ] {
        assert!(matches!(&error, ObjectError::Function { function: f, .. } if f == function), "{error}");
    }
    let twice = refusal(&edited(|b| {
        let name = u32_at(b, symbol_of(b, "memory")) as u32;
        let at = symbol_of(b, "host");
        put(b, at, &name.to_le_bytes());
    }));
    assert!(matches!(&twice, ObjectError::DuplicateProgram { name, .. } if name == "memory"), "{twice}");
}

#[test]
fn relocations_to_nowhere_are_refused() -> Checked {
    let with = |field: usize, value: u64| {
        edited(|b| {
            let at = contents_of(b, ".relxdp") + field;
            put(b, at, &value.to_le_bytes());
        })
    };
    for (offset, why) in [(1u64 << 40, "outside"), (u64::MAX, "outside"), (4, "multiple of 8"), (0x40, "twice")] {
        let error = refusal(&with(0, offset));
        assert!(matches!(&error, ObjectError::Relocation { section, .. } if section == "xdp"), "{error}");
        assert!(error.to_string().contains(why), "{error}");
    }
    let symbol = refusal(&with(8, (9999 << 32) | 1));
    assert!(symbol.to_string().contains("symbol 9999"), "{symbol}");
    // The second half of a 64-bit load, an instruction that takes none, and a type that no instruction takes.
    let half = link_refusal(&with(0, 8), "everything")?;
    assert!(matches!(&half, LinkError::BadRelocation { .. }) && half.to_string().contains("second half"), "{half}");
    let other = link_refusal(&with(0, 16), "everything")?;
    assert!(matches!(&other, LinkError::BadRelocation { .. }), "{other}");
    let number = u32_at(EVERYTHING, contents_of(EVERYTHING, ".relxdp") + 12) as u64;
    let kind = link_refusal(&with(8, (number << 32) | 10), "everything")?;
    assert!(kind.to_string().contains("threshold") && kind.to_string().contains("everything.bpf.c:"), "{kind}");
    Ok(())
}

#[test]
fn calls_into_the_middle_of_a_function_are_refused() -> Checked {
    // `call leaf` of global_sub, the first instruction of a function in .text.
    let error = link_refusal(
        &edited(|b| {
            let value = u64_at(b, symbol_of(b, "global_sub") + 8);
            let at = contents_of(b, ".text") + value + 4;
            let imm = u32_at(b, at) as i32 + 1;
            put(b, at, &imm.to_le_bytes());
        }),
        "everything",
    )?;
    assert!(matches!(&error, LinkError::BadCallTarget { .. }), "{error}");
    assert!(error.to_string().contains("global_sub") && error.to_string().contains(".text"), "{error}");
    Ok(())
}

#[test]
fn damaged_types_and_legacy_maps_are_refused() {
    let types = refusal(&edited(|b| {
        let at = contents_of(b, ".BTF") + 24 + 4;
        put(b, at, &u32::MAX.to_le_bytes());
    }));
    assert!(matches!(&types, ObjectError::Btf { .. }), "{types}");
    let lines = refusal(&edited(|b| {
        let at = contents_of(b, ".BTF.ext") + 8;
        put(b, at, &u32::MAX.to_le_bytes());
    }));
    assert!(matches!(&lines, ObjectError::BtfExt { .. }), "{lines}");
    let legacy = |field: usize, value: u32| {
        refusal(&edited(|b| {
            let at = contents_of(b, "maps") + field * 4;
            put(b, at, &value.to_le_bytes());
        }))
    };
    let error = legacy(0, 99);
    assert!(matches!(&error, ObjectError::Map { map, .. } if map == "legacy"), "{error}");
    assert!(error.to_string().contains("map type 99"), "{error}");
    let short = refusal(&edited(|b| {
        let at = symbol_of(b, "legacy") + 16;
        put(b, at, &16u64.to_le_bytes());
    }));
    assert!(matches!(&short, ObjectError::Map { problem, .. } if **problem == MapProblem::LegacySize(16)), "{short}");
}

#[test]
fn initial_values_that_name_nothing_are_refused() {
    let error = refusal(&edited(|b| {
        // The last relocation of .rel.maps is the program; let it name a subprogram.
        let relocs = contents_of(b, ".rel.maps");
        let header = header_of(b, ".symtab");
        let number = (symbol_of(b, "global_sub") - u64_at(b, header + 24)) / 24;
        put(b, relocs + 2 * 16 + 12, &(number as u32).to_le_bytes());
    }));
    assert!(
        matches!(&error, ObjectError::Map { map, problem, .. } if map == "jumps" && matches!(**problem, MapProblem::BadValue { .. })),
        "{error}"
    );
    let outside = refusal(&edited(|b| {
        let relocs = contents_of(b, ".rel.maps");
        put(b, relocs, &0x40u64.to_le_bytes());
    }));
    assert!(outside.to_string().contains("`outer`"), "{outside}");
}

/// A small generator, so that a seed gives the same run everywhere (xorshift64*).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }
    fn below(&mut self, n: usize) -> usize {
        (self.next() % n.max(1) as u64) as usize
    }
}

/// Opens, and links what opens; how far it came does not matter, only that it comes back.
fn exercise(bytes: &[u8], env: &StandardEnv) -> u32 {
    let Ok(mut object) = Object::parse(bytes, "mutant") else { return 0 };
    let names: Vec<String> = object.programs().map(|p| p.name).collect();
    let linked = names.iter().filter(|n| object.link(n, env).is_ok()).count() as u32;
    let _ = (object.relocations().len(), object.externs().len(), object.notes().len());
    let globals: Vec<(String, u32)> = object.globals().iter().map(|g| (g.name.clone(), g.size)).collect();
    for (name, size) in globals {
        let _ = object.set_global_bytes(&name, &vec![1; (size as usize).min(1 << 16)]);
        let _ = object.global_bytes(&name);
    }
    linked
}

fn mutate(bytes: &mut Vec<u8>, random: &mut Random) {
    match random.below(8) {
        0 => bytes.truncate(random.below(bytes.len())),
        1 | 2 => {
            for _ in 0..=random.below(8) {
                let at = random.below(bytes.len());
                bytes[at] ^= 1 << random.below(8);
            }
        }
        3 => {
            // A word of a section header.
            let table = u64_at(bytes, 0x28);
            let at = table + random.below(u16_at(bytes, 0x3c)) * 64 + random.below(16) * 4;
            let value = [0, 1, 8, u32::MAX, 1 << 31, random.next() as u32][random.below(6)];
            put(bytes, at, &value.to_le_bytes());
        }
        4 => {
            // A word of a section's contents: symbols, types, lines, relocations.
            let header = u64_at(bytes, 0x28) + random.below(u16_at(bytes, 0x3c)) * 64;
            let (from, size) = (u64_at(bytes, header + 24), u64_at(bytes, header + 32));
            if size >= 4 && from + size <= bytes.len() {
                let at = from + random.below(size / 4) * 4;
                let value = [0, 1, 7, u32::MAX, random.next() as u32, random.below(100) as u32][random.below(6)];
                put(bytes, at, &value.to_le_bytes());
            }
        }
        5 => {
            // Two section headers change places.
            let (table, count) = (u64_at(bytes, 0x28), u16_at(bytes, 0x3c));
            let (a, b) = (table + random.below(count) * 64, table + random.below(count) * 64);
            for i in 0..64 {
                bytes.swap(a + i, b + i);
            }
        }
        6 => {
            let (a, b, len) = (random.below(bytes.len() - 64), random.below(bytes.len() - 64), random.below(64));
            bytes.copy_within(a..a + len, b);
        }
        _ => {
            let (at, len) = (random.below(bytes.len()), random.below(64));
            let end = (at + len).min(bytes.len());
            bytes.drain(at..end);
        }
    }
}

#[test]
fn mutants_of_a_real_object_never_break_the_loader() -> Checked {
    let seed = match std::env::var("BACKSTOP_SEED") {
        Ok(text) => text.parse()?,
        Err(_) => SystemTime::now().duration_since(UNIX_EPOCH)?.as_nanos() as u64,
    };
    println!("BACKSTOP_SEED={seed}");
    let env = StandardEnv::new([])?;
    let mut random = Random(seed.max(1));
    let objects = real_objects()?;
    assert!(objects.len() > 5, "only {} objects were found", objects.len());
    let (mut whole, mut linked) = (0, 0);
    for original in &objects {
        whole += exercise(original, &env);
        for _ in 0..300 {
            let mut bytes = original.clone();
            mutate(&mut bytes, &mut random);
            linked += exercise(&bytes, &env);
        }
    }
    // Some mutations must have left something standing, or the test would only have tested the first check.
    assert!(linked > whole * 30, "of {whole} programs, only {linked} were linked in 300 rounds");
    Ok(())
}

/// This crate's own object and those of the whole project that open.
fn real_objects() -> Checked<Vec<Vec<u8>>> {
    let mut objects = vec![EVERYTHING.to_vec()];
    for folder in ["tests/objects", "examples/firewall"] {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(folder);
        for entry in std::fs::read_dir(folder)? {
            let path = entry?.path();
            if path.extension().is_some_and(|e| e == "o") {
                objects.push(std::fs::read(path)?);
            }
        }
    }
    objects.retain(|bytes| Object::parse(bytes, "whole").is_ok());
    objects.sort();
    Ok(objects)
}

#[test]
fn every_truncation_is_refused() {
    for len in (0..EVERYTHING.len()).step_by(61) {
        let error = refusal(&EVERYTHING[..len]);
        assert!(error.to_string().contains("edited"), "{error}");
    }
}

/// An object of one section, made by hand: `functions` functions of two instructions (a call of the next one, the last
/// returns at once), the first of them a program.
fn chain(functions: usize) -> Vec<u8> {
    let mut code = Vec::new();
    let mut symtab = vec![0u8; 24];
    let mut names = b"\0main\0sub\0".to_vec();
    for i in 0..functions {
        let last = i + 1 == functions;
        let call: [u8; 8] = if last { [0xb7, 0, 0, 0, 0, 0, 0, 0] } else { [0x85, 0x10, 0, 0, 1, 0, 0, 0] };
        code.extend_from_slice(&call);
        code.extend_from_slice(&[0x95, 0, 0, 0, 0, 0, 0, 0]);
        let (name, info) = if i == 0 { (1u32, 0x12) } else { (6, 0x02) };
        symtab.extend_from_slice(&name.to_le_bytes());
        symtab.extend_from_slice(&[info, 0, 1, 0]);
        symtab.extend_from_slice(&(i as u64 * 16).to_le_bytes());
        symtab.extend_from_slice(&16u64.to_le_bytes());
    }
    let sections_at = names.len() as u32;
    names.extend_from_slice(b"xdp\0.symtab\0.strtab\0");
    let (code_at, symtab_at) = (64, 64 + code.len());
    let names_at = symtab_at + symtab.len();
    let table_at = (names_at + names.len()).next_multiple_of(8);
    let mut file = vec![0u8; 64];
    put(&mut file, 0, &[0x7f, b'E', b'L', b'F', 2, 1, 1]);
    for (at, value) in [(16, 1u16), (18, 247), (20, 1), (52, 64), (58, 64), (60, 4), (62, 3)] {
        put(&mut file, at, &value.to_le_bytes());
    }
    put(&mut file, 40, &(table_at as u64).to_le_bytes());
    file.extend_from_slice(&code);
    file.extend_from_slice(&symtab);
    file.extend_from_slice(&names);
    file.resize(table_at + 4 * 64, 0);
    let sections = [
        (sections_at, 1u32, 6u64, code_at, code.len(), 0u32),
        (sections_at + 4, 2, 0, symtab_at, symtab.len(), 3),
        (sections_at + 12, 3, 0, names_at, names.len(), 0),
    ];
    for (i, (name, kind, flags, at, len, link)) in sections.into_iter().enumerate() {
        let header = table_at + (i + 1) * 64;
        put(&mut file, header, &name.to_le_bytes());
        put(&mut file, header + 4, &kind.to_le_bytes());
        put(&mut file, header + 8, &flags.to_le_bytes());
        put(&mut file, header + 24, &(at as u64).to_le_bytes());
        put(&mut file, header + 32, &(len as u64).to_le_bytes());
        put(&mut file, header + 40, &link.to_le_bytes());
        put(&mut file, header + 56, &24u64.to_le_bytes());
    }
    file
}

#[test]
fn a_very_long_chain_of_calls_neither_overflows_the_stack_nor_the_limit() -> Checked {
    let env = StandardEnv::new([])?;
    let object = Object::parse(&chain(200_000), "chain")?;
    let linked = object.link("main", &env)?;
    assert_eq!(linked.program.slots.len(), 400_000);
    assert_eq!(linked.program.slots[2].imm, 1);
    let object = Object::parse(&chain(MAX_SLOTS / 2 + 1), "chain")?;
    assert!(matches!(object.link("main", &env), Err(LinkError::TooLarge { limit: MAX_SLOTS, .. })));
    Ok(())
}

/// What an object leaves open of a map is refused when a program uses it, and only then.
#[test]
fn impossible_maps_are_refused_where_they_are_used() -> Checked {
    let env = StandardEnv::new([])?;
    for (field, value, words) in [
        (1, 3, "key_size is 3"),
        (2, 0, "value_size is 0"),
        (3, 0, "max_entries is 0"),
        (3, u32::MAX, "2147483648"),
        (4, 1 << 31, "map_flags"),
    ] {
        let bytes = edited(|b| {
            let at = contents_of(b, "maps") + field * 4;
            put(b, at, &u32::to_le_bytes(value));
        });
        let mut object = Object::parse(&bytes, "everything")?;
        object.set_kconfig("CONFIG_STRONG", 1)?;
        object.link("everything", &env)?;
        let error = object.link("target", &env).expect_err("it uses the map");
        assert!(matches!(&error, LinkError::Map { section, .. } if section == "maps"), "{error}");
        assert!(error.to_string().contains(words), "{error}");
        if field == 3 {
            object.set_max_entries("legacy", 5)?;
            let linked = object.link("target", &env)?;
            assert!(linked.program.maps.iter().any(|m| m.name == "legacy" && m.max_entries == 5));
        }
    }
    let mut object = Object::parse(EVERYTHING, "everything")?;
    assert!(matches!(object.set_max_entries("nosuch", 1), Err(ObjectError::NoMap { .. })));
    assert!(matches!(object.set_value_size(".rodata", 1), Err(ObjectError::DataMap { .. })));
    assert!(matches!(object.set_kconfig("CONFIG_NONE", 1), Err(ObjectError::NoKconfig { .. })));
    assert!(matches!(object.set_kconfig("CONFIG_WEAK", 1 << 32), Err(ObjectError::KconfigValue { .. })));
    object.set_kconfig("CONFIG_WEAK", -1i64 as u64)?;
    Ok(())
}
