//! State embedding: every accepted program of the verifier's corpus whose helpers exist, and all committed objects, on the checked
//! interpreter with random inputs. At each instruction the run must be inside what the proof said; a violation is a defect.

#[allow(dead_code, reason = "the verifier's own tests use the rest")]
#[path = "../../vm/verifier/tests/cases_support/mod.rs"]
mod cases_support;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use backstop::model::contexts::has_skb;
use backstop::model::{MapKind, ProgType, Program as Linked};
use backstop::verifier::embed::Claims;
use backstop::verifier::{Limits, Options, verify};
use backstop::{Config, Engine, EngineChoice, Input, Linker, Loaded, Object, Packet, Program, RunError, Store, Update};
use backstop_differ::{Claimed, Trail};

use cases_support::{build, corpus};

/// Runs of each program.
const RUNS: usize = 4;
/// Instructions of one run that are followed, and that it may take at all.
const FOLLOWED: u64 = 4_000;
const FUEL: u64 = 100_000;
/// Instructions processed of a proof at most. Of objects, all that a proof may take: their states stay below 64 MiB. Of the corpus, whose few
/// longer proofs are made to explode, what takes seconds: with them it takes minutes.
const PROVED_OF_OBJECTS: u64 = 1_000_000;
const PROVED_OF_CORPUS: u64 = 20_000;
/// Processors that runs are told of.
const CPUS: u32 = 2;

/// xorshift64.
struct Random(u64);

