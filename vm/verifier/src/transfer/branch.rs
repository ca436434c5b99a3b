//! Conditional branches: which way they go, and what each way teaches.

use backstop_isa::{CmpOp, Operand, Reg, Width};
use backstop_model::MapKind;

use crate::domain;
use crate::env::Verifier;
use crate::explore::Step;
use crate::fields::FieldClass;
use crate::reason::{Check, Reason};
use crate::state::{
    ADD_CONST, ADD_CONST32, AT_PKT_END, Access, BEYOND_PKT_END, Flags, Kind, Linked, LinkedSet, RefKind, RegState,
    State,
};

/// The condition with its operands exchanged.
pub(crate) const fn flip(op: CmpOp) -> CmpOp {
    match op {
        CmpOp::Gt => CmpOp::Lt,
        CmpOp::Ge => CmpOp::Le,
        CmpOp::Lt => CmpOp::Gt,
        CmpOp::Le => CmpOp::Ge,
        CmpOp::Sgt => CmpOp::Slt,
        CmpOp::Sge => CmpOp::Sle,
        CmpOp::Slt => CmpOp::Sgt,
        CmpOp::Sle => CmpOp::Sge,
        same => same,
    }
}

/// One comparison.
#[derive(Clone, Copy)]
pub(crate) struct Compare {
    pub width: Width,
    pub op: CmpOp,
    pub dst: Reg,
    pub src: Operand,
}

impl Compare {
    fn src_reg(&self) -> Option<Reg> {
        match self.src {
            Operand::Reg(r) => Some(r),
            Operand::Imm(_) => None,
        }
    }
}

