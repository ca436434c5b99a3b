//! Throws from any depth, on both engines, alone and inside host functions of other runs: who is left, and with what.

use backstop::model::Program as Linked;
use backstop::{Caller, Config, Engine, EngineChoice, HostError, Input, Linker, LinkerError, Loaded, Program, Store};
use backstop_differ::{
    Columns, Compare, End, Generated, Observed, Rules, Seen, Shape, Source, Stream, end, generate, seen,
};

use crate::Outcome;
use crate::objects::COMMITTED;
use crate::running::{MAX_INSNS, same_everywhere};

/// Runs in a row: a frame that a throw forgot to take away would show.
const RUNS: usize = 6;
/// Runs of the inner program that one outer run may start.
const MAX_NESTED: usize = 16;
/// The object with programs that call the host.
const HOST_OBJECT: &str = "tests/objects/host.bpf.o";
/// Those that note values, run another program, throw beside host functions, or do all three.
const OUTER: [&str; 5] = ["notes_then_throws", "callback_notes", "outer_goes_on", "outer_throws_too", "outer_loops"];

/// The program that [`throw_unwind`] makes of these bytes.
pub(crate) fn made(data: &[u8]) -> Generated {
    let mut source = Source::new(data);
    source.byte();
    generate::program(&mut source, Shape::THROWS)
}

/// Generates a program that calls deep and throws, and runs it: alone, or inside another program's host function.
///
/// # Panics
/// If the engines differ in result, cookie, backtrace, memory or maps, or a later run differs from the same run before.
pub fn throw_unwind(data: &[u8]) -> Outcome {
    let mut source = Source::new(data);
    let nested = source.byte();
    let made = generate::program(&mut source, Shape::THROWS);
    if nested >= 160 {
        let outer = OUTER.get(usize::from(nested) % OUTER.len()).copied().unwrap_or_default();
        return inside_another(outer, &made);
    }
    let second = Stream::new(u64::from(nested)).bytes(made.input.len());
    let inputs: Vec<Vec<u8>> =
        (0..RUNS).map(|n| if n % 2 == 0 { made.input.clone() } else { second.clone() }).collect();
    let mut columns = Columns::new(Rules::default());
    let Some(once) = same_everywhere(&mut columns, &made.program, &inputs, Compare::All) else {
        return Outcome::Refused;
    };
    // With maps of its own the same program does the same again.
    let again = same_everywhere(&mut columns, &made.program, &inputs, Compare::All);
    assert_eq!(Some(&once), again.as_ref(), "the same runs gave something else the second time");
    if made.program.maps.is_empty() {
        repeats(&once);
    }
    if once.threw() { Outcome::Held } else { Outcome::Unusable }
}

/// Without maps nothing carries over from run to run.
fn repeats(observed: &Observed) {
    for (n, pair) in observed.runs.windows(3).enumerate() {
        if let [first, _, third] = pair {
            assert_eq!(first, third, "runs {n} and {} had the same input", n + 2);
        }
    }
}

/// What kfuncs see.
struct Host {
    inner: Option<(Program<Host>, Vec<u8>)>,
    noted: Vec<u64>,
    nested: Vec<Seen>,
}

fn note(caller: &mut Caller<'_, Host>, value: u64) {
    caller.data().noted.push(value);
}

fn run_nested(caller: &mut Caller<'_, Host>, which: u64) -> Result<u64, HostError> {
    let host = caller.data();
    if host.nested.len() >= MAX_NESTED {
        return Ok(which);
    }
    let Some((program, input)) = host.inner.clone() else { return Ok(which) };
    let seen = seen(program.kind(), &input, |given: Input<'_>| end(&program, caller.run(&program, given)));
    let value = match &seen.end {
        End::Returned(value) | End::Thrown { value, .. } => *value,
        End::Failed(_) | End::Stack => which,
    };
    caller.data().nested.push(seen);
    Ok(value)
}

fn linker(engine: &Engine) -> Result<Linker<Host>, LinkerError> {
    let mut linker = Linker::<Host>::new(engine);
    linker.kfunc("host_note", note)?;
    linker.kfunc("host_nested", run_nested)?;
    Ok(linker)
}

/// All that can be seen of an outer run.
#[derive(PartialEq, Debug)]
struct Nested {
    outer: Vec<Seen>,
    inner: Vec<Seen>,
    noted: Vec<u64>,
}

fn inside_another(outer: &str, made: &Generated) -> Outcome {
    if !matches!(Columns::new(Rules::default()).prove(&made.program, MAX_INSNS), Some(Ok(_))) {
        return Outcome::Refused;
    }
    let mut first: Option<Nested> = None;
    for choice in [EngineChoice::Interpreter, EngineChoice::Jit] {
        let Ok(engine) = Engine::new(Config::new().engine(choice).cpus(4)) else { continue };
        let Some(nested) = run_outer(&engine, outer, &made.program, &made.input) else { return Outcome::Refused };
        match &first {
            Some(first) => assert_eq!(first, &nested, "{outer} differs between the engines"),
            None => first = Some(nested),
        }
    }
    if first.is_some() { Outcome::Held } else { Outcome::Unusable }
}

fn run_outer(engine: &Engine, outer: &str, inner: &Linked, input: &[u8]) -> Option<Nested> {
    let linker = match linker(engine) {
        Ok(linker) => linker,
        Err(error) => panic!("the host's functions can't be linked: {error}"),
    };
    let (name, bytes) = COMMITTED.iter().find(|(name, _)| *name == HOST_OBJECT)?;
    let loaded = engine.open(bytes, name).map(|object| object.load_programs(&linker, &[outer]));
    let loaded = match loaded {
        Ok(Ok(loaded)) => loaded,
        Ok(Err(error)) => panic!("{outer} is refused: {error}"),
        Err(error) => panic!("{error}"),
    };
    let below = Loaded::from_program(&linker, inner.clone()).ok()?;
    let below = below.program(&inner.name).ok()?;
    let program = loaded.program(outer).ok()?;
    let mut store =
        Store::new(engine, Host { inner: Some((below, input.to_vec())), noted: Vec::new(), nested: Vec::new() });
    let runs = (0..3).map(|_| seen(program.kind(), &[7; 64], |given| end(&program, program.run(&mut store, given))));
    let outer: Vec<Seen> = runs.collect();
    let host = store.into_data();
    let short = outer.iter().chain(&host.nested).any(|seen| seen.end == End::Stack);
    (!short).then_some(Nested { outer, inner: host.nested, noted: host.noted })
}
