//! `backstop verify`: the machine interface, and the verdict of every program of tests/objects.

#[path = "support/expect.rs"]
mod expect;
mod support;

use std::collections::HashMap;

use serde_json::Value;
use support::{backstop, firewall, keys, object};

const KEYS: [&str; 10] = [
    "object",
    "program",
    "section",
    "type",
    "verdict",
    "error",
    "log_tail",
    "insns_processed",
    "peak_states",
    "verify_us",
];

fn check_schema(line: &Value) {
    let mut found = keys(line);
    let mut wanted = KEYS.to_vec();
    found.sort_unstable();
    wanted.sort_unstable();
    assert_eq!(found, wanted);
    assert!(line["object"].is_string());
    let accepted = match line["verdict"].as_str() {
        Some("accept") => true,
        Some("reject") => false,
        other => panic!("verdict {other:?}"),
    };
    assert_eq!(line["error"].is_null(), accepted, "{line}");
    if accepted {
        assert!(line["insns_processed"].as_u64().is_some_and(|n| n > 0), "{line}");
        assert!(line["peak_states"].is_u64() && line["verify_us"].is_number(), "{line}");
        assert!(line["program"].is_string() && line["section"].is_string() && line["type"].is_string(), "{line}");
    }
}

#[test]
fn every_program_of_the_tests_gets_its_verdict() {
    for (name, programs) in expect::all() {
        let said = backstop(&["verify", "--json", &object(&name)]);
        let lines = said.lines();
        lines.iter().for_each(check_schema);
        let by_name: HashMap<&str, &Value> = lines.iter().filter_map(|l| Some((l["program"].as_str()?, l))).collect();
        let unopened = lines.iter().find(|l| l["program"].is_null());
        for program in &programs {
            let line = by_name.get(program.name.as_str()).copied().or(unopened);
            let line = line.unwrap_or_else(|| panic!("{name}: no line for {}", program.name));
            let verdict = if program.accepted { "accept" } else { "reject" };
            assert_eq!(line["verdict"], verdict, "{name}, {}: {line}", program.name);
            let log = line["log_tail"].as_str().unwrap_or_default();
            for error in &program.errors {
                assert!(log.contains(error.as_str()), "{name}, {}: no `{error}` in {line}", program.name);
            }
        }
        let good = programs.iter().all(|p| p.accepted) && lines.iter().all(|l| l["verdict"] == "accept");
        said.ends(if good { 0 } else { 1 });
    }
}

#[test]
fn several_objects_are_all_reported_even_after_one_that_cannot_be_opened() {
    let said = backstop(&["verify", "--json", "no-such.o", &firewall()]).ends(1).complains("no-such.o");
    let lines = said.lines();
    assert_eq!(lines.len(), 5);
    lines.iter().for_each(check_schema);
    assert!(lines[0]["program"].is_null());
    assert_eq!(lines[0]["verdict"], "reject");
    assert!(lines[1..].iter().all(|l| l["verdict"] == "accept" && l["type"] == "xdp"));
}

#[test]
fn one_program_alone() {
    let said = backstop(&["verify", &firewall(), "--program", "firewall_udp", "--json"]).ends(0);
    let lines = said.lines();
    assert_eq!(lines.len(), 1);
    assert_eq!(lines[0]["program"], "firewall_udp");
}

#[test]
fn a_refusal_shows_the_source_line_and_the_reason() {
    let said = backstop(&["verify", &object("throw_reject.bpf.o"), "--program", "type_kprobe"]).ends(1);
    assert!(said.out.contains("calling kernel function bpf_throw is not allowed"), "{}", said.out);
    assert!(said.out.contains("throw_reject.bpf.c"), "{}", said.out);
    assert!(said.out.contains("1 program: 0 accepted, 1 refused"), "{}", said.out);
    assert!(!said.out.contains('\x1b'), "colours in a pipe:\n{}", said.out);
}

