//! Programs made to explode: they end at a limit, and the work that they cost stays in proportion to the instructions
//! processed. Times are the bench `hostile`'s; here counters are held.

#[allow(dead_code, reason = "other tests use the rest")]
mod cases_support;
#[path = "hostile_support/programs.rs"]
mod programs;

use std::sync::Arc;

use backstop_model::Program;
use backstop_verifier::{Limits, Options, Reason, Stats, SubprogramCost, verify};

/// Instructions processed at most.
const INSNS: u64 = 100_000;

struct Outcome {
    stats: Stats,
    costs: Vec<SubprogramCost>,
    reason: Option<Reason>,
}

fn outcome(program: Program, limits: Limits) -> Outcome {
    let options = Options { compat_linux: true, limits, ..Options::default() };
    match verify(Arc::new(program), &options) {
        Ok(v) => Outcome { stats: *v.stats(), costs: v.costs().to_vec(), reason: None },
        Err(r) => Outcome { stats: r.stats, costs: r.costs.clone(), reason: Some(r.reason) },
    }
}

#[test]
fn work_stays_in_proportion() {
    let limits = Limits { insns: INSNS, ..Limits::default() };
    let mut at_the_limit = 0;
    println!("{:42}{:>9}{:>9}{:>9}{:>10}{:>10}", "program", "insns", "states", "compared", "steps", "KiB");
    for hostile in programs::all() {
        let slots = hostile.program.slots.len() as u64;
        let Outcome { stats, costs, reason } = outcome(hostile.program, limits);
        println!(
            "{:42}{:>9}{:>9}{:>9}{:>10}{:>10}  {}",
            hostile.name,
            stats.insns_processed,
            stats.total_states,
            stats.comparisons,
            stats.precision_steps,
            stats.peak_bytes / 1024,
            reason.as_ref().map_or_else(String::new, Reason::kernel_text)
        );
        at_the_limit += usize::from(matches!(reason, Some(Reason::TooLarge { .. })));
        let insns = stats.insns_processed.max(1000);
        assert!(stats.comparisons <= 8 * insns, "{}: comparisons", hostile.name);
        assert!(stats.precision_steps <= 40 * insns, "{}: precision", hostile.name);
        // A long program takes its share, whatever is walked of it.
        assert!(stats.peak_bytes <= 512 * insns.max(slots), "{}: bytes", hostile.name);
        assert_eq!(costs.iter().map(|c| c.insns_processed).sum::<u64>(), stats.insns_processed, "{}", hostile.name);
        assert_eq!(costs.iter().map(|c| c.states).sum::<u64>(), stats.total_states, "{}", hostile.name);
    }
    assert!(at_the_limit > 5, "only {at_the_limit} programs reach the limit");
}

/// Those that take most memory, to the end.
#[test]
fn a_million_instructions_take_less_than_64_mib() {
    let worst = ["callbacks that branch", "full stacks, kept at each round", "iterators nested, a precise counter"];
    let hostile = programs::all().into_iter().filter(|h| worst.contains(&h.name));
    let mut seen = 0;
    for hostile in hostile {
        let Outcome { stats, reason, .. } = outcome(hostile.program, Limits::default());
        println!("{}: {} instructions, {} KiB", hostile.name, stats.insns_processed, stats.peak_bytes / 1024);
        assert!(reason.is_some(), "{}: ends at a limit", hostile.name);
        assert!(stats.peak_bytes < 64 << 20, "{}: {} bytes", hostile.name, stats.peak_bytes);
        assert!(stats.peak_bytes > 4 << 20, "{}: {} bytes can't be all", hostile.name, stats.peak_bytes);
        seen += 1;
    }
    assert_eq!(seen, worst.len());
}

#[test]
fn comparisons_have_a_limit() {
    let hostile =
        || programs::all().into_iter().find(|h| h.name == "callbacks that branch").expect("the program").program;
    let few = outcome(hostile(), Limits { insns: INSNS, comparisons: 10_000, ..Limits::default() });
    assert!(matches!(few.reason, Some(Reason::TooLarge { processed }) if processed < INSNS), "{:?}", few.reason);
    assert_eq!(few.stats.comparisons, 10_000);
    let enough = outcome(hostile(), Limits { insns: INSNS, ..Limits::default() });
    assert!(matches!(enough.reason, Some(Reason::TooLarge { processed }) if processed > INSNS), "{:?}", enough.reason);
}
