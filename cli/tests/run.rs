//! `backstop run`: the machine interface, and results of the programs of tests/objects on all engines.

#[path = "support/expect.rs"]
mod expect;
mod support;

use std::io::Write;

use expect::Run;
use serde_json::Value;
use support::{all_engines, backstop, has_jit, keys, object};

const KEYS: [&str; 9] =
    ["object", "program", "engine", "verdict", "error", "retval", "thrown", "data_out", "ns_per_run"];

fn check_schema(line: &Value) {
    let mut found = keys(line);
    let mut wanted = KEYS.to_vec();
    found.sort_unstable();
    wanted.sort_unstable();
    assert_eq!(found, wanted);
    assert!(matches!(line["engine"].as_str(), Some("interp" | "jit")), "{line}");
    assert!(matches!(line["verdict"].as_str(), Some("accept" | "reject")), "{line}");
    if line["error"].is_null() {
        assert!(line["retval"].is_u64() && line["data_out"].is_string() && line["ns_per_run"].is_number(), "{line}");
    } else {
        assert!(line["retval"].is_null() && line["thrown"].is_null(), "{line}");
    }
    for frame in line["thrown"]["backtrace"].as_array().into_iter().flatten() {
        assert!(frame["program"].is_string() && frame["function"].is_string(), "{frame}");
    }
}

fn check(line: &Value, run: &Run) {
    check_schema(line);
    let retval = line["retval"].as_u64().map(|v| v & u64::from(u32::MAX));
    assert_eq!(retval, Some(run.retval), "{line}");
    assert_eq!(line["thrown"]["cookie"].as_u64(), run.cookie, "{line}");
}

#[test]
fn every_accepted_program_gives_its_result_on_zeros() {
    let mut ran = 0;
    for (name, programs) in expect::all() {
        let said = backstop(&["run", &object(&name), "--all", "--engine", all_engines(), "--json"]);
        let lines = said.lines();
        lines.iter().for_each(check_schema);
        for program in &programs {
            let own: Vec<&Value> = lines.iter().filter(|l| l["program"] == program.name.as_str()).collect();
            for run in program.runs.iter().filter(|r| r.input.is_none()) {
                assert_eq!(own.len(), if has_jit() { 2 } else { 1 }, "{name}, {}", program.name);
                // Judged, but of a kind that no engine can run yet: that is said, and it is no refusal.
                if own.iter().all(|l| l["error"].as_str().is_some_and(|e| e.contains("this version"))) {
                    assert!(own.iter().all(|l| l["verdict"] == "accept"), "{own:?}");
                    continue;
                }
                own.iter().for_each(|line| check(line, run));
                ran += 1;
            }
            if !program.accepted {
                assert!(own.iter().all(|l| l["verdict"] == "reject"), "{name}, {}: {own:?}", program.name);
            }
        }
        assert!(!said.err.contains("the engines differ"), "{name}: {}", said.err);
    }
    assert!(ran > 150, "only {ran} programs were run");
}

#[test]
fn inputs_come_from_files() {
    for name in ["throw_tail.bpf.o", "throw_loop.bpf.o"] {
        let all = expect::all();
        let programs = all.get(name).expect("expectations");
        let with_input = programs.iter().flat_map(|p| p.runs.iter().map(move |r| (p, r)));
        for (program, run) in with_input {
            let Some(input) = &run.input else { continue };
            let mut file = tempfile::NamedTempFile::new().expect("a file");
            file.write_all(input).expect("the input");
            let path = file.path().display().to_string();
            let args = [
                "run",
                &object(name),
                "--program",
                &program.name,
                "--data-in",
                &path,
                "--engine",
                all_engines(),
                "--json",
            ];
            backstop(&args).ends(0).lines().iter().for_each(|line| check(line, run));
        }
    }
}

