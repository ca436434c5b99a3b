//! The time, by the host's clocks.

#![allow(unsafe_code)]

use crate::record::RunRecord;

/// Nanoseconds of a jiffy: Linux's default of 250 a second.
const JIFFY: u64 = 4_000_000;

fn now(clock: libc::clockid_t) -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: a plain call that fills the structure given to it.
    if unsafe { libc::clock_gettime(clock, &raw mut time) } != 0 {
        return 0;
    }
    (time.tv_sec as u64).wrapping_mul(1_000_000_000).wrapping_add(time.tv_nsec as u64)
}

/// `bpf_ktime_get_ns()`: time since boot, suspended time not counted.
pub(super) fn ktime_get_ns(_run: &mut RunRecord<'_>, _args: [u64; 5]) -> u64 {
    now(libc::CLOCK_MONOTONIC)
}

/// `bpf_ktime_get_boot_ns()`: time since boot.
pub(super) fn ktime_get_boot_ns(_run: &mut RunRecord<'_>, _args: [u64; 5]) -> u64 {
    now(libc::CLOCK_BOOTTIME)
}

/// `bpf_ktime_get_coarse_ns()`: as `ktime_get_ns`, of the last tick.
pub(super) fn ktime_get_coarse_ns(_run: &mut RunRecord<'_>, _args: [u64; 5]) -> u64 {
    now(libc::CLOCK_MONOTONIC_COARSE)
}

/// `bpf_ktime_get_tai_ns()`: international atomic time.
pub(super) fn ktime_get_tai_ns(_run: &mut RunRecord<'_>, _args: [u64; 5]) -> u64 {
    now(libc::CLOCK_TAI)
}

/// `bpf_jiffies64()`: ticks since boot.
pub(super) fn jiffies64(_run: &mut RunRecord<'_>, _args: [u64; 5]) -> u64 {
    now(libc::CLOCK_MONOTONIC) / JIFFY
}
