//! `diff` in a child process: what kills the child is a finding.
//!
//! The child is this command again, with the same arguments and `--journal`, in which it notes what it is about to try; it prints for itself.
//! It is in a process group of its own, so that a terminal's signals go to the parent alone. The first asks the child for an orderly end, by the
//! end of its standard input; a second ends the parent, and the child with it: none outlives its parent, whatever it is at.

use std::ffi::OsString;
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use backstop_differ::{Apart, Case, Finding, Journal, Report, Session, Settings, What, by_itself, killed, serve};

use super::saved::Saved;
use super::walk::Place;
use super::{DiffArgs, generated, inputs, mutants, report};
use crate::failure::{Failure, Outcome, Result};
use crate::interrupt::Interrupt;
use crate::output::{Out, note};

/// How often it is looked whether the child has ended.
const TICK: Duration = Duration::from_millis(20);
/// A generated program's proof, runs and the kernel's answer take far less together.
const PATIENCE: Duration = Duration::from_secs(60);
/// For a mutant, which may come of a large program.
const PATIENCE_OF_MUTANTS: Duration = Duration::from_secs(600);
/// When an end is asked for, or --time is over.
const ENDING: Duration = Duration::from_secs(10);

/// Runs the comparison in a child.
pub fn diff(args: &DiffArgs, out: &mut Out) -> Result {
    let folder = Scratch::new().map_err(|error| cannot(&error))?;
    let journal = folder.0.join("journal");
    match args.mutate {
        _ if args.inputs.is_empty() => of_generated(args, &journal, out),
        Some(_) => of_mutants(args, &journal, out),
        None => of_inputs(args, &journal, out),
    }
}

/// Answers what a parent asks, program by program.
pub fn answer() -> Result {
    die_with_parent();
    let served = serve(&backstop_differ::Columns::new, &mut io::stdin().lock(), &mut io::stdout().lock());
    served.map(|()| Outcome::Done).map_err(Failure::input)
}

/// An endless loop in compiled code hears of nothing else.
fn die_with_parent() {
    // Where it can't be had, the end of standard input ends all but such a loop.
    #[cfg(target_os = "linux")]
    let _ = rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL));
}

fn cannot(error: &io::Error) -> Failure {
    Failure::input(format_args!("the comparison can't run in a child process: {error}; try --isolate=false"))
}

fn of_generated(args: &DiffArgs, journal: &Path, out: &mut Out) -> Result {
    // Decided once: programs that Linux may be asked about are others, here and in the child.
    let settings = generated::possible(args)?;
    let seed = args.seed.is_none().then(|| ["--seed".to_owned(), settings.seed.to_string()]);
    let linux = args.linux.is_none().then(|| ["--linux".to_owned(), settings.linux.to_string()]);
    let own: Vec<String> = seed.into_iter().chain(linux).flatten().collect();
    let interrupt = Interrupt::listen().map_err(|error| cannot(&error))?;
    let watched = Watched { journal, patience: Some(PATIENCE), time: settings.time };
    let End { status, stuck } = run(&own, &watched, &interrupt).map_err(|error| cannot(&error))?;
    let Some(how) = told(status, stuck) else { return said(status) };
    note(format_args!("error: {how}; trying again what it was at"));
    // The counts were in its memory alone.
    note(format_args!(
        "what it counted is lost to the report; what it found before is in {}, as diff-{}-NUMBER.case",
        args.save.display(),
        settings.seed
    ));
    let numbers = Journal::read(journal).map_err(|error| cannot(&error))?;
    let found = find(args, &settings, &numbers, stuck.is_some(), &interrupt)?;
    if found.0.is_empty() {
        let shown = if numbers.is_empty() { "no program".to_owned() } else { format!("program {numbers:?}") };
        return Err(Failure::Defect(format!(
            "{how} at {shown} of seed {}, which alone {}; `--isolate=false` repeats it in one process",
            settings.seed,
            if stuck.is_some() { "ends in time" } else { "does not kill one" },
        )));
    }
    let (findings, saved) = found;
    let report = Report { findings, threads: 1, ..Report::default() };
    if args.json {
        out.json(&report::Line::new(settings.seed, &report, &saved, interrupt.came()))?;
    } else {
        report::print(out, settings.seed, &report, &saved)?;
    }
    Ok(Outcome::Refused)
}

