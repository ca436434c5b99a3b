//! Blocks: how a case gets its operands and how all that it may have changed is seen.
//!
//! A block loads r0 to r9 from the memory's input words (or makes some of them pointers), puts input words where the case's access
//! leads, runs the instructions under test, and stores all ten registers, a flag and the accessed words to a place of its own. So a
//! case tells what it should change and what it should not, and all registers can take part: r0 to r9 hold nothing of the frame's.
//!
//! The frame: `r10 - 8` holds the memory's address, `r10 - 16` saves r0, `r10 - 24` is the flag.

use std::ops::Range;

use backstop::isa::table::Row;
use backstop::isa::{AluOp, Slot};

use crate::code::{FP, alu, alu_imm, call, exit, load, mov, mov_imm, store, store_imm};
use crate::trial::{Case, INPUT_BYTES, Setting, Trial};
use crate::values::Inputs;

/// Where the memory's address is kept.
pub(crate) const HOME: i16 = -8;
const SAVED_R0: i16 = -16;
/// A case sets this word (to 1) to show that a path was taken.
pub(crate) const FLAG: i16 = -24;
/// Bytes of a window: what a case's access may touch.
const WINDOW_BYTES: usize = 24;
/// The window in memory lies behind the input words.
pub(crate) const WINDOW: i32 = INPUT_BYTES as i32;
/// Results begin here; the word between shows an access beyond the window.
const RESULTS: usize = INPUT_BYTES + WINDOW_BYTES + 8;

/// What a register that is no number holds when the case begins.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Pointer {
    /// The memory's start plus bytes.
    Memory(i32),
    /// r10 plus bytes.
    Stack(i32),
}

/// Where a case's access leads.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Window {
    /// To the window in memory.
    Memory,
    /// To the stack, from r10 plus these bytes on (a multiple of 8).
    Stack(i16),
}

/// A case to be.
#[derive(Clone, Debug, Default)]
pub(crate) struct Block {
    pub(crate) window: Option<Window>,
    /// Registers that hold pointers when the case begins.
    pub(crate) pointers: Vec<(u8, Pointer)>,
    /// Of those, the registers that hold something else when it ends.
    pub(crate) lost: Vec<u8>,
    /// Registers that can't be read when it ends.
    pub(crate) dead: Vec<u8>,
    /// The case sets the flag on some path.
    pub(crate) flag: bool,
    /// The instructions under test.
    pub(crate) test: Vec<Slot>,
    /// Calls in `test`: which slot calls which function.
    pub(crate) calls: Vec<(usize, usize)>,
}

/// A function that cases call.
#[derive(Clone, Debug, Default)]
pub(crate) struct Function {
    pub(crate) slots: Vec<Slot>,
    /// Which slot calls (or names) which function.
    pub(crate) calls: Vec<(usize, usize)>,
}

/// Gathers blocks into one program.
pub(crate) struct Blocks {
    slots: Vec<Slot>,
    cases: Vec<Case>,
    calls: Vec<(usize, usize)>,
    out: usize,
    offered: usize,
    every: usize,
}

impl Blocks {
    /// A program that keeps every `every`-th block that it is offered, the first one always.
    pub(crate) fn new(every: usize) -> Blocks {
        let slots = vec![store(FP, HOME, 1)];
        Blocks { slots, cases: Vec::new(), calls: Vec::new(), out: RESULTS, offered: 0, every }
    }

    /// Adds a case for a row of the ISA table.
    pub(crate) fn add(&mut self, row: &'static Row, block: &Block) {
        self.add_named(row.name, row.group.name(), block);
    }

    /// Adds a case that is about more than one row.
    pub(crate) fn add_named(&mut self, name: &'static str, group: &'static str, block: &Block) {
        self.offered += 1;
        if !(self.offered - 1).is_multiple_of(self.every.max(1)) {
            return;
        }
        self.prologue(block);
        let start = self.slots.len();
        self.slots.extend_from_slice(&block.test);
        self.calls.extend(block.calls.iter().map(|(slot, function)| (start + slot, *function)));
        let test = start..self.slots.len();
        let (out, words) = self.epilogue(block);
        self.cases.push(Case { name, group, test, out, words });
    }

