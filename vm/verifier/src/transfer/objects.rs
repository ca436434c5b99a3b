//! Allocated objects: where they come from, and references that only hold under a lock.

use backstop_btf::{Btf, Type, TypeId};

use crate::env::Verifier;
use crate::fields::FieldClass;
use crate::reason::{Check, Reason};
use crate::state::{BtfRef, Flags, Kind, RegState};
use crate::transfer::kfunc::KfuncMeta;

/// Bytes that one CPU's copy of an object may have (Linux: `BPF_GLOBAL_PERCPU_MA_MAX_SIZE`).
const MAX_PERCPU: u32 = 512;

/// One more reference to the object that was passed.
pub(super) fn same_object(meta: &KfuncMeta) -> RegState {
    match meta.object {
        Some(b) => RegState::pointer(Kind::Btf(b)).flagged(Flags::ALLOC),
        None => RegState::UNKNOWN,
    }
}

impl Verifier<'_> {
    /// `bpf_obj_new` and `bpf_percpu_obj_new`: the type is named by a constant, in the program's own types.
    pub(super) fn new_object(&mut self, meta: &KfuncMeta, percpu: bool) -> Check<RegState> {
        let refuse = |text| Reason::KfuncAllocType { text }.fail();
        let Some(id) = meta.constant.and_then(|c| u32::try_from(c).ok()) else {
            return refuse("local type ID argument must be in range [0, U32_MAX]");
        };
        let Some(btf) = self.program.btf.clone() else {
            return refuse("bpf_obj_new/bpf_percpu_obj_new requires prog BTF");
        };
        let Some(Type::Struct(c)) = btf.get(TypeId(id)) else {
            return refuse("bpf_obj_new/bpf_percpu_obj_new type ID argument must be of a struct");
        };
        let b = BtfRef { btf: self.world.program_btf(&btf), id };
        if !percpu {
            return Ok(RegState::pointer(Kind::Btf(b)).flagged(Flags::ALLOC));
        }
        if c.size > MAX_PERCPU {
            return Reason::PercpuSize { size: c.size, limit: MAX_PERCPU }.fail();
        }
        if !scalar_struct(&btf, TypeId(id), 0) {
            return refuse("bpf_percpu_obj_new type ID argument must be of a struct of scalars");
        }
        if !self.world.fields(b).is_empty() {
            return refuse("bpf_percpu_obj_new type ID argument must not contain special fields");
        }
        Ok(RegState::pointer(Kind::Btf(b)).flagged(Flags::ALLOC.with(Flags::PERCPU)))
    }

    /// The pointer holds no reference of its own: it is good while the lock is held, and if the object counts its
    /// references it stays readable under RCU (Linux: `ref_set_non_owning`).
    pub(super) fn borrowed(&self, r: RegState) -> RegState {
        let mut flags = Flags::NON_OWN_REF;
        if let Kind::Btf(b) = r.kind
            && self.world.fields(b).iter().any(|f| f.class == FieldClass::Refcount)
        {
            flags = flags.with(Flags::RCU);
        }
        RegState { ref_id: 0, ..r.flagged(flags) }
    }
}

/// Numbers, arrays of numbers, and structs of those (Linux: `__btf_type_is_scalar_struct`).
pub(super) fn scalar_struct(btf: &Btf, ty: TypeId, depth: u32) -> bool {
    let number = |ty: TypeId| matches!(btf.resolved(ty), Type::Int(_) | Type::Enum(_) | Type::Enum64(_));
    btf.members(ty).iter().all(|m| {
        let member = btf.resolve(m.ty);
        match *btf.ty(member) {
            Type::Struct(_) | Type::Union(_) => depth < 3 && scalar_struct(btf, member, depth + 1),
            Type::Array { elem, len, .. } => len > 0 && number(elem),
            _ => number(member),
        }
    })
}
