//! Prints what an input of a fuzz target stands for, and how far its oracle comes with it.
//!
//!     cargo run -p backstop-oracles --example explain engines fuzz/artifacts/engines/crash-...

use std::process::ExitCode;

use backstop::{Config, Engine, EngineChoice, Linker, Loaded};
use backstop_oracles::{ALL, explain};

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    let (Some(target), Some(file)) = (args.next(), args.next()) else {
        eprintln!("usage: explain TARGET FILE");
        return ExitCode::from(2);
    };
    let Some((_, oracle)) = ALL.iter().find(|(name, _)| *name == target) else {
        eprintln!("no target `{target}`; there are: {}", ALL.map(|(name, _)| name).join(", "));
        return ExitCode::from(2);
    };
    let bytes = match std::fs::read(&file) {
        Ok(bytes) => bytes,
        Err(error) => {
            eprintln!("{file}: {error}");
            return ExitCode::from(2);
        }
    };
    if let Some(made) = explain(&target, &bytes) {
        println!("{:?} program, maps:", made.program.kind.ty);
        for map in &made.program.maps {
            println!("  {:?} {}: key {}, value {}", map.kind, map.name, map.key_size, map.value_size);
        }
        for info in &made.program.func_info {
            println!("function at slot {}", info.slot);
        }
        print!("{}", backstop::isa::disassemble(&made.program.slots));
        println!("input: {:02x?}", made.input);
        if let Ok(engine) = Engine::new(Config::new().engine(EngineChoice::Interpreter)) {
            match Loaded::from_program(&Linker::<()>::new(&engine), made.program) {
                Ok(loaded) => loaded.programs().for_each(|program| println!("{}", program.ir())),
                Err(error) => println!("{error}"),
            }
        }
    }
    println!("{target}: {:?}", oracle(&bytes));
    ExitCode::SUCCESS
}
