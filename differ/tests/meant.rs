//! What is meant to differ from Linux is one list in three places that must agree: the predicates, docs/linux-differences.md, and what the
//! running kernel does with a witness of each.
#![cfg(target_os = "linux")]

use std::path::{Path, PathBuf};

use backstop::model::Program;
use backstop_differ::linux::{KNOWN, Known, Linux, Side, TriedLinux};
use backstop_differ::{Case, Columns, Rules, input_len};

/// Instructions that a proof may take.
const INSNS: u64 = 1_000_000;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn tried(linux: &Linux, known: &Known) -> TriedLinux {
    let Some((object, program)) = known.witness.split_once(' ') else {
        let path = root().join("differ/tests/cases/meant").join(known.witness);
        let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        let case: Case = text.parse().unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        assert!(case.rules.compat_linux, "{}", path.display());
        return linux.attempt(&mut Columns::new(case.rules), &case.program, &case.inputs, INSNS);
    };
    let path = root().join("tests/objects").join(object);
    let bytes = std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let mut columns = Columns::new(Rules { compat_linux: true, ..Rules::default() });
    let opened = columns.open(&bytes, object).expect("an object");
    let inputs = |program: &Program| vec![vec![0; input_len(program)]];
    linux.attempt_object(&mut columns, &opened, program, &inputs)
}

#[test]
fn every_meant_difference_is_one() {
    let linux = match Linux::open() {
        Ok(linux) => linux,
        Err(reason) => return eprintln!("skipped: {reason}"),
    };
    for known in KNOWN {
        let tried = tried(&linux, known);
        assert_eq!(tried.known, Some(known.reason), "{}: {tried:?}", known.witness);
    }
}

#[test]
fn every_witness_of_the_cases_is_named() {
    for entry in std::fs::read_dir(root().join("differ/tests/cases/meant")).expect("the folder") {
        let name = entry.expect("an entry").file_name();
        assert!(KNOWN.iter().any(|known| name == *known.witness), "{name:?} is no witness of any difference");
    }
}

#[test]
fn the_docs_have_the_same_list() {
    let text = std::fs::read_to_string(root().join("docs/linux-differences.md")).expect("the docs");
    let rows = text.lines().filter(|line| line.starts_with("| Backstop |") || line.starts_with("| Linux |"));
    let told: Vec<String> = rows.map(str::to_owned).collect();
    let row = |known: &Known| {
        let side = match known.side {
            Side::Backstop => "Backstop",
            Side::Linux => "Linux",
        };
        let says = known.says.join("…");
        format!("| {side} | `{says}` | {} | `{}` |", known.reason, known.witness)
    };
    let wanted: Vec<String> = KNOWN.iter().map(row).collect();
    assert_eq!(told, wanted, "docs/linux-differences.md wants these rows:\n{}", wanted.join("\n"));
}