/// Which of these programs kill a process, or differ, alone; reduced.
fn find(
    args: &DiffArgs,
    settings: &Settings,
    numbers: &[u64],
    stuck: bool,
    interrupt: &Interrupt,
) -> Result<(Vec<Finding>, super::saved::Files)> {
    // Programs are only generated here, so that Linux need not be asked.
    let session = Session::offline(settings.clone()).map_err(|error| Failure::Usage(error.to_string()))?;
    let engines = session.columns();
    let mut apart = apart()?;
    let saved = Saved::new(&args.save, settings);
    let mut findings = Vec::new();
    for number in numbers {
        let case: Case = session.case(*number);
        let endless = if stuck { apart.endless(&case, engines).map_err(|error| cannot(&error))? } else { None };
        // Each test of a reduction would last as long as one waits.
        let reduce = args.reduce && endless.is_none();
        let difference = match endless {
            Some(difference) => Some(difference),
            None => apart.attempt(&case, engines).map_err(|error| cannot(&error))?,
        };
        let Some(difference) = difference else { continue };
        let mut finding = Finding { number: *number, difference, case, reduced: None };
        note(saved.keep(&finding));
        if reduce {
            let reduced = apart.reduce(&finding.case, engines, &|| interrupt.came());
            finding.reduced = reduced.map_err(|error| cannot(&error))?;
            saved.keep(&finding);
        }
        findings.push(finding);
    }
    Ok((findings, saved.into_files()))
}

/// Children that try case by case.
fn apart() -> Result<Apart<'static>> {
    let myself = std::env::current_exe().map_err(|error| cannot(&error))?;
    Ok(Apart::new(move || {
        let mut command = Command::new(&myself);
        command.args(["diff", "--answer"]);
        command
    }))
}

/// A program that kills the child is told.
fn of_inputs(args: &DiffArgs, journal: &Path, out: &mut Out) -> Result {
    let tell = &mut |numbers: &[u64], how: &str, out: &mut Out| match numbers.first() {
        Some(place) => inputs::killed(args, out, Place::of(*place), how),
        None => Ok(Outcome::Refused),
    };
    // Each program is told at once, and a signal ends the process: a large one may take very long.
    let watched = Watched { journal, patience: None, time: None };
    one_behind_another(&[], &watched, &Interrupt::default(), out, tell)
}

/// A mutant that kills the child is tried alone, reduced and told; the next are those of the next program.
fn of_mutants(args: &DiffArgs, journal: &Path, out: &mut Out) -> Result {
    let settings = mutants::Settings::new(args)?;
    let seed = ["--seed".to_owned(), settings.seed.to_string()];
    let own: &[String] = if args.seed.is_some() { &[] } else { &seed };
    let interrupt = Interrupt::listen().map_err(|error| cannot(&error))?;
    let tell = &mut |numbers: &[u64], how: &str, out: &mut Out| {
        note(format_args!("error: {how}; trying again what it was at"));
        let reduce = |mut finding: Finding, keep: &mut dyn FnMut(&Finding)| -> Result<Finding> {
            let engines = backstop_differ::Columns::new(finding.case.rules).names();
            let mut apart = apart()?;
            let alone = apart.attempt(&finding.case, &engines).map_err(|error| cannot(&error))?;
            // What differs without killing is no witness of the kill.
            if let Some(difference) = alone.filter(|difference| difference.what == What::Killed) {
                finding.difference = difference;
                keep(&finding);
                if args.reduce {
                    let reduced = apart.reduce(&finding.case, &engines, &|| interrupt.came());
                    finding.reduced = reduced.map_err(|error| cannot(&error))?;
                }
            }
            keep(&finding);
            Ok(finding)
        };
        mutants::killed(args, &settings, out, numbers, how, &reduce)
    };
    let watched = Watched { journal, patience: Some(PATIENCE_OF_MUTANTS), time: None };
    one_behind_another(own, &watched, &interrupt, out, tell)
}

/// Who is told what the child was at that was killed, and how it was.
type Tell<'t> = dyn FnMut(&[u64], &str, &mut Out) -> Result + 't;

/// Another child goes on behind each program that killed one.
fn one_behind_another(
    own: &[String],
    watched: &Watched<'_>,
    interrupt: &Interrupt,
    out: &mut Out,
    tell: &mut Tell<'_>,
) -> Result {
    let mut outcome = Outcome::Done;
    let mut behind: Option<u64> = None;
    loop {
        let place = behind.iter().flat_map(|n| ["--behind".to_owned(), n.to_string()]);
        let own: Vec<String> = own.iter().cloned().chain(place).collect();
        let End { status, stuck } = run(&own, watched, interrupt).map_err(|error| cannot(&error))?;
        let Some(how) = told(status, stuck) else { return said(status).map(|last| outcome.and(last)) };
        if stuck.is_none() && !by_itself(status) {
            return Err(Failure::input(format_args!("{how}, which no program does: somebody else ended it")));
        }
        let numbers = Journal::read(watched.journal).map_err(|error| cannot(&error))?;
        // Each child comes further than the one before it, so that there is an end.
        let Some(place) = numbers.first().copied().filter(|place| behind.is_none_or(|behind| *place > behind)) else {
            return Err(Failure::Defect(format!("{how} before any program was tried")));
        };
        outcome = outcome.and(tell(&numbers, &how, out)?);
        if interrupt.came() {
            return Ok(outcome);
        }
        behind = Some(place);
    }
}

