//! How long runs take: this thread's CPU time where the system tells it, so that a busy machine does not distort figures.

use std::time::Duration;

/// A moment on the clock.
#[derive(Clone, Copy)]
pub struct Moment(#[cfg(unix)] Duration, #[cfg(not(unix))] std::time::Instant);

#[cfg(unix)]
impl Moment {
    /// Now.
    pub fn now() -> Moment {
        let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
        let (secs, nanos) = (u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0));
        Moment(Duration::new(secs, nanos))
    }

    /// Time since then.
    pub fn elapsed(self) -> Duration {
        Moment::now().0.saturating_sub(self.0)
    }
}

#[cfg(not(unix))]
impl Moment {
    /// Now.
    pub fn now() -> Moment {
        Moment(std::time::Instant::now())
    }

    /// Time since then.
    pub fn elapsed(self) -> Duration {
        self.0.elapsed()
    }
}
