//! Ranges of stack that a helper reads or writes.

use backstop_isa::Reg;

use crate::check::args::CallMeta;
use crate::env::Verifier;
use crate::reason::{Check, Reason};
use crate::state::{Byte, RegState, byte_in_slot, spi};

impl Verifier<'_> {
    /// A helper's range of stack (Linux: `check_stack_range_initialized`). With `meta` in raw mode the helper fills the range:
    /// the caller marks it then.
    #[allow(clippy::too_many_arguments)]
    pub(super) fn check_stack_range_raw(
        &mut self,
        base: Reg,
        frame: usize,
        reg: &RegState,
        off: i64,
        size: i64,
        zero_ok: bool,
        write: bool,
        meta: &mut CallMeta,
    ) -> Check {
        let raw = meta.raw && reg.var.is_const().is_some();
        self.check_stack_range(base, frame, reg, off, size, zero_ok, write, raw)?;
        if raw && size > 0 {
            let low = i64::from(reg.off) + off + reg.var.is_const().map_or(0, |var| var as i64);
            self.note_stack_use(self.cur.frame_at(frame).subprog as usize, low);
            meta.filled = Some((base, size));
        }
        Ok(())
    }

    /// As above without a call. With `raw` the content need not be initialised.
    #[allow(clippy::too_many_arguments)]
    pub(super) fn check_stack_range(
        &mut self,
        base: Reg,
        frame: usize,
        reg: &RegState,
        off: i64,
        size: i64,
        zero_ok: bool,
        write: bool,
        raw: bool,
    ) -> Check {
        let n = base.index() as u8;
        if size == 0 && !zero_ok {
            return Reason::ZeroSizedRead {}.fail();
        }
        self.check_stack_bounds(base, frame, reg, off as i32, size, write)?;
        let total = i64::from(reg.off) + off;
        let (low, high) = match reg.var.is_const() {
            Some(var) => (total + var as i64, total + var as i64),
            None => {
                if !self.capable() {
                    return Reason::VarStackUnprivileged { reg: n, var_off: reg.var.tnum.to_string() }.fail();
                }
                (reg.var.smin + total, reg.var.smax + total)
            }
        };
        for at in low..high.saturating_add(size) {
            if raw {
                let byte = self.cur.frame_at(frame).slot(spi(at as i32)).map(|s| s.bytes[byte_in_slot(at as i32)]);
                if byte == Some(Byte::Dynptr) {
                    return Reason::DynptrOverwrite { off: at }.fail();
                }
                continue;
            }
            if !self.use_byte(frame, at as i32, write) {
                return match reg.var.is_const() {
                    Some(_) => Reason::ReadUninitHelper { reg: n, off: low, at: at - low, size },
                    None => {
                        Reason::ReadUninitHelperVar { reg: n, var_off: reg.var.tnum.to_string(), at: at - low, size }
                    }
                }
                .fail();
            }
        }
        Ok(())
    }

    /// The helper reads, or with `write` changes, one byte. False if it is not initialised.
    fn use_byte(&mut self, frame: usize, at: i32, write: bool) -> bool {
        let slot_no = spi(at);
        let place = byte_in_slot(at);
        let Some(slot) = self.cur.frame_at(frame).slot(slot_no) else { return false };
        let byte = slot.bytes[place];
        let plain = byte == Byte::Zero || (byte == Byte::Invalid && self.uninit_allowed());
        if byte != Byte::Misc && plain {
            if write {
                self.cur.frame_at_mut(frame).slot_mut(slot_no).bytes[place] = Byte::Misc;
            }
        } else if byte != Byte::Misc {
            let spilled = slot.is_spill() && (slot.spilled().is_scalar() || self.leaks_allowed());
            if !spilled {
                return false;
            }
            if write {
                let slot = self.cur.frame_at_mut(frame).slot_mut(slot_no);
                slot.scrub();
                slot.reg = None;
            }
        }
        self.liveness.now.read(frame, slot_no);
        true
    }
}
