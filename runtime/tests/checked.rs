//! The checked interpreter beside the interpreter: what is proved runs without a fault and with the same results, and whoever
//! observes a run sees each of its instructions.

mod common;

use std::collections::BTreeMap;

use backstop::isa::{Reg, assemble, decode};
use backstop::model::{ProgKind, ProgType, Program as Linked};
use backstop::verifier::embed::{Concrete, PlaceKind};
use backstop::{Config, Engine, EngineChoice, Exit, Input, Linker, Loaded, Moment, Observe, Packet, RunError, Store};
use common::takes_packet;

/// Results and data of a few runs over different bytes, and the maps afterwards.
fn observe(engine: &Engine, object: &str, name: &str) -> Option<String> {
    let loaded = common::open(engine, object).load_programs(&Linker::<()>::new(engine), &[name]).ok()?;
    let program = loaded.program(name).ok()?;
    let len = match program.kind().ty {
        ProgType::RawMem => program.kind().memory_len as usize,
        _ => 64,
    };
    let mut store = Store::new(engine, ());
    let mut seen = String::new();
    for seed in 0..4u8 {
        let bytes: Vec<u8> =
            (0..len).map(|at| (at as u8).wrapping_mul(seed.wrapping_mul(29)).wrapping_add(seed)).collect();
        match common::run_over(&program, &mut store, &bytes) {
            Ok((exit, data)) => seen += &format!("{:?} {data:?}\n", common::outcome(&exit)),
            Err(RunError::Input { reason, .. }) => seen += &format!("input: {reason}\n"),
            Err(error) => panic!("{object}: {name} on {}: {error}", engine.kind().name()),
        }
    }
    let maps: BTreeMap<String, Vec<_>> = loaded
        .maps()
        .map(|map| {
            let mut content: Vec<_> = map.iter().collect();
            content.sort();
            (map.name().to_owned(), content)
        })
        .collect();
    Some(format!("{seen}{maps:?}"))
}

#[test]
fn every_program_of_the_committed_objects_runs_without_a_fault() {
    let [checked, interp] = [EngineChoice::Checked, EngineChoice::Interpreter]
        .map(|choice| Engine::new(Config::new().engine(choice).cpus(2)).expect("an engine"));
    let folder = common::root().join("tests/objects");
    let mut ran = 0;
    for entry in std::fs::read_dir(folder).expect("the objects") {
        let file = entry.expect("an entry").file_name().into_string().expect("a name");
        if !file.ends_with(".bpf.o") {
            continue;
        }
        let Ok(object) = interp.open_file(common::object_path(&file)) else { continue };
        for program in object.programs() {
            let expected = observe(&interp, &file, &program.name);
            let got = observe(&checked, &file, &program.name);
            assert_eq!(got, expected, "{file}: {}: left checked, right interpreter", program.name);
            ran += usize::from(got.is_some());
        }
    }
    println!("{ran} programs");
    assert!(ran > 100, "only {ran} programs ran");
}

fn no_memory() -> ProgKind {
    ProgKind { memory_len: 0, ..ProgKind::new(ProgType::RawMem) }
}

fn from_text(engine: &Engine, text: &str, kind: ProgKind) -> Loaded<()> {
    let program = Linked {
        name: "test".to_owned(),
        section: String::new(),
        kind,
        slots: assemble(text).expect("text that can be assembled"),
        maps: Vec::new(),
        kfuncs: Vec::new(),
        btf: None,
        func_info: Vec::new(),
        line_info: Vec::new(),
        poisoned: Vec::new(),
        license: "GPL".to_owned(),
    };
    Loaded::from_program(&Linker::new(engine), program).unwrap_or_else(|e| panic!("{e}"))
}

/// What a run showed: slot, frames, and a few values that the tests want.
#[derive(Default)]
struct Seen {
    slots: Vec<u32>,
    lines: Vec<String>,
}

impl Observe for Seen {
    fn before(&mut self, moment: &Moment<'_>) {
        self.slots.push(moment.slot());
        let top = moment.frames() - 1;
        let reg = |n| moment.reg(top, Reg::new(n).expect("a register"));
        let place = |address: u64| moment.region(address).map(|place| (place.kind, place.offset, place.size));
        self.lines.push(format!(
            "{} in {} of {} from {:?}: r0 {:?} r2 {:?} r6 {:?}/{:?} stack {:?} r1 {:?}",
            moment.slot(),
            moment.function(top),
            moment.frames(),
            moment.call_site(top),
            reg(0),
            reg(2).map(|value| value.min(100)),
            reg(6),
            moment.reg(0, Reg::new(6).expect("r6")),
            moment.stack_byte(0, -8),
            reg(1).and_then(place),
        ));
    }
}

