//! Kernel pointers in map values and objects (Linux: `check_map_kptr_access`, `process_kptr_func`).
//!
//! A referenced kptr owns its pointee: only `bpf_kptr_xchg` moves references in and out. What a load gives is valid until
//! the RCU read section ends, if it is in one and the type is freed that way; else it is untrusted and only probed.

use backstop_btf::TypeId;
use backstop_isa::Reg;

use crate::check::args::CallMeta;
use crate::check::mem::{Access, Value};
use crate::check::object::holds;
use crate::env::Verifier;
use crate::fields::{FieldAt, FieldClass};
use crate::reason::{Check, Reason};
use crate::state::{BtfRef, Flags, Kind, MapId, RegState};

/// A kptr field with the types that its pointee is in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct KptrUse {
    pub field: FieldAt,
    pub pointee: BtfRef,
}

impl Verifier<'_> {
    /// RCU-protected objects stay: an explicit section, a lock, or a program that can't sleep (Linux: `in_rcu_cs`).
    pub fn in_rcu(&self) -> bool {
        self.cur.held.rcu > 0 || self.cur.held.locks > 0 || !self.cur.sleepable
    }

    /// An access of a map's value overlaps a kptr: it must be exactly that (Linux: `check_map_access`).
    pub(super) fn check_kptr_bounds(&self, reg: &RegState, f: &FieldAt, off: i64, len: i64, helper: bool) -> Check {
        let name = f.class.name();
        if helper {
            return Reason::SpecialFieldHelper { name }.fail();
        }
        let Some(var) = reg.var.is_const() else { return Reason::KptrVariable { name }.fail() };
        let at = off.wrapping_add(var as i64);
        if at != i64::from(f.off) {
            return Reason::KptrMisaligned { name, want: f.off, off: at }.fail();
        }
        if len != 8 { Reason::KptrSize { name }.fail() } else { Ok(()) }
    }

    /// The kptr that an access within bounds hits.
    pub(super) fn kptr_at(&self, map: MapId, reg: &RegState, off: i64) -> Option<KptrUse> {
        let at = off.wrapping_add(reg.var.is_const()? as i64);
        let entry = self.world.map(map);
        let field = *entry.fields.iter().find(|f| f.class.is_pointer() && i64::from(f.off) == at)?;
        Some(KptrUse { field, pointee: self.world.pointee(entry.btf, &field)? })
    }

    /// A load from, or a store to, a kptr.
    pub(super) fn access_kptr(&mut self, a: &Access, kptr: KptrUse) -> Check {
        let class = kptr.field.class;
        // Sign-extending loads and atomic operations have other modes.
        if a.signed || a.strict {
            return Reason::KptrMode {}.fail();
        }
        if a.write && matches!(class, FieldClass::Kptr | FieldClass::KptrPercpu) {
            return Reason::KptrStore { what: "referenced kptr" }.fail();
        }
        if a.write && class == FieldClass::Uptr {
            return Reason::KptrStore { what: "uptr" }.fail();
        }
        match a.value {
            Value::Reg(r) if !a.write => {
                let loaded = self.loaded_kptr(kptr);
                self.cur.set(r, loaded);
                Ok(())
            }
            Value::Reg(r) if self.reg(r).is_null() => self.rests_on_null(r),
            Value::Reg(r) => self.check_kptr_value(r, kptr),
            Value::Imm(0) => Ok(()),
            Value::Imm(_) => Reason::KptrImm { off: kptr.field.off }.fail(),
            Value::None => Reason::KptrMode {}.fail(),
        }
    }

    fn loaded_kptr(&mut self, kptr: KptrUse) -> RegState {
        let id = self.new_id();
        let b = kptr.pointee;
        if kptr.field.class == FieldClass::Uptr {
            let size = self.world.btf(b).and_then(|btf| btf.size_of(TypeId(b.id)));
            let size = size.and_then(|s| u32::try_from(s).ok()).unwrap_or(0);
            return RegState { id, ..RegState::pointer(Kind::Mem(size)).flagged(Flags::MAYBE_NULL) };
        }
        let mut flags = Flags::MAYBE_NULL;
        if self.rcu_safe(kptr) && self.in_rcu() {
            flags = flags.with(Flags::RCU);
            if kptr.field.class == FieldClass::KptrPercpu {
                flags = flags.with(Flags::PERCPU);
            } else if !self.world.is_kernel(b) {
                flags = flags.with(Flags::ALLOC);
            }
            if !self.world.is_kernel(b) && self.world.fields(b).iter().any(|f| f.class.is_node()) {
                flags = flags.with(Flags::NON_OWN_REF);
            }
        } else {
            flags = flags.with(Flags::UNTRUSTED);
        }
        RegState { id, ..RegState::pointer(Kind::Btf(b)).flagged(flags) }
    }

    fn rcu_safe(&self, kptr: KptrUse) -> bool {
        match kptr.field.class {
            FieldClass::KptrPercpu => true,
            FieldClass::Kptr if self.world.is_kernel(kptr.pointee) => {
                let name = self.world.btf(kptr.pointee).map_or("", |btf| btf.name(TypeId(kptr.pointee.id)));
                backstop_model::kernel_types::is_rcu_protected(name)
            }
            FieldClass::Kptr => true,
            _ => false,
        }
    }

    /// The register may be stored in, or exchanged with, the kptr (Linux: `map_kptr_match_type`).
    pub(super) fn check_kptr_value(&self, r: Reg, kptr: KptrUse) -> Check {
        let reg = *self.reg(r);
        let untrusted_field = kptr.field.class == FieldClass::KptrUntrusted;
        let Kind::Btf(b) = reg.kind else { return self.bad_kptr(r, &reg, "", kptr) };
        let allowed = if self.world.is_kernel(b) {
            let both = Flags::MAYBE_NULL.with(Flags::TRUSTED).with(Flags::RCU);
            if untrusted_field { both.with(Flags::UNTRUSTED) } else { both }
        } else {
            let both = Flags::MAYBE_NULL.with(Flags::ALLOC);
            if kptr.field.class == FieldClass::KptrPercpu { both.with(Flags::PERCPU) } else { both }
        };
        if reg.flags.without(allowed) != Flags::NONE {
            return self.bad_kptr(r, &reg, "", kptr);
        }
        let name = self.world.btf(b).map_or("", |btf| btf.name(TypeId(b.id)));
        self.check_offset_free(&reg, r, true)?;
        if self.kptr_fits(&reg, b, kptr) { Ok(()) } else { self.bad_kptr(r, &reg, name, kptr) }
    }

    /// The very type; where it is only probed, a struct that has it at this place will do.
    fn kptr_fits(&self, reg: &RegState, b: BtfRef, kptr: KptrUse) -> bool {
        if reg.off == 0 && self.world.same_type(b, kptr.pointee) {
            return true;
        }
        let within = kptr.field.class == FieldClass::KptrUntrusted && b.btf == kptr.pointee.btf;
        within
            && self
                .world
                .btf(b)
                .is_some_and(|btf| holds(btf, TypeId(b.id), i64::from(reg.off), TypeId(kptr.pointee.id)))
    }

    fn bad_kptr(&self, r: Reg, reg: &RegState, name: &str, kptr: KptrUse) -> Check {
        let want = self.world.btf(kptr.pointee).map_or("", |btf| btf.name(TypeId(kptr.pointee.id)));
        let mut expected = format!("ptr_{want}");
        if kptr.field.class == FieldClass::KptrUntrusted {
            expected.push_str(&format!(" or untrusted_ptr_{want}"));
        }
        Reason::KptrValue { reg: r.index() as u8, ty: format!("{}{name}", reg.type_name()), expected }.fail()
    }

    /// The first argument of `bpf_kptr_xchg`.
    pub(super) fn check_kptr_dest(&self, r: Reg, reg: &RegState, meta: &mut CallMeta) -> Check {
        let (fields, number) = match reg.kind {
            Kind::MapValue(map) => {
                let entry = self.world.map(map);
                if entry.spec.btf.is_none() {
                    return Reason::KptrBtf { map: entry.spec.name.clone() }.fail();
                }
                meta.map = Some(map);
                (&entry.fields[..], entry.btf)
            }
            Kind::Btf(b) => (self.world.fields(b), b.btf),
            _ => return Reason::InvalidMem { reg: r.index() as u8, ty: reg.type_name() }.fail(),
        };
        let n = r.index() as u8;
        let Some(var) = reg.var.is_const() else { return Reason::KptrOffset { reg: n }.fail() };
        if !fields.iter().any(|f| f.class.is_kptr()) {
            return Reason::KptrNone { reg: n }.fail();
        }
        let off = i64::from(reg.off).wrapping_add(var as i64);
        let Some(field) = fields.iter().find(|f| f.class.is_kptr() && i64::from(f.off) == off) else {
            return Reason::KptrPlace { off }.fail();
        };
        if field.class == FieldClass::KptrUntrusted {
            return Reason::KptrUnreferenced { off }.fail();
        }
        let Some(pointee) = self.world.pointee(number, field) else { return Reason::KptrPlace { off }.fail() };
        meta.kptr = Some(KptrUse { field: *field, pointee });
        Ok(())
    }

    /// The second argument of `bpf_kptr_xchg`, which is no NULL constant.
    pub(super) fn check_kptr_source(&self, r: Reg, meta: &CallMeta) -> Check {
        let flags = self.reg(r).flags;
        let own = flags == Flags::ALLOC || flags == Flags::ALLOC.with(Flags::PERCPU);
        let nullable = flags.without(Flags::TRUSTED).without(Flags::RCU) == Flags::MAYBE_NULL;
        if !own && nullable {
            return Reason::HelperNullArg { arg: r.index() }.fail();
        }
        if flags.has(Flags::ALLOC) && !own {
            return Reason::TypeUnmatched {}.fail();
        }
        meta.kptr.map_or(Ok(()), |kptr| self.check_kptr_value(r, kptr))
    }

    /// What `bpf_kptr_xchg` gives, but for its reference.
    pub fn kptr_taken(&mut self, kptr: KptrUse) -> RegState {
        let mut flags = Flags::MAYBE_NULL;
        if !self.world.is_kernel(kptr.pointee) {
            flags = flags.with(Flags::ALLOC);
            if kptr.field.class == FieldClass::KptrPercpu {
                flags = flags.with(Flags::PERCPU);
            }
        }
        RegState { id: self.new_id(), ..RegState::pointer(Kind::Btf(kptr.pointee)).flagged(flags) }
    }

    /// The reference moves into the map or object. A per-CPU object stays readable while RCU keeps it.
    pub fn give_away(&mut self, ref_id: u32) -> bool {
        if !self.cur.held_mut().release_pointer(ref_id) {
            return false;
        }
        let (gone, in_rcu) = (self.invalid(), self.in_rcu());
        let percpu = Flags::ALLOC.with(Flags::PERCPU);
        self.cur.for_each_reg(
            |r| r.ref_id == ref_id,
            |r| {
                if in_rcu && r.flags.has(percpu) {
                    r.ref_id = 0;
                    r.flags = r.flags.without(Flags::ALLOC).with(Flags::RCU);
                } else {
                    *r = gone;
                }
            },
        );
        true
    }
}
