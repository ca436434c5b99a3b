//! How a command ends other than well.

use std::io;
use std::path::{Path, PathBuf};

use backstop::RunError;

/// How a command that went through its inputs ended.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub enum Outcome {
    /// All done.
    #[default]
    Done,
    /// Something was refused or differed; it was reported.
    Refused,
    /// A defect of backstop showed; it was reported.
    Defect,
}

impl Outcome {
    /// The worse of the two.
    pub fn and(self, other: Outcome) -> Outcome {
        self.max(other)
    }

    /// Of a run that ended in an error.
    pub fn of_error(error: &RunError) -> Outcome {
        if error.is_defect() { Outcome::Defect } else { Outcome::Refused }
    }

    /// Refused unless `good`.
    pub fn of(good: bool) -> Outcome {
        if good { Outcome::Done } else { Outcome::Refused }
    }
}

/// Why a command could not go on.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The command line asks for what can't be.
    #[error("{0}")]
    Usage(String),
    /// An input is wrong or missing; the text names it and the remedy.
    #[error("{0}")]
    Input(String),
    /// A program was refused; the text says so in full.
    #[error("{0}")]
    Refused(String),
    /// A defect of backstop; the text says what was met.
    #[error("{0}")]
    Defect(String),
    /// An output can't be written.
    #[error("{}: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// A child of this command failed with this exit code, and has said why.
    #[error("a child process ended with {0}")]
    Said(u8),
    /// Nobody reads our output any more: no error, but the end.
    #[error("the reader of the output is gone")]
    ReaderGone,
}

impl Failure {
    /// An input is wrong or missing.
    pub fn input(text: impl std::fmt::Display) -> Failure {
        Failure::Input(text.to_string())
    }

    /// A file can't be read.
    pub fn read(path: &Path, source: &io::Error) -> Failure {
        Failure::Input(format!("{}: {source}", path.display()))
    }
}

/// What commands return.
pub type Result<T = Outcome> = std::result::Result<T, Failure>;

#[cfg(test)]
mod tests {
    use super::Outcome;

    #[test]
    fn the_worst_decides() {
        assert_eq!(Outcome::Done.and(Outcome::Refused), Outcome::Refused);
        assert_eq!(Outcome::Defect.and(Outcome::Refused), Outcome::Defect);
        assert_eq!(Outcome::Refused.and(Outcome::Done), Outcome::Refused);
    }
}
