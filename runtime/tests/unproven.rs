//! Programs that nobody proved, on the checked interpreter: each rule that they may break, and that those who keep to the rules run.

mod common;

use std::sync::Arc;

use backstop::isa::assemble;
use backstop::model::{
    BuiltinKfunc, HostContext, HostField, MAP_F_RDONLY_PROG, MAP_F_WRONLY_PROG, MapKind, MapSpec, ProgKind, ProgType,
    Program as Linked, kfuncs,
};
use backstop::{
    Config, Engine, EngineChoice, Exit, Fault, FaultReason, Input, Linker, LoadError, RunError, Store, UnprovenProgram,
};

const FUEL: u64 = 10_000;

fn map(name: &str, kind: MapKind, flags: u32) -> Arc<MapSpec> {
    let (key_size, value_size) = if kind == MapKind::ProgArray { (4, 4) } else { (4, 12) };
    let frozen = flags & MAP_F_RDONLY_PROG != 0;
    Arc::new(MapSpec {
        flags,
        initial: frozen.then(|| Arc::from(&b"text\0no end."[..])),
        frozen,
        ..MapSpec::new(name, kind, key_size, value_size, if frozen { 1 } else { 4 })
    })
}

/// Maps 0 array, 1 hash, 2 read-only, 3 write-only, 4 prog_array; kfunc 0 throws, 1 to 3 are the numbers iterator.
fn linked(text: &str, kind: ProgKind) -> Linked {
    let kfunc = |kfunc| kfuncs::builtin(kfunc).expect("a built-in kfunc");
    Linked {
        name: "test".to_owned(),
        section: String::new(),
        kind,
        slots: assemble(text).expect("text that can be assembled"),
        maps: vec![
            map("array", MapKind::Array, 0),
            map("hash", MapKind::Hash, 0),
            map("text", MapKind::Array, MAP_F_RDONLY_PROG),
            map("written", MapKind::Array, MAP_F_WRONLY_PROG),
            map("programs", MapKind::ProgArray, 0),
        ],
        kfuncs: [
            BuiltinKfunc::Throw,
            BuiltinKfunc::IterNumNew,
            BuiltinKfunc::IterNumNext,
            BuiltinKfunc::IterNumDestroy,
        ]
        .map(kfunc)
        .into(),
        btf: None,
        func_info: Vec::new(),
        line_info: Vec::new(),
        poisoned: Vec::new(),
        license: "GPL".to_owned(),
    }
}

fn raw(len: u32) -> ProgKind {
    ProgKind { memory_len: len, ..ProgKind::new(ProgType::RawMem) }
}

/// Any engine's linker will do: it is the checked interpreter that runs these.
fn engine() -> Engine {
    Engine::new(Config::new().engine(EngineChoice::Interpreter)).expect("an engine")
}

fn load(text: &str, kind: ProgKind) -> Result<UnprovenProgram<()>, LoadError> {
    UnprovenProgram::new(&Linker::new(&engine()), linked(text, kind))
}

/// Runs over 16 bytes, 1 to 16.
fn run(text: &str) -> Result<Exit, RunError> {
    let engine = engine();
    let program = UnprovenProgram::new(&Linker::<()>::new(&engine), linked(text, raw(16)));
    let program = program.unwrap_or_else(|e| panic!("{e}\n{text}"));
    let mut memory: Vec<u8> = (1..=16).collect();
    program.run(&mut Store::new(&engine, ()), Input::Memory(&mut memory), FUEL)
}

fn value(text: &str) -> u64 {
    match run(text) {
        Ok(Exit::Returned(value)) => value,
        other => panic!("{other:?}\n{text}"),
    }
}

fn fault(text: &str) -> Fault {
    match run(text) {
        Err(RunError::Fault { fault, .. }) => *fault,
        other => panic!("{other:?}\n{text}"),
    }
}

