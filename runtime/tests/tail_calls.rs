//! How many tail calls a run may make: 33, on every engine, in the main function's place and out of a subprogram.

mod common;

use std::sync::Arc;

use backstop::btf::{Btf, BtfBuilder, Encoding, Linkage, TypeId};
use backstop::isa::assemble;
use backstop::model::{FuncInfo, MapKind, MapSpec, ProgKind, ProgType, Program as Linked};
use backstop::{Input, Linker, Loaded, Packet, Store};

/// Tail calls that a run may make (Linux: `MAX_TAIL_CALL_CNT`).
const MOST: u64 = 33;

/// `int endless(void *context)`, and the static `int sub(void *context)`: without types Linux takes no tail call beside subprograms.
fn types() -> (Btf, TypeId, TypeId) {
    let mut btf = BtfBuilder::new();
    let int = btf.int("int", 4, Encoding::Signed);
    let any = btf.ptr(TypeId::VOID);
    let proto = btf.func_proto(int, &[("context", any)]);
    let (main, sub) = (btf.func("endless", proto, Linkage::Global), btf.func("sub", proto, Linkage::Static));
    (btf.build().expect("types"), main, sub)
}

/// A program that counts its entries in `cb[0]` and then calls itself; where the call fails the count is the result.
fn endless(own_call: &str) -> Linked {
    let text = format!("r6 = r1\nr2 = *(u32 *)(r1 + 48)\nr2 += 1\n*(u32 *)(r1 + 48) = r2\n{own_call}");
    let (btf, main, sub) = types();
    let mut func_info = vec![FuncInfo { slot: 0, func: main }];
    // Behind the count, the call and an exit.
    func_info.extend(text.contains("sub:").then_some(FuncInfo { slot: 6, func: sub }));
    Linked {
        name: "endless".to_owned(),
        section: "tc".to_owned(),
        kind: ProgKind::new(ProgType::SchedCls),
        slots: assemble(&text).expect("a program"),
        maps: vec![Arc::new(MapSpec::new("jumps", MapKind::ProgArray, 4, 4, 1))],
        kfuncs: Vec::new(),
        btf: Some(Arc::new(btf)),
        func_info,
        line_info: Vec::new(),
        poisoned: Vec::new(),
        license: "GPL".to_owned(),
    }
}

engines! {
    fn a_run_makes_33_of_them(engine: &Engine) {
        let forms = [
            "r2 = map[0] ll\nr3 = 0\ncall 12\nr0 = *(u32 *)(r6 + 48)\nexit",
            "call sub\nexit\nsub: r6 = r1\nr2 = map[0] ll\nr3 = 0\ncall 12\nr0 = *(u32 *)(r6 + 48)\nexit",
        ];
        for form in forms {
            let loaded = Loaded::from_program(&Linker::<()>::new(engine), endless(form)).expect("a proof");
            let program = loaded.program("endless").expect("the program");
            let run = || {
                let mut packet = Packet::new(&[0; 64]);
                program.run(&mut Store::new(engine, ()), Input::Packet(&mut packet)).expect("a result").value()
            };
            // A call that finds nothing does not count, nor does it end the run.
            assert_eq!(run(), 1, "{form}");
            loaded.set_tail_call("jumps", 0, &program).unwrap_or_else(|e| panic!("{e}"));
            // Each run has its own count.
            for _ in 0..2 {
                assert_eq!(run(), MOST + 1, "{form}");
            }
        }
    }
}
