//! `backstop diff`: everything that can be seen of programs on all engines, and on the running kernel where it permits that.

mod inputs;
mod report;

use std::hash::{BuildHasher, RandomState};
use std::path::{Path, PathBuf};
use std::time::Duration;

use backstop_differ::{Finding, Progress, Report, Session, SessionError, Settings};
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};

use crate::failure::{Failure, Outcome, Result};
use crate::output::{Out, note};

/// Help that follows the options.
pub const HELP: &str = "\
Without inputs, programs are generated: they loop, call, throw, tail call, and use maps, packets, helpers and every instruction. Compared are
verdict, result, what was thrown with its frames, packet or memory, context, maps, and what was printed. At the end stands how many of the
programs had what; if any operation, helper, map kind or depth is in fewer than 0.5 % of 5,000 programs or more, that is a failure too.

Linux is asked by loading and test-running alone; nothing is attached. Programs that print stay away from it, and those whose shape
Linux 6.18 may not survive (callbacks beside loops, functions that no path walks).

Examples:
  backstop diff --count 100000
  backstop diff --seed 7 --time 600 --linux 20
      ten minutes, every twentieth program on the running kernel as well
  backstop diff filter.bpf.o
      does each program of mine behave the same on all engines and in the kernel?
  backstop diff diff-7-1234.case
      tries again what was found";

/// Every so manieth program goes to Linux unless the caller says otherwise.
const USUAL_LINUX: u64 = 100;
/// Threads that may be asked for.
const MOST_THREADS: i64 = 512;
/// From so many programs on their shares are judged.
const JUDGED: u64 = 5000;

#[derive(Args, Debug)]
pub struct DiffArgs {
    /// Objects made by clang, or cases that `diff` saved; without any, programs are generated
    #[arg(value_name = "INPUT")]
    pub inputs: Vec<PathBuf>,
    /// Only the program of this name, of objects
    #[arg(long, value_name = "NAME", requires = "inputs")]
    pub program: Option<String>,
    /// Seed of the generated programs [default: another each time]
    #[arg(long, value_name = "N", conflicts_with = "inputs")]
    pub seed: Option<u64>,
    /// How many programs are generated [default: 10000, or what --time allows]
    #[arg(long, value_name = "N", conflicts_with = "inputs")]
    pub count: Option<u64>,
    /// Number of the first generated program
    #[arg(long, value_name = "N", default_value_t = 0, conflicts_with = "inputs")]
    pub first: u64,
    /// Stop after so many seconds
    #[arg(long, value_name = "SECONDS", conflicts_with = "inputs")]
    pub time: Option<u64>,
    /// Threads [default: one a processor]
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true, conflicts_with = "inputs",
          value_parser = clap::value_parser!(u16).range(0..=MOST_THREADS))]
    pub threads: u16,
    /// Reduce what is found to a minimal program
    #[arg(long, value_name = "WHETHER", default_value_t = true, num_args = 0..=1, default_missing_value = "true",
          require_equals = true, action = clap::ArgAction::Set)]
    pub reduce: bool,
    /// The folder where cases are saved
    #[arg(long, value_name = "FOLDER", default_value = ".")]
    pub save: PathBuf,
    /// Ask Linux about every Nth generated program (inputs: about all); 0 for none [default: 100 where bpf(2) is permitted]
    #[arg(long, value_name = "N")]
    pub linux: Option<u64>,
    /// One JSON object; of inputs, one a program
    #[arg(long)]
    pub json: bool,
}

/// Compares; a difference is a refusal.
pub fn diff(args: &DiffArgs) -> Result {
    if args.inputs.is_empty() { generated(args) } else { inputs::diff(args) }
}

fn generated(args: &DiffArgs) -> Result {
    if !args.save.is_dir() {
        return Err(Failure::Usage(format!("--save {}: there is no such folder", args.save.display())));
    }
    let seed = args.seed.unwrap_or_else(|| RandomState::new().hash_one("diff") >> 16);
    let usual = if args.time.is_some() { u64::MAX } else { 10_000 };
    let settings = Settings {
        seed,
        first: args.first,
        count: args.count.unwrap_or(usual),
        time: args.time.map(Duration::from_secs),
        threads: usize::from(args.threads),
        reduce: args.reduce,
        linux: args.linux.unwrap_or(USUAL_LINUX),
        ..Settings::default()
    };
    let session = session(args, settings.clone())?;
    note(format_args!("seed {seed}, engines {}", session.columns().join(", ")));
    let bar = bar(&settings);
    let report = session.run(&|progress: Progress| {
        bar.set_position(progress.done);
        if progress.findings > 0 {
            bar.set_message(format!("{} differ", progress.findings));
        }
    });
    bar.finish_and_clear();
    let saved =
        report.findings.iter().map(|finding| save(&args.save, &settings, finding)).collect::<Result<Vec<_>>>()?;
    let mut out = Out::new();
    if args.json {
        out.json(&report::Line::new(seed, &report, &saved))?;
    } else {
        report::print(&mut out, seed, &report, &saved)?;
    }
    let lacking = report.coverage.programs() >= JUDGED && !report.coverage.suffices();
    if lacking {
        note("too few of the programs have what the table shows below 0.5 %, or too few were taken");
    }
    Ok(Outcome::of(report.findings.is_empty() && !lacking))
}

/// A session; where Linux was not asked for by name and can't be had, one without it.
fn session(args: &DiffArgs, settings: Settings) -> Result<Session<'static>> {
    match Session::new(settings.clone()) {
        Err(SessionError::Linux(reason)) if args.linux.is_none() => {
            note(format_args!("Linux is left out: {reason}"));
            Session::new(Settings { linux: 0, ..settings }).map_err(|e| Failure::Usage(e.to_string()))
        }
        Err(SessionError::Linux(reason)) => {
            Err(Failure::input(format_args!("Linux can't be asked: {reason}; leave it out with --linux 0")))
        }
        other => other.map_err(|e| Failure::Usage(e.to_string())),
    }
}

/// Drawn on a terminal alone.
fn bar(settings: &Settings) -> ProgressBar {
    let bar = match (settings.time, settings.count) {
        (Some(_), u64::MAX) => ProgressBar::new_spinner(),
        (_, count) => ProgressBar::new(count),
    };
    let style = ProgressStyle::with_template("{elapsed} {wide_bar} {pos}/{len} programs, {per_sec} {msg}");
    bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

/// Writes a finding's smallest case; gives the file's path.
fn save(folder: &Path, settings: &Settings, finding: &Finding) -> Result<PathBuf> {
    let Settings { seed, linux, .. } = settings;
    let path = folder.join(format!("diff-{seed}-{}.case", finding.number));
    let difference = finding.reduced.as_ref().map_or(&finding.difference, |reduced| &reduced.difference);
    let comments: String = difference.to_string().lines().map(|line| format!("// {line}\n")).collect();
    let text = format!(
        "// backstop diff --seed {seed} --first {} --count 1 --linux {linux}\n{comments}{}",
        finding.number,
        finding.smallest()
    );
    std::fs::write(&path, text).map_err(|source| Failure::Write { path: path.clone(), source })?;
    Ok(path)
}

/// Programs a second and thread.
pub(super) fn speed(report: &Report) -> f64 {
    report.coverage.programs() as f64 / report.elapsed.as_secs_f64().max(1e-9) / report.threads.max(1) as f64
}
