//! An exerciser of the eBPF instruction set.
//!
//! From the ISA table it makes programs that put every instruction, in every shape of its operands and on values at which behaviour
//! changes, through Backstop's engines (by way of the verifier, as any program) and through a small reference evaluator that was written
//! from RFC 9669 alone; with [`Exerciser::linux`] also through the running kernel.
//!
//! ```
//! use backstop_conformance::Exerciser;
//!
//! let report = Exerciser { every: 10, ..Exerciser::default() }.run()?;
//! assert!(report.is_clean(), "{report}");
//! # Ok::<(), backstop_conformance::ExerciserError>(())
//! ```
//!
//! - [`mod@reference`]: the rules and the machine that everything is held against;
//! - `shapes`: what is tried of each row of the table; `block`: how a case gets operands and how all that it changes is seen;
//! - `subject`: who is put to the test; [`Exerciser`] and [`Report`]: the run and what came out.
#![forbid(unsafe_code)]

mod block;
mod code;
mod exerciser;
pub mod reference;
mod report;
mod shapes;
mod subject;
mod trial;
mod types;
mod values;

pub use exerciser::{Exerciser, ExerciserError};
pub use report::{GroupCount, Report, Wrong};
pub use shapes::NOT_EXERCISED;
