//! What a kfunc of the host's gets to see: the store's data, the guest's memory that it was handed, and nested runs.

#![allow(unsafe_code)]

use std::marker::PhantomData;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::call::Call;
use crate::context::Input;
use crate::engine::Engine;
use crate::error::RunError;
use crate::exit::Exit;
use crate::guest::GuestStruct;
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
        Ok(unsafe { (from.address as *const T).read_unaligned() })
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
        unsafe { (to.address as *mut T).write_unaligned(*value) };
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
