//! Arithmetic and moves.

use backstop_isa::{AluOp, ByteOrder, Instr, Operand, Reg, Size, Width};

use crate::domain::{self, Scalar};
use crate::env::Verifier;
use crate::explore::Step;
use crate::reason::{Check, Reason};
use crate::state::{ADD_CONST, ADD_CONST32, ADD_CONST64, Kind, RegState};

/// Linux's names of the operators, for its texts.
pub(crate) const fn op_name(op: AluOp) -> &'static str {
    match op {
        AluOp::Add => "+=",
        AluOp::Sub => "-=",
        AluOp::Mul => "*=",
        AluOp::Div | AluOp::Sdiv => "/=",
        AluOp::Mod | AluOp::Smod => "%=",
        AluOp::Or => "|=",
        AluOp::And => "&=",
        AluOp::Xor => "^=",
        AluOp::Lsh => "<<=",
        AluOp::Rsh => ">>=",
        AluOp::Arsh => "s>>=",
    }
}

/// How far the result lies from the operand, if it is a constant that linked registers can carry.
fn linked_distance(op: AluOp, width: Width, src: &RegState) -> Option<i32> {
    let value = match width {
        Width::W64 => i32::try_from(src.var.is_const()? as i64).ok()?,
        Width::W32 => src.var.is_const32()? as i32,
    };
    match op {
        AluOp::Add => Some(value),
        AluOp::Sub => value.checked_neg(),
        _ => None,
    }
}

