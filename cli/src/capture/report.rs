//! What is said at the end of a capture, for people and for machines.

use serde::Serialize;

use super::compare::Differences;
use super::contents::{self, Contents};
use super::lane::Lane;
use super::verdict;
use crate::failure::Result;
use crate::output::{Out, counted};
use crate::values::table::aligned;

/// What was read and what became of it.
pub struct Report<'a> {
    pub object: &'a str,
    pub capture: &'a str,
    pub lanes: &'a [Lane],
    pub packets: u64,
    pub bytes: u64,
    /// Packets written to `--out`.
    pub written: Option<u64>,
    /// With two engines: what differed, and how many maps were compared.
    pub differences: Option<(&'a Differences, u64)>,
    /// The capture could not be read to its end.
    pub error: Option<String>,
    pub top: usize,
}

#[derive(Serialize)]
struct Line<'a> {
    object: &'a str,
    program: &'a str,
    engine: &'a str,
    pcap: &'a str,
    packets: u64,
    bytes: u64,
    verdicts: serde_json::Map<String, serde_json::Value>,
    throws: Vec<Throw<'a>>,
    failed: u64,
    error: Option<String>,
    maps: Vec<Contents>,
    written: Option<u64>,
    differences: Option<u64>,
    first_differences: &'a [String],
    ns_per_packet: f64,
}

#[derive(Serialize)]
struct Throw<'a> {
    cookie: u64,
    count: u64,
    function: Option<&'a str>,
    file: Option<&'a str>,
    line: Option<u32>,
    text: Option<&'a str>,
}

