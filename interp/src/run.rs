//! The loop.
//!
//! A *level* is one activation of the loop, in one Rust frame: it is entered by the host, by a tail call out of a subprogram, or by native
//! code that calls a function of the program back. The program's own calls stay inside it. A tail call out of its first frame ends
//! the level's code and goes on with the target's. Levels nest to a fixed depth, so the host's stack is bounded.
//!
//! Every taken jump goes through `pc = target`; polls at back edges belong there.

use backstop_abi::{MAX_FRAMES, MAX_TAIL_CALLS, MAY_GOTO_ROUNDS};
use backstop_isa::{AluOp, AtomicOp, CmpOp, Size};

use crate::Code;
use crate::access::{Access, Enter, Entered, Observer, place};
use crate::alu::{alu32, alu64, holds32, holds64, sign_extended, zero_extended};
use crate::op::{Op, R, op_tables};
use crate::services::{CallBack, Halt, Services, Stop};
use crate::stack::{Cursor, Frame, MAX_LEVELS, Stack};

/// BPF's registers.
pub(crate) struct Regs([u64; 11]);

impl Regs {
    #[inline(always)]
    pub(crate) fn get(&self, r: R) -> u64 {
        self.0[r as usize]
    }

    #[inline(always)]
    pub(crate) fn set(&mut self, r: R, value: u64) {
        self.0[r as usize] = value;
    }

    fn args(&self) -> [u64; 5] {
        [R::R1, R::R2, R::R3, R::R4, R::R5].map(|r| self.get(r))
    }

    pub(crate) fn saved(&self) -> [u64; 5] {
        [R::R6, R::R7, R::R8, R::R9, R::R10].map(|r| self.get(r))
    }
}

/// What a level's first frame is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Root {
    /// A main function: the level's boundary, and what a tail call replaces.
    Main,
    /// Entered by native code.
    Callback,
    /// Took the place of a main function that something was thrown to.
    ExceptionCallback,
}

/// How a level is entered.
pub(crate) struct Entry {
    func: u32,
    args: [u64; 5],
    root: Root,
}

impl Entry {
    pub(crate) fn main([r1, r2]: [u64; 2]) -> Entry {
        Entry { func: 0, args: [r1, r2, 0, 0, 0], root: Root::Main }
    }
}

/// A level's state, but for the program counter, which the loop keeps to itself.
pub(crate) struct State {
    pub(crate) regs: Regs,
    /// The operation after the current one, where something else than the loop needs to know it.
    pub(crate) pc: usize,
    /// Rounds that this function's `may_goto` have left.
    pub(crate) rounds: u64,
    /// Free stack.
    pub(crate) cursor: Cursor,
    /// Free stack when the level was entered.
    pub(crate) start: Cursor,
    /// Frames of outer levels.
    pub(crate) base: usize,
    /// As `base`, in the observer's count.
    pub(crate) mark: usize,
    pub(crate) root: Root,
}

/// How a level's code ends.
enum Outcome<T> {
    Returned(u64),
    /// The first frame is replaced by this program, with this context.
    Replaced(T, u64),
}

/// One run, seen from inside.
pub(crate) struct Vm<'r, S, A, O> {
    pub(crate) services: &'r mut S,
    pub(crate) stack: &'r mut Stack,
    pub(crate) access: A,
    pub(crate) observer: O,
}

