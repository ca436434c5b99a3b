//! Which stack slots may still be read, by instruction and chain of calls.
//!
//! The text of a function does not say which slots its memory accesses touch, so the walk notes it: for every chain of
//! calls and every instruction, the slots of each frame that it may read and those that it writes whole whenever it runs.
//! From these, slots that are live follow by the usual backward equations. What is found for a state is complete once every
//! path from it was walked; later notes only add.

use std::collections::BTreeSet;

use foldhash::HashMap;

use crate::flow::Flow;
use crate::state::{Checkpoint, State};

/// Slots of one frame, a bit each (bit 0: fp-8).
type Slots = u64;

/// Instructions that one chunk of notes is for.
const CHUNK: u32 = 8;

#[derive(Clone, Copy, Debug, Default)]
struct Note {
    read: Slots,
    write: Slots,
    live: Slots,
}

/// Notes of [`CHUNK`] instructions, made when one of them is first walked: a chain of calls that walks little of a long
/// function costs little.
#[derive(Debug, Default)]
struct Chunk {
    /// Instructions that were walked at least once, a bit each. Only of those does `write` mean something.
    seen: u8,
    /// By frame; none where nothing was noted.
    frames: Vec<Option<Box<Notes>>>,
}

type Notes = [Note; CHUNK as usize];

impl Chunk {
    fn note(&self, frame: usize, bit: u32) -> Note {
        let notes = self.frames.get(frame).and_then(Option::as_deref);
        notes.and_then(|n| n.get(bit as usize)).copied().unwrap_or_default()
    }

    fn note_mut(&mut self, frame: usize, bit: u32) -> &mut Note {
        if self.frames.len() <= frame {
            self.frames.reserve_exact(frame + 1 - self.frames.len());
            self.frames.resize_with(frame + 1, || None);
        }
        let notes = self.frames[frame].get_or_insert_with(|| Box::new([Note::default(); CHUNK as usize]));
        &mut notes[(bit % CHUNK) as usize]
    }
}

/// One function under one chain of calls.
#[derive(Debug)]
struct Instance {
    start: u32,
    /// Slots of the function.
    len: u32,
    /// Frames of the chain.
    frames: u32,
    dirty: Vec<u32>,
    /// Where the calling instance stands.
    outer: Option<(u32, u32)>,
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
    chunks: Vec<Chunk>,
    /// Place of a chunk among all, by instance and number from its start.
    places: HashMap<(u32, u32), u32>,
    /// Bytes of the chunks' notes.
    noted: usize,
    /// By the calling instance (none: [`NONE`]) and the link from it to this one.
    by_link: HashMap<(u32, u64), u32>,
    current: Option<usize>,
    /// The chunk that the walk noted in last: instance, number of the chunk, its place.
    last: Option<(usize, u32, usize)>,
    /// Instances whose equations are not up to date.
    unsettled: BTreeSet<usize>,
    pub now: Accesses,
    flow: Flow,
    bounds: Vec<(u32, u32)>,
}

