//! One function: its blocks and their ends.

use backstop_isa::{Instr, Reg};

use super::blocks::{Leaders, jump_target, next_slot};
use super::op::Lowered;
use super::{LowerError, Lowering};
use crate::{Block, BlockId, Func, FuncId, Op, OpId, OpKind, Position, Term};

impl Lowering<'_> {
    pub(super) fn function(&mut self, index: usize) -> Result<Func, LowerError> {
        let id = FuncId(index as u32);
        let (start, end) = (self.spans[index].start, self.spans[index].end);
        let leaders = Leaders::find(self, &self.spans[index])?;
        let mut blocks = Vec::new();
        for first in leaders.iter() {
            blocks.push(self.block(id, first, end, &leaders)?);
        }
        let span = &self.spans[index];
        debug_assert_eq!(span.start, start);
        let mut func = Func {
            name: span.name.clone(),
            role: span.role,
            blocks,
            stack: span.stack,
            writes: [false; 4],
            may_goto: false,
            tail_calls: false,
        };
        summarise(&mut func);
        Ok(func)
    }

    fn block(&mut self, func: FuncId, first: u32, end: u32, leaders: &Leaders) -> Result<Block, LowerError> {
        let mut ops = Vec::new();
        let mut slot = first;
        let term = loop {
            if slot >= end {
                return Err(LowerError::RunsOff { slot: end.saturating_sub(1) });
            }
            if !self.reached(slot) {
                break Term::Unreachable;
            }
            if slot != first
                && let Some(next) = leaders.block_at(slot)
            {
                break Term::Jump(next);
            }
            let Some(instr) = self.instr(slot) else {
                return Err(LowerError::BadTarget { slot, target: i64::from(slot) });
            };
            if let Some(term) = self.terminator(slot, &instr, leaders, end)? {
                break term;
            }
            match self.op(slot, &instr)? {
                Lowered::Nothing => {}
                Lowered::Op(kind) => ops.push(self.number(func, slot, kind)),
                Lowered::Last(kind) => {
                    ops.push(self.number(func, slot, kind));
                    break Term::Unreachable;
                }
            }
            slot = next_slot(slot, &instr);
        };
        let term_id = OpId(self.positions.len() as u32);
        self.positions.push(Position { slot: Some(slot.min(end.saturating_sub(1))), func, inlined_at: None });
        Ok(Block { ops, term, term_id })
    }

    fn number(&mut self, func: FuncId, slot: u32, kind: OpKind) -> Op {
        let id = OpId(self.positions.len() as u32);
        self.positions.push(Position { slot: Some(slot), func, inlined_at: None });
        Op { id, kind }
    }

    fn terminator(&self, slot: u32, instr: &Instr, leaders: &Leaders, end: u32) -> Result<Option<Term>, LowerError> {
        if matches!(instr, Instr::Exit) {
            return Ok(Some(Term::Return));
        }
        let Some(target) = jump_target(slot, instr) else { return Ok(None) };
        let next = next_slot(slot, instr);
        let block = |at: u32| leaders.block_at(at);
        let taken = u32::try_from(target).ok().and_then(block);
        let falls = block(next);
        let need = |b: Option<BlockId>| b.ok_or(LowerError::BadTarget { slot, target });
        // Where nothing was proved both ways are open.
        if self.facts.is_none() && next >= end && !matches!(instr, Instr::Jump { .. }) {
            return Err(LowerError::RunsOff { slot });
        }
        let term = match *instr {
            Instr::Jump { .. } => Term::Jump(need(taken)?),
            Instr::Branch { width, op, dst, src, .. } => match (taken, falls) {
                (Some(then), Some(otherwise)) if then == otherwise => Term::Jump(then),
                (Some(then), Some(otherwise)) => Term::Branch { width, op, dst, src, then, otherwise },
                // The proof reached one side only.
                (Some(only), None) | (None, Some(only)) => Term::Jump(only),
                (None, None) => Term::Unreachable,
            },
            Instr::MayGoto { .. } => match (taken, falls) {
                (Some(exit), Some(next)) => Term::MayGoto { exit, next },
                _ if next >= end => return Err(LowerError::RunsOff { slot }),
                (Some(only), None) | (None, Some(only)) => Term::Jump(only),
                (None, None) => Term::Unreachable,
            },
            _ => return Ok(None),
        };
        Ok(Some(term))
    }
}

/// Fills what engines want to know of a whole function.
fn summarise(func: &mut Func) {
    for block in &func.blocks {
        func.may_goto |= matches!(block.term, Term::MayGoto { .. });
        for op in &block.ops {
            func.tail_calls |= matches!(op.kind, OpKind::TailCall { .. });
            if let Some(dst) = op.kind.writes()
                && let Some(i) = [Reg::R6, Reg::R7, Reg::R8, Reg::R9].iter().position(|r| *r == dst)
            {
                func.writes[i] = true;
            }
        }
    }
}
