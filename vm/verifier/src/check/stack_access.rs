//! Loads from and stores to the stack.

use backstop_isa::Reg;

use crate::check::mem::{Access, Value};
use crate::env::Verifier;
use crate::reason::{Check, Reason};
use crate::resolve::MAX_VAR_OFF;
use crate::state::{self, Byte, Counted, FrameRole, Kind, MAX_STACK, RegState, Slot, byte_in_slot, spi};

impl Verifier<'_> {
    pub(super) fn access_stack(&mut self, a: &Access, frame: usize, reg: &RegState, off: i32) -> Check {
        self.check_stack_bounds(a.base, frame, reg, off, i64::from(a.size.bytes()), a.write)?;
        let total = i64::from(reg.off) + i64::from(off);
        // Linux charges a read at a known offset to the function that makes it, all else to the one whose frame it is; what helpers
        // read to nobody.
        let known = reg.var.is_const().is_some();
        let user = if a.write || !known { self.cur.frame_at(frame).subprog } else { self.cur.frame().subprog };
        self.note_stack_use(user as usize, total + reg.var.is_const().map_or(reg.var.smin, |var| var as i64));
        match (a.write, reg.var.is_const()) {
            (true, Some(var)) => self.write_fixed(a, frame, (total + var as i64) as i32),
            (true, None) => self.write_variable(a, frame, reg, total as i32),
            (false, Some(var)) => self.read_fixed(a, frame, (total + var as i64) as i32),
            (false, None) => self.read_variable(a, frame, reg, total as i32),
        }
    }

    /// Linux: `check_stack_access_within_bounds`. Makes room in the frame.
    pub(super) fn check_stack_bounds(
        &mut self,
        base: Reg,
        frame: usize,
        reg: &RegState,
        off: i32,
        size: i64,
        write: bool,
    ) -> Check {
        let n = base.index() as u8;
        let dir = if write { " write to" } else { " read from" };
        let total = i64::from(reg.off) + i64::from(off);
        let (low, high) = match reg.var.is_const() {
            Some(var) => {
                let low = (var as i64).wrapping_add(total);
                (low, low.wrapping_add(size))
            }
            None => {
                if reg.var.smax >= MAX_VAR_OFF || reg.var.smin <= -MAX_VAR_OFF {
                    return Reason::StackUnbounded { dir, reg: n }.fail();
                }
                (reg.var.smin + total, reg.var.smax + total + size)
            }
        };
        let floor = if write || self.uninit_allowed() { -MAX_STACK } else { -self.cur.frame_at(frame).allocated() };
        let inside = low >= i64::from(floor) && low <= -1 && high <= 0 && size >= 0;
        if !inside {
            return match reg.var.is_const() {
                Some(_) => Reason::StackOutside { dir, reg: n, off: low, size },
                None => Reason::StackOutsideVar { dir, reg: n, var_off: reg.var.tnum.to_string(), off: total, size },
            }
            .fail();
        }
        let depth = (-low) as i32;
        let f = self.cur.frame_at(frame);
        let sub = f.subprog as usize;
        if f.allocated() < depth {
            self.cur.frame_at_mut(frame).grow(depth);
        }
        if let Some(s) = self.subs.get_mut(sub) {
            s.stack_depth = s.stack_depth.max(depth as u32);
        }
        Ok(())
    }

    fn note_access(&mut self, frame: usize, slot: usize) {
        let access = state::Access { stack: Some((frame as u8, slot as u8)), ..state::Access::default() };
        self.push_history(access, None);
    }

    /// Linux: `check_stack_read_fixed_off`.
    fn read_fixed(&mut self, a: &Access, frame: usize, off: i32) -> Check {
        let size = a.size.bytes();
        let slot_no = spi(off);
        self.liveness.now.read(frame, slot_no);
        let slot = self.cur.frame_at(frame).slot(slot_no).cloned().unwrap_or(Slot::EMPTY);
        let first = byte_in_slot(off);
        let bytes = &slot.bytes[first..(first + size as usize).min(8)];
        if !slot.is_spill() {
            for (i, b) in bytes.iter().enumerate() {
                if !self.is_plain(*b) {
                    return Reason::ReadUninit { off, at: i as i32, size }.fail();
                }
            }
            if let Value::Reg(dst) = a.value {
                let zero = bytes.iter().all(|b| *b == Byte::Zero);
                self.cur.set(dst, if zero { RegState::constant(0) } else { RegState::UNKNOWN });
            }
            return Ok(());
        }
        let spilled = *slot.spilled();
        let whole = size == 8 && slot.spill_size() == 8;
        if whole {
            return self.fill_whole(a, frame, slot_no, off, &spilled);
        }
        if !spilled.is_scalar() {
            return Reason::FillSize {}.fail();
        }
        let Value::Reg(dst) = a.value else { return Ok(()) };
        if size <= slot.spill_size() && off % 8 == 0 {
            return self.fill_narrow(dst, frame, slot_no, size, &slot);
        }
        self.fill_mixed(dst, frame, slot_no, off, bytes, &spilled)
    }

    fn is_plain(&self, b: Byte) -> bool {
        matches!(b, Byte::Misc | Byte::Zero) || (b == Byte::Invalid && self.uninit_allowed())
    }

    fn fill_whole(&mut self, a: &Access, frame: usize, slot_no: usize, off: i32, spilled: &RegState) -> Check {
        match a.value {
            Value::Reg(dst) => {
                let shared = if self.capable() { self.with_shared_id(*spilled) } else { *spilled };
                self.replace_spilled(frame, slot_no, spilled, shared);
                self.cur.set(dst, shared);
            }
            _ if !self.leaks_allowed() && spilled.is_pointer() => return Reason::LeakStack { off }.fail(),
            _ => {}
        }
        self.note_access(frame, slot_no);
        Ok(())
    }

    fn replace_spilled(&mut self, frame: usize, slot_no: usize, old: &RegState, new: RegState) {
        if *old != new
            && let Some(r) = self.cur.frame_at_mut(frame).slot_mut(slot_no).spilled_mut()
        {
            *r = new;
        }
    }

    fn fill_narrow(&mut self, dst: Reg, frame: usize, slot_no: usize, size: u32, slot: &Slot) -> Check {
        let mut spilled = *slot.spilled();
        if self.capable() && size == 4 && slot.spill_size() == 4 && spilled.var.width() <= 32 {
            let shared = self.with_shared_id(spilled);
            self.replace_spilled(frame, slot_no, &spilled, shared);
            spilled = shared;
        }
        if spilled.var.width() > size * 8 {
            spilled.id = 0;
        }
        self.cur.set(dst, spilled);
        self.note_access(frame, slot_no);
        Ok(())
    }

    fn fill_mixed(
        &mut self,
        dst: Reg,
        frame: usize,
        slot_no: usize,
        off: i32,
        bytes: &[Byte],
        spilled: &RegState,
    ) -> Check {
        for (i, b) in bytes.iter().enumerate() {
            if *b != Byte::Spill && !self.is_plain(*b) {
                return Reason::ReadUninit { off, at: i as i32, size: bytes.len() as u32 }.fail();
            }
        }
        let zero_spill = bytes.iter().all(|b| *b == Byte::Spill) && spilled.var.is_const() == Some(0);
        if zero_spill {
            self.cur.set(dst, RegState::constant(0));
            self.note_access(frame, slot_no);
        } else if bytes.iter().all(|b| *b == Byte::Zero) {
            self.cur.set(dst, RegState::constant(0));
        } else {
            self.cur.set(dst, RegState::UNKNOWN);
        }
        Ok(())
    }

    /// Linux: `check_stack_read_var_off`.
    fn read_variable(&mut self, a: &Access, frame: usize, reg: &RegState, total: i32) -> Check {
        let size = a.size.bytes();
        let Value::Reg(dst) = a.value else {
            let var_off = reg.var.tnum.to_string();
            return Reason::VarStackHelper { var_off, off: total, size }.fail();
        };
        self.check_stack_range(a.base, frame, reg, i64::from(a.off), i64::from(size), false, false, false)?;
        let low = reg.var.smin as i32 + total;
        let high = reg.var.smax as i32 + total + size as i32;
        let f = self.cur.frame_at(frame);
        let zero = (low..high).all(|at| f.slot(spi(at)).is_some_and(|s| s.bytes[byte_in_slot(at)] == Byte::Zero));
        self.cur.set(dst, if zero { RegState::constant(0) } else { RegState::UNKNOWN });
        Ok(())
    }

    /// Linux: `check_stack_write_fixed_off`.
    fn write_fixed(&mut self, a: &Access, frame: usize, off: i32) -> Check {
        let size = a.size.bytes() as usize;
        let slot_no = spi(off);
        let slot = self.cur.frame_at(frame).slot(slot_no).cloned().unwrap_or(Slot::EMPTY);
        if !self.leaks_allowed() && slot.is_spill() && !slot.is_spilled_scalar() && size != 8 {
            return Reason::CorruptSpill {}.fail();
        }
        self.destroy_dynptr(frame, slot_no)?;
        let aligned = off % 8 == 0;
        if aligned && size == 8 {
            self.liveness.now.write(frame, slot_no);
        }
        match a.value {
            Value::Reg(r) if aligned && self.reg(r).is_scalar() && self.capable() => {
                let fits = self.reg(r).var.width() as usize <= size * 8;
                if fits {
                    self.share_id(r);
                }
                let mut value = *self.reg(r);
                if !fits {
                    value.id = 0;
                }
                self.spill(frame, slot_no, value, size);
                self.note_access(frame, slot_no);
            }
            Value::Imm(imm) if aligned && self.capable() => {
                self.spill(frame, slot_no, RegState::constant(i64::from(imm) as u64), size);
                self.note_access(frame, slot_no);
            }
            Value::Reg(r) if self.reg(r).is_spillable() => {
                let value = *self.reg(r);
                if size != 8 {
                    return Reason::SpillSize {}.fail();
                }
                if frame != self.cur.top() && matches!(value.kind, Kind::Stack(_)) {
                    return Reason::SpillToCaller {}.fail();
                }
                if matches!(value.kind, Kind::MapKey(_)) && self.outlives_callback(frame) {
                    return Reason::SpillKey {}.fail();
                }
                self.spill(frame, slot_no, value, size);
                self.note_access(frame, slot_no);
            }
            value => self.write_plain(value, frame, slot_no, byte_in_slot(off), size)?,
        }
        Ok(())
    }

    /// Between the running function and the frame lies the end of a callback, and with it of the callback's key.
    fn outlives_callback(&self, frame: usize) -> bool {
        self.cur.frames.iter().skip(frame + 1).any(|f| f.role == FrameRole::Callback)
    }

    fn spill(&mut self, frame: usize, slot_no: usize, value: RegState, size: usize) {
        let keep_invalid = self.leaks_allowed();
        let slot = self.cur.frame_at_mut(frame).slot_mut(slot_no);
        slot.reg = Some(Counted::shared(value));
        slot.object = None;
        for (i, b) in slot.bytes.iter_mut().enumerate() {
            if i < size {
                *b = Byte::Spill;
            } else if *b != Byte::Zero && !(*b == Byte::Invalid && keep_invalid) {
                *b = Byte::Misc;
            }
        }
    }

    fn write_plain(&mut self, value: Value, frame: usize, slot_no: usize, first: usize, size: usize) -> Check {
        let mut kind = Byte::Misc;
        match value {
            Value::Reg(r) if self.reg(r).is_null() => {
                self.mark_precise(r)?;
                kind = Byte::Zero;
            }
            Value::Imm(0) => kind = Byte::Zero,
            _ => {}
        }
        let slot = self.cur.frame_at_mut(frame).slot_mut(slot_no);
        scrub(slot);
        for b in slot.bytes.iter_mut().skip(first).take(size) {
            *b = kind;
        }
        Ok(())
    }

    /// Linux: `check_stack_write_var_off`.
    fn write_variable(&mut self, a: &Access, frame: usize, reg: &RegState, total: i32) -> Check {
        let at = self.insn as usize;
        if !self.capable() {
            return Reason::VarStackUnprivileged { reg: a.base.index() as u8, var_off: reg.var.tnum.to_string() }
                .fail();
        }
        let low = reg.var.smin as i32 + total;
        let high = reg.var.smax as i32 + total + a.size.bytes() as i32;
        let zero = match a.value {
            Value::Reg(r) => self.reg(r).is_null(),
            Value::Imm(i) => i == 0,
            Value::None => false,
        };
        for off in low..high {
            self.destroy_dynptr(frame, spi(off))?;
        }
        let mut zero_used = false;
        for off in low..high {
            let slot = self.cur.frame_at(frame).slot(spi(off)).cloned().unwrap_or(Slot::EMPTY);
            let byte = slot.bytes[byte_in_slot(off)];
            if !self.leaks_allowed() && byte == Byte::Spill && !slot.is_spilled_scalar() {
                return Reason::VarStackSpill { at, off }.fail();
            }
            if zero && byte == Byte::Spill && slot.is_spilled_scalar() && slot.spilled().var.is_const() == Some(0) {
                zero_used = true;
                continue;
            }
            let new = if zero && byte == Byte::Zero {
                zero_used = true;
                Byte::Zero
            } else {
                Byte::Misc
            };
            let slot = self.cur.frame_at_mut(frame).slot_mut(spi(off));
            scrub(slot);
            slot.bytes[byte_in_slot(off)] = new;
        }
        if zero_used && let Value::Reg(r) = a.value {
            self.mark_precise(r)?;
        }
        Ok(())
    }
}

/// Part of the slot is overwritten: what it held as a whole is lost, bytes of a register that was spilled are any bytes (Linux:
/// `scrub_special_slot`).
fn scrub(slot: &mut Slot) {
    if slot.is_special() {
        for b in &mut slot.bytes {
            if *b == Byte::Spill || b.is_special() {
                *b = Byte::Misc;
            }
        }
    }
    slot.reg = None;
    slot.object = None;
}
