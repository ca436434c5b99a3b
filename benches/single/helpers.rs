//! What programs ask of the runtime: maps, callbacks, tail calls. Each program repeats one thing; the time of one stands in
//! the line below the whole run's.

use std::hint::black_box;

use backstop::EngineChoice;
use backstop_benches::{Call, Guest, GuestError, ThreadClock};
use criterion::{Criterion, Throughput};

/// Program, how often it does its thing, its result, the argument that it wants.
const PROGRAMS: [(&str, u64, Option<u64>, u64); 7] = [
    ("lookup_array", 256, None, 0),
    ("lookup_hash", 256, None, 0),
    ("lookup_percpu", 256, Some(0), 0),
    ("update_hash", 256, Some(0), 0),
    ("callbacks", 1000, Some(499_500), 0),
    ("tail_constant", 33, Some(33), 0),
    ("tail_variable", 33, Some(33), 1),
];

fn helpers(c: &mut Criterion<ThreadClock>) -> Result<(), GuestError> {
    for (engine, choice) in [("jit", EngineChoice::Jit), ("interp", EngineChoice::Interpreter)] {
        let guest = Guest::open(choice)?;
        let mut store = guest.store();
        let mut group = c.benchmark_group(format!("inside/{engine}"));
        for (name, times, result, argument) in PROGRAMS {
            let loaded = guest.load(&[name])?;
            if name == "lookup_hash" {
                Guest::fill(loaded.map("hash")?, 1024)?;
            }
            let program = loaded.program(name)?.typed::<Call>()?;
            let mut call = Call { argument, result: 0 };
            let value = program.run(&mut store, &mut call)?.value();
            if result.is_some_and(|wanted| wanted != value) || (name == "lookup_hash" && value == 0) {
                return Err(format!("{name} gave {value}").into());
            }
            group.throughput(Throughput::Elements(times));
            group.bench_function(name, |b| {
                b.iter(|| program.run(&mut store, black_box(&mut call)).map(|exit| exit.value()));
            });
        }
        group.finish();
    }
    Ok(())
}

fn main() -> Result<(), GuestError> {
    let mut c = Criterion::default().with_measurement(ThreadClock).configure_from_args();
    helpers(&mut c)?;
    c.final_summary();
    Ok(())
}
