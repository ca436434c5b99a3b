//! Throwing, and the exception callback's way in.

use backstop_abi::{RUN_THROW, x86};
use backstop_isa::Width;

use super::Lowering;
use crate::regs::{Addr, Gpr};

impl Lowering<'_, '_> {
    /// The cookie is in r1 already; the stub finds rbp as it is and this operation by the return address.
    pub(super) fn throw(&mut self) {
        self.m.e.call_mem(Addr::new(Gpr::CONTEXT, RUN_THROW));
        self.m.mark_return(self.op);
    }

    /// Entered by a jump with (cookie, sp, rbp, run) in rdi, rsi, rdx, rcx: takes back what the boundary saved, then makes
    /// its own frame in the boundary's place. The cookie is r1 already.
    pub(super) fn replace_boundary(&mut self) {
        self.m.mov(Width::W64, Gpr::RSP, Gpr::RSI);
        self.m.mov(Width::W64, Gpr::RBP, Gpr::RDX);
        for reg in x86::BOUNDARY_SAVES.map(Gpr::machine).into_iter().rev() {
            self.m.e.pop(reg);
        }
        self.m.mov(Width::W64, Gpr::RSP, Gpr::RBP);
        self.make_room();
        self.m.mov(Width::W64, Gpr::CONTEXT, Gpr::RCX);
    }
}
