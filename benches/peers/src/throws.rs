//! A throw as a program of Linux's: the same XDP programs by Backstop and by the kernel, with and without the throw.

use std::time::Duration;

use backstop::{Config, Engine, EngineChoice, Exit, Input, Linker, Packet, Program, Store};
use backstop_benches::{FIGURES, file};
use serde::Serialize;

use crate::Error;
use crate::linux::{self, InKernel};
use crate::peer::Peer;
use crate::programs::MEMORY;
use crate::timing::{Effort, interleave};

/// Program and length of its packet in bytes: those of 100 bytes or more make it throw.
const CASES: [(&str, usize, &str); 4] = [
    ("xdp_throw_1", 64, "1 subprogram deep, does not throw"),
    ("xdp_throw_1", 128, "1 subprogram deep, throws"),
    ("xdp_throw_8", 64, "8 frames, does not throw"),
    ("xdp_throw_8", 128, "8 frames, throws"),
];

/// Times of one case.
#[derive(Debug, Serialize)]
pub struct Throw {
    /// What happens.
    pub case: &'static str,
    /// 25th percentile of the whole call by Backstop's JIT, in nanoseconds.
    pub backstop_ns: f64,
    /// The same by Backstop's interpreter.
    pub interp_ns: f64,
    /// The kernel's time of a run, in nanoseconds.
    pub linux_ns: Option<f64>,
}

struct OnBackstop {
    program: Program<()>,
    store: Store<()>,
    packet: Packet,
}

struct OnLinux {
    program: InKernel,
    packet: Vec<u8>,
}

/// A throw leaves no memory behind that one could compare.
macro_rules! no_memory {
    () => {
        fn set_memory(&mut self, _: &[u8; MEMORY]) -> Result<(), Error> {
            Ok(())
        }

        fn memory(&mut self) -> Result<Vec<u8>, Error> {
            Ok(Vec::new())
        }
    };
}

impl Peer for OnBackstop {
    no_memory!();

    fn run(&mut self) -> Result<u64, Error> {
        Ok(self.program.run(&mut self.store, Input::Packet(&mut self.packet))?.value())
    }
}

impl Peer for OnLinux {
    no_memory!();

    fn run(&mut self) -> Result<u64, Error> {
        Ok(self.program.test_run(&self.packet, 1)?.0.into())
    }

    fn batch(&mut self, runs: u32) -> Result<Duration, Error> {
        Ok(self.program.test_run(&self.packet, runs)?.1 * runs)
    }
}

/// Measures all cases.
pub fn measure(effort: Effort) -> Result<Vec<Throw>, Error> {
    CASES.iter().map(|&(program, length, case)| one(program, length, case, effort)).collect()
}

fn one(name: &str, length: usize, case: &'static str, effort: Effort) -> Result<Throw, Error> {
    let packet = vec![0; length];
    let mut jit = on_backstop(name, &packet, EngineChoice::Jit)?;
    let mut interp = on_backstop(name, &packet, EngineChoice::Interpreter)?;
    let mut linux = match on_linux(name, &packet) {
        Ok(linux) => Some(linux),
        Err(error) => {
            eprintln!("{name} on Linux: {error}");
            None
        }
    };
    let results = [jit.run()?, interp.run()?, linux.as_mut().map_or_else(|| jit.run(), Peer::run)?];
    if results.iter().any(|r| Some(r) != results.first()) {
        return Err(format!("{name}: results differ: {results:?}").into());
    }
    let mut peers: Vec<&mut dyn Peer> = vec![&mut jit, &mut interp];
    peers.extend(linux.as_mut().map(|linux| linux as &mut dyn Peer));
    let times = interleave(&mut peers, effort)?;
    let at = |index: usize| times.get(index).map(|t| t.quarter);
    let missing = || format!("{name} was not measured");
    Ok(Throw { case, backstop_ns: at(0).ok_or_else(missing)?, interp_ns: at(1).ok_or_else(missing)?, linux_ns: at(2) })
}

fn on_backstop(name: &str, packet: &[u8], choice: EngineChoice) -> Result<OnBackstop, Error> {
    let engine = Engine::new(Config::new().engine(choice))?;
    let loaded = engine.open_file(file(FIGURES))?.load_programs(&Linker::<()>::new(&engine), &[name])?;
    let (program, mut store) = (loaded.program(name)?, Store::new(&engine, ()));
    let exit = program.run(&mut store, Input::Packet(&mut Packet::new(packet)))?;
    if matches!(exit, Exit::Thrown { .. }) != (packet.len() >= 100) {
        return Err(format!("{name} over {} bytes: {exit:?}", packet.len()).into());
    }
    Ok(OnBackstop { program, store, packet: Packet::new(packet) })
}

fn on_linux(name: &str, packet: &[u8]) -> Result<OnLinux, Error> {
    let program = linux::load(&linux::link(&file(FIGURES), name)?)?;
    Ok(OnLinux { program, packet: packet.to_vec() })
}
