//! The walk: every path of a function, depth first, in the order in which Linux takes them.

use backstop_isa::{Instr, Operand, Reg};
use backstop_model::ProgType;

use crate::code::Code;
use crate::env::Verifier;
use crate::global::{ArgClass, ArgSpec};
use crate::kept::Kept;
use crate::reason::{Check, Reason};
use crate::resolve::malformed;
use crate::state::{Access, Flags, Frame, FrameRole, Kind, NO_CALLSITE, RegState, State};

/// Where an instruction leads.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Step {
    /// The one after it.
    Next,
    /// This one.
    Goto(u32),
    /// The path ends.
    End,
}

impl Verifier<'_> {
    /// Walks main.
    pub fn walk_main(&mut self) -> Check {
        let mut frame = Frame::new(0, NO_CALLSITE, 0);
        match self.ty() {
            ProgType::RawMem => {
                let len = self.program.kind.memory_len;
                *frame.reg_mut(Reg::R1) = RegState::pointer(Kind::Mem(len));
                *frame.reg_mut(Reg::R2) = RegState::constant(u64::from(len));
            }
            _ => *frame.reg_mut(Reg::R1) = RegState::pointer(Kind::Ctx),
        }
        self.walk(frame, 0)
    }

    /// Walks the global subprograms that something calls, until no new one is called (Linux: `do_check_subprogs`).
    pub fn walk_globals(&mut self) -> Check {
        loop {
            let mut any = false;
            for i in 1..self.subs.len() {
                let sub = &self.subs[i];
                if !sub.global || !sub.called || sub.verified {
                    continue;
                }
                self.walk_global(i)?;
                self.subs[i].verified = true;
                any = true;
            }
            if !any {
                return Ok(());
            }
        }
    }

    fn walk_global(&mut self, i: usize) -> Check {
        self.log.line(1, || format!("Validating {}() func#{i}...", self.subs[i].name));
        let args = self.args_of(i)?;
        let mut frame = Frame::new(i as u32, NO_CALLSITE, 0);
        if self.subs[i].is_exception_callback {
            frame.role = FrameRole::ExceptionCallback;
            let single = matches!(args.as_slice(), [ArgSpec { class: ArgClass::Scalar, .. }]);
            if !single {
                return Reason::ExceptionArgs {}.fail();
            }
        }
        for (arg, r) in args.iter().zip([Reg::R1, Reg::R2, Reg::R3, Reg::R4, Reg::R5]) {
            *frame.reg_mut(r) = self.argument(arg);
        }
        self.walk(frame, self.subs[i].start)?;
        self.log
            .line(1, || format!("Func#{i} ('{}') is safe for any args that match its prototype", self.subs[i].name));
        Ok(())
    }

    fn argument(&mut self, arg: &ArgSpec) -> RegState {
        let nullable = |v: &mut Self, r: RegState| {
            if arg.nullable { RegState { id: v.new_id(), ..r.flagged(Flags::MAYBE_NULL) } } else { r }
        };
        match arg.class {
            ArgClass::Scalar => RegState::UNKNOWN,
            ArgClass::Ctx => match self.ty() {
                ProgType::RawMem => RegState::pointer(Kind::Mem(self.program.kind.memory_len)),
                _ => RegState::pointer(Kind::Ctx),
            },
            ArgClass::Mem(size) => nullable(self, RegState::pointer(Kind::Mem(size))),
            ArgClass::UntrustedMem => RegState::pointer(Kind::Mem(0)).flagged(Flags::UNTRUSTED.with(Flags::RDONLY)),
            // An address, but for the callee to cast.
            ArgClass::Arena => RegState::UNKNOWN,
            ArgClass::Kernel { ty, trusted } => {
                let flags = if trusted { Flags::TRUSTED } else { Flags::UNTRUSTED };
                let null = if arg.nullable { Flags::MAYBE_NULL } else { Flags::NONE };
                RegState { id: self.new_id(), ..RegState::pointer(Kind::Btf(ty)).flagged(flags.with(null)) }
            }
            ArgClass::Dynptr => RegState { id: self.new_id(), ..RegState::pointer(Kind::Dynptr) },
        }
    }

    fn walk(&mut self, frame: Frame, start: u32) -> Check {
        let sub = frame.subprog as usize;
        if let Some(s) = self.subs.get_mut(sub) {
            s.reached = true;
        }
        self.cur = State::new(frame, self.program.kind.sleepable, start);
        self.kept = Kept::new(self.code.len());
        if self.options.keep_states {
            self.kept.keep_all();
            self.keep_aside(start);
        }
        self.pending.clear();
        self.liveness.frames_changed();
        self.walked_back.clear();
        self.insn = start;
        self.prev_insn = u32::MAX;
        self.log.show_state = true;
        self.walking = true;
        let log_at = self.log.position();
        loop {
            let step = self.step()?;
            match step {
                Step::Next => {
                    let width = self.instr(self.prev_insn).map_or(1, Instr::slots) as u32;
                    self.insn = self.prev_insn + width;
                }
                Step::Goto(to) => self.insn = to,
                Step::End => {
                    self.path_ends();
                    let Some(next) = self.pending.pop() else {
                        self.walking = false;
                        self.log.path_ends(log_at);
                        if self.options.keep_states {
                            let states = self.take_kept();
                            self.claimed.extend(states);
                        }
                        return Ok(());
                    };
                    self.cur = next.state;
                    self.insn = next.insn;
                    self.prev_insn = next.prev;
                    self.walked_back.clear();
                    self.liveness.frames_changed();
                    self.log.show_state = true;
                    self.log.path_ends(next.log_at);
                }
            }
        }
    }

    /// Walks one instruction. Afterwards `prev_insn` is that instruction.
    fn step(&mut self) -> Check<Step> {
        self.hist_open = false;
        let at = self.insn;
        let Some(code) = self.code.get(at as usize).copied() else {
            return Reason::JumpOutOfRange { from: self.prev_insn as usize, to: i64::from(at) }.fail();
        };
        self.stats.insns_processed += 1;
        self.costs.walks(self.cur.frame().subprog);
        if self.stats.insns_processed > self.options.limits.insns {
            return Reason::TooLarge { processed: self.stats.insns_processed }.fail();
        }
        self.cur.last_insn = self.prev_insn;
        self.cur.insn = at;
        let aux = self.aux_at(at);
        if aux.prune_point && self.is_visited()? {
            self.log_safe();
            return Ok(Step::End);
        }
        if aux.jmp_point {
            self.push_history(Access::default(), None);
        }
        self.log_insn();
        if let Some(aux) = self.aux.get_mut(at as usize) {
            aux.seen = true;
        }
        let (instr, depth) = match code {
            Code::Insn(i) => (i, self.cur.frames.len()),
            Code::Second => return Reason::JumpIntoImm64 { at: at as usize }.fail(),
            Code::Bad(error, _) => return malformed(&error).fail(),
        };
        if let Ok(i) = self.program.poisoned.binary_search_by_key(&at, |p| p.slot)
            && let Some(p) = self.program.poisoned.get(i)
        {
            return Reason::Poisoned { wanted: p.wanted.clone() }.fail();
        }
        self.liveness.stand(&self.cur, at);
        let step = self.transfer(&instr)?;
        self.liveness.commit(at);
        if self.cur.frames.len() != depth {
            self.liveness.frames_changed();
        }
        self.prev_insn = at;
        Ok(step)
    }

    pub fn transfer(&mut self, instr: &Instr) -> Check<Step> {
        match *instr {
            Instr::Alu { width, op, dst, src } => self.alu(instr, width, op, dst, src),
            Instr::Neg { width, dst } => self.neg(width, dst),
            Instr::End { order, size, dst } => self.end(order, size, dst),
            Instr::Mov { width, dst, src } => self.mov(width, dst, src),
            Instr::MovSx { width, from, dst, src } => self.movsx(width, from, dst, src),
            Instr::AddrSpaceCast { dst, src, to, .. } => self.addr_space_cast(instr, dst, src, to),
            Instr::LoadImm64 { dst, imm } => {
                self.writable(dst)?;
                self.cur.set(dst, RegState::constant(imm));
                Ok(Step::Next)
            }
            Instr::LoadPseudo { dst, kind, imm, next_imm } => self.load_pseudo(dst, kind, imm, next_imm),
            Instr::Load { size, signed, dst, base, off } => self.load(size, signed, dst, base, off),
            Instr::Store { size, base, off, src } => self.store(size, base, off, src),
            Instr::Atomic { size, op, fetch, base, off, src } => self.atomic(size, op, fetch, base, off, src),
            Instr::LoadAcquire { size, dst, base, off } => self.load_acquire(size, dst, base, off),
            Instr::StoreRelease { size, base, off, src } => self.store_release(size, base, off, src),
            Instr::LegacyLoad { index, .. } => self.legacy_load(index),
            Instr::Jump { off, .. } => {
                self.jmps += 1;
                Ok(Step::Goto(self.target(i64::from(off))))
            }
            Instr::Branch { width, op, dst, src, off } => {
                self.jmps += 1;
                self.branch(width, op, dst, src, off)
            }
            Instr::MayGoto { off } => {
                self.jmps += 1;
                self.may_goto(off)
            }
            Instr::CallHelper { .. } | Instr::CallLocal { .. } | Instr::CallKfunc { .. } => {
                self.jmps += 1;
                self.call(instr)
            }
            Instr::Exit => {
                self.jmps += 1;
                self.exit()
            }
        }
    }

    /// Slot that a jump from the running instruction leads to. Bounds were checked before the walk.
    pub fn target(&self, off: i64) -> u32 {
        u32::try_from(i64::from(self.insn) + 1 + off).unwrap_or(u32::MAX)
    }

    fn may_goto(&mut self, off: i16) -> Check<Step> {
        let at = self.insn;
        let previous = self.previous_entry_of_parent(at);
        self.push_branch(at + 1, at)?.may_goto_depth += 1;
        if let Some(old) = previous
            && let Some(mut p) = self.pending.pop()
        {
            self.widen(old, &mut p.state);
            self.pending.push(p);
        }
        Ok(Step::Goto(self.target(i64::from(off))))
    }

    /// Copies the operand's value, an immediate as the constant that it stands for.
    pub fn operand(&self, src: Operand) -> RegState {
        match src {
            Operand::Reg(r) => *self.reg(r),
            Operand::Imm(i) => RegState::constant(i64::from(i) as u64),
        }
    }
}
