//! Facts as the walk meets them, merged over all paths.

use std::collections::HashSet;

use crate::facts::Region;
use crate::state::{Flags, Kind, RegState};

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

/// How memory is accessed, as far as several kinds of pointers in one instruction go.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Touch {
    Load,
    Atomic,
    Other,
}

/// The type of pointer that an access went through.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Touched {
    kind: std::mem::Discriminant<Kind>,
    flags: Flags,
    /// The access turns into code of its own, so no other type may meet it.
    strict: bool,
    /// A typed object or sized memory.
    mergeable: bool,
}

impl Touched {
    fn of(base: &RegState) -> Touched {
        let strict = matches!(
            base.kind,
            Kind::Ctx | Kind::SockCommon | Kind::Socket | Kind::TcpSock | Kind::Btf(_) | Kind::Arena
        );
        let mergeable = matches!(base.kind, Kind::Btf(_) | Kind::Mem(_));
        Touched { kind: std::mem::discriminant(&base.kind), flags: base.flags, strict, mergeable }
    }

    /// What both are, as far as trust goes.
    fn merged(self, other: Touched) -> Touched {
        let kind = if self.strict { other.kind } else { self.kind };
        let either = |flag: Flags| if self.flags.has(flag) || other.flags.has(flag) { flag } else { Flags::NONE };
        let flags = either(Flags::UNTRUSTED).with(either(Flags::RDONLY));
        Touched { kind, flags, strict: self.strict && other.strict, mergeable: true }
    }
}

/// What is collected of one slot.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct SlotNotes {
    pub region: Option<Region>,
    touched: Option<Touched>,
    pub map: Same,
    pub tail_index: Same,
    pub callback: Same,
    /// An object of the kernel's is passed as memory, on some path.
    pub kernel_memory: bool,
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

    /// Notes what an access touches. False if it touches things that need different code. A plain load may meet typed objects
    /// of different trust and sized memory, and an atomic operation anything but the arena: then it is probed where one of
    /// them is (Linux: `save_aux_ptr_type`).
    pub fn region(&mut self, at: u32, base: &RegState, region: Region, how: Touch) -> bool {
        let touched = Touched::of(base);
        let Some(notes) = self.slot(at) else { return true };
        let (Some(old), Some(before)) = (notes.region, notes.touched) else {
            (notes.region, notes.touched) = (Some(region), Some(touched));
            return true;
        };
        let strict = touched.strict || before.strict;
        let probed = region == Region::Probe || old == Region::Probe;
        if touched == before || !(strict || probed) {
            if old != region {
                notes.region = Some(Region::Mixed);
            }
            return old == region || !(strict || probed);
        }
        let merges = match how {
            Touch::Load => touched.mergeable && before.mergeable,
            Touch::Atomic => region != Region::Arena && old != Region::Arena,
            Touch::Other => false,
        };
        if !merges {
            return false;
        }
        notes.touched = Some(before.merged(touched));
        notes.region = Some(match () {
            () if probed => Region::Probe,
            () if old == region => old,
            () => Region::Mixed,
        });
        true
    }

    pub fn held_call(&mut self, call: HeldCall) {
        // A call has one callee.
        if self.held_at.insert(call.at) {
            self.held_calls.push(call);
        }
    }
}
