//! Slots of a prog_array: programs that runs jump to, replaced while they run.
//!
//! A slot owns one count of its program. Compiled code loads a slot and jumps, without a count of its own: it announces what it takes (see
//! [`super::hazard`]), and a program that leaves its slot is given up when no run holds it.
//!
//! Programs keep their maps alive and slots keep programs alive. The cycle is broken as in Linux: the last host handle of a map clears its
//! slots. Giving up a program may give up further maps and their programs; that is done in a loop, never by recursion.

#![allow(unsafe_code)]

use std::any::Any;
use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use backstop_abi::ProgArrayHead;

use super::hazard::{Holder, Retired, retire};

/// The slots. `T` is `#[repr(C)]` with a [`backstop_abi::TailTarget`] as its first field.
pub(crate) struct Slots<T: Send + Sync + 'static> {
    /// Addresses from [`Arc::into_raw`], or 0.
    cells: Box<[AtomicU64]>,
    owns: std::marker::PhantomData<Arc<T>>,
}

impl<T: Send + Sync + 'static> Slots<T> {
    /// Empty slots; `None` if memory is short.
    pub(crate) fn new(count: u32) -> Option<Slots<T>> {
        let mut cells = Vec::new();
        cells.try_reserve_exact(count as usize).ok()?;
        cells.extend((0..count).map(|_| AtomicU64::new(0)));
        Some(Slots { cells: cells.into_boxed_slice(), owns: std::marker::PhantomData })
    }

    /// Bytes that slots take.
    pub(crate) fn bytes(count: u32) -> u64 {
        u64::from(count) * size_of::<AtomicU64>() as u64
    }

    /// What compiled code reads. Valid as long as the slots.
    pub(crate) fn head(&self) -> ProgArrayHead {
        ProgArrayHead { len: self.cells.len() as u64, slots: self.cells.as_ptr() as u64 }
    }

    /// How many slots there are.
    pub(crate) fn count(&self) -> u32 {
        self.cells.len() as u32
    }

    /// How many hold a program.
    pub(crate) fn filled(&self) -> u32 {
        self.cells.iter().filter(|c| c.load(Ordering::Relaxed) != 0).count() as u32
    }

    /// Fills or empties a slot. False if there is no such slot; `true` in the second place if it held a program.
    pub(crate) fn set(&self, index: u32, program: Option<Arc<T>>) -> (bool, bool) {
        let Some(cell) = self.cells.get(index as usize) else { return (false, false) };
        let old = Self::swap(cell, program);
        let held = old.is_some();
        retire(old.into_iter().collect());
        (true, held)
    }

    fn swap(cell: &AtomicU64, program: Option<Arc<T>>) -> Option<Retired> {
        let new = program.map_or(0, |p| Arc::into_raw(p) as u64);
        let old = cell.swap(new, Ordering::AcqRel);
        // SAFETY: R7: the swap took the slot's count over, and nobody else can take it again.
        unsafe { adopt::<T>(old) }.map(Retired::new)
    }

    /// The program in a slot.
    pub(crate) fn get(&self, index: u32) -> Option<Arc<T>> {
        let cell = self.cells.get(index as usize)?;
        Holder::new().take(cell, |address| {
            if address == 0 {
                return None;
            }
            // SAFETY: R7: the slot held a count after the address was announced, and it is not given up before the announcement goes.
            unsafe {
                Arc::increment_strong_count(address as *const T);
                adopt(address)
            }
        })
    }

    /// Empties all slots.
    pub(crate) fn clear(&self) {
        retire(self.cells.iter().filter_map(|cell| Self::swap(cell, None)).collect());
    }
}

impl<T: Send + Sync + 'static> Drop for Slots<T> {
    fn drop(&mut self) {
        give_up(self.cells.iter_mut().filter_map(|cell| {
            // SAFETY: R7: nobody else sees the slots any more, so their counts are ours; no run can load them: a run that could
            // keeps its maps alive.
            unsafe { adopt::<T>(std::mem::take(cell.get_mut())) }.map(|program| program as Arc<dyn Any + Send + Sync>)
        }));
    }
}

