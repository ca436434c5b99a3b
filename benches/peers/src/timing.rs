//! Short batches of all engines in turn, so that a change of the machine's mood meets all of them alike.

use std::time::Duration;

use crate::Error;
use crate::peer::Peer;

/// How much to measure.
#[derive(Clone, Copy, Debug)]
pub struct Effort {
    /// Batches of each engine.
    pub batches: u32,
    /// What a batch shall take.
    pub batch: Duration,
}

impl Effort {
    /// The table's.
    pub const FULL: Effort = Effort { batches: 300, batch: Duration::from_micros(300) };
    /// Enough to see that all works.
    pub const QUICK: Effort = Effort { batches: 20, batch: Duration::from_micros(100) };
}

/// What was measured of one engine, in nanoseconds a run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Times {
    /// The 25th percentile over the batches.
    pub quarter: f64,
    /// The median.
    pub median: f64,
}

/// How many runs make a batch.
fn calibrate(peer: &mut dyn Peer, batch: Duration) -> Result<u32, Error> {
    let mut runs = 1_u32;
    loop {
        let time = peer.batch(runs)?;
        if time.saturating_mul(2) >= batch || runs >= 1 << 24 {
            let wanted = f64::from(runs) * batch.as_secs_f64() / time.as_secs_f64().max(1e-9);
            return Ok(wanted.clamp(1.0, f64::from(1_u32 << 24)) as u32);
        }
        runs *= 2;
    }
}

/// Runs all of them in turn.
pub fn interleave(peers: &mut [&mut dyn Peer], effort: Effort) -> Result<Vec<Times>, Error> {
    let mut runs = Vec::with_capacity(peers.len());
    for peer in peers.iter_mut() {
        runs.push(calibrate(*peer, effort.batch)?);
    }
    let mut samples: Vec<Vec<f64>> = peers.iter().map(|_| Vec::new()).collect();
    for _ in 0..effort.batches {
        for ((peer, samples), runs) in peers.iter_mut().zip(&mut samples).zip(&runs) {
            let time = peer.batch(*runs)?;
            samples.push(time.as_secs_f64() * 1e9 / f64::from(*runs));
        }
    }
    Ok(samples.into_iter().map(times).collect())
}

/// Percentiles of samples.
pub fn times(mut samples: Vec<f64>) -> Times {
    samples.sort_unstable_by(f64::total_cmp);
    let at = |part: usize| samples.get(samples.len().saturating_sub(1) * part / 4).copied().unwrap_or(f64::NAN);
    Times { quarter: at(1), median: at(2) }
}

/// Geometric mean; `None` of nothing.
pub fn geomean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (sum, count) = values.fold((0.0, 0_u32), |(sum, count), value| (sum + value.ln(), count + 1));
    (count > 0).then(|| (sum / f64::from(count)).exp())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_of_the_sorted_samples() {
        let found = times(vec![5.0, 1.0, 4.0, 2.0, 3.0]);
        assert_eq!(found, Times { quarter: 2.0, median: 3.0 });
        assert!(times(Vec::new()).median.is_nan());
    }

    #[test]
    fn geomean_of_ratios() {
        let mean = geomean([0.5, 2.0, 8.0].into_iter()).expect("three values");
        assert!((mean - 2.0).abs() < 1e-12, "{mean}");
        assert_eq!(geomean(std::iter::empty()), None);
    }
}
