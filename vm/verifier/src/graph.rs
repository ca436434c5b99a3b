//! Loops and live registers, from the text of each function alone.

use backstop_isa::{AtomicOp, Instr, Operand, Reg};
use backstop_model::{ArgKind, helpers};

use crate::code::{CallClass, Code};
use crate::env::Verifier;

const CALLER_SAVED: u16 = 0b11_1111;
const ARGS: u16 = 0b11_1110;

const fn bit(r: Reg) -> u16 {
    1 << r.index()
}

fn operand(o: Operand) -> u16 {
    match o {
        Operand::Reg(r) => bit(r),
        Operand::Imm(_) => 0,
    }
}

impl Verifier<'_> {
    /// Numbers the strongly connected components that are loops (Tarjan's algorithm, without recursion).
    pub fn find_loops(&mut self) {
        let n = self.code.len();
        let mut order = vec![0u32; n];
        let mut low = vec![0u32; n];
        let mut open = vec![false; n];
        let mut members: Vec<u32> = Vec::new();
        let mut work: Vec<(usize, u8)> = Vec::new();
        let mut next_order = 1;
        let mut next_scc = 1;
        for root in 0..n {
            if order[root] != 0 {
                continue;
            }
            work.push((root, 0));
            while let Some(&(at, edge)) = work.last() {
                if edge == 0 {
                    order[at] = next_order;
                    low[at] = next_order;
                    next_order += 1;
                    open[at] = true;
                    members.push(at as u32);
                }
                let (a, b) = self.flow.successors(at);
                let follow = match edge {
                    0 => a,
                    1 => b,
                    _ => None,
                };
                if let Some(top) = work.last_mut() {
                    top.1 += 1;
                }
                if edge < 2 {
                    if let Some(to) = follow.filter(|t| *t < n) {
                        if order[to] == 0 {
                            work.push((to, 0));
                        } else if open[to] {
                            low[at] = low[at].min(order[to]);
                        }
                    }
                    continue;
                }
                work.pop();
                if let Some(&(parent, _)) = work.last() {
                    low[parent] = low[parent].min(low[at]);
                }
                if low[at] == order[at] {
                    self.close_component(at, &mut members, &mut open, &mut next_scc);
                }
            }
        }
    }

    fn close_component(&mut self, root: usize, members: &mut Vec<u32>, open: &mut [bool], next_scc: &mut u32) {
        let from = members.iter().rposition(|m| *m as usize == root).unwrap_or(0);
        let component = members.split_off(from);
        let (a, b) = self.flow.successors(root);
        let itself = a == Some(root) || b == Some(root);
        let callback = self.aux_at(root as u32).call == CallClass::SyncCallback;
        let is_loop = component.len() > 1 || itself || callback;
        for m in component.into_iter().map(|m| m as usize) {
            open[m] = false;
            if is_loop && let Some(aux) = self.aux.get_mut(m) {
                aux.scc = *next_scc;
            }
        }
        if is_loop {
            *next_scc += 1;
        }
    }

    /// Registers that may still be read, before each instruction; each function on its own.
    pub fn find_live_registers(&mut self) {
        let effects: Vec<(u16, u16)> = (0..self.code.len()).map(|at| self.effect(at)).collect();
        let mut waits = vec![true; self.code.len()];
        // The last waits on top.
        let mut work: Vec<u32> = (0..self.code.len() as u32).collect();
        while let Some(at) = work.pop() {
            let at = at as usize;
            waits[at] = false;
            let (a, b) = self.flow.successors(at);
            let after = [a, b].into_iter().flatten().filter_map(|to| self.aux.get(to)).fold(0, |l, x| l | x.live);
            let (uses, defs) = effects[at];
            let before = (after & !defs) | uses;
            let Some(aux) = self.aux.get_mut(at) else { continue };
            if aux.live == before {
                continue;
            }
            aux.live = before;
            for &pred in self.flow.predecessors(at) {
                if !std::mem::replace(&mut waits[pred as usize], true) {
                    work.push(pred);
                }
            }
        }
    }

    /// Registers read and written by an instruction.
    fn effect(&self, at: usize) -> (u16, u16) {
        let Some(Code::Insn(instr)) = self.code.get(at) else { return (0, 0) };
        match *instr {
            Instr::Alu { dst, src, .. } => (bit(dst) | operand(src), bit(dst)),
            Instr::Neg { dst, .. } | Instr::End { dst, .. } => (bit(dst), bit(dst)),
            Instr::Mov { dst, src, .. } => (operand(src), bit(dst)),
            Instr::MovSx { dst, src, .. } | Instr::AddrSpaceCast { dst, src, .. } => (bit(src), bit(dst)),
            Instr::LoadImm64 { dst, .. } | Instr::LoadPseudo { dst, .. } => (0, bit(dst)),
            Instr::Load { dst, base, .. } | Instr::LoadAcquire { dst, base, .. } => (bit(base), bit(dst)),
            Instr::Store { base, src, .. } => (bit(base) | operand(src), 0),
            Instr::StoreRelease { base, src, .. } => (bit(base) | bit(src), 0),
            Instr::Atomic { op: AtomicOp::Cmpxchg, base, src, .. } => (bit(base) | bit(src) | 1, 1),
            Instr::Atomic { fetch, base, src, .. } => (bit(base) | bit(src), if fetch { bit(src) } else { 0 }),
            Instr::LegacyLoad { index, .. } => (bit(Reg::R6) | index.map_or(0, bit), CALLER_SAVED),
            Instr::Jump { .. } | Instr::MayGoto { .. } => (0, 0),
            Instr::Branch { dst, src, .. } => (bit(dst) | operand(src), 0),
            Instr::CallHelper { id } => {
                let proto = u32::try_from(id).ok().and_then(helpers::proto);
                let count = proto.map(|p| p.args.iter().take_while(|a| **a != ArgKind::None).count());
                (count.map_or(ARGS, args_mask), CALLER_SAVED)
            }
            Instr::CallKfunc { id, .. } => {
                let kfunc = usize::try_from(id).ok().and_then(|i| self.program.kfuncs.get(i));
                let count = kfunc.and_then(|k| k.btf.proto(k.func)).map(|p| p.params.len());
                (count.map_or(ARGS, args_mask), CALLER_SAVED)
            }
            Instr::CallLocal { .. } => (ARGS, CALLER_SAVED),
            Instr::Exit => (1, 0),
        }
    }
}

fn args_mask(count: usize) -> u16 {
    ((1u16 << (count.min(5) + 1)) - 1) & ARGS
}
