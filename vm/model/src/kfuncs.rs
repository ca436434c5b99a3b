//! The rules of Linux's kfuncs: flags as registered in 6.18, availability as measured on a running 6.18, type by type,
//! and their prototypes, which stand in the built-in BTF.

use std::sync::{Arc, OnceLock};

use backstop_btf::{Btf, Kind};

use crate::kernel_btf::reduced_btf;
use crate::kernel_kfuncs;
use crate::types::TypeSet;
use crate::{BuiltinKfunc, Kfunc, KfuncFlags, KfuncIdentity, ProgKind, ProgType as T};

/// The bytes of the built-in BTF: context types, special map fields and kfunc prototypes of Linux 6.18.
pub const BUILTIN_BTF: &[u8] = include_bytes!("../data/builtin.btf");

/// The built-in BTF cannot serve: a defect of the build, never of a program.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum BuiltinError {
    /// The blob does not parse.
    #[error("the built-in BTF does not parse: {0}")]
    Btf(String),
    /// A kfunc of the model has no prototype.
    #[error("the built-in BTF has no function `{0}`")]
    Missing(&'static str),
}

const GENERIC: TypeSet = TypeSet::of(&[
    T::SchedCls,
    T::Tracepoint,
    T::Xdp,
    T::PerfEvent,
    T::CgroupSkb,
    T::CgroupSock,
    T::SockOps,
    T::CgroupDevice,
    T::CgroupSockAddr,
    T::CgroupSysctl,
    T::CgroupSockopt,
    T::Tracing,
    T::Lsm,
    T::StructOps,
    T::Syscall,
    T::RawMem,
    T::Host,
]);
/// A type without a hook of its own has no kfuncs at all.
const COMMON: TypeSet = TypeSet::ALL.without(TypeSet::of(&[T::Ext, T::LircMode2]));
const FROM_SKB: TypeSet = TypeSet::of(&[
    T::SocketFilter,
    T::SchedCls,
    T::SchedAct,
    T::Tracepoint,
    T::PerfEvent,
    T::CgroupSkb,
    T::CgroupSock,
    T::LwtIn,
    T::LwtOut,
    T::LwtXmit,
    T::SockOps,
    T::SkSkb,
    T::CgroupDevice,
    T::CgroupSockAddr,
    T::LwtSeg6Local,
    T::CgroupSysctl,
    T::CgroupSockopt,
    T::Tracing,
    T::Netfilter,
]);

/// What the verifier must know of a kfunc (Linux: `BTF_ID_FLAGS`).
pub fn flags(kfunc: BuiltinKfunc) -> KfuncFlags {
    use BuiltinKfunc::*;
    if let Some(known) = kernel_kfuncs::flags(kfunc) {
        return known;
    }
    let mut f = NONE;
    match kfunc {
        ObjNew | PercpuObjNew | ListPopFront | ListPopBack | RbtreeRemove => {
            f.acquire = true;
            f.ret_null = true;
        }
        RefcountAcquire => {
            f.acquire = true;
            f.ret_null = true;
            f.rcu = true;
        }
        ObjDrop | PercpuObjDrop => f.release = true,
        ListFront | ListBack | RbtreeFirst | RbtreeRoot | RbtreeLeft | RbtreeRight | DynptrSlice | DynptrSliceRdwr
        | ResSpinLock | ResSpinLockIrqsave => f.ret_null = true,
        IterNumNew | IterBitsNew => f.iter_new = true,
        IterNumNext | IterBitsNext => {
            f.iter_next = true;
            f.ret_null = true;
        }
        IterNumDestroy | IterBitsDestroy => f.iter_destroy = true,
        DynptrFromSkb => f.trusted_args = true,
        ArenaAllocPages | ArenaFreePages => {
            f.trusted_args = true;
            f.sleepable = true;
        }
        Throw
        | RcuReadLock
        | RcuReadUnlock
        | PreemptDisable
        | PreemptEnable
        | LocalIrqSave
        | LocalIrqRestore
        | ListPushFront
        | ListPushBack
        | RbtreeAdd
        | DynptrFromXdp
        | DynptrAdjust
        | DynptrClone
        | DynptrSize
        | DynptrIsNull
        | DynptrIsRdonly
        | WqInit
        | WqStart
        | WqSetCallback
        | ResSpinUnlock
        | ResSpinUnlockIrqrestore
        | CastToKernCtx
        | RdonlyCast => {}
        // Those of the kernel's objects stand in a table of their own.
        _ => {}
    }
    f
}

const NONE: KfuncFlags = KfuncFlags {
    acquire: false,
    release: false,
    ret_null: false,
    trusted_args: false,
    rcu: false,
    rcu_protected: false,
    sleepable: false,
    destructive: false,
    iter_new: false,
    iter_next: false,
    iter_destroy: false,
    throws: false,
    may_fail: false,
};

