//! Runs stay inside their proofs: the verifier's soundness, instruction by instruction.

use std::sync::Arc;

use backstop::model::{MapKind, Program as Linked};
use backstop::verifier::embed::Claims;
use backstop::verifier::{Limits, Options, verify};
use backstop::{Config, Engine, EngineChoice, Linker, Loaded, RunError, Store};

use backstop_differ::{Claimed, End, Generated, Stream, Trail, seen};

use crate::Outcome;
use crate::running::{listing, wanted_program};

/// Instructions that a proof may take: all of its states are kept.
const MAX_INSNS: u64 = 10_000;
/// Instructions of one run that are followed.
const MAX_STEPS: u64 = 2_000;
/// Instructions that one run may take.
const FUEL: u64 = 50_000;
const CPUS: u32 = 1;

fn claims(program: &Linked, unprivileged: bool) -> Option<Arc<Claims>> {
    let limits = Limits { insns: MAX_INSNS, cpus: CPUS, ..Limits::default() };
    let options = Options { keep_states: true, unprivileged, limits, ..Options::default() };
    verify(Arc::new(program.clone()), &options).ok()?.claims().cloned()
}

/// Generates a program (or changes one), proves it, and follows runs of it on the checked interpreter.
///
/// # Panics
/// If a run leaves what was proved, or the checked interpreter meets a fault in it.
pub fn embedding(data: &[u8]) -> Outcome {
    let Some((Generated { program, input }, unprivileged)) = wanted_program(data) else { return Outcome::Unusable };
    let Some(claims) = claims(&program, unprivileged) else { return Outcome::Refused };
    let config = Config::new().engine(EngineChoice::Checked).cpus(CPUS).unprivileged(unprivileged);
    let config = config.map_memory(1 << 26).fuel(FUEL).trace(|_| {});
    let Ok(engine) = Engine::new(config) else { return Outcome::Unusable };
    let Ok(loaded) = Loaded::from_program(&Linker::<()>::new(&engine), program.clone()) else {
        return Outcome::Refused;
    };
    let Ok(own) = loaded.program(&program.name) else { return Outcome::Refused };
    // As in the comparison of engines: a program's tail calls lead to itself.
    if let Some(jumps) = program.maps.iter().find(|map| map.kind == MapKind::ProgArray) {
        // Refused where the type may not tail call; the slot stays empty then.
        let _ = loaded.set_tail_call(&jumps.name, 0, &own);
    }
    let programs = [Claimed { program: own, claims }];
    let [Claimed { program: own, .. }] = &programs;
    let mut store = Store::new(&engine, ());
    let second = Stream::new(input.len() as u64).bytes(input.len());
    for input in [&input, &second, &input] {
        let mut trail = Trail::new(&programs, MAX_STEPS);
        seen(own.kind(), input, |given| {
            let outcome = own.run_watched(&mut store, given, &mut trail);
            if let Err(error @ RunError::ProofViolated { .. }) = &outcome {
                panic!("{error}\n{}", listing(&program));
            }
            outcome.map_or_else(|error| End::Failed(error.to_string()), |_| End::Returned(0))
        });
        if let Some(violation) = trail.violation() {
            panic!("{violation}\n{}", listing(&program));
        }
    }
    Outcome::Held
}
