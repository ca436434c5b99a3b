//! Many throws, many programs, many threads: nothing grows, nothing is freed under a run, and one endless run stops nobody.
//!
//! Each test that measures memory has the process for itself.

mod common;

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard};
use std::thread;
use std::time::{Duration, Instant};

use backstop::{Backtrace, Engine, Exit, Program, RunError, Store};
use common::host::{self, Gate, Host};

/// Growth of the process's memory that allocators and the kernel's accounting make without any leak, in bytes.
const SLACK: u64 = 12 << 20;

fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

fn expect_flat(before: Option<u64>, what: &str) {
    let (Some(before), Some(after)) = (before, common::resident_bytes()) else {
        println!("skipped: {what}: this system does not tell a process's memory");
        return;
    };
    assert!(after <= before + SLACK, "{what}: memory went from {before} to {after} bytes");
}

/// Starts a run that waits at its gate, in a thread of its own, and calls `meanwhile` while it waits. Gives the run's result.
fn while_waiting(
    engine: &Engine,
    program: &Program<Host>,
    value: u64,
    rounds: usize,
    mut meanwhile: impl FnMut(usize),
) -> Result<Exit, RunError> {
    let (gate, keeper) = Gate::new();
    let mut store = Store::new(engine, Host { gate: Some(gate), ..Host::default() });
    thread::scope(|scope| {
        let run = scope.spawn(move || host::run_marked(program, &mut store, 0));
        for round in 0..rounds {
            keeper.wait();
            meanwhile(round);
            keeper.release(value);
        }
        run.join().expect("the run's thread")
    })
}

/// How many of the programs that threw are alive: frames of others have no name any more.
fn alive(any: &Program<Host>, thrown: &[Backtrace]) -> usize {
    thrown.iter().filter(|backtrace| !any.backtrace(backtrace).is_empty()).count()
}

/// Reclamation of a prog_array's former entries may come a little later, and as others go on.
fn wait_until_gone(any: &Program<Host>, thrown: &[Backtrace], go_on: impl Fn()) {
    let started = Instant::now();
    while alive(any, thrown) > 0 {
        assert!(
            started.elapsed() < Duration::from_secs(20),
            "{} of {} are still alive",
            alive(any, thrown),
            thrown.len()
        );
        go_on();
        thread::yield_now();
    }
}

