//! The columns of a comparison: every engine that this build and machine have, under the same rules.

use std::sync::{Arc, Mutex};

use backstop::isa::{Instr, Operand, Reg, Size, Width, encode_all};
use backstop::model::{MapKind, ProgKind, ProgType, Program as Linked};
use backstop::{
    Config, Engine, EngineChoice, EngineError, EngineKind, Input, Linker, LoadError, Loaded, Moment, Observe, Program,
    Proof, Store,
};

use crate::observe::{Observed, end, seen};
use crate::trial::Ran;

/// The engines that are compared, the first of them with the others.
const ENGINES: [EngineChoice; 3] = [EngineChoice::Interpreter, EngineChoice::Checked, EngineChoice::Jit];
/// Whether this build has a JIT.
const HAS_JIT: bool = cfg!(all(feature = "jit", target_arch = "x86_64", target_os = "linux"));
/// Words of a program's stack.
const STACK_WORDS: i16 = 64;
/// Odd, with bits all over.
const SPREAD: i32 = 0x2545_f491;
/// Map memory of an engine, in bytes.
const MAP_MEMORY: u64 = 1 << 26;

/// By which rules programs are judged.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Rules {
    /// As for users without privileges.
    pub unprivileged: bool,
    /// As Linux does.
    pub compat_linux: bool,
}

/// An engine with what its runs reuse.
pub struct Column {
    name: &'static str,
    linker: Linker<()>,
    store: Store<()>,
    printed: Arc<Mutex<Vec<String>>>,
}

impl std::fmt::Debug for Column {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Column").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Column {
    fn new(config: Config) -> Result<Column, EngineError> {
        let printed = Arc::new(Mutex::new(Vec::new()));
        let sink = Arc::clone(&printed);
        let config = config.trace(move |line| {
            if let Ok(mut lines) = sink.lock() {
                lines.push(line.to_owned());
            }
        });
        let engine = Engine::new(config)?;
        let name = EngineKind::name(engine.kind());
        Ok(Column { name, linker: Linker::new(&engine), store: Store::new(&engine, ()), printed })
    }

    /// The engine's name, as the command line says it.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// The engine.
    pub fn engine(&self) -> &Engine {
        self.linker.engine()
    }

    /// Drops what was printed since runs were last observed.
    pub(crate) fn forget_printed(&self) {
        if let Ok(mut lines) = self.printed.lock() {
            lines.clear();
        }
    }

    /// Loads a program that came from no object, with itself in slot 0 of its first prog_array.
    ///
    /// # Errors
    /// [`LoadError`].
    pub fn load(&self, proof: &Proof) -> Result<Loaded<()>, LoadError> {
        let loaded = Loaded::from_proof(&self.linker, proof)?;
        let program = proof.verified().program();
        let jumps = program.maps.iter().find(|map| map.kind == MapKind::ProgArray);
        if let (Some(jumps), Ok(own)) = (jumps, loaded.program(&program.name)) {
            // Refused where the type may not tail call; the slot stays empty then.
            let _ = loaded.set_tail_call(&jumps.name, 0, &own);
        }
        Ok(loaded)
    }

    /// Runs a loaded program on each input in turn: what one run leaves in maps the next finds.
    pub fn observe(&mut self, loaded: &Loaded<()>, program: &Program<()>, inputs: &[Vec<u8>]) -> Observed {
        let mut observed = observe_runs(&mut self.store, program, inputs);
        for map in loaded.maps() {
            let mut content: Vec<_> = map.iter().collect();
            content.sort();
            observed.maps.insert(map.name().to_owned(), content);
        }
        observed.printed = self.printed.lock().map(|mut lines| std::mem::take(&mut *lines)).unwrap_or_default();
        observed
    }
}

fn observe_runs(store: &mut Store<()>, program: &Program<()>, inputs: &[Vec<u8>]) -> Observed {
    let run = |input: &Vec<u8>| seen(program.kind(), input, |given| end(program, program.run(store, given)));
    Observed { runs: inputs.iter().map(run).collect(), ..Observed::default() }
}

/// A program that fills its whole stack with numbers that follow from one: no two words are alike, nor the halves of a word, since
/// programs compute with any part of what they read; but from 0 follow zeros, which are keys and ends of strings.
fn scribbler(seed: i32) -> Linked {
    let base = Reg::R10;
    let store = |n: i16| {
        let imm = match seed {
            0 => 0,
            _ => seed.wrapping_add(i32::from(n).wrapping_mul(SPREAD)).wrapping_mul(SPREAD),
        };
        Instr::Store { size: Size::B4, base, off: -4 * n, src: Operand::Imm(imm) }
    };
    let result = Instr::Mov { width: Width::W64, dst: Reg::R0, src: Operand::Imm(0) };
    let instrs: Vec<Instr> = (1..=2 * STACK_WORDS).map(store).chain([result, Instr::Exit]).collect();
    let mut kind = ProgKind::new(ProgType::RawMem);
    kind.memory_len = 0;
    Linked {
        name: "scribbler".to_owned(),
        section: String::new(),
        kind,
        slots: encode_all(&instrs),
        maps: Vec::new(),
        kfuncs: Vec::new(),
        btf: None,
        func_info: Vec::new(),
        line_info: Vec::new(),
        poisoned: Vec::new(),
        license: "GPL".to_owned(),
    }
}

