//! Every object of the tree before the running Linux kernel: the same verdict, result, packet and context, in `compat_linux` mode. What
//! is meant to differ stands in docs/linux-differences.md, a row each; a row that matches nothing fails.
//!
//! Programs are loaded and test-run, never attached. What `backstop diff` leaves out is left out here, each with its reason in print.
#![cfg(target_os = "linux")]

mod common;
#[path = "referee/table.rs"]
mod table;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use backstop::model::{MapKind, ProgType, Program as Linked};
use backstop::verifier::Verified;
use backstop::{Config, Engine, Exit, Input, Linker, Loaded, Object, Packet, Store, Update};
use backstop_differ::linux::{Judged, Kernel, Loaded as TheirLoaded, left_out, takes};
use backstop_referee::{Referee, TestRun};
use common::expect::{Case, cases};
use table::{Side, Table};

/// Its programs are written for a host.
const WITH_HOST: &str = "host.bpf.o";

/// All committed objects of programs.
fn objects() -> Vec<PathBuf> {
    let folders = ["tests/objects", "examples/firewall", "benches/programs"];
    let mut all: Vec<PathBuf> = folders
        .iter()
        .flat_map(|folder| std::fs::read_dir(common::root().join(folder)).expect(folder))
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.to_string_lossy().ends_with(".bpf.o") && !path.ends_with(WITH_HOST))
        .collect();
    all.sort();
    all
}

fn name_of(path: &Path) -> String {
    path.file_name().expect("a file").to_string_lossy().into_owned()
}

/// What is known of a program. One that is refused here goes there only if Linux is known to refuse it too, and so early.
fn judged<'v>(verified: Option<&'v Verified>, case: Option<&Case>) -> Judged<'v> {
    let by_both = case.is_some_and(|case| !case.accepted() && case.linux_agrees() && !case.error.is_empty());
    match verified {
        None if by_both => Judged::RefusedByBoth,
        verified => Judged::of(verified),
    }
}

/// What one engine and the kernel made of one input.
#[derive(Debug, PartialEq, Eq)]
struct Made {
    retval: u32,
    /// The packet or the context afterwards.
    bytes: Option<Vec<u8>>,
}

fn ours(program: &backstop::Program<()>, store: &mut Store<()>, bytes: &[u8]) -> Result<Made, String> {
    let ty = program.kind().ty;
    let text = |e: backstop::RunError| e.to_string();
    if common::takes_packet(ty) {
        let mut packet = Packet::new(bytes);
        let exit = program.run(store, Input::Packet(&mut packet)).map_err(text)?;
        return Ok(Made { retval: exit.value() as u32, bytes: Some(packet.data().to_vec()) });
    }
    let mut memory = bytes.to_vec();
    let exit: Exit = program.run(store, Input::Memory(&mut memory)).map_err(text)?;
    Ok(Made { retval: exit.value() as u32, bytes: (ty == ProgType::Syscall).then_some(memory) })
}

fn theirs(referee: &Referee, program: &backstop_referee::Loaded, ty: ProgType, bytes: &[u8]) -> Result<Made, String> {
    let input = if common::takes_packet(ty) { TestRun::packet(bytes) } else { TestRun::context(bytes) };
    let result = referee.test_run(program, &input).map_err(|e| e.to_string())?;
    let bytes = if common::takes_packet(ty) {
        Some(result.data_out)
    } else {
        (ty == ProgType::Syscall).then_some(result.ctx_out)
    };
    Ok(Made { retval: result.retval, bytes })
}

/// Inputs of a program: those of its expectation, else 64 zero bytes; for the firewall every 20th packet of its capture.
fn inputs(path: &Path, case: Option<&Case>) -> Vec<Vec<u8>> {
    if path.ends_with("examples/firewall/firewall.bpf.o") {
        // Each run of an XDP program takes the kernel some milliseconds: a spread of the capture must do.
        return capture(&path.with_file_name("traffic.pcap")).into_iter().step_by(20).collect();
    }
    match case {
        Some(case) if !case.runs.is_empty() => case.runs.iter().map(common::expect::Run::input).collect(),
        Some(_) => Vec::new(),
        None => vec![vec![0; 64]],
    }
}

