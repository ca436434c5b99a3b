//! Every kind of bad input: an error that names the place and the remedy, the right exit code, never a defect.

mod support;

use std::fs;

use support::{backstop, firewall, object, traffic};
use tempfile::TempDir;

fn directory() -> TempDir {
    tempfile::tempdir().expect("a directory")
}

fn file(directory: &TempDir, name: &str, bytes: &[u8]) -> String {
    let path = directory.path().join(name);
    fs::write(&path, bytes).expect("a file");
    path.display().to_string()
}

/// Commands that open an object, without it.
const COMMANDS: [&[&str]; 5] = [&["verify"], &["run", "--all"], &["inspect"], &["disasm"], &["run", "--program", "x"]];

#[test]
fn a_missing_file() {
    for command in COMMANDS {
        let args: Vec<&str> = command.iter().copied().chain(["/no/such/file.o"]).collect();
        backstop(&args).ends(1).complains("/no/such/file.o: No such file or directory");
    }
}

#[test]
fn a_directory() {
    let dir = directory();
    let path = dir.path().display().to_string();
    for command in COMMANDS {
        let args: Vec<&str> = command.iter().copied().chain([path.as_str()]).collect();
        backstop(&args).ends(1).complains("it is a directory");
    }
}

#[test]
fn a_device_without_end() {
    backstop(&["verify", "/dev/zero"]).ends(1).complains("no regular file");
    backstop(&["run", &firewall(), "--program", "firewall", "--data-in", "/dev/zero"]).ends(1).complains("/dev/zero");
}

#[test]
fn an_empty_object_and_one_that_is_none() {
    let dir = directory();
    for bytes in [&b""[..], b"no object at all", &[0x7f, b'E', b'L', b'F']] {
        let path = file(&dir, "bad.o", bytes);
        for command in COMMANDS {
            let args: Vec<&str> = command.iter().copied().chain([path.as_str()]).collect();
            backstop(&args).ends(1).complains("bad.o");
        }
    }
}

#[test]
fn truncated_objects() {
    let whole = fs::read(firewall()).expect("the example");
    let dir = directory();
    for part in 1..16 {
        let path = file(&dir, "cut.o", &whole[..whole.len() * part / 16]);
        let said = backstop(&["verify", "--json", &path]).ends(1).complains("cut.o");
        let lines = said.lines();
        assert!(lines.iter().any(|l| l["verdict"] == "reject" && l["error"].is_string()), "{}", said.out);
    }
}

#[test]
fn an_unknown_program_with_its_likely_name() {
    let object = firewall();
    for command in ["run", "verify", "disasm"] {
        let args = [command, &object, "--program", "firewal_tcp"];
        backstop(&args).ends(1).complains("did you mean `firewall_tcp`");
    }
    let args = ["run", &firewall(), "--program", "firewal_tcp", "--json", "--engine", "interp"];
    let lines = backstop(&args).ends(1).lines();
    assert_eq!(lines.len(), 1);
    assert_eq!(lines[0]["verdict"], "reject");
    assert_eq!(lines[0]["program"], "firewal_tcp");
}

#[test]
fn wrong_command_lines() {
    let firewall = firewall();
    backstop(&[]).ends(2);
    let wrong: [&[&str]; 13] = [
        &["frobnicate"],
        &["verify"],
        &["run", &firewall],
        &["run", &firewall, "--all", "--program", "firewall"],
        &["run", &firewall, "--all", "--engine", "quantum"],
        &["run", &firewall, "--all", "--repeat", "0"],
        &["run", &firewall, "--out", "x.pcap", "--all"],
        &["run", &firewall, "--pcap", "x.pcap", "--data-size", "4"],
        &["run", &firewall, "--all", "--top", "3"],
        &["disasm", &firewall, "--unprivileged"],
        &["disasm", &firewall, "--ir", "--data-size", "4"],
        &["jit-dump", &firewall, "--data-size", "0"],
        &["run", &firewall, "--program", "firewall", "--data-size", "999999999999"],
    ];
    for args in wrong {
        backstop(args).ends(2);
        let lines = backstop(&[args, &["--json"]].concat()).ends(2).lines();
        assert!(lines.len() == 1 && lines[0]["error"].is_string(), "{args:?}: {lines:?}");
    }
}

#[test]
fn help_and_version_are_no_errors() {
    for args in [&["--help"][..], &["--version"], &["run", "--help"], &["verify", "-h"], &["jit-dump", "--help"]] {
        let said = backstop(args).ends(0);
        assert!(!said.out.is_empty() && said.err.is_empty());
    }
}

#[test]
fn a_context_of_the_wrong_size() {
    let dir = directory();
    let long = file(&dir, "ctx.bin", &[1; 4096]);
    let args = ["run", &firewall(), "--program", "firewall", "--ctx-in", &long, "--json", "--engine", "interp"];
    let lines = backstop(&args).ends(1).lines();
    assert!(lines[0]["error"].as_str().is_some_and(|e| e.contains("context")), "{}", lines[0]);
    let short = file(&dir, "short.bin", &[0; 4]);
    let args = ["run", &object("throw.bpf.o"), "--all", "--ctx-in", &short, "--json", "--engine", "interp"];
    let said = backstop(&args);
    assert!(said.code == Some(0) || said.code == Some(1), "{}", said.err);
}