/// Slot and rule of the fault.
fn breaks(text: &str, slot: u32, reason: FaultReason) {
    let fault = fault(text);
    assert_eq!((fault.slot, fault.reason), (Some(slot), reason), "{fault}\n{text}");
}

fn outside(text: &str, slot: u32) {
    breaks(text, slot, FaultReason::Outside);
}

#[test]
fn programs_that_keep_to_the_rules_run() {
    assert_eq!(value("r0 = *(u32 *)(r1 + 12)\nr0 += r2\nexit"), 0x100f_0e0d + 16);
    assert_eq!(value("r6 = r1\ncall sub\nr3 = *(u8 *)(r6 + 2)\nr0 += r3\nexit\nsub: r0 = *(u8 *)(r1 + 1)\nexit"), 5);
    // What the verifier refuses: a loop whose end it can't see, a pointer made from a number that happens to be right.
    assert_eq!(
        value("r0 = 0\nagain: r3 = *(u8 *)(r1 + 0)\nr1 += 1\nr0 += r3\nr2 -= 1\nif r2 != 0 goto again\nexit"),
        136
    );
    assert_eq!(value("r1 *= 2\nr1 >>= 1\nr0 = *(u8 *)(r1 + 15)\nexit"), 16);
    assert_eq!(value("r3 = 7\n*(u64 *)(r10 - 8) = r3\nr0 = r10\nr0 = *(u64 *)(r0 - 8)\nexit"), 7);
}

#[test]
fn memory_ends_where_it_ends() {
    outside("r0 = *(u8 *)(r1 + 16)\nexit", 0);
    outside("r0 = *(u32 *)(r1 + 13)\nexit", 0);
    outside("*(u8 *)(r1 - 1) = 0\nr0 = 0\nexit", 0);
    outside("r3 = 0\nr0 = *(u64 *)(r3 + 0)\nexit", 1);
    outside("r3 = -1\nr0 = *(u64 *)(r3 + 0)\nexit", 1);
    outside("r3 = -8\n*(u64 *)(r3 + 0) = 1\nr0 = 0\nexit", 1);
    outside("r3 = 1\nlock *(u64 *)(r1 + 9) += r3\nr0 = 0\nexit", 1);
}

#[test]
fn a_fault_names_instruction_access_and_the_nearest_region() {
    let text = fault("r0 = 0\nr0 = *(u32 *)(r1 + 14)\nexit").to_string();
    assert!(text.starts_with("instruction 1: read of 4 bytes at 0x"), "{text}");
    assert!(text.ends_with("the nearest region is the memory of 16 bytes, in which this is offset 14"), "{text}");
    let text = fault("*(u8 *)(r10 - 513) = 1\nr0 = 0\nexit").to_string();
    assert!(
        text.contains("write of 1 byte at") && text.contains("the stack of 512 bytes, in which this is offset -1"),
        "{text}"
    );
}

#[test]
fn the_stack_is_512_bytes_and_read_only_where_written() {
    outside("r0 = *(u8 *)(r10 + 0)\nexit", 0);
    outside("*(u64 *)(r10 - 4) = 1\nr0 = 0\nexit", 0);
    outside("*(u64 *)(r10 - 520) = 1\nr0 = 0\nexit", 0);
    breaks("r0 = *(u64 *)(r10 - 8)\nexit", 0, FaultReason::UnwrittenStack(-8));
    breaks("*(u32 *)(r10 - 8) = 1\nr0 = *(u64 *)(r10 - 8)\nexit", 1, FaultReason::UnwrittenStack(-4));
    breaks("r0 = 1\nlock *(u64 *)(r10 - 16) += r0\nexit", 1, FaultReason::UnwrittenStack(-16));
    assert_eq!(value("*(u32 *)(r10 - 512) = 5\nr0 = *(u32 *)(r10 - 512)\nexit"), 5);
}

