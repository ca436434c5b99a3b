//! The IR's text, as the engines' authors read it: unproven code, so that each form can be written down directly.

use std::sync::Arc;

use backstop_ir::{FuncId, Ir, LowerError, Role, Term, Unproven, lower_unproven};
use backstop_isa::{Instr, Slot, assemble, encode_all};
use backstop_model::{BuiltinKfunc, MapKind, MapSpec, ProgKind, ProgType, Program, kfuncs};

fn program(slots: Vec<Slot>) -> Arc<Program> {
    let map = MapSpec::new("counts", MapKind::Array, 4, 64, 8);
    let throw = kfuncs::builtin(BuiltinKfunc::Throw).expect("a built-in kfunc");
    Arc::new(Program {
        name: "entry".to_owned(),
        section: String::new(),
        kind: ProgKind::new(ProgType::RawMem),
        slots,
        maps: vec![Arc::new(map)],
        kfuncs: vec![throw],
        btf: None,
        func_info: Vec::new(),
        line_info: Vec::new(),
        poisoned: Vec::new(),
        license: String::new(),
    })
}

fn lowered(text: &str) -> Result<Ir<Unproven>, LowerError> {
    lower_unproven(&program(assemble(text).expect("text that can be assembled")))
}

fn check(text: &str, wanted: &str) {
    let ir = lowered(text).expect("a program that can be lowered");
    ir.check().expect("IR that keeps its invariants");
    let trimmed =
        |text: &str| text.lines().map(str::trim).filter(|l| !l.is_empty()).map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(trimmed(&ir.to_string()), trimmed(wanted), "made:\n{ir}");
}

#[test]
fn arithmetic() {
    check(
        "r0 = r1
         w2 = 7
         r0 += r2
         w0 s/= -3
         r0 s>>= 4
         r0 = -r0
         r3 = (s16)r0
         w3 = (s8)w0
         r0 = be32 r0
         r0 = bswap64 r0
         r4 = 0x123456789abcdef0 ll
         exit",
        "func f0 entry (main, stack 512)
         b0:
         r0 = mov.64 r1
         r2 = mov.32 7
         r0 = add.64 r0, r2
         r0 = sdiv.32 r0, -3
         r0 = arsh.64 r0, 4
         r0 = neg.64 r0
         r3 = movsx.64 s16 r0
         r3 = movsx.32 s8 r0
         r0 = be32 r0
         r0 = bswap64 r0
         r4 = const 0x123456789abcdef0
         return",
    );
}

#[test]
fn memory_maps_and_calls() {
    check(
        "r2 = *(s8 *)(r1 + 3)
         r2 = *(u64 *)(r1 - 8)
         *(u16 *)(r10 - 2) = r2
         *(u32 *)(r10 - 8) = -1
         lock *(u64 *)(r10 - 8) += r2
         r1 = map[0] ll
         r3 = map[0][16] ll
         r2 = r10
         call 1
         exit",
        "func f0 entry (main, stack 512)
         b0:
         r2 = load.s8 unknown[r1+3]
         r2 = load.u64 unknown[r1-8]
         store.16 unknown[r10-2], r2
         store.32 unknown[r10-8], -1
         atomic_add.64 unknown[r10-8], r2
         r1 = map counts
         r3 = map_value counts+16
         r2 = mov.64 r10
         r0 = call bpf_map_lookup_elem
         return",
    );
}

#[test]
fn blocks_begin_at_targets_and_after_jumps() {
    check(
        "r0 = 0
         again: may_goto out
         r0 += 1
         if w0 s< 10 goto again
         if r0 & 1 goto +0
         goto again
         out: exit",
        "func f0 entry (main, stack 512, may_goto)
         b0:
         r0 = mov.64 0
         jump b1
         b1:
         may_goto b5 : b2
         b2:
         r0 = add.64 r0, 1
         branch.32 r0 s< 10 ? b1 : b3
         b3:
         jump b4
         b4:
         jump b1
         b5:
         return",
    );
}

