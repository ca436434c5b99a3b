//! Several operations as one machine instruction, within a block.
//!
//! clang computes an address by `mov`, shift and `add` into a register of its own, rotates by two shifts and an `or`, and changes memory by a load, an
//! operation and a store; the machine has one instruction for each. A register that the IR writes and the instruction does not must be dead
//! afterwards. A fused access is marked as the access's operation.

use backstop_ir::{Op, OpKind};
use backstop_isa::{AluOp, Operand, Reg, Size, Width};

use super::Lowering;
use crate::emit::{Arith, Shift};
use crate::error::CompileError;
use crate::live::RegSet;
use crate::regs::{Addr, Gpr, Index};

/// An address in the making: the value of a register in terms of registers that do not change meanwhile.
#[derive(Clone, Copy)]
struct Sum {
    base: Option<Gpr>,
    index: Option<Index>,
    disp: i32,
}

/// `dst` = `addr`, computed by the first `ops` operations.
#[derive(Clone, Copy)]
struct Computed {
    dst: Reg,
    addr: Addr,
    ops: usize,
    /// A register whose shift is part of the address: it keeps its old value, so nobody may want the new one.
    unshifted: Option<Reg>,
}

/// A load, an operation on what was loaded, and the store back: `ops` are three.
#[derive(Clone, Copy)]
struct Modify {
    size: Size,
    op: Arith,
    src: Operand,
    base: Reg,
    off: i32,
}

impl Lowering<'_, '_> {
    /// Compiles a few of the first operations as one instruction; returns how many, 0 if nothing matches. `live` says for each
    /// operation what is live after it.
    pub(super) fn fused(&mut self, ops: &[Op], live: &[RegSet]) -> Result<usize, CompileError> {
        if !self.options.fuse {
            return Ok(0);
        }
        let simple = self.rotation(ops, live).or_else(|| self.extension(ops));
        if let Some(used) = simple {
            return Ok(used);
        }
        for computed in [shifted_sum(ops), sum(ops)].into_iter().flatten() {
            let used = self.through_address(computed, ops, live)?;
            if used > 0 {
                return Ok(used);
            }
        }
        match modify(ops, live) {
            Some(modify) => {
                self.mark_access(ops.first());
                self.checked_plain(ops.get(..3))?;
                self.modify(modify, Addr::new(Gpr::of(modify.base), modify.off));
                Ok(3)
            }
            None => Ok(0),
        }
    }

    fn mark_access(&mut self, op: Option<&Op>) {
        if let Some(op) = op {
            self.op = op.id;
            self.m.mark(op.id);
        }
    }

    fn checked_plain(&self, ops: Option<&[Op]>) -> Result<(), CompileError> {
        for op in ops.into_iter().flatten() {
            if let OpKind::Load { mem, .. } | OpKind::Store { mem, .. } = op.kind {
                self.plain(mem)?;
            }
        }
        Ok(())
    }

    /// Uses a computed address in the access that follows, or computes it by one `lea`.
    fn through_address(&mut self, computed: Computed, ops: &[Op], live: &[RegSet]) -> Result<usize, CompileError> {
        let Computed { dst, addr, ops: n, unshifted } = computed;
        let rest = ops.get(n..).unwrap_or_default();
        let rest_live = live.get(n..).unwrap_or_default();
        let unwanted = |reg: Option<Reg>, after: RegSet| reg.is_none_or(|r| !after.contains(r));
        let moved = |off: i32| addr.disp.checked_add(off).map(|disp| Addr { disp, ..addr });

        if let Some(modify) = modify(rest, rest_live)
            && modify.base == dst
            && let Some(addr) = moved(modify.off)
            && let Some(&after) = rest_live.get(2)
            && unwanted(Some(dst), after)
            && unwanted(unshifted, after)
            && ![Some(dst), unshifted].contains(&register(modify.src))
        {
            self.mark_access(rest.first());
            self.checked_plain(rest.get(..3))?;
            self.modify(modify, addr);
            return Ok(n + 3);
        }
        if let (Some(access), Some(&after)) = (rest.first(), rest_live.first()) {
            match access.kind {
                OpKind::Load { size, signed, dst: to, base, off, mem } if base == dst => {
                    let gone = |reg: Option<Reg>| reg == Some(to) || unwanted(reg, after);
                    if let Some(addr) = moved(off)
                        && gone(Some(dst))
                        && gone(unshifted)
                    {
                        self.mark_access(Some(access));
                        self.plain(mem)?;
                        self.load_from(size, signed, to, addr);
                        return Ok(n + 1);
                    }
                }
                OpKind::Store { size, base, off, src, mem } if base == dst => {
                    if let Some(addr) = moved(off)
                        && unwanted(Some(dst), after)
                        && unwanted(unshifted, after)
                        && ![Some(dst), unshifted].contains(&register(src))
                    {
                        self.mark_access(Some(access));
                        self.plain(mem)?;
                        self.store_to(size, addr, src);
                        return Ok(n + 1);
                    }
                }
                _ => {}
            }
        }
        let after = n.checked_sub(1).and_then(|last| live.get(last)).copied();
        if n >= 2 && after.is_some_and(|after| unwanted(unshifted, after)) {
            self.m.lea(Gpr::of(dst), addr);
            return Ok(n);
        }
        Ok(0)
    }

