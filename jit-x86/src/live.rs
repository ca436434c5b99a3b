//! Which BPF registers may still be read: a backward dataflow over a function's blocks.

use backstop_ir::{BlockId, Func, Op, OpKind, Term};
use backstop_isa::{AtomicOp, Operand, Reg};

/// A set of BPF registers.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct RegSet(u16);

impl RegSet {
    const ARGUMENTS: RegSet = RegSet(0b11_1110);
    const CALL_CLOBBERS: RegSet = RegSet(0b11_1111);

    pub(crate) fn of(regs: &[Reg]) -> RegSet {
        RegSet(regs.iter().fold(0, |set, r| set | 1 << r.index()))
    }

    pub(crate) fn contains(self, reg: Reg) -> bool {
        self.0 >> reg.index() & 1 != 0
    }

    pub(crate) fn with(self, other: RegSet) -> RegSet {
        RegSet(self.0 | other.0)
    }

    pub(crate) fn without(self, other: RegSet) -> RegSet {
        RegSet(self.0 & !other.0)
    }
}

fn operand(src: Operand) -> RegSet {
    match src {
        Operand::Reg(r) => RegSet::of(&[r]),
        Operand::Imm(_) => RegSet::default(),
    }
}

/// (read, surely written) of an operation.
fn effect(kind: &OpKind) -> (RegSet, RegSet) {
    let set = RegSet::of;
    match *kind {
        OpKind::Alu { dst, src, .. } => (set(&[dst]).with(operand(src)), set(&[dst])),
        OpKind::Neg { dst, .. } | OpKind::End { dst, .. } => (set(&[dst]), set(&[dst])),
        OpKind::Mov { dst, src, .. } => (operand(src), set(&[dst])),
        OpKind::MovSx { dst, src, .. } | OpKind::AddrSpaceCast { dst, src, .. } => (set(&[src]), set(&[dst])),
        OpKind::Const { dst, .. }
        | OpKind::MapAddr { dst, .. }
        | OpKind::MapValueAddr { dst, .. }
        | OpKind::FuncAddr { dst, .. } => (RegSet::default(), set(&[dst])),
        OpKind::Load { dst, base, .. } | OpKind::LoadAcquire { dst, base, .. } => (set(&[base]), set(&[dst])),
        OpKind::Store { base, src, .. } => (set(&[base]).with(operand(src)), RegSet::default()),
        OpKind::StoreRelease { base, src, .. } => (set(&[base, src]), RegSet::default()),
        OpKind::Atomic { op: AtomicOp::Cmpxchg, base, src, .. } => (set(&[base, src, Reg::R0]), set(&[Reg::R0])),
        OpKind::Atomic { fetch, base, src, .. } => {
            (set(&[base, src]), if fetch { set(&[src]) } else { RegSet::default() })
        }
        OpKind::LegacyLoad { index, .. } => (index.map_or(RegSet::default(), |r| set(&[r])), RegSet::CALL_CLOBBERS),
        OpKind::CallNative { .. } | OpKind::CallFunc { .. } => (RegSet::ARGUMENTS, RegSet::CALL_CLOBBERS),
        OpKind::Throw => (set(&[Reg::R1]), RegSet::default()),
        OpKind::TailCall { .. } => (set(&[Reg::R1, Reg::R2, Reg::R3]), RegSet::CALL_CLOBBERS),
    }
}

fn before(kind: &OpKind, after: RegSet) -> RegSet {
    let (reads, writes) = effect(kind);
    after.without(writes).with(reads)
}

/// Where a terminator may go.
pub(crate) fn successors(term: &Term) -> impl Iterator<Item = BlockId> {
    let two = match *term {
        Term::Jump(to) => [Some(to), None],
        Term::Branch { then, otherwise, .. } => [Some(then), Some(otherwise)],
        Term::MayGoto { exit, next } => [Some(exit), Some(next)],
        Term::Return | Term::Unreachable => [None, None],
    };
    two.into_iter().flatten()
}

fn read_by(term: &Term) -> RegSet {
    match *term {
        Term::Branch { dst, src, .. } => RegSet::of(&[dst]).with(operand(src)),
        Term::Return => RegSet::of(&[Reg::R0]),
        Term::Jump(_) | Term::MayGoto { .. } | Term::Unreachable => RegSet::default(),
    }
}

/// Liveness at block borders.
pub(crate) struct Liveness {
    at_entry: Vec<RegSet>,
}

impl Liveness {
    /// Work is bounded by the number of edges times the number of registers, whatever the order of the blocks.
    pub(crate) fn of(func: &Func) -> Liveness {
        let blocks = &func.blocks;
        let mut live = Liveness { at_entry: vec![RegSet::default(); blocks.len()] };
        let mut predecessors = vec![Vec::new(); blocks.len()];
        let mut summaries = Vec::with_capacity(blocks.len());
        for (i, block) in blocks.iter().enumerate() {
            for to in successors(&block.term) {
                if let Some(list) = predecessors.get_mut(to.0 as usize) {
                    list.push(i);
                }
            }
            summaries.push(block.ops.iter().rev().fold(
                (RegSet::default(), RegSet::default()),
                |(reads, writes), op| {
                    let (r, w) = effect(&op.kind);
                    (reads.without(w).with(r), writes.with(w))
                },
            ));
        }
        let mut work: Vec<usize> = (0..blocks.len()).collect();
        while let Some(i) = work.pop() {
            let (Some(block), Some(&(reads, writes))) = (blocks.get(i), summaries.get(i)) else { continue };
            let start = live.before_term(&block.term).without(writes).with(reads);
            match live.at_entry.get_mut(i) {
                Some(slot) if *slot != start => *slot = start,
                _ => continue,
            }
            work.extend(predecessors.get(i).into_iter().flatten());
        }
        live
    }

    fn before_term(&self, term: &Term) -> RegSet {
        let after = successors(term)
            .fold(RegSet::default(), |set, to| set.with(self.at_entry.get(to.0 as usize).copied().unwrap_or_default()));
        after.with(read_by(term))
    }

    /// For each operation of a block, what is live after it.
    pub(crate) fn after_ops(&self, ops: &[Op], term: &Term) -> Vec<RegSet> {
        let mut sets = vec![RegSet::default(); ops.len()];
        let mut live = self.before_term(term);
        for (slot, op) in sets.iter_mut().zip(ops).rev() {
            *slot = live;
            live = before(&op.kind, live);
        }
        sets
    }
}