#[test]
fn a_frame_is_gone_when_its_function_has_returned() {
    outside("call sub\nr0 = *(u64 *)(r0 + 0)\nexit\nsub: *(u64 *)(r10 - 8) = 5\nr0 = r10\nr0 += -8\nexit", 1);
    // A second call does not see what the first one wrote.
    let text = "r1 = 1\ncall sub\nr1 = 0\ncall sub\nexit\nsub: if r1 == 0 goto read\n*(u64 *)(r10 - 8) = 5\nr0 = 0\nexit\nread: r0 = *(u64 *)(r10 - 8)\nexit";
    breaks(text, 9, FaultReason::UnwrittenStack(-8));
    // A caller's frame can be reached from its callee.
    assert_eq!(value("*(u64 *)(r10 - 8) = 6\nr1 = r10\ncall sub\nexit\nsub: r0 = *(u64 *)(r1 - 8)\nexit"), 6);
}

#[test]
fn registers_are_written_before_they_are_read() {
    breaks("r0 = r3\nexit", 0, FaultReason::UnwrittenRegister(3));
    breaks("exit", 0, FaultReason::UnwrittenRegister(0));
    breaks("r0 ^= r0\nexit", 0, FaultReason::UnwrittenRegister(0));
    breaks("*(u64 *)(r10 - 8) = r7\nr0 = 0\nexit", 0, FaultReason::UnwrittenRegister(7));
    breaks("if r4 > 5 goto +0\nr0 = 0\nexit", 0, FaultReason::UnwrittenRegister(4));
    breaks("call 5\nr0 = r1\nexit", 1, FaultReason::UnwrittenRegister(1));
    breaks("r1 = map[0] ll\nr2 = r10\ncall 2\nexit", 3, FaultReason::UnwrittenRegister(3));
    breaks("r6 = 1\ncall sub\nexit\nsub: r0 = r6\nexit", 3, FaultReason::UnwrittenRegister(6));
    breaks("call sub\nr0 = r2\nexit\nsub: r0 = 0\nexit", 1, FaultReason::UnwrittenRegister(2));
    breaks("call sub\nexit\nsub: goto +0\nexit", 1, FaultReason::UnwrittenRegister(0));
    // cmpxchg compares with r0.
    breaks("r3 = 1\nr0 = cmpxchg_64(r1 + 0, r0, r3)\nexit", 1, FaultReason::UnwrittenRegister(0));
}

#[test]
fn programs_that_write_the_frame_pointer_are_not_loaded() {
    // Not even where no path leads.
    for text in [
        "r10 += -8\nr0 = 0\nexit",
        "r0 = 0\nexit\nr10 = r1\nexit",
        "r1 = 1\nlock *(u64 *)(r10 - 8) += r1\nr10 = r1\nexit",
    ] {
        let error = load(text, raw(8)).expect_err("a refusal").to_string();
        assert!(error.contains("r10, the frame pointer, is read-only"), "{error}");
    }
}

#[test]
fn endless_programs_run_out_of_instructions() {
    for text in [
        "again: goto again",
        "again: r0 = 1\nif r0 != 0 goto again\nexit",
        "r0 = 0\nagain: may_goto out\ngoto again\nout: exit",
    ] {
        let error = run(text).expect_err("an end");
        assert!(matches!(error, RunError::OutOfFuel { fuel: FUEL, .. }), "{error}");
    }
    // Each instruction counts: 3 rounds of 2, and 2 more.
    let engine = engine();
    let text = "r0 = 3\nagain: r0 -= 1\nif r0 != 0 goto again\nexit";
    let program = UnprovenProgram::new(&Linker::<()>::new(&engine), linked(text, raw(0))).expect("a program");
    let run = |fuel| program.run(&mut Store::new(&engine, ()), Input::None, fuel);
    assert!(matches!(run(7), Err(RunError::OutOfFuel { .. })));
    assert!(matches!(run(8), Ok(Exit::Returned(0))));
}

