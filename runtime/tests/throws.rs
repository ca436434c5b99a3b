//! Exceptions: where a throw may stand, what the host gets to see of it, and what it must leave alone. Results and cookies of every
//! throwing object are in expectations.rs; here are backtraces, registers, callbacks' side effects and tail calls.

mod common;

use backstop::{Engine, Exit, Frame, Store};
use common::host::{self, Host};

/// Function and line of each frame.
fn functions(frames: &[Frame]) -> Vec<(&str, &str)> {
    frames.iter().map(|f| (f.function.as_str(), f.text.as_deref().unwrap_or("").trim())).collect()
}

/// The backtrace of a program that throws over 64 bytes that are zero but for these.
fn backtrace(engine: &Engine, object: &str, name: &str, patches: &[(usize, u8)]) -> Vec<Frame> {
    let loaded = common::load(engine, object, name);
    let program = loaded.program(name).expect("the program");
    let mut bytes = [0; 64];
    for &(offset, value) in patches {
        bytes[offset] = value;
    }
    let (exit, _) = common::run_over(&program, &mut Store::new(engine, ()), &bytes).unwrap_or_else(|e| panic!("{e}"));
    let Exit::Thrown { backtrace, .. } = exit else { panic!("{name} returned {exit:?}") };
    let frames = program.backtrace(&backtrace);
    assert_eq!(frames.len(), backtrace.len(), "{name}: frames without a name");
    frames
}

fn static_deep(last: usize, main: (&'static str, &'static str)) -> Vec<(String, String)> {
    deep("static", "bpf_throw(x + 1);", last, main)
}

fn global_deep(last: usize, main: (&'static str, &'static str)) -> Vec<(String, String)> {
    deep("global", "bpf_throw(x + 1);", last, main)
}

fn deep(kind: &str, throw: &str, last: usize, main: (&str, &str)) -> Vec<(String, String)> {
    let mut all = vec![(format!("{kind}_1"), throw.to_owned())];
    all.extend((2..=last).map(|n| (format!("{kind}_{n}"), format!("return {kind}_{}(x + 1) + 1;", n - 1))));
    all.push((main.0.to_owned(), main.1.to_owned()));
    all
}

fn expect_frames(engine: &Engine, object: &str, name: &str, patches: &[(usize, u8)], wanted: &[(String, String)]) {
    let frames = backtrace(engine, object, name, patches);
    let wanted: Vec<(&str, &str)> = wanted.iter().map(|(f, t)| (f.as_str(), t.as_str())).collect();
    assert_eq!(functions(&frames), wanted, "{name}");
    for frame in &frames {
        assert!(frame.file.as_deref().is_some_and(|f| f.ends_with(&object.replace(".o", ".c"))), "{frame:?}");
        assert!(frame.line.is_some() && frame.slot.is_some(), "{frame:?}");
    }
}

fn owned(frames: &[(&str, &str)]) -> Vec<(String, String)> {
    frames.iter().map(|(f, t)| ((*f).to_owned(), (*t).to_owned())).collect()
}

