//! The order of judgement, and what comes out of it.

use backstop_isa::Instr;

use crate::cost::SubprogramCost;
use crate::env::Verifier;
use crate::facts::{CallFact, Facts, SlotFact, Stats, Subprogram};
use crate::flow::Flow;
use crate::liveness::StackLiveness;
use crate::reason::{Check, Reason};
use crate::refusal::Refusal;

impl Verifier<'_> {
    /// The whole proof, in Linux's order (`bpf_check`). Gives the bytes of stack of the deepest chain of calls.
    pub fn prove(&mut self) -> Check<u32> {
        self.prepare()?;
        self.walk_main()?;
        self.walk_globals()?;
        let depth = self.check_depth()?;
        self.check_global_throws()?;
        Ok(depth)
    }

    /// All that comes before the walk.
    pub fn prepare(&mut self) -> Check {
        if self.code.is_empty() {
            return Reason::Empty {}.fail();
        }
        if self.code.len() > self.options.limits.program {
            return Reason::TooManyInsns { count: self.code.len(), limit: self.options.limits.program }.fail();
        }
        self.world.check()?;
        self.find_subprograms()?;
        self.check_boundaries()?;
        self.check_func_info()?;
        self.resolve_immediates()?;
        self.flow = Flow::of(&self.code);
        self.check_cfg()?;
        self.find_loops();
        self.find_live_registers();
        self.find_fastcalls();
        let bounds = self.subs.iter().map(|s| (s.start, s.end)).collect();
        self.liveness = StackLiveness::new(std::mem::take(&mut self.flow), bounds);
        self.weigh_tables();
        Ok(())
    }

    /// A global subprogram that may throw must not be called while anything is held. Linux does not look; what is held
    /// would leak at run time.
    fn check_global_throws(&mut self) -> Check {
        self.spread_throws();
        for call in &self.collected.held_calls {
            let callee = &self.subs[call.callee];
            if callee.throws {
                self.insn = call.at;
                return Reason::GlobalThrows { name: callee.name.clone(), at: call.at, what: call.what.clone() }.fail();
            }
        }
        Ok(())
    }

    /// A function may throw if a walked call in it leads to one that does.
    fn spread_throws(&mut self) {
        let mut calls = Vec::new();
        for at in 0..self.code.len() as u32 {
            if let Some(Instr::CallLocal { off }) = self.instr(at)
                && self.aux_at(at).seen
                && let Ok(start) = u32::try_from(i64::from(at) + 1 + i64::from(*off))
                && let Some(callee) = self.sub_at(start)
            {
                calls.push((self.sub_of(at), callee));
            }
        }
        loop {
            let mut changed = false;
            for &(caller, callee) in &calls {
                if self.subs[callee].throws && !self.subs[caller].throws {
                    self.subs[caller].throws = true;
                    changed = true;
                }
            }
            if !changed {
                return;
            }
        }
    }

    /// What each function cost.
    pub fn take_costs(&mut self) -> Vec<SubprogramCost> {
        let subs = &self.subs;
        self.costs.take(|i| subs.get(i).map_or_else(Default::default, |s| (s.name.clone(), s.start)))
    }

    fn finished_stats(&self) -> Stats {
        let nanos = u64::try_from(self.started.elapsed().as_nanos()).unwrap_or(u64::MAX);
        Stats { nanos, ..self.stats }
    }

    /// What holds on every path.
    pub fn facts(&self, stack_depth: u32) -> (Facts, Stats) {
        let slots = self.aux.iter().zip(&self.collected.slots).enumerate().map(|(at, (aux, notes))| {
            let call = matches!(
                self.instr(at as u32),
                Some(Instr::CallHelper { .. } | Instr::CallKfunc { .. } | Instr::CallLocal { .. })
            );
            SlotFact {
                reached: aux.seen,
                region: notes.region,
                call: CallFact {
                    map: notes.map.get(),
                    tail_index: notes.tail_index.get(),
                    callback: notes.callback.get(),
                    kernel_memory: notes.kernel_memory,
                    never_returns: call && aux.seen && !notes.returned,
                },
            }
        });
        let facts = Facts {
            slots: slots.collect(),
            subprograms: self.subprograms(),
            throws: self.collected.throws,
            exception_callback: self.exception_callback,
            tail_calls: self.collected.tail_calls,
            context_bytes: self.collected.context_bytes,
            stack_depth,
        };
        (facts, self.finished_stats())
    }

    fn subprograms(&self) -> Vec<Subprogram> {
        let only_exception = self.reached_from_callback_only();
        self.subs
            .iter()
            .zip(only_exception)
            .map(|(s, in_exception_callback)| Subprogram {
                start: s.start,
                end: s.end,
                name: s.name.clone(),
                global: s.global,
                reached: s.reached,
                stack_depth: s.stack_depth,
                may_throw: s.throws,
                callback: s.is_callback && !s.is_exception_callback,
                in_exception_callback,
            })
            .collect()
    }

    /// Functions that nothing but the exception callback reaches.
    fn reached_from_callback_only(&self) -> Vec<bool> {
        let Some(root) = self.exception_callback else { return vec![false; self.subs.len()] };
        let reach = |roots: Vec<usize>| {
            let mut seen = vec![false; self.subs.len()];
            let mut work = roots;
            while let Some(i) = work.pop() {
                let Some(mark) = seen.get_mut(i) else { continue };
                if std::mem::replace(mark, true) {
                    continue;
                }
                let Some(sub) = self.subs.get(i) else { continue };
                for at in sub.start..sub.end {
                    let off = match self.instr(at) {
                        Some(Instr::CallLocal { off }) => *off,
                        Some(Instr::LoadPseudo { kind: backstop_isa::Pseudo::Func, imm, .. }) => *imm,
                        _ => continue,
                    };
                    let target = u32::try_from(i64::from(at) + 1 + i64::from(off)).ok();
                    work.extend(target.and_then(|t| self.sub_at(t)));
                }
            }
            seen
        };
        let main = reach(vec![0]);
        let callback = reach(vec![root]);
        main.into_iter().zip(callback).map(|(m, c)| c && !m).collect()
    }

    /// The refusal for a reason, at the place where the proof stands.
    pub fn refusal(&mut self, reason: Reason) -> Refusal {
        let walked = self.stats.insns_processed > 0;
        let sub = self.subs.get(self.sub_of(self.insn)).map(|s| s.name.clone());
        Refusal {
            category: reason.category(),
            slot: walked.then_some(self.insn),
            subprogram: sub.unwrap_or_default(),
            path: self.explain_path(&reason),
            help: reason.help().map(str::to_owned),
            stats: self.finished_stats(),
            max_states_per_insn: self.max_states_per_insn,
            costs: self.take_costs(),
            log: self.log.take(),
            reason,
        }
    }
}
