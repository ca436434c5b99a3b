//! Several engines, one program: whatever can be observed is the same.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use backstop::ir::Callee;
use backstop::model::contexts::has_skb;
use backstop::model::{MapKind, ProgKind, ProgType, Program as Linked};
use backstop::verifier::{Limits, Options, verify as prove};
use backstop::{
    Config, Engine, EngineChoice, Exit, Frame, Input, Linker, LoadError, Loaded, Object, Packet, Program, RunError,
    Store,
};

use crate::Outcome;
use crate::generate::{self, Generated, Shape, damage};
use crate::objects::{self, committed, edit_script};
use crate::source::{Source, Stream};

/// Instructions that a proof may take here.
const MAX_INSNS: u64 = 20_000;
/// Runs of one loaded program in a row: what the first leaves in maps the next finds.
const RUNS: usize = 3;
/// Programs of one object that are run.
const MAX_PROGRAMS: usize = 6;
/// Helpers that call back as often as the program says: changed programs may say a very large number.
const LOOP: u32 = 181;
/// Helpers whose results differ from run to run.
const UNSTEADY: [u32; 8] = [5, 7, 14, 16, 118, 125, 160, 208];

/// What can be seen of one run.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Seen {
    pub(crate) end: End,
    /// Packet with metadata, memory, or nothing.
    data: Vec<u8>,
    /// Fields of the packet that programs may write.
    fields: Vec<u32>,
}

/// How a run ended.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum End {
    Returned(u64),
    Thrown {
        cookie: u64,
        value: u64,
        frames: Vec<Frame>,
    },
    Failed(String),
    /// The engine's own stack was too short: no difference if the other's was not.
    Stack,
}

/// A map's elements, by key.
type Content = Vec<(Vec<u8>, Vec<u8>)>;

/// Everything that can be seen of a program's runs.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Observed {
    runs: Vec<Seen>,
    maps: BTreeMap<String, Content>,
    printed: Vec<String>,
}

impl Observed {
    pub(crate) fn runs(&self) -> &[Seen] {
        &self.runs
    }

    pub(crate) fn threw(&self) -> bool {
        self.runs.iter().any(|run| matches!(run.end, End::Thrown { .. }))
    }

    fn ran_out_of_stack(&self) -> bool {
        self.runs.iter().any(|run| run.end == End::Stack)
    }
}

/// An engine of each kind that this build and machine have.
pub(crate) struct Sides {
    unprivileged: bool,
    pub(crate) all: Vec<Side>,
}

pub(crate) struct Side {
    pub(crate) engine: Engine,
    printed: Arc<Mutex<Vec<String>>>,
}

impl Sides {
    pub(crate) fn new(unprivileged: bool) -> Sides {
        let side = |choice| {
            let printed = Arc::new(Mutex::new(Vec::new()));
            let sink = Arc::clone(&printed);
            let config = Config::new().engine(choice).cpus(1).unprivileged(unprivileged).map_memory(1 << 26);
            let config = config.trace(move |line| {
                if let Ok(mut lines) = sink.lock() {
                    lines.push(line.to_owned());
                }
            });
            Some(Side { engine: Engine::new(config).ok()?, printed })
        };
        let choices = [EngineChoice::Interpreter, EngineChoice::Jit, EngineChoice::Checked];
        let all = choices.into_iter().filter_map(side).collect();
        Sides { unprivileged, all }
    }
}

impl Side {
    /// Loads a program that came from no object.
    pub(crate) fn load(&self, program: &Linked) -> Result<Loaded<()>, LoadError> {
        let loaded = Loaded::from_program(&Linker::<()>::new(&self.engine), program.clone())?;
        let jumps = program.maps.iter().find(|map| map.kind == MapKind::ProgArray);
        if let (Some(jumps), Ok(own)) = (jumps, loaded.program(&program.name)) {
            // Refused where the type may not tail call; the slot stays empty then.
            let _ = loaded.set_tail_call(&jumps.name, 0, &own);
        }
        Ok(loaded)
    }

