//! What a kfunc leaves in r0.

use std::sync::Arc;

use backstop_btf::{Type, TypeId};
use backstop_isa::Reg;
use backstop_model::{BuiltinKfunc, Kfunc, KfuncIdentity, returns};

use crate::check::res_lock_call;
use crate::code::builtin;
use crate::domain::Scalar;
use crate::env::Verifier;
use crate::reason::{Check, Reason};
use crate::state::{Flags, Kind, RegState};
use crate::transfer::graph::graph_node;
use crate::transfer::kfunc::KfuncMeta;
use crate::transfer::objects::same_object;

impl Verifier<'_> {
    pub fn kfunc_result(&mut self, kfunc: &Kfunc, known: Option<BuiltinKfunc>, meta: &KfuncMeta) -> Check {
        let btf = kfunc.btf.clone();
        let Some(proto) = btf.proto(kfunc.func) else { return Ok(()) };
        let mut r0 = match *btf.resolved(proto.ret) {
            Type::Void => return Ok(()),
            Type::Ptr { to } => match known {
                Some(BuiltinKfunc::ObjNew) => self.new_object(meta, false)?,
                Some(BuiltinKfunc::PercpuObjNew) => self.new_object(meta, true)?,
                Some(BuiltinKfunc::RefcountAcquire) => same_object(meta),
                Some(_) if let Some((number, root)) = meta.root => graph_node(number, &root),
                Some(BuiltinKfunc::DynptrSlice | BuiltinKfunc::DynptrSliceRdwr) => {
                    self.dynptr_slice(known == Some(BuiltinKfunc::DynptrSlice), meta)?
                }
                Some(BuiltinKfunc::RdonlyCast) => self.read_only_cast(meta.constant.unwrap_or(u64::MAX))?,
                Some(BuiltinKfunc::CastToKernCtx) => self.cast_context()?,
                _ => self.pointer_result(kfunc, to, meta)?,
            },
            _ => {
                let taken = matches!(res_lock_call(known), Some((true, _)));
                let r0 = if taken { RegState::constant(0) } else { scalar_result(btf.size_of(proto.ret)) };
                self.cur.set(Reg::R0, r0);
                return Ok(());
            }
        };
        if !r0.is_pointer() {
            self.cur.set(Reg::R0, r0);
            return Ok(());
        }
        // Who owns an object can always get one more reference to it.
        let ret_null = kfunc.flags.ret_null && !(known == Some(BuiltinKfunc::RefcountAcquire) && meta.owned);
        if ret_null {
            r0 = RegState { id: self.new_id(), ..r0.flagged(Flags::MAYBE_NULL) };
        }
        if kfunc.flags.acquire {
            let id = self.acquire();
            if ret_null {
                r0.id = id;
            }
            r0.ref_id = id;
        } else if meta.root.is_some() {
            r0 = self.borrowed(r0);
        }
        if r0.id == 0 && self.may_hold_lock(&r0) {
            r0.id = self.new_id();
        }
        self.cur.set(Reg::R0, r0);
        Ok(())
    }

    fn pointer_result(&mut self, kfunc: &Kfunc, to: TypeId, meta: &KfuncMeta) -> Check<RegState> {
        let btf: &Arc<_> = &kfunc.btf;
        let target = btf.resolve(to);
        if target.is_void() {
            return Ok(RegState::UNKNOWN);
        }
        if !btf.kind(target).is_composite() {
            let (size, flags) = match (meta.r0_size, btf.size_of(target)) {
                (Some(size), _) => (Some(size), Flags::NONE),
                (None, size) => (size, Flags::RDONLY),
            };
            let Some(size) = size.and_then(|s| u32::try_from(s).ok()) else {
                let ty = btf.type_name(target);
                return Reason::KfuncRetPointer { name: kfunc.name.clone(), ty }.fail();
            };
            return Ok(RegState { ref_id: meta.ref_id, ..RegState::pointer(Kind::Mem(size)).flagged(flags) });
        }
        let b = self.world.named_by_kfunc(btf, target);
        // An acquired object is trusted by its reference; others by the word of an iterator or of the host.
        let flags = match () {
            () if builtin(kfunc.identity) == Some(BuiltinKfunc::GetKmemCache) => Flags::UNTRUSTED,
            () if kfunc.flags.rcu_protected || self.iterates_under_rcu(meta) => Flags::RCU,
            () if kfunc.flags.iter_next || matches!(kfunc.identity, KfuncIdentity::Host(_)) => Flags::TRUSTED,
            () => Flags::NONE,
        };
        Ok(RegState::pointer(Kind::Btf(b)).flagged(flags))
    }

    /// The iterator that was passed goes over what the RCU section keeps.
    fn iterates_under_rcu(&self, meta: &KfuncMeta) -> bool {
        let Some((frame, slot)) = meta.iter else { return false };
        self.cur.frame_at(frame).slot(slot).is_some_and(|s| s.reg_flags().has(Flags::RCU))
    }

    fn dynptr_slice(&mut self, read_only: bool, meta: &KfuncMeta) -> Check<RegState> {
        if !read_only && !returns::packet(&self.program.kind).write {
            return Reason::DynptrSliceWrite {}.fail();
        }
        let (Some(from), Some(size)) = (meta.dynptr, meta.r0_size) else { return Ok(RegState::UNKNOWN) };
        let slice = self.slice_of(from, size, read_only);
        // The reference stays with the dynptr: a slice is invalidated with it.
        Ok(RegState { ref_id: 0, ..slice })
    }
}

/// A number of this many bytes. The upper bits are whatever the function left there, as Linux has it.
fn scalar_result(_size: Option<u64>) -> RegState {
    RegState::scalar(Scalar::unknown())
}
