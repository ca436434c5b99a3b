//! From an object's bytes to programs that run, whole and by stage: the packet filter of the examples, all its programs.

use std::hint::black_box;
use std::sync::Arc;

use backstop::verifier::Options;
use backstop::{Config, Engine, EngineChoice, Linker};
use backstop_benches::{FIREWALL, GuestError, ThreadClock, file};
use criterion::Criterion;

fn load(c: &mut Criterion<ThreadClock>) -> Result<(), GuestError> {
    let bytes = std::fs::read(file(FIREWALL))?;
    for (name, choice) in [("jit", EngineChoice::Jit), ("interp", EngineChoice::Interpreter)] {
        let engine = Engine::new(Config::new().engine(choice))?;
        let linker = Linker::<()>::new(&engine);
        engine.open(&bytes, "firewall")?.load(&linker)?;
        c.bench_function(&format!("firewall/{name}/whole"), |b| {
            b.iter(|| engine.open(black_box(&bytes), "firewall").is_ok_and(|object| object.load(&linker).is_ok()));
        });
    }
    stages(c, &bytes)
}

fn stages(c: &mut Criterion<ThreadClock>, bytes: &[u8]) -> Result<(), GuestError> {
    let engine = Engine::new(Config::new())?;
    let linker = Linker::<()>::new(&engine);
    let object = engine.open(bytes, "firewall")?;
    let names: Vec<String> = object.programs().into_iter().map(|p| p.name).collect();
    c.bench_function("firewall/open", |b| b.iter(|| engine.open(black_box(bytes), "firewall").is_ok()));
    c.bench_function("firewall/link", |b| {
        b.iter(|| names.iter().filter(|name| object.link(&linker, name).is_ok()).count());
    });

    let linked: Vec<_> = names.iter().map(|name| object.link(&linker, name).map(Arc::new)).collect::<Result<_, _>>()?;
    let options = Options::default();
    c.bench_function("firewall/verify", |b| {
        b.iter(|| linked.iter().filter(|p| backstop::verifier::verify(Arc::clone(p), &options).is_ok()).count());
    });

    let proved: Vec<_> = names.iter().map(|name| object.verify(&linker, name)).collect::<Result<_, _>>()?;
    c.bench_function("firewall/lower", |b| {
        b.iter(|| proved.iter().filter(|p| backstop::ir::lower(p).is_ok()).count());
    });

    #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
    {
        let lowered: Vec<_> = proved.iter().map(backstop::ir::lower).collect::<Result<_, _>>()?;
        let cpu = backstop_jit_x86::CpuFeatures { bmi2: std::arch::is_x86_feature_detected!("bmi2") };
        let options = backstop_jit_x86::CompileOptions { cpu, ..Default::default() };
        c.bench_function("firewall/compile", |b| {
            b.iter(|| lowered.iter().filter(|ir| backstop_jit_x86::compile(ir, &options).is_ok()).count());
        });
    }
    Ok(())
}

fn main() -> Result<(), GuestError> {
    let mut c = Criterion::default().with_measurement(ThreadClock).configure_from_args();
    load(&mut c)?;
    c.final_summary();
    Ok(())
}
