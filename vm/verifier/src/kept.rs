//! States kept for pruning, and the loops that are being walked.
//!
//! Life cycle: a state is kept at a prune point and listed under it; paths that go on from it, or wait in the work list,
//! count as its branches. One that proves useless is taken off the list, which leaves of it what walks back need; its memory goes
//! when its last branch ends. A state from which all was walked needs no history any more.
//!
//! Nothing here may cost more than in proportion to what the walk does: programs are written to find what does.

use std::sync::Arc;

use foldhash::HashMap;

use crate::precision::Span;
use crate::state::{Checkpoint, Counted, Marks, PackedHistory, Packer, Shared, Slot, State};

/// A kept state.
#[derive(Debug)]
pub(crate) struct KeptState {
    pub state: Checkpoint,
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
}

impl KeptState {
    fn new(state: Checkpoint, visit: VisitId) -> KeptState {
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
        }
    }
}

/// Number of a [`Visit`].
pub(crate) type VisitId = u32;

/// A path that ended in a state still being walked: it needs the precision that state will turn out to need.
#[derive(Debug)]
pub(crate) struct Backedge {
    pub span: Span,
    pub history: PackedHistory,
    pub equal: u32,
    /// Marks of `equal` that were carried over already.
    pub marks: Option<u32>,
}

/// Back edges of one loop. There may be a hundred thousand: a growing vector would hold them twice while it moves them.
pub(crate) type Backedges = Vec<Box<Counted<Backedge>>>;

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
    pub backedges: Backedges,
    /// States that were walked to their end. What they need no more goes when the loop is complete: until then, back edges may lead
    /// through them.
    pub waiting: Vec<u32>,
}

/// All kept states of one walk.
#[derive(Debug, Default)]
pub(crate) struct Kept {
    states: Vec<Option<Box<Counted<KeptState>>>>,
    pub packer: Packer,
    /// By bucket and instruction. Linux's buckets hold several instructions' states; only those of one are looked at.
    lists: HashMap<(u32, u32), Vec<u32>>,
    buckets: u32,
    visit_ids: HashMap<LoopKey, VisitId>,
    /// The first, which is nobody's, stands for "in no loop".
    visits: Vec<Visit>,
    keeps_all: bool,
    /// Back edges of all loops.
    edges: usize,
    pub count: u64,
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
            v.backedges.push(Box::new(Counted::new(edge)));
            self.edges += 1;
        }
    }

    /// The back edges of a loop if `id` was its entry.
    pub fn take_backedges(&mut self, visit: VisitId, id: u32) -> Option<Backedges> {
        let visit = self.visits.get_mut(visit as usize).filter(|v| v.entry == Some(id))?;
        visit.entry = None;
        let edges = std::mem::take(&mut visit.backedges);
        self.edges -= edges.len();
        Some(edges)
    }

    /// A loop is complete: what nobody needs any more of its states goes.
    pub fn leave_loop(&mut self, visit: VisitId) {
        let waiting = self.visits.get_mut(visit as usize).map(|v| std::mem::take(&mut v.waiting));
        for id in waiting.into_iter().flatten() {
            self.settle(id);
        }
    }

    pub fn get(&self, id: u32) -> Option<&KeptState> {
        self.states.get(id as usize).and_then(|s| s.as_deref()).map(|s| &**s)
    }

    pub fn get_mut(&mut self, id: u32) -> Option<&mut KeptState> {
        self.states.get_mut(id as usize).and_then(|s| s.as_deref_mut()).map(|s| &mut **s)
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

    /// All states, unpacked.
    pub fn take(&mut self) -> Vec<State> {
        let mut frames = HashMap::default();
        let states = std::mem::take(&mut self.states);
        let mut frame = |packed: &Shared<_>| {
            let unpack = || Counted::shared(crate::state::PackedFrame::unpack(packed));
            Shared::clone(frames.entry(Arc::as_ptr(packed)).or_insert_with(unpack))
        };
        states.iter().flatten().map(|kept| kept.state.state(&mut frame)).collect()
    }

    fn insert(&mut self, state: &State, insn: u32, visit: VisitId, aside: bool) -> u32 {
        let id = self.states.len() as u32;
        let before = state.parent.and_then(|p| self.states.get(p as usize)).and_then(Option::as_deref);
        let packed = Checkpoint::new(state, insn, before.map(|k| &k.state), &mut self.packer);
        let kept = KeptState { aside, dropped: aside, ..KeptState::new(packed, visit) };
        self.states.push(Some(Box::new(Counted::new(kept))));
        id
    }

    /// Keeps a state that no path is compared with; one goes on from it.
    pub fn add_aside(&mut self, state: &State, insn: u32, visit: VisitId) -> u32 {
        self.insert(state, insn, visit, true)
    }

    /// Keeps a state; one path goes on from it.
    pub fn add(&mut self, state: &State, insn: u32, callsite: u32, visit: VisitId) -> u32 {
        let id = self.insert(state, insn, visit, false);
        let bucket = self.bucket(insn, callsite);
        self.lists.entry(bucket).or_default().push(id);
        self.count += 1;
        self.packer.expect(self.count);
        id
    }

    /// Takes a state off its list.
    pub fn drop_from_list(&mut self, id: u32, insn: u32, callsite: u32) {
        let bucket = self.bucket(insn, callsite);
        if let Some(list) = self.lists.get_mut(&bucket) {
            list.retain(|s| *s != id);
        }
        let keeps_all = self.keeps_all;
        if let Some(s) = self.get_mut(id) {
            s.dropped = true;
            if !keeps_all && s.branches > 0 {
                s.state.give_up_frames();
            }
        }
        self.settle(id);
    }

    /// Forgets what is dead in a state: all registers and slots but those that are `live`, by frame.
    pub fn forget_all_but(&mut self, id: u32, live: &[Marks]) {
        let Some(kept) = self.states.get_mut(id as usize).and_then(Option::as_deref_mut) else { return };
        for (frame, live) in kept.state.frames_mut().iter_mut().zip(live) {
            let reg = |i: usize| i < 10 && !live.reg(i);
            let slot = |i: usize, s: &Slot| !live.slot(i) && s.object.is_none() && *s != Slot::EMPTY;
            self.packer.forget(frame, reg, slot);
        }
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

    /// Of a state that was walked to its end and is in no loop that is still being walked, nobody needs the history; if it is off
    /// the list, nobody needs the rest either.
    pub fn settle(&mut self, id: u32) {
        let Some(kept) = self.get(id).filter(|s| s.branches == 0) else { return };
        if self.keeps_all {
            return;
        }
        let (visit, dropped) = (kept.visit, kept.dropped);
        if self.in_open_loop(visit) {
            if let Some(v) = self.visits.get_mut(visit as usize) {
                v.waiting.push(id);
            }
            return;
        }
        if !dropped {
            if let Some(kept) = self.get_mut(id) {
                kept.state.give_up_history();
            }
            return;
        }
        if let Some(place) = self.states.get_mut(id as usize).filter(|place| place.is_some()) {
            *place = None;
            self.count = self.count.saturating_sub(1);
        }
    }

    /// Bytes of the tables around the states.
    pub fn table_bytes(&self) -> u64 {
        let visits = self.visits.len() * size_of::<Visit>() + self.visit_ids.len() * size_of::<(LoopKey, VisitId)>();
        let lists = self.lists.len() * size_of::<((u32, u32), Vec<u32>)>();
        let ids = self.count as usize * size_of::<u32>() + self.edges * size_of::<usize>();
        (self.states.capacity() * size_of::<usize>() + visits + lists + ids + self.packer.table_bytes()) as u64
    }
}