engines! {
    fn from_main(engine: &Engine) {
        let wanted = owned(&[("main_tc", "bpf_throw(17);")]);
        expect_frames(engine, "throw.bpf.o", "main_tc", &[], &wanted);
        expect_frames(engine, "throw.bpf.o", "main_xdp", &[], &owned(&[("main_xdp", "bpf_throw(2);")]));
        expect_frames(engine, "throw.bpf.o", "main_syscall", &[], &owned(&[("main_syscall", "bpf_throw(7);")]));
    }

    fn from_static_subprograms(engine: &Engine) {
        let object = "throw.bpf.o";
        expect_frames(engine, object, "static_deep_1", &[], &static_deep(1, ("static_deep_1", "return static_1(10) + 5;")));
        expect_frames(engine, object, "static_deep_3", &[], &static_deep(3, ("static_deep_3", "return static_3(10) + 5;")));
        expect_frames(engine, object, "static_deep_8", &[], &static_deep(7, ("static_deep_8", "return static_7(10) + 5;")));
    }

    fn from_global_subprograms(engine: &Engine) {
        let object = "throw.bpf.o";
        expect_frames(engine, object, "global_deep_1", &[], &global_deep(1, ("global_deep_1", "return global_1(10) + 5;")));
        expect_frames(engine, object, "global_deep_3", &[], &global_deep(3, ("global_deep_3", "return global_3(10) + 5;")));
        expect_frames(engine, object, "global_deep_8", &[], &global_deep(7, ("global_deep_8", "return global_7(10) + 5;")));
    }

    fn static_calls_global(engine: &Engine) {
        let wanted = owned(&[
            ("global_1", "bpf_throw(x + 1);"),
            ("global_2", "return global_1(x + 1) + 1;"),
            ("mixed_outer", "return global_2(x) + 3;"),
            ("mixed_deep", "return mixed_outer(20);"),
        ]);
        expect_frames(engine, "throw.bpf.o", "mixed_deep", &[], &wanted);
    }

    /// What follows the throw is removed, so that the call's return address is the next function's first byte.
    fn as_the_last_native_instruction(engine: &Engine) {
        let object = "throw.bpf.o";
        let thrower = ("ends_in_throw", "bpf_throw(x);");
        let call = "return ends_in_throw(x) + follows_at_once(x);";
        expect_frames(engine, object, "last_instruction", &[], &owned(&[thrower, ("last_instruction", call)]));
        expect_frames(engine, object, "last_is_call", &[], &owned(&[thrower, ("last_is_call", "return ends_in_throw(45);")]));
        let known = owned(&[("last_after_known_branch", "bpf_throw(46);")]);
        expect_frames(engine, object, "last_after_known_branch", &[], &known);
    }

    #[cfg(all(feature = "jit", target_arch = "x86_64", target_os = "linux"))]
    fn the_last_native_instruction_is_really_a_throw(engine: &Engine) {
        let loaded = common::load(engine, "throw.bpf.o", "last_instruction");
        let program = loaded.program("last_instruction").expect("the program");
        let Some(image) = program.image() else { return };
        let at_an_end = image.returns.iter().any(|(offset, _)| image.funcs.iter().any(|f| f.end == *offset));
        assert!(at_an_end, "no call ends its function: {:?} in {:?}", image.returns, image.funcs);
    }

    /// A tail call's target is the boundary from then on: main's frames are gone.
    fn over_tail_calls(engine: &Engine) {
        let object = "throw_tail.bpf.o";
        expect_frames(engine, object, "main_to_throwing", &[], &owned(&[("target_throws_16", "bpf_throw(16);")]));
        let deep = owned(&[
            ("deep_2", "bpf_throw(pad[0] + 1);"),
            ("deep_1", "return deep_2(x + 1) + 1;"),
            ("target_throws_deep", "return deep_1(60) + 1;"),
        ]);
        expect_frames(engine, object, "main_to_deep", &[], &deep);
        expect_frames(engine, object, "main_by_index", &[(20, 3)], &deep);
        // The inner throw came back as a value, the outer one is the run's.
        let outer = owned(&[("sub_throwing_then_main", "bpf_throw(sum);")]);
        expect_frames(engine, object, "sub_throwing_then_main", &[], &outer);
        expect_frames(engine, object, "main_to_sub_throwing", &[], &outer);
    }

    /// A backtrace is text of the author's: function, slot, file, line and the line's text.
    fn frames_are_readable(engine: &Engine) {
        let text: Vec<String> = backtrace(engine, "throw.bpf.o", "static_deep_1", &[]).iter().map(ToString::to_string).collect();
        let [throw, call] = text.as_slice() else { panic!("{text:#?}") };
        assert!(throw.starts_with("static_1 [") && throw.ends_with(": bpf_throw(x + 1);"), "{throw}");
        assert!(throw.contains("tests/objects/throw.bpf.c:"), "{throw}");
        assert!(call.starts_with("static_deep_1 [") && call.ends_with(": return static_1(10) + 5;"), "{call}");
    }

    /// A host's own struct and raw memory may throw in every mode.
    fn from_the_hosts_own_types(engine: &Engine) {
        let object = common::open(engine, "custom.bpf.o");
        let name = "throws_on_first_byte";
        let loaded = object.load_programs(&backstop::Linker::<()>::new(engine), &[name]).unwrap_or_else(|e| panic!("{e}"));
        let program = loaded.program(name).expect("the program");
        let mut store = Store::new(engine, ());
        let mut bytes = vec![0; 64];
        let returned = program.run(&mut store, (&mut bytes).into()).expect("a run");
        assert_eq!((common::outcome(&returned), bytes[1]), ((9, None), 9));
        bytes[0] = 77;
        let thrown = program.run(&mut store, (&mut bytes).into()).expect("a run");
        assert_eq!(common::outcome(&thrown), (77, Some(77)));
    }

    /// Also in types that no test run of Linux's runs: over a context of zeros.
    fn with_a_callback_in_each_type(engine: &Engine) {
        let object = common::open(engine, "throw_types.bpf.o");
        let mut threw = 0;
        for info in object.programs().into_iter().filter(|p| p.name != "type_raw_tp") {
            let loaded = common::load(engine, "throw_types.bpf.o", &info.name);
            let program = loaded.program(&info.name).expect("it");
            let mut store = Store::new(engine, ());
            let mut packet = backstop::Packet::new(&[0; 64]);
            let packets = common::takes_packet(program.kind().ty);
            let input = if packets { (&mut packet).into() } else { backstop::Input::None };
            let exit = program.run(&mut store, input).unwrap_or_else(|e| panic!("{e}"));
            assert_eq!(common::outcome(&exit), (1, Some(301)), "{}", info.name);
            let Exit::Thrown { backtrace, .. } = exit else { panic!("{exit:?}") };
            let names: Vec<String> = program.backtrace(&backtrace).into_iter().map(|f| f.function).collect();
            assert_eq!(names, ["throws_above", "passes_on", info.name.as_str()]);
            threw += 1;
        }
        assert_eq!(threw, 13);
    }

    fn callback_calls_the_host(engine: &Engine) {
        let program = host::program(engine, "callback_notes");
        let mut store = host::store(engine);
        let exit = host::run(&program, &mut store);
        assert_eq!(common::outcome(&exit), (1022, Some(22)));
        assert_eq!(store.data().notes, [21, 5022]);
        let Exit::Thrown { backtrace, .. } = exit else { panic!("{exit:?}") };
        let frames = program.backtrace(&backtrace);
        let wanted = [
            ("notes_and_throws", "bpf_throw(x + 1);"),
            ("passes_on", "return notes_and_throws(x + 1) + 1;"),
            ("callback_notes", "return passes_on(20);"),
        ];
        assert_eq!(functions(&frames), wanted);
    }

    /// What main kept in callee-saved registers is there again after a target threw in a subprogram's place.
    fn registers_of_main_survive_an_inner_boundary(engine: &Engine) {
        let loaded = host::load(engine, &["keeps_over_jump", "target_three"]);
        let (program, target) = (loaded.program("keeps_over_jump").expect("it"), loaded.program("target_three").expect("it"));
        let mut store = host::store(engine);
        let run = |store: &mut Store<Host>| {
            let mut packet = backstop::Packet::new(&[0; 64]);
            packet.set_mark(1000).set_priority(20_000);
            program.run(store, (&mut packet).into()).unwrap_or_else(|e| panic!("{e}"))
        };
        let registers = 1000 * 3 + 20_000 * 5 + 64 * 7;
        assert_eq!(common::outcome(&run(&mut store)), (registers + 20, None));
        loaded.set_tail_call("jumps", 1, &target).unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(common::outcome(&run(&mut store)), (registers + 6, None));
        assert_eq!(store.data().notes, [64, 2, 64, 2]);
    }

    fn throwing_and_returning_runs_alternate(engine: &Engine) {
        let loaded = common::load(engine, "throw.bpf.o", "main_conditional");
        let program = loaded.program("main_conditional").expect("it");
        let mut store = Store::new(engine, ());
        for round in 0..1000_u32 {
            let mut bytes = [0; 64];
            bytes[20] = (round % 3) as u8;
            let (exit, _) = common::run_over(&program, &mut store, &bytes).expect("a run");
            let wanted = if round % 3 == 0 { (100, None) } else { (u64::from(round % 3), Some(u64::from(round % 3))) };
            assert_eq!(common::outcome(&exit), wanted);
        }
    }
}

