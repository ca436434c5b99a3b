//! How many of the programs have what: a comparison is worth as much as what its programs reach.
//!
//! An operation, helper or map counts for a program that all columns took if the proof found a path that reaches it; a depth of calls
//! likewise; a depth of throws, if a run threw from there. Shares are of all generated programs, the refused ones included. Executed
//! instructions are those of a program's first run, counted on some of the programs that were taken.

use std::collections::{BTreeMap, HashMap};
use std::sync::LazyLock;

use backstop::isa::table::rows;
use backstop::isa::{Instr, Pseudo, decode};
use backstop::model::{BuiltinKfunc, KfuncIdentity, MapKind, ProgType, helpers};
use backstop::verifier::Verified;

use crate::generate::{self, KFUNCS};
use crate::trial::Ran;

/// Frames of the deepest chain of calls.
const MAX_FRAMES: usize = 8;
/// Least share of the programs that must have a thing: one in so many.
pub(crate) const ONE_IN: u64 = 200;
/// Executed instructions that half of the programs that were taken must reach.
const LEAST_MEDIAN: u64 = 40;
/// From so many programs on they are judged: of fewer, one in 200 says nothing of the generator.
const JUDGED: u64 = 5000;
/// Rows of the instruction table that generated programs can't have: file descriptors and kernel variables are resolved before, and casts
/// between address spaces need an arena.
const NOT_GENERATED: [&str; 4] = ["load_map_fd", "load_map_value_fd", "load_btf_id", "addr_space_cast"];

/// What is counted.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Subject {
    /// A row of the instruction table.
    Operation(&'static str),
    /// A helper, by Linux's number.
    Helper(u32),
    /// A kfunc of Linux's.
    Kfunc(BuiltinKfunc),
    /// A kind of map.
    Map(MapKind),
    /// A chain of exactly so many frames, and none deeper.
    Frames(usize),
    /// A throw that left exactly so many frames, and none deeper.
    ThrowDepth(usize),
    /// A function of this sort, beside main.
    Function(Sort),
    /// A type of programs.
    Type(ProgType),
}

impl Subject {
    /// The group that tables show it in.
    pub const fn group(&self) -> &'static str {
        match self {
            Subject::Operation(_) => "operation",
            Subject::Helper(_) => "helper",
            Subject::Kfunc(_) => "kfunc",
            Subject::Map(_) => "map kind",
            Subject::Frames(_) => "frames",
            Subject::ThrowDepth(_) => "throw depth",
            Subject::Function(_) => "function",
            Subject::Type(_) => "program type",
        }
    }
}

impl std::fmt::Display for Subject {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Subject::Operation(name) => f.write_str(name),
            Subject::Helper(id) => write!(f, "bpf_{}", helpers::name(*id).unwrap_or("?")),
            Subject::Kfunc(kfunc) => f.write_str(kfunc.name()),
            Subject::Map(kind) => f.write_str(kind.name()),
            Subject::Function(sort) => f.write_str(sort.name()),
            Subject::Frames(n) | Subject::ThrowDepth(n) => write!(f, "{n}"),
            Subject::Type(ty) => f.write_str(ty.name()),
        }
    }
}

/// Sorts of functions.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Sort {
    /// Proved at each call.
    Static,
    /// Proved once.
    Global,
    /// Called back by a helper.
    Callback,
    /// Called with what was thrown.
    Exception,
}

impl Sort {
    const ALL: [Sort; 4] = [Sort::Static, Sort::Global, Sort::Callback, Sort::Exception];

    const fn name(self) -> &'static str {
        match self {
            Sort::Static => "static",
            Sort::Global => "global",
            Sort::Callback => "callback",
            Sort::Exception => "exception callback",
        }
    }
}