/// The command's own exit code, which the child has explained.
fn said(ended: ExitStatus) -> Result {
    match ended.code().and_then(|code| u8::try_from(code).ok()) {
        Some(0) => Ok(Outcome::Done),
        Some(1) => Ok(Outcome::Refused),
        code => Err(Failure::Said(code.unwrap_or(crate::DEFECT))),
    }
}

/// By what a parent sees that its child goes on.
struct Watched<'j> {
    journal: &'j Path,
    /// So long it may be at one thing; `None` for ever, until it is asked to end.
    patience: Option<Duration>,
    /// When it is to end by itself.
    time: Option<Duration>,
}

/// How a child ended.
struct End {
    status: ExitStatus,
    /// It was killed because it was at one thing for so long.
    stuck: Option<Duration>,
}

/// How a child was killed, if it was.
fn told(status: ExitStatus, stuck: Option<Duration>) -> Option<String> {
    match stuck {
        Some(time) => Some(format!("the process made no progress for {} s and was ended", time.as_secs())),
        None => killed(status),
    }
}

/// Runs this command again as a child, to its end, or until it makes no progress: a compiled loop without an end hears no signal but SIGKILL.
fn run(own: &[String], watched: &Watched<'_>, interrupt: &Interrupt) -> io::Result<End> {
    let journal = watched.journal;
    let arguments: Vec<OsString> = std::env::args_os().skip(2).collect();
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("diff").args(own).arg("--journal").arg(journal).args(arguments).stdin(Stdio::piped());
    command.process_group(0);
    let mut child = Ended(command.spawn()?);
    let begun = Instant::now();
    let mut ending = None;
    let mut noted = (None, begun);
    loop {
        if let Some(status) = child.0.try_wait()? {
            return Ok(End { status, stuck: None });
        }
        if interrupt.came() {
            drop(child.0.stdin.take());
        }
        if ending.is_none() && (interrupt.came() || watched.time.is_some_and(|time| begun.elapsed() >= time)) {
            ending = Some(Instant::now());
        }
        let last = Journal::last(journal);
        if last.is_none() || last != noted.0 {
            noted = (last, Instant::now());
        }
        let since = ending.map_or(noted.1, |ending| noted.1.max(ending));
        let patience = if ending.is_some() { Some(ENDING) } else { watched.patience };
        if let Some(patience) = patience.filter(|patience| since.elapsed() >= *patience) {
            child.0.kill()?;
            return Ok(End { status: child.0.wait()?, stuck: Some(patience) });
        }
        std::thread::sleep(TICK);
    }
}

/// A child that does not outlive a failure of its parent's.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        // It has ended, unless it could not be waited for.
        let _ = self.0.kill();
    }
}

/// A folder of this process's own.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> io::Result<Scratch> {
        let folder =
            std::env::temp_dir().join(format!("backstop-diff-{:x}", RandomState::new().hash_one(std::process::id())));
        std::fs::create_dir(&folder)?;
        Ok(Scratch(folder))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What is left is a few bytes.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// In the child: what it tries next, for its parent to read.
pub struct Notes(Journal);

impl Notes {
    /// Where the parent said; and what is to be done when the parent ends or asks for an end.
    pub fn open(path: &Path, end: impl FnOnce() + Send + 'static) -> Result<Notes> {
        die_with_parent();
        std::thread::spawn(move || {
            let _ = io::copy(&mut io::stdin(), &mut io::sink());
            end();
        });
        Journal::create(path).map(Notes).map_err(|error| cannot(&error))
    }

    /// A thread is about to try a program.
    pub fn tries(&self, thread: usize, number: u64) {
        self.0.tries(thread, number);
    }

    /// What is left to do is to tell.
    pub fn tries_no_more(&self) {
        self.0.tries_no_more();
    }

    /// The one thread is about to try what these numbers name.
    pub fn tries_part(&self, numbers: &[u64]) {
        self.0.tries_part(numbers);
    }
}
