//! Hazard pointers: what runs have taken from prog_arrays, so that a program that left its slot is given up as soon as no run holds it.
//!
//! A run that can tail call has a board. Before it uses what a slot held it writes the address on the board and reads the slot again: if it
//! still holds that program, whoever takes it out later will find it on the board. What was taken stays there until the run ends, for
//! a tail call from a subprogram comes back into its caller's frames; a run makes [`MAX_TAIL_CALLS`] at most. So a run delays the
//! programs that it has entered itself, and no others, however long it lasts.
//!
//! Writing and then reading need a barrier between them. It is on the rare side: whoever takes a program out makes every running thread of
//! the process pass one (`membarrier(2)`), where the system has that; else each announcement is a locked instruction.

#![allow(unsafe_code)]

use std::any::Any;
use std::cell::Cell;
use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU64, Ordering, compiler_fence, fence};
use std::sync::{Arc, LazyLock};

use backstop_abi::MAX_TAIL_CALLS;
use crossbeam::utils::CachePadded;
use parking_lot::Mutex;

/// Programs that a run can hold at once.
const CELLS: usize = MAX_TAIL_CALLS as usize;

/// Where one run announces what it takes. Boards are made when a thread first needs one more and are never freed.
#[repr(C)]
pub(crate) struct Board {
    /// Addresses that the run may be using, or 0; compiled code writes the n-th at its n-th tail call.
    ///
    /// Written at every tail call, so apart from other runs' boards.
    cells: CachePadded<[AtomicU64; CELLS]>,
    /// A program waits for this run to let it go.
    awaited: AtomicBool,
    /// A run has it.
    taken: AtomicBool,
    next: Option<&'static Board>,
}

/// All boards; grows only.
static BOARDS: AtomicPtr<Board> = AtomicPtr::new(std::ptr::null_mut());

/// Programs that left their slots while a run held them.
static WAITING: Mutex<Vec<Retired>> = Mutex::new(Vec::new());

/// Whether announcements need no barrier of their own.
static BARRIER_IS_REMOTE: LazyLock<bool> = LazyLock::new(remote::register);

thread_local! {
    /// The board that this thread's last run had.
    static LAST: Cell<Option<&'static Board>> = const { Cell::new(None) };
}

/// A program that left its slot, by the address that boards name.
pub(crate) struct Retired {
    address: u64,
    program: Arc<dyn Any + Send + Sync>,
}

impl Retired {
    pub(crate) fn new<T: Send + Sync + 'static>(program: Arc<T>) -> Retired {
        Retired { address: Arc::as_ptr(&program) as u64, program }
    }
}

/// Whether compiled code may announce by a plain store; else by an exchange.
pub(crate) fn plain_stores_suffice() -> bool {
    *BARRIER_IS_REMOTE
}

fn boards() -> impl Iterator<Item = &'static Board> {
    // SAFETY: null, or a board that `Board::make` leaked and published.
    let first = unsafe { BOARDS.load(Ordering::Acquire).as_ref() };
    std::iter::successors(first, |board| board.next)
}

impl Board {
    fn try_take(&self) -> bool {
        !self.taken.load(Ordering::Relaxed)
            && self.taken.compare_exchange(false, true, Ordering::Acquire, Ordering::Relaxed).is_ok()
    }

    fn make() -> &'static Board {
        let board = Box::leak(Box::new(Board {
            cells: CachePadded::new([const { AtomicU64::new(0) }; CELLS]),
            awaited: AtomicBool::new(false),
            taken: AtomicBool::new(true),
            next: None,
        }));
        let mut head = BOARDS.load(Ordering::Acquire);
        loop {
            // SAFETY: null, or a published board.
            board.next = unsafe { head.as_ref() };
            match BOARDS.compare_exchange_weak(head, board, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => return board,
                Err(now) => head = now,
            }
        }
    }
}

/// A board in use: by a run, or for a single look into a slot.
pub(crate) struct Holder {
    board: &'static Board,
    /// Cells that may have been written meanwhile.
    used: usize,
}

impl Holder {
    /// A board of the caller's own.
    #[inline]
    pub(crate) fn new() -> Holder {
        let last = LAST.try_with(Cell::get).ok().flatten();
        let board = last.filter(|board| board.try_take()).unwrap_or_else(Holder::other);
        Holder { board, used: CELLS }
    }

