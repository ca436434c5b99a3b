//! Jumps over one instruction: whether it is skipped shows in the flag.

use backstop::isa::table::{Fill, Op, Row};
use backstop::isa::{AluOp, CmpOp, Slot, Width};

use super::alu::chosen;
use super::{Plan, instance, pairs};
use crate::block::{Block, FLAG, Pointer};
use crate::code::{FP, alu_imm, branch, branch_imm, goto, store_imm};
use crate::trial::Trial;
use crate::values::{BOUNDARY, Inputs};

/// Immediates of one program.
const IMMEDIATES: usize = 10;

fn flagged(mut test: Vec<Slot>) -> Block {
    test.push(store_imm(FP, FLAG, 1));
    Block { flag: true, test, ..Block::default() }
}

/// All pairs of registers, each with all pairs of boundary values; and r10, whose content is known only against copies of itself.
pub(super) fn registers(row: &'static Row, plan: &Plan) -> Vec<Trial> {
    let over = |dst, src| flagged(instance(row, Fill { dst, src, off: 1, ..Fill::default() }));
    let mut blocks = plan.blocks();
    for (dst, src) in pairs() {
        blocks.add(row, &over(dst, src));
    }
    let mut trials = vec![blocks.finish(Inputs::Pairs)];
    let mut blocks = plan.blocks();
    let wide = matches!(row.op, Op::Branch { width: Width::W64, .. });
    for n in 0..10 {
        for distance in [0, -8] {
            if distance == 0 || wide {
                let pointers = vec![(n, Pointer::Stack(distance))];
                blocks.add(row, &Block { pointers: pointers.clone(), ..over(n, FP) });
                blocks.add(row, &Block { pointers, ..over(FP, n) });
            }
        }
    }
    trials.push(blocks.finish(Inputs::Random(2, plan.seed)));
    trials
}

/// All registers with all chosen immediates; registers take boundary values and those next to the immediates, sign- and zero-extended.
pub(super) fn immediates(row: &'static Row, plan: &Plan) -> Vec<Trial> {
    let trial = |part: &[i32]| {
        let mut blocks = plan.blocks();
        let mut values = BOUNDARY.to_vec();
        for &imm in part {
            for dst in 0..10 {
                blocks.add(row, &flagged(instance(row, Fill { dst, imm, off: 1, ..Fill::default() })));
            }
            let (sign, zero) = (i64::from(imm) as u64, u64::from(imm as u32));
            values.extend([sign, zero, sign.wrapping_add(1), sign.wrapping_sub(1), zero | 1 << 32]);
        }
        blocks.finish(Inputs::Each(values))
    };
    chosen(row, plan).chunks(IMMEDIATES).map(trial).collect()
}

/// `goto` and `gotol`: what they jump over stays reachable another way.
pub(super) fn always(row: &'static Row, plan: &Plan) -> Vec<Trial> {
    let mut blocks = plan.blocks();
    for (a, b) in pairs() {
        let mut test = vec![branch(CmpOp::Gt, a, b, 1)];
        test.extend(instance(row, Fill { off: 1, imm: 1, ..Fill::default() }));
        blocks.add(row, &flagged(test));
    }
    vec![blocks.finish(Inputs::each())]
}

/// Loops that end by their own condition long before `may_goto`'s budget does, and jumps that it need not take.
pub(super) fn may_goto(row: &'static Row, plan: &Plan) -> Vec<Trial> {
    let mut blocks = plan.blocks();
    for (count, sum) in pairs().filter(|(count, sum)| count != sum) {
        let mut test = vec![alu_imm(AluOp::And, count, 0xff)];
        // Rounds: if count == 0, out; may_goto out; sum += 3; count -= 1; again.
        test.push(branch_imm(CmpOp::Eq, count, 0, 4));
        test.extend(instance(row, Fill { off: 3, ..Fill::default() }));
        test.extend([alu_imm(AluOp::Add, sum, 3), alu_imm(AluOp::Sub, count, 1), goto(-5)]);
        blocks.add(row, &Block { test, ..Block::default() });
    }
    let mut trials = vec![blocks.finish(Inputs::each())];
    let mut blocks = plan.blocks();
    blocks.add(row, &flagged(instance(row, Fill { off: 1, ..Fill::default() })));
    trials.push(blocks.finish(Inputs::Random(2, plan.seed)));
    trials
}