#[test]
fn a_throw_carries_its_frames_with_their_source_lines() {
    let args = ["run", &object("throw.bpf.o"), "--all", "--json", "--engine", all_engines()];
    let lines = backstop(&args).lines();
    let deepest = lines.iter().filter_map(|l| l["thrown"]["backtrace"].as_array()).map(Vec::len).max();
    assert!(deepest >= Some(8), "the deepest backtrace has {deepest:?} frames");
    let thrown = lines.iter().filter_map(|l| l["thrown"]["backtrace"].as_array()?.first());
    for frame in thrown {
        assert!(frame["file"].as_str().is_some_and(|f| f.contains("throw.bpf.c")), "{frame}");
        assert!(frame["line"].as_u64().is_some_and(|l| l > 0), "{frame}");
    }
}

#[test]
fn the_output_for_people() {
    let said =
        backstop(&["run", &object("throw_tail.bpf.o"), "--program", "main_to_callback", "--engine", "interp"]).ends(0);
    let first = said.out.lines().next().unwrap_or_default();
    let stable = "main_to_callback on interp: threw 33 (0x21), caught with 330 (0x14a), ";
    assert!(first.starts_with(stable), "{}", said.out);
    assert!(said.out.lines().nth(1).is_some_and(|l| l.contains("throw_tail.bpf.c:")), "{}", said.out);
}

#[test]
fn an_engine_that_was_named_is_the_one_that_ran() {
    let args = |engine| {
        backstop(&["run", &object("throw_tail.bpf.o"), "--program", "target_returns", "--engine", engine, "--json"])
    };
    assert_eq!(args("interp").ends(0).lines()[0]["engine"], "interp");
    if has_jit() {
        assert_eq!(args("jit").ends(0).lines()[0]["engine"], "jit");
    } else {
        let lines = args("jit").ends(2).complains("JIT").lines();
        assert!(lines.len() == 1 && lines[0]["engine"] == "jit" && lines[0]["error"].is_string(), "{lines:?}");
    }
}

#[test]
fn raw_memory_has_the_length_of_the_input() {
    let args = ["run", &object("custom.bpf.o"), "--program", "sum_of_bytes", "--json", "--engine", all_engines()];
    let mut file = tempfile::NamedTempFile::new().expect("a file");
    file.write_all(&[2; 100]).expect("the input");
    let path = file.path().display().to_string();
    let with_input: Vec<&str> = args.iter().copied().chain(["--data-in", &path]).collect();
    for line in backstop(&with_input).ends(0).lines() {
        assert_eq!(line["retval"], 128);
        assert_eq!(line["data_out"].as_str().map(str::len), Some(200));
    }
    let too_short: Vec<&str> = args.iter().copied().chain(["--data-size", "63"]).collect();
    for line in backstop(&too_short).ends(1).lines() {
        assert_eq!(line["verdict"], "reject", "the program reads 64 bytes: {line}");
    }
}

#[test]
fn a_label_leaves_the_length_of_raw_memory_open() {
    let args =
        ["run", &object("custom.bpf.o"), "--program", "throws_on_first_byte", "--json", "--engine", all_engines()];
    let longer: Vec<&str> = args.iter().copied().chain(["--data-size", "100"]).collect();
    for line in backstop(&longer).ends(0).lines() {
        assert_eq!((line["retval"].as_u64(), line["data_out"].as_str().map(str::len)), (Some(9), Some(200)), "{line}");
    }
}

#[test]
fn errors_say_types_as_linux_does() {
    let args = ["run", &object("ctx.bpf.o"), "--all", "--data-size", "3", "--json", "--engine", "interp"];
    let lines = backstop(&args).lines();
    let errors: Vec<&str> =
        lines.iter().filter_map(|l| l["error"].as_str()).filter(|e| e.contains("can't run")).collect();
    assert!(!errors.is_empty(), "{lines:?}");
    for error in errors {
        let ty = error.split_once('(').and_then(|(_, rest)| rest.split_once(')')).map(|(ty, _)| ty).expect("a type");
        assert!(ty.chars().all(|c| c.is_ascii_lowercase() || c == '_'), "{error}");
    }
}

