//! What goes to the running kernel is what is safe there. This is the one place that says so, for every caller.

use backstop::isa::{Instr, Pseudo, decode};
use backstop::model::{ProgType, Program};
use backstop::verifier::Verified;

use crate::observe::takes_packet;

/// `bpf_trace_printk` and `bpf_trace_vprintk`.
const PRINTS: [i32; 2] = [6, 177];

/// What is known of a program before the kernel sees it.
#[derive(Clone, Copy, Debug)]
pub enum Judged<'v> {
    /// Backstop proved it.
    Proved(&'v Verified),
    /// Backstop refuses it, and what the kernel makes of it is not known.
    Refused,
    /// Backstop refuses it, and so is the kernel known to.
    RefusedByBoth,
}

impl<'v> Judged<'v> {
    /// Of a program of which nothing but Backstop's verdict is known.
    pub fn of(verified: Option<&'v Verified>) -> Judged<'v> {
        verified.map_or(Judged::Refused, Judged::Proved)
    }
}

/// Why a program does not go to the kernel, if so.
pub fn left_out(program: &Program, judged: Judged<'_>) -> Option<&'static str> {
    if program.kind.ty.linux_number().is_none() {
        return Some("Linux has no such type");
    }
    if matches!(program.kind.ty, ProgType::Tracing | ProgType::Lsm | ProgType::StructOps | ProgType::Ext) {
        return Some("it is written for a function of one kernel");
    }
    let has = |wanted: fn(&Instr) -> bool| {
        (0..program.slots.len()).any(|slot| decode(&program.slots, slot).is_ok_and(|instr| wanted(&instr)))
    };
    if has(|instr| matches!(instr, Instr::CallHelper { id } if PRINTS.contains(id))) {
        return Some("it prints, which switches a trace event on");
    }
    if matches!(judged, Judged::RefusedByBoth) {
        return None;
    }
    let all_reached = match judged {
        Judged::Proved(verified) => {
            let facts = verified.facts();
            let mut all = facts.subprograms.iter().enumerate();
            Some(all.all(|(n, function)| function.reached || facts.exception_callback == Some(n)))
        }
        Judged::Refused | Judged::RefusedByBoth => None,
    };
    let names_function = has(|instr| matches!(instr, Instr::LoadPseudo { kind: Pseudo::Func, .. }));
    if names_function && all_reached == Some(false) {
        return Some(
            "a callback that no path walks: Linux 6.18 ends with an internal error where it compiles the program",
        );
    }
    if names_function && loops(program, has) {
        return Some("a callback beside a loop: Linux 6.18's precision tracking may follow a null pointer there");
    }
    (has_callback(program) && all_reached != Some(true))
        .then_some("an exception callback beside a subprogram that may be dead: Linux 6.18 does not survive it")
}

/// The program names an exception callback of its own.
fn has_callback(program: &Program) -> bool {
    let (Some(btf), Some(main)) = (&program.btf, program.func_info.first()) else { return false };
    btf.decl_tags(main.func, None).any(|tag| tag.starts_with("exception_callback:"))
}

/// Jumps backwards, or walks an open-coded iterator.
fn loops(program: &Program, has: impl Fn(fn(&Instr) -> bool) -> bool) -> bool {
    let back = |instr: &Instr| match *instr {
        Instr::Jump { off, .. } => off < 0,
        Instr::Branch { off, .. } => off < 0,
        Instr::MayGoto { .. } => true,
        _ => false,
    };
    program.kfuncs.iter().any(|kfunc| kfunc.name.starts_with("bpf_iter_")) || has(back)
}

/// Whether the kernel's test run takes this input for a type: for those that read an skb an IP header must be whole.
pub fn takes(ty: ProgType, bytes: &[u8]) -> bool {
    if !takes_packet(ty) {
        return true;
    }
    let least = match bytes.get(12..14) {
        Some([0x08, 0x00]) if ty != ProgType::Xdp => 34,
        Some([0x86, 0xdd]) if ty != ProgType::Xdp => 54,
        _ => 14,
    };
    bytes.len() >= least && bytes.len() <= 3000
}
