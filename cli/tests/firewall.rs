//! The main job: the firewall over its capture.

mod support;

use std::collections::BTreeMap;
use std::fs;

use serde_json::Value;
use support::{all_engines, backstop, firewall, has_jit, traffic};

fn capture(args: &[&str]) -> support::Said {
    let (object, pcap) = (firewall(), traffic());
    let all: Vec<&str> = ["run", &object, "--pcap", &pcap].into_iter().chain(args.iter().copied()).collect();
    backstop(&all)
}

fn verdicts(line: &Value) -> BTreeMap<String, u64> {
    let map = line["verdicts"].as_object().expect("verdicts");
    map.iter().map(|(name, n)| (name.clone(), n.as_u64().expect("a count"))).collect()
}

#[test]
fn both_engines_agree_on_every_packet_and_map() {
    let lines = capture(&["--engine", all_engines(), "--json"]).ends(0).lines();
    assert_eq!(lines.len(), if has_jit() { 2 } else { 1 });
    let thrown = |line: &Value| {
        let throws = line["throws"].as_array().expect("throws");
        throws.iter().map(|t| t["count"].as_u64().expect("a count")).sum::<u64>()
    };
    for line in &lines {
        assert_eq!(line["packets"], 2131, "{line}");
        assert!(line["error"].is_null());
        assert_eq!(thrown(line), 237, "{line}");
        assert_eq!(verdicts(line).values().sum::<u64>(), 2131);
        assert_eq!(verdicts(line), verdicts(&lines[0]));
        assert_eq!(line["throws"], lines[0]["throws"]);
        assert_eq!(line["maps"], lines[0]["maps"]);
    }
    if has_jit() {
        assert_eq!(lines[0]["differences"], 0);
    }
}

#[test]
fn throws_name_their_cookie_and_source_line() {
    let lines = capture(&["--json"]).ends(0).lines();
    let throws = lines[0]["throws"].as_array().expect("throws");
    let cookies: std::collections::BTreeSet<u64> = throws.iter().filter_map(|t| t["cookie"].as_u64()).collect();
    assert_eq!(cookies, (1..=17).collect(), "each cookie but FW_INTERNAL");
    for throw in throws {
        assert!(throw["file"].as_str().is_some_and(|f| f.ends_with("firewall.bpf.c")), "{throw}");
        assert!(throw["line"].as_u64().is_some_and(|l| l > 0), "{throw}");
        assert!(throw["text"].as_str().is_some_and(|t| !t.is_empty()), "{throw}");
    }
}

#[test]
fn the_maps_tell_the_same_as_the_verdicts() {
    let lines = capture(&["--json", "--top", "100000"]).ends(0).lines();
    let maps = lines[0]["maps"].as_array().expect("maps");
    let map = |name: &str| maps.iter().find(|m| m["map"] == name).unwrap_or_else(|| panic!("map {name}"));
    let counter = |index: &str| {
        let top = map("counters")["top"].as_array().expect("entries");
        top.iter().find(|e| e["key"] == index).map_or(0, |e| e["value"]["packets"].as_u64().expect("packets"))
    };
    assert_eq!(counter("0"), 2131, "packets");
    assert_eq!(counter("3"), 237, "thrown");
    let verdicts = verdicts(&lines[0]);
    assert_eq!(verdicts.get("XDP_PASS").copied().unwrap_or(0), counter("1"), "passed");
    assert_eq!(verdicts.get("XDP_DROP").copied().unwrap_or(0), counter("2"), "dropped");
    let thrown: u64 =
        map("throws")["top"].as_array().expect("entries").iter().filter_map(|e| e["value"].as_u64()).sum();
    assert_eq!(thrown, 237);
    let flows = map("flows")["top"].as_array().expect("entries");
    let bytes: Vec<u64> = flows.iter().filter_map(|f| f["value"]["bytes"].as_u64()).collect();
    assert!(bytes.len() > 10 && bytes.is_sorted_by(|a, b| a >= b), "largest first");
    assert!(
        flows
            .iter()
            .any(|f| f["key"].as_str().is_some_and(|k| k.starts_with("127.7.0.1:") && k.contains(" -> 127.7.0.2:"))),
        "{flows:?}"
    );
}

#[test]
fn what_passed_is_written_and_passes_again() {
    let dir = tempfile::tempdir().expect("a directory");
    let out = dir.path().join("passed.pcap").display().to_string();
    let lines = capture(&["--json", "--out", &out]).ends(0).lines();
    let passed = verdicts(&lines[0])["XDP_PASS"];
    assert_eq!(lines[0]["written"].as_u64(), Some(passed));
    let bytes = fs::read(&out).expect("the file");
    assert_eq!(bytes[..24], fs::read(traffic()).expect("the capture")[..24], "the header is the capture's");
    let again = backstop(&["run", &firewall(), "--pcap", &out, "--json"]).ends(0).lines();
    assert_eq!(verdicts(&again[0]), BTreeMap::from([("XDP_PASS".to_owned(), passed)]));
}

/// The parts of the output for people that do not depend on time.
#[test]
fn the_report_for_people() {
    let said = capture(&["--engine", all_engines(), "--top", "3"]).ends(0);
    assert!(said.err.is_empty(), "{}", said.err);
    let engines = if has_jit() { "interp and jit" } else { "interp" };
    assert!(said.out.contains(&format!("program firewall (xdp) on {engines}\n")), "{}", said.out);
    for text in [
        ": 2131 packets, ",
        "\nverdicts\n",
        "XDP_PASS",
        "XDP_DROP",
        "\nthrows: 237 packets, by cookie and source line\n",
        "\nmap flows (hash): ",
        "the first 3 by bytes",
        "\nCPU time per packet\n",
    ] {
        assert!(said.out.contains(text), "no `{text}` in:\n{}", said.out);
    }
    assert_eq!(said.out.contains("times as long as"), has_jit());
    let agree = "interp and jit agree: verdicts, throws and data of 2131 packets and the contents of ";
    assert_eq!(said.out.contains(agree), has_jit(), "{}", said.out);
    assert!(!said.out.contains('\x1b') && !said.out.contains('\r'), "a pipe gets plain lines");
}

/// A capture of one packet, with times in nanoseconds and big-endian headers.
#[test]
fn the_other_byte_order() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("big.pcap").display().to_string();
    let mut bytes = Vec::new();
    for word in [0xa1b2_3c4du32, 0x0002_0004, 0, 0, 65535, 1, 10, 999_999_999, 60, 1500] {
        bytes.extend(word.to_be_bytes());
    }
    bytes.extend([0u8; 60]);
    fs::write(&path, &bytes).expect("a capture");
    let lines = backstop(&["run", &firewall(), "--pcap", &path, "--json"]).ends(0).lines();
    assert_eq!(lines[0]["packets"], 1);
    assert_eq!(lines[0]["bytes"], 60);
}
