//! `backstop run`: programs on one input, on one engine or both.

mod input;
pub mod line;
pub mod once;

use backstop::Engine;

use crate::args::RunArgs;
use crate::capture;
use crate::failure::{Failure, Outcome, Result};
use crate::output::{Out, note};
use crate::session::{self, Session};

use input::Material;
use line::Line;

/// `backstop run`.
pub fn run(args: &RunArgs) -> Result {
    if let Some(pcap) = &args.capture.pcap {
        return capture::run(args, pcap);
    }
    // clap drops a `requires` where another argument excludes what is required.
    if args.capture.out.is_some() {
        return Err(Failure::Usage("--out needs --pcap: it holds the packets of a capture that passed".to_owned()));
    }
    let engines = session::engines(&args.judging, args.engine)?;
    let material = Material::read(args)?;
    let mut out = Out::new();
    let mut sessions = match open(args, &engines) {
        Ok(sessions) => sessions,
        Err(failure) => return unopened(args, &mut out, &engines, None, failure),
    };
    let names = match sessions.first().map(|s| s.wanted(&args.object, args.program.as_deref())) {
        Some(Ok(names)) => names,
        Some(Err(failure)) => return unopened(args, &mut out, &engines, args.program.as_deref(), failure),
        None => Vec::new(),
    };
    if names.is_empty() {
        return Err(Failure::Input(format!("{}: it holds no program", args.object.display())));
    }
    let (mut outcome, mut differences) = (Outcome::Done, Vec::new());
    for name in &names {
        let mut lines = Vec::with_capacity(sessions.len());
        for session in &mut sessions {
            let line = once::run(args, session, name, &material);
            if args.json {
                out.json(&line)?
            } else {
                line.print(&mut out, &material)?
            }
            outcome = outcome.and(line.outcome());
            lines.push(line);
        }
        if let [first, second] = lines.as_slice() {
            differences.extend(line::difference(first, second));
        }
    }
    for difference in &differences {
        note(format_args!("error: {difference}"));
    }
    Ok(outcome.and(Outcome::of(differences.is_empty())))
}

fn open(args: &RunArgs, engines: &[Engine]) -> Result<Vec<Session>> {
    engines.iter().map(|engine| Session::open(engine, &args.object, &args.judging)).collect()
}

/// What can't be opened is reported once for each engine, as every input is. `program` is the one that is missing, if it is one.
fn unopened(args: &RunArgs, out: &mut Out, engines: &[Engine], program: Option<&str>, failure: Failure) -> Result {
    if args.json && matches!(failure, Failure::Input(_)) {
        for engine in engines {
            out.json(&Line::unopened(args, program, engine.kind().name(), &failure))?;
        }
    }
    Err(failure)
}
