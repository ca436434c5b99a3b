//! One engine's way through a capture: its own load, its own maps, its own counts.

use std::collections::BTreeMap;
use std::time::Duration;

use backstop::{Exit, Frame, Input, LoadError, Loaded, Packet, Program, RunError, Store};

use super::reader::Captured;
use crate::clock::Moment;
use crate::failure::Outcome;
use crate::session::Session;

/// A program loaded for one engine, and what became of the packets that it saw.
pub struct Lane {
    pub engine: &'static str,
    pub program: Program<()>,
    pub loaded: Loaded<()>,
    store: Store<()>,
    /// How often each result came.
    pub verdicts: BTreeMap<u64, u64>,
    /// Throws by cookie and place.
    pub throws: BTreeMap<(u64, Place), u64>,
    /// Runs that ended in an error: how many, and the first with its packet's number.
    pub failed: u64,
    pub first_failure: Option<(u64, String)>,
    /// What they make of the command.
    pub outcome: Outcome,
    pub runs: u64,
    /// CPU time inside the engine.
    pub time: Duration,
}

/// The innermost frame of a throw.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub struct Place {
    pub file: Option<String>,
    pub line: Option<u32>,
    pub text: Option<String>,
    pub function: Option<String>,
}

impl Place {
    fn of(frame: Option<Frame>) -> Place {
        frame.map_or_else(Place::default, |f| Place {
            file: f.file,
            line: f.line,
            text: f.text.map(|t| t.trim().to_owned()),
            function: Some(f.function),
        })
    }
}

/// How a program ended on one packet.
pub struct Ended {
    pub result: Result<Exit, RunError>,
    pub packet: Packet,
}

impl Lane {
    /// Loads the program by itself, with fresh maps.
    pub fn load(session: &Session, program: &str) -> Result<Lane, LoadError> {
        let loaded = session.object.load_programs(&session.linker, &[program])?;
        Ok(Lane {
            engine: session.engine_name(),
            program: loaded.program(program)?,
            loaded,
            store: Store::new(&session.engine, ()),
            verdicts: BTreeMap::new(),
            throws: BTreeMap::new(),
            failed: 0,
            outcome: Outcome::Done,
            first_failure: None,
            runs: 0,
            time: Duration::ZERO,
        })
    }

    /// Runs the program over a batch. Only the runs are timed: packets are made before and looked at afterwards.
    pub fn run(&mut self, batch: &[Captured]) -> Vec<Ended> {
        let mut packets: Vec<Packet> = batch.iter().map(|c| Packet::new(&c.data)).collect();
        let mut results = Vec::with_capacity(batch.len());
        let started = Moment::now();
        for packet in &mut packets {
            results.push(self.program.run(&mut self.store, Input::Packet(packet)));
        }
        self.time = self.time.saturating_add(started.elapsed());
        for (captured, result) in batch.iter().zip(&results) {
            self.count(captured.number, result);
        }
        results.into_iter().zip(packets).map(|(result, packet)| Ended { result, packet }).collect()
    }

    fn count(&mut self, number: u64, result: &Result<Exit, RunError>) {
        self.runs = self.runs.saturating_add(1);
        match result {
            Ok(exit) => {
                add_one(self.verdicts.entry(exit.value()).or_default());
                if let Exit::Thrown { cookie, backtrace, .. } = exit {
                    let place = Place::of(self.program.backtrace(backtrace).into_iter().next());
                    add_one(self.throws.entry((*cookie, place)).or_default());
                }
            }
            Err(error) => {
                self.failed = self.failed.saturating_add(1);
                self.outcome = self.outcome.and(Outcome::of_error(error));
                self.first_failure.get_or_insert_with(|| (number, error.to_string()));
            }
        }
    }

    /// Mean time of a run, in nanoseconds.
    pub fn ns_per_packet(&self) -> f64 {
        if self.runs == 0 { 0.0 } else { self.time.as_nanos() as f64 / self.runs as f64 }
    }

    /// How many packets made the program throw.
    pub fn thrown(&self) -> u64 {
        self.throws.values().sum()
    }
}

fn add_one(count: &mut u64) {
    *count = count.saturating_add(1);
}
