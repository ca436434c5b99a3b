//! Loads and stores. x86-64 orders plain ones as acquire and release ask.

use backstop_ir::Mem;
use backstop_isa::{Operand, Reg, Size};

use super::Lowering;
use crate::error::CompileError;
use crate::regs::{Addr, Gpr};

impl Lowering<'_, '_> {
    /// The regions that are plain memory to the machine.
    pub(super) fn plain(&self, mem: Mem) -> Result<(), CompileError> {
        match mem {
            Mem::Stack | Mem::Ctx | Mem::Packet | Mem::MapValue | Mem::Plain => Ok(()),
            Mem::Probe => Err(self.unsupported("loads that may fault (probing)")),
            Mem::Arena => Err(self.unsupported("arena accesses")),
            Mem::Unknown => Err(self.unsupported("accesses that were not proved")),
        }
    }

    pub(super) fn load(
        &mut self,
        size: Size,
        signed: bool,
        dst: Reg,
        base: Reg,
        off: i32,
        mem: Mem,
    ) -> Result<(), CompileError> {
        self.plain(mem)?;
        self.load_from(size, signed, dst, Addr::new(Gpr::of(base), off));
        Ok(())
    }

    pub(super) fn load_from(&mut self, size: Size, signed: bool, dst: Reg, addr: Addr) {
        if signed {
            self.m.e.load_signed(size, Gpr::of(dst), addr);
        } else {
            self.m.e.load(size, Gpr::of(dst), addr);
        }
    }

    pub(super) fn store(
        &mut self,
        size: Size,
        base: Reg,
        off: i32,
        src: Operand,
        mem: Mem,
    ) -> Result<(), CompileError> {
        self.plain(mem)?;
        self.store_to(size, Addr::new(Gpr::of(base), off), src);
        Ok(())
    }

    pub(super) fn store_to(&mut self, size: Size, addr: Addr, src: Operand) {
        match src {
            Operand::Reg(src) => self.m.e.store(size, addr, Gpr::of(src)),
            Operand::Imm(imm) => self.m.e.store_imm(size, addr, imm),
        }
    }
}
