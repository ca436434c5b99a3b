//! What a refusal tells people: reason, source line, the path that led there and what helps.
//!
//! Each golden text stands beside the program that makes it; `BACKSTOP_BLESS=1` prints what it is now.

use std::path::Path;
use std::sync::Arc;

use backstop_isa::assemble;
use backstop_model::{MapKind, MapSpec, ProgKind, ProgType, Program};
use backstop_object::{Object, StandardEnv};
use backstop_verifier::{Options, Refusal, verify};

fn refusal_of(program: Program) -> (Refusal, Program) {
    let shared = Arc::new(program.clone());
    match verify(shared, &Options::default()) {
        Ok(_) => panic!("program `{}` was accepted", program.name),
        Err(refusal) => (*refusal, program),
    }
}

fn from_object(object: &str, name: &str) -> Program {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/objects").join(object);
    let bytes = std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let object = Object::parse(&bytes, object).expect("the object opens");
    let env = StandardEnv::new([]).expect("built-in types");
    object.link(name, &env).expect("the program links").program
}

fn map(kind: MapKind, value_size: u32) -> Arc<MapSpec> {
    Arc::new(MapSpec::new("m", kind, 4, value_size, 1))
}

fn from_text(ty: ProgType, text: &str) -> Program {
    Program {
        name: "main".into(),
        section: String::new(),
        kind: ProgKind::new(ty),
        slots: assemble(text).expect("the text assembles"),
        maps: vec![map(MapKind::Hash, 64)],
        kfuncs: Vec::new(),
        btf: None,
        func_info: Vec::new(),
        line_info: Vec::new(),
        poisoned: Vec::new(),
        license: "GPL".into(),
    }
}

fn check(program: Program, name: &str) {
    let (refusal, program) = refusal_of(program);
    let text = refusal.render(&program) + "\n";
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name).with_extension("txt");
    if std::env::var_os("BACKSTOP_BLESS").is_some() {
        std::fs::write(&path, &text).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    assert_eq!(text, expected, "{name} differs; BACKSTOP_BLESS=1 takes the new text:\n{text}");
}

/// Lookup of the only element, into r0; may be NULL.
const LOOKUP: &str = "*(u32 *)(r10 - 4) = 0\nr2 = r10\nr2 += -4\nr1 = map[0] ll\ncall 1\n";

#[test]
fn assembler_programs() {
    for (name, ty, text) in [
        ("maybe_null", ProgType::Xdp, format!("{LOOKUP}r0 = *(u64 *)(r0 + 0)\nexit")),
        (
            "index_without_bound",
            ProgType::Xdp,
            format!(
                "call 7\nr6 = r0\n{LOOKUP}if r0 == 0 goto out\nif r6 > 64 goto out\nr0 += r6\n\
                 r0 = *(u8 *)(r0 + 0)\nout: r0 = 0\nexit"
            ),
        ),
        ("not_set", ProgType::Xdp, "r0 = r5\nexit".into()),
        ("lost_by_call", ProgType::Xdp, "r1 = 1\ncall 7\nr0 = r1\nexit".into()),
        ("result_range", ProgType::CgroupSkb, "r0 = 7\nexit".into()),
        ("endless", ProgType::Xdp, "r0 = 0\nloop: if r0 != 1 goto loop\nexit".into()),
        ("stack_outside", ProgType::Xdp, "*(u64 *)(r10 - 520) = 0\nr0 = 0\nexit".into()),
        ("unreachable", ProgType::Xdp, "r0 = 0\nexit\nr0 = 1\nexit".into()),
        ("pointer_product", ProgType::Xdp, "r10 = 1\nexit".into()),
        ("helper_denied", ProgType::Xdp, "r2 = 0\nr3 = 0\nr4 = 0\nr5 = 0\ncall 9\nexit".into()),
        ("context_field", ProgType::Xdp, "r0 = *(u16 *)(r1 + 16)\nexit".into()),
        ("negative_length", ProgType::Xdp, {
            format!(
                "call 7\nr6 = r0\n{LOOKUP}if r0 == 0 goto out\nr1 = r0\nr2 = r6\nr3 = 0\nr4 = 0\nr5 = 0\ncall 28\nout: r0 = 0\nexit"
            )
        }),
    ] {
        check(from_text(ty, &text), name);
    }
}

#[test]
fn programs_with_source_lines() {
    for (name, object, program) in [
        ("packet_not_compared", "ctx.bpf.o", "xdp_checked_short"),
        ("packet_written", "ctx.bpf.o", "cgroup_packet_written"),
        ("held_at_throw", "throw_reject.bpf.o", "held_record_below"),
        ("cookie_range", "throw_reject.bpf.o", "cookie_out_of_range_in_sub"),
        ("throw_in_callback", "throw_reject.bpf.o", "callback_loop_calls"),
        ("throw_under_lock", "throw_reject.bpf.o", "held_lock_static"),
        ("global_throws", "throw_holes.bpf.o", "hole_rcu"),
        ("unresolved_field", "core.bpf.o", "field_unresolved"),
    ] {
        check(from_object(object, program), name);
    }
}

#[test]
fn the_kernels_form_ends_with_the_counts() {
    let (refusal, _) = refusal_of(from_text(ProgType::Xdp, "r0 = r5\nexit"));
    let text = refusal.kernel_format();
    let expected = "R5 !read_ok\nprocessed 1 insns (limit 1000000) max_states_per_insn 0 total_states 0 peak_states 0 mark_read 0\n";
    assert_eq!(text, expected);
}
