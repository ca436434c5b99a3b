//! How blocks end.

use backstop_ir::{BlockId, Term};
use backstop_isa::{CmpOp, Operand, Reg, Size, Width};

use super::Lowering;
use crate::emit::{Arith, Cond};
use crate::error::CompileError;
use crate::regs::Gpr;

impl Lowering<'_, '_> {
    pub(super) fn terminator(&mut self, term: &Term) -> Result<(), CompileError> {
        match *term {
            Term::Jump(to) => self.go(to),
            Term::Branch { width, op, dst, src, then, otherwise } => {
                let (then, otherwise) = (self.destination(then), self.destination(otherwise));
                if then == otherwise {
                    return self.go(then);
                }
                self.compare(width, op, dst, src);
                self.go_if(condition(op), then, otherwise)
            }
            Term::MayGoto { exit, next } => self.may_goto(exit, next),
            Term::Return => {
                self.leave_function();
                Ok(())
            }
            // What stands before it does not return.
            Term::Unreachable => Ok(()),
        }
    }

    fn go(&mut self, to: BlockId) -> Result<(), CompileError> {
        let to = self.destination(to);
        let label = self.block_label(to)?;
        if self.next != Some(to) {
            self.m.jump(label);
        }
        Ok(())
    }

    fn go_if(&mut self, cond: Cond, then: BlockId, otherwise: BlockId) -> Result<(), CompileError> {
        match cond.negated() {
            Some(negated) if self.next == Some(then) => {
                let label = self.block_label(otherwise)?;
                self.m.jump_if(negated, label);
                Ok(())
            }
            _ => {
                let label = self.block_label(then)?;
                self.m.jump_if(cond, label);
                self.go(otherwise)
            }
        }
    }

    /// Sets the flags.
    fn compare(&mut self, width: Width, op: CmpOp, dst: Reg, src: Operand) {
        let d = Gpr::of(dst);
        match (op, src) {
            (CmpOp::Set, Operand::Reg(s)) => self.m.e.test_rr(width, d, Gpr::of(s)),
            (CmpOp::Set, Operand::Imm(imm)) => self.m.test_imm(width, d, imm),
            // All flags that the conditions read are as after a comparison with 0.
            (_, Operand::Imm(0)) => self.m.e.test_rr(width, d, d),
            (_, Operand::Imm(imm)) => self.m.e.arith_ri(width, Arith::Cmp, d, imm),
            (_, Operand::Reg(s)) => self.m.e.arith_rr(width, Arith::Cmp, d, Gpr::of(s)),
        }
    }

    fn may_goto(&mut self, exit: BlockId, next: BlockId) -> Result<(), CompileError> {
        let cell = self.rounds_cell().ok_or_else(|| self.malformed("may_goto without a counter"))?;
        let exit = self.block_label(self.destination(exit))?;
        self.m.e.load(Size::B8, Gpr::SCRATCH0, cell);
        self.m.arith_imm(Width::W64, Arith::Sub, Gpr::SCRATCH0, 1);
        // The cell stays 0 once it is 0.
        self.m.jump_if(Cond::Below, exit);
        self.m.e.store(Size::B8, cell, Gpr::SCRATCH0);
        self.go(next)
    }
}

fn condition(op: CmpOp) -> Cond {
    match op {
        CmpOp::Eq => Cond::Equal,
        CmpOp::Ne | CmpOp::Set => Cond::NotEqual,
        CmpOp::Gt => Cond::Above,
        CmpOp::Ge => Cond::AboveEqual,
        CmpOp::Lt => Cond::Below,
        CmpOp::Le => Cond::BelowEqual,
        CmpOp::Sgt => Cond::Greater,
        CmpOp::Sge => Cond::GreaterEqual,
        CmpOp::Slt => Cond::Less,
        CmpOp::Sle => Cond::LessEqual,
    }
}
