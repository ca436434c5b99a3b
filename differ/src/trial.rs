//! One program on all columns.

use backstop::ir::Callee;
use backstop::model::Program as Linked;
use backstop::{LoadError, Loaded, Program, Proof};

use crate::column::Columns;
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
    /// Backstop itself failed.
    Panic,
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
            What::Panic => "panic",
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
            Some(Err(error)) => Tried::Refused(error.to_string()),
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
        let mut first: Option<(&'static str, Observed)> = None;
        for (column, loaded) in self.all.iter_mut().zip(&loaded) {
            let Ok(own) = loaded.program(name) else { return Tried::PassedOver };
            if compare == Compare::Nothing && endless(&own) {
                return Tried::PassedOver;
            }
            let observed = column.observe(loaded, &own, inputs);
            if observed.ran_out_of_stack() {
                return Tried::PassedOver;
            }
            match &first {
                Some((other, first)) if compared(compare, &own) => {
                    if let Some(difference) = first_difference((other, first), (column.name(), &observed), compare) {
                        return Tried::Differs(Box::new(difference));
                    }
                }
                Some(_) => {}
                None => first = Some((column.name(), observed)),
            }
        }
        match first {
            Some((_, observed)) => Tried::Same(Box::new(Ran { proof: Some(proof), observed })),
            None => Tried::PassedOver,
        }
    }

    /// Compiles a proved program for all columns; they must agree whether they can.
    fn load(&self, proof: &Proof) -> Result<Vec<Loaded<()>>, Tried> {
        let mut all: Vec<Loaded<()>> = Vec::new();
        let mut first: Option<(&'static str, Option<String>)> = None;
        for column in &self.all {
            let result = column.load(proof);
            let error = result.as_ref().err().map(ToString::to_string);
            match &first {
                Some((other, expected)) if *expected != error => {
                    let text = |error: &Option<String>| error.clone().unwrap_or_else(|| "takes it".to_owned());
                    return Err(Tried::Differs(Box::new(Difference {
                        what: What::Verdict,
                        columns: [(*other).to_owned(), column.name().to_owned()],
                        made: [text(expected), text(&error)],
                    })));
                }
                Some(_) => {}
                None => first = Some((column.name(), error)),
            }
            all.extend(result);
        }
        match first {
            Some((_, Some(error))) => Err(Tried::Refused(error)),
            _ => Ok(all),
        }
    }
}

/// Whether this program's runs are compared.
pub(crate) fn compared(compare: Compare, program: &Program<()>) -> bool {
    match compare {
        Compare::All => true,
        Compare::Cautious => steady(program),
        Compare::Nothing => false,
    }
}

/// How two columns differ, if they do.
pub(crate) fn first_difference(
    left: (&str, &Observed),
    right: (&str, &Observed),
    compare: Compare,
) -> Option<Difference> {
    let (what, made) = difference(left.1, right.1, compare == Compare::All)?;
    Some(Difference { what, columns: [left.0.to_owned(), right.0.to_owned()], made })
}

/// Whether all engines must agree on every bit of this program's runs.
fn steady(program: &Program<()>) -> bool {
    program.ir().callees().iter().all(|callee| !matches!(callee, Callee::Helper(id) if UNSTEADY.contains(id)))
}

/// Whether a program whose constants mean nothing may run very long.
pub(crate) fn endless(program: &Program<()>) -> bool {
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
