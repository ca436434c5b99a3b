//! From compiled code to native functions that are closures of the host's.
//!
//! Compiled code calls `extern "C" fn(a1, .., a5, run)`. A host function also has its own data, so each gets a stub in the code
//! arena that loads the data's address and jumps to one common entry.

#![allow(unsafe_code)]

use core::arch::naked_asm;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use backstop_abi::RunCtx;

use super::arena::{Arena, CodeError, Range};
use super::trampoline::{CallbackEntry, call_back};
use crate::call::{Body, Call, CallBack, Ended};
use crate::record::{End, RunRecord};

/// Compiled code's way back into the program: an address is called through the callback trampoline.
pub(crate) struct NativeCallBack;

impl CallBack for NativeCallBack {
    fn call_back(&mut self, run: &mut RunRecord<'_>, function: u64, args: [u64; 5]) -> Result<u64, Ended> {
        let ctx: *mut RunCtx = std::ptr::from_mut(run).cast();
        let entry = CallbackEntry { function, run: ctx };
        let [a1, a2, a3, a4, a5] = args;
        // SAFETY: I4: callback arguments are addresses of functions of the running program, proved for these arguments; the record is
        // this run's own.
        let value = unsafe { call_back(a1, a2, a3, a4, a5, &raw const entry) };
        if run.ctx.pending != 0 { Err(Ended) } else { Ok(value) }
    }
}

/// Runs a body for compiled code: panics and errors become ends that wait in the record.
///
/// # Safety
/// `run` is the run's context, embedded in a [`RunRecord`] that nobody else borrows.
pub(crate) unsafe fn perform(
    run: *mut RunCtx,
    args: [u64; 5],
    body: impl FnOnce(&mut Call<'_, '_>, [u64; 5]) -> Result<u64, Ended>,
) -> u64 {
    // SAFETY: R2: the context is the first field of the run's record, which compiled code does not touch during this call.
    let record = unsafe { &mut *run.cast::<RunRecord<'_>>() };
    let outcome = catch_unwind(AssertUnwindSafe(|| body(&mut Call { run: record, engine: &mut NativeCallBack }, args)));
    match outcome {
        Ok(Ok(value)) => value,
        Ok(Err(Ended)) => 0,
        Err(panic) => {
            record.set_end(End::Panic(panic));
            0
        }
    }
}

/// A host function that compiled code can call: the stub, and the data that it points to.
pub(crate) struct HostThunk {
    stub: Range,
    _body: Box<Arc<Body>>,
}

impl HostThunk {
    pub(crate) fn new(body: &Arc<Body>) -> Result<HostThunk, CodeError> {
        let body = Box::new(Arc::clone(body));
        let data = std::ptr::from_ref::<Arc<Body>>(&body) as u64;
        let entry = host_entry as *const () as u64;
        // mov r10, data; mov r11, entry; jmp r11
        let mut code = vec![0x49, 0xba];
        code.extend_from_slice(&data.to_le_bytes());
        code.extend_from_slice(&[0x49, 0xbb]);
        code.extend_from_slice(&entry.to_le_bytes());
        code.extend_from_slice(&[0x41, 0xff, 0xe3]);
        let stub = Arena::get()?.publish(&code)?;
        Ok(HostThunk { stub, _body: body })
    }

    pub(crate) fn address(&self) -> u64 {
        self.stub.address() as u64
    }
}

/// Passes the stub's data on as a seventh argument.
#[unsafe(naked)]
unsafe extern "C" fn host_entry() {
    naked_asm!(
        // The seventh argument lies on the stack; the call keeps 16-byte alignment: return address, data, then a return address.
        "push r10",
        "call {perform}",
        "add rsp, 8",
        "ret",
        perform = sym host_perform,
    )
}

unsafe extern "C" fn host_perform(
    a1: u64,
    a2: u64,
    a3: u64,
    a4: u64,
    a5: u64,
    run: *mut RunCtx,
    body: *const Arc<Body>,
) -> u64 {
    // SAFETY: R4: the stub's data is a boxed body that lives as long as the stub, and the stub as long as the calling program.
    let body = unsafe { &*body };
    // SAFETY: compiled code passes its own run's context.
    unsafe { perform(run, [a1, a2, a3, a4, a5], |call, args| body(call, args)) }
}