impl Verifier<'_> {
    pub fn alu(&mut self, instr: &Instr, width: Width, op: AluOp, dst: Reg, src: Operand) -> Check<Step> {
        if let Operand::Reg(r) = src {
            self.readable(r)?;
        }
        self.readable(dst)?;
        if let Err(illegal) = instr.check_legal() {
            return Reason::Malformed { what: illegal.kernel_text().unwrap_or_else(|| illegal.to_string()) }.fail();
        }
        self.writable(dst)?;
        let dst_reg = *self.reg(dst);
        let src_reg = self.operand(src);
        // Whatever is computed with an address of the arena is one: only its low half counts.
        if dst_reg.kind == Kind::Arena || src_reg.kind == Kind::Arena {
            self.cur.set(dst, RegState { kind: Kind::Arena, ..RegState::UNKNOWN });
            return Ok(Step::Next);
        }
        match (dst_reg.is_pointer(), src_reg.is_pointer()) {
            (true, true) => {
                if op == AluOp::Sub && self.leaks_allowed() {
                    self.cur.set(dst, RegState::UNKNOWN);
                    return Ok(Step::Next);
                }
                Reason::PointerPointer { reg: dst.index() as u8, op: op_name(op) }.fail()
            }
            (false, true) => {
                self.mark_precise(dst)?;
                self.pointer_alu(width, op, dst, &src_reg, &dst_reg, true)
            }
            (true, false) => {
                if let Operand::Reg(r) = src {
                    self.mark_precise(r)?;
                }
                self.pointer_alu(width, op, dst, &dst_reg, &src_reg, false)
            }
            (false, false) => self.scalar_alu(width, op, dst, src, &src_reg),
        }
    }

    fn scalar_alu(&mut self, width: Width, op: AluOp, dst: Reg, src: Operand, src_reg: &RegState) -> Check<Step> {
        let dst_reg = *self.reg(dst);
        let mut value = dst_reg.var;
        if matches!(src, Operand::Imm(_))
            && let Some((minus_one, zero)) = domain::sign_fork(op, &dst_reg.var, &src_reg.var)
        {
            let at = self.insn;
            let other = self.push_branch(at, at)?;
            other.reg_mut(dst).var = zero;
            self.cur.reg_mut(dst).var = minus_one;
            value = minus_one;
        }
        let var = domain::alu(op, width, &value, &src_reg.var, self.precision);
        let mut out = RegState { var, ..*self.reg(dst) };
        match linked_distance(op, width, src_reg).filter(|_| self.capable() && out.id & ADD_CONST == 0 && out.id != 0) {
            Some(distance) => {
                out.id |= if width == Width::W64 { ADD_CONST64 } else { ADD_CONST32 };
                out.off = distance;
            }
            None => {
                out.id = 0;
                out.off = 0;
            }
        }
        self.cur.set(dst, out);
        Ok(Step::Next)
    }

    pub fn neg(&mut self, width: Width, dst: Reg) -> Check<Step> {
        self.readable(dst)?;
        if self.is_pointer_value(dst) {
            return Reason::PointerArithmeticUnprivileged { reg: dst.index() as u8 }.fail();
        }
        self.writable(dst)?;
        let r = *self.reg(dst);
        let out = if r.is_scalar() {
            RegState { var: domain::neg(width, &r.var, self.precision), id: 0, ..r }
        } else {
            RegState::UNKNOWN
        };
        self.cur.set(dst, out);
        Ok(Step::Next)
    }

    pub fn end(&mut self, order: ByteOrder, size: Size, dst: Reg) -> Check<Step> {
        self.readable(dst)?;
        if self.is_pointer_value(dst) {
            return Reason::PointerArithmeticUnprivileged { reg: dst.index() as u8 }.fail();
        }
        self.writable(dst)?;
        let r = *self.reg(dst);
        let out =
            if r.is_scalar() { RegState::scalar(domain::byte_order(order, size, &r.var)) } else { RegState::UNKNOWN };
        self.cur.set(dst, out);
        Ok(Step::Next)
    }

    /// A value that is about to be copied gets an id, so that the copies can be refined together.
    pub fn share_id(&mut self, r: Reg) {
        let reg = *self.reg(r);
        let shared = self.with_shared_id(reg);
        if shared != reg {
            self.cur.set(r, shared);
        }
    }

    /// The same for a register's value outside a register.
    pub fn with_shared_id(&mut self, mut reg: RegState) -> RegState {
        if !reg.is_scalar() {
            return reg;
        }
        if reg.id & ADD_CONST != 0 {
            reg.id = 0;
            reg.off = 0;
        }
        if reg.id == 0 && reg.var.is_const().is_none() {
            reg.id = self.new_id();
        }
        reg
    }

    pub fn mov(&mut self, width: Width, dst: Reg, src: Operand) -> Check<Step> {
        let r = match src {
            Operand::Imm(i) => {
                self.writable(dst)?;
                let value = match width {
                    Width::W64 => i64::from(i) as u64,
                    Width::W32 => u64::from(i as u32),
                };
                self.cur.set(dst, RegState::constant(value));
                return Ok(Step::Next);
            }
            Operand::Reg(r) => r,
        };
        self.readable(r)?;
        self.writable(dst)?;
        match width {
            Width::W64 => {
                self.share_id(r);
                let value = *self.reg(r);
                self.cur.set(dst, value);
            }
            Width::W32 => {
                if self.is_pointer_value(r) {
                    return Reason::PartialCopy { reg: r.index() as u8 }.fail();
                }
                let out = if self.reg(r).is_scalar() {
                    let fits = self.reg(r).var.width() <= 32;
                    if fits {
                        self.share_id(r);
                    }
                    let value = *self.reg(r);
                    RegState { var: domain::mov32(&value.var), id: if fits { value.id } else { 0 }, ..value }
                } else {
                    RegState { var: domain::mov32(&Scalar::unknown()), ..RegState::UNKNOWN }
                };
                self.cur.set(dst, out);
            }
        }
        Ok(Step::Next)
    }

    pub fn movsx(&mut self, width: Width, from: Size, dst: Reg, src: Reg) -> Check<Step> {
        self.readable(src)?;
        self.writable(dst)?;
        if self.is_pointer_value(src) {
            let reg = src.index() as u8;
            return match width {
                Width::W64 => Reason::SignExtendPointer { reg },
                Width::W32 => Reason::PartialCopy { reg },
            }
            .fail();
        }
        let out = if self.reg(src).is_scalar() {
            let unchanged = self.reg(src).var.umax < 1 << (from.bits() - 1).min(63);
            if unchanged {
                self.share_id(src);
            }
            let value = *self.reg(src);
            RegState {
                var: domain::movsx(width, from, &value.var, self.precision),
                id: if unchanged { value.id } else { 0 },
                ..value
            }
        } else {
            match width {
                Width::W64 => RegState::UNKNOWN,
                Width::W32 => RegState { var: domain::mov32(&Scalar::unknown()), ..RegState::UNKNOWN },
            }
        };
        self.cur.set(dst, out);
        Ok(Step::Next)
    }

    pub fn addr_space_cast(&mut self, instr: &Instr, dst: Reg, src: Reg, to: u16) -> Check<Step> {
        if let Err(illegal) = instr.check_legal() {
            return Reason::Malformed { what: illegal.kernel_text().unwrap_or_else(|| illegal.to_string()) }.fail();
        }
        if !self.has_arena {
            return Reason::ArenaOps {
                text: "addr_space_cast insn can only be used in a program that has an associated arena".into(),
            }
            .fail();
        }
        self.readable(src)?;
        self.writable(dst)?;
        let out = if to == 0 { RegState { kind: Kind::Arena, ..RegState::UNKNOWN } } else { RegState::UNKNOWN };
        self.cur.set(dst, out);
        Ok(Step::Next)
    }
}
