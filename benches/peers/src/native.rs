//! The native code: what everything else is a multiple of.
//!
//! The one place outside of the runtime (with rbpf.rs beside it) where unsafe code is allowed: the baseline must run in the same
//! process as the engines, in turn with them, and C is called through an unsafe interface.

#![allow(unsafe_code)]

use crate::Error;
use crate::peer::Peer;
use crate::programs::{MEMORY, Memory, Program};

/// The compiler's name and version.
pub const COMPILER: &str = env!("NATIVE_COMPILER");

type Function = unsafe extern "C" fn(*mut u8) -> u64;

macro_rules! natives {
    ($($name:literal = $function:ident),* $(,)?) => {
        unsafe extern "C" { $( fn $function(memory: *mut u8) -> u64; )* }

        fn find(name: &str) -> Option<Function> {
            match name {
                $( $name => Some($function), )*
                _ => None,
            }
        }
    };
}

natives! {
    "bsearch" = native_bsearch,
    "calls" = native_calls,
    "fib" = native_fib,
    "histogram" = native_histogram,
    "isort" = native_isort,
    "jhash" = native_jhash,
    "log2" = native_log2,
    "matmul" = native_matmul,
    "memcpy" = native_memcpy,
    "primes" = native_primes,
    "sha256" = native_sha256,
    "sieve" = native_sieve,
    "strcmp" = native_strcmp,
    "xxh32" = native_xxh32,
}

struct Native {
    function: Function,
    memory: Box<Memory>,
}

/// The program as native code.
pub fn make(program: &Program) -> Result<Box<dyn Peer>, Error> {
    let function = find(program.name).ok_or_else(|| format!("{} has no native code", program.name))?;
    Ok(Box::new(Native { function, memory: Box::new(program.initial.clone()) }))
}

impl Peer for Native {
    fn set_memory(&mut self, bytes: &[u8; MEMORY]) -> Result<(), Error> {
        self.memory.0 = *bytes;
        Ok(())
    }

    fn memory(&mut self) -> Result<Vec<u8>, Error> {
        Ok(self.memory.0.to_vec())
    }

    fn run(&mut self) -> Result<u64, Error> {
        // SAFETY: the function is one of benches/programs, which access nothing but the 8 KiB at their argument (the same source is
        // proved so as BPF), and the memory is this value's own.
        Ok(unsafe { (self.function)(self.memory.0.as_mut_ptr()) })
    }
}