/// Whether programs of this kind may call the kfunc.
///
/// Backstop's own types may throw, allocate and link objects in every mode.
pub fn allowed(kfunc: BuiltinKfunc, kind: &ProgKind) -> bool {
    types(kfunc).has(kind.ty)
}

fn types(kfunc: BuiltinKfunc) -> TypeSet {
    use BuiltinKfunc::*;
    match kfunc {
        Throw | ObjNew | ObjDrop | PercpuObjNew | PercpuObjDrop | RefcountAcquire | ListPushFront | ListPushBack
        | ListPopFront | ListPopBack | ListFront | ListBack | RbtreeAdd | RbtreeRemove | RbtreeFirst | RbtreeRoot
        | RbtreeLeft | RbtreeRight => GENERIC,
        DynptrFromSkb => FROM_SKB,
        DynptrFromXdp => TypeSet::of(&[T::Xdp]),
        IterNumNew
        | IterNumNext
        | IterNumDestroy
        | IterBitsNew
        | IterBitsNext
        | IterBitsDestroy
        | RcuReadLock
        | RcuReadUnlock
        | PreemptDisable
        | PreemptEnable
        | LocalIrqSave
        | LocalIrqRestore
        | DynptrSlice
        | DynptrSliceRdwr
        | DynptrAdjust
        | DynptrClone
        | DynptrSize
        | DynptrIsNull
        | DynptrIsRdonly
        | ArenaAllocPages
        | ArenaFreePages
        | WqInit
        | WqStart
        | WqSetCallback
        | ResSpinLock
        | ResSpinUnlock
        | ResSpinLockIrqsave
        | ResSpinUnlockIrqrestore
        | CastToKernCtx
        | RdonlyCast => COMMON,
        _ => kernel_kfuncs::types(kfunc),
    }
}

/// The built-in BTF, parsed once.
pub fn builtin_btf() -> Result<Arc<Btf>, BuiltinError> {
    static PARSED: OnceLock<Result<Arc<Btf>, BuiltinError>> = OnceLock::new();
    PARSED.get_or_init(|| Btf::parse(BUILTIN_BTF).map(Arc::new).map_err(|e| BuiltinError::Btf(e.to_string()))).clone()
}

/// Whether these are the types in which the prototypes of Linux's kfuncs are written.
pub fn are_linuxs(btf: &Arc<Btf>) -> bool {
    let own = builtin_btf().is_ok_and(|own| Arc::ptr_eq(&own, btf));
    own || reduced_btf().is_some_and(|own| Arc::ptr_eq(&own, btf))
}

/// A kfunc with its prototype. Whether an engine implements it is not said here: see [`unimplemented()`].
pub fn builtin(kfunc: BuiltinKfunc) -> Result<Arc<Kfunc>, BuiltinError> {
    type Made = OnceLock<Result<Vec<Arc<Kfunc>>, BuiltinError>>;
    // The prototypes of the two kinds stand in types of their own, of which the kernel's are not read before they are wanted.
    static OWN: Made = OnceLock::new();
    static KERNELS: Made = OnceLock::new();
    let kernels = kernel_kfuncs::is_kernels(kfunc);
    let alike = || BuiltinKfunc::ALL.iter().filter(|k| kernel_kfuncs::is_kernels(**k) == kernels);
    let all = if kernels { &KERNELS } else { &OWN };
    match all.get_or_init(|| alike().map(|&k| make(k)).collect()) {
        Ok(all) => all
            .iter()
            .find(|k| k.identity == KfuncIdentity::Builtin(kfunc))
            .cloned()
            .ok_or(BuiltinError::Missing(kfunc.name())),
        Err(error) => Err(error.clone()),
    }
}

/// The same kfunc marked as one that the verifier judges and `run` refuses.
pub fn unimplemented(kfunc: BuiltinKfunc) -> Result<Arc<Kfunc>, BuiltinError> {
    let mut made = (*builtin(kfunc)?).clone();
    made.identity = KfuncIdentity::Unimplemented(kfunc);
    Ok(Arc::new(made))
}

fn make(kfunc: BuiltinKfunc) -> Result<Arc<Kfunc>, BuiltinError> {
    let btf = match kernel_kfuncs::is_kernels(kfunc) {
        true => reduced_btf().ok_or(BuiltinError::Missing(kfunc.name()))?,
        false => builtin_btf()?,
    };
    let func = btf.find(kfunc.name(), Kind::Func).ok_or(BuiltinError::Missing(kfunc.name()))?;
    Ok(Arc::new(Kfunc {
        name: kfunc.name().to_owned(),
        identity: KfuncIdentity::Builtin(kfunc),
        flags: flags(kfunc),
        btf,
        func,
    }))
}
