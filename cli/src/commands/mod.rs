//! One file for each command that does not run anything.

pub mod disasm;
pub mod inspect;
pub mod jit_dump;
mod names;
pub mod verify;
