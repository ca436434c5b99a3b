//! Atomic read-modify-write. A locked instruction is a full barrier, so all are sequentially consistent.

use backstop_ir::Mem;
use backstop_isa::{AtomicOp, Reg, Size, Width};

use super::Lowering;
use crate::emit::{Arith, Cond};
use crate::error::CompileError;
use crate::regs::{Addr, Gpr};

impl Lowering<'_, '_> {
    #[allow(clippy::too_many_arguments, reason = "the operation's own fields")]
    pub(super) fn atomic(
        &mut self,
        size: Size,
        op: AtomicOp,
        fetch: bool,
        base: Reg,
        off: i32,
        src: Reg,
        mem: Mem,
    ) -> Result<(), CompileError> {
        self.plain(mem)?;
        let width = match size {
            Size::B4 => Width::W32,
            Size::B8 => Width::W64,
            Size::B1 | Size::B2 => return Err(self.malformed("an atomic operation on less than 4 bytes")),
        };
        let addr = Addr::new(Gpr::of(base), off);
        let s = Gpr::of(src);
        match (op, fetch) {
            (AtomicOp::Add, false) => self.locked(size, Arith::Add, addr, s),
            (AtomicOp::Or, false) => self.locked(size, Arith::Or, addr, s),
            (AtomicOp::And, false) => self.locked(size, Arith::And, addr, s),
            (AtomicOp::Xor, false) => self.locked(size, Arith::Xor, addr, s),
            (AtomicOp::Add, true) => {
                self.m.e.lock();
                self.m.e.xadd(size, addr, s);
            }
            (AtomicOp::Or, true) => self.fetch_loop(width, size, Arith::Or, addr, s),
            (AtomicOp::And, true) => self.fetch_loop(width, size, Arith::And, addr, s),
            (AtomicOp::Xor, true) => self.fetch_loop(width, size, Arith::Xor, addr, s),
            (AtomicOp::Xchg, _) => self.m.e.xchg(size, addr, s),
            (AtomicOp::Cmpxchg, _) => {
                self.m.e.lock();
                self.m.e.cmpxchg(size, addr, s);
                if width == Width::W32 {
                    // The machine leaves rax's upper half alone if the exchange was made.
                    self.m.mov(Width::W32, Gpr::RAX, Gpr::RAX);
                }
            }
        }
        Ok(())
    }

    fn locked(&mut self, size: Size, op: Arith, addr: Addr, s: Gpr) {
        self.m.e.lock();
        self.m.e.arith_mr(size, op, addr, s);
    }

    /// The machine has no fetching form: compare-exchange, which wants the old value in rax, until nobody came between.
    fn fetch_loop(&mut self, width: Width, size: Size, op: Arith, addr: Addr, s: Gpr) {
        let (changed, aside) = (Gpr::SCRATCH0, Gpr::SCRATCH1);
        let moved = |r: Gpr| if r == Gpr::RAX { aside } else { r };
        let (addr, operand) = (Addr { base: moved(addr.base), ..addr }, moved(s));
        self.m.mov(Width::W64, aside, Gpr::RAX);
        self.m.e.load(size, Gpr::RAX, addr);
        let again = self.m.new_label();
        self.m.bind(again);
        self.m.mov(Width::W64, changed, Gpr::RAX);
        self.m.e.arith_rr(width, op, changed, operand);
        self.m.e.lock();
        self.m.e.cmpxchg(size, addr, changed);
        self.m.jump_if(Cond::NotEqual, again);
        if s != Gpr::RAX {
            self.m.mov(Width::W64, s, Gpr::RAX);
            self.m.mov(Width::W64, Gpr::RAX, aside);
        }
    }
}