impl Random {
    fn seeded() -> Random {
        let seed = std::env::var("BACKSTOP_SEED").ok().and_then(|s| s.parse().ok()).unwrap_or_else(|| {
            let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
            now.map_or(1, |d| d.as_nanos() as u64 | 1)
        });
        println!("BACKSTOP_SEED={seed}");
        Random(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// Bytes, often small numbers, as lengths and indices are.
    fn bytes(&mut self, len: usize) -> Vec<u8> {
        let small = self.next().is_multiple_of(2);
        (0..len).map(|_| if small { (self.next() % 8) as u8 } else { self.next() as u8 }).collect()
    }
}

#[derive(Default)]
struct Report {
    programs: usize,
    runs: usize,
    steps: u64,
    /// Tail calls that were followed.
    entered: u64,
    states: usize,
    not_run: BTreeMap<String, usize>,
    found: Vec<String>,
}

impl Report {
    fn skip(&mut self, why: &str) {
        // The first words say which kind of reason it is.
        let kind = why.split([':', '`', '(']).next().unwrap_or_default().trim().to_owned();
        *self.not_run.entry(kind).or_default() += 1;
    }

    fn print(&self) {
        println!(
            "{} programs, {} runs, {} steps, {} tail calls followed, {} states claimed",
            self.programs, self.runs, self.steps, self.entered, self.states
        );
        for (why, count) in &self.not_run {
            println!("  not run: {count:>5} {why}");
        }
    }

    #[track_caller]
    fn conclude(&self, programs: usize) {
        self.print();
        assert!(self.found.is_empty(), "{} findings:\n{}", self.found.len(), self.found.join("\n"));
        assert!(self.programs >= programs, "only {} programs ran", self.programs);
    }
}

fn engine() -> Engine {
    let config = Config::new().engine(EngineChoice::Checked).cpus(CPUS).fuel(FUEL).map_memory(1 << 28).trace(|_| {});
    Engine::new(config).expect("an engine")
}

/// What the engine proves, with the states kept.
fn claims(program: &Linked, insns: u64) -> Option<Arc<Claims>> {
    let options =
        Options { keep_states: true, limits: Limits { cpus: CPUS, insns, ..Limits::default() }, ..Options::default() };
    verify(Arc::new(program.clone()), &options).ok()?.claims().cloned()
}

/// Follows runs of the first of these programs; the others are what it may tail call.
fn follow(name: &str, engine: &Engine, programs: &[Claimed], random: &mut Random, report: &mut Report) {
    let Some(Claimed { program, .. }) = programs.first() else { return };
    let mut store = Store::new(engine, ());
    report.programs += 1;
    report.states += programs.iter().map(|claimed| claimed.claims.len()).sum::<usize>();
    for _ in 0..RUNS {
        let mut trail = Trail::new(programs, FOLLOWED);
        let len = (random.next() % 160) as usize;
        let outcome = run(program, &mut store, random, len, &mut trail);
        report.runs += 1;
        report.steps += trail.steps();
        report.entered += trail.entered();
        if let Some(violation) = trail.violation() {
            report.found.push(format!("{name}: {violation}"));
            return;
        }
        if let Err(error @ RunError::ProofViolated { .. }) = &outcome {
            report.found.push(format!("{name}: {error}"));
            return;
        }
    }
}

fn run(
    program: &Program<()>,
    store: &mut Store<()>,
    random: &mut Random,
    len: usize,
    watch: &mut Trail<'_>,
) -> Result<(), RunError> {
    let kind = program.kind();
    let outcome = if kind.ty == ProgType::Xdp || has_skb(kind.ty) {
        let mut packet = Packet::new(&random.bytes(len.max(14)));
        program.run_watched(store, Input::Packet(&mut packet), watch)
    } else if matches!(kind.ty, ProgType::RawMem | ProgType::Syscall | ProgType::Host) {
        let len = if kind.ty == ProgType::RawMem { kind.memory_len as usize } else { len.max(64) };
        let mut memory = random.bytes(len);
        program.run_watched(store, Input::Memory(&mut memory), watch)
    } else {
        let words: Vec<u64> = (0..12).map(|_| random.next() % 1000).collect();
        program.run_watched(store, Input::Args(&words), watch)
    };
    outcome.map(|_| ())
}

/// Puts an element into each map that takes one, so that lookups find something.
fn fill(loaded: &Loaded<()>, random: &mut Random) {
    for map in loaded.maps() {
        for key in 0..3u8 {
            let mut bytes = vec![0; map.spec().key_size as usize];
            if let Some(first) = bytes.first_mut() {
                *first = key;
            }
            let value = random.bytes(map.spec().value_size as usize);
            // Maps that can't be written so, or hold other things, stay as they are.
            let _ = map.update(&bytes, &value, Update::Any);
        }
    }
}

#[test]
fn runs_of_the_corpus_stay_inside_their_proofs() {
    let mut random = Random::seeded();
    let mut report = Report::default();
    let engine = engine();
    let linker = Linker::<()>::new(&engine);
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../vm/verifier/tests/cases");
    let only = std::env::var("BACKSTOP_CASE").unwrap_or_default();
    for topic in corpus::read_all(&folder) {
        for case in &topic.cases {
            let name = format!("{}: {}", topic.name, case.name);
            if !name.contains(&only) || case.name.starts_with("effort/") {
                continue;
            }
            let program = build::program(case).unwrap_or_else(|why| panic!("{name}: {why}"));
            let Some(claims) = claims(&program, PROVED_OF_CORPUS) else { continue };
            let main = program.name.clone();
            match Loaded::from_program(&linker, program) {
                Ok(loaded) => {
                    fill(&loaded, &mut random);
                    let program = loaded.program(&main).expect("the program");
                    follow(&name, &engine, &[Claimed { program, claims }], &mut random, &mut report);
                }
                Err(error) => report.skip(&error.to_string()),
            }
        }
    }
    report.conclude(if only.is_empty() { 300 } else { 0 });
}

#[test]
fn runs_of_committed_objects_stay_inside_their_proofs() {
    let mut random = Random::seeded();
    let mut report = Report::default();
    let engine = engine();
    let linker = Linker::<()>::new(&engine);
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    for folder in ["tests/objects", "examples/firewall", "benches/programs", "benches/guest"] {
        let mut paths: Vec<_> = std::fs::read_dir(root.join(folder))
            .unwrap_or_else(|error| panic!("{folder}: {error}"))
            .map(|entry| entry.expect("an entry").path())
            .filter(|path| path.to_string_lossy().ends_with(".bpf.o"))
            .collect();
        paths.sort();
        for path in paths {
            let Ok(object) = engine.open_file(&path) else { continue };
            for entry in object.programs() {
                let name = format!("{}: {}", path.file_name().unwrap_or_default().to_string_lossy(), entry.name);
                run_of_object(&name, &engine, &linker, &object, &entry.name, &mut random, &mut report);
            }
        }
    }
    assert!(report.entered > 0, "no tail call was followed");
    report.conclude(40);
}

/// What a program may tail call, with what the proofs of those said.
fn targets(object: &Object, linker: &Linker<()>, loaded: &Loaded<()>, linked: &Linked) -> Vec<Claimed> {
    let mut found: Vec<Claimed> = Vec::new();
    let mut names: Vec<String> = named(linked);
    while let Some(name) = names.pop() {
        if name == linked.name || found.iter().any(|claimed| claimed.program.name() == name) {
            continue;
        }
        let Ok(target) = object.link(linker, &name) else { continue };
        names.extend(named(&target));
        if let (Ok(program), Some(claims)) = (loaded.program(&name), claims(&target, PROVED_OF_OBJECTS)) {
            found.push(Claimed { program, claims });
        }
    }
    found
}

fn named(linked: &Linked) -> Vec<String> {
    let arrays = linked.maps.iter().filter(|map| map.kind == MapKind::ProgArray);
    arrays.flat_map(|map| &map.values).map(|(_, name)| name.clone()).collect()
}

fn run_of_object(
    name: &str,
    engine: &Engine,
    linker: &Linker<()>,
    object: &Object,
    program: &str,
    random: &mut Random,
    report: &mut Report,
) {
    let linked = match object.link(linker, program) {
        Ok(linked) => linked,
        Err(error) => return report.skip(&error.to_string()),
    };
    let Some(claims) = claims(&linked, PROVED_OF_OBJECTS) else { return };
    match object.load_programs(linker, &[program]) {
        Ok(loaded) => {
            let program = loaded.program(program).expect("the program");
            let mut programs = vec![Claimed { program, claims }];
            programs.extend(targets(object, linker, &loaded, &linked));
            follow(name, engine, &programs, random, report);
        }
        Err(error) => report.skip(&error.to_string()),
    }
}
