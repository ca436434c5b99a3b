//! What the generator knows of registers and stack at the place where it writes: a coarse image of the verifier's own state, so that most
//! programs are accepted.

use backstop::isa::Reg;

/// Bytes of stack that a generated function uses, in words of 8: eight frames stay below Linux's 512.
pub(super) const STACK_WORDS: usize = 6;

/// What a register or stack word holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    /// Nothing that may be relied on.
    Unknown,
    /// A number.
    Scalar,
    /// In use by something that nothing else may touch.
    Opaque,
    /// The context.
    Ctx,
    /// So many bytes that may be read and written.
    Memory {
        /// Length.
        len: u32,
        /// Whether they may be written.
        writable: bool,
        /// Whether atomics are allowed on it.
        atomics: bool,
    },
    /// The packet's start, with so many bytes proved.
    Packet { len: u32 },
}

impl Kind {
    /// Plain memory that can be written.
    pub(super) const fn memory(len: u32) -> Kind {
        Kind::Memory { len, writable: true, atomics: true }
    }

    pub(super) fn is_pointer(self) -> bool {
        !matches!(self, Kind::Unknown | Kind::Scalar | Kind::Opaque)
    }
}

/// Registers r0 to r9 and the frame's words (word 0 is at r10 - 8).
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct State {
    pub(super) regs: [Kind; 10],
    pub(super) stack: [Kind; STACK_WORDS],
    /// Registers that the enclosing loop relies on.
    pub(super) frozen: [bool; 10],
}

/// Numbers of registers or stack words: a list that every statement makes some of, and that no heap is asked for.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Few {
    all: [usize; 10],
    len: usize,
}

impl Few {
    pub(super) fn retain(&mut self, keep: impl Fn(&usize) -> bool) {
        *self = self.into_iter().filter(keep).collect();
    }

    pub(super) fn as_slice(&self) -> &[usize] {
        self.all.get(..self.len).unwrap_or(&self.all)
    }
}

impl std::ops::Deref for Few {
    type Target = [usize];

    fn deref(&self) -> &[usize] {
        self.as_slice()
    }
}

impl IntoIterator for Few {
    type Item = usize;
    type IntoIter = std::iter::Take<std::array::IntoIter<usize, 10>>;

    fn into_iter(self) -> Self::IntoIter {
        self.all.into_iter().take(self.len)
    }
}

impl FromIterator<usize> for Few {
    fn from_iter<I: IntoIterator<Item = usize>>(numbers: I) -> Few {
        let mut few = Few::default();
        for (place, n) in few.all.iter_mut().zip(numbers) {
            *place = n;
            few.len += 1;
        }
        few
    }
}

/// r0 to r9.
pub(super) fn reg(n: usize) -> Reg {
    Reg::new(n as u8).unwrap_or(Reg::R0)
}

/// Offset of a stack word from r10.
pub(super) const fn word_off(word: usize) -> i16 {
    -8 * (word as i16 + 1)
}

impl State {
    pub(super) fn new() -> State {
        State { regs: [Kind::Unknown; 10], stack: [Kind::Unknown; STACK_WORDS], frozen: [false; 10] }
    }

    pub(super) fn get(&self, n: usize) -> Kind {
        self.regs.get(n).copied().unwrap_or(Kind::Unknown)
    }

    pub(super) fn set(&mut self, n: usize, kind: Kind) {
        if let Some(reg) = self.regs.get_mut(n) {
            *reg = kind;
        }
    }

    pub(super) fn word(&self, n: usize) -> Kind {
        self.stack.get(n).copied().unwrap_or(Kind::Unknown)
    }

    pub(super) fn set_word(&mut self, n: usize, kind: Kind) {
        if let Some(word) = self.stack.get_mut(n) {
            *word = kind;
        }
    }

    /// Registers for which `wanted` holds.
    pub(super) fn regs_where(&self, wanted: impl Fn(Kind) -> bool) -> Few {
        (0..10).filter(|n| wanted(self.get(*n))).collect()
    }

    pub(super) fn writable(&self) -> Few {
        (0..10).filter(|n| !self.frozen.get(*n).copied().unwrap_or(true)).collect()
    }

    /// What a call of anything leaves: r1 to r5 are gone, and packet pointers everywhere.
    pub(super) fn after_call(&mut self, result: Kind) {
        self.set(0, result);
        (1..=5).for_each(|n| self.set(n, Kind::Unknown));
        self.forget_packets();
    }

    pub(super) fn forget_packets(&mut self) {
        for kind in self.regs.iter_mut().chain(&mut self.stack) {
            if matches!(kind, Kind::Packet { .. }) {
                *kind = Kind::Unknown;
            }
        }
    }

    /// What holds where two paths meet.
    pub(super) fn meet(&mut self, other: &State) {
        let ours = self.regs.iter_mut().chain(&mut self.stack);
        for (own, theirs) in ours.zip(other.regs.iter().chain(&other.stack)) {
            if own != theirs {
                *own = Kind::Unknown;
            }
        }
    }

    /// Prepares for code that may run again: what it can't be kept from changing is forgotten, the other pointers are frozen.
    pub(super) fn enter_loop(&mut self) {
        self.forget_packets();
        for n in 0..10 {
            let pointer = self.get(n).is_pointer();
            if pointer && n <= 5 {
                self.set(n, Kind::Unknown);
            } else if pointer && let Some(frozen) = self.frozen.get_mut(n) {
                *frozen = true;
            }
        }
        for word in &mut self.stack {
            if word.is_pointer() {
                *word = Kind::Unknown;
            }
        }
    }
}
