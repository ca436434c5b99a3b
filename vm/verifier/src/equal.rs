//! State inclusion: whether a state that was walked before covers the current one.

use std::sync::Arc;

use crate::env::Verifier;
use crate::state::{
    ADD_CONST, Byte, Checkpoint, Frame, Held, Kind, Marks, Object, PackedFrame, RefKind, RegState, Shared, Slot, State,
};

/// How alike two states must be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Exactness {
    /// Imprecise scalars of the old state claim nothing.
    NotExact,
    /// The same in all they say.
    Exact,
    /// The current one within the old one, imprecise scalars too.
    RangeWithin,
}

impl Exactness {
    /// How a scalar of the old state is compared, which is precise or not.
    fn of_scalar(self, precise: bool) -> Exactness {
        if precise && self == Exactness::NotExact { Exactness::RangeWithin } else { self }
    }
}

/// Which id of the old state stands for which of the current one, while two states are compared.
#[derive(Debug, Default)]
pub(crate) struct IdMap {
    pairs: Vec<(u32, u32)>,
    next: u32,
}

impl IdMap {
    pub fn reset(&mut self, next: u32) {
        self.pairs.clear();
        self.next = next;
    }

    /// Both or neither must be set, and the relation stays one to one.
    pub fn ids(&mut self, old: u32, cur: u32) -> bool {
        if (old == 0) != (cur == 0) {
            return false;
        }
        if old == 0 {
            return true;
        }
        for &(o, c) in &self.pairs {
            if o == old {
                return c == cur;
            }
            if c == cur {
                return false;
            }
        }
        self.pairs.push((old, cur));
        true
    }

    /// As [`IdMap::ids`]; an id of 0 is one that nothing else has.
    fn scalar_ids(&mut self, old: u32, cur: u32) -> bool {
        if old == 0 {
            return true;
        }
        let cur = if cur == 0 { self.fresh() } else { cur };
        self.ids(old, cur)
    }

    fn fresh(&mut self) -> u32 {
        self.next = self.next.wrapping_add(1) & !ADD_CONST;
        self.next
    }
}

/// Whether two states agree on what pruning compares, `old` having been walked before `insn`.
pub(crate) fn states_equal(v: &Verifier<'_>, map: &mut IdMap, old: &Checkpoint, cur: &State, exact: Exactness) -> bool {
    let frames = old.frames();
    if frames.len() != cur.frames.len() || old.sleepable != cur.sleepable {
        return false;
    }
    map.reset(v.ids);
    if !held_equal(&old.held, &cur.held, map) {
        return false;
    }
    let alike = |(o, c): (&Shared<PackedFrame>, &Shared<Frame>)| {
        o.callsite == c.callsite && o.subprog == c.subprog && o.role == c.role && o.callback_depth <= c.callback_depth
    };
    if !frames.iter().zip(&cur.frames).all(alike) {
        return false;
    }
    // The innermost frame is the likeliest to differ.
    for (n, (o, c)) in frames.iter().zip(&cur.frames).enumerate().rev() {
        let live = v.aux_at(old.frame_insn(n)).live;
        if !frames_equal(v, map, o, c, live, old.marks_of(n), exact) {
            return false;
        }
    }
    true
}

fn held_equal(old: &Held, cur: &Held, map: &mut IdMap) -> bool {
    if old.refs.len() != cur.refs.len() || old.locks != cur.locks || old.preempt != cur.preempt || old.rcu != cur.rcu {
        return false;
    }
    if !map.ids(old.irq_id, cur.irq_id)
        || !map.ids(old.active_lock_id, cur.active_lock_id)
        || old.active_lock_place != cur.active_lock_place
    {
        return false;
    }
    old.refs.iter().zip(&cur.refs).all(|(o, c)| {
        map.ids(o.id, c.id)
            && match (o.kind, c.kind) {
                (RefKind::Lock { id: x, place: a }, RefKind::Lock { id: y, place: b }) => a == b && map.ids(x, y),
                (RefKind::ResLock { id: x, place: a, irq: i }, RefKind::ResLock { id: y, place: b, irq: j }) => {
                    a == b && i == j && map.ids(x, y)
                }
                (a, b) => a == b,
            }
    })
}

