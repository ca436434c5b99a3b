//! What must hold before an instruction may run.

mod args;
mod dynptr;
mod kptr;
mod lock;
mod map_ptr;
mod mem;
mod object;
mod region;
mod res_lock;
mod stack_access;
mod stack_range;
mod trust;

pub(crate) use args::CallMeta;
pub(crate) use dynptr::DynptrUse;
pub(crate) use lock::lock_place;
pub(crate) use mem::{Access, Value};
pub(crate) use res_lock::res_lock_call;
