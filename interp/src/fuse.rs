//! Which neighbouring operations of a block become one.
//!
//! A fused operation leaves every register as its parts did in order, so that nothing must be known of what is live. Control enters
//! blocks at their start only, hence never between the parts.

use backstop_ir::{OpKind, Term};
use backstop_isa::{AluOp, CmpOp, Operand, Reg, Size, Width};

use crate::op::Op;

/// Fuses the first two operations, knowing what follows them.
pub(crate) fn pair(first: &OpKind, second: &OpKind, third: Option<&OpKind>) -> Option<Op> {
    match (*first, *second) {
        (OpKind::Mov { width, dst, src: Operand::Reg(from) }, OpKind::Alu { width: wide, op, dst: same, src })
            if dst == same && src != Operand::Reg(dst) && (width == Width::W64 || wide == Width::W32) =>
        {
            Op::alu3(op, wide, dst.into(), from.into(), src)
        }
        (
            OpKind::Mov { width: Width::W64, dst: d1, src: Operand::Reg(s1) },
            OpKind::Mov { width: Width::W64, dst: d2, src: Operand::Reg(s2) },
        ) if third.is_none_or(|third| pair(second, third, None).is_none()) => {
            Some(Op::MovMov(d1.into(), s1.into(), d2.into(), s2.into()))
        }
        (
            OpKind::Alu { width: Width::W64, op: AluOp::Lsh, dst, src },
            OpKind::Alu { width: Width::W64, op, dst: same, src: by },
        ) if dst == same && src == by => extension(op, dst, src),
        (
            OpKind::Load { size, signed: false, dst, base, off, .. },
            OpKind::Alu { width, op, dst: acc, src: Operand::Reg(loaded) },
        ) if loaded == dst && acc != dst => Op::load_alu(size, dst.into(), base.into(), off, op, width, acc.into()),
        _ => None,
    }
}

/// Shifting up and down by the same amount is how older instruction sets extend a part of a register.
fn extension(down: AluOp, reg: Reg, by: Operand) -> Option<Op> {
    let r = reg.into();
    match (down, by) {
        (AluOp::Rsh, Operand::Imm(32)) => Some(Op::Mov32(r, r)),
        (AluOp::Rsh, Operand::Imm(48)) => Some(Op::Trunc16(r)),
        (AluOp::Rsh, Operand::Imm(56)) => Some(Op::AndRI64(r, 0xff)),
        (AluOp::Arsh, Operand::Imm(32)) => Some(Op::Sx32To64(r, r)),
        (AluOp::Arsh, Operand::Imm(48)) => Some(Op::Sx16To64(r, r)),
        (AluOp::Arsh, Operand::Imm(56)) => Some(Op::Sx8To64(r, r)),
        _ => None,
    }
}

/// A conditional jump as it will be emitted.
#[derive(Clone, Copy)]
pub(crate) struct Branch {
    pub(crate) cond: CmpOp,
    pub(crate) width: Width,
    pub(crate) dst: Reg,
    pub(crate) src: Operand,
    /// Block.
    pub(crate) target: u32,
}

impl Branch {
    /// The jump of a block whose successor in the layout is `next`, and where it goes otherwise if not there.
    pub(crate) fn of(term: &Term, next: u32) -> Option<(Branch, Option<u32>)> {
        let Term::Branch { width, op, dst, src, then, otherwise } = *term else { return None };
        let rest = (otherwise.0 != next).then_some(otherwise.0);
        Some((Branch { cond: op, width, dst, src, target: then.0 }, rest))
    }

    pub(crate) fn op(&self) -> Op {
        Op::branch(self.cond, self.width, self.dst.into(), self.src, self.target)
    }

    /// Fuses the block's last operation with the jump.
    pub(crate) fn with(&self, last: &OpKind) -> Option<Op> {
        match *last {
            OpKind::Alu { width, op: AluOp::Add, dst, src: Operand::Imm(add) }
                if width == self.width && dst == self.dst && self.src != Operand::Reg(dst) =>
            {
                Op::add_branch(self.cond, width, dst.into(), add, self.src, self.target)
            }
            OpKind::Load { size, signed: false, dst, base, off, .. } if dst == self.dst => {
                let Operand::Imm(imm) = self.src else { return None };
                // The comparison is over 64 bits: the same as over 32 if neither side has more.
                if self.width == Width::W32 && (imm < 0 || size == Size::B8) {
                    return None;
                }
                let off = i16::try_from(off).ok()?;
                Op::load_branch(size, dst.into(), base.into(), off, self.cond, imm, self.target)
            }
            _ => None,
        }
    }
}