impl Report<'_> {
    /// One line of JSON for each engine.
    pub fn json(&self, out: &mut Out) -> Result<()> {
        for lane in self.lanes {
            let ty = lane.program.kind().ty;
            let verdicts = lane.verdicts.iter().map(|(value, count)| (verdict::name(ty, *value), (*count).into()));
            let failure = lane.first_failure.as_ref().map(|(number, error)| format!("packet {number}: {error}"));
            out.json(&Line {
                object: self.object,
                program: lane.program.name(),
                engine: lane.engine,
                pcap: self.capture,
                packets: lane.runs,
                bytes: self.bytes,
                verdicts: verdicts.collect(),
                throws: throws(lane),
                failed: lane.failed,
                error: self.error.clone().or(failure),
                maps: contents::all(&lane.loaded, self.top),
                written: self.written,
                differences: self.differences.map(|(d, _)| d.count),
                first_differences: self.differences.map_or(&[], |(d, _)| &d.told),
                ns_per_packet: (lane.ns_per_packet() * 10.0).round() / 10.0,
            })?;
        }
        Ok(())
    }

    /// For people: counts of the first engine, times of all.
    pub fn text(&self, out: &mut Out) -> Result<()> {
        let Some(lane) = self.lanes.first() else { return Ok(()) };
        let engines: Vec<&str> = self.lanes.iter().map(|l| l.engine).collect();
        let (name, ty) = (lane.program.name(), lane.program.kind().ty);
        out.line(format_args!("{}: program {name} ({}) on {}", self.object, ty.name(), engines.join(" and ")))?;
        out.line(format_args!(
            "{}: {}, {}",
            self.capture,
            counted(self.packets, "packet"),
            counted(self.bytes, "byte")
        ))?;
        if self.packets == 0 {
            out.line("\nno packet was run: the capture holds none, or none before its end was cut off")?;
        } else {
            self.verdicts(out, lane)?;
            self.throws(out, lane)?;
        }
        for contents in contents::all(&lane.loaded, self.top) {
            out.line(format_args!("\nmap {} ({}): {}", contents.map, contents.kind, contents.summary()))?;
            lines(out, &contents.rows())?;
        }
        if self.packets > 0 {
            self.times(out)?;
        }
        self.failures(out)?;
        self.comparison(out)?;
        match self.written {
            Some(written) => out.line(format_args!("\n{} passed and written", counted(written, "packet"))),
            None => Ok(()),
        }
    }

    fn verdicts(&self, out: &mut Out, lane: &Lane) -> Result<()> {
        let ty = lane.program.kind().ty;
        let share = |n: u64| if lane.runs == 0 { 0.0 } else { n as f64 * 100.0 / lane.runs as f64 };
        let row = |(value, count): (&u64, &u64)| {
            vec![verdict::name(ty, *value), count.to_string(), format!("{:.1} %", share(*count))]
        };
        out.line("\nverdicts")?;
        lines(out, &lane.verdicts.iter().map(row).collect::<Vec<_>>())
    }

    fn throws(&self, out: &mut Out, lane: &Lane) -> Result<()> {
        let caught = counted(lane.thrown(), "packet");
        out.line(format_args!(
            "\nthrows: {caught}{}",
            if lane.throws.is_empty() { "" } else { ", by cookie and source line" }
        ))?;
        for throw in throws(lane) {
            let place = match (throw.file, throw.line) {
                (Some(file), Some(line)) => format!("{file}:{line}"),
                _ => throw.function.map_or_else(|| "unknown place".to_owned(), |f| format!("in {f}")),
            };
            out.line(format_args!("  cookie {:<4} {:>6}  {place}", throw.cookie, throw.count))?;
            if let Some(text) = throw.text {
                out.line(format_args!("                        {text}"))?;
            }
        }
        Ok(())
    }

    fn times(&self, out: &mut Out) -> Result<()> {
        out.line("\nCPU time per packet")?;
        let row = |l: &Lane| vec![l.engine.to_owned(), format!("{:.1} ns", l.ns_per_packet())];
        lines(out, &self.lanes.iter().map(row).collect::<Vec<_>>())?;
        let [first, second] = self.lanes else { return Ok(()) };
        if second.ns_per_packet() > 0.0 {
            let ratio = first.ns_per_packet() / second.ns_per_packet();
            out.line(format_args!("  {} takes {ratio:.2} times as long as {}", first.engine, second.engine))?;
        }
        Ok(())
    }

    fn failures(&self, out: &mut Out) -> Result<()> {
        for lane in self.lanes {
            if let Some((number, error)) = &lane.first_failure {
                let failed = counted(lane.failed, "run");
                out.line(format_args!(
                    "\n{failed} on {} ended in an error; the first, packet {number}: {error}",
                    lane.engine
                ))?;
            }
        }
        Ok(())
    }

    fn comparison(&self, out: &mut Out) -> Result<()> {
        let (Some((differences, maps)), [first, second]) = (self.differences, self.lanes) else { return Ok(()) };
        if differences.count == 0 {
            let packets = counted(self.packets, "packet");
            let what = format!("verdicts, throws and data of {packets} and the contents of {}", counted(maps, "map"));
            return out.line(format_args!("\n{} and {} agree: {what}", first.engine, second.engine));
        }
        out.line(format_args!(
            "\n{} and {} differ, {}:",
            first.engine,
            second.engine,
            counted(differences.count, "time")
        ))?;
        for text in &differences.told {
            out.line(format_args!("  {text}"))?;
        }
        let untold = differences.count.saturating_sub(differences.told.len() as u64);
        if untold > 0 { out.line(format_args!("  and {untold} more")) } else { Ok(()) }
    }
}

fn throws(lane: &Lane) -> Vec<Throw<'_>> {
    lane.throws
        .iter()
        .map(|((cookie, place), count)| Throw {
            cookie: *cookie,
            count: *count,
            function: place.function.as_deref(),
            file: place.file.as_deref(),
            line: place.line,
            text: place.text.as_deref(),
        })
        .collect()
}

fn lines(out: &mut Out, rows: &[Vec<String>]) -> Result<()> {
    for line in aligned(rows) {
        out.line(format_args!("  {line}"))?;
    }
    Ok(())
}
