//! Arguments of native functions, checked before each call against what their prototypes say.
//!
//! For proved programs the verifier did the same: what is found here is a defect. For others this is the wall in front of native code,
//! which follows its pointer arguments (I3).

use std::sync::Arc;

use backstop_btf::Type;
use backstop_interp::{Checks, Direction, Faulted, Kind, Reason, Rights};
use backstop_ir::{Callee, Ir};
use backstop_model::{ArgKind, CallbackUse, HelperProto, KfuncIdentity, RetKind, helpers};

use crate::backend::{BackendError, Native};
use crate::maps::MapInner;

use super::services::Surroundings;

/// Longest memory that a call may be handed (Linux: `BPF_MAX_VAR_SIZ`).
const MAX_MEMORY: u64 = 1 << 29;
const PLACES: [u8; 5] = [1, 2, 3, 4, 5];

/// A native function, and what it takes.
#[derive(Clone)]
pub(crate) struct Callable {
    pub(super) native: Native,
    takes: Takes,
}

#[derive(Clone)]
enum Takes {
    Helper(&'static HelperProto),
    Kfunc(Arc<[Param]>),
}

/// A parameter of a kfunc.
#[derive(Clone, Copy)]
enum Param {
    Number,
    Memory {
        size: u64,
        write: bool,
        /// What is there before does not count.
        filled: bool,
    },
}

/// What a call hands to the program when it returns or calls back.
#[derive(Clone, Copy, Default)]
pub(super) struct Handed<'a> {
    /// The map argument.
    pub(super) map: Option<&'a MapInner>,
    /// The result is the address of one of its values, or 0.
    pub(super) value: bool,
    /// Its keys and values are shown to a callback.
    pub(super) elements: bool,
    /// The packet may have moved.
    pub(super) moves: bool,
}

impl Callable {
    /// # Errors
    /// A kfunc whose parameters can't be checked.
    pub(super) fn new<S>(ir: &Ir<S>, callee: &Callee, native: &Native) -> Result<Callable, BackendError> {
        let takes = match *callee {
            Callee::Helper(id) => helpers::proto(id).map(Takes::Helper),
            Callee::Kfunc(index) => params(ir, index).map(|params| Takes::Kfunc(params.into())),
        };
        let takes =
            takes.ok_or_else(|| BackendError::Compile(format!("the arguments of {callee:?} can't be checked")))?;
        Ok(Callable { native: native.clone(), takes })
    }

    pub(super) fn absent() -> Callable {
        Callable { native: Native::Absent, takes: Takes::Kfunc(Arc::default()) }
    }

    /// Checks a call's arguments.
    pub(super) fn admit<'a>(&self, around: &Surroundings<'a, '_>, args: [u64; 5]) -> Result<Handed<'a>, Faulted> {
        match &self.takes {
            Takes::Helper(proto) => helper(around, proto, args),
            Takes::Kfunc(params) => {
                for (param, word) in params.iter().zip(args) {
                    let Param::Memory { size, write, filled } = *param else { continue };
                    if !filled {
                        memory(around.checks, word, size, Direction::Read)?;
                    }
                    if write {
                        memory(around.checks, word, size, Direction::Write)?;
                    }
                }
                Ok(Handed::default())
            }
        }
    }
}

/// Parameters of a kfunc by its BTF: numbers, and pointers to memory of a size.
fn params<S>(ir: &Ir<S>, index: u32) -> Option<Vec<Param>> {
    let kfunc = ir.kfunc(index)?;
    let btf = &kfunc.btf;
    let own = matches!(kfunc.identity, KfuncIdentity::Builtin(_));
    let param = |ty| match btf.resolved(ty) {
        Type::Ptr { .. } => {
            let target = btf.pointee(ty)?;
            Some(Param::Memory { size: btf.size_of(target)?, write: !btf.is_const(target), filled: own })
        }
        _ => Some(Param::Number),
    };
    btf.proto(kfunc.func)?.params.iter().map(|p| param(p.ty)).collect()
}

/// `size` bytes; none at all are always there.
fn memory(checks: &Checks<'_>, at: u64, size: u64, direction: Direction) -> Result<(), Faulted> {
    if size == 0 { Ok(()) } else { checks.permit(at, size, direction) }
}

