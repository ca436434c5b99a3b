//! `backstop inspect`, `disasm` and `jit-dump`.

mod support;

use support::{backstop, firewall, has_jit, object};

#[test]
fn inspect_tells_what_the_firewall_holds() {
    let lines = backstop(&["inspect", &firewall(), "--json"]).ends(0).lines();
    let found = &lines[0];
    assert_eq!(found["license"], "Dual MIT/GPL");
    let programs = found["programs"].as_array().expect("programs");
    assert_eq!(programs.len(), 4);
    for program in programs {
        assert_eq!(program["type"], "xdp", "{program}");
        assert_eq!(program["throws"], true, "{program}");
        assert_eq!(program["exception_callback"], "count_and_drop", "{program}");
        assert!(program["error"].is_null(), "{program}");
    }
    let maps = found["maps"].as_array().expect("maps");
    let flows = maps.iter().find(|m| m["name"] == "flows").expect("flows");
    assert_eq!(flows["kind"], "hash");
    assert_eq!(flows["max_entries"], 4096);
    assert_eq!(flows["key_type"], "struct fw_flow_key");
    let protocols = maps.iter().find(|m| m["name"] == "protocols").expect("protocols");
    let values: Vec<(u64, &str)> = protocols["values"]
        .as_array()
        .expect("values")
        .iter()
        .filter_map(|v| Some((v[0].as_u64()?, v[1].as_str()?)))
        .collect();
    assert!(values.contains(&(6, "firewall_tcp")) && values.contains(&(17, "firewall_udp")), "{values:?}");
    let globals = found["globals"].as_array().expect("globals");
    let ports = globals.iter().find(|g| g["name"] == "blocked_ports").expect("blocked_ports");
    assert_eq!(ports["value"], serde_json::json!([23, 445, 3389, 6667, 0, 0, 0, 0]));
    assert_eq!(ports["writable"], false);
    let externs = found["externs"].as_array().expect("externs");
    assert!(externs.iter().any(|e| e["name"] == "bpf_throw" && e["kind"] == "kfunc"), "{externs:?}");
    assert!(found["relocations"].as_array().is_some_and(|r| !r.is_empty()));
}

#[test]
fn inspect_for_people() {
    let said = backstop(&["inspect", &firewall()]).ends(0);
    for text in [
        "license: Dual MIT/GPL",
        "4 programs:",
        "throws to count_and_drop",
        "maps:",
        "globals:",
        "protocols[6] = firewall_tcp",
    ] {
        assert!(said.out.contains(text), "no `{text}` in:\n{}", said.out);
    }
}

#[test]
fn core_relocations_are_listed_in_words() {
    let lines = backstop(&["inspect", &object("core.bpf.o"), "--json"]).ends(0).lines();
    let relocations = lines[0]["relocations"].as_array().expect("relocations");
    assert!(
        relocations.iter().any(|r| r["target"].as_str().is_some_and(|t| t.starts_with("struct "))),
        "{relocations:?}"
    );
}

#[test]
fn disasm_names_what_instructions_refer_to() {
    let said = backstop(&["disasm", &firewall(), "--program", "firewall"]).ends(0);
    assert!(said.out.starts_with("program firewall, section xdp\nfirewall:\n"), "{}", said.out);
    for text in ["call bpf_map_lookup_elem", "call bpf_throw", "parse_link:", "count_and_drop:", "map counters", "exit"]
    {
        assert!(said.out.contains(text), "no `{text}` in:\n{}", said.out);
    }
    assert!(!said.out.contains("firewall.bpf.c:"));
}

#[test]
fn disasm_puts_source_lines_between_instructions() {
    let said = backstop(&["disasm", &firewall(), "--program", "firewall", "--source"]).ends(0);
    let lines = said.out.lines().filter(|l| l.starts_with("; ") && l.contains("firewall.bpf.c:"));
    assert!(lines.count() > 20, "{}", said.out);
}

#[test]
fn disasm_shows_the_ir() {
    let said = backstop(&["disasm", &firewall(), "--program", "firewall", "--ir"]).ends(0);
    for text in ["func f0 firewall (main, boundary", "throw r1", "exception callback", "tail_call protocols"] {
        assert!(said.out.contains(text), "no `{text}` in:\n{}", said.out);
    }
}

