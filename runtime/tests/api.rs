//! The host API: what can be changed before a load, maps, statistics, trace output, and that misuse is an error that says what to do.

mod common;

use std::sync::{Arc, Mutex};

use backstop::{
    Config, Engine, Exit, Input, Linker, LoadError, MapError, ObjectUseError, OpenError, Packet, RunError, Store,
    Update,
};
use common::host;

/// An engine of the same kind with another configuration.
fn with(engine: &Engine, change: impl FnOnce(Config) -> Config) -> Engine {
    Engine::new(change(engine.config().clone())).expect("an engine")
}

/// Another engine like this one.
fn again(engine: &Engine) -> Engine {
    with(engine, |config| config)
}

backstop::guest_struct! {
    /// Not what any object asks for.
    struct Other {
        pub length: u32,
        pub verdict: u32,
    }
}

/// `Request` of another size.
mod longer {
    backstop::guest_struct! {
        pub struct Request {
            pub length: u32,
            pub verdict: u32,
            pub more: u64,
        }
    }
}

fn unit(engine: &Engine) -> Linker<()> {
    Linker::new(engine)
}

fn expect_input(result: Result<Exit, RunError>, text: &str) {
    match result {
        Err(error @ RunError::Input { .. }) => assert!(error.to_string().contains(text), "{error}"),
        other => panic!("{other:?}, not an input error with `{text}`"),
    }
}

