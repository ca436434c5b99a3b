//! What is opened and must be closed: number iterators, RCU read, preempt-off and irq-off sections.

use backstop::isa::{CmpOp, Instr, Operand, Reg, Width};
use backstop::model::{BuiltinKfunc, kfuncs};

use super::body::Writer;
use super::calls::Given;
use super::state::{Few, Kind, STACK_WORDS, reg, word_off};

/// The kfuncs of generated programs, by their index there.
pub const KFUNCS: [BuiltinKfunc; 10] = [
    BuiltinKfunc::Throw,
    BuiltinKfunc::IterNumNew,
    BuiltinKfunc::IterNumNext,
    BuiltinKfunc::IterNumDestroy,
    BuiltinKfunc::RcuReadLock,
    BuiltinKfunc::RcuReadUnlock,
    BuiltinKfunc::PreemptDisable,
    BuiltinKfunc::PreemptEnable,
    BuiltinKfunc::LocalIrqSave,
    BuiltinKfunc::LocalIrqRestore,
];

impl Writer<'_, '_> {
    pub(super) fn kfunc(&mut self, kfunc: BuiltinKfunc, args: &[Given], result: Kind) {
        let Some(id) = KFUNCS.iter().position(|known| *known == kfunc) else { return };
        self.give(args);
        self.code.push(Instr::CallKfunc { id: id as i32, off: 0 });
        self.state.after_call(result);
    }

    /// A stack word that nothing else uses until it is given back.
    fn take_word(&mut self) -> Option<usize> {
        let usable = |kind: Kind| !kind.is_pointer() && kind != Kind::Opaque;
        let free: Few = (0..STACK_WORDS).filter(|n| usable(self.state.word(*n))).collect();
        let word = self.source.pick(&free)?;
        self.state.set_word(word, Kind::Opaque);
        Some(word)
    }

    /// A loop over a few numbers.
    pub(super) fn iterate(&mut self) {
        let rounds = self.source.below(6);
        // Loops around or inside it cost the proof far more than they show.
        if self.nests() || self.too_hot(rounds) || !kfuncs::allowed(BuiltinKfunc::IterNumNew, &self.kind) {
            return;
        }
        let Some(word) = self.take_word() else { return };
        let iterator = Given::Stack(word_off(word));
        let start = self.source.below(3) as i32;
        let args = [iterator, Given::Imm(start), Given::Imm(start + rounds as i32)];
        self.kfunc(BuiltinKfunc::IterNumNew, &args, Kind::Scalar);
        let frozen = self.state.frozen;
        self.state.enter_loop();
        let before = self.state.clone();
        let (again, out) = (self.code.label(), self.code.label());
        self.code.place(again);
        self.kfunc(BuiltinKfunc::IterNumNext, &[iterator], Kind::Unknown);
        self.code.wait_jump(out);
        let null = Operand::Imm(0);
        self.code.push(Instr::Branch { width: Width::W64, op: CmpOp::Eq, dst: Reg::R0, src: null, off: 0 });
        let exhausted = self.state.clone();
        self.state.set(0, Kind::Memory { len: 4, writable: false, atomics: false });
        self.holding(1, rounds.max(1), 4);
        self.repair(&before);
        let long = self.source.chance(64);
        self.code.jump(again, long);
        self.code.place(out);
        self.state = exhausted;
        self.state.frozen = frozen;
        self.kfunc(BuiltinKfunc::IterNumDestroy, &[iterator], Kind::Unknown);
        self.state.set_word(word, Kind::Unknown);
    }

    /// A few statements under a lock of some sort.
    pub(super) fn guard(&mut self) {
        if self.holds() || !kfuncs::allowed(BuiltinKfunc::RcuReadLock, &self.kind) {
            return;
        }
        let nothing: [Given; 0] = [];
        match self.source.below(3) {
            0 => {
                self.kfunc(BuiltinKfunc::RcuReadLock, &nothing, Kind::Unknown);
                self.holding(1, 1, 4);
                self.kfunc(BuiltinKfunc::RcuReadUnlock, &nothing, Kind::Unknown);
            }
            1 => {
                self.kfunc(BuiltinKfunc::PreemptDisable, &nothing, Kind::Unknown);
                self.holding(1, 1, 4);
                self.kfunc(BuiltinKfunc::PreemptEnable, &nothing, Kind::Unknown);
            }
            _ => {
                let Some(word) = self.take_word() else { return };
                let flags = Given::Stack(word_off(word));
                self.kfunc(BuiltinKfunc::LocalIrqSave, &[flags], Kind::Unknown);
                self.holding(1, 1, 4);
                self.kfunc(BuiltinKfunc::LocalIrqRestore, &[flags], Kind::Unknown);
                self.state.set_word(word, Kind::Unknown);
            }
        }
        // Void functions leave no result to read.
        self.code.set(reg(0), 0);
        self.state.set(0, Kind::Scalar);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Kfuncs that the runtime has and no program is generated with, each with its reason.
    const LEFT_OUT: &[(BuiltinKfunc, &str)] = &[];

    #[test]
    fn programs_call_every_kfunc_of_the_runtime() {
        for kfunc in backstop::runnable::kfuncs() {
            let left_out = LEFT_OUT.iter().any(|(left, why)| *left == kfunc && !why.is_empty());
            assert!(KFUNCS.contains(&kfunc) != left_out, "{} is neither generated nor left out", kfunc.name());
        }
        assert!(KFUNCS.iter().all(|kfunc| backstop::runnable::kfuncs().contains(kfunc)));
    }
}