engines! {
    fn a_hundred_thousand_throws_leave_nothing_behind(engine: &Engine) {
        let _alone = alone();
        let program = host::program(engine, "notes_then_throws");
        let mut store = Store::new(engine, Host { quiet: true, ..Host::default() });
        let mut throws = |count: u32| {
            for n in 0..count {
                let exit = host::run_marked(&program, &mut store, n).expect("a run");
                assert_eq!(common::outcome(&exit), (u64::from(n + 2), Some(u64::from(n + 2))));
            }
            store.data().stack.len()
        };
        let stack = throws(1000);
        let before = common::resident_bytes();
        assert_eq!(throws(100_000), stack, "the stack moved from throw to throw");
        expect_flat(before, "100,000 throws");
    }

    fn throws_with_callbacks_and_tail_calls_leave_nothing_behind(engine: &Engine) {
        let _alone = alone();
        let cases = [("throw.bpf.o", "callback_loops"), ("throw_tail.bpf.o", "sub_to_sub_throwing"), ("throw_tail.bpf.o", "main_to_deep")];
        for (object, name) in cases {
            let loaded = common::load(engine, object, name);
            let program = loaded.program(name).expect("it");
            let mut store = Store::new(engine, ());
            let mut throws = |count: u32| {
                for _ in 0..count {
                    common::run_over(&program, &mut store, &[0; 64]).expect("a run");
                }
            };
            throws(100);
            let before = common::resident_bytes();
            throws(10_000);
            expect_flat(before, name);
        }
    }

    /// Eight threads throw while two others load and unload the same programs and run them too.
    fn throws_while_programs_come_and_go(engine: &Engine) {
        let _alone = alone();
        let stop = AtomicBool::new(false);
        let program = host::program(engine, "notes_then_throws");
        let throw = || {
            let mut store = Store::new(engine, Host { quiet: true, ..Host::default() });
            for n in 0..5000_u32 {
                let exit = host::run_marked(&program, &mut store, n).expect("a run");
                assert_eq!(common::outcome(&exit), (u64::from(n + 2), Some(u64::from(n + 2))));
                let Exit::Thrown { backtrace, .. } = exit else { unreachable!() };
                if n % 500 == 0 {
                    let names: Vec<String> = program.backtrace(&backtrace).into_iter().map(|f| f.function).collect();
                    assert_eq!(names, ["notes_and_throws", "passes_on", "notes_then_throws"]);
                }
            }
        };
        let load = || {
            let mut loaded = 0;
            while !stop.load(Ordering::Relaxed) || loaded == 0 {
                let fresh = host::program(engine, "callback_notes");
                let exit = host::run(&fresh, &mut host::store(engine));
                assert_eq!(common::outcome(&exit), (1022, Some(22)));
                loaded += 1;
            }
        };
        thread::scope(|scope| {
            let loaders: Vec<_> = (0..2).map(|_| scope.spawn(load)).collect();
            let throwers: Vec<_> = (0..8).map(|_| scope.spawn(throw)).collect();
            let thrown: Vec<_> = throwers.into_iter().map(thread::ScopedJoinHandle::join).collect();
            stop.store(true, Ordering::Relaxed);
            assert!(thrown.iter().all(Result::is_ok));
            assert!(loaders.into_iter().all(|l| l.join().is_ok()));
        });
    }

    /// A run that does not end and may tail call, and 10,000 programs loaded, run and unloaded meanwhile: none waits for it.
    fn an_endless_run_stops_no_reclamation(engine: &Engine) {
        let _alone = alone();
        let object = host::open(engine);
        let linker = host::linker(engine);
        let mut store = host::store(engine);
        let mut thrown = Vec::new();
        let mut cycle = |count: usize| {
            for _ in 0..count {
                let loaded = object.load_programs(&linker, &["target_two"]).unwrap_or_else(|e| panic!("{e}"));
                let Exit::Thrown { cookie: 102, backtrace, .. } = host::run(&loaded.program("target_two").expect("it"), &mut store)
                else {
                    panic!("no throw")
                };
                thrown.push(backtrace);
            }
        };
        let endless = host::program(engine, "waits_then_jumps");
        let exit = while_waiting(engine, &endless, 0, 1, |_| {
            cycle(1000);
            let before = common::resident_bytes();
            cycle(9000);
            expect_flat(before, "10,000 programs beside an endless run");
        });
        assert_eq!(common::outcome(&exit.expect("a run")), (5, None));
        assert_eq!(alive(&endless, &thrown), 0);
    }

    /// An endless run that was tail called holds the program that it is in, and no other that left a prog_array meanwhile: not of the
    /// array that it came through either.
    fn an_endless_run_holds_only_what_it_entered(engine: &Engine) {
        let _alone = alone();
        let object = host::open(engine);
        let linker = host::linker(engine);
        let mut store = host::store(engine);
        let jumps = object.load_programs(&linker, &["jumps_away"]).unwrap_or_else(|e| panic!("{e}"));
        let jump = jumps.program("jumps_away").expect("it");
        let mut thrown = Vec::new();
        let mut put = |name: &str, thrown: &mut Vec<Backtrace>| {
            let loaded = object.load_programs(&linker, &[name]).unwrap_or_else(|e| panic!("{e}"));
            jumps.set_tail_call("jumps", 0, &loaded.program(name).expect("it")).unwrap_or_else(|e| panic!("{e}"));
            if let Exit::Thrown { backtrace, .. } = host::run(&jump, &mut store) {
                thrown.push(backtrace);
            }
        };
        let waits = host::program(engine, "waits_then_jumps");
        jumps.set_tail_call("jumps", 0, &waits).unwrap_or_else(|e| panic!("{e}"));
        drop(waits);
        let exit = while_waiting(engine, &jump, 0, 1, |_| {
            (0..500).for_each(|_| put("target_two", &mut thrown));
            put("target_one", &mut thrown);
            assert_eq!(thrown.len(), 500);
            assert_eq!(alive(&jump, &thrown), 0);
        });
        // It comes back from a program that nobody else has kept.
        assert_eq!(common::outcome(&exit.expect("a run")), (5, None));
    }

    /// The program and its maps live as long as a run, whoever else lets them go.
    fn a_run_keeps_its_program(engine: &Engine) {
        let loaded = host::load(engine, &["waits_in_loop"]);
        let program = loaded.program("waits_in_loop").expect("it");
        let mut loaded = Some(loaded);
        let exit = while_waiting(engine, &program, 30, 2, |_| {
            loaded.take();
            for _ in 0..50 {
                host::program(engine, "callback_notes");
            }
        });
        assert_eq!(common::outcome(&exit.expect("a run")), (60, Some(60)));
    }

    fn a_prog_array_is_replaced_while_a_run_is_under_way(engine: &Engine) {
        let loaded = host::load(engine, &["waits_then_jumps", "target_one", "target_two"]);
        let program = loaded.program("waits_then_jumps").expect("it");
        let set = |name: &str| {
            let target = loaded.program(name).expect("it");
            loaded.set_tail_call("jumps", 1, &target).unwrap_or_else(|e| panic!("{e}"));
        };
        let exit = while_waiting(engine, &program, 0, 1, |_| set("target_one"));
        assert_eq!(common::outcome(&exit.expect("a run")), (101, None));
        let exit = while_waiting(engine, &program, 0, 1, |_| set("target_two"));
        assert_eq!(common::outcome(&exit.expect("a run")), (102, Some(102)));
        let empty = |_| loaded.map("jumps").expect("it").delete(&1_u32.to_ne_bytes()).expect("a delete");
        let exit = while_waiting(engine, &program, 0, 1, empty);
        assert_eq!(common::outcome(&exit.expect("a run")), (5, None));
    }

    /// Targets are replaced, dropped and loaded again while two threads jump to whatever is there.
    fn tail_calls_race_with_their_targets(engine: &Engine) {
        let _alone = alone();
        let object = host::open(engine);
        let linker = host::linker(engine);
        let loaded = object.load_programs(&linker, &["jumps_away"]).unwrap_or_else(|e| panic!("{e}"));
        let program = loaded.program("jumps_away").expect("it");
        let stop = AtomicBool::new(false);
        let met = [const { AtomicU32::new(0) }; 3];
        let jump = || {
            let mut store = host::store(engine);
            while !stop.load(Ordering::Relaxed) {
                let which = match common::outcome(&host::run(&program, &mut store)) {
                    (5, None) => 0,
                    (101, None) => 1,
                    (102, Some(102)) => 2,
                    other => panic!("{other:?}"),
                };
                met[which].fetch_add(1, Ordering::Relaxed);
            }
        };
        thread::scope(|scope| {
            let jumpers = [scope.spawn(jump), scope.spawn(jump)];
            for round in 0..600 {
                let name = if round % 2 == 0 { "target_one" } else { "target_two" };
                let fresh = object.load_programs(&linker, &[name]).unwrap_or_else(|e| panic!("{e}"));
                loaded.set_tail_call("jumps", 0, &fresh.program(name).expect("it")).unwrap_or_else(|e| panic!("{e}"));
                drop(fresh);
                thread::yield_now();
                if round % 10 == 9 {
                    loaded.map("jumps").expect("it").delete(&0_u32.to_ne_bytes()).expect("a delete");
                }
            }
            stop.store(true, Ordering::Relaxed);
            for jumper in jumpers {
                jumper.join().expect("a jumper");
            }
        });
        assert!(met.iter().map(|m| m.load(Ordering::Relaxed)).sum::<u32>() > 0);
    }

    /// Every CPU slot is leased: an error at once, never a wait, and the slot comes back.
    fn exhausted_cpu_slots_are_an_error(engine: &Engine) {
        let engine = Engine::new(engine.config().clone().cpus(1)).expect("an engine");
        let waits = host::program(&engine, "waits_on_cpu");
        let counts = host::program(&engine, "counts_on_cpu");
        let plain = host::program(&engine, "adds");
        let exit = while_waiting(&engine, &waits, 4, 1, |_| {
            let mut store = host::store(&engine);
            let result = host::run_marked(&counts, &mut store, 0);
            assert!(matches!(result, Err(RunError::NoCpu { slots: 1, .. })), "{result:?}");
            // Programs that use nothing per CPU need no slot.
            assert_eq!(host::run(&plain, &mut store).value(), 42);
        });
        assert_eq!(common::outcome(&exit.expect("a run")), (4, None));
        assert_eq!(host::run(&counts, &mut host::store(&engine)).value(), 0);
    }

    /// A backtrace does not keep programs alive: frames of one that is gone are left out.
    fn frames_of_unloaded_programs_are_left_out(engine: &Engine) {
        let _alone = alone();
        let loaded = host::load(engine, &["jumps_away"]);
        let program = loaded.program("jumps_away").expect("it");
        let target = host::program(engine, "target_two");
        loaded.set_tail_call("jumps", 0, &target).unwrap_or_else(|e| panic!("{e}"));
        drop(target);
        let Exit::Thrown { backtrace, .. } = host::run(&program, &mut host::store(engine)) else { panic!("no throw") };
        let names: Vec<String> = program.backtrace(&backtrace).into_iter().map(|f| f.program).collect();
        assert_eq!(names, ["target_two"]);
        let fresh = host::program(engine, "target_one");
        loaded.set_tail_call("jumps", 0, &fresh).unwrap_or_else(|e| panic!("{e}"));
        wait_until_gone(&program, &[backtrace], || {
            host::run(&program, &mut host::store(engine));
        });
    }
}