/// Both engines walk the same frames in every program that throws.
#[test]
fn engines_agree_on_backtraces() {
    let engines: Vec<Engine> = common::choices().into_iter().map(common::engine).collect();
    let mut compared = 0;
    for case in common::expect::cases() {
        for run in case.runs.iter().filter(|run| run.thrown().is_some()) {
            let walked: Vec<Vec<Frame>> = engines
                .iter()
                .map(|engine| {
                    let loaded = common::load(engine, &case.object, &case.name);
                    let program = loaded.program(&case.name).expect("it");
                    let ran = common::run_over(&program, &mut Store::new(engine, ()), &run.input());
                    let (exit, _) = ran.unwrap_or_else(|e| panic!("{e}"));
                    let Exit::Thrown { backtrace, .. } = exit else { panic!("{} {} returned", case.object, case.name) };
                    program.backtrace(&backtrace)
                })
                .collect();
            assert!(walked.iter().all(|frames| !frames.is_empty()), "{} {}", case.object, case.name);
            assert!(walked.windows(2).all(|pair| pair[0] == pair[1]), "{} {}: {walked:#?}", case.object, case.name);
            compared += 1;
        }
    }
    assert!(compared >= 60, "only {compared} throws");
}

#[cfg(target_arch = "x86_64")]
mod registers {
    #![allow(unsafe_code)]

