//! The way in and out: an empty call, and what a boundary adds to calls that do not throw.

use std::hint::black_box;

use backstop::{EngineChoice, Input, Packet};
use backstop_benches::{Call, Guest, GuestError, ThreadClock};
use criterion::Criterion;

fn calls(c: &mut Criterion<ThreadClock>) -> Result<(), GuestError> {
    for (engine, choice) in [("jit", EngineChoice::Jit), ("interp", EngineChoice::Interpreter)] {
        let guest = Guest::open(choice)?;
        let mut store = guest.store();
        // `throw_*` with argument 0: a boundary that does not throw; `plain_*`: the same calls without one.
        for name in ["empty", "plain_1", "throw_1", "plain_8", "throw_8"] {
            let program = guest.typed(name)?;
            let mut call = Call::default();
            program.run(&mut store, &mut call)?;
            let label = name.replace("throw", "boundary");
            c.bench_function(&format!("call/{engine}/{label}"), |b| {
                b.iter(|| program.run(&mut store, black_box(&mut call)).map(|exit| exit.value()));
            });
        }
        let program = guest.program("xdp_empty")?;
        let mut packet = Packet::new(&[0; 64]);
        c.bench_function(&format!("call/{engine}/packet"), |b| {
            b.iter(|| program.run(&mut store, Input::Packet(black_box(&mut packet))).map(|exit| exit.value()));
        });
    }
    Ok(())
}

fn main() -> Result<(), GuestError> {
    let mut c = Criterion::default().with_measurement(ThreadClock).configure_from_args();
    calls(&mut c)?;
    c.final_summary();
    Ok(())
}
