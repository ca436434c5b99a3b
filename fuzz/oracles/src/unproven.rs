//! Programs that nobody proved, on the checked interpreter: whatever they do, the process stands, and what they do wrong is an error.

use std::sync::Arc;

use backstop::isa::{Slot, decode, disassemble};
use backstop::model::{BuiltinKfunc, Kfunc, MapKind, MapSpec, ProgKind, ProgType, Program as Linked, kfuncs};
use backstop::{
    Config, Engine, EngineChoice, Exit, Input, Linker, LoadError, Loaded, RunError, Store, UnprovenProgram,
};

use crate::{Outcome, Source};

/// Instructions that a run may take. Proved programs of this size that need more are passed over.
const FUEL: u64 = 20_000;
/// Instructions of a program.
const MAX_SLOTS: usize = 200;
/// Bytes of its memory.
const MAX_MEMORY: usize = 64;
const NAME: &str = "unproven";
/// Helpers whose results are always the same: maps, text, checksums, loops, tail calls; and one that is none.
const HELPERS: [i32; 12] = [1, 2, 3, 12, 28, 105, 106, 164, 181, 182, 195, 9999];

/// A program of 64-bit slots over some memory: bytes as they come, or mended so that most instructions decode.
///
/// # Panics
/// If a run ends in what is called a defect, or if a program that the verifier proves (by the rules for the unprivileged, which let it
/// read nothing that it did not write) faults without the proof or gives another result than with it.
pub fn unproven(data: &[u8]) -> Outcome {
    let mut source = Source::new(data);
    let mended = !source.byte().is_multiple_of(4);
    let len = source.below(MAX_MEMORY + 1);
    let memory: Vec<u8> = source.take(len).iter().copied().chain(std::iter::repeat(0)).take(len).collect();
    let slots = if mended { mended_slots(&mut source) } else { raw_slots(source.rest()) };
    let Ok(engine) = Engine::new(Config::new().engine(EngineChoice::Interpreter).unprivileged(true).cpus(1)) else {
        return Outcome::Unusable;
    };
    let linker = Linker::<()>::new(&engine);
    let program = linked(slots, len as u32);
    let text = || disassemble(&program.slots);
    let unproven = match UnprovenProgram::new(&linker, program.clone()) {
        Ok(unproven) => unproven,
        Err(LoadError::Unproven { .. } | LoadError::Map { .. }) => return Outcome::Refused,
        Err(other) => panic!("{other}\n{}", text()),
    };
    let mut own = memory.clone();
    let ended = unproven.run(&mut Store::new(&engine, ()), Input::Memory(&mut own), FUEL);
    match &ended {
        Ok(_) | Err(RunError::Fault { .. } | RunError::OutOfFuel { .. } | RunError::StackExhausted { .. }) => {}
        Err(other) => panic!("{other}\n{}", text()),
    }
    // What runs out of instructions may run for long once it is proved.
    if matches!(ended, Err(RunError::OutOfFuel { .. })) {
        return Outcome::Held;
    }
    if let Ok(loaded) = Loaded::from_program(&linker, program.clone())
        && let Ok(proved) = loaded.program(NAME)
    {
        let mut other = memory;
        let expected = proved.run(&mut Store::new(&engine, ()), Input::Memory(&mut other));
        let value = |exit: Result<Exit, RunError>| {
            exit.map(|exit| (exit.value(), exit.cookie())).unwrap_or_else(|e| panic!("{e}\n{}", text()))
        };
        assert_eq!(value(ended), value(expected), "left without, right with the proof\n{}", text());
        assert_eq!(own, other, "memory: left without, right with the proof\n{}", text());
    }
    Outcome::Held
}

fn raw_slots(bytes: &[u8]) -> Vec<Slot> {
    let (slots, _) = bytes.as_chunks::<8>();
    slots.iter().take(MAX_SLOTS).map(|slot| Slot::from_bytes(*slot)).collect()
}

/// Slots of which most decode: registers that exist, jumps that stay inside, unused fields empty, and an exit at last.
fn mended_slots(source: &mut Source<'_>) -> Vec<Slot> {
    let raw = raw_slots(source.rest());
    let mut slots: Vec<Slot> = Vec::new();
    let count = raw.len() as i32;
    for slot in raw {
        if slots.len() >= MAX_SLOTS {
            break;
        }
        let at = slots.len() as i32;
        let inside = |to: i32| to.rem_euclid(count.max(1)) - at - 1;
        let class = slot.code & 7;
        let mut slot = Slot { dst: slot.dst % 11, src: slot.src % 11, ..slot };
        match (class, slot.code >> 4) {
            // A call: of a helper, a function or a kfunc.
            (5, 8) => {
                slot = Slot { code: 0x85, dst: 0, src: slot.src % 3, off: 0, imm: slot.imm };
                slot.imm = match slot.src {
                    0 => HELPERS.get(slot.imm.rem_euclid(HELPERS.len() as i32) as usize).copied().unwrap_or(1),
                    1 => inside(slot.imm),
                    _ => slot.imm.rem_euclid(4),
                };
            }
            // Other jumps.
            (5 | 6, operation) if operation != 9 => slot.off = inside(i32::from(slot.off)) as i16,
            // Memory is near its base.
            (1..=3, _) => slot.off %= 32,
            _ => {}
        }
        if slot.code == 0x18 {
            let kind = [0, 1, 2, 4].get(usize::from(slot.src % 4)).copied().unwrap_or(0);
            let (kind, imm) = match kind {
                1 => (5, slot.imm.rem_euclid(2)),
                2 => (6, 0),
                4 => (4, inside(slot.imm)),
                _ => (0, slot.imm),
            };
            slots.push(Slot { code: 0x18, dst: slot.dst % 10, src: kind, off: 0, imm });
            slots.push(Slot::default());
            continue;
        }
        // The first form that decodes: as it is, or without fields that it may not have.
        let forms = [
            slot,
            Slot { off: 0, ..slot },
            Slot { imm: 0, ..slot },
            Slot { src: 0, off: 0, ..slot },
            Slot { off: 0, imm: 0, ..slot },
            Slot { dst: 0, src: 0, off: 0, ..slot },
            Slot { dst: 0, src: 0, off: 0, imm: 0, ..slot },
        ];
        if let Some(form) = forms.into_iter().find(|form| decode(&[*form], 0).is_ok()) {
            slots.push(form);
        }
    }
    slots.push(Slot { code: 0xb7, ..Slot::default() });
    slots.push(Slot { code: 0x95, ..Slot::default() });
    slots
}

fn linked(slots: Vec<Slot>, memory_len: u32) -> Linked {
    let map = |name: &str, kind| Arc::new(MapSpec::new(name, kind, 4, 12, 4));
    let iterator =
        [BuiltinKfunc::Throw, BuiltinKfunc::IterNumNew, BuiltinKfunc::IterNumNext, BuiltinKfunc::IterNumDestroy];
    let known: Vec<Arc<Kfunc>> = iterator.iter().filter_map(|kfunc| kfuncs::builtin(*kfunc).ok()).collect();
    Linked {
        name: NAME.to_owned(),
        section: String::new(),
        kind: ProgKind { memory_len, ..ProgKind::new(ProgType::RawMem) },
        slots,
        maps: vec![map("array", MapKind::Array), map("hash", MapKind::Hash)],
        kfuncs: known,
        btf: None,
        func_info: Vec::new(),
        line_info: Vec::new(),
        poisoned: Vec::new(),
        license: "GPL".to_owned(),
    }
}
