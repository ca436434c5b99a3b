//! Memory of a proof, at its highest: what an allocator that counts saw, beside what the proof itself reports. Programs made to
//! explode the proof's states, the programs of the benches, and those of all objects named on the command line.
//!
//! Not a time: the figures are the same on every run. The command fails if a proof takes more than the 64 MiB that it may.

use std::path::PathBuf;
use std::sync::Arc;

use backstop_benches::{GuestError, ThreadTime, file};
use backstop_model::Program;
use backstop_object::{Object, StandardEnv};
use backstop_verifier::{Options, Stats, verify};
use peak_alloc::PeakAlloc;

#[allow(dead_code, reason = "the tests use the rest")]
#[path = "../../vm/verifier/tests/cases_support/mod.rs"]
mod cases_support;
#[path = "../../vm/verifier/tests/hostile_support/programs.rs"]
mod programs;

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

/// Bytes that a proof of a million instructions processed may take.
const MOST: u64 = 64 << 20;

struct Measured {
    stats: Stats,
    accepted: bool,
    /// Bytes allocated at the highest, over what was allocated before.
    peak: u64,
    millis: f64,
}

fn measure(program: Program) -> Measured {
    let program = Arc::new(program);
    let options = Options { compat_linux: true, ..Options::default() };
    let before = MEMORY.current_usage();
    MEMORY.reset_peak_usage();
    let time = ThreadTime::now();
    let outcome = verify(program, &options);
    let millis = time.elapsed().as_secs_f64() * 1e3;
    let peak = MEMORY.peak_usage().saturating_sub(before) as u64;
    let (stats, accepted) = match &outcome {
        Ok(verified) => (*verified.stats(), true),
        Err(refusal) => (refusal.stats, false),
    };
    Measured { stats, accepted, peak, millis }
}

/// Prints a program's line; true if it took more than it may.
fn report(name: &str, program: Program) -> bool {
    let slots = program.slots.len();
    let m = measure(program);
    println!(
        "{name:44}{slots:>8}{:>10}{:>9}{:>10.0}{:>10.0}{:>10.0}  {}",
        m.stats.insns_processed,
        m.stats.peak_states,
        m.stats.peak_bytes as f64 / 1024.0,
        m.peak as f64 / 1024.0,
        m.millis,
        if m.accepted { "" } else { "refused" },
    );
    m.peak > MOST
}

fn objects(paths: &[PathBuf]) -> Result<Vec<(String, Program)>, GuestError> {
    let env = StandardEnv::new([])?;
    let mut found = Vec::new();
    for path in paths {
        let stem = path.file_stem().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
        let object = match Object::parse(&std::fs::read(path)?, &stem) {
            Ok(object) => object,
            Err(why) => {
                eprintln!("{stem}: {why}");
                continue;
            }
        };
        for program in object.programs() {
            match object.link(&program.name, &env) {
                Ok(linked) => found.push((format!("{stem} {}", program.name), linked.program)),
                Err(why) => eprintln!("{stem} {}: {why}", program.name),
            }
        }
    }
    Ok(found)
}

fn main() -> Result<(), GuestError> {
    let mut paths: Vec<PathBuf> =
        std::env::args_os().skip(1).filter(|arg| arg != "--bench").map(PathBuf::from).collect();
    if paths.is_empty() {
        let folder = std::fs::read_dir(file("benches/programs"))?;
        paths = folder
            .filter_map(Result::ok)
            .map(|f| f.path())
            .filter(|p| p.extension().is_some_and(|e| e == "o"))
            .collect();
        paths.sort();
    }
    println!(
        "{:44}{:>8}{:>10}{:>9}{:>10}{:>10}{:>10}",
        "program", "slots", "insns", "states", "KiB told", "KiB taken", "ms CPU"
    );
    let mut beyond = 0;
    for hostile in programs::all() {
        beyond += usize::from(report(hostile.name, hostile.program));
    }
    for (name, program) in objects(&paths)? {
        beyond += usize::from(report(&name, program));
    }
    if beyond > 0 { Err(format!("{beyond} proofs took more than {} MiB", MOST >> 20).into()) } else { Ok(()) }
}
