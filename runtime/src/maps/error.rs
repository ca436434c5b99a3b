//! What can go wrong with a map.

use backstop_model::MapSpecError;

/// An operation on a map that failed; the map is as it was before.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MapError {
    /// No such map can exist.
    #[error(transparent)]
    Spec(#[from] MapSpecError),
    /// The kind is known but not built.
    #[error("maps of kind {kind} can be verified against but not made by this version")]
    Unsupported {
        /// The kind.
        kind: String,
    },
    /// The engine's budget is used up.
    #[error("the map needs {needed} bytes, {left} of the engine's map memory are left; raise `Config::map_memory`")]
    Budget {
        /// Bytes needed.
        needed: u64,
        /// Bytes left.
        left: u64,
    },
    /// The system has no memory.
    #[error("no memory for {bytes} bytes of map")]
    Memory {
        /// Bytes wanted.
        bytes: u64,
    },
    /// A key of another size.
    #[error("a key has {expected} bytes, this one {given}")]
    KeySize {
        /// What the map wants.
        expected: u32,
        /// What was given.
        given: usize,
    },
    /// A value of another size.
    #[error("a value has {expected} bytes, this one {given}")]
    ValueSize {
        /// What the map wants.
        expected: usize,
        /// What was given.
        given: usize,
    },
    /// No such element (`ENOENT`).
    #[error("no such element")]
    NotFound,
    /// The element exists and `NOEXIST` was asked for (`EEXIST`).
    #[error("the element exists already")]
    Exists,
    /// No room for a further element, or an index beyond the last (`E2BIG`).
    #[error("the map holds {capacity} elements and no more")]
    Full {
        /// Its capacity.
        capacity: u32,
    },
    /// Not possible for this kind (`EINVAL`).
    #[error("{what} is not possible for this kind of map")]
    Invalid {
        /// What was asked for.
        what: &'static str,
    },
    /// The map's flags forbid the host to do it (`EPERM`; `BPF_F_RDONLY`, `BPF_F_WRONLY`).
    #[error("the map's flags forbid the host to {what} it")]
    Denied {
        /// `read` or `write`.
        what: &'static str,
    },
    /// The content is final.
    #[error("the map is frozen: its content was final when programs were verified against it")]
    Frozen,
}

impl MapError {
    /// Linux's number for it, negative, as helpers return it.
    #[inline]
    pub(crate) fn errno(&self) -> i64 {
        match self {
            MapError::NotFound => -2,
            MapError::Exists => -17,
            MapError::Full { .. } => -7,
            MapError::Frozen | MapError::Denied { .. } => -1,
            MapError::Memory { .. } | MapError::Budget { .. } => -12,
            MapError::Spec(_)
            | MapError::Unsupported { .. }
            | MapError::KeySize { .. }
            | MapError::ValueSize { .. }
            | MapError::Invalid { .. } => -22,
        }
    }
}
