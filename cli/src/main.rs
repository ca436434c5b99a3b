//! The `backstop` command: verifies, runs and shows eBPF objects.
//!
//! The JSON lines and exit codes are a machine interface and are kept stable. Results go to standard output, a line at a time; errors and
//! progress go to standard error.
#![forbid(unsafe_code)]

mod args;
mod capture;
mod clock;
mod commands;
#[cfg(test)]
mod defect_tests;
mod failure;
mod files;
mod interrupt;
mod output;
mod run;
mod session;
mod suggest;
mod values;

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;

use clap::Parser;

use args::{Cli, Command};
use failure::{Failure, Outcome, Result};
use output::{Out, note};

const DONE: u8 = 0;
const REFUSED: u8 = 1;
const USAGE: u8 = 2;
const DEFECT: u8 = 3;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version come this way too; if they can't be printed there is nobody to tell.
            let _ = error.print();
            if !error.use_stderr() {
                return ExitCode::SUCCESS;
            }
            if std::env::args_os().any(|arg| arg == "--json") {
                let text = error.to_string();
                let first = text.lines().next().unwrap_or_default();
                let _ = Out::new().json(&serde_json::json!({ "error": first.trim_start_matches("error: ") }));
            }
            return ExitCode::from(USAGE);
        }
    };
    std::panic::set_hook(Box::new(|_| {}));
    ExitCode::from(ended(&cli.command, || execute(&cli.command)))
}

/// The exit code of a command that is carried out so.
fn ended(command: &Command, carry_out: impl FnOnce() -> Result) -> u8 {
    match catch_unwind(AssertUnwindSafe(carry_out)) {
        Ok(result) => end(result),
        Err(panic) => defect(command, panic.as_ref()),
    }
}

fn execute(command: &Command) -> Result {
    match command {
        Command::Verify(args) => commands::verify::verify(args),
        Command::Run(args) => run::run(args),
        Command::Inspect(args) => commands::inspect::inspect(args),
        Command::Disasm(args) => commands::disasm::disasm(args),
        Command::JitDump(args) => commands::jit_dump::jit_dump(args),
        Command::Conformance(args) => commands::conformance::conformance(args),
        Command::Diff(args) => commands::diff::diff(args),
        Command::ConformancePlugin(args) => commands::conformance_plugin::plugin(args),
    }
}

fn end(result: Result) -> u8 {
    let failure = match result {
        Ok(Outcome::Done) | Err(Failure::ReaderGone) => return DONE,
        Ok(Outcome::Refused) => return REFUSED,
        Ok(Outcome::Defect) => {
            report();
            return DEFECT;
        }
        Err(Failure::Said(code)) => return code,
        Err(failure) => failure,
    };
    match &failure {
        Failure::Refused(text) => note(text.trim_end()),
        other => note(format_args!("error: {other}")),
    }
    match failure {
        Failure::Usage(_) => USAGE,
        Failure::Defect(_) => {
            report();
            DEFECT
        }
        _ => REFUSED,
    }
}

fn defect(command: &Command, panic: &(dyn Any + Send)) -> u8 {
    let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
    let text = format!("this is a defect of backstop: {}", text.unwrap_or("unknown"));
    // Nobody may be reading any more.
    let _ = match command {
        Command::Verify(args) if args.json => commands::verify::stopped(args, &text),
        Command::Run(args) if args.json => run::stopped(args, &text),
        Command::Inspect(args) if args.json => commands::inspect::stopped(args, &text),
        Command::Diff(args) if args.json => commands::diff::stopped(&text),
        _ => Ok(()),
    };
    note(format_args!("backstop {}: {text}", env!("CARGO_PKG_VERSION")));
    report();
    DEFECT
}

fn report() {
    note(format_args!(
        "please report it, with the command line and the object, at {}/issues",
        env!("CARGO_PKG_REPOSITORY")
    ));
}