/// All subjects, and the place of each.
static SUBJECTS: LazyLock<(Vec<Subject>, HashMap<Subject, usize>)> = LazyLock::new(|| {
    let operations = rows().map(|row| row.name).filter(|name| !NOT_GENERATED.contains(name)).map(Subject::Operation);
    let all: Vec<Subject> = operations
        .chain(generate::helpers().iter().copied().map(Subject::Helper))
        .chain(KFUNCS.into_iter().map(Subject::Kfunc))
        .chain(generate::map_kinds().into_iter().map(Subject::Map))
        .chain((1..=MAX_FRAMES).map(Subject::Frames))
        .chain((1..=MAX_FRAMES).map(Subject::ThrowDepth))
        .chain(Sort::ALL.into_iter().map(Subject::Function))
        .chain(generate::types().map(Subject::Type))
        .collect();
    let places = all.iter().enumerate().map(|(at, subject)| (*subject, at)).collect();
    (all, places)
});

/// The place of each operation's subject, by the place of its row in the instruction table.
static OPERATIONS: LazyLock<Vec<Option<usize>>> =
    LazyLock::new(|| rows().map(|row| SUBJECTS.1.get(&Subject::Operation(row.name)).copied()).collect());

/// Counts over programs.
#[derive(Clone, Debug)]
pub struct Coverage {
    programs: u64,
    taken: u64,
    counts: Vec<u64>,
    /// Programs by executed instructions.
    executed: BTreeMap<u64, u64>,
}

/// Whether programs had what they must.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Judgement {
    /// There are too few of them to say.
    TooFew {
        /// From so many on they are judged.
        judged: u64,
    },
    /// They had.
    Suffices,
    /// They had not; a sentence each.
    Lacks(Vec<String>),
}

impl std::fmt::Display for Judgement {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Judgement::TooFew { judged } => write!(f, "not judged: shares of fewer than {judged} programs say little"),
            Judgement::Suffices => f.write_str("suffices"),
            Judgement::Lacks(what) => f.write_str(&what.join("; ")),
        }
    }
}

/// One line of the table.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Row {
    /// What.
    pub subject: Subject,
    /// Programs that have it.
    pub programs: u64,
}

impl Default for Coverage {
    fn default() -> Self {
        Coverage { programs: 0, taken: 0, counts: vec![0; SUBJECTS.0.len()], executed: BTreeMap::new() }
    }
}

impl Coverage {
    /// Counts a program that was not taken.
    pub fn refused(&mut self) {
        self.programs += 1;
    }

    /// Counts a program that all columns took and ran; with the instructions that it executed, where they were counted.
    pub fn ran(&mut self, ran: &Ran, executed: Option<u64>) {
        self.programs += 1;
        self.taken += 1;
        if let Some(executed) = executed {
            *self.executed.entry(executed).or_default() += 1;
        }
        let mut has = vec![false; self.counts.len()];
        let mut mark = |place: Option<usize>| {
            if let Some(place) = place.and_then(|place| has.get_mut(place)) {
                *place = true;
            }
        };
        let place = |subject: Subject| SUBJECTS.1.get(&subject).copied();
        let Some(verified) = ran.proof.as_ref().map(backstop::Proof::verified) else { return };
        let program = verified.program();
        let mut calls = Calls::new(verified);
        for (slot, _) in verified.facts().slots.iter().enumerate().filter(|(_, fact)| fact.reached) {
            let Ok(instr) = decode(&program.slots, slot) else { continue };
            calls.add(slot, &instr);
            mark(instr.op().place().and_then(|row| OPERATIONS.get(row).copied().flatten()));
            match instr {
                Instr::CallHelper { id } => mark(u32::try_from(id).ok().and_then(|id| place(Subject::Helper(id)))),
                Instr::CallKfunc { id, .. } => {
                    let kfunc = usize::try_from(id).ok().and_then(|index| program.kfuncs.get(index));
                    if let Some(KfuncIdentity::Builtin(builtin)) = kfunc.map(|kfunc| kfunc.identity) {
                        mark(place(Subject::Kfunc(builtin)));
                    }
                }
                Instr::LoadPseudo { kind: Pseudo::MapIdx | Pseudo::MapValueIdx, imm, .. } => {
                    let map = usize::try_from(imm).ok().and_then(|index| program.maps.get(index));
                    mark(map.and_then(|map| place(Subject::Map(map.kind))));
                }
                _ => {}
            }
        }
        let facts = verified.facts();
        for (number, function) in facts.subprograms.iter().enumerate().skip(1).filter(|(_, f)| f.reached) {
            let sort = match function {
                _ if facts.exception_callback == Some(number) => Sort::Exception,
                f if f.callback => Sort::Callback,
                f if f.global => Sort::Global,
                _ => Sort::Static,
            };
            mark(place(Subject::Function(sort)));
        }
        mark(place(Subject::Frames(calls.frames())));
        mark(place(Subject::ThrowDepth(ran.observed.throw_depth())));
        mark(place(Subject::Type(program.kind.ty)));
        for (count, has) in self.counts.iter_mut().zip(has) {
            *count += u64::from(has);
        }
    }

