//! `backstop verify`: each program judged as if it alone were loaded.

use std::path::Path;
use std::time::Instant;

use backstop::verifier::{Refusal, Stats, SubprogramCost};
use backstop::{Engine, LoadError};
use serde::Serialize;

use crate::args::{LogFormat, VerifyArgs};
use crate::failure::{Failure, Outcome, Result};
use crate::output::{Out, counted, note};
use crate::session::{self, Session};

/// Lines of the log that `log_tail` holds.
const TAIL: usize = 8;

/// A line of the machine interface. Its fields are kept stable.
#[derive(Serialize)]
struct Line {
    object: String,
    program: Option<String>,
    section: Option<String>,
    #[serde(rename = "type")]
    ty: Option<&'static str>,
    verdict: &'static str,
    error: Option<String>,
    log_tail: Option<String>,
    insns_processed: Option<u64>,
    peak_states: Option<u64>,
    verify_us: Option<f64>,
}

/// A program and how it was judged.
struct Judged {
    line: Line,
    stats: Option<Stats>,
    costs: Vec<SubprogramCost>,
    error: Option<LoadError>,
}

#[derive(Default)]
struct Count {
    accepted: u64,
    refused: u64,
}

/// `backstop verify`.
pub fn verify(args: &VerifyArgs) -> Result {
    let config = session::config(&args.judging).log_level(args.log_level);
    let engine = session::engine(config)?;
    let (mut out, mut count, mut outcome) = (Out::new(), Count::default(), Outcome::Done);
    for path in &args.objects {
        let (program, error) = match open(args, &engine, path) {
            Ok((session, names)) => {
                object(args, &session, path, &names, &mut out, &mut count)?;
                continue;
            }
            Err((program, Failure::Input(error))) => (program, error),
            Err((_, other)) => return Err(other),
        };
        outcome = Outcome::Refused;
        if args.json {
            out.json(&unopened(path, program, &error))?;
        }
        note(format_args!("error: {error}"));
    }
    if !args.json {
        let programs = counted(count.accepted.saturating_add(count.refused), "program");
        out.line(format_args!("{programs}: {} accepted, {} refused", count.accepted, count.refused))?;
    }
    Ok(outcome.and(Outcome::of(count.refused == 0)))
}

/// An opened object and the programs to judge; or the program that is missing, if it is one, and why.
type Opened<'a> = std::result::Result<(Session, Vec<String>), (Option<&'a str>, Failure)>;

fn open<'a>(args: &'a VerifyArgs, engine: &Engine, path: &Path) -> Opened<'a> {
    let program = args.program.as_deref();
    let session = Session::open(engine, path, &args.judging).map_err(|e| (None, e))?;
    let names = session.wanted(path, program).map_err(|e| (program, e))?;
    match names.is_empty() {
        true => Err((None, Failure::Input(format!("{}: it holds no program", path.display())))),
        false => Ok((session, names)),
    }
}

fn object(
    args: &VerifyArgs,
    session: &Session,
    path: &Path,
    names: &[String],
    out: &mut Out,
    count: &mut Count,
) -> Result<()> {
    if !args.json {
        out.line(path.display())?;
    }
    let width = names.iter().map(|n| n.chars().count()).max().unwrap_or(0);
    for name in names {
        let judged = judge(session, path, name);
        if judged.error.is_some() {
            count.refused += 1
        } else {
            count.accepted += 1
        }
        if args.json { out.json(&judged.line)? } else { print(args, session, out, &judged, width)? }
    }
    Ok(())
}

fn judge(session: &Session, path: &Path, name: &str) -> Judged {
    let program = session.object.elf().program(name);
    let section = program.as_ref().map(|p| p.section.clone());
    let ty = program.as_ref().and_then(|p| p.kind.as_ref().ok()).map(|section| section.kind.ty.name());
    let started = Instant::now();
    let verified = session.object.verify(&session.linker, name);
    let micros = started.elapsed().as_nanos() as f64 / 1000.0;
    let (stats, costs, error) = match verified {
        Ok(verified) => (Some(*verified.stats()), verified.costs().to_vec(), None),
        Err(error) => {
            let refusal = refusal(&error);
            (refusal.map(|r| r.stats), refusal.map(|r| r.costs.clone()).unwrap_or_default(), Some(error))
        }
    };
    let line = Line {
        object: path.display().to_string(),
        program: Some(name.to_owned()),
        section,
        ty,
        verdict: if error.is_none() { "accept" } else { "reject" },
        error: error.as_ref().map(LoadError::to_string),
        log_tail: error.as_ref().and_then(refusal).map(|r| tail(&r.kernel_format())),
        insns_processed: stats.map(|s| s.insns_processed),
        peak_states: stats.map(|s| s.peak_states),
        verify_us: Some((micros * 10.0).round() / 10.0),
    };
    Judged { line, stats, costs, error }
}

fn refusal(error: &LoadError) -> Option<&Refusal> {
    match error {
        LoadError::Refused { refusal, .. } => Some(refusal),
        _ => None,
    }
}

fn tail(log: &str) -> String {
    let lines: Vec<&str> = log.trim_end().lines().collect();
    lines.get(lines.len().saturating_sub(TAIL)..).unwrap_or_default().join("\n")
}

fn print(args: &VerifyArgs, session: &Session, out: &mut Out, judged: &Judged, width: usize) -> Result<()> {
    let Judged { line, stats, costs, error } = judged;
    let name = line.program.as_deref().unwrap_or("?");
    out.line(format_args!("  {}  {name:<width$}  {}", line.verdict, line.ty.unwrap_or("unknown")))?;
    if let Some(error) = error {
        let text = match (refusal(error), args.format) {
            (Some(refusal), LogFormat::Kernel) => refusal.kernel_format(),
            _ => session.explain(name, error),
        };
        out.line(format_args!("{}\n", text.trim_end()))?;
    }
    match stats {
        Some(stats) if args.stats => print_stats(out, stats, costs, line.verify_us.unwrap_or_default()),
        _ => Ok(()),
    }
}

fn print_stats(out: &mut Out, stats: &Stats, costs: &[SubprogramCost], micros: f64) -> Result<()> {
    out.line(format_args!(
        "          {} instructions processed, {} states ({} at most at one time, {:.1} KiB), {} comparisons, {micros:.1} us",
        stats.insns_processed,
        stats.total_states,
        stats.peak_states,
        stats.peak_bytes as f64 / 1024.0,
        stats.comparisons,
    ))?;
    for cost in costs {
        out.line(format_args!(
            "            {:<24} {:>9} instructions {:>7} states {:>9.1} KiB {:>9.1} us",
            cost.name,
            cost.insns_processed,
            cost.states,
            cost.bytes as f64 / 1024.0,
            cost.nanos as f64 / 1000.0,
        ))?;
    }
    Ok(())
}

fn unopened(path: &Path, program: Option<&str>, error: &str) -> Line {
    Line {
        object: path.display().to_string(),
        program: program.map(str::to_owned),
        section: None,
        ty: None,
        verdict: "reject",
        error: Some(error.to_owned()),
        log_tail: None,
        insns_processed: None,
        peak_states: None,
        verify_us: None,
    }
}