fn frames_equal(
    v: &Verifier<'_>,
    map: &mut IdMap,
    old: &Shared<PackedFrame>,
    cur: &Frame,
    live: u16,
    marks: Marks,
    exact: Exactness,
) -> bool {
    let same = cur.packed.get().is_some_and(|c| Arc::ptr_eq(old, c));
    for (i, (o, c)) in old.regs().zip(&cur.regs).enumerate() {
        let nothing_to_say = live & (1 << i) == 0 || same && o.has_no_ids();
        if !nothing_to_say && !reg_covers(map, o, c, exact.of_scalar(marks.reg(i))) {
            return false;
        }
    }
    stack_covers(v, map, old, cur, marks, exact)
}

/// Everything but ids is the same, and ids correspond.
fn regs_exact(map: &mut IdMap, old: &RegState, cur: &RegState) -> bool {
    old.kind == cur.kind
        && old.flags == cur.flags
        && old.off == cur.off
        && old.range == cur.range
        && old.map_uid == cur.map_uid
        && old.dynptr_id == cur.dynptr_id
        && old.var == cur.var
        && old.id & ADD_CONST == cur.id & ADD_CONST
        && map.ids(old.base_id(), cur.base_id())
        && map.ids(old.ref_id, cur.ref_id)
}

fn reg_covers(map: &mut IdMap, old: &RegState, cur: &RegState, exact: Exactness) -> bool {
    if exact == Exactness::Exact {
        return regs_exact(map, old, cur);
    }
    // What was not there when a loop began may be read in its later rounds.
    if !old.is_init() && (exact == Exactness::NotExact || !cur.is_init()) {
        return true;
    }
    if std::mem::discriminant(&old.kind) != std::mem::discriminant(&cur.kind) || old.flags != cur.flags {
        return false;
    }
    match old.kind {
        Kind::Scalar => scalar_covers(map, old, cur, exact),
        Kind::MapKey(_) | Kind::MapValue(_) | Kind::Mem(_) => {
            old.kind == cur.kind
                && old.off == cur.off
                && old.map_uid == cur.map_uid
                && old.dynptr_id == cur.dynptr_id
                && cur.var.is_subset_of(&old.var)
                && map.ids(old.id, cur.id)
                && map.ids(old.ref_id, cur.ref_id)
        }
        Kind::Packet | Kind::PacketMeta => {
            let range = if old.range < 0 || cur.range < 0 { old.range == cur.range } else { old.range <= cur.range };
            range && old.off == cur.off && map.ids(old.id, cur.id) && cur.var.is_subset_of(&old.var)
        }
        Kind::Arena => true,
        _ => regs_exact(map, old, cur),
    }
}

fn scalar_covers(map: &mut IdMap, old: &RegState, cur: &RegState, exact: Exactness) -> bool {
    if exact == Exactness::NotExact {
        return true;
    }
    // A distance to linked registers only counts where the old state relies on it. The ids are compared without its mark:
    // with it, a register and its distant twin would be two unrelated values, and each pair of states would look alike.
    // An old value that stood alone covers linked ones too: links only add to what is known.
    let apart = (old.id & ADD_CONST) != (cur.id & ADD_CONST) || (old.id & ADD_CONST != 0 && old.off != cur.off);
    if old.id != 0 && apart {
        return false;
    }
    cur.var.is_subset_of(&old.var) && map.scalar_ids(old.base_id(), cur.base_id())
}

