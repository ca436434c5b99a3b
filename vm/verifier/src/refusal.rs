//! A refusal: the reason, where it arose, and how the path came there.

use crate::facts::{Stats, counts_line};
use crate::reason::{Category, Reason};

/// One step of the path that led to a refusal.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PathStep {
    /// The instruction.
    pub slot: u32,
    /// What happened there, in words.
    pub what: String,
}

/// Why a program was refused.
#[derive(Clone, PartialEq, Debug)]
pub struct Refusal {
    /// What it is about.
    pub category: Category,
    /// The reason, with its data.
    pub reason: Reason,
    /// The instruction at fault, if the fault is in one.
    pub slot: Option<u32>,
    /// The function that it is in.
    pub subprogram: String,
    /// How the path came there: branches taken, where the value got its range, where a resource was acquired.
    pub path: Vec<PathStep>,
    /// What usually helps.
    pub help: Option<String>,
    /// What the proof did until then.
    pub stats: Stats,
    /// Most states kept for one instruction.
    pub max_states_per_insn: u64,
    /// What each function cost until then.
    pub costs: Vec<crate::cost::SubprogramCost>,
    /// The walk, if a log was asked for.
    pub log: String,
}

impl Refusal {
    /// The end of the kernel's log for the same refusal: the reason's lines and the line of counts.
    pub fn kernel_format(&self) -> String {
        let counts = counts_line(&self.stats, self.max_states_per_insn);
        format!("{}{}\n{counts}", self.log, self.reason.kernel_text())
    }
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.slot {
            Some(slot) => write!(f, "refused at instruction {slot} of {}: {}", self.subprogram, self.reason),
            None => write!(f, "refused: {}", self.reason),
        }
    }
}

impl std::error::Error for Refusal {}
