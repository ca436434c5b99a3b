//! What a proof said of its checkpoints, kept for later.

use std::collections::HashMap;
use std::sync::Arc;

use backstop_model::Program;

use crate::env::Verifier;
use crate::options::Options;
use crate::state::{RegState, Slot, State};

/// What one function is to a run.
#[derive(Clone, Copy, Debug)]
pub(super) struct Function {
    pub start: u32,
    pub global: bool,
}

/// The states of a proof by instruction, each without what is dead in it and with the marks of what is precise.
///
/// Every visit of a checkpoint is here: by its own state, or, where the walk was pruned, by the state that covers it. So a run that
/// comes to a checkpoint must be inside one of the states there.
#[derive(Debug)]
pub struct Claims {
    pub(super) program: Arc<Program>,
    pub(super) options: Options,
    pub(super) functions: Vec<Function>,
    pub(super) states: HashMap<u32, Vec<State>>,
    /// Ids up to this one are used.
    pub(super) ids: u32,
    /// By slot: every visit was kept.
    checkpoints: Vec<bool>,
}

impl Claims {
    pub(crate) fn new(verifier: &mut Verifier<'_>, program: Arc<Program>) -> Claims {
        let mut states: HashMap<u32, Vec<State>> = HashMap::new();
        for mut state in std::mem::take(&mut verifier.claimed) {
            state.parent = None;
            states.entry(state.insn).or_default().push(state);
        }
        let functions = verifier.subs.iter().map(|s| Function { start: s.start, global: s.global }).collect();
        let checkpoints = verifier.aux.iter().map(|aux| aux.prune_point).collect();
        let options = Options { log_level: 0, keep_states: false, ..verifier.options.clone() };
        Claims { program, options, functions, states, ids: verifier.ids, checkpoints }
    }

    /// How many states are claimed, in all.
    pub fn len(&self) -> usize {
        self.states.values().map(Vec::len).sum()
    }

    /// The proof claims nothing.
    pub fn is_empty(&self) -> bool {
        self.states.is_empty()
    }

    /// Slots of the program.
    pub fn slots(&self) -> u32 {
        self.checkpoints.len() as u32
    }

    /// States claimed before the instruction at a slot.
    pub fn count_at(&self, slot: u32) -> usize {
        self.at(slot).len()
    }

    /// Runs that come before this instruction must be inside one of its states.
    pub fn is_checkpoint(&self, slot: u32) -> bool {
        self.checkpoints.get(slot as usize).copied().unwrap_or_default()
    }

    pub(super) fn at(&self, slot: u32) -> &[State] {
        self.states.get(&slot).map_or(&[], Vec::as_slice)
    }

    /// All scalars of a state count, not only those that are marked.
    pub(super) fn all_count(&self) -> bool {
        self.options.unprivileged
    }

    /// Index of the function that starts at a slot.
    pub(super) fn function_at(&self, slot: u32) -> Option<Function> {
        self.functions.binary_search_by_key(&slot, |f| f.start).ok().map(|i| self.functions[i])
    }
}

/// The state with any number in the place of each scalar that is not precise: all that it stands for.
pub(super) fn opened(state: &State) -> State {
    let mut out = state.clone();
    for n in 0..out.frames.len() {
        let marks = state.marks_of(n);
        let loose = |claimed: bool, r: &RegState| r.is_scalar() && !claimed && *r != RegState::UNKNOWN;
        let frame = out.frame_at_mut(n);
        for (i, r) in frame.regs.iter_mut().enumerate() {
            if loose(marks.reg(i), r) {
                *r = RegState::UNKNOWN;
            }
        }
        for i in 0..frame.stack.len() {
            let is = |s: &Slot| s.is_spilled_scalar() && loose(marks.slot(i), s.spilled());
            if frame.slot(i).is_some_and(is)
                && let Some(r) = frame.slot_mut(i).spilled_mut()
            {
                *r = RegState::UNKNOWN;
            }
        }
    }
    out.marks = Box::default();
    out
}
