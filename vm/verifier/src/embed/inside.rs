//! Whether a run is inside a state.
//!
//! Dead registers and slots were taken from kept states, and imprecise scalars say nothing of their value (only that there is
//! one): pruned paths may carry others. What is left holds on every path.

use backstop_isa::Reg;

use super::claims::Claims;
use super::concrete::{Concrete, PacketBounds, Place, PlaceKind};
use crate::domain;
use crate::state::{
    ADD_CONST, ADD_CONST32, AT_PKT_END, BEYOND_PKT_END, Byte, Flags, Frame, Kind, MapId, Marks, RegState, Slot, State,
};

/// Why a run is not inside, in words. Empty where nobody asked for them.
type Outside = String;

/// One question: a run and the frame of it that a state's outermost one stands for.
pub(super) struct Inside<'a> {
    claims: &'a Claims,
    view: &'a dyn Concrete,
    base: usize,
    /// Scalars count though they are not marked.
    all: bool,
    /// Reasons are wanted in words, which cost far more than the question.
    words: bool,
    /// Values met of each id, to be compared.
    ids: Vec<(IdUse, u64)>,
}

/// What registers of one id have in common.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum IdUse {
    /// The number less its distance.
    Scalar(u32),
    /// The low half of that.
    Low(u32),
    /// Whether it is NULL.
    Null(u32),
    /// The address less its fixed offset.
    Packet(u32),
}

/// Where the state's outermost frame lies in the run, if its frames are the run's. A walk begins at the run's first frame, or at
/// a global function, which is proved by itself.
pub(super) fn base_of(claims: &Claims, state: &State, view: &dyn Concrete) -> Option<usize> {
    let base = view.frames().checked_sub(state.frames.len())?;
    let start = |n: usize| claims.functions.get(state.frame_at(n).subprog as usize).map(|f| f.start);
    let same = |n: usize| {
        start(n) == Some(view.function(base + n))
            && (n == 0 || view.call_site(base + n) == Some(state.frame_at(n).callsite))
    };
    let is_root = base == 0 || claims.function_at(view.function(base)).is_some_and(|f| f.global);
    (is_root && (0..state.frames.len()).all(same)).then_some(base)
}

/// Whether the run is inside the state. With `all`, every scalar counts.
pub(super) fn holds(claims: &Claims, state: &State, view: &dyn Concrete, base: usize, all: bool) -> bool {
    ask(claims, state, view, base, all, false).is_ok()
}

/// Why the run is not inside the state.
pub(super) fn miss(claims: &Claims, state: &State, view: &dyn Concrete, base: usize, all: bool) -> Option<Outside> {
    ask(claims, state, view, base, all, true).err()
}

fn ask(
    claims: &Claims,
    state: &State,
    view: &dyn Concrete,
    base: usize,
    all: bool,
    words: bool,
) -> Result<(), Outside> {
    let mut question = Inside { claims, view, base, all: all || claims.all_count(), words, ids: Vec::new() };
    // The innermost frame is the likeliest to differ.
    (0..state.frames.len()).rev().try_for_each(|n| question.frame(n, state))
}

