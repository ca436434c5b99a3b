//! Kfuncs that work on the kernel's own objects (tasks, cgroups, CPU masks, tracked connections) or on memory that is only probed. They are
//! judged, never run.
//!
//! Flags as registered in Linux 6.18, availability as measured on a running one. Prototypes are the kernel's, from the types that come with
//! this crate.

use crate::types::TypeSet;
use crate::{BuiltinKfunc as K, KfuncFlags, ProgType as T};

const ACQUIRE: u16 = 1;
const RELEASE: u16 = 2;
const RET_NULL: u16 = 4;
const TRUSTED: u16 = 8;
const RCU: u16 = 16;
const SLEEPABLE: u16 = 32;
const RCU_PROTECTED: u16 = 64;
const ITER_NEW: u16 = 128;
const ITER_NEXT: u16 = 256;
const ITER_DESTROY: u16 = 512;

/// One kfunc.
struct Row {
    kfunc: K,
    flags: u16,
    types: TypeSet,
}

const fn row(kfunc: K, flags: u16, types: TypeSet) -> Row {
    Row { kfunc, flags, types }
}

/// Types that have a hook for tracing, and those whose programs have what a syscall's have.
const TRACED: TypeSet = TypeSet::of(&[T::Tracing, T::Tracepoint, T::PerfEvent, T::Lsm, T::StructOps, T::Syscall]);
const TASKS: TypeSet = TRACED.and(TypeSet::of(&[
    T::SchedCls,
    T::Xdp,
    T::CgroupSkb,
    T::CgroupSock,
    T::SockOps,
    T::CgroupDevice,
    T::CgroupSockAddr,
    T::CgroupSysctl,
    T::CgroupSockopt,
]));
const MASKS: TypeSet = TRACED;
const TRACKING: TypeSet = TypeSet::of(&[T::SchedCls, T::Xdp]);
const CRYPTO: TypeSet = TypeSet::of(&[T::SchedCls, T::SchedAct, T::Xdp]);
const KEYS: TypeSet = TypeSet::of(&[T::Syscall]);
const ANY: TypeSet = TypeSet::ALL.without(TypeSet::of(&[T::RawMem, T::Host, T::Ext, T::LircMode2]));

