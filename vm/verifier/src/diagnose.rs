//! How a path came to its refusal: where the value at fault was made, what was tested on the way, where the resource was
//! acquired; and what usually helps.

use backstop_isa::{Instr, Operand, Reg};

use crate::env::Verifier;
use crate::reason::Reason;
use crate::refusal::PathStep;

/// Instructions that are looked at, from the end back.
const MAX_BACK: usize = 20_000;
/// Steps that are told.
const MAX_STEPS: usize = 12;
/// Branches that don't touch the value at fault.
const MAX_OTHER: usize = 4;

impl Verifier<'_> {
    /// Steps of the path, in the order in which they were taken.
    pub fn explain_path(&self, reason: &Reason) -> Vec<PathStep> {
        if !self.walking {
            return acquired(reason);
        }
        let path = self.path_back();
        let mut tracked = reason.register().filter(|r| *r < 10).map_or(0u16, |r| 1 << r);
        let mut depth = 0i32;
        let mut others = 0;
        let mut steps = Vec::new();
        for pair in path.windows(2) {
            let &[next, at] = pair else { continue };
            let Some(instr) = self.instr(at) else { continue };
            if steps.len() >= MAX_STEPS {
                break;
            }
            let tested = |r: Reg| depth == 0 && tracked & (1 << r.index()) != 0;
            match *instr {
                Instr::Branch { dst, src, .. } => {
                    let concerned = tested(dst) || matches!(src, Operand::Reg(r) if tested(r));
                    if !concerned {
                        others += 1;
                        if others > MAX_OTHER {
                            continue;
                        }
                    }
                    let way = if next == at + 1 { "the branch is not taken" } else { "the branch is taken" };
                    steps.push(PathStep { slot: at, what: way.to_owned() });
                }
                Instr::Exit => depth += 1,
                Instr::CallLocal { .. } if next != at + 1 && depth == 0 => {
                    steps.push(PathStep { slot: at, what: "called from here".into() });
                }
                Instr::CallLocal { .. } if next != at + 1 => depth -= 1,
                _ if depth == 0 => {
                    if let Some(what) = made_here(instr, &mut tracked) {
                        steps.push(PathStep { slot: at, what });
                    }
                }
                _ => {}
            }
        }
        steps.reverse();
        let mut all = acquired(reason);
        all.extend(steps);
        all
    }

    /// Slots of the path, newest first.
    fn path_back(&self) -> Vec<u32> {
        let mut path = vec![self.insn];
        let mut at = self.cur.insn;
        if at != self.insn {
            return path;
        }
        let mut back = self.cur.history.back();
        let mut first = self.cur.first_insn;
        let mut parent = self.cur.parent;
        while path.len() < MAX_BACK {
            while let Some(prev) = back.previous(first, at) {
                if prev as usize >= self.code.len() || path.len() >= MAX_BACK {
                    return path;
                }
                path.push(prev);
                at = prev;
            }
            let Some(kept) = parent.and_then(|p| self.kept.get(p)) else { return path };
            let Some(before) = kept.state.history() else { return path };
            back = before.back();
            at = kept.state.last_insn;
            first = kept.state.first_insn;
            parent = kept.state.parent;
            if at as usize >= self.code.len() {
                return path;
            }
            path.push(at);
        }
        path
    }
}

