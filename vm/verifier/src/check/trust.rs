//! How far a pointer to a kernel object can be trusted that was read from another one (Linux: `check_ptr_to_btf_access`,
//! `btf_nested_type_is_trusted`).
//!
//! By default such a pointer is not: the object may be gone. Exceptions are fields that the kernel lists, in structs named after the field's own
//! with a suffix, and those tagged `__rcu`, within an RCU read section.

use backstop_btf::{Kind as BtfKind, TypeId};
use backstop_isa::Reg;
use backstop_model::{ArgKind, HelperProto};

use crate::check::object::{PointerMember, holds};
use crate::env::Verifier;
use crate::reason::{Check, Reason};
use crate::state::{BtfRef, Flags, Kind, RegState};

/// What may stand for a kernel object, in the kernel's words.
const OBJECTS: &str = "ptr_, trusted_ptr_, rcu_ptr_";

impl Verifier<'_> {
    /// Modifiers of the pointer that a load of the member gives.
    pub(super) fn trust_of_member(&self, reg: &RegState, b: BtfRef, p: PointerMember) -> Flags {
        if reg.flags.has(Flags::UNTRUSTED) {
            return Flags::UNTRUSTED;
        }
        let known = Flags::VOUCHED.with(Flags::RCU);
        if !(is_vouched_for(reg) || reg.flags.has(Flags::RCU)) {
            // An old helper's word: neither trusted nor marked as not.
            return p.flags.without(known);
        }
        if self.listed(b, p, "__safe_trusted") {
            return p.flags.with(Flags::TRUSTED);
        }
        if self.listed(b, p, "__safe_trusted_or_null") {
            return p.flags.with(Flags::TRUSTED).with(Flags::MAYBE_NULL);
        }
        if !self.in_rcu() || reg.maybe_null() {
            return Flags::UNTRUSTED;
        }
        if self.listed(b, p, "__safe_rcu") {
            return p.flags.with(Flags::RCU);
        }
        if self.listed(b, p, "__safe_rcu_or_null") {
            return p.flags.without(Flags::UNTRUSTED).with(Flags::RCU).with(Flags::MAYBE_NULL);
        }
        match p.flags {
            tagged if tagged.has(Flags::RCU) => tagged.with(Flags::MAYBE_NULL),
            elsewhere if elsewhere.any(Flags::PERCPU.with(Flags::USER)) => elsewhere,
            plain => plain.without(known),
        }
    }

    /// A typed object in a helper's argument: the struct that is asked for, and memory only where it is read (Linux: `check_reg_type`).
    pub(super) fn check_object_type(
        &self,
        proto: &HelperProto,
        arg: ArgKind,
        r: Reg,
        reg: &RegState,
        read_only: bool,
    ) -> Check {
        let Kind::Btf(b) = reg.kind else { return Ok(()) };
        let want = match arg {
            ArgKind::BtfStruct(name) | ArgKind::BtfStructOrNull(name) => name,
            ArgKind::BtfSockCommon => "sock_common",
            ArgKind::BtfOrNull | ArgKind::PercpuBtf | ArgKind::SpinLock | ArgKind::KptrField => return Ok(()),
            _ if read_only => return Ok(()),
            _ => {
                let (name, ty) = (proto.name, reg.type_name());
                let text = format!("bpf_{name}() may write into memory pointed by R{} type={ty}", r.index());
                return Reason::FmtString { text }.fail();
            }
        };
        self.check_struct_name(r, reg, b, want)
    }

    /// The object is of the kernel's struct of this name, or has one where the pointer points.
    fn check_struct_name(&self, r: Reg, reg: &RegState, b: BtfRef, want: &str) -> Check {
        if self.is_struct(reg, b, want) {
            return Ok(());
        }
        let have = self.world.btf(b).map_or("", |btf| btf.name(TypeId(b.id)));
        let text = format!("R{} is of type {have} but {want} is expected", r.index());
        Reason::FmtString { text }.fail()
    }

    /// Linux: `btf_struct_ids_match`, not strict, against one of the kernel's structs.
    pub fn is_struct(&self, reg: &RegState, b: BtfRef, want: &str) -> bool {
        let Some(btf) = self.world.btf(b).filter(|_| self.world.is_kernel(b)) else { return false };
        let id = TypeId(b.id);
        if reg.off == 0 && btf.name(id) == want && btf.kind(id) == BtfKind::Struct {
            return true;
        }
        // What a program declares of the kernel's struct says nothing of what lies in it.
        let within = |want| holds(btf, id, i64::from(reg.off), want);
        !self.world.is_declared(b) && btf.find(want, BtfKind::Struct).is_some_and(within)
    }

    /// A global subprogram's trusted argument (Linux: `check_reg_type` with `ARG_PTR_TO_BTF_ID | PTR_TRUSTED`). Objects that old helpers
    /// gave out, or that RCU keeps, will do.
    pub fn check_kernel_object(&self, r: Reg, reg: &RegState, want: BtfRef, nullable: bool) -> Check {
        let n = r.index() as u8;
        let flags = if nullable { reg.flags.without(Flags::MAYBE_NULL) } else { reg.flags };
        let known = [Flags::NONE, Flags::TRUSTED, Flags::RCU].contains(&flags);
        let Kind::Btf(b) = reg.kind else {
            return Reason::ArgType { reg: n, ty: reg.type_name(), expected: OBJECTS.into() }.fail();
        };
        if !known {
            return Reason::ArgType { reg: n, ty: reg.type_name(), expected: OBJECTS.into() }.fail();
        }
        let name = self.world.btf(want).map_or("", |btf| btf.name(TypeId(want.id)));
        self.check_struct_name(r, reg, b, name)?;
        self.check_arg_offset(r, reg, false)
    }

    /// Whether the kernel lists the field: same name and same pointee, in the struct's companion of this suffix.
    fn listed(&self, b: BtfRef, p: PointerMember, suffix: &str) -> bool {
        let Some(btf) = self.world.btf(b).filter(|_| self.world.is_kernel(b)) else { return false };
        let owner = TypeId(b.id);
        let Some(list) = btf.find(&format!("{}{suffix}", btf.name(owner)), btf.kind(owner)) else { return false };
        let field = btf.str(p.name);
        let same = |m: &backstop_btf::Member| btf.pointee(m.ty).is_some_and(|to| btf.resolve(to) == p.to);
        btf.members(list).iter().any(|m| btf.str(m.name) == field && same(m))
    }
}

/// Linux: `is_trusted_reg`, for typed objects.
fn is_vouched_for(reg: &RegState) -> bool {
    reg.ref_id != 0 || (reg.flags.any(Flags::VOUCHED) && reg.flags.without(Flags::VOUCHED) == Flags::NONE)
}
