//! SIGINT and SIGTERM during long work: the first asks for an orderly end, a second ends the process at once.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Whether somebody asked for an end.
#[derive(Clone, Default)]
pub struct Interrupt {
    /// A signal came: the next one ends the process.
    signalled: Arc<AtomicBool>,
    /// Somebody else asked, which leaves the first signal a first one.
    asked: Arc<AtomicBool>,
}

impl Interrupt {
    /// From now on the signals are heard.
    #[cfg(unix)]
    pub fn listen() -> io::Result<Interrupt> {
        use signal_hook::consts::{SIGINT, SIGTERM};
        use signal_hook::flag;

        let interrupt = Interrupt::default();
        for signal in [SIGINT, SIGTERM] {
            // In this order: the first signal finds the flag unset and goes on to set it.
            flag::register_conditional_shutdown(
                signal,
                128_i32.saturating_add(signal),
                Arc::clone(&interrupt.signalled),
            )?;
            flag::register(signal, Arc::clone(&interrupt.signalled))?;
        }
        Ok(interrupt)
    }

    /// Signals do here what they always do.
    #[cfg(not(unix))]
    pub fn listen() -> io::Result<Interrupt> {
        Ok(Interrupt::default())
    }

    /// Asks for an end, as the first signal does.
    pub fn raise(&self) {
        self.asked.store(true, Ordering::Relaxed);
    }

    /// Whether it is time to end.
    pub fn came(&self) -> bool {
        self.signalled.load(Ordering::Relaxed) || self.asked.load(Ordering::Relaxed)
    }
}
