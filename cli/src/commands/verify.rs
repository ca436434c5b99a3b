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
    /// With `--stats`.
    #[serde(skip_serializing_if = "Option::is_none")]
    stats: Option<Costs>,
    /// With `--log-level` 1 or 2.
    #[serde(skip_serializing_if = "Option::is_none")]
    log: Option<String>,
}

/// What a proof cost. Bytes are those of kept states.
#[derive(Serialize)]
struct Costs {
    insns_processed: u64,
    total_states: u64,
    peak_states: u64,
    peak_bytes: u64,
    comparisons: u64,
    subprograms: Vec<Cost>,
}

/// A subprogram's share.
#[derive(Serialize)]
struct Cost {
    name: String,
    insns_processed: u64,
    states: u64,
    bytes: u64,
    us: f64,
}

/// A program and how it was judged.
struct Judged {
    line: Line,
    /// The log in the kernel's form, if the verifier saw the program.
    log: Option<String>,
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
            Err((program, other)) => {
                if args.json {
                    out.json(&unopened(path, program, &other.to_string()))?;
                }
                return Err(other);
            }
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
    let mut session = Session::open(engine, path, &args.judging).map_err(|e| (None, e))?;
    let names = session.wanted(path, program).map_err(|e| (program, e))?;
    session.fix_memory(&names, args.memory.data_size).map_err(|e| (program, e))?;
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
        let judged = judge(args, session, path, name);
        if judged.error.is_some() {
            count.refused += 1
        } else {
            count.accepted += 1
        }
        if args.json { out.json(&judged.line)? } else { print(args, session, out, &judged, width)? }
    }
    Ok(())
}

fn judge(args: &VerifyArgs, session: &Session, path: &Path, name: &str) -> Judged {
    let program = session.object.elf().program(name);
    let section = program.as_ref().map(|p| p.section.clone());
    let ty = program.as_ref().and_then(|p| p.kind.as_ref().ok()).map(|section| section.kind.ty.name());
    let started = Instant::now();
    let verified = session.object.verify(&session.linker, name);
    let micros = started.elapsed().as_nanos() as f64 / 1000.0;
    let (log, stats, costs, error) = match verified {
        Ok(v) => (Some(v.kernel_format()), Some(*v.stats()), Some(costs(v.stats(), v.costs())), None),
        Err(error) => {
            let refused = refusal(&error);
            let costs = refused.map(|r| costs(&r.stats, &r.costs));
            (refused.map(Refusal::kernel_format), refused.map(|r| r.stats), costs, Some(error))
        }
    };
    let line = Line {
        object: path.display().to_string(),
        program: Some(name.to_owned()),
        section,
        ty,
        verdict: if error.is_none() { "accept" } else { "reject" },
        error: error.as_ref().map(LoadError::to_string),
        log_tail: log.as_deref().filter(|_| error.is_some()).map(tail),
        insns_processed: stats.map(|s| s.insns_processed),
        peak_states: stats.map(|s| s.peak_states),
        verify_us: Some(tenths(micros)),
        stats: costs.filter(|_| args.stats),
        log: log.clone().filter(|_| args.log_level > 0),
    };
    Judged { line, log, error }
}

fn costs(stats: &Stats, subprograms: &[SubprogramCost]) -> Costs {
    let cost = |c: &SubprogramCost| Cost {
        name: c.name.clone(),
        insns_processed: c.insns_processed,
        states: c.states,
        bytes: c.bytes,
        us: tenths(c.nanos as f64 / 1000.0),
    };
    Costs {
        insns_processed: stats.insns_processed,
        total_states: stats.total_states,
        peak_states: stats.peak_states,
        peak_bytes: stats.peak_bytes,
        comparisons: stats.comparisons,
        subprograms: subprograms.iter().map(cost).collect(),
    }
}

fn tenths(number: f64) -> f64 {
    (number * 10.0).round() / 10.0
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
    let Judged { line, log, error } = judged;
    let name = line.program.as_deref().unwrap_or("?");
    out.line(format_args!("  {}  {name:<width$}  {}", line.verdict, line.ty.unwrap_or("unknown")))?;
    let as_log = log.as_ref().filter(|_| args.log_level > 0 || args.format == LogFormat::Kernel);
    if let Some(log) = as_log {
        out.line(format_args!("{}\n", log.trim_end()))?;
    }
    let explained = as_log.is_some() && args.format == LogFormat::Kernel;
    if let Some(error) = error.as_ref().filter(|_| !explained) {
        out.line(format_args!("{}\n", session.explain(name, error).trim_end()))?;
    }
    line.stats.as_ref().map_or(Ok(()), |stats| print_stats(out, stats, line.verify_us.unwrap_or_default()))
}

fn print_stats(out: &mut Out, stats: &Costs, micros: f64) -> Result<()> {
    out.line(format_args!(
        "          {} instructions processed, {} states ({} at most at one time, {:.1} KiB), {} comparisons, {micros:.1} us",
        stats.insns_processed,
        stats.total_states,
        stats.peak_states,
        stats.peak_bytes as f64 / 1024.0,
        stats.comparisons,
    ))?;
    for cost in &stats.subprograms {
        out.line(format_args!(
            "            {:<24} {:>9} instructions {:>7} states {:>9.1} KiB {:>9.1} us",
            cost.name,
            cost.insns_processed,
            cost.states,
            cost.bytes as f64 / 1024.0,
            cost.us,
        ))?;
    }
    Ok(())
}

/// Says in a line that nothing more comes of this run.
pub fn stopped(args: &VerifyArgs, error: &str) -> Result<()> {
    let path = args.objects.first().map_or(Path::new(""), std::path::PathBuf::as_path);
    Out::new().json(&unopened(path, args.program.as_deref(), error))
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
        stats: None,
        log: None,
    }
}
