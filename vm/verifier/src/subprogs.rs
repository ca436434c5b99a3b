//! Subprograms: where they start, what BTF says of them, which is the exception callback; and jumps that stay inside.

use backstop_btf::{Btf, Kind, Linkage, Type, TypeId};
use backstop_isa::{Instr, Pseudo};
use backstop_model::{KfuncIdentity, ProgType, license_is_gpl_compatible};

use crate::code::{Code, call_offset, ends_function, jump_offset};
use crate::env::Verifier;
use crate::fastcall::Fastcall;
use crate::global::ArgSpec;
use crate::reason::{Check, Reason};

/// Most subprograms of a program, main included.
const MAX_SUBPROGRAMS: usize = 256;
const TAIL_CALL: i32 = 12;

/// One function of the program.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sub {
    pub start: u32,
    pub end: u32,
    pub name: String,
    /// FUNC type in the program's BTF.
    pub func: Option<TypeId>,
    pub global: bool,
    pub has_tail_call: bool,
    pub has_legacy_load: bool,
    pub is_callback: bool,
    pub is_async: bool,
    pub is_exception_callback: bool,
    pub changes_packet: bool,
    pub might_sleep: bool,
    /// A global one that some verified path calls.
    pub called: bool,
    pub verified: bool,
    pub reached: bool,
    /// A verified path of its own body throws.
    pub throws: bool,
    /// Deepest byte of its frame that is used.
    pub stack_depth: u32,
    /// Spills around calls that keep registers.
    pub fastcall: Fastcall,
    /// Arguments as BTF has them, read once.
    pub args: Option<Result<Vec<ArgSpec>, Box<Reason>>>,
}

