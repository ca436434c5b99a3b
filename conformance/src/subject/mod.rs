//! Who is put to the test: Backstop's engines, and the running kernel.

mod engine;
#[cfg(target_os = "linux")]
mod linux;

use crate::trial::Trial;

pub(crate) use engine::BackstopEngine;
#[cfg(target_os = "linux")]
pub(crate) use linux::Linux;

/// Something that runs programs.
pub(crate) trait Subject: Sync {
    /// The column's head.
    fn name(&self) -> &'static str;

    /// Which bits of r0 it hands back.
    fn result_bits(&self) -> u64;

    /// Why it can't be asked about this trial, if so.
    fn declines(&self, _: &Trial) -> Option<&'static str> {
        None
    }

    /// Loads a trial's program.
    ///
    /// # Errors
    /// Its words of refusal.
    fn load(&self, trial: &Trial) -> Result<Box<dyn Running + '_>, String>;
}

/// A loaded program.
pub(crate) trait Running {
    /// Runs it over the memory (which a packet program does not get) and gives r0.
    ///
    /// # Errors
    /// Why there was no result.
    fn run(&mut self, memory: &mut Vec<u8>) -> Result<u64, String>;
}
