//! A frame's stack: 8-byte slots, each with the kind of each of its bytes and at most one spilled register or special object.

use std::sync::Arc;

use super::reg::{Flags, RegState};

/// Bytes of stack that one frame may have.
pub(crate) const MAX_STACK: i32 = 512;

/// What one byte of the stack holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
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
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum IterState {
    Active,
    Drained,
}

/// What a special object on the stack is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
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
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum IterKind {
    Num,
    Bits,
}

impl IterKind {
    pub const fn name(self) -> &'static str {
        match self {
            IterKind::Num => "num",
            IterKind::Bits => "bits",
        }
    }

    pub const fn slots(self) -> usize {
        match self {
            IterKind::Num => 1,
            IterKind::Bits => 2,
        }
    }
}

/// What a dynptr is over.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum DynptrKind {
    Local,
    Ringbuf,
    Skb,
    Xdp,
}

/// Eight bytes of stack. Byte 0 is the lowest address.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Slot {
    pub bytes: [Byte; 8],
    /// Spilled register, or the identity (`ref_id`, `id`, flags) of a special object.
    pub reg: Option<Arc<RegState>>,
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
        self.reg.as_deref().unwrap_or(&RegState::NOT_INIT)
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
        self.reg.as_mut().map(Arc::make_mut)
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

/// The slots of one frame that were used so far; index 0 is the highest address (fp-8).
pub(crate) type Slots = Vec<Slot>;

/// Slot index of a byte at a negative frame offset.
pub(crate) const fn spi(off: i32) -> usize {
    ((-off - 1) / 8) as usize
}

/// Place of a byte at a negative frame offset in its slot.
pub(crate) const fn byte_in_slot(off: i32) -> usize {
    7 - ((-off - 1) % 8) as usize
}