impl<S: Services, A: Access, O: Observer> Vm<'_, S, A, O> {
    /// Runs a level from its entry to its return.
    pub(crate) fn level(&mut self, code: &Code<S::Callee, S::Mode>, entry: Entry, start: Cursor) -> Result<u64, Stop> {
        if self.stack.levels >= MAX_LEVELS {
            return Err(self.halt(Halt::Stack));
        }
        let (frames, mark) = (self.stack.frames.len(), self.observer.frames());
        self.stack.levels += 1;
        let result = self.chain(code, entry, start, mark);
        self.stack.levels -= 1;
        // A level that was stopped leaves its frames.
        self.stack.frames.truncate(frames);
        self.observer.cut(mark);
        result
    }

    /// Runs programs that replace each other.
    fn chain(
        &mut self,
        code: &Code<S::Callee, S::Mode>,
        entry: Entry,
        start: Cursor,
        mark: usize,
    ) -> Result<u64, Stop> {
        let mut target = match self.execute(code, entry, start)? {
            Outcome::Returned(value) => return Ok(value),
            Outcome::Replaced(target, context) => (target, context),
        };
        loop {
            self.observer.cut(mark);
            match self.execute(&target.0, Entry::main([target.1, 0]), start)? {
                Outcome::Returned(value) => return Ok(value),
                Outcome::Replaced(next, context) => target = (next, context),
            }
        }
    }

    #[cold]
    fn halt(&mut self, halt: Halt) -> Stop {
        self.services.halted(halt);
        Stop
    }

    fn enter(&mut self, code: &Code<S::Callee, S::Mode>, entry: Entry, start: Cursor) -> Result<State, Halt> {
        let func = code.func(entry.func).ok_or(Halt::Defect("an entry that does not exist"))?;
        let [r1, r2, r3, r4, r5] = entry.args;
        let mut cursor = start;
        let top = self.stack.carve(&mut cursor, func.frame).ok_or(Halt::Stack)?;
        let mark = self.observer.frames();
        let how = Enter::Root(entry.root);
        self.observer.entered(code, Entered { entry: func.entry, size: func.frame, top, how });
        Ok(State {
            regs: Regs([0, r1, r2, r3, r4, r5, 0, 0, 0, 0, top]),
            pc: func.entry as usize,
            rounds: MAY_GOTO_ROUNDS,
            cursor,
            start,
            base: self.stack.frames.len(),
            mark,
            root: entry.root,
        })
    }

    /// Enters a subprogram.
    #[inline]
    fn call(
        &mut self,
        code: &Code<S::Callee, S::Mode>,
        state: &mut State,
        pc: usize,
        target: u32,
        frame: u32,
    ) -> Result<(), Halt> {
        if self.stack.frames.len() - state.base >= MAX_FRAMES - 1 {
            return Err(Halt::Stack);
        }
        let saved = state.regs.saved();
        self.stack.frames.push(Frame { pc: pc as u32, saved, rounds: state.rounds, cursor: state.cursor });
        let top = self.stack.carve(&mut state.cursor, frame).ok_or(Halt::Stack)?;
        state.regs.set(R::R10, top);
        state.rounds = MAY_GOTO_ROUNDS;
        self.observer.entered(code, Entered { entry: target, size: frame, top, how: Enter::Call });
        Ok(())
    }

    /// Leaves a function: the operation to go on with, or `None` if it was the level's first.
    #[inline]
    fn leave(&mut self, state: &mut State) -> Option<usize> {
        if self.stack.frames.len() <= state.base {
            return None;
        }
        let frame = self.stack.frames.pop()?;
        self.observer.left();
        let [.., r6, r7, r8, r9, r10] = &mut state.regs.0;
        [*r6, *r7, *r8, *r9, *r10] = frame.saved;
        state.rounds = frame.rounds;
        state.cursor = frame.cursor;
        Some(frame.pc as usize)
    }

    fn call_native(&mut self, code: &Code<S::Callee, S::Mode>, state: &mut State, callee: u32) -> Result<(), Stop> {
        let Some(callee) = code.callees.get(callee as usize) else {
            return Err(self.halt(Halt::Defect("a callee that does not exist")));
        };
        let mut back =
            Reentry { code, stack: self.stack, access: self.access, observer: self.observer, cursor: state.cursor };
        let result = self.services.call_native(callee, state.regs.args(), &mut back)?;
        state.regs.set(R::R0, result);
        Ok(())
    }

    /// A tail call's target, if it can be made. Only one that is made counts, as in Linux 6.18.
    fn tail_target(&mut self, state: &State) -> Result<Option<S::Target>, Stop> {
        if self.stack.tail_calls >= MAX_TAIL_CALLS {
            return Ok(None);
        }
        let [context, map, index] = [R::R1, R::R2, R::R3].map(|r| state.regs.get(r));
        let target = self.services.tail_call(context, map, index as u32)?;
        self.stack.tail_calls += u32::from(target.is_some());
        Ok(target)
    }

    /// Runs a tail call's target in the place of a frame that is not a main function's; r0 is its result.
    fn replace(&mut self, state: &mut State, target: S::Target) -> Result<(), Stop> {
        let inner = self.stack.frames.len() > state.base;
        let cursor = self.stack.frames.last().filter(|_| inner).map_or(state.start, |frame| frame.cursor);
        self.observer.replaced();
        let result = self.level(&target, Entry::main([state.regs.get(R::R1), 0]), cursor)?;
        state.regs.set(R::R0, result);
        Ok(())
    }

    fn atomic32(&self, regs: &mut Regs, op: AtomicOp, fetch: bool, at: u64, src: R) -> Result<(), A::Fault> {
        let old = self.access.modify32(at, op, regs.get(src) as u32, regs.get(R::R0) as u32)?;
        fetched(regs, op, fetch, src, u64::from(old));
        Ok(())
    }

    fn atomic64(&self, regs: &mut Regs, op: AtomicOp, fetch: bool, at: u64, src: R) -> Result<(), A::Fault> {
        let old = self.access.modify64(at, op, regs.get(src), regs.get(R::R0))?;
        fetched(regs, op, fetch, src, old);
        Ok(())
    }

    /// Runs one program's code.
    fn execute(
        &mut self,
        code: &Code<S::Callee, S::Mode>,
        entry: Entry,
        start: Cursor,
    ) -> Result<Outcome<S::Target>, Stop> {
        let ops = &*code.ops;
        let access = self.access;
        let mut state = self.enter(code, entry, start).map_err(|halt| self.halt(halt))?;
        let mut pc = state.pc;

        /// The value, or the end of the run.
        macro_rules! allowed {
            ($result:expr) => {
                match $result {
                    Ok(value) => value,
                    Err(fault) => return Err(self.halt(fault.into())),
                }
            };
        }
        macro_rules! leave {
            () => {
                match self.leave(&mut state) {
                    Some(next) => pc = next,
                    None => return Ok(Outcome::Returned(state.regs.get(R::R0))),
                }
            };
        }
        macro_rules! get {
            ($r:expr) => {
                state.regs.get($r)
            };
        }
        macro_rules! set {
            ($r:expr, $value:expr) => {{
                let value = $value;
                state.regs.set($r, value)
            }};
        }
        macro_rules! jump_if {
            ($holds:expr, $to:expr) => {
                if $holds {
                    pc = $to as usize;
                }
            };
        }
        macro_rules! dispatch {
            (
                alu { $($alu:ident $alu_rr64:ident $alu_ri64:ident $alu_rr32:ident $alu_ri32:ident;)* }
                alu3 { $($alu3:ident $alu3_rr64:ident $alu3_ri64:ident $alu3_rr32:ident $alu3_ri32:ident;)* }
                branch { $($br:ident $br_rr64:ident $br_ri64:ident $br_rr32:ident $br_ri32:ident;)* }
                add_branch { $($ab:ident $ab_rr64:ident $ab_ri64:ident $ab_rr32:ident $ab_ri32:ident;)* }
                load { $($load:ident $load_word:ident $load_as:ident;)* }
                store { $($store_r:ident $store_i:ident $store_word:ident $store_size:ident;)* }
                load_alu { $($la:ident $la_word:ident $la_size:ident $la_handler:ident $la_op:ident $la_width:ident;)* }
                load_branch { $($lb:ident $lb_word:ident $lb_size:ident $lb_cond:ident;)* }
            ) => {
                loop {
                    let Some(op) = ops.get(pc) else {
                        return Err(self.halt(Halt::Defect("running off the end")));
                    };
                    allowed!(self.observer.before(code, pc, &state.regs));
                    pc += 1;
                    match *op {
                        $(
                            Op::$alu_rr64(d, s) => set!(d, alu64(AluOp::$alu, get!(d), get!(s))),
                            Op::$alu_ri64(d, i) => set!(d, alu64(AluOp::$alu, get!(d), sign_extended(i))),
                            Op::$alu_rr32(d, s) => set!(d, alu32(AluOp::$alu, get!(d), get!(s))),
                            Op::$alu_ri32(d, i) => set!(d, alu32(AluOp::$alu, get!(d), zero_extended(i))),
                        )*
                        $(
                            Op::$alu3_rr64(d, a, s) => set!(d, alu64(AluOp::$alu3, get!(a), get!(s))),
                            Op::$alu3_ri64(d, a, i) => set!(d, alu64(AluOp::$alu3, get!(a), sign_extended(i))),
                            Op::$alu3_rr32(d, a, s) => set!(d, alu32(AluOp::$alu3, get!(a), get!(s))),
                            Op::$alu3_ri32(d, a, i) => set!(d, alu32(AluOp::$alu3, get!(a), zero_extended(i))),
                        )*
                        $(
                            Op::$br_rr64(a, b, to) => jump_if!(holds64(CmpOp::$br, get!(a), get!(b)), to),
                            Op::$br_ri64(a, i, to) => jump_if!(holds64(CmpOp::$br, get!(a), sign_extended(i)), to),
                            Op::$br_rr32(a, b, to) => jump_if!(holds32(CmpOp::$br, get!(a), get!(b)), to),
                            Op::$br_ri32(a, i, to) => jump_if!(holds32(CmpOp::$br, get!(a), zero_extended(i)), to),
                        )*
                        $(
                            Op::$ab_rr64(d, add, b, to) => {
                                let sum = alu64(AluOp::Add, get!(d), sign_extended(add));
                                set!(d, sum);
                                jump_if!(holds64(CmpOp::$ab, sum, get!(b)), to)
                            }
                            Op::$ab_ri64(d, add, i, to) => {
                                let sum = alu64(AluOp::Add, get!(d), sign_extended(add));
                                set!(d, sum);
                                jump_if!(holds64(CmpOp::$ab, sum, sign_extended(i)), to)
                            }
                            Op::$ab_rr32(d, add, b, to) => {
                                let sum = alu32(AluOp::Add, get!(d), zero_extended(add));
                                set!(d, sum);
                                jump_if!(holds32(CmpOp::$ab, sum, get!(b)), to)
                            }
                            Op::$ab_ri32(d, add, i, to) => {
                                let sum = alu32(AluOp::Add, get!(d), zero_extended(add));
                                set!(d, sum);
                                jump_if!(holds32(CmpOp::$ab, sum, zero_extended(i)), to)
                            }
                        )*
                        $(
                            Op::$load(d, base, off) => {
                                let word: $load_word = allowed!(access.load(place(&state.regs, base, off)));
                                set!(d, word as $load_as as i64 as u64)
                            }
                        )*
                        $(
                            Op::$store_r(base, off, s) => {
                                allowed!(access.store(place(&state.regs, base, off), get!(s) as $store_word))
                            }
                            Op::$store_i(base, off, i) => {
                                allowed!(access.store(place(&state.regs, base, off), sign_extended(i) as $store_word))
                            }
                        )*
                        $(
                            Op::$la(d, base, off, acc) => {
                                let word: $la_word = allowed!(access.load(place(&state.regs, base, off)));
                                let value = u64::from(word);
                                set!(d, value);
                                set!(acc, $la_handler(AluOp::$la_op, get!(acc), value))
                            }
                        )*
                        $(
                            Op::$lb(d, base, off, i, to) => {
                                let word: $lb_word = allowed!(access.load(place(&state.regs, base, i32::from(off))));
                                let value = u64::from(word);
                                set!(d, value);
                                jump_if!(holds64(CmpOp::$lb_cond, value, sign_extended(i)), to)
                            }
                        )*
                        Op::Neg64(d) => set!(d, get!(d).wrapping_neg()),
                        Op::Neg32(d) => set!(d, u64::from((get!(d) as u32).wrapping_neg())),
                        Op::Mov64(d, s) => set!(d, get!(s)),
                        Op::Mov32(d, s) => set!(d, u64::from(get!(s) as u32)),
                        Op::MovMov(d1, s1, d2, s2) => {
                            set!(d1, get!(s1));
                            set!(d2, get!(s2))
                        }
                        Op::Const(d, value) => set!(d, value),
                        Op::Sx8To64(d, s) => set!(d, get!(s) as i8 as i64 as u64),
                        Op::Sx16To64(d, s) => set!(d, get!(s) as i16 as i64 as u64),
                        Op::Sx32To64(d, s) => set!(d, get!(s) as i32 as i64 as u64),
                        Op::Sx8To32(d, s) => set!(d, u64::from(get!(s) as i8 as i32 as u32)),
                        Op::Sx16To32(d, s) => set!(d, u64::from(get!(s) as i16 as i32 as u32)),
                        Op::Swap16(d) => set!(d, u64::from((get!(d) as u16).swap_bytes())),
                        Op::Swap32(d) => set!(d, u64::from((get!(d) as u32).swap_bytes())),
                        Op::Swap64(d) => set!(d, get!(d).swap_bytes()),
                        Op::Trunc16(d) => set!(d, u64::from(get!(d) as u16)),
                        Op::Atomic32 { op, fetch, base, off, src } => {
                            let at = place(&state.regs, base, off);
                            allowed!(self.atomic32(&mut state.regs, op, fetch, at, src))
                        }
                        Op::Atomic64 { op, fetch, base, off, src } => {
                            let at = place(&state.regs, base, off);
                            allowed!(self.atomic64(&mut state.regs, op, fetch, at, src))
                        }
                        Op::LoadAcquire(size, d, base, off) => {
                            set!(d, allowed!(load_acquire(access, size, place(&state.regs, base, off))))
                        }
                        Op::StoreRelease(size, base, off, s) => {
                            allowed!(store_release(access, size, place(&state.regs, base, off), get!(s)))
                        }
                        Op::PacketLoad { size, index, imm } => {
                            let offset = (imm as u32).wrapping_add(index.map_or(0, |r| get!(r) as u32));
                            let loaded = self.services.legacy_load(offset, size.bytes());
                            set!(R::R0, loaded.unwrap_or(0));
                            if loaded.is_none() {
                                leave!()
                            }
                        }
                        Op::CallNative(callee) => self.call_native(code, &mut state, callee)?,
                        Op::CallFunc { target, frame } => {
                            allowed!(self.call(code, &mut state, pc, target, frame));
                            pc = target as usize;
                        }
                        Op::Throw => {
                            state.pc = pc;
                            allowed!(self.throw(code, &mut state));
                            pc = state.pc;
                        }
                        Op::TailCall => {
                            if let Some(target) = self.tail_target(&state)? {
                                if self.stack.frames.len() == state.base && state.root == Root::Main {
                                    return Ok(Outcome::Replaced(target, get!(R::R1)));
                                }
                                self.replace(&mut state, target)?;
                                leave!()
                            }
                        }
                        Op::Jump(to) => pc = to as usize,
                        Op::MayGoto(exit) => match state.rounds.checked_sub(1) {
                            Some(left) => state.rounds = left,
                            None => pc = exit as usize,
                        },
                        Op::Return => leave!(),
                        Op::Unreachable => return Err(self.halt(Halt::Defect("dead code"))),
                    }
                }
            };
        }
        op_tables!(dispatch)
    }
}