    /// Adds another thread's counts.
    pub fn add(&mut self, other: &Coverage) {
        self.programs += other.programs;
        self.taken += other.taken;
        for (executed, programs) in &other.executed {
            *self.executed.entry(*executed).or_default() += programs;
        }
        for (count, more) in self.counts.iter_mut().zip(&other.counts) {
            *count += more;
        }
    }

    /// Programs that were generated.
    pub fn programs(&self) -> u64 {
        self.programs
    }

    /// Those that all columns took and ran.
    pub fn taken(&self) -> u64 {
        self.taken
    }

    /// The table.
    pub fn rows(&self) -> impl Iterator<Item = Row> {
        SUBJECTS.0.iter().zip(&self.counts).map(|(subject, programs)| Row { subject: *subject, programs: *programs })
    }

    /// What too few programs have: less than 0.5 %.
    pub fn lacking(&self) -> Vec<Row> {
        self.rows().filter(|row| row.programs * ONE_IN < self.programs).collect()
    }

    /// Executed instructions that half of the counted programs reach; `None` if none was counted.
    pub fn median_executed(&self) -> Option<u64> {
        let half = self.executed.values().sum::<u64>().div_ceil(2);
        let mut reached = 0;
        // From the longest on, so that at least half execute as many or more.
        let at = self.executed.iter().rev().find(|(_, programs)| {
            reached += **programs;
            reached >= half
        });
        at.map(|(executed, _)| *executed)
    }

    /// Whether over half of the programs were taken, half of these execute 40 instructions or more, and 0.5 % of all have each thing.
    pub fn judge(&self) -> Judgement {
        if self.programs < JUDGED {
            return Judgement::TooFew { judged: JUDGED };
        }
        let mut lacks = Vec::new();
        if self.taken * 2 <= self.programs {
            lacks.push(format!("only {} of {} programs were taken, over half must be", self.taken, self.programs));
        }
        let median = self.median_executed().unwrap_or(0);
        if median < LEAST_MEDIAN {
            lacks.push(format!(
                "half of those taken execute fewer than {LEAST_MEDIAN} instructions: the median is {median}"
            ));
        }
        let rows: Vec<String> =
            self.lacking().iter().map(|row| format!("{} {}", row.subject.group(), row.subject)).collect();
        if !rows.is_empty() {
            lacks.push(format!("fewer than 0.5 % of the programs have {}", rows.join(", ")));
        }
        if lacks.is_empty() { Judgement::Suffices } else { Judgement::Lacks(lacks) }
    }
}

/// Which functions call which, where the proof walked.
struct Calls {
    /// First slots, ascending.
    starts: Vec<u32>,
    /// Callees by caller.
    callees: Vec<Vec<usize>>,
}

impl Calls {
    fn new(verified: &Verified) -> Calls {
        let starts: Vec<u32> = verified.facts().subprograms.iter().map(|function| function.start).collect();
        Calls { callees: vec![Vec::new(); starts.len()], starts }
    }

    fn add(&mut self, slot: usize, instr: &Instr) {
        let distance = match *instr {
            Instr::CallLocal { off } => off,
            Instr::LoadPseudo { kind: Pseudo::Func, imm, .. } => imm,
            _ => return,
        };
        let target = u32::try_from(slot as i64 + 1 + i64::from(distance)).unwrap_or(u32::MAX);
        let caller = self.starts.partition_point(|start| *start as usize <= slot).checked_sub(1);
        let caller = caller.and_then(|n| self.callees.get_mut(n));
        if let (Some(caller), Ok(callee)) = (caller, self.starts.binary_search(&target)) {
            caller.push(callee);
        }
    }