impl Verifier<'_> {
    pub fn branch(&mut self, width: Width, op: CmpOp, dst: Reg, src: Operand, off: i16) -> Check<Step> {
        let c = Compare { width, op, dst, src };
        self.check_operands(&c)?;
        let target = self.target(i64::from(off));
        let (a, b) = (*self.reg(dst), self.operand(src));
        let access = Access {
            stack: None,
            src_is_stack: matches!(src, Operand::Reg(_)) && matches!(b.kind, Kind::Stack(_)),
            dst_is_stack: matches!(a.kind, Kind::Stack(_)),
        };
        if access.src_is_stack || access.dst_is_stack {
            self.push_history(access, None);
        }
        if let Some(taken) = self.decided(&c, &a, &b) {
            self.mark_operands(&c)?;
            return Ok(if taken { Step::Goto(target) } else { Step::Next });
        }
        let linked = self.collect_linked(&c);
        if linked.len() > 1 {
            self.push_history(Access::default(), Some(linked));
        }
        self.fork(&c, &linked, target)
    }

    fn check_operands(&self, c: &Compare) -> Check {
        self.readable(c.dst)?;
        if let Operand::Reg(r) = c.src {
            self.readable(r)?;
            let packets = self.reg(c.dst).is_packet_any() && self.reg(r).is_packet_any();
            if !packets && self.is_pointer_value(r) {
                return Reason::PointerCompare { reg: r.index() as u8 }.fail();
            }
        }
        Ok(())
    }

    /// Which way the branch goes, if it can be only one.
    fn decided(&self, c: &Compare, a: &RegState, b: &RegState) -> Option<bool> {
        if a.is_packet_any() && b.is_packet_any() && c.width == Width::W64 {
            return packet_decided(c.op, a, b);
        }
        if a.is_scalar() && b.is_scalar() {
            return match c.src {
                Operand::Reg(r) if r == c.dst && self.precision == domain::Precision::Sharper => {
                    domain::always_same(c.op, c.width, &a.var)
                }
                _ => domain::always(c.op, c.width, &a.var, &b.var),
            };
        }
        let (ptr, number) = if a.is_pointer() { (a, b) } else { (b, a) };
        if c.width == Width::W32 || number.scalar_const() != Some(0) || !ptr.not_null() {
            return None;
        }
        match c.op {
            CmpOp::Eq => Some(false),
            CmpOp::Ne => Some(true),
            _ => None,
        }
    }

    /// The way that a branch goes rests on both its operands.
    fn mark_operands(&mut self, c: &Compare) -> Check {
        if !self.reg(c.dst).is_pointer() {
            self.mark_precise(c.dst)?;
        }
        match c.src_reg() {
            Some(r) if !self.reg(r).is_pointer() => self.mark_precise(r),
            _ => Ok(()),
        }
    }

    /// Splits the path. The current one goes on with the condition false, the other with it true.
    fn fork(&mut self, c: &Compare, linked: &LinkedSet, target: u32) -> Check<Step> {
        let at = self.insn;
        let (a, b) = (*self.reg(c.dst), self.operand(c.src));
        let ways = (a.is_scalar() && b.is_scalar()).then(|| self.refined(c, &a, &b));
        // A way that only the refinement finds impossible is a decision all the same.
        if ways.is_some_and(|w| w.taken.is_none() || w.not_taken.is_none()) {
            self.mark_operands(c)?;
        }
        self.push_branch(target, at)?;
        let Some(mut other) = self.pending.pop() else { return Ok(Step::Next) };
        let mut dead = (false, false);
        if let Some(ways) = ways {
            dead = self.apply_both(c, &ways, &mut other.state);
            self.sync_after(c, linked, &mut other.state);
        }
        self.learn_not_null(c, &a, &b, &mut other.state);
        let null_test = c.width == Width::W64
            && c.src == Operand::Imm(0)
            && matches!(c.op, CmpOp::Eq | CmpOp::Ne)
            && a.maybe_null();
        if null_test {
            let null_if_taken = c.op == CmpOp::Eq;
            let mut cur = std::mem::replace(&mut self.cur, other.state);
            self.mark_null(&mut cur, c.dst, !null_if_taken);
            let mut taken = std::mem::replace(&mut self.cur, cur);
            self.mark_null(&mut taken, c.dst, null_if_taken);
            other.state = taken;
        } else if !self.learn_packet(c, &mut other.state) && self.is_pointer_value(c.dst) {
            return Reason::PointerCompare { reg: c.dst.index() as u8 }.fail();
        }
        if dead.0 {
            if let Some(parent) = other.state.parent {
                self.kept.end_branch(parent);
            }
        } else {
            self.pending.push(other);
        }
        // A branch that the sharper domain proves impossible is not walked.
        if dead.1 {
            let Some(next) = (!dead.0).then(|| self.pending.pop()).flatten() else { return Ok(Step::End) };
            if let Some(parent) = self.cur.parent {
                self.kept.end_branch(parent);
            }
            self.cur = next.state;
            return Ok(Step::Goto(target));
        }
        Ok(Step::Next)
    }

    /// What both ways teach of the operands.
    fn refined(&self, c: &Compare, a: &RegState, b: &RegState) -> domain::Branches {
        if c.src_reg() == Some(c.dst) {
            domain::refine_same(c.op, c.width, &a.var, self.precision)
        } else {
            domain::refine(c.op, c.width, &a.var, &b.var, self.precision)
        }
    }

    /// Refines both operands on both ways: (taken is impossible, going on is impossible).
    fn apply_both(&mut self, c: &Compare, ways: &domain::Branches, other: &mut State) -> (bool, bool) {
        let same = c.src_reg() == Some(c.dst);
        let apply = |state: &mut State, values: &Option<(domain::Scalar, domain::Scalar)>| match values {
            Some((x, y)) => {
                if state.reg(c.dst).var != *x {
                    state.reg_mut(c.dst).var = *x;
                }
                if let Some(r) = c.src_reg()
                    && !same
                    && state.reg(r).var != *y
                {
                    state.reg_mut(r).var = *y;
                }
                false
            }
            None => true,
        };
        (apply(other, &ways.taken), apply(&mut self.cur, &ways.not_taken))
    }

    fn sync_after(&mut self, c: &Compare, linked: &LinkedSet, other: &mut State) {
        let mut both = |r: Reg| {
            if self.cur.reg(r).is_scalar() && self.cur.reg(r).id != 0 {
                sync_linked(&mut self.cur, r, linked);
                sync_linked(other, r, linked);
            }
        };
        if let Some(r) = c.src_reg() {
            both(r);
        }
        both(c.dst);
    }

    /// Registers and slots that share an id with an operand.
    fn collect_linked(&mut self, c: &Compare) -> LinkedSet {
        let mut set = LinkedSet::default();
        for r in c.src_reg().into_iter().chain([c.dst]) {
            let reg = self.reg(r);
            if reg.is_scalar() && reg.id != 0 {
                let id = reg.base_id();
                self.collect_id(id, &mut set);
            }
        }
        set
    }

    fn collect_id(&mut self, id: u32, set: &mut LinkedSet) {
        let linked = |r: &RegState| r.is_scalar() && r.id != 0 && r.base_id() == id;
        for n in 0..self.cur.frames.len() {
            let live = self.aux_at(self.cur.frame_insn(n)).live;
            for i in 0..10 {
                if live & (1 << i) == 0 || !linked(&self.cur.frame_at(n).regs[i]) {
                    continue;
                }
                if !set.push(Linked { frame: n as u8, is_reg: true, index: i as u8 }) {
                    self.cur.frame_at_mut(n).regs[i].id = 0;
                }
            }
            for i in 0..self.cur.frame_at(n).stack.len() {
                let is = self.cur.frame_at(n).slot(i).is_some_and(|s| s.is_spill() && linked(s.spilled()));
                if is
                    && !set.push(Linked { frame: n as u8, is_reg: false, index: i as u8 })
                    && let Some(r) = self.cur.frame_at_mut(n).slot_mut(i).spilled_mut()
                {
                    r.id = 0;
                }
            }
        }
    }

    /// Two pointers are equal and one is not null: the other is not either.
    fn learn_not_null(&mut self, c: &Compare, a: &RegState, b: &RegState, other: &mut State) {
        let Some(src) = c.src_reg() else { return };
        let untyped = |r: &RegState| !matches!(r.kind, Kind::Btf(_));
        let applies = c.width == Width::W64
            && a.is_pointer()
            && b.is_pointer()
            && a.maybe_null() != b.maybe_null()
            && untyped(a)
            && untyped(b);
        if !applies {
            return;
        }
        let which = if b.maybe_null() { src } else { c.dst };
        match c.op {
            CmpOp::Eq => {
                let r = self.not_null(*other.reg(which));
                other.set(which, r);
            }
            CmpOp::Ne => {
                let r = self.not_null(*self.cur.reg(which));
                self.cur.set(which, r);
            }
            _ => {}
        }
    }

    /// A nullable pointer that turned out not to be null.
    pub fn not_null(&self, mut r: RegState) -> RegState {
        r.flags = r.flags.without(Flags::MAYBE_NULL);
        if let Kind::MapValue(map) = r.kind
            && let Some(inner) = self.world.map(map).inner
        {
            r.kind = Kind::MapPtr(inner);
            let timers = self.world.map(inner);
            if timers.has(FieldClass::Timer) || timers.has(FieldClass::Workqueue) {
                r.map_uid = r.id;
            }
        } else if let Kind::MapValue(map) = r.kind {
            r.kind = match self.world.map(map).spec.kind {
                MapKind::Sockmap | MapKind::Sockhash => Kind::Socket,
                MapKind::Xskmap => Kind::XdpSock,
                _ => r.kind,
            };
        }
        r
    }

    /// The register, and all that share its id, are null or not.
    pub fn mark_null(&self, state: &mut State, r: Reg, null: bool) {
        let reg = *state.reg(r);
        if reg.ref_id != 0 && reg.ref_id == reg.id && null {
            let held = state.held_mut();
            held.refs.retain(|x| !(x.id == reg.id && x.kind == RefKind::Pointer));
        }
        let id = reg.id;
        state.for_each_reg(
            |x| x.maybe_null() && x.id == id && id != 0,
            |x| {
                if null {
                    *x = RegState::constant(0);
                } else {
                    let keeps_id = self.may_hold_lock(x);
                    *x = self.not_null(*x);
                    if !keeps_id {
                        x.id = 0;
                    }
                }
            },
        );
    }

    /// A lock may lie behind the pointer, so which element it is matters.
    pub fn may_hold_lock(&self, r: &RegState) -> bool {
        match r.kind {
            Kind::MapValue(map) => self.world.map(map).has_lock(),
            Kind::Btf(b) if r.is_object() => self.world.fields(b).iter().any(|f| f.class.is_lock()),
            _ => false,
        }
    }
}

