//! Resilient spin locks: taking one may fail, several may be held, and they are given back in order (Linux:
//! `process_spin_lock` with `PROCESS_RES_LOCK`).

use backstop_isa::Reg;
use backstop_model::BuiltinKfunc;

use crate::check::lock_place;
use crate::domain::Scalar;
use crate::env::Verifier;
use crate::fields::FieldClass;
use crate::reason::{Check, Reason};
use crate::state::{Kind, RegState};

const LOCK: &str = "bpf_res_spin";
/// Errors that taking a lock may give.
const ERRORS: (i32, i32) = (-4095, -1);

/// What a kfunc of resilient locks does: (takes, with interrupts off).
pub(crate) const fn res_lock_call(known: Option<BuiltinKfunc>) -> Option<(bool, bool)> {
    match known {
        Some(BuiltinKfunc::ResSpinLock) => Some((true, false)),
        Some(BuiltinKfunc::ResSpinUnlock) => Some((false, false)),
        Some(BuiltinKfunc::ResSpinLockIrqsave) => Some((true, true)),
        Some(BuiltinKfunc::ResSpinUnlockIrqrestore) => Some((false, true)),
        _ => None,
    }
}

impl Verifier<'_> {
    /// The lock may not be had: a path goes on with an error and without it. It is put aside before anything is checked.
    pub fn fork_failed_lock(&mut self, known: Option<BuiltinKfunc>) -> Check {
        if !matches!(res_lock_call(known), Some((true, _))) {
            return Ok(());
        }
        let at = self.insn;
        let failed = self.push_branch(at + 1, at)?;
        for r in &mut failed.frame_mut().regs[0..=5] {
            *r = RegState::NOT_INIT;
        }
        let mut error = Scalar::unknown();
        (error.smin, error.smax) = (i64::from(ERRORS.0), i64::from(ERRORS.1));
        (error.s32_min, error.s32_max) = ERRORS;
        error.sync();
        failed.set(Reg::R0, RegState::scalar(error));
        self.returned(at);
        Ok(())
    }

    /// The lock argument of a kfunc of resilient locks.
    pub fn process_res_lock_arg(&mut self, arg: usize, r: Reg, reg: &RegState, takes: bool, irq: bool) -> Check {
        let n = r.index() as u8;
        let Some(var) = reg.var.is_const() else { return Reason::LockOffset { reg: n, lock: LOCK }.fail() };
        let place = lock_place(reg);
        let (what, name, fields) = match reg.kind {
            Kind::MapValue(map) if !reg.maybe_null() => {
                let entry = self.world.map(map);
                if entry.spec.btf.is_none() {
                    return Reason::LockBtf { map: entry.spec.name.clone(), lock: LOCK }.fail();
                }
                ("map", entry.spec.name.clone(), &entry.fields[..])
            }
            Kind::Btf(b) if reg.flags == crate::state::Flags::ALLOC => {
                ("local", "kptr".to_owned(), self.world.fields(b))
            }
            _ => {
                let what = "doesn't point to map value or allocated object".into();
                return Reason::KfuncArgPointer { arg, what }.fail();
            }
        };
        let Some(field) = fields.iter().find(|f| f.class == FieldClass::ResSpinLock) else {
            return Reason::LockNone { what, name, lock: LOCK }.fail();
        };
        let off = (var as i64).wrapping_add(i64::from(reg.off));
        if off != i64::from(field.off) {
            return Reason::LockPlace { off, lock: LOCK, want: field.off }.fail();
        }
        if takes {
            if self.cur.held.has_res_lock(reg.id, place) {
                return Reason::LockAgain {}.fail();
            }
            let (id, at) = (self.new_id(), self.insn);
            self.cur.held_mut().lock_resilient(id, at, reg.id, place, irq);
            return Ok(());
        }
        self.give_res_lock_back(reg.id, place, irq)
    }

    fn give_res_lock_back(&mut self, id: u32, place: u64, irq: bool) -> Check {
        let held = &self.cur.held;
        if held.locks == 0 {
            return Reason::UnlockNone { lock: LOCK }.fail();
        }
        if !held.has_res_lock_of(id, place, irq) {
            return Reason::UnlockOther { lock: LOCK }.fail();
        }
        if held.active_lock_id != id || held.active_lock_place != place {
            return Reason::UnlockOrder { lock: LOCK }.fail();
        }
        self.cur.held_mut().unlock_resilient(id, place, irq);
        self.forget_borrowed();
        Ok(())
    }
}
