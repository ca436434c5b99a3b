//! CPU slots: which copy of per-CPU data a run uses.
//!
//! A slot is leased for a run only if its program uses per-CPU data or asks for its processor's number; the number that the
//! program reads is the slot. None free is an error at once, never a wait; a nested run takes another slot.

use std::sync::atomic::{AtomicBool, Ordering};

use crossbeam::utils::CachePadded;

/// All slots of an engine.
///
/// Each lies apart from the others: leases are taken on every run that needs one.
pub(crate) struct CpuSlots(Box<[CachePadded<AtomicBool>]>);

/// A leased slot; given back when dropped.
pub(crate) struct CpuLease<'a> {
    slots: &'a CpuSlots,
    index: u32,
}

impl CpuSlots {
    pub(crate) fn new(count: u32) -> CpuSlots {
        CpuSlots((0..count.max(1)).map(|_| CachePadded::new(AtomicBool::new(false))).collect())
    }

    /// How many there are.
    pub(crate) fn count(&self) -> u32 {
        self.0.len() as u32
    }

    /// Leases a slot, the one after `hint` first: threads that keep their hint keep their slot.
    pub(crate) fn lease(&self, hint: u32) -> Option<CpuLease<'_>> {
        let count = self.count();
        (0..count).map(|n| (hint % count + n) % count).find_map(|index| {
            let taken = self.0.get(index as usize)?;
            let was = taken.load(Ordering::Relaxed) || taken.swap(true, Ordering::Acquire);
            // Lazily: a lease that is made and dropped would free somebody else's slot.
            (!was).then(|| CpuLease { slots: self, index })
        })
    }
}

impl CpuLease<'_> {
    /// The slot's number.
    pub(crate) fn index(&self) -> u32 {
        self.index
    }
}

impl Drop for CpuLease<'_> {
    fn drop(&mut self) {
        if let Some(slot) = self.slots.0.get(self.index as usize) {
            slot.store(false, Ordering::Release);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_lease_is_another_slot_and_none_waits() {
        let slots = CpuSlots::new(2);
        let a = slots.lease(1).expect("one");
        let b = slots.lease(1).expect("another");
        assert_eq!((a.index(), b.index()), (1, 0));
        assert!(slots.lease(0).is_none());
        drop(a);
        assert_eq!(slots.lease(0).map(|l| l.index()), Some(1));
    }
}
