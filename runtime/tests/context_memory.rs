//! A context that a program passes on as memory must be there as far as what it is passed to may reach, though no instruction of the
//! program says so: the proof tells how many bytes that are.

mod common;

use std::sync::Arc;

use backstop::btf::{Btf, BtfBuilder, Encoding, Linkage, TypeId};
use backstop::isa::assemble;
use backstop::model::{FuncInfo, ProgKind, ProgType, Program as Linked};
use backstop::{Input, Linker, Loaded, RunError, Store};

/// Bytes of the structure that the subprogram takes.
const REACH: u32 = 64;

/// `long main(void *context)` and the global `long reader(struct wide *all)`.
fn types() -> (Btf, [TypeId; 2]) {
    let mut btf = BtfBuilder::new();
    let long = btf.int("long", 8, Encoding::Signed);
    let words = btf.array(long, long, REACH / 8);
    let wide = btf.structure("wide", REACH, &[("words", words, 0)]);
    let (all, any) = (btf.ptr(wide), btf.ptr(TypeId::VOID));
    let main = btf.func_proto(long, &[("context", any)]);
    let reader = btf.func_proto(long, &[("all", all)]);
    let functions = [btf.func("main", main, Linkage::Global), btf.func("reader", reader, Linkage::Global)];
    (btf.build().expect("types"), functions)
}

/// Main reads one byte of its context, the subprogram the last one of the structure.
fn passing_on() -> Linked {
    let text = "r6 = *(u8 *)(r1 + 0)\ncall reader\nr0 += r6\nexit\n\
                reader: if r1 == 0 goto none\nr0 = *(u8 *)(r1 + 63)\nexit\nnone: r0 = 0\nexit";
    let (btf, [main, reader]) = types();
    Linked {
        name: "main".to_owned(),
        section: "syscall".to_owned(),
        kind: ProgKind::new(ProgType::Syscall),
        slots: assemble(text).expect("a program"),
        maps: Vec::new(),
        kfuncs: Vec::new(),
        btf: Some(Arc::new(btf)),
        func_info: vec![FuncInfo { slot: 0, func: main }, FuncInfo { slot: 4, func: reader }],
        line_info: Vec::new(),
        poisoned: Vec::new(),
        license: "GPL".to_owned(),
    }
}

engines! {
    fn a_context_is_as_long_as_what_it_is_passed_to_may_reach(engine: &Engine) {
        let loaded = Loaded::from_program(&Linker::<()>::new(engine), passing_on()).expect("a proof");
        let program = loaded.program("main").expect("the program");
        let run = |bytes: usize| {
            let mut memory = vec![0; bytes];
            memory[0] = 5;
            memory[bytes - 1] += 30;
            program.run(&mut Store::new(engine, ()), Input::Memory(&mut memory))
        };
        for short in [1, 8, 56, 63] {
            match run(short) {
                Err(RunError::Input { reason, .. }) => {
                    let wanted = format!("reads or writes {REACH} bytes of its context, the memory has {short}");
                    assert!(reason.contains(&wanted), "{reason}");
                }
                other => panic!("{short} bytes: {other:?}"),
            }
        }
        assert_eq!(run(64).expect("a result").value(), 35);
        assert_eq!(run(80).expect("a result").value(), 5);
    }
}
