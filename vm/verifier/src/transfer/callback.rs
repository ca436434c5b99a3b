//! Functions of the program that a helper calls: walked for zero and more rounds, or later on their own.

use backstop_btf::Kind as BtfKind;
use backstop_isa::{Instr, Reg};
use backstop_model::CallbackUse;

use crate::code::CallClass;
use crate::env::{Pending, Verifier};
use crate::reason::{Check, Reason};
use crate::state::{Counted, Frame, FrameRole, Kind, MapId, RegState, State};

/// What a callback gets.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CallbackArgs {
    pub uses: CallbackUse,
    pub map: Option<MapId>,
    pub map_uid: u32,
}

impl Verifier<'_> {
    /// Puts a round of the callback on the work list; the current path goes on as if it had ended (Linux:
    /// `push_callback_call`).
    pub fn push_callback(&mut self, callee: usize, args: &CallbackArgs) -> Check {
        let at = self.insn;
        let Some(sub) = self.subs.get_mut(callee) else { return Ok(()) };
        sub.is_callback = true;
        sub.reached = true;
        let start = sub.start;
        if self.aux_at(at).call == CallClass::AsyncCallback {
            return self.push_async(callee, start, args);
        }
        let mut frame = self.callee_frame(&self.cur, callee, at)?;
        self.set_callback_args(&mut frame, args)?;
        self.push_round(frame, start)
    }

    /// Puts aside a path that enters a callback of the running instruction.
    pub fn push_round(&mut self, mut frame: Frame, start: u32) -> Check {
        frame.role = FrameRole::Callback;
        frame.ret_range = (0, 1);
        frame.async_entry = self.cur.frame().async_entry;
        let state = self.push_branch(start, self.insn)?;
        state.callback_unroll_depth += 1;
        state.frame_mut().callback_depth += 1;
        state.frames.push(Counted::shared(frame));
        self.cur.frame_mut().callback_depth = 0;
        Ok(())
    }

    fn push_async(&mut self, callee: usize, start: u32, args: &CallbackArgs) -> Check {
        if let Some(sub) = self.subs.get_mut(callee) {
            sub.is_async = true;
        }
        let mut frame = Frame::new(callee as u32, crate::state::NO_CALLSITE, 0);
        self.set_callback_args(&mut frame, args)?;
        frame.role = FrameRole::AsyncCallback;
        frame.ret_range = (0, 0);
        frame.async_entry = self.cur.frame().async_entry + 1;
        if self.pending.len() >= self.options.limits.jumps {
            return Reason::TooComplexJumps { count: self.pending.len() as u64 + 1 }.fail();
        }
        // A workqueue's function runs in a context of its own that may sleep; a timer's does not.
        let sleepable = matches!(self.instr(self.insn), Some(Instr::CallKfunc { .. }));
        let mut state = State::new(frame, sleepable, start);
        state.parent = None;
        self.pending.push(Pending { state, insn: start, prev: self.insn, log_at: self.log.position() });
        Ok(())
    }

    fn set_callback_args(&mut self, frame: &mut Frame, args: &CallbackArgs) -> Check {
        let r3 = *self.cur.reg(Reg::R3);
        let uid = args.map_uid;
        let map_args = |frame: &mut Frame, map: MapId| {
            *frame.reg_mut(Reg::R1) = RegState { map_uid: uid, ..RegState::pointer(Kind::MapPtr(map)) };
            *frame.reg_mut(Reg::R2) = RegState { map_uid: uid, ..RegState::pointer(Kind::MapKey(map)) };
            *frame.reg_mut(Reg::R3) = RegState { map_uid: uid, ..RegState::pointer(Kind::MapValue(map)) };
        };
        match (args.uses, args.map) {
            (CallbackUse::Loop, _) => {
                *frame.reg_mut(Reg::R1) = RegState::UNKNOWN;
                *frame.reg_mut(Reg::R2) = r3;
            }
            (CallbackUse::ForEachMapElem, Some(map)) => {
                if !self.world.map(map).spec.kind.info().iterable {
                    return Reason::CallbackMap {}.fail();
                }
                map_args(frame, map);
                *frame.reg_mut(Reg::R4) = r3;
            }
            (CallbackUse::Timer, Some(map)) => map_args(frame, map),
            (CallbackUse::UserRingbufDrain, _) => {
                *frame.reg_mut(Reg::R1) = RegState { id: self.new_id(), ..RegState::pointer(Kind::Dynptr) };
                *frame.reg_mut(Reg::R2) = r3;
            }
            (CallbackUse::FindVma, _) => {
                let Some(area) = self.world.kernel_type("vm_area_struct", BtfKind::Struct) else {
                    return Reason::KernelType { name: "vm_area_struct".into() }.fail();
                };
                *frame.reg_mut(Reg::R1) = *self.cur.reg(Reg::R1);
                *frame.reg_mut(Reg::R2) = RegState::pointer(Kind::Btf(area));
                *frame.reg_mut(Reg::R3) = *self.cur.reg(Reg::R4);
            }
            _ => return Reason::KfuncUnsupported { name: "callback of this helper".into() }.fail(),
        }
        Ok(())
    }
}
