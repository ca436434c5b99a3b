//! The proof: what an eBPF program must satisfy before it may run.
//!
//! [`verify`] follows every path of a program through an abstract state and either makes a [`Verified`], which only it can
//! make, or says why not in a [`Refusal`]. It decides as Linux 6.18's verifier does, because programs are written against
//! that one; where it is meant to differ, docs/verifier-differences.md says so.
//!
//! Four jobs in four places: `transfer` says what an instruction does to the state, `check` what must hold before it,
//! `reason` (with `refusal` and `render`) why it failed, and `collect` gathers the [`Facts`] that the engines may rely on.
#![forbid(unsafe_code)]

mod cfg;
mod check;
mod code;
mod collect;
mod cost;
mod depth;
mod diagnose;
pub mod domain;
pub mod embed;
mod env;
mod equal;
mod explore;
mod facts;
mod fastcall;
mod fields;
mod flow;
mod global;
mod global_tags;
mod graph;
mod kept;
mod liveness;
pub mod loader;
mod log;
mod notes;
mod options;
mod outcome;
mod precision;
mod prune;
mod reason;
mod refusal;
mod render;
mod resolve;
mod state;
mod subprogs;
mod transfer;
mod world;

use std::sync::Arc;

use backstop_model::Program;

pub use cost::SubprogramCost;
pub use facts::{CallFact, Facts, Region, SlotFact, Stats, Subprogram, Verified};
pub use options::{Limits, Options};
pub use reason::{Category, Reason};
pub use refusal::{PathStep, Refusal};

/// Proves a program safe.
///
/// # Errors
/// The first reason found, in the order in which Linux judges, with the place and the path that led there.
pub fn verify(program: Arc<Program>, options: &Options) -> Result<Verified, Box<Refusal>> {
    let mut verifier = env::Verifier::new(&program, options);
    match verifier.prove() {
        Ok(depth) => {
            let (facts, stats) = verifier.facts(depth);
            let claims = options.keep_states.then(|| Arc::new(embed::Claims::new(&mut verifier, program.clone())));
            Ok(Verified {
                facts,
                stats,
                costs: verifier.take_costs(),
                log: verifier.log.take(),
                max_states_per_insn: verifier.max_states_per_insn,
                claims,
                program: program.clone(),
            })
        }
        Err(reason) => Err(Box::new(verifier.refusal(*reason))),
    }
}
