//! Calls, and addresses that are known when the image is placed.

use backstop_abi::{RUN_LEGACY_LOAD, RUN_PENDING};
use backstop_ir::{CalleeId, FuncId, MapId, Role, Unwind};
use backstop_isa::{Reg, Size, Width};

use super::Lowering;
use super::cold::ColdKind;
use crate::emit::{Arith, Cond};
use crate::error::CompileError;
use crate::image::Symbol;
use crate::regs::{Addr, Gpr};

impl Lowering<'_, '_> {
    pub(super) fn map_address(&mut self, dst: Reg, map: MapId) {
        let slot = self.m.slot(Symbol::Map(map));
        self.m.e.load_at(Gpr::of(dst), slot);
    }

    pub(super) fn map_value_address(&mut self, dst: Reg, map: MapId, off: u32) {
        let slot = self.m.slot(Symbol::MapValue(map, off));
        self.m.e.load_at(Gpr::of(dst), slot);
    }

    pub(super) fn function_address(&mut self, dst: Reg, func: FuncId) -> Result<(), CompileError> {
        let entry = self.subprogram_entry(func)?;
        self.m.e.lea_label(Gpr::of(dst), entry);
        Ok(())
    }

    pub(super) fn call_native(&mut self, callee: CalleeId, unwind: Unwind) {
        let slot = self.m.slot(Symbol::Native(callee));
        self.m.mov(Width::W64, Gpr::ARG6, Gpr::CONTEXT);
        self.m.e.call_at(slot);
        self.m.mark_return(self.op);
        match unwind {
            Unwind::Never => {}
            Unwind::Propagate => {
                self.m.e.arith_mi(Size::B8, Arith::Cmp, Addr::new(Gpr::CONTEXT, RUN_PENDING), 0);
                let raise = self.cold_label(ColdKind::Raise);
                self.m.jump_if(Cond::NotEqual, raise);
            }
        }
    }

    /// An end that passes through the callee never comes back here, so nothing is tested.
    pub(super) fn call_function(&mut self, func: FuncId) -> Result<(), CompileError> {
        let entry = self.subprogram_entry(func)?;
        self.m.e.call_label(entry);
        self.m.mark_return(self.op);
        Ok(())
    }

    /// Linux: `BPF_LD | BPF_ABS` and `BPF_IND`.
    pub(super) fn legacy_load(&mut self, size: Size, index: Option<Reg>, imm: i32) {
        match index {
            None => self.m.load_const(Gpr::RDI, u64::from(imm as u32)),
            Some(reg) if imm == 0 => self.m.mov(Width::W32, Gpr::RDI, Gpr::of(reg)),
            // 32 bits of the sum; the upper half becomes zero.
            Some(reg) => self.m.e.lea(Width::W32, Gpr::RDI, Addr::new(Gpr::of(reg), imm)),
        }
        self.m.load_const(Gpr::RSI, u64::from(size.bytes()));
        self.m.mov(Width::W64, Gpr::ARG6, Gpr::CONTEXT);
        self.m.e.call_mem(Addr::new(Gpr::CONTEXT, RUN_LEGACY_LOAD));
        self.m.mark_return(self.op);
        self.m.e.test_rr(Width::W64, Gpr::RAX, Gpr::RAX);
        let beyond = self.cold_label(ColdKind::ReturnZero);
        self.m.jump_if(Cond::Sign, beyond);
    }

    fn subprogram_entry(&self, func: FuncId) -> Result<crate::emit::Label, CompileError> {
        let i = func.0 as usize;
        match (self.funcs.get(i).map(|f| f.role), self.entries.get(i)) {
            (Some(Role::Subprogram { .. }), Some(&entry)) => Ok(entry),
            _ => Err(self.malformed("a call names something else than a subprogram")),
        }
    }
}
