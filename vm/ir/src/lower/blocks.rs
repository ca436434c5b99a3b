//! Where functions and basic blocks begin.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use backstop_isa::{Instr, Pseudo, decode};
use backstop_model::Program;
use backstop_verifier::Facts;

use super::{LowerError, Lowering, Span};
use crate::{BlockId, Role};

/// Opcode of the loads of 64-bit immediates and of addresses.
const LOAD_IMM64: u8 = 0x18;

/// Functions of an unproven program: main, what is called, what has its address taken.
pub(super) fn discover_functions(program: &Arc<Program>) -> Result<Vec<Span>, LowerError> {
    let len = program.slots.len();
    let mut starts = BTreeMap::from([(0u32, false)]);
    let mut at = 0;
    while at < len {
        let instr =
            decode(&program.slots, at).map_err(|e| LowerError::Decode { slot: at as u32, reason: e.to_string() })?;
        if instr.check_frame_pointer().is_err() {
            return Err(LowerError::FramePointer { slot: at as u32 });
        }
        let (relative, callback) = match instr {
            Instr::CallLocal { off } => (Some(i64::from(off)), false),
            Instr::LoadPseudo { kind: Pseudo::Func, imm, .. } => (Some(i64::from(imm)), true),
            _ => (None, false),
        };
        if let Some(relative) = relative {
            // A function's address is relative to the slot after the load's first one, a call's to the slot after the call.
            let target = at as i64 + 1 + relative;
            if target < 0 || target >= len as i64 {
                return Err(LowerError::BadTarget { slot: at as u32, target });
            }
            *starts.entry(target as u32).or_insert(false) |= callback;
        }
        at += instr.slots();
    }
    let firsts: Vec<(u32, bool)> = starts.into_iter().collect();
    let mut spans = Vec::with_capacity(firsts.len());
    for (i, &(start, callback)) in firsts.iter().enumerate() {
        let end = firsts.get(i + 1).map_or(len as u32, |n| n.0);
        let role = if start == 0 { Role::Main } else { Role::Subprogram { callback } };
        let name = if start == 0 { program.name.clone() } else { format!("subprog_{i}") };
        // Unproven frames get the whole stack each: nothing is known of their use.
        spans.push(Span { start, end, name, role, stack: backstop_abi::MAX_STACK });
    }
    Ok(spans)
}

/// First slots of functions whose address reached code takes. One that no path enters (`bpf_loop` of no rounds) is kept as an
/// unreachable block, so that its address means something.
pub(super) fn named_functions(program: &Program, facts: &Facts) -> BTreeSet<u32> {
    let wide = |slot: usize| program.slots.get(slot).is_some_and(|s| s.code == LOAD_IMM64);
    let reached = facts.slots.iter().enumerate().filter(|(slot, fact)| fact.reached && wide(*slot));
    let targets = reached.filter_map(|(slot, _)| match decode(&program.slots, slot) {
        Ok(Instr::LoadPseudo { kind: Pseudo::Func, imm, .. }) => u32::try_from(slot as i64 + 1 + i64::from(imm)).ok(),
        _ => None,
    });
    targets.collect()
}

/// Slot after an instruction.
pub(super) fn next_slot(slot: u32, instr: &Instr) -> u32 {
    slot + instr.slots() as u32
}

/// The slot that a relative jump leads to, if it is one.
pub(super) fn jump_target(slot: u32, instr: &Instr) -> Option<i64> {
    let off = match *instr {
        Instr::Jump { off, .. } => off,
        Instr::Branch { off, .. } | Instr::MayGoto { off } => i32::from(off),
        _ => return None,
    };
    Some(i64::from(slot) + 1 + i64::from(off))
}

/// First slots of a function's blocks, in order; the function's own start is the first.
pub(super) struct Leaders(Vec<u32>);

impl Leaders {
    pub(super) fn find(lowering: &Lowering<'_>, span: &Span) -> Result<Leaders, LowerError> {
        let mut leaders = BTreeSet::from([span.start]);
        let mut slot = span.start;
        while slot < span.end {
            let Some(instr) = lowering.instr(slot) else {
                return Err(LowerError::BadTarget { slot, target: i64::from(slot) });
            };
            let next = next_slot(slot, &instr);
            if lowering.reached(slot)
                && let Some(target) = jump_target(slot, &instr)
            {
                let inside = target >= i64::from(span.start) && target < i64::from(span.end);
                if !inside || lowering.instr(target as u32).is_none() {
                    return Err(LowerError::BadTarget { slot, target });
                }
                leaders.insert(target as u32);
                leaders.insert(next);
            }
            slot = next;
        }
        let kept = leaders.into_iter().filter(|&s| s == span.start || (s < span.end && lowering.reached(s)));
        Ok(Leaders(kept.collect()))
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        self.0.iter().copied()
    }

    pub(super) fn block_at(&self, slot: u32) -> Option<BlockId> {
        self.0.binary_search(&slot).ok().map(|i| BlockId(i as u32))
    }
}
