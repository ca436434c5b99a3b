//! Jumps to both ends of their range, and the longest program.
//!
//! What a far jump passes over can be reached another way, since unreachable instructions are refused; how much of it ran shows in r4.

use backstop::isa::table::{Fill, Op, Row, SrcKind};
use backstop::isa::{AluOp, CmpOp, Slot};

use super::{Plan, instance};
use crate::block::{Block, FLAG};
use crate::code::{FP, alu_imm, branch, goto, one, store_imm};
use crate::trial::Trial;
use crate::values::{Inputs, Stream};

/// All that a program may have.
const MOST_SLOTS: usize = 1_000_000;
/// Nearly as far as a program can be long, with room for what stands around the jump: far beyond 16 bits.
const LONG: i32 = MOST_SLOTS as i32 - 1_000;
/// What the longest program is called.
pub(super) const MILLION: &str = "a program of 1000000 instructions";
const DST: u8 = 7;
const SRC: u8 = 2;
const IMM: i32 = 5;

/// Values for which each condition holds in some runs and not in others: words 7 and 2 are equal, above or below each other.
const VALUES: [u64; 12] =
    [5, u64::MAX, 0, 1 << 63, 0x8000_0000, 5, 1, 0, 0xffff_ffff, 7, i64::MAX as u64, 0xffff_ffff_0000_0005];

fn inputs() -> Inputs {
    Inputs::Each(VALUES.to_vec())
}

fn padding(slots: i32) -> impl Iterator<Item = Slot> {
    (0..slots).map(|_| alu_imm(AluOp::Add, 4, 1))
}

fn trial(row: &'static Row, plan: &Plan, flag: bool, test: Vec<Slot>) -> Vec<Trial> {
    let mut blocks = plan.blocks();
    blocks.add(row, &Block { flag, test, ..Block::default() });
    vec![blocks.finish(inputs())]
}

fn fill(row: &Row, distance: i32) -> Fill {
    let conditional = matches!(row.op, Op::Branch { src: SrcKind::Imm, .. });
    let imm = if conditional { IMM } else { distance };
    Fill { dst: DST, src: SRC, off: distance as i16, imm, ..Fill::default() }
}

fn unconditional(row: &Row) -> bool {
    matches!(row.op, Op::Jump { .. })
}

fn reach(row: &Row, end: i16) -> i32 {
    match row.op {
        Op::Jump { long: true } => LONG * i32::from(end.signum()),
        _ => i32::from(end),
    }
}

/// Far jumps make long programs: thinning leaves most conditions to their near cases.
fn kept(row: &Row, plan: &Plan) -> bool {
    !matches!(row.op, Op::Branch { .. }) || usize::from(row.code >> 3).is_multiple_of(plan.every)
}

/// Over as much as the instruction can pass.
pub(super) fn forward(row: &'static Row, plan: &Plan) -> Vec<Trial> {
    if !kept(row, plan) {
        return Vec::new();
    }
    let distance = reach(row, i16::MAX);
    let mut test = Vec::new();
    if unconditional(row) {
        test.push(branch(CmpOp::Gt, DST, SRC, 1));
    }
    test.extend(instance(row, fill(row, distance)));
    test.extend(padding(distance));
    trial(row, plan, false, test)
}

/// Back to a place before the padding, from where a long jump leads to the end.
pub(super) fn backward(row: &'static Row, plan: &Plan) -> Vec<Trial> {
    if !kept(row, plan) {
        return Vec::new();
    }
    let distance = reach(row, i16::MIN);
    // Behind the padding stands the jump, and before it what keeps the end reachable if it is unconditional.
    let before = i32::from(unconditional(row));
    let padded = -distance - 3 - before;
    let mut test = vec![goto(2), store_imm(FP, FLAG, 1)];
    test.push(one(backstop::isa::Instr::Jump { off: padded + before + 1, long: true }));
    test.extend(padding(padded));
    if unconditional(row) {
        test.push(branch(CmpOp::Gt, DST, SRC, 1));
    }
    test.extend(instance(row, fill(row, distance)));
    let without_linux = matches!(row.op, Op::MayGoto)
        .then_some("it puts instructions of its own before such a jump, which leads too far then");
    trial(row, plan, true, test).into_iter().map(|trial| Trial { without_linux, ..trial }).collect()
}

/// A program of as many instructions as there may be.
pub(super) fn million(plan: &Plan) -> Vec<Trial> {
    let whole = |test: Vec<Slot>| {
        let mut blocks = plan.blocks();
        blocks.add_named(MILLION, "base64", &Block { test, ..Block::default() });
        blocks.finish(Inputs::Each(VALUES.get(..2).unwrap_or_default().to_vec()))
    };
    let frame = whole(Vec::new()).slots.len();
    let mut stream = Stream::part(plan.seed, "million");
    let ops = [AluOp::Add, AluOp::Sub, AluOp::Mul, AluOp::Xor, AluOp::Or, AluOp::And];
    let random = |stream: &mut Stream| {
        let op = ops[stream.below(ops.len())];
        let dst = stream.below(10) as u8;
        match op {
            // Or and and would lead all bits to one value.
            AluOp::Or => alu_imm(op, dst, 1 << stream.below(31)),
            AluOp::And => alu_imm(op, dst, !(1 << stream.below(31))),
            _ if stream.below(2) == 0 => alu_imm(op, dst, stream.immediate() | 1),
            _ => crate::code::alu(AluOp::Add, dst, stream.below(10) as u8),
        }
    };
    let trial = whole((0..MOST_SLOTS - frame).map(|_| random(&mut stream)).collect());
    vec![Trial { without_linux: Some("what brings the memory there would make it longer than it may be"), ..trial }]
}
