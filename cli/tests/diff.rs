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
    assert_eq!(first["engines"], serde_json::json!(["interp", "checked", "jit"]));
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
#[cfg(target_os = "linux")]
fn an_engine_that_can_not_be_made_is_an_error() {
    use std::process::Command;

    if !TWO_ENGINES {
        return;
    }
    let isa = object("isa_v4.bpf.o");
    for how in [&[&isa, "--linux", "0"][..], &["--count", "20", "--linux", "0"], &[&isa, "--mutate", "2"]] {
        // The JIT reserves a range of addresses for all code; here there are too few.
        let script = "ulimit -v 900000; exec \"$0\" diff --json \"$@\"";
        let mut command = Command::new("sh");
        command.args(["-c", script, env!("CARGO_BIN_EXE_backstop")]).args(how);
        let output = command.output().expect("a shell");
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert_eq!(output.status.code(), Some(2), "{how:?}: {out}{err}");
        assert!(out.contains("the JIT is not available") && !out.contains("same"), "{how:?}: {out}{err}");
    }
    let said = backstop(&["diff", &isa, "--linux", "0", "--json"]).ends(0);
    let engines = serde_json::json!(["interp", "checked", "jit"]);
    assert!(said.lines().iter().all(|line| line["engines"] == engines), "{}", said.out);
}

#[test]
fn a_case_that_does_not_run_is_not_the_same() {
    let folder = tempfile::tempdir().expect("a folder");
    let tried = |name: &str, input: &str, code: i32| {
        let case = folder.path().join(name);
        let text = format!("type: raw_mem\nmemory: 8\n{input}code:\nr0 = 1\nr0 = be32 r0\nexit\n");
        std::fs::write(&case, text).expect("a file");
        let said = backstop(&["diff", &case.display().to_string(), "--linux", "0", "--json"]).ends(code);
        said.lines().remove(0)
    };
    let none = tried("none.case", "", 1);
    assert_eq!(none["outcome"], "error");
    assert!(none["detail"].as_str().is_some_and(|text| text.contains("no line `input:`")), "{none}");
    let short = tried("short.case", "input: 0000000000000000\ninput: 0011\n", 1);
    assert_eq!(short["outcome"], "error");
    let detail = short["detail"].as_str().unwrap_or_default();
    assert!(detail.contains("run 2 did not take place") && detail.contains('8') && detail.contains("`input:` line 2"));
    assert_eq!(tried("whole.case", "input: 0000000000000000\n", 0)["outcome"], "same");
}

#[test]
fn mutants_of_objects_are_compared_and_made_again_by_their_seed() {
    if !TWO_ENGINES {
        return;
    }
    let isa = object("isa_v4.bpf.o");
    let said = || backstop(&["diff", &isa, "--mutate", "40", "--seed", "3", "--json"]).ends(0);
    let (first, second) = (said().lines(), said().lines());
    assert_eq!(first, second);
    assert!(!first.is_empty());
    let sum = |field: &str| first.iter().map(|line| line[field].as_u64().expect("a number")).sum::<u64>();
    assert_eq!(sum("mutants"), 40 * first.len() as u64);
    assert!(sum("taken") * 10 > sum("mutants"), "{first:?}");
    let text = backstop(&["diff", &isa, "--mutate", "5"]).ends(0);
    assert!(text.out.contains("same (5 mutants: ") && text.err.starts_with("seed "), "{}", text.out);
    // The second half of the mutants is what the whole has beyond the first.
    let half = |from: &str| {
        backstop(&["diff", &isa, "--mutate", "20", "--first", from, "--seed", "3", "--json"]).ends(0).lines()
    };
    for (line, (one, other)) in first.iter().zip(half("0").iter().zip(&half("20"))) {
        for field in ["taken", "passed_over", "mutants"] {
            assert_eq!(
                line[field].as_u64(),
                one[field].as_u64().zip(other[field].as_u64()).map(|(a, b)| a + b),
                "{line}"
            );
        }
    }
}

