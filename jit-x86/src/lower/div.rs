//! Division and remainder.

use backstop_isa::{AluOp, Operand, Reg, Width};

use super::Lowering;
use super::cold::{ColdKind, SpecialDivision};
use crate::emit::{Arith, Cond, Shift};
use crate::magic::{Reciprocal, reciprocal};
use crate::regs::{Addr, Gpr};

/// What is asked of a division.
#[derive(Clone, Copy)]
pub(super) struct Division {
    pub(super) width: Width,
    pub(super) signed: bool,
    pub(super) remainder: bool,
    pub(super) dst: Gpr,
}

impl Division {
    /// The division that an ALU operation asks for.
    pub(super) fn of(width: Width, op: AluOp, dst: Reg) -> Option<Division> {
        let (signed, remainder) = match op {
            AluOp::Div => (false, false),
            AluOp::Mod => (false, true),
            AluOp::Sdiv => (true, false),
            AluOp::Smod => (true, true),
            AluOp::Add
            | AluOp::Sub
            | AluOp::Mul
            | AluOp::Or
            | AluOp::And
            | AluOp::Xor
            | AluOp::Lsh
            | AluOp::Rsh
            | AluOp::Arsh => return None,
        };
        Some(Division { width, signed, remainder, dst: Gpr::of(dst) })
    }
}

impl Lowering<'_, '_> {
    pub(super) fn divide(&mut self, division: Division, src: Operand) {
        match src {
            Operand::Imm(imm) if division.signed => self.divide_signed_by_constant(division, imm),
            Operand::Imm(imm) => self.divide_by_constant(division, imm),
            Operand::Reg(src) => self.divide_by_register(division, Gpr::of(src)),
        }
    }

    fn divide_by_register(&mut self, division: Division, src: Gpr) {
        let Division { width, signed, remainder, dst } = division;
        let back = self.m.new_label();
        let divisor = if src == Gpr::RAX || src == Gpr::RDX {
            self.m.mov(width, Gpr::SCRATCH1, src);
            Gpr::SCRATCH1
        } else {
            src
        };
        let special = SpecialDivision { width, remainder, dst, back };
        if signed {
            // Both special divisors by one test: -1 and 0 become 0 and 1.
            self.m.e.lea(width, Gpr::SCRATCH0, Addr::new(divisor, 1));
            self.m.e.arith_ri(width, Arith::Cmp, Gpr::SCRATCH0, 1);
            let cold = self.cold_label(ColdKind::ZeroOrMinusOne(special, divisor));
            self.m.jump_if(Cond::BelowEqual, cold);
        } else {
            self.m.e.test_rr(width, divisor, divisor);
            let nothing_to_do = remainder && width == Width::W64;
            let cold = if nothing_to_do { back } else { self.cold_label(ColdKind::ZeroDivisor(special)) };
            self.m.jump_if(Cond::Equal, cold);
        }
        self.machine_divide(division, divisor);
        self.m.bind(back);
    }

    /// The divisor is neither 0 nor, if signed, -1, and lies in neither rax nor rdx.
    fn machine_divide(&mut self, division: Division, divisor: Gpr) {
        let Division { width, signed, remainder, dst } = division;
        let keep_rax = dst != Gpr::RAX && self.live.contains(Reg::R0);
        let keep_rdx = dst != Gpr::RDX && self.live.contains(Reg::R3);
        if keep_rax {
            self.m.mov(Width::W64, Gpr::SCRATCH0, Gpr::RAX);
        }
        if keep_rdx {
            self.m.mov(Width::W64, Gpr::ARG6, Gpr::RDX);
        }
        if dst != Gpr::RAX {
            self.m.mov(width, Gpr::RAX, dst);
        }
        if signed {
            self.m.e.sign_into_rdx(width);
            self.m.e.idiv(width, divisor);
        } else {
            self.m.load_const(Gpr::RDX, 0);
            self.m.e.div(width, divisor);
        }
        // The machine has cleared the upper halves of both if it worked on 32 bits.
        self.m.mov(Width::W64, dst, if remainder { Gpr::RDX } else { Gpr::RAX });
        if keep_rax {
            self.m.mov(Width::W64, Gpr::RAX, Gpr::SCRATCH0);
        }
        if keep_rdx {
            self.m.mov(Width::W64, Gpr::RDX, Gpr::ARG6);
        }
    }

    fn divide_signed_by_constant(&mut self, division: Division, imm: i32) {
        let Division { width, remainder, dst, .. } = division;
        match (imm, remainder) {
            (0, false) | (1 | -1, true) => self.m.load_const(dst, 0),
            (0, true) | (1, false) => self.m.mov(width, dst, dst),
            (-1, false) => self.m.e.neg(width, dst),
            _ => {
                self.m.load_const(Gpr::SCRATCH1, imm as i64 as u64);
                self.machine_divide(division, Gpr::SCRATCH1);
            }
        }
    }

