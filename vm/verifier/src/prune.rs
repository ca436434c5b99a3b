//! Pruning: is this path covered by one that was walked? And the loops in which the answer must wait.

use crate::code::CallClass;
use crate::env::Verifier;
use crate::equal::{Exactness, iter_depths_differ, maybe_looping, states_equal};
use crate::kept::{Backedge, LoopKey, VisitId};
use crate::precision::Span;
use crate::reason::{Check, Reason};
use crate::state::{
    Access, Checkpoint, Counted, IterState, Marks, Object, PackedHistory, RegState, Slot, State, meter,
};

pub(crate) use crate::equal::IdMap;

/// Rounds after which the states of a loop are no longer brought in line one by one.
const MAX_ROUNDS: u32 = 64;

enum Seen {
    /// Covered; `true` if the covering state is still being walked.
    Hit(bool),
    Miss,
}

impl Verifier<'_> {
    /// Whether the current state is covered. If not it may be kept, for later paths.
    pub fn is_visited(&mut self) -> Check<bool> {
        let insn = self.insn;
        let aux = self.aux_at(insn);
        let forced = aux.force_checkpoint || self.cur.history.len() + self.cur.passed as usize > 40;
        let mut add =
            forced || (self.jmps - self.prev_jmps >= 2 && self.stats.insns_processed - self.prev_processed >= 8);
        let callsite = self.cur.frame().callsite;
        let mut list = std::mem::take(&mut self.scratch);
        list.clear();
        list.extend_from_slice(self.kept.list(insn, callsite));
        self.clean_live_states(&list);
        let covered = self.find_covering(&list, forced, &mut add);
        let count = list.len() as u64;
        self.scratch = list;
        if let Some((id, in_loop)) = covered? {
            self.hit(id, in_loop);
            return Ok(true);
        }
        self.max_states_per_insn = self.max_states_per_insn.max(count);
        if add {
            self.keep(insn, callsite);
        } else if self.options.keep_states {
            self.keep_aside(insn);
        }
        Ok(false)
    }

    /// The newest kept state that covers the current one, and whether the answer rests on a loop that is still being walked.
    fn find_covering(&mut self, list: &[u32], forced: bool, add: &mut bool) -> Check<Option<(u32, bool)>> {
        let (insn, callsite) = (self.insn, self.cur.frame().callsite);
        for &id in list.iter().rev() {
            if self.stats.comparisons >= self.options.limits.comparisons {
                return Reason::TooLarge { processed: self.stats.insns_processed }.fail();
            }
            match self.compare(id, forced, add)? {
                Seen::Hit(in_loop) => return Ok(Some((id, in_loop))),
                Seen::Miss => self.miss(id, *add, insn, callsite),
            }
        }
        Ok(None)
    }

    fn same(&mut self, id: u32, exact: Exactness) -> bool {
        self.stats.comparisons += 1;
        let mut map = std::mem::take(&mut self.idmap);
        // Without privileges no precision is tracked, so that all scalars count.
        let exact = if exact == Exactness::NotExact && !self.capable() { Exactness::RangeWithin } else { exact };
        let same = self.kept.get(id).is_some_and(|k| states_equal(self, &mut map, &k.state, &self.cur, exact));
        self.idmap = map;
        same
    }

    fn compare(&mut self, id: u32, forced: bool, add: &mut bool) -> Check<Seen> {
        let Some(kept) = self.kept.get(id) else { return Ok(Seen::Miss) };
        if kept.branches == 0 {
            let in_loop = self.kept.in_open_loop(kept.visit);
            let exact = if in_loop { Exactness::RangeWithin } else { Exactness::NotExact };
            return Ok(if self.same(id, exact) { Seen::Hit(in_loop) } else { Seen::Miss });
        }
        if kept.state.frame().is_some_and(|f| f.async_entry == self.cur.frame().async_entry)
            && let Some(seen) = self.compare_unfinished(id)?
        {
            return Ok(seen);
        }
        if !forced && self.jmps - self.prev_jmps < 20 && self.stats.insns_processed - self.prev_processed < 100 {
            *add = false;
        }
        Ok(Seen::Miss)
    }

    /// Compares with a state that this very path went through: has a loop come to rest, or will it never end?
    fn compare_unfinished(&mut self, id: u32) -> Check<Option<Seen>> {
        let insn = self.insn;
        match self.aux_at(insn).call {
            CallClass::IterNext => {
                if self.iterator_is_active() && self.same(id, Exactness::RangeWithin) {
                    return Ok(Some(Seen::Hit(true)));
                }
                return Ok(None);
            }
            CallClass::SyncCallback => {
                return Ok(self.same(id, Exactness::RangeWithin).then_some(Seen::Hit(true)));
            }
            _ => {}
        }
        let may_goto = matches!(self.instr(insn), Some(backstop_isa::Instr::MayGoto { .. }));
        let Some(old) = self.kept.get(id).map(|k| &k.state) else { return Ok(None) };
        let other_round = old.may_goto_depth != self.cur.may_goto_depth;
        if may_goto && other_round && self.same(id, Exactness::RangeWithin) {
            return Ok(Some(Seen::Hit(true)));
        }
        let Some(old) = self.kept.get(id).map(|k| &k.state) else { return Ok(None) };
        let endless = maybe_looping(old, &self.cur)
            && !other_round
            && old.callback_unroll_depth == self.cur.callback_unroll_depth
            && !iter_depths_differ(old, &self.cur);
        if endless && self.same(id, Exactness::Exact) {
            let old = self.kept.get(id).map(|k| k.state.state(|f| Counted::shared(f.unpack())));
            let old = old.map_or_else(String::new, |old| self.state_text(&old));
            return Reason::InfiniteLoop { at: insn as usize, cur: self.state_text(&self.cur), old }.fail();
        }
        Ok(None)
    }

    /// The iterator that r1 points to may have more to give.
    fn iterator_is_active(&self) -> bool {
        let r1 = self.cur.reg(backstop_isa::Reg::R1);
        let crate::state::Kind::Stack(frame) = r1.kind else { return false };
        let Some(var) = r1.var.is_const() else { return false };
        let off = i64::from(r1.off).wrapping_add(var as i64);
        if !(-512..0).contains(&off) {
            return false;
        }
        let slot = self.cur.frame_at(usize::from(frame)).slot(crate::state::spi(off as i32));
        matches!(slot.and_then(|s| s.object), Some(Object::Iter { state: IterState::Active, .. }))
    }

    fn hit(&mut self, id: u32, in_loop: bool) {
        if let Some(k) = self.kept.get_mut(id) {
            k.hits += 1;
        }
        if self.aux_at(self.insn).jmp_point {
            self.push_history(Access::default(), None);
        }
        self.propagate_precision(id);
        if in_loop {
            let visit = self.kept.get(id).map_or(0, |k| k.visit);
            let span = Span::of(&self.cur);
            let edge = Backedge { span, history: PackedHistory::of(&self.cur.history), equal: id, marks: None };
            self.kept.add_backedge(visit, edge);
        }
    }

    fn miss(&mut self, id: u32, add: bool, insn: u32, callsite: u32) {
        let force = self.aux_at(insn).force_checkpoint;
        let Some(k) = self.kept.get_mut(id) else { return };
        if add {
            k.misses += 1;
        }
        let patience = if force && k.branches > 0 { 64 } else { 3 };
        if k.misses > k.hits.saturating_mul(patience).saturating_add(patience) {
            self.kept.drop_from_list(id, insn, callsite);
        }
    }

    /// Keeps a state that pruning does not need, for [`crate::embed`] alone: it learns what must be precise in it as others do,
    /// and nothing else sees it.
    pub fn keep_aside(&mut self, insn: u32) {
        let key = self.loop_key(&self.cur, insn);
        let visit = self.kept.visit_id(key);
        let id = self.kept.add_aside(&self.cur, insn, visit);
        self.cur.passed += self.cur.history.len() as u32;
        self.cur.history.clear();
        self.walked_back.clear();
        self.cur.parent = Some(id);
        self.cur.first_insn = insn;
    }

    fn keep(&mut self, insn: u32, callsite: u32) {
        self.stats.total_states += 1;
        self.prev_jmps = self.jmps;
        self.prev_processed = self.stats.insns_processed;
        let before = meter::held();
        let key = self.loop_key(&self.cur, insn);
        let visit = self.kept.visit_id(key);
        let id = self.kept.add(&self.cur, insn, callsite, visit);
        // Less than nothing where room was made for it.
        let bytes = meter::since(before);
        // The kept state owns the history up to here; the path goes on with an empty one.
        self.cur.history.clear();
        self.cur.passed = 0;
        self.kept.enter_loop(visit, id);
        self.walked_back.clear();
        self.cur.parent = Some(id);
        self.cur.first_insn = insn;
        self.cur.dfs_depth += 1;
        self.stats.peak_states = self.stats.peak_states.max(self.kept.count);
        self.weigh();
        if let Some(cost) = self.costs.of(self.cur.frame().subprog) {
            cost.states += 1;
            cost.bytes += bytes;
        }
    }

    /// The loop that a state is in: that of its outermost frame that is in one.
    fn loop_key(&self, state: &State, insn: u32) -> Option<LoopKey> {
        let mut callsites = Vec::new();
        for n in 0..state.frames.len() {
            let at = if n == state.top() { insn } else { state.frame_insn(n) };
            let scc = self.aux_at(at).scc;
            if scc != 0 {
                return Some(LoopKey { callsites, scc });
            }
            callsites.push(at);
        }
        None
    }

    /// The current path has ended: states from which no path is left are complete.
    pub fn path_ends(&mut self) {
        let mut next = self.cur.parent;
        while let Some(id) = next {
            if !self.kept.end_branch(id) {
                return;
            }
            let Some(kept) = self.kept.get(id) else { return };
            next = kept.state.parent;
            self.leave_loop(id, kept.visit);
            self.kept.settle(id);
        }
    }

    /// The first state of a loop is complete: paths that ended inside it learn what had to be precise.
    fn leave_loop(&mut self, id: u32, visit: VisitId) {
        let Some(mut backedges) = self.kept.take_backedges(visit, id) else { return };
        let mut round = 0;
        loop {
            round += 1;
            let mut changed = false;
            for b in &mut backedges {
                if round > MAX_ROUNDS {
                    changed |= self.mark_all_precise(b.span.parent);
                    continue;
                }
                // What was carried over before is there already.
                let marks = self.kept.get(b.equal).map(|k| k.marks);
                if marks != b.marks {
                    b.marks = marks;
                    changed |= self.propagate_precision_to(b);
                }
            }
            if !changed || round > MAX_ROUNDS {
                break;
            }
        }
        self.kept.leave_loop(visit);
    }

    /// Forgets dead registers and slots of complete states, so that they cover more.
    fn clean_live_states(&mut self, list: &[u32]) {
        for &id in list.iter().rev() {
            let Some(kept) = self.kept.get(id) else { continue };
            if kept.cleaned || kept.branches > 0 || !kept.state.same_callsites(&self.cur) {
                continue;
            }
            if !self.kept.in_open_loop(kept.visit) {
                self.clean(id);
            }
        }
    }

    /// All states of a walk that is complete, by themselves, without what is dead in them.
    pub fn take_kept(&mut self) -> Vec<State> {
        for id in 0..self.kept.len() {
            if self.kept.get(id).is_some_and(|k| !k.cleaned) {
                self.clean(id);
            }
        }
        self.kept.take()
    }

    fn clean(&mut self, id: u32) {
        let Some(kept) = self.kept.get_mut(id) else { return };
        kept.cleaned = true;
        let aux = &self.aux;
        let calls_back = |site: u32| aux.get(site as usize).is_some_and(|a| a.call == CallClass::SyncCallback);
        let slots = self.liveness.live_slots(&kept.state, calls_back);
        let live: Vec<Marks> = slots
            .into_iter()
            .enumerate()
            .map(|(n, slots)| {
                let at = kept.state.frame_insn(n) as usize;
                Marks { regs: aux.get(at).map_or(u16::MAX, |a| a.live), slots }
            })
            .collect();
        self.kept.forget_all_but(id, &live);
    }

    /// The newest kept state at an instruction that the path of `state` went through.
    pub fn previous_entry(&self, state: &State, insn: u32) -> Option<u32> {
        let callsites: Vec<u32> = state.frames.iter().map(|f| f.callsite).collect();
        self.entry_before(&callsites, state.dfs_depth, insn)
    }

    fn entry_before(&self, callsites: &[u32], depth: u32, insn: u32) -> Option<u32> {
        let same = |k: &Checkpoint| {
            k.depth() == callsites.len() && callsites.iter().enumerate().all(|(n, site)| k.callsite(n) == Some(*site))
        };
        self.kept.list(insn, callsites.last().copied()?).iter().rev().copied().find(|id| {
            self.kept.get(*id).is_some_and(|k| k.branches > 0 && k.state.dfs_depth < depth && same(&k.state))
        })
    }

    /// As [`Verifier::previous_entry`], for the kept state that the current path goes on from.
    pub fn previous_entry_of_parent(&self, insn: u32) -> Option<u32> {
        let mut parent = self.cur.parent.and_then(|p| self.kept.get(p))?;
        while parent.aside {
            parent = parent.state.parent.and_then(|p| self.kept.get(p))?;
        }
        let callsites: Vec<u32> = (0..parent.state.depth()).filter_map(|n| parent.state.callsite(n)).collect();
        self.entry_before(&callsites, parent.state.dfs_depth, insn)
    }

    /// Forgets scalars that changed since the last round and that nothing depended on, so that the loop comes to rest.
    pub fn widen(&self, old: u32, state: &mut State) {
        let Some(old) = self.kept.get(old).map(|k| &k.state) else { return };
        for (n, of) in old.frames().iter().enumerate().take(state.frames.len()) {
            let marks = old.marks_of(n);
            let changed = |o: &RegState, c: &RegState| {
                o.is_scalar() && c.is_scalar() && (o.var != c.var || (o.id == 0) != (c.id == 0))
            };
            let changed_reg = |i: usize, o: &RegState, c: &RegState| !marks.reg(i) && changed(o, c);
            let changed_slot = |i: usize, o: &Slot, c: &Slot| {
                !marks.slot(i) && o.is_spill() && c.is_spill() && changed(o.spilled(), c.spilled())
            };
            let now = state.frame_at(n);
            let in_regs = of.regs().zip(&now.regs).enumerate().any(|(i, (o, c))| changed_reg(i, o, c));
            let in_stack = of.stack.changed(&now.stack).any(|(i, o, c)| changed_slot(i, o, c));
            if !in_regs && !in_stack {
                continue;
            }
            let frame = state.frame_at_mut(n);
            for (i, (o, c)) in of.regs().zip(&mut frame.regs).enumerate() {
                if changed_reg(i, o, c) {
                    *c = RegState::UNKNOWN;
                }
            }
            if !in_stack {
                continue;
            }
            for (i, o) in of.stack.iter().enumerate() {
                if frame.slot(i).is_some_and(|c| changed_slot(i, o, c))
                    && let Some(r) = frame.slot_mut(i).spilled_mut()
                {
                    *r = RegState::UNKNOWN;
                }
            }
        }
    }
}