    fn modify(&mut self, modify: Modify, addr: Addr) {
        match modify.src {
            Operand::Reg(src) => self.m.e.arith_mr(modify.size, modify.op, addr, Gpr::of(src)),
            Operand::Imm(imm) => self.m.e.arith_mi(modify.size, modify.op, addr, imm),
        }
    }

    /// Left and right shifts of one value, by counts that add up to the width, put together again.
    fn rotation(&mut self, ops: &[Op], live: &[RegSet]) -> Option<usize> {
        let (first, source) = copy(ops.first()?)?;
        let separate = ops.get(2).and_then(copy);
        let (other, shifts, used) = match separate {
            // t = s; t <<= a; u = s; u >>= b; u |= t
            Some((second, source2)) if source2 == source && second != first && second != source => {
                (second, [ops.get(1)?, ops.get(3)?], 5)
            }
            // t = s; t <<= a; s >>= b; t |= s, the shifts in either order
            _ => (source, [ops.get(1)?, ops.get(2)?], 4),
        };
        let [a, b] = shifts.map(constant_shift);
        let (a, b) = (a?, b?);
        let (join, after) = (ops.get(used - 1)?, live.get(used - 1)?);
        let OpKind::Alu { width, op: AluOp::Or | AluOp::Add | AluOp::Xor, dst, src: Operand::Reg(joined) } = join.kind
        else {
            return None;
        };
        let bits = match width {
            Width::W32 => 32,
            Width::W64 => 64,
        };
        let both = |x: Reg, y: Reg| (x, y) == (first, other) || (x, y) == (other, first);
        let order_matters = used == 5;
        let matches = both(dst, joined)
            && if order_matters { (a.dst, b.dst) == (first, other) } else { both(a.dst, b.dst) }
            && a.width == width
            && b.width == width
            && a.left != b.left
            && a.count + b.count == bits
            && !after.contains(joined);
        // A copy of the low half is not enough for 64 bits.
        let copies = [ops.first(), if order_matters { ops.get(2) } else { None }];
        let whole = copies.into_iter().flatten().all(|op| matches!(op.kind, OpKind::Mov { width: Width::W64, .. }));
        if !matches || a.count == 0 || b.count == 0 || (width == Width::W64 && !whole) {
            return None;
        }
        let left = if a.left { a.count } else { b.count };
        let (d, s) = (Gpr::of(dst), Gpr::of(source));
        if self.options.cpu.bmi2 && d != s {
            self.m.e.rorx(width, d, s, (bits - left) as u8);
        } else {
            if d != s {
                self.m.mov(width, d, s);
            }
            self.m.shift_imm(width, Shift::Rol, d, left as u8);
        }
        Some(used)
    }

    /// Shifts left and right by the same count that extend the low bytes.
    fn extension(&mut self, ops: &[Op]) -> Option<usize> {
        let copied = copy(ops.first()?);
        let start = usize::from(copied.is_some());
        let (up, down) = (constant_shift(ops.get(start)?)?, ops.get(start + 1)?);
        let OpKind::Alu { width, op, dst, src: Operand::Imm(count) } = down.kind else { return None };
        if !up.left || (up.width, up.dst) != (width, dst) || i64::from(up.count) != i64::from(count) {
            return None;
        }
        let source = match copied {
            Some((to, from)) if to == dst => from,
            Some(_) => return None,
            None => dst,
        };
        let from = match (width, count) {
            (Width::W64, 32) => Size::B4,
            (Width::W64, 48) | (Width::W32, 16) => Size::B2,
            (Width::W64, 56) | (Width::W32, 24) => Size::B1,
            _ => return None,
        };
        match op {
            AluOp::Rsh => self.m.e.movzx(from, Gpr::of(dst), Gpr::of(source)),
            AluOp::Arsh => self.m.e.movsx(width, from, Gpr::of(dst), Gpr::of(source)),
            _ => return None,
        }
        Some(start + 2)
    }
}

/// A shift by a constant below the width.
struct ConstantShift {
    width: Width,
    left: bool,
    dst: Reg,
    count: u32,
}

fn constant_shift(op: &Op) -> Option<ConstantShift> {
    let OpKind::Alu { width, op, dst, src: Operand::Imm(count) } = op.kind else { return None };
    let left = match op {
        AluOp::Lsh => true,
        AluOp::Rsh => false,
        _ => return None,
    };
    let bits = match width {
        Width::W32 => 32,
        Width::W64 => 64,
    };
    let count = u32::try_from(count).ok().filter(|&c| c < bits)?;
    Some(ConstantShift { width, left, dst, count })
}

/// (to, from) of a copy between two registers.
fn copy(op: &Op) -> Option<(Reg, Reg)> {
    match op.kind {
        OpKind::Mov { dst, src: Operand::Reg(src), .. } if dst != src => Some((dst, src)),
        _ => None,
    }
}

