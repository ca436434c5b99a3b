//! Live frames, and the shadow that says what in them was written.

use std::cell::Cell;

use backstop_abi::MAX_STACK;

use super::Nearest;
use super::marks::{Marks, bit};
use crate::Code;
use crate::access::{Enter, Entered};
use crate::op::R;
use crate::run::{Regs, Root};

/// Words of a frame's shadow: a bit a byte.
const SHADOW: usize = MAX_STACK as usize / 64;
/// Bits of r0 to r5, which calls do not keep.
const LOST: u16 = 0b11_1111;

/// A live frame.
pub(crate) struct Frame {
    /// Its r10.
    top: u64,
    /// Bytes of stack.
    size: u32,
    /// First slot of its function.
    pub(super) function: u32,
    /// How it was made.
    pub(super) how: Enter,
    /// Registers that were written, by bit.
    pub(super) written: u16,
    /// r6 to r10 at the call that it is in, if it is not the innermost one.
    pub(super) saved: [u64; 5],
    /// Slot of that call.
    pub(super) call: u32,
    /// Bytes that were written, counted down from `top`.
    shadow: [u64; SHADOW],
}

impl Frame {
    pub(super) fn top(&self) -> u64 {
        self.top
    }

    fn low(&self) -> u64 {
        self.top - u64::from(self.size)
    }

    /// Bits of an access that lies inside: places in the shadow.
    fn bits(&self, at: u64, size: u64) -> impl Iterator<Item = (usize, u64)> + use<> {
        let (from, to) = (self.top - at - size, self.top - at);
        (from..to).map(|bit| ((bit / 64) as usize, 1 << (bit % 64)))
    }

    pub(super) fn write(&mut self, at: u64, size: u64) {
        for (word, bit) in self.bits(at, size) {
            if let Some(word) = self.shadow.get_mut(word) {
                *word |= bit;
            }
        }
    }

    /// Offset from r10 of the lowest byte that was never written.
    pub(super) fn unwritten(&self, at: u64, size: u64) -> Option<i64> {
        let lowest = (at..at + size).find(|byte| !self.is_written(*byte))?;
        Some(lowest.wrapping_sub(self.top) as i64)
    }

    /// Whether a byte inside was written.
    pub(super) fn is_written(&self, byte: u64) -> bool {
        self.bits(byte, 1).all(|(word, bit)| self.shadow.get(word).is_some_and(|word| word & bit != 0))
    }

    pub(crate) fn holds(&self, address: u64) -> bool {
        address < self.top && address >= self.low()
    }
}

/// All live frames of a run, outermost first, those of programs that called others in their place included.
#[derive(Default)]
pub(super) struct Frames {
    all: Vec<Frame>,
    /// The frame that was accessed last: where to look first.
    last: Cell<usize>,
}

impl Frames {
    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    /// The live frame whose stack an address lies in.
    #[inline]
    pub(super) fn holding(&mut self, address: u64) -> Option<&mut Frame> {
        let hint = self.last.get();
        let found = match self.all.get(hint) {
            Some(frame) if frame.holds(address) => hint,
            _ => self.all.iter().rposition(|frame| frame.holds(address))?,
        };
        self.last.set(found);
        self.all.get_mut(found)
    }

    /// Frames of the program that runs: from its main function (or exception callback) on.
    pub(super) fn current(&self) -> &[Frame] {
        let root =
            self.all.iter().rposition(|frame| matches!(frame.how, Enter::Root(Root::Main | Root::ExceptionCallback)));
        self.all.get(root.unwrap_or(0)..).unwrap_or_default()
    }

    pub(super) fn nearest(&self, at: u64, size: u64) -> Option<Nearest> {
        let near = |frame: &Frame| Nearest { kind: None, start: frame.low(), len: u64::from(frame.size) };
        let sized = self.all.iter().rev().filter(|frame| frame.size != 0);
        sized.map(near).min_by_key(|found| found.gap(at, size))
    }

    /// A register that an operation reads and that was never written, by number.
    #[inline]
    pub(super) fn missing(&self, marks: &Marks) -> Option<u8> {
        let frame = self.all.last()?;
        let mut missing = marks.reads & !frame.written;
        // What a subprogram leaves in r0 is its caller's business.
        if marks.returns && frame.how != Enter::Call {
            missing |= bit(R::R0) & !frame.written;
        }
        (missing != 0).then(|| missing.trailing_zeros() as u8)
    }

    /// Notes what an operation writes.
    #[inline]
    pub(super) fn run(&mut self, marks: &Marks, regs: &Regs) {
        let Some(frame) = self.all.last_mut() else { return };
        frame.written = frame.written & !marks.clears | marks.writes;
        if marks.calls {
            frame.saved = regs.saved();
            frame.call = marks.slot;
        }
    }

    pub(super) fn enter<C, M>(&mut self, code: &Code<C, M>, entered: Entered, main_args: u8) {
        let Entered { entry, size, top, how } = entered;
        let given = |count: u8| ((1u16 << (count.min(5) + 1)) - 1) & !bit(R::R0);
        let written = match how {
            Enter::Root(Root::Main) => given(main_args),
            Enter::Root(Root::Callback) => given(5),
            Enter::Root(Root::ExceptionCallback) => given(1),
            Enter::Call => self.all.last().map_or(0, |caller| caller.written & given(5)),
        };
        let function = code.funcs.binary_search_by_key(&entry, |func| func.entry).ok();
        let function = function.and_then(|at| code.funcs.get(at)).map_or(u32::MAX, |func| func.slot);
        self.all.push(Frame {
            top,
            size,
            function,
            how,
            written: written | bit(R::R10),
            saved: [0; 5],
            call: u32::MAX,
            shadow: [0; SHADOW],
        });
    }

    /// Leaves a function; its caller gets r0.
    pub(super) fn leave(&mut self) {
        let result = self.all.pop().map_or(0, |frame| frame.written & bit(R::R0));
        if let Some(caller) = self.all.last_mut() {
            caller.written = caller.written & !LOST | result;
        }
    }

    pub(super) fn cut(&mut self, frames: usize) {
        self.all.truncate(frames);
    }

    /// The innermost frame's stack is another program's now; the frame stands until it is left, with that program's result.
    pub(super) fn replaced(&mut self) {
        if let Some(frame) = self.all.last_mut() {
            frame.size = 0;
            frame.written |= bit(R::R0);
        }
    }
}