/// Takes over a count that a slot held.
///
/// # Safety
/// `address` is 0 or came from `Arc::<T>::into_raw`, and its count belongs to the caller.
unsafe fn adopt<T>(address: u64) -> Option<Arc<T>> {
    // SAFETY: the caller's promise.
    (address != 0).then(|| unsafe { Arc::from_raw(address as *const T) })
}

thread_local! {
    /// Programs that this thread is giving up, while it does.
    static LEAVING: RefCell<Option<Vec<Arc<dyn Any + Send + Sync>>>> = const { RefCell::new(None) };
}

/// Drops programs. Those that are given up while another is dropped wait their turn, so that chains of any length need no stack.
///
/// Dropping a program drops what its host functions captured, which may panic: the others go all the same, and the first panic is
/// passed on at the end, unless the thread is unwinding already.
pub(super) fn give_up(programs: impl IntoIterator<Item = Arc<dyn Any + Send + Sync>>) {
    let mut programs: Vec<_> = programs.into_iter().collect();
    let outermost = LEAVING.try_with(|leaving| match &mut *leaving.borrow_mut() {
        Some(waiting) => {
            waiting.append(&mut programs);
            false
        }
        none => {
            *none = Some(Vec::new());
            true
        }
    });
    if outermost == Ok(false) {
        return;
    }
    // A thread that is ending has no queue: what is given up meanwhile goes within the drop.
    let queued = || LEAVING.try_with(|leaving| leaving.borrow_mut().as_mut().and_then(Vec::pop)).ok().flatten();
    let mut first = None;
    while let Some(program) = programs.pop().or_else(queued) {
        match (catch_unwind(AssertUnwindSafe(|| drop(program))), &first) {
            (Ok(()), _) => {}
            (Err(payload), None) => first = Some(payload),
            // Its own drop might panic too.
            (Err(payload), Some(_)) => std::mem::forget(payload),
        }
    }
    let _ = LEAVING.try_with(|leaving| leaving.take());
    match first {
        Some(payload) if !std::thread::panicking() => resume_unwind(payload),
        other => std::mem::forget(other),
    }
}

#[cfg(test)]
mod tests {
    use backstop_abi::TailTarget;

    use super::*;

    #[repr(C)]
    struct Code {
        tail: TailTarget,
        next: Option<Slots<Code>>,
        alive: Arc<()>,
    }

    impl Code {
        fn new(entry: u64, next: Option<Slots<Code>>) -> Arc<Code> {
            Code::counted(entry, next, &Arc::new(()))
        }

        fn counted(entry: u64, next: Option<Slots<Code>>, alive: &Arc<()>) -> Arc<Code> {
            Arc::new(Code { tail: TailTarget { entry }, next, alive: Arc::clone(alive) })
        }
    }

    #[test]
    fn slots_hold_replace_and_release_programs() {
        let slots = Slots::<Code>::new(2).expect("memory");
        assert_eq!(slots.set(0, Some(Code::new(7, None))), (true, false));
        assert_eq!(slots.set(2, None), (false, false));
        let head = slots.head();
        assert_eq!((head.len, slots.filled()), (2, 1));
        let got = slots.get(0).expect("a program");
        assert_eq!(got.tail.entry, 7);
        assert!(got.next.is_none() && Arc::strong_count(&got.alive) == 1);
        assert_eq!(slots.set(0, Some(Code::new(8, None))), (true, true));
        assert_eq!(got.tail.entry, 7);
        assert_eq!(slots.get(0).map(|p| p.tail.entry), Some(8));
        assert!(slots.get(1).is_none());
        slots.clear();
        assert_eq!(slots.filled(), 0);
    }

