//! A frame's stack: 8-byte slots, each with the kind of each of its bytes and at most one spilled register or special object.

use std::sync::Arc;

use super::meter::{self, Counted, Shared};
use super::reg::{Flags, RegState};

/// Bytes of stack that one frame may have.
pub(crate) const MAX_STACK: i32 = 512;

/// What one byte of the stack holds.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Byte {
    /// Never written.
    Invalid,
    /// Part of a spilled register.
    Spill,
    /// Written with something.
    Misc,
    /// Written with 0.
    Zero,
    Dynptr,
    Iter,
    IrqFlag,
}

impl Byte {
    /// Part of an object that only its kfuncs may touch.
    pub const fn is_special(self) -> bool {
        matches!(self, Byte::Dynptr | Byte::Iter | Byte::IrqFlag)
    }
}

/// Whether an open-coded iterator may have more to give.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum IterState {
    Active,
    Drained,
}

/// What a special object on the stack is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Object {
    /// `first` marks the slot of the lowest address, which holds the reference.
    Iter {
        kind: IterKind,
        state: IterState,
        depth: u32,
        first: bool,
    },
    /// `lock`: saved by taking a resilient lock.
    IrqFlag {
        lock: bool,
    },
    Dynptr {
        kind: DynptrKind,
        first: bool,
    },
}

/// Open-coded iterators that Backstop knows.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum IterKind {
    Num,
    Bits,
    Task,
    Css,
    CssTask,
    TaskVma,
    KmemCache,
}

impl IterKind {
    pub const fn name(self) -> &'static str {
        match self {
            IterKind::Num => "num",
            IterKind::Bits => "bits",
            IterKind::Task => "task",
            IterKind::Css => "css",
            IterKind::CssTask => "css_task",
            IterKind::TaskVma => "task_vma",
            IterKind::KmemCache => "kmem_cache",
        }
    }

    /// The iterator whose struct has this name.
    pub fn by_struct(name: &str) -> Option<IterKind> {
        let known = [
            IterKind::Num,
            IterKind::Bits,
            IterKind::Task,
            IterKind::Css,
            IterKind::CssTask,
            IterKind::TaskVma,
            IterKind::KmemCache,
        ];
        let name = name.strip_prefix("bpf_iter_")?;
        known.into_iter().find(|kind| kind.name() == name)
    }

    pub const fn slots(self) -> usize {
        match self {
            IterKind::Num | IterKind::CssTask | IterKind::TaskVma | IterKind::KmemCache => 1,
            IterKind::Bits => 2,
            IterKind::Task | IterKind::Css => 3,
        }
    }
}

/// What a dynptr is over.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum DynptrKind {
    Local,
    Ringbuf,
    Skb,
    Xdp,
}

/// Eight bytes of stack. Byte 0 is the lowest address.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Slot {
    pub bytes: [Byte; 8],
    /// Spilled register, or the identity (`ref_id`, `id`, flags) of a special object.
    pub reg: Option<Shared<RegState>>,
    pub object: Option<Object>,
}

impl Slot {
    pub const EMPTY: Slot = Slot { bytes: [Byte::Invalid; 8], reg: None, object: None };

    /// A register was spilled at its lowest byte.
    pub fn is_spill(&self) -> bool {
        self.bytes[0] == Byte::Spill
    }

    /// The spilled register; not initialised if a variable store has hit it.
    pub fn spilled(&self) -> &RegState {
        self.reg.as_ref().map_or(&RegState::NOT_INIT, |r| r)
    }

    pub fn is_spilled_scalar(&self) -> bool {
        self.is_spill() && self.spilled().is_scalar()
    }

    /// All eight bytes belong to one spilled scalar.
    pub fn is_spilled_scalar64(&self) -> bool {
        self.bytes[7] == Byte::Spill && self.is_spilled_scalar()
    }

    /// How many bytes of the register were spilled.
    pub fn spill_size(&self) -> u32 {
        self.bytes.iter().take_while(|b| **b == Byte::Spill).count() as u32
    }

    pub fn is_special(&self) -> bool {
        self.bytes.iter().any(|b| b.is_special() || *b == Byte::Spill)
    }

    pub fn reference(&self) -> u32 {
        self.reg.as_ref().map_or(0, |r| r.ref_id)
    }

    pub fn reg_flags(&self) -> Flags {
        self.reg.as_ref().map_or(Flags::NONE, |r| r.flags)
    }

    /// Spilled register, to change. The caller has seen `is_spill`.
    pub fn spilled_mut(&mut self) -> Option<&mut RegState> {
        self.reg.as_mut().map(|r| &mut **Arc::make_mut(r))
    }

