//! Panics of the host's own code outside host functions: the trace sink, and the drop of what a host function captured.

mod common;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use backstop::isa::assemble;
use backstop::model::{ProgKind, ProgType, Program as Linked};
use backstop::{Caller, Engine, Input, Linker, Loaded, Program, Store};
use common::host::{self, Host};

/// Prints "x" by one of the helpers, then writes 9 to its memory.
fn printing(helper: u32) -> Linked {
    let text = format!(
        "r6 = r1
         r7 = 0x78
         *(u64 *)(r10 - 8) = r7
         r1 = r10
         r1 += -8
         r2 = 2
         r3 = 0
         r4 = 0
         r5 = 0
         call {helper}
         r7 = 9
         *(u8 *)(r6 + 0) = r7
         r0 = 7
         exit"
    );
    Linked {
        name: "prints".to_owned(),
        section: String::new(),
        kind: ProgKind { memory_len: 8, ..ProgKind::new(ProgType::RawMem) },
        slots: assemble(&text).expect("text that can be assembled"),
        maps: Vec::new(),
        kfuncs: Vec::new(),
        btf: None,
        func_info: Vec::new(),
        line_info: Vec::new(),
        poisoned: Vec::new(),
        license: "GPL".to_owned(),
    }
}

/// Panics when the last one is dropped, once.
struct Bomb(AtomicBool);

impl Drop for Bomb {
    fn drop(&mut self) {
        assert!(!self.0.swap(false, Ordering::Relaxed), "the host's own drop");
    }
}

/// A program whose host function has captured a value.
fn capturing<T: Send + Sync + 'static>(engine: &Engine, captured: Arc<T>) -> Program<Host> {
    let mut linker = Linker::<Host>::new(engine);
    let note = move |_: &mut Caller<'_, Host>, _: u64| {
        let _ = &captured;
    };
    linker.kfunc("host_note", note).unwrap_or_else(|e| panic!("{e}"));
    let loaded = host::open(engine).load_programs(&linker, &["notes_then_throws"]).unwrap_or_else(|e| panic!("{e}"));
    loaded.program("notes_then_throws").expect("it")
}

engines! {
    /// Nothing of the guest runs after it, on any engine, and it comes out of the run.
    fn a_panic_of_the_trace_sink_ends_the_run(engine: &Engine) {
        for helper in [6, 177] {
            let calls = Arc::new(AtomicU32::new(0));
            let seen = Arc::clone(&calls);
            let config = engine.config().clone().trace(move |line| {
                seen.fetch_add(1, Ordering::Relaxed);
                panic!("no more {line}");
            });
            let engine = Engine::new(config).expect("an engine");
            let loaded = Loaded::from_program(&Linker::<()>::new(&engine), printing(helper)).unwrap_or_else(|e| panic!("{e}"));
            let program = loaded.program("prints").expect("it");
            let mut memory = [0; 8];
            let ran = catch_unwind(AssertUnwindSafe(|| {
                program.run(&mut Store::new(&engine, ()), Input::Memory(&mut memory)).map(|exit| exit.value())
            }));
            let payload = ran.expect_err("a panic");
            assert_eq!(payload.downcast_ref::<String>().map(String::as_str), Some("no more x"));
            assert_eq!((calls.load(Ordering::Relaxed), memory[0]), (1, 0), "helper {helper}");
        }
    }

    /// Programs that leave a prog_array later on the same thread go as ever.
    fn a_panic_in_a_drop_does_not_stop_reclamation(engine: &Engine) {
        let jumper = host::load(engine, &["jumps_away"]);
        let set = |program: &Program<Host>| jumper.set_tail_call("jumps", 0, program).unwrap_or_else(|e| panic!("{e}"));
        set(&capturing(engine, Arc::new(Bomb(AtomicBool::new(true)))));
        let alive = Arc::new(());
        let good = capturing(engine, Arc::clone(&alive));
        catch_unwind(AssertUnwindSafe(|| set(&good))).expect_err("the drop's panic");
        drop(good);
        assert_eq!(Arc::strong_count(&alive), 2);
        set(&capturing(engine, Arc::new(())));
        assert_eq!(Arc::strong_count(&alive), 1);
    }
}
