//! Every expectation that stands before a program in tests/objects/*.bpf.c, on every engine, through the public API: verdict, the
//! kernel's text of a refusal, result, and thrown cookie. Each run gets fresh maps.

mod common;

use std::collections::{BTreeMap, BTreeSet};

use backstop::{Engine, Linker, LoadError, Object, Store};
use common::expect::{Case, Run, cases};

/// Objects whose programs are verified but can't run in this version, and why. One that runs after all fails the test.
const NOT_RUN: [(&str, &str); 1] = [("maps_inner.bpf.o", "maps of maps are not made")];

/// Objects that must not open, with a part of what the error says.
const NOT_OPENED: [(&str, &str); 2] = [("big_endian.bpf.o", "big-endian"), ("cleanup.bpf.o", ".bpf_cleanup")];

/// Objects whose programs want a host, or memory, or are libbpf's to judge, and are tested elsewhere.
const ELSEWHERE: [&str; 3] = ["host.bpf.o", "custom.bpf.o", "legacy_maps.bpf.o"];

/// Opened objects by name.
struct Objects<'e> {
    engine: &'e Engine,
    opened: BTreeMap<String, Object>,
}

impl Objects<'_> {
    fn get(&mut self, name: &str) -> &Object {
        let engine = self.engine;
        self.opened.entry(name.to_owned()).or_insert_with(|| common::open(engine, name))
    }
}

fn check(object: &Object, linker: &Linker<()>, case: &Case) -> Result<(), String> {
    if !case.accepted() {
        return refused(object, linker, case);
    }
    object.verify(linker, &case.name).map_err(|e| format!("refused: {e}"))?;
    match (object.load_programs(linker, &[&case.name]), NOT_RUN.iter().find(|(name, _)| *name == case.object)) {
        (Ok(_), None) => {}
        (Ok(_), Some((_, why))) => return Err(format!("loads, though {why}")),
        (Err(error), Some(_)) if not_implemented(&error) => return Ok(()),
        // What the kernel can't test-run either may stand for what is only judged.
        (Err(error), None) if case.runs.is_empty() && not_implemented(&error) => return Ok(()),
        (Err(error), _) => return Err(format!("not loaded: {error}")),
    }
    case.runs.iter().enumerate().try_for_each(|(n, run)| {
        let ran = check_run(object, linker, case, run);
        ran.map_err(|e| format!("run {n}: {e}"))
    })
}

fn not_implemented(error: &LoadError) -> bool {
    match error {
        LoadError::NotImplemented { .. } | LoadError::Map { source: backstop::MapError::Unsupported { .. }, .. } => {
            true
        }
        LoadError::Lower { source, .. } => source.to_string().contains("has no implementation in the engines yet"),
        _ => false,
    }
}

fn refused(object: &Object, linker: &Linker<()>, case: &Case) -> Result<(), String> {
    let error = match object.load_programs(linker, &[&case.name]) {
        Ok(_) => return Err("accepted".to_owned()),
        Err(error) => error,
    };
    let wanted = !case.error.is_empty() || !case.linux_agrees();
    let LoadError::Refused { refusal, .. } = &error else {
        return if wanted { Err(format!("not refused by the verifier: {error}")) } else { Ok(()) };
    };
    let log = refusal.kernel_format();
    match case.error.iter().find(|text| !log.contains(text.as_str())) {
        None => Ok(()),
        Some(text) => Err(format!("refused, but not with `{text}`:\n{}", log.trim_end())),
    }
}

fn check_run(object: &Object, linker: &Linker<()>, case: &Case, run: &Run) -> Result<(), String> {
    let engine = object.engine();
    let loaded = object.load_programs(linker, &[&case.name]).map_err(|e| e.to_string())?;
    let program = loaded.program(&case.name).map_err(|e| e.to_string())?;
    if program.engine_kind() != engine.kind() {
        return Err(format!("runs on {:?}", program.engine_kind()));
    }
    let ran = common::run_over(&program, &mut Store::new(engine, ()), &run.input());
    let (exit, _) = ran.map_err(|e| e.to_string())?;
    let (got, wanted) = ((exit.value() as u32, exit.cookie()), (run.retval, run.thrown()));
    if got == wanted { Ok(()) } else { Err(format!("(result, cookie) are {got:x?}, not {wanted:x?}")) }
}

engines! {
    fn all_expectations_hold(engine: &Engine) {
        let linker = Linker::<()>::new(engine);
        let mut objects = Objects { engine, opened: BTreeMap::new() };
        let cases = cases();
        assert!(cases.len() >= 300, "only {} expectations", cases.len());
        let failed: Vec<String> = cases
            .iter()
            .filter_map(|case| {
                let error = check(objects.get(&case.object), &linker, case).err()?;
                Some(format!("{} {}: {error}", case.object, case.name))
            })
            .collect();
        assert!(failed.is_empty(), "{} of {} failed:\n{}", failed.len(), cases.len(), failed.join("\n"));
    }

    /// Map definitions of before BTF, which libbpf gave up.
    fn legacy_maps_are_taken(engine: &Engine) {
        assert_eq!(common::outcome(&common::run_patched(engine, "legacy_maps.bpf.o", "reads_old_array", &[])), (0, None));
        let loaded = common::load(engine, "legacy_maps.bpf.o", "reads_old_array");
        let spec = loaded.map("old_array").expect("it").spec();
        assert_eq!((spec.key_size, spec.value_size, spec.max_entries), (4, 8, 4));
    }

    fn what_cannot_be_opened_says_why(engine: &Engine) {
        for (name, text) in NOT_OPENED {
            let error = engine.open_file(common::object_path(name)).expect_err(name).to_string();
            assert!(error.contains(name) && error.contains(text), "{name}: {error}");
        }
    }
}

/// No program is without an expectation, and no object is forgotten.
#[test]
fn every_program_is_expected() {
    let engine = common::engine(backstop::EngineChoice::Interpreter);
    let known: BTreeSet<(String, String)> = cases().into_iter().map(|c| (c.object, c.name)).collect();
    let mut missing = Vec::new();
    for entry in std::fs::read_dir(common::object_path("")).expect("tests/objects") {
        let name = entry.expect("an entry").file_name().into_string().expect("a name");
        let elsewhere = NOT_OPENED.iter().any(|(n, _)| *n == name) || ELSEWHERE.contains(&name.as_str());
        if !name.ends_with(".bpf.o") || elsewhere {
            continue;
        }
        let programs = common::open(&engine, &name).programs();
        assert!(!programs.is_empty(), "{name} holds no program");
        let without = programs.into_iter().map(|p| (name.clone(), p.name)).filter(|key| !known.contains(key));
        missing.extend(without);
    }
    assert!(missing.is_empty(), "no expectation for {missing:?}");
}