/// A slot that reads as one 64-bit scalar: a spilled one, or eight bytes of anything.
fn as_scalar<'s>(v: &Verifier<'_>, slot: &'s Slot) -> Option<&'s RegState> {
    static ANYTHING: RegState = RegState::UNKNOWN;
    if slot.is_spilled_scalar64() {
        return Some(slot.spilled());
    }
    let misc = slot.bytes.iter().all(|b| *b == Byte::Misc || (*b == Byte::Invalid && v.uninit_allowed()));
    misc.then_some(&ANYTHING)
}

fn stack_covers(
    v: &Verifier<'_>,
    map: &mut IdMap,
    old: &PackedFrame,
    cur: &Frame,
    marks: Marks,
    exact: Exactness,
) -> bool {
    let mut first = 0;
    for (n, chunk) in old.stack.chunks().iter().enumerate() {
        // The same in all but ids, which must correspond.
        let same = cur.stack.chunks().get(n).is_some_and(|c| Arc::ptr_eq(c, chunk));
        for (i, o) in (first..old.stack.len()).zip(chunk.iter()) {
            let nothing_to_say = same && o.reg.as_ref().is_none_or(|r| r.has_no_ids()) && i < cur.stack.len();
            if !nothing_to_say && !slot_covers(v, map, o, cur.slot(i), exact, marks.slot(i)) {
                return false;
            }
        }
        first += chunk.len();
    }
    true
}

/// A precise scalar must be within the old one, but what kinds of bytes a slot holds is asked as for any other: one that is dead and was
/// precise says nothing.
fn slot_covers(v: &Verifier<'_>, map: &mut IdMap, o: &Slot, c: Option<&Slot>, exact: Exactness, precise: bool) -> bool {
    let ignored = |b: Byte| b == Byte::Invalid || (b == Byte::Misc && v.uninit_allowed());
    if exact != Exactness::NotExact {
        if c.is_none_or(|c| c.bytes != o.bytes) {
            return false;
        }
    } else if o.bytes.iter().all(|b| ignored(*b)) {
        return true;
    }
    let Some(c) = c else { return o.bytes.iter().all(|b| ignored(*b)) };
    if let (Some(a), Some(b)) = (as_scalar(v, o), as_scalar(v, c)) {
        return reg_covers(map, a, b, exact.of_scalar(precise));
    }
    for (ob, cb) in o.bytes.iter().zip(&c.bytes) {
        let fine = ignored(*ob) || ob == cb || (*ob == Byte::Misc && *cb == Byte::Zero);
        if !fine {
            return false;
        }
    }
    match o.bytes[0] {
        Byte::Spill => reg_covers(map, o.spilled(), c.spilled(), exact.of_scalar(precise)),
        Byte::Dynptr | Byte::Iter | Byte::IrqFlag => objects_equal(map, o, c),
        _ => true,
    }
}

fn objects_equal(map: &mut IdMap, o: &Slot, c: &Slot) -> bool {
    let same = match (o.object, c.object) {
        (
            Some(Object::Iter { kind: a, state: s, first: f, .. }),
            Some(Object::Iter { kind: b, state: t, first: g, .. }),
        ) => a == b && s == t && f == g,
        (a, b) => a == b,
    };
    same && o.reg_flags() == c.reg_flags() && map.ids(o.reference(), c.reference())
}

/// Whether the current state differs from the old one in registers, the cheap sign that this is no endless loop.
pub(crate) fn maybe_looping(old: &Checkpoint, cur: &State) -> bool {
    old.depth() == cur.frames.len() && old.frame().is_some_and(|o| o.regs().eq(&cur.frame().regs))
}

/// Some open iterator has gone on between the two states.
pub(crate) fn iter_depths_differ(old: &Checkpoint, cur: &State) -> bool {
    old.frames().iter().zip(&cur.frames).any(|(of, cf)| {
        of.stack.iter().zip(cf.stack.iter()).any(|(o, c)| match (o.object, c.object) {
            (Some(Object::Iter { depth: a, first: true, .. }), Some(Object::Iter { depth: b, .. })) => a != b,
            _ => false,
        })
    })
}
