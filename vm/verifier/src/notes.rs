//! What the log tells beside instructions and states, in the kernel's words: calls and returns, and on level 2 the walks back for
//! precision. Nothing is made where nothing is logged.

use std::fmt::Write;

use crate::env::Verifier;
use crate::state::{Checkpoint, Counted, Marks, State};

impl Verifier<'_> {
    /// A subprogram was entered.
    pub fn note_entered(&mut self) {
        if self.log.on(1) {
            let inner = self.cur.top();
            let (caller, callee) = (self.frame_text_of(inner.saturating_sub(1)), self.frame_text_of(inner));
            self.log.line(1, || format!("caller:\n{caller}\ncallee:\n{callee}"));
        }
    }

    /// A subprogram or callback is about to be left: its state, to be told when its caller's is known.
    pub fn note_leaving(&self) -> Option<String> {
        self.log.on(1).then(|| self.state_text(&self.cur))
    }

    /// The function was left, for this instruction of its caller.
    pub fn note_return(&mut self, callee: Option<String>, to: u32) {
        if let Some(callee) = callee {
            let caller = self.state_text(&self.cur);
            self.log.line(1, || format!("returning from callee:\n{callee}\nto caller at {to}:\n{caller}"));
            self.log.show_state = true;
        }
    }

    /// A walk back for precision comes to the stretch of a path that ends at `last`.
    pub fn note_stretch(&mut self, frame: usize, last: u32, first: u32, after: Option<u32>) {
        let after = after.map_or(-1, i64::from);
        self.log
            .line(2, || format!("mark_precise: frame{frame}: last_idx {last} first_idx {first} subseq_idx {after} "));
    }

    /// A walk back looks at an instruction.
    pub fn note_back(&mut self, frame: usize, wanted: Marks, at: u32) {
        let instr = self.insn_text(at);
        self.log.line(2, || format!("mark_precise: frame{frame}: {} before {instr}", wanted_text(wanted)));
    }

    /// A walk back has come to a kept state and marked what was not marked there.
    pub fn note_parent(&mut self, id: u32, new: &[Marks]) {
        for (frame, marks) in new.iter().enumerate().rev() {
            let Some(kept) = self.kept.get(id) else { return };
            let state = self.kept_frame_text(&kept.state, frame);
            self.log.line(2, || format!("mark_precise: frame{frame}: parent state {}: {state}", wanted_text(*marks)));
        }
    }

    /// What was precise in a state that covers the current one is precise here.
    pub fn note_propagated(&mut self, precise: &[Marks]) {
        for (frame, marks) in precise.iter().enumerate().rev().filter(|(_, m)| **m != Marks::default()) {
            let slots = numbers(marks.slots).map(|i| format!("fp-{}", (i + 1) * 8));
            let all: Vec<String> = numbers(u64::from(marks.regs)).map(|i| format!("r{i}")).chain(slots).collect();
            self.log.line(2, || format!("frame {frame}: propagating {}", all.join(",")));
        }
    }

    fn frame_text_of(&self, frame: usize) -> String {
        let mut state = self.cur.clone();
        state.frames.truncate(frame + 1);
        self.state_text(&state)
    }

    /// Nothing where the state has given its frames up.
    fn kept_frame_text(&self, state: &Checkpoint, frame: usize) -> String {
        let mut state: State = state.state(|f| Counted::shared(f.unpack()));
        if state.frames.len() <= frame {
            return String::new();
        }
        state.frames.truncate(frame + 1);
        self.state_text(&state)
    }
}

fn wanted_text(marks: Marks) -> String {
    let mut out = String::from("regs=");
    for (n, i) in numbers(u64::from(marks.regs)).enumerate() {
        let _ = write!(out, "{}r{i}", if n > 0 { "," } else { "" });
    }
    out.push_str(" stack=");
    for (n, i) in numbers(marks.slots).enumerate() {
        let _ = write!(out, "{}-{}", if n > 0 { "," } else { "" }, (i + 1) * 8);
    }
    out
}

/// Numbers of the bits that are set.
fn numbers(bits: u64) -> impl Iterator<Item = u32> {
    (0..u64::BITS).filter(move |i| bits >> i & 1 != 0)
}
