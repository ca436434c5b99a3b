//! What the interpreter gets from the runtime: helpers, tail calls, the run's record.

#![allow(unsafe_code)]

use std::ops::Deref;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use backstop_interp::{CallBack as InterpreterCallBack, Code, Halt, Services, Stop, WalkedFrame as InterpretedFrame};
use backstop_ir::Proven;

use crate::backend::{Backend, Native};
use crate::call::{Call, CallBack, Ended};
use crate::program::ProgramCode;
use crate::record::{CodeId, End, RunRecord};
use crate::store::Scratch;

/// The services of one run.
///
/// The record is held by address: helpers borrow it for a call, and the way back into the program hands it on by then.
pub(crate) struct RunServices {
    record: *mut RunRecord<'static>,
    pub(crate) halted: Option<Halt>,
}

impl RunServices {
    pub(crate) fn new(record: &mut RunRecord<'_>) -> RunServices {
        RunServices { record: std::ptr::from_mut(record).cast(), halted: None }
    }

    pub(crate) fn record(&mut self) -> &mut RunRecord<'static> {
        // SAFETY: R5: the services live inside the call that made them from an exclusive borrow of the record, and each borrow that is
        // handed out ends before the next begins.
        unsafe { &mut *self.record }
    }

    /// Calls a native function. No panic leaves it: it becomes the run's end.
    pub(crate) fn perform(&mut self, callee: &Native, args: [u64; 5], back: &mut dyn CallBack) -> Result<u64, Stop> {
        let mut call = Call { run: self.record(), engine: back };
        let outcome = catch_unwind(AssertUnwindSafe(|| match callee {
            Native::Helper(helper) => (helper.body)(&mut call, args),
            Native::Host(body) => body(&mut call, args),
            Native::Absent => Err(Ended),
        }));
        if matches!(callee, Native::Absent) {
            self.halted = Some(Halt::Defect("a call names no callee"));
        }
        match outcome {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(Ended)) => Err(Stop),
            Err(panic) => {
                self.record().set_end(End::Panic(panic));
                Err(Stop)
            }
        }
    }

    /// Notes in the record what a boundary caught.
    pub(crate) fn note_caught(&mut self, cookie: u64, outermost: bool, frames: &[InterpretedFrame]) {
        let record = self.record();
        for (to, from) in record.walk.places.iter_mut().zip(frames) {
            *to = from.op;
        }
        let code = frames.first().map_or_else(CodeId::default, |frame| CodeId::from_word(frame.code_id));
        record.caught(cookie, outermost, code, frames.len());
    }
}

/// A program that was tail called, as the interpreter runs it. Only made of programs that have interpreter code.
pub(crate) struct Target(Arc<ProgramCode>);

impl Deref for Target {
    type Target = Code<Native>;

    fn deref(&self) -> &Code<Native> {
        match &self.0.backend {
            Backend::Interpreter(code) => code,
            Backend::Checked(_) => unreachable!("tail-call targets are checked when they are made"),
            #[cfg(all(feature = "jit", target_arch = "x86_64", target_os = "linux"))]
            Backend::Jit(_) => unreachable!("tail-call targets are checked when they are made"),
        }
    }
}

/// Runs a program on the interpreter.
///
/// # Errors
/// The interpreter's own reason to end it.
pub(crate) fn interpret(
    code: &Code<Native>,
    args: [u64; 2],
    record: &mut RunRecord<'_>,
    scratch: &mut Scratch,
) -> Result<u64, Halt> {
    let mut stack = scratch.stack.take().unwrap_or_default();
    let mut services = RunServices::new(record);
    // SAFETY: I1: the code was proved for arguments of its program type, which `prepare` made; its program keeps its maps alive; helpers
    // return what their prototypes say.
    let value = unsafe { backstop_interp::run(code, args, &mut services, &mut stack) };
    let halted = services.halted;
    scratch.stack = Some(stack);
    match (value, halted) {
        (Ok(value), _) => Ok(value),
        (Err(Stop), Some(halt)) => Err(halt),
        // An end waits in the record; the value does not count.
        (Err(Stop), None) => Ok(0),
    }
}

impl Services for RunServices {
    type Callee = Native;
    type Mode = Proven;
    type Target = Target;

    fn call_native(
        &mut self,
        callee: &Native,
        args: [u64; 5],
        vm: &mut dyn InterpreterCallBack<Self>,
    ) -> Result<u64, Stop> {
        let mut back = Back { vm, halted: None };
        let result = self.perform(callee, args, &mut back);
        self.halted = self.halted.or(back.halted);
        result
    }

    fn tail_call(&mut self, _context: u64, map: u64, index: u32) -> Result<Option<Target>, Stop> {
        // SAFETY: I2: a tail call's map argument is a prog_array that the running program holds.
        let array = unsafe { crate::maps::inner_from_native(map) };
        let code = array.program(index);
        Ok(code.filter(|code| matches!(code.backend, Backend::Interpreter(_))).map(Target))
    }

    fn caught(&mut self, cookie: u64, outermost: bool, frames: &[InterpretedFrame]) {
        self.note_caught(cookie, outermost, frames);
    }

    fn legacy_load(&mut self, offset: u32, size: u32) -> Option<u64> {
        crate::helpers::legacy_load(self.record(), offset, size)
    }

    fn halted(&mut self, halt: Halt) {
        self.halted = Some(halt);
    }
}

/// A helper's way back into an interpreted program.
struct Back<'a> {
    vm: &'a mut dyn InterpreterCallBack<RunServices>,
    halted: Option<Halt>,
}

impl CallBack for Back<'_> {
    fn call_back(&mut self, run: &mut RunRecord<'_>, function: u64, args: [u64; 5]) -> Result<u64, Ended> {
        let mut services = RunServices::new(run);
        let value = self.vm.call_back(&mut services, function, args);
        self.halted = self.halted.or(services.halted);
        value.map_err(|Stop| Ended)
    }
}
