//! Guest memory, and the entry that vouches for it where nothing is checked: the interpreter's only unsafe code. Accesses that are
//! checked when they are made stand in [`guarded`].
//!
//! The proof stands in for the checks. What it rests on here: each access of a verified program lies inside memory that the
//! program was handed (its stack frames, its context, packet, map values, memory that a helper or kfunc returned) and that outlives
//! the access. Several programs may access the same map value at once; they see each other's words as the machine gives them, as in
//! compiled code.
//!
//! Atomics are the machine's own where they are aligned. For the others x86-64 has locked instructions, too; elsewhere one lock for
//! the process makes them atomic among themselves.
#![allow(unsafe_code)]

mod guarded;

use std::convert::Infallible;
use std::ptr;
use std::sync::atomic::{AtomicU8, AtomicU16, AtomicU32, AtomicU64, Ordering, fence};

use backstop_ir::Proven;
use backstop_isa::AtomicOp;

pub use guarded::run_checked;
pub(crate) use guarded::stack_byte;

use crate::access::{Access, Silent};
use crate::run::{Entry, Vm};
use crate::services::{Halt, Services, Stop};
use crate::{Code, Stack};

/// Runs a program: its main function, with r1 and r2 as given.
///
/// Nested runs (a native function that runs a program) need a stack each.
///
/// # Errors
/// [`Stop`]: a native function or the interpreter ended the run; the services know why.
///
/// # Safety
/// The verifier proved the code under assumptions that the caller must fulfil, for this program and for all that it can tail call:
/// - `args` are what its program type says: a valid context (and its size, for raw memory) that nothing else accesses exclusively;
/// - the addresses that [`Bindings`](crate::Bindings) gave for maps and map values are those of live maps of the stated layout;
/// - what the services return for a call is what the callee's prototype says, and memory that they return stays valid as long as
///   the verifier lets the program use it.
pub unsafe fn run<S: Services<Mode = Proven>>(
    code: &Code<S::Callee>,
    args: [u64; 2],
    services: &mut S,
    stack: &mut Stack,
) -> Result<u64, Stop> {
    stack.begin();
    // SAFETY: I1: code is made from proven IR only, and the caller vouches for what the proof assumed.
    let access = unsafe { Trusted::new() };
    let start = stack.bottom();
    Vm { services, stack, access, observer: Silent }.level(code, Entry::main(args), start)
}

/// Access by proof alone.
#[derive(Clone, Copy)]
pub(crate) struct Trusted(());

impl Trusted {
    /// # Safety
    /// Used only to run code whose proof holds, in surroundings that fulfil the proof's assumptions.
    unsafe fn new() -> Trusted {
        Trusted(())
    }
}

impl From<Infallible> for Halt {
    fn from(never: Infallible) -> Halt {
        match never {}
    }
}

fn pointer<T>(at: u64) -> *mut T {
    ptr::with_exposed_provenance_mut(at as usize)
}

impl Access for Trusted {
    type Fault = Infallible;

    #[inline(always)]
    fn load<T: Word>(&self, at: u64) -> Result<T, Infallible> {
        // SAFETY: I1: the verifier showed that these bytes may be read here; any bits are a T.
        Ok(unsafe { pointer::<T>(at).read_unaligned() })
    }

    #[inline(always)]
    fn store<T: Word>(&self, at: u64, value: T) -> Result<(), Infallible> {
        // SAFETY: I1: the verifier showed that these bytes may be written here.
        unsafe { pointer::<T>(at).write_unaligned(value) };
        Ok(())
    }

    #[inline(always)]
    fn load_acquire<T: Word>(&self, at: u64) -> Result<T, Infallible> {
        // SAFETY: I1, as in `load`.
        Ok(unsafe { T::acquire(pointer(at)) })
    }

    #[inline(always)]
    fn store_release<T: Word>(&self, at: u64, value: T) -> Result<(), Infallible> {
        // SAFETY: I1, as in `store`.
        unsafe { T::release(pointer(at), value) };
        Ok(())
    }

    #[inline(always)]
    fn modify32(&self, at: u64, op: AtomicOp, operand: u32, expected: u32) -> Result<u32, Infallible> {
        // SAFETY: I1: the verifier showed that these bytes may be read and written here.
        Ok(unsafe { modify32(pointer(at), op, operand, expected) })
    }

    #[inline(always)]
    fn modify64(&self, at: u64, op: AtomicOp, operand: u64, expected: u64) -> Result<u64, Infallible> {
        // SAFETY: I1: the verifier showed that these bytes may be read and written here.
        Ok(unsafe { modify64(pointer(at), op, operand, expected) })
    }
}

/// An unsigned integer that guest memory can hold: any bits are a value.
pub(crate) trait Word: Copy {
    /// # Safety
    /// `at` is valid for a read of this type, aligned or not.
    unsafe fn acquire(at: *mut Self) -> Self;

    /// # Safety
    /// `at` is valid for a write of this type, aligned or not.
    unsafe fn release(at: *mut Self, value: Self);
}

