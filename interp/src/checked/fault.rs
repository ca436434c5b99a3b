//! What a checked run stumbled over.

use std::fmt;

use super::{Direction, Kind};

/// An instruction that broke a rule.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Fault {
    /// [`Bindings::code_id`](crate::Bindings::code_id) of the code.
    pub code_id: u64,
    /// Slot of the instruction; `None` in hidden code, or before the first one.
    pub slot: Option<u32>,
    /// Address, size in bytes and direction of the access, if it is about one.
    pub access: Option<(u64, u64, Direction)>,
    /// The region that is nearest to the access.
    pub nearest: Option<Nearest>,
    /// Which rule.
    pub reason: Reason,
}

/// A rule that was broken.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Reason {
    /// No region holds all of the bytes.
    #[error("no region holds all of these bytes")]
    Outside,
    /// The region may be read only.
    #[error("the region can only be read")]
    ReadOnly,
    /// The region may be written only.
    #[error("the region can only be written")]
    WriteOnly,
    /// Part of the context that the program's type does not let it access so.
    #[error("byte {0} of the context can't be accessed so by this type of program")]
    Field(u64),
    /// Stack that was never written: offset from the frame's r10 of the first such byte.
    #[error("byte r10{0} of the stack was never written")]
    UnwrittenStack(i64),
    /// A register that was never written, by number.
    #[error("r{0} was never written")]
    UnwrittenRegister(u8),
    /// An argument of a helper or kfunc (1 to 5) that is not what it takes.
    #[error("argument {0}: {1}")]
    Argument(u8, &'static str),
    /// Another rule, in words.
    #[error("{0}")]
    Rule(&'static str),
}

/// A region near an access.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Nearest {
    /// What it is; `None` for a frame's stack.
    pub kind: Option<Kind>,
    /// Its first byte.
    pub start: u64,
    /// Bytes.
    pub len: u64,
}

impl Nearest {
    /// Bytes between the region and an access; 0 if they touch or overlap.
    pub(super) fn gap(&self, at: u64, size: u64) -> u64 {
        let before = self.start.saturating_sub(at.saturating_add(size));
        before.max(at.saturating_sub(self.start.saturating_add(self.len)))
    }
}

/// `instruction 3: read of 8 bytes at 0x7f..: no region holds all of these bytes; the nearest is ...`
impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.slot {
            Some(slot) => write!(f, "instruction {slot}: ")?,
            None => write!(f, "hidden code: ")?,
        }
        if let Some((at, size, direction)) = self.access {
            let what = if direction == Direction::Read { "read" } else { "write" };
            write!(f, "{what} of {size} byte{} at {at:#x}: ", if size == 1 { "" } else { "s" })?;
        }
        write!(f, "{}", self.reason)?;
        let (Some((at, _, _)), Some(nearest)) = (self.access, self.nearest) else { return Ok(()) };
        let name = nearest.kind.map_or("the stack", Kind::name);
        let offset = i128::from(at) - i128::from(nearest.start);
        write!(f, "; the nearest region is {name} of {} bytes, in which this is offset {offset}", nearest.len)
    }
}
