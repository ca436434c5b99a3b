//! Open-coded iterators and irq flags: objects on the stack that only their kfuncs touch.

use backstop_isa::{Reg, Size};
use backstop_model::{BuiltinKfunc, Kfunc, ProgType};

use crate::check::{Access, Value, res_lock_call};
use crate::env::Verifier;
use crate::reason::{Check, Reason};
use crate::state::{Byte, Counted, Flags, IterKind, IterState, Kind, MAX_STACK, Object, RegState, Slot, State, spi};
use crate::transfer::kfunc::KfuncMeta;

impl Verifier<'_> {
    /// Slot of the object's lowest address, if it can be one (Linux: `stack_slot_obj_get_spi`).
    fn object_slot(&self, reg: &RegState, slots: usize) -> Option<usize> {
        let var = reg.var.is_const()?;
        let off = (var as i64).wrapping_add(i64::from(reg.off));
        if off % 8 != 0 || off >= 0 || off < -i64::from(MAX_STACK) {
            return None;
        }
        let slot = spi(off as i32);
        (slot + 1 >= slots).then_some(slot)
    }

    pub fn process_iter_arg(
        &mut self,
        kfunc: &Kfunc,
        iterator: &str,
        arg: usize,
        r: Reg,
        reg: &RegState,
        meta: &mut KfuncMeta,
    ) -> Check {
        let Some(kind) = IterKind::by_struct(iterator) else {
            return Reason::KfuncUnsupported { name: kfunc.name.clone() }.fail();
        };
        if kfunc.flags.iter_new {
            self.may_iterate_css_tasks(kind)?;
        }
        let Kind::Stack(frame) = reg.kind else { return Reason::IterStack { arg }.fail() };
        let frame = usize::from(frame);
        if kfunc.flags.iter_new {
            // What RCU keeps is only there within the section that it was opened in.
            let flags = match (kfunc.flags.rcu_protected, self.in_rcu()) {
                (false, _) => Flags::NONE,
                (true, true) => Flags::RCU,
                (true, false) => Flags::UNTRUSTED,
            };
            return self.open_iter((kind, flags), arg, r, reg, frame);
        }
        let Some(slot) = self.object_slot(reg, kind.slots()) else {
            return Reason::IterInit { name: kind.name(), arg }.fail();
        };
        let owned = |n: usize| {
            self.cur.frame_at(frame).slot(slot - n).is_some_and(|s| {
                matches!(s.object, Some(Object::Iter { kind: k, first, .. }) if k == kind && first == (n == 0))
                    && s.bytes.iter().all(|b| *b == Byte::Iter)
            })
        };
        let flags = self.cur.frame_at(frame).slot(slot).filter(|s| s.bytes[0] == Byte::Iter).map(Slot::reg_flags);
        if flags.is_some_and(|f| f.has(Flags::UNTRUSTED)) {
            return Reason::IterRcu { name: kfunc.name.clone() }.fail();
        }
        if !(0..kind.slots()).all(owned) {
            return Reason::IterInit { name: kind.name(), arg }.fail();
        }
        for n in 0..kind.slots() {
            self.liveness.now.read(frame, slot - n);
        }
        meta.iter = Some((frame, slot));
        // What `next` gives is gone with the iterator.
        meta.ref_id = self.cur.frame_at(frame).slot(slot).map_or(0, Slot::reference);
        if kfunc.flags.iter_destroy {
            let id = self.cur.frame_at(frame).slot(slot).map_or(0, Slot::reference);
            self.cur.held_mut().release_pointer(id);
            let gone = self.invalid();
            for n in 0..kind.slots() {
                *self.cur.frame_at_mut(frame).slot_mut(slot - n) = Slot::EMPTY;
                self.liveness.now.write(frame, slot - n);
            }
            self.cur.for_each_reg(|x| x.ref_id == id && id != 0, |x| *x = gone);
        }
        Ok(())
    }

    /// Linux: `check_css_task_iter_allowlist`.
    fn may_iterate_css_tasks(&self, kind: IterKind) -> Check {
        if kind != IterKind::CssTask || self.ty() == ProgType::Lsm || self.cur.sleepable {
            return Ok(());
        }
        let text = "css_task_iter is only allowed in bpf_lsm, bpf_iter and sleepable progs".to_owned();
        Reason::KfuncMap { text }.fail()
    }

    fn open_iter(&mut self, what: (IterKind, Flags), arg: usize, r: Reg, reg: &RegState, frame: usize) -> Check {
        let (kind, flags) = what;
        let Some(slot) = self.object_slot(reg, kind.slots()) else {
            if may_be_slot(reg, kind.slots()) {
                self.touch(r, 0)?;
            }
            return Reason::IterUninit { name: kind.name(), arg }.fail();
        };
        let occupied = (0..kind.slots()).any(|n| {
            let there = self.cur.frame_at(frame).slot(slot - n);
            there.is_some_and(|s| s.bytes.contains(&Byte::Iter))
        });
        if occupied {
            return Reason::IterUninit { name: kind.name(), arg }.fail();
        }
        for n in 0..kind.slots() {
            self.touch(r, n as i32 * 8)?;
        }
        let id = self.acquire();
        for n in 0..kind.slots() {
            let first = n == 0;
            let owner =
                RegState { ref_id: if first { id } else { 0 }, flags, ..RegState::pointer(Kind::Stack(frame as u8)) };
            *self.cur.frame_at_mut(frame).slot_mut(slot - n) = Slot {
                bytes: [Byte::Iter; 8],
                reg: Some(Counted::shared(owner)),
                object: Some(Object::Iter { kind, state: IterState::Active, depth: 0, first }),
            };
            self.liveness.now.write(frame, slot - n);
        }
        Ok(())
    }

    /// The object's memory must be there and writable.
    fn touch(&mut self, base: Reg, off: i32) -> Check {
        let access =
            Access { base, off: 0, size: Size::B8, write: true, value: Value::None, signed: false, strict: false };
        self.access_at(&access, off).map(|_| ())
    }

    /// `iter_next` gives an element on one path, and NULL for good on the other.
    pub fn process_iter_next(&mut self, meta: &KfuncMeta) -> Check {
        let Some((frame, slot)) = meta.iter else { return Ok(()) };
        let at = self.insn;
        let active = matches!(
            self.cur.frame_at(frame).slot(slot).and_then(|s| s.object),
            Some(Object::Iter { state: IterState::Active, .. })
        );
        if active {
            let previous = self.previous_entry_of_parent(at);
            let element = self.not_null(*self.reg(Reg::R0));
            self.push_branch(at + 1, at)?;
            if let Some(mut p) = self.pending.pop() {
                set_iter(&mut p.state, frame, slot, |state, depth| {
                    *state = IterState::Active;
                    *depth += 1;
                });
                if let Some(old) = previous {
                    self.widen(old, &mut p.state);
                }
                p.state.set(Reg::R0, element);
                self.pending.push(p);
            }
        }
        set_iter(&mut self.cur, frame, slot, |state, _| *state = IterState::Drained);
        self.cur.set(Reg::R0, RegState::constant(0));
        Ok(())
    }

    pub fn process_irq_flag(&mut self, arg: usize, reg: &RegState, known: Option<BuiltinKfunc>) -> Check {
        let lock = res_lock_call(known);
        let save = known == Some(BuiltinKfunc::LocalIrqSave) || matches!(lock, Some((true, _)));
        let lock = lock.is_some();
        let Kind::Stack(frame) = reg.kind else { return Reason::IrqStack { arg }.fail() };
        let frame = usize::from(frame);
        let r = Reg::new(arg as u8 + 1).unwrap_or(Reg::R1);
        let Some(slot) = self.object_slot(reg, 1) else {
            if save && may_be_slot(reg, 1) {
                self.touch(r, 0)?;
            }
            return if save { Reason::IrqUninit { arg } } else { Reason::IrqInit { arg } }.fail();
        };
        let there = self.cur.frame_at(frame).slot(slot).cloned().unwrap_or(Slot::EMPTY);
        if save {
            if there.bytes.contains(&Byte::IrqFlag) {
                return Reason::IrqUninit { arg }.fail();
            }
            self.touch(r, 0)?;
            let (id, at) = (self.new_id(), self.insn);
            self.cur.held_mut().irq_save(id, at);
            let owner = RegState { ref_id: id, ..RegState::pointer(Kind::Stack(frame as u8)) };
            *self.cur.frame_at_mut(frame).slot_mut(slot) = Slot {
                bytes: [Byte::IrqFlag; 8],
                reg: Some(Counted::shared(owner)),
                object: Some(Object::IrqFlag { lock }),
            };
            self.liveness.now.write(frame, slot);
            return Ok(());
        }
        if there.bytes.iter().any(|b| *b != Byte::IrqFlag) {
            return Reason::IrqInit { arg }.fail();
        }
        self.liveness.now.read(frame, slot);
        if there.object != Some(Object::IrqFlag { lock }) {
            let (saved, restored) = if lock { ("native", "lock") } else { ("lock", "native") };
            return Reason::IrqClass { saved, restored }.fail();
        }
        if let Err(innermost) = self.cur.held_mut().irq_restore(there.reference()) {
            let (id, insn) = innermost.map_or((0, 0), |r| (r.id, r.insn));
            return Reason::IrqOrder { id, insn }.fail();
        }
        *self.cur.frame_at_mut(frame).slot_mut(slot) = Slot::EMPTY;
        self.liveness.now.write(frame, slot);
        Ok(())
    }
}

/// The pointer is one that Linux goes on to write through, so that its bounds decide: aligned, and not wholly above the frame.
fn may_be_slot(reg: &RegState, slots: usize) -> bool {
    let Some(var) = reg.var.is_const() else { return false };
    let off = (var as i64).wrapping_add(i64::from(reg.off));
    off % 8 == 0 && (off < 0 && -off >= 8 * slots as i64 || off == 0 && slots == 1)
}

fn set_iter(state: &mut State, frame: usize, slot: usize, change: impl Fn(&mut IterState, &mut u32)) {
    let slot = state.frame_at_mut(frame).slot_mut(slot);
    if let Some(Object::Iter { state, depth, .. }) = &mut slot.object {
        change(state, depth);
    }
}
