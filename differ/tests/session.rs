//! Sessions over this build's engines: nothing differs, and the programs have what they must.

use backstop::{Config, Engine, EngineChoice, Linker, Loaded, Proof, RunError, Store};
use backstop_differ::{End, Session, Settings, seen};

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

#[test]
fn programs_run_the_same_everywhere_and_have_everything() {
    let seed =
        number("BACKSTOP_SEED").unwrap_or_else(|| std::hash::BuildHasher::hash_one(&std::hash::RandomState::new(), 1));
    let count = number("BACKSTOP_COUNT").unwrap_or(4000);
    println!("BACKSTOP_SEED={seed}");
    let settings = Settings { seed, count, ..Settings::default() };
    let report = Session::new(settings).expect("a session").run(&|_| {});
    println!("{}", report.coverage);
    println!("{} passed over, {:?}, {} threads", report.passed_over, report.elapsed, report.threads);
    for finding in &report.findings {
        println!("// program {} of seed {seed}: {}", finding.number, finding.difference);
        if let Some(reduced) = &finding.reduced {
            println!("// {}\n// {} tests", reduced.difference, reduced.tests);
        }
        println!("{}", finding.smallest());
    }
    assert!(report.findings.is_empty(), "{} findings", report.findings.len());
    // Shares of half a per cent need many programs to be judged; here none may be missing.
    let missing: Vec<_> = report.coverage.rows().filter(|row| row.programs == 0).collect();
    assert!(missing.is_empty(), "no program has {missing:?}");
    assert!(report.coverage.taken() * 2 >= report.coverage.programs());
}

/// Instructions that half of the programs that were taken execute, at least.
const MEDIAN: u64 = 40;

#[test]
fn half_of_the_programs_execute_forty_instructions() {
    let session = Session::new(Settings { seed: 11, ..Settings::default() }).expect("a session");
    let config = Config::new().engine(EngineChoice::Checked).cpus(1).fuel(MEDIAN - 1);
    let engine = Engine::new(config).expect("the checked interpreter");
    let linker = Linker::<()>::new(&engine);
    let (mut taken, mut long) = (0, 0);
    for number in 0..600 {
        let made = session.generate(number);
        let Ok(proof) = Proof::within(&engine, made.program, 20_000) else { continue };
        let Ok(loaded) = Loaded::from_proof(&linker, &proof) else { continue };
        let program = loaded.program(&proof.verified().program().name).expect("the program");
        let mut store = Store::new(&engine, ());
        let mut end = None;
        seen(program.kind(), &made.input, |input| {
            let result = program.run(&mut store, input);
            end = Some(matches!(result, Err(RunError::OutOfFuel { .. })));
            End::Stack
        });
        taken += 1;
        long += u64::from(end == Some(true));
    }
    println!("{long} of {taken} programs execute {MEDIAN} instructions or more");
    assert!(taken > 300 && long * 2 >= taken, "{long} of {taken}");
}
