//! Dynptrs: two stack slots that only helpers and kfuncs fill, read and release (Linux: `process_dynptr_func`).

use backstop_isa::{Reg, Size};

use crate::check::mem::{Access, Value};
use crate::env::Verifier;
use crate::reason::{Check, Reason};
use crate::state::{Byte, Counted, DynptrKind, Flags, Kind, MAX_STACK, Object, RegState, Slot, spi};

/// A dynptr that an argument points to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct DynptrUse {
    pub id: u32,
    pub ref_id: u32,
    pub kind: DynptrKind,
}

const BYTES: i32 = 16;
/// A store to one slot of which only the place is checked.
const WHOLE_SLOT: Access =
    Access { base: Reg::R10, off: 0, size: Size::B8, write: true, value: Value::None, signed: false, strict: false };

impl DynptrKind {
    /// It stands for a reference.
    pub const fn is_referenced(self) -> bool {
        matches!(self, DynptrKind::Ringbuf)
    }

    const fn name(self) -> &'static str {
        match self {
            DynptrKind::Local => "local",
            DynptrKind::Ringbuf => "ringbuf",
            DynptrKind::Skb => "skb",
            DynptrKind::Xdp => "xdp",
        }
    }
}

impl Verifier<'_> {
    /// The argument must be a place on the stack, or a dynptr given to a callback.
    pub fn check_dynptr_place(&self, arg: usize, reg: &RegState) -> Check {
        match reg.kind {
            Kind::Stack(_) | Kind::Dynptr => Ok(()),
            _ => {
                let what = "expected pointer to stack or const struct bpf_dynptr".into();
                Reason::KfuncArgPointer { arg, what }.fail()
            }
        }
    }

    /// Slot of the lower half (Linux: `dynptr_get_spi`).
    fn dynptr_slot(&self, reg: &RegState) -> Option<(usize, usize)> {
        let Kind::Stack(frame) = reg.kind else { return None };
        let off = (reg.var.is_const()? as i64).checked_add(i64::from(reg.off))?;
        if off % 8 != 0 || off > -i64::from(BYTES) || off < -i64::from(MAX_STACK) {
            return None;
        }
        Some((usize::from(frame), spi(off as i32)))
    }

    /// Makes a dynptr where the register points to.
    pub fn make_dynptr(&mut self, r: Reg, kind: DynptrKind, shared_ref: u32) -> Check {
        let reg = *self.reg(r);
        let Some((frame, slot)) = self.dynptr_slot(&reg) else {
            // Aligned, but not within the frame: the store's own words say so.
            let off = reg.var.is_const().map(|v| (v as i64).wrapping_add(i64::from(reg.off)));
            if matches!(reg.kind, Kind::Stack(_)) && off.is_some_and(|o| o % 8 == 0 && o < -i64::from(MAX_STACK)) {
                self.access_at(&Access { base: r, ..WHOLE_SLOT }, 0)?;
            }
            return Reason::DynptrUninit {}.fail();
        };
        for off in [0, 8] {
            self.access_at(&Access { base: r, ..WHOLE_SLOT }, off)?;
        }
        let id = self.new_id();
        let ref_id = match kind.is_referenced() {
            true if shared_ref != 0 => shared_ref,
            true => self.acquire(),
            false => 0,
        };
        for (n, first) in [(slot, true), (slot - 1, false)] {
            let owner = RegState { id, ref_id, ..RegState::pointer(Kind::Stack(frame as u8)) };
            *self.cur.frame_at_mut(frame).slot_mut(n) = Slot {
                bytes: [Byte::Dynptr; 8],
                reg: Some(Counted::shared(owner)),
                object: Some(Object::Dynptr { kind, first }),
            };
            self.liveness.now.write(frame, n);
        }
        Ok(())
    }

    /// The dynptr that a register points to, which must be one, and of the kind asked for.
    pub fn use_dynptr(&mut self, arg: usize, r: Reg, want: Option<DynptrKind>) -> Check<DynptrUse> {
        let reg = *self.reg(r);
        if reg.kind == Kind::Dynptr {
            if want.is_some_and(|k| k != DynptrKind::Local) {
                return Reason::DynptrConst {}.fail();
            }
            return Ok(DynptrUse { id: reg.id, ref_id: reg.ref_id, kind: DynptrKind::Local });
        }
        let found = self.dynptr_slot(&reg).and_then(|(frame, slot)| {
            let f = self.cur.frame_at(frame);
            let whole = |n: usize| f.slot(n).is_some_and(|s| s.bytes.iter().all(|b| *b == Byte::Dynptr));
            match f.slot(slot).and_then(|s| s.object) {
                Some(Object::Dynptr { kind, first: true }) if whole(slot) && slot > 0 && whole(slot - 1) => {
                    Some((frame, slot, kind))
                }
                _ => None,
            }
        });
        let Some((frame, slot, kind)) = found else { return Reason::DynptrInit { arg }.fail() };
        if let Some(want) = want
            && want != kind
        {
            return Reason::DynptrKindIs { want: want.name(), arg }.fail();
        }
        self.liveness.now.read(frame, slot);
        self.liveness.now.read(frame, slot - 1);
        let (id, ref_id) = self.cur.frame_at(frame).slot(slot).map_or((0, 0), |s| (s.spilled().id, s.reference()));
        Ok(DynptrUse { id, ref_id, kind })
    }

    /// A dynptr about to be given up must be a referenced one on the stack.
    pub fn check_dynptr_release(&self, r: Reg) -> Check {
        let reg = self.reg(r);
        if reg.kind == Kind::Dynptr {
            return Reason::DynptrUnowned {}.fail();
        }
        let held = self
            .dynptr_slot(reg)
            .and_then(|(frame, slot)| self.cur.frame_at(frame).slot(slot))
            .is_some_and(|s| matches!(s.object, Some(Object::Dynptr { .. })) && s.reference() != 0);
        if held { Ok(()) } else { Reason::DynptrUnacquired { arg: r.index() }.fail() }
    }

    /// Gives a dynptr's reference back: its clones and slices go with it (Linux: `unmark_stack_slots_dynptr`).
    pub fn release_dynptr(&mut self, ref_id: u32) -> bool {
        if ref_id == 0 || !self.release(ref_id) {
            return false;
        }
        for frame in 0..self.cur.frames.len() {
            let hit =
                |s: &Slot| matches!(s.object, Some(Object::Dynptr { first: true, .. })) && s.reference() == ref_id;
            for slot in 0..self.cur.frame_at(frame).stack.len() {
                if self.cur.frame_at(frame).slot(slot).is_some_and(hit) {
                    self.forget_dynptr(frame, slot, false);
                }
            }
        }
        true
    }

    /// The running function ends, and with it its dynptrs. Where one of them shares its reference with a dynptr elsewhere,
    /// its slices would not be found when that reference is given up, so they end here.
    pub fn forget_slices_of_frame(&mut self) {
        let referenced =
            |s: &Slot| matches!(s.object, Some(Object::Dynptr { kind, first: true }) if kind.is_referenced());
        let ids: Vec<u32> = self.cur.frame().stack.iter().filter(|s| referenced(s)).map(|s| s.spilled().id).collect();
        if ids.is_empty() {
            return;
        }
        let gone = self.invalid();
        // Those that carry the reference themselves are found by it.
        self.cur.for_each_reg(|r| r.ref_id == 0 && r.dynptr_id != 0 && ids.contains(&r.dynptr_id), |r| *r = gone);
    }

    /// A store hits a dynptr: both its slots are gone. One that holds a reference must not be lost so.
    pub(super) fn destroy_dynptr(&mut self, frame: usize, slot_no: usize) -> Check {
        let object = self.cur.frame_at(frame).slot(slot_no).and_then(|s| s.object);
        let Some(Object::Dynptr { kind, first }) = object else { return Ok(()) };
        if kind.is_referenced() {
            return Reason::DynptrReferenced {}.fail();
        }
        self.forget_dynptr(frame, if first { slot_no } else { slot_no + 1 }, true);
        Ok(())
    }

    /// Empties both slots and invalidates slices. `slot` is that of the lower half. The memory behind a dynptr that was only
    /// `overwritten` is still there; Linux then leaves slices of packets and read-only ones as they are.
    fn forget_dynptr(&mut self, frame: usize, slot: usize, overwritten: bool) {
        let id = self.cur.frame_at(frame).slot(slot).map_or(0, |s| s.spilled().id);
        for n in [Some(slot), slot.checked_sub(1)].into_iter().flatten() {
            if n < MAX_STACK as usize / 8 {
                *self.cur.frame_at_mut(frame).slot_mut(n) = Slot::EMPTY;
            }
        }
        let gone = self.invalid();
        let keeps = |r: &RegState| overwritten && r.flags.any(Flags::PACKET_SLICE.with(Flags::RDONLY));
        self.cur.for_each_reg(|r| id != 0 && r.dynptr_id == id && !keeps(r), |r| *r = gone);
    }

    /// Memory that a dynptr gives access to.
    pub fn slice_of(&mut self, from: DynptrUse, size: u64, read_only: bool) -> RegState {
        let size = u32::try_from(size).unwrap_or(0);
        let mut flags = Flags::NONE;
        if matches!(from.kind, DynptrKind::Skb | DynptrKind::Xdp) {
            flags = flags.with(Flags::PACKET_SLICE);
        }
        if read_only {
            flags = flags.with(Flags::RDONLY);
        }
        RegState { dynptr_id: from.id, ref_id: from.ref_id, ..RegState::pointer(Kind::Mem(size)).flagged(flags) }
    }
}
