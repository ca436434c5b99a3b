//! `backstop diff --libbpf`: of every program of every committed object libbpf makes the same instructions, and the kernel says the same.

mod support;

use support::backstop;

#[test]
#[cfg(not(all(feature = "libbpf", target_os = "linux")))]
fn a_build_without_it_says_so() {
    backstop(&["diff", "--libbpf", &support::object("throw.bpf.o")]).ends(2).complains("--features libbpf");
}

#[test]
#[cfg(all(feature = "libbpf", target_os = "linux"))]
fn libbpf_links_as_backstop_does() {
    let mut objects: Vec<String> = ["tests/objects", "examples/firewall", "benches/programs", "benches/guest"]
        .iter()
        .flat_map(|folder| std::fs::read_dir(support::root().join(folder)).expect(folder))
        .map(|entry| entry.expect("an entry").path().display().to_string())
        .filter(|path| path.ends_with(".bpf.o"))
        // These do not open at all.
        .filter(|path| !path.ends_with("/big_endian.bpf.o") && !path.ends_with("/cleanup.bpf.o"))
        .collect();
    objects.sort();
    let inputs: Vec<&str> = objects.iter().map(String::as_str).collect();
    let lines = backstop(&[&["diff", "--json", "--libbpf"], inputs.as_slice()].concat()).ends(0).lines();
    let said = |line: &serde_json::Value| line["libbpf"].as_str().expect("a word of libbpf's").to_owned();
    if let Some(line) = lines.first().filter(|line| said(line).contains("not permitted")) {
        return eprintln!("skipped: {}", said(line));
    }
    let same = lines.iter().filter(|line| said(line) == "same").count();
    assert!(same >= 300, "{same} of {} programs were compared", lines.len());
    assert!(lines.iter().any(|line| said(line).contains("left out")));
    // Also through prog_arrays, maps of maps and global data.
    for (object, program) in [
        ("throw_tail.bpf.o", "main_to_callback"),
        ("maps_inner.bpf.o", "array_of_maps"),
        ("throw.bpf.o", "mixed_deep"),
        ("many.bpf.o", "weak_kfunc_present"),
        ("many.bpf.o", "weak_kfunc_absent"),
    ] {
        let of = |line: &&serde_json::Value| {
            line["program"] == program && line["input"].as_str().is_some_and(|path| path.ends_with(object))
        };
        let line = lines.iter().find(of).unwrap_or_else(|| panic!("no {program} in {object}"));
        assert_eq!(said(line), "same", "{line}");
    }
}
