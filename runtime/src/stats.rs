//! Run statistics of a program. Nothing is counted or timed unless the configuration says so.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

/// Counters of one program.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    runs: AtomicU64,
    throws: AtomicU64,
    nanos: AtomicU64,
}

/// What a program did so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RunStatistics {
    /// Runs that ended, however.
    pub runs: u64,
    /// Runs that ended in a throw caught by the outermost boundary.
    pub throws: u64,
    /// Wall time in all, nanoseconds.
    pub nanos: u64,
}

impl Counters {
    #[inline]
    pub(crate) fn start(on: bool) -> Option<Instant> {
        on.then(Instant::now)
    }

    #[inline]
    pub(crate) fn finish(&self, started: Option<Instant>, threw: bool) {
        let Some(started) = started else { return };
        let nanos = u64::try_from(started.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.runs.fetch_add(1, Ordering::Relaxed);
        self.throws.fetch_add(u64::from(threw), Ordering::Relaxed);
        self.nanos.fetch_add(nanos, Ordering::Relaxed);
    }

    pub(crate) fn read(&self) -> RunStatistics {
        RunStatistics {
            runs: self.runs.load(Ordering::Relaxed),
            throws: self.throws.load(Ordering::Relaxed),
            nanos: self.nanos.load(Ordering::Relaxed),
        }
    }
}
