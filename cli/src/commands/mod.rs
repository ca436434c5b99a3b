//! One file for each command that does not run an object.

pub mod conformance;
pub mod conformance_plugin;
pub mod diff;
pub mod disasm;
pub mod helpers;
pub mod inspect;
pub mod jit_dump;
pub mod verify;