/// Runs something with the heap's free places taken and further down this thread's stack.
#[inline(never)]
fn elsewhere(run: &mut dyn FnMut() -> Observed) -> Observed {
    let taken: Vec<Vec<u8>> = (1..512).map(|n| Vec::with_capacity(16 * n)).collect();
    let deeper = std::hint::black_box([0_u8; 4096 + 64]);
    let observed = run();
    std::hint::black_box((&taken, &deeper));
    observed
}

/// All columns of a comparison.
#[derive(Debug)]
pub struct Columns {
    pub(crate) all: Vec<Column>,
    missing: Option<EngineError>,
}

impl Columns {
    /// Every engine of this build; [`Columns::missing`] says which can't be made here.
    pub fn new(rules: Rules) -> Columns {
        Columns::configured(rules, &|config| config)
    }

    /// The same with more said of each engine's configuration.
    pub fn configured(rules: Rules, more: &dyn Fn(Config) -> Config) -> Columns {
        let config = Config::new()
            .cpus(1)
            .unprivileged(rules.unprivileged)
            .compat_linux(rules.compat_linux)
            .map_memory(MAP_MEMORY);
        let mut columns = Columns { all: Vec::new(), missing: None };
        for choice in ENGINES.into_iter().filter(|choice| HAS_JIT || *choice != EngineChoice::Jit) {
            match Column::new(more(config.clone().engine(choice))) {
                Ok(column) => columns.all.push(column),
                Err(error) => columns.missing = Some(error),
            }
        }
        columns
    }

    /// Why an engine that this build has could not be made: what the others make of programs then says nothing of it.
    pub fn missing(&self) -> Option<&EngineError> {
        self.missing.as_ref()
    }

    /// Their names, in order.
    pub fn names(&self) -> Vec<&'static str> {
        self.all.iter().map(Column::name).collect()
    }

    /// Leaves only the column of this name.
    pub fn keep(&mut self, name: &str) {
        self.all.retain(|column| column.name() == name);
    }

    /// Each column.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut Column> {
        self.all.iter_mut()
    }

    /// Instructions that the first run of a program executes, where the checked interpreter is among the columns.
    pub fn executed(&mut self, ran: &Ran, input: &[u8]) -> Option<u64> {
        struct Count(u64);
        impl Observe for Count {
            fn before(&mut self, _: &Moment<'_>) {
                self.0 += 1;
            }
        }
        let proof = ran.proof.as_ref()?;
        let column = self.all.iter_mut().find(|column| column.engine().kind() == EngineKind::Checked)?;
        let loaded = column.load(proof).ok()?;
        let own = loaded.program(&proof.verified().program().name).ok()?;
        let mut count = Count(0);
        seen(own.kind(), input, |given| end(&own, own.run_watched(&mut column.store, given, &mut count)));
        if let Ok(mut lines) = column.printed.lock() {
            lines.clear();
        }
        Some(count.0)
    }

    /// Whether the first column makes the same of a program twice, with other addresses and other remains on the stack: if not, what it
    /// makes is no matter of instructions. Each input is tried alone too: what one run leaves on the stack the next may read.
    pub fn settled(&mut self, program: &Linked, inputs: &[Vec<u8>], insns: u64) -> bool {
        let Some(Ok(proof)) = self.prove(program, insns) else { return false };
        let alone = inputs.iter().map(std::slice::from_ref).filter(|_| inputs.len() > 1);
        std::iter::once(inputs).chain(alone).all(|inputs| self.settled_on(program, &proof, inputs))
    }

    fn settled_on(&mut self, program: &Linked, proof: &Proof, inputs: &[Vec<u8>]) -> bool {
        let Some(column) = self.all.first_mut() else { return false };
        let mut kept = Vec::new();
        let mut made = Vec::new();
        for word in [0x5a5a_5a5a, -0x5a5a_5a5b, 0] {
            let mut store = Store::new(column.engine(), ());
            let scribble = Proof::new(column.engine(), scribbler(word)).and_then(|proof| column.load(&proof));
            let scribble = scribble.ok().and_then(|loaded| loaded.program("scribbler").ok());
            let loaded = column.load(proof).ok();
            let own = loaded.as_ref().and_then(|loaded| loaded.program(&program.name).ok());
            let (Some(scribble), Some(loaded), Some(own)) = (scribble, loaded, own) else { return false };
            if scribble.run(&mut store, Input::Memory(&mut [])).is_err() {
                return false;
            }
            std::mem::swap(&mut column.store, &mut store);
            made.push(match made.len() {
                0 => column.observe(&loaded, &own, inputs),
                _ => elsewhere(&mut || column.observe(&loaded, &own, inputs)),
            });
            // Alive until the end, so that the next gets other addresses.
            kept.push((store, loaded));
        }
        made.windows(2).all(|pair| pair.first() == pair.last())
    }

    /// Proves a program once for all columns, within so many instructions.
    ///
    /// # Errors
    /// [`LoadError::Refused`].
    pub fn prove(&self, program: &Linked, insns: u64) -> Option<Result<Proof, LoadError>> {
        self.all.first().map(|column| Proof::within(column.engine(), program.clone(), insns))
    }
}
