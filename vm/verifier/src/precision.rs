//! Precision: a decision that rests on a scalar's value makes that value, and all it was computed from, part of what pruning
//! compares. The walk goes back along the path just taken, instruction by instruction, and marks kept states on its way.

use foldhash::HashMap;
use std::collections::hash_map::Entry;

use backstop_isa::{AtomicOp, Instr, Operand, Reg};

use crate::code::{CallClass, Code};
use crate::env::Verifier;
use crate::kept::Backedge;
use crate::reason::Check;
use crate::state::{Back, Checkpoint, HistEntry, Linked, MAX_FRAMES, Marks, State};

/// Registers and stack slots whose values are wanted, by frame.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wanted {
    frame: usize,
    regs: [u16; MAX_FRAMES],
    slots: [u64; MAX_FRAMES],
}

/// The walk back met something that it does not understand: everything becomes precise.
struct Lost;

const ARGS: u16 = 0b11_1110;

impl Wanted {
    pub fn new(frame: usize) -> Wanted {
        Wanted { frame: frame.min(MAX_FRAMES - 1), ..Wanted::default() }
    }

    pub fn add_reg(&mut self, frame: usize, reg: usize) {
        if let Some(m) = self.regs.get_mut(frame) {
            *m |= 1 << reg;
        }
    }

    pub fn add_slot(&mut self, frame: usize, slot: usize) {
        if let Some(m) = self.slots.get_mut(frame) {
            *m |= 1 << (slot & 63);
        }
    }

    /// Wants nothing that the other does not.
    fn within(&self, other: &Wanted) -> bool {
        self.frame == other.frame
            && self.regs.iter().zip(&other.regs).all(|(a, b)| a & !b == 0)
            && self.slots.iter().zip(&other.slots).all(|(a, b)| a & !b == 0)
    }

    fn marks(&self, frame: usize) -> Marks {
        Marks {
            regs: self.regs.get(frame).copied().unwrap_or_default(),
            slots: self.slots.get(frame).copied().unwrap_or_default(),
        }
    }

    fn empty(&self) -> bool {
        self.regs.iter().all(|m| *m == 0) && self.slots.iter().all(|m| *m == 0)
    }

    fn only_arguments(&self) -> bool {
        self.slots.iter().all(|m| *m == 0)
            && self.regs.iter().enumerate().all(|(n, m)| m & !ARGS == 0 && (n == 0 || *m == 0))
    }

    fn mask(&self) -> u16 {
        self.regs[self.frame]
    }

    fn has(&self, r: Reg) -> bool {
        self.mask() & (1 << r.index()) != 0
    }

    fn set(&mut self, r: Reg) {
        if r != Reg::R10 {
            self.add_reg(self.frame, r.index());
        }
    }

    fn clear(&mut self, r: Reg) {
        self.regs[self.frame] &= !(1 << r.index());
    }

    fn has_slot(&self, frame: u8, slot: u8) -> bool {
        self.slots.get(usize::from(frame)).is_some_and(|m| m & (1 << (slot & 63)) != 0)
    }

    fn clear_slot(&mut self, frame: u8, slot: u8) {
        if let Some(m) = self.slots.get_mut(usize::from(frame)) {
            *m &= !(1 << (slot & 63));
        }
    }

    fn enter(&mut self) -> Result<(), Lost> {
        if self.frame + 1 >= MAX_FRAMES {
            return Err(Lost);
        }
        self.frame += 1;
        Ok(())
    }

    fn leave(&mut self) -> Result<(), Lost> {
        self.frame = self.frame.checked_sub(1).ok_or(Lost)?;
        Ok(())
    }

    fn has_linked(&self, l: &Linked) -> bool {
        let frame = usize::from(l.frame);
        if l.is_reg {
            self.regs.get(frame).is_some_and(|m| m & (1 << l.index) != 0)
        } else {
            self.has_slot(l.frame, l.index)
        }
    }

    /// If one of several registers that were refined together is wanted, all are.
    fn sync_linked(&mut self, hist: Option<&HistEntry>) {
        let Some(set) = hist.and_then(|h| h.linked.as_ref()) else { return };
        if !set.as_slice().iter().any(|l| self.has_linked(l)) {
            return;
        }
        for l in set.as_slice() {
            if l.is_reg {
                self.add_reg(usize::from(l.frame), usize::from(l.index));
            } else {
                self.add_slot(usize::from(l.frame), usize::from(l.index));
            }
        }
    }
}

/// What walks back from the current path wanted at places since its last kept state. A walk that comes to a place and wants no
/// more than one before it has nothing new to mark, so that code without checkpoints costs its length once, not once a decision.
#[derive(Debug, Default)]
pub(crate) struct WalkedBack {
    /// By entries of the history before it, and instruction.
    places: HashMap<(usize, u32), Wanted>,
}

