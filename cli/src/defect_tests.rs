//! A defect of Backstop ends every command with 3, whatever way it shows.

use backstop::{Fault, FaultReason, RunError};
use clap::Parser;

use crate::args::{Cli, Command, RunArgs};
use crate::commands::conformance_plugin;
use crate::failure::Outcome;
use crate::run::once;
use crate::{DEFECT, DONE, REFUSED, end, ended};

fn command(words: &[&str]) -> Command {
    Cli::parse_from(["backstop"].iter().chain(words)).command
}

fn run() -> RunArgs {
    match command(&["run", "filter.bpf.o", "--all"]) {
        Command::Run(args) => args,
        other => panic!("{other:?}"),
    }
}

/// What the checked interpreter says when a proved program does what its proof rules out.
fn violated() -> RunError {
    let fault = Fault { code_id: 1, slot: Some(3), access: None, nearest: None, reason: FaultReason::Outside };
    RunError::ProofViolated { program: "filter".to_owned(), fault: Box::new(fault) }
}

#[test]
fn a_proof_that_a_run_breaks() {
    assert_eq!(DEFECT, 3);
    let line = once::ended(&run(), "filter", "checked", &violated());
    assert!(line.error.as_deref().is_some_and(|text| text.contains("please report it")), "{:?}", line.error);
    assert_eq!(end(Ok(line.outcome())), DEFECT);
    assert_eq!(end(Ok(Outcome::of_error(&violated()))), DEFECT);
    assert_eq!(end(Err(conformance_plugin::ended(violated()))), DEFECT);
    // Worse than what was refused before it.
    assert_eq!(end(Ok(Outcome::Refused.and(line.outcome()))), DEFECT);
}

#[test]
fn what_is_no_defect() {
    let fuel = || RunError::OutOfFuel { program: "filter".to_owned(), fuel: 7 };
    assert_eq!(end(Ok(once::ended(&run(), "filter", "checked", &fuel()).outcome())), REFUSED);
    assert_eq!(end(Ok(Outcome::of_error(&fuel()))), REFUSED);
    assert_eq!(end(Err(conformance_plugin::ended(fuel()))), REFUSED);
    assert_eq!(end(Ok(Outcome::Done)), DONE);
}

#[test]
fn a_panic_in_any_command() {
    for words in [&["run", "x.o", "--all"][..], &["verify", "x.o"], &["diff"], &["conformance"]] {
        assert_eq!(ended(&command(words), || panic!("a planted one")), DEFECT, "{words:?}");
    }
}
