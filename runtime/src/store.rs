//! The store: what a thread or a call brings to its runs.

use crate::engine::Engine;

/// The host's side of runs: its data, which kfuncs get to see, and buffers that runs reuse. One a thread or a call.
pub struct Store<H> {
    pub(crate) engine: Engine,
    pub(crate) data: H,
    pub(crate) scratch: Scratch,
}

/// What runs reuse, whatever the host's type.
#[derive(Default)]
pub(crate) struct Scratch {
    /// The interpreter's stack; taken while a run uses it, so that a nested run makes its own.
    pub(crate) stack: Option<Box<backstop_interp::Stack>>,
    /// The CPU slot that the last run had.
    pub(crate) cpu_hint: u32,
    /// Where a run's record can lie.
    #[cfg(all(feature = "jit", target_arch = "x86_64", target_os = "linux"))]
    pub(crate) room: crate::native::room::RecordRoom,
    /// What the last run on the checked interpreter stumbled over.
    pub(crate) fault: Option<Box<backstop_interp::Fault>>,
}

impl<H> Store<H> {
    /// A store for programs of this engine.
    pub fn new(engine: &Engine, data: H) -> Store<H> {
        Store { engine: engine.clone(), data, scratch: Scratch::default() }
    }

    /// The host's data.
    pub fn data(&self) -> &H {
        &self.data
    }

    /// The host's data.
    pub fn data_mut(&mut self) -> &mut H {
        &mut self.data
    }

    /// Gives the data back.
    pub fn into_data(self) -> H {
        self.data
    }

    /// The engine.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }
}

impl<H: std::fmt::Debug> std::fmt::Debug for Store<H> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").field("data", &self.data).finish_non_exhaustive()
    }
}
