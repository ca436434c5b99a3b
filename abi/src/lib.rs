//! What Backstop's engines and runtime agree on: `#[repr(C)]` layouts and their offsets, the register map, codes.
//!
//! Engines make code (or run operations) against these layouts; the runtime fills them. Nothing here has behaviour.
#![forbid(unsafe_code)]

use core::mem::offset_of;

/// How deep a program's own calls may nest, the main function included (Linux: `MAX_CALL_FRAMES`).
pub const MAX_FRAMES: usize = 8;
/// Bytes of stack a call chain may use in all (Linux: `MAX_BPF_STACK`).
pub const MAX_STACK: u32 = 512;
/// Tail calls in a row that one run may make (Linux: `MAX_TAIL_CALL_CNT`).
pub const MAX_TAIL_CALLS: u32 = 33;
/// Rounds that all `may_goto` of one function may take in one call (Linux: `BPF_MAX_LOOPS`).
pub const MAY_GOTO_ROUNDS: u64 = 8 * 1024 * 1024;

/// What the context register (r12 in compiled code) points to for the whole of a run.
///
/// Nested runs have one each. The engine reads and writes only the fields that say so.
#[repr(C)]
#[derive(Debug)]
pub struct RunCtx {
    /// An end to raise, set by a native function before it returns: 0 is none, else the runtime's own code.
    /// Compiled code tests it after each native call that may end the run, and calls `raise` if it is not 0.
    pub pending: u64,
    /// Tail calls made so far in this run. Compiled code counts it.
    pub tail_calls: u64,
    /// Stack pointer of the innermost catch point (entry or callback trampoline). Only trampolines write it.
    pub catch_sp: u64,
    /// Address of the `bpf_throw` stub. Called with the cookie in BPF's r1; never returns.
    pub throw: u64,
    /// Address of the stub that carries a pending end to the innermost catch point; never returns.
    pub raise: u64,
    /// Address of [`MAX_TAIL_CALLS`] cells of 8 bytes, if the run may tail call. Before its n-th tail call compiled code writes the target's
    /// address into the n-th, from 0, and then reads the slot again: only a target that still stands there may be entered.
    pub held: u64,
    /// Legacy packet load: `extern "C" fn(offset: u32 as u64, size, 0, 0, 0, run) -> i64`, -1 if beyond the packet.
    pub legacy_load: u64,
}

/// Offset of [`RunCtx::pending`].
pub const RUN_PENDING: i32 = offset_of!(RunCtx, pending) as i32;
/// Offset of [`RunCtx::tail_calls`].
pub const RUN_TAIL_CALLS: i32 = offset_of!(RunCtx, tail_calls) as i32;
/// Offset of [`RunCtx::catch_sp`].
pub const RUN_CATCH_SP: i32 = offset_of!(RunCtx, catch_sp) as i32;
/// Offset of [`RunCtx::throw`].
pub const RUN_THROW: i32 = offset_of!(RunCtx, throw) as i32;
/// Offset of [`RunCtx::raise`].
pub const RUN_RAISE: i32 = offset_of!(RunCtx, raise) as i32;
/// Offset of [`RunCtx::held`].
pub const RUN_HELD: i32 = offset_of!(RunCtx, held) as i32;
/// Offset of [`RunCtx::legacy_load`].
pub const RUN_LEGACY_LOAD: i32 = offset_of!(RunCtx, legacy_load) as i32;

/// Head of a prog_array's native object, at the address that compiled code gets for the map.
///
/// Compiled tail calls check the index against `len`, load `slots[index]` (acquire), announce it
/// (see [`RunCtx::held`]), and jump to its entry if it is not null.
#[repr(C)]
#[derive(Debug)]
pub struct ProgArrayHead {
    /// Number of slots.
    pub len: u64,
    /// Address of the first slot: each is 8 bytes, the address of a [`TailTarget`] or 0.
    pub slots: u64,
}

/// Offset of [`ProgArrayHead::len`].
pub const PROG_ARRAY_LEN: i32 = offset_of!(ProgArrayHead, len) as i32;
/// Offset of [`ProgArrayHead::slots`].
pub const PROG_ARRAY_SLOTS: i32 = offset_of!(ProgArrayHead, slots) as i32;

/// What a prog_array slot points to.
#[repr(C)]
#[derive(Debug)]
pub struct TailTarget {
    /// Native entry of the program's main function.
    pub entry: u64,
}

/// Offset of [`TailTarget::entry`].
pub const TAIL_TARGET_ENTRY: i32 = offset_of!(TailTarget, entry) as i32;

/// Native form of `struct xdp_md`: the user's fields at the user's offsets, then the real pointers.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct XdpContext {
    /// `data, data_end, data_meta, ingress_ifindex, rx_queue_index, egress_ifindex`; the first three are unused.
    pub user: [u32; 6],
    /// Address of the packet's first byte.
    pub data: u64,
    /// Address after the packet's last byte.
    pub data_end: u64,
    /// Address of the metadata before the packet.
    pub data_meta: u64,
}

/// Bytes of `struct __sk_buff` as programs see it.
pub const SKB_USER_SIZE: usize = 192;

/// Native form of `struct __sk_buff`: the user's fields at the user's offsets, then the real pointers.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct SkbContext {
    /// The user's view; `data`, `data_end`, `data_meta` and pointer fields in it are unused.
    pub user: [u32; SKB_USER_SIZE / 4],
    /// Address of the packet's first byte.
    pub data: u64,
    /// Address after the packet's last byte.
    pub data_end: u64,
    /// Address of the metadata before the packet.
    pub data_meta: u64,
}

/// Offset of the native `data` pointer in [`XdpContext`].
pub const XDP_DATA: u32 = offset_of!(XdpContext, data) as u32;
/// Offset of the native `data_end` pointer in [`XdpContext`].
pub const XDP_DATA_END: u32 = offset_of!(XdpContext, data_end) as u32;
/// Offset of the native `data_meta` pointer in [`XdpContext`].
pub const XDP_DATA_META: u32 = offset_of!(XdpContext, data_meta) as u32;
/// Offset of the native `data` pointer in [`SkbContext`].
pub const SKB_DATA: u32 = offset_of!(SkbContext, data) as u32;
/// Offset of the native `data_end` pointer in [`SkbContext`].
pub const SKB_DATA_END: u32 = offset_of!(SkbContext, data_end) as u32;
/// Offset of the native `data_meta` pointer in [`SkbContext`].
pub const SKB_DATA_META: u32 = offset_of!(SkbContext, data_meta) as u32;

/// The x86-64 register map, said once. Numbers are the machine's.
pub mod x86 {
    /// Where BPF's r0 to r10 live: rax, rdi, rsi, rdx, rcx, r8, rbx, r13, r14, r15, rbp.
    pub const BPF: [u8; 11] = [0, 7, 6, 2, 1, 8, 3, 13, 14, 15, 5];
    /// The run's context ([`crate::RunCtx`]), kept in all of a program's functions.
    pub const CONTEXT: u8 = 12;
    /// First scratch register.
    pub const SCRATCH0: u8 = 10;
    /// Second scratch register.
    pub const SCRATCH1: u8 = 11;
    /// Sixth native argument: the run's context at entry of main functions and native calls. Free otherwise.
    pub const ARG6: u8 = 9;
    /// Callee-saved registers of a boundary frame in the order they are pushed, below the BPF stack: r12, rbx, r13, r14, r15.
    pub const BOUNDARY_SAVES: [u8; 5] = [12, 3, 13, 14, 15];
}
