//! Programs that use the kernel's own objects, judged with the running kernel's types, those that come along, and none.

mod support;

use support::{backstop, root};

fn object() -> String {
    root().join("cli/tests/objects/kernel_types.bpf.o").display().to_string()
}

/// Each program's verdict stands at the front of its name.
fn check(args: &[&str]) {
    let object = object();
    let args: Vec<&str> = [&["verify", "--json", &object], args].concat();
    let lines = backstop(&args).ends(1).lines();
    assert_eq!(lines.len(), 15);
    for line in lines {
        let name = line["program"].as_str().expect("a name");
        let verdict = name.split('_').next().expect("a word");
        assert_eq!(line["verdict"], verdict, "{line}");
    }
}

#[test]
fn linuxs_verdicts_need_no_file() {
    check(&["--compat", "linux"]);
}

#[test]
fn types_may_be_named() {
    let types = root().join("vm/model/data/kernel.btf").display().to_string();
    check(&["--kernel-btf", &types]);
    check(&["--kernel-btf", &types, "--compat", "linux"]);
}

#[test]
fn without_types_such_programs_are_refused() {
    let said = backstop(&["verify", "--json", &object()]).ends(1);
    for line in said.lines() {
        assert_eq!(line["verdict"], "reject", "{line}");
    }
}

#[test]
fn types_that_are_not_there_are_an_error() {
    backstop(&["verify", &object(), "--kernel-btf", "/no/such/file"]).ends(1).complains("/no/such/file");
}

#[test]
fn nothing_of_the_kernels_is_run() {
    for program in ["accept_fields", "accept_packet", "accept_owned", "accept_kept", "accept_stored_read"] {
        let said = backstop(&["run", &object(), "--program", program, "--compat", "linux"]);
        assert_eq!(said.code, Some(1), "{program}: {}{}", said.out, said.err);
        assert!(said.out.contains("not run"), "{program}: {}", said.out);
    }
}
