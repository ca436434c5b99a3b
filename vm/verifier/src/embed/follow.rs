//! A run followed instruction by instruction.
//!
//! Between checkpoints nothing was kept, so a state that held the run at the last one is led on by the verifier's own transfer: what
//! the instruction makes of it must hold the run again, on one of its branches. A state that covers others (imprecise scalars
//! opened) must lead on as they do, since pruning relied on that: a refusal on the way is a violation too.

use std::collections::VecDeque;

use backstop_isa::Instr;

use super::claims::{Claims, opened};
use super::concrete::Concrete;
use super::inside::{base_of, holds, miss};
use super::violation::{Violation, ViolationKind};
use crate::code::CallClass;
use crate::env::Verifier;
use crate::explore::Step;
use crate::state::{Frame, Shared, State};

/// States of a checkpoint that are followed.
const MAX_STATES: usize = 4;
/// Instructions that a violation tells of.
const MAX_PATH: usize = 64;
/// Instructions without an operation of their own (jumps) between two that a run shows.
const MAX_SILENT: usize = 64;
/// States that do not hold a run and are told of.
const MAX_MISSES: usize = 8;

/// Where the run was, in one walk of the proof.
#[derive(Debug, Default)]
struct Stand {
    /// States that held the run before the last instruction.
    states: Vec<State>,
    /// The last instruction.
    slot: u32,
    /// Frames of the run there.
    frames: usize,
}

/// A call that calls back.
#[derive(Debug)]
struct Calling {
    /// Frames of the run at the call.
    frames: usize,
    /// States that held it there. The verifier simulates the call anew after each round, from a state in which the call's
    /// arguments claim nothing: they are still those that it judged before the first.
    states: Vec<State>,
    /// Rounds of the callback that were begun. A state of a later round does not hold an earlier one: fewer are left.
    rounds: u32,
}

/// Follows one run of a program.
pub struct Follower<'c> {
    claims: &'c Claims,
    verifier: Verifier<'c>,
    now: Option<Stand>,
    /// Callers of the global functions that run, each with the call as its last instruction.
    outer: Vec<Stand>,
    /// Calls whose callbacks run, innermost last.
    callbacks: Vec<Calling>,
    path: VecDeque<u32>,
    steps: u64,
}

impl Claims {
    /// Whether a run that stands before an instruction is inside what was kept there. Says nothing where nothing was kept.
    ///
    /// # Errors
    /// A [`Violation`], with the claim and the value that break it for each state there.
    pub fn check(&self, slot: u32, view: &dyn Concrete) -> Result<(), Box<Violation>> {
        if !self.is_checkpoint(slot) {
            return Ok(());
        }
        self.holding(slot, view, &|_| u32::MAX).map(|_| ())
    }

    /// The states at an instruction that hold a run, the first few. `rounds`: those begun of the callback that a frame of the run
    /// waits for.
    fn holding(
        &self,
        slot: u32,
        view: &dyn Concrete,
        rounds: &dyn Fn(usize) -> u32,
    ) -> Result<Vec<&State>, Box<Violation>> {
        let mut holding = Vec::new();
        let mut others = Vec::new();
        for state in self.at(slot) {
            let Some(base) = base_of(self, state, view) else { continue };
            let begun = |(n, f): (usize, &Shared<Frame>)| f.callback_depth <= rounds(base + n);
            if !state.frames.iter().enumerate().all(begun) {
                continue;
            }
            if holds(self, state, view, base, false) {
                holding.push(state);
                if holding.len() == MAX_STATES {
                    break;
                }
            } else if others.len() < MAX_MISSES {
                others.push((state, base));
            }
        }
        if holding.is_empty() {
            let misses = others.into_iter().filter_map(|(state, base)| miss(self, state, view, base, false)).collect();
            return Err(Box::new(Violation { slot, kind: ViolationKind::Checkpoint, misses, path: Vec::new() }));
        }
        Ok(holding)
    }
}

impl std::fmt::Debug for Follower<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Follower").field("now", &self.now).field("path", &self.path).finish_non_exhaustive()
    }
}

