//! `diff` over generated programs.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use backstop_differ::{Finding, Judgement, Progress, Session, SessionError, Settings, Watch};
use indicatif::{ProgressBar, ProgressStyle};

#[cfg(unix)]
use super::isolated::Notes;
use super::saved::Saved;
use super::{DiffArgs, report};
use crate::failure::{Failure, Outcome, Result};
use crate::interrupt::Interrupt;
use crate::output::{Out, note};

/// Every so manieth program goes to Linux unless the caller says otherwise.
const USUAL_LINUX: u64 = 100;
/// Programs unless the caller says how many, or for how long.
const USUAL_COUNT: u64 = 10_000;

/// Compares generated programs; a difference is a refusal, and so is a table that shows too little.
pub fn diff(args: &DiffArgs, out: &mut Out) -> Result {
    let settings = possible(args)?;
    let seed = settings.seed;
    let session = session(&settings)?;
    let interrupt =
        Interrupt::listen().map_err(|error| Failure::input(format_args!("signals can't be heard: {error}")))?;
    #[cfg(unix)]
    let notes = {
        let raise = interrupt.clone();
        args.journal.as_ref().map(|path| Notes::open(path, move || raise.raise())).transpose()?
    };
    note(format_args!("seed {seed}, engines {}", session.columns().join(", ")));
    let saved = Saved::new(&args.save, &settings);
    let follow = Follow {
        saved,
        bar: bar(&settings),
        interrupt,
        #[cfg(unix)]
        notes,
    };
    let report = session.run(&follow);
    #[cfg(unix)]
    if let Some(notes) = &follow.notes {
        notes.tries_no_more();
    }
    follow.bar.finish_and_clear();
    let interrupted = follow.interrupt.came();
    if interrupted {
        note("interrupted: the report is of what was done by then");
    }
    let saved = follow.saved.into_files();
    if args.json {
        out.json(&report::Line::new(seed, &report, &saved, interrupted))?;
    } else {
        report::print(out, seed, &report, &saved)?;
    }
    let lacks = match report.coverage.judge() {
        Judgement::Lacks(lacks) => lacks,
        Judgement::Suffices | Judgement::TooFew { .. } => Vec::new(),
    };
    for what in &lacks {
        note(format_args!("error: the programs have too little: {what}"));
    }
    Ok(Outcome::of(report.findings.is_empty() && lacks.is_empty()))
}

/// What is asked for; of a seed that is not, another each time.
fn settings(args: &DiffArgs) -> Result<Settings> {
    need_folder(args)?;
    let usual = if args.time.is_some() { u64::MAX } else { USUAL_COUNT };
    Ok(Settings {
        seed: seed(args),
        first: args.first.unwrap_or(0),
        count: args.count.unwrap_or(usual),
        time: args.time.map(Duration::from_secs),
        threads: usize::from(args.threads),
        reduce: args.reduce,
        linux: args.linux.unwrap_or(USUAL_LINUX),
        ..Settings::default()
    })
}

/// The folder of findings must be there before there are any.
pub fn need_folder(args: &DiffArgs) -> Result<()> {
    if args.save.is_dir() {
        return Ok(());
    }
    Err(Failure::Usage(format!("--save {}: there is no such folder", args.save.display())))
}

/// The seed; if none is asked for, another each time.
pub fn seed(args: &DiffArgs) -> u64 {
    args.seed.unwrap_or_else(|| RandomState::new().hash_one("diff") >> 16)
}

/// What is asked for; where Linux was not asked for by name and can't be had, without it.
pub fn possible(args: &DiffArgs) -> Result<Settings> {
    let settings = settings(args)?;
    match args.linux {
        Some(_) => Ok(settings),
        None => match Session::new(settings.clone()) {
            Err(SessionError::Linux(reason)) => {
                note(format_args!("Linux is left out: {reason}"));
                Ok(Settings { linux: 0, ..settings })
            }
            Ok(_) | Err(_) => Ok(settings),
        },
    }
}

/// A session.
fn session(settings: &Settings) -> Result<Session<'static>> {
    Session::new(settings.clone()).map_err(|error| match error {
        SessionError::Linux(reason) => {
            Failure::input(format_args!("Linux can't be asked: {reason}; leave it out with --linux 0"))
        }
        other => Failure::Usage(other.to_string()),
    })
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

/// Draws, saves, and hears signals.
struct Follow {
    saved: Saved,
    bar: ProgressBar,
    interrupt: Interrupt,
    #[cfg(unix)]
    notes: Option<Notes>,
}

impl Watch for Follow {
    fn progress(&self, progress: Progress) {
        self.bar.set_position(progress.done);
        if progress.findings > 0 {
            self.bar.set_message(format!("{} differ", progress.findings));
        }
    }

    fn ended(&self) -> bool {
        self.interrupt.came()
    }

    #[cfg(unix)]
    fn tries(&self, thread: usize, number: u64) {
        if let Some(notes) = &self.notes {
            notes.tries(thread, number);
        }
    }

    fn found(&self, finding: &Finding) {
        let text = self.saved.keep(finding);
        self.bar.suspend(|| note(text));
    }

    fn reduced(&self, finding: &Finding) {
        if finding.reduced.is_some() {
            self.saved.keep(finding);
        }
    }
}
