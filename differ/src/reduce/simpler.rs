//! Simpler instructions for an instruction.

use backstop::isa::{AluOp, Instr, Operand, Reg, Slot, Width, decode};

use super::listing::Listing;

/// The destination set to 0, for what has one.
pub(super) fn zero(instr: &Instr) -> Option<Instr> {
    let dst = match *instr {
        Instr::Alu { dst, .. }
        | Instr::Neg { dst, .. }
        | Instr::Mov { dst, .. }
        | Instr::MovSx { dst, .. }
        | Instr::End { dst, .. }
        | Instr::LoadImm64 { dst, .. }
        | Instr::LoadPseudo { dst, .. }
        | Instr::Load { dst, .. }
        | Instr::LoadAcquire { dst, .. } => dst,
        Instr::CallHelper { .. } | Instr::CallLocal { .. } | Instr::CallKfunc { .. } | Instr::LegacyLoad { .. } => {
            Reg::R0
        }
        _ => return None,
    };
    Some(Instr::Mov { width: Width::W64, dst, src: Operand::Imm(0) })
}

/// The instruction with one register for another.
pub(super) fn renamed(instr: Instr, from: Reg, to: Reg) -> Option<Instr> {
    let row = instr.op().row()?;
    let mut slots: Vec<Slot> = instr.encode().as_slice().to_vec();
    let slot = slots.first_mut()?;
    if row.dst.is_register() && slot.dst == from.number() {
        slot.dst = to.number();
    }
    if row.src.is_register() && slot.src == from.number() {
        slot.src = to.number();
    }
    decode(&slots, 0).ok()
}

fn constants(imm: i32) -> impl Iterator<Item = i32> {
    [0, 1, -1, 2].into_iter().filter(move |simple| magnitude(*simple) < magnitude(imm))
}

/// A number's distance from the simplest.
fn magnitude(imm: i32) -> usize {
    match imm {
        0 => 0,
        1 => 1,
        -1 => 2,
        2 => 3,
        _ => 4,
    }
}

fn operand(src: Operand) -> usize {
    match src {
        Operand::Imm(imm) => magnitude(imm),
        Operand::Reg(_) => 5,
    }
}

/// How far an instruction is from the simplest.
pub(super) fn weight(instr: &Instr) -> usize {
    match *instr {
        Instr::Mov { src, .. } => operand(src),
        Instr::Alu { src, .. } => 3 + operand(src),
        Instr::Branch { src, .. } => 3 + operand(src),
        Instr::Store { src, .. } => 3 + operand(src),
        Instr::Exit | Instr::Jump { .. } => 0,
        Instr::LoadImm64 { .. } => 6,
        _ => 10,
    }
}

/// Operands that are simpler than this one.
fn operands(src: Operand) -> Vec<Operand> {
    match src {
        Operand::Imm(imm) => constants(imm).map(Operand::Imm).collect(),
        Operand::Reg(_) => [0, 1, -1].map(Operand::Imm).to_vec(),
    }
}

/// The program with something simpler in place `n`, the simplest first.
pub(super) fn than(listing: &Listing, n: usize) -> Vec<Listing> {
    let Some(node) = listing.nodes.get(n) else { return Vec::new() };
    let now = weight(&node.instr);
    let mut all: Vec<Instr> = Vec::new();
    all.extend(zero(&node.instr));
    match node.instr {
        Instr::Mov { width, dst, src } => {
            all.extend(operands(src).into_iter().map(|src| Instr::Mov { width, dst, src }));
        }
        Instr::Alu { width, op, dst, src } => {
            all.extend(operands(src).into_iter().map(|src| Instr::Mov { width: Width::W64, dst, src }));
            all.extend(operands(src).into_iter().map(|src| Instr::Alu { width, op, dst, src }));
            all.extend([Instr::Alu { width: Width::W64, op: AluOp::Add, dst, src: Operand::Imm(1) }]);
        }
        Instr::Branch { width, op, dst, src, off } => {
            all.extend([Instr::Jump { off: off.into(), long: false }]);
            all.extend(operands(src).into_iter().map(|src| Instr::Branch { width, op, dst, src, off }));
        }
        Instr::Store { size, base, off, src } => {
            all.extend(operands(src).into_iter().map(|src| Instr::Store { size, base, off, src }));
        }
        Instr::LoadImm64 { dst, imm } => {
            if let Ok(imm) = i32::try_from(imm as i64) {
                all.extend([Instr::Mov { width: Width::W64, dst, src: Operand::Imm(imm) }]);
            }
            let mov = |imm| Instr::Mov { width: Width::W64, dst, src: Operand::Imm(imm) };
            all.extend([1, -1, i32::MIN, i32::MAX].map(mov));
        }
        Instr::Load { dst, .. }
        | Instr::MovSx { dst, .. }
        | Instr::End { dst, .. }
        | Instr::LoadAcquire { dst, .. } => {
            all.extend([1, -1].map(|imm| Instr::Mov { width: Width::W64, dst, src: Operand::Imm(imm) }));
        }
        Instr::CallHelper { .. } | Instr::CallLocal { .. } | Instr::CallKfunc { .. } => {
            let result = |imm| Instr::Mov { width: Width::W64, dst: Reg::R0, src: Operand::Imm(imm) };
            all.extend([result(1), result(-1), Instr::Exit]);
        }
        _ => {}
    }
    let simpler = all.into_iter().filter(|instr| weight(instr) < now);
    simpler.map(|instr| listing.with(n, instr)).collect()
}

/// The program without the branch in place `n`, and with what it compares in a register that is set to a number soon after.
pub(super) fn without_branch(listing: &Listing, n: usize) -> Vec<Listing> {
    let Some(Instr::Branch { dst, src, .. }) = listing.nodes.get(n).map(|node| node.instr) else { return Vec::new() };
    let mut shown = vec![dst];
    if let Operand::Reg(src) = src {
        shown.push(src);
    }
    let mut all = Vec::new();
    for at in n + 1..(n + 5).min(listing.nodes.len()) {
        let Some(Instr::Mov { dst, src: Operand::Imm(_), .. }) = listing.nodes.get(at).map(|node| node.instr) else {
            continue;
        };
        let set = |from: &Reg| Instr::Mov { width: Width::W64, dst, src: Operand::Reg(*from) };
        all.extend(shown.iter().filter_map(|from| listing.with(at, set(from)).without(n..n + 1)));
    }
    all
}
