//! The two parameters of the loop: how guest memory is accessed, and who watches.

use backstop_isa::AtomicOp;

use crate::memory::Word;
use crate::op::R;
use crate::run::Regs;
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

/// Who watches a run.
pub(crate) trait Observer: Copy {
    /// Before an operation, by index.
    fn before(&self, op: usize, regs: &Regs);
}

/// Nobody watches.
#[derive(Clone, Copy)]
pub(crate) struct Silent;

impl Observer for Silent {
    #[inline(always)]
    fn before(&self, _: usize, _: &Regs) {}
}

/// The address of base + off.
#[inline(always)]
pub(crate) fn place(regs: &Regs, base: R, off: i32) -> u64 {
    regs.get(base).wrapping_add(i64::from(off) as u64)
}
