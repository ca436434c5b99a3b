//! What an engine must do to be compared.

use std::time::Duration;

use backstop_benches::ThreadTime;

use crate::Error;
use crate::programs::{MEMORY, Program};

/// One program, ready to run on one engine, with memory of its own.
pub trait Peer {
    /// Writes the memory.
    fn set_memory(&mut self, bytes: &[u8; MEMORY]) -> Result<(), Error>;

    /// Reads the memory.
    fn memory(&mut self) -> Result<Vec<u8>, Error>;

    /// Runs once.
    fn run(&mut self) -> Result<u64, Error>;

    /// Time of this many runs. CPU time of the thread, unless the engine can only tell another.
    fn batch(&mut self, runs: u32) -> Result<Duration, Error> {
        let started = ThreadTime::now();
        for _ in 0..runs {
            self.run()?;
        }
        Ok(started.elapsed())
    }
}

/// Makes an engine's peer of a program.
pub type Make = fn(&Program) -> Result<Box<dyn Peer>, Error>;

/// An engine: its name in the table, and how to put a program on it.
#[derive(Clone, Copy)]
pub struct Engine {
    /// Its name.
    pub name: &'static str,
    /// Puts a program on it.
    pub make: Make,
}
