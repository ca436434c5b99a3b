//! The verifier on programs of all sorts: a verdict, in bounds, never a panic.

use std::sync::Arc;

use backstop::model::{BuiltinKfunc, ProgKind, ProgType, Program, kfuncs};
use backstop::verifier::{Limits, Options, Verified, verify as prove};

use crate::Outcome;
use crate::objects;
use backstop_differ::generate::{self, damage, noise};
use backstop_differ::{Generated, Shape, Source};

/// Instructions that a proof may take here: plenty for generated programs, and quick to run into.
const MAX_INSNS: u64 = 20_000;

/// Verifies a program: generated, a committed one with changes, or noise.
///
/// # Panics
/// If the verdict contradicts itself, or two proofs of one program differ.
pub fn verify(data: &[u8]) -> Outcome {
    let mut source = Source::new(data);
    let flags = source.byte();
    let Some(program) = program(&mut source) else { return Outcome::Unusable };
    let options = Options {
        compat_linux: flags & 1 != 0,
        unprivileged: flags & 2 != 0,
        no_leaks: flags & 4 != 0,
        keep_states: false,
        log_level: if flags & 0xc0 == 0xc0 { 2 } else { 0 },
        limits: Limits { insns: MAX_INSNS, log_bytes: 1 << 16, ..Limits::default() },
        kernel: backstop::model::KernelBtf::reduced(),
    };
    judge(Arc::new(program), &options)
}

/// The program that [`verify`] makes of these bytes.
pub(crate) fn made(data: &[u8]) -> Option<Generated> {
    let mut source = Source::new(data);
    source.byte();
    Some(Generated { program: program(&mut source)?, input: Vec::new() })
}

fn program(source: &mut Source<'_>) -> Option<Program> {
    match source.byte() {
        0..=159 => Some(generate::program(source, Shape::ANY).program),
        160..=191 => {
            let mut program = generate::program(&mut Source::new(source.take(256)), Shape::ANY).program;
            damage(&mut program.slots, source, 4);
            Some(program)
        }
        192..=239 => {
            let all = objects::linked();
            let mut program = all.get(source.below(all.len()))?.clone();
            damage(&mut program.slots, source, 6);
            Some(program)
        }
        _ => Some(meaningless(source)),
    }
}

fn meaningless(source: &mut Source<'_>) -> Program {
    let types: Vec<ProgType> = ProgType::LINUX.into_iter().chain([ProgType::RawMem, ProgType::Host]).collect();
    let kind = ProgKind::new(source.pick(&types).unwrap_or(ProgType::RawMem));
    Program {
        name: "noise".to_owned(),
        section: String::new(),
        kind,
        slots: noise(source),
        maps: Vec::new(),
        kfuncs: BuiltinKfunc::ALL.iter().filter_map(|kfunc| kfuncs::builtin(*kfunc).ok()).collect(),
        btf: None,
        func_info: Vec::new(),
        line_info: Vec::new(),
        poisoned: Vec::new(),
        license: "GPL".to_owned(),
    }
}

fn judge(program: Arc<Program>, options: &Options) -> Outcome {
    let first = prove(Arc::clone(&program), options);
    let second = prove(Arc::clone(&program), options);
    match (first, second) {
        (Ok(first), Ok(second)) => {
            agree(&first, &second);
            consistent(&program, &first, options);
            Outcome::Held
        }
        (Err(first), Err(second)) => {
            let (first, second) =
                ((first.to_string(), first.kernel_format()), (second.to_string(), second.kernel_format()));
            assert_eq!(first, second, "two proofs refuse for different reasons");
            assert!(!first.0.is_empty());
            Outcome::Refused
        }
        (first, second) => panic!("two proofs of one program differ: {} and {}", first.is_ok(), second.is_ok()),
    }
}

fn agree(first: &Verified, second: &Verified) {
    assert_eq!(first.facts().slots, second.facts().slots, "two proofs know different facts");
    assert_eq!(first.facts().subprograms, second.facts().subprograms);
    assert_eq!(first.stats().insns_processed, second.stats().insns_processed);
    assert_eq!(first.stats().peak_states, second.stats().peak_states);
}

fn consistent(program: &Program, verified: &Verified, options: &Options) {
    let (facts, slots) = (verified.facts(), program.slots.len());
    assert_eq!(facts.slots.len(), slots);
    assert!(facts.slots.first().is_some_and(|fact| fact.reached), "the first instruction is dead");
    assert!(verified.stats().insns_processed <= options.limits.insns + 1, "the limit of instructions was passed");
    assert!(facts.subprograms.first().is_some_and(|main| main.start == 0));
    for (at, pair) in facts.subprograms.windows(2).enumerate() {
        if let [one, next] = pair {
            assert!(one.end <= next.start, "functions {at} and {} overlap", at + 1);
        }
    }
    for subprogram in &facts.subprograms {
        assert!(subprogram.start < subprogram.end && subprogram.end as usize <= slots);
        assert!(subprogram.stack_depth <= 512);
    }
    for fact in &facts.slots {
        assert!(fact.call.callback.is_none_or(|index| (index as usize) < facts.subprograms.len()));
        assert!(fact.call.map.is_none_or(|index| (index as usize) < program.maps.len()));
    }
    assert!(facts.exception_callback.is_none_or(|index| index < facts.subprograms.len()));
}
