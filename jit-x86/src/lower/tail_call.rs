//! Tail calls.
//!
//! As Linux 6.18 does it (`emit_bpf_tail_call_indirect` since 6.11): first the index, then the count of those made, then the slot; only a call that is made
//! is counted. The target replaces this function's frame and is entered as a main function is.

use backstop_abi::{MAX_TAIL_CALLS, PROG_ARRAY_LEN, PROG_ARRAY_SLOTS, RUN_TAIL_CALLS, TAIL_TARGET_ENTRY};
use backstop_isa::{Size, Width};

use super::Lowering;
use crate::emit::{Arith, Cond};
use crate::regs::{Addr, Gpr};

/// BPF's r2 and r3.
const ARRAY: Gpr = Gpr::RSI;
const INDEX: Gpr = Gpr::RDX;

impl Lowering<'_, '_> {
    /// `index`: proved constant and within the array.
    pub(super) fn tail_call(&mut self, index: Option<u32>) {
        self.leaves_through = true;
        let on = self.m.new_label();
        let (position, target) = (Gpr::SCRATCH0, Gpr::SCRATCH1);
        let constant = index.and_then(|i| i32::try_from(u64::from(i) * 8).ok());
        if constant.is_none() {
            // The index is 32 bits wide, whatever the register holds.
            self.m.mov(Width::W32, position, INDEX);
            self.m.e.arith_rm(Width::W64, Arith::Cmp, position, Addr::new(ARRAY, PROG_ARRAY_LEN));
            self.m.jump_if(Cond::AboveEqual, on);
        }
        let made = Addr::new(Gpr::CONTEXT, RUN_TAIL_CALLS);
        self.m.e.arith_mi(Size::B8, Arith::Cmp, made, MAX_TAIL_CALLS as i32);
        self.m.jump_if(Cond::AboveEqual, on);
        self.m.e.load(Size::B8, target, Addr::new(ARRAY, PROG_ARRAY_SLOTS));
        let slot = match constant {
            Some(disp) => Addr::new(target, disp),
            None => Addr::indexed(target, position, 3, 0),
        };
        self.m.e.load(Size::B8, target, slot);
        self.m.e.test_rr(Width::W64, target, target);
        self.m.jump_if(Cond::Equal, on);
        self.m.e.arith_mi(Size::B8, Arith::Add, made, 1);
        self.m.mov(Width::W64, Gpr::ARG6, Gpr::CONTEXT);
        self.drop_frame();
        self.m.e.jmp_mem(Addr::new(target, TAIL_TARGET_ENTRY));
        self.m.bind(on);
    }
}
