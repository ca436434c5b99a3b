//! Kfuncs of the host's: arguments and results, nested runs, errors and panics, and that throws and host functions leave each other's
//! frames alone.

mod common;

use std::panic::{AssertUnwindSafe, catch_unwind};

use backstop::{Engine, Exit, LoadError, Program, RunError, Store};
use common::host::{self, Failed, Host, Panicked};

backstop::guest_struct! {
    /// Named like the context of XDP programs.
    #[allow(non_camel_case_types)]
    struct xdp_md {
        pub first: u64,
        pub mut second: u64,
    }
}

fn value(engine: &Engine, name: &str) -> u64 {
    let exit = host::run(&host::program(engine, name), &mut host::store(engine));
    assert!(matches!(exit, Exit::Returned(_)), "{name}: {exit:?}");
    exit.value()
}

/// The value for which `host_check` failed.
fn failed(result: Result<Exit, RunError>) -> u64 {
    match result {
        Err(RunError::Host(error)) => error.downcast_ref::<Failed>().expect("the host's own error").0,
        other => panic!("{other:?}"),
    }
}

/// A run whose check fails at a value; gives the error's value and what was checked.
fn fails(engine: &Engine, name: &str, mark: u32, at: u64) -> (u64, Vec<u64>) {
    let program = host::program(engine, name);
    let mut store = host::store(engine);
    store.data_mut().fails_at = Some(at);
    let value = failed(host::run_marked(&program, &mut store, mark));
    (value, store.into_data().checked)
}

fn nested(engine: &Engine, inner: &[&str]) -> Store<Host> {
    let mut store = host::store(engine);
    store.data_mut().nested = inner.iter().map(|name| host::program(engine, name)).collect();
    store
}

