//! After a fork the child goes on running programs; where code lies in memory that it shares with its parent, it can't load new ones
//! and is told so. One test, as a child has only the thread that forked.
#![cfg(unix)]
#![allow(unsafe_code)]

mod common;

use std::panic::{AssertUnwindSafe, catch_unwind};

use backstop::{Engine, EngineKind, LoadError, Store};

/// What the child found, as its exit status.
const FINE: i32 = 42;

fn child(engine: &Engine, program: &backstop::Program<()>, object: &backstop::Object) -> i32 {
    let mut store = Store::new(engine, ());
    for _ in 0..1000 {
        match common::run_over(program, &mut store, &[0; 64]) {
            Ok((exit, _)) if common::outcome(&exit) == (27, Some(13)) => {}
            _ => return 1,
        }
    }
    let loaded = object.load_programs(&backstop::Linker::<()>::new(engine), &["main_tc"]);
    match (engine.kind(), loaded) {
        (EngineKind::Interpreter | EngineKind::Checked, Ok(loaded)) => {
            let Ok(program) = loaded.program("main_tc") else { return 2 };
            let ran = common::run_over(&program, &mut store, &[0; 64]);
            if ran.is_ok_and(|(exit, _)| exit.value() == 17) { FINE } else { 3 }
        }
        (EngineKind::Jit, Err(LoadError::Compile { reason, .. })) if reason.contains("fork") => FINE,
        (_, Ok(_)) => 4,
        (_, Err(_)) => 5,
    }
}

#[test]
fn a_forked_child_runs_programs() {
    for choice in common::choices() {
        let engine = common::engine(choice);
        let object = common::open(&engine, "throw.bpf.o");
        let loaded = common::load(&engine, "throw.bpf.o", "callback_deep_3");
        let program = loaded.program("callback_deep_3").expect("it");
        // SAFETY: the test harness's other thread waits for this one and holds no lock that the child takes; the child leaves by _exit.
        let pid = unsafe { libc::fork() };
        if pid == 0 {
            // SAFETY: ends a child that hangs; no handler runs.
            unsafe { libc::alarm(30) };
            let found = catch_unwind(AssertUnwindSafe(|| child(&engine, &program, &object))).unwrap_or(6);
            // SAFETY: leaves without running the parent's destructors and exit handlers.
            unsafe { libc::_exit(found) };
        }
        assert!(pid > 0, "no child: {}", std::io::Error::last_os_error());
        let mut status = 0;
        // SAFETY: our own child, and a place for its status.
        let waited = unsafe { libc::waitpid(pid, &raw mut status, 0) };
        assert_eq!(waited, pid);
        assert!(libc::WIFEXITED(status), "{choice:?}: the child died of signal {}", libc::WTERMSIG(status));
        assert_eq!(libc::WEXITSTATUS(status), FINE, "{choice:?}");
        // The parent's code is whole.
        let (exit, _) = common::run_over(&program, &mut Store::new(&engine, ()), &[0; 64]).expect("a run");
        assert_eq!(common::outcome(&exit), (27, Some(13)));
        common::load(&engine, "throw.bpf.o", "main_tc");
    }
}
