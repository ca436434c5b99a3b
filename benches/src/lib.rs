//! What the benches share: the clock, and the guest programs that they run.
//!
//! All times are CPU time of the thread that runs the program, so that a neighbour on the machine costs accuracy through
//! caches and clock rates only.

mod clock;
mod guest;

pub use clock::{ThreadClock, ThreadTime};
pub use guest::{Call, FIGURES, FIREWALL, Guest, GuestError, file};