    fn prologue(&mut self, block: &Block) {
        let code = &mut self.slots;
        code.push(load(9, FP, HOME));
        let from = |n: u8| i16::from(n) * 8;
        for n in 0..block.window.map_or(0, |_| 3) {
            code.push(load(8, 9, from(10 + n)));
            code.push(match block.window {
                Some(Window::Stack(at)) => store(FP, at + from(n), 8),
                _ => store(9, WINDOW as i16 + from(n), 8),
            });
        }
        if block.flag {
            code.push(store_imm(FP, FLAG, 0));
        }
        let number = |n: u8| block.pointers.iter().all(|(pointer, _)| *pointer != n);
        code.extend((0..10).filter(|n| number(*n)).map(|n| load(n, 9, from(n))));
        for (n, pointer) in &block.pointers {
            let (base, bytes) = match pointer {
                Pointer::Memory(bytes) => (load(*n, FP, HOME), *bytes),
                Pointer::Stack(bytes) => (mov(*n, FP), *bytes),
            };
            code.extend([base, alu_imm(AluOp::Add, *n, bytes)]);
        }
    }

    fn epilogue(&mut self, block: &Block) -> (Range<usize>, Vec<&'static str>) {
        let code = &mut self.slots;
        let kept = |n: &u8| !block.lost.contains(n);
        let stack = |p: &Pointer| matches!(p, Pointer::Stack(_));
        let pointers = || block.pointers.iter().filter(|(n, _)| kept(n));
        // Addresses differ from engine to engine; distances don't.
        code.extend(pointers().filter(|(_, p)| stack(p)).map(|(n, _)| alu(AluOp::Sub, *n, FP)));
        code.extend(block.dead.iter().map(|n| mov_imm(*n, 0)));
        code.extend([store(FP, SAVED_R0, 0), load(0, FP, HOME)]);
        let in_memory = |n: u8| pointers().any(|(pointer, p)| *pointer == n && !stack(p));
        code.extend((1..10).filter(|n| in_memory(*n)).map(|n| alu(AluOp::Sub, n, 0)));
        code.push(alu_imm(AluOp::Add, 0, self.out as i32));
        let mut words = vec!["r0", "r1", "r2", "r3", "r4", "r5", "r6", "r7", "r8", "r9"];
        code.extend((1..10).map(|n| store(0, i16::from(n) * 8, n)));
        code.push(load(1, FP, SAVED_R0));
        if in_memory(0) {
            code.extend([load(2, FP, HOME), alu(AluOp::Sub, 1, 2)]);
        }
        code.push(store(0, 0, 1));
        let mut to = 80;
        if block.flag {
            code.extend([load(1, FP, FLAG), store(0, to, 1)]);
            to += 8;
            words.push("flag");
        }
        if let Some(window) = block.window {
            if window == Window::Memory {
                code.push(load(2, FP, HOME));
            }
            for n in 0..3 {
                code.push(match window {
                    Window::Stack(at) => load(1, FP, at + n * 8),
                    Window::Memory => load(1, 2, WINDOW as i16 + n * 8),
                });
                code.push(store(0, to, 1));
                to += 8;
            }
            words.extend(["memory+0", "memory+8", "memory+16"]);
        }
        let out = self.out..self.out + words.len() * 8;
        self.out = out.end;
        (out, words)
    }

    /// Calls a function that no kept case may call, since unreachable functions are refused. Its result is not looked at.
    pub(crate) fn reach(&mut self, function: usize) {
        self.slots.extend((1..6).map(|n| mov_imm(n, i32::from(n))));
        self.calls.push((self.slots.len(), function));
        self.slots.push(call());
    }

    /// The program of all blocks; it returns 0.
    pub(crate) fn finish(self, inputs: Inputs) -> Trial {
        self.finish_with(inputs, &[], Vec::new())
    }

    /// The program with functions whose addresses its cases take: it brings their types.
    pub(crate) fn finish_typed(self, inputs: Inputs, functions: &[Function]) -> Trial {
        let main = self.slots.len() + 2;
        let sizes = functions.iter().map(|function| function.slots.len());
        let mut typed = vec![0];
        typed.extend(sizes.scan(main, |at, size| Some(std::mem::replace(at, *at + size))));
        Trial { typed, ..self.finish_with(inputs, functions, Vec::new()) }
    }

    /// The program with the functions that its cases call, and with arrays of one element.
    pub(crate) fn finish_with(mut self, inputs: Inputs, functions: &[Function], maps: Vec<u32>) -> Trial {
        self.slots.extend([mov_imm(0, 0), exit()]);
        let mut entries = Vec::new();
        for function in functions {
            let entry = self.slots.len();
            entries.push(entry);
            self.slots.extend_from_slice(&function.slots);
            self.calls.extend(function.calls.iter().map(|(slot, callee)| (entry + slot, *callee)));
        }
        for (slot, function) in self.calls {
            let entry = entries.get(function).copied().unwrap_or(0);
            if let Some(call) = self.slots.get_mut(slot) {
                call.imm = entry as i32 - (slot as i32 + 1);
            }
        }
        Trial { maps, ..Trial::new(self.slots, Setting::Memory(self.out), self.cases, inputs) }
    }
}
