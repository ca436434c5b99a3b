//! A run outside of what was proved: a defect of the verifier (or of the engine that ran).

use std::fmt;

/// Where a run was met that no claim of the proof holds of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Slot of the instruction that the run stood before.
    pub slot: u32,
    /// What was looked for.
    pub kind: ViolationKind,
    /// Why each of the states that might have held it does not: the claim and the value that it meets.
    pub misses: Vec<String>,
    /// Slots of the instructions that led there, oldest first; the last few.
    pub path: Vec<u32>,
}

/// What a run violates.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ViolationKind {
    /// It is at a checkpoint, inside none of the states kept there.
    Checkpoint,
    /// It was inside a state, and went where that state does not lead.
    Step,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.kind {
            ViolationKind::Checkpoint => "is inside none of the states kept there",
            ViolationKind::Step => "is not where the instruction before leads from the state that held it",
        };
        write!(f, "the run before instruction {} {what}", self.slot)?;
        for miss in &self.misses {
            write!(f, "\n  {miss}")?;
        }
        if self.misses.is_empty() {
            write!(f, "\n  the proof never came there by these calls")?;
        }
        write!(f, "\n  path: {:?}", self.path)
    }
}

impl std::error::Error for Violation {}
