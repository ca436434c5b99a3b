//! The running kernel, by loading and test runs alone.
//!
//! There a program's memory is the value of an array map: three instructions before the program bring its address and length.

use backstop::isa::{Instr, Operand, Pseudo, Reg, Slot, Width, encode_all};
use backstop_referee::{
    Loaded, LoadedBtf, Map, MapSpec, ProgBtf, ProgLoad, ProgType, Referee, TestRun, Unavailable, map_kind, update_flag,
};

use super::{Running, Subject};
use crate::trial::{Setting, Trial};
use crate::types;

const KEY: [u8; 4] = [0; 4];

pub(crate) struct Linux {
    referee: Referee,
}

impl Linux {
    pub(crate) fn new() -> Result<Linux, Unavailable> {
        Ok(Linux { referee: Referee::open()? })
    }

    fn array(&self, value_size: usize) -> Result<Map, String> {
        let value_size = u32::try_from(value_size).map_err(|e| e.to_string())?;
        let spec = MapSpec { kind: map_kind::ARRAY, key_size: 4, value_size, max_entries: 1, ..MapSpec::default() };
        self.referee.create_map(&spec).map_err(|e| e.to_string())
    }
}

/// r1 = the memory, r2 = its length.
fn entry(map: usize, length: usize) -> Vec<Slot> {
    let address = Instr::LoadPseudo { kind: Pseudo::MapValueIdx, dst: Reg::R1, imm: map as i32, next_imm: 0 };
    let length = Instr::Mov { width: Width::W64, dst: Reg::R2, src: Operand::Imm(length as i32) };
    encode_all(&[address, length])
}

impl Subject for Linux {
    fn name(&self) -> &'static str {
        "linux"
    }

    fn result_bits(&self) -> u64 {
        u64::from(u32::MAX)
    }

    fn declines(&self, trial: &Trial) -> Option<&'static str> {
        trial.without_linux
    }

    fn load(&self, trial: &Trial) -> Result<Box<dyn Running + '_>, String> {
        let mut maps = Vec::new();
        for size in &trial.maps {
            maps.push(self.array(*size as usize)?);
        }
        let (prog_type, mut slots, packet) = match &trial.setting {
            Setting::Memory(bytes) => {
                maps.push(self.array(*bytes)?);
                (ProgType::Syscall, entry(maps.len() - 1, *bytes), None)
            }
            Setting::Packet { data, filter: true } => (ProgType::SocketFilter, Vec::new(), Some(data.clone())),
            Setting::Packet { data, filter: false } => (ProgType::SchedCls, Vec::new(), Some(data.clone())),
        };
        let before = slots.len();
        slots.extend_from_slice(&trial.slots);
        let insns: Vec<u8> = slots.iter().flat_map(|slot| slot.to_bytes()).collect();
        let named: Vec<&Map> = maps.iter().collect();
        let kfuncs: &[&str] = if trial.throws { &["bpf_throw"] } else { &[] };
        let typed = self.types(&trial.typed, before)?;
        let btf = typed.as_ref().map(|(btf, records)| ProgBtf {
            btf,
            func_info: records,
            func_info_rec_size: 8,
            line_info: &[],
            line_info_rec_size: 16,
        });
        let load = ProgLoad { log_level: 0, maps: &named, kfuncs, btf, ..ProgLoad::new(prog_type, &insns) };
        let outcome = self.referee.load(&load).map_err(|e| e.to_string())?;
        let program = match outcome.into_result() {
            Ok(program) => program,
            Err(_) => return Err(self.reason(&ProgLoad { log_level: 1, ..load })),
        };
        let memory = if packet.is_none() { maps.pop() } else { None };
        Ok(Box::new(Run { referee: &self.referee, program, memory, packet, _maps: maps }))
    }
}

impl Linux {
    /// The functions' types, and a record for each, if the program must bring them.
    fn types(&self, entries: &[usize], before: usize) -> Result<Option<(LoadedBtf, Vec<u8>)>, String> {
        if entries.is_empty() {
            return Ok(None);
        }
        let (btf, funcs) = types::functions(entries.len()).map_err(|e| e.to_string())?;
        let btf = self.referee.load_btf(&btf.encode()).map_err(|e| e.to_string())?;
        // Main begins with what brings the memory.
        let slot = |entry: usize| if entry == 0 { 0 } else { entry + before };
        let records = entries.iter().zip(funcs).flat_map(|(entry, func)| [slot(*entry) as u32, func.0]);
        Ok(Some((btf, records.flat_map(u32::to_ne_bytes).collect())))
    }

    /// Why it refuses a program: logs cost much, so they are asked for only now.
    fn reason(&self, load: &ProgLoad<'_>) -> String {
        match self.referee.load(load).map(backstop_referee::Outcome::into_result) {
            Ok(Err(refused)) => refused.reason(),
            Ok(Ok(_)) => "it was refused once and then taken".to_owned(),
            Err(error) => error.to_string(),
        }
    }
}

struct Run<'a> {
    referee: &'a Referee,
    program: Loaded,
    memory: Option<Map>,
    packet: Option<Vec<u8>>,
    /// The program names them by descriptor: they stay open as long as it.
    _maps: Vec<Map>,
}

impl Running for Run<'_> {
    fn run(&mut self, memory: &mut Vec<u8>) -> Result<u64, String> {
        let input = match &self.packet {
            Some(data) => TestRun::packet(data),
            None => TestRun::default(),
        };
        if let Some(map) = &self.memory {
            map.update(&KEY, memory, update_flag::ANY).map_err(|e| e.to_string())?;
        }
        let result = self.referee.test_run(&self.program, &input).map_err(|e| e.to_string())?;
        if let Some(map) = &self.memory {
            *memory = map.lookup(&KEY).map_err(|e| e.to_string())?.unwrap_or_default();
        }
        Ok(u64::from(result.retval))
    }
}
