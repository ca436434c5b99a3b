//! A host for tests/objects/host.bpf.o: what each of its kfuncs does.

use std::sync::mpsc::{Receiver, Sender, channel};

use backstop::{Caller, Engine, Exit, Input, Linker, Loaded, Object, Packet, Program, Ptr, Store};

backstop::guest_struct! {
    /// The object's `struct Request`.
    pub struct Request {
        pub length: u32,
        pub mut verdict: u32,
    }
}

backstop::guest_struct! {
    /// The object's `struct point`.
    #[allow(non_camel_case_types)]
    pub struct point {
        pub x: i32,
        pub y: i32,
        pub weight: u64,
    }
}

/// The error of `host_check`.
#[derive(Debug, PartialEq, Eq)]
pub struct Failed(pub u64);

impl std::fmt::Display for Failed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} is not wanted", self.0)
    }
}

impl std::error::Error for Failed {}

/// What `host_panic` panics with.
#[derive(Debug, PartialEq, Eq)]
pub struct Panicked(pub u64);

/// The other end of a [`Gate`].
pub struct Keeper {
    entered: Receiver<()>,
    release: Sender<u64>,
}

/// Where `host_wait` waits.
pub struct Gate {
    entered: Sender<()>,
    release: Receiver<u64>,
}

impl Gate {
    pub fn new() -> (Gate, Keeper) {
        let (entered, seen) = channel();
        let (release, released) = channel();
        (Gate { entered, release: released }, Keeper { entered: seen, release })
    }
}

impl Keeper {
    /// Returns when a run has come to the gate.
    pub fn wait(&self) {
        self.entered.recv().expect("a run at the gate");
    }

    /// Lets the run go on, with a result for it.
    pub fn release(&self, value: u64) {
        self.release.send(value).expect("a run at the gate");
    }
}

/// The store's data.
#[derive(Default)]
pub struct Host {
    pub budget: u64,
    pub notes: Vec<u64>,
    /// Address of a local variable in each call of `host_note`: grows downwards if throws leave stack behind.
    pub stack: Vec<usize>,
    /// Whether `host_note` keeps what it gets.
    pub quiet: bool,
    /// What `host_nested` runs.
    pub nested: Vec<Program<Host>>,
    /// Exits of nested runs.
    pub exits: Vec<Exit>,
    pub kept: Option<Ptr<point>>,
    /// The value that `host_check` fails for.
    pub fails_at: Option<u64>,
    pub checked: Vec<u64>,
    pub gate: Option<Gate>,
}

fn take_budget(caller: &mut Caller<'_, Host>, amount: u64) -> u64 {
    let host = caller.data();
    let taken = amount.min(host.budget);
    host.budget -= taken;
    taken
}

fn host_add(_: &mut Caller<'_, Host>, a: u64, b: u32) -> u64 {
    a + u64::from(b)
}

fn host_negate(_: &mut Caller<'_, Host>, a: i32) -> i32 {
    -a
}

fn host_sum(_: &mut Caller<'_, Host>, a: u64, b: u32, c: u16, d: u8, e: i64) -> u64 {
    (a + u64::from(b) + u64::from(c) + u64::from(d)).wrapping_add_signed(e)
}

fn host_note(caller: &mut Caller<'_, Host>, value: u64) {
    let local = 0u8;
    let host = caller.data();
    if host.quiet {
        let here = std::ptr::from_ref(&local) as usize;
        if host.stack.last() != Some(&here) {
            host.stack.push(here);
        }
    } else {
        host.notes.push(value);
    }
}

fn host_move(caller: &mut Caller<'_, Host>, at: Ptr<point>) -> Result<u64, backstop::StalePointer> {
    let before = caller.read(at)?;
    caller.write(at, &point { x: before.x + 1, y: before.y + 4, weight: before.weight * 2 })?;
    Ok(before.weight)
}

/// 1 if the pointer of the call before is refused now.
fn host_keep(caller: &mut Caller<'_, Host>, at: Ptr<point>) -> u64 {
    let before = caller.data().kept.replace(at);
    let stale = before.is_some_and(|old| caller.read(old).is_err() && caller.write(old, &point::default()).is_err());
    u64::from(stale)
}

fn host_nested(caller: &mut Caller<'_, Host>, which: u64) -> Result<u64, backstop::RunError> {
    let program = caller.data().nested[which as usize].clone();
    let exit = caller.run(&program, Input::Packet(&mut Packet::new(&[0; 64])))?;
    caller.data().exits.push(exit);
    Ok(exit.value())
}

fn host_check(caller: &mut Caller<'_, Host>, value: u64) -> Result<u64, Failed> {
    let host = caller.data();
    host.checked.push(value);
    if host.fails_at == Some(value) { Err(Failed(value)) } else { Ok(value) }
}

fn host_panic(_: &mut Caller<'_, Host>, value: u64) -> u64 {
    if value == 3 {
        std::panic::panic_any(Panicked(value));
    }
    value
}

fn host_wait(caller: &mut Caller<'_, Host>) -> u64 {
    let Some(gate) = &caller.data().gate else { return 0 };
    let _ = gate.entered.send(());
    gate.release.recv().unwrap_or(0)
}

/// All kfuncs and contexts.
pub fn linker(engine: &Engine) -> Linker<Host> {
    let mut linker = Linker::new(engine);
    let made = || -> Result<(), backstop::LinkerError> {
        linker.context::<Request>()?;
        linker.kfunc("take_budget", take_budget)?.kfunc("host_add", host_add)?.kfunc("host_negate", host_negate)?;
        linker.kfunc("host_sum", host_sum)?.kfunc("host_note", host_note)?.kfunc("host_move", host_move)?;
        linker.kfunc("host_keep", host_keep)?.kfunc("host_nested", host_nested)?.kfunc("host_check", host_check)?;
        linker.kfunc("host_panic", host_panic)?.kfunc("host_wait", host_wait)?;
        Ok(())
    };
    let mut made = made;
    made().expect("a linker");
    linker
}

pub fn open(engine: &Engine) -> Object {
    super::open(engine, "host.bpf.o")
}

/// Loads programs of host.bpf.o, with fresh maps.
pub fn load(engine: &Engine, programs: &[&str]) -> Loaded<Host> {
    let loaded = open(engine).load_programs(&linker(engine), programs);
    loaded.unwrap_or_else(|e| panic!("{programs:?}: {e}"))
}

/// Loads one program.
pub fn program(engine: &Engine, name: &str) -> Program<Host> {
    load(engine, &[name]).program(name).expect("the program")
}

pub fn store(engine: &Engine) -> Store<Host> {
    Store::new(engine, Host::default())
}

/// Runs a program over a packet of 64 zero bytes with a mark.
pub fn run_marked(program: &Program<Host>, store: &mut Store<Host>, mark: u32) -> Result<Exit, backstop::RunError> {
    program.run(store, Input::Packet(Packet::new(&[0; 64]).set_mark(mark)))
}

/// As [`run_marked`] with no mark, where the run can't fail.
pub fn run(program: &Program<Host>, store: &mut Store<Host>) -> Exit {
    run_marked(program, store, 0).unwrap_or_else(|e| panic!("{}: {e}", program.name()))
}
