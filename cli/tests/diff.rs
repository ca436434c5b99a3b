//! `backstop diff`: generated programs, objects and saved cases, and what is said of bad input.

mod support;

use serde_json::Value;
use support::{backstop, object};

/// There must be two engines to compare.
const TWO_ENGINES: bool = cfg!(all(feature = "jit", target_arch = "x86_64", target_os = "linux"));

#[test]
fn generated_programs_are_the_same_everywhere_and_made_again_by_their_seed() {
    if !TWO_ENGINES {
        return;
    }
    let json = || -> Value {
        let said = backstop(&["diff", "--seed", "5", "--count", "300", "--linux", "0", "--json"]).ends(0);
        said.lines().remove(0)
    };
    let (first, second) = (json(), json());
    assert_eq!(first["programs"], 300);
    assert_eq!(first["findings"], serde_json::json!([]));
    assert!(first["taken"].as_u64().is_some_and(|taken| taken > 150), "{first}");
    for same in ["taken", "coverage", "seed"] {
        assert_eq!(first[same], second[same]);
    }
    let groups = |name: &str| first["coverage"].as_array().expect("rows").iter().filter(|r| r["group"] == name).count();
    assert!(groups("operation") > 150 && groups("helper") > 30 && groups("frames") == 8 && groups("throw depth") == 8);
}

#[test]
fn the_table_ends_the_output_and_a_pipe_gets_no_progress() {
    if !TWO_ENGINES {
        return;
    }
    let said = backstop(&["diff", "--seed", "6", "--count", "100", "--linux", "0"]).ends(0);
    assert!(said.out.contains("throw depth") && said.out.contains("taken"), "{}", said.out);
    assert!(said.out.lines().last().is_some_and(|line| line.starts_with("100 programs")), "{}", said.out);
    assert_eq!(said.err.lines().count(), 1, "{}", said.err);
    assert!(said.err.starts_with("seed 6"));
}

#[test]
fn objects_are_compared_program_by_program() {
    let said = backstop(&["diff", &object("throw.bpf.o"), "--linux", "0", "--json"]).ends(0);
    let lines = said.lines();
    assert!(lines.len() > 3);
    assert!(lines.iter().all(|line| line["outcome"] != "differs"), "{}", said.out);
    assert!(lines.iter().any(|line| line["outcome"] == "same"), "{}", said.out);
    let said = backstop(&["diff", &object("throw.bpf.o"), "--program", "no_such", "--linux", "0"]).ends(1);
    said.complains("no_such");
}

#[test]
fn every_input_is_reported_before_the_failure() {
    let folder = tempfile::tempdir().expect("a folder");
    let case = folder.path().join("good.case");
    std::fs::write(
        &case,
        "// mod by 0\ntype: raw_mem\nmemory: 8\ninput: 0000000000000000\ncode:\nr0 = 7\nr1 = 0\nr0 %= r1\nexit\n",
    )
    .expect("a file");
    let wrong = folder.path().join("wrong.case");
    std::fs::write(&wrong, "type: raw_mem\ninput: 123\ncode:\nexit\n").expect("a file");
    let (case, wrong) = (case.display().to_string(), wrong.display().to_string());
    let said = backstop(&["diff", "/no/such/file", &wrong, &case]).ends(1);
    assert!(said.out.contains("same"), "{}", said.out);
    said.complains("/no/such/file").complains("line 2").complains("odd number");
}

#[test]
fn what_contradicts_itself_is_a_wrong_command_line() {
    backstop(&["diff", "--seed", "1", &object("throw.bpf.o")]).ends(2);
    backstop(&["diff", "--program", "x"]).ends(2);
    backstop(&["diff", "--count", "many"]).ends(2);
    backstop(&["diff", "--count", "1", "--save", "/no/such/folder"]).ends(2).complains("no such folder");
}
