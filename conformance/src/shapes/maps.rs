//! What loads of addresses name: maps, values of maps, functions; and helpers that take them.

use backstop::isa::table::{Fill, Op, Row};
use backstop::isa::{AluOp, CmpOp, Slot};

use super::{Plan, instance};
use crate::block::{Block, Function};
use crate::code::{FP, alu_imm, branch_imm, exit, helper, load, mov, mov_imm, store};
use crate::trial::Trial;
use crate::values::Inputs;

const LOOKUP: i32 = 1;
const LOOP: i32 = 181;
/// Values of the two maps: of different sizes, so that one taken for the other shows.
const SIZES: [u32; 2] = [64, 256];
/// A place on the stack for keys and contexts, below the frame's own words.
const PLACE: i16 = -32;

fn put(op: AluOp, dst: u8, imm: i32) -> Slot {
    alu_imm(op, dst, imm)
}

/// Values by address: what is stored through it is there.
pub(super) fn values(row: &'static Row, plan: &Plan) -> Vec<Trial> {
    let mut blocks = plan.blocks();
    for (map, size) in (0..).zip(SIZES) {
        for dst in 0..10 {
            for offset in [0, 8, 13, size as i32 - 8] {
                let other = (dst + 1) % 10;
                let mut test = instance(row, Fill { dst, imm: map, next_imm: offset, ..Fill::default() });
                test.extend([store(dst, 0, other), load(dst, dst, 0)]);
                blocks.add(row, &Block { test, ..Block::default() });
            }
        }
    }
    vec![blocks.finish_with(Inputs::each(), &[], SIZES.to_vec())]
}

/// Elements by helper: there, and not there.
pub(super) fn lookups(row: &'static Row, plan: &Plan) -> Vec<Trial> {
    let by_index = Op::LoadPseudo { kind: backstop::isa::Pseudo::MapIdx }.row();
    let mut blocks = plan.blocks();
    for map in 0..SIZES.len() as i32 {
        for dst in 0..10 {
            let key = (dst + 3) % 10;
            let mut test = vec![put(AluOp::And, key, 1), store(FP, PLACE, key)];
            let fill = Fill { dst, imm: map, ..Fill::default() };
            test.extend(by_index.map_or_else(Vec::new, |row| instance(row, fill)));
            if dst != 1 {
                test.push(mov(1, dst));
            }
            test.extend([mov(2, FP), put(AluOp::Add, 2, i32::from(PLACE)), helper(LOOKUP)]);
            let kept = if dst == 9 { 8 } else { 9 };
            test.extend([branch_imm(CmpOp::Eq, 0, 0, 2), store(0, 8, kept), load(0, 0, 8)]);
            let mut dead = vec![1, 2, 3, 4, 5];
            if dst > 5 {
                dead.push(dst);
            }
            blocks.add(row, &Block { test, dead, ..Block::default() });
        }
    }
    vec![blocks.finish_with(Inputs::each(), &[], SIZES.to_vec())]
}

/// Functions by address: a counted loop calls them.
pub(super) fn callbacks(row: &'static Row, plan: &Plan) -> Vec<Trial> {
    let body =
        [load(3, 2, 0), put(AluOp::Mul, 3, 3), crate::code::alu(AluOp::Add, 3, 1), store(2, 0, 3), mov_imm(0, 0)];
    let mut all = body.to_vec();
    all.push(exit());
    // Ends the loop in the round after the third.
    let mut some = body.to_vec();
    some.extend([branch_imm(CmpOp::Ne, 1, 3, 1), mov_imm(0, 1), exit()]);
    let functions = [all, some].map(|slots| Function { slots, calls: Vec::new() });
    let mut blocks = plan.blocks();
    for function in 0..functions.len() {
        for dst in 0..10 {
            let rounds = (dst + 1) % 10;
            let mut test = vec![put(AluOp::And, rounds, 7), store(FP, PLACE, (dst + 2) % 10)];
            let at = test.len();
            test.extend(instance(row, Fill { dst, ..Fill::default() }));
            test.extend([store(FP, PLACE - 8, dst), mov(1, rounds), load(2, FP, PLACE - 8), mov(3, FP)]);
            test.extend([put(AluOp::Add, 3, i32::from(PLACE)), mov_imm(4, 0), helper(LOOP), load(1, FP, PLACE)]);
            let mut dead = vec![2, 3, 4, 5];
            if dst > 5 {
                dead.push(dst);
            }
            blocks.add(row, &Block { test, dead, calls: vec![(at, function)], ..Block::default() });
        }
    }
    vec![blocks.finish_typed(Inputs::each(), &functions)]
}