impl WalkedBack {
    /// Instructions between places.
    const EVERY: u32 = 64;

    /// The path is another one, or was kept.
    pub fn clear(&mut self) {
        if !self.places.is_empty() {
            self.places.clear();
        }
    }

    /// Whether a walk that wanted as much has been here; if not, this one is noted.
    fn been(&mut self, left: usize, at: u32, wanted: &Wanted) -> bool {
        match self.places.entry((left, at)) {
            Entry::Occupied(mut place) => {
                if wanted.within(place.get()) {
                    return true;
                }
                place.insert(wanted.clone());
                false
            }
            Entry::Vacant(place) => {
                place.insert(wanted.clone());
                false
            }
        }
    }
}

/// The state that a walk back is in: the current one, a kept one, or a back edge of a loop.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Span {
    first: u32,
    last: u32,
    pub parent: Option<u32>,
}

impl Span {
    pub fn of(state: &State) -> Span {
        Span { first: state.first_insn, last: state.insn, parent: state.parent }
    }
}

/// Where a walk back comes from.
struct Trail<'b> {
    /// The first instruction is the one that asks; it has not run yet.
    skip: bool,
    /// The instruction that ran after the one looked at.
    subseq: Option<u32>,
    been: Option<&'b mut WalkedBack>,
}

