//! Which stack slots may still be read, by instruction and chain of calls.
//!
//! The text of a function does not say which slots its memory accesses touch, so the walk notes it: for every chain of
//! calls and every instruction, the slots of each frame that it may read and those that it writes whole whenever it runs.
//! From these, slots that are live follow by the usual backward equations. What is found for a state is complete once every
//! path from it was walked; later notes only add.

use std::collections::HashMap;

use crate::state::State;

/// Slots of one frame, a bit each (bit 0: fp-8).
type Slots = u64;

#[derive(Clone, Copy, Debug, Default)]
struct Note {
    read: Slots,
    write: Slots,
    /// Seen at least once, so that `write` means something.
    seen: bool,
    live: Slots,
}

/// One function under one chain of calls.
#[derive(Debug)]
struct Instance {
    start: u32,
    /// By frame, then by instruction from `start`.
    notes: Vec<Vec<Note>>,
    dirty: Vec<u32>,
    /// Where the calling instance stands.
    outer: Option<(usize, u32)>,
}

/// Accesses of the running instruction.
#[derive(Debug, Default)]
pub(crate) struct Accesses {
    read: [Slots; 8],
    write: [Slots; 8],
    any: bool,
}

/// Liveness of the stack over the whole walk.
#[derive(Debug, Default)]
pub(crate) struct StackLiveness {
    instances: Vec<Instance>,
    by_chain: HashMap<Vec<u64>, usize>,
    current: Option<usize>,
    pub now: Accesses,
    /// Predecessors within functions.
    preds: Vec<Vec<u32>>,
    succs: Vec<(u32, u32)>,
    bounds: Vec<(u32, u32)>,
}

const NONE: u32 = u32::MAX;

impl Accesses {
    pub fn read(&mut self, frame: usize, slot: usize) {
        if let Some(mask) = self.read.get_mut(frame) {
            *mask |= 1 << (slot & 63);
            self.any = true;
        }
    }

    pub fn write(&mut self, frame: usize, slot: usize) {
        if let Some(mask) = self.write.get_mut(frame) {
            *mask |= 1 << (slot & 63);
            self.any = true;
        }
    }
}

impl StackLiveness {
    /// `succs` by slot; `bounds` of the functions, ascending.
    pub fn new(successors: &[(Option<usize>, Option<usize>)], bounds: Vec<(u32, u32)>) -> StackLiveness {
        let mut preds = vec![Vec::new(); successors.len()];
        let mut succs = Vec::with_capacity(successors.len());
        for (at, (a, b)) in successors.iter().enumerate() {
            for to in [a, b].into_iter().flatten() {
                if let Some(p) = preds.get_mut(*to) {
                    p.push(at as u32);
                }
            }
            succs.push((a.map_or(NONE, |a| a as u32), b.map_or(NONE, |b| b as u32)));
        }
        StackLiveness { preds, succs, bounds, ..StackLiveness::default() }
    }

    /// The path is in another function or chain of calls than before.
    pub fn frames_changed(&mut self) {
        self.current = None;
    }

    fn instance_of(&mut self, callsites: &[u64], at: u32) -> usize {
        if let Some(&i) = self.by_chain.get(callsites) {
            return i;
        }
        let outer = callsites.split_last().filter(|(_, rest)| !rest.is_empty());
        let outer = outer.map(|(site, rest)| {
            let site = (*site >> 32) as u32;
            (self.instance_of(rest, site), site)
        });
        let n = self.bounds.partition_point(|(start, _)| *start <= at).saturating_sub(1);
        let (start, end) = self.bounds.get(n).copied().unwrap_or((0, 0));
        let len = end.saturating_sub(start) as usize;
        let notes = vec![vec![Note::default(); len]; callsites.len()];
        self.instances.push(Instance { start, notes, dirty: Vec::new(), outer });
        let i = self.instances.len() - 1;
        self.by_chain.insert(callsites.to_vec(), i);
        i
    }

    /// Call site and callee of each frame; a frame that nobody calls has the depth of asynchronous entries instead.
    fn chain(state: &State) -> Vec<u64> {
        let site = |i: usize| state.frames.get(i).map_or(0, |f| if i == 0 { f.async_entry } else { f.callsite });
        state.frames.iter().enumerate().map(|(i, f)| u64::from(site(i)) << 32 | u64::from(f.subprog)).collect()
    }

