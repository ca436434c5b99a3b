//! rbpf's two engines, on the very slots that Backstop links out of the object.
//!
//! Unsafe code is allowed here because rbpf's compiled programs can only be run through an unsafe function.

#![allow(unsafe_code)]

use backstop::{Config, Engine, Linker};
use rbpf::EbpfVmRaw;

use crate::Error;
use crate::peer::Peer;
use crate::programs::{MEMORY, Memory, Program};

struct Rbpf {
    vm: EbpfVmRaw<'static>,
    memory: Box<Memory>,
    compiled: bool,
}

fn make(program: &Program, compiled: bool) -> Result<Box<dyn Peer>, Error> {
    let engine = Engine::new(Config::new())?;
    let object = engine.open_file(program.file("bpf.o"))?;
    let linked = object.link(&Linker::<()>::new(&engine), "bench")?;
    // Lives as long as the process: there is one for each of 14 programs, and the machine borrows it.
    let slots: &'static [u8] = backstop::isa::slots_to_bytes(&linked.slots).leak();
    let mut vm = EbpfVmRaw::new(Some(slots))?;
    if compiled {
        vm.jit_compile()?;
    }
    Ok(Box::new(Rbpf { vm, memory: Box::new(program.initial.clone()), compiled }))
}

/// The program, compiled by rbpf's JIT.
pub fn jit(program: &Program) -> Result<Box<dyn Peer>, Error> {
    make(program, true)
}

/// The program on rbpf's interpreter.
pub fn interp(program: &Program) -> Result<Box<dyn Peer>, Error> {
    make(program, false)
}

impl Peer for Rbpf {
    fn set_memory(&mut self, bytes: &[u8; MEMORY]) -> Result<(), Error> {
        self.memory.0 = *bytes;
        Ok(())
    }

    fn memory(&mut self) -> Result<Vec<u8>, Error> {
        Ok(self.memory.0.to_vec())
    }

    fn run(&mut self) -> Result<u64, Error> {
        if !self.compiled {
            return Ok(self.vm.execute_program(&mut self.memory.0)?);
        }
        // SAFETY: the program was compiled and nothing frees it while `vm` lives. Backstop's verifier takes it for 8 KiB of
        // memory, of which it gets as much: it makes no access outside of them and of its stack.
        Ok(unsafe { self.vm.execute_program_jit(&mut self.memory.0) }?)
    }
}