/// Gives linked registers what was learnt of `known`.
fn sync_linked(state: &mut State, known: Reg, linked: &LinkedSet) {
    let known_reg = *state.reg(known);
    let top = state.top();
    for l in linked.as_slice() {
        let frame = usize::from(l.frame);
        if l.is_reg && frame == top && usize::from(l.index) == known.index() {
            continue;
        }
        let place = if l.is_reg {
            state.frame_at(frame).regs.get(usize::from(l.index)).copied()
        } else {
            state.frame_at(frame).slot(usize::from(l.index)).filter(|s| s.is_spill()).map(|s| *s.spilled())
        };
        let Some(old) = place.filter(|r| r.is_scalar() && r.base_id() == known_reg.base_id()) else { continue };
        let new = linked_value(&old, &known_reg);
        if new == old {
            continue;
        }
        let target = if l.is_reg {
            state.frame_at_mut(frame).regs.get_mut(usize::from(l.index))
        } else {
            state.frame_at_mut(frame).slot_mut(usize::from(l.index)).spilled_mut()
        };
        if let Some(target) = target {
            *target = new;
        }
    }
}

/// The value of a register linked to `known`, as far as it follows; else what it was.
fn linked_value(old: &RegState, known: &RegState) -> RegState {
    if old.id == known.id && (old.id & ADD_CONST == 0 || old.off == known.off) {
        return *known;
    }
    let plus = |value: &domain::Scalar, distance: i64| {
        let distance = domain::Scalar::constant(distance as u64);
        domain::alu(backstop_isa::AluOp::Add, Width::W64, value, &distance, domain::Precision::Linux)
    };
    let offset = |r: &RegState| if r.id & ADD_CONST != 0 { i64::from(r.off) } else { 0 };
    let sum = plus(&known.var, offset(old) - offset(known));
    // Of a register that was added to in 32 bits only the low half says anything of the others.
    let low_only = known.id & ADD_CONST32 != 0;
    let var = match (low_only, old.id & ADD_CONST32 != 0) {
        (false, false) => sum,
        (_, true) => domain::mov32(&sum),
        (true, false) if old.var.umax <= u64::from(u32::MAX) => domain::mov32(&sum),
        (true, false) => return *old,
    };
    RegState { var, off: old.off, id: old.id, ..*known }
}

/// Packet pointer against packet end, where the pointer's place relative to the end is known.
fn packet_decided(op: CmpOp, a: &RegState, b: &RegState) -> Option<bool> {
    let (pkt, op) = match (a.kind, b.kind) {
        (_, Kind::PacketEnd) => (a, op),
        (Kind::PacketEnd, _) => (b, flip(op)),
        _ => return None,
    };
    match op {
        CmpOp::Le | CmpOp::Gt if pkt.range == BEYOND_PKT_END => Some(op == CmpOp::Gt),
        CmpOp::Lt | CmpOp::Ge if pkt.range == BEYOND_PKT_END || pkt.range == AT_PKT_END => Some(op == CmpOp::Ge),
        _ => None,
    }
}
