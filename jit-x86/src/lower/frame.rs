//! Frames: prologue, epilogue, and where the hidden cells lie.
//!
//! ```text
//! [rbp+8]   return address
//! [rbp]     caller's rbp
//! [rbp-n..] BPF stack; its addresses are below r10 = rbp
//!           the cell of may_goto, if any; padding
//!           saved registers, pushed in the order of `saves`
//! ```
//!
//! A boundary (and the exception callback, which takes its place) saves r12, rbx, r13, r14, r15, all and in this order.

use backstop_abi::{MAY_GOTO_ROUNDS, x86};
use backstop_ir::{Func, OpKind, Role};
use backstop_isa::{Reg, Size, Width};

use super::Lowering;
use crate::emit::Arith;
use crate::regs::{Addr, Gpr};

/// No BPF stack is larger; only malformed IR says so.
const MAX_BPF_STACK: u32 = 1 << 16;

/// Layout of one frame.
pub(super) struct Frame {
    /// Bytes between rbp and the first saved register.
    below: u32,
    saves: Vec<Gpr>,
    /// Displacement from rbp of the rounds that may_goto has left.
    rounds: Option<i32>,
}

impl Frame {
    /// The frame that a function needs; `None` if its BPF stack can't be.
    pub(super) fn of(func: &Func, has_callback: bool) -> Option<Frame> {
        if func.stack > MAX_BPF_STACK {
            return None;
        }
        let bpf = func.stack.next_multiple_of(8);
        let cells = if func.may_goto { 8 } else { 0 };
        let saves = saves(func, has_callback);
        let mut below = bpf + cells;
        // After `push rbp` the stack pointer is a multiple of 16.
        if calls(func) && !(below + 8 * saves.len() as u32).is_multiple_of(16) {
            below += 8;
        }
        let rounds = func.may_goto.then(|| -(bpf as i32) - 8);
        Some(Frame { below, saves, rounds })
    }

    /// Bytes from rbp down to the lowest saved register.
    pub(super) fn bytes(&self) -> u32 {
        self.below + 8 * self.saves.len() as u32
    }

    /// Saved registers and how far below rbp each lies.
    pub(super) fn saved(&self) -> Vec<(u8, u32)> {
        (1..).zip(&self.saves).map(|(i, r)| (r.number(), self.below + 8 * i)).collect()
    }
}

fn saves(func: &Func, has_callback: bool) -> Vec<Gpr> {
    let all = x86::BOUNDARY_SAVES.map(Gpr::machine);
    let written = |reg: Gpr| {
        let callee_saved = [Reg::R6, Reg::R7, Reg::R8, Reg::R9].map(Gpr::of);
        callee_saved.iter().zip(func.writes).any(|(&r, writes)| writes && r == reg)
    };
    match func.role {
        Role::Main if has_callback => all.to_vec(),
        Role::ExceptionCallback { .. } => all.to_vec(),
        Role::Main => all.into_iter().filter(|&r| r == Gpr::CONTEXT || written(r)).collect(),
        Role::Subprogram { .. } => all.into_iter().filter(|&r| written(r)).collect(),
    }
}

/// It calls something: its stack must be aligned.
fn calls(func: &Func) -> bool {
    let is_call = |kind: &OpKind| match kind {
        OpKind::CallNative { .. } | OpKind::CallFunc { .. } | OpKind::LegacyLoad { .. } | OpKind::Throw => true,
        OpKind::Alu { .. }
        | OpKind::Neg { .. }
        | OpKind::Mov { .. }
        | OpKind::MovSx { .. }
        | OpKind::End { .. }
        | OpKind::Const { .. }
        | OpKind::MapAddr { .. }
        | OpKind::MapValueAddr { .. }
        | OpKind::FuncAddr { .. }
        | OpKind::AddrSpaceCast { .. }
        | OpKind::Load { .. }
        | OpKind::Store { .. }
        | OpKind::Atomic { .. }
        | OpKind::LoadAcquire { .. }
        | OpKind::StoreRelease { .. }
        | OpKind::TailCall { .. } => false,
    };
    func.blocks.iter().flat_map(|b| &b.ops).any(|op| is_call(&op.kind))
}

impl Lowering<'_, '_> {
    /// Makes the frame.
    pub(super) fn prologue(&mut self) {
        match self.func.role {
            Role::Main => {
                self.enter();
                self.m.mov(Width::W64, Gpr::CONTEXT, Gpr::ARG6);
            }
            Role::Subprogram { .. } => self.enter(),
            Role::ExceptionCallback { .. } => self.replace_boundary(),
        }
        if let Some(disp) = self.frame.rounds {
            self.m.e.store_imm(Size::B8, Addr::new(Gpr::RBP, disp), MAY_GOTO_ROUNDS as i32);
        }
    }

    fn enter(&mut self) {
        self.m.e.push(Gpr::RBP);
        self.m.mov(Width::W64, Gpr::RBP, Gpr::RSP);
        self.make_room();
    }

    /// Below a frame pointer that is in place.
    pub(super) fn make_room(&mut self) {
        if self.frame.below > 0 {
            self.m.arith_imm(Width::W64, Arith::Sub, Gpr::RSP, self.frame.below as i32);
        }
        for &reg in &self.frame.saves {
            self.m.e.push(reg);
        }
    }

    /// Takes the frame away, up to the return address.
    pub(super) fn drop_frame(&mut self) {
        for &reg in self.frame.saves.iter().rev() {
            self.m.e.pop(reg);
        }
        if self.frame.below > 0 {
            self.m.e.leave();
        } else {
            self.m.e.pop(Gpr::RBP);
        }
    }

    pub(super) fn leave_function(&mut self) {
        self.drop_frame();
        if matches!(self.func.role, Role::ExceptionCallback { .. }) {
            // Entered by a jump over the throw's frames: the CPU would predict a return into one of them.
            self.m.e.pop(Gpr::RCX);
            self.m.e.jmp_reg(Gpr::RCX);
        } else {
            self.m.e.ret();
        }
    }

    /// The cell of may_goto.
    pub(super) fn rounds_cell(&self) -> Option<Addr> {
        self.frame.rounds.map(|disp| Addr::new(Gpr::RBP, disp))
    }
}

const _: () = assert!(MAY_GOTO_ROUNDS <= i32::MAX as u64);
