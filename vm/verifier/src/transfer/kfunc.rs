//! Calls of kfuncs (Linux: `check_kfunc_call`), and throws.

use std::sync::Arc;

use backstop_isa::Reg;
use backstop_model::{BuiltinKfunc, CallbackUse, Kfunc, kfuncs, returns};

use crate::check::DynptrUse;
use crate::code::builtin;
use crate::env::Verifier;
use crate::explore::Step;
use crate::fields::FieldAt;
use crate::reason::{Check, Reason};
use crate::state::{BtfRef, Flags, MapId};
use crate::transfer::callback::CallbackArgs;

/// What the arguments of one kfunc call said.
#[derive(Clone, Debug, Default)]
pub(crate) struct KfuncMeta {
    /// Argument whose reference is given up, and the reference.
    pub release: Option<(Reg, u32)>,
    /// Reference that some argument carries.
    pub ref_id: u32,
    /// Iterator argument: frame and slot of its lowest address.
    pub iter: Option<(usize, usize)>,
    /// Constant of a `__k` argument.
    pub constant: Option<u64>,
    /// The list or tree that is worked on, with the number of the types that it names.
    pub root: Option<(u32, FieldAt)>,
    /// Type of the object that was passed.
    pub object: Option<BtfRef>,
    /// That object is owned, so it is there for sure.
    pub owned: bool,
    /// Size of the memory that a pointer result has, from a `__szk`-like argument.
    pub r0_size: Option<u64>,
    /// Dynptr that was passed.
    pub dynptr: Option<DynptrUse>,
    /// Map that was passed, or that an argument points into.
    pub map: Option<MapId>,
    pub map_uid: u32,
    /// Function that was passed, to be called now or later.
    pub func: Option<u32>,
}

