//! The macro assembler: what the lowering wants in one call, in the shortest form, and the tables that grow with the code.

use backstop_ir::OpId;
use backstop_isa::{Size, Width};
use foldhash::HashMap;

use crate::emit::{Arith, Cond, Emitter, Label, Shift};
use crate::image::Symbol;
use crate::jumps::{JumpPlan, JumpSite};
use crate::regs::{Addr, Gpr};

/// Code, pool and tables under construction.
pub(crate) struct Masm<'p> {
    pub(crate) e: Emitter,
    pool: Vec<(Symbol, Label)>,
    slots: HashMap<Symbol, Label>,
    pcs: Vec<(usize, OpId)>,
    returns: Vec<(usize, OpId)>,
    plan: &'p JumpPlan,
    jumps: Vec<JumpSite>,
    /// Where the code was aligned, and to what.
    alignments: Vec<(usize, usize)>,
}

/// What is left when all is emitted.
pub(crate) struct Finished {
    pub(crate) code: Vec<u8>,
    pub(crate) pool: Vec<Symbol>,
    pub(crate) pcs: Vec<(usize, OpId)>,
    pub(crate) returns: Vec<(usize, OpId)>,
    /// The plan by which the next round can be shorter.
    pub(crate) next_plan: JumpPlan,
}

impl<'p> Masm<'p> {
    pub(crate) fn new(plan: &'p JumpPlan) -> Masm<'p> {
        Masm {
            e: Emitter::new(),
            pool: Vec::new(),
            slots: HashMap::default(),
            pcs: Vec::new(),
            returns: Vec::new(),
            plan,
            jumps: Vec::new(),
            alignments: Vec::new(),
        }
    }

    /// Closes the code with its pool. Fails, with the number of bytes made, if a label is out of reach.
    pub(crate) fn finish(mut self) -> Result<Finished, usize> {
        self.e.align_with_traps(8);
        let code_len = self.e.offset();
        for (_, label) in &self.pool {
            self.e.bind(*label);
            self.e.zero_quad();
        }
        let next_plan = JumpPlan::of(&self.jumps, &self.alignments, |label| self.e.label_offset(label));
        let total = self.e.offset();
        if total > i32::MAX as usize {
            return Err(total);
        }
        let mut code = self.e.finish().map_err(|_| total)?;
        code.truncate(code_len);
        let pool = self.pool.into_iter().map(|(symbol, _)| symbol).collect();
        Ok(Finished { code, pool, pcs: self.pcs, returns: self.returns, next_plan })
    }

    /// What follows belongs to this operation.
    pub(crate) fn mark(&mut self, op: OpId) {
        let at = self.e.offset();
        match self.pcs.last_mut() {
            Some(last) if last.0 == at => last.1 = op,
            Some(last) if last.1 == op => {}
            _ => self.pcs.push((at, op)),
        }
    }

    /// The call just emitted was this operation's.
    pub(crate) fn mark_return(&mut self, op: OpId) {
        self.returns.push((self.e.offset(), op));
    }

    pub(crate) fn new_label(&mut self) -> Label {
        self.e.new_label()
    }

    pub(crate) fn bind(&mut self, label: Label) {
        self.e.bind(label);
    }

    /// Aligns a place that control falls into.
    pub(crate) fn align_loop(&mut self, to: usize) {
        self.e.align_with_nops(to);
        self.alignments.push((self.e.offset(), to));
    }

    /// Aligns a place that nothing falls into.
    pub(crate) fn align_function(&mut self, to: usize) {
        self.e.align_with_traps(to);
    }

    /// The label of a symbol's pool slot.
    pub(crate) fn slot(&mut self, symbol: Symbol) -> Label {
        if let Some(&label) = self.slots.get(&symbol) {
            return label;
        }
        let label = self.e.new_label();
        self.pool.push((symbol, label));
        self.slots.insert(symbol, label);
        label
    }

    pub(crate) fn jump(&mut self, to: Label) {
        let short = self.plan.is_short(self.jumps.len());
        self.e.jmp(to, short);
        self.jumps.push(JumpSite { end: self.e.offset(), to });
    }

    pub(crate) fn jump_if(&mut self, cond: Cond, to: Label) {
        let short = self.plan.is_short(self.jumps.len());
        self.e.jcc(cond, to, short);
        self.jumps.push(JumpSite { end: self.e.offset(), to });
    }

    /// d = value, flags lost.
    pub(crate) fn load_const(&mut self, d: Gpr, value: u64) {
        if value == 0 {
            self.e.arith_rr(Width::W32, Arith::Xor, d, d);
        } else if let Ok(small) = u32::try_from(value) {
            self.e.mov_imm32(d, small);
        } else if let Ok(signed) = i32::try_from(value as i64) {
            self.e.mov_simm32(d, signed);
        } else {
            self.e.mov_imm64(d, value);
        }
    }

    /// d = s; nothing if that changes nothing.
    pub(crate) fn mov(&mut self, width: Width, d: Gpr, s: Gpr) {
        if d != s || width == Width::W32 {
            self.e.mov_rr(width, d, s);
        }
    }

    /// d = d op imm, in the shortest form that gives the same 64 bits.
    pub(crate) fn arith_imm(&mut self, width: Width, op: Arith, d: Gpr, imm: i32) {
        match (width, op, imm) {
            // One byte longer than its mirror image without this.
            (_, Arith::Add, 128) => self.e.arith_ri(width, Arith::Sub, d, -128),
            (_, Arith::Sub, 128) => self.e.arith_ri(width, Arith::Add, d, -128),
            (_, Arith::And, 0xff) => self.e.movzx(Size::B1, d, d),
            (_, Arith::And, 0xffff) => self.e.movzx(Size::B2, d, d),
            // A mask that clears the upper half does so at either width.
            (Width::W64, Arith::And, 0..) => self.e.arith_ri(Width::W32, op, d, imm),
            (Width::W64, Arith::Add | Arith::Sub | Arith::Or | Arith::Xor, 0) => {}
            (Width::W32, Arith::Add | Arith::Sub | Arith::Or | Arith::Xor, 0) => self.e.mov_rr(Width::W32, d, d),
            _ => self.e.arith_ri(width, op, d, imm),
        }
    }

    /// Flags of d & imm.
    pub(crate) fn test_imm(&mut self, width: Width, d: Gpr, imm: i32) {
        let width = if imm >= 0 { Width::W32 } else { width };
        self.e.test_ri(width, d, imm);
    }

    /// d = d shifted by a constant; at 32 bits a count of 0 still clears the upper half.
    pub(crate) fn shift_imm(&mut self, width: Width, op: Shift, d: Gpr, count: u8) {
        match (width, count) {
            (Width::W64, 0) => {}
            (Width::W32, 0) => self.e.mov_rr(Width::W32, d, d),
            _ => self.e.shift_ri(width, op, d, count),
        }
    }

    /// d = addr; an addition in place where that is enough.
    pub(crate) fn lea(&mut self, d: Gpr, addr: Addr) {
        match addr.index {
            None if addr.disp == 0 => self.mov(Width::W64, d, addr.base),
            None if d == addr.base => self.arith_imm(Width::W64, Arith::Add, d, addr.disp),
            _ => self.e.lea(Width::W64, d, addr),
        }
    }
}
