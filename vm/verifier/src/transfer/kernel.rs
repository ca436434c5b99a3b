//! Objects of the kernel's that helpers and kfuncs give out.

use backstop_btf::{Kind as BtfKind, Type, TypeId};
use backstop_model::{HelperProto, RetKind, kernel_btf};

use crate::env::Verifier;
use crate::reason::{Check, Reason};
use crate::state::{BtfRef, Flags, Kind, RegState};
use crate::world::World;

impl Verifier<'_> {
    /// A helper that gives a kernel object can't be judged where the object's type is not at hand.
    pub(super) fn check_kernel_result(&self, proto: &HelperProto) -> Check {
        match proto.ret {
            RetKind::BtfTrusted(name) | RetKind::Btf(name) | RetKind::BtfOrNull(name)
                if self.world.kernel_type(name, BtfKind::Struct).is_none() =>
            {
                Reason::KernelType { name: name.to_owned() }.fail()
            }
            _ => Ok(()),
        }
    }

    pub(super) fn kernel_result(&mut self, name: &str, flags: Flags) -> RegState {
        let Some(b) = self.world.kernel_type(name, BtfKind::Struct) else { return RegState::UNKNOWN };
        let id = if flags.has(Flags::MAYBE_NULL) { self.new_id() } else { 0 };
        RegState { id, ..RegState::pointer(Kind::Btf(b)).flagged(flags) }
    }

    /// One processor's copy of a kernel variable: a struct, or memory of the variable's size.
    pub(super) fn percpu_result(&mut self, b: BtfRef, ret: RetKind) -> RegState {
        let flags = if ret == RetKind::PercpuMemOrNull { Flags::MAYBE_NULL } else { Flags::NONE };
        let Some(btf) = self.world.btf(b).cloned() else { return RegState::UNKNOWN };
        let ty = btf.resolve(TypeId(b.id));
        let id = if flags.has(Flags::MAYBE_NULL) { self.new_id() } else { 0 };
        if btf.kind(ty).is_composite() {
            return RegState { id, ..RegState::pointer(Kind::Btf(BtfRef { id: ty.0, ..b })).flagged(flags) };
        }
        let size = btf.size_of(ty).and_then(|s| u32::try_from(s).ok()).unwrap_or(0);
        RegState { id, ..RegState::pointer(Kind::Mem(size)).flagged(flags.with(Flags::RDONLY)) }
    }

    /// The address of one of the kernel's functions or variables, by its type (Linux: `check_pseudo_btf_id`). Functions have one, which is
    /// good for nothing but a test; of variables none is known here, as to kernels built without `CONFIG_KALLSYMS_ALL`.
    pub fn kernel_address(&self, id: i32, module: i32) -> Check<RegState> {
        let refuse = |text: String| Reason::BtfAccess { text }.fail();
        if module != 0 {
            return refuse("invalid module BTF object FD specified.".into());
        }
        let Some(btf) = self.world.kernel() else {
            return Reason::KernelType { name: format!("of the variable with id {id}") }.fail();
        };
        let found = u32::try_from(id).ok().map(TypeId).filter(|id| !id.is_void());
        match found.and_then(|id| btf.get(id)) {
            Some(Type::Func { .. }) => Ok(RegState::pointer(Kind::Mem(0)).flagged(Flags::RDONLY)),
            Some(Type::Var { name, .. }) => {
                let name = btf.str(*name);
                refuse(format!("ldimm64 failed to find the address for kernel symbol '{name}'."))
            }
            Some(_) => refuse(format!("pseudo btf_id {id} in ldimm64 isn't KIND_VAR or KIND_FUNC")),
            None => refuse(format!("ldimm64 insn specifies invalid btf_id {id}.")),
        }
    }

    /// What `bpf_cast_to_kern_ctx` makes of the context.
    pub(super) fn cast_context(&self) -> Check<RegState> {
        let Some(btf) = self.world.kernel() else {
            return Reason::KernelType { name: "bpf_ctx_convert".into() }.fail();
        };
        match kernel_btf::context_struct(btf, self.ty()) {
            Ok(id) => Ok(RegState::pointer(Kind::Btf(World::in_kernel(id))).flagged(Flags::TRUSTED)),
            Err(Some(id)) => Reason::KfuncMap { text: format!("kern ctx type id {} is not a struct", id.0) }.fail(),
            Err(None) => Reason::KernelType { name: "bpf_ctx_convert".into() }.fail(),
        }
    }

    /// What `bpf_rdonly_cast` to a type of the kernel's gives: nothing is known of the address, so loads are probed.
    pub(super) fn read_only_cast(&self, id: u64) -> Check<RegState> {
        if id == 0 {
            return Ok(RegState::pointer(Kind::Mem(0)).flagged(Flags::RDONLY.with(Flags::UNTRUSTED)));
        }
        let Some(btf) = self.world.kernel() else {
            return Reason::KernelType { name: format!("of id {id}") }.fail();
        };
        let id = u32::try_from(id).ok().map(TypeId);
        match id.and_then(|id| btf.get(id).map(|ty| (id, ty))) {
            None => {
                let id = id.map_or(u32::MAX, |id| id.0);
                Reason::KfuncMap { text: format!("Unknown type ID {id} passed to kfunc bpf_rdonly_cast") }.fail()
            }
            Some((id, Type::Struct(_) | Type::Union(_))) => {
                Ok(RegState::pointer(Kind::Btf(World::in_kernel(id))).flagged(Flags::UNTRUSTED))
            }
            Some(_) => {
                let text = "kfunc bpf_rdonly_cast type ID argument must be of a struct or void".to_owned();
                Reason::KfuncMap { text }.fail()
            }
        }
    }
}
