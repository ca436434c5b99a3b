//! Calls of subprograms, and ends of functions (Linux: `check_func_call`, `prepare_func_exit`, `check_return_code`).

use backstop_isa::{Instr, Reg};
use backstop_model::{ProgType, returns};

use crate::collect::HeldCall;
use crate::env::Verifier;
use crate::explore::Step;
use crate::reason::{Check, Reason};
use crate::state::{Flags, Frame, FrameRole, Kind, MAX_FRAMES, RegState, RetRange, State};

impl Verifier<'_> {
    pub fn call(&mut self, instr: &Instr) -> Check<Step> {
        const SPIN_UNLOCK: i32 = 94;
        if self.cur.held.locks > 0 {
            let allowed = match *instr {
                Instr::CallHelper { id } => id == SPIN_UNLOCK,
                Instr::CallKfunc { id, .. } => self.kfunc_allowed_under_lock(id),
                _ => true,
            };
            if !allowed {
                return Reason::CallUnderLock {}.fail();
            }
        }
        match *instr {
            Instr::CallLocal { off } => self.call_local(off),
            Instr::CallHelper { id } => self.call_helper(id),
            Instr::CallKfunc { id, .. } => self.call_kfunc(id),
            _ => Ok(Step::Next),
        }
    }

    fn call_local(&mut self, off: i32) -> Check<Step> {
        let start = self.target(i64::from(off));
        let Some(callee) = self.sub_at(start) else { return Reason::InvalidCallDestination {}.fail() };
        if self.subs[callee].global {
            return self.call_global(callee);
        }
        let at = self.insn;
        let frame = self.callee_frame(&self.cur, callee, at)?;
        let mut frame = frame;
        for i in 1..=5 {
            frame.regs[i] = self.cur.frame().regs[i];
        }
        frame.async_entry = self.cur.frame().async_entry;
        self.clear_caller_saved();
        self.cur.frames.push(crate::state::Counted::shared(frame));
        self.subs[callee].reached = true;
        self.note_entered();
        Ok(Step::Goto(start))
    }

    /// An empty frame for a function called from the running one.
    pub fn callee_frame(&self, state: &State, callee: usize, callsite: u32) -> Check<Frame> {
        let depth = state.frames.len();
        if depth >= MAX_FRAMES {
            return Reason::FramesTooDeep { frames: depth + 1 }.fail();
        }
        Ok(Frame::new(callee as u32, callsite, depth as u8))
    }

    fn call_global(&mut self, callee: usize) -> Check<Step> {
        let args = self.check_global_args(callee);
        let name = self.subs[callee].name.clone();
        if self.cur.held.locks > 0 {
            return Reason::GlobalUnderLock {}.fail();
        }
        let held = &self.cur.held;
        let atomic = held.rcu > 0 || held.preempt > 0 || held.irq_id != 0 || !self.cur.sleepable;
        if self.subs[callee].might_sleep && atomic {
            return Reason::GlobalSleeps {}.fail();
        }
        if let Err(inner) = args {
            return Reason::InvalidGlobalArgs { inner, sub: callee, name }.fail();
        }
        self.log.line(1, || format!("Func#{callee} ('{name}') is global and assumed valid."));
        if let Some(what) = self.held_words() {
            self.collected.held_call(HeldCall { at: self.insn, callee, what });
        }
        if self.subs[callee].changes_packet {
            self.forget_packets();
        }
        self.subs[callee].called = true;
        self.subs[callee].reached = true;
        self.clear_caller_saved();
        self.cur.set(Reg::R0, RegState::UNKNOWN);
        self.returned(self.insn);
        Ok(Step::Next)
    }

    /// What must not be held when a global subprogram throws, in words.
    fn held_words(&self) -> Option<String> {
        let held = &self.cur.held;
        if let Some(r) = held.leaked().next() {
            return Some(format!("the reference acquired at insn {}", r.insn));
        }
        let section = match () {
            () if held.irq_id != 0 => "an irq-off section",
            () if held.rcu > 0 => "an RCU read section",
            () if held.preempt > 0 => "a preempt-off section",
            () => return None,
        };
        Some(section.to_owned())
    }

    /// A path goes on after the call at a slot.
    pub fn returned(&mut self, at: u32) {
        if let Some(s) = self.collected.slot(at) {
            s.returned = true;
        }
    }

    /// Packet pointers are worth nothing after the packet has moved.
    pub fn forget_packets(&mut self) {
        let gone = self.invalid();
        self.cur.for_each_reg(|r| r.is_packet_any() || r.flags.has(Flags::PACKET_SLICE), |r| *r = gone);
    }

    pub fn exit(&mut self) -> Check<Step> {
        let inner = self.cur.frames.len() > 1;
        self.check_end("BPF_EXIT instruction in main prog", false, !inner)?;
        if inner {
            return self.leave_function();
        }
        self.check_return(Reg::R0)?;
        Ok(Step::End)
    }

    /// Nothing may be held where the program ends (Linux: `check_resource_leak`).
    pub fn check_end(&self, what: &'static str, throws: bool, whole: bool) -> Check {
        let held = &self.cur.held;
        if whole && held.locks > 0 {
            return Reason::InLock { what }.fail();
        }
        if throws || self.cur.frames.len() == 1 {
            let lines: Vec<String> =
                held.leaked().map(|r| format!("Unreleased reference id={} alloc_insn={}", r.id, r.insn)).collect();
            if !lines.is_empty() {
                let lines = lines.join("\n");
                return if throws { Reason::LeakThrow { lines } } else { Reason::Leak { lines, what } }.fail();
            }
        }
        if whole && held.irq_id != 0 {
            return Reason::InIrq { what }.fail();
        }
        if whole && held.rcu > 0 {
            return Reason::InRcu { what }.fail();
        }
        if whole && held.preempt > 0 {
            return Reason::InPreempt { what }.fail();
        }
        Ok(())
    }

    /// Back to the caller.
    pub fn leave_function(&mut self) -> Check<Step> {
        self.forget_slices_of_frame();
        let r0 = *self.reg(Reg::R0);
        if matches!(r0.kind, Kind::Stack(_)) {
            return Reason::ReturnStack {}.fail();
        }
        let (role, range, callsite) = {
            let f = self.cur.frame();
            (f.role, f.ret_range, f.callsite)
        };
        if role == FrameRole::Callback {
            if !r0.is_scalar() {
                return Reason::CallbackReturn {}.fail();
            }
            self.mark_precise(Reg::R0)?;
            check_range(&r0, range, false, "At callback return", "R0")?;
        }
        let callee = self.note_leaving();
        self.cur.frames.pop();
        if role != FrameRole::Callback {
            self.cur.set(Reg::R0, r0);
            self.returned(callsite);
            self.note_return(callee, callsite + 1);
            return Ok(Step::Goto(callsite + 1));
        }
        if let Some(old) = self.previous_entry(&self.cur, callsite) {
            let mut cur = std::mem::replace(&mut self.cur, State::new(Frame::new(0, 0, 0), false, 0));
            self.widen(old, &mut cur);
            self.cur = cur;
        }
        self.note_return(callee, callsite);
        Ok(Step::Goto(callsite))
    }

    /// The value that a function leaves to the outside (Linux: `check_return_code`).
    pub fn check_return(&mut self, r: Reg) -> Check {
        let name = if r == Reg::R0 { "R0" } else { "R1" };
        let n = r.index() as u8;
        let (role, is_sub) = {
            let f = self.cur.frame_at(0);
            (f.role, f.subprog != 0)
        };
        self.readable(r)?;
        if self.is_pointer_value(r) {
            return Reason::LeaksReturn { reg: n }.fail();
        }
        let reg = *self.reg(r);
        let throws = r == Reg::R1;
        let (range, word, at) = match role {
            FrameRole::AsyncCallback => (self.cur.frame_at(0).ret_range, false, "At async callback return"),
            // A cookie becomes the program's result, wherever it is thrown.
            _ if is_sub && role != FrameRole::ExceptionCallback && !throws => {
                if !reg.is_scalar() {
                    return Reason::SubprogReturn { reg: n, ty: reg.type_name() }.fail();
                }
                return Ok(());
            }
            _ => {
                if throws && !reg.is_scalar() {
                    return Reason::NotScalar { reg: n }.fail();
                }
                match returns::range(&self.program.kind) {
                    Some(range) => ((range.min as i32, range.max as i32), range.word, "At program exit"),
                    None => return Ok(()),
                }
            }
        };
        if !reg.is_scalar() {
            return Reason::ReturnUnknown { at, reg: n, ty: reg.type_name() }.fail();
        }
        self.mark_precise(r)?;
        check_range(&reg, range, word, at, name)
    }

    /// Programs of Backstop's own types.
    pub fn own_type(&self) -> bool {
        matches!(self.ty(), ProgType::RawMem | ProgType::Host)
    }
}

/// Linux: `retval_range_within` and `verbose_invalid_scalar`.
fn check_range(reg: &RegState, range: RetRange, word: bool, at: &'static str, name: &'static str) -> Check {
    let (min, max) = (i64::from(range.0), i64::from(range.1));
    let v = &reg.var;
    let inside =
        if word { i64::from(v.s32_min) >= min && i64::from(v.s32_max) <= max } else { v.smin >= min && v.smax <= max };
    if inside {
        return Ok(());
    }
    let mut text = String::new();
    if v.smin > i64::MIN {
        text.push_str(&format!(" smin={}", v.smin));
    }
    if v.smax < i64::MAX {
        text.push_str(&format!(" smax={}", v.smax));
    }
    if text.is_empty() {
        text.push_str(" unknown scalar value");
    }
    Reason::ReturnRange { at, reg: name, range: text, min, max }.fail()
}
