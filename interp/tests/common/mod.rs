//! Surroundings for the interpreter's tests: programs from assembler text, native functions and programs to tail call.
#![allow(dead_code, unsafe_code)]

pub mod reference;

use std::sync::Arc;

use backstop_interp::{Bindings, CallBack, Code, Halt, Services, Stack, Stop, WalkedFrame, run};
use backstop_ir::{Callee, Ir, Proven, assume_proven, lower_unproven};
use backstop_isa::{Slot, assemble};
use backstop_model::{BuiltinKfunc, ProgKind, ProgType, Program, kfuncs};

/// Helpers that the tests call, by the number that stands in the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Native {
    /// 1: r1 + 10 r2 + 100 r3 + 1000 r4 + 10000 r5.
    Mix,
    /// 2: ends the run.
    End,
    /// 181: as `bpf_loop`: r1 rounds of r2(round, r3), until one returns another value than 0; gives the number of rounds made.
    Loop,
}

pub type TestCode = Code<Native>;

/// What a throw reported.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caught {
    pub cookie: u64,
    pub outermost: bool,
    /// Code and operation.
    pub frames: Vec<(u64, u32)>,
}

/// Records what the interpreter asks for.
#[derive(Default)]
pub struct World {
    /// Slots of the one prog_array, at address [`World::ARRAY`].
    pub programs: Vec<Option<Arc<TestCode>>>,
    pub packet: Vec<u8>,
    pub caught: Vec<Caught>,
    pub halts: Vec<Halt>,
}

impl World {
    pub const ARRAY: u64 = 0x1000;

    pub fn run(&mut self, code: &TestCode, args: [u64; 2]) -> Result<u64, Stop> {
        self.run_on(code, args, &mut Stack::new())
    }

    pub fn run_on(&mut self, code: &TestCode, args: [u64; 2], stack: &mut Stack) -> Result<u64, Stop> {
        // SAFETY: the tests' programs access only the buffers that they are given and their own stack.
        unsafe { run(code, args, self, stack) }
    }
}

impl Services for World {
    type Callee = Native;
    type Mode = Proven;
    type Target = Arc<TestCode>;

    fn call_native(&mut self, callee: &Native, args: [u64; 5], vm: &mut dyn CallBack<World>) -> Result<u64, Stop> {
        match callee {
            Native::Mix => Ok(args.iter().rev().fold(0, |sum: u64, arg| sum.wrapping_mul(10).wrapping_add(*arg))),
            Native::End => Err(Stop),
            Native::Loop => {
                for round in 0..args[0] {
                    if vm.call_back(self, args[1], [round, args[2], 0, 0, 0])? != 0 {
                        return Ok(round + 1);
                    }
                }
                Ok(args[0])
            }
        }
    }

    fn tail_call(&mut self, _context: u64, map: u64, index: u32) -> Result<Option<Arc<TestCode>>, Stop> {
        assert_eq!(map, World::ARRAY);
        Ok(self.programs.get(index as usize).cloned().flatten())
    }

    fn caught(&mut self, cookie: u64, outermost: bool, frames: &[WalkedFrame]) {
        let frames = frames.iter().map(|f| (f.code_id, f.op)).collect();
        self.caught.push(Caught { cookie, outermost, frames });
    }

    fn legacy_load(&mut self, offset: u32, size: u32) -> Option<u64> {
        let from = offset as usize;
        let bytes = self.packet.get(from..from.checked_add(size as usize)?)?;
        Some(bytes.iter().fold(0, |value, byte| value << 8 | u64::from(*byte)))
    }

    fn halted(&mut self, halt: Halt) {
        self.halts.push(halt);
    }
}

/// IR of unproven slots. `call kfunc#0` is `bpf_throw`.
pub fn ir(slots: Vec<Slot>) -> Ir<Proven> {
    let throw = kfuncs::builtin(BuiltinKfunc::Throw).expect("a built-in kfunc");
    let program = Program {
        name: "test".to_owned(),
        section: String::new(),
        kind: ProgKind::new(ProgType::RawMem),
        slots,
        maps: Vec::new(),
        kfuncs: vec![throw],
        btf: None,
        func_info: Vec::new(),
        line_info: Vec::new(),
        poisoned: Vec::new(),
        license: "GPL".to_owned(),
    };
    assume_proven(lower_unproven(&Arc::new(program)).expect("a program that can be lowered"))
}

/// Compact code of unproven slots.
pub fn code_of(slots: Vec<Slot>, code_id: u64) -> TestCode {
    let ir = ir(slots);
    let bindings = Bindings {
        map_addr: &|_| 0,
        map_value_addr: &|_, _| 0,
        callee: &|id| match ir.callees()[id.0 as usize] {
            Callee::Helper(1) => Native::Mix,
            Callee::Helper(2) => Native::End,
            Callee::Helper(181) => Native::Loop,
            ref other => panic!("the tests have no {other:?}"),
        },
        code_id,
    };
    Code::new(&ir, &bindings).expect("a program that can be compiled")
}

/// Compact code of assembler text.
pub fn code(text: &str, code_id: u64) -> TestCode {
    code_of(assemble(text).expect("text that can be assembled"), code_id)
}

/// Result of a program that returns.
pub fn result(text: &str, args: [u64; 2]) -> u64 {
    World::default().run(&code(text, 0), args).expect("a program that returns")
}
