//! Kfuncs that work on a map: arenas by the map itself, workqueues by a field of its values, and callbacks that belong to them.

use crate::env::Verifier;
use crate::fields::FieldClass;
use crate::reason::{Check, Reason};
use crate::state::{Kind, RegState};
use crate::transfer::kfunc::KfuncMeta;
use crate::transfer::kfunc_class::Param;

const WORKQUEUE: &str = "bpf_wq";

impl Verifier<'_> {
    /// A `__map` parameter. A workqueue before it must lie in this very map.
    pub(super) fn note_kfunc_map(&self, p: Param, reg: &RegState, meta: &mut KfuncMeta) -> Check {
        let map = match reg.kind {
            Kind::MapPtr(map) | Kind::MapValue(map) | Kind::MapKey(map) => map,
            _ => {
                let text = format!("pointer in R{} isn't map pointer", p.r.index());
                return Reason::KfuncMap { text }.fail();
            }
        };
        if let Some(of_field) = meta.map
            && (of_field != map || meta.map_uid != reg.map_uid)
        {
            let text = format!(
                "workqueue pointer in R1 map_uid={} doesn't match map pointer in R2 map_uid={}",
                meta.map_uid, reg.map_uid
            );
            return Reason::KfuncMap { text }.fail();
        }
        meta.map = Some(map);
        meta.map_uid = reg.map_uid;
        Ok(())
    }

    /// A workqueue in a map's value.
    pub(super) fn check_workqueue(&self, p: Param, reg: &RegState, meta: &mut KfuncMeta) -> Check {
        let Kind::MapValue(map) = reg.kind else {
            return Reason::KfuncArgPointer { arg: p.n, what: "doesn't point to a map value".into() }.fail();
        };
        if reg.maybe_null() {
            return Reason::KfuncArgPointer { arg: p.n, what: "doesn't point to a map value".into() }.fail();
        }
        let entry = self.world.map(map);
        let name = || entry.spec.name.clone();
        let Some(var) = reg.var.is_const() else {
            return Reason::FieldOffset { reg: p.r.index() as u8, field: WORKQUEUE }.fail();
        };
        if entry.spec.btf.is_none() {
            return Reason::FieldBtf { map: name(), field: WORKQUEUE }.fail();
        }
        let Some(field) = entry.fields.iter().find(|f| f.class == FieldClass::Workqueue) else {
            return Reason::FieldNone { map: name(), field: WORKQUEUE }.fail();
        };
        let off = (var as i64).wrapping_add(i64::from(reg.off));
        if off != i64::from(field.off) {
            return Reason::FieldPlace { off, field: WORKQUEUE, want: field.off }.fail();
        }
        meta.map = Some(map);
        meta.map_uid = reg.map_uid;
        Ok(())
    }

    pub(super) fn note_kfunc_callback(&mut self, p: Param, reg: &RegState, meta: &mut KfuncMeta) -> Check {
        let Kind::Func(sub) = reg.kind else {
            return Reason::KfuncMap { text: format!("arg{} expected pointer to func", p.n) }.fail();
        };
        meta.func = Some(sub);
        if let Some(slot) = self.collected.slot(self.insn) {
            slot.callback.add(Some(sub));
        }
        Ok(())
    }

    /// A string that the kfunc reads: constant, in a map that nobody writes.
    pub(super) fn check_kfunc_string(&self, p: Param, reg: &RegState) -> Check {
        if !matches!(reg.kind, Kind::MapValue(_)) || reg.maybe_null() {
            let what = "doesn't point to a const string".into();
            return Reason::KfuncArgPointer { arg: p.n, what }.fail();
        }
        self.check_const_str(p.r, reg).map(|_| ())
    }
}

/// Only the map itself will do, not a pointer into it.
pub(super) fn check_kfunc_map(p: Param, reg: &RegState) -> Check {
    if matches!(reg.kind, Kind::MapPtr(_)) && !reg.maybe_null() {
        return Ok(());
    }
    let ty = reg.type_name();
    Reason::KfuncMap { text: format!("arg#{} is {ty} expected {ty} or socket", p.n) }.fail()
}
