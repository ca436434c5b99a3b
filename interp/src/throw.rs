//! `bpf_throw`: from the frame that throws to the boundary.
//!
//! A walk stays in one level of the loop: what enters a level is the host, a tail call out of a subprogram, or native code. In the
//! first two the level's first frame is a main function's, hence the boundary; the verifier refuses throws in the third.

use backstop_abi::{MAX_FRAMES, MAY_GOTO_ROUNDS};

use crate::Code;
use crate::access::{Access, Enter, Entered, Observer};
use crate::op::R;
use crate::run::{Root, State, Vm};
use crate::services::{Halt, Services, WalkedFrame};

impl<S: Services, A: Access, O: Observer> Vm<'_, S, A, O> {
    /// Drops the frames down to the boundary and enters its exception callback in the boundary's place.
    #[cold]
    pub(crate) fn throw(&mut self, code: &Code<S::Callee, S::Mode>, state: &mut State) -> Result<(), Halt> {
        if state.root != Root::Main {
            return Err(Halt::Defect("a throw in a callback"));
        }
        let callback = code.exception_callback.and_then(|f| code.func(f));
        let callback = callback.ok_or(Halt::Defect("a throw without an exception callback"))?;
        let cookie = state.regs.get(R::R1);
        let mut walked = [WalkedFrame::default(); MAX_FRAMES];
        let callers = self.stack.frames.iter().skip(state.base).rev().map(|frame| frame.pc as usize);
        let mut depth = 0;
        // `pc` is the operation after the one that throws or calls.
        for (slot, pc) in walked.iter_mut().zip(std::iter::once(state.pc).chain(callers)) {
            *slot = WalkedFrame { code_id: code.code_id, op: code.id(pc.wrapping_sub(1)) };
            depth += 1;
        }
        self.stack.frames.truncate(state.base);
        self.services.caught(cookie, self.stack.levels == 1, walked.get(..depth).unwrap_or_default());
        state.root = Root::ExceptionCallback;
        state.cursor = state.start;
        state.rounds = MAY_GOTO_ROUNDS;
        state.pc = callback.entry as usize;
        let top = self.stack.carve(&mut state.cursor, callback.frame).ok_or(Halt::Stack)?;
        state.regs.set(R::R10, top);
        self.observer.cut(state.mark);
        let how = Enter::Root(Root::ExceptionCallback);
        self.observer.entered(code, Entered { entry: callback.entry, size: callback.frame, top, how });
        Ok(())
    }
}