fn register(src: Operand) -> Option<Reg> {
    match src {
        Operand::Reg(r) => Some(r),
        Operand::Imm(_) => None,
    }
}

/// `x <<= k; d = s; d += x`, which is s + x * 2^k.
fn shifted_sum(ops: &[Op]) -> Option<Computed> {
    let [shift, mov, add, ..] = ops else { return None };
    let shift = constant_shift(shift)?;
    let (x, scale) = (shift.dst, shift.count);
    let OpKind::Mov { width: Width::W64, dst, src: Operand::Reg(s) } = mov.kind else { return None };
    let adds = matches!(add.kind, OpKind::Alu { width: Width::W64, op: AluOp::Add, dst: to, src: Operand::Reg(by) } if to == dst && by == x);
    let good =
        shift.left && shift.width == Width::W64 && (1..=3).contains(&scale) && dst != x && s != x && s != dst && adds;
    good.then(|| Computed {
        dst,
        addr: Addr::indexed(Gpr::of(s), Gpr::of(x), scale as u8, 0),
        ops: 3,
        unshifted: Some(x),
    })
}

/// The longest run of operations that changes only one register and makes an address in it.
fn sum(ops: &[Op]) -> Option<Computed> {
    let dst = match ops.first()?.kind {
        OpKind::Mov { width: Width::W64, dst, src: Operand::Reg(_) } | OpKind::Alu { width: Width::W64, dst, .. } => {
            dst
        }
        _ => return None,
    };
    let mut sum = Sum { base: Some(Gpr::of(dst)), index: None, disp: 0 };
    let mut best = None;
    for (i, op) in ops.iter().enumerate() {
        let Some(next) = step(sum, dst, op, i == 0) else { break };
        sum = next;
        if let Some(base) = sum.base {
            best = Some(Computed {
                dst,
                addr: Addr { base, index: sum.index, disp: sum.disp },
                ops: i + 1,
                unshifted: None,
            });
        }
    }
    best
}

/// The sum after one more operation on `dst`; none if the operation does something else.
fn step(sum: Sum, dst: Reg, op: &Op, first: bool) -> Option<Sum> {
    match op.kind {
        OpKind::Mov { width: Width::W64, dst: to, src: Operand::Reg(s) } if first && to == dst && s != dst => {
            Some(Sum { base: Some(Gpr::of(s)), ..sum })
        }
        OpKind::Alu { width: Width::W64, op, dst: to, src } if to == dst => match (op, src) {
            (AluOp::Add, Operand::Imm(imm)) => Some(Sum { disp: sum.disp.checked_add(imm)?, ..sum }),
            (AluOp::Sub, Operand::Imm(imm)) => Some(Sum { disp: sum.disp.checked_sub(imm)?, ..sum }),
            (AluOp::Add, Operand::Reg(x)) if x != dst => match sum {
                Sum { base: None, .. } => Some(Sum { base: Some(Gpr::of(x)), ..sum }),
                Sum { index: None, .. } => Some(Sum { index: Some(Index { reg: Gpr::of(x), scale: 0 }), ..sum }),
                Sum { .. } => None,
            },
            (AluOp::Lsh, Operand::Imm(k @ 1..=3)) => match sum {
                Sum { base: Some(reg), index: None, disp: 0 } => {
                    Some(Sum { base: None, index: Some(Index { reg, scale: k as u8 }), disp: 0 })
                }
                Sum { .. } => None,
            },
            _ => None,
        },
        _ => None,
    }
}

/// A read-modify-write of memory through a register that nobody reads afterwards.
fn modify(ops: &[Op], live: &[RegSet]) -> Option<Modify> {
    let [load, alu, store, ..] = ops else { return None };
    let OpKind::Load { size, dst: through, base, off, .. } = load.kind else { return None };
    let OpKind::Alu { width, op, dst, src } = alu.kind else { return None };
    let OpKind::Store { size: to_size, base: to_base, off: to_off, src: stored, .. } = store.kind else { return None };
    let op = match op {
        AluOp::Add => Arith::Add,
        AluOp::Sub => Arith::Sub,
        AluOp::Or => Arith::Or,
        AluOp::And => Arith::And,
        AluOp::Xor => Arith::Xor,
        AluOp::Mul | AluOp::Div | AluOp::Sdiv | AluOp::Mod | AluOp::Smod | AluOp::Lsh | AluOp::Rsh | AluOp::Arsh => {
            return None;
        }
    };
    // The low bytes of the result depend on the low bytes of the operands alone, so sizes below 8 go with either width.
    let wide_enough = size != Size::B8 || width == Width::W64;
    let same_place = (size, base, off) == (to_size, to_base, to_off) && base != through;
    let one_register = dst == through && register(stored) == Some(through) && register(src) != Some(through);
    let dead = !live.get(2)?.contains(through);
    (wide_enough && same_place && one_register && dead).then_some(Modify { size, op, src, base, off })
}
