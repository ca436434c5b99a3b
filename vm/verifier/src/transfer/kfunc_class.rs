//! What a kfunc's pointer parameter asks for, by its type, its name and what stands in the register (Linux:
//! `get_kfunc_ptr_arg_type`).

use backstop_btf::{Btf, Kind as BtfKind, Type, TypeId};
use backstop_isa::Reg;
use backstop_model::{BuiltinKfunc, Kfunc};

use crate::env::Verifier;
use crate::global::is_context_type;
use crate::reason::{Check, Reason};
use crate::state::{Kind, RegState};
use crate::transfer::objects::scalar_struct;

/// One parameter.
#[derive(Clone, Copy)]
pub(super) struct Param<'a> {
    /// Counted from 0.
    pub n: usize,
    pub r: Reg,
    pub name: &'a str,
    pub ty: TypeId,
}

impl Param<'_> {
    /// What follows from how a parameter is named.
    pub fn has(&self, suffix: &str) -> bool {
        self.name.len() > suffix.len() && self.name.ends_with(suffix)
    }

    /// The length of the parameter before it, of which `reg` must be a number.
    pub fn is_length(&self, reg: &RegState) -> bool {
        reg.is_scalar() && (self.has("__sz") || self.has("__szk"))
    }
}

/// A pointer parameter.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum KfuncArg {
    /// NULL where it is allowed.
    Null,
    Ctx,
    AllocObject,
    RefcountedObject,
    Dynptr,
    Iterator,
    /// Head, root or node of a list or a tree.
    Graph,
    ConstString,
    Map,
    Workqueue,
    IrqFlag,
    ResSpinLock,
    /// A kernel-typed object.
    Struct,
    Callback,
    /// Memory of the size of its type.
    Memory,
    /// Memory whose length is the next parameter.
    SizedMemory,
}

impl Verifier<'_> {
    pub(super) fn classify_kfunc_arg(
        &self,
        kfunc: &Kfunc,
        known: Option<BuiltinKfunc>,
        btf: &Btf,
        p: Param,
        reg: &RegState,
        sized: bool,
    ) -> Check<KfuncArg> {
        let Some(target) = btf.pointee(p.ty).map(|t| btf.resolve(t)) else {
            let what = format!("pointer type UNKNOWN {} is not supported", p.name);
            return Reason::KfuncArgPointer { arg: p.n, what }.fail();
        };
        let composite = btf.kind(target).is_composite();
        let name = if composite { btf.name(target) } else { "" };
        if known == Some(BuiltinKfunc::CastToKernCtx) || (composite && is_context_type(&self.program.kind, name)) {
            return Ok(KfuncArg::Ctx);
        }
        let nullable = p.has("__nullable") || p.has("__opt");
        if nullable && reg.is_null() && !sized {
            return Ok(KfuncArg::Null);
        }
        let iterates = kfunc.flags.iter_new || kfunc.flags.iter_next || kfunc.flags.iter_destroy;
        let own = match name {
            _ if p.has("__alloc") => Some(KfuncArg::AllocObject),
            _ if p.has("__refcounted_kptr") => Some(KfuncArg::RefcountedObject),
            "bpf_dynptr" => Some(KfuncArg::Dynptr),
            _ if p.n == 0 && iterates && name.starts_with("bpf_iter_") => Some(KfuncArg::Iterator),
            "bpf_list_head" | "bpf_list_node" | "bpf_rb_root" | "bpf_rb_node" => Some(KfuncArg::Graph),
            _ if p.has("__str") => Some(KfuncArg::ConstString),
            _ if p.has("__map") => Some(KfuncArg::Map),
            "bpf_wq" => Some(KfuncArg::Workqueue),
            _ if p.has("__irq_flag") => Some(KfuncArg::IrqFlag),
            "bpf_res_spin_lock" => Some(KfuncArg::ResSpinLock),
            _ => None,
        };
        if let Some(own) = own {
            return Ok(own);
        }
        let typed =
            matches!(reg.kind, Kind::Btf(_) | Kind::SockCommon | Kind::Socket | Kind::TcpSock | Kind::MapPtr(_));
        if typed {
            if composite {
                return Ok(KfuncArg::Struct);
            }
            let ty = kind_and_name(btf, target);
            return Reason::KfuncArgUnsupported { name: kfunc.name.clone(), arg: p.n, ty }.fail();
        }
        if matches!(btf.ty(target), Type::FuncProto { .. }) {
            return Ok(KfuncArg::Callback);
        }
        let void = btf.kind(target) == BtfKind::Void;
        if !(scalars_only(btf, target) || sized && void) {
            let words = if sized { "void, " } else { "" };
            let ty = kind_and_name(btf, target);
            let what = format!("pointer type {ty} must point to {words}scalar, or struct with scalar");
            return Reason::KfuncArgPointer { arg: p.n, what }.fail();
        }
        Ok(if sized { KfuncArg::SizedMemory } else { KfuncArg::Memory })
    }
}

/// A type as Linux's texts on kfuncs name it: `STRUCT foo`, `UNKNOWN ` for void.
fn kind_and_name(btf: &Btf, ty: TypeId) -> String {
    match btf.kind(ty) {
        BtfKind::Void => "UNKNOWN ".to_owned(),
        kind => format!("{} {}", kind.label(), btf.name(ty)),
    }
}

/// A number, or a struct of numbers alone. One without members is not known.
fn scalars_only(btf: &Btf, ty: TypeId) -> bool {
    match btf.ty(ty) {
        Type::Int(_) | Type::Enum(_) | Type::Enum64(_) => true,
        Type::Struct(_) | Type::Union(_) => !btf.members(ty).is_empty() && scalar_struct(btf, ty, 0),
        _ => false,
    }
}