fn watch(text: &str, kind: ProgKind, mut input: impl FnMut() -> Vec<u8>) -> (Seen, Exit) {
    let engine = common::engine(EngineChoice::Checked);
    let loaded = from_text(&engine, text, kind);
    let program = loaded.program("test").expect("the program");
    let mut seen = Seen::default();
    let bytes = input();
    let exit = if takes_packet(program.kind().ty) {
        let mut packet = Packet::new(&bytes);
        program.run_watched(&mut Store::new(&engine, ()), Input::Packet(&mut packet), &mut seen)
    } else {
        let mut memory = bytes;
        program.run_watched(&mut Store::new(&engine, ()), Input::Memory(&mut memory), &mut seen)
    };
    (seen, exit.unwrap_or_else(|e| panic!("{e}")))
}

#[test]
fn every_instruction_is_seen_in_order() {
    // Moves without an effect, byte order that is the machine's, jumps to the next instruction, fused pairs of the other interpreter.
    let text = "r6 = r1\nr1 = r1\nr0 = 5 ll\nr0 = le64 r0\ngoto +0\nif r0 == 5 goto +0\nr3 = 3\nagain: r3 += -1\nif r3 != 0 goto again\nr4 = r0\nr4 += 1\nr0 = r4\nexit";
    let (seen, exit) = watch(text, no_memory(), Vec::new);
    assert!(matches!(exit, Exit::Returned(6)));
    assert_eq!(seen.slots, [0, 1, 2, 4, 5, 6, 7, 8, 9, 8, 9, 8, 9, 10, 11, 12, 13]);
    let slots = assemble(text).expect("text");
    assert!(seen.slots.iter().all(|slot| decode(&slots, *slot as usize).is_ok()));
}

#[test]
fn a_run_shows_frames_registers_stack_and_regions() {
    let text = "r6 = 9\n*(u64 *)(r10 - 8) = 7\nr2 = r10\nr2 += -8\ncall sub\nr0 = 0\nexit\nsub: r0 = *(u64 *)(r2 + 0)\nr1 = r2\nexit";
    let (seen, _) = watch(text, ProgKind { memory_len: 4, ..ProgKind::new(ProgType::RawMem) }, || vec![0; 4]);
    let line = |n: usize| seen.lines[n].as_str();
    let memory = PlaceKind::Memory;
    let stack = PlaceKind::Stack { frame: 0 };
    assert_eq!(
        line(0),
        format!("0 in 0 of 1 from None: r0 None r2 Some(4) r6 None/None stack None r1 {:?}", Some((memory, 0, 4)))
    );
    assert_eq!(
        line(5),
        format!(
            "7 in 7 of 2 from Some(4): r0 None r2 Some(100) r6 None/Some(9) stack Some(7) r1 {:?}",
            Some((memory, 0, 4))
        )
    );
    assert_eq!(
        line(7),
        format!(
            "9 in 7 of 2 from Some(4): r0 Some(7) r2 Some(100) r6 None/Some(9) stack Some(7) r1 {:?}",
            Some((stack, 504, 512))
        )
    );
    assert_eq!(line(8), "5 in 0 of 1 from None: r0 Some(7) r2 None r6 Some(9)/Some(9) stack Some(7) r1 None");
}

#[test]
fn a_packet_program_shows_context_and_packet() {
    let text = "r2 = *(u32 *)(r1 + 4)\nr1 = *(u32 *)(r1 + 0)\nr0 = 2\nexit";
    let (seen, _) = watch(text, ProgKind::new(ProgType::Xdp), || vec![0; 60]);
    assert!(seen.lines[0].contains("Context, 0, "), "{}", seen.lines[0]);
    assert!(seen.lines[2].contains("(Packet, 0, 60)"), "{}", seen.lines[2]);
}

#[test]
fn only_the_checked_interpreter_is_observed() {
    let engine = common::engine(EngineChoice::Interpreter);
    let loaded = from_text(&engine, "r0 = 0\nexit", ProgKind::new(ProgType::RawMem));
    let program = loaded.program("test").expect("the program");
    let refused = program.run_watched(&mut Store::new(&engine, ()), Input::None, &mut Seen::default());
    assert!(matches!(refused, Err(RunError::Input { .. })), "{refused:?}");
}

#[test]
fn fuel_ends_proved_programs_too() {
    let engine = Engine::new(Config::new().engine(EngineChoice::Checked).fuel(100)).expect("an engine");
    let loaded = from_text(&engine, "r0 = 60\nagain: r0 += -1\nif r0 != 0 goto again\nexit", no_memory());
    let program = loaded.program("test").expect("the program");
    let ended = program.run(&mut Store::new(&engine, ()), Input::None);
    assert!(matches!(ended, Err(RunError::OutOfFuel { fuel: 100, .. })), "{ended:?}");
}