    use super::*;

    /// rbx, rbp, r12, r13, r14, r15.
    type Registers = [u64; 6];

    static WANTED: Registers = [
        0x1111_2222_3333_4444,
        0x5555_6666_7777_8888,
        0x9999_aaaa_bbbb_cccc,
        0x0123_4567_89ab_cdef,
        0xfedc_ba98_7654_3210,
        0x0f1e_2d3c_4b5a_6978,
    ];

    /// Calls `f(data)` with [`WANTED`] in the registers that a callee must keep, and writes what they hold afterwards.
    ///
    /// # Safety
    /// `f` must not unwind and `data` must be what it takes; `wanted` and `out` are valid for six words.
    #[unsafe(naked)]
    unsafe extern "C" fn with_registers(
        f: extern "C" fn(*mut ()),
        data: *mut (),
        wanted: *const Registers,
        out: *mut Registers,
    ) {
        core::arch::naked_asm!(
            "push rbp",
            "push rbx",
            "push r12",
            "push r13",
            "push r14",
            "push r15",
            "push rcx",
            "mov rax, rdi",
            "mov rdi, rsi",
            "mov rbx, [rdx]",
            "mov rbp, [rdx + 8]",
            "mov r12, [rdx + 16]",
            "mov r13, [rdx + 24]",
            "mov r14, [rdx + 32]",
            "mov r15, [rdx + 40]",
            "call rax",
            "pop rcx",
            "mov [rcx], rbx",
            "mov [rcx + 8], rbp",
            "mov [rcx + 16], r12",
            "mov [rcx + 24], r13",
            "mov [rcx + 32], r14",
            "mov [rcx + 40], r15",
            "pop r15",
            "pop r14",
            "pop r13",
            "pop r12",
            "pop rbx",
            "pop rbp",
            "ret",
        )
    }

    /// One run, and what it made.
    struct Run<'a> {
        body: &'a mut dyn FnMut() -> (u64, Option<u64>),
        outcome: Option<(u64, Option<u64>)>,
    }

    extern "C" fn run(data: *mut ()) {
        // SAFETY: `probe` hands over its own `Run`, which nobody else uses meanwhile.
        let run = unsafe { &mut *data.cast::<Run<'_>>() };
        run.outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(&mut *run.body)).ok();
    }

    fn probe(body: &mut dyn FnMut() -> (u64, Option<u64>)) -> ((u64, Option<u64>), Registers) {
        let mut one = Run { body, outcome: None };
        let mut out = [0; 6];
        // SAFETY: `run` catches panics and takes a `Run`; both arrays have six words.
        unsafe { with_registers(run, std::ptr::from_mut(&mut one).cast(), &raw const WANTED, &raw mut out) };
        (one.outcome.expect("a run without a panic"), out)
    }

    engines! {
        fn of_the_host_are_intact_after_a_throw(engine: &Engine) {
            let cases = [
                ("throw.bpf.o", "main_tc", 17),
                ("throw.bpf.o", "static_deep_1", 11),
                ("throw.bpf.o", "static_deep_8", 17),
                ("throw.bpf.o", "global_deep_8", 17),
                ("throw.bpf.o", "callback_deep_3", 27),
                ("throw.bpf.o", "callback_maps", 19),
                ("throw.bpf.o", "callback_loops", 2101),
                ("throw.bpf.o", "stack_live", 23),
                ("throw_tail.bpf.o", "main_to_deep", 62),
                ("throw_tail.bpf.o", "sub_throwing_then_main", 500_024),
                ("throw_tail.bpf.o", "sub_to_sub_throwing", 500_032),
                ("throw_loop.bpf.o", "loop_of_calls", 78),
            ];
            for (object, name, value) in cases {
                let loaded = common::load(engine, object, name);
                let program = loaded.program(name).expect("it");
                let mut store = Store::new(engine, ());
                let mut body = || {
                    let (exit, _) = common::run_over(&program, &mut store, &[0; 64]).expect("a run");
                    common::outcome(&exit)
                };
                let (outcome, registers) = probe(&mut body);
                assert_eq!(outcome.0, value, "{name}");
                assert_eq!(registers, WANTED, "{name}");
            }
        }
    }
}