#[test]
fn a_refusal_is_explained_with_its_source_line() {
    let args = ["run", &object("throw_reject.bpf.o"), "--program", "cookie_context", "--engine", "interp"];
    let said = backstop(&args).ends(1);
    assert!(said.out.contains("throw_reject.bpf.c:") && said.out.contains("refused here"), "{}", said.out);
}

#[test]
fn a_struct_of_the_hosts_is_refused_with_a_remedy() {
    let args = ["run", &object("custom.bpf.o"), "--program", "judge_request", "--json"];
    let lines = backstop(&args).ends(1).lines();
    assert_eq!(lines[0]["verdict"], "reject");
    assert!(lines[0]["error"].as_str().is_some_and(|e| e.contains("context struct `request`")), "{}", lines[0]);
}

#[test]
fn repeated_runs_are_timed() {
    let args = ["run", &object("throw_tail.bpf.o"), "--program", "target_throws_16", "--repeat", "1000", "--json"];
    let lines = backstop(&args).ends(0).lines();
    assert_eq!(lines[0]["retval"], 16);
    assert!(lines[0]["ns_per_run"].as_f64().is_some_and(|ns| ns > 0.0));
}

#[test]
fn maps_are_sized_by_the_host() {
    let object = object("sizes.bpf.o");
    let args = ["run", &object, "--program", "uses_unsized", "--json", "--engine", all_engines()];
    for line in backstop(&args).ends(1).lines() {
        let error = line["error"].as_str().unwrap_or_default();
        assert!(error.contains("max_entries is 0") && error.contains("--map-size NAME=N"), "{line}");
        assert_eq!(error.matches("program `").count(), 1, "{error}");
    }
    let sized: Vec<&str> = args.iter().copied().chain(["--map-size", "unsized_hash=4"]).collect();
    for line in backstop(&sized).ends(0).lines() {
        assert_eq!(line["retval"], 35, "{line}");
    }
    let other: Vec<&str> = args.iter().copied().chain(["--map-size", "unsized=4"]).collect();
    backstop(&other).ends(1).complains("no map `unsized`");
    for wrong in ["unsized_hash", "unsized_hash=many", "=4"] {
        let wrong: Vec<&str> = args.iter().copied().chain(["--map-size", wrong]).collect();
        backstop(&wrong).ends(2);
    }
    let lines = backstop(&["inspect", &object, "--json"]).ends(0).lines();
    let maps = lines[0]["maps"].as_array().expect("maps");
    let events = maps.iter().find(|m| m["name"] == "events").expect("events");
    let cpus = std::thread::available_parallelism().expect("processors").get();
    assert_eq!(events["max_entries"].as_u64(), u64::try_from(cpus).ok(), "one for each processor, as libbpf has it");
}

#[test]
fn kconfig_values_are_given() {
    let object = object("sizes.bpf.o");
    let run = |program, given: &[&str]| {
        let args = ["run", &object, "--program", program, "--json", "--engine", "interp"];
        backstop(&args.into_iter().chain(given.iter().copied()).collect::<Vec<_>>())
    };
    assert_eq!(run("asks_version", &[]).ends(0).lines()[0]["retval"], 1);
    assert_eq!(run("asks_version", &["--kconfig", "LINUX_KERNEL_VERSION=0x60600"]).ends(0).lines()[0]["retval"], 0);
    let refused = run("asks_config", &[]).ends(1).lines();
    let error = refused[0]["error"].as_str().unwrap_or_default();
    assert!(error.contains("CONFIG_PREEMPT") && error.contains("--kconfig"), "{error}");
    assert_eq!(run("asks_config", &["--kconfig", "CONFIG_PREEMPT=y"]).ends(0).lines()[0]["retval"], 5);
    assert_eq!(run("asks_config", &["--kconfig", "CONFIG_PREEMPT=n"]).ends(0).lines()[0]["retval"], 6);
    run("asks_config", &["--kconfig", "CONFIG_PREEMPT=256"]).ends(1).complains("fit");
    run("asks_config", &["--kconfig", "CONFIG_NONE=1"]).ends(1).complains("CONFIG_NONE");
}
