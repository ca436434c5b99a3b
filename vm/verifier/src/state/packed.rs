//! Frames of kept states, in little room.
//!
//! States of one program are much alike: what a register holds, a few slots of stack and often a whole frame come again on other
//! paths. So a packed frame only points to what its registers hold, and what is packed is looked up among what was packed lately.

use std::hash::{BuildHasher, Hash, Hasher};
use std::sync::Arc;

use backstop_isa::Reg;
use foldhash::fast::FixedState;

use super::meter::{Counted, Shared};
use super::stack::{CHUNK, Chunk, Slot, Stack};
use super::{Frame, FrameRole, RegState, RetRange};

/// A frame as it was when a state was kept.
#[derive(Debug)]
pub(crate) struct PackedFrame {
    /// None where nothing is known.
    regs: [Option<Shared<RegState>>; Reg::COUNT],
    pub stack: Stack,
    pub subprog: u32,
    pub callsite: u32,
    pub role: FrameRole,
    pub ret_range: RetRange,
    pub callback_depth: u32,
    pub async_entry: u32,
}

impl PackedFrame {
    pub fn reg(&self, i: usize) -> &RegState {
        self.regs.get(i).and_then(Option::as_ref).map_or(&RegState::NOT_INIT, |r| r)
    }

    pub fn regs(&self) -> impl Iterator<Item = &RegState> {
        (0..Reg::COUNT).map(|i| self.reg(i))
    }

    /// The frame as it was.
    pub fn unpack(&self) -> Frame {
        let mut regs = [RegState::NOT_INIT; Reg::COUNT];
        for (to, from) in regs.iter_mut().zip(self.regs()) {
            *to = *from;
        }
        Frame {
            regs,
            stack: self.stack.clone(),
            subprog: self.subprog,
            callsite: self.callsite,
            role: self.role,
            ret_range: self.ret_range,
            callback_depth: self.callback_depth,
            async_entry: self.async_entry,
            packed: Default::default(),
        }
    }

    fn hash(&self) -> u64 {
        let address = |r: &Option<Shared<RegState>>| r.as_ref().map_or(0, |r| Arc::as_ptr(r).addr());
        let mut hasher = HASHER.build_hasher();
        self.regs.iter().for_each(|r| hasher.write_usize(address(r)));
        self.stack.chunks().iter().for_each(|chunk| hasher.write_usize(Arc::as_ptr(chunk).addr()));
        hasher.write_u64(u64::from(self.subprog) << 32 | u64::from(self.callsite));
        hasher.finish()
    }

    /// Points to the same parts, and is the same in the rest.
    fn same(&self, other: &PackedFrame) -> bool {
        let reg = |(a, b): (&Option<Shared<RegState>>, &Option<Shared<RegState>>)| match (a, b) {
            (Some(a), Some(b)) => Arc::ptr_eq(a, b),
            (a, b) => a.is_none() && b.is_none(),
        };
        let (ours, theirs) = (self.stack.chunks(), other.stack.chunks());
        let rest = |f: &PackedFrame| {
            (f.stack.len(), f.subprog, f.callsite, f.role, f.ret_range, f.callback_depth, f.async_entry)
        };
        self.regs.iter().zip(&other.regs).all(reg)
            && ours.len() == theirs.len()
            && ours.iter().zip(theirs).all(|(a, b)| Arc::ptr_eq(a, b))
            && rest(self) == rest(other)
    }
}

/// A hash of what mostly tells registers apart.
fn hash_reg(r: &RegState) -> u64 {
    let mut hasher = HASHER.build_hasher();
    hasher.write_u64(u64::from(r.id) << 32 | u64::from(r.off as u32));
    hasher.write_u64(r.var.umin ^ u64::from(r.ref_id) << 32);
    hasher.write_u64(r.var.umax);
    hasher.write_u64(r.var.smin as u64);
    std::mem::discriminant(&r.kind).hash(&mut hasher);
    hasher.finish()
}

