//! What a helper or kfunc sees of the run that calls it.
//!
//! A helper is written once, as a safe function over [`Call`] and five argument words; compiled code reaches it through
//! `native::thunk`, the interpreter through its services. What the words mean was proved: the verifier checked each call against the
//! helper's prototype, so a pointer argument is valid for the size that the prototype states.

use crate::record::{End, RunRecord};

/// An error that a host function returned.
pub type HostError = Box<dyn std::error::Error + Send + Sync>;

/// The run is ending: the reason waits in the run's record. A helper that gets it from a callback passes it on.
#[derive(Debug)]
pub(crate) struct Ended;

/// The body of a helper or kfunc.
pub(crate) type Body = dyn Fn(&mut Call<'_, '_>, [u64; 5]) -> Result<u64, Ended> + Send + Sync;

/// How a helper calls a function of the program back.
pub(crate) trait CallBack {
    /// Runs the function that the guest named by `function` with BPF's r1 to r5.
    fn call_back(&mut self, run: &mut RunRecord<'_>, function: u64, args: [u64; 5]) -> Result<u64, Ended>;
}

/// One call of native code by a program.
pub(crate) struct Call<'a, 'run> {
    /// The run.
    pub(crate) run: &'a mut RunRecord<'run>,
    /// The engine's way back into the program.
    pub(crate) engine: &'a mut dyn CallBack,
}

impl Call<'_, '_> {
    /// Calls a function of the program back.
    pub(crate) fn call_back(&mut self, function: u64, args: [u64; 5]) -> Result<u64, Ended> {
        self.engine.call_back(self.run, function, args)
    }

    /// Ends the run.
    pub(crate) fn end(&mut self, end: End) -> Ended {
        self.run.set_end(end);
        Ended
    }
}
