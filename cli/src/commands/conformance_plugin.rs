//! `backstop conformance-plugin`: the command-line protocol by which runners of ISA tests drive a runtime.
//!
//! A program comes as base-16 bytes separated by blanks (or in one piece), memory in the same form as the first argument; the result is
//! r0 in base 16 without a prefix. Programs are raw memory programs. What the verifier proves runs on the engine that was asked for; what it
//! can't prove runs on the checked interpreter if that is asked for too.

use std::error::Error;
use std::io::Read;

use backstop::isa::{Slot, slots_from_bytes};
use backstop::model::{ProgKind, ProgType, Program as Linked};
use backstop::{
    Config, Engine, EngineChoice, Exit, Input, Linker, LoadError, Loaded, RunError, Store, UnprovenProgram,
};
use clap::{Args, ValueEnum};

use crate::failure::{Failure, Outcome, Result};
use crate::output::Out;

/// Help that follows the options.
pub const HELP: &str = "\
r1 is the memory, r2 its length in bytes. r0 is printed in base 16 without a prefix.

Examples:
  echo 'b7 00 00 00 2a 00 00 00 95 00 00 00 00 00 00 00' | backstop conformance-plugin
      2a
  backstop conformance-plugin --program '71 10 01 00 00 00 00 00 95 00 00 00 00 00 00 00' 'aa bb cc'
      bb
  backstop conformance-plugin --unproven --program 'b7 00 00 00 01 00 00 00 55 00 fe ff 00 00 00 00 95 00 00 00 00 00 00 00'
      a loop that never ends: an error after 10000000 instructions";

/// Most bytes of text that are read: the longest program has 8,000,000 bytes, objects may have more around it.
const MOST_TEXT: u64 = 256 << 20;
/// Most bytes of memory.
const MOST_MEMORY: usize = 1 << 28;
const NAME: &str = "program";
/// Of programs that state none: bytes can't, and no helper should be out of a test's reach for that.
const LICENSE: &str = "GPL";

#[derive(Args, Debug)]
pub struct PluginArgs {
    /// The memory, as base-16 bytes
    #[arg(value_name = "MEMORY", default_value = "", hide_default_value = true)]
    pub memory: String,
    /// The program, as base-16 bytes, instead of a line on standard input
    #[arg(long, value_name = "BYTES")]
    pub program: Option<String>,
    /// The program's bytes are an ELF object. Its first program runs; where all code lies in `.text`, the first global function does,
    /// or what begins at offset 0
    #[arg(long)]
    pub elf: bool,
    /// The engine for what the verifier proves; without this the JIT where it exists, else the interpreter
    #[arg(long, value_name = "ENGINE")]
    pub engine: Option<OneEngine>,
    /// Run what the verifier can't prove on the checked interpreter: every access, argument and register read is checked then
    #[arg(long)]
    pub unproven: bool,
    /// Instructions that such a program may run
    #[arg(long, value_name = "N", default_value_t = 10_000_000, requires = "unproven")]
    pub fuel: u64,
}

/// Which engine runs.
#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub enum OneEngine {
    /// The interpreter
    Interp,
    /// The JIT
    Jit,
    /// The checked interpreter
    Checked,
}

/// Runs one program and prints r0.
pub fn plugin(args: &PluginArgs) -> Result {
    let choice = match args.engine {
        None => EngineChoice::Auto,
        Some(OneEngine::Interp) => EngineChoice::Interpreter,
        Some(OneEngine::Jit) => EngineChoice::Jit,
        Some(OneEngine::Checked) => EngineChoice::Checked,
    };
    let engine = Engine::new(Config::new().engine(choice)).map_err(|e| Failure::Usage(e.to_string()))?;
    let mut memory = bytes("the memory", &args.memory)?;
    if memory.len() > MOST_MEMORY {
        return Err(Failure::Input(format!("the memory has {} bytes, more than {MOST_MEMORY}", memory.len())));
    }
    let text = match &args.program {
        Some(text) => text.clone(),
        None => standard_input()?,
    };
    let code = bytes("the program", &text)?;
    if code.is_empty() {
        return Err(Failure::input("there is no program: give its bytes on standard input, or with --program"));
    }
    let linker = Linker::<()>::new(&engine);
    let mut program = if args.elf { from_object(&engine, &linker, &code)? } else { from_slots(&code)? };
    // No more than MOST_MEMORY, see above.
    program.kind.memory_len = memory.len() as u32;
    let exit = match Loaded::from_program(&linker, program.clone()) {
        Ok(loaded) => {
            let program = loaded.program(&program.name).map_err(in_full)?;
            program.run(&mut Store::new(&engine, ()), Input::Memory(&mut memory))
        }
        Err(LoadError::Refused { .. }) if args.unproven => {
            let program = UnprovenProgram::new(&linker, program).map_err(in_full)?;
            program.run(&mut Store::new(&engine, ()), Input::Memory(&mut memory), args.fuel)
        }
        Err(refused @ LoadError::Refused { .. }) => {
            let text = in_full(refused).to_string();
            // Some rules hold without a proof as well.
            let remedy = match UnprovenProgram::new(&linker, program) {
                Ok(_) => "; --unproven runs it all the same, with every access checked",
                Err(_) => "",
            };
            return Err(Failure::Input(format!("{}{remedy}", text.trim_end())));
        }
        Err(error) => return Err(in_full(error)),
    };
    let value = match exit.map_err(ended)? {
        Exit::Returned(value) | Exit::Thrown { value, .. } => value,
    };
    Out::new().line(format_args!("{value:x}"))?;
    Ok(Outcome::Done)
}