impl<'c> Follower<'c> {
    /// Follows a run from its first instruction.
    pub fn new(claims: &'c Claims) -> Follower<'c> {
        let mut verifier = Verifier::new(&claims.program, &claims.options);
        // They succeeded when the program was proved.
        let _ = verifier.prepare();
        verifier.ids = claims.ids;
        Follower {
            claims,
            verifier,
            now: None,
            outer: Vec::new(),
            callbacks: Vec::new(),
            path: VecDeque::new(),
            steps: 0,
        }
    }

    /// Instructions followed so far.
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// The run stands before the instruction at `slot`.
    ///
    /// # Errors
    /// A [`Violation`] if no state holds it that should. The follower is then of no more use.
    pub fn before(&mut self, slot: u32, view: &dyn Concrete) -> Result<(), Box<Violation>> {
        self.steps += 1;
        if self.path.len() == MAX_PATH {
            self.path.pop_front();
        }
        self.path.push_back(slot);
        self.stand(slot, view).map_err(|mut violation| {
            violation.path = self.path.iter().copied().collect();
            violation
        })
    }

    fn stand(&mut self, slot: u32, view: &dyn Concrete) -> Result<(), Box<Violation>> {
        let frames = view.frames();
        let mut last = self.last(slot, view);
        if let Some(last) =
            last.take_if(|last| last.slot == slot && last.frames == frames && !self.loops_to_itself(slot))
        {
            // One instruction, another of its operations.
            self.now = Some(last);
            return Ok(());
        }
        let mut states = Vec::new();
        if let Some(last) = &last {
            if frames == last.frames + 1 && self.verifier.aux_at(last.slot).call == CallClass::SyncCallback {
                self.callbacks.push(Calling { frames: last.frames, states: last.states.clone(), rounds: 1 });
            } else if frames == last.frames && slot == view.function(frames - 1) && self.ends_frame(last.slot) {
                // The next round.
                if let Some(call) = self.callbacks.last_mut().filter(|call| call.frames + 1 == frames) {
                    call.rounds = call.rounds.saturating_add(1);
                }
            }
            states = self.lead_on(last, slot, view)?;
        }
        while self.callbacks.pop_if(|call| call.frames >= frames).is_some() {}
        if last.is_none() || self.claims.is_checkpoint(slot) {
            let rounds = |frame: usize| {
                self.callbacks.iter().find(|call| call.frames == frame + 1).map_or(0, |call| call.rounds)
            };
            let holding = self.claims.holding(slot, view, &rounds)?;
            states = holding.into_iter().map(opened).collect();
        }
        states.truncate(MAX_STATES);
        self.now = Some(Stand { states, slot, frames });
        Ok(())
    }

    /// Where the run was before, in the walk that it is in now; none at a walk's beginning.
    fn last(&mut self, slot: u32, view: &dyn Concrete) -> Option<Stand> {
        let frames = view.frames();
        let mut last = self.now.take()?;
        let start = view.function(frames.saturating_sub(1));
        let global = self.claims.function_at(start).is_some_and(|f| f.global);
        if slot == start && global && frames == last.frames + 1 {
            self.outer.push(last);
            return None;
        }
        if slot == start && frames == 1 && !self.walks(&last, start) {
            // The exception callback, or another that is entered from outside.
            self.outer.clear();
            return None;
        }
        while let Some(caller) = self.outer.pop_if(|caller| caller.frames >= frames) {
            last = caller;
        }
        Some(last)
    }

    fn ends_frame(&self, slot: u32) -> bool {
        matches!(self.verifier.instr(slot), Some(Instr::Exit))
    }

    fn loops_to_itself(&self, slot: u32) -> bool {
        matches!(self.verifier.instr(slot), Some(Instr::Branch { off: -1, .. } | Instr::MayGoto { off: -1 }))
    }

    /// The run's outermost frame is still the function that begins at `start`.
    fn walks(&self, last: &Stand, start: u32) -> bool {
        let outermost = self.outer.first().unwrap_or(last);
        let function = |s: &State| self.claims.functions.get(s.frame_at(0).subprog as usize).map(|f| f.start);
        outermost.states.first().and_then(function) == Some(start)
    }

    /// Each state must lead to one that holds the run now.
    fn lead_on(&mut self, last: &Stand, slot: u32, view: &dyn Concrete) -> Result<Vec<State>, Box<Violation>> {
        let mut found: Vec<State> = Vec::new();
        for state in &last.states {
            let mut misses = Vec::new();
            let before = found.len();
            for next in self.arrivals(state, last, slot, &mut misses) {
                let Some(base) = base_of(self.claims, &next, view) else { continue };
                match miss(self.claims, &next, view, base, true) {
                    None => found.push(next),
                    Some(why) => misses.push(why),
                }
            }
            if found.len() == before {
                misses.truncate(MAX_MISSES);
                return Err(Box::new(Violation { slot, kind: ViolationKind::Step, misses, path: Vec::new() }));
            }
        }
        Ok(found)
    }

    /// States at `to` that the instruction at `from` leads to. Where the transfer refuses, its reason is a miss.
    fn arrivals(&mut self, state: &State, last: &Stand, to: u32, misses: &mut Vec<String>) -> Vec<State> {
        let mut out = Vec::new();
        let mut work = vec![(state.clone(), last.slot)];
        for _ in 0..MAX_SILENT {
            let Some((state, at)) = work.pop() else { break };
            match self.transfer(state, at) {
                Ok(next) => {
                    for (state, insn) in next {
                        if insn == to {
                            out.push(state);
                        } else if self.is_silent(insn, at) {
                            work.push((state, insn));
                        } else if self.goes_on_after_callback(insn, at) {
                            work.extend(self.with_arguments(state, last.frames).into_iter().map(|s| (s, insn)));
                        }
                    }
                }
                Err(why) => misses.push(format!("instruction {at}: {why}")),
            }
        }
        out
    }

    /// A run shows no stop here: at a jump, or where an operation is walked anew for one of the values that it may have had.
    fn is_silent(&self, insn: u32, from: u32) -> bool {
        match self.verifier.instr(insn) {
            Some(Instr::Jump { .. }) => true,
            Some(Instr::Alu { .. }) => insn == from,
            _ => false,
        }
    }

    /// A call goes on after a round of its callback; a run shows no stop there.
    fn goes_on_after_callback(&self, insn: u32, from: u32) -> bool {
        self.ends_frame(from) && self.verifier.aux_at(insn).call == CallClass::SyncCallback
    }

    /// The state back at a call, with the arguments that the call had. `frames`: those of the run in the callback.
    fn with_arguments(&self, state: State, frames: usize) -> Vec<State> {
        let Some(call) = self.callbacks.iter().rev().find(|call| call.frames + 1 == frames) else { return vec![state] };
        let patched = |from: &State| {
            let mut state = state.clone();
            let arguments = from.frame().regs;
            for (to, from) in state.frame_mut().regs.iter_mut().zip(arguments).take(6) {
                *to = from;
            }
            state
        };
        call.states.iter().map(patched).collect()
    }

    /// What the verifier makes of one instruction: states and where each stands.
    fn transfer(&mut self, state: State, at: u32) -> Result<Vec<(State, u32)>, String> {
        let v = &mut self.verifier;
        let Some(instr) = v.instr(at).copied() else { return Err("is none".to_owned()) };
        v.cur = state;
        v.cur.history.clear();
        (v.cur.insn, v.cur.first_insn, v.cur.last_insn, v.cur.parent) = (at, at, at, None);
        (v.insn, v.prev_insn, v.hist_open) = (at, at, false);
        v.pending.clear();
        v.walked_back.clear();
        let step = v.transfer(&instr).map_err(|reason| reason.kernel_text())?;
        let mut out: Vec<(State, u32)> = v.pending.drain(..).map(|p| (p.state, p.insn)).collect();
        let cur = v.cur.clone();
        match step {
            Step::Next => out.push((cur, at + instr.slots() as u32)),
            Step::Goto(to) => out.push((cur, to)),
            Step::End => {}
        }
        Ok(out)
    }
}
