//! What `diff` prints of generated programs.

use std::collections::BTreeMap;
use std::path::PathBuf;

use backstop_differ::{Finding, Report};
use serde::Serialize;

use super::speed;
use crate::failure::Result;
use crate::output::{Out, counted};

/// For people.
pub fn print(out: &mut Out, seed: u64, report: &Report, saved: &[PathBuf]) -> Result<()> {
    for (finding, path) in report.findings.iter().zip(saved) {
        out.line(format_args!("program {} of seed {seed} differs; saved as {}", finding.number, path.display()))?;
        let (difference, size) = match &finding.reduced {
            Some(reduced) => {
                let size = counted(reduced.instructions() as u64, "instruction");
                (&reduced.difference, format!("reduced to {size} in {}", counted(reduced.tests as u64, "test")))
            }
            None => (&finding.difference, "not reduced".to_owned()),
        };
        out.line(format_args!("{difference}{size}:\n{}", finding.smallest()))?;
    }
    out.line(&report.coverage)?;
    for (reason, count) in &report.known {
        out.line(format_args!("{count} times Linux differs as is meant: {reason}"))?;
    }
    let programs = report.coverage.programs();
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

/// The JSON object.
#[derive(Serialize)]
pub struct Line<'a> {
    seed: u64,
    programs: u64,
    taken: u64,
    passed_over: u64,
    linux: u64,
    linux_known: &'a BTreeMap<&'static str, u64>,
    seconds: f64,
    threads: usize,
    findings: Vec<Found<'a>>,
    coverage: Vec<Share>,
    coverage_suffices: bool,
}

#[derive(Serialize)]
struct Found<'a> {
    number: u64,
    saved: &'a PathBuf,
    what: String,
    columns: &'a [String; 2],
    made: &'a [String; 2],
    instructions: usize,
    case: String,
}

#[derive(Serialize)]
struct Share {
    group: &'static str,
    name: String,
    programs: u64,
}

impl<'a> Line<'a> {
    pub fn new(seed: u64, report: &'a Report, saved: &'a [PathBuf]) -> Line<'a> {
        let coverage = report.coverage.rows().map(|row| Share {
            group: row.subject.group(),
            name: row.subject.to_string(),
            programs: row.programs,
        });
        Line {
            seed,
            programs: report.coverage.programs(),
            taken: report.coverage.taken(),
            passed_over: report.passed_over,
            linux: report.linux,
            linux_known: &report.known,
            seconds: report.elapsed.as_secs_f64(),
            threads: report.threads,
            findings: report.findings.iter().zip(saved).map(|(finding, path)| Found::new(finding, path)).collect(),
            coverage: coverage.collect(),
            coverage_suffices: report.coverage.suffices(),
        }
    }
}

impl<'a> Found<'a> {
    fn new(finding: &'a Finding, saved: &'a PathBuf) -> Found<'a> {
        let difference = finding.reduced.as_ref().map_or(&finding.difference, |reduced| &reduced.difference);
        let case = finding.smallest();
        Found {
            number: finding.number,
            saved,
            what: difference.what.to_string(),
            columns: &difference.columns,
            made: &difference.made,
            instructions: backstop_differ::instructions(&case.program),
            case: case.to_string(),
        }
    }
}
