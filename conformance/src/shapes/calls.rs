//! Calls of the program's own functions, exits, and throws.

use backstop::isa::table::{Fill, Row};
use backstop::isa::{AluOp, CmpOp, Slot};

use super::{Plan, instance};
use crate::block::{Block, Function};
use crate::code::{FP, alu, alu_imm, branch, call, exit, load, mov, mov_imm, store, store_imm};
use crate::trial::{Case, INPUT_BYTES, Setting, Trial};
use crate::values::Inputs;

const DEAD: [u8; 5] = [1, 2, 3, 4, 5];
/// Farther than 16 bits reach.
const FAR: usize = 40_000;
/// The functions under main in the deepest chain: with main 8 frames.
const CHAIN: u8 = 7;

fn calling(row: &Row, function: usize) -> Block {
    let test = instance(row, Fill::default());
    Block { test, calls: vec![(0, function)], dead: DEAD.to_vec(), ..Block::default() }
}

fn of(mask: u8) -> impl Iterator<Item = u8> {
    (0..4).filter(move |n| mask >> n & 1 != 0)
}

/// A function that writes these of r6 to r9 and mixes them and its arguments into r0.
fn writer(mask: u8) -> Function {
    let mut slots = vec![mov(0, 1)];
    if mask & 1 != 0 {
        slots.extend([store(FP, -8, 4), mov_imm(4, 0), load(4, FP, -8)]);
    }
    slots.extend(of(mask).map(|n| mov(6 + n, 2 + n)));
    for n in [2, 3, 4, 5] {
        slots.extend([alu_imm(AluOp::Mul, 0, 7), alu(AluOp::Add, 0, n)]);
    }
    slots.extend(of(mask).flat_map(|n| [alu_imm(AluOp::Add, 6 + n, 11), alu(AluOp::Xor, 0, 6 + n)]));
    slots.push(exit());
    Function { slots, calls: Vec::new() }
}

/// A function that keeps its arguments in these of r6 to r9 over a call.
fn keeper(mask: u8, callee: usize) -> Function {
    let mut slots: Vec<Slot> = of(mask).map(|n| mov(6 + n, 1 + n)).collect();
    let at = slots.len();
    slots.push(call());
    slots.extend(of(mask).flat_map(|n| [alu_imm(AluOp::Mul, 0, 5), alu(AluOp::Add, 0, 6 + n)]));
    slots.push(exit());
    Function { slots, calls: vec![(at, callee)] }
}

/// r6 to r9 survive calls, whatever set of them caller and callee write.
pub(super) fn saved(row: &'static Row, plan: &Plan) -> Vec<Trial> {
    let trial = |mask: u8| {
        let mut functions: Vec<Function> = (0..16).map(writer).collect();
        let mut blocks = plan.blocks();
        for callee in 0..16 {
            functions.push(keeper(mask, callee));
            blocks.add(row, &calling(row, 16 + callee));
            blocks.add(row, &calling(row, callee));
        }
        // What thinning left uncalled would be unreachable.
        for function in 0..functions.len() {
            blocks.reach(function);
        }
        blocks.finish_with(Inputs::each(), &functions, Vec::new())
    };
    (0..16).map(trial).collect()
}

/// One function of the chain: keeps all it has in registers and on its stack, and turns its arguments round for the next.
fn link(number: u8) -> Function {
    let mut slots =
        vec![mov(6, 1), mov(7, 2), store(FP, -8, 3), store(FP, -16, 4), mov(8, 5), mov_imm(9, i32::from(number))];
    let mut calls = Vec::new();
    if number + 1 < CHAIN {
        slots.extend([mov(1, 7), load(2, FP, -8), mov(3, 4), mov(4, 8), mov(5, 6)]);
        calls.push((slots.len(), usize::from(number) + 1));
        slots.push(call());
    } else {
        slots.push(mov(0, 3));
    }
    slots.extend([alu(AluOp::Xor, 0, 6), alu(AluOp::Add, 0, 7), load(1, FP, -8), alu(AluOp::Add, 0, 1)]);
    slots.extend([load(1, FP, -16), alu(AluOp::Xor, 0, 1), alu_imm(AluOp::Mul, 0, 3)]);
    slots.extend([alu(AluOp::Add, 0, 8), alu(AluOp::Add, 0, 9), exit()]);
    Function { slots, calls }
}

