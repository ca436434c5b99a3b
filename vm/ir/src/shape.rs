//! What an operation reads and writes, and the IR's invariants as a check.

use backstop_isa::Reg;

use crate::{BlockId, FuncId, Ir, OpKind, Role, Term};

impl OpKind {
    /// The register that the operation writes, besides those that calls clobber.
    pub fn writes(&self) -> Option<Reg> {
        match *self {
            OpKind::Alu { dst, .. }
            | OpKind::Neg { dst, .. }
            | OpKind::Mov { dst, .. }
            | OpKind::MovSx { dst, .. }
            | OpKind::End { dst, .. }
            | OpKind::Const { dst, .. }
            | OpKind::MapAddr { dst, .. }
            | OpKind::MapValueAddr { dst, .. }
            | OpKind::FuncAddr { dst, .. }
            | OpKind::AddrSpaceCast { dst, .. }
            | OpKind::Load { dst, .. }
            | OpKind::LoadAcquire { dst, .. } => Some(dst),
            OpKind::Atomic { op, fetch, src, .. } => match op {
                backstop_isa::AtomicOp::Cmpxchg => Some(Reg::R0),
                backstop_isa::AtomicOp::Xchg => Some(src),
                _ => fetch.then_some(src),
            },
            OpKind::LegacyLoad { .. } | OpKind::CallNative { .. } | OpKind::CallFunc { .. } => Some(Reg::R0),
            OpKind::Store { .. } | OpKind::StoreRelease { .. } | OpKind::Throw | OpKind::TailCall { .. } => None,
        }
    }

    /// Whether the operation may leave BPF code for native code or another function.
    pub fn calls(&self) -> bool {
        matches!(
            self,
            OpKind::CallNative { .. }
                | OpKind::CallFunc { .. }
                | OpKind::LegacyLoad { .. }
                | OpKind::Throw
                | OpKind::TailCall { .. }
        )
    }
}

impl Term {
    /// Blocks that control may go to.
    pub fn successors(&self) -> impl Iterator<Item = BlockId> {
        let (a, b) = match *self {
            Term::Jump(to) => (Some(to), None),
            Term::Branch { then, otherwise, .. } => (Some(then), Some(otherwise)),
            Term::MayGoto { exit, next } => (Some(exit), Some(next)),
            Term::Return | Term::Unreachable => (None, None),
        };
        a.into_iter().chain(b)
    }
}

/// A broken invariant of the IR: always a defect of the lowering or of a pass.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the IR is broken in function {func:?}: {what}")]
pub struct BrokenIr {
    /// Where.
    pub func: FuncId,
    /// Which invariant.
    pub what: String,
}

impl<S> Ir<S> {
    /// Checks the invariants that the engines rely on.
    ///
    /// # Errors
    /// The first invariant found broken.
    pub fn check(&self) -> Result<(), BrokenIr> {
        let mut next_id = 0;
        for (index, func) in self.funcs.iter().enumerate() {
            let id = FuncId(index as u32);
            let broken = |what: String| BrokenIr { func: id, what };
            if (index == 0) != (func.role == Role::Main) {
                return Err(broken("only the first function is the main one".into()));
            }
            if func.blocks.is_empty() || func.stack % 8 != 0 {
                return Err(broken("no entry block, or an odd stack".into()));
            }
            for block in &func.blocks {
                for (n, op) in block.ops.iter().enumerate() {
                    if op.id.0 != next_id {
                        return Err(broken(format!("operation {} has id {}", next_id, op.id.0)));
                    }
                    next_id += 1;
                    self.check_op(op.kind).map_err(broken)?;
                    let last = n + 1 == block.ops.len() && block.term == Term::Unreachable;
                    if op.kind == OpKind::Throw && !last {
                        return Err(broken("a throw is followed by code".into()));
                    }
                }
                if block.term_id.0 != next_id {
                    return Err(broken(format!("terminator {} has id {}", next_id, block.term_id.0)));
                }
                next_id += 1;
                if block.term.successors().any(|b| b.0 as usize >= func.blocks.len()) {
                    return Err(broken("a jump leads to no block".into()));
                }
            }
        }
        match self.exception_callback.map(|f| self.func(f).map(|f| f.role)) {
            None | Some(Some(Role::ExceptionCallback { .. })) => Ok(()),
            Some(_) => Err(BrokenIr { func: FuncId(0), what: "the exception callback has another role".into() }),
        }
    }

    fn check_op(&self, op: OpKind) -> Result<(), String> {
        let ok = match op {
            OpKind::MapAddr { map, .. } | OpKind::MapValueAddr { map, .. } => (map.0 as usize) < self.maps().len(),
            OpKind::TailCall { map, .. } => map.is_none_or(|m| (m.0 as usize) < self.maps().len()),
            OpKind::FuncAddr { func, .. } | OpKind::CallFunc { func, .. } => (func.0 as usize) < self.funcs.len(),
            OpKind::CallNative { callee, .. } => (callee.0 as usize) < self.callees.len(),
            _ => true,
        };
        if ok { Ok(()) } else { Err(format!("{op:?} names nothing")) }
    }
}
