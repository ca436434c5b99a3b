//! `backstop conformance`: every instruction on all engines against RFC 9669, and on the running kernel if asked.

use std::collections::BTreeMap;

use backstop::EngineChoice;
use backstop::isa::table::rows;
use backstop_conformance::{Exerciser, ExerciserError, GroupCount, Report, Wrong};
use clap::{Args, ValueEnum};
use serde::Serialize;

use crate::failure::{Failure, Outcome, Result};
use crate::output::{Out, note};
use crate::suggest;

/// Help that follows the options.
pub const HELP: &str = "\
A case is one instruction (or what must stand together) with one set of operands. Boundary values and operand shapes are always the
same; immediates and sequences of chance depend on the seed.

Examples:
  backstop conformance
      a table of the RFC's conformance groups: cases, and how many an engine got wrong
  backstop conformance --engine jit --linux
      with a column of the running kernel; programs are only loaded and test-run there, nothing is attached";

#[derive(Args, Debug)]
pub struct ConformanceArgs {
    /// The engines; without this the interpreter, the JIT where it exists, and the checked interpreter
    #[arg(long, value_name = "ENGINE")]
    pub engine: Option<Engines>,
    /// Ask the running kernel as well; skipped with the reason where it does not permit that
    #[arg(long)]
    pub linux: bool,
    /// Seed of what is drawn by chance
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,
    /// Only what is about this row of the ISA table (such as add64_imm), or `sequences`; may be repeated
    #[arg(long, value_name = "ROW")]
    pub only: Vec<String>,
    /// How many wrong cases are shown
    #[arg(long, value_name = "N", default_value_t = 10)]
    pub show: usize,
    /// One JSON object
    #[arg(long)]
    pub json: bool,
}

/// Which engines are exercised.
#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub enum Engines {
    /// The interpreter
    Interp,
    /// The JIT
    Jit,
    /// The interpreter and the JIT
    Both,
    /// The checked interpreter
    Checked,
}

impl Engines {
    fn choices(self) -> Vec<EngineChoice> {
        match self {
            Engines::Interp => vec![EngineChoice::Interpreter],
            Engines::Jit => vec![EngineChoice::Jit],
            Engines::Both => vec![EngineChoice::Interpreter, EngineChoice::Jit],
            Engines::Checked => vec![EngineChoice::Checked],
        }
    }
}

/// Runs the exerciser; wrong cases are a refusal.
pub fn conformance(args: &ConformanceArgs) -> Result {
    let usual = Exerciser::default();
    let engines = args.engine.map_or(usual.engines.clone(), Engines::choices);
    args.only.iter().try_for_each(|row| known(row))?;
    let only = args.only.clone();
    let exerciser = Exerciser { seed: args.seed, engines, linux: args.linux, only, shown: args.show, ..usual };
    let report = exerciser.run().map_err(|error| match error {
        ExerciserError::Engine(error) => Failure::Usage(error.to_string()),
        other => Failure::input(other),
    })?;
    let mut out = Out::new();
    if args.json {
        out.json(&Line::new(&report))?;
    } else {
        note(format_args!("seed {}, {:.1} s", report.seed, report.elapsed.as_secs_f64()));
        out.line(&report)?;
    }
    Ok(Outcome::of(report.is_clean()))
}

/// An error with like names if there is no such row.
fn known(row: &str) -> Result<()> {
    let names = || rows().map(|row| row.name).chain(["sequences"]);
    if names().any(|name| name == row) {
        return Ok(());
    }
    Err(Failure::Usage(format!("the ISA table has no row `{row}`{}", suggest::instead(row, names()))))
}

#[derive(Serialize)]
struct Line<'a> {
    seed: u64,
    seconds: f64,
    groups: Vec<Group<'a>>,
    sum: Group<'a>,
    wrong: Vec<Case<'a>>,
    left_out: &'a BTreeMap<String, u64>,
    linux_skipped: Option<&'a str>,
}

/// Counts by column: `interp`, `jit`, `checked`, `linux`.
#[derive(Serialize)]
struct Group<'a> {
    group: String,
    cases: u64,
    wrong: BTreeMap<&'a str, u64>,
}

#[derive(Serialize)]
struct Case<'a> {
    column: &'a str,
    group: &'a str,
    name: &'a str,
    program: &'a str,
    inputs: BTreeMap<&'a str, String>,
    expected: BTreeMap<&'a str, String>,
    got: BTreeMap<&'a str, String>,
    failure: Option<&'a str>,
}

impl<'a> Line<'a> {
    fn new(report: &'a Report) -> Line<'a> {
        let group = |count: &GroupCount| Group {
            group: count.group.clone(),
            cases: count.cases,
            wrong: report.columns.iter().map(String::as_str).zip(count.wrong.iter().copied()).collect(),
        };
        Line {
            seed: report.seed,
            seconds: report.elapsed.as_secs_f64(),
            groups: report.groups.iter().map(group).collect(),
            sum: group(&report.sum()),
            wrong: report.wrong.iter().map(Case::new).collect(),
            left_out: &report.declined,
            linux_skipped: report.linux_skipped.as_deref(),
        }
    }
}

impl<'a> Case<'a> {
    fn new(wrong: &'a Wrong) -> Case<'a> {
        // 64-bit values don't survive as JSON numbers everywhere.
        let words = |words: &'a [(String, u64)]| {
            words.iter().map(|(name, value)| (name.as_str(), format!("{value:#x}"))).collect()
        };
        Case {
            column: &wrong.column,
            group: &wrong.group,
            name: &wrong.name,
            program: &wrong.program,
            inputs: wrong.inputs.iter().map(|(name, value)| (*name, format!("{value:#x}"))).collect(),
            expected: words(&wrong.expected),
            got: words(&wrong.got),
            failure: wrong.failure.as_deref(),
        }
    }
}