fn hash_chunk(chunk: &Chunk) -> u64 {
    let mut hasher = HASHER.build_hasher();
    for slot in chunk {
        slot.bytes.iter().for_each(|b| hasher.write_u8(*b as u8));
        hasher.write_u64(slot.reg.as_ref().map_or(0, |r| hash_reg(r)));
    }
    hasher.finish()
}

/// Places that a new [`Cache`] has, and those that it may grow to. Powers of two.
const FEW: usize = 1 << 6;
const MANY: usize = 1 << 13;

/// What was packed lately, each in the one place that its hash gives it.
#[derive(Debug)]
struct Cache<T> {
    places: Vec<Option<Shared<T>>>,
    /// Values that found their place taken since the cache last grew.
    displaced: usize,
}

impl<T> Default for Cache<T> {
    fn default() -> Self {
        Cache { places: Vec::new(), displaced: 0 }
    }
}

impl<T> Cache<T> {
    fn find(&self, hash: u64, same: impl Fn(&T) -> bool) -> Option<Shared<T>> {
        let place = hash as usize & self.places.len().wrapping_sub(1);
        self.places.get(place)?.as_ref().filter(|there| same(there)).cloned()
    }

    fn put(&mut self, hash: u64, value: &Shared<T>) {
        if self.displaced >= self.places.len() && self.places.len() < MANY {
            let wanted = (self.places.len() * 4).clamp(FEW, MANY);
            self.places.clear();
            self.places.resize_with(wanted, || None);
            self.displaced = 0;
        }
        let place = hash as usize & (self.places.len() - 1);
        if let Some(place) = self.places.get_mut(place) {
            self.displaced += usize::from(place.is_some());
            *place = Some(value.clone());
        }
    }
}

/// Packs frames.
#[derive(Debug)]
pub(crate) struct Packer {
    /// So many states are kept that it pays to look for what was packed before.
    many: bool,
    /// A chunk of slots of which nothing is known.
    empty: Shared<Chunk>,
    regs: Cache<RegState>,
    chunks: Cache<Chunk>,
    frames: Cache<PackedFrame>,
}

/// The same on every run, so that a proof takes the same memory each time.
const HASHER: FixedState = FixedState::with_seed(0x5eed);

/// States from which on alike parts are looked for.
const MANY_STATES: u64 = 1024;

impl Default for Packer {
    fn default() -> Self {
        let empty = Counted::shared([Slot::EMPTY; CHUNK]);
        Packer { many: false, empty, regs: Cache::default(), chunks: Cache::default(), frames: Cache::default() }
    }
}

impl Packer {
    /// So many states are kept.
    pub fn expect(&mut self, states: u64) {
        self.many |= states >= MANY_STATES;
    }

    /// The frame, packed: what has not changed since `before`, when the state before was kept, is shared with that.
    pub fn pack(&mut self, frame: &Frame, before: Option<&Shared<PackedFrame>>) -> Shared<PackedFrame> {
        if let Some(packed) = frame.packed.get() {
            return packed.clone();
        }
        let mut regs = [const { None }; Reg::COUNT];
        for (i, (to, from)) in regs.iter_mut().zip(&frame.regs).enumerate() {
            *to = self.reg(from, before.and_then(|b| b.regs[i].as_ref()));
        }
        let packed = PackedFrame {
            regs,
            stack: self.stack(&frame.stack, before.map(|b| &b.stack)),
            subprog: frame.subprog,
            callsite: frame.callsite,
            role: frame.role,
            ret_range: frame.ret_range,
            callback_depth: frame.callback_depth,
            async_entry: frame.async_entry,
        };
        let packed = match before.filter(|b| b.same(&packed)) {
            Some(before) => before.clone(),
            None => self.frame(packed),
        };
        // The same for all that share the frame.
        let _ = frame.packed.set(packed.clone());
        packed
    }

