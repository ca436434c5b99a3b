//! The running kernel: programs put before its verifier and test-run, never attached.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::OnceLock;
use std::time::Duration;

use backstop::model::{MapSpec as Spec, Program as Linked};
use backstop::{Config, Engine, Linker};
use backstop_referee::{
    Loaded, Map, MapSpec, Outcome, ProgBtf, ProgLoad, ProgType, Referee, TestRun, kernel_btf, update_flag,
};

use crate::Error;
use crate::peer::Peer;
use crate::programs::{MEMORY, Program};

/// Log level: counts and the time of the verification.
const LOG_STATS: u32 = 4;

/// The kernel, or why it can't be asked.
pub fn referee() -> Result<&'static Referee, String> {
    static REFEREE: OnceLock<Result<Referee, String>> = OnceLock::new();
    REFEREE.get_or_init(|| Referee::open().map_err(|e| e.to_string())).as_ref().map_err(Clone::clone)
}

/// A program that the kernel took, with its maps by name.
pub struct InKernel {
    /// The program.
    pub loaded: Loaded,
    maps: BTreeMap<String, Map>,
}

/// Links a program by Backstop's own loader, as libbpf would.
pub fn link(object: &Path, name: &str) -> Result<Linked, Error> {
    let engine = Engine::new(Config::new())?;
    Ok(engine.open_file(object)?.link(&Linker::<()>::new(&engine), name)?)
}

/// Puts a linked program before the kernel.
pub fn load(program: &Linked) -> Result<InKernel, Error> {
    let referee = referee()?;
    let maps = program.maps.iter().map(|spec| create(referee, spec)).collect::<Result<Vec<_>, _>>()?;
    let ty = program.kind.ty.linux_number().ok_or("no program type of Linux's")?;
    let insns = backstop::isa::slots_to_bytes(&program.slots);
    let kfuncs: Vec<&str> = program.kfuncs.iter().map(|k| k.name.as_str()).collect();
    let btf = match &program.btf {
        Some(btf) => Some(referee.load_btf(&kernel_btf(&btf.encode(), &[])?)?),
        None => None,
    };
    let func_info: Vec<u8> =
        program.func_info.iter().flat_map(|f| [f.slot, f.func.0]).flat_map(u32::to_ne_bytes).collect();
    let info = btf.as_ref().map(|btf| ProgBtf {
        btf,
        func_info: &func_info,
        func_info_rec_size: 8,
        line_info: &[],
        line_info_rec_size: 16,
    });
    let outcome = referee.load(&ProgLoad {
        license: &program.license,
        log_level: LOG_STATS,
        maps: &maps.iter().collect::<Vec<_>>(),
        kfuncs: &kfuncs,
        btf: info,
        name: &program.name,
        ..ProgLoad::new(ProgType::from_number(ty), &insns)
    })?;
    let loaded = match outcome {
        Outcome::Loaded(loaded) => loaded,
        Outcome::Refused(refused) => return Err(format!("the kernel refused it: {}", refused.reason()).into()),
    };
    let names = program.maps.iter().map(|spec| spec.name.clone());
    Ok(InKernel { loaded, maps: names.zip(maps).collect() })
}

fn create(referee: &Referee, spec: &Spec) -> Result<Map, Error> {
    let map = referee.create_map(&MapSpec {
        kind: spec.kind as u32,
        key_size: spec.key_size,
        value_size: spec.value_size,
        max_entries: spec.max_entries,
        flags: spec.flags,
        name: "backstop",
        extra: spec.extra,
        ..MapSpec::default()
    })?;
    if let Some(initial) = &spec.initial {
        map.update(&0_u32.to_ne_bytes(), initial, update_flag::ANY)?;
    }
    if spec.frozen {
        map.freeze()?;
    }
    Ok(map)
}

impl InKernel {
    /// The time that the kernel says it verified for.
    pub fn verification(&self) -> Option<Duration> {
        self.loaded.log().stats()?.verification_time_usec.map(Duration::from_micros)
    }

    /// Result of one run over a packet, and the mean time of `repeat`.
    pub fn test_run(&self, packet: &[u8], repeat: u32) -> Result<(u32, Duration), Error> {
        let run = referee()?.test_run(&self.loaded, &TestRun { repeat, ..TestRun::packet(packet) })?;
        Ok((run.retval, Duration::from_nanos(run.duration_ns.into())))
    }
}

/// A program of the table, over its memory in a map's value.
struct Linux {
    program: InKernel,
    result: String,
}

/// The program, in the kernel.
pub fn make(program: &Program) -> Result<Box<dyn Peer>, Error> {
    let linked = link(&program.file("linux.bpf.o"), "bench")?;
    let result = linked.maps.iter().map(|m| m.name.clone()).find(|name| name != "memory");
    let mut peer = Linux { program: load(&linked)?, result: result.ok_or("no variable for the result")? };
    peer.set_memory(&program.initial.0)?;
    Ok(Box::new(peer))
}

impl Linux {
    fn map(&self, name: &str) -> Result<&Map, Error> {
        Ok(self.program.maps.get(name).ok_or_else(|| format!("no map `{name}`"))?)
    }

    fn read(&self, name: &str) -> Result<Vec<u8>, Error> {
        Ok(self.map(name)?.lookup(&0_u32.to_ne_bytes())?.ok_or("an array without its first element")?)
    }
}

impl Peer for Linux {
    fn set_memory(&mut self, bytes: &[u8; MEMORY]) -> Result<(), Error> {
        Ok(self.map("memory")?.update(&0_u32.to_ne_bytes(), bytes, update_flag::ANY)?)
    }

    fn memory(&mut self) -> Result<Vec<u8>, Error> {
        self.read("memory")
    }

    fn run(&mut self) -> Result<u64, Error> {
        self.program.test_run(&[0; 64], 1)?;
        let value = self.read(&self.result)?;
        Ok(u64::from_ne_bytes(*value.first_chunk().ok_or("a result of less than 8 bytes")?))
    }

    /// The kernel's own clock, which is not the thread's CPU time: it counts interrupts too. One call does all runs.
    fn batch(&mut self, runs: u32) -> Result<Duration, Error> {
        Ok(self.program.test_run(&[0; 64], runs)?.1 * runs)
    }
}