/// What an instruction did to a value that is being traced.
fn made_here(instr: &Instr, tracked: &mut u16) -> Option<String> {
    let bit = |r: Reg| 1u16 << r.index();
    let text = |word: &str| Some(word.to_owned());
    match *instr {
        Instr::Mov { dst, src, .. } if *tracked & bit(dst) != 0 => {
            *tracked &= !bit(dst);
            match src {
                Operand::Reg(r) => {
                    *tracked |= bit(r);
                    text("the value is copied")
                }
                Operand::Imm(_) => text("the value is set"),
            }
        }
        Instr::MovSx { dst, src, .. } if *tracked & bit(dst) != 0 => {
            *tracked = (*tracked & !bit(dst)) | bit(src);
            text("the value is copied")
        }
        Instr::Alu { dst, src, .. } if *tracked & bit(dst) != 0 => {
            if let Operand::Reg(r) = src {
                *tracked |= bit(r);
            }
            text("the value is changed")
        }
        Instr::Load { dst, .. } | Instr::LoadAcquire { dst, .. } if *tracked & bit(dst) != 0 => {
            *tracked &= !bit(dst);
            text("the value is loaded")
        }
        Instr::LoadImm64 { dst, .. } | Instr::LoadPseudo { dst, .. } if *tracked & bit(dst) != 0 => {
            *tracked &= !bit(dst);
            text("the value is set")
        }
        Instr::CallHelper { .. } | Instr::CallKfunc { .. } => {
            let had = *tracked & 0b11_1111 != 0;
            let result = *tracked & 1 != 0;
            *tracked &= !0b11_1111;
            match (had, result) {
                (true, true) => text("the value is returned"),
                (true, false) => text("the call leaves r1 to r5 unset"),
                _ => None,
            }
        }
        _ => None,
    }
}

/// Where what is still held was acquired.
fn acquired(reason: &Reason) -> Vec<PathStep> {
    let (Reason::Leak { lines, .. } | Reason::LeakThrow { lines }) = reason else { return Vec::new() };
    let at = |line: &str| line.rsplit_once("alloc_insn=").and_then(|(_, n)| n.trim().parse().ok());
    lines.lines().filter_map(at).map(|slot| PathStep { slot, what: "acquired here".into() }).collect()
}

impl Reason {
    /// The register at fault, if one is.
    pub fn register(&self) -> Option<u8> {
        match *self {
            Reason::NotReadable { reg }
            | Reason::LeaksReturn { reg }
            | Reason::PointerCompare { reg }
            | Reason::PointerPointer { reg, .. }
            | Reason::PointerNull { reg, .. }
            | Reason::PointerKind { reg, .. }
            | Reason::InvalidMem { reg, .. }
            | Reason::CannotWriteInto { reg, .. }
            | Reason::MinNegative { reg }
            | Reason::MinOutside { reg, .. }
            | Reason::Unbounded { reg }
            | Reason::MaxOutside { reg, .. }
            | Reason::PacketOffset { reg, .. }
            | Reason::PacketBounds { reg, .. }
            | Reason::StackOutside { reg, .. }
            | Reason::StackOutsideVar { reg, .. }
            | Reason::StackUnbounded { reg, .. }
            | Reason::ArgType { reg, .. }
            | Reason::SizeNegative { reg }
            | Reason::SizeZero { reg, .. }
            | Reason::SizeUnbounded { reg }
            | Reason::NotConstant { reg }
            | Reason::NotScalar { reg }
            | Reason::KfuncConst { reg }
            | Reason::KfuncReferenced { reg }
            | Reason::MustBeReferenced { reg }
            | Reason::ReturnUnknown { reg, .. }
            | Reason::SubprogReturn { reg, .. }
            | Reason::ModifiedPointer { reg, .. }
            | Reason::AtomicInto { reg, .. } => Some(reg),
            Reason::ReturnRange { reg, .. } => Some(if reg == "R1" { 1 } else { 0 }),
            _ => None,
        }
    }