impl Inside<'_> {
    fn say(&self, words: impl FnOnce() -> String) -> Outside {
        if self.words { words() } else { String::new() }
    }

    fn frame(&mut self, n: usize, state: &State) -> Result<(), Outside> {
        let (frame, marks) = (state.frame_at(n), state.marks_of(n));
        for reg in (0..Reg::COUNT as u8).filter_map(Reg::new) {
            let i = reg.index();
            let claim = &frame.regs[i];
            if !claim.is_init() {
                continue;
            }
            let Some(value) = self.view.reg(self.base + n, reg) else {
                // Calls do not keep r0 to r5, and a run need not show them.
                if n < state.top() && i < 6 {
                    continue;
                }
                return Err(self.say(|| format!("frame {n}: r{i} was never written, the claim is {claim:?}")));
            };
            let claimed = self.all || marks.reg(i);
            self.value(claim, claimed, value)
                .map_err(|why| self.say(|| format!("frame {n}: r{i} = {value:#x}: {why}")))?;
        }
        self.stack(n, frame, marks)
    }

    fn stack(&mut self, n: usize, frame: &Frame, marks: Marks) -> Result<(), Outside> {
        for (i, slot) in frame.stack.iter().enumerate() {
            let low = -8 * (i as i32 + 1);
            for (j, byte) in slot.bytes.iter().enumerate().filter(|(_, b)| **b == Byte::Zero) {
                let at = low + j as i32;
                match self.view.stack_byte(self.base + n, at) {
                    Some(0) => {}
                    got => {
                        return Err(
                            self.say(|| format!("frame {n}: the byte at fp{at} is {got:?}, the claim is {byte:?}"))
                        );
                    }
                }
            }
            if slot.is_spill() {
                self.spilled(n, slot, low, self.all || marks.slot(i))
                    .map_err(|why| self.say(|| format!("frame {n}: spilled at fp{low}: {why}")))?;
            }
        }
        Ok(())
    }

    fn spilled(&mut self, n: usize, slot: &Slot, low: i32, claimed: bool) -> Result<(), Outside> {
        let size = slot.spill_size() as usize;
        let mut bytes = [0; 8];
        for (j, byte) in bytes.iter_mut().enumerate().take(size) {
            match self.view.stack_byte(self.base + n, low + j as i32) {
                Some(b) => *byte = b,
                // Privileged programs may read what was never written, which counts as any number.
                None if slot.is_spilled_scalar() && !claimed => return Ok(()),
                None => return Err(self.say(|| format!("was never written, the claim is {:?}", slot.spilled()))),
            }
        }
        let value = u64::from_le_bytes(bytes);
        // The claim is of the register before it was cut.
        let spilled = *slot.spilled();
        let cut = match spilled.is_scalar() && size < 8 {
            true => RegState { var: domain::zero_extend_load(size as u32, &spilled.var), ..spilled },
            false => spilled,
        };
        self.value(&cut, claimed, value).map_err(|why| self.say(|| format!("{value:#x}: {why}")))
    }

    /// One value and what is claimed of it.
    fn value(&mut self, claim: &RegState, claimed: bool, value: u64) -> Result<(), Outside> {
        if claim.is_scalar() {
            return if claimed { self.scalar(claim, value) } else { Ok(()) };
        }
        if claim.maybe_null() {
            self.same(IdUse::Null(claim.id), claim.id, u64::from(value == 0))?;
            if value == 0 {
                return Ok(());
            }
        } else if value == 0 && claim.not_null() {
            return Err(self.say(|| format!("NULL, the claim is {}", claim.type_name())));
        }
        self.pointer(claim, value)
    }

    fn scalar(&mut self, claim: &RegState, value: u64) -> Result<(), Outside> {
        if !claim.var.contains(value) {
            return Err(self.say(|| format!("the claim is {:?}", claim.var)));
        }
        let id = claim.base_id();
        let distance = if claim.id & ADD_CONST != 0 { claim.off } else { 0 };
        let plain = value.wrapping_sub(i64::from(distance) as u64);
        if claim.id & ADD_CONST32 == 0 {
            self.same(IdUse::Scalar(id), id, plain)?;
        }
        self.same(IdUse::Low(id), id, u64::from(plain as u32))
    }

    /// All that have an id agree.
    fn same(&mut self, key: IdUse, id: u32, value: u64) -> Result<(), Outside> {
        if id == 0 {
            return Ok(());
        }
        match self.ids.iter().find(|(k, _)| *k == key) {
            Some((_, v)) if *v == value => Ok(()),
            Some((_, v)) => {
                Err(self.say(|| format!("has {key:?} with another that gives {v:#x}, and gives {value:#x}")))
            }
            None => {
                self.ids.push((key, value));
                Ok(())
            }
        }
    }

    fn pointer(&mut self, claim: &RegState, value: u64) -> Result<(), Outside> {
        match claim.kind {
            Kind::Ctx => self.based(claim, value, self.view.context(), "the context"),
            Kind::Stack(frame) => {
                let fp = self.view.reg(self.base + usize::from(frame), Reg::R10);
                self.based(claim, value, fp, "the frame pointer")
            }
            Kind::Packet => {
                let packet = Some(self.packet());
                self.based(claim, value, packet.map(|p| p.data), "the packet's start")?;
                self.range(claim, value, packet.map(|p| p.end))
            }
            Kind::PacketMeta => {
                let packet = Some(self.packet());
                self.based(claim, value, packet.map(|p| p.meta), "the metadata's start")?;
                self.range(claim, value, packet.map(|p| p.data))
            }
            Kind::PacketEnd if self.packet().end == value => Ok(()),
            Kind::PacketEnd => Err("is not the packet's end".to_owned()),
            Kind::MapValue(map) => self.element(claim, value, |place| match place.kind {
                PlaceKind::MapValue { map: found } => self.is_map(map, found),
                _ => false,
            }),
            Kind::MapKey(map) => self.element(claim, value, |place| match place.kind {
                PlaceKind::MapKey { map: found } => self.is_map(map, found),
                _ => false,
            }),
            Kind::MapPtr(map) => self.whole(value, "a map", |kind| match kind {
                PlaceKind::Map { map: found } => self.is_map(map, found),
                _ => false,
            }),
            // One that was computed with can't be called.
            Kind::Func(sub) if claim.off == 0 && claim.var.is_const() == Some(0) => {
                let start = self.claims.functions.get(sub as usize).map(|f| f.start);
                self.whole(value, "a function", |kind| match kind {
                    PlaceKind::Function { slot } => Some(slot) == start,
                    _ => false,
                })
            }
            Kind::Mem(size) if !claim.flags.any(Flags::UNTRUSTED.with(Flags::PACKET_SLICE)) => {
                self.memory(claim, value, size)
            }
            _ => Ok(()),
        }
    }

    /// Contexts without a packet have 0 for its start and its end (I10).
    fn packet(&self) -> PacketBounds {
        self.view.packet().unwrap_or(PacketBounds { meta: 0, data: 0, end: 0 })
    }

    fn is_map(&self, map: MapId, found: Option<u32>) -> bool {
        match found {
            Some(index) => index == map.0,
            None => map.0 as usize >= self.claims.program.maps.len(),
        }
    }

    /// The distance from `start` must be in the claimed offsets.
    fn based(&self, claim: &RegState, value: u64, start: Option<u64>, what: &str) -> Result<(), Outside> {
        let Some(start) = start else { return Err(self.say(|| format!("{what} is not there"))) };
        let off = value.wrapping_sub(start);
        if claim.var.contains(off.wrapping_sub(i64::from(claim.off) as u64)) {
            return Ok(());
        }
        Err(self.say(|| format!("lies {} from {what}, the claim is {} and {:?}", off as i64, claim.off, claim.var)))
    }

    /// How much of the packet is known to be there, counted from the pointer less its fixed offset.
    fn range(&mut self, claim: &RegState, value: u64, end: Option<u64>) -> Result<(), Outside> {
        let Some(end) = end else { return Err("the packet's end is not there".to_owned()) };
        let base = value.wrapping_sub(i64::from(claim.off) as u64);
        let fine = match claim.range {
            AT_PKT_END => value >= end,
            BEYOND_PKT_END => value > end,
            range => base.wrapping_add(i64::from(range) as u64) <= end || range <= 0,
        };
        if !fine {
            let left = end.wrapping_sub(base) as i64;
            return Err(self.say(|| format!("has {left} bytes before the end, the claim is {}", claim.range)));
        }
        self.same(IdUse::Packet(claim.id), claim.id, base)
    }

    /// A pointer into one element: the claimed offsets hold from its region's start, unless they leave it.
    fn element(&self, claim: &RegState, value: u64, fits: impl Fn(&Place) -> bool) -> Result<(), Outside> {
        let place = self.view.region(value);
        let offset = |p: &Place| p.offset.wrapping_sub(i64::from(claim.off) as u64);
        if place.is_some_and(|p| fits(&p) && claim.var.contains(offset(&p))) {
            return Ok(());
        }
        let size = match claim.kind {
            Kind::MapValue(map) | Kind::MapKey(map) => self.size_of(claim.kind, map),
            _ => 0,
        };
        let low = claim.var.smin.saturating_add(i64::from(claim.off));
        let high = claim.var.smax.saturating_add(i64::from(claim.off));
        if low < 0 || high >= i64::from(size) {
            // Moved out, perhaps into something else; it can't be followed before it is moved back.
            return Ok(());
        }
        Err(self.say(|| format!("lies in {place:?}, the claim is {} at {low} to {high}", claim.type_name())))
    }

    /// Bytes of the map's keys or values; 0 for maps that the program has only by another map.
    fn size_of(&self, kind: Kind, map: MapId) -> u32 {
        let spec = self.claims.program.maps.get(map.0 as usize);
        spec.map_or(0, |spec| if matches!(kind, Kind::MapKey(_)) { spec.key_size } else { spec.value_size })
    }

    fn whole(&self, value: u64, what: &str, fits: impl Fn(PlaceKind) -> bool) -> Result<(), Outside> {
        match self.view.region(value) {
            Some(place) if fits(place.kind) => Ok(()),
            place => Err(self.say(|| format!("is {place:?}, the claim is {what} of the program's"))),
        }
    }

    /// Somewhere in the claimed offsets there is a start from which `size` bytes lie in one region.
    fn memory(&self, claim: &RegState, value: u64, size: u32) -> Result<(), Outside> {
        let place = self.view.region(value);
        let room = i64::from(size);
        let (low, high) =
            (claim.var.smin.saturating_add(i64::from(claim.off)), claim.var.smax.saturating_add(i64::from(claim.off)));
        if low < 0 || high > room {
            return Ok(());
        }
        let Some(place) = place.filter(|p| p.kind != PlaceKind::Object) else {
            return Err(self.say(|| format!("lies in {place:?}, the claim is memory of {size} bytes")));
        };
        // Starts that the region allows, and those that the offsets allow.
        let offset = place.offset as i64;
        let first = offset.saturating_sub(high).max(0);
        let last = offset.saturating_sub(low).min((place.size as i64).saturating_sub(room));
        if first <= last {
            return Ok(());
        }
        Err(self.say(|| format!("lies in {place:?}, the claim is memory of {size} bytes at {low} to {high}")))
    }
}
