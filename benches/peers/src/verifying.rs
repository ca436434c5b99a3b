//! How long the proof takes: Backstop's verifier beside the time that the kernel's tells in its log.

use std::sync::Arc;
use std::time::Duration;

use backstop::model::Program as Linked;
use backstop::verifier::{Options, verify};
use backstop_benches::{FIREWALL, ThreadTime, file};
use serde::Serialize;

use crate::Error;
use crate::linux;
use crate::names::PROGRAMS;
use crate::programs::Program;
use crate::timing::{Effort, geomean, times};

/// The packet filter's programs.
const FILTERS: [&str; 4] = ["firewall", "firewall_tcp", "firewall_udp", "firewall_icmp"];
/// A verification that takes long needs fewer repetitions.
const LONG: Duration = Duration::from_millis(20);

/// Times of one program.
#[derive(Debug, Serialize)]
pub struct Proof {
    /// Program.
    pub program: String,
    /// Instruction slots.
    pub slots: usize,
    /// Instructions that Backstop's verifier stepped through.
    pub backstop_insns: u64,
    /// Instructions that the kernel's stepped through.
    pub linux_insns: Option<u64>,
    /// 25th percentile of Backstop's thread CPU time, in microseconds.
    pub backstop_us: f64,
    /// 25th percentile of the kernel's `verification time`, in microseconds.
    pub linux_us: Option<f64>,
}

impl Proof {
    /// The kernel's time as a multiple of Backstop's.
    pub fn gain(&self) -> Option<f64> {
        self.linux_us.map(|linux| linux / self.backstop_us)
    }
}

/// Measures the programs of the table in their Linux form, and the packet filter.
pub fn measure(effort: Effort) -> Result<Vec<Proof>, Error> {
    let mut proofs = Vec::new();
    for name in PROGRAMS {
        proofs.push(one(name, linux::link(&Program::open(name)?.file("linux.bpf.o"), "bench")?, effort)?);
    }
    for name in FILTERS {
        proofs.push(one(name, linux::link(&file(FIREWALL), name)?, effort)?);
    }
    Ok(proofs)
}

fn one(name: &str, linked: Linked, effort: Effort) -> Result<Proof, Error> {
    let slots = linked.slots.len();
    let linked = Arc::new(linked);
    let options = Options::default();
    let backstop_insns =
        verify(Arc::clone(&linked), &options).map_err(|r| format!("{name}: {r}"))?.stats().insns_processed;
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    let mut linux_insns = None;
    let mut kernel = true;
    for _ in 0..effort.batches.clamp(5, 50) {
        let started = ThreadTime::now();
        let proved = verify(Arc::clone(&linked), &options);
        let elapsed = started.elapsed();
        drop(proved);
        ours.push(elapsed.as_secs_f64() * 1e6);
        if kernel {
            match linux::load(&linked) {
                Ok(loaded) => {
                    linux_insns = loaded.loaded.log().stats().map(|s| s.processed_insns);
                    theirs.extend(loaded.verification().map(|time| time.as_secs_f64() * 1e6));
                }
                Err(error) => {
                    eprintln!("{name} on Linux: {error}");
                    kernel = false;
                }
            }
        }
        if elapsed > LONG && ours.len() >= 5 {
            break;
        }
    }
    let linux_us = (!theirs.is_empty()).then(|| times(theirs).quarter);
    Ok(Proof {
        program: name.to_owned(),
        slots,
        backstop_insns,
        linux_insns,
        backstop_us: times(ours).quarter,
        linux_us,
    })
}

/// Geometric mean of the gains.
pub fn mean_gain(proofs: &[Proof]) -> Option<f64> {
    geomean(proofs.iter().filter_map(Proof::gain))
}