#[test]
fn refusals_are_explained_with_their_source_lines() {
    let commands: &[&[&str]] = if has_jit() { &[&["disasm", "--ir"], &["jit-dump"]] } else { &[&["disasm", "--ir"]] };
    for command in commands {
        let object = object("throw_reject.bpf.o");
        let args: Vec<&str> = command.iter().copied().chain([object.as_str(), "--program", "cookie_context"]).collect();
        backstop(&args).ends(1).complains("throw_reject.bpf.c:").complains("refused here: `call bpf_throw`");
    }
}

#[test]
fn attach_types_have_linuxs_names() {
    let lines = backstop(&["inspect", &firewall(), "--json"]).ends(0).lines();
    let programs = lines[0]["programs"].as_array().expect("programs");
    assert!(programs.iter().all(|p| p["attach"] == "xdp"), "{programs:?}");
}

#[test]
fn raw_memory_can_be_given_a_length_where_nothing_runs() {
    let object = object("custom.bpf.o");
    let ir = |size: &str| backstop(&["disasm", &object, "--program", "sum_of_bytes", "--ir", "--data-size", size]);
    ir("64").ends(0);
    ir("63").ends(1).complains("sum_of_bytes");
    backstop(&["verify", &object, "--program", "sum_of_bytes", "--data-size", "63"]).ends(1);
    if has_jit() {
        backstop(&["jit-dump", &object, "--program", "sum_of_bytes", "--data-size", "4096"]).ends(0);
        backstop(&["jit-dump", &object, "--program", "sum_of_bytes", "--data-size", "8"]).ends(1);
    }
    let said = backstop(&["inspect", &object]).ends(0);
    assert!(said.out.contains("memory of the length that the host gives"), "{}", said.out);
}

#[test]
fn every_object_that_opens_can_be_shown() {
    for name in
        ["throw.bpf.o", "throw_tail.bpf.o", "core.bpf.o", "maps.bpf.o", "ctx.bpf.o", "many.bpf.o", "isa_v4.bpf.o"]
    {
        backstop(&["inspect", &object(name)]).ends(0);
        let said = backstop(&["disasm", &object(name), "--source"]);
        assert!(matches!(said.code, Some(0 | 1)), "{name}: {}", said.err);
    }
}

#[test]
fn jit_dump_interleaves_bpf_ir_and_machine_code() {
    if !has_jit() {
        backstop(&["jit-dump", &firewall()]).ends(2).complains("no JIT");
        return;
    }
    let said = backstop(&["jit-dump", &firewall(), "--program", "firewall"]).ends(0);
    let first = said.out.lines().next().unwrap_or_default();
    assert!(first.starts_with("program firewall: ") && first.contains(" bytes"), "{first}");
    for text in [
        "boundary: sp is rbp - ",
        "firewall (f0):",
        "    | b0: ",
        "push rbp",
        "mov rbp, rsp",
        "; bpf_map_lookup_elem",
        "; map flows",
        "    | throw r1",
        "ret",
    ] {
        assert!(said.out.contains(text), "no `{text}` in:\n{}", said.out);
    }
    assert!(said.out.lines().any(|l| l.starts_with("; ") && l.contains("firewall.bpf.c:")), "source lines");
}

#[test]
fn what_programs_of_a_type_may_call() {
    let said = backstop(&["inspect", "--helpers", "xdp"]).ends(0);
    assert!(said.out.contains("bpf_xdp_adjust_head") && said.out.contains("bpf_throw"), "{}", said.out);
    assert!(!said.out.contains("bpf_skb_store_bytes"), "{}", said.out);
    let lines = backstop(&["inspect", "--helpers", "tc", "--json"]).ends(0).lines();
    assert_eq!(lines[0]["type"], "sched_cls");
    let helpers = lines[0]["helpers"].as_array().expect("helpers");
    assert!(helpers.iter().any(|h| h["name"] == "bpf_skb_store_bytes" && h["number"] == 9), "{helpers:?}");
    backstop(&["inspect", "--helpers", "sched_clss"]).ends(2).complains("did you mean `sched_cls`");
    backstop(&["inspect"]).ends(2);
    backstop(&["inspect", &firewall(), "--helpers", "xdp"]).ends(2);
}
