//! What two engines must agree on: each packet's verdict, throw and data, and every map at the end.

use backstop::model::ProgType;
use backstop::{Exit, Map, RunError};

use super::lane::{Ended, Lane};
use super::verdict;
use crate::output::hex;

/// Differences that are told in full.
const TOLD: usize = 20;

/// Differences found so far.
#[derive(Default)]
pub struct Differences {
    /// How many.
    pub count: u64,
    /// The first ones, in words.
    pub told: Vec<String>,
}

impl Differences {
    fn add(&mut self, text: impl FnOnce() -> String) {
        self.count = self.count.saturating_add(1);
        if self.told.len() < TOLD {
            self.told.push(text());
        }
    }

    /// Compares what two lanes made of one packet.
    pub fn packet(&mut self, number: u64, lanes: (&Lane, &Lane), ended: (&Ended, &Ended)) {
        let ty = lanes.0.program.kind().ty;
        let (a, b) = (outcome(ty, &ended.0.result), outcome(ty, &ended.1.result));
        if a != b {
            self.add(|| format!("packet {number}: {a} on {}, {b} on {}", lanes.0.engine, lanes.1.engine));
        }
        let (a, b) = (ended.0.packet.data(), ended.1.packet.data());
        if a != b {
            let at = a.iter().zip(b).position(|(x, y)| x != y).unwrap_or(a.len().min(b.len()));
            self.add(|| {
                let (x, y) = (around(a, at), around(b, at));
                format!(
                    "packet {number}: data from byte {at} on is {x} on {}, {y} on {}",
                    lanes.0.engine, lanes.1.engine
                )
            });
        }
    }

    /// Compares all maps of two lanes.
    pub fn maps(&mut self, first: &Lane, second: &Lane) -> u64 {
        let mut compared = 0;
        for map in first.loaded.maps() {
            match second.loaded.map(map.name()) {
                Ok(other) => self.map(map, other, (first.engine, second.engine)),
                Err(error) => self.add(|| error.to_string()),
            }
            compared += 1;
        }
        compared
    }

    fn map(&mut self, first: &Map, second: &Map, engines: (&str, &str)) {
        let name = first.name();
        if first.len() != second.len() {
            let (a, b) = (first.len(), second.len());
            self.add(|| format!("map {name}: {a} entries on {}, {b} on {}", engines.0, engines.1));
        }
        for (key, value) in first {
            match second.lookup(&key) {
                Ok(Some(other)) if other == value => {}
                Ok(Some(other)) => self.add(|| {
                    let at = value.iter().zip(&other).position(|(x, y)| x != y).unwrap_or(0);
                    let (x, y) = (around(&value, at), around(&other, at));
                    format!(
                        "map {name}, key {}: value from byte {at} on is {x} on {}, {y} on {}",
                        hex(&key),
                        engines.0,
                        engines.1
                    )
                }),
                Ok(None) => self
                    .add(|| format!("map {name}: key {} is there on {}, not on {}", hex(&key), engines.0, engines.1)),
                Err(error) => self.add(|| format!("map {name}, key {}: {error}", hex(&key))),
            }
        }
    }
}

fn around(bytes: &[u8], at: usize) -> String {
    let end = at.saturating_add(8).min(bytes.len());
    match bytes.get(at..end) {
        Some(shown) if !shown.is_empty() => hex(shown),
        _ => format!("nothing ({} bytes)", bytes.len()),
    }
}

/// An end in words; equal words are equal ends. Errors name no engine.
pub fn outcome(ty: ProgType, result: &Result<Exit, RunError>) -> String {
    match result {
        Ok(Exit::Returned(value)) => verdict::name(ty, *value),
        Ok(Exit::Thrown { cookie, value, .. }) => format!("{} by a throw of {cookie:#x}", verdict::name(ty, *value)),
        Err(error) => format!("an error ({error})"),
    }
}
