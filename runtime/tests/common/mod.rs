//! What all tests of behaviour share: one macro that runs each on every engine, the committed objects, and inputs by program type.
#![allow(dead_code)] // Each test file uses a part of this.

pub mod expect;
pub mod host;

use std::path::{Path, PathBuf};

use backstop::model::{ProgType, contexts};
use backstop::{Config, Engine, EngineChoice, Exit, Input, Linker, Loaded, Object, Packet, Program, RunError, Store};

/// Makes of each function over an engine a module with one test an engine: `name::interp`, `name::checked` and `name::jit`.
#[macro_export]
macro_rules! engines {
    ($($(#[$meta:meta])* fn $name:ident($engine:ident: &Engine) $body:block)*) => {$(
        $(#[$meta])*
        mod $name {
            #[allow(unused_imports)]
            use super::*;

            fn body($engine: &backstop::Engine) $body

            #[test]
            fn interp() {
                body(&$crate::common::engine(backstop::EngineChoice::Interpreter));
            }

            #[test]
            fn checked() {
                body(&$crate::common::engine(backstop::EngineChoice::Checked));
            }

            #[cfg(all(feature = "jit", target_arch = "x86_64", target_os = "linux"))]
            #[test]
            fn jit() {
                body(&$crate::common::engine(backstop::EngineChoice::Jit));
            }
        }
    )*};
}

/// All engines of this build.
pub fn choices() -> Vec<EngineChoice> {
    let mut all = vec![EngineChoice::Interpreter, EngineChoice::Checked];
    if cfg!(all(feature = "jit", target_arch = "x86_64", target_os = "linux")) {
        all.push(EngineChoice::Jit);
    }
    all
}

pub fn engine(choice: EngineChoice) -> Engine {
    Engine::new(Config::new().engine(choice)).expect("an engine")
}

/// The project's root.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

pub fn object_path(name: &str) -> PathBuf {
    root().join("tests/objects").join(name)
}

/// Opens one of the committed objects.
pub fn open(engine: &Engine, name: &str) -> Object {
    engine.open_file(object_path(name)).unwrap_or_else(|e| panic!("{e}"))
}

/// Loads one program of a committed object that wants nothing of the host, with fresh maps.
pub fn load(engine: &Engine, object: &str, program: &str) -> Loaded<()> {
    let loaded = open(engine, object).load_programs(&Linker::new(engine), &[program]);
    loaded.unwrap_or_else(|e| panic!("{object}: {program}: {e}"))
}

/// Whether programs of a type run over a packet.
pub fn takes_packet(ty: ProgType) -> bool {
    ty == ProgType::Xdp || contexts::has_skb(ty)
}

/// Runs a program over bytes, which are a packet or the context, by the program's type; gives also what it made of them.
pub fn run_over<H>(program: &Program<H>, store: &mut Store<H>, bytes: &[u8]) -> Result<(Exit, Vec<u8>), RunError> {
    if takes_packet(program.kind().ty) {
        let mut packet = Packet::new(bytes);
        let exit = program.run(store, Input::Packet(&mut packet))?;
        return Ok((exit, packet.data().to_vec()));
    }
    let mut memory = bytes.to_vec();
    let exit = program.run(store, Input::Memory(&mut memory))?;
    Ok((exit, memory))
}

/// Loads a program and runs it once over 64 bytes that are zero except for these (offset, value).
pub fn run_patched(engine: &Engine, object: &str, program: &str, patches: &[(usize, u8)]) -> Exit {
    let loaded = load(engine, object, program);
    let program = loaded.program(program).expect("the program");
    let mut bytes = [0; 64];
    for &(offset, value) in patches {
        bytes[offset] = value;
    }
    let ran = run_over(&program, &mut Store::new(engine, ()), &bytes);
    ran.unwrap_or_else(|e| panic!("{e}")).0
}

/// Result and cookie of an exit.
pub fn outcome(exit: &Exit) -> (u64, Option<u64>) {
    (exit.value(), exit.cookie())
}

/// Bytes of this process that are in memory (Linux), shared ones included.
pub fn resident_bytes() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = text.split(' ').nth(1)?.parse().ok()?;
    Some(pages * 4096)
}