    /// Frames of the deepest chain of calls.
    fn frames(&self) -> usize {
        deepest(&self.callees, 0, MAX_FRAMES)
    }
}

fn deepest(calls: &[Vec<usize>], from: usize, left: usize) -> usize {
    let below = |callee: &usize| deepest(calls, *callee, left - 1);
    let callees = calls.get(from).filter(|_| left > 1);
    1 + callees.and_then(|callees| callees.iter().map(below).max()).unwrap_or(0)
}

impl std::fmt::Display for Coverage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let percent = |n: u64| n as f64 * 100.0 / self.programs.max(1) as f64;
        writeln!(f, "{:<14} {:<26} {:>10} {:>7}", "group", "least common", "programs", "share")?;
        let mut groups: Vec<&'static str> = Vec::new();
        for row in self.rows() {
            if !groups.contains(&row.subject.group()) {
                groups.push(row.subject.group());
            }
        }
        for group in groups {
            let mut rows: Vec<Row> = self.rows().filter(|row| row.subject.group() == group).collect();
            rows.sort_by_key(|row| row.programs);
            let count = rows.len();
            let shown = rows.iter().take_while(|row| row.programs * ONE_IN < self.programs).count().max(1);
            for row in rows.into_iter().take(shown) {
                let what = format!("{} (of {count})", row.subject);
                writeln!(f, "{group:<14} {what:<26} {:>10} {:>6.2}%", row.programs, percent(row.programs))?;
            }
        }
        writeln!(f, "{:<14} {:<26} {:>10} {:>6.2}%", "taken", "over half", self.taken, percent(self.taken))?;
        let least = format!("median, {LEAST_MEDIAN} or more");
        let median = self.median_executed().map_or_else(|| "-".to_owned(), |median| median.to_string());
        write!(f, "{:<14} {least:<26} {median:>10}", "instructions")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Programs that have everything, so many of them taken, with so many instructions each.
    fn full(programs: u64, taken: u64, executed: &[(u64, u64)]) -> Coverage {
        let counts = vec![programs.div_ceil(ONE_IN); SUBJECTS.0.len()];
        Coverage { programs, taken, counts, executed: executed.iter().copied().collect() }
    }

    #[test]
    fn the_median_is_what_half_reach() {
        assert_eq!(Coverage::default().median_executed(), None);
        assert_eq!(full(3, 3, &[(1, 1), (40, 1), (90, 1)]).median_executed(), Some(40));
        assert_eq!(full(4, 4, &[(1, 2), (40, 2)]).median_executed(), Some(40));
        assert_eq!(full(5, 5, &[(1, 3), (40, 2)]).median_executed(), Some(1));
    }

    #[test]
    fn each_shortage_is_told_and_few_programs_are_not_judged() {
        let lacks = |coverage: &Coverage| match coverage.judge() {
            Judgement::Lacks(lacks) => lacks,
            other => panic!("{other}"),
        };
        let enough = [(LEAST_MEDIAN, 100)];
        assert_eq!(full(JUDGED, JUDGED / 2 + 1, &enough).judge(), Judgement::Suffices);
        assert_eq!(full(JUDGED - 1, 0, &[]).judge(), Judgement::TooFew { judged: JUDGED });
        let half = lacks(&full(JUDGED, JUDGED / 2, &enough));
        assert!(half.len() == 1 && half[0].contains("2500 of 5000"), "{half:?}");
        let short = lacks(&full(JUDGED, JUDGED, &[(LEAST_MEDIAN - 1, 51), (1000, 50)]));
        assert!(short.len() == 1 && short[0].contains("median is 39"), "{short:?}");
        let mut coverage = full(JUDGED, JUDGED, &enough);
        coverage.counts[0] -= 1;
        let missing = lacks(&coverage);
        assert!(missing.len() == 1 && missing[0].contains(&SUBJECTS.0[0].to_string()), "{missing:?}");
    }

    #[test]
    fn threads_add_up() {
        let mut all = full(10, 6, &[(5, 1)]);
        all.add(&full(10, 6, &[(5, 1), (50, 1)]));
        assert_eq!((all.programs(), all.taken(), all.median_executed()), (20, 12, Some(5)));
    }
}
