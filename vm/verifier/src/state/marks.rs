//! Which scalars of a kept state are precise: a decision rests on their values, so pruning must compare them.
//!
//! The marks stand beside the frames, not in them: a state is marked after it was kept, and its frames go on being shared with
//! the states around it. The state that walks has none.

use super::State;

/// Precise scalars of one frame: registers, and spilled ones by slot.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Marks {
    pub regs: u16,
    pub slots: u64,
}

impl Marks {
    pub const fn reg(self, i: usize) -> bool {
        self.regs & (1 << (i & 15)) != 0
    }

    pub const fn slot(self, i: usize) -> bool {
        self.slots & (1 << (i & 63)) != 0
    }
}

impl State {
    pub fn marks_of(&self, frame: usize) -> Marks {
        self.marks.get(frame).copied().unwrap_or_default()
    }

    /// Adds marks; true if any is new.
    pub fn mark(&mut self, frame: usize, add: Marks) -> bool {
        let old = self.marks_of(frame);
        let new = Marks { regs: old.regs | add.regs, slots: old.slots | add.slots };
        if new == old {
            return false;
        }
        if self.marks.is_empty() {
            self.marks = vec![Marks::default(); self.frames.len()].into_boxed_slice();
        }
        if let Some(marks) = self.marks.get_mut(frame) {
            *marks = new;
        }
        true
    }

    /// Marks every scalar; true if any was not.
    pub fn mark_all(&mut self) -> bool {
        let mut changed = false;
        for n in 0..self.frames.len() {
            let frame = &self.frames[n];
            let regs = frame.regs.iter().enumerate().filter(|(_, r)| r.is_scalar()).fold(0, |m, (i, _)| m | 1 << i);
            let spilled = frame.stack.iter().enumerate().filter(|(_, s)| s.is_spilled_scalar());
            let slots = spilled.fold(0, |m, (i, _)| m | 1 << (i & 63));
            changed |= self.mark(n, Marks { regs, slots });
        }
        changed
    }
}
