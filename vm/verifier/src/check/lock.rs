//! Spin locks: which one, and may it be taken or given back now (Linux: `process_spin_lock`).

use backstop_isa::Reg;

use crate::check::args::CallMeta;
use crate::env::Verifier;
use crate::fields::FieldClass;
use crate::reason::{Check, Reason};
use crate::state::{Flags, Kind, RegState};

const LOCK: &str = "bpf_spin";

impl Verifier<'_> {
    pub(super) fn process_spin_lock(&mut self, r: Reg, is_lock: bool) -> Check {
        let reg = *self.reg(r);
        let n = r.index() as u8;
        let Some(var) = reg.var.is_const() else { return Reason::LockOffset { reg: n, lock: LOCK }.fail() };
        let place = lock_place(&reg);
        let (what, name, fields) = match reg.kind {
            Kind::MapValue(map) => {
                let entry = self.world.map(map);
                if entry.spec.btf.is_none() {
                    return Reason::LockBtf { map: entry.spec.name.clone(), lock: LOCK }.fail();
                }
                ("map", entry.spec.name.clone(), &entry.fields[..])
            }
            Kind::Btf(b) => ("local", "kptr".to_owned(), self.world.fields(b)),
            _ => return Reason::ArgType { reg: n, ty: reg.type_name(), expected: "map_value, ptr_".into() }.fail(),
        };
        let Some(field) = fields.iter().find(|f| f.class == FieldClass::SpinLock) else {
            return Reason::LockNone { what, name, lock: LOCK }.fail();
        };
        let off = (var as i64).wrapping_add(i64::from(reg.off));
        if off != i64::from(field.off) {
            return Reason::LockPlace { off, lock: LOCK, want: field.off }.fail();
        }
        if is_lock {
            if self.cur.held.locks > 0 {
                return Reason::LockTwo {}.fail();
            }
            let (id, at) = (self.new_id(), self.insn);
            self.cur.held_mut().lock(id, at, reg.id, place);
            return Ok(());
        }
        if self.cur.held.locks == 0 {
            return Reason::UnlockNone { lock: LOCK }.fail();
        }
        if !self.cur.held.has_lock(reg.id, place) {
            return Reason::UnlockOther { lock: LOCK }.fail();
        }
        if self.cur.held.active_lock_id != reg.id || self.cur.held.active_lock_place != place {
            return Reason::UnlockOrder { lock: LOCK }.fail();
        }
        self.cur.held_mut().unlock(reg.id, place);
        self.forget_borrowed();
        Ok(())
    }

    /// A timer in a map's value (Linux: `process_timer_func`).
    pub(super) fn check_timer(&self, r: Reg, reg: &RegState, meta: &mut CallMeta) -> Check {
        const FIELD: &str = "bpf_timer";
        let Kind::MapValue(map) = reg.kind else { return Ok(()) };
        let Some(var) = reg.var.is_const() else {
            return Reason::FieldOffset { reg: r.index() as u8, field: FIELD }.fail();
        };
        let entry = self.world.map(map);
        let name = || entry.spec.name.clone();
        if entry.spec.btf.is_none() {
            return Reason::FieldBtf { map: name(), field: FIELD }.fail();
        }
        let Some(field) = entry.fields.iter().find(|f| f.class == FieldClass::Timer) else {
            return Reason::FieldNone { map: name(), field: FIELD }.fail();
        };
        let off = (var as i64).wrapping_add(i64::from(reg.off));
        if off != i64::from(field.off) {
            return Reason::FieldPlace { off, field: FIELD, want: field.off }.fail();
        }
        meta.map = Some(map);
        meta.map_uid = reg.map_uid;
        Ok(())
    }

    /// References that only hold under a lock are gone.
    pub(super) fn forget_borrowed(&mut self) {
        let gone = self.invalid();
        let borrowed = Flags::ALLOC.with(Flags::NON_OWN_REF);
        self.cur.for_each_reg(|r| r.is_pointer() && r.flags.has(borrowed), |r| *r = gone);
    }
}

/// What tells a lock apart from those of the same lookup: the map, or the types of the object, that it lies in.
pub(crate) fn lock_place(reg: &RegState) -> u64 {
    match reg.kind {
        Kind::MapValue(map) => 1 << 40 | u64::from(map.0),
        Kind::Btf(b) => 2 << 40 | u64::from(b.btf),
        _ => 0,
    }
}
