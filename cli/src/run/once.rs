//! One program on one engine: loaded by itself with fresh maps, run as often as asked.

use backstop::{Exit, LoadError, MapError, Program, RunError, Store};

use super::input::Material;
use super::line::{Line, Thrown};
use crate::args::RunArgs;
use crate::clock::Moment;
use crate::output::hex;
use crate::session::Session;

/// Loads and runs a program. What goes wrong is in the line.
pub fn run(args: &RunArgs, session: &mut Session, name: &str, material: &Material) -> Line {
    let engine = session.engine_name();
    let failed = |verdict, error: String| Line::failed(args, name, engine, verdict, error);
    if let Err(error) = fix_memory(session, name, material) {
        return failed("reject", error);
    }
    let loaded = session.object.load_programs(&session.linker, &[name]);
    let program = match loaded.and_then(|loaded| Ok(loaded.program(name)?)) {
        Ok(program) => program,
        Err(error) => {
            let shown = (!args.json).then(|| session.explain(name, &error));
            return Line { shown, ..failed(verdict(&error), error.to_string()) };
        }
    };
    let mut given = match material.given(program.kind()) {
        Ok(given) => given,
        Err(error) => return failed("accept", error),
    };
    let mut store = Store::new(&session.engine, ());
    let started = Moment::now();
    let mut last: Option<Result<Exit, RunError>> = None;
    for _ in 0..args.repeat {
        let result = program.run(&mut store, given.input());
        let end = result.is_err();
        last = Some(result);
        if end {
            break;
        }
    }
    let nanos = started.elapsed().as_nanos() as f64 / args.repeat.max(1) as f64;
    match last {
        Some(Ok(exit)) => {
            let data = given.data_out(program.kind());
            report(args, &program, engine, &exit, &data, nanos)
        }
        Some(Err(error)) => ended(args, name, engine, &error),
        None => failed("accept", "it was run no times".to_owned()),
    }
}

/// A run that ended in an error.
pub fn ended(args: &RunArgs, program: &str, engine: &'static str, error: &RunError) -> Line {
    Line { defect: error.is_defect(), ..Line::failed(args, program, engine, "accept", error.to_string()) }
}

fn report(args: &RunArgs, program: &Program<()>, engine: &'static str, exit: &Exit, data: &[u8], nanos: f64) -> Line {
    let thrown = match exit {
        Exit::Returned(_) => None,
        Exit::Thrown { cookie, backtrace, .. } => {
            let backtrace = program.backtrace(backtrace).into_iter().map(Into::into).collect();
            Some(Thrown { cookie: *cookie, backtrace })
        }
    };
    Line {
        object: args.object.display().to_string(),
        program: Some(program.name().to_owned()),
        engine,
        verdict: "accept",
        error: None,
        retval: Some(exit.value()),
        thrown,
        data_out: Some(hex(data)),
        ns_per_run: Some((nanos * 10.0).round() / 10.0),
        shown: None,
        defect: false,
    }
}

/// A `raw_mem` section without a length leaves it to the input.
fn fix_memory(session: &mut Session, name: &str, material: &Material) -> Result<(), String> {
    if !session.has_open_memory(name) {
        return Ok(());
    }
    session.object.set_memory_len(name, material.memory_len()).map(|_| ()).map_err(|e| e.to_string())
}

/// Whether the program may run, as far as the verifier is concerned.
pub fn verdict(error: &LoadError) -> &'static str {
    match error {
        LoadError::Lower { .. } | LoadError::Compile { .. } | LoadError::NotImplemented { .. } => "accept",
        LoadError::Map { source: MapError::Spec(_), .. } => "reject",
        LoadError::Map { .. } => "accept",
        _ => "reject",
    }
}
