//! A pre-forking server: the parent unloads and replaces programs that a forked child goes on running. One test, as a child has only the
//! thread that forked.
#![cfg(unix)]
#![allow(unsafe_code)]

mod common;

use std::io::{Read, Write, pipe};
use std::panic::{AssertUnwindSafe, catch_unwind};

use common::host;

#[test]
fn a_child_runs_what_its_parent_unloads() {
    for choice in common::choices() {
        let engine = common::engine(choice);
        let loaded = host::load(&engine, &["returns_mark", "notes_then_throws"]);
        let programs = ["returns_mark", "notes_then_throws"].map(|name| loaded.program(name).expect("it"));
        drop(loaded);
        let mut store = host::store(&engine);
        let outcomes = |store: &mut _| {
            programs.each_ref().map(|p| host::run_marked(p, store, 41).ok().map(|exit| common::outcome(&exit)))
        };
        let wanted = outcomes(&mut store);
        assert!(wanted.iter().all(Option::is_some), "{wanted:?}");
        let (mut gate, mut opener) = pipe().expect("a pipe");
        // SAFETY: the test harness's other thread waits for this one and holds no lock that the child takes; the child leaves by _exit.
        let pid = unsafe { libc::fork() };
        if pid == 0 {
            // SAFETY: ends a child that hangs; no handler runs.
            unsafe { libc::alarm(30) };
            let same = catch_unwind(AssertUnwindSafe(|| {
                gate.read_exact(&mut [0]).is_ok() && (0..100).all(|_| outcomes(&mut store) == wanted)
            }));
            // SAFETY: leaves without running the parent's destructors and exit handlers.
            unsafe { libc::_exit(if same.unwrap_or(false) { 42 } else { 1 }) };
        }
        assert!(pid > 0, "no child: {}", std::io::Error::last_os_error());
        drop(programs);
        let others: Vec<_> = (0..4).map(|_| host::program(&engine, "target_one")).collect();
        opener.write_all(&[1]).expect("a byte");
        let mut status = 0;
        // SAFETY: our own child, and a place for its status.
        assert_eq!(unsafe { libc::waitpid(pid, &raw mut status, 0) }, pid);
        assert!(libc::WIFEXITED(status), "{choice:?}: the child died of signal {}", libc::WTERMSIG(status));
        assert_eq!(libc::WEXITSTATUS(status), 42, "{choice:?}");
        assert!(others.iter().all(|p| host::run(p, &mut store).value() == 101));
    }
}
