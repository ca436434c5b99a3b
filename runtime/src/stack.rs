//! How much native stack the calling thread has left.
//!
//! A program's worst case is known when it is loaded; a run compares it, plus a reserve for the native functions that it may
//! call, with what the thread has. Asking the system is slow, so each thread remembers its own lower limit.

#![allow(unsafe_code)]

use std::cell::Cell;

/// Stack kept free for helpers, kfuncs and the unwinder, in bytes.
pub(crate) const NATIVE_RESERVE: usize = 128 * 1024;

thread_local! {
    /// Lowest usable address of this thread's stack; 0 while unknown.
    static LIMIT: Cell<usize> = const { Cell::new(0) };
}

/// Bytes between the current frame and the end of the thread's stack.
#[inline]
pub(crate) fn remaining() -> usize {
    let marker = 0u8;
    let here = std::ptr::from_ref(&marker) as usize;
    LIMIT.with(|limit| {
        if limit.get() == 0 {
            limit.set(find_limit(here));
        }
        here.saturating_sub(limit.get())
    })
}

#[cold]
fn find_limit(here: usize) -> usize {
    // SAFETY: plain system calls on an attribute object that lives here; zeroed is what pthread_getattr_np fills in.
    let found = unsafe {
        let mut attributes: libc::pthread_attr_t = std::mem::zeroed();
        if libc::pthread_getattr_np(libc::pthread_self(), &raw mut attributes) != 0 {
            None
        } else {
            let mut base = std::ptr::null_mut();
            let mut size = 0;
            let read = libc::pthread_attr_getstack(&raw const attributes, &raw mut base, &raw mut size);
            libc::pthread_attr_destroy(&raw mut attributes);
            (read == 0).then_some(base as usize)
        }
    };
    // Unknown stacks (a coroutine's) are taken to have what the reserve and a program's worst case want, and no more.
    match found {
        Some(base) if base != 0 && base < here => base,
        _ => here.saturating_sub(2 * NATIVE_RESERVE).max(1),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_small_thread_has_less_left() {
        let size = 256 * 1024;
        let left = std::thread::Builder::new().stack_size(size).spawn(super::remaining);
        let left = left.expect("a thread").join().expect("its result");
        assert!(left > 0 && left <= size + 64 * 1024, "{left}");
    }
}
