//! A thinned run on all engines of this build finds nothing wrong, and leaves no row of the ISA table out.

use backstop::isa::table::rows;
use backstop_conformance::{Exerciser, NOT_EXERCISED};

#[test]
fn nothing_is_wrong_and_no_row_is_left_out() {
    let report = Exerciser { every: 10, ..Exerciser::default() }.run().expect("engines and a sound reference");
    assert!(report.is_clean(), "{report}");
    assert!(report.sum().cases > 100_000, "{report}");
    for row in rows() {
        let cases = report.rows.get(row.name).copied().unwrap_or(0);
        let excused = NOT_EXERCISED.iter().any(|(name, _)| *name == row.name);
        assert_eq!(cases == 0, excused, "{}: {cases} cases", row.name);
    }
    for group in &report.groups {
        assert!(group.cases > 10, "{}: {}", group.group, group.cases);
    }
}

#[test]
fn a_seed_gives_the_same_report_with_any_number_of_threads() {
    let only = vec!["sequences".to_owned(), "add64_imm".to_owned()];
    let run = |seed, threads| Exerciser { every: 9, seed, threads, only: only.clone(), ..Exerciser::default() }.run();
    let (one, two) = (run(7, 1).expect("a report"), run(7, 3).expect("a report"));
    assert_eq!((one.groups, one.rows), (two.groups, two.rows));
    assert!(run(8, 2).expect("a report").is_clean());
}

#[test]
fn linux_agrees_where_it_may_be_asked() {
    let report = Exerciser { every: 10, linux: true, ..Exerciser::default() };
    // Every class of instruction once; the whole takes too long for a test.
    let only = ["sdiv32_reg", "jslt64_imm", "load_s16", "atomic32_cmpxchg", "packet_ind16", "load_func", "call_kfunc"];
    let report = Exerciser { only: only.map(str::to_owned).to_vec(), ..report }.run().expect("a report");
    if let Some(reason) = &report.linux_skipped {
        eprintln!("skipped: linux_agrees_where_it_may_be_asked: {reason}");
    }
    assert!(report.is_clean(), "{report}");
}
