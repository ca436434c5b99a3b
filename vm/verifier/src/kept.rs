//! States kept for pruning, and the loops that are being walked.
//!
//! Life cycle: a state is kept at a prune point and listed under it; paths that go on from it, or wait in the work list,
//! count as its branches. One that proves useless is taken off the list; its memory goes when its last branch ends.
//!
//! Nothing here may cost more than in proportion to what the walk does: programs are written to find what does.

use foldhash::HashMap;

use crate::precision::Span;
use crate::state::{HistEntry, State};

/// A kept state.
#[derive(Debug)]
pub(crate) struct KeptState {
    pub state: State,
    /// Paths from here that are not walked to their end.
    pub branches: u32,
    pub hits: u32,
    pub misses: u32,
    /// Never was on the list, and counts nowhere.
    pub aside: bool,
    /// Off the list.
    pub dropped: bool,
    /// Dead registers and slots were forgotten.
    pub cleaned: bool,
    /// All scalars of it and of the states before it are precise. Marks are never taken back, so that stays.
    pub all_precise: bool,
    /// Counts the marks that were added.
    pub marks: u32,
    /// The visit of a loop that it belongs to, 0 if none.
    pub visit: VisitId,
    /// Bytes that it holds and the state before it does not.
    pub bytes: u64,
}

impl KeptState {
    fn new(state: State, visit: VisitId, bytes: u64) -> KeptState {
        KeptState {
            state,
            branches: 1,
            hits: 0,
            misses: 0,
            aside: false,
            dropped: false,
            cleaned: false,
            all_precise: false,
            marks: 0,
            visit,
            bytes,
        }
    }
}

/// Number of a [`Visit`].
pub(crate) type VisitId = u32;

/// A path that ended in a state still being walked: it needs the precision that state will turn out to need.
#[derive(Debug)]
pub(crate) struct Backedge {
    pub span: Span,
    pub history: Vec<HistEntry>,
    pub equal: u32,
    /// Marks of `equal` that were carried over already.
    pub marks: Option<u32>,
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
    /// States that go when the loop is complete: until then, back edges may lead through them.
    pub unused: Vec<u32>,
}

/// All kept states of one walk.
#[derive(Debug, Default)]
pub(crate) struct Kept {
    states: Vec<Option<Box<KeptState>>>,
    /// By bucket and instruction. Linux's buckets hold several instructions' states; only those of one are looked at.
    lists: HashMap<(u32, u32), Vec<u32>>,
    buckets: u32,
    visit_ids: HashMap<LoopKey, VisitId>,
    /// The first, which is nobody's, stands for "in no loop".
    visits: Vec<Visit>,
    keeps_all: bool,
    pub count: u64,
    /// Bytes of all that are kept, by [`KeptState::bytes`].
    pub bytes: u64,
}

impl Kept {
    pub fn new(slots: usize) -> Kept {
        Kept {
            buckets: u32::try_from(slots).unwrap_or(u32::MAX).max(1),
            visits: vec![Visit::default()],
            ..Kept::default()
        }
    }

    /// The number of a loop's visit, made if there was none yet.
    pub fn visit_id(&mut self, key: Option<LoopKey>) -> VisitId {
        let Some(key) = key else { return 0 };
        let next = self.visits.len() as VisitId;
        let id = *self.visit_ids.entry(key).or_insert(next);
        if id == next {
            self.visits.push(Visit::default());
        }
        id
    }

    /// The loop is still being walked and a path has come round in it.
    pub fn in_open_loop(&self, visit: VisitId) -> bool {
        self.visits.get(visit as usize).is_some_and(|v| !v.backedges.is_empty())
    }

    /// The first state kept in a loop is its entry.
    pub fn enter_loop(&mut self, visit: VisitId, id: u32) {
        if visit != 0
            && let Some(v) = self.visits.get_mut(visit as usize)
        {
            v.entry.get_or_insert(id);
        }
    }

    pub fn add_backedge(&mut self, visit: VisitId, edge: Backedge) {
        if visit != 0
            && let Some(v) = self.visits.get_mut(visit as usize)
        {
            v.backedges.push(edge);
        }
    }

    /// The back edges of a loop if `id` was its entry.
    pub fn take_backedges(&mut self, visit: VisitId, id: u32) -> Option<Vec<Backedge>> {
        let visit = self.visits.get_mut(visit as usize).filter(|v| v.entry == Some(id))?;
        visit.entry = None;
        Some(std::mem::take(&mut visit.backedges))
    }

    /// A loop is complete: what nobody needs any more of its states goes.
    pub fn leave_loop(&mut self, visit: VisitId) {
        let waiting = self.visits.get_mut(visit as usize).map(|v| std::mem::take(&mut v.unused));
        for id in waiting.into_iter().flatten() {
            self.free_if_unused(id);
        }
    }

    pub fn get(&self, id: u32) -> Option<&KeptState> {
        self.states.get(id as usize).and_then(|s| s.as_deref())
    }

    pub fn get_mut(&mut self, id: u32) -> Option<&mut KeptState> {
        self.states.get_mut(id as usize).and_then(|s| s.as_deref_mut())
    }

    fn bucket(&self, insn: u32, callsite: u32) -> (u32, u32) {
        ((insn ^ callsite) % self.buckets.max(1), insn)
    }

    /// States kept for an instruction and call site (and a few other call sites), oldest first.
    pub fn list(&self, insn: u32, callsite: u32) -> &[u32] {
        self.lists.get(&self.bucket(insn, callsite)).map_or(&[], Vec::as_slice)
    }

    /// Nothing is freed, so that all can be handed out at the end.
    pub fn keep_all(&mut self) {
        self.keeps_all = true;
    }

    pub fn len(&self) -> u32 {
        self.states.len() as u32
    }

    pub fn take(&mut self) -> Vec<State> {
        std::mem::take(&mut self.states).into_iter().flatten().map(|k| k.state).collect()
    }

    /// Keeps a state that no path is compared with; one goes on from it.
    pub fn add_aside(&mut self, state: State, visit: VisitId) -> u32 {
        let id = self.states.len() as u32;
        self.states.push(Some(Box::new(KeptState { aside: true, dropped: true, ..KeptState::new(state, visit, 0) })));
        id
    }

    /// Keeps a state; one path goes on from it.
    pub fn add(&mut self, state: State, callsite: u32, visit: VisitId) -> u32 {
        let id = self.states.len() as u32;
        let bucket = self.bucket(state.insn, callsite);
        let bytes = state.bytes(state.parent.and_then(|p| self.get(p)).map(|p| &p.state));
        self.bytes += bytes;
        self.states.push(Some(Box::new(KeptState::new(state, visit, bytes))));
        self.lists.entry(bucket).or_default().push(id);
        self.count += 1;
        id
    }

    /// Takes a state off its list.
    pub fn drop_from_list(&mut self, id: u32, insn: u32, callsite: u32) {
        let bucket = self.bucket(insn, callsite);
        if let Some(list) = self.lists.get_mut(&bucket) {
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
        let Some(kept) = self.get(id).filter(|s| s.dropped && s.branches == 0) else { return };
        if self.keeps_all {
            return;
        }
        let (visit, bytes) = (kept.visit, kept.bytes);
        if self.in_open_loop(visit) {
            if let Some(v) = self.visits.get_mut(visit as usize) {
                v.unused.push(id);
            }
            return;
        }
        if let Some(place) = self.states.get_mut(id as usize) {
            *place = None;
        }
        self.count = self.count.saturating_sub(1);
        self.bytes = self.bytes.saturating_sub(bytes);
    }
}
