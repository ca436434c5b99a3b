//! The assembly at the border between host and compiled code.
//!
//! Every entry from native code (a run's start, a callback) leaves the same frame, and stores where it is in
//! `RunCtx::catch_sp`; an end that the runtime made is carried there by [`raise`]. (A main function that never raises needs no such frame: see
//! [`call`].) The frame, from high to low addresses:
//! return address, rbp, rbx, r12, r13, r14, r15, run context, previous `catch_sp`, 8 bytes of padding.

#![allow(unsafe_code)]

use core::arch::{asm, naked_asm};

use backstop_abi::{RUN_CATCH_SP, RunCtx};

use super::unwind::{Landing, find_boundary};

/// Runs a main function: `entry(r1, r2)`. Returns r0; if `RunCtx::pending` is set afterwards r0 means nothing.
///
/// # Safety
/// `entry` is the entry of a live image's main function, compiled from a program that was proved for these arguments; `run` is
/// valid for the whole call and not entered otherwise meanwhile, except by nested callbacks.
#[unsafe(naked)]
pub(crate) unsafe extern "C" fn enter(r1: u64, r2: u64, entry: u64, run: *mut RunCtx) -> u64 {
    naked_asm!(
        "push rbp",
        "mov rbp, rsp",
        "push rbx",
        "push r12",
        "push r13",
        "push r14",
        "push r15",
        "push rcx",
        "push qword ptr [rcx + {catch}]",
        "sub rsp, 8",
        "mov qword ptr [rcx + {catch}], rsp",
        "mov r9, rcx",
        "call rdx",
        "jmp {resume}",
        catch = const RUN_CATCH_SP,
        resume = sym resume,
    )
}

/// Runs a main function without a frame of the border's own: `entry(r1, r2)`. Returns r0.
///
/// # Safety
/// As for [`enter`], and no code of the image raises an end or jumps to another image ([`backstop_jit_x86::Image::leaves_through`]).
#[inline]
pub(crate) unsafe fn call(r1: u64, r2: u64, entry: u64, run: *mut RunCtx) -> u64 {
    let r0;
    // SAFETY: the caller's promise. A main function keeps what the C ABI says callees keep: it saves what it writes, and a throw restores that
    // from the boundary's frame. The stack is aligned here as for any call. `catch_sp` tells a throw which frame is the outermost.
    unsafe {
        asm!(
            "mov qword ptr [r9 + {catch}], rsp",
            "call {entry}",
            catch = const RUN_CATCH_SP,
            entry = in(reg) entry,
            in("rdi") r1,
            in("rsi") r2,
            in("r9") run,
            lateout("rax") r0,
            clobber_abi("sysv64"),
        );
    }
    r0
}

/// A callback to enter: the function's address and the run.
#[repr(C)]
pub(crate) struct CallbackEntry {
    pub(crate) function: u64,
    pub(crate) run: *mut RunCtx,
}

/// Calls a function of the program back, with BPF's r1 to r5. Returns r0; if `RunCtx::pending` is set r0 means nothing.
///
/// # Safety
/// `entry.function` is the address of a called-back function of a live image that is running in `entry.run`, which is valid.
#[unsafe(naked)]
pub(crate) unsafe extern "C" fn call_back(
    a1: u64,
    a2: u64,
    a3: u64,
    a4: u64,
    a5: u64,
    entry: *const CallbackEntry,
) -> u64 {
    naked_asm!(
        "push rbp",
        "mov rbp, rsp",
        "push rbx",
        "push r12",
        "push r13",
        "push r14",
        "push r15",
        "mov r12, qword ptr [r9 + 8]",
        "push r12",
        "push qword ptr [r12 + {catch}]",
        "sub rsp, 8",
        "mov qword ptr [r12 + {catch}], rsp",
        "call qword ptr [r9]",
        "jmp {resume}",
        catch = const RUN_CATCH_SP,
        resume = sym resume,
    )
}

/// Leaves the frame that `enter` and `call_back` make; rsp points to its lowest word, rax holds the result.
#[unsafe(naked)]
unsafe extern "C" fn resume() {
    naked_asm!(
        "add rsp, 8",
        "pop rdx",
        "pop rcx",
        "mov qword ptr [rcx + {catch}], rdx",
        "pop r15",
        "pop r14",
        "pop r13",
        "pop r12",
        "pop rbx",
        "pop rbp",
        "ret",
        catch = const RUN_CATCH_SP,
    )
}

/// Called by compiled code (context in r12) after a native call left an end pending: drops every frame above the innermost
/// entry. No Rust frame lies between: native calls enter compiled code through `call_back` only, which is itself such an entry.
#[unsafe(naked)]
pub(crate) unsafe extern "C" fn raise() {
    naked_asm!(
        "mov rsp, qword ptr [r12 + {catch}]",
        "xor eax, eax",
        "jmp {resume}",
        catch = const RUN_CATCH_SP,
        resume = sym resume,
    )
}

/// `bpf_throw`: called by compiled code with the cookie in rdi. Never returns: it jumps into the boundary's callback with
/// (cookie, sp, bp, run). The Rust function that finds the target has returned by then.
#[unsafe(naked)]
pub(crate) unsafe extern "C" fn throw() {
    naked_asm!(
        "mov rsi, rbp",
        "mov rdx, qword ptr [rsp]",
        "mov rcx, r12",
        "sub rsp, {room}",
        "mov r8, rsp",
        "call {find}",
        "mov rdi, qword ptr [rsp + {cookie}]",
        "mov rsi, qword ptr [rsp + {sp}]",
        "mov rdx, qword ptr [rsp + {bp}]",
        "mov rax, qword ptr [rsp + {ip}]",
        "mov rcx, r12",
        "jmp rax",
        // rsp is 8 off a multiple of 16 here: the compiled code's call pushed a return address.
        room = const size_of::<Landing>() + 8,
        find = sym find_boundary,
        cookie = const core::mem::offset_of!(Landing, cookie),
        sp = const core::mem::offset_of!(Landing, sp),
        bp = const core::mem::offset_of!(Landing, bp),
        ip = const core::mem::offset_of!(Landing, ip),
    )
}
