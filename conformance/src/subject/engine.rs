//! Backstop's engines, by the way that every host goes: proof, code, run.

use std::error::Error;
use std::sync::Arc;

use backstop::btf::TypeId;
use backstop::isa::Slot;
use backstop::model::{BuiltinKfunc, FuncInfo, Kfunc, MapKind, MapSpec, ProgKind, ProgType, Program as Linked, kfuncs};
use backstop::{Config, Engine, EngineChoice, EngineError, EngineKind, Input, Linker, Loaded, Packet, Program, Store};

use super::{Running, Subject};
use crate::trial::{Setting, Trial};
use crate::types;

const NAME: &str = "trial";

pub(crate) struct BackstopEngine {
    engine: Engine,
}

impl BackstopEngine {
    pub(crate) fn new(choice: EngineChoice) -> Result<BackstopEngine, EngineError> {
        Ok(BackstopEngine { engine: Engine::new(Config::new().engine(choice))? })
    }
}

impl Subject for BackstopEngine {
    fn name(&self) -> &'static str {
        EngineKind::name(self.engine.kind())
    }

    fn result_bits(&self) -> u64 {
        u64::MAX
    }

    fn load(&self, trial: &Trial) -> Result<Box<dyn Running + '_>, String> {
        let loaded = Loaded::from_program(&Linker::<()>::new(&self.engine), linked(trial)?).map_err(in_full)?;
        let program = loaded.program(NAME).map_err(in_full)?;
        let packet = match &trial.setting {
            Setting::Memory(_) => None,
            Setting::Packet { data, .. } => Some(data.clone()),
        };
        Ok(Box::new(Run { program, store: Store::new(&self.engine, ()), packet }))
    }
}

struct Run {
    program: Program<()>,
    store: Store<()>,
    packet: Option<Vec<u8>>,
}

impl Running for Run {
    fn run(&mut self, memory: &mut Vec<u8>) -> Result<u64, String> {
        let exit = match &self.packet {
            None => self.program.run(&mut self.store, Input::Memory(memory)),
            Some(data) => self.program.run(&mut self.store, Input::Packet(&mut Packet::new(data))),
        };
        exit.map(|exit| exit.value()).map_err(in_full)
    }
}

/// An error with its sources.
fn in_full(error: impl Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let more = error.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        source = error.source();
    }
    text
}

fn linked(trial: &Trial) -> Result<Linked, String> {
    let mut kind = ProgKind::new(match &trial.setting {
        Setting::Memory(_) => ProgType::RawMem,
        Setting::Packet { filter: true, .. } => ProgType::SocketFilter,
        Setting::Packet { filter: false, .. } => ProgType::SchedCls,
    });
    if let Setting::Memory(bytes) = trial.setting {
        kind.memory_len = u32::try_from(bytes).map_err(|e| e.to_string())?;
    }
    let throw = || kfuncs::builtin(BuiltinKfunc::Throw).map_err(in_full);
    let kfuncs: Vec<Arc<Kfunc>> = if trial.throws { vec![throw()?] } else { Vec::new() };
    let maps = (0..).zip(&trial.maps).map(|(n, size)| Arc::new(array(n, *size))).collect();
    let mut program = program(kind, trial.slots.clone(), maps, kfuncs);
    if !trial.typed.is_empty() {
        let (btf, funcs) = types::functions(trial.typed.len()).map_err(in_full)?;
        let record = |(slot, func): (&usize, TypeId)| FuncInfo { slot: *slot as u32, func };
        program.func_info = trial.typed.iter().zip(funcs).map(record).collect();
        program.btf = Some(Arc::new(btf));
    }
    Ok(program)
}

/// A program of nothing but slots.
fn program(kind: ProgKind, slots: Vec<Slot>, maps: Vec<Arc<MapSpec>>, kfuncs: Vec<Arc<Kfunc>>) -> Linked {
    Linked {
        name: NAME.to_owned(),
        section: String::new(),
        kind,
        slots,
        maps,
        kfuncs,
        btf: None,
        func_info: Vec::new(),
        line_info: Vec::new(),
        poisoned: Vec::new(),
        license: "GPL".to_owned(),
    }
}

fn array(number: u32, value_size: u32) -> MapSpec {
    MapSpec::new(format!("map{number}"), MapKind::Array, 4, value_size, 1)
}
