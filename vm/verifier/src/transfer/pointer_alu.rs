//! Pointer plus or minus number.

use backstop_isa::{AluOp, Reg, Width};

use crate::domain::{self, Precision, Scalar};
use crate::env::Verifier;
use crate::explore::Step;
use crate::reason::{Check, Reason};
use crate::resolve::MAX_VAR_OFF;
use crate::state::{Flags, Kind, RegState};
use crate::transfer::alu::op_name;

impl Verifier<'_> {
    /// `dst` becomes `ptr op off`; `reversed` if the program wrote the pointer on the right.
    pub fn pointer_alu(
        &mut self,
        width: Width,
        op: AluOp,
        dst: Reg,
        ptr: &RegState,
        off: &RegState,
        reversed: bool,
    ) -> Check<Step> {
        let reg = dst.index() as u8;
        if off.var.is_contradiction() {
            self.cur.set(dst, RegState::UNKNOWN);
            return Ok(Step::Next);
        }
        if width == Width::W32 {
            if op == AluOp::Sub && self.leaks_allowed() {
                self.cur.set(dst, RegState::UNKNOWN);
                return Ok(Step::Next);
            }
            return Reason::Pointer32 { reg }.fail();
        }
        if ptr.maybe_null() {
            return Reason::PointerNull { reg, ty: ptr.type_name() }.fail();
        }
        if matches!(ptr.kind, Kind::Mem(_)) && ptr.flags.has(Flags::UNTRUSTED) {
            self.cur.set(dst, *ptr);
            return Ok(Step::Next);
        }
        self.check_pointer_kind(op, reg, ptr, off)?;
        self.sane_offset(off, ptr)?;
        self.sane_offset(ptr, ptr)?;
        let out = match op {
            AluOp::Add => self.pointer_add(ptr, off),
            AluOp::Sub if reversed => return Reason::SubFromScalar { reg }.fail(),
            AluOp::Sub if matches!(ptr.kind, Kind::Stack(_)) => return Reason::SubFromStack { reg }.fail(),
            AluOp::Sub => self.pointer_sub(ptr, off),
            AluOp::And | AluOp::Or | AluOp::Xor => {
                return Reason::BitwisePointer { reg, op: op_name(op) }.fail();
            }
            _ => return Reason::OperatorPointer { reg, op: op_name(op) }.fail(),
        };
        self.sane_offset(&out, ptr)?;
        if !self.capable() {
            self.check_unprivileged_offset(reg, &out)?;
        }
        self.cur.set(dst, out);
        Ok(Step::Next)
    }

    fn check_pointer_kind(&self, op: AluOp, reg: u8, ptr: &RegState, off: &RegState) -> Check {
        match ptr.kind {
            Kind::Ctx
            | Kind::MapValue(_)
            | Kind::MapKey(_)
            | Kind::Stack(_)
            | Kind::PacketMeta
            | Kind::Packet
            | Kind::Btf(_)
            | Kind::Mem(_)
            | Kind::Func(_)
            | Kind::TpBuffer
            | Kind::Dynptr => Ok(()),
            Kind::MapPtr(_) if op == AluOp::Add && off.var.is_const() == Some(0) => Ok(()),
            _ => Reason::PointerKind { reg, ty: ptr.type_name() }.fail(),
        }
    }

    /// Offsets so large that their sums could wrap are refused (Linux: `check_reg_sane_offset`).
    fn sane_offset(&self, r: &RegState, ptr: &RegState) -> Check {
        let ty = || ptr.type_name();
        let huge = |v: i64| v >= MAX_VAR_OFF || v <= -MAX_VAR_OFF;
        if let Some(value) = r.var.is_const().map(|v| v as i64)
            && huge(value)
        {
            return Reason::MathBetween { ty: ty(), value }.fail();
        }
        // The `off` of a scalar is a distance between linked registers; Linux looks at it all the same.
        if huge(i64::from(r.off)) {
            return Reason::PointerOffset { ty: ty(), off: r.off }.fail();
        }
        if r.var.smin == i64::MIN {
            return Reason::MathUnbounded { ty: ty() }.fail();
        }
        if huge(r.var.smin) {
            return Reason::ValueOutOfBounds { ty: ty(), value: r.var.smin }.fail();
        }
        Ok(())
    }

    fn pointer_add(&mut self, ptr: &RegState, off: &RegState) -> RegState {
        if let Some(k) = off.var.is_const()
            && let Ok(sum) = i32::try_from(i64::from(ptr.off).wrapping_add(k as i64))
        {
            return RegState { off: sum, range: moved_range(ptr), ..*ptr };
        }
        let mut out = RegState { var: variable_part(AluOp::Add, &ptr.var, &off.var), ..*ptr };
        if ptr.is_packet() {
            out.id = self.new_id();
            out.range = 0;
        }
        out
    }

    fn pointer_sub(&mut self, ptr: &RegState, off: &RegState) -> RegState {
        if let Some(k) = off.var.is_const()
            && let Ok(difference) = i32::try_from(i64::from(ptr.off).wrapping_sub(k as i64))
        {
            return RegState { off: difference, range: moved_range(ptr), ..*ptr };
        }
        let mut out = RegState { var: variable_part(AluOp::Sub, &ptr.var, &off.var), ..*ptr };
        if ptr.is_packet() {
            out.id = self.new_id();
            out.range = moved_range(ptr);
            if off.var.smin < 0 {
                out.range = 0;
            }
        }
        out
    }

    /// Without privileges a pointer must stay in bounds after every step (Linux: `sanitize_check_bounds`).
    fn check_unprivileged_offset(&mut self, reg: u8, out: &RegState) -> Check {
        match out.kind {
            Kind::Stack(_) => {
                let Some(var) = out.var.is_const() else {
                    return Reason::VarStackUnprivileged { reg, var_off: out.var.tnum.to_string() }.fail();
                };
                let at = (var as i64).wrapping_add(i64::from(out.off));
                if !(-512..0).contains(&at) {
                    let text = format!("stack pointer arithmetic goes out of range, prohibited for !root; off={at}");
                    return Reason::StackPointerUnbounded { reg, text }.fail();
                }
                Ok(())
            }
            Kind::MapValue(map) => {
                let size = i64::from(self.world.map(map).spec.value_size);
                let low = out.var.smin.checked_add(i64::from(out.off));
                let high = i64::try_from(out.var.umax).ok().and_then(|v| v.checked_add(i64::from(out.off)));
                let fine = low.is_some_and(|v| v >= 0) && high.is_some_and(|v| v < size);
                if fine {
                    return Ok(());
                }
                let text = "pointer arithmetic of map value goes out of range, prohibited for !root".to_owned();
                Reason::StackPointerUnbounded { reg, text }.fail()
            }
            _ => Ok(()),
        }
    }
}

/// How much of the packet is there counts from the base and stays. That the pointer lies at the packet's end or beyond was
/// known of this very address and is lost.
fn moved_range(ptr: &RegState) -> i32 {
    ptr.range.max(0)
}

/// The 64-bit half of a sum or difference; pointers carry no 32-bit ranges of their own.
fn variable_part(op: AluOp, ptr: &Scalar, off: &Scalar) -> Scalar {
    let mut var = domain::alu(op, Width::W64, ptr, off, Precision::Linux);
    (var.u32_min, var.u32_max) = (0, u32::MAX);
    (var.s32_min, var.s32_max) = (i32::MIN, i32::MAX);
    var.sync();
    var
}
