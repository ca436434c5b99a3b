//! Drives a capture through one lane or two: reads packets in batches, runs them, compares, writes what passed, reports.

use std::io::IsTerminal;
use std::path::Path;

use backstop::Object;
use backstop::model::ProgType;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::compare::Differences;
use super::lane::{Ended, Lane};
use super::reader::{Capture, Captured};
use super::report::Report;
use super::verdict;
use super::writer::Passed;
use crate::args::RunArgs;
use crate::failure::{Failure, Outcome, Result};
use crate::output::{Out, note};
use crate::run::line::Line;
use crate::run::{Stop, once};
use crate::session::{self, Session, need_program};

/// Packets of a batch: enough that reading the clock doesn't count, few enough to stay in the cache.
const BATCH: usize = 128;

/// Entries that are shown of a map if nothing else is asked for.
const TOP: usize = 10;

/// `backstop run OBJ --pcap FILE`.
pub fn run(args: &RunArgs, pcap: &Path, out: &mut Out) -> std::result::Result<Outcome, Stop> {
    let engines = session::engines(&args.judging, args.engine)?;
    let sessions: Result<Vec<Session>> =
        engines.iter().map(|engine| Session::open(engine, &args.object, &args.judging)).collect();
    let sessions = sessions.map_err(Stop::unopened)?;
    let mut capture = Capture::open(pcap)?;
    let mut lanes = load(args, &sessions, out)?;
    note_link_type(&capture);
    let mut passed = match &args.capture.out {
        Some(path) if is_same_file(path, pcap) => {
            let text = "--out would overwrite the capture that is read; name another file";
            return Err(Failure::Usage(text.to_owned()).into());
        }
        Some(path) => Some(Passed::create(path, capture.header())?),
        None => None,
    };
    let mut differences = Differences::default();
    let mut bytes = 0u64;
    let ended = drive(&mut capture, &mut lanes, &mut differences, passed.as_mut(), &mut bytes);
    let cut = match ended {
        Ok(()) => None,
        Err(Failure::Input(text)) => Some(text),
        Err(other) => return Err(other.into()),
    };
    let written = passed.map(Passed::finish).transpose()?;
    let compared = match lanes.as_slice() {
        [first, second] => Some(differences.maps(first, second)),
        _ => None,
    };
    let report = Report {
        object: &args.object.display().to_string(),
        capture: &pcap.display().to_string(),
        lanes: &lanes,
        packets: capture.packets,
        bytes,
        written,
        differences: compared.map(|maps| (&differences, maps)),
        error: cut.clone(),
        top: args.capture.top.unwrap_or(TOP),
    };
    if args.json {
        report.json(out)?
    } else {
        report.text(out)?
    }
    if let Some(text) = cut {
        return Err(Failure::Input(text).into());
    }
    Ok(lanes.iter().fold(Outcome::of(differences.count == 0), |all, lane| all.and(lane.outcome)))
}

/// Loads the program for each engine, with maps of its own.
fn load(args: &RunArgs, sessions: &[Session], out: &mut Out) -> Result<Vec<Lane>> {
    let (mut lanes, mut refused) = (Vec::new(), None);
    for session in sessions {
        let name = choose(&session.object, &args.object, args.program.as_deref())?;
        match Lane::load(session, &name) {
            Ok(lane) => lanes.push(lane),
            Err(error) => {
                if args.json {
                    let verdict = once::verdict(&error);
                    out.json(&Line::failed(args, &name, session.engine_name(), verdict, error.to_string()))?;
                }
                refused.get_or_insert_with(|| session.explain(&name, &error));
            }
        }
    }
    if let Some(text) = refused {
        return Err(Failure::Refused(text));
    }
    lanes.iter().try_for_each(check_kind)?;
    Ok(lanes)
}