    /// The walk stands before the instruction at `at`, in `state`.
    pub fn stand(&mut self, state: &State, at: u32) {
        self.now = Accesses::default();
        if self.current.is_none() {
            let chain = StackLiveness::chain(state);
            self.current = Some(self.instance_of(&chain, at));
        }
    }

    /// Files the accesses of the instruction at `at`, which has just been walked.
    pub fn commit(&mut self, at: u32) {
        let Some(i) = self.current else { return };
        if !self.now.any && self.is_quiet(i, at) {
            return;
        }
        let now = std::mem::take(&mut self.now);
        let Some(instance) = self.instances.get_mut(i) else { return };
        let Some(rel) = at.checked_sub(instance.start) else { return };
        let mut changed = false;
        for (frame, notes) in instance.notes.iter_mut().enumerate() {
            let Some(note) = notes.get_mut(rel as usize) else { continue };
            let (read, write) = (now.read.get(frame).copied().unwrap_or(0), now.write.get(frame).copied().unwrap_or(0));
            let new_write = if note.seen { note.write & write } else { write };
            changed |= note.read | read != note.read || new_write != note.write;
            note.read |= read;
            note.write = new_write;
            note.seen = true;
        }
        if changed {
            instance.dirty.push(at);
        }
    }

    /// Nothing was ever noted here, so nothing needs to be taken back.
    fn is_quiet(&self, i: usize, at: u32) -> bool {
        self.instances.get(i).is_some_and(|x| {
            let rel = at.wrapping_sub(x.start) as usize;
            x.notes.iter().all(|n| n.get(rel).is_none_or(|n| n.write == 0 && n.seen))
        })
    }

    /// Brings the equations up to date, inner functions first.
    fn settle(&mut self) {
        for i in (0..self.instances.len()).rev() {
            self.settle_one(i);
        }
    }

    fn settle_one(&mut self, i: usize) {
        let Some(instance) = self.instances.get_mut(i) else { return };
        if instance.dirty.is_empty() {
            return;
        }
        let mut work = std::mem::take(&mut instance.dirty);
        let start = instance.start;
        while let Some(at) = work.pop() {
            let Some((a, b)) = self.succs.get(at as usize).copied() else { continue };
            let mut changed = false;
            for notes in &mut instance.notes {
                let live_at = |to: u32| {
                    let rel = to.wrapping_sub(start) as usize;
                    if to == NONE { 0 } else { notes.get(rel).map_or(0, |n| n.live) }
                };
                let after = live_at(a) | live_at(b);
                let Some(note) = notes.get_mut(at.wrapping_sub(start) as usize) else { continue };
                let live = (after & !note.write) | note.read;
                changed |= live != note.live;
                note.live = live;
            }
            if changed {
                work.extend(self.preds.get(at as usize).into_iter().flatten());
            }
        }
        // What the function reads of its callers' frames, its call reads.
        let Some((outer, site)) = instance.outer else { return };
        let entry: Vec<Slots> = instance.notes.iter().map(|n| n.first().map_or(0, |n| n.live)).collect();
        let Some(caller) = self.instances.get_mut(outer) else { return };
        let rel = site.wrapping_sub(caller.start) as usize;
        let mut changed = false;
        for (notes, read) in caller.notes.iter_mut().zip(entry) {
            if let Some(note) = notes.get_mut(rel) {
                changed |= note.read | read != note.read;
                note.read |= read;
            }
        }
        if changed {
            caller.dirty.push(site);
            if outer > i {
                self.settle_one(outer);
            }
        }
    }

    /// Live slots of each frame of a state that was walked to its end. `calls_back` tells call sites of callbacks.
    pub fn live_slots(&mut self, state: &State, calls_back: impl Fn(u32) -> bool) -> Vec<Slots> {
        self.settle();
        let chain = StackLiveness::chain(state);
        let top = state.top();
        let mut live = vec![0; top + 1];
        for depth in 0..=top {
            let Some(&i) = chain.get(..=depth).and_then(|c| self.by_chain.get(c)) else {
                // Never noted: nothing was read.
                continue;
            };
            let Some(instance) = self.instances.get(i) else { continue };
            let at = if depth == top {
                state.insn
            } else {
                let site = state.frame_insn(depth);
                if calls_back(site) { site } else { site + 1 }
            };
            let rel = at.wrapping_sub(instance.start) as usize;
            for (frame, mask) in live.iter_mut().enumerate().take(depth + 1) {
                *mask |= instance.notes.get(frame).and_then(|n| n.get(rel)).map_or(0, |n| n.live);
            }
        }
        live
    }
}