#[test]
fn recursion_ends_with_the_stack() {
    let error = run("call again\nexit\nagain: call again\nexit").expect_err("an end");
    assert!(matches!(error, RunError::StackExhausted { .. }), "{error}");
    // Through native code, level in level.
    let text = "r1 = 1\nr2 = func body ll\nr3 = 0\nr4 = 0\ncall 181\nexit\nbody: r1 = 1\nr2 = func body ll\nr3 = 0\nr4 = 0\ncall 181\nexit";
    let error = run(text).expect_err("an end");
    assert!(matches!(error, RunError::StackExhausted { .. }), "{error}");
}

#[test]
fn what_leaves_the_code_is_not_loaded() {
    for (text, why) in [
        ("r0 = 0", "runs off the end"),
        ("r0 = 0\nif r0 == 0 goto -2", "runs off the end"),
        ("goto +5\nexit", "jump to 6"),
        ("goto +1\nr0 = 5 ll\nexit", "jump to 2"),
        ("call +9\nexit", "jump to 10"),
        ("call 9999\nexit", "instruction 0 calls helper 9999, which does not exist"),
        ("r0 = 1\ncall 26\nexit", "instruction 1 calls bpf_skb_load_bytes, which RawMem programs may not call"),
        ("call kfunc#17\nexit", "kfunc 17 does not exist"),
        ("r1 = map[7] ll\nr0 = 0\nexit", "map 7 does not exist"),
        ("r1 = map_fd[3] ll\nr0 = 0\nexit", "a map named by file descriptor"),
        ("exit\n.slot 0xff, 0, 0, 0, 0", "instruction 1"),
        ("r1 = 0\ncall 4\nr0 = 0\nexit", "bpf_probe_read"),
    ] {
        match load(text, raw(0)) {
            Err(error @ LoadError::Unproven { .. }) => assert!(error.to_string().contains(why), "{error}: {why}"),
            other => panic!("{other:?}: {text}"),
        }
    }
    let packets = load("r0 = 0\nexit", ProgKind::new(ProgType::Xdp)).expect_err("a packet program");
    assert!(packets.to_string().contains("not Xdp"), "{packets}");
}

/// Text that looks up key 1 of a map and goes on with the value's address in r0.
fn lookup(map: u32) -> String {
    format!("*(u32 *)(r10 - 4) = 1\nr2 = r10\nr2 += -4\nr1 = map[{map}] ll\ncall 1\n")
}

#[test]
fn map_values_are_exact() {
    let found = lookup(0);
    assert_eq!(value(&format!("{found}*(u32 *)(r0 + 8) = 3\nr0 = *(u32 *)(r0 + 8)\nexit")), 3);
    // The next element begins 16 bytes on, but nobody handed it out.
    outside(&format!("{found}r0 = *(u32 *)(r0 + 12)\nexit"), 6);
    outside(&format!("{found}r0 = *(u32 *)(r0 + 16)\nexit"), 6);
    outside(&format!("{found}r0 = *(u32 *)(r0 - 4)\nexit"), 6);
    // Nothing in the hash map: NULL.
    outside(&format!("{}r0 = *(u8 *)(r0 + 0)\nexit", lookup(1)), 6);
    // Values that are named without a lookup.
    assert_eq!(value("r1 = map[0][4] ll\n*(u64 *)(r1 + 0) = 9\nr0 = *(u64 *)(r1 + 0)\nexit"), 9);
    outside("r1 = map[0][4] ll\nr0 = *(u64 *)(r1 + 8)\nexit", 2);
    // The map itself is no memory.
    outside("r1 = map[0] ll\nr0 = *(u8 *)(r1 + 0)\nexit", 2);
    // Beyond the value: no address.
    outside("r1 = map[0][12] ll\nr0 = *(u8 *)(r1 + 0)\nexit", 2);
}

