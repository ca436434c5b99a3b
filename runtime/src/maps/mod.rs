//! Maps: memory that programs and the host share.
//!
//! - [`slab`], [`array`], [`hash`], [`prog_array`]: one data structure each; they know nothing of engines;
//! - [`inner`]: a map as programs hold it: its native object, storage of its kind, operations by key;
//! - [`handle`]: [`Map`], the host's handle; [`typed`]: the same with Rust types.
//!
//! Life cycle: a map lives as long as a handle or a program that names it. Its address never changes; its elements are never
//! moved and, while it lives, never unmapped.

mod array;
mod error;
mod handle;
mod hash;
pub(crate) mod hazard;
mod inner;
mod owner;
mod prog_array;
mod slab;
mod typed;

pub use error::MapError;
pub use handle::{Map, MapIter};
pub(crate) use hash::NewValue;
pub(crate) use inner::Storage;
pub(crate) use inner::{MapInner, MapRef, inner_from_native, is_stored};
pub use typed::{Plain, TypedMap};

/// What an update may do (Linux: `BPF_ANY`, `BPF_NOEXIST`, `BPF_EXIST`).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Update {
    /// Insert or replace.
    #[default]
    Any,
    /// Insert only.
    NoExist,
    /// Replace only.
    Exist,
}

impl Update {
    /// From a helper's flags; `None` (`EINVAL`) if they are anything else. `BPF_F_LOCK` is not taken.
    pub(crate) fn from_flags(flags: u64) -> Option<Update> {
        match flags {
            0 => Some(Update::Any),
            1 => Some(Update::NoExist),
            2 => Some(Update::Exist),
            _ => None,
        }
    }
}
