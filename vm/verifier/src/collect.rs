//! Facts as the walk meets them, merged over all paths.

use std::collections::HashSet;

use crate::facts::Region;
use crate::state::{Kind, RegState};

/// A fact that must be the same on every path to be one.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) enum Same {
    #[default]
    Unseen,
    Always(u32),
    Varies,
}

impl Same {
    pub fn add(&mut self, value: Option<u32>) {
        *self = match (*self, value) {
            (Same::Unseen, Some(v)) => Same::Always(v),
            (Same::Always(a), Some(v)) if a == v => Same::Always(a),
            _ => Same::Varies,
        };
    }

    pub fn get(self) -> Option<u32> {
        match self {
            Same::Always(v) => Some(v),
            _ => None,
        }
    }
}

/// What is collected of one slot.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct SlotNotes {
    pub region: Option<Region>,
    /// The access turns into code of its own, so no other kind may meet it.
    strict: bool,
    pub map: Same,
    pub tail_index: Same,
    pub callback: Same,
    /// A path went on after this call.
    pub returned: bool,
}

/// A call of a global subprogram while something is held.
#[derive(Clone, Debug)]
pub(crate) struct HeldCall {
    pub at: u32,
    pub callee: usize,
    pub what: String,
}

/// All that is collected.
#[derive(Clone, Debug)]
pub(crate) struct Collected {
    pub slots: Vec<SlotNotes>,
    pub throws: bool,
    pub tail_calls: bool,
    pub held_calls: Vec<HeldCall>,
    /// Bytes of the context that were passed on as memory.
    pub context_bytes: u32,
    held_at: HashSet<u32>,
}

impl Collected {
    pub fn new(slots: usize) -> Collected {
        Collected {
            slots: vec![SlotNotes::default(); slots],
            throws: false,
            tail_calls: false,
            held_calls: Vec::new(),
            context_bytes: 0,
            held_at: HashSet::new(),
        }
    }

    pub fn slot(&mut self, at: u32) -> Option<&mut SlotNotes> {
        self.slots.get_mut(at as usize)
    }

    /// Notes what an access touches. False if it touches things that need different code.
    pub fn region(&mut self, at: u32, base: &RegState, region: Region) -> bool {
        let strict = matches!(
            base.kind,
            Kind::Ctx | Kind::SockCommon | Kind::Socket | Kind::TcpSock | Kind::XdpSock | Kind::Btf(_) | Kind::Arena
        ) || region == Region::Probe;
        let Some(notes) = self.slot(at) else { return true };
        match notes.region {
            None => {
                notes.region = Some(region);
                notes.strict = strict;
                true
            }
            Some(old) if old == region => true,
            Some(_) if strict || notes.strict => false,
            Some(_) => {
                notes.region = Some(Region::Mixed);
                true
            }
        }
    }

    pub fn held_call(&mut self, call: HeldCall) {
        // A call has one callee.
        if self.held_at.insert(call.at) {
            self.held_calls.push(call);
        }
    }
}
