//! State embedding: a run of a proved program must, at every instruction, be inside what the proof said of it.
//!
//! With [`crate::Options::keep_states`] a proof hands out its checkpoints as [`Claims`]. An engine that watches itself shows each
//! step of a run as a [`Concrete`] view; [`Claims::check`] holds it against the checkpoint that it stands at, and a [`Follower`] against
//! each instruction in between as well. A [`Violation`] is a defect of the verifier (or of that engine).
//!
//! What a state says to be held (references, locks, RCU, preempt-off and irq-off sections) is not held against the run: a run shows registers and
//! memory, and what is held has no trace there that an id could be matched with. A release that is missing or doubled is a refusal of the
//! state's own transfer only.
//!
//! Life cycle: claims are made when a proof succeeds and never change; a follower is of one run of one program. A tail call
//! leaves the program, so that the next one's follower begins.

mod claims;
mod concrete;
mod follow;
mod inside;
mod violation;

pub use claims::Claims;
pub use concrete::{Concrete, PacketBounds, Place, PlaceKind};
pub use follow::Follower;
pub use violation::{Violation, ViolationKind};

#[cfg(test)]
mod tests;
