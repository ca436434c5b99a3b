//! Who runs, where, and chance.

#![allow(unsafe_code)]

use std::cell::Cell;
use std::hash::{BuildHasher, RandomState};

use super::{errno, memory};
use crate::record::RunRecord;

/// Bytes of a thread's name, the final NUL included (Linux: `TASK_COMM_LEN`).
const COMM: usize = 16;

thread_local! {
    /// State of this thread's generator; seeded from the system's randomness.
    static RANDOM: Cell<u64> = Cell::new(RandomState::new().hash_one(std::thread::current().id()));
}

/// `bpf_get_prandom_u32()`: not for secrets.
pub(super) fn get_prandom_u32(_run: &mut RunRecord<'_>, _args: [u64; 5]) -> u64 {
    // SplitMix64: a counter, mixed.
    RANDOM.with(|state| {
        let next = state.get().wrapping_add(0x9e37_79b9_7f4a_7c15);
        state.set(next);
        let mixed = (next ^ (next >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) >> 32
    })
}

/// `bpf_get_smp_processor_id()`: the run's CPU slot.
pub(super) fn get_smp_processor_id(run: &mut RunRecord<'_>, _args: [u64; 5]) -> u64 {
    u64::from(run.cpu)
}

/// `bpf_get_numa_node_id()`: there is one.
pub(super) fn get_numa_node_id(_run: &mut RunRecord<'_>, _args: [u64; 5]) -> u64 {
    0
}

/// `bpf_get_current_pid_tgid()`: the host's process and thread.
pub(super) fn get_current_pid_tgid(_run: &mut RunRecord<'_>, _args: [u64; 5]) -> u64 {
    // SAFETY: a plain system call.
    let thread = unsafe { libc::gettid() };
    u64::from(std::process::id()) << 32 | u64::from(thread as u32)
}

/// `bpf_get_current_comm(buf, size)`: the host's thread's name, padded with zeros.
pub(super) fn get_current_comm(_run: &mut RunRecord<'_>, [buffer, size, ..]: [u64; 5]) -> u64 {
    let size = size as u32 as usize;
    let mut name = [0u8; COMM];
    // SAFETY: the call writes at most 16 bytes, the array's size.
    let got = unsafe { libc::prctl(libc::PR_GET_NAME, name.as_mut_ptr()) } == 0;
    let kept = name.iter().take_while(|byte| **byte != 0).count().min(size.saturating_sub(1));
    // SAFETY: I3: the buffer is writable for `size` bytes; `kept` is less.
    unsafe {
        memory::zero(buffer, size);
        memory::write(buffer, name.get(..kept).unwrap_or_default());
    }
    if got { 0 } else { errno::EINVAL as u64 }
}
