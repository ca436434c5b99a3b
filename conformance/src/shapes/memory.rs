//! Loads, stores and atomics: all bases with all operands, offsets at both ends of their range, memory and stack, every alignment that
//! the instruction may have.

use backstop::isa::table::{Fill, Op, Row};
use backstop::isa::{AluOp, AtomicOp, CmpOp, Size, Slot};

use super::alu::chosen;
use super::{Plan, instance, pairs};
use crate::block::{Block, Blocks, FLAG, Pointer, WINDOW, Window};
use crate::code::{FP, alu, branch, load, store_imm};
use crate::trial::Trial;
use crate::values::Inputs;

/// Offsets at which an encoding changes or ends.
const OFFSETS: [i16; 15] = [0, 1, -1, 7, 8, -8, 127, 128, -128, -129, 255, 32760, i16::MAX, -32760, i16::MIN];
/// Where windows on the stack lie: below the frame's own words, down to the deepest.
const STACK: [i16; 5] = [-48, -128, -136, -256, -512];
/// Accesses of a pair of registers: each takes other offsets and places.
const VARIANTS: usize = 3;
const BLOCKS: usize = 150;

fn size_of(row: &Row) -> Size {
    match row.op {
        Op::Load { size, .. }
        | Op::Store { size, .. }
        | Op::Atomic { size, .. }
        | Op::LoadAcquire { size }
        | Op::StoreRelease { size } => size,
        _ => Size::B8,
    }
}

/// Whether the address must be a multiple of the size.
fn aligned(row: &Row) -> bool {
    !matches!(row.op, Op::Load { .. } | Op::Store { .. })
}

/// Chooses offsets and places in turn, so that all of them are met many times over a row's cases.
struct Turn {
    step: usize,
    size: usize,
    aligned: bool,
}

impl Turn {
    fn new(row: &Row) -> Turn {
        Turn { step: 0, size: size_of(row).bytes() as usize, aligned: aligned(row) }
    }

    /// A window, the pointer to be in the base register, and the offset.
    fn next(&mut self) -> (Window, Pointer, i16) {
        let step = self.step;
        self.step += 1;
        let off = OFFSETS[step % OFFSETS.len()];
        let on_stack = step % 4 == 3;
        // The stack is the verifier's: it takes aligned accesses only.
        let grain = if on_stack || self.aligned { self.size } else { 1 };
        let within = (step / 2 % (16 / grain + 1) * grain) as i32;
        if on_stack {
            let at = STACK[step / 4 % STACK.len()];
            (Window::Stack(at), Pointer::Stack(i32::from(at) + within - i32::from(off)), off)
        } else {
            (Window::Memory, Pointer::Memory(WINDOW + within - i32::from(off)), off)
        }
    }

    /// A window on the stack and the offset from r10.
    fn on_frame(&mut self) -> (Window, i16) {
        let step = self.step;
        self.step += 1;
        let at = STACK[step % STACK.len()];
        (Window::Stack(at), at + (step / 2 % (16 / self.size + 1) * self.size) as i16)
    }
}

