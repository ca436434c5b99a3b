//! What the users and the entries of one prog_array must have in common.
//!
//! A tail call hands its caller's context on: the target was proved for a context of its own type, so all programs around one array must
//! agree on it (Linux: `bpf_prog_map_compatible`). The first to come decides.

use std::sync::Arc;

use backstop_model::{AttachType, HostContext, ProgKind, ProgType};

use crate::engine::EngineKind;

/// The common part.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Owner {
    ty: ProgType,
    attach: AttachType,
    sleepable: bool,
    frags: bool,
    /// For raw memory: its length, which the proof relies on.
    memory_len: Option<u32>,
    host: Option<Arc<HostContext>>,
    engine: EngineKind,
}

impl Owner {
    pub(crate) fn new(kind: &ProgKind, engine: EngineKind) -> Owner {
        Owner {
            ty: kind.ty,
            attach: kind.attach,
            sleepable: kind.sleepable,
            frags: kind.frags,
            memory_len: (kind.ty == ProgType::RawMem).then_some(kind.memory_len),
            host: kind.host.clone(),
            engine,
        }
    }

    /// Whether a program of the kind of `other` may stand around an array of this owner.
    ///
    /// # Errors
    /// What differs, in words.
    pub(crate) fn admits(&self, other: &Owner) -> Result<(), String> {
        let differs =
            |what: &str| Err(format!("its programs must agree in {what} with the first one that used the map"));
        if self.ty != other.ty {
            return differs(&format!("type ({}, not {})", self.ty.name(), other.ty.name()));
        }
        if self.attach != other.attach {
            return differs("attach type");
        }
        if self.engine != other.engine {
            return differs("engine");
        }
        if self.memory_len != other.memory_len {
            return differs("the length of their memory");
        }
        if self.host != other.host {
            return differs("their context struct");
        }
        if (self.sleepable, self.frags) != (other.sleepable, other.frags) {
            return differs("whether they may sleep and take fragmented packets");
        }
        Ok(())
    }
}
