//! The program's slots, decoded once, and what each pass learns of them.

use backstop_isa::{DecodeError, Instr, Slot, decode};
use backstop_model::{BuiltinKfunc, KfuncIdentity, Program, helpers};

/// One slot.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Code {
    Insn(Instr),
    /// Second half of a 64-bit immediate.
    Second,
    /// Refused when it is looked at.
    Bad(DecodeError, Slot),
}

/// Why a call is special to control flow.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) enum CallClass {
    #[default]
    Plain,
    /// Calls a function of the program back before it returns.
    SyncCallback,
    /// Registers a function of the program to be called later.
    AsyncCallback,
    IterNext,
    /// Never returns.
    Throw,
}

/// What the passes before the walk know of a slot, and what the walk collects.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct InsnAux {
    pub prune_point: bool,
    pub jmp_point: bool,
    pub force_checkpoint: bool,
    pub call: CallClass,
    /// Loop that it is part of, 0 if none.
    pub scc: u32,
    /// Registers whose values may still be used, before it.
    pub live: u16,
    pub seen: bool,
}

const EXIT: u8 = 0x95;
const JA: u8 = 0x05;
const JA32: u8 = 0x06;
const CALL: u8 = 0x85;

/// Offset of the subprogram that a slot calls, whether the call is well formed or not.
pub(crate) fn call_offset(code: Option<&Code>) -> Option<i32> {
    match code? {
        Code::Insn(Instr::CallLocal { off }) => Some(*off),
        Code::Bad(_, raw) if raw.code == CALL && raw.src == 1 => Some(raw.imm),
        _ => None,
    }
}

/// Offset of a jump or branch, whether it is well formed or not.
pub(crate) fn jump_offset(code: Option<&Code>) -> Option<i64> {
    match code? {
        Code::Insn(Instr::Jump { off, .. }) => Some(i64::from(*off)),
        Code::Insn(Instr::Branch { off, .. } | Instr::MayGoto { off }) => Some(i64::from(*off)),
        Code::Bad(_, raw) if raw.code == JA32 => Some(i64::from(raw.imm)),
        Code::Bad(_, raw) if matches!(raw.code & 7, 5 | 6) && !matches!(raw.code & 0xf0, 0x80 | 0x90) => {
            Some(i64::from(raw.off))
        }
        _ => None,
    }
}

/// The slot leaves the function or jumps for good.
pub(crate) fn ends_function(code: Option<&Code>) -> bool {
    match code {
        Some(Code::Insn(Instr::Exit | Instr::Jump { .. })) => true,
        Some(Code::Bad(_, raw)) => matches!(raw.code, EXIT | JA | JA32),
        _ => false,
    }
}

/// Decodes every slot; the second halves of immediates are marked.
pub(crate) fn decode_program(slots: &[Slot]) -> Vec<Code> {
    let mut code = Vec::with_capacity(slots.len());
    while code.len() < slots.len() {
        let at = code.len();
        match decode(slots, at) {
            Ok(instr) => {
                code.push(Code::Insn(instr));
                if instr.slots() == 2 {
                    code.push(Code::Second);
                }
            }
            Err(error) => {
                code.push(Code::Bad(error, slots.get(at).copied().unwrap_or_default()));
                if slots.get(at).is_some_and(|s| s.code == 0x18) && at + 1 < slots.len() {
                    code.push(Code::Second);
                }
            }
        }
    }
    code
}

/// Class of a call to a helper.
pub(crate) fn helper_class(id: i32) -> CallClass {
    use backstop_model::CallbackUse;
    match u32::try_from(id).ok().and_then(helpers::proto).and_then(|p| p.callback) {
        Some(CallbackUse::Timer) => CallClass::AsyncCallback,
        Some(_) => CallClass::SyncCallback,
        None => CallClass::Plain,
    }
}

/// The known kfunc of an identity.
pub(crate) fn builtin(identity: KfuncIdentity) -> Option<BuiltinKfunc> {
    match identity {
        KfuncIdentity::Builtin(k) | KfuncIdentity::Unimplemented(k) => Some(k),
        KfuncIdentity::Host(_) => None,
    }
}

/// Class of a call to the kfunc at an index of the program's table.
pub(crate) fn kfunc_class(program: &Program, index: i32) -> CallClass {
    let Some(kfunc) = usize::try_from(index).ok().and_then(|i| program.kfuncs.get(i)) else {
        return CallClass::Plain;
    };
    match builtin(kfunc.identity) {
        Some(BuiltinKfunc::Throw) => CallClass::Throw,
        Some(BuiltinKfunc::RbtreeAdd) => CallClass::SyncCallback,
        Some(BuiltinKfunc::WqSetCallback) => CallClass::AsyncCallback,
        _ if kfunc.flags.iter_next => CallClass::IterNext,
        _ => CallClass::Plain,
    }
}

/// Where control may go after an instruction within its function: (next, branch).
pub(crate) fn successors(code: &[Code], at: usize) -> (Option<usize>, Option<usize>) {
    let jump = |off: i64| usize::try_from(at as i64 + 1 + off).ok();
    match code.get(at) {
        Some(Code::Insn(i)) => match *i {
            Instr::Exit => (None, None),
            Instr::Jump { off, .. } => (jump(i64::from(off)), None),
            Instr::Branch { off, .. } | Instr::MayGoto { off } => (Some(at + 1), jump(i64::from(off))),
            _ => (Some(at + i.slots()), None),
        },
        // A malformed jump still leads where its opcode says, since its fault counts only if it is reached.
        Some(Code::Bad(_, raw)) => match raw.code {
            EXIT => (None, None),
            JA => (jump(i64::from(raw.off)), None),
            JA32 => (jump(i64::from(raw.imm)), None),
            c if matches!(c & 7, 5 | 6) && c & 0xf0 != CALL & 0xf0 => (Some(at + 1), jump(i64::from(raw.off))),
            _ => (Some(at + 1), None),
        },
        Some(Code::Second) => (Some(at + 1), None),
        None => (None, None),
    }
}
