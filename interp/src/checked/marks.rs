//! What each operation reads and writes, so that reads of registers that were never written are found.

use backstop_ir::{Ir, OpKind, Term};
use backstop_isa::{AtomicOp, Instr, Operand, Reg, decode};

use crate::CompileError;
use crate::op::{Op, R};

/// [`Marks::slot`] of operations that are no instruction of the program: they are not counted and nobody sees them.
pub(super) const HIDDEN: u32 = u32::MAX;

/// An operation, as the checked interpreter sees it. Registers are bits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Marks {
    /// Slot of the instruction.
    pub(super) slot: u32,
    pub(super) reads: u16,
    pub(super) writes: u16,
    /// What means nothing afterwards.
    pub(super) clears: u16,
    /// Another function may run inside it.
    pub(super) calls: bool,
    /// It leaves the function with r0.
    pub(super) returns: bool,
}

impl Default for Marks {
    fn default() -> Marks {
        Marks { slot: HIDDEN, reads: 0, writes: 0, clears: 0, calls: false, returns: false }
    }
}

pub(super) const fn bit(r: R) -> u16 {
    1 << r as u16
}

fn of(reg: Reg) -> u16 {
    1 << reg.index()
}

fn operand(src: Operand) -> u16 {
    match src {
        Operand::Reg(reg) => of(reg),
        Operand::Imm(_) => 0,
    }
}

/// r1 to r`count`.
fn arguments(count: u8) -> u16 {
    ((1 << (count.min(5) + 1)) - 1) & !bit(R::R0)
}

/// The marks of operations that were lowered one by one, and whose IR operation or terminator `ids` names.
pub(crate) fn mark<S>(ir: &Ir<S>, ops: &[Op], ids: &[u32]) -> Result<Box<[Marks]>, CompileError> {
    let mut by_id = vec![Marks::default(); ir.op_count() as usize];
    let mut put = |id: u32, marks: Marks| {
        let slot = ir.position(backstop_ir::OpId(id)).and_then(|position| position.slot);
        if let Some(place) = by_id.get_mut(id as usize) {
            *place = Marks { slot: slot.unwrap_or(HIDDEN), ..marks };
        }
    };
    for block in ir.funcs().iter().flat_map(|func| &func.blocks) {
        for op in &block.ops {
            put(op.id.0, operation(ir, &op.kind));
        }
        put(block.term_id.0, terminator(&block.term));
    }
    let slots = &ir.program().slots;
    let mut before = None;
    let marks = ops.iter().zip(ids).map(|(op, id)| {
        let mut marks = by_id.get(*id as usize).copied().ok_or(CompileError::TooLarge)?;
        let again = before == Some(*id);
        before = Some(*id);
        if matches!(op, Op::Jump(_)) {
            marks = match decode(slots, marks.slot as usize) {
                Ok(Instr::Jump { .. } | Instr::MayGoto { .. }) if !again => marks,
                // Both ways are one, or only one is left.
                Ok(Instr::Branch { dst, src, .. }) if !again => Marks { reads: of(dst) | operand(src), ..marks },
                // No instruction: the other side of a branch, or the way into the next block.
                _ => Marks::default(),
            };
        } else if matches!(op, Op::Unreachable) {
            marks = Marks::default();
        }
        Ok(marks)
    });
    marks.collect()
}

fn terminator(term: &Term) -> Marks {
    match *term {
        Term::Branch { dst, src, .. } => Marks { reads: of(dst) | operand(src), ..Marks::default() },
        Term::Return => Marks { returns: true, ..Marks::default() },
        Term::Jump(_) | Term::MayGoto { .. } | Term::Unreachable => Marks::default(),
    }
}

fn operation<S>(ir: &Ir<S>, kind: &OpKind) -> Marks {
    let writes = kind.writes().map_or(0, of);
    let plain = |reads: u16| Marks { reads, writes, ..Marks::default() };
    let call = |reads: u16, writes: u16| Marks {
        reads,
        writes,
        clears: arguments(5) | bit(R::R0),
        calls: true,
        ..Marks::default()
    };
    match *kind {
        OpKind::Alu { dst, src, .. } => plain(of(dst) | operand(src)),
        OpKind::Neg { dst, .. } | OpKind::End { dst, .. } => plain(of(dst)),
        OpKind::Mov { src, .. } => plain(operand(src)),
        OpKind::MovSx { src, .. } | OpKind::AddrSpaceCast { src, .. } => plain(of(src)),
        OpKind::Const { .. } | OpKind::MapAddr { .. } | OpKind::MapValueAddr { .. } | OpKind::FuncAddr { .. } => {
            plain(0)
        }
        OpKind::Load { base, .. } | OpKind::LoadAcquire { base, .. } => plain(of(base)),
        OpKind::Store { base, src, .. } => plain(of(base) | operand(src)),
        OpKind::StoreRelease { base, src, .. } => plain(of(base) | of(src)),
        OpKind::Atomic { op, base, src, .. } => {
            let compared = if op == AtomicOp::Cmpxchg { bit(R::R0) } else { 0 };
            plain(of(base) | of(src) | compared)
        }
        OpKind::LegacyLoad { index, .. } => {
            Marks { calls: false, ..call(bit(R::R6) | index.map_or(0, of), bit(R::R0)) }
        }
        OpKind::CallNative { callee, .. } => {
            let (args, result) = ir.signature(callee);
            call(arguments(args), if result { bit(R::R0) } else { 0 })
        }
        // The callee sees the caller's arguments as they are; what the caller keeps is settled at the return.
        OpKind::CallFunc { .. } => Marks { calls: true, ..Marks::default() },
        OpKind::Throw => Marks { calls: true, reads: bit(R::R1), ..Marks::default() },
        OpKind::TailCall { .. } => call(arguments(3), bit(R::R0)),
    }
}