engines! {
    fn globals_are_set_before_load(engine: &Engine) {
        let mut object = host::open(engine);
        object.set_global("threshold", &100_u32.to_ne_bytes()).expect("a global");
        assert_eq!(object.global("threshold").expect("it"), 100_u32.to_ne_bytes());
        object.set_global("seen", &41_u64.to_ne_bytes()).expect("a global");
        let loaded = object.load_programs(&host::linker(engine), &["uses_globals"]).unwrap_or_else(|e| panic!("{e}"));
        let program = loaded.program("uses_globals").expect("it");
        let mut store = host::store(engine);
        let run = |store: &mut Store<_>, mark| common::outcome(&host::run_marked(&program, store, mark).expect("a run"));
        assert_eq!(run(&mut store, 100), (42, None));
        assert_eq!(run(&mut store, 101), (43, Some(43)));
        // The clone that was not changed keeps its own values.
        let untouched = host::program(engine, "uses_globals");
        assert_eq!(common::outcome(&host::run_marked(&untouched, &mut store, 11).expect("a run")), (1, Some(1)));
    }

    fn globals_are_checked(engine: &Engine) {
        let mut object = host::open(engine);
        let size = object.set_global("threshold", &[1]).expect_err("a short value");
        assert!(matches!(size, ObjectUseError::GlobalSize { expected: 4, given: 1, .. }), "{size}");
        let name = object.set_global("treshold", &[0; 4]).expect_err("no such global");
        assert!(name.to_string().contains("threshold"), "{name}");
    }

    fn constants_decide_what_is_verified(engine: &Engine) {
        let lines = Arc::new(Mutex::new(Vec::new()));
        let sink = Arc::clone(&lines);
        let engine = with(engine, |c| c.trace(move |line| sink.lock().expect("lines").push(line.to_owned())));
        let run = |verbose: u8| {
            let mut object = host::open(&engine);
            object.set_global("verbose", &[verbose]).expect("a global");
            let loaded = object.load_programs(&host::linker(&engine), &["uses_globals"]).unwrap_or_else(|e| panic!("{e}"));
            let program = loaded.program("uses_globals").expect("it");
            host::run_marked(&program, &mut host::store(&engine), 3).expect("a run");
            (program.ir().to_string().contains("trace_printk"), std::mem::take(&mut *lines.lock().expect("lines")))
        };
        assert_eq!(run(0), (false, vec![]));
        assert_eq!(run(1), (true, vec!["mark 3 of 10".to_owned()]));
    }

    /// A format's `%s` would follow a number of the guest's: the helper refuses it, and nothing is printed.
    fn formats_follow_no_pointers(engine: &Engine) {
        let lines = Arc::new(Mutex::new(Vec::new()));
        let sink = Arc::clone(&lines);
        let engine = with(engine, |c| c.trace(move |line| sink.lock().expect("lines").push(line.to_owned())));
        common::run_patched(&engine, "maps.bpf.o", "prints", &[]);
        assert!(lines.lock().expect("lines").is_empty(), "{lines:?}");
    }

    fn a_replaced_map_keeps_its_state_over_a_reload(engine: &Engine) {
        let mut store = host::store(engine);
        let mut object = host::open(engine);
        for round in 1..=3 {
            let loaded = object.load_programs(&host::linker(engine), &["uses_globals"]).unwrap_or_else(|e| panic!("{e}"));
            let exit = host::run(&loaded.program("uses_globals").expect("it"), &mut store);
            assert_eq!(common::outcome(&exit), (round, None));
            let name = loaded.maps().map(|m| m.name().to_owned()).find(|n| n.ends_with(".bss")).expect(".bss");
            object.replace_map(&name, loaded.map(&name).expect("it")).unwrap_or_else(|e| panic!("{e}"));
        }
    }

    fn a_map_is_shared_between_objects(engine: &Engine) {
        let mut object = host::open(engine);
        let spec = object.elf().maps().iter().find(|m| m.spec.name == "elements").expect("it").spec.clone();
        let shared = engine.create_map((*spec).clone()).expect("a map");
        object.replace_map("elements", &shared).unwrap_or_else(|e| panic!("{e}"));
        let linker = host::linker(engine);
        let first = object.load_programs(&linker, &["fails_in_for_each"]).unwrap_or_else(|e| panic!("{e}"));
        let second = object.load_programs(&linker, &["fails_in_for_each"]).unwrap_or_else(|e| panic!("{e}"));
        let mut store = host::store(engine);
        for loaded in [&first, &second, &first] {
            host::run(&loaded.program("fails_in_for_each").expect("it"), &mut store);
            assert!(loaded.map("elements").expect("it").same(&shared));
        }
        let typed = shared.typed::<u32, u64>().expect("types");
        assert_eq!(typed.get(&7).expect("a read"), Some(3));
    }

    fn maps_that_do_not_fit_are_not_taken(engine: &Engine) {
        let mut object = host::open(engine);
        let spec = object.elf().maps().iter().find(|m| m.spec.name == "elements").expect("it").spec.clone();
        let smaller = engine.create_map(backstop::model::MapSpec { max_entries: 4, ..(*spec).clone() }).expect("a map");
        let error = object.replace_map("elements", &smaller).expect_err("too small");
        assert!(error.to_string().contains("max_entries is 4, the object wants 8"), "{error}");
        let error = object.replace_map("element", &smaller).expect_err("no such map");
        assert!(matches!(error, ObjectUseError::NoMap { .. }), "{error}");
        let elsewhere = again(engine).create_map((*spec).clone()).expect("a map");
        let error = object.replace_map("elements", &elsewhere).expect_err("another engine's");
        assert!(matches!(error, ObjectUseError::OtherEngine { .. }), "{error}");
    }

    fn maps_have_types(engine: &Engine) {
        let loaded = common::load(engine, "maps.bpf.o", "array_update_lookup");
        let array = loaded.map("array").expect("it").typed::<u32, u64>().expect("types");
        array.set(&5, &77, Update::Any).expect("an update");
        assert_eq!((array.get(&5).expect("a read"), array.get(&8).expect("a read")), (Some(77), None));
        let program = loaded.program("array_update_lookup").expect("it");
        common::run_over(&program, &mut Store::new(engine, ()), &[0; 64]).expect("a run");
        assert_eq!(array.iter().collect::<Vec<_>>(), [(0, 0), (1, 0), (2, 0), (3, 41), (4, 0), (5, 77), (6, 0), (7, 0)]);
        let wrong = loaded.map("array").expect("it").typed::<u64, u64>().expect_err("a long key");
        assert!(matches!(wrong, MapError::KeySize { expected: 4, given: 8 }), "{wrong}");
    }

    fn per_cpu_values_are_the_slots(engine: &Engine) {
        let engine = with(engine, |c| c.cpus(3));
        let loaded = host::load(&engine, &["counts_on_cpu"]);
        let program = loaded.program("counts_on_cpu").expect("it");
        let mut store = host::store(&engine);
        let slot = host::run(&program, &mut store).value();
        for _ in 0..4 {
            // A store keeps to its slot while it is free.
            assert_eq!(host::run(&program, &mut store).value(), slot);
        }
        let counts = loaded.map("on_cpu").expect("it").typed::<u32, u64>().expect("types");
        let mut wanted = vec![0; 3];
        wanted[slot as usize] = 5;
        assert_eq!(counts.get_per_cpu(&0).expect("a read"), Some(wanted));
    }

    fn a_nested_run_takes_another_slot(engine: &Engine) {
        let engine = with(engine, |c| c.cpus(2));
        let program = host::program(&engine, "nests_on_cpu");
        let mut store = host::store(&engine);
        store.data_mut().nested = vec![host::program(&engine, "counts_on_cpu"); 4];
        assert!(matches!(host::run(&program, &mut store).value(), 1 | 100));
        // And where there is none, the nested run is an error at once.
        let engine = with(&engine, |c| c.cpus(1));
        let program = host::program(&engine, "nests_on_cpu");
        let mut store = host::store(&engine);
        store.data_mut().nested = vec![host::program(&engine, "counts_on_cpu"); 4];
        let Err(RunError::Host(error)) = host::run_marked(&program, &mut store, 0) else { panic!("no error") };
        assert!(matches!(error.downcast_ref(), Some(RunError::NoCpu { slots: 1, .. })), "{error}");
        // The slot was given back.
        store.data_mut().nested = vec![host::program(&engine, "adds"); 4];
        assert_eq!(host::run(&program, &mut store).value(), 4200);
    }

    fn statistics_count_runs_and_throws(engine: &Engine) {
        let engine = with(engine, |c| c.statistics(true));
        let loaded = common::load(&engine, "throw.bpf.o", "main_conditional");
        let program = loaded.program("main_conditional").expect("it");
        let mut store = Store::new(&engine, ());
        for byte in [0, 5, 0, 9, 0] {
            let mut bytes = [0; 64];
            bytes[20] = byte;
            common::run_over(&program, &mut store, &bytes).expect("a run");
        }
        let counted = program.statistics();
        assert_eq!((counted.runs, counted.throws), (5, 2));
        assert!(counted.nanos > 0);
        assert!(program.proof().insns_processed > 0);
    }

    fn without_statistics_nothing_is_counted(engine: &Engine) {
        let loaded = common::load(engine, "throw.bpf.o", "main_tc");
        let program = loaded.program("main_tc").expect("it");
        common::run_over(&program, &mut Store::new(engine, ()), &[0; 64]).expect("a run");
        assert_eq!(program.statistics(), backstop::RunStatistics::default());
    }

    fn a_store_of_another_engine_is_an_error(engine: &Engine) {
        let program = common::load(engine, "throw.bpf.o", "main_tc").program("main_tc").expect("it");
        let other = again(engine);
        let result = common::run_over(&program, &mut Store::new(&other, ()), &[0; 64]);
        assert!(matches!(result, Err(RunError::OtherEngine { .. })), "{result:?}");
    }

    fn a_linker_of_another_engine_is_an_error(engine: &Engine) {
        let other = again(engine);
        let result = common::open(engine, "throw.bpf.o").load_programs(&unit(&other), &["main_tc"]);
        assert!(matches!(result, Err(LoadError::Object(ObjectUseError::OtherEngine { .. }))), "{result:?}");
    }

    fn the_input_must_suit_the_type(engine: &Engine) {
        let object = common::open(engine, "throw.bpf.o");
        let loaded = object.load_programs(&unit(engine), &["main_tc", "main_xdp", "main_syscall"]).expect("programs");
        let mut store = Store::new(engine, ());
        for name in ["main_tc", "main_xdp"] {
            let program = loaded.program(name).expect("it");
            expect_input(program.run(&mut store, Input::None), "wants a packet");
            expect_input(program.run(&mut store, Input::Memory(&mut [0; 64])), "wants a packet");
            expect_input(program.run(&mut store, Input::Args(&[1])), "wants a packet");
        }
        let syscall = loaded.program("main_syscall").expect("it");
        expect_input(syscall.run(&mut store, Input::Packet(&mut Packet::new(&[0; 64]))), "not a packet");
    }

    fn a_context_of_the_wrong_size_is_an_error(engine: &Engine) {
        let object = common::open(engine, "custom.bpf.o");
        let program = object.load_programs(&unit(engine), &["sum_of_bytes"]).expect("it").program("sum_of_bytes").expect("it");
        let mut store = Store::new(engine, ());
        for len in [0, 63, 65] {
            expect_input(program.run(&mut store, Input::Memory(&mut vec![1; len])), "exactly 64 bytes");
        }
        assert_eq!(program.run(&mut store, Input::Memory(&mut [1; 64])).expect("a run").value(), 64);

        let filter = host::program(engine, "filter");
        let mut store = host::store(engine);
        expect_input(filter.run(&mut store, Input::Memory(&mut [0; 7])), "exactly 8 bytes");
        expect_input(filter.run(&mut store, Input::None), "host's struct");

        let words = common::load(engine, "ctx.bpf.o", "syscall_sum").program("syscall_sum").expect("it");
        let result = words.run(&mut Store::new(engine, ()), Input::Memory(&mut [0; 4]));
        expect_input(result, "reads or writes");
    }

    fn memory_has_the_length_that_the_host_states(engine: &Engine) {
        let mut object = common::open(engine, "custom.bpf.o");
        object.set_memory_len("sum_of_bytes", 32).expect("a program");
        let refused = object.load_programs(&unit(engine), &["sum_of_bytes"]);
        assert!(matches!(refused, Err(LoadError::Refused { .. })), "{refused:?}");
        object.set_memory_len("sum_of_bytes", 100).expect("a program");
        let loaded = object.load_programs(&unit(engine), &["sum_of_bytes"]).unwrap_or_else(|e| panic!("{e}"));
        let program = loaded.program("sum_of_bytes").expect("it");
        assert_eq!(program.run(&mut Store::new(engine, ()), Input::Memory(&mut [2; 100])).expect("a run").value(), 128);
    }

    fn typed_contexts_are_checked(engine: &Engine) {
        let filter = host::program(engine, "filter");
        let text = |result: Result<(), RunError>| result.expect_err("a mismatch").to_string();
        assert!(text(filter.typed::<Other>().map(drop)).contains("struct Request"));
        assert!(text(filter.typed::<longer::Request>().map(drop)).contains("16 bytes"));
        let tc = host::program(engine, "adds");
        assert!(text(tc.typed::<host::Request>().map(drop)).contains("no struct of the host's"));
        // A struct that the linker does not offer is missed at load.
        let error = host::open(engine).load_programs(&unit(engine), &["filter"]).map(drop);
        let error = error.expect_err("no such struct").to_string();
        assert!(error.contains("Request"), "{error}");
    }

    fn programs_that_are_optional_are_loaded_when_asked(engine: &Engine) {
        let mut object = common::open(engine, "many.bpf.o");
        let autoload = |object: &backstop::Object, name: &str| {
            object.programs().into_iter().find(|p| p.name == name).expect("it").autoload
        };
        assert!(!autoload(&object, "optional") && autoload(&object, "first"));
        object.set_autoload("optional", true).expect("a program");
        assert!(autoload(&object, "optional"));
        let all = object.load(&unit(engine)).unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(all.program("optional").expect("it").name(), "optional");
        assert!(matches!(all.program("optional_and_bad"), Err(ObjectUseError::NoProgram { .. })));
        object.set_autoload("optional_and_bad", true).expect("a program");
        assert!(matches!(object.load(&unit(engine)), Err(LoadError::Refused { .. })));
        assert!(object.set_autoload("nothing", true).is_err());
    }

    fn an_object_without_a_file_is_an_error(engine: &Engine) {
        let missing = engine.open_file(common::object_path("not_there.bpf.o")).expect_err("no file");
        assert!(matches!(missing, OpenError::Read { .. }) && missing.to_string().contains("not_there.bpf.o"), "{missing}");
        let empty = engine.open(&[], "empty.bpf.o").expect_err("no bytes");
        assert!(empty.to_string().contains("empty"), "{empty}");
        let bytes = std::fs::read(common::object_path("throw.bpf.o")).expect("the object");
        let object = engine.open(&bytes, "throw.bpf.o").unwrap_or_else(|e| panic!("{e}"));
        assert!(object.programs().len() > 40);
    }

    fn map_memory_has_a_budget(engine: &Engine) {
        let engine = with(engine, |c| c.map_memory(64));
        let error = common::open(&engine, "maps.bpf.o").load_programs(&unit(&engine), &["hash_limits"]).map(drop);
        let error = error.expect_err("no room");
        assert!(matches!(error, LoadError::Map { source: MapError::Budget { .. }, .. }), "{error}");
    }

    fn tail_call_targets_must_fit(engine: &Engine) {
        let loaded = host::load(engine, &["jumps_away", "target_one", "other_type"]);
        let one = loaded.program("target_one").expect("it");
        loaded.set_tail_call("jumps", 0, &one).unwrap_or_else(|e| panic!("{e}"));
        let error = loaded.set_tail_call("jumps", 0, &loaded.program("other_type").expect("it")).expect_err("an xdp program");
        assert!(matches!(error, LoadError::MapValues { .. }), "{error}");
        let error = loaded.set_tail_call("jumps", 2, &one).expect_err("beyond the end");
        assert!(matches!(error, LoadError::MapValues { index: 2, .. }), "{error}");
        let other = again(engine);
        let error = loaded.set_tail_call("jumps", 0, &host::program(&other, "target_one")).expect_err("another engine's");
        assert!(error.to_string().contains("another engine"), "{error}");
        let run = |store: &mut Store<_>| host::run(&loaded.program("jumps_away").expect("it"), store).value();
        let mut store = host::store(engine);
        assert_eq!(run(&mut store), 101);
        loaded.map("jumps").expect("it").delete(&0_u32.to_ne_bytes()).expect("a delete");
        assert_eq!(run(&mut store), 5);
    }

    fn a_short_stack_is_an_error(engine: &Engine) {
        let program = common::load(engine, "throw.bpf.o", "static_deep_8").program("static_deep_8").expect("it");
        let need = program.stack_need();
        let engine = engine.clone();
        let thread = std::thread::Builder::new().stack_size(112 * 1024).spawn(move || {
            let result = common::run_over(&program, &mut Store::new(&engine, ()), &[0; 64]);
            assert!(matches!(result, Err(RunError::NativeStack { needed, .. }) if needed == need), "{result:?}");
        });
        thread.expect("a thread").join().expect("an error, not a crash");
    }

    fn results_name_the_engine(engine: &Engine) {
        let program = common::load(engine, "throw.bpf.o", "main_tc").program("main_tc").expect("it");
        assert_eq!(program.engine_kind(), engine.kind());
    }

    fn refusals_say_where_and_why(engine: &Engine) {
        let object = common::open(engine, "ctx.bpf.o");
        let error = object.load_programs(&unit(engine), &["xdp_unchecked"]).map(drop);
        let LoadError::Refused { program, refusal } = error.expect_err("refused") else { panic!("no refusal") };
        assert_eq!(program, "xdp_unchecked");
        assert!(refusal.slot.is_some() && refusal.help.is_some(), "{refusal:?}");
        assert_eq!(refusal.subprogram, "xdp_unchecked");
        let text = refusal.render(&object.link(&unit(engine), "xdp_unchecked").unwrap_or_else(|e| panic!("{e}")));
        assert!(text.contains("ctx.bpf.c") && text.contains("invalid access to packet"), "{text}");
        assert!(refusal.kernel_format().contains("invalid access to packet"));
    }
}

#[test]
fn auto_takes_the_jit_where_there_is_one() {
    let kind = Engine::new(Config::new()).expect("an engine").kind();
    let choices = common::choices();
    let jit = choices.into_iter().find(|choice| *choice == backstop::EngineChoice::Jit);
    let expected = jit.unwrap_or(backstop::EngineChoice::Interpreter);
    assert_eq!(kind, common::engine(expected).kind());
}

#[cfg(not(feature = "jit"))]
#[test]
fn a_jit_asked_for_by_name_never_falls_back() {
    let error = Engine::new(Config::new().engine(backstop::EngineChoice::Jit)).expect_err("no JIT in this build");
    assert!(matches!(error, backstop::EngineError::NoJit { .. }), "{error}");
}

/// Handles move between threads; a store too, with its host's data.
#[test]
fn handles_are_send_and_sync() {
    fn shared<T: Send + Sync>() {}
    fn moved<T: Send>() {}
    shared::<Engine>();
    shared::<backstop::Loaded<std::cell::Cell<u8>>>();
    shared::<backstop::Program<std::cell::Cell<u8>>>();
    shared::<backstop::Map>();
    moved::<Store<Vec<u8>>>();
}
