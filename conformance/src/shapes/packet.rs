//! Legacy packet loads: within the packet, across its end, beyond it.

use backstop::isa::table::{Fill, Op, Row};
use backstop::isa::{AluOp, Instr, Size, Slot};

use super::{Plan, instance};
use crate::code::{alu, alu_imm, exit, mov, mov_imm, one, reg};
use crate::trial::{Case, Setting, Trial};
use crate::values::Inputs;

/// Bytes of the packet that the program sees.
const LEN: i32 = 61;
const ETHERNET: usize = 14;
const CONTEXT: u8 = 6;

/// A packet of an ethertype for experiments, every byte another.
fn packet(filter: bool) -> Vec<u8> {
    let bytes = LEN as usize + if filter { ETHERNET } else { 0 };
    let mut data: Vec<u8> = (0..bytes).map(|n| (n as u8).wrapping_mul(151) ^ 0x93).collect();
    for (at, byte) in [(12, 0x88), (13, 0xb5)] {
        if let Some(to) = data.get_mut(at) {
            *to = byte;
        }
    }
    data
}

/// Each offset near both ends, from both program types; with every index register.
pub(super) fn loads(row: &'static Row, plan: &Plan) -> Vec<Trial> {
    let Op::LegacyLoad { size, indexed } = row.op else { return Vec::new() };
    let bytes = size.bytes() as i32;
    let offsets =
        [0, 1, 2, 3, 5, 12, LEN - 9, LEN - bytes - 1, LEN - bytes, LEN - bytes + 1, LEN - 1, LEN, LEN + 1, -1];
    let mut trials = Vec::new();
    for filter in [false, true] {
        for (turn, offset) in offsets.into_iter().enumerate() {
            if !turn.is_multiple_of(plan.every.min(4)) {
                continue;
            }
            if !indexed {
                trials.push(trial(row, filter, None, offset));
                continue;
            }
            for index in (0..10).filter(|n| *n != CONTEXT) {
                // The index is the packet's length, which the verifier does not know, and a bit.
                for bit in [0, -LEN, 1 << 30] {
                    trials.push(trial(row, filter, Some((index, bit)), offset.wrapping_sub(LEN).wrapping_sub(bit)));
                }
            }
        }
    }
    trials
}

fn trial(row: &'static Row, filter: bool, index: Option<(u8, i32)>, imm: i32) -> Trial {
    let src = index.map_or(0, |(n, _)| n);
    let kept = if src == 7 { 8 } else { 7 };
    let mut slots: Vec<Slot> = vec![mov(CONTEXT, 1), mov_imm(kept, 0x1000)];
    if let Some((n, bit)) = index {
        slots.push(one(Instr::Load { size: Size::B4, signed: false, dst: reg(n), base: reg(CONTEXT), off: 0 }));
        slots.push(alu_imm(AluOp::Add, n, bit));
    }
    let start = slots.len();
    slots.extend(instance(row, Fill { src, imm, ..Fill::default() }));
    let test = start.saturating_sub(2)..slots.len();
    slots.extend([alu(AluOp::Add, 0, kept), exit()]);
    let case = Case { name: row.name, group: row.group.name(), test, out: 0..0, words: Vec::new() };
    Trial::new(slots, Setting::Packet { data: packet(filter), filter }, vec![case], Inputs::Each(vec![0]))
}
