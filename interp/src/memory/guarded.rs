//! Guest memory that is proved at each access.
//!
//! What it rests on: [`Checks::permit`] lets an access through only if all of its bytes lie in one region, which whoever added it
//! vouched for, or in one live frame of the interpreter's own stack. So code that nobody proved can run here.

use backstop_isa::AtomicOp;

use super::{Word, modify32, modify64, pointer};
use crate::access::Access;
use crate::checked::{Checks, Direction, Faulted, Frame, Guard, Guarded, Region};
use crate::run::{Entry, Vm};
use crate::services::{Services, Stop};
use crate::{CheckedCode, Stack};

/// Runs a program with a check of each access: its main function, with r1 and r2 as given.
///
/// What it may touch are its own frames and the regions of `checks`; the services may add and take away regions meanwhile. Nested runs
/// need a stack and checks each.
///
/// # Errors
/// [`Stop`]: a native function or the interpreter ended the run; the services know why, `checks` have the fault.
pub fn run_checked<S: Services<Mode = Guarded>>(
    code: &CheckedCode<S::Callee>,
    args: [u64; 2],
    services: &mut S,
    stack: &mut Stack,
    checks: &Checks<'_>,
) -> Result<u64, Stop> {
    stack.begin();
    let start = stack.bottom();
    Vm { services, stack, access: ByRegions(checks), observer: Guard(checks) }.level(code, Entry::main(args), start)
}

impl Checks<'_> {
    /// Hands a region to the run. Of two that begin at the same address the later one counts.
    ///
    /// # Safety
    /// Until the region is taken back, or the checks are no more: its bytes are valid for what its rights allow, other threads access
    /// them only as they would those of a guest's memory, and it overlaps neither another region nor a [`Stack`].
    pub unsafe fn add(&self, region: Region) {
        self.put(region);
    }
}

/// A byte of a live frame.
pub(crate) fn stack_byte(frame: &Frame, at: u64) -> Option<u8> {
    // SAFETY: frames are carved from the stack that the run holds, which stays where it is, and this one is live.
    frame.holds(at).then(|| unsafe { pointer::<u8>(at).read() })
}

/// Access to the regions and frames of a run.
#[derive(Clone, Copy)]
pub(crate) struct ByRegions<'a, 'w>(&'a Checks<'w>);

impl ByRegions<'_, '_> {
    #[inline]
    fn reads<T>(&self, at: u64) -> Result<*mut T, Faulted> {
        self.0.permit(at, size_of::<T>() as u64, Direction::Read)?;
        Ok(pointer(at))
    }

    #[inline]
    fn writes<T>(&self, at: u64) -> Result<*mut T, Faulted> {
        self.0.permit(at, size_of::<T>() as u64, Direction::Write)?;
        Ok(pointer(at))
    }

    #[inline]
    fn changes<T>(&self, at: u64) -> Result<*mut T, Faulted> {
        self.reads::<T>(at)?;
        self.writes(at)
    }
}

impl Access for ByRegions<'_, '_> {
    type Fault = Faulted;

    fn load<T: Word>(&self, at: u64) -> Result<T, Faulted> {
        let from = self.reads::<T>(at)?;
        // SAFETY: permitted: inside a region or frame that may be read; any bits are a T.
        Ok(unsafe { from.read_unaligned() })
    }

    fn store<T: Word>(&self, at: u64, value: T) -> Result<(), Faulted> {
        let to = self.writes::<T>(at)?;
        // SAFETY: permitted: inside a region or frame that may be written.
        unsafe { to.write_unaligned(value) };
        Ok(())
    }

    fn load_acquire<T: Word>(&self, at: u64) -> Result<T, Faulted> {
        let from = self.reads::<T>(at)?;
        // SAFETY: as in `load`.
        Ok(unsafe { T::acquire(from) })
    }

    fn store_release<T: Word>(&self, at: u64, value: T) -> Result<(), Faulted> {
        let to = self.writes::<T>(at)?;
        // SAFETY: as in `store`.
        unsafe { T::release(to, value) };
        Ok(())
    }

    fn modify32(&self, at: u64, op: AtomicOp, operand: u32, expected: u32) -> Result<u32, Faulted> {
        let cell = self.changes(at)?;
        // SAFETY: permitted: inside a region or frame that may be read and written.
        Ok(unsafe { modify32(cell, op, operand, expected) })
    }

    fn modify64(&self, at: u64, op: AtomicOp, operand: u64, expected: u64) -> Result<u64, Faulted> {
        let cell = self.changes(at)?;
        // SAFETY: as in `modify32`.
        Ok(unsafe { modify64(cell, op, operand, expected) })
    }
}
