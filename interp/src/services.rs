//! What the interpreter asks of the runtime, and what it offers to it.

use std::ops::Deref;

use crate::Code;

/// The run is ending; the reason is kept by the [`Services`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Stop;

/// Why the interpreter itself ends a run.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Halt {
    /// More nested calls, callbacks and tail calls, or more BPF stack, than a verified program can use.
    #[error("the program's stack is exhausted")]
    Stack,
    /// Something that the verifier rules out: a defect of Backstop.
    #[error("a verified program did what its proof rules out: {0}")]
    Defect(&'static str),
    /// A checked run broke a rule; its [`Checks`](crate::Checks) say which.
    #[error("the program broke a rule")]
    Fault,
    /// A checked run has used all instructions that it was given.
    #[error("the program ran out of instructions")]
    Fuel,
}

/// A live frame at a throw.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct WalkedFrame {
    /// [`Bindings::code_id`](crate::Bindings::code_id) of the frame's code.
    pub code_id: u64,
    /// The IR operation that threw or called there.
    pub op: u32,
}

/// What a run needs of its surroundings.
pub trait Services: Sized {
    /// What stands for a native function in a [`Code`].
    type Callee;
    /// How the code of this run may run: [`Proven`](backstop_ir::Proven) or [`Guarded`](crate::Guarded).
    type Mode;
    /// A program that was tail called, kept alive while it runs.
    type Target: Deref<Target = Code<Self::Callee, Self::Mode>>;

    /// Calls a helper or kfunc with BPF's r1 to r5; its result goes to r0. `vm` lets it call the program's functions back.
    ///
    /// # Errors
    /// [`Stop`] ends the run; no boundary catches it.
    fn call_native(&mut self, callee: &Self::Callee, args: [u64; 5], vm: &mut dyn CallBack<Self>) -> Result<u64, Stop>;

    /// The program in a slot of the prog_array whose address the guest holds; `None` if the slot is empty or there is none.
    /// `context` is what the guest hands on.
    ///
    /// # Errors
    /// [`Stop`] ends the run.
    fn tail_call(&mut self, context: u64, map: u64, index: u32) -> Result<Option<Self::Target>, Stop>;

    /// A boundary caught a throw: its exception callback runs next. `outermost` if the boundary's result is the run's.
    /// `frames` are those that the throw passed, innermost first, the boundary's last.
    fn caught(&mut self, cookie: u64, outermost: bool, frames: &[WalkedFrame]);

    /// Legacy packet load of `size` bytes in network order, in the host's order; `None` beyond the packet.
    fn legacy_load(&mut self, offset: u32, size: u32) -> Option<u64>;

    /// The interpreter ends the run for a reason of its own; [`Stop`] follows.
    fn halted(&mut self, halt: Halt);
}

/// A native function's way back into the program that called it.
pub trait CallBack<S> {
    /// Runs a function of the program with BPF's r1 to r5. `function` is the word that the guest passed for it.
    ///
    /// # Errors
    /// [`Stop`] if the run is ending: the caller must pass it on.
    fn call_back(&mut self, services: &mut S, function: u64, args: [u64; 5]) -> Result<u64, Stop>;
}