macro_rules! words {
    ($($word:ty: $atomic:ty;)*) => {$(
        impl Word for $word {
            #[inline(always)]
            unsafe fn acquire(at: *mut $word) -> $word {
                if at.cast::<$atomic>().is_aligned() {
                    // SAFETY: valid by the caller's word, aligned by the test.
                    return unsafe { <$atomic>::from_ptr(at) }.load(Ordering::Acquire);
                }
                // SAFETY: valid by the caller's word.
                let value = unsafe { at.read_unaligned() };
                fence(Ordering::Acquire);
                value
            }

            #[inline(always)]
            unsafe fn release(at: *mut $word, value: $word) {
                if at.cast::<$atomic>().is_aligned() {
                    // SAFETY: valid by the caller's word, aligned by the test.
                    unsafe { <$atomic>::from_ptr(at) }.store(value, Ordering::Release);
                    return;
                }
                fence(Ordering::Release);
                // SAFETY: valid by the caller's word.
                unsafe { at.write_unaligned(value) };
            }
        }
    )*};
}
words! { u8: AtomicU8; u16: AtomicU16; u32: AtomicU32; u64: AtomicU64; }

macro_rules! read_modify_write {
    ($name:ident, $misaligned:ident, $exchange:ident, $word:ty, $atomic:ty) => {
        /// # Safety
        /// `at` is valid for reads and writes, aligned or not.
        #[inline]
        unsafe fn $name(at: *mut $word, op: AtomicOp, operand: $word, expected: $word) -> $word {
            if !at.cast::<$atomic>().is_aligned() {
                // SAFETY: the same conditions.
                return unsafe { $misaligned(at, op, operand, expected) };
            }
            // SAFETY: valid by the caller's word, aligned by the test.
            let cell = unsafe { <$atomic>::from_ptr(at) };
            match op {
                AtomicOp::Add => cell.fetch_add(operand, Ordering::SeqCst),
                AtomicOp::Or => cell.fetch_or(operand, Ordering::SeqCst),
                AtomicOp::And => cell.fetch_and(operand, Ordering::SeqCst),
                AtomicOp::Xor => cell.fetch_xor(operand, Ordering::SeqCst),
                AtomicOp::Xchg => cell.swap(operand, Ordering::SeqCst),
                AtomicOp::Cmpxchg => {
                    let done = cell.compare_exchange(expected, operand, Ordering::SeqCst, Ordering::SeqCst);
                    done.unwrap_or_else(|old| old)
                }
            }
        }

        /// # Safety
        /// `at` is valid for reads and writes, aligned or not.
        #[cold]
        unsafe fn $misaligned(at: *mut $word, op: AtomicOp, operand: $word, expected: $word) -> $word {
            // SAFETY: valid by the caller's word. A torn value only makes the exchange fail.
            let mut old = unsafe { at.read_unaligned() };
            loop {
                let (compare, new) = match op {
                    AtomicOp::Add => (old, old.wrapping_add(operand)),
                    AtomicOp::Or => (old, old | operand),
                    AtomicOp::And => (old, old & operand),
                    AtomicOp::Xor => (old, old ^ operand),
                    AtomicOp::Xchg => (old, operand),
                    AtomicOp::Cmpxchg => (expected, operand),
                };
                // SAFETY: valid by the caller's word.
                let seen = unsafe { $exchange(at, compare, new) };
                if seen == compare || op == AtomicOp::Cmpxchg {
                    return seen;
                }
                old = seen;
            }
        }
    };
}
read_modify_write!(modify32, misaligned32, exchange32, u32, AtomicU32);
read_modify_write!(modify64, misaligned64, exchange64, u64, AtomicU64);

/// # Safety
/// `at` is valid for reads and writes, aligned or not.
#[cfg(target_arch = "x86_64")]
unsafe fn exchange32(at: *mut u32, compare: u32, new: u32) -> u32 {
    let seen;
    // SAFETY: valid by the caller's word; a locked exchange may be misaligned on x86.
    unsafe {
        core::arch::asm!("lock cmpxchg dword ptr [{at}], {new:e}", at = in(reg) at, new = in(reg) new,
            inout("eax") compare => seen, options(nostack));
    }
    seen
}

/// # Safety
/// `at` is valid for reads and writes, aligned or not.
#[cfg(target_arch = "x86_64")]
unsafe fn exchange64(at: *mut u64, compare: u64, new: u64) -> u64 {
    let seen;
    // SAFETY: valid by the caller's word; a locked exchange may be misaligned on x86.
    unsafe {
        core::arch::asm!("lock cmpxchg qword ptr [{at}], {new}", at = in(reg) at, new = in(reg) new,
            inout("rax") compare => seen, options(nostack));
    }
    seen
}

#[cfg(not(target_arch = "x86_64"))]
use locked::{exchange32, exchange64};

#[cfg(not(target_arch = "x86_64"))]
mod locked {
    use std::sync::{Mutex, PoisonError};

    static MISALIGNED: Mutex<()> = Mutex::new(());

    macro_rules! exchange {
        ($name:ident, $word:ty) => {
            /// # Safety
            /// `at` is valid for reads and writes, aligned or not.
            pub(super) unsafe fn $name(at: *mut $word, compare: $word, new: $word) -> $word {
                let _held = MISALIGNED.lock().unwrap_or_else(PoisonError::into_inner);
                // SAFETY: valid by the caller's word.
                let seen = unsafe { at.read_unaligned() };
                if seen == compare {
                    // SAFETY: valid by the caller's word.
                    unsafe { at.write_unaligned(new) };
                }
                seen
            }
        };
    }
    exchange!(exchange32, u32);
    exchange!(exchange64, u64);
}