    #[cold]
    fn other() -> &'static Board {
        let board = boards().find(|board| board.try_take()).unwrap_or_else(Board::make);
        // A thread that is ending has no place to remember it.
        let _ = LAST.try_with(|last| last.set(Some(board)));
        board
    }

    /// Address of the cells, for compiled code.
    pub(crate) fn address(&self) -> u64 {
        self.board.cells.as_ptr() as u64
    }

    /// Tells, also when this is gone, whether the board is taken.
    #[cfg(test)]
    pub(super) fn watch(&self) -> impl Fn() -> bool + use<> {
        let board = self.board;
        move || board.taken.load(Ordering::Acquire)
    }

    /// Says how many tail calls compiled code made: each wrote a cell, and one that found its slot emptied may have written one more.
    pub(crate) fn made(&mut self, tail_calls: u64) {
        self.used = usize::try_from(tail_calls).unwrap_or(CELLS).saturating_add(1).min(CELLS);
    }

    /// Calls `taking` with what `slot` holds, an address that stays valid meanwhile, or 0.
    pub(crate) fn take<R>(mut self, slot: &AtomicU64, taking: impl FnOnce(u64) -> R) -> R {
        self.used = 1;
        let cell = &self.board.cells[0];
        let mut address = slot.load(Ordering::Acquire);
        while address != 0 {
            cell.store(address, Ordering::Release);
            near_barrier();
            let now = slot.load(Ordering::Acquire);
            if now == address {
                break;
            }
            address = now;
        }
        taking(address)
    }
}

impl Board {
    /// Gives up what waited for this board. The cells are clear by now; whoever set `awaited` passes a barrier and looks at them again, so
    /// one of the two finds the program.
    #[inline]
    fn tell_waiting(&self) {
        compiler_fence(Ordering::SeqCst);
        if !plain_stores_suffice() {
            fence(Ordering::SeqCst);
        }
        if self.awaited.load(Ordering::Acquire) {
            self.awaited.store(false, Ordering::Relaxed);
            reclaim(Vec::new());
        }
    }
}

impl Drop for Holder {
    #[inline]
    fn drop(&mut self) {
        for cell in &self.board.cells[..self.used] {
            cell.store(0, Ordering::Release);
        }
        let _last = GiveBack(self.board);
        self.board.tell_waiting();
    }
}

/// Frees a board when it is dropped: also when a program that is given up panics.
struct GiveBack(&'static Board);

impl Drop for GiveBack {
    #[inline]
    fn drop(&mut self) {
        self.0.taken.store(false, Ordering::Release);
    }
}

/// Gives up programs that left their slots, now or when the runs that hold them let go.
pub(crate) fn retire(programs: Vec<Retired>) {
    if !programs.is_empty() {
        reclaim(programs);
    }
}

fn reclaim(more: Vec<Retired>) {
    let mut free = Vec::new();
    {
        let mut waiting = WAITING.lock();
        waiting.extend(more);
        release_unheld(&mut waiting, &mut free);
        if !waiting.is_empty() {
            // A run may have cleared its board before it could see that it is awaited.
            release_unheld(&mut waiting, &mut free);
        }
    }
    super::prog_array::give_up(free.into_iter().map(|retired| retired.program));
}

/// Moves what is on no board from `waiting` to `free`, and tells the boards that the rest is on.
fn release_unheld(waiting: &mut Vec<Retired>, free: &mut Vec<Retired>) {
    if !far_barrier() {
        // Nothing is known of the other threads: everything waits for a later try.
        return;
    }
    let mut held = HashSet::new();
    let wanted: HashSet<u64> = waiting.iter().map(|retired| retired.address).collect();
    for board in boards().filter(|board| board.taken.load(Ordering::Acquire)) {
        for address in board.cells.iter().map(|cell| cell.load(Ordering::Acquire)).filter(|a| wanted.contains(a)) {
            held.insert(address);
            board.awaited.store(true, Ordering::Release);
        }
    }
    free.extend(waiting.extract_if(.., |retired| !held.contains(&retired.address)));
}

/// Between an announcement and the second look at the slot.
#[inline]
fn near_barrier() {
    if plain_stores_suffice() {
        compiler_fence(Ordering::SeqCst);
    } else {
        fence(Ordering::SeqCst);
    }
}

/// Between taking a program out of its slot and looking at the boards: afterwards every announcement that was followed by a successful
/// second look is seen. False if the system refused.
fn far_barrier() -> bool {
    fence(Ordering::SeqCst);
    !plain_stores_suffice() || remote::pass()
}

/// Barriers on all threads of the process.
#[cfg(target_os = "linux")]
mod remote {
    use libc::c_long;

    const REGISTER: c_long = libc::MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED as c_long;
    const PASS: c_long = libc::MEMBARRIER_CMD_PRIVATE_EXPEDITED as c_long;

    fn call(command: c_long) -> bool {
        // SAFETY: the call touches no memory.
        unsafe { libc::syscall(libc::SYS_membarrier, command, 0, 0) == 0 }
    }

    pub(super) fn register() -> bool {
        call(REGISTER)
    }

    pub(super) fn pass() -> bool {
        // A forked child may have to register anew.
        call(PASS) || (call(REGISTER) && call(PASS))
    }
}

/// Other systems: announcements bring their own barrier.
#[cfg(not(target_os = "linux"))]
mod remote {
    pub(super) fn register() -> bool {
        false
    }

    pub(super) fn pass() -> bool {
        false
    }
}
