//! `backstop diff`: everything that can be seen of programs on all engines, and on the running kernel where it permits that.

mod generated;
mod inputs;
#[cfg(unix)]
mod isolated;
mod kernel;
mod mutants;
mod report;
mod saved;
mod walk;

use std::path::PathBuf;

use backstop_differ::Report;
use clap::Args;

use crate::failure::{Failure, Result};
use crate::output::Out;

/// Help that follows the options.
pub const HELP: &str = "\
Without inputs, programs are generated: they loop, call, throw, tail call, and use maps, packets, helpers and every instruction. Compared are
verdict, result, what was thrown with its frames, packet or memory, context, maps, and what was printed. At the end stands how many of the
programs had what. From 5,000 programs on it is judged: over half must be taken, half of those execute 40 instructions or more, and each
operation, helper, map kind and depth be in 0.5 % of all; what is not so is a failure too. Programs that are made for Linux count apart: not
everything can go there.

Programs run in a child process. One that kills it, by a trap in compiled code say, differs like any other, is tried and reduced in further
children, and ends the comparison of generated programs.

A difference is saved when it is found; its reduction replaces the file. When --time is over, or at SIGINT or SIGTERM, programs and reductions
end, and the report is of what was done; a second signal ends at once.

With --mutate, an instruction or a few of each program of the inputs are changed, most often to others that take the same operands; what the
verifier takes is compared. Forms that may run too long, or make something else of other addresses, are passed over. Four that differ, or one
that kills the process, end those of a program; the next ones are made by --first.

Of inputs, `unsupported` is what this version names as not built, and `differs, meant` where Linux is known to differ for a reason.

Linux is asked by loading and test-running alone; nothing is attached. Programs that print stay away from it, and those whose shape
Linux 6.18 may not survive (callbacks beside loops, functions that no path walks).

Examples:
  backstop diff --count 100000
  backstop diff --seed 7 --time 600 --linux 20
      ten minutes, every twentieth program on the running kernel as well
  backstop diff filter.bpf.o
      does each program of mine behave the same on all engines and in the kernel?
  backstop diff filter.bpf.o --mutate 1000
      a thousand changed forms of each of them, on the engines
  backstop diff diff-7-1234.case
      tries again what was found";

/// Threads that may be asked for.
const MOST_THREADS: i64 = 512;

#[derive(Args, Debug)]
pub struct DiffArgs {
    /// Objects made by clang, or cases that `diff` saved; without any, programs are generated
    #[arg(value_name = "INPUT")]
    pub inputs: Vec<PathBuf>,
    /// Only the program of this name, of objects
    #[arg(long, value_name = "NAME", requires = "inputs")]
    pub program: Option<String>,
    /// Compare so many changed forms of each program of the inputs, on the engines alone
    #[arg(long, value_name = "N", requires = "inputs", conflicts_with_all = ["linux", "libbpf"])]
    pub mutate: Option<u64>,
    /// Seed of the generated programs, or of --mutate [default: another each time]
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,
    /// How many programs are generated [default: 10000, or what --time allows]
    #[arg(long, value_name = "N", conflicts_with = "inputs")]
    pub count: Option<u64>,
    /// Number of the first generated program, or of the first changed form of each program [default: 0]
    #[arg(long, value_name = "N")]
    pub first: Option<u64>,
    /// Stop after so many seconds; what is being reduced then stays as small as it is
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
    /// Let libbpf link and load each program of objects too, and compare instructions and the kernel's verdict (builds with the feature
    /// `libbpf`)
    #[arg(long, requires = "inputs")]
    pub libbpf: bool,
    /// Compare in a child process: what kills it is a difference like any other
    #[arg(long, value_name = "WHETHER", default_value_t = true, num_args = 0..=1, default_missing_value = "true",
          require_equals = true, action = clap::ArgAction::Set)]
    pub isolate: bool,
    /// In a child: where it notes what it tries
    #[arg(long, hide = true, value_name = "FILE")]
    pub journal: Option<PathBuf>,
    /// In a child: the program of the inputs that killed the last one
    #[arg(long, hide = true, value_name = "N", requires = "inputs")]
    pub behind: Option<u64>,
    /// In a child: tries cases that come by standard input
    #[arg(long, hide = true, exclusive = true)]
    pub answer: bool,
    /// One JSON object; of inputs, one a program, and before it one for each of its changed forms that differs; errors too
    #[arg(long)]
    pub json: bool,
}

/// Compares; a difference is a refusal.
pub fn diff(args: &DiffArgs) -> Result {
    #[cfg(unix)]
    if args.answer {
        return isolated::answer();
    }
    let mut out = Out::new();
    let result = compare(args, &mut out);
    match &result {
        Err(Failure::ReaderGone | Failure::Said(_)) | Ok(_) => {}
        Err(failure) if args.json => out.json(&report::error(&failure.to_string()))?,
        Err(_) => {}
    }
    result
}

fn compare(args: &DiffArgs, out: &mut Out) -> Result {
    if args.libbpf && !cfg!(all(feature = "libbpf", target_os = "linux")) {
        let what = "--libbpf: this build is without libbpf; build with --features libbpf, on Linux";
        return Err(Failure::Usage(what.to_owned()));
    }
    if !args.inputs.is_empty() && args.mutate.is_none() && (args.seed.is_some() || args.first.is_some()) {
        let what = "--seed and --first are for generated programs and for --mutate N; inputs are compared as they are";
        return Err(Failure::Usage(what.to_owned()));
    }
    need_inputs(args)?;
    need_numbers(args)?;
    #[cfg(unix)]
    if args.isolate && args.journal.is_none() {
        return isolated::diff(args, out);
    }
    match args.mutate {
        _ if args.inputs.is_empty() => generated::diff(args, out),
        Some(_) => mutants::diff(args, out),
        None => inputs::diff(args, out),
    }
}

/// Options that are about inputs want some. The parser waives `requires` beside an argument that conflicts with inputs.
fn need_inputs(args: &DiffArgs) -> Result<()> {
    let about = [
        ("--mutate", args.mutate.is_some()),
        ("--program", args.program.is_some()),
        ("--libbpf", args.libbpf),
        ("--behind", args.behind.is_some()),
    ];
    match about.iter().find(|(_, given)| *given && args.inputs.is_empty()) {
        Some((option, _)) => Err(Failure::Usage(format!("{option} is about inputs; name an object or a saved case"))),
        None => Ok(()),
    }
}

/// Numbers of programs and mutants end below 2^64; they don't begin again at 0.
fn need_numbers(args: &DiffArgs) -> Result<()> {
    let (first, count) = (args.first.unwrap_or(0), args.mutate.or(args.count).unwrap_or(0));
    match first.checked_add(count.max(1)) {
        Some(_) => Ok(()),
        None => Err(Failure::Usage(format!(
            "--first {first}: so many numbers don't follow; --first and the count are 2^64 - 1 at most"
        ))),
    }
}

/// Says in a line that nothing more comes of this run.
pub fn stopped(error: &str) -> Result<()> {
    Out::new().json(&report::error(error))
}

/// Programs a second and thread.
pub(super) fn speed(report: &Report) -> f64 {
    report.programs() as f64 / report.elapsed.as_secs_f64().max(1e-9) / report.threads.max(1) as f64
}
