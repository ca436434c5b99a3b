//! Golden texts: IR, machine code for a baseline x86-64 CPU, and backtraces of small programs, in golden/. `BLESS=1` writes them anew.

mod common;

use std::fmt::Write as _;

use backstop::{Engine, EngineChoice, Exit, Store};

fn check(name: &str, text: &str) {
    let path = common::root().join("runtime/tests/golden").join(name);
    let text = format!("{}\n", text.trim_end());
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(&path, &text).expect("a golden file");
    }
    let wanted = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    if wanted == text {
        return;
    }
    let first = wanted
        .lines()
        .zip(text.lines())
        .position(|(a, b)| a != b)
        .unwrap_or(wanted.lines().count().min(text.lines().count()));
    panic!("{name} differs from line {} on (BLESS=1 accepts what is):\n{text}", first + 1);
}

/// Program and object of each golden pair.
const PROGRAMS: [(&str, &str); 3] =
    [("throw.bpf.o", "sub_conditional"), ("throw.bpf.o", "callback_loops"), ("maps.bpf.o", "atomic_adds")];

fn engine() -> Engine {
    common::engine(EngineChoice::Interpreter)
}

#[test]
fn ir() {
    let engine = engine();
    for (object, name) in PROGRAMS {
        let loaded = common::load(&engine, object, name);
        check(&format!("{name}.ir"), &loaded.program(name).expect("it").ir().to_string());
    }
}

#[cfg(all(feature = "jit", target_arch = "x86_64", target_os = "linux"))]
#[test]
fn x86() {
    use backstop_jit_x86::{CompileOptions, compile};
    use iced_x86::{Decoder, DecoderOptions, Formatter, NasmFormatter};

    let engine = engine();
    for (object, name) in PROGRAMS {
        let loaded = common::load(&engine, object, name);
        let program = loaded.program(name).expect("it");
        let ir = program.ir();
        let image = compile(ir, &CompileOptions::default()).unwrap_or_else(|e| panic!("{name}: {e}"));
        let mut text = String::new();
        let mut formatter = NasmFormatter::new();
        let mut func = None;
        for row in image.listing() {
            if func.replace(row.func) != Some(row.func) {
                let _ = writeln!(text, "{}:", ir.func(row.func).map_or("?", |f| f.name.as_str()));
            }
            let slot = ir.position(row.op).and_then(|p| p.slot).map_or_else(|| "hidden".to_owned(), |s| s.to_string());
            let _ = writeln!(text, "  ; slot {slot}");
            let bytes = &image.code[row.start as usize..row.end as usize];
            for instruction in &mut Decoder::with_ip(64, bytes, u64::from(row.start), DecoderOptions::NONE) {
                let mut line = String::new();
                formatter.format(&instruction, &mut line);
                let _ = writeln!(text, "  {:04x}  {line}", instruction.ip());
            }
        }
        check(&format!("{name}.x86"), &text);
    }
}

engines! {
    fn backtrace(engine: &Engine) {
        let mut text = String::new();
        for (object, name) in [("throw.bpf.o", "static_deep_3"), ("throw.bpf.o", "mixed_deep"), ("throw_tail.bpf.o", "main_to_deep")] {
            let loaded = common::load(engine, object, name);
            let program = loaded.program(name).expect("it");
            let (exit, _) = common::run_over(&program, &mut Store::new(engine, ()), &[0; 64]).expect("a run");
            let Exit::Thrown { cookie, value, backtrace } = exit else { panic!("{name} returned") };
            let _ = writeln!(text, "{name} threw {cookie}, caught with {value}");
            for frame in program.backtrace(&backtrace) {
                let _ = writeln!(text, "  {frame}");
            }
        }
        check("backtraces.txt", &text);
    }
}