    /// Makes all bytes that belong to something plain.
    pub fn scrub(&mut self) {
        for b in &mut self.bytes {
            if *b != Byte::Invalid {
                *b = Byte::Misc;
            }
        }
        self.object = None;
    }
}

/// Slots that are copied together.
pub(crate) const CHUNK: usize = 4;

/// Slots side by side.
pub(crate) type Chunk = [Slot; CHUNK];

/// The slots of one frame that were used so far; index 0 is the highest address (fp-8). Copies share all chunks that were not
/// written since.
#[derive(Clone, Debug, Default)]
pub(crate) struct Stack {
    len: usize,
    /// The slots beyond `len` in the last one are empty.
    chunks: Option<Arc<[Shared<Chunk>]>>,
}

/// What is weighed of the row of a stack's chunks.
fn row_bytes(chunks: &[Shared<Chunk>]) -> usize {
    size_of_val(chunks) + 2 * size_of::<usize>()
}

impl Drop for Stack {
    fn drop(&mut self) {
        self.forget_row();
    }
}

impl Stack {
    const EMPTY_CHUNK: Chunk = [Slot::EMPTY; CHUNK];

    /// A stack of these chunks.
    pub fn of(len: usize, chunks: Vec<Shared<Chunk>>) -> Stack {
        meter::add(row_bytes(&chunks));
        Stack { len, chunks: Some(chunks.into()) }
    }

    fn forget_row(&mut self) {
        if let Some(chunks) = self.chunks.take()
            && Arc::strong_count(&chunks) == 1
        {
            meter::sub(row_bytes(&chunks));
        }
    }

    /// Slots that it has.
    pub fn len(&self) -> usize {
        self.len
    }

    pub fn chunks(&self) -> &[Shared<Chunk>] {
        self.chunks.as_deref().unwrap_or(&[])
    }

    pub fn get(&self, i: usize) -> Option<&Slot> {
        if i >= self.len {
            return None;
        }
        self.chunks().get(i / CHUNK).and_then(|chunk| chunk.get(i % CHUNK))
    }

    pub fn iter(&self) -> impl Iterator<Item = &Slot> {
        self.chunks().iter().flat_map(|chunk| chunk.iter()).take(self.len)
    }

    /// Has at least so many slots afterwards.
    pub fn grow(&mut self, slots: usize) {
        if slots <= self.len {
            return;
        }
        let chunks = self.chunks();
        let wanted = slots.div_ceil(CHUNK);
        if chunks.len() < wanted {
            let empty = Counted::shared(Stack::EMPTY_CHUNK);
            let more = std::iter::repeat_n(empty, wanted - chunks.len());
            let chunks: Vec<_> = chunks.iter().cloned().chain(more).collect();
            self.forget_row();
            *self = Stack::of(slots, chunks);
        }
        self.len = slots;
    }

    /// A slot to write, made if missing.
    pub fn slot_mut(&mut self, i: usize) -> &mut Slot {
        self.grow(i + 1);
        // There since it grew.
        let chunks = self.chunks.get_or_insert_with(|| Arc::new([]));
        if Arc::strong_count(chunks) > 1 {
            meter::add(row_bytes(chunks));
        }
        let chunk = &mut Arc::make_mut(chunks)[i / CHUNK];
        &mut Arc::make_mut(chunk)[i % CHUNK]
    }

    /// Slots that both have and that may differ, with their numbers.
    pub fn changed<'s>(&'s self, now: &'s Stack) -> impl Iterator<Item = (usize, &'s Slot, &'s Slot)> {
        let both = self.len.min(now.len);
        let chunks = self.chunks().iter().zip(now.chunks()).enumerate().filter(|(_, (a, b))| !Arc::ptr_eq(a, b));
        let slots = chunks
            .flat_map(|(n, (a, b))| a.iter().zip(b.iter()).enumerate().map(move |(i, (a, b))| (n * CHUNK + i, a, b)));
        slots.take_while(move |(i, _, _)| *i < both)
    }

    /// Nothing was written to either since one was copied from the other.
    pub fn same(&self, other: &Stack) -> bool {
        self.len == other.len
            && match (&self.chunks, &other.chunks) {
                (Some(a), Some(b)) => Arc::ptr_eq(a, b),
                (a, b) => a.is_none() && b.is_none(),
            }
    }
}

/// Slot index of a byte at a negative frame offset.
pub(crate) const fn spi(off: i32) -> usize {
    ((-off - 1) / 8) as usize
}

/// Place of a byte at a negative frame offset in its slot.
pub(crate) const fn byte_in_slot(off: i32) -> usize {
    7 - ((-off - 1) % 8) as usize
}
