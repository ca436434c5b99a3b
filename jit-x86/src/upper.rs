//! Which BPF registers surely have a zero upper half: for them a 32-bit move onto itself is nothing.

use backstop_ir::OpKind;
use backstop_isa::{AluOp, AtomicOp, ByteOrder, Operand, Reg, Size, Width};

use crate::live::RegSet;

/// Registers whose upper 32 bits are zero at a point of a block. Knows nothing at a block's start.
#[derive(Clone, Copy, Default)]
pub(crate) struct ZeroUpper(RegSet);

impl ZeroUpper {
    /// It does nothing: it clears an upper half that is clear.
    pub(crate) fn makes_idle(self, kind: &OpKind) -> bool {
        match *kind {
            OpKind::Mov { width: Width::W32, dst, src: Operand::Reg(src) } => dst == src && self.0.contains(dst),
            OpKind::End { order: ByteOrder::Le, size: Size::B4, dst } => self.0.contains(dst),
            _ => false,
        }
    }

    /// Goes past an operation.
    pub(crate) fn step(&mut self, kind: &OpKind) {
        let small = |size: Size| size != Size::B8;
        let (dst, zero) = match *kind {
            OpKind::Alu { width: Width::W32, dst, .. }
            | OpKind::Neg { width: Width::W32, dst }
            | OpKind::Mov { width: Width::W32, dst, .. }
            | OpKind::MovSx { width: Width::W32, dst, .. } => (dst, true),
            OpKind::Alu { op: AluOp::And, dst, src: Operand::Imm(0..), .. } => (dst, true),
            OpKind::Alu { op: AluOp::Rsh, dst, src: Operand::Imm(32..64), .. } => (dst, true),
            OpKind::Mov { dst, src: Operand::Imm(imm), .. } => (dst, imm >= 0),
            OpKind::Mov { dst, src: Operand::Reg(src), .. } => (dst, self.0.contains(src)),
            OpKind::Const { dst, value } => (dst, u32::try_from(value).is_ok()),
            OpKind::Load { size, signed, dst, .. } => (dst, small(size) && !signed),
            OpKind::LoadAcquire { size, dst, .. } | OpKind::End { size, dst, .. } => (dst, small(size)),
            OpKind::Atomic { op: AtomicOp::Cmpxchg, size, .. } => (Reg::R0, small(size)),
            OpKind::Atomic { fetch: true, size, src, .. } | OpKind::Atomic { op: AtomicOp::Xchg, size, src, .. } => {
                (src, small(size))
            }
            OpKind::Alu { dst, .. }
            | OpKind::Neg { dst, .. }
            | OpKind::MovSx { dst, .. }
            | OpKind::MapAddr { dst, .. }
            | OpKind::MapValueAddr { dst, .. }
            | OpKind::FuncAddr { dst, .. }
            | OpKind::AddrSpaceCast { dst, .. } => (dst, false),
            OpKind::Store { .. } | OpKind::StoreRelease { .. } | OpKind::Atomic { .. } => return,
            OpKind::LegacyLoad { .. }
            | OpKind::CallNative { .. }
            | OpKind::CallFunc { .. }
            | OpKind::Throw
            | OpKind::TailCall { .. } => {
                self.0 = RegSet::default();
                return;
            }
        };
        self.0 = if zero { self.0.with(RegSet::of(&[dst])) } else { self.0.without(RegSet::of(&[dst])) };
    }
}
