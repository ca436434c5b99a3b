//! Backstop's two engines.

use backstop::{Config, Engine, EngineChoice, Exit, Input, Linker, Program as Loaded, Store};

use crate::Error;
use crate::peer::Peer;
use crate::programs::{MEMORY, Memory, Program};

struct Backstop {
    program: Loaded<()>,
    store: Store<()>,
    memory: Box<Memory>,
}

fn make(program: &Program, choice: EngineChoice) -> Result<Box<dyn Peer>, Error> {
    let engine = Engine::new(Config::new().engine(choice))?;
    let mut object = engine.open_file(program.file("bpf.o"))?;
    object.set_memory_len("bench", MEMORY as u32)?;
    let loaded = object.load(&Linker::<()>::new(&engine))?;
    Ok(Box::new(Backstop {
        program: loaded.program("bench")?,
        store: Store::new(&engine, ()),
        memory: Box::new(program.initial.clone()),
    }))
}

/// The program, compiled by the JIT.
pub fn jit(program: &Program) -> Result<Box<dyn Peer>, Error> {
    make(program, EngineChoice::Jit)
}

/// The program on the interpreter.
pub fn interp(program: &Program) -> Result<Box<dyn Peer>, Error> {
    make(program, EngineChoice::Interpreter)
}

impl Peer for Backstop {
    fn set_memory(&mut self, bytes: &[u8; MEMORY]) -> Result<(), Error> {
        self.memory.0 = *bytes;
        Ok(())
    }

    fn memory(&mut self) -> Result<Vec<u8>, Error> {
        Ok(self.memory.0.to_vec())
    }

    fn run(&mut self) -> Result<u64, Error> {
        match self.program.run(&mut self.store, Input::Memory(&mut self.memory.0))? {
            Exit::Returned(value) => Ok(value),
            Exit::Thrown { cookie, .. } => Err(format!("threw {cookie}").into()),
        }
    }
}
