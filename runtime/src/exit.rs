//! How a run ends.

use std::fmt;

use crate::record::{Walk, WalkedFrame};

/// A run that ended by the program's own doing.
#[derive(Clone, Copy, Debug)]
pub enum Exit {
    /// The main function returned.
    Returned(u64),
    /// The program threw, and its outermost boundary caught it.
    Thrown {
        /// What was thrown.
        cookie: u64,
        /// What the exception callback returned: the run's result.
        value: u64,
        /// The frames that were live at the throw.
        backtrace: Backtrace,
    },
}

impl Exit {
    /// The run's result: what main, or for a throw the exception callback, returned.
    pub fn value(&self) -> u64 {
        match *self {
            Exit::Returned(value) | Exit::Thrown { value, .. } => value,
        }
    }

    /// What was thrown, if the program threw.
    pub fn cookie(&self) -> Option<u64> {
        match *self {
            Exit::Returned(_) => None,
            Exit::Thrown { cookie, .. } => Some(cookie),
        }
    }
}

/// The frames that were live at a throw, innermost first. Cheap: names and lines are looked up by [`crate::Program::backtrace`] only
/// when asked for.
#[derive(Clone, Copy)]
pub struct Backtrace {
    pub(crate) walk: Walk,
}

impl Backtrace {
    /// How many frames.
    pub fn len(&self) -> usize {
        self.walk.depth as usize
    }

    /// Whether there are no frames.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(crate) fn frames(&self) -> impl Iterator<Item = WalkedFrame> + '_ {
        let code = self.walk.code;
        self.walk.places.iter().take(self.len()).map(move |&place| WalkedFrame { code, place })
    }
}

impl fmt::Debug for Backtrace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Backtrace({} frames)", self.len())
    }
}

/// One frame of a backtrace, in the author's terms.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// The program that the function belongs to.
    pub program: String,
    /// The function.
    pub function: String,
    /// The instruction (slot) that called, or threw.
    pub slot: Option<u32>,
    /// Source file, if the object has line information.
    pub file: Option<String>,
    /// Line number, from 1.
    pub line: Option<u32>,
    /// The line's text.
    pub text: Option<String>,
}

impl fmt::Display for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.function)?;
        if let Some(slot) = self.slot {
            write!(f, " [{slot}]")?;
        }
        if let (Some(file), Some(line)) = (&self.file, self.line) {
            write!(f, " at {file}:{line}")?;
        }
        match &self.text {
            Some(text) => write!(f, ": {}", text.trim()),
            None => Ok(()),
        }
    }
}
