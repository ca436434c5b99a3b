//! What `diff` prints of generated programs.

use std::collections::BTreeMap;
use std::path::Path;

use backstop_differ::{Columns, Finding, Judgement, Report, Rules};
use serde::Serialize;

use super::saved::Files;
use super::speed;
use crate::failure::Result;
use crate::output::{Out, counted};

/// For people.
pub fn print(out: &mut Out, seed: u64, report: &Report, saved: &Files) -> Result<()> {
    for finding in &report.findings {
        print_finding(out, &format!("program {} of seed {seed}", finding.number), finding, saved)?;
    }
    let Report { coverage, for_linux, .. } = report;
    out.line(if coverage.programs() > 0 { coverage } else { for_linux })?;
    out.line(format_args!("{:<14} {}", "judgement", coverage.judge()))?;
    if coverage.programs() > 0 && for_linux.programs() > 0 {
        let median = for_linux.median_executed().map_or_else(|| "-".to_owned(), |median| median.to_string());
        let (programs, taken) = (counted(for_linux.programs(), "program"), for_linux.taken());
        out.line(format_args!(
            "made for Linux, and not judged: {programs}, {taken} taken, median {median} instructions"
        ))?;
    }
    for (reason, count) in &report.known {
        out.line(format_args!("{count} times Linux differs as is meant: {reason}"))?;
    }
    let programs = report.programs();
    out.line(format_args!(
        "{}, {} on Linux too, {} passed over, {} differ; {:.1} s, {:.0} programs a second and thread",
        counted(programs, "program"),
        report.linux,
        report.passed_over,
        report.findings.len(),
        report.elapsed.as_secs_f64(),
        speed(report),
    ))
}

/// One finding, for people; of which program it is in words.
pub fn print_finding(out: &mut Out, which: &str, finding: &Finding, saved: &Files) -> Result<()> {
    let place = match saved.get(&finding.number) {
        Some(Ok(path)) => format!("saved as {}", path.display()),
        Some(Err(why)) => format!("not saved: {why}"),
        None => "not saved".to_owned(),
    };
    out.line(format_args!("{which} differs; {place}"))?;
    let (difference, size) = match &finding.reduced {
        Some(reduced) => {
            let size = counted(reduced.instructions() as u64, "instruction");
            let short = if reduced.cut_short { ", cut short" } else { "" };
            (&reduced.difference, format!("reduced to {size} in {}{short}", counted(reduced.tests as u64, "test")))
        }
        None => (&finding.difference, "not reduced".to_owned()),
    };
    out.line(format_args!("{difference}{size}:\n{}", finding.smallest()))
}

/// The JSON object.
#[derive(Serialize)]
pub struct Line<'a> {
    seed: u64,
    /// The engines that were compared.
    engines: Vec<&'static str>,
    programs: u64,
    taken: u64,
    passed_over: u64,
    linux: u64,
    linux_known: &'a BTreeMap<&'static str, u64>,
    seconds: f64,
    threads: usize,
    findings: Vec<Found<'a>>,
    /// Programs that were made for Linux too; what they had is not in `coverage`.
    for_linux: u64,
    coverage: Vec<Share>,
    /// Executed instructions that half of the counted programs reach.
    median_instructions: Option<u64>,
    /// Whether there were enough programs to judge.
    coverage_judged: bool,
    coverage_suffices: bool,
    /// A sentence for each shortage.
    coverage_lacks: Vec<String>,
    interrupted: bool,
}

/// The JSON object where there is no report.
#[derive(Serialize)]
pub struct Error<'a> {
    error: &'a str,
}

/// The JSON object where there is no report.
pub fn error(error: &str) -> Error<'_> {
    Error { error }
}

/// A finding. Its fields are kept stable.
#[derive(Serialize)]
pub struct Found<'a> {
    number: u64,
    saved: Option<&'a Path>,
    what: String,
    columns: &'a [String; 2],
    made: &'a [String; 2],
    instructions: usize,
    reduced: bool,
    cut_short: bool,
    case: String,
}

#[derive(Serialize)]
struct Share {
    group: &'static str,
    name: String,
    programs: u64,
}

impl<'a> Line<'a> {
    pub fn new(seed: u64, report: &'a Report, saved: &'a Files, interrupted: bool) -> Line<'a> {
        let coverage = report.coverage.rows().map(|row| Share {
            group: row.subject.group(),
            name: row.subject.to_string(),
            programs: row.programs,
        });
        let judgement = report.coverage.judge();
        Line {
            seed,
            // A session is over all that this build has, or there is none.
            engines: Columns::new(Rules::default()).names(),
            programs: report.programs(),
            taken: report.coverage.taken().saturating_add(report.for_linux.taken()),
            passed_over: report.passed_over,
            linux: report.linux,
            linux_known: &report.known,
            seconds: report.elapsed.as_secs_f64(),
            threads: report.threads,
            findings: report.findings.iter().map(|finding| Found::new(finding, saved)).collect(),
            for_linux: report.for_linux.programs(),
            coverage: coverage.collect(),
            median_instructions: report.coverage.median_executed(),
            coverage_judged: !matches!(judgement, Judgement::TooFew { .. }),
            coverage_suffices: judgement == Judgement::Suffices,
            coverage_lacks: match judgement {
                Judgement::Lacks(lacks) => lacks,
                Judgement::Suffices | Judgement::TooFew { .. } => Vec::new(),
            },
            interrupted,
        }
    }
}

impl<'a> Found<'a> {
    pub fn new(finding: &'a Finding, saved: &'a Files) -> Found<'a> {
        let saved = saved.get(&finding.number).and_then(|file| file.as_deref().ok());
        let difference = finding.reduced.as_ref().map_or(&finding.difference, |reduced| &reduced.difference);
        let case = finding.smallest();
        Found {
            number: finding.number,
            saved,
            what: difference.what.to_string(),
            columns: &difference.columns,
            made: &difference.made,
            instructions: backstop_differ::instructions(&case.program),
            reduced: finding.reduced.is_some(),
            cut_short: finding.reduced.as_ref().is_some_and(|reduced| reduced.cut_short),
            case: case.to_string(),
        }
    }
}
