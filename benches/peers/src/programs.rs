//! The 14 programs: where they lie and the memory that they run over. Each is `u64 bench(u8 *m)` over 8 KiB.

use std::fs;
use std::path::PathBuf;

use backstop_benches::file;

use crate::Error;

/// Bytes of a program's memory.
pub const MEMORY: usize = 8192;

/// A program's memory, aligned as an allocator would align it.
#[derive(Clone)]
#[repr(C, align(64))]
pub struct Memory(pub [u8; MEMORY]);

/// A program's files.
pub struct Program {
    /// Its name.
    pub name: &'static str,
    /// What its memory holds before the first run.
    pub initial: Memory,
}

impl Program {
    /// Reads the initial memory.
    pub fn open(name: &'static str) -> Result<Program, Error> {
        let path = file(&format!("benches/programs/init/{name}.bin"));
        let bytes = fs::read(&path)?;
        let wrong = |_| format!("{}: {} bytes, {MEMORY} were expected", path.display(), bytes.len());
        let initial = Memory(<[u8; MEMORY]>::try_from(bytes.as_slice()).map_err(wrong)?);
        Ok(Program { name, initial })
    }

    /// The file of this name with another ending: `bpf.o`, `linux.bpf.o`, `wasm`.
    pub fn file(&self, ending: &str) -> PathBuf {
        file(&format!("benches/programs/{}.{ending}", self.name))
    }
}
