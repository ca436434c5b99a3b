//! Arithmetic, moves, byte orders, constants.

use backstop::isa::table::{Fill, ImmField, Op, Row};
use backstop::isa::{AluOp, Slot, Width};

use super::{Plan, instance, pairs};
use crate::block::Block;
use crate::code::{FP, alu, mov, mov_imm};
use crate::trial::Trial;
use crate::values::{BOUNDARY, IMMEDIATES, Inputs, Stream};

/// Blocks of one program.
const BLOCKS: usize = 160;
/// Immediates of chance, beside those at boundaries.
const CHANCE: usize = 28;

fn plain(test: Vec<Slot>) -> Block {
    Block { test, ..Block::default() }
}

/// All pairs of registers, each with all pairs of boundary values; and r10 where it may be a source.
pub(super) fn registers(row: &'static Row, plan: &Plan) -> Vec<Trial> {
    let mut blocks = plan.blocks();
    for (dst, src) in pairs() {
        blocks.add(row, &plain(instance(row, Fill { dst, src, ..Fill::default() })));
    }
    let mut trials = vec![blocks.finish(Inputs::Pairs)];
    let before = |dst: u8| match row.op {
        Op::Mov { width: Width::W64, .. } => Some(Vec::new()),
        Op::Alu { width: Width::W64, op: AluOp::Add, .. } => Some(vec![mov_imm(dst, -64)]),
        Op::Alu { width: Width::W64, op: AluOp::Sub, .. } => Some(vec![mov(dst, FP)]),
        _ => None,
    };
    if before(0).is_some() {
        let mut blocks = plan.blocks();
        for dst in 0..10 {
            let mut test = before(dst).unwrap_or_default();
            test.extend(instance(row, Fill { dst, src: FP, ..Fill::default() }));
            if !matches!(row.op, Op::Alu { op: AluOp::Sub, .. }) {
                test.push(alu(AluOp::Sub, dst, FP));
            }
            blocks.add(row, &plain(test));
        }
        trials.push(blocks.finish(Inputs::Random(3, plan.seed)));
    }
    trials
}

/// Operations of one register: each boundary value.
pub(super) fn single(row: &'static Row, plan: &Plan) -> Vec<Trial> {
    let mut blocks = plan.blocks();
    for dst in 0..10 {
        blocks.add(row, &plain(instance(row, Fill { dst, ..Fill::default() })));
    }
    vec![blocks.finish(Inputs::each())]
}

/// The immediates for a row: boundaries and some of chance, each once and only legal ones.
pub(super) fn chosen(row: &Row, plan: &Plan) -> Vec<i32> {
    let mut stream = Stream::part(plan.seed, row.name);
    let chance = (0..CHANCE).map(|_| stream.immediate());
    let shifts = 0..if matches!(row.imm, ImmField::Shift(_)) { 64 } else { 0 };
    let all = IMMEDIATES.into_iter().chain(shifts).chain(chance);
    let legal = |imm| row.legal_instance(Fill { imm, ..Fill::default() }).first().imm;
    let mut chosen: Vec<i32> = all.map(legal).collect();
    chosen.sort_unstable();
    chosen.dedup();
    chosen
}

/// All destinations with all chosen immediates, each on every boundary value.
pub(super) fn immediates(row: &'static Row, plan: &Plan) -> Vec<Trial> {
    let cases: Vec<(i32, u8)> =
        chosen(row, plan).into_iter().flat_map(|imm| (0..10).map(move |dst| (imm, dst))).collect();
    let trial = |part: &[(i32, u8)]| {
        let mut blocks = plan.blocks();
        for (imm, dst) in part {
            blocks.add(row, &plain(instance(row, Fill { dst: *dst, imm: *imm, ..Fill::default() })));
        }
        blocks.finish(Inputs::each())
    };
    cases.chunks(BLOCKS).map(trial).collect()
}

/// 64-bit immediates in all registers.
pub(super) fn constants(row: &'static Row, plan: &Plan) -> Vec<Trial> {
    let mut stream = Stream::part(plan.seed, row.name);
    let mut blocks = plan.blocks();
    let chance: Vec<u64> = (0..CHANCE).map(|_| stream.next()).collect();
    for value in BOUNDARY.into_iter().chain(chance) {
        for dst in 0..10 {
            let fill = Fill { dst, imm: value as i32, next_imm: (value >> 32) as i32, ..Fill::default() };
            blocks.add(row, &plain(instance(row, fill)));
        }
    }
    vec![blocks.finish(Inputs::Random(2, plan.seed))]
}
