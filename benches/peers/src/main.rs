//! Backstop beside other engines, in one process: short batches of all of them in turn, so that ratios hold on a machine that
//! others use too. Prints tables in Markdown; `--json FILE` also writes all numbers.
//!
//!     cargo run --release -p backstop-peers
//!
//! Every engine must first give the results and the memory that native code gives; one that does not is named in the table.

mod backstop_engines;
mod linux;
mod names;
mod native;
mod peer;
mod programs;
mod ratios;
mod rbpf_engines;
mod report;
mod throws;
mod timing;
mod verifying;
mod wasm;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;

use crate::report::Report;
use crate::timing::Effort;

/// Whatever an engine says went wrong: it is printed, and never looked into.
type Error = Box<dyn std::error::Error>;

/// Ratios between Backstop, native code, Linux, rbpf and wasmtime.
#[derive(Debug, Parser)]
struct Arguments {
    /// Few and short batches: shows that all works; the numbers are rough.
    #[arg(long)]
    quick: bool,
    /// Writes all numbers to this file.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Only these programs (none of the other tables).
    #[arg(long, value_name = "NAME", num_args = 1..)]
    programs: Vec<String>,
    /// Only these tables.
    #[arg(long, value_enum, num_args = 1..)]
    tables: Vec<Table>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
enum Table {
    /// The 14 programs on all engines.
    Ratios,
    /// Throws beside Linux's.
    Throws,
    /// The verifier beside Linux's.
    Verifying,
}

fn measure(arguments: &Arguments) -> Result<Report, Error> {
    let effort = if arguments.quick { Effort::QUICK } else { Effort::FULL };
    let named = !arguments.programs.is_empty();
    let wants = |table: Table| match (arguments.tables.is_empty(), named) {
        (true, true) => table == Table::Ratios,
        (true, false) => true,
        (false, _) => arguments.tables.contains(&table),
    };
    if let Err(why) = linux::referee() {
        eprintln!("no numbers of Linux's: {why}");
    }
    let wanted = |name: &str| !named || arguments.programs.iter().any(|p| p == name);
    Ok(Report {
        rows: if wants(Table::Ratios) { ratios::measure(effort, &wanted)? } else { Vec::new() },
        throws: if wants(Table::Throws) { throws::measure(effort)? } else { Vec::new() },
        proofs: if wants(Table::Verifying) { verifying::measure(effort)? } else { Vec::new() },
    })
}

fn run(arguments: &Arguments) -> Result<(), Error> {
    let report = measure(arguments)?;
    print!("{}", report.markdown());
    if let Some(path) = &arguments.json {
        std::fs::write(path, format!("{:#}\n", report.json()))?;
    }
    Ok(())
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("backstop-peers: {error}");
            ExitCode::FAILURE
        }
    }
}