fn drive(
    capture: &mut Capture,
    lanes: &mut [Lane],
    differences: &mut Differences,
    mut passed: Option<&mut Passed>,
    bytes: &mut u64,
) -> Result<()> {
    let progress = progress(capture.length);
    loop {
        let (batch, end) = next_batch(capture);
        progress.set_position(capture.offset);
        *bytes = batch.iter().fold(*bytes, |sum, c| sum.saturating_add(c.data.len() as u64));
        let ended: Vec<Vec<Ended>> = lanes.iter_mut().map(|lane| lane.run(&batch)).collect();
        if let ([first, second], [a, b]) = (&*lanes, ended.as_slice()) {
            for ((captured, a), b) in batch.iter().zip(a).zip(b) {
                differences.packet(captured.number, (first, second), (a, b));
            }
        }
        if let (Some(passed), Some(lane), Some(ended)) = (passed.as_mut(), lanes.first(), ended.first()) {
            write(passed, lane, &batch, ended)?;
        }
        match end {
            End::More => {}
            End::Whole => break,
            End::Cut(failure) => {
                progress.finish_and_clear();
                return Err(failure);
            }
        }
    }
    progress.finish_and_clear();
    Ok(())
}

enum End {
    More,
    Whole,
    Cut(Failure),
}

/// The next packets, and whether more come. What was read before an error is still run.
fn next_batch(capture: &mut Capture) -> (Vec<Captured>, End) {
    let mut batch = Vec::with_capacity(BATCH);
    while batch.len() < BATCH {
        match capture.next() {
            Ok(Some(packet)) => batch.push(packet),
            Ok(None) => return (batch, End::Whole),
            Err(failure) => return (batch, End::Cut(failure)),
        }
    }
    (batch, End::More)
}

fn write(passed: &mut Passed, lane: &Lane, batch: &[Captured], ended: &[Ended]) -> Result<()> {
    let ty = lane.program.kind().ty;
    for (captured, end) in batch.iter().zip(ended) {
        if end.result.as_ref().is_ok_and(|exit| verdict::passes(ty, exit.value())) {
            passed.write(captured, end.packet.data())?;
        }
    }
    Ok(())
}

/// The program asked for, else the first XDP or tc program that is loaded by default and is no target of tail calls.
fn choose(object: &Object, path: &Path, asked: Option<&str>) -> Result<String> {
    if let Some(name) = asked {
        need_program(object, path, name)?;
        return Ok(name.to_owned());
    }
    let elf = object.elf();
    let judges = |ty| matches!(ty, ProgType::Xdp | ProgType::SchedCls);
    let candidates =
        elf.programs().filter(|p| p.autoload && p.kind.as_ref().is_ok_and(|section| judges(section.kind.ty)));
    let mut names: Vec<String> = candidates.map(|p| p.name).collect();
    let is_target = |name: &String| elf.maps().iter().any(|m| m.spec.values.iter().any(|(_, target)| target == name));
    let first = names.iter().position(|name| !is_target(name)).unwrap_or(0);
    if names.is_empty() {
        let text = "it has no XDP or tc program that is loaded by default; name one with --program";
        return Err(Failure::Input(format!("{}: {text}", path.display())));
    }
    Ok(names.swap_remove(first))
}

fn check_kind(lane: &Lane) -> Result<()> {
    let ty = lane.program.kind().ty;
    if verdict::is_packet_program(ty) {
        return Ok(());
    }
    let name = lane.program.name();
    Err(Failure::Input(format!(
        "program `{name}` is of type {}: it takes no packets; run it without --pcap",
        ty.name()
    )))
}

fn is_same_file(first: &Path, second: &Path) -> bool {
    matches!((first.canonicalize(), second.canonicalize()), (Ok(a), Ok(b)) if a == b)
}

fn note_link_type(capture: &Capture) {
    let link = capture.header().datalink;
    if link != pcap_file::DataLink::ETHERNET {
        note(format_args!(
            "note: the capture's link type is {link:?}, not Ethernet; the program sees the frames as they are"
        ));
    }
}

/// Progress over the file's bytes, on a terminal only.
fn progress(length: u64) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::with_draw_target(Some(length), ProgressDrawTarget::stderr());
    let style = ProgressStyle::with_template("{wide_bar} {percent:>3} %  {bytes}/{total_bytes}  {eta}");
    if let Ok(style) = style {
        bar.set_style(style);
    }
    bar
}
