//! One program on all columns.

use backstop::ir::Callee;
use backstop::model::Program as Linked;
use backstop::verifier::Reason;
use backstop::{LoadError, Loaded, MapError, Program, Proof};

use crate::column::{Column, Columns};
use crate::generate::UNSTEADY;
use crate::observe::Observed;

/// The helper that calls back as often as the program says: changed programs may say a very large number.
const LOOP: u32 = 181;

/// How much must be the same.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Compare {
    /// Everything: the program computes with nothing that differs.
    All,
    /// Of programs that nobody wrote so: everything if they call nothing whose result differs from run to run, and lines that were printed are
    /// counted only, since `bpf_trace_printk` prints registers that the program need not have set.
    Cautious,
    /// Nothing: they only have to come back, unless they may run very long.
    Nothing,
}

/// What came of one program.
#[derive(Debug)]
pub enum Tried {
    /// All columns refuse it; the reason.
    Refused(String),
    /// It needs what Backstop names as not built; the reason.
    Unsupported(String),
    /// It may run too long, or wants more of the host's stack than there is.
    PassedOver,
    /// All columns made the same of it.
    Same(Box<Ran>),
    /// They did not.
    Differs(Box<Difference>),
}

/// What all columns made of a program.
#[derive(Debug)]
pub struct Ran {
    /// Why it may run; of an object's program each engine has its own.
    pub proof: Option<Proof>,
    /// What was seen.
    pub observed: Observed,
}

/// In what two columns differ.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum What {
    /// One takes what the other refuses.
    Verdict,
    /// Returned or thrown, the result, the cookie or the frames.
    End,
    /// Packet or memory.
    Data,
    /// Fields of the context.
    Fields,
    /// What maps hold in the end.
    Maps,
    /// What was printed.
    Printed,
    /// What a program is once it is linked.
    Instructions,
    /// Backstop itself failed.
    Panic,
    /// The process did not survive it.
    Killed,
}

impl What {
    /// All of them.
    pub const ALL: [What; 9] = [
        What::Verdict,
        What::End,
        What::Data,
        What::Fields,
        What::Maps,
        What::Printed,
        What::Instructions,
        What::Panic,
        What::Killed,
    ];
}

impl std::fmt::Display for What {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            What::Verdict => "verdict",
            What::End => "result",
            What::Data => "data",
            What::Fields => "context",
            What::Maps => "maps",
            What::Printed => "printed lines",
            What::Instructions => "instructions",
            What::Panic => "panic",
            What::Killed => "killed process",
        })
    }
}

/// A difference between two columns.
#[derive(Clone, Debug)]
pub struct Difference {
    /// In what.
    pub what: What,
    /// The two columns.
    pub columns: [String; 2],
    /// What each made of the program, where they differ.
    pub made: [String; 2],
}

impl Difference {
    /// Backstop panicked.
    pub(crate) fn panicked(panic: &(dyn std::any::Any + Send)) -> Difference {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("a panic").to_owned();
        Difference {
            what: What::Panic,
            columns: ["any program".to_owned(), "this one".to_owned()],
            made: ["no panic".to_owned(), text],
        }
    }

    /// A process did not survive a program: how it ended, and on which engine, if that is known.
    pub fn killed(how: String, engine: Option<&str>) -> Difference {
        Difference {
            what: What::Killed,
            columns: ["any program".to_owned(), engine.unwrap_or("all engines").to_owned()],
            made: ["the process lives on".to_owned(), how],
        }
    }
}

impl std::fmt::Display for Difference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [left, right] = &self.columns;
        let width = left.len().max(right.len());
        writeln!(f, "{left} and {right} differ: {}", self.what)?;
        for (column, made) in self.columns.iter().zip(&self.made) {
            writeln!(f, "  {column:width$}  {made}")?;
        }
        Ok(())
    }
}

