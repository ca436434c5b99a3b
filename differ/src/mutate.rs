//! Changed forms of real programs, compared as generated ones are.
//!
//! Generated programs are what a generator thinks of; compiled ones have the shapes that compilers make. A mutant is a linked program with a few
//! instructions changed, most often to others that take the same operands, so that a fair part of the mutants passes the verifier.
//!
//! Invariants: mutants go to the engines alone, never to a kernel. They end: each is first run on the checked interpreter with fuel, since
//! a changed constant may turn eight rounds into eight million. A difference counts only if the mutant is proved to compute with neither
//! addresses nor unwritten stack, which privileged programs may, and if the first engine makes the same of it at other addresses.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use backstop::isa::table::{Fill, Op, Row, rows};
use backstop::isa::{Instr, Slot, decode};
use backstop::model::Program;
use backstop::verifier::{Limits, Options, verify};
use backstop::{Config, EngineKind, RunError, Store};

use crate::case::Case;
use crate::column::{Columns, Rules};
use crate::generate::damage;
use crate::object::input_len;
use crate::observe::{End, seen};
use crate::reduce::{Reduced, reduce};
use crate::session::inputs;
use crate::source::{Source, Stream};
use crate::trial::{Compare, Difference, Tried, What};

/// Instructions that a mutant's proof may take.
const INSNS: u64 = 200_000;
/// Instructions that one run of a mutant may take.
const FUEL: u64 = 1 << 20;
/// Bytes that decide the changes of one mutant.
const CHOICES: usize = 128;

/// More said of an engine's configuration.
type More<'c> = &'c (dyn Fn(Config) -> Config + 'c);
/// Makes columns with more said of them.
type Make<'m> = dyn Fn(More<'_>) -> Columns + 'm;

/// Makes mutants and tries them.
pub struct Mutator<'m> {
    columns: Columns,
    make: Box<dyn Fn() -> Columns + 'm>,
}

impl std::fmt::Debug for Mutator<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Mutator").field("columns", &self.columns).finish_non_exhaustive()
    }
}

impl Default for Mutator<'_> {
    fn default() -> Self {
        Mutator::new()
    }
}

impl<'m> Mutator<'m> {
    /// Over all engines of this build.
    pub fn new() -> Mutator<'m> {
        Mutator::with_columns(&|more| Columns::configured(Rules::default(), more))
    }

    /// Over columns that the caller makes, each with what `make` is handed said of its configuration too.
    pub fn with_columns(make: &'m Make<'m>) -> Self {
        let make = || make(&|config| config.fuel(FUEL));
        Mutator { columns: make(), make: Box::new(make) }
    }

    /// Names of the engines that are compared.
    pub fn columns(&self) -> Vec<&'static str> {
        self.columns.names()
    }

    /// Why an engine of this build is not among them.
    pub fn missing(&self) -> Option<&backstop::EngineError> {
        self.columns.missing()
    }

    /// Mutant `number` of a program with its inputs: the same for the same seed.
    pub fn mutant(program: &Program, seed: u64, number: u64) -> Case {
        let mut stream = Stream::new(seed ^ number.wrapping_mul(0xd6e8_feb8_6659_fd93).rotate_left(32));
        let bytes = stream.bytes(CHOICES);
        let mut source = Source::new(&bytes);
        let mut program = program.clone();
        // Most often one: each further change halves the mutants that pass.
        let changes = [1, 1, 1, 1, 1, 2, 2, 3];
        for _ in 0..source.pick(&changes).unwrap_or(1) {
            change(&mut program.slots, &mut source);
        }
        let input = stream.bytes(input_len(&program));
        Case { program, inputs: inputs(&input), rules: Rules::default() }
    }

    /// Tries a mutant; a panic of ours is a difference too. Passed over is what may run too long, or makes something else of other addresses.
    pub fn attempt(&mut self, mutant: &Case) -> Tried {
        self.caught(&mutant.program, &mutant.inputs)
    }

    /// The smallest program that differs as this mutant does. When `stop` says so, it ends with the smallest that it has.
    pub fn reduce(&mut self, mutant: &Case, stop: &dyn Fn() -> bool) -> Option<Reduced> {
        let mut test = |program: &Program, inputs: &[Vec<u8>]| match self.caught(program, inputs) {
            Tried::Differs(difference) => Some(*difference),
            _ => None,
        };
        reduce(&mutant.program, &mutant.inputs, &mut test, stop)
    }

    fn caught(&mut self, program: &Program, inputs: &[Vec<u8>]) -> Tried {
        match catch_unwind(AssertUnwindSafe(|| self.attempt_on(program, inputs))) {
            Ok(tried) => tried,
            Err(panic) => {
                // What a panic left behind is not used again.
                self.columns = (self.make)();
                Tried::Differs(Box::new(Difference::panicked(panic.as_ref())))
            }
        }
    }

    fn attempt_on(&mut self, program: &Program, inputs: &[Vec<u8>]) -> Tried {
        let proof = match self.columns.prove(program, INSNS) {
            Some(Ok(proof)) => proof,
            Some(Err(error)) => return Tried::not_taken(&error),
            None => return Tried::PassedOver,
        };
        if !self.ends(&proof, inputs) {
            return Tried::PassedOver;
        }
        match self.columns.run(proof, inputs, Compare::Cautious) {
            Tried::Differs(difference)
                if difference.what != What::Verdict
                    && !(needs_no_address(program) && self.columns.settled(program, inputs, INSNS)) =>
            {
                Tried::PassedOver
            }
            tried => tried,
        }
    }

    /// Whether every run ends within the fuel. What can't be loaded or run is for the comparison to say.
    fn ends(&self, proof: &backstop::Proof, inputs: &[Vec<u8>]) -> bool {
        let checked = self.columns.all.iter().find(|column| column.engine().kind() == EngineKind::Checked);
        let Some(checked) = checked else { return false };
        let Ok(loaded) = checked.load(proof) else { return true };
        let Ok(program) = loaded.program(&proof.verified().program().name) else { return true };
        let mut store = Store::new(checked.engine(), ());
        let all = inputs.iter().all(|input| {
            let mut ends = true;
            seen(program.kind(), input, |given| {
                ends = !matches!(program.run(&mut store, given), Err(RunError::OutOfFuel { .. }));
                End::Stack
            });
            ends
        });
        checked.forget_printed();
        all
    }
}