    fn divide_by_constant(&mut self, division: Division, imm: i32) {
        let Division { width, remainder, dst, .. } = division;
        let (divisor, bits) = match width {
            Width::W32 => (u64::from(imm as u32), 32),
            Width::W64 => (imm as i64 as u64, 64),
        };
        match (divisor, remainder) {
            (0, false) | (1, true) => self.m.load_const(dst, 0),
            (0, true) | (1, false) => self.m.mov(width, dst, dst),
            (d, false) if d.is_power_of_two() => self.m.shift_imm(width, Shift::Shr, dst, d.trailing_zeros() as u8),
            (d, true) if d.is_power_of_two() => self.m.arith_imm(width, Arith::And, dst, (d - 1) as i32),
            (d, _) => match reciprocal(d, bits) {
                Some(by) => self.multiply_by_reciprocal(division, imm, by),
                None => {
                    self.m.load_const(Gpr::SCRATCH1, d);
                    self.machine_divide(division, Gpr::SCRATCH1);
                }
            },
        }
    }

    /// Leaves the quotient in a scratch register, then finishes in dst.
    fn multiply_by_reciprocal(&mut self, division: Division, divisor: i32, by: Reciprocal) {
        let Division { width, remainder, dst, .. } = division;
        match width {
            Width::W32 => self.high_product_32(dst, by),
            Width::W64 => self.high_product_64(dst, by),
        }
        let quotient = Gpr::SCRATCH1;
        if by.has_top {
            // The sum of dividend and product needs one bit too many: halve the difference first.
            let half = Gpr::SCRATCH0;
            self.m.mov(width, half, dst);
            self.m.e.arith_rr(width, Arith::Sub, half, quotient);
            self.m.shift_imm(width, Shift::Shr, half, 1);
            self.m.e.arith_rr(width, Arith::Add, quotient, half);
            self.m.shift_imm(width, Shift::Shr, quotient, by.shift.saturating_sub(1));
        }
        if remainder {
            self.m.e.imul_rri(width, quotient, quotient, divisor);
            self.m.e.arith_rr(width, Arith::Sub, dst, quotient);
        } else {
            self.m.mov(width, dst, quotient);
        }
    }

    /// SCRATCH1 = (low 32 bits of n) * factor >> 32, shifted to the end if that is all there is to do.
    fn high_product_32(&mut self, n: Gpr, by: Reciprocal) {
        self.m.load_const(Gpr::SCRATCH1, by.low);
        self.m.mov(Width::W32, Gpr::SCRATCH0, n);
        self.m.e.imul_rr(Width::W64, Gpr::SCRATCH1, Gpr::SCRATCH0);
        let shift = if by.has_top { 32 } else { 32 + by.shift };
        self.m.shift_imm(Width::W64, Shift::Shr, Gpr::SCRATCH1, shift);
    }

    /// SCRATCH1 = n * factor >> 64, shifted to the end if that is all there is to do; n is kept.
    fn high_product_64(&mut self, n: Gpr, by: Reciprocal) {
        let keep_rdx = n == Gpr::RDX || self.live.contains(Reg::R3);
        if keep_rdx && !(self.options.cpu.bmi2 && n == Gpr::RDX) {
            self.m.mov(Width::W64, Gpr::ARG6, Gpr::RDX);
        }
        self.m.load_const(Gpr::SCRATCH1, by.low);
        if self.options.cpu.bmi2 {
            self.m.mov(Width::W64, Gpr::RDX, n);
            self.m.e.mulx(Gpr::SCRATCH1, Gpr::SCRATCH0, Gpr::SCRATCH1);
        } else {
            let keep_rax = n == Gpr::RAX || self.live.contains(Reg::R0);
            if keep_rax {
                self.m.mov(Width::W64, Gpr::SCRATCH0, Gpr::RAX);
            }
            self.m.mov(Width::W64, Gpr::RAX, n);
            self.m.e.mul(Gpr::SCRATCH1);
            self.m.mov(Width::W64, Gpr::SCRATCH1, Gpr::RDX);
            if keep_rax {
                self.m.mov(Width::W64, Gpr::RAX, Gpr::SCRATCH0);
            }
        }
        if keep_rdx && !(self.options.cpu.bmi2 && n == Gpr::RDX) {
            self.m.mov(Width::W64, Gpr::RDX, Gpr::ARG6);
        }
        if !by.has_top {
            self.m.shift_imm(Width::W64, Shift::Shr, Gpr::SCRATCH1, by.shift);
        }
    }
}
