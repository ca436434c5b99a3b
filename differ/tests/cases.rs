//! What `backstop diff` found and was mended: every case runs the same on all engines, and on Linux where that is permitted.

use std::path::Path;

use backstop_differ::{Case, Columns, Compare, Tried};

/// Instructions that a proof may take.
const INSNS: u64 = 1_000_000;

#[test]
fn every_kept_case_runs_the_same_everywhere() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases");
    let mut count = 0;
    for entry in std::fs::read_dir(folder).expect("tests/cases") {
        let path = entry.expect("an entry").path();
        // What is meant to differ from Linux has a test of its own.
        if path.is_dir() {
            continue;
        }
        let text = std::fs::read_to_string(&path).expect("a case");
        let case: Case = text.parse().unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let again: Case = case.to_string().parse().expect("a case reads back");
        assert_eq!(again.program.slots, case.program.slots);
        let tried = attempt(&case);
        assert!(matches!(tried, Tried::Same(_)), "{}: {tried:?}", path.display());
        count += 1;
    }
    assert!(count > 0, "there are no cases");
}

#[cfg(target_os = "linux")]
fn attempt(case: &Case) -> Tried {
    let mut columns = Columns::new(case.rules);
    match backstop_differ::linux::Linux::open() {
        Ok(linux) if case.rules.compat_linux => linux.attempt(&mut columns, &case.program, &case.inputs, INSNS).tried,
        asked => {
            if let Err(reason) = asked {
                eprintln!("skipped on Linux: {reason}");
            }
            columns.attempt(&case.program, &case.inputs, Compare::All, INSNS)
        }
    }
}

#[cfg(not(target_os = "linux"))]
fn attempt(case: &Case) -> Tried {
    Columns::new(case.rules).attempt(&case.program, &case.inputs, Compare::All, INSNS)
}
