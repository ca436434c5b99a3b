//! What must hold for any input, as functions of bytes: the common ground of the fuzz targets and the random tests.
//!
//! Each oracle takes bytes, makes of them what it is about (a program, an object, a sequence of calls), and panics if something does not
//! hold that must. It never panics for another reason; what it can't use it passes over, and says so by its [`Outcome`].
#![forbid(unsafe_code)]

mod codec;
mod embedding;
mod host_api;
mod objects;
mod opening;
mod running;
mod throwing;
mod unproven;
mod verifying;

pub use backstop_differ::{Generated, Source, Stream};
pub use codec::codec;
pub use embedding::embedding;
pub use host_api::host_api;
pub use objects::{COMMITTED, edit_script};
pub use opening::{btf, open_object};
pub use running::{elf_run, engines};
pub use throwing::throw_unwind;
pub use unproven::unproven;
pub use verifying::verify;

/// How far an oracle came with an input.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Outcome {
    /// It was of no use.
    Unusable,
    /// It was refused, as may be.
    Refused,
    /// It was taken, and what was to hold held.
    Held,
}

/// An oracle.
pub type Oracle = fn(&[u8]) -> Outcome;

/// All oracles by the names of their fuzz targets.
pub const ALL: [(&str, Oracle); 10] = [
    ("btf", btf),
    ("codec", codec),
    ("elf_run", elf_run),
    ("embedding", embedding),
    ("engines", engines),
    ("host_api", host_api),
    ("open_object", open_object),
    ("throw_unwind", throw_unwind),
    ("unproven", unproven),
    ("verify", verify),
];

/// The program that an oracle makes of these bytes, for reports. `None` if it makes none.
pub fn explain(target: &str, data: &[u8]) -> Option<Generated> {
    match target {
        "engines" | "embedding" => running::made(data),
        "throw_unwind" => Some(throwing::made(data)),
        "verify" => verifying::made(data),
        _ => None,
    }
}
