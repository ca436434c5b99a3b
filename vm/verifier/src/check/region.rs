//! Bounds of sized memory and of packets.

use backstop_isa::Reg;

use crate::env::Verifier;
use crate::reason::{Check, Reason};
use crate::resolve::MAX_VAR_OFF;
use crate::state::{Kind, RegState};

impl Verifier<'_> {
    /// `len` bytes at `off` plus the register's variable part lie within `size` (Linux: `check_mem_region_access`).
    pub fn check_region(&self, base: Reg, off: i64, len: i64, size: u32, zero_ok: bool) -> Check {
        let reg = self.reg(base);
        let n = base.index() as u8;
        let low = reg.var.smin;
        let lowest = off.wrapping_add(low);
        if low < 0 && (low == i64::MIN || i32::try_from(lowest).is_err() || lowest < 0) {
            return Reason::MinNegative { reg: n }.fail();
        }
        if let Err(inner) = check_bounds(reg, n, lowest, len, size, zero_ok) {
            return Reason::MinOutside { reg: n, inner }.fail();
        }
        if reg.var.umax >= MAX_VAR_OFF as u64 {
            return Reason::Unbounded { reg: n }.fail();
        }
        let highest = off.wrapping_add(reg.var.umax as i64);
        if let Err(inner) = check_bounds(reg, n, highest, len, size, zero_ok) {
            return Reason::MaxOutside { reg: n, inner }.fail();
        }
        Ok(())
    }

    /// `len` bytes at `off` were seen to be in the packet (Linux: `check_packet_access`).
    pub fn check_packet(&self, base: Reg, off: i64, len: i64, zero_ok: bool) -> Check {
        let reg = self.reg(base);
        let n = base.index() as u8;
        if reg.var.smin < 0 {
            return Reason::MinNegative { reg: n }.fail();
        }
        let Ok(range) = u32::try_from(reg.range) else {
            return Reason::PacketOffset { reg: n }.fail();
        };
        check_bounds(reg, n, off, len, range, zero_ok).or_else(|inner| Reason::PacketBounds { reg: n, inner }.fail())
    }
}

fn check_bounds(reg: &RegState, n: u8, off: i64, len: i64, size: u32, zero_ok: bool) -> Check {
    let len_ok = len > 0 || (len == 0 && zero_ok);
    // Linux passes offsets on as 32-bit numbers; the texts show them so.
    let off32 = i64::from(off as i32);
    if off >= 0 && len_ok && off.checked_add(len).is_some_and(|end| end <= i64::from(size)) {
        return Ok(());
    }
    match reg.kind {
        Kind::MapKey(_) => Reason::OutsideKey { size, off: off32, len },
        Kind::MapValue(_) => Reason::OutsideValue { size, off: off32, len },
        Kind::Packet | Kind::PacketMeta | Kind::PacketEnd => {
            Reason::OutsidePacket { reg: n, id: reg.id, off: off32, len, range: size }
        }
        _ => Reason::OutsideMemory { size, off: off32, len },
    }
    .fail()
}