/// The packets of a capture file (pcap, little-endian).
fn capture(path: &Path) -> Vec<Vec<u8>> {
    let bytes = std::fs::read(path).expect("a capture");
    let word =
        |at: usize| bytes.get(at..at + 4).map(|w| u32::from_le_bytes(w.try_into().expect("four bytes")) as usize);
    let mut packets = Vec::new();
    let mut at = 24;
    while let Some(len) = word(at + 8) {
        let Some(packet) = bytes.get(at + 16..at + 16 + len) else { break };
        packets.push(packet.to_vec());
        at += 16 + len;
    }
    packets
}

/// The start content of a bench's memory.
fn bench_memory(path: &Path) -> Option<Vec<u8>> {
    let stem = name_of(path).strip_suffix(".linux.bpf.o")?.to_owned();
    std::fs::read(path.parent()?.join("init").join(format!("{stem}.bin"))).ok()
}

/// What a comparison found.
#[derive(Default)]
struct Found {
    /// Rows of the table that matched.
    matched: BTreeSet<usize>,
    wrong: Vec<String>,
    left_out: BTreeMap<&'static str, usize>,
    verdicts: usize,
    runs: usize,
}

impl Found {
    fn leave_out(&mut self, why: &'static str) {
        *self.left_out.entry(why).or_default() += 1;
    }
}

/// The kernel against every engine of this build.
struct Comparison<'a> {
    engines: &'a [Engine],
    kernel: Kernel<'a>,
    table: &'a Table,
    cases: &'a [Case],
    found: Found,
}

/// A program and where it comes from.
struct Subject<'a> {
    path: &'a Path,
    file: String,
    case: Option<&'a Case>,
    linked: Linked,
}

impl Comparison<'_> {
    fn object(&mut self, path: &Path) {
        let Some(engine) = self.engines.first() else { return };
        let Ok(object) = engine.open_file(path) else { return self.found.leave_out("the object does not open") };
        let linker = Linker::<()>::new(engine);
        let file = name_of(path);
        for info in object.programs() {
            let case = self.cases.iter().find(|c| c.object == file && c.name == info.name);
            let Ok(linked) = object.link(&linker, &info.name) else {
                self.found.leave_out("it wants what only a host has");
                continue;
            };
            let subject = Subject { path, file: file.clone(), case, linked };
            if let Err(difference) = self.program(&object, &linker, &subject) {
                self.found.wrong.push(format!("{file} {}: {difference}", info.name));
            }
        }
    }

    fn program(&mut self, object: &Object, linker: &Linker<()>, subject: &Subject<'_>) -> Result<(), String> {
        let name = subject.linked.name.as_str();
        let verified = object.verify(linker, name);
        if let Some(why) = left_out(&subject.linked, judged(verified.as_ref().ok(), subject.case)) {
            self.found.leave_out(why);
            return Ok(());
        }
        self.found.verdicts += 1;
        let guard = |target: &Linked| {
            // What `.values` names comes along without an expectation of its own.
            let own = (target.name == name).then_some(subject.case).flatten();
            left_out(target, judged(object.verify(linker, &target.name).as_ref().ok(), own))
        };
        let loaded = self.kernel.load(object, linker, &subject.linked, &guard)?;
        match (verified, loaded) {
            (Ok(_), Ok(theirs)) => self.runs(subject, &theirs),
            (Err(_), Err(_)) => Ok(()),
            (Ok(_), Err(reason)) => self.differs(subject, Side::Refuses, &reason),
            (Err(error), Ok(_)) => self.differs(subject, Side::Accepts, &error.to_string()),
        }
    }

    fn differs(&mut self, subject: &Subject<'_>, linux: Side, what: &str) -> Result<(), String> {
        let row = self.table.find(&subject.file, &subject.linked.name, linux, what);
        self.found.matched.extend(row);
        if row.is_some() { Ok(()) } else { Err(format!("Linux {linux:?}: {what}")) }
    }

    fn runs(&mut self, subject: &Subject<'_>, their: &TheirLoaded) -> Result<(), String> {
        if !their.program.prog_type().has_test_run() {
            return Ok(());
        }
        let ty = subject.linked.kind.ty;
        let memory = bench_memory(subject.path);
        if let Some(memory) = &memory {
            let map = their.map("memory").ok_or("no map `memory`")?;
            map.update(&0_u32.to_ne_bytes(), memory, 0).map_err(|e| e.to_string())?;
        }
        let inputs: Vec<_> = inputs(subject.path, subject.case).into_iter().filter(|bytes| takes(ty, bytes)).collect();
        let run = |bytes: &Vec<u8>| theirs(self.kernel.referee, &their.program, ty, bytes);
        let their_results = inputs.iter().map(run).collect::<Result<Vec<_>, _>>()?;
        for engine in self.engines {
            let name = subject.linked.name.as_str();
            let object = engine.open_file(subject.path).map_err(|e| e.to_string())?;
            // Judged, not run, in this version.
            let Ok(loaded) = object.load_programs(&Linker::<()>::new(engine), &[name]) else { return Ok(()) };
            if let Some(memory) = &memory {
                let map = loaded.map("memory").map_err(|e| e.to_string())?;
                map.update(&0_u32.to_ne_bytes(), memory, Update::Any).map_err(|e| e.to_string())?;
            }
            let program = loaded.program(name).map_err(|e| e.to_string())?;
            let mut store = Store::new(engine, ());
            for (bytes, their_result) in inputs.iter().zip(&their_results) {
                let our_result = ours(&program, &mut store, bytes)?;
                self.found.runs += 1;
                if our_result != *their_result {
                    let input: String = bytes.iter().map(|b| format!("{b:02x}")).collect();
                    let kind = engine.kind().name();
                    let what = format!("over {input} it made {their_result:x?}, {kind} {our_result:x?}");
                    self.differs(subject, Side::RunsOtherwise, &what)?;
                }
            }
            same_maps(&loaded, their)?;
        }
        Ok(())
    }
}

