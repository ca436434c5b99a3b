//! What a path did since its last kept state, as far as walking precision back needs it.

use std::sync::Arc;

/// Most registers that one comparison refines together.
pub(crate) const MAX_LINKED: usize = 6;

/// A register or a stack slot of a frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Linked {
    pub frame: u8,
    pub is_reg: bool,
    /// Register number or slot index.
    pub index: u8,
}

/// Registers that hold the same scalar (up to a constant).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct LinkedSet {
    items: [Linked; MAX_LINKED],
    len: u8,
}

impl LinkedSet {
    pub fn as_slice(&self) -> &[Linked] {
        self.items.get(..self.len as usize).unwrap_or(&[])
    }

    pub fn len(&self) -> usize {
        self.len as usize
    }

    /// False if there is no room.
    pub fn push(&mut self, item: Linked) -> bool {
        match self.items.get_mut(self.len as usize) {
            Some(place) => {
                *place = item;
                self.len += 1;
                true
            }
            None => false,
        }
    }
}

/// What an instruction did that can't be read from its text.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Access {
    /// Spill to, or fill from, this slot of this frame.
    pub stack: Option<(u8, u8)>,
    /// A compare's source was a stack pointer.
    pub src_is_stack: bool,
    /// A compare's destination was a stack pointer.
    pub dst_is_stack: bool,
}

/// An instruction worth remembering.
#[derive(Clone, Debug)]
pub(crate) struct HistEntry {
    pub insn: u32,
    pub prev: u32,
    pub access: Access,
    pub linked: Option<Arc<LinkedSet>>,
}
