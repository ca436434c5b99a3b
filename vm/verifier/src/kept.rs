//! States kept for pruning, and the loops that are being walked.
//!
//! Life cycle: a state is kept at a prune point and listed under it; paths that go on from it, or wait in the work list,
//! count as its branches. One that proves useless is taken off the list; its memory goes when its last branch ends.

use std::collections::HashMap;

use crate::state::State;

/// A kept state.
#[derive(Debug)]
pub(crate) struct KeptState {
    pub state: State,
    /// Paths from here that are not walked to their end.
    pub branches: u32,
    pub hits: u32,
    pub misses: u32,
    /// Off the list.
    pub dropped: bool,
    /// Dead registers and slots were forgotten.
    pub cleaned: bool,
}

/// A path that ended in a state still being walked: it needs the precision that state will turn out to need.
#[derive(Debug)]
pub(crate) struct Backedge {
    pub state: State,
    pub equal: u32,
}

/// One visit of a loop: its component in the innermost frame that is in one, and the calls that led there.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) struct LoopKey {
    pub callsites: Vec<u32>,
    pub scc: u32,
}

#[derive(Debug, Default)]
pub(crate) struct Visit {
    /// The first state kept in the loop on this visit.
    pub entry: Option<u32>,
    pub backedges: Vec<Backedge>,
}

/// All kept states of one walk.
#[derive(Debug, Default)]
pub(crate) struct Kept {
    states: Vec<Option<Box<KeptState>>>,
    lists: Vec<Vec<u32>>,
    pub loops: HashMap<LoopKey, Visit>,
    pub count: u64,
}

impl Kept {
    pub fn new(slots: usize) -> Kept {
        Kept { lists: vec![Vec::new(); slots.max(1)], ..Kept::default() }
    }

    pub fn get(&self, id: u32) -> Option<&KeptState> {
        self.states.get(id as usize).and_then(|s| s.as_deref())
    }

    pub fn get_mut(&mut self, id: u32) -> Option<&mut KeptState> {
        self.states.get_mut(id as usize).and_then(|s| s.as_deref_mut())
    }

    fn bucket(&self, insn: u32, callsite: u32) -> usize {
        (insn ^ callsite) as usize % self.lists.len().max(1)
    }

    /// States kept for an instruction and call site (and a few others), newest first.
    pub fn list(&self, insn: u32, callsite: u32) -> Vec<u32> {
        self.lists.get(self.bucket(insn, callsite)).map_or_else(Vec::new, |l| l.iter().rev().copied().collect())
    }

    /// Keeps a state; one path goes on from it.
    pub fn add(&mut self, state: State, callsite: u32) -> u32 {
        let id = self.states.len() as u32;
        let bucket = self.bucket(state.insn, callsite);
        self.states.push(Some(Box::new(KeptState {
            state,
            branches: 1,
            hits: 0,
            misses: 0,
            dropped: false,
            cleaned: false,
        })));
        if let Some(list) = self.lists.get_mut(bucket) {
            list.push(id);
        }
        self.count += 1;
        id
    }

    /// Takes a state off its list.
    pub fn drop_from_list(&mut self, id: u32, insn: u32, callsite: u32) {
        let bucket = self.bucket(insn, callsite);
        if let Some(list) = self.lists.get_mut(bucket) {
            list.retain(|s| *s != id);
        }
        if let Some(s) = self.get_mut(id) {
            s.dropped = true;
        }
        self.free_if_unused(id);
    }

    pub fn add_branch(&mut self, id: u32) {
        if let Some(s) = self.get_mut(id) {
            s.branches += 1;
        }
    }

    /// One path from this state has ended; true if it was the last.
    pub fn end_branch(&mut self, id: u32) -> bool {
        self.get_mut(id).is_some_and(|s| {
            s.branches = s.branches.saturating_sub(1);
            s.branches == 0
        })
    }

    /// Frees a state that is off the list, walked to the end, and in no loop that is still being walked.
    pub fn free_if_unused(&mut self, id: u32) {
        let unused = self.get(id).is_some_and(|s| s.dropped && s.branches == 0);
        if unused && self.loops.values().all(|v| v.backedges.is_empty()) {
            if let Some(place) = self.states.get_mut(id as usize) {
                *place = None;
            }
            self.count = self.count.saturating_sub(1);
        }
    }
}
