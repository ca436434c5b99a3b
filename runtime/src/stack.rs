//! How much native stack the calling thread has left.
//!
//! A program's worst case is known when it is loaded; a run compares it, plus a reserve for the native functions that it may
//! call, with what the thread has. Asking the system is slow, so each thread remembers where its own stack lies.
//!
//! A run may be on another stack (a coroutine's, one that was grown), of which the system tells nothing. It is taken to have a fixed
//! allowance, and nothing is remembered of it: it may be gone, or another, at the next run. So nothing bounds how deep a host nests runs on
//! such a stack.

#![allow(unsafe_code)]

use std::cell::Cell;

/// Stack kept free for helpers, kfuncs and the unwinder, in bytes.
pub(crate) const NATIVE_RESERVE: usize = 128 * 1024;

/// What a stack of unknown limits is taken to have left, in bytes: the reserve and as much for a program's worst case.
const ALLOWANCE: usize = 2 * NATIVE_RESERVE;

thread_local! {
    /// Addresses of this thread's own stack; empty while unknown.
    static OWN: Cell<(usize, usize)> = const { Cell::new((0, 0)) };
}

/// Bytes between the current frame and the end of the stack that it is on.
#[inline]
pub(crate) fn remaining() -> usize {
    let marker = 0u8;
    let here = std::ptr::from_ref(&marker) as usize;
    let (base, end) = OWN.get();
    if base < here && here < end { here - base } else { elsewhere(here) }
}

/// As [`remaining`], where the frame is not known to be on the thread's own stack.
#[cold]
fn elsewhere(here: usize) -> usize {
    if OWN.get() == (0, 0) {
        OWN.set(own_stack().unwrap_or_default());
    }
    let (base, end) = OWN.get();
    if base < here && here < end { here - base } else { ALLOWANCE }
}

/// First address and end of the calling thread's own stack; `None` if the system does not tell.
fn own_stack() -> Option<(usize, usize)> {
    // SAFETY: plain system calls on an attribute object that lives here; zeroed is what pthread_getattr_np fills in.
    unsafe {
        let mut attributes: libc::pthread_attr_t = std::mem::zeroed();
        if libc::pthread_getattr_np(libc::pthread_self(), &raw mut attributes) != 0 {
            return None;
        }
        let mut base = std::ptr::null_mut();
        let mut size = 0;
        let read = libc::pthread_attr_getstack(&raw const attributes, &raw mut base, &raw mut size);
        libc::pthread_attr_destroy(&raw mut attributes);
        (read == 0 && !base.is_null()).then_some((base as usize, (base as usize).saturating_add(size)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: usize = 256 * 1024;

    fn in_a_thread<R: Send + 'static>(f: fn() -> R) -> R {
        std::thread::Builder::new().stack_size(SIZE).spawn(f).expect("a thread").join().expect("its result")
    }

    fn is_the_threads_own(left: usize) -> bool {
        left > 0 && left <= SIZE + 64 * 1024 && left != ALLOWANCE
    }

    #[test]
    fn a_small_thread_has_less_left() {
        let left = in_a_thread(remaining);
        assert!(is_the_threads_own(left), "{left}");
    }

    /// What is left on a stack of another place than the thread's.
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    fn on_another_stack() -> usize {
        thread_local! {
            static LEFT: Cell<usize> = const { Cell::new(0) };
        }
        extern "C" fn measure() {
            LEFT.set(remaining());
        }
        let mut stack = vec![0u8; 2 * SIZE];
        // SAFETY: both contexts and the stack live until `swapcontext` has come back; `measure` takes no arguments and does not unwind.
        unsafe {
            let mut back: libc::ucontext_t = std::mem::zeroed();
            let mut there: libc::ucontext_t = std::mem::zeroed();
            assert_eq!(libc::getcontext(&raw mut there), 0);
            there.uc_stack.ss_sp = stack.as_mut_ptr().cast();
            there.uc_stack.ss_size = stack.len();
            there.uc_link = &raw mut back;
            libc::makecontext(&raw mut there, measure, 0);
            assert_eq!(libc::swapcontext(&raw mut back, &raw const there), 0);
        }
        LEFT.get()
    }

    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    #[test]
    fn another_stack_changes_nothing_for_the_threads_own() {
        let (first, own) = in_a_thread(|| (on_another_stack(), remaining()));
        assert_eq!(first, ALLOWANCE);
        assert!(is_the_threads_own(own), "{own}");
        let (own, later, again) = in_a_thread(|| (remaining(), on_another_stack(), remaining()));
        assert_eq!(later, ALLOWANCE);
        assert!(is_the_threads_own(own) && is_the_threads_own(again), "{own} {again}");
    }
}