impl Columns {
    /// Proves a program within so many instructions, runs it on all columns and compares.
    pub fn attempt(&mut self, program: &Linked, inputs: &[Vec<u8>], compare: Compare, insns: u64) -> Tried {
        match self.prove(program, insns) {
            None => Tried::PassedOver,
            // A proof that was given up says nothing of the program.
            Some(Err(LoadError::Refused { refusal, .. })) if refusal.stats.insns_processed > insns => Tried::PassedOver,
            Some(Err(error)) => Tried::not_taken(&error),
            Some(Ok(proof)) => self.run(proof, inputs, compare),
        }
    }

    /// Runs a proved program on all columns and compares.
    pub fn run(&mut self, proof: Proof, inputs: &[Vec<u8>], compare: Compare) -> Tried {
        let loaded = match self.load(&proof) {
            Ok(loaded) => loaded,
            Err(tried) => return tried,
        };
        let name = &proof.verified().program().name;
        let mut runs = Runs::new(compare);
        for (column, loaded) in self.all.iter_mut().zip(&loaded) {
            let Ok(own) = loaded.program(name) else { return Tried::PassedOver };
            if let Err(tried) = runs.add(column, loaded, &own, inputs) {
                return tried;
            }
        }
        runs.same(Some(proof)).unwrap_or(Tried::PassedOver)
    }

    /// Compiles a proved program for all columns; they must agree whether they can.
    fn load(&self, proof: &Proof) -> Result<Vec<Loaded<()>>, Tried> {
        let mut all: Vec<Loaded<()>> = Vec::new();
        let mut verdicts = Verdicts::default();
        for column in &self.all {
            let result = column.load(proof);
            verdicts.add(column.name(), result.as_ref().err())?;
            all.extend(result);
        }
        match verdicts.refused() {
            Some(tried) => Err(tried),
            None => Ok(all),
        }
    }
}

impl Tried {
    /// Of a program that no column takes.
    pub fn not_taken(error: &LoadError) -> Tried {
        if unsupported(error) { Tried::Unsupported(error.to_string()) } else { Tried::Refused(error.to_string()) }
    }
}

/// Whether a program was not taken because something is not built, which the error names.
fn unsupported(error: &LoadError) -> bool {
    match error {
        LoadError::NotImplemented { .. } | LoadError::Lower { .. } => true,
        LoadError::Compile { unsupported, .. } => *unsupported,
        LoadError::Map { source, .. } => matches!(source, MapError::Unsupported { .. }),
        LoadError::Refused { refusal, .. } => {
            matches!(refusal.reason, Reason::KfuncUnsupported { .. } | Reason::KfuncArgUnsupported { .. })
        }
        _ => false,
    }
}

/// What the columns say of a program, one after another: they must agree.
#[derive(Default)]
pub(crate) struct Verdicts {
    /// The first column's; what it refuses as text.
    first: Option<(&'static str, Option<(String, bool)>)>,
}

impl Verdicts {
    /// The next column's verdict.
    ///
    /// # Errors
    /// Its difference to the first one's.
    pub(crate) fn add(&mut self, column: &'static str, error: Option<&LoadError>) -> Result<(), Tried> {
        let error = error.map(|error| (error.to_string(), unsupported(error)));
        match &self.first {
            // What is not built each engine says in its own words.
            Some((_, Some((_, true)))) if matches!(error, Some((_, true))) => Ok(()),
            Some((other, expected)) if *expected != error => {
                let text =
                    |error: &Option<(String, bool)>| error.as_ref().map_or("takes it", |(text, _)| text).to_owned();
                let columns = [(*other).to_owned(), column.to_owned()];
                let made = [text(expected), text(&error)];
                Err(Tried::Differs(Box::new(Difference { what: What::Verdict, columns, made })))
            }
            Some(_) => Ok(()),
            None => {
                self.first = Some((column, error));
                Ok(())
            }
        }
    }