impl Verifier<'_> {
    /// The value of a register of the running frame decides something.
    pub fn mark_precise(&mut self, r: Reg) -> Check {
        if self.capable() && self.reg(r).is_scalar() {
            let mut wanted = Wanted::new(self.cur.top());
            wanted.set(r);
            self.walk_back_from_current(wanted);
        }
        Ok(())
    }

    /// The number 0 passes for a NULL pointer: another number would not, so that states must not stand for paths with one. Linux
    /// does not look (docs/verifier-differences.md).
    pub fn rests_on_null(&mut self, r: Reg) -> Check {
        self.mark_precise(r)
    }

    /// The value in a stack slot decides something.
    pub fn mark_slot_precise(&mut self, frame: usize, slot: usize) {
        if self.capable() {
            let mut wanted = Wanted::new(self.cur.top());
            wanted.add_slot(frame, slot);
            self.walk_back_from_current(wanted);
        }
    }

    /// The current path goes on as a kept one did: what was precise there is precise here. True if that marked anything.
    pub fn propagate_precision(&mut self, old: u32) -> bool {
        let Some(wanted) = self.precise_in(old) else { return false };
        if self.log.on(2) {
            let precise: Vec<Marks> = (0..=wanted.frame).map(|n| wanted.marks(n)).collect();
            self.note_propagated(&precise);
        }
        self.walk_back_from_current(wanted)
    }

    fn walk_back_from_current(&mut self, wanted: Wanted) -> bool {
        let history = std::mem::take(&mut self.cur.history);
        let mut been = std::mem::take(&mut self.walked_back);
        let span = Span::of(&self.cur);
        let changed = self.walk_back(history.back(), span, wanted, Some(&mut been));
        self.walked_back = been;
        self.cur.history = history;
        changed
    }

    /// As [`Verifier::propagate_precision`], for a path that was put aside.
    pub fn propagate_precision_to(&mut self, edge: &Backedge) -> bool {
        let Some(wanted) = self.precise_in(edge.equal) else { return false };
        self.walk_back(edge.history.back(), edge.span, wanted, None)
    }

    fn precise_in(&self, old: u32) -> Option<Wanted> {
        let old = &self.kept.get(old)?.state;
        if !old.has_marks() {
            return None;
        }
        let mut wanted = Wanted::new(old.top());
        for n in 0..old.depth().min(MAX_FRAMES) {
            let precise = old.scalars(n, old.marks_of(n));
            (wanted.regs[n], wanted.slots[n]) = (precise.regs, precise.slots);
        }
        (!wanted.empty()).then_some(wanted)
    }

    /// Walks back from a state. Marks kept states; true if any mark is new.
    fn walk_back(&mut self, back: Back<'_>, span: Span, mut wanted: Wanted, been: Option<&mut WalkedBack>) -> bool {
        let begin = span.parent;
        let mut trail = Trail { skip: true, subseq: None, been };
        let mut changed = false;
        let mut span = span;
        let mut lost = self.walk_span(back, span, &mut wanted, &mut trail).is_err();
        trail.been = None;
        while !lost && !wanted.empty() {
            let Some(parent) = span.parent else {
                // At the start of the function only its arguments may still be wanted, and those claim nothing.
                lost = !wanted.only_arguments();
                break;
            };
            let Some(kept) = self.kept.get_mut(parent) else { break };
            if mark_state(&mut kept.state, &mut wanted) {
                kept.marks += 1;
                changed = true;
            }
            if self.log.on(2) {
                let new: Vec<Marks> = (0..=wanted.frame).map(|n| wanted.marks(n)).collect();
                self.note_parent(parent, &new);
            }
            let Some(kept) = self.kept.get_mut(parent) else { break };
            trail.subseq = Some(span.first);
            span = Span { first: kept.state.first_insn, last: kept.state.last_insn, parent: kept.state.parent };
            if span.last == u32::MAX || wanted.empty() {
                break;
            }
            let Some(history) = kept.state.take_history() else {
                // Given up: nothing is known of the way here.
                lost = true;
                break;
            };
            lost = self.walk_span(history.back(), span, &mut wanted, &mut trail).is_err();
            if let Some(kept) = self.kept.get_mut(parent) {
                kept.state.put_history(history);
            }
        }
        if lost { self.mark_all_precise(begin) || changed } else { changed }
    }

    fn walk_span(
        &mut self,
        mut back: Back<'_>,
        span: Span,
        wanted: &mut Wanted,
        trail: &mut Trail<'_>,
    ) -> Result<(), Lost> {
        let mut at = span.last;
        let logs = self.log.on(2);
        if logs {
            self.note_stretch(wanted.frame, at, span.first, trail.subseq);
        }
        loop {
            self.stats.precision_steps += 1;
            if !std::mem::take(&mut trail.skip) {
                if logs {
                    self.note_back(wanted.frame, wanted.marks(wanted.frame), at);
                }
                self.step_back(at, trail.subseq, back.entry().filter(|h| h.insn == at), wanted)?;
            }
            if wanted.empty() {
                return Ok(());
            }
            trail.subseq = Some(at);
            match back.previous(span.first, at) {
                Some(prev) => at = prev,
                None => return Ok(()),
            }
            if at as usize >= self.code.len() {
                // Before the first instruction of a function that nobody calls.
                return Ok(());
            }
            if at.is_multiple_of(WalkedBack::EVERY)
                && let Some(been) = trail.been.as_deref_mut()
                && been.been(back.left(), at, wanted)
            {
                *wanted = Wanted::new(wanted.frame);
                return Ok(());
            }
        }
    }

    fn step_back(&self, at: u32, subseq: Option<u32>, hist: Option<&HistEntry>, w: &mut Wanted) -> Result<(), Lost> {
        w.sync_linked(hist);
        let instr = match self.code.get(at as usize) {
            Some(Code::Insn(instr)) => instr,
            // Its first half says what it does.
            Some(Code::Second) => return Ok(()),
            _ => return Err(Lost),
        };
        let stack = hist.and_then(|h| h.access.stack);
        match *instr {
            Instr::Mov { dst, src, .. } if w.has(dst) => {
                w.clear(dst);
                if let Operand::Reg(src) = src {
                    w.set(src);
                }
            }
            Instr::MovSx { dst, src, .. } | Instr::AddrSpaceCast { dst, src, .. } if w.has(dst) => {
                w.clear(dst);
                w.set(src);
            }
            Instr::Alu { dst, src: Operand::Reg(src), .. } if w.has(dst) => w.set(src),
            Instr::LoadImm64 { dst, .. } | Instr::LoadPseudo { dst, .. } => w.clear(dst),
            Instr::Load { dst, .. } | Instr::LoadAcquire { dst, .. } => back_load(dst, stack, w),
            Instr::Atomic { op, fetch: true, src, .. } => {
                back_load(if op == AtomicOp::Cmpxchg { Reg::R0 } else { src }, stack, w);
            }
            Instr::Atomic { base, .. } if w.has(base) => return Err(Lost),
            Instr::Store { base, src, .. } => back_store(base, src, stack, w)?,
            Instr::StoreRelease { base, src, .. } => back_store(base, Operand::Reg(src), stack, w)?,
            Instr::LegacyLoad { .. } if subseq != Some(at + 1) => back_failed_load(w)?,
            Instr::LegacyLoad { .. } if w.has(Reg::R0) => return Err(Lost),
            Instr::Branch { dst, src: Operand::Reg(src), .. } if w.has(dst) || w.has(src) => {
                if !hist.is_some_and(|h| h.access.src_is_stack) {
                    w.set(src);
                }
                if !hist.is_some_and(|h| h.access.dst_is_stack) {
                    w.set(dst);
                }
            }
            Instr::CallLocal { off } => self.back_local_call(at, off, w)?,
            Instr::CallHelper { id } => self.back_call(at, subseq, Some(id), w)?,
            Instr::CallKfunc { .. } => self.back_call(at, subseq, None, w)?,
            Instr::Exit => self.back_exit(subseq, w)?,
            _ => {}
        }
        w.sync_linked(hist);
        Ok(())
    }

    fn back_local_call(&self, at: u32, off: i32, w: &mut Wanted) -> Result<(), Lost> {
        let start = u32::try_from(i64::from(at) + 1 + i64::from(off)).map_err(|_| Lost)?;
        let global = self.sub_at(start).and_then(|i| self.subs.get(i)).is_some_and(|s| s.global);
        if global {
            w.clear(Reg::R0);
            return if w.mask() & ARGS != 0 { Err(Lost) } else { Ok(()) };
        }
        let wanted = w.mask();
        if wanted & !ARGS != 0 || w.slots[w.frame] != 0 {
            return Err(Lost);
        }
        w.regs[w.frame] = 0;
        w.leave()?;
        w.regs[w.frame] |= wanted & ARGS;
        Ok(())
    }

    fn back_call(&self, at: u32, subseq: Option<u32>, helper: Option<i32>, w: &mut Wanted) -> Result<(), Lost> {
        const TAIL_CALL: i32 = 12;
        let calls_back = self.aux_at(at).call == CallClass::SyncCallback;
        if calls_back && subseq != Some(at + 1) {
            // Out of the callback, into the call: its r1 to r5 are not the call's.
            if w.mask() & !ARGS != 0 || w.slots[w.frame] != 0 {
                return Err(Lost);
            }
            w.regs[w.frame] = 0;
            return w.leave();
        }
        w.clear(Reg::R0);
        if w.mask() & ARGS != 0 {
            return Err(Lost);
        }
        if helper == Some(TAIL_CALL) && subseq != Some(at + 1) {
            w.enter()?;
        }
        Ok(())
    }

    fn back_exit(&self, subseq: Option<u32>, w: &mut Wanted) -> Result<(), Lost> {
        let Some(next) = subseq else { return Err(Lost) };
        if self.aux_at(next).call == CallClass::SyncCallback {
            w.regs[w.frame] &= !ARGS;
        }
        if w.mask() & ARGS != 0 {
            return Err(Lost);
        }
        let from_call = next.checked_sub(1).and_then(|i| self.instr(i));
        let r0 = w.has(Reg::R0) && matches!(from_call, Some(Instr::CallLocal { .. }));
        w.clear(Reg::R0);
        w.enter()?;
        if r0 {
            w.set(Reg::R0);
        }
        Ok(())
    }

    /// Marks every scalar of a kept state and of those before it.
    pub fn mark_all_precise(&mut self, from: Option<u32>) -> bool {
        let mut changed = false;
        let mut next = from;
        while let Some(kept) = next.and_then(|id| self.kept.get_mut(id)).filter(|k| !k.all_precise) {
            changed |= kept.state.mark_all();
            kept.all_precise = true;
            kept.marks += 1;
            self.stats.precision_steps += 1;
            next = kept.state.parent;
        }
        changed
    }
}

