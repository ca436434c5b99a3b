//! A small reference evaluator, written from RFC 9669 alone: what every engine is held against.
//!
//! - [`Semantics`]: the rules of single operations, as mathematics;
//! - `step`: a decoder of its own, from bytes;
//! - `machine`: registers, regions, calls.

mod machine;
mod semantics;
mod step;

pub(crate) use machine::{Text, World, run};

pub use machine::Fault;
pub use semantics::{Arithmetic, Condition, Modify, Order, Rfc9669, Semantics};
