//! What a kfunc of the host's gets to see: the store's data, the guest's memory that it was handed, and nested runs.

#![allow(unsafe_code)]

use std::marker::PhantomData;
use std::mem::MaybeUninit;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::call::Call;
use crate::context::Input;
use crate::engine::Engine;
use crate::error::RunError;
use crate::exit::Exit;
use crate::guest::GuestStruct;
use crate::helpers::memory;
use crate::program::Program;
use crate::run::run_code;
use crate::store::Scratch;

/// The run that called a kfunc.
pub struct Caller<'a, H> {
    access: &'a mut (dyn Access + 'a),
    serial: u64,
    host: PhantomData<&'a mut H>,
}

/// What a [`Caller`] needs of a [`Call`], without its lifetimes.
trait Access {
    fn host_data(&mut self) -> *mut ();
    fn engine(&self) -> &Engine;
}

impl Access for Call<'_, '_> {
    fn host_data(&mut self) -> *mut () {
        self.run.host_data
    }

    fn engine(&self) -> &Engine {
        self.run.engine
    }
}

/// A pointer that a program handed to a kfunc: to one `T`, valid during this call only.
#[derive(Debug)]
pub struct Ptr<T> {
    address: u64,
    serial: u64,
    target: PhantomData<fn() -> T>,
}

impl<T> Clone for Ptr<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Ptr<T> {}

impl<T> Ptr<T> {
    pub(crate) fn new(address: u64, serial: u64) -> Ptr<T> {
        Ptr { address, serial, target: PhantomData }
    }
}

/// A [`Ptr`] used outside the call that it was made for, or NULL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a guest pointer was used after the call that it was handed to, or is NULL")]
pub struct StalePointer;

static SERIAL: AtomicU64 = AtomicU64::new(1);

impl<'a, H> Caller<'a, H> {
    pub(crate) fn new<'c>(call: &'a mut Call<'c, '_>) -> Caller<'a, H>
    where
        'c: 'a,
    {
        Caller { access: call, serial: SERIAL.fetch_add(1, Ordering::Relaxed), host: PhantomData }
    }

    pub(crate) fn serial(&self) -> u64 {
        self.serial
    }

    /// The store's data.
    pub fn data(&mut self) -> &mut H {
        // SAFETY: R3: the record's host data is the `H` of the store that started this run, exclusively borrowed for its length; the
        // kfunc was made for this `H` (`Linker<H>`, `Loaded<H>`, `Store<H>` agree by type), and `self` is borrowed meanwhile.
        unsafe { &mut *self.access.host_data().cast::<H>() }
    }

    /// The engine.
    pub fn engine(&self) -> &Engine {
        self.access.engine()
    }

    /// Copies what a pointer argument points to.
    ///
    /// # Errors
    /// [`StalePointer`] if the pointer was handed to another call.
    pub fn read<T: GuestStruct>(&self, from: Ptr<T>) -> Result<T, StalePointer> {
        if from.serial != self.serial || from.address == 0 {
            return Err(StalePointer);
        }
        // SAFETY: I3: the verifier proved the argument to point to `size_of::<T>()` readable bytes, which live as long as this call;
        // `GuestStruct` types are valid for any bytes.
        Ok(unsafe { copy_out(from.address) })
    }

    /// Sets what a pointer argument points to.
    ///
    /// # Errors
    /// [`StalePointer`] if the pointer was handed to another call.
    pub fn write<T: GuestStruct>(&mut self, to: Ptr<T>, value: &T) -> Result<(), StalePointer> {
        if to.serial != self.serial || to.address == 0 {
            return Err(StalePointer);
        }
        // SAFETY: I3: as in `read`; the prototype declares the pointer as not const, so the memory is writable too.
        unsafe { copy_in(to.address, value) };
        Ok(())
    }

    /// Runs another program inside this call. It has a run record of its own: what it throws never passes into the outer program.
    ///
    /// # Errors
    /// Any [`RunError`] of the nested run.
    pub fn run(&mut self, program: &Program<H>, input: Input<'_>) -> Result<Exit, RunError> {
        let engine = self.access.engine().clone();
        let host_data = self.access.host_data();
        run_code(program.code(), &engine, host_data, &mut Scratch::default(), input)
    }
}

/// Copies a struct out of guest memory, which other threads' guests may write meanwhile.
///
/// # Safety
/// `address` is valid for reads of `size_of::<T>()` bytes (I3).
unsafe fn copy_out<T: GuestStruct>(address: u64) -> T {
    let mut value = MaybeUninit::<T>::zeroed();
    // SAFETY: the value's own bytes, all of them initialized, and borrowed by nothing else.
    let bytes = unsafe { std::slice::from_raw_parts_mut(value.as_mut_ptr().cast::<u8>(), size_of::<T>()) };
    // SAFETY: the caller's promise; a `GuestStruct` is valid for any bytes.
    unsafe {
        memory::read(address, bytes);
        value.assume_init()
    }
}

/// Copies a struct into guest memory, which other threads' guests may read and write meanwhile.
///
/// # Safety
/// `address` is valid for writes of `size_of::<T>()` bytes (I3).
unsafe fn copy_in<T: GuestStruct>(address: u64, value: &T) {
    // SAFETY: the value's own bytes; a `GuestStruct` has no padding, so all of them are initialized.
    let bytes = unsafe { std::slice::from_raw_parts(std::ptr::from_ref(value).cast::<u8>(), size_of::<T>()) };
    // SAFETY: the caller's promise.
    unsafe { memory::write(address, bytes) };
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU32;

    use super::*;

    crate::guest_struct! {
        /// Of words and odd bytes.
        struct Mixed {
            pub word: u64,
            pub half: u32,
            pub bytes: [u8; 4],
        }
    }

    /// Miri and ThreadSanitizer fail it where the copies are plain.
    #[test]
    fn copies_race_with_no_guest() {
        let memory: [AtomicU32; 4] = Default::default();
        let address = memory.as_ptr().expose_provenance() as u64;
        let rounds = if cfg!(miri) { 20 } else { 5000 };
        std::thread::scope(|threads| {
            threads.spawn(|| {
                for n in 0..rounds {
                    for word in &memory {
                        word.store(n, Ordering::Relaxed);
                    }
                }
            });
            threads.spawn(|| {
                for n in 0..rounds {
                    let value = Mixed { word: u64::from(n), half: n, bytes: n.to_ne_bytes() };
                    // SAFETY: 16 bytes of atomics that outlive the threads.
                    unsafe { copy_in(address, &value) };
                }
            });
            for _ in 0..rounds {
                // SAFETY: as above.
                let seen: Mixed = unsafe { copy_out(address) };
                assert!(seen.half < rounds && u32::from_ne_bytes(seen.bytes) < rounds);
            }
        });
    }

    #[test]
    fn copies_are_exact_at_every_alignment() {
        let value = Mixed { word: 0x0102_0304_0506_0708, half: 0x090a_0b0c, bytes: [13, 14, 15, 16] };
        for start in 0..8usize {
            let mut room = [0u64; 4];
            let address = room.as_mut_ptr().expose_provenance() as u64 + start as u64;
            // SAFETY: 16 bytes from there lie inside the room.
            let seen: Mixed = unsafe {
                copy_in(address, &value);
                copy_out(address)
            };
            assert_eq!(seen, value, "from byte {start}");
        }
    }
}
