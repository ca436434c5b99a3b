//! Sessions over this build's engines: nothing differs, and the programs have what they must.

use backstop_differ::{Session, Settings};

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
    let report = Session::new(settings).expect("a session").run(&());
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
    // Shares of half a per cent need more programs to be judged; here none may be missing.
    let missing: Vec<_> = report.coverage.rows().filter(|row| row.programs == 0).collect();
    assert!(missing.is_empty(), "no program has {missing:?}");
    assert!(report.coverage.taken() * 2 > report.coverage.programs());
    assert!(report.coverage.median_executed() >= Some(40), "{:?}", report.coverage.median_executed());
}