    /// What a run took stays until the run ends, however often its slot changes; what it did not take goes at once.
    #[test]
    fn a_run_holds_what_it_took_and_no_more() {
        let slots = Slots::<Code>::new(1).expect("memory");
        let (taken, others) = (Arc::new(()), Arc::new(()));
        slots.set(0, Some(Code::counted(1, None, &taken)));
        let mut run = Holder::new();
        let cells = run.address() as *const AtomicU64;
        // SAFETY: the board's first cell, which lives as long as the process: what compiled code writes.
        unsafe { &*cells }.store(slots.cells[0].load(Ordering::Acquire), Ordering::Release);
        for n in 0..1000 {
            slots.set(0, Some(Code::counted(n, None, &others)));
            assert_eq!((Arc::strong_count(&taken), Arc::strong_count(&others)), (2, 2));
        }
        slots.clear();
        assert_eq!((Arc::strong_count(&taken), Arc::strong_count(&others)), (2, 1));
        run.made(1);
        drop(run);
        assert_eq!(Arc::strong_count(&taken), 1);
    }

    /// Panics when it is dropped.
    #[repr(C)]
    struct Bomb {
        tail: TailTarget,
        _alive: Arc<()>,
    }

    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("bomb {}", self.tail.entry);
        }
    }

    fn bombs(count: u32, alive: &Arc<()>) -> Slots<Bomb> {
        let slots = Slots::new(count).expect("memory");
        for n in 0..count {
            let tail = TailTarget { entry: u64::from(n) };
            slots.set(n, Some(Arc::new(Bomb { tail, _alive: Arc::clone(alive) })));
        }
        slots
    }

    /// Neither the others that go with it nor those that go later wait for a program whose drop panicked.
    #[test]
    fn a_drop_that_panics_stops_no_other() {
        let alive = Arc::new(());
        let slots = bombs(3, &alive);
        assert!(catch_unwind(AssertUnwindSafe(|| slots.clear())).is_err());
        assert_eq!(Arc::strong_count(&alive), 1);
        let slots = bombs(3, &alive);
        assert!(catch_unwind(AssertUnwindSafe(|| drop(slots))).is_err());
        assert_eq!(Arc::strong_count(&alive), 1);
        let later = Slots::<Code>::new(1).expect("memory");
        later.set(0, Some(Code::counted(1, None, &alive)));
        later.set(0, None);
        assert_eq!(Arc::strong_count(&alive), 1);
    }

    /// The last to hold such a program gives its board back.
    #[test]
    fn a_board_comes_back_when_a_drop_panics() {
        let alive = Arc::new(());
        let slots = bombs(1, &alive);
        let run = Holder::new();
        let cells = run.address() as *const AtomicU64;
        // SAFETY: as above.
        unsafe { &*cells }.store(slots.cells[0].load(Ordering::Acquire), Ordering::Release);
        slots.clear();
        assert_eq!(Arc::strong_count(&alive), 2);
        let before = run.watch();
        assert!(catch_unwind(AssertUnwindSafe(|| drop(run))).is_err());
        assert_eq!(Arc::strong_count(&alive), 1);
        let started = std::time::Instant::now();
        // Another test's thread may have it for a moment.
        while before() {
            assert!(started.elapsed().as_secs() < 20, "the board is still taken");
            std::thread::yield_now();
        }
    }

    #[test]
    fn a_long_chain_of_programs_goes_without_recursion() {
        let alive = Arc::new(());
        let mut last = Code::counted(0, None, &alive);
        for n in 1..200_000 {
            let slots = Slots::<Code>::new(1).expect("memory");
            slots.set(0, Some(last));
            last = Code::counted(n, Some(slots), &alive);
        }
        let first = Slots::<Code>::new(1).expect("memory");
        first.set(0, Some(last));
        let small = std::thread::Builder::new().stack_size(64 * 1024);
        small.spawn(move || drop(first)).expect("a thread").join().expect("no overflow");
        assert_eq!(Arc::strong_count(&alive), 1);
    }

    #[test]
    fn threads_replace_while_others_look() {
        let slots = Slots::<Code>::new(1).expect("memory");
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for n in 1..5_000u64 {
                    slots.set(0, (n % 3 != 0).then(|| Code::new(n, None)));
                }
            });
            for _ in 0..2 {
                scope.spawn(|| {
                    for _ in 0..20_000 {
                        if let Some(code) = slots.get(0) {
                            assert_ne!(code.tail.entry, 0);
                        }
                    }
                });
            }
        });
    }
}