/// A legacy packet load beyond the packet ended its subprogram with 0: from the caller back into the callee.
fn back_failed_load(w: &mut Wanted) -> Result<(), Lost> {
    w.clear(Reg::R0);
    if w.mask() & ARGS != 0 {
        return Err(Lost);
    }
    w.enter()
}

fn back_load(dst: Reg, stack: Option<(u8, u8)>, w: &mut Wanted) {
    if !w.has(dst) {
        return;
    }
    w.clear(dst);
    if let Some((frame, slot)) = stack {
        w.add_slot(usize::from(frame), usize::from(slot));
    }
}

fn back_store(base: Reg, src: Operand, stack: Option<(u8, u8)>, w: &mut Wanted) -> Result<(), Lost> {
    if w.has(base) {
        return Err(Lost);
    }
    let Some((frame, slot)) = stack else { return Ok(()) };
    if w.has_slot(frame, slot) {
        w.clear_slot(frame, slot);
        if let Operand::Reg(src) = src {
            w.set(src);
        }
    }
    Ok(())
}

/// Marks what is wanted in a kept state; what is no scalar, or was marked before, is no longer wanted.
fn mark_state(state: &mut Checkpoint, w: &mut Wanted) -> bool {
    let mut changed = false;
    for n in 0..state.depth().min(MAX_FRAMES) {
        if w.regs[n] == 0 && w.slots[n] == 0 {
            continue;
        }
        let had = state.marks_of(n);
        let new = state.scalars(n, Marks { regs: w.regs[n] & !had.regs, slots: w.slots[n] & !had.slots });
        changed |= state.mark(n, new);
        (w.regs[n], w.slots[n]) = (new.regs, new.slots);
    }
    changed
}