impl Verifier<'_> {
    /// Finds all functions (Linux: `add_subprog_and_kfunc`).
    pub fn find_subprograms(&mut self) -> Check {
        let mut starts = vec![0u32];
        for at in 0..self.code.len() {
            let off = match self.instr(at as u32).copied() {
                Some(Instr::LoadPseudo { kind: Pseudo::Func, imm, .. }) => imm,
                Some(Instr::CallKfunc { id, .. }) => {
                    self.check_kfunc_reference(id)?;
                    continue;
                }
                _ => match call_offset(self.code.get(at)) {
                    Some(off) => off,
                    None => continue,
                },
            };
            if !self.capable() {
                return Reason::UnprivilegedCall {}.fail();
            }
            let target = at as i64 + 1 + i64::from(off);
            match u32::try_from(target) {
                Ok(t) if (t as usize) < self.code.len() => starts.push(t),
                _ => return Reason::InvalidCallDestination {}.fail(),
            }
        }
        let callback = self.find_exception_callback()?;
        starts.extend(callback);
        starts.sort_unstable();
        starts.dedup();
        if starts.len() > MAX_SUBPROGRAMS {
            return Reason::TooManySubprograms {}.fail();
        }
        let ends = starts.iter().skip(1).copied().chain([self.code.len() as u32]);
        self.subs = starts.iter().zip(ends).map(|(&start, end)| Sub { start, end, ..Sub::default() }).collect();
        if let Some(start) = callback
            && let Some(i) = self.sub_at(start)
        {
            self.exception_callback = Some(i);
            if let Some(sub) = self.subs.get_mut(i) {
                sub.is_callback = true;
                sub.is_async = true;
                sub.is_exception_callback = true;
                sub.called = true;
            }
        }
        Ok(())
    }

    fn check_kfunc_reference(&self, id: i32) -> Check {
        let Some(kfunc) = usize::try_from(id).ok().and_then(|i| self.program.kfuncs.get(i)) else {
            return Reason::KfuncIndex { index: i64::from(id) }.fail();
        };
        let linux = !matches!(kfunc.identity, KfuncIdentity::Host(_))
            && !matches!(self.ty(), ProgType::RawMem | ProgType::Host);
        if linux && !license_is_gpl_compatible(&self.program.license) {
            return Reason::KfuncGpl {}.fail();
        }
        if !self.capable() {
            return Reason::UnprivilegedCall {}.fail();
        }
        Ok(())
    }

    /// First slot of the exception callback that main's declaration tag names (Linux: `bpf_find_exception_callback_insn_off`).
    fn find_exception_callback(&self) -> Check<Option<u32>> {
        let (Some(btf), Some(main)) = (&self.program.btf, self.program.func_info.first()) else { return Ok(None) };
        if btf.kind(main.func) != Kind::Func {
            return Reason::ExceptionMain {}.fail();
        }
        let mut names = btf.decl_tags(main.func, None).filter_map(|t| t.strip_prefix("exception_callback:"));
        let Some(name) = names.next() else { return Ok(None) };
        if names.next().is_some() {
            return Reason::ExceptionTags {}.fail();
        }
        let Some(id) = btf.find(name, Kind::Func) else {
            return Reason::ExceptionNotFound { name: name.to_owned() }.fail();
        };
        if !matches!(btf.ty(id), Type::Func { linkage: Linkage::Global, .. }) {
            return Reason::ExceptionNotGlobal { name: name.to_owned() }.fail();
        }
        match self.program.func_info.iter().rfind(|f| f.func == id) {
            None => Reason::ExceptionFuncInfo {}.fail(),
            Some(f) if f.slot == 0 => Reason::ExceptionOffset {}.fail(),
            Some(f) if f.slot as usize >= self.code.len() => Reason::InvalidCallDestination {}.fail(),
            Some(f) => Ok(Some(f.slot)),
        }
    }

    /// Jumps stay inside their function, and none falls out of its end (Linux: `check_subprogs`).
    pub fn check_boundaries(&mut self) -> Check {
        for n in 0..self.subs.len() {
            let (start, end) = (self.subs[n].start as usize, self.subs[n].end as usize);
            for at in start..end {
                self.check_boundary(n, at, start, end)?;
            }
        }
        Ok(())
    }

    fn check_boundary(&mut self, n: usize, at: usize, start: usize, end: usize) -> Check {
        let instr = match self.code.get(at) {
            Some(Code::Insn(i)) => Some(*i),
            _ => None,
        };
        match instr {
            Some(Instr::CallHelper { id: TAIL_CALL }) => self.subs[n].has_tail_call = true,
            Some(Instr::LegacyLoad { .. }) => self.subs[n].has_legacy_load = true,
            _ => {}
        }
        if let Some(off) = jump_offset(self.code.get(at)) {
            check_jump(at, off, start, end)?;
        }
        if at + 1 == end && !ends_function(self.code.get(at)) {
            return Reason::LastInsn {}.fail();
        }
        Ok(())
    }

    /// Names, linkage and types from BTF (Linux: `check_btf_info`).
    pub fn check_func_info(&mut self) -> Check {
        let info = &self.program.func_info;
        let Some(btf) = self.program.btf.clone().filter(|_| !info.is_empty()) else {
            return self.check_without_btf();
        };
        if info.len() != self.subs.len() {
            return Reason::FuncInfoMissing {}.fail();
        }
        for (i, (f, sub)) in info.iter().zip(&mut self.subs).enumerate() {
            let Type::Func { linkage, proto, .. } = *btf.ty(f.func) else {
                return Reason::FuncInfoMismatch {}.fail();
            };
            if f.slot != sub.start {
                return Reason::FuncInfoMismatch {}.fail();
            }
            sub.func = Some(f.func);
            sub.name = btf.name(f.func).to_owned();
            sub.global = i > 0 && linkage == Linkage::Global;
            if i > 0 && !returns_int(&btf, proto) {
                if sub.has_legacy_load {
                    return Reason::LegacySubprogReturn {}.fail();
                }
                if sub.has_tail_call {
                    return Reason::TailCallSubprogReturn {}.fail();
                }
            }
        }
        Ok(())
    }

    fn check_without_btf(&mut self) -> Check {
        for (i, sub) in self.subs.iter_mut().enumerate() {
            sub.name = if i == 0 { "main".to_owned() } else { format!("subprog_{i}") };
            if i > 0 && sub.has_legacy_load {
                return Reason::LegacySubprog {}.fail();
            }
            if i > 0 && sub.has_tail_call {
                return Reason::TailCallSubprog {}.fail();
            }
        }
        Ok(())
    }
}

fn check_jump(at: usize, off: i64, start: usize, end: usize) -> Check {
    let to = at as i64 + 1 + off;
    if to < start as i64 || to >= end as i64 {
        return Reason::JumpOutOfRange { from: at, to }.fail();
    }
    Ok(())
}

/// The result is an integer of at most 8 bytes or an enum.
pub(crate) fn returns_int(btf: &Btf, proto: TypeId) -> bool {
    let Some(p) = btf.proto(proto) else { return false };
    matches!(btf.resolved(p.ret), Type::Int(i) if i.size <= 8) || btf.kind(btf.resolve(p.ret)).is_any_enum()
}