#[test]
fn rights_of_maps_hold() {
    assert_eq!(value("r1 = map[2][1] ll\nr0 = *(u8 *)(r1 + 0)\nexit"), u64::from(b'e'));
    breaks("r1 = map[2][0] ll\n*(u8 *)(r1 + 0) = 1\nr0 = 0\nexit", 2, FaultReason::ReadOnly);
    breaks("r1 = map[3][0] ll\nr0 = *(u8 *)(r1 + 0)\nexit", 2, FaultReason::WriteOnly);
    assert_eq!(value("r1 = map[3][0] ll\n*(u8 *)(r1 + 0) = 1\nr0 = 0\nexit"), 0);
}

#[test]
fn arguments_of_helpers_are_what_they_take() {
    let argument = |n, what| FaultReason::Argument(n, what);
    breaks("r1 = 5\nr2 = r10\ncall 1\nexit", 2, argument(1, "it is no map of the program's"));
    breaks("r1 = map[4] ll\nr2 = r10\ncall 1\nexit", 3, argument(1, "the helper does not take maps of this kind"));
    outside("r1 = map[0] ll\nr2 = 64\ncall 1\nexit", 3);
    breaks("r1 = map[0] ll\nr2 = r10\nr2 += -4\ncall 1\nexit", 4, FaultReason::UnwrittenStack(-4));
    // An update reads 12 bytes of value.
    outside("*(u64 *)(r10 - 8) = 1\nr1 = map[0] ll\nr2 = r10\nr2 += -8\nr3 = r2\nr4 = 0\ncall 2\nexit", 7);
    // bpf_get_current_comm fills: that counts as written.
    assert_eq!(value("r1 = r10\nr1 += -16\nr2 = 16\ncall 16\nr0 = *(u8 *)(r10 - 1)\nexit"), 0);
    outside("r1 = r10\nr1 += -16\nr2 = 17\ncall 16\nexit", 3);
    breaks("r1 = r10\nr1 += -16\nr2 = 0\ncall 16\nexit", 3, argument(2, "the length is 0"));
    outside("r1 = r10\nr1 += -16\nr2 = -1\ncall 16\nexit", 3);
    // bpf_strncmp wants a constant text that ends.
    let compare = |second: &str| format!("*(u32 *)(r10 - 4) = 0\nr1 = r10\nr1 += -4\nr2 = 4\n{second}\ncall 182\nexit");
    assert_eq!(value(&compare("r3 = map[2][4] ll")), 0);
    breaks(&compare("r3 = map[2][5] ll"), 6, argument(3, "the text has no end"));
    breaks(&compare("r3 = r1"), 5, argument(3, "it is no text in a read-only map"));
    breaks(&compare("r3 = map[0][0] ll"), 6, argument(3, "it is no text in a read-only map"));
}

#[test]
fn kfuncs_get_memory_only() {
    let sum = "r1 = r10\nr1 += -8\nr2 = 3\nr3 = 6\ncall kfunc#1\nr6 = 0\nagain: r1 = r10\nr1 += -8\ncall kfunc#2\nif r0 == 0 goto out\nr0 = *(u32 *)(r0 + 0)\nr6 += r0\ngoto again\nout: r0 = r6\nexit";
    assert_eq!(value(sum), 12);
    outside("r1 = r10\nr2 = 3\nr3 = 6\ncall kfunc#1\nexit", 3);
    outside("r1 = 4096\ncall kfunc#2\nexit", 1);
    breaks("r1 = r10\nr1 += -8\nr2 = 3\ncall kfunc#1\nexit", 3, FaultReason::UnwrittenRegister(3));
}

