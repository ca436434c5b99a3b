//! How many of the programs have what: a comparison is worth as much as what its programs reach.
//!
//! An operation, helper or map counts for a program that all columns took if the proof found a path that reaches it; a depth of calls
//! likewise; a depth of throws, if a run threw from there. Shares are of all generated programs, the refused ones included.

use std::collections::HashMap;
use std::sync::LazyLock;

use backstop::isa::table::{Op, rows};
use backstop::isa::{Instr, Pseudo, decode};
use backstop::model::{MapKind, ProgType, helpers};
use backstop::verifier::Verified;

use crate::generate::{self, STEADY, UNSTEADY};
use crate::trial::Ran;

/// Frames of the deepest chain of calls.
const MAX_FRAMES: usize = 8;
/// Least share of the programs that must have a thing: one in so many.
pub(crate) const ONE_IN: u64 = 200;
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
    /// A kind of map.
    Map(MapKind),
    /// A chain of exactly so many frames, and none deeper.
    Frames(usize),
    /// A throw that left exactly so many frames, and none deeper.
    ThrowDepth(usize),
    /// A type of programs.
    Type(ProgType),
}

impl Subject {
    /// The group that tables show it in.
    pub const fn group(&self) -> &'static str {
        match self {
            Subject::Operation(_) => "operation",
            Subject::Helper(_) => "helper",
            Subject::Map(_) => "map kind",
            Subject::Frames(_) => "frames",
            Subject::ThrowDepth(_) => "throw depth",
            Subject::Type(_) => "program type",
        }
    }
}

impl std::fmt::Display for Subject {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Subject::Operation(name) => f.write_str(name),
            Subject::Helper(id) => write!(f, "bpf_{}", helpers::name(*id).unwrap_or("?")),
            Subject::Map(kind) => f.write_str(kind.name()),
            Subject::Frames(n) | Subject::ThrowDepth(n) => write!(f, "{n}"),
            Subject::Type(ty) => f.write_str(ty.name()),
        }
    }
}

/// All subjects, and the place of each.
static SUBJECTS: LazyLock<(Vec<Subject>, HashMap<Subject, usize>)> = LazyLock::new(|| {
    let operations = rows().map(|row| row.name).filter(|name| !NOT_GENERATED.contains(name)).map(Subject::Operation);
    let mut helpers: Vec<u32> = STEADY.into_iter().chain(UNSTEADY).collect();
    helpers.sort_unstable();
    let all: Vec<Subject> = operations
        .chain(helpers.into_iter().map(Subject::Helper))
        .chain(generate::map_kinds().into_iter().map(Subject::Map))
        .chain((1..=MAX_FRAMES).map(Subject::Frames))
        .chain((1..=MAX_FRAMES).map(Subject::ThrowDepth))
        .chain(generate::types().map(Subject::Type))
        .collect();
    let places = all.iter().enumerate().map(|(at, subject)| (*subject, at)).collect();
    (all, places)
});

/// The place of each operation's subject.
static OPERATIONS: LazyLock<HashMap<Op, usize>> = LazyLock::new(|| {
    let place = |row: &'static backstop::isa::table::Row| {
        SUBJECTS.1.get(&Subject::Operation(row.name)).map(|place| (row.op, *place))
    };
    rows().filter_map(place).collect()
});

/// Counts over programs.
#[derive(Clone, Debug)]
pub struct Coverage {
    programs: u64,
    taken: u64,
    counts: Vec<u64>,
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
        Coverage { programs: 0, taken: 0, counts: vec![0; SUBJECTS.0.len()] }
    }
}

impl Coverage {
    /// Counts a program that was not taken.
    pub fn refused(&mut self) {
        self.programs += 1;
    }

    /// Counts a program that all columns took and ran.
    pub fn ran(&mut self, ran: &Ran) {
        self.programs += 1;
        self.taken += 1;
        let mut has = vec![false; self.counts.len()];
        let mut mark = |place: Option<usize>| {
            if let Some(place) = place.and_then(|place| has.get_mut(place)) {
                *place = true;
            }
        };
        let place = |subject: Subject| SUBJECTS.1.get(&subject).copied();
        let Some(verified) = ran.proof.as_ref().map(backstop::Proof::verified) else { return };
        let program = verified.program();
        for (slot, _) in verified.facts().slots.iter().enumerate().filter(|(_, fact)| fact.reached) {
            let Ok(instr) = decode(&program.slots, slot) else { continue };
            mark(OPERATIONS.get(&instr.op()).copied());
            match instr {
                Instr::CallHelper { id } => mark(u32::try_from(id).ok().and_then(|id| place(Subject::Helper(id)))),
                Instr::LoadPseudo { kind: Pseudo::MapIdx | Pseudo::MapValueIdx, imm, .. } => {
                    let map = usize::try_from(imm).ok().and_then(|index| program.maps.get(index));
                    mark(map.and_then(|map| place(Subject::Map(map.kind))));
                }
                _ => {}
            }
        }
        mark(place(Subject::Frames(frames(verified))));
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

    /// Whether at least half of the programs were taken, and 0.5 % of them have each thing.
    pub fn suffices(&self) -> bool {
        self.taken * 2 >= self.programs && self.lacking().is_empty()
    }
}

/// Frames of the deepest chain of calls that the proof walked.
fn frames(verified: &Verified) -> usize {
    let facts = verified.facts();
    let slots = &verified.program().slots;
    let starts: Vec<u32> = facts.subprograms.iter().map(|function| function.start).collect();
    let mut calls: Vec<Vec<usize>> = vec![Vec::new(); starts.len()];
    for (slot, _) in facts.slots.iter().enumerate().filter(|(_, fact)| fact.reached) {
        let distance = match decode(slots, slot) {
            Ok(Instr::CallLocal { off }) => off,
            Ok(Instr::LoadPseudo { kind: Pseudo::Func, imm, .. }) => imm,
            _ => continue,
        };
        let target = u32::try_from(slot as i64 + 1 + i64::from(distance)).unwrap_or(u32::MAX);
        let caller = starts.partition_point(|start| *start as usize <= slot).checked_sub(1);
        if let (Some(caller), Ok(callee)) = (caller.and_then(|n| calls.get_mut(n)), starts.binary_search(&target)) {
            caller.push(callee);
        }
    }
    deepest(&calls, 0, MAX_FRAMES)
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
        write!(f, "{:<14} {:<26} {:>10} {:>6.2}%", "taken", "", self.taken, percent(self.taken))
    }
}