static ROWS: &[Row] = &[
    row(K::TaskAcquire, ACQUIRE | RCU | RET_NULL, TASKS),
    row(K::TaskRelease, RELEASE, TASKS),
    row(K::TaskFromPid, ACQUIRE | RET_NULL, TASKS),
    row(K::TaskFromVpid, ACQUIRE | RET_NULL, TASKS),
    row(K::TaskUnderCgroup, RCU, TASKS),
    row(K::TaskGetCgroup1, ACQUIRE | RCU | RET_NULL, TASKS),
    row(K::CgroupAcquire, ACQUIRE | RCU | RET_NULL, TASKS),
    row(K::CgroupRelease, RELEASE, TASKS),
    row(K::CgroupAncestor, ACQUIRE | RCU | RET_NULL, TASKS),
    row(K::CgroupFromId, ACQUIRE | RET_NULL, TASKS),
    row(K::SendSignalTask, TRUSTED, TASKS),
    row(K::CpumaskCreate, ACQUIRE | RET_NULL, MASKS),
    row(K::CpumaskAcquire, ACQUIRE | TRUSTED, MASKS),
    row(K::CpumaskRelease, RELEASE, MASKS),
    row(K::CpumaskFirst, RCU, MASKS),
    row(K::CpumaskFirstZero, RCU, MASKS),
    row(K::CpumaskFirstAnd, RCU, MASKS),
    row(K::CpumaskSetCpu, RCU, MASKS),
    row(K::CpumaskClearCpu, RCU, MASKS),
    row(K::CpumaskTestCpu, RCU, MASKS),
    row(K::CpumaskTestAndSetCpu, RCU, MASKS),
    row(K::CpumaskTestAndClearCpu, RCU, MASKS),
    row(K::CpumaskSetall, RCU, MASKS),
    row(K::CpumaskClear, RCU, MASKS),
    row(K::CpumaskAnd, RCU, MASKS),
    row(K::CpumaskOr, RCU, MASKS),
    row(K::CpumaskXor, RCU, MASKS),
    row(K::CpumaskEqual, RCU, MASKS),
    row(K::CpumaskIntersects, RCU, MASKS),
    row(K::CpumaskSubset, RCU, MASKS),
    row(K::CpumaskEmpty, RCU, MASKS),
    row(K::CpumaskFull, RCU, MASKS),
    row(K::CpumaskCopy, RCU, MASKS),
    row(K::CpumaskAnyDistribute, RCU, MASKS),
    row(K::CpumaskAnyAndDistribute, RCU, MASKS),
    row(K::CpumaskWeight, RCU, MASKS),
    row(K::CpumaskPopulate, RCU, MASKS),
    row(K::SkbCtLookup, ACQUIRE | RET_NULL, TRACKING),
    row(K::SkbCtAlloc, ACQUIRE | RET_NULL, TRACKING),
    row(K::XdpCtLookup, ACQUIRE | RET_NULL, TRACKING),
    row(K::XdpCtAlloc, ACQUIRE | RET_NULL, TRACKING),
    row(K::CtInsertEntry, ACQUIRE | RET_NULL | RELEASE, TRACKING),
    row(K::CtRelease, RELEASE, TRACKING),
    row(K::CtSetTimeout, TRUSTED, TRACKING),
    row(K::CtChangeTimeout, TRUSTED, TRACKING),
    row(K::CtSetStatus, TRUSTED, TRACKING),
    row(K::CtChangeStatus, TRUSTED, TRACKING),
    row(K::CryptoCtxCreate, ACQUIRE | RET_NULL | SLEEPABLE, KEYS),
    row(K::CryptoCtxAcquire, ACQUIRE | RCU | RET_NULL, KEYS),
    row(K::CryptoCtxRelease, RELEASE, KEYS),
    row(K::CryptoEncrypt, RCU, CRYPTO),
    row(K::CryptoDecrypt, RCU, CRYPTO),
    row(K::MapSumElemCount, TRUSTED, ANY),
    row(K::IterTaskNew, ITER_NEW | TRUSTED | RCU_PROTECTED, ANY),
    row(K::IterTaskNext, ITER_NEXT | RET_NULL, ANY),
    row(K::IterTaskDestroy, ITER_DESTROY, ANY),
    row(K::IterCssNew, ITER_NEW | TRUSTED | RCU_PROTECTED, ANY),
    row(K::IterCssNext, ITER_NEXT | RET_NULL, ANY),
    row(K::IterCssDestroy, ITER_DESTROY, ANY),
    row(K::IterCssTaskNew, ITER_NEW | TRUSTED, ANY),
    row(K::IterCssTaskNext, ITER_NEXT | RET_NULL, ANY),
    row(K::IterCssTaskDestroy, ITER_DESTROY, ANY),
    row(K::IterTaskVmaNew, ITER_NEW | RCU, ANY),
    row(K::IterTaskVmaNext, ITER_NEXT | RET_NULL, ANY),
    row(K::IterTaskVmaDestroy, ITER_DESTROY, ANY),
    row(K::IterKmemCacheNew, ITER_NEW | SLEEPABLE, ANY),
    row(K::IterKmemCacheNext, ITER_NEXT | RET_NULL | SLEEPABLE, ANY),
    row(K::IterKmemCacheDestroy, ITER_DESTROY | SLEEPABLE, ANY),
    row(K::Strcmp, 0, ANY),
    row(K::Strcasecmp, 0, ANY),
    row(K::Strchr, 0, ANY),
    row(K::Strchrnul, 0, ANY),
    row(K::Strnchr, 0, ANY),
    row(K::Strrchr, 0, ANY),
    row(K::Strlen, 0, ANY),
    row(K::Strnlen, 0, ANY),
    row(K::Strspn, 0, ANY),
    row(K::Strcspn, 0, ANY),
    row(K::Strstr, 0, ANY),
    row(K::Strnstr, 0, ANY),
    row(K::CopyFromUserStr, SLEEPABLE, ANY),
    row(K::CopyFromUserTaskStr, SLEEPABLE, ANY),
    row(K::GetKmemCache, 0, ANY),
    row(K::CgroupReadXattr, RCU, ANY),
];

fn find(kfunc: K) -> Option<&'static Row> {
    ROWS.iter().find(|row| row.kfunc == kfunc)
}

/// Whether the kfunc works on objects of the kernel's own.
pub(crate) fn is_kernels(kfunc: K) -> bool {
    find(kfunc).is_some()
}

/// What the verifier must know of it, if it is one of these.
pub(crate) fn flags(kfunc: K) -> Option<KfuncFlags> {
    let flags = find(kfunc)?.flags;
    let has = |flag: u16| flags & flag != 0;
    Some(KfuncFlags {
        acquire: has(ACQUIRE),
        release: has(RELEASE),
        ret_null: has(RET_NULL),
        trusted_args: has(TRUSTED),
        rcu: has(RCU),
        sleepable: has(SLEEPABLE),
        rcu_protected: has(RCU_PROTECTED),
        iter_new: has(ITER_NEW),
        iter_next: has(ITER_NEXT),
        iter_destroy: has(ITER_DESTROY),
        ..KfuncFlags::default()
    })
}

/// Program types that may call it.
pub(crate) fn types(kfunc: K) -> TypeSet {
    find(kfunc).map_or(TypeSet::of(&[]), |row| row.types)
}
