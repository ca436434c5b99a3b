//! Keeping states for later changes nothing of a proof: the same verdict, reason and work over the whole corpus.

#[allow(dead_code, reason = "other tests use the rest")]
mod cases_support;

use std::path::Path;
use std::sync::Arc;

use backstop_verifier::{Options, Stats, verify};

use cases_support::{build, corpus};

#[test]
fn keeping_states_changes_nothing() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases");
    let (mut accepted, mut claimed) = (0, 0);
    for topic in corpus::read_all(&folder) {
        // The largest are about limits, and their states about memory.
        for case in topic.cases.iter().filter(|case| !case.name.starts_with("effort/")) {
            let name = format!("{}: {}", topic.name, case.name);
            let Ok(program) = build::program(case) else { panic!("{name}: not built") };
            let program = Arc::new(program);
            let plain =
                Options { compat_linux: true, kernel: backstop_model::KernelBtf::reduced(), ..Options::default() };
            let keeping = Options { keep_states: true, ..plain.clone() };
            let work = |s: &Stats| (s.insns_processed, s.total_states, s.comparisons, s.longest_branch);
            match (verify(program.clone(), &plain), verify(program, &keeping)) {
                (Ok(a), Ok(b)) => {
                    assert_eq!(work(a.stats()), work(b.stats()), "{name}");
                    accepted += 1;
                    claimed += b.claims().map_or(0, |claims| claims.len());
                }
                (Err(a), Err(b)) => {
                    assert_eq!(a.reason.kernel_text(), b.reason.kernel_text(), "{name}");
                    assert_eq!(work(&a.stats), work(&b.stats), "{name}");
                }
                (a, b) => panic!("{name}: {} without, {} with states kept", a.is_ok(), b.is_ok()),
            }
        }
    }
    println!("{accepted} programs accepted, {claimed} states claimed");
    assert!(accepted > 500 && claimed > accepted);
}
