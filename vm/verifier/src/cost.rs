//! What each subprogram costs the proof.

use std::time::Instant;

/// What one subprogram cost, each function counted on its own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SubprogramCost {
    /// Name from BTF, or `main`/`subprog_N`.
    pub name: String,
    /// First slot.
    pub start: u32,
    /// Instructions processed in it.
    pub insns_processed: u64,
    /// States kept in it.
    pub states: u64,
    /// Bytes that keeping these states took, over the whole walk; some were freed again.
    pub bytes: u64,
    /// Wall time, nanoseconds.
    pub nanos: u64,
}

/// Costs by subprogram, gathered as the walk goes.
#[derive(Debug)]
pub(crate) struct Costs {
    subs: Vec<SubprogramCost>,
    running: u32,
    since: Instant,
}

impl Costs {
    pub fn new() -> Costs {
        Costs { subs: Vec::new(), running: 0, since: Instant::now() }
    }

    /// An instruction of a subprogram is about to be walked. Clocks are read only where the subprogram changes.
    pub fn walks(&mut self, subprog: u32) {
        if subprog != self.running {
            self.stop_clock();
            self.running = subprog;
        }
        if let Some(cost) = self.of(subprog) {
            cost.insns_processed += 1;
        }
    }

    pub fn of(&mut self, subprog: u32) -> Option<&mut SubprogramCost> {
        let i = subprog as usize;
        if self.subs.len() <= i {
            self.subs.resize(i + 1, SubprogramCost::default());
        }
        self.subs.get_mut(i)
    }

    fn stop_clock(&mut self) {
        let now = Instant::now();
        let nanos = now.duration_since(self.since).as_nanos();
        self.since = now;
        if let Some(cost) = self.of(self.running) {
            cost.nanos = cost.nanos.saturating_add(u64::try_from(nanos).unwrap_or(u64::MAX));
        }
    }

    /// The costs of those that were walked, named by `name` with their first slots.
    pub fn take(&mut self, name: impl Fn(usize) -> (String, u32)) -> Vec<SubprogramCost> {
        self.stop_clock();
        let named = self.subs.iter_mut().enumerate().filter(|(_, cost)| cost.insns_processed > 0).map(|(i, cost)| {
            let (name, start) = name(i);
            SubprogramCost { name, start, ..std::mem::take(cost) }
        });
        named.collect()
    }
}
