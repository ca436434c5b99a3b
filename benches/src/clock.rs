//! CPU time of the calling thread, for criterion and by hand.

use std::time::Duration;

use criterion::Throughput;
use criterion::measurement::{Measurement, ValueFormatter};
use rustix::time::{ClockId, clock_gettime};

/// The thread's CPU time so far. Reading it is a system call of some 0.2 us: batches should be much longer.
#[derive(Clone, Copy, Debug)]
pub struct ThreadTime(Duration);

impl ThreadTime {
    /// Reads `CLOCK_THREAD_CPUTIME_ID`.
    pub fn now() -> ThreadTime {
        let time = clock_gettime(ClockId::ThreadCPUTime);
        let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
        let nanos = u32::try_from(time.tv_nsec).unwrap_or(0);
        ThreadTime(Duration::new(seconds, nanos))
    }

    /// CPU time that the thread took since.
    pub fn elapsed(self) -> Duration {
        ThreadTime::now().0.saturating_sub(self.0)
    }
}

/// Criterion's measurement by [`ThreadTime`]. With a throughput in elements it prints the time of one.
#[derive(Clone, Copy, Debug, Default)]
pub struct ThreadClock;

impl Measurement for ThreadClock {
    type Intermediate = ThreadTime;
    type Value = Duration;

    fn start(&self) -> ThreadTime {
        ThreadTime::now()
    }

    fn end(&self, started: ThreadTime) -> Duration {
        started.elapsed()
    }

    fn add(&self, first: &Duration, second: &Duration) -> Duration {
        *first + *second
    }

    fn zero(&self) -> Duration {
        Duration::ZERO
    }

    fn to_f64(&self, value: &Duration) -> f64 {
        value.as_secs_f64() * 1e9
    }

    fn formatter(&self) -> &dyn ValueFormatter {
        &Nanoseconds
    }
}

struct Nanoseconds;

/// What to multiply nanoseconds with, and the unit that they become.
fn unit(nanoseconds: f64) -> (f64, &'static str) {
    match nanoseconds {
        ..1e4 => (1.0, "ns"),
        ..1e7 => (1e-3, "us"),
        _ => (1e-6, "ms"),
    }
}

impl ValueFormatter for Nanoseconds {
    fn scale_values(&self, typical: f64, values: &mut [f64]) -> &'static str {
        let (factor, name) = unit(typical);
        values.iter_mut().for_each(|v| *v *= factor);
        name
    }

    fn scale_throughputs(&self, _typical: f64, throughput: &Throughput, values: &mut [f64]) -> &'static str {
        let (count, name) = match *throughput {
            Throughput::Elements(n) => (n, "ns each"),
            Throughput::Bits(n) => (n, "ns a bit"),
            Throughput::Bytes(n) | Throughput::BytesDecimal(n) => (n, "ns a byte"),
            Throughput::ElementsAndBytes { elements, .. } => (elements, "ns each"),
        };
        values.iter_mut().for_each(|v| *v /= count.max(1) as f64);
        name
    }

    fn scale_for_machines(&self, _values: &mut [f64]) -> &'static str {
        "ns"
    }
}
