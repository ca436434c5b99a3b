//! What a scalar register may hold.
//!
//! A [`Scalar`] is the product of five domains: a tristate number and the unsigned and signed ranges of all 64 bits and of
//! the low 32. Every operation here is *sound*: if concrete operands lie in the abstract ones, the concrete result lies
//! in the abstract result. With [`Precision::Linux`] every operation also gives the very bounds that Linux 6.18 gives, no
//! tighter and no looser, since programs are written against those; [`Precision::Sharper`] is never looser.
//!
//! Nothing here knows of registers, pointers or identity: linked scalars, precision marks and liveness are the business
//! of the states that hold these values.

pub mod alu;
pub mod concrete;
mod display;
pub mod extend;
mod range;
pub mod refine;
mod scalar;
mod sharper;
mod sync;
mod tnum;

pub use alu::{alu, byte_order, mov32, movsx, neg, sign_fork};
pub use display::SignedNumber;
pub use extend::{sign_extend_load, zero_extend_load};
pub use refine::{Branches, always, always_same, refine, refine_same};
pub use scalar::Scalar;
pub use tnum::Tnum;

/// How sharp the transfer functions are.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Precision {
    /// Exactly as Linux 6.18, so that verdicts agree.
    Linux,
    /// At least as tight as Linux everywhere, tighter for divisions, shifts by ranges, sign extensions and dead branches.
    #[default]
    Sharper,
}