/// No instance calls it.
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
    /// `bounds` of the functions, ascending.
    pub fn new(flow: Flow, bounds: Vec<(u32, u32)>) -> StackLiveness {
        StackLiveness { flow, bounds, ..StackLiveness::default() }
    }

    /// Bytes that it takes.
    pub fn bytes(&self) -> u64 {
        let instances = self.instances.len() * (size_of::<Instance>() + size_of::<((u32, u64), u32)>());
        let chunks = self.chunks.len() * (size_of::<Chunk>() + size_of::<((u32, u32), u32)>());
        (self.flow.bytes() + instances + chunks + self.noted) as u64
    }

    /// The path is in another function or chain of calls than before.
    pub fn frames_changed(&mut self) {
        self.current = None;
    }

    /// The function that a chain of calls leads to, made if missing. `at`: an instruction of it.
    fn instance_of(&mut self, chain: &[u64], at: u32) -> usize {
        let mut outer = NONE;
        for (n, link) in chain.iter().enumerate() {
            // Every function but the last stands at the call of the next.
            let at = chain.get(n + 1).map_or(at, |next| (next >> 32) as u32);
            let next = self.instances.len() as u32;
            let known = *self.by_link.entry((outer, *link)).or_insert(next);
            if known == next {
                let sub = self.bounds.partition_point(|(start, _)| *start <= at).saturating_sub(1);
                let (start, end) = self.bounds.get(sub).copied().unwrap_or((0, 0));
                let outer = (outer != NONE).then_some((outer, (link >> 32) as u32));
                let len = end.saturating_sub(start);
                self.instances.push(Instance { start, len, frames: n as u32 + 1, dirty: Vec::new(), outer });
            }
            outer = known;
        }
        outer as usize
    }

    /// Call site and callee of each frame; a frame that nobody calls has the depth of asynchronous entries instead.
    fn link(frame: usize, callsite: u32, async_entry: u32, subprog: u32) -> u64 {
        let site = if frame == 0 { async_entry } else { callsite };
        u64::from(site) << 32 | u64::from(subprog)
    }

    /// The walk stands before the instruction at `at`, in `state`.
    pub fn stand(&mut self, state: &State, at: u32) {
        self.now = Accesses::default();
        if self.current.is_none() {
            let frames = state.frames.iter().enumerate();
            let chain: Vec<u64> =
                frames.map(|(n, f)| StackLiveness::link(n, f.callsite, f.async_entry, f.subprog)).collect();
            self.current = Some(self.instance_of(&chain, at));
        }
    }

    /// The chunk and the bit for an instruction of an instance, made if missing. `None` outside the function.
    fn chunk_at(&mut self, i: usize, at: u32) -> Option<(usize, u32)> {
        let instance = self.instances.get_mut(i)?;
        let rel = at.checked_sub(instance.start).filter(|rel| *rel < instance.len)?;
        let (number, bit) = (rel / CHUNK, rel % CHUNK);
        if let Some((last, n, place)) = self.last
            && (last, n) == (i, number)
        {
            return Some((place, bit));
        }
        let next = self.chunks.len() as u32;
        let place = *self.places.entry((i as u32, number)).or_insert(next);
        if place == next {
            self.chunks.push(Chunk::default());
        }
        let place = place as usize;
        self.last = Some((i, number, place));
        Some((place, bit))
    }

    fn note(&self, i: usize, frame: usize, at: u32) -> Note {
        let Some(instance) = self.instances.get(i) else { return Note::default() };
        let rel = at.wrapping_sub(instance.start);
        let place = self.places.get(&(i as u32, rel / CHUNK));
        let chunk = place.and_then(|place| self.chunks.get(*place as usize));
        chunk.map_or_else(Note::default, |chunk| chunk.note(frame, rel % CHUNK))
    }

    /// The note of an instruction, to be changed. `None` outside the function.
    fn note_mut(&mut self, i: usize, frame: usize, at: u32) -> Option<&mut Note> {
        let (place, bit) = self.chunk_at(i, at)?;
        let chunk = self.chunks.get_mut(place)?;
        let before = chunk.frames.len();
        if chunk.frames.get(frame).is_none_or(Option::is_none) {
            self.noted += size_of::<Notes>() + (frame + 1).saturating_sub(before) * size_of::<usize>();
        }
        Some(chunk.note_mut(frame, bit))
    }

    /// Files the accesses of the instruction at `at`, which has just been walked.
    pub fn commit(&mut self, at: u32) {
        let Some(i) = self.current else { return };
        let Some((place, bit)) = self.chunk_at(i, at) else { return };
        let Some(chunk) = self.chunks.get_mut(place) else { return };
        let seen = chunk.seen & (1 << bit) != 0;
        chunk.seen |= 1 << bit;
        let frames = self.instances.get(i).map_or(0, |x| x.frames as usize);
        let mut changed = false;
        for frame in 0..frames {
            let (read, write) = match self.now.any {
                true => (self.now.read[frame & 7], self.now.write[frame & 7]),
                false => (0, 0),
            };
            let old = self.chunks[place].note(frame, bit);
            let write = if seen { old.write & write } else { write };
            if (old.read | read != old.read || write != old.write)
                && let Some(note) = self.note_mut(i, frame, at)
            {
                changed = true;
                note.read |= read;
                note.write = write;
            }
        }
        self.now.any = false;
        if changed {
            self.touched(i, at);
        }
    }

    fn touched(&mut self, i: usize, at: u32) {
        if let Some(instance) = self.instances.get_mut(i) {
            instance.dirty.push(at);
            self.unsettled.insert(i);
        }
    }

    /// Brings the equations up to date, inner functions (which were entered later) first.
    fn settle(&mut self) {
        while let Some(i) = self.unsettled.pop_last() {
            self.settle_one(i);
        }
    }

    fn settle_one(&mut self, i: usize) {
        let Some(instance) = self.instances.get_mut(i) else { return };
        let (start, frames, outer) = (instance.start, instance.frames as usize, instance.outer);
        let mut work = std::mem::take(&mut instance.dirty);
        while let Some(at) = work.pop() {
            let (a, b) = self.flow.successors(at as usize);
            let mut changed = false;
            for frame in 0..frames {
                let live_at = |to: Option<usize>| to.map_or(0, |to| self.note(i, frame, to as u32).live);
                let after = live_at(a) | live_at(b);
                let note = self.note(i, frame, at);
                let live = (after & !note.write) | note.read;
                if live != note.live {
                    changed = true;
                    if let Some(note) = self.note_mut(i, frame, at) {
                        note.live = live;
                    }
                }
            }
            if changed {
                work.extend(self.flow.predecessors(at as usize));
            }
        }
        // What the function reads of its callers' frames, its call reads.
        let Some((outer, site)) = outer else { return };
        let outer = outer as usize;
        let mut changed = false;
        for frame in 0..frames - 1 {
            let live = self.note(i, frame, start).live;
            if live & !self.note(outer, frame, site).read != 0
                && let Some(note) = self.note_mut(outer, frame, site)
            {
                note.read |= live;
                changed = true;
            }
        }
        if changed {
            self.touched(outer, site);
        }
    }

    /// Live slots of each frame of a state that was walked to its end. `calls_back` tells call sites of callbacks.
    pub fn live_slots(&mut self, state: &Checkpoint, calls_back: impl Fn(u32) -> bool) -> Vec<Slots> {
        self.settle();
        let top = state.top();
        let mut live = vec![0; top + 1];
        let mut outer = NONE;
        for (depth, f) in state.frames().iter().enumerate() {
            let link = StackLiveness::link(depth, f.callsite, f.async_entry, f.subprog);
            let Some(&i) = self.by_link.get(&(outer, link)) else {
                // Never noted, nor what it called: nothing was read.
                break;
            };
            outer = i;
            let at = if depth == top {
                state.insn
            } else {
                let site = state.frame_insn(depth);
                if calls_back(site) { site } else { site + 1 }
            };
            for (frame, mask) in live.iter_mut().enumerate().take(depth + 1) {
                *mask |= self.note(i as usize, frame, at).live;
            }
        }
        live
    }
}
