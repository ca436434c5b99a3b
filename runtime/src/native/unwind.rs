//! The walk from a throw to its boundary.
//!
//! Compiled code keeps rbp frames always, so a frame's return address is at rbp + 8 and its caller's rbp at rbp. The walk starts in the
//! BPF function that called `bpf_throw`, passes subprogram frames, and stops at the first main function's frame. The stack
//! pointer handed to the callback is rbp minus the image's constant, never a walked value.

#![allow(unsafe_code)]

use backstop_abi::RunCtx;

use super::arena::Arena;
use crate::record::{MAX_WALK, RunRecord};

/// Where a throw goes on.
#[repr(C)]
pub(crate) struct Landing {
    pub(crate) cookie: u64,
    pub(crate) sp: u64,
    pub(crate) bp: u64,
    pub(crate) ip: u64,
}

/// Finds the boundary of a throw. Called by the `throw` stub only.
///
/// # Safety
/// `rbp` is the frame pointer of a compiled function of a live image and `return_address` its call of `bpf_throw`; `run` is the
/// run's context, embedded in a [`RunRecord`]; `out` is writable.
pub(super) unsafe extern "C" fn find_boundary(
    cookie: u64,
    rbp: u64,
    return_address: u64,
    run: *mut RunCtx,
    out: *mut Landing,
) {
    let Ok(arena) = Arena::get() else { defect("a throw without a code arena") };
    let mut bp = rbp as usize;
    let mut pc = return_address as usize;
    // SAFETY: `run` is the first field of the run's record (its only constructor), which nobody else borrows while
    // compiled code runs.
    let record = unsafe { &mut *run.cast::<RunRecord<'_>>() };
    for n in 0..MAX_WALK {
        let Some(found) = arena.registry().lookup(pc.wrapping_sub(1)) else {
            defect("a throw's walk met a frame that is not a program's");
        };
        record.walk.places[n] = pc.wrapping_sub(found.base) as u32;
        if found.in_main {
            let Some(boundary) = found.boundary else {
                defect("a throw's walk ended at a program that is no boundary")
            };
            record.caught(cookie, is_outermost(bp, &record.ctx), found.id, n + 1);
            // SAFETY: the stub gives writable room.
            unsafe {
                out.write(Landing {
                    cookie,
                    sp: (bp - boundary.sp_below_rbp as usize) as u64,
                    bp: bp as u64,
                    ip: boundary.callback as u64,
                });
            }
            return;
        }
        // SAFETY: compiled code keeps rbp frames, and a subprogram's caller is compiled code of the same image: both words are there.
        unsafe {
            pc = *((bp + 8) as *const usize);
            bp = *(bp as *const usize);
        }
    }
    defect("a throw's walk found no boundary");
}

/// Whether a main function was called by the run's entry, and not tail called from a subprogram. No throw leaves a callback (I7), so the
/// innermost catch point is the entry's: right below it lies the return address, then rbp.
fn is_outermost(bp: usize, ctx: &RunCtx) -> bool {
    (bp + 16) as u64 == ctx.catch_sp
}

/// A broken frame chain: going on would return into the unknown.
#[cold]
fn defect(what: &str) -> ! {
    eprintln!("backstop: defect: {what}; stopping the process");
    std::process::abort()
}