#[test]
fn a_throw_ends_its_block_and_makes_a_boundary() {
    check(
        "call sub
         exit
         sub: r1 = 5
         call kfunc#0
         exit",
        "func f0 entry (main, boundary, stack 512)
         b0:
         r0 = call f1
         return
         func f1 subprog_1 (subprogram, stack 512)
         b0:
         r1 = mov.64 5
         throw r1
         unreachable
         func f2 <exception callback> (exception callback, stack 0)
         b0:
         r0 = mov.64 r1
         return",
    );
}

#[test]
fn a_tail_call_goes_on_where_it_fails() {
    check(
        "r2 = map[0] ll
         r3 = 1
         call 12
         r0 = 2
         exit",
        "func f0 entry (main, stack 512)
         b0:
         r2 = map counts
         r3 = mov.64 1
         tail_call
         r0 = mov.64 2
         return",
    );
}

#[test]
fn ids_lead_back_to_slots() {
    let ir = lowered("r4 = 1 ll\nr0 = 3\ncall sub\nexit\nsub: r0 = 1\nexit").expect("a program that can be lowered");
    let slots: Vec<_> = ir.funcs()[0].blocks[0].ops.iter().map(|op| ir.position(op.id).and_then(|p| p.slot)).collect();
    assert_eq!(slots, [Some(0), Some(2), Some(3)]);
    let term = ir.funcs()[1].blocks[0].term_id;
    let position = ir.position(term).expect("every terminator has a position");
    assert_eq!((position.slot, position.func, position.inlined_at), (Some(6), FuncId(1), None));
    assert_eq!(ir.op_count(), term.0 + 1);
}

#[test]
fn functions_know_what_they_write_and_who_calls_them() {
    let text = "r6 = 0\nr2 = func +4 ll\nr8 = *(u64 *)(r10 - 8)\nr0 = 0\nexit\nr9 = 1\nr0 = 0\nexit";
    let ir = lowered(text).expect("a program that can be lowered");
    let [main, callback] = ir.funcs() else { panic!("two functions") };
    assert_eq!(main.writes, [true, false, true, false]);
    assert_eq!(callback.writes, [false, false, false, true]);
    assert_eq!(callback.role, Role::Subprogram { callback: true });
    assert_eq!(ir.exception_callback(), None);
    assert_eq!(callback.blocks[0].term, Term::Return);
}

#[test]
fn what_leaves_its_function_is_refused() {
    assert_eq!(lowered("r0 = 0\ngoto +5\nexit").err(), Some(LowerError::BadTarget { slot: 1, target: 7 }));
    assert_eq!(lowered("r0 = 0").err(), Some(LowerError::RunsOff { slot: 0 }));
    assert_eq!(lowered("call +7\nexit").err(), Some(LowerError::BadTarget { slot: 0, target: 8 }));
    let split = lowered("if r1 == 0 goto +1\nr2 = 1 ll\nexit").err();
    assert_eq!(split, Some(LowerError::BadTarget { slot: 0, target: 2 }));
    let across = lowered("call +1\nexit\nif r1 == 0 goto -2\nexit").err();
    assert_eq!(across, Some(LowerError::BadTarget { slot: 2, target: 1 }));
    assert_eq!(lower_unproven(&program(Vec::new())).err(), Some(LowerError::Empty));
    for write in ["r10 = 1", "w10 += w2", "r10 = *(u64 *)(r1 + 0)", "r10 = 1 ll", "r10 = xchg_64(r1 + 0, r10)"] {
        let text = format!("r0 = 0\n{write}\nexit");
        assert_eq!(lowered(&text).err(), Some(LowerError::FramePointer { slot: 1 }), "{text}");
    }
    assert!(lowered("*(u64 *)(r10 - 8) = r10\nr1 = r10\nr0 = 0\nexit").is_ok());
    let map = lowered("r1 = map[3] ll\nexit").err();
    assert_eq!(map, Some(LowerError::BadIndex { slot: 0, table: "map", index: 3 }));
    let helper = lower_unproven(&program(encode_all(&[Instr::CallHelper { id: -1 }, Instr::Exit]))).err();
    assert_eq!(helper, Some(LowerError::BadIndex { slot: 0, table: "helper", index: -1 }));
}