#[test]
fn the_form_of_the_kernels_log() {
    let args = ["verify", &object("throw_reject.bpf.o"), "--program", "cookie_context", "--format", "kernel"];
    let said = backstop(&args).ends(1);
    assert!(said.out.lines().any(|l| l == "R1 is not a scalar"), "{}", said.out);
}

#[test]
fn the_log_of_an_accepted_program_tells_each_instruction_with_what_it_changed() {
    let args = ["verify", &firewall(), "--program", "firewall_udp", "--format", "kernel", "--log-level", "2"];
    let said = backstop(&args).ends(0);
    for text in [
        "\n0: R1=ctx() R10=fp0\n",
        ": (85) call bpf_map_lookup_elem#1 ",
        "; R0=map_value_or_null(",
        "map flows ll",
        " @ firewall.bpf.c:",
        "\nfrom ",
        "\nprocessed ",
    ] {
        assert!(said.out.contains(text), "no `{text}` in:\n{}", said.out);
    }
    let lines = backstop(&["verify", &firewall(), "--program", "firewall_udp", "--json", "--log-level", "2"]).lines();
    assert!(lines[0]["log"].as_str().is_some_and(|log| said.out.contains(log.trim_end())), "{}", lines[0]);
}

#[test]
fn the_log_below_level_2_is_of_the_refused_path_alone() {
    let object = object("throw_reject.bpf.o");
    let log = |level| {
        let args = ["verify", &object, "--program", "cookie_out_of_range", "--json", "--log-level", level];
        backstop(&args).ends(1).lines()[0]["log"].as_str().expect("a log").to_owned()
    };
    let (path, all) = (log("1"), log("2"));
    for log in [&path, &all] {
        assert!(log.contains("0: R1=ctx() R10=fp0") && log.contains("should have been in [0, 3]"), "{log}");
    }
    assert!(path.len() <= all.len());
    let accepted = backstop(&["verify", &firewall(), "--json", "--log-level", "1"]).ends(0).lines();
    for line in accepted {
        assert!(line["log"].as_str().is_some_and(|log| log.contains("processed ") && !log.contains(": (")), "{line}");
    }
}

#[test]
fn a_log_without_a_form_stands_before_the_explanation() {
    let args = ["verify", &object("throw_reject.bpf.o"), "--program", "cookie_context", "--log-level", "1"];
    let said = backstop(&args).ends(1);
    let (log, told) = (said.out.find("\nprocessed ").expect("a log"), said.out.find("error[").expect("an explanation"));
    assert!(log < told, "{}", said.out);
}

#[test]
fn explanations_name_what_instructions_refer_to() {
    let said = backstop(&["verify", &object("throw_reject.bpf.o"), &object("throw_holes.bpf.o")]).ends(1);
    assert!(said.out.contains("`call bpf_throw` (instruction"), "{}", said.out);
    assert!(!said.out.contains("kfunc#") && !said.out.contains("`map["), "{}", said.out);
}

#[test]
fn costs_are_lines_of_json_too() {
    let lines = backstop(&["verify", &firewall(), "--stats", "--json"]).ends(0).lines();
    for line in &lines {
        let stats = &line["stats"];
        let functions = stats["subprograms"].as_array().expect("subprograms");
        let sum: u64 = functions.iter().filter_map(|f| f["insns_processed"].as_u64()).sum();
        assert_eq!(line["insns_processed"].as_u64(), Some(sum), "{line}");
        assert!(stats["peak_bytes"].as_u64().is_some_and(|n| n > 0), "{line}");
        for key in ["states", "bytes"] {
            assert!(functions.iter().all(|f| f[key].is_u64()), "{line}");
        }
        assert!(functions.iter().all(|f| f["name"].is_string() && f["us"].is_number()), "{line}");
    }
    assert!(lines.iter().any(|l| l["stats"]["subprograms"].as_array().is_some_and(|s| s.len() > 1)));
}

#[test]
fn costs_are_shown_if_asked_for() {
    let said = backstop(&["verify", &firewall(), "--stats"]).ends(0);
    assert_eq!(said.out.matches("instructions processed").count(), 4, "{}", said.out);
}