/// 2 to 8 frames, each with a stack and all of r6 to r9 in use.
pub(super) fn frames(row: &'static Row, plan: &Plan) -> Vec<Trial> {
    let mut blocks = plan.blocks();
    for first in 0..CHAIN {
        blocks.add(row, &calling(row, usize::from(first)));
    }
    let functions: Vec<Function> = (0..CHAIN).map(link).collect();
    vec![blocks.finish_with(Inputs::each(), &functions, Vec::new())]
}

/// Calls farther than a jump of 16 bits leads, forward and back.
pub(super) fn far(row: &'static Row, plan: &Plan) -> Vec<Trial> {
    let mut blocks = plan.blocks();
    let mut block = calling(row, 1);
    block.test.extend((0..FAR).map(|_| alu_imm(AluOp::Add, 6, 1)));
    blocks.add(row, &block);
    let mut slots: Vec<Slot> = (0..FAR).map(|_| alu_imm(AluOp::Add, 1, 1)).collect();
    slots.extend([call(), exit()]);
    let back = Function { slots, calls: vec![(FAR, 0)] };
    vec![blocks.finish_with(Inputs::Random(3, plan.seed), &[writer(15), back], Vec::new())]
}

/// A program whose r0 alone tells.
fn bare(row: &'static Row, slots: Vec<Slot>, throws: bool, inputs: Inputs) -> Trial {
    let case = Case { name: row.name, group: row.group.name(), test: 0..slots.len(), out: 0..0, words: Vec::new() };
    Trial { throws, ..Trial::new(slots, Setting::Memory(INPUT_BYTES + 8), vec![case], inputs) }
}

/// Exits: at the end, early, and out of a function.
pub(super) fn exits(row: &'static Row, _: &Plan) -> Vec<Trial> {
    let leave = || instance(row, Fill::default());
    let mut early = vec![load(0, 1, 0), load(3, 1, 8), branch(CmpOp::Sgt, 0, 3, 1)];
    early.extend(leave());
    early.push(mov(0, 3));
    early.extend(leave());
    let mut inner = vec![call(), alu_imm(AluOp::Add, 0, 1)];
    if let Some(call) = inner.first_mut() {
        call.imm = 2;
    }
    inner.extend(leave());
    inner.push(load(0, 1, 16));
    inner.extend(leave());
    let mut last = vec![load(0, 1, 0)];
    last.extend(leave());
    [last, early, inner].into_iter().map(|slots| bare(row, slots, false, Inputs::each())).collect()
}

/// The kfunc that every runtime with exceptions has: main, or a function under it, throws in some runs, and the cookie is the result.
pub(super) fn throws(row: &'static Row, _: &Plan) -> Vec<Trial> {
    let mut own = vec![load(6, 1, 0), load(7, 1, 8), branch(CmpOp::Gt, 6, 7, 4), store_imm(1, INPUT_BYTES as i16, 1)];
    own.push(mov(1, 7));
    own.extend(instance(row, Fill::default()));
    own.push(exit());
    own.extend([mov_imm(0, 5), exit()]);
    // The branch leads past the exit that nothing reaches at run time.
    let mut below = vec![load(6, 1, 0), load(2, 1, 8), mov(8, 1), call(), alu(AluOp::Add, 0, 6)];
    below.extend([store_imm(8, INPUT_BYTES as i16, 2), exit()]);
    let entry = below.len() as i32;
    if let Some(call) = below.get_mut(3) {
        call.imm = entry - 4;
    }
    below.extend([load(6, 1, 16), mov_imm(7, 9), branch(CmpOp::Sgt, 6, 2, 3), mov(1, 6)]);
    below.extend(instance(row, Fill::default()));
    below.push(exit());
    below.extend([mov(0, 7), exit()]);
    [own, below].into_iter().map(|slots| bare(row, slots, true, Inputs::each())).collect()
}
