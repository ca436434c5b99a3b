//! wasmtime, on the same C as a wasm module. The program's memory begins at the module's `__heap_base`.

use wasmtime::{Config, Engine, Instance, Memory as Linear, Module, OptLevel, Store, TypedFunc};

use crate::Error;
use crate::peer::Peer;
use crate::programs::{MEMORY, Program};

struct Wasm {
    store: Store<()>,
    function: TypedFunc<i32, i64>,
    memory: Linear,
    base: i32,
}

/// The program, compiled by Cranelift at its best.
pub fn make(program: &Program) -> Result<Box<dyn Peer>, Error> {
    let mut config = Config::new();
    config.cranelift_opt_level(OptLevel::Speed);
    let engine = Engine::new(&config)?;
    let module = Module::new(&engine, std::fs::read(program.file("wasm"))?)?;
    let mut store = Store::new(&engine, ());
    let instance = Instance::new(&mut store, &module, &[])?;
    let function = instance.get_typed_func::<i32, i64>(&mut store, "bench")?;
    let memory = instance.get_memory(&mut store, "memory").ok_or("the module exports no memory")?;
    let base = instance.get_global(&mut store, "__heap_base").ok_or("the module exports no __heap_base")?;
    let base = base.get(&mut store).i32().ok_or("__heap_base is no address")?;
    let mut peer = Wasm { store, function, memory, base };
    peer.set_memory(&program.initial.0)?;
    Ok(Box::new(peer))
}

impl Peer for Wasm {
    fn set_memory(&mut self, bytes: &[u8; MEMORY]) -> Result<(), Error> {
        Ok(self.memory.write(&mut self.store, usize::try_from(self.base)?, bytes)?)
    }

    fn memory(&mut self) -> Result<Vec<u8>, Error> {
        let mut bytes = vec![0; MEMORY];
        self.memory.read(&self.store, usize::try_from(self.base)?, &mut bytes)?;
        Ok(bytes)
    }

    fn run(&mut self) -> Result<u64, Error> {
        Ok(self.function.call(&mut self.store, self.base)?.cast_unsigned())
    }
}
