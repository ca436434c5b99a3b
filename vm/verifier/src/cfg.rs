//! Control flow before the walk: what can be reached at all, and where states are worth keeping.

use backstop_isa::{Instr, Pseudo};
use backstop_model::helpers;

use crate::code::{CallClass, Code, call_offset, helper_class, kfunc_class};
use crate::env::Verifier;
use crate::reason::{Check, Reason};

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mark {
    New,
    Open,
    Done,
}

impl Verifier<'_> {
    /// Every instruction must be reachable by jumps and calls; marks points for pruning (Linux: `check_cfg`).
    pub fn check_cfg(&mut self) -> Check {
        let mut marks = vec![Mark::New; self.code.len()];
        self.walk_cfg(0, &mut marks)?;
        if let Some(sub) = self.exception_callback.and_then(|i| self.subs.get(i)) {
            let start = sub.start as usize;
            self.walk_cfg(start, &mut marks)?;
        }
        let mut at = 0;
        while at < marks.len() {
            if marks[at] == Mark::New {
                return Reason::Unreachable { at }.fail();
            }
            let wide = matches!(self.code.get(at + 1), Some(Code::Second));
            if wide && marks.get(at + 1) != Some(&Mark::New) {
                return Reason::JumpIntoImm64 { at }.fail();
            }
            at += if wide { 2 } else { 1 };
        }
        self.spread_effects();
        Ok(())
    }

    fn walk_cfg(&mut self, from: usize, marks: &mut [Mark]) -> Check {
        if marks.get(from) != Some(&Mark::New) {
            return Ok(());
        }
        // Each entry: the instruction and how many of its edges were followed.
        let mut stack = vec![(from, 0u8)];
        marks[from] = Mark::Open;
        while let Some(top) = stack.last_mut() {
            let (at, edge) = *top;
            top.1 += 1;
            if edge == 0 {
                self.mark_points(at);
            }
            let Some(next) = self.edge(at, edge) else {
                if edge >= 2 {
                    marks[at] = Mark::Done;
                    stack.pop();
                }
                continue;
            };
            match marks.get(next) {
                None => return Reason::JumpOutOfRange { from: at, to: next as i64 }.fail(),
                Some(Mark::New) => {
                    marks[next] = Mark::Open;
                    stack.push((next, 0));
                }
                Some(Mark::Open) if !self.capable() => return Reason::BackEdge { from: at, to: next }.fail(),
                Some(_) => {}
            }
        }
        Ok(())
    }

    /// Edges in the order in which Linux follows them: on, branch, callee.
    fn edge(&self, at: usize, n: u8) -> Option<usize> {
        let (next, branch) = self.flow.successors(at);
        match n {
            0 => next,
            1 => branch,
            2 => self.callee(at),
            _ => None,
        }
    }

    fn callee(&self, at: usize) -> Option<usize> {
        let off = match self.instr(at as u32) {
            Some(Instr::LoadPseudo { kind: Pseudo::Func, imm, .. }) => *imm,
            _ => call_offset(self.code.get(at))?,
        };
        usize::try_from(at as i64 + 1 + i64::from(off)).ok()
    }

    fn point(&mut self, at: usize, prune: bool, jmp: bool) {
        if let Some(aux) = self.aux.get_mut(at) {
            aux.prune_point |= prune;
            aux.jmp_point |= jmp;
        }
    }

    fn mark_points(&mut self, at: usize) {
        let Some(instr) = self.instr(at as u32).copied() else { return };
        let target = self.flow.successors(at).1;
        match instr {
            Instr::Jump { .. } => {
                if let (Some(to), _) = self.flow.successors(at) {
                    self.point(to, true, true);
                }
            }
            Instr::Branch { .. } | Instr::MayGoto { .. } => {
                self.point(at, true, false);
                if let Some(to) = target {
                    self.point(to, true, true);
                }
                if matches!(instr, Instr::MayGoto { .. })
                    && let Some(aux) = self.aux.get_mut(at)
                {
                    aux.force_checkpoint = true;
                }
            }
            Instr::CallLocal { .. } | Instr::LoadPseudo { kind: Pseudo::Func, .. } => {
                self.point(at, true, false);
                self.point(at + instr.slots(), true, true);
                if let Some(to) = self.callee(at) {
                    self.point(to, true, true);
                }
            }
            Instr::CallHelper { id } => self.mark_call(at, helper_class(id)),
            Instr::CallKfunc { id, .. } => self.mark_call(at, kfunc_class(self.program, id)),
            _ => {}
        }
    }

    fn mark_call(&mut self, at: usize, class: CallClass) {
        self.point(at + 1, true, true);
        let Some(aux) = self.aux.get_mut(at) else { return };
        aux.call = class;
        match class {
            CallClass::SyncCallback => {
                aux.force_checkpoint = true;
                aux.prune_point = true;
                aux.jmp_point = true;
            }
            CallClass::AsyncCallback => aux.prune_point = true,
            CallClass::IterNext => {
                aux.prune_point = true;
                aux.force_checkpoint = true;
            }
            CallClass::Plain | CallClass::Throw => {}
        }
    }

    /// A subprogram changes the packet, or may sleep, if anything that it calls does.
    fn spread_effects(&mut self) {
        let mut calls = Vec::new();
        for at in 0..self.code.len() {
            let sub = self.sub_of(at as u32);
            match self.instr(at as u32) {
                Some(Instr::CallHelper { id }) => {
                    if let Some(proto) = u32::try_from(*id).ok().and_then(helpers::proto) {
                        self.subs[sub].changes_packet |= proto.changes_packet;
                        self.subs[sub].might_sleep |= proto.might_sleep;
                    }
                }
                Some(Instr::CallKfunc { id, .. }) => {
                    let kfunc = usize::try_from(*id).ok().and_then(|i| self.program.kfuncs.get(i));
                    self.subs[sub].might_sleep |= kfunc.is_some_and(|k| k.flags.sleepable);
                }
                Some(Instr::CallLocal { .. } | Instr::LoadPseudo { kind: Pseudo::Func, .. }) => {
                    if let Some(callee) = self.callee(at).and_then(|to| self.sub_at(to as u32)) {
                        calls.push((sub, callee));
                    }
                }
                _ => {}
            }
        }
        for sub in &mut self.subs {
            sub.changes_packet |= sub.has_tail_call;
        }
        loop {
            let mut changed = false;
            for &(caller, callee) in &calls {
                let (packet, sleep) = (self.subs[callee].changes_packet, self.subs[callee].might_sleep);
                changed |= (packet && !self.subs[caller].changes_packet) || (sleep && !self.subs[caller].might_sleep);
                self.subs[caller].changes_packet |= packet;
                self.subs[caller].might_sleep |= sleep;
            }
            if !changed {
                return;
            }
        }
    }
}
