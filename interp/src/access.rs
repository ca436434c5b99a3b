//! The two parameters of the loop: how guest memory is accessed, and who watches.

use std::convert::Infallible;

use backstop_isa::AtomicOp;

use crate::Code;
use crate::memory::Word;
use crate::op::R;
use crate::run::{Regs, Root};
use crate::services::Halt;

/// Guest memory. Addresses are the guest's own words.
pub(crate) trait Access: Copy {
    /// Why an access is refused. A type without values makes every access unconditional.
    type Fault: Into<Halt>;

    fn load<T: Word>(&self, at: u64) -> Result<T, Self::Fault>;
    fn store<T: Word>(&self, at: u64, value: T) -> Result<(), Self::Fault>;
    fn load_acquire<T: Word>(&self, at: u64) -> Result<T, Self::Fault>;
    fn store_release<T: Word>(&self, at: u64, value: T) -> Result<(), Self::Fault>;
    /// Gives the old value. `expected` counts for a compare-and-exchange only.
    fn modify32(&self, at: u64, op: AtomicOp, operand: u32, expected: u32) -> Result<u32, Self::Fault>;
    /// As `modify32`.
    fn modify64(&self, at: u64, op: AtomicOp, operand: u64, expected: u64) -> Result<u64, Self::Fault>;
}

/// A frame that is entered.
#[derive(Clone, Copy)]
pub(crate) struct Entered {
    /// The function's first operation.
    pub(crate) entry: u32,
    /// Bytes of BPF stack.
    pub(crate) size: u32,
    /// Address after its last byte: r10.
    pub(crate) top: u64,
    pub(crate) how: Enter,
}

/// How a frame is entered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Enter {
    /// As the first of a level, or in the place of that one.
    Root(Root),
    /// By a call of the program.
    Call,
}

/// Who watches a run.
pub(crate) trait Observer: Copy {
    /// Why an operation may not run. A type without values lets every one run.
    type Fault: Into<Halt>;

    /// Before an operation, by index.
    fn before<C, M>(&self, code: &Code<C, M>, op: usize, regs: &Regs) -> Result<(), Self::Fault>;
    /// How many frames are live.
    fn frames(&self) -> usize;
    /// A frame begins.
    fn entered<C, M>(&self, code: &Code<C, M>, entered: Entered);
    /// The innermost frame is left for its caller's.
    fn left(&self);
    /// All frames but the outermost `frames` are dropped.
    fn cut(&self, frames: usize);
    /// Another program runs in the place of the innermost frame, which is left afterwards.
    fn replaced(&self);
}

/// Nobody watches.
#[derive(Clone, Copy)]
pub(crate) struct Silent;

impl Observer for Silent {
    type Fault = Infallible;

    #[inline(always)]
    fn before<C, M>(&self, _: &Code<C, M>, _: usize, _: &Regs) -> Result<(), Infallible> {
        Ok(())
    }

    #[inline(always)]
    fn frames(&self) -> usize {
        0
    }

    #[inline(always)]
    fn entered<C, M>(&self, _: &Code<C, M>, _: Entered) {}

    #[inline(always)]
    fn left(&self) {}

    #[inline(always)]
    fn cut(&self, _: usize) {}

    #[inline(always)]
    fn replaced(&self) {}
}

/// The address of base + off.
#[inline(always)]
pub(crate) fn place(regs: &Regs, base: R, off: i32) -> u64 {
    regs.get(base).wrapping_add(i64::from(off) as u64)
}