impl Verifier<'_> {
    /// The kfunc at an index of the program's table.
    pub fn kfunc(&self, index: i32) -> Check<Arc<Kfunc>> {
        match usize::try_from(index).ok().and_then(|i| self.program.kfuncs.get(i)) {
            Some(k) => Ok(k.clone()),
            None => Reason::KfuncIndex { index: i64::from(index) }.fail(),
        }
    }

    /// Only what belongs to locks may be called under one.
    pub fn kfunc_allowed_under_lock(&self, index: i32) -> bool {
        use BuiltinKfunc::*;
        let identity = usize::try_from(index).ok().and_then(|i| self.program.kfuncs.get(i)).map(|k| k.identity);
        matches!(
            identity.and_then(builtin),
            Some(
                ListPushFront
                    | ListPushBack
                    | ListPopFront
                    | ListPopBack
                    | ListFront
                    | ListBack
                    | RbtreeAdd
                    | RbtreeRemove
                    | RbtreeFirst
                    | RbtreeRoot
                    | RbtreeLeft
                    | RbtreeRight
                    | RefcountAcquire
                    | IterNumNew
                    | IterNumNext
                    | IterNumDestroy
                    | ResSpinLock
                    | ResSpinUnlock
                    | ResSpinLockIrqsave
                    | ResSpinUnlockIrqrestore
                    | ArenaAllocPages
                    | ArenaFreePages
            )
        )
    }

    pub fn call_kfunc(&mut self, index: i32) -> Check<Step> {
        let kfunc = self.kfunc(index)?;
        let known = builtin(kfunc.identity);
        if let Some(k) = known
            && !kfuncs::allowed(k, &self.program.kind)
        {
            return Reason::KfuncDenied { name: kfunc.name.clone() }.fail();
        }
        if kfunc.flags.sleepable && !self.cur.sleepable {
            return Reason::KfuncSleepable { name: kfunc.name.clone() }.fail();
        }
        let mut meta = KfuncMeta::default();
        self.fork_failed_lock(known)?;
        self.check_kfunc_args(&kfunc, known, &mut meta)?;
        if kfunc.flags.rcu_protected && !self.in_rcu() {
            return Reason::KfuncRcuSection { name: kfunc.name.clone() }.fail();
        }
        if let (Some(BuiltinKfunc::WqSetCallback), Some(f)) = (known, meta.func) {
            let args = CallbackArgs { uses: CallbackUse::Timer, map: meta.map, map_uid: meta.map_uid };
            self.push_callback(f as usize, &args)?;
        }
        if known == Some(BuiltinKfunc::RbtreeAdd) {
            self.push_less_callback(&meta)?;
        }
        self.sections(&kfunc, known)?;
        self.release_kfunc_argument(&kfunc, index, &meta)?;
        self.link_node(&kfunc, known, index)?;
        if known == Some(BuiltinKfunc::Throw) {
            return self.throw(true);
        }
        if kfunc.flags.throws {
            self.throw(false)?;
        }
        self.clear_caller_saved();
        self.kfunc_result(&kfunc, known, &meta)?;
        self.returned(self.insn);
        if kfunc.flags.iter_next {
            self.process_iter_next(&meta)?;
        }
        Ok(Step::Next)
    }

    /// RCU and preempt-off sections.
    fn sections(&mut self, kfunc: &Kfunc, known: Option<BuiltinKfunc>) -> Check {
        use BuiltinKfunc::{PreemptDisable, PreemptEnable, RcuReadLock, RcuReadUnlock};
        let name = || kfunc.name.clone();
        let sleepable = kfunc.flags.sleepable;
        match (self.cur.held.rcu > 0, known) {
            (true, Some(RcuReadLock)) => return Reason::KfuncNestedRcu { name: name() }.fail(),
            (true, Some(RcuReadUnlock)) => {
                self.cur.held_mut().rcu = 0;
                self.cur.expire_iterators();
                self.cur.for_each_reg(
                    |r| r.flags.has(Flags::RCU),
                    |r| r.flags = r.flags.without(Flags::RCU.with(Flags::MAYBE_NULL)).with(Flags::UNTRUSTED),
                );
            }
            (true, _) if sleepable => {
                return Reason::KfuncSleepableIn { name: name(), section: "rcu_read_lock" }.fail();
            }
            (false, Some(RcuReadLock)) => self.cur.held_mut().rcu = 1,
            (false, Some(RcuReadUnlock)) => return Reason::KfuncUnmatchedRcu { name: name() }.fail(),
            _ => {}
        }
        match (self.cur.held.preempt > 0, known) {
            (_, Some(PreemptDisable)) => self.cur.held_mut().preempt += 1,
            (true, Some(PreemptEnable)) => self.cur.held_mut().preempt -= 1,
            (false, Some(PreemptEnable)) => return Reason::KfuncUnmatchedPreempt { name: name() }.fail(),
            (true, _) if sleepable => {
                return Reason::KfuncSleepableIn { name: name(), section: "non-preemptible" }.fail();
            }
            _ => {}
        }
        if self.cur.held.irq_id != 0 && sleepable {
            return Reason::KfuncSleepableIn { name: name(), section: "IRQ-disabled" }.fail();
        }
        Ok(())
    }

    fn release_kfunc_argument(&mut self, kfunc: &Kfunc, index: i32, meta: &KfuncMeta) -> Check {
        let Some((_, ref_id)) = meta.release else { return Ok(()) };
        if self.release(ref_id) {
            return Ok(());
        }
        Reason::KfuncNotAcquired { name: kfunc.name.clone(), id: i64::from(index) }.fail()
    }

    /// The program may end here. `always`: it does; else the call may also return.
    fn throw(&mut self, always: bool) -> Check<Step> {
        self.collected.throws = true;
        for frame in &self.cur.frames {
            if let Some(s) = self.subs.get_mut(frame.subprog as usize) {
                s.throws = true;
            }
        }
        if self.exception_callback.is_none() {
            if always {
                self.check_return(Reg::R1)?;
            } else if let Some(range) = returns::range(&self.program.kind) {
                return Reason::ReturnRange {
                    at: "At program exit",
                    reg: "R1",
                    range: " unknown scalar value".into(),
                    min: range.min,
                    max: range.max,
                }
                .fail();
            }
        }
        self.check_end("bpf_throw", true, true)?;
        Ok(Step::End)
    }

    /// Whether the call at a slot may end the program by a throw.
    pub fn may_throw_at(&self, index: i32) -> bool {
        usize::try_from(index)
            .ok()
            .and_then(|i| self.program.kfuncs.get(i))
            .is_some_and(|k| k.flags.throws || builtin(k.identity) == Some(BuiltinKfunc::Throw))
    }

    /// A register that holds an initialised number.
    pub fn check_scalar_arg(&self, r: Reg) -> Check {
        self.readable(r)?;
        if self.reg(r).is_scalar() { Ok(()) } else { Reason::NotScalar { reg: r.index() as u8 }.fail() }
    }
}
