//! Native execution on x86-64 Linux: where compiled code lies, how it is entered, and how it is left.
//!
//! - [`arena`]: the one range of addresses that holds compiled code, and its life cycle;
//! - [`registry`]: from a code address to its program, wait-free;
//! - [`room`]: memory that a store has for a record;
//! - [`trampoline`]: the assembly at the border: entry, callback, raise, throw;
//! - [`unwind`]: the walk from a throw to its boundary.
//!
//! All numbers that this code shares with compiled code stand in `backstop-abi` or in the image that the JIT made.

pub(crate) mod arena;
pub(crate) mod image;
pub(crate) mod registry;
pub(crate) mod room;
pub(crate) mod thunk;
pub(crate) mod trampoline;
pub(crate) mod unwind;

use backstop_jit_x86::{CompileOptions, CpuFeatures};

/// Options for this machine.
pub(crate) fn compile_options() -> CompileOptions {
    let cpu = CpuFeatures { bmi2: std::arch::is_x86_feature_detected!("bmi2") };
    let exchange_at_tail_calls = !crate::maps::hazard::plain_stores_suffice();
    CompileOptions { cpu, exchange_at_tail_calls, ..CompileOptions::default() }
}

/// Whether the processor keeps a second copy of return addresses for this thread: a throw drops frames behind its back.
#[allow(unsafe_code)]
pub(crate) fn shadow_stack_active() -> bool {
    const ARCH_SHSTK_STATUS: libc::c_long = 0x5005;
    const SHSTK_ENABLED: u64 = 1;
    let mut status = 0u64;
    // SAFETY: the call writes one word to the given address; kernels without it answer with an error.
    let answer = unsafe { libc::syscall(libc::SYS_arch_prctl, ARCH_SHSTK_STATUS, &raw mut status) };
    answer == 0 && status & SHSTK_ENABLED != 0
}
