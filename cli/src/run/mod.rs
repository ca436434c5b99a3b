//! `backstop run`: programs on one input, on one engine or both.

mod input;
pub mod line;
pub mod once;

use backstop::{Engine, EngineChoice};

use crate::args::RunArgs;
use crate::capture;
use crate::failure::{Failure, Outcome, Result};
use crate::output::{Out, note};
use crate::session::{self, Session};

use input::Material;
use line::Line;

/// Why a run ended before it had anything to report.
pub struct Stop {
    /// The object was opened, so that the program asked for is the matter.
    opened: bool,
    failure: Failure,
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Stop {
        Stop { opened: true, failure }
    }
}

impl Stop {
    /// The object can't be opened.
    pub fn unopened(failure: Failure) -> Stop {
        Stop { opened: false, failure }
    }
}

/// `backstop run`.
pub fn run(args: &RunArgs) -> Result {
    let mut out = Out::new();
    let ended = match &args.capture.pcap {
        Some(pcap) => capture::run(args, pcap, &mut out),
        None => on_input(args, &mut out),
    };
    ended.map_err(|Stop { opened, failure }| {
        if args.json && out.is_empty() && !matches!(failure, Failure::ReaderGone) {
            let program = args.program.as_deref().filter(|_| opened);
            // The failure itself is reported all the same.
            let _ = lines(args, &mut out, program, &failure.to_string());
        }
        failure
    })
}

/// Says in a line for each engine that nothing comes of this run.
pub fn stopped(args: &RunArgs, error: &str) -> Result<()> {
    lines(args, &mut Out::new(), args.program.as_deref(), error)
}

fn lines(args: &RunArgs, out: &mut Out, program: Option<&str>, error: &str) -> Result<()> {
    for choice in session::choices(args.engine) {
        let engine = match choice {
            EngineChoice::Interpreter => "interp",
            EngineChoice::Jit => "jit",
            EngineChoice::Checked => "checked",
            EngineChoice::Auto => session::engine(session::config(&args.judging))?.kind().name(),
        };
        out.json(&Line::unopened(args, program, engine, error))?;
    }
    Ok(())
}

fn on_input(args: &RunArgs, out: &mut Out) -> std::result::Result<Outcome, Stop> {
    // clap drops a `requires` where another argument excludes what is required.
    if args.capture.out.is_some() || args.capture.top.is_some() {
        return Err(
            Failure::Usage("--out and --top need --pcap: they are about the packets of a capture".to_owned()).into()
        );
    }
    let engines = session::engines(&args.judging, args.engine)?;
    let mut sessions = open(args, &engines).map_err(Stop::unopened)?;
    let material = Material::read(args)?;
    let names = match sessions.first() {
        Some(session) => session.wanted(&args.object, args.program.as_deref())?,
        None => Vec::new(),
    };
    if names.is_empty() {
        return Err(Stop::unopened(Failure::Input(format!("{}: it holds no program", args.object.display()))));
    }
    if let (Some(name), Some(session)) = (&args.program, sessions.first()) {
        material.suits(&session.object, name)?;
    }
    let (mut outcome, mut differences) = (Outcome::Done, Vec::new());
    for name in &names {
        let mut lines = Vec::with_capacity(sessions.len());
        for session in &mut sessions {
            let line = once::run(args, session, name, &material);
            if args.json {
                out.json(&line)?
            } else {
                line.print(out, &material)?
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