    /// The refusal, if there is one.
    pub(crate) fn refused(self) -> Option<Tried> {
        let (text, unsupported) = self.first?.1?;
        Some(if unsupported { Tried::Unsupported(text) } else { Tried::Refused(text) })
    }
}

/// What the columns make of a program's runs, one after another.
pub(crate) struct Runs {
    compare: Compare,
    first: Option<(&'static str, Observed)>,
}

impl Runs {
    pub(crate) fn new(compare: Compare) -> Runs {
        Runs { compare, first: None }
    }

    /// Runs the next column.
    ///
    /// # Errors
    /// Its difference to the first one, or that it can't be compared.
    pub(crate) fn add(
        &mut self,
        column: &mut Column,
        loaded: &Loaded<()>,
        program: &Program<()>,
        inputs: &[Vec<u8>],
    ) -> Result<(), Tried> {
        if self.compare == Compare::Nothing && endless(program) {
            return Err(Tried::PassedOver);
        }
        let observed = column.observe(loaded, program, inputs);
        if observed.ran_out_of_stack() {
            return Err(Tried::PassedOver);
        }
        match &self.first {
            Some((other, first)) if compared(self.compare, program) => {
                match first_difference((other, first), (column.name(), &observed), self.compare) {
                    Some(difference) => Err(Tried::Differs(Box::new(difference))),
                    None => Ok(()),
                }
            }
            Some(_) => Ok(()),
            None => {
                self.first = Some((column.name(), observed));
                Ok(())
            }
        }
    }

    /// What all made of it, if any ran it.
    pub(crate) fn same(self, proof: Option<Proof>) -> Option<Tried> {
        self.first.map(|(_, observed)| Tried::Same(Box::new(Ran { proof, observed })))
    }
}

/// Whether this program's runs are compared.
fn compared(compare: Compare, program: &Program<()>) -> bool {
    match compare {
        Compare::All => true,
        Compare::Cautious => steady(program),
        Compare::Nothing => false,
    }
}

/// How two columns differ, if they do.
fn first_difference(left: (&str, &Observed), right: (&str, &Observed), compare: Compare) -> Option<Difference> {
    let (what, made) = difference(left.1, right.1, compare == Compare::All)?;
    Some(Difference { what, columns: [left.0.to_owned(), right.0.to_owned()], made })
}

/// Whether all engines must agree on every bit of this program's runs.
fn steady(program: &Program<()>) -> bool {
    program.ir().callees().iter().all(|callee| !matches!(callee, Callee::Helper(id) if UNSTEADY.contains(id)))
}

/// Whether a program whose constants mean nothing may run very long.
fn endless(program: &Program<()>) -> bool {
    let ir = program.ir();
    ir.callees().contains(&Callee::Helper(LOOP)) || ir.funcs().iter().any(|f| f.may_goto || f.tail_calls)
}

/// The first difference, if there is one. Lines are counted only unless `lines`.
fn difference(left: &Observed, right: &Observed, lines: bool) -> Option<(What, [String; 2])> {
    for (n, (a, b)) in left.runs.iter().zip(&right.runs).enumerate() {
        let run = |made: &dyn std::fmt::Debug| format!("run {n}: {made:x?}");
        if a.end != b.end {
            return Some((What::End, [run(&a.end), run(&b.end)]));
        }
        if a.data != b.data {
            return Some((What::Data, [run(&a.data), run(&b.data)]));
        }
        if a.fields != b.fields {
            return Some((What::Fields, [run(&a.fields), run(&b.fields)]));
        }
    }
    for (name, a) in &left.maps {
        let b = right.maps.get(name);
        if b != Some(a) {
            return Some((What::Maps, [format!("{name}: {a:x?}"), format!("{name}: {b:x?}")]));
        }
    }
    let same = if lines { left.printed == right.printed } else { left.printed.len() == right.printed.len() };
    (!same).then(|| (What::Printed, [format!("{:?}", left.printed), format!("{:?}", right.printed)]))
}