    /// What usually helps.
    pub fn help(&self) -> Option<&'static str> {
        Some(match self {
            Reason::InvalidMem { ty, .. } if ty.ends_with("_or_null") => {
                "test the pointer against NULL before it is used: `if (!p) return 0;`"
            }
            Reason::PointerNull { .. } => "test the pointer against NULL before adding to it",
            Reason::InvalidMem { ty, .. } if ty == "scalar" => {
                "a number is no pointer: it was made by arithmetic that loses the pointer, or the packet moved since; load the pointer again"
            }
            Reason::MinNegative { .. } => {
                "make the index unsigned, or test `if (i < 0)`; keep the tested value in the register that is used"
            }
            Reason::MaxOutside { .. } | Reason::MinOutside { .. } | Reason::Unbounded { .. } => {
                "bound the index before the access: `if (i >= SIZE) return 0;`, or mask it: `i &= SIZE - 1;`"
            }
            Reason::PacketOffset { .. } | Reason::PacketBounds { .. } => {
                "compare with data_end before the access: `if (p + N > data_end) return ...;`, on the same pointer that is used"
            }
            Reason::SizeNegative { .. } | Reason::SizeUnbounded { .. } => {
                "bound the length on both sides: an unsigned type, or `len &= MAX - 1;`"
            }
            Reason::SizeZero { .. } => "make sure that the length is at least 1: `if (!len) return 0;`",
            Reason::NotReadable { .. } => "set the register on every path that leads here; calls leave r1 to r5 unset",
            Reason::ReadUninit { .. } | Reason::ReadUninitHelper { .. } | Reason::ReadUninitHelperVar { .. } => {
                "initialise the whole buffer, padding too: `__builtin_memset(&x, 0, sizeof(x));`"
            }
            Reason::StackOutside { .. } | Reason::StackOutsideVar { .. } | Reason::StackUnbounded { .. } => {
                "the stack has 512 bytes below r10; bound the index into it"
            }
            Reason::CombinedStack { .. } | Reason::SubprogStack { .. } => {
                "move large buffers into a per-CPU array, or make subprograms inline so that frames are shared"
            }
            Reason::TooLarge { .. } | Reason::TooComplexJumps { .. } => {
                "let a loop be walked once: use bpf_loop, or bpf_for (backstop/loops.h, libbpf's bpf_helpers.h), move its body into a global function, or bound it lower"
            }
            Reason::InfiniteLoop { .. } => "the loop's condition never changes; bound it by a counter that grows",
            Reason::ReturnRange { .. } => "return only values of the range that this program type allows",
            Reason::Leak { .. } | Reason::LeakThrow { .. } => "give back on every path what was acquired",
            Reason::CallUnderLock { .. } | Reason::GlobalUnderLock { .. } => {
                "unlock first; under a spin lock only static functions may be called"
            }
            Reason::GraphLock { .. } => {
                "take the bpf_spin_lock of the same map value or object first, through the same pointer"
            }
            Reason::GraphBorrowed { .. } => {
                "find the node again under the lock that is held now; a pointer to it ends with the lock under which it was got"
            }
            Reason::KptrStore { .. } => "exchange it: `old = bpf_kptr_xchg(&v->p, new);`, and release what comes back",
            Reason::StructFields { .. } => {
                "give each list head and tree root its `__contains` tag and a bpf_spin_lock beside it"
            }
            Reason::KfuncNullArg { .. } | Reason::HelperNullArg { .. } => {
                "test the pointer against NULL before it is passed: `if (!p) return 0;`"
            }
            Reason::ThrowInCallback { .. } => {
                "let the callback return 1 to stop, keep the cookie in its context, and throw after the loop"
            }
            Reason::GlobalThrows { .. } => {
                "release before the call, or make the function static so that it is followed"
            }
            Reason::Unreachable { .. } => "remove the code: nothing jumps or falls there",
            Reason::Poisoned { .. } => "guard the access with bpf_core_field_exists() or its kin",
            Reason::HelperDenied { .. } | Reason::KfuncDenied { .. } => {
                "this program type may not call it; `backstop inspect --helpers TYPE` lists what it may call"
            }
            Reason::HelperGpl {} | Reason::KfuncGpl {} => "the license section must name a GPL-compatible license",
            Reason::CtxAccess { .. } => "read the context's fields by their own type and size, at their own offsets",
            Reason::PacketWrite {} => "this program type may only read the packet",
            Reason::SpillSize {} | Reason::FillSize {} => "spill and fill pointers whole, eight bytes at a time",
            _ => return None,
        })
    }
}
