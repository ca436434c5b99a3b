//! From compiled code to a helper and back.
//!
//! No panic crosses into compiled code: it becomes an end of the run, raised when the helper has returned, and resumed in the caller of
//! `run`. Leaves can't panic; if one did, its `extern "C"` border would stop the process.

#![allow(unsafe_code)]

use backstop_abi::RunCtx;

use super::{Full, Leaf};
use crate::native::thunk::perform;
use crate::record::RunRecord;

/// What compiled code calls: BPF's r1 to r5 and the run's context.
pub(crate) type NativeFn = unsafe extern "C" fn(u64, u64, u64, u64, u64, *mut RunCtx) -> u64;

/// The native form of a leaf.
///
/// # Safety
/// Called by compiled code only: `run` is the first field of the record of the run that calls (R2), and the words are what the verifier
/// proved for this helper (I2, I3).
pub(crate) unsafe extern "C" fn leaf<H: Leaf>(a1: u64, a2: u64, a3: u64, a4: u64, a5: u64, run: *mut RunCtx) -> u64 {
    // SAFETY: R2: the record is valid for the run, and nobody else borrows it while compiled code calls.
    let record = unsafe { &mut *run.cast::<RunRecord<'_>>() };
    H::call(record, [a1, a2, a3, a4, a5])
}

/// The native form of any other helper. If `RunCtx::pending` is set afterwards the result means nothing.
///
/// # Safety
/// As [`leaf`].
pub(crate) unsafe extern "C" fn full<H: Full>(a1: u64, a2: u64, a3: u64, a4: u64, a5: u64, run: *mut RunCtx) -> u64 {
    // SAFETY: R2: compiled code passes its own run's context.
    unsafe { perform(run, [a1, a2, a3, a4, a5], H::call) }
}

/// Legacy packet loads by compiled code: the value, or -1 beyond the packet.
///
/// # Safety
/// As [`leaf`].
pub(crate) unsafe extern "C" fn legacy_load(offset: u64, size: u64, _: u64, _: u64, _: u64, run: *mut RunCtx) -> i64 {
    // SAFETY: R2: as in `leaf`.
    let record = unsafe { &mut *run.cast::<RunRecord<'_>>() };
    let loaded = super::packet::legacy_load(record, offset as u32, size as u32);
    loaded.map_or(-1, |value| value as i64)
}