#[test]
fn callbacks_are_functions_of_the_program() {
    let looped = "r1 = 5\nr2 = func body ll\nr3 = r10\nr3 += -8\n*(u64 *)(r3 + 0) = 0\nr4 = 0\ncall 181\nr0 = *(u64 *)(r10 - 8)\nexit\nbody: r3 = *(u64 *)(r2 + 0)\nr3 += r1\n*(u64 *)(r2 + 0) = r3\nr0 = 0\nexit";
    assert_eq!(value(looped), 10);
    let rule = |text: &str, what| breaks(text, 4, FaultReason::Rule(what));
    rule("r1 = 1\nr2 = 77\nr3 = 0\nr4 = 0\ncall 181\nexit", "a callback that is none of the program's");
    // A walk over a map hands key and value out, the key to be read only.
    let walk = |body: &str| {
        format!("r1 = map[0] ll\nr2 = func body ll\nr3 = 0\nr4 = 0\ncall 164\nexit\nbody: {body}\nr0 = 0\nexit")
    };
    assert_eq!(value(&walk("r1 = *(u32 *)(r2 + 0)\n*(u32 *)(r3 + 8) = r1")), 4);
    breaks(&walk("*(u32 *)(r2 + 0) = 1"), 8, FaultReason::ReadOnly);
    outside(&walk("*(u32 *)(r3 + 9) = 1"), 8);
    breaks(&walk("r0 = 0\ngoto +0").replace("r0 = 0\ngoto +0\nr0 = 0", "r6 = 0"), 9, FaultReason::UnwrittenRegister(0));
}

#[test]
fn throws_are_caught() {
    let thrown = run("r1 = 5\ncall sub\nexit\nsub: *(u64 *)(r10 - 8) = r1\ncall kfunc#0").expect("an exit");
    assert!(matches!(thrown, Exit::Thrown { cookie: 5, value: 5, .. }), "{thrown:?}");
    let text = "r1 = 1\nr2 = func body ll\nr3 = 0\nr4 = 0\ncall 181\nexit\nbody: r1 = 1\ncall kfunc#0";
    breaks(text, 8, FaultReason::Rule("a throw in a callback"));
    breaks("r0 = 0\nif r0 == 0 goto +0\ncall 5\ncall kfunc#0", 3, FaultReason::UnwrittenRegister(1));
}

#[test]
fn tail_calls_hand_on_the_context() {
    let call = |r1: &str, map: u32| format!("{r1}\nr2 = map[{map}] ll\nr3 = 0\ncall 12\nr0 = 8\nexit");
    // An empty slot: the program goes on.
    assert_eq!(value(&call("r1 = r1", 4)), 8);
    breaks(&call("r1 += 1", 4), 4, FaultReason::Argument(1, "it is not the run's own context"));
    breaks(&call("r1 = r1", 0), 4, FaultReason::Argument(2, "the helper does not take maps of this kind"));
}

#[test]
fn fields_of_the_hosts_structs_have_their_rights() {
    let field = |name: &str, offset, writable| HostField { name: name.to_owned(), offset, size: 4, writable };
    let fields = vec![field("first", 0, false), field("second", 8, true)];
    let host = Some(Arc::new(HostContext { name: "test".to_owned(), size: 12, fields }));
    let kind = ProgKind { host, ..ProgKind::new(ProgType::Host) };
    let engine = engine();
    let run = |text: &str| {
        let program = UnprovenProgram::new(&Linker::<()>::new(&engine), linked(text, kind.clone())).expect("a program");
        program.run(&mut Store::new(&engine, ()), Input::Memory(&mut [7; 12]), FUEL)
    };
    let reason = |text: &str| match run(text) {
        Err(RunError::Fault { fault, .. }) => fault.reason,
        other => panic!("{other:?}"),
    };
    assert!(matches!(run("r0 = *(u8 *)(r1 + 3)\n*(u32 *)(r1 + 8) = 1\nexit"), Ok(Exit::Returned(7))));
    assert_eq!(reason("*(u8 *)(r1 + 1) = 1\nr0 = 0\nexit"), FaultReason::Field(1));
    assert_eq!(reason("r0 = *(u32 *)(r1 + 4)\nexit"), FaultReason::Field(4));
    assert_eq!(reason("r0 = *(u8 *)(r1 + 12)\nexit"), FaultReason::Outside);
    assert_eq!(reason("r0 = r2\nexit"), FaultReason::UnwrittenRegister(2));
}
