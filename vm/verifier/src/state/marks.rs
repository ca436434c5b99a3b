//! Which scalars of a kept state are precise: a decision rests on their values, so pruning must compare them.
//!
//! The marks stand beside the frames, not in them: a state is marked after it was kept, and its frames go on being shared with
//! the states around it. The state that walks has none.

use backstop_isa::Reg;

use super::meter::Row;
use super::{MAX_FRAMES, State};

/// Values of one frame: registers, and what is spilled, by slot.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Marks {
    pub regs: u16,
    pub slots: u64,
}

impl Marks {
    pub const ALL: Marks = Marks { regs: (1 << Reg::COUNT) - 1, slots: u64::MAX };

    /// Those of both.
    pub const fn both(self, other: Marks) -> Marks {
        Marks { regs: self.regs & other.regs, slots: self.slots & other.slots }
    }

    pub const fn reg(self, i: usize) -> bool {
        self.regs & (1 << (i & 15)) != 0
    }

    pub const fn slot(self, i: usize) -> bool {
        self.slots & (1 << (i & 63)) != 0
    }
}

/// Marks by frame. Most are of registers.
#[derive(Debug, Default)]
pub(crate) struct AllMarks {
    regs: [u16; MAX_FRAMES],
    /// Up to the innermost frame that has any.
    slots: Row<u64>,
}

impl AllMarks {
    pub fn of(&self, frame: usize) -> Marks {
        Marks {
            regs: self.regs.get(frame).copied().unwrap_or_default(),
            slots: self.slots.get(frame).copied().unwrap_or_default(),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.slots.is_empty() && self.regs.iter().all(|r| *r == 0)
    }

    /// Adds marks; true if any is new.
    pub fn add(&mut self, frame: usize, add: Marks) -> bool {
        let old = self.of(frame);
        let Some(regs) = self.regs.get_mut(frame) else { return false };
        *regs |= add.regs;
        if add.slots & !old.slots != 0 {
            if self.slots.len() <= frame {
                let missing = std::iter::repeat_n(0, frame + 1 - self.slots.len());
                self.slots = self.slots.iter().copied().chain(missing).collect();
            }
            self.slots[frame] |= add.slots;
        }
        self.of(frame) != old
    }
}

impl State {
    pub fn marks_of(&self, frame: usize) -> Marks {
        self.marks.get(frame).copied().unwrap_or_default()
    }
}