/// Whether a program is proved to compute with neither addresses nor what nobody wrote. Compiled programs are of this kind, and most
/// of their mutants.
fn needs_no_address(program: &Program) -> bool {
    let limits = Limits { insns: INSNS, ..Limits::default() };
    let options = Options { no_leaks: true, limits, ..Options::default() };
    verify(Arc::new(program.clone()), &options).is_ok()
}

/// Changes one instruction, most often to another that takes the same operands.
fn change(slots: &mut Vec<Slot>, source: &mut Source<'_>) {
    let starts: Vec<usize> = starts(slots);
    let Some(at) = source.pick(&starts) else { return };
    let what = source.byte() % 12;
    if what == 11 {
        return damage(slots, source, 1);
    }
    let Ok(instr) = decode(slots, at) else { return };
    // A number more or less names another helper, map or function, if it names any.
    if sort(instr.op()).is_none() && source.chance(192) {
        return;
    }
    let other = starts.get(source.below(starts.len())).and_then(|other| slots.get(*other).copied());
    let Some(slot) = slots.get_mut(at) else { return };
    match what {
        0 => slot.imm = source.number() as i32,
        1 => slot.imm ^= 1 << (source.byte() & 31),
        2 => slot.imm = slot.imm.wrapping_add(i32::from(source.byte() as i8 % 9)),
        3 => slot.off = slot.off.wrapping_add(i16::from(source.byte() as i8 % 9)),
        4 => slot.dst = source.byte() % 10,
        5 => slot.src = source.byte() % 11,
        6 if instr.slots() == 1 => *slot = goto_next(),
        7 => {
            // What stands elsewhere, if both take one slot.
            if let Some(other) = other.filter(|other| other.code != WIDE && instr.slots() == 1) {
                *slot = other;
            }
        }
        _ => {
            if let Some(changed) = sibling(instr, *slot, source) {
                *slot = changed;
            }
        }
    }
}

/// Opcode of instructions of two slots.
const WIDE: u8 = 0x18;

fn starts(slots: &[Slot]) -> Vec<usize> {
    let mut starts = Vec::new();
    let mut at = 0;
    while let Some(slot) = slots.get(at) {
        starts.push(at);
        at += if slot.code == WIDE { 2 } else { 1 };
    }
    starts
}

fn goto_next() -> Slot {
    Instr::Jump { off: 0, long: false }.encode().first()
}

/// What an operation does, as far as another could do in its place.
fn sort(op: Op) -> Option<u8> {
    match op {
        Op::Alu { .. } | Op::Neg { .. } | Op::Mov { .. } | Op::MovSx { .. } | Op::End { .. } => Some(0),
        Op::Branch { .. } => Some(1),
        Op::Load { .. } | Op::LoadAcquire { .. } => Some(2),
        Op::Store { .. } | Op::StoreRelease { .. } | Op::Atomic { .. } => Some(3),
        Op::LegacyLoad { .. } => Some(4),
        _ => None,
    }
}

