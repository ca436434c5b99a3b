//! The world of eBPF as data, said once: program types and context fields, helpers, kfunc flags, map kinds.
#![forbid(unsafe_code)]

mod context;
pub mod contexts;
mod helper;
pub mod helpers;
pub mod kernel_btf;
mod kernel_kfuncs;
pub mod kernel_types;
mod kfunc;
pub mod kfuncs;
mod license;
mod map;
mod map_rules;
pub mod map_struct;
mod naming;
mod prog;
mod program;
pub mod returns;
pub mod sections;
pub mod sockets;
mod types;

pub use context::{CtxAccess, CtxError, FieldKind};
pub use helper::{ArgKind, CallbackUse, HelperProto, RetKind};
pub use kernel_btf::KernelBtf;
pub use kfunc::{BuiltinKfunc, KfuncFlags};
pub use license::license_is_gpl_compatible;
pub use map::{MAP_F_NO_PREALLOC, MAP_F_RDONLY_PROG, MAP_F_WRONLY_PROG, MapKind, MapSpec};
pub use map_rules::{
    MAX_ELEMENT, MAX_MAP_BYTES, MAX_PERCPU_VALUE, MapKindInfo, MapSpecError, SpecialField, field_refusal, is_tracing,
};
pub use prog::{AttachType, HostContext, HostField, ProgKind, ProgType};
pub use program::{FuncInfo, Kfunc, KfuncIdentity, LineInfo, Poisoned, Program};