engines! {
    fn take_and_return_integers(engine: &Engine) {
        assert_eq!(value(engine, "adds"), 42);
        assert_eq!(value(engine, "negates"), 93);
        let sum = (1_u64 << 40) + 0xffff_ffff + 0xffff + 0xff - 1;
        assert_eq!(value(engine, "sums"), sum >> 8 & 0xffff_ffff);
    }

    fn read_and_write_what_pointers_lead_to(engine: &Engine) {
        assert_eq!(value(engine, "moves"), 30 + 2 * 100 + 2 * 10_000 + 60 * 1_000_000);
    }

    fn refuse_pointers_of_other_calls(engine: &Engine) {
        assert_eq!(value(engine, "keeps"), 1);
    }

    fn a_pointer_to_too_little_is_refused(engine: &Engine) {
        let object = host::open(engine);
        let refused = object.load_programs(&host::linker(engine), &["moves_short"]);
        assert!(matches!(refused, Err(LoadError::Refused { .. })), "{refused:?}");
    }

    fn no_pointer_at_all_is_refused(engine: &Engine) {
        let object = host::open(engine);
        let refused = object.load_programs(&host::linker(engine), &["moves_null"]);
        assert!(matches!(refused, Err(LoadError::Refused { .. })), "{refused:?}");
    }

    fn a_context_is_not_a_struct_of_the_same_name(engine: &Engine) {
        fn reads(caller: &mut backstop::Caller<'_, ()>, context: backstop::Ptr<xdp_md>) -> u64 {
            caller.read(context).map_or(0, |c| c.first)
        }
        let object = host::open(engine);
        let mut linker = backstop::Linker::<()>::new(engine);
        linker.kfunc("host_context", reads).expect("a kfunc");
        let refused = object.load_programs(&linker, &["passes_context"]);
        assert!(matches!(refused, Err(LoadError::Refused { .. })), "{refused:?}");
    }

    fn see_the_stores_data(engine: &Engine) {
        let program = host::program(engine, "notes_then_throws");
        let mut store = host::store(engine);
        let exit = host::run_marked(&program, &mut store, 5).expect("a run");
        assert_eq!(common::outcome(&exit), (7, Some(7)));
        assert_eq!(store.data().notes, [6]);
    }

    fn a_nested_run_throws_and_the_outer_one_goes_on(engine: &Engine) {
        let program = host::program(engine, "outer_goes_on");
        let mut store = nested(engine, &["adds", "notes_then_throws", "callback_notes"]);
        let exit = host::run(&program, &mut store);
        assert_eq!(common::outcome(&exit), (2 * 1000 + 1022, None));
        let host = store.data();
        assert_eq!(host.exits.iter().map(common::outcome).collect::<Vec<_>>(), [(2, Some(2)), (1022, Some(22))]);
        // The nested run's frames are its own: no walk passes into the outer program.
        let Exit::Thrown { backtrace, .. } = &host.exits[0] else { panic!("{:?}", host.exits) };
        let names: Vec<String> = host.nested[1].backtrace(backtrace).into_iter().map(|f| f.function).collect();
        assert_eq!(names, ["notes_and_throws", "passes_on", "notes_then_throws"]);
    }

    fn the_outer_run_throws_after_a_nested_throw(engine: &Engine) {
        let program = host::program(engine, "outer_throws_too");
        let mut store = nested(engine, &["adds", "notes_then_throws"]);
        let exit = host::run(&program, &mut store);
        assert_eq!(common::outcome(&exit), (1103, Some(103)));
        assert_eq!(store.data().notes, [1, 5103]);
        let Exit::Thrown { backtrace, .. } = &exit else { panic!("{exit:?}") };
        let names: Vec<String> = program.backtrace(backtrace).into_iter().map(|f| f.function).collect();
        assert_eq!(names, ["outer_throws_too"]);
    }

    fn nested_runs_inside_a_callback(engine: &Engine) {
        let program = host::program(engine, "outer_loops");
        let mut store = nested(engine, &["adds", "notes_then_throws"]);
        assert_eq!(common::outcome(&host::run(&program, &mut store)), (2 * (42 + 2), None));
    }

    fn an_error_ends_the_run(engine: &Engine) {
        assert_eq!(fails(engine, "fails_in_loop", 10, 3), (3, vec![0, 1, 2, 3]));
        assert_eq!(fails(engine, "fails_in_for_each", 0, 104), (104, vec![100, 101, 102, 103, 104]));
        assert_eq!(fails(engine, "fails_in_nested_loops", 10, 23), (23, (0..=23).collect()));
    }

    fn without_an_error_the_same_programs_return(engine: &Engine) {
        let sum = |name, mark| {
            let exit = host::run_marked(&host::program(engine, name), &mut host::store(engine), mark).expect("a run");
            common::outcome(&exit)
        };
        assert_eq!(sum("fails_in_loop", 10), (45, None));
        assert_eq!(sum("fails_in_nested_loops", 4), (40, None));
        assert_eq!(sum("fails_in_for_each", 0), ((100..108).sum(), None));
        assert_eq!(sum("fails_before_throw", 3), (1005, Some(5)));
        assert_eq!(sum("fails_in_callback", 3), (2003, Some(3)));
    }

    /// An error is no throw: the exception callback, which would note its cookie, does not run.
    fn an_error_runs_no_exception_callback(engine: &Engine) {
        let program = host::program(engine, "fails_before_throw");
        let mut store = host::store(engine);
        store.data_mut().fails_at = Some(6);
        assert_eq!(failed(host::run_marked(&program, &mut store, 6)), 6);
        assert!(store.data().notes.is_empty());
        // The same store and program go on as if nothing had been.
        let exit = host::run_marked(&program, &mut store, 7).expect("a run");
        assert_eq!(common::outcome(&exit), (1009, Some(9)));
        assert_eq!(store.data().notes, [5009]);
    }

    fn an_error_inside_an_exception_callback_ends_the_run(engine: &Engine) {
        assert_eq!(fails(engine, "fails_in_callback", 8, 8), (8, vec![8]));
    }

    fn an_error_in_a_nested_run_is_the_callers_to_judge(engine: &Engine) {
        let program = host::program(engine, "outer_goes_on");
        let mut store = nested(engine, &["adds", "fails_in_for_each", "adds"]);
        store.data_mut().fails_at = Some(100);
        // `host_nested` passes it on as its own error, with the inner one as its source.
        let Err(RunError::Host(error)) = host::run_marked(&program, &mut store, 0) else { panic!("no error") };
        let inner = error.downcast_ref::<RunError>().expect("the nested run's error");
        let RunError::Host(inner) = inner else { panic!("{inner:?}") };
        assert_eq!(inner.downcast_ref::<Failed>(), Some(&Failed(100)));
        assert!(store.data().exits.is_empty());
    }

    fn a_panic_is_resumed_in_the_caller_of_run(engine: &Engine) {
        let program = host::program(engine, "panics_in_loop");
        let mut store = host::store(engine);
        for _ in 0..3 {
            let caught = catch_unwind(AssertUnwindSafe(|| host::run_marked(&program, &mut store, 0)));
            let payload = caught.expect_err("a panic");
            assert_eq!(payload.downcast_ref::<Panicked>(), Some(&Panicked(3)));
        }
        // The thread's further runs are whole.
        assert_eq!(common::outcome(&host::run(&host::program(engine, "notes_then_throws"), &mut store)), (2, Some(2)));
    }

    fn a_panic_in_a_nested_run_passes_both(engine: &Engine) {
        let program = host::program(engine, "outer_goes_on");
        let mut store = nested(engine, &["adds", "panics_in_loop", "adds"]);
        let caught = catch_unwind(AssertUnwindSafe(|| host::run_marked(&program, &mut store, 0)));
        assert_eq!(caught.expect_err("a panic").downcast_ref::<Panicked>(), Some(&Panicked(3)));
        store.data_mut().nested[1] = host::program(engine, "notes_then_throws");
        assert_eq!(common::outcome(&host::run(&program, &mut store)), (2042, None));
    }

    fn a_kfunc_that_is_not_offered_is_named(engine: &Engine) {
        let error = host::open(engine).load_programs(&backstop::Linker::<Host>::new(engine), &["adds"]);
        let text = error.expect_err("no kfunc").to_string();
        assert!(text.contains("adds") && text.contains("host_add"), "{text}");
    }

    fn a_kfunc_of_another_prototype_is_refused(engine: &Engine) {
        fn one_argument(_: &mut backstop::Caller<'_, ()>, a: u64) -> u64 {
            a
        }
        let mut linker = backstop::Linker::<()>::new(engine);
        linker.kfunc("host_add", one_argument).expect("a kfunc");
        let text = host::open(engine).load_programs(&linker, &["adds"]).expect_err("another prototype").to_string();
        assert!(text.contains("host_add"), "{text}");
    }

    fn names_are_taken_once(engine: &Engine) {
        fn nothing(_: &mut backstop::Caller<'_, ()>) {}
        let mut linker = backstop::Linker::<()>::new(engine);
        linker.kfunc("mine", nothing).expect("a free name");
        assert!(matches!(linker.kfunc("mine", nothing), Err(backstop::LinkerError::Duplicate { .. })));
        assert!(matches!(linker.kfunc("bpf_throw", nothing), Err(backstop::LinkerError::Duplicate { .. })));
    }

    /// The host's own struct as the context, as the README has it.
    fn a_struct_of_the_hosts_is_the_context(engine: &Engine) {
        let filter: Program<Host> = host::program(engine, "filter");
        let filter = filter.typed::<host::Request>().unwrap_or_else(|e| panic!("{e}"));
        let mut store = host::store(engine);
        store.data_mut().budget = 100;
        let mut request = host::Request { length: 64, verdict: 0 };
        let exit = filter.run(&mut store, &mut request).expect("a run");
        assert_eq!((common::outcome(&exit), request.verdict, store.data().budget), ((64, None), 200, 36));
        let mut second = host::Request { length: 64, verdict: 0 };
        let exit = filter.run(&mut store, &mut second).expect("a run");
        assert_eq!((common::outcome(&exit), second.verdict, store.data().budget), ((413, Some(413)), 0, 0));
        let Exit::Thrown { backtrace, .. } = exit else { panic!("{exit:?}") };
        let frames = filter.untyped().backtrace(&backtrace);
        assert_eq!(frames[0].text.as_deref().map(str::trim), Some("bpf_assert_with(taken == request->length, 413);"));
    }

    fn a_read_only_field_is_not_written(engine: &Engine) {
        let refused = host::open(engine).load_programs(&host::linker(engine), &["writes_length"]);
        assert!(matches!(refused, Err(LoadError::Refused { .. })), "{refused:?}");
    }

    fn results_of_the_hosts_own_types_have_64_bits(engine: &Engine) {
        let program = host::program(engine, "wide_result").typed::<host::Request>().expect("typed");
        let exit = program.run(&mut host::store(engine), &mut host::Request { length: 3, verdict: 0 }).expect("a run");
        assert_eq!(common::outcome(&exit), (3 << 32 | 7, None));
    }
}
