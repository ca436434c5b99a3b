//! Inputs of `diff`, one after another, in a process that one of them may kill.
//!
//! Programs have places, in order, so that another process can go on behind the one that killed the last.

use std::path::Path;

use backstop::Object;
use backstop_differ::Case;

use super::DiffArgs;
use super::inputs::Line;
#[cfg(unix)]
use super::isolated::Notes;
use crate::failure::{Failure, Outcome, Result};
use crate::files;
use crate::output::{Out, note};
use crate::session::need_program;

/// First bytes of an ELF file.
const ELF: [u8; 4] = *b"\x7fELF";

/// What an input holds.
pub enum Held {
    /// An object made by clang.
    Object(Vec<u8>),
    /// A program that `diff` saved.
    Case(Box<Case>),
}

/// Reads an input.
pub fn read(path: &Path) -> Result<Held> {
    files::check_regular(path)?;
    let bytes = files::input(path)?;
    if bytes.starts_with(&ELF) {
        return Ok(Held::Object(bytes));
    }
    let wrong = |what: &dyn std::fmt::Display| Failure::Input(format!("{}: {what}", path.display()));
    let text = String::from_utf8(bytes).map_err(|_| wrong(&"it is neither an object nor a case"))?;
    text.parse().map(|case| Held::Case(Box::new(case))).map_err(|error| wrong(&error))
}

/// Names of the programs of an object, in order.
pub fn names(object: &Object) -> Vec<String> {
    object.programs().into_iter().map(|program| program.name).collect()
}

/// Those programs of an object that are asked for, each with its number in it.
pub fn wanted(args: &DiffArgs, path: &Path, object: &Object) -> Result<impl Iterator<Item = (usize, String)>> {
    if let Some(name) = &args.program {
        need_program(object, path, name)?;
    }
    let all = names(object).into_iter().enumerate();
    Ok(all.filter(|(_, name)| args.program.as_ref().is_none_or(|wanted| wanted == name)))
}

/// Where a program stands among the inputs.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Place {
    /// Number of the input.
    pub input: usize,
    /// Number of the program in it; 0 for that of a case.
    pub program: usize,
}

impl Place {
    /// As one number, in the same order.
    pub fn number(self) -> u64 {
        (self.input as u64) << 32 | self.program as u64
    }

    /// The place of this number.
    #[cfg(unix)]
    pub fn of(number: u64) -> Place {
        let input = usize::try_from(number >> 32).unwrap_or(usize::MAX);
        Place { input, program: (number & u64::from(u32::MAX)) as usize }
    }

    /// The path of its input.
    #[cfg(unix)]
    pub fn path(self, args: &DiffArgs) -> &Path {
        args.inputs.get(self.input).map_or(Path::new(""), std::path::PathBuf::as_path)
    }
}

/// Which programs are tried, and who is told before each.
pub struct Walk {
    behind: Option<u64>,
    #[cfg(unix)]
    notes: Option<Notes>,
}

impl Walk {
    /// What `end` does ends the process, or the walk: it is done when a parent asks for an end or is gone.
    pub fn new(args: &DiffArgs, end: impl FnOnce() + Send + 'static) -> Result<Walk> {
        #[cfg(not(unix))]
        drop(end);
        Ok(Walk {
            behind: args.behind,
            #[cfg(unix)]
            notes: args.journal.as_ref().map(|path| Notes::open(path, end)).transpose()?,
        })
    }

    /// Whether a program is to be tried: an earlier process did not come to it.
    pub fn wants(&self, place: Place) -> bool {
        self.behind.is_none_or(|behind| place.number() > behind)
    }

    /// A program is about to be tried, or the part of it that these numbers name.
    pub fn tries(&self, place: Place, part: &[u64]) {
        #[cfg(unix)]
        if let Some(notes) = &self.notes {
            notes.tries_part(&[&[place.number()], part].concat());
        }
        #[cfg(not(unix))]
        let _ = (place, part);
    }

    /// Does something with each input that an earlier process did not deal with, but for programs that may be left of it. Every input is
    /// reported before a failure is.
    pub fn each(
        &self,
        args: &DiffArgs,
        out: &mut Out,
        one: &mut dyn FnMut(usize, &Path, &mut Out) -> Result,
    ) -> Result {
        let mut outcome = Outcome::Done;
        let is_behind = |input: usize| self.behind.is_some_and(|behind| (input as u64) < behind >> 32);
        for (n, path) in args.inputs.iter().enumerate().filter(|(n, _)| !is_behind(*n)) {
            match one(n, path, out) {
                Ok(one) => outcome = outcome.and(one),
                Err(Failure::Input(text)) => {
                    if args.json {
                        out.json(&Line::error(path, args.program.as_deref(), &text))?;
                    }
                    note(format_args!("error: {text}"));
                    outcome = Outcome::Refused;
                }
                Err(other) => return Err(other),
            }
        }
        Ok(outcome)
    }
}
