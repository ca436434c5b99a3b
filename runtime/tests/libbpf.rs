//! What libbpf does around a load decides with the verifier whether a program gets into Linux: tests/libbpf/*.bpf.c, judged
//! with `compat_linux` as libbpf 1.7 with Linux 6.18 judges them, and without.

mod common;

use backstop::{Config, Engine, EngineChoice, Linker, LoadError};

/// The last line of the verifier's refusal, the error of what did not get that far, or nothing if it is taken.
fn judged(compat: bool, object: &str, program: &str) -> Option<String> {
    let config = Config::new().engine(EngineChoice::Interpreter).compat_linux(compat);
    let engine = Engine::new(config).expect("an engine");
    let path = common::root().join("tests/libbpf").join(object);
    let object = engine.open_file(path).expect("an object");
    match object.verify(&Linker::<()>::new(&engine), program) {
        Ok(_) => None,
        Err(LoadError::Refused { refusal, .. }) => refusal.reason.kernel_text().lines().last().map(str::to_owned),
        Err(error) => Some(error.to_string()),
    }
}

#[track_caller]
fn refused(compat: bool, object: &str, program: &str, text: &str) {
    let said = judged(compat, object, program).expect("a refusal");
    assert!(said.contains(text), "{object} {program}: {said}");
}

#[test]
fn a_map_whose_kind_may_not_have_the_fields_of_its_value_has_no_types() {
    assert_eq!(judged(true, "untyped_map.bpf.o", "reads"), None);
    refused(true, "untyped_map.bpf.o", "locks", "map 'recent' has to have BTF in order to use bpf_spin_lock");
    refused(false, "untyped_map.bpf.o", "reads", "map 'recent' cannot be made");
}

#[test]
fn a_program_whose_types_the_kernel_refuses_has_none() {
    assert_eq!(judged(true, "untyped_program.bpf.o", "reads"), None);
    refused(true, "untyped_program.bpf.o", "allocates", "bpf_obj_new/bpf_percpu_obj_new requires prog BTF");
    refused(false, "untyped_program.bpf.o", "reads", "its special fields make no object");
}

#[test]
fn a_section_with_a_lock_that_others_see_keeps_all_programs_out() {
    refused(true, "mapped_lock.bpf.o", "does_nothing", "make its variables static or `__hidden`");
    assert_eq!(judged(false, "mapped_lock.bpf.o", "does_nothing"), None);
}

#[test]
fn a_map_that_cannot_be_made_keeps_all_programs_out() {
    refused(true, "impossible_map.bpf.o", "does_nothing", "key_size is 4");
    refused(true, "impossible_map.bpf.o", "pops", "key_size is 4");
    assert_eq!(judged(false, "impossible_map.bpf.o", "does_nothing"), None);
}

#[test]
fn variables_in_an_arena_want_one() {
    let engine = Engine::new(Config::new()).expect("an engine");
    let error = engine.open_file(common::root().join("tests/libbpf/no_arena.bpf.o")).expect_err("no arena").to_string();
    assert!(error.contains("`.addr_space.1`") && error.contains("declare a map of type BPF_MAP_TYPE_ARENA"), "{error}");
}