fn helper<'a>(around: &Surroundings<'a, '_>, proto: &HelperProto, args: [u64; 5]) -> Result<Handed<'a>, Faulted> {
    let checks = around.checks;
    let mut handed = Handed {
        map: None,
        value: proto.ret == RetKind::MapValueOrNull,
        elements: proto.callback == Some(CallbackUse::ForEachMapElem),
        moves: proto.changes_packet,
    };
    for (n, ((arg, word), place)) in proto.args.into_iter().zip(args).zip(PLACES).enumerate() {
        let refuse = |what| checks.refuse(Reason::Argument(place, what));
        let len = args.get(n + 1).copied().unwrap_or(0);
        let of_map = |size: fn(&MapInner) -> usize| {
            handed.map.map(|map| size(map) as u64).ok_or_else(|| refuse("no map comes before it"))
        };
        match arg {
            ArgKind::None | ArgKind::Anything | ArgKind::StackOrNull | ArgKind::Callback => {}
            ArgKind::CtxOrNull if word == 0 => {}
            ArgKind::Ctx | ArgKind::CtxOrNull if word == around.context => {}
            ArgKind::Ctx | ArgKind::CtxOrNull => return Err(refuse("it is not the run's own context")),
            ArgKind::ConstMap => handed.map = Some(map(around, proto.id, word).map_err(refuse)?),
            ArgKind::MapKey => memory(checks, word, of_map(MapInner::key_size)?, Direction::Read)?,
            ArgKind::MapValueOrNull if word == 0 => {}
            ArgKind::MapValue | ArgKind::MapValueOrNull => {
                memory(checks, word, of_map(MapInner::value_size)?, Direction::Read)?;
            }
            ArgKind::UninitMapValue => memory(checks, word, of_map(MapInner::value_size)?, Direction::Write)?,
            ArgKind::MemOrNull | ArgKind::UninitMemOrNull if word == 0 && len == 0 => {}
            ArgKind::Mem | ArgKind::MemOrNull => memory(checks, word, len, Direction::Read)?,
            ArgKind::UninitMem | ArgKind::UninitMemOrNull => memory(checks, word, len, Direction::Write)?,
            ArgKind::FixedMem(size) => memory(checks, word, u64::from(size), Direction::Read)?,
            ArgKind::UninitFixedMem(size) | ArgKind::UninitFixedMemAligned(size) => {
                memory(checks, word, u64::from(size), Direction::Write)?;
            }
            ArgKind::UninitLong => memory(checks, word, 8, Direction::Write)?,
            ArgKind::Size if word == 0 => return Err(refuse("the length is 0")),
            ArgKind::Size | ArgKind::SizeOrZero if word < MAX_MEMORY => {}
            ArgKind::Size | ArgKind::SizeOrZero => return Err(refuse("the length is beyond all memory")),
            ArgKind::ConstStr => string(around, word).map_err(refuse)?,
            ArgKind::ConstAllocSize
            | ArgKind::SpinLock
            | ArgKind::Timer
            | ArgKind::KptrField
            | ArgKind::BtfOrNull
            | ArgKind::RingbufRecord
            | ArgKind::DynptrUninitLocal
            | ArgKind::DynptrUninitRingbuf
            | ArgKind::DynptrRdonly
            | ArgKind::Dynptr
            | ArgKind::DynptrRingbuf
            | ArgKind::BtfSockCommon
            | ArgKind::Socket
            | ArgKind::PercpuBtf
            | ArgKind::BtfStruct(_)
            | ArgKind::BtfStructOrNull(_) => return Err(refuse("arguments of this kind can't be checked")),
        }
    }
    Ok(handed)
}

/// The map that an argument names, if it is one of the run's and the helper takes its kind.
pub(super) fn map<'a>(around: &Surroundings<'a, '_>, helper: u32, word: u64) -> Result<&'a MapInner, &'static str> {
    let map = around.map(word).ok_or("it is no map of the program's")?;
    if helpers::takes_map(helper, map.spec().kind, around.kind) {
        Ok(map)
    } else {
        Err("the helper does not take maps of this kind")
    }
}

/// A string that ends inside memory which nobody writes: one value of a frozen map that programs only read.
fn string(around: &Surroundings<'_, '_>, word: u64) -> Result<(), &'static str> {
    let constant = "it is no text in a read-only map";
    let region = around.checks.region_of(word).ok_or(constant)?;
    let Kind::MapValue(map) = region.kind else { return Err(constant) };
    let map = around.map(map).filter(|map| map.frozen() && region.rights == Rights::Read).ok_or(constant)?;
    let initial = map.spec().initial.as_ref().ok_or(constant)?;
    let from = usize::try_from(word - region.start).ok().and_then(|from| initial.get(from..)).ok_or(constant)?;
    if from.contains(&0) { Ok(()) } else { Err("the text has no end") }
}
