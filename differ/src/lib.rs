//! Program generators, and a comparison of everything that can be seen of programs on all engines and on the running kernel.
//!
//! - [`generate`]: structured random programs that the verifier mostly accepts, and changes to programs;
//! - [`Columns`]: who runs them: every engine of this build; on Linux, where it permits that, [`linux`] too;
//! - [`Tried`], [`Difference`]: what came of one program;
//! - [`Coverage`]: how many of the programs have which operation, helper, map kind, depth;
//! - [`reduce()`]: the smallest program that still differs; [`Case`]: programs as text that can be kept and tried again;
//! - [`Session`]: very many programs, on all processors;
//! - [`Trail`]: runs held against what the proofs of their programs said;
//! - [`Apart`]: programs that may kill the process that runs them;
//! - [`Mutator`]: changed forms of real programs.
//!
//! ```
//! use backstop_differ::{Session, Settings};
//!
//! let report = Session::new(Settings { seed: 1, count: 50, threads: 1, ..Settings::default() })?.run(&());
//! assert!(report.findings.is_empty());
//! # Ok::<(), backstop_differ::SessionError>(())
//! ```
#![forbid(unsafe_code)]

#[cfg(unix)]
mod apart;
mod case;
mod column;
mod coverage;
pub mod generate;
#[cfg(target_os = "linux")]
pub mod linux;
mod mutate;
mod object;
mod observe;
mod reduce;
mod session;
mod source;
mod trail;
mod trial;

#[cfg(unix)]
pub use apart::{Apart, Journal, NAMED_BY, by_itself, killed, serve};
pub use case::{Case, CaseError};
pub use column::{Column, Columns, Rules};
pub use coverage::{Coverage, Judgement, Row, Sort, Subject};
pub use generate::{Generated, Shape};
pub use mutate::Mutator;
pub use object::input_len;
pub use observe::{Content, End, Observed, Seen, end, seen};
pub use reduce::{Reduced, instructions, reduce};
pub use session::{Finding, Progress, Report, Session, SessionError, Settings, Watch};
pub use source::{Source, Stream};
pub use trail::{Claimed, Trail};
pub use trial::{Compare, Difference, Ran, Tried, What};