/// Spreads cases over programs of a bearable size.
fn spread(plan: &Plan, inputs: &Inputs, cases: &[(&'static Row, Block)]) -> Vec<Trial> {
    let trial = |part: &[(&'static Row, Block)]| {
        let mut blocks: Blocks = plan.blocks();
        for (row, block) in part {
            blocks.add(row, block);
        }
        blocks.finish(inputs.clone())
    };
    cases.chunks(BLOCKS).map(trial).collect()
}

/// A load of every destination from every base, the base itself included.
pub(super) fn loads(row: &'static Row, plan: &Plan) -> Vec<Trial> {
    let mut turn = Turn::new(row);
    let mut cases = Vec::new();
    for (dst, base) in pairs() {
        for _ in 0..VARIANTS {
            let (window, pointer, off) = turn.next();
            let block = Block {
                window: Some(window),
                pointers: vec![(base, pointer)],
                lost: if dst == base { vec![base] } else { Vec::new() },
                test: instance(row, Fill { dst, src: base, off, ..Fill::default() }),
                ..Block::default()
            };
            cases.push((row, block));
        }
    }
    for dst in 0..10 {
        for _ in 0..VARIANTS {
            let (window, off) = turn.on_frame();
            let test = instance(row, Fill { dst, src: FP, off, ..Fill::default() });
            cases.push((row, Block { window: Some(window), test, ..Block::default() }));
        }
    }
    spread(plan, &Inputs::each(), &cases)
}

fn store_at(row: &'static Row, base: u8, pointer: Pointer, window: Window, fill: Fill) -> Block {
    Block {
        window: Some(window),
        pointers: vec![(base, pointer)],
        test: instance(row, Fill { dst: base, ..fill }),
        ..Block::default()
    }
}

/// Every source through every base; pointers through themselves.
pub(super) fn stores(row: &'static Row, plan: &Plan) -> Vec<Trial> {
    let mut turn = Turn::new(row);
    let mut cases = Vec::new();
    for (base, src) in pairs() {
        for _ in 0..VARIANTS {
            let (window, pointer, off) = turn.next();
            let block = store_at(row, base, pointer, window, Fill { src, off, ..Fill::default() });
            if base != src {
                cases.push((row, block));
            } else if size_of(row) == Size::B8 {
                cases.push((row, own_address(block, base, off)));
            }
        }
    }
    for src in 0..10 {
        for _ in 0..VARIANTS {
            let (window, off) = turn.on_frame();
            let test = instance(row, Fill { dst: FP, src, off, ..Fill::default() });
            cases.push((row, Block { window: Some(window), test, ..Block::default() }));
        }
        if size_of(row) == Size::B8 {
            let (window, off) = turn.on_frame();
            let mut test = instance(row, Fill { dst: FP, src: FP, off, ..Fill::default() });
            test.extend([load(src, FP, off), alu(AluOp::Sub, src, FP), store_imm(FP, off, 0)]);
            cases.push((row, Block { window: Some(window), test, ..Block::default() }));
        }
    }
    spread(plan, &Inputs::each(), &cases)
}

/// A pointer stored through itself: addresses can't be results, whether it reads back the same can.
fn own_address(block: Block, base: u8, off: i16) -> Block {
    let back = (base + 1) % 10;
    let mut test: Vec<Slot> = block.test.clone();
    test.extend([load(back, base, off), branch(CmpOp::Eq, base, back, 1), store_imm(FP, FLAG, 1)]);
    test.push(store_imm(base, off, 0));
    Block { flag: true, dead: vec![back], test, ..block }
}

/// Chosen immediates through all bases, r10 included.
pub(super) fn store_immediates(row: &'static Row, plan: &Plan) -> Vec<Trial> {
    let mut turn = Turn::new(row);
    let mut cases = Vec::new();
    for imm in chosen(row, plan) {
        for base in 0..10 {
            let (window, pointer, off) = turn.next();
            cases.push((row, store_at(row, base, pointer, window, Fill { imm, off, ..Fill::default() })));
        }
        let (window, off) = turn.on_frame();
        let test = instance(row, Fill { dst: FP, imm, off, ..Fill::default() });
        cases.push((row, Block { window: Some(window), test, ..Block::default() }));
    }
    spread(plan, &Inputs::Random(4, plan.seed), &cases)
}

/// Every operand through every base; r0 takes both parts, but an address is no operand of atomics.
pub(super) fn atomics(row: &'static Row, plan: &Plan) -> Vec<Trial> {
    let mut turn = Turn::new(row);
    let compares = matches!(row.op, Op::Atomic { op: AtomicOp::Cmpxchg, .. });
    let mut cases = Vec::new();
    for (base, src) in pairs().filter(|(base, src)| base != src && !(compares && *base == 0)) {
        let (window, pointer, off) = turn.next();
        cases.push((row, store_at(row, base, pointer, window, Fill { src, off, ..Fill::default() })));
    }
    for src in 0..10 {
        for _ in 0..VARIANTS {
            let (window, off) = turn.on_frame();
            let test = instance(row, Fill { dst: FP, src, off, ..Fill::default() });
            cases.push((row, Block { window: Some(window), test, ..Block::default() }));
        }
    }
    spread(plan, &Inputs::Pairs, &cases)
}