/// Hash maps and arrays of both sides hold the same at the end.
fn same_maps(loaded: &Loaded<()>, their: &TheirLoaded) -> Result<(), String> {
    for map in loaded.maps().filter(|m| matches!(m.spec().kind, MapKind::Hash | MapKind::Array)) {
        let Some(other) = their.map(map.name()) else { continue };
        let mut our_entries: Vec<_> = map.iter().collect();
        let mut their_entries = other.entries().map_err(|e| e.to_string())?;
        our_entries.sort();
        their_entries.sort();
        if our_entries != their_entries {
            let name = map.name();
            return Err(format!("map {name} holds other elements: {their_entries:?} in Linux, {our_entries:?} here"));
        }
    }
    Ok(())
}

#[test]
fn linux_judges_and_runs_the_same() {
    let Some(referee) = Referee::open_or_skip("linux_judges_and_runs_the_same") else { return };
    let table = Table::read(&common::root().join("docs/linux-differences.md"));
    let engine = |choice| Engine::new(Config::new().engine(choice).compat_linux(true)).expect("an engine");
    let engines: Vec<Engine> = common::choices().into_iter().map(engine).collect();
    let cases = cases();
    let kernel = Kernel::new(&referee);
    let mut all = Comparison { engines: &engines, kernel, table: &table, cases: &cases, found: Found::default() };
    objects().iter().for_each(|path| all.object(path));
    let found = all.found;
    println!("{} verdicts and {} runs compared; left out: {:#?}", found.verdicts, found.runs, found.left_out);
    assert!(found.wrong.is_empty(), "{} differences:\n{}", found.wrong.len(), found.wrong.join("\n"));
    let stale: Vec<_> =
        table.rows().enumerate().filter(|(n, _)| !found.matched.contains(n)).map(|(_, row)| row).collect();
    assert!(stale.is_empty(), "rows of docs/linux-differences.md that match nothing: {stale:#?}");
    assert!(found.verdicts >= 300 && found.runs >= 600, "{} verdicts, {} runs", found.verdicts, found.runs);
}
