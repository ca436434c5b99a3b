//! Paths that are rarely taken: they lie behind the function's blocks.

use backstop_abi::RUN_RAISE;
use backstop_ir::OpId;
use backstop_isa::Width;

use super::Lowering;
use crate::emit::Label;
use crate::error::CompileError;
use crate::regs::{Addr, Gpr};

/// Code to be emitted later.
pub(super) struct Cold {
    label: Label,
    op: OpId,
    kind: ColdKind,
}

/// What a cold path does.
pub(super) enum ColdKind {
    /// A native function has left an end to raise. Never returns.
    Raise,
    /// Leaves the function with 0.
    ReturnZero,
    /// dst / 0 or dst % 0.
    ZeroDivisor(SpecialDivision),
    /// dst / 0 or -1, or the remainder, signed; told apart here.
    ZeroOrMinusOne(SpecialDivision, Gpr),
}

/// A division that the machine would trap at.
#[derive(Clone, Copy)]
pub(super) struct SpecialDivision {
    pub(super) width: Width,
    pub(super) remainder: bool,
    pub(super) dst: Gpr,
    pub(super) back: Label,
}

impl Lowering<'_, '_> {
    /// Where the current operation jumps to get to a cold path.
    pub(super) fn cold_label(&mut self, kind: ColdKind) -> Label {
        let label = self.m.new_label();
        self.leaves_through |= matches!(kind, ColdKind::Raise);
        self.cold.push(Cold { label, op: self.op, kind });
        label
    }

    pub(super) fn cold_paths(&mut self) -> Result<(), CompileError> {
        for cold in std::mem::take(&mut self.cold) {
            self.m.bind(cold.label);
            self.m.mark(cold.op);
            match cold.kind {
                ColdKind::Raise => {
                    self.m.e.call_mem(Addr::new(Gpr::CONTEXT, RUN_RAISE));
                    self.m.mark_return(cold.op);
                }
                ColdKind::ReturnZero => {
                    self.m.load_const(Gpr::RAX, 0);
                    self.leave_function();
                }
                ColdKind::ZeroDivisor(division) => self.by_zero(division),
                ColdKind::ZeroOrMinusOne(division, divisor) => {
                    let zero = self.m.new_label();
                    self.m.e.test_rr(division.width, divisor, divisor);
                    self.m.jump_if(crate::emit::Cond::Equal, zero);
                    self.by_minus_one(division);
                    self.m.bind(zero);
                    self.by_zero(division);
                }
            }
        }
        Ok(())
    }

    /// RFC 9669: the quotient is 0, the remainder the dividend.
    fn by_zero(&mut self, division: SpecialDivision) {
        let SpecialDivision { width, remainder, dst, back } = division;
        if remainder {
            self.m.mov(width, dst, dst);
        } else {
            self.m.load_const(dst, 0);
        }
        self.m.jump(back);
    }

    /// The negated dividend, which for the least number is itself; no remainder.
    fn by_minus_one(&mut self, division: SpecialDivision) {
        let SpecialDivision { width, remainder, dst, back } = division;
        if remainder {
            self.m.load_const(dst, 0);
        } else {
            self.m.e.neg(width, dst);
        }
        self.m.jump(back);
    }
}
