//! Throws, as the host sees them: the whole call, from `run` to its `Exit::Thrown`.

use std::hint::black_box;

use backstop::{EngineChoice, Exit, TypedProgram};
use backstop_benches::{Call, Guest, GuestError, ThreadClock};
use criterion::Criterion;

/// The cookie of all throws here.
const COOKIE: u64 = 7;

/// A throwing program, seen to throw through as many frames as its name says.
fn throwing(guest: &Guest, name: &str, frames: usize) -> Result<TypedProgram<(), Call>, GuestError> {
    let program = guest.typed(name)?;
    let exit = program.run(&mut guest.store(), &mut Call { argument: COOKIE, result: 0 })?;
    let Exit::Thrown { cookie: COOKIE, backtrace, .. } = exit else {
        return Err(format!("{name} was to throw {COOKIE}, but: {exit:?}").into());
    };
    // The walked frames and the one of `bpf_throw` itself, if it is counted.
    if backtrace.len() < frames {
        return Err(format!("{name} was to have {frames} frames, it has {}", backtrace.len()).into());
    }
    Ok(program)
}

fn throws(c: &mut Criterion<ThreadClock>) -> Result<(), GuestError> {
    for (engine, choice) in [("jit", EngineChoice::Jit), ("interp", EngineChoice::Interpreter)] {
        let guest = Guest::open(choice)?;
        let mut store = guest.store();
        for (name, frames) in [("throw_1", 2), ("throw_8", 8), ("throw_1_own", 2), ("throw_8_own", 8)] {
            let program = throwing(&guest, name, frames)?;
            let mut call = Call { argument: COOKIE, result: 0 };
            c.bench_function(&format!("throw/{engine}/{name}"), |b| {
                b.iter(|| program.run(&mut store, black_box(&mut call)).map(|exit| exit.value()));
            });
            if name.ends_with("own") {
                continue;
            }
            c.bench_function(&format!("throw/{engine}/{name}_backtrace_resolved"), |b| {
                b.iter(|| match program.run(&mut store, black_box(&mut call)) {
                    Ok(Exit::Thrown { backtrace, .. }) => program.untyped().backtrace(&backtrace),
                    _ => Vec::new(),
                });
            });
        }
    }
    Ok(())
}

fn main() -> Result<(), GuestError> {
    let mut c = Criterion::default().with_measurement(ThreadClock).configure_from_args();
    throws(&mut c)?;
    c.final_summary();
    Ok(())
}