/// Of a run that ended in an error.
pub fn ended(error: RunError) -> Failure {
    if error.is_defect() { Failure::Defect(error.to_string()) } else { in_full(error) }
}

/// Base-16 bytes, with blanks between them or not.
fn bytes(what: &str, text: &str) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    for word in text.split_ascii_whitespace() {
        if let Some(wrong) = word.chars().find(|c| !c.is_ascii_hexdigit()) {
            return Err(Failure::Input(format!("{what}: {wrong:?} in `{}` is no digit of base 16", short(word))));
        }
        if !word.len().is_multiple_of(2) {
            let digits = word.len();
            return Err(Failure::Input(format!("{what}: a byte has two digits, but `{}` has {digits}", short(word))));
        }
        let digits: Vec<u8> = word.chars().filter_map(|c| c.to_digit(16)).map(|digit| digit as u8).collect();
        bytes.extend(digits.chunks_exact(2).map(|pair| pair.iter().fold(0, |byte, digit| byte << 4 | digit)));
    }
    Ok(bytes)
}

fn short(word: &str) -> String {
    let head: String = word.chars().take(20).collect();
    if head.len() < word.len() { format!("{head}...") } else { head }
}

fn standard_input() -> Result<String> {
    let mut text = String::new();
    let failed = |e: std::io::Error| Failure::Input(format!("standard input: {e}"));
    let read = std::io::stdin().lock().take(MOST_TEXT + 1).read_to_string(&mut text).map_err(failed)?;
    if read as u64 > MOST_TEXT {
        return Err(Failure::Input(format!("standard input: more than {MOST_TEXT} bytes are no program")));
    }
    Ok(text)
}

fn from_slots(code: &[u8]) -> Result<Linked> {
    let slots: Vec<Slot> = slots_from_bytes(code).map_err(in_full)?;
    Ok(Linked {
        name: NAME.to_owned(),
        section: String::new(),
        kind: ProgKind::new(ProgType::RawMem),
        slots,
        maps: Vec::new(),
        kfuncs: Vec::new(),
        btf: None,
        func_info: Vec::new(),
        line_info: Vec::new(),
        poisoned: Vec::new(),
        license: LICENSE.to_owned(),
    })
}

fn from_object(engine: &Engine, linker: &Linker<()>, code: &[u8]) -> Result<Linked> {
    let object = engine.open(code, NAME).map_err(in_full)?;
    let mut program = object.link_entry(linker, ProgKind::new(ProgType::RawMem)).map_err(in_full)?;
    if program.license.is_empty() {
        program.license = LICENSE.to_owned();
    }
    Ok(program)
}

/// An error with its sources, in one line.
fn in_full(error: impl Error) -> Failure {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let more = error.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        source = error.source();
    }
    Failure::Input(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_with_and_without_blanks() {
        assert_eq!(bytes("it", "").expect("nothing"), Vec::<u8>::new());
        assert_eq!(bytes("it", " 0a Ff\t00\n").expect("three"), [10, 255, 0]);
        assert_eq!(bytes("it", "0aff 00").expect("three"), [10, 255, 0]);
    }

    #[test]
    fn faults_are_named() {
        let fault = |text| bytes("the memory", text).expect_err("a fault").to_string();
        assert_eq!(fault("00 0x 11"), "the memory: 'x' in `0x` is no digit of base 16");
        assert_eq!(fault("00 1"), "the memory: a byte has two digits, but `1` has 1");
        assert_eq!(fault("1é"), "the memory: 'é' in `1é` is no digit of base 16");
    }
}