/// Another operation on the same operands.
fn sibling(instr: Instr, slot: Slot, source: &mut Source<'_>) -> Option<Slot> {
    let row = instr.op().row()?;
    let wanted = sort(row.op)?;
    let fits =
        |other: &&'static Row| sort(other.op) == Some(wanted) && other.src.is_register() == row.src.is_register();
    let all: Vec<&'static Row> = rows().filter(fits).collect();
    let other = source.pick(&all)?;
    let fill = Fill { dst: slot.dst, src: slot.src, off: slot.off, imm: slot.imm, next_imm: 0 };
    Some(other.legal_instance(fill).first())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Session;
    use crate::session::Settings;

    /// A program that reads what nobody wrote differs by engine without a fault of any.
    #[test]
    fn what_reads_unwritten_stack_is_passed_over() {
        let text = "type: syscall\nfunc: 0 main 1\ninput: 00\ncode:\n";
        let halves = "r1 = r10\nr1 += -24\nr1 = *(s16 *)(r1 + 4)\nr0 = r1\nr0 >>= 1\nw0 ^= w1\nexit\n";
        // Runs on zeros write nothing, so the others' remains are read.
        let after = "r2 = *(u8 *)(r1 + 0)\nr0 = *(u64 *)(r10 - 24)\nif r2 == 0 goto +1\n*(u64 *)(r10 - 24) = 0\nexit\n";
        for code in ["r0 = *(u64 *)(r10 - 24)\nexit\n", halves, after] {
            let mut case: Case = format!("{text}{code}").parse().expect("a case");
            case.inputs = vec![vec![1; 256], vec![0; 256]];
            let tried = Mutator::new().attempt(&case);
            assert!(matches!(tried, Tried::PassedOver | Tried::Same(_)), "{tried:?}");
            let mut columns = Columns::new(Rules::default());
            assert!(!columns.settled(&case.program, &case.inputs, INSNS), "{code}");
            assert!(!needs_no_address(&case.program), "{code}");
        }
    }

    #[test]
    fn what_computes_with_addresses_is_told_from_what_does_not() {
        let head = "type: sched_cls\nmap: values array 4 8 4\nkfunc: bpf_iter_num_new\nkfunc: bpf_iter_num_next\n\
                    kfunc: bpf_iter_num_destroy\nfunc: 0 main 1\n";
        let number = "r1 = r10\nr1 += -8\nr2 = 0\nr3 = 2\ncall kfunc#0\nr1 = r10\nr1 += -8\ncall kfunc#1\nr6 = 7\n";
        let done = "r1 = r10\nr1 += -8\ncall kfunc#2\nr0 = r6\nexit\n";
        let program = |code: &str| format!("{head}{code}").parse::<Case>().expect("a case").program;
        let addresses = [
            format!("code:\n{number}if w0 s<= 0 goto +1\nr6 = 8\n{done}"),
            "code:\nr2 = r10\nr2 += -4\nr1 = map[0] ll\ncall 1\nexit\n".to_owned(),
            "code:\n*(u32 *)(r10 - 4) = 0\nr2 = r10\nr2 += -4\nr1 = map[0] ll\ncall 1\nexit\n".to_owned(),
        ];
        for code in addresses {
            assert!(!needs_no_address(&program(&code)), "{code}");
        }
        // Loops and calls are fine.
        let loops = "func: 5 static 1\ncode:\nr1 = 9\nr1 += -1\nif r1 != 0 goto -2\ncall +1\nexit\nr0 = r1\nexit\n";
        for code in [&format!("code:\n{number}if r0 == 0 goto +1\nr6 = 8\n{done}"), loops] {
            assert!(needs_no_address(&program(code)), "{code}");
        }
    }

    #[test]
    fn mutants_differ_from_their_program_and_many_of_them_pass() {
        let session = Session::new(Settings { seed: 21, ..Settings::default() }).expect("a session");
        let mut mutator = Mutator::new();
        let (mut made, mut taken, mut changed) = (0, 0, 0);
        for number in 0..40 {
            let program = session.generate(number).program;
            for mutant in (0..20).map(|n| Mutator::mutant(&program, 5, n)) {
                made += 1;
                changed += usize::from(mutant.program.slots != program.slots);
                match mutator.attempt(&mutant) {
                    Tried::Differs(difference) => panic!("{difference}{mutant}"),
                    tried => taken += usize::from(matches!(tried, Tried::Same(_))),
                }
            }
        }
        println!("{taken} of {made} taken, {changed} changed");
        assert!(taken * 4 > made && changed > 500, "{taken} of {made} taken, {changed} changed");
    }
}
