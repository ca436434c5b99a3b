//! Tail calls.
//!
//! As Linux 6.18 does it (`emit_bpf_tail_call_indirect` since 6.11): first the index, then the count of those made, then the slot; only a call that is made
//! is counted. The target replaces this function's frame and is entered as a main function is.

use backstop_abi::{MAX_TAIL_CALLS, PROG_ARRAY_LEN, PROG_ARRAY_SLOTS, RUN_HELD, RUN_TAIL_CALLS, TAIL_TARGET_ENTRY};
use backstop_isa::{Size, Width};

use super::Lowering;
use crate::emit::{Arith, Cond, Label};
use crate::regs::{Addr, Gpr};

/// BPF's r2 and r3.
const ARRAY: Gpr = Gpr::RSI;
const INDEX: Gpr = Gpr::RDX;
/// BPF's r4 and r5, which a call leaves undefined.
const COUNT: Gpr = Gpr::RCX;
const SLOT: Gpr = Gpr::machine(8);
const CELLS: Gpr = Gpr::ARG6;

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
        self.m.e.load(Size::B8, COUNT, made);
        self.m.arith_imm(Width::W64, Arith::Cmp, COUNT, MAX_TAIL_CALLS as i32);
        self.m.jump_if(Cond::AboveEqual, on);
        self.m.e.load(Size::B8, SLOT, Addr::new(ARRAY, PROG_ARRAY_SLOTS));
        if constant.is_none() {
            self.m.e.lea(Width::W64, SLOT, Addr::indexed(SLOT, position, 3, 0));
        }
        self.take_target(target, Addr::new(SLOT, constant.unwrap_or(0)), on);
        self.m.e.arith_mi(Size::B8, Arith::Add, made, 1);
        self.m.mov(Width::W64, Gpr::ARG6, Gpr::CONTEXT);
        self.drop_frame();
        self.m.e.jmp_mem(Addr::new(target, TAIL_TARGET_ENTRY));
        self.m.bind(on);
    }

    /// target = what stands in the slot, announced as the run's [`COUNT`]-th; goes to `none` if nothing does.
    fn take_target(&mut self, target: Gpr, slot: Addr, none: Label) {
        let again = self.m.new_label();
        let cell = Addr::indexed(CELLS, COUNT, 3, 0);
        self.m.e.load(Size::B8, CELLS, Addr::new(Gpr::CONTEXT, RUN_HELD));
        self.m.bind(again);
        self.m.e.load(Size::B8, target, slot);
        self.m.e.test_rr(Width::W64, target, target);
        self.m.jump_if(Cond::Equal, none);
        if self.options.exchange_at_tail_calls {
            self.m.mov(Width::W64, Gpr::SCRATCH0, target);
            self.m.e.xchg(Size::B8, cell, Gpr::SCRATCH0);
        } else {
            self.m.e.store(Size::B8, cell, target);
        }
        // Replaced between the two looks: it may be gone by now.
        self.m.e.arith_rm(Width::W64, Arith::Cmp, target, slot);
        self.m.jump_if(Cond::NotEqual, again);
    }
}