#[test]
fn a_capture_that_was_cut_in_a_packet() {
    let whole = fs::read(traffic()).expect("the capture");
    let dir = directory();
    let cut = file(&dir, "cut.pcap", &whole[..whole.len() - 7]);
    let full = backstop(&["run", &firewall(), "--pcap", &traffic(), "--json", "--engine", "interp"]).ends(0).lines();
    let said = backstop(&["run", &firewall(), "--pcap", &cut, "--json", "--engine", "interp"]).ends(1);
    let packets = full[0]["packets"].as_u64().expect("a count");
    let said =
        said.complains(&format!("cut.pcap: packet {packets}, byte 0x")).complains("the file ends inside this packet");
    let lines = said.lines();
    assert_eq!(lines[0]["packets"].as_u64(), packets.checked_sub(1), "everything before is reported");
    assert!(lines[0]["error"].is_string());
}

#[test]
fn captures_that_are_none() {
    let dir = directory();
    let cases: [(&[u8], &str); 4] = [
        (b"", "ends inside the pcap header"),
        (&[0xd4, 0xc3, 0xb2, 0xa1, 2, 0], "ends inside the pcap header"),
        (&[7; 64], "it is no pcap file"),
        (
            &[0x0a, 0x0d, 0x0d, 0x0a, 0x1c, 0, 0, 0, 0x4d, 0x3c, 0x2b, 0x1a, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
            "editcap",
        ),
    ];
    for (bytes, text) in cases {
        let path = file(&dir, "bad.pcap", bytes);
        backstop(&["run", &firewall(), "--pcap", &path]).ends(1).complains(text);
    }
    backstop(&["run", &firewall(), "--pcap", "/no/such.pcap"]).ends(1).complains("/no/such.pcap");
}

#[test]
fn a_packet_of_an_impossible_length() {
    let mut bytes = fs::read(traffic()).expect("the capture");
    bytes[24 + 8..24 + 12].copy_from_slice(&u32::MAX.to_le_bytes());
    let dir = directory();
    let path = file(&dir, "long.pcap", &bytes);
    backstop(&["run", &firewall(), "--pcap", &path]).ends(1).complains("long.pcap: packet 1, byte 0x18");
}

#[test]
fn types_that_are_none() {
    let dir = directory();
    let bad = file(&dir, "bad.btf", &[0x9f, 0xeb, 1, 0, 0xff]);
    backstop(&["verify", &firewall(), "--btf", &bad]).ends(1).complains("bad.btf");
    let text = file(&dir, "text.btf", b"hello, this is text");
    backstop(&["verify", &firewall(), "--btf", &text]).ends(1).complains("neither BTF nor ELF");
    backstop(&["verify", &firewall(), "--btf", "/no/such.btf"]).ends(1).complains("/no/such.btf");
}

#[test]
fn running_what_was_refused() {
    let args = ["run", &object("throw_reject.bpf.o"), "--program", "cookie_context", "--json", "--engine", "interp"];
    let lines = backstop(&args).ends(1).lines();
    assert_eq!(lines[0]["verdict"], "reject");
    assert!(lines[0]["error"].as_str().is_some_and(|e| e.contains("R1 is not a scalar")), "{}", lines[0]);
}

#[test]
fn a_program_that_takes_no_packets() {
    let args = ["run", &object("custom.bpf.o"), "--pcap", &traffic(), "--program", "sum_of_bytes"];
    backstop(&args).ends(1).complains("takes no packets");
}

#[test]
fn the_capture_is_not_overwritten() {
    let dir = directory();
    let copy = file(&dir, "copy.pcap", &fs::read(traffic()).expect("the capture"));
    backstop(&["run", &firewall(), "--pcap", &copy, "--out", &copy]).ends(2).complains("overwrite");
    assert_eq!(fs::read(&copy).expect("the copy"), fs::read(traffic()).expect("the capture"));
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    use std::process::{Command, Stdio};
    let mut child = Command::new(env!("CARGO_BIN_EXE_backstop"))
        .args(["disasm", &firewall(), "--source"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the command starts");
    drop(child.stdout.take());
    let output = child.wait_with_output().expect("it ends");
    assert_eq!(output.status.code(), Some(0));
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn a_missing_object_has_no_program_and_a_missing_program_has_its_name() {
    for command in ["verify", "run"] {
        let lines = backstop(&[command, "/no/such.o", "--program", "x", "--json"]).ends(1).lines();
        assert!(lines.len() == 1 && lines[0]["program"].is_null(), "{lines:?}");
        let lines = backstop(&[command, &firewall(), "--program", "x", "--json"]).ends(1).lines();
        assert!(lines.len() == 1 && lines[0]["program"] == "x", "{lines:?}");
        assert_eq!(lines[0]["verdict"], "reject");
    }
}

#[test]
fn a_refused_program_does_not_see_the_capture() {
    let args = [
        "run",
        &object("throw_reject.bpf.o"),
        "--pcap",
        &traffic(),
        "--program",
        "cookie_out_of_range",
        "--engine",
        "interp",
    ];
    let said = backstop(&args).ends(1).complains("throw_reject.bpf.c").complains("should have been in [0, 3]");
    assert!(said.out.is_empty(), "{}", said.out);
    let json: Vec<&str> = args.into_iter().chain(["--json"]).collect();
    let lines = backstop(&json).ends(1).lines();
    assert!(lines.len() == 1 && lines[0]["verdict"] == "reject" && lines[0]["error"].is_string(), "{lines:?}");
}

#[test]
fn a_packet_context_must_be_whole() {
    let dir = directory();
    let part = file(&dir, "ctx.bin", &[0; 4]);
    let args = ["run", &firewall(), "--program", "firewall", "--ctx-in", &part, "--json", "--engine", "interp"];
    let lines = backstop(&args).ends(1).lines();
    let text = "--ctx-in: the context has 4 bytes, and struct xdp_md has 24";
    assert!(lines[0]["error"].as_str().is_some_and(|e| e.starts_with(text)), "{}", lines[0]);
}

#[test]
fn inputs_that_a_program_has_no_use_for() {
    let dir = directory();
    let bytes = file(&dir, "bytes.bin", &[0; 64]);
    let object = object("ctx.bpf.o");
    let lines = backstop(&["verify", &object, "--json"]).lines();
    let name =
        lines.iter().find(|l| l["type"] == "syscall").and_then(|l| l["program"].as_str()).expect("a syscall program");
    let both = ["run", &object, "--program", name, "--ctx-in", &bytes, "--data-in", &bytes, "--json"];
    let said = backstop(&both).ends(2).complains("not by both");
    assert!(said.lines()[0]["error"].is_string());
    let custom = self::object("custom.bpf.o");
    let args = ["run", &custom, "--program", "sum_of_bytes", "--ctx-in", &bytes];
    backstop(&args).ends(2).complains("give that by --data-in");
}

/// With `--json` whatever can't be done is a line too.
#[test]
fn every_failure_is_a_line_of_json() {
    let firewall = firewall();
    let out = directory();
    let nowhere = out.path().join("no/passed.pcap").display().to_string();
    let traffic = traffic();
    let failing: [(&[&str], i32); 6] = [
        (&["run", &firewall, "--program", "firewall", "--data-in", "/no/such"], 1),
        (&["run", &firewall, "--program", "firewall", "--ctx-in", "/no/such"], 1),
        (&["run", &firewall, "--program", "firewall", "--pcap", "/no/such"], 1),
        (&["run", &firewall, "--program", "firewall", "--pcap", &firewall], 1),
        (&["run", &firewall, "--program", "firewall", "--pcap", &traffic, "--out", &nowhere], 1),
        (&["run", &firewall, "--program", "firewall", "--btf", "/no/such"], 1),
    ];
    for (args, code) in failing {
        let args: Vec<&str> = args.iter().copied().chain(["--json", "--engine", "interp"]).collect();
        let lines = backstop(&args).ends(code).lines();
        assert_eq!(lines.len(), 1, "{args:?}: {lines:?}");
        assert_eq!((&lines[0]["verdict"], &lines[0]["engine"]), (&"reject".into(), &"interp".into()), "{args:?}");
        assert!(lines[0]["error"].as_str().is_some_and(|e| !e.is_empty()), "{args:?}: {lines:?}");
    }
    let lines = backstop(&["run", &object("custom.bpf.o"), "--pcap", &traffic, "--json"]).ends(1).lines();
    assert_eq!(lines.len(), 1, "{lines:?}");
    for path in ["/no/such.o", traffic.as_str()] {
        let lines = backstop(&["inspect", path, "--json"]).ends(1).lines();
        assert!(lines.len() == 1 && lines[0]["object"] == path && lines[0]["error"].is_string(), "{lines:?}");
    }
}

#[test]
fn a_program_is_named_once_in_an_error() {
    let args = ["verify", &object("missing_kfunc.bpf.o"), &object("custom.bpf.o"), "--json"];
    let lines = backstop(&args).ends(1).lines();
    let errors: Vec<&str> = lines.iter().filter_map(|l| l["error"].as_str()).collect();
    assert!(errors.len() > 1, "{lines:?}");
    for error in errors {
        assert_eq!(error.matches("program `").count(), 1, "{error}");
    }
}

#[test]
fn an_empty_capture() {
    let whole = fs::read(traffic()).expect("the capture");
    let dir = directory();
    let empty = file(&dir, "empty.pcap", &whole[..24]);
    let said = backstop(&["run", &firewall(), "--pcap", &empty, "--engine", "interp"]).ends(0);
    assert!(said.out.contains("no packet was run") && !said.out.contains("0.0 ns"), "{}", said.out);
    let lines = backstop(&["run", &firewall(), "--pcap", &empty, "--engine", "interp", "--json"]).ends(0).lines();
    assert_eq!(lines[0]["packets"], 0);
}