    /// Takes what is dead off a frame.
    pub fn forget(
        &mut self,
        frame: &mut Shared<PackedFrame>,
        reg: impl Fn(usize) -> bool,
        slot: impl Fn(usize, &Slot) -> bool,
    ) {
        let stack = self.less_stack(&frame.stack, slot);
        let dead = |(i, r): (usize, &mut Option<Shared<RegState>>)| r.take_if(|_| reg(i)).is_some();
        if let Some(alone) = Arc::get_mut(frame).filter(|_| !self.many) {
            for r in alone.regs.iter_mut().enumerate() {
                dead(r);
            }
            if let Some(stack) = stack {
                alone.stack = stack;
            }
            return;
        }
        let mut regs = frame.regs.clone();
        let in_regs = regs.iter_mut().enumerate().fold(false, |any, r| dead(r) | any);
        if !in_regs && stack.is_none() {
            return;
        }
        let stack = stack.unwrap_or_else(|| frame.stack.clone());
        *frame = self.frame(PackedFrame { regs, stack, ..***frame });
    }

    /// The stack without what is dead. `None` if that is the same.
    fn less_stack(&mut self, stack: &Stack, dead: impl Fn(usize, &Slot) -> bool) -> Option<Stack> {
        let mut less: Option<Vec<Shared<Chunk>>> = None;
        for (n, chunk) in stack.chunks().iter().enumerate() {
            let dead = |i: usize| chunk.get(i).is_some_and(|s| dead(n * CHUNK + i, s));
            if Arc::ptr_eq(chunk, &self.empty) || !(0..CHUNK).any(dead) {
                continue;
            }
            let new = if (0..CHUNK).all(|i| dead(i) || chunk[i] == Slot::EMPTY) {
                self.empty.clone()
            } else {
                let left = std::array::from_fn(|i| if dead(i) { Slot::EMPTY } else { chunk[i].clone() });
                self.chunk(&Counted::shared(left))
            };
            less.get_or_insert_with(|| stack.chunks().to_vec())[n] = new;
        }
        less.map(|chunks| Stack::of(stack.len(), chunks))
    }

    /// Bytes of the tables; what stands in them is weighed with the rest.
    pub fn table_bytes(&self) -> usize {
        (self.regs.places.len() + self.chunks.places.len() + self.frames.places.len()) * size_of::<usize>()
    }

    fn reg(&mut self, r: &RegState, before: Option<&Shared<RegState>>) -> Option<Shared<RegState>> {
        if !r.is_init() && *r == RegState::NOT_INIT {
            return None;
        }
        if let Some(before) = before.filter(|b| ****b == *r) {
            return Some(before.clone());
        }
        if !self.many {
            return Some(Counted::shared(*r));
        }
        let hash = hash_reg(r);
        let known = self.regs.find(hash, |there| there == r);
        Some(known.unwrap_or_else(|| {
            let new = Counted::shared(*r);
            self.regs.put(hash, &new);
            new
        }))
    }

    fn stack(&mut self, stack: &Stack, before: Option<&Stack>) -> Stack {
        if !self.many || before.is_some_and(|b| b.same(stack)) {
            return stack.clone();
        }
        let before = before.map_or(&[][..], Stack::chunks);
        let unchanged = |a: &Shared<Chunk>, b: Option<&Shared<Chunk>>| b.is_some_and(|b| Arc::ptr_eq(a, b));
        let chunks = stack.chunks().iter().enumerate();
        let chunks: Vec<_> = chunks
            .map(|(i, chunk)| if unchanged(chunk, before.get(i)) { chunk.clone() } else { self.chunk(chunk) })
            .collect();
        if chunks.iter().zip(stack.chunks()).all(|(a, b)| Arc::ptr_eq(a, b)) {
            return stack.clone();
        }
        Stack::of(stack.len(), chunks)
    }

    fn chunk(&mut self, chunk: &Shared<Chunk>) -> Shared<Chunk> {
        if !self.many {
            return chunk.clone();
        }
        let hash = hash_chunk(chunk);
        self.chunks.find(hash, |there| *there == ***chunk).unwrap_or_else(|| {
            self.chunks.put(hash, chunk);
            chunk.clone()
        })
    }

    fn frame(&mut self, frame: PackedFrame) -> Shared<PackedFrame> {
        if !self.many {
            return Counted::shared(frame);
        }
        let hash = frame.hash();
        self.frames.find(hash, |there| there.same(&frame)).unwrap_or_else(|| {
            let new = Counted::shared(frame);
            self.frames.put(hash, &new);
            new
        })
    }
}
