//! Spills and fills that compilers put around calls which keep most registers (`bpf_fastcall`). Linux removes them when the callee does
//! keep the registers, and then the frame ends above them (Linux: `mark_fastcall_patterns`, `remove_fastcall_spills_fills`).
//!
//! Here nothing is removed: only the bytes that count towards the limit of a chain of calls are Linux's. What engines are told of a frame
//! is all that it uses.

use backstop_isa::{Instr, Operand, Reg, Size};
use backstop_model::{ArgKind, BuiltinKfunc, KfuncIdentity, RetKind, helpers};

use crate::env::Verifier;

/// Registers that a call does not keep, r0 among them.
const CALLER_SAVED: u8 = 0b11_1111;
const GET_SMP_PROCESSOR_ID: u32 = 8;

/// What is known of one function.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Fastcall {
    /// Below it only spills and fills of the pattern are; 0 where there are none, the least number where something else is.
    lowest: i32,
    /// A call that does not keep registers is surrounded in the same way: its spills stay, and so does the frame.
    keep: bool,
    /// Spills around some call go.
    any: bool,
}

/// A call as its callee's prototype has it.
struct Summary {
    params: u32,
    void: bool,
    keeps_registers: bool,
}

impl Verifier<'_> {
    /// Marks the patterns, before the walk.
    pub fn find_fastcalls(&mut self) {
        for sub in 0..self.subs.len() {
            let (start, end) = (self.subs[sub].start, self.subs[sub].end);
            let lowest = (start..end).filter_map(|at| self.stack_store(at)).map(|(_, off)| off).min();
            let Some(lowest) = lowest.filter(|off| *off < 0) else { continue };
            for at in start..end {
                self.mark_fastcall(sub, at, lowest);
            }
        }
    }

    /// An instruction of the walk uses stack of this function's frame from `off` on.
    pub fn note_stack_use(&mut self, sub: usize, off: i64) {
        let Some(info) = self.subs.get_mut(sub) else { return };
        if i64::from(info.fastcall.lowest) <= off || self.fastcall_parts.contains(&self.insn) {
            return;
        }
        info.fastcall = Fastcall { lowest: i32::MIN, any: false, ..info.fastcall };
        let own = info.start..info.end;
        self.fastcall_parts.retain(|at| !own.contains(at));
    }

    /// Bytes of a function's frame as far as they count towards the limit.
    pub fn counted_stack(&self, sub: usize) -> u32 {
        let info = &self.subs[sub];
        if info.fastcall.any && !info.fastcall.keep { info.fastcall.lowest.unsigned_abs() } else { info.stack_depth }
    }

    fn mark_fastcall(&mut self, sub: usize, at: u32, lowest: i32) {
        let Some(call) = self.call_summary(at) else { return };
        let first = u32::from(call.void);
        let clobbered = (first..=call.params.min(5)).fold(0, |bits, r| bits | 1u8 << r);
        let mut free = CALLER_SAVED & !clobbered;
        let (mut pairs, mut off) = (0u32, lowest);
        while pairs < CALLER_SAVED.count_ones() {
            let n = pairs + 1;
            let Some((spilled, to)) = at.checked_sub(n).and_then(|at| self.stack_store(at)) else { break };
            let Some((filled, from)) = self.stack_load(at + n) else { break };
            let bit = 1u8.checked_shl(spilled.index() as u32).unwrap_or(0);
            if spilled != filled || free & bit == 0 || to != off || from != off {
                break;
            }
            free &= !bit;
            self.fastcall_parts.insert(at - n);
            self.fastcall_parts.insert(at + n);
            pairs = n;
            off += 8;
        }
        if pairs == 0 {
            return;
        }
        let info = &mut self.subs[sub].fastcall;
        info.any |= call.keeps_registers;
        info.keep |= !call.keeps_registers;
        info.lowest = info.lowest.min(off);
    }

    fn call_summary(&self, at: u32) -> Option<Summary> {
        match *self.instr(at)? {
            Instr::CallHelper { id } => {
                let id = u32::try_from(id).ok()?;
                let proto = helpers::proto(id).filter(|_| helpers::allowed(id, &self.program.kind))?;
                let params = proto.args.iter().take_while(|a| **a != ArgKind::None).count() as u32;
                let void = proto.ret == RetKind::Void;
                Some(Summary { params, void, keeps_registers: id == GET_SMP_PROCESSOR_ID })
            }
            Instr::CallKfunc { id, .. } => {
                let kfunc = usize::try_from(id).ok().and_then(|i| self.program.kfuncs.get(i))?;
                let proto = kfunc.btf.proto(kfunc.func)?;
                let (params, void) = (proto.params.len() as u32, proto.ret.0 == 0);
                let keeps_registers = matches!(
                    kfunc.identity,
                    KfuncIdentity::Builtin(BuiltinKfunc::CastToKernCtx | BuiltinKfunc::RdonlyCast)
                        | KfuncIdentity::Unimplemented(BuiltinKfunc::CastToKernCtx | BuiltinKfunc::RdonlyCast)
                );
                Some(Summary { params, void, keeps_registers })
            }
            _ => None,
        }
    }

    fn stack_store(&self, at: u32) -> Option<(Reg, i32)> {
        match *self.instr(at)? {
            Instr::Store { size: Size::B8, base: Reg::R10, off, src: Operand::Reg(src) } => Some((src, i32::from(off))),
            _ => None,
        }
    }

    fn stack_load(&self, at: u32) -> Option<(Reg, i32)> {
        match *self.instr(at)? {
            Instr::Load { size: Size::B8, dst, base: Reg::R10, off, .. } => Some((dst, i32::from(off))),
            _ => None,
        }
    }
}