/// Puts the old value where the operation wants it.
#[inline]
fn fetched(regs: &mut Regs, op: AtomicOp, fetch: bool, src: R, old: u64) {
    match op {
        AtomicOp::Cmpxchg => regs.set(R::R0, old),
        AtomicOp::Xchg => regs.set(src, old),
        AtomicOp::Add | AtomicOp::Or | AtomicOp::And | AtomicOp::Xor if fetch => regs.set(src, old),
        AtomicOp::Add | AtomicOp::Or | AtomicOp::And | AtomicOp::Xor => {}
    }
}

fn load_acquire<A: Access>(access: A, size: Size, at: u64) -> Result<u64, A::Fault> {
    Ok(match size {
        Size::B1 => u64::from(access.load_acquire::<u8>(at)?),
        Size::B2 => u64::from(access.load_acquire::<u16>(at)?),
        Size::B4 => u64::from(access.load_acquire::<u32>(at)?),
        Size::B8 => access.load_acquire::<u64>(at)?,
    })
}

fn store_release<A: Access>(access: A, size: Size, at: u64, value: u64) -> Result<(), A::Fault> {
    match size {
        Size::B1 => access.store_release(at, value as u8),
        Size::B2 => access.store_release(at, value as u16),
        Size::B4 => access.store_release(at, value as u32),
        Size::B8 => access.store_release(at, value),
    }
}

/// The way back into the program for a native function that it called.
struct Reentry<'a, C, M, A, O> {
    code: &'a Code<C, M>,
    stack: &'a mut Stack,
    access: A,
    observer: O,
    /// Free stack at the call.
    cursor: Cursor,
}

impl<S: Services, A: Access, O: Observer> CallBack<S> for Reentry<'_, S::Callee, S::Mode, A, O> {
    fn call_back(&mut self, services: &mut S, function: u64, args: [u64; 5]) -> Result<u64, Stop> {
        let mut vm = Vm { services, stack: &mut *self.stack, access: self.access, observer: self.observer };
        let index = function.wrapping_sub(self.code.func_base);
        let func = u32::try_from(index).ok().filter(|f| self.code.func(*f).is_some_and(|f| f.callback));
        let Some(func) = func else {
            return Err(vm.halt(Halt::Defect("a callback that is none of the program's")));
        };
        vm.level(self.code, Entry { func, args, root: Root::Callback }, self.cursor)
    }
}
