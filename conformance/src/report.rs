//! What came out: counts by conformance group, and the first cases that went wrong.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

/// Cases of one conformance group.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct GroupCount {
    /// The group's name: RFC 9669's, Linux's extensions as `linux-...`, and `sequences` of instructions of many groups.
    pub group: String,
    /// How many cases.
    pub cases: u64,
    /// How many of them went wrong, by column of [`Report::columns`].
    pub wrong: Vec<u64>,
    /// How many of them a column was not asked about, by column.
    pub declined: Vec<u64>,
}

/// A case that went wrong.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Wrong {
    /// Which column.
    pub column: String,
    /// The conformance group.
    pub group: String,
    /// The row of the ISA table, or what the case is about.
    pub name: String,
    /// The instructions under test, as the assembler writes them.
    pub program: String,
    /// r0 to r9 before them (unless they are pointers there), and the words where accesses lead.
    pub inputs: Vec<(&'static str, u64)>,
    /// What the reference has, where it differs: registers and words by name.
    pub expected: Vec<(String, u64)>,
    /// What was found in the same places; empty if there was no result.
    pub got: Vec<(String, u64)>,
    /// Why there was no result, if there was none.
    pub failure: Option<String>,
}

/// The whole result.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// The seed: the same one gives the same cases.
    pub seed: u64,
    /// Who was put to the test.
    pub columns: Vec<String>,
    /// Counts, in the order of the RFC.
    pub groups: Vec<GroupCount>,
    /// Cases by row of the ISA table.
    pub rows: BTreeMap<String, u64>,
    /// The first wrong cases.
    pub wrong: Vec<Wrong>,
    /// Why Linux was not asked, if it should have been.
    pub linux_skipped: Option<String>,
    /// Cases that a column was not asked about, by reason.
    pub declined: BTreeMap<String, u64>,
    /// How long it took.
    pub elapsed: Duration,
}

impl Report {
    /// The sum over all groups.
    pub fn sum(&self) -> GroupCount {
        let none = vec![0; self.columns.len()];
        let zero = GroupCount { group: "sum".to_owned(), cases: 0, wrong: none.clone(), declined: none };
        self.groups.iter().fold(zero, |mut sum, group| {
            sum.cases += group.cases;
            add(&mut sum.wrong, &group.wrong);
            add(&mut sum.declined, &group.declined);
            sum
        })
    }

    /// The group of this name.
    pub fn group(&self, name: &str) -> Option<&GroupCount> {
        self.groups.iter().find(|group| group.group == name)
    }

    /// Whether nothing went wrong.
    pub fn is_clean(&self) -> bool {
        self.groups.iter().all(|group| group.wrong.iter().all(|n| *n == 0))
    }
}

fn add(to: &mut [u64], from: &[u64]) {
    for (to, from) in to.iter_mut().zip(from) {
        *to += from;
    }
}

/// The wrong cases, what was left out and why, then the table; its last line is the sum.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for wrong in &self.wrong {
            writeln!(f, "{wrong}")?;
        }
        if let Some(reason) = &self.linux_skipped {
            writeln!(f, "skipped: linux: {reason}")?;
        }
        for (reason, cases) in &self.declined {
            writeln!(f, "left out: {cases} cases: {reason}")?;
        }
        write!(f, "{:<24}{:>12}", "group", "cases")?;
        for column in &self.columns {
            write!(f, "{:>16}", format!("{column} wrong"))?;
        }
        for line in self.groups.iter().chain([&self.sum()]) {
            write!(f, "\n{:<24}{:>12}", line.group, line.cases)?;
            for wrong in &line.wrong {
                write!(f, "{wrong:>16}")?;
            }
        }
        Ok(())
    }
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "wrong: {}: {} ({})", self.column, self.name, self.group)?;
        for line in self.program.lines() {
            writeln!(f, "    {line}")?;
        }
        let words = |words: &[(String, u64)]| {
            words.iter().map(|(name, value)| format!(" {name}={value:#x}")).collect::<String>()
        };
        let inputs: String = self.inputs.iter().map(|(name, value)| format!(" {name}={value:#x}")).collect();
        writeln!(f, "  with    {inputs}")?;
        if let Some(failure) = &self.failure {
            let lines: Vec<&str> = failure.lines().map(str::trim_end).collect();
            return writeln!(f, "  no result: {}", lines.join("\n    "));
        }
        writeln!(f, "  expected{}", words(&self.expected))?;
        writeln!(f, "  got     {}", words(&self.got))
    }
}