#[test]
fn mutants_are_told_of_every_input() {
    if !TWO_ENGINES {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let case = folder.path().join("seven.case");
    std::fs::write(&case, "type: raw_mem\nmemory: 8\ncode:\nr0 = 7\nr1 = 3\nr0 ^= r1\nexit\n").expect("a file");
    let case = case.display().to_string();
    let inputs = ["/no/such/file", &object("big_endian.bpf.o"), &object("missing_kfunc.bpf.o"), &case];
    let said = backstop(&[&["diff", "--mutate", "8", "--seed", "1", "--json"], &inputs[..]].concat()).ends(1);
    let lines = said.lines();
    let outcome = |input: &str| {
        lines.iter().filter(|line| line["input"] == input).map(|line| &line["outcome"]).collect::<Vec<_>>()
    };
    assert_eq!(outcome(inputs[0]), ["error"]);
    assert_eq!(outcome(inputs[1]), ["error"]);
    assert!(
        outcome(inputs[2]).iter().any(|outcome| **outcome == "refused" || **outcome == "unsupported"),
        "{}",
        said.out
    );
    assert_eq!(outcome(inputs[3]), ["same"]);
    said.complains("/no/such/file");
}

#[test]
fn options_about_inputs_want_inputs_beside_any_other() {
    for option in [&["--mutate", "5"][..], &["--program", "x"], &["--libbpf"], &["--mutate", "5", "--program", "x"]] {
        for beside in [&[][..], &["--time", "1"], &["--count", "1"], &["--threads", "1"], &["--seed", "1"]] {
            let said = backstop(&[&["diff"], option, beside, &["--json"]].concat()).ends(2);
            assert_eq!(said.lines().len(), 1, "{option:?} {beside:?}: {}", said.out);
        }
    }
    let isa = object("isa_v4.bpf.o");
    for beside in [["--time", "1"], ["--count", "1"], ["--threads", "1"]] {
        backstop(&[&["diff", &isa, "--mutate", "5"], &beside[..]].concat()).ends(2);
    }
}

#[test]
fn numbers_of_programs_do_not_begin_again() {
    let (isa, last) = (object("isa_v4.bpf.o"), u64::MAX.to_string());
    backstop(&["diff", "--first", &last, "--count", "3", "--linux", "0"]).ends(2).complains("--first");
    backstop(&["diff", &isa, "--first", &last, "--mutate", "3"]).ends(2).complains("--first");
}

#[test]
fn mutants_that_nobody_can_make_are_a_wrong_command_line() {
    let isa = object("isa_v4.bpf.o");
    backstop(&["diff", "--mutate", "5"]).ends(2);
    backstop(&["diff", &isa, "--mutate", "5", "--linux", "1"]).ends(2);
    backstop(&["diff", &isa, "--first", "5"]).ends(2).complains("--mutate");
    let said = backstop(&["diff", &isa, "--mutate", "5", "--save", "/no/such/folder", "--json"]).ends(2);
    assert!(said.lines()[0]["error"].as_str().is_some_and(|error| error.contains("no such folder")), "{}", said.out);
}

#[test]
#[cfg(target_os = "linux")]
fn a_mutant_that_kills_is_told_by_its_number_and_the_next_programs_are_compared() {
    use std::io::Read;
    use std::process::{Command, Stdio};

    if !TWO_ENGINES {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let isa = object("isa_v4.bpf.o");
    let mut command = Command::new(env!("CARGO_BIN_EXE_backstop"));
    command.args(["diff", &isa, "--mutate", "100000000", "--seed", "1", "--json", "--save"]).arg(folder.path());
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the command starts");
    let first = child_of(child.id());
    std::thread::sleep(std::time::Duration::from_millis(500));
    kill("FPE", &first);
    // The next program's mutants, in another child, until somebody asks for an end.
    let mut ended = String::new();
    child.stdout.as_mut().expect("standard output").read_exact(&mut [0; 2]).expect("a line begins");
    let parent = child.id();
    assert!(std::iter::repeat_with(|| child_of(parent)).any(|next| next != first));
    std::thread::sleep(std::time::Duration::from_millis(500));
    kill("INT", &parent.to_string());
    child.stdout.as_mut().expect("standard output").read_to_string(&mut ended).expect("text");
    let output = child.wait_with_output().expect("an end");
    let err = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{err}");
    assert!(err.contains("signal 8 (SIGFPE)") && err.contains("interrupted"), "{err}");
    let lines: Vec<Value> =
        format!("{{\"{ended}").lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let [finding, killed, last] = lines.as_slice() else { panic!("{lines:?}") };
    assert_eq!((&finding["what"], &finding["program"]), (&Value::from("killed process"), &killed["program"]));
    assert_eq!(finding["number"].as_u64().map(|number| number + 1), killed["mutants"].as_u64());
    assert_eq!((&killed["outcome"], &killed["taken"]), (&Value::from("differs"), &Value::Null));
    assert!(finding["saved"].as_str().is_some_and(|path| std::path::Path::new(path).is_file()), "{finding}");
    assert_ne!(killed["program"], last["program"]);
    assert_eq!((&last["outcome"], &last["interrupted"]), (&Value::from("same"), &Value::Bool(true)));
    assert!(last["mutants"].as_u64().is_some_and(|mutants| mutants > 0), "{last}");
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
    let folder = folder.path().display().to_string();
    let inputs = ["/no/such/file", &wrong, &folder, &object("big_endian.bpf.o"), &case];
    let said = backstop(&[&["diff", "--json"], &inputs[..]].concat()).ends(1);
    let lines = said.lines();
    assert_eq!(lines.iter().map(|line| line["input"].as_str().expect("a path")).collect::<Vec<_>>(), inputs);
    let (last, errors) = lines.split_last().expect("lines");
    assert_eq!(last["outcome"], "same");
    for (line, why) in errors.iter().zip(["No such file", "odd number", "directory", "big-endian"]) {
        assert_eq!(line["outcome"], "error");
        assert!(line["detail"].as_str().is_some_and(|text| text.contains(why)), "{line}");
        said.err.lines().find(|text| text.contains(why)).unwrap_or_else(|| panic!("no `{why}` in {}", said.err));
    }
}

#[test]
#[cfg(target_os = "linux")]
fn what_is_meant_to_differ_from_linux_or_is_not_built_is_no_difference() {
    let said = backstop(&["diff", "--json", &object("throw_holes.bpf.o")]).ends(0);
    let outcome = |program: &str| {
        let line = said.lines().into_iter().find(|line| line["program"] == program).expect("a line");
        (line["outcome"].as_str().unwrap_or_default().to_owned(), line["detail"].to_string(), line["linux"] == "asked")
    };
    let (meant, reason, asked) = outcome("hole_record");
    if !asked {
        eprintln!("skipped: Linux is not asked here");
        return;
    }
    assert!(meant == "differs, meant" && reason.contains("which Linux leaks"), "{}", said.out);
    assert!(said.lines().iter().all(|line| line["outcome"] != "differs"), "{}", said.out);
}

#[test]
fn errors_are_json_too() {
    let error = |args: &[&str], code: i32| {
        let said = backstop(args).ends(code);
        let lines = said.lines();
        assert_eq!(lines.len(), 1, "{}", said.out);
        lines[0]["error"].as_str().map(str::to_owned).unwrap_or_else(|| panic!("{}", said.out))
    };
    assert!(error(&["diff", "--json", "--save", "/no/such/folder"], 2).contains("no such folder"));
    assert!(error(&["diff", "--json", "--count", "many"], 2).contains("many"));
}

/// Without its rights, a process can't ask the kernel.
#[test]
#[cfg(target_os = "linux")]
fn a_kernel_that_refuses_is_reported_and_the_rest_done() {
    if !TWO_ENGINES || std::process::Command::new("setpriv").arg("--version").output().is_err() {
        eprintln!("skipped: there is no setpriv");
        return;
    }
    let without = |args: &[&str]| support::backstop_by(&["setpriv", "--bounding-set", "-all"], args);
    let probe = without(&["diff", "--count", "1", "--linux", "1"]);
    if probe.code == Some(0) || !probe.err.contains("Linux can't be asked") {
        eprintln!("skipped: rights can't be dropped here, or need none: {}", probe.err);
        return;
    }
    let said = without(&["diff", "--json", "--count", "1", "--linux", "1"]).ends(1);
    assert!(said.lines()[0]["error"].as_str().is_some_and(|text| text.contains("--linux 0")), "{}", said.out);
    let said = without(&["diff", "--count", "1", "--seed", "1"]).ends(0).complains("Linux is left out");
    assert_eq!(said.err.matches("Linux is left out").count(), 1, "{}", said.err);
    // Without it programs are others, and nothing else makes them so.
    let json = |said: support::Said| {
        let mut line = said.ends(0).lines().remove(0);
        line.as_object_mut().expect("an object").remove("seconds");
        line
    };
    let few = ["diff", "--json", "--count", "3", "--seed", "1"];
    assert_eq!(json(without(&few)), json(without(&[&few[..], &["--linux", "0"]].concat())));
    let said = without(&["diff", "--json", "--linux", "1", &object("throw.bpf.o")]).ends(1);
    assert!(said.lines().iter().any(|line| line["outcome"] == "same"), "{}", said.out);
    assert!(said.lines().iter().all(|line| line["linux"].as_str().is_some_and(|why| why.contains("not permitted"))));
    said.complains("Linux can't be asked");
}

#[test]
fn few_programs_are_not_judged() {
    if !TWO_ENGINES {
        return;
    }
    let said = backstop(&["diff", "--seed", "6", "--count", "50", "--linux", "0", "--json"]).ends(0);
    let line = &said.lines()[0];
    assert_eq!((&line["coverage_judged"], &line["coverage_suffices"]), (&Value::Bool(false), &Value::Bool(false)));
    assert_eq!(line["coverage_lacks"], serde_json::json!([]));
    assert!(line["median_instructions"].as_u64().is_some_and(|median| median > 1), "{line}");
    let said = backstop(&["diff", "--seed", "6", "--count", "50", "--linux", "0"]).ends(0);
    assert!(said.out.contains("not judged: shares of fewer than 5000 programs say little"), "{}", said.out);
    assert!(said.out.contains("median, 40 or more"), "{}", said.out);
}

#[test]
#[cfg(unix)]
fn a_signal_ends_a_run_in_order() {
    use std::io::{BufRead, BufReader, Read};
    use std::process::{Command, Stdio};

    if !TWO_ENGINES {
        return;
    }
    for (signal, limits) in [("INT", &["--count", "100000000"][..]), ("TERM", &["--time", "3000"])] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_backstop"));
        command.args(["diff", "--seed", "1", "--linux", "0", "--json"]).args(limits);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the command starts");
        let mut err = BufReader::new(child.stderr.take().expect("standard error"));
        let mut first = String::new();
        err.read_line(&mut first).expect("a line");
        assert!(first.starts_with("seed 1"), "{first}");
        // Signals are heard when the line comes; a program should be done too.
        std::thread::sleep(std::time::Duration::from_millis(300));
        let kill = format!("kill -{signal} {}", child.id());
        assert!(Command::new("sh").args(["-c", &kill]).status().expect("a shell").success());
        let output = child.wait_with_output().expect("an end");
        let mut rest = String::new();
        err.read_to_string(&mut rest).expect("text");
        assert_eq!(output.status.code(), Some(0), "{rest}");
        let line: Value = serde_json::from_slice(&output.stdout).expect("one object");
        assert_eq!(line["interrupted"], true);
        assert!(line["programs"].as_u64().is_some_and(|programs| programs > 0), "{line}");
        assert!(rest.contains("interrupted"), "{rest}");
    }
}

/// As a terminal sends it.
#[test]
#[cfg(target_os = "linux")]
fn a_signal_to_the_whole_group_is_one_signal() {
    use std::io::{BufRead, BufReader, Read};
    use std::os::unix::process::CommandExt;
    use std::process::{Command, Stdio};

    if !TWO_ENGINES {
        return;
    }
    let mut command = Command::new(env!("CARGO_BIN_EXE_backstop"));
    command.args(["diff", "--seed", "1", "--linux", "0", "--json", "--count", "100000000"]).process_group(0);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the command starts");
    let mut err = BufReader::new(child.stderr.take().expect("standard error"));
    let mut text = String::new();
    err.read_line(&mut text).expect("a line");
    let compares = child_of(child.id());
    std::thread::sleep(std::time::Duration::from_millis(300));
    kill("INT", &format!("-{}", child.id()));
    // The child has heard of the end by its parent: its own first signal is a first one still.
    std::thread::sleep(std::time::Duration::from_millis(30));
    let _ = Command::new("sh").args(["-c", &format!("kill -INT {compares}")]).stderr(Stdio::null()).status();
    let output = child.wait_with_output().expect("an end");
    err.read_to_string(&mut text).expect("text");
    assert_eq!(output.status.code(), Some(0), "{text}");
    let line: Value = serde_json::from_slice(&output.stdout).expect("one object");
    assert_eq!(line["interrupted"], true, "{line}");
}

/// Even one that hears of nothing.
#[test]
#[cfg(target_os = "linux")]
fn the_process_that_compares_ends_with_its_parent() {
    use std::io::{BufRead, BufReader};
    use std::process::{Command, Stdio};

    if !TWO_ENGINES {
        return;
    }
    let mut command = Command::new(env!("CARGO_BIN_EXE_backstop"));
    command.args(["diff", "--seed", "1", "--linux", "0", "--count", "100000000"]);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("the command starts");
    let mut err = BufReader::new(child.stderr.take().expect("standard error")).lines();
    err.next().expect("a line").expect("text");
    kill("STOP", &child_of(child.id()));
    kill("INT", &child.id().to_string());
    std::thread::sleep(std::time::Duration::from_millis(100));
    kill("INT", &child.id().to_string());
    assert_eq!(child.wait().expect("an end").code(), Some(130));
    // Standard error is at its end when the last process that has it is.
    assert_eq!(err.map_while(Result::ok).count(), 0);
}

/// A process that is stopped is as deaf as one in an endless loop.
#[test]
#[cfg(target_os = "linux")]
fn a_process_that_makes_no_progress_is_ended() {
    use std::io::{BufRead, BufReader, Read};
    use std::process::{Command, Stdio};

    if !TWO_ENGINES {
        return;
    }
    let mut command = Command::new(env!("CARGO_BIN_EXE_backstop"));
    command.args(["diff", "--seed", "1", "--linux", "0", "--threads", "1", "--count", "100000000"]);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("the command starts");
    let mut err = BufReader::new(child.stderr.take().expect("standard error"));
    let mut text = String::new();
    err.read_line(&mut text).expect("a line");
    std::thread::sleep(std::time::Duration::from_millis(300));
    kill("STOP", &child_of(child.id()));
    kill("INT", &child.id().to_string());
    err.read_to_string(&mut text).expect("text");
    // Its program ends well alone, so that it is no finding.
    assert_eq!(child.wait().expect("an end").code(), Some(3), "{text}");
    assert!(text.contains("made no progress for 10 s and was ended at program ["), "{text}");
    assert!(text.contains("which alone ends in time"), "{text}");
}

#[test]
fn what_contradicts_itself_is_a_wrong_command_line() {
    backstop(&["diff", "--seed", "1", &object("throw.bpf.o")]).ends(2).complains("--mutate N");
    backstop(&["diff", "--program", "x"]).ends(2);
    backstop(&["diff", "--count", "many"]).ends(2);
    backstop(&["diff", "--count", "1", "--save", "/no/such/folder"]).ends(2).complains("no such folder");
}

/// The process that compares, which the command started.
#[cfg(target_os = "linux")]
fn child_of(parent: u32) -> String {
    let path = format!("/proc/{parent}/task/{parent}/children");
    for _ in 0..500 {
        let children = std::fs::read_to_string(&path).unwrap_or_default();
        if let Some(child) = children.split_whitespace().next() {
            return child.to_owned();
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    panic!("process {parent} has no child")
}

#[cfg(target_os = "linux")]
fn kill(signal: &str, process: &str) {
    let command = format!("kill -{signal} {process}");
    assert!(std::process::Command::new("sh").args(["-c", &command]).status().expect("a shell").success());
}

#[test]
#[cfg(target_os = "linux")]
fn a_killed_process_is_told_with_what_it_was_at() {
    use std::io::{BufRead, BufReader, Read};
    use std::process::{Command, Stdio};

    if !TWO_ENGINES {
        return;
    }
    let mut command = Command::new(env!("CARGO_BIN_EXE_backstop"));
    command.args(["diff", "--seed", "1", "--linux", "0", "--count", "100000000", "--threads", "1", "--json"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the command starts");
    let mut err = BufReader::new(child.stderr.take().expect("standard error"));
    let mut text = String::new();
    err.read_line(&mut text).expect("a line");
    std::thread::sleep(std::time::Duration::from_millis(300));
    kill("FPE", &child_of(child.id()));
    let output = child.wait_with_output().expect("an end");
    err.read_to_string(&mut text).expect("text");
    // Nobody's program did it: that is a defect of the comparison itself, and no finding.
    assert_eq!(output.status.code(), Some(3), "{text}");
    assert!(text.contains("killed by signal 8 (SIGFPE) at program ["), "{text}");
    assert!(text.contains("what it found before is in ., as diff-1-NUMBER.case"), "{text}");
    let line: Value = serde_json::from_slice(&output.stdout).expect("one object");
    assert!(line["error"].as_str().is_some_and(|error| error.contains("SIGFPE")), "{line}");
}

/// A program whose three runs take seconds.
const LONG: &str = "\
type: syscall
func: 0 main 1
func: 8 static 2
input: 0000000000000000
input: 0000000000000000
input: 0000000000000000
code:
r1 = 8388608
r2 = func +6 ll
r3 = 0
r4 = 0
call 181
r0 = 0
exit
r0 = 0
exit
";

#[test]
#[cfg(target_os = "linux")]
fn behind_a_program_that_kills_the_others_are_compared() {
    use std::io::{BufRead, BufReader};
    use std::process::{Command, Stdio};

    let folder = tempfile::tempdir().expect("a folder");
    let long = folder.path().join("long.case");
    std::fs::write(&long, LONG).expect("a file");
    let (first, long, last) = (object("throw_loop.bpf.o"), long.display().to_string(), object("throw.bpf.o"));
    let names = |path: &str| backstop(&["diff", "--linux", "0", "--json", path]).ends(0).lines();
    let (before, after) = (names(&first), names(&last));
    let mut command = Command::new(env!("CARGO_BIN_EXE_backstop"));
    command.args(["diff", "--linux", "0", "--json", &first, &long, &last]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("the command starts");
    let mut out = BufReader::new(child.stdout.take().expect("standard output")).lines();
    let line = |text: std::io::Result<String>| serde_json::from_str::<Value>(&text.expect("a line")).expect("JSON");
    let mut lines: Vec<Value> = out.by_ref().take(before.len()).map(line).collect();
    std::thread::sleep(std::time::Duration::from_millis(200));
    kill("FPE", &child_of(child.id()));
    lines.extend(out.map(line));
    assert_eq!(child.wait().expect("an end").code(), Some(1));
    let killed = lines.remove(before.len());
    assert_eq!(
        (killed["input"].as_str(), &killed["outcome"]),
        (Some(long.as_str()), &Value::from("differs")),
        "{killed}"
    );
    assert!(killed["detail"].as_str().is_some_and(|text| text.contains("signal 8 (SIGFPE)")), "{killed}");
    assert_eq!(lines, [before, after].concat());
}