    /// Runs a loaded program on each input in turn.
    pub(crate) fn observe(&self, loaded: &Loaded<()>, program: &Program<()>, inputs: &[Vec<u8>]) -> Observed {
        let mut store = Store::new(&self.engine, ());
        let runs = inputs.iter().map(|input| run(program, &mut store, input)).collect();
        let mut maps = BTreeMap::new();
        for map in loaded.maps() {
            let mut content: Vec<_> = map.iter().collect();
            content.sort();
            maps.insert(map.name().to_owned(), content);
        }
        let printed = self.printed.lock().map(|mut lines| std::mem::take(&mut *lines)).unwrap_or_default();
        Observed { runs, maps, printed }
    }
}

fn run(program: &Program<()>, store: &mut Store<()>, input: &[u8]) -> Seen {
    seen(program.kind(), input, |given| end(program, program.run(store, given)))
}

/// Gives a run its input in the form that the program's kind wants, and keeps what it changed.
pub(crate) fn seen(kind: &ProgKind, input: &[u8], run: impl FnOnce(Input<'_>) -> End) -> Seen {
    let ty = kind.ty;
    if ty == ProgType::Xdp || has_skb(ty) {
        let mut packet = Packet::new(input);
        let end = run(Input::Packet(&mut packet));
        let data = packet.meta_and_data().to_vec();
        let fields = packet.cb().into_iter().chain([packet.meta().len() as u32, packet.mark()]).collect();
        return Seen { end, data, fields };
    }
    if matches!(ty, ProgType::RawMem | ProgType::Syscall | ProgType::Host) {
        let mut memory = input.to_vec();
        let end = run(Input::Memory(&mut memory));
        return Seen { end, data: memory, fields: Vec::new() };
    }
    let words = |chunk: &[u8]| chunk.iter().rev().fold(0, |all, byte| all << 8 | u64::from(*byte));
    let words: Vec<u64> = input.chunks_exact(8).map(words).collect();
    let given = if words.is_empty() { Input::None } else { Input::Args(&words) };
    Seen { end: run(given), data: Vec::new(), fields: Vec::new() }
}

/// A run's end, with the backtrace in the author's terms.
pub(crate) fn end<H>(program: &Program<H>, result: Result<Exit, RunError>) -> End {
    match result {
        Ok(Exit::Returned(value)) => End::Returned(value),
        Ok(Exit::Thrown { cookie, value, backtrace }) => {
            let frames = program.backtrace(&backtrace);
            assert_eq!(frames.len(), backtrace.len(), "frames of a live program are not known");
            assert!(!frames.is_empty(), "a throw without frames");
            End::Thrown { cookie, value, frames }
        }
        Err(RunError::NativeStack { .. } | RunError::StackExhausted { .. }) => End::Stack,
        Err(error) => {
            assert!(!error.is_defect(), "{error}");
            End::Failed(error.to_string())
        }
    }
}

/// Whether both engines must agree on every bit of this program's runs.
fn steady(program: &Program<()>) -> bool {
    program.ir().callees().iter().all(|callee| !matches!(callee, Callee::Helper(id) if UNSTEADY.contains(id)))
}

/// Whether a program whose constants mean nothing may run very long.
fn endless(program: &Program<()>) -> bool {
    let ir = program.ir();
    ir.callees().contains(&Callee::Helper(LOOP)) || ir.funcs().iter().any(|f| f.may_goto || f.tail_calls)
}

/// Whether a program is proved within few instructions. Dear proofs are the `verify` oracle's matter.
pub(crate) fn affordable(sides: &Sides, program: &Linked) -> bool {
    let unprivileged = sides.unprivileged;
    let limits = Limits { insns: MAX_INSNS, ..Limits::default() };
    prove(Arc::new(program.clone()), &Options { unprivileged, limits, ..Options::default() }).is_ok()
}

/// Loads the program on all sides; the verdicts must agree. `None` if it is refused.
pub(crate) fn load_all(sides: &Sides, program: &Linked) -> Option<Vec<Loaded<()>>> {
    if !affordable(sides, program) {
        return None;
    }
    let results: Vec<_> = sides.all.iter().map(|side| side.load(program)).collect();
    let texts: Vec<Option<String>> = results.iter().map(|r| r.as_ref().err().map(ToString::to_string)).collect();
    if let Some(first) = texts.first() {
        for other in &texts {
            assert_eq!(first, other, "one engine takes what the other refuses\n{}", listing(program));
        }
    }
    results.into_iter().collect::<Result<Vec<_>, _>>().ok().filter(|all| !all.is_empty())
}

/// Runs a program on all sides and compares, unless `compare` is off: then it only has to come back.
pub(crate) fn same_everywhere(sides: &Sides, program: &Linked, inputs: &[Vec<u8>], compare: bool) -> Option<Observed> {
    let loaded = load_all(sides, program)?;
    let mut first: Option<Observed> = None;
    for (side, loaded) in sides.all.iter().zip(&loaded) {
        let own = loaded.program(&program.name).ok()?;
        if !compare && endless(&own) {
            return None;
        }
        let observed = side.observe(loaded, &own, inputs);
        if observed.ran_out_of_stack() {
            return None;
        }
        match &first {
            Some(first) if compare && steady(&own) => differ(first, &observed, &|| listing(program)),
            Some(_) => {}
            None => first = Some(observed),
        }
    }
    first
}

fn differ(first: &Observed, second: &Observed, listing: &dyn Fn() -> String) {
    for (n, (a, b)) in first.runs.iter().zip(&second.runs).enumerate() {
        assert_eq!(a, b, "run {n} differs between the interpreter (left) and another engine (right)\n{}", listing());
    }
    assert_eq!(
        first.maps,
        second.maps,
        "maps differ between the interpreter (left) and another engine (right)\n{}",
        listing()
    );
    // The lines are counted, not compared: bpf_trace_printk prints r3 to r5 whether or not the program set them (Linux checks no more of them
    // than that), and what an engine left there is its own.
    assert_eq!(first.printed.len(), second.printed.len(), "what was printed differs\n{}", listing());
}

fn listing(program: &Linked) -> String {
    let kind = &program.kind;
    format!("{:?}, maps {:?}\n{}", kind.ty, program.maps.iter().map(|m| m.name.as_str()).collect::<Vec<_>>(), {
        backstop::isa::disassemble(&program.slots)
    })
}

/// What an input of [`engines`] asks for.
enum Wanted {
    Generated(Generated),
    /// Changed code under the rules for the unprivileged, which let nothing out that differs by address.
    Damaged(Generated),
    /// A committed program with changes, under the ordinary rules: it may compute with addresses.
    Real(Generated),
}

fn wanted(data: &[u8]) -> Option<Wanted> {
    let mut source = Source::new(data);
    match source.byte() {
        0..=191 => Some(Wanted::Generated(generate::program(&mut source, Shape::STEADY))),
        192..=223 => {
            let shape = Shape { frames: 1, ..Shape::STEADY };
            let mut made = generate::program(&mut Source::new(source.take(192)), shape);
            damage(&mut made.program.slots, &mut source, 4);
            Some(Wanted::Damaged(made))
        }
        _ => {
            let all = objects::linked();
            let mut program = all.get(source.below(all.len()))?.clone();
            let mut stream = Stream::new(u64::from(source.half()));
            let input = stream.bytes(input_len(&program));
            damage(&mut program.slots, &mut source, 4);
            Some(Wanted::Real(Generated { program, input }))
        }
    }
}

fn input_len(program: &Linked) -> usize {
    match program.kind.ty {
        ProgType::RawMem => program.kind.memory_len as usize,
        ProgType::Host => program.kind.host.as_ref().map_or(0, |host| host.size as usize),
        ProgType::Syscall => 256,
        ty if ty == ProgType::Xdp || has_skb(ty) => 98,
        _ => 96,
    }
}

/// The program that [`engines`] makes of these bytes.
pub(crate) fn made(data: &[u8]) -> Option<Generated> {
    match wanted(data)? {
        Wanted::Generated(made) | Wanted::Damaged(made) | Wanted::Real(made) => Some(made),
    }
}

/// Three inputs: the given one, another of its length, and the given one again.
fn inputs(first: &[u8]) -> Vec<Vec<u8>> {
    let second = Stream::new(first.len() as u64).bytes(first.len());
    vec![first.to_vec(), second, first.to_vec()].into_iter().take(RUNS).collect()
}

/// Verifies a program and runs it on both engines.
///
/// # Panics
/// If the engines differ in verdict, result, what was thrown, backtrace, packet, memory, maps or printed lines.
pub fn engines(data: &[u8]) -> Outcome {
    let Some(wanted) = wanted(data) else { return Outcome::Unusable };
    let (made, unprivileged, compare) = match wanted {
        Wanted::Generated(made) => (made, false, true),
        Wanted::Damaged(made) => (made, true, true),
        Wanted::Real(made) => (made, false, false),
    };
    let sides = Sides::new(unprivileged);
    let damaged = unprivileged;
    if damaged && may_run_long(&made.program) {
        return Outcome::Unusable;
    }
    match same_everywhere(&sides, &made.program, &inputs(&made.input), compare) {
        Some(_) => Outcome::Held,
        None => Outcome::Refused,
    }
}

/// Changed constants must not turn eight rounds into eight million.
fn may_run_long(program: &Linked) -> bool {
    let may_goto = |slot: &backstop::isa::Slot| slot.code == 0xe5;
    let helper = |slot: &backstop::isa::Slot| slot.code == 0x85 && slot.imm as u32 == LOOP;
    program.slots.iter().any(|slot| may_goto(slot) || helper(slot))
}

/// Opens a committed object with edits, loads each program alone, and runs it on both engines.
///
/// # Panics
/// If the engines differ, where the object is whole; a changed program only has to come back.
pub fn elf_run(data: &[u8]) -> Outcome {
    let mut source = Source::new(data);
    let (name, bytes) = committed(&mut source);
    let skipped = usize::from(source.byte());
    let seed = u64::from(source.half());
    let mut bytes = bytes.to_vec();
    let whole = edit_script(&mut bytes, &mut source, 8) == 0;
    let sides = Sides::new(false);
    let opened: Option<Vec<Object>> = sides.all.iter().map(|side| side.engine.open(&bytes, name).ok()).collect();
    let Some(opened) = opened else { return Outcome::Refused };
    let Some(model) = opened.first() else { return Outcome::Unusable };
    let names: Vec<String> = model.programs().into_iter().map(|program| program.name).collect();
    let first = skipped % names.len().max(1);
    let mut outcome = Outcome::Refused;
    for name in names.iter().cycle().skip(first).take(names.len().min(MAX_PROGRAMS)) {
        if run_object(&sides, &opened, name, seed, whole).is_some() {
            outcome = Outcome::Held;
        }
    }
    outcome
}

fn run_object(sides: &Sides, opened: &[Object], name: &str, seed: u64, whole: bool) -> Option<()> {
    let mut first: Option<Observed> = None;
    for (side, object) in sides.all.iter().zip(opened) {
        let loaded = object.load_programs(&Linker::<()>::new(&side.engine), &[name]);
        let Ok(loaded) = loaded else {
            assert!(
                first.is_none(),
                "program {name}: an engine refuses what the interpreter takes: {:?}",
                loaded.err()
            );
            return None;
        };
        let program = loaded.program(name).ok()?;
        if !whole && endless(&program) {
            return None;
        }
        let input = Stream::new(seed).bytes(input_len(program.ir().program()));
        let observed = side.observe(&loaded, &program, &[input]);
        if observed.ran_out_of_stack() {
            return None;
        }
        match &first {
            Some(first) if whole && steady(&program) => differ(first, &observed, &|| format!("program {name}")),
            Some(_) => {}
            None => first = Some(observed),
        }
    }
    first.map(|_| ())
}
