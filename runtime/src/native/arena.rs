//! The code arena: one reserved range of addresses, mapped twice.
//!
//! Images are written through the writable view and run through the executable one; no page is ever both in one view, and
//! publishing flips no protection while others run. Ranges are whole granules, handed out first-fit and given back when the last owner
//! of an image goes; freed code is overwritten with traps. The arena lives as long as the process.
//!
//! A forked child shares the memory, so it writes nothing there, and its parent leaves alone what was published when it forked: such a
//! range is neither trapped nor handed out again when its owner goes.

#![allow(unsafe_code)]

use std::collections::BTreeMap;
use std::ptr::NonNull;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use super::registry::Registry;

/// Size of the reserved range in bytes.
pub(crate) const ARENA_BYTES: usize = 1 << 30;
/// Unit of allocation and of the registry's table, in bytes.
pub(crate) const GRANULE: usize = 128;

/// Why code can't be published.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CodeError {
    /// The system refused the mapping.
    #[error(
        "the system refused memory for compiled code ({what}: {errno}); use the interpreter (`Config::engine`), or permit memfd and executable mappings"
    )]
    Refused {
        /// Which call.
        what: &'static str,
        /// The system's words.
        errno: String,
    },
    /// No range of this size is free.
    #[error("no room for {bytes} bytes of compiled code in the arena of {ARENA_BYTES} bytes; unload programs first")]
    Full {
        /// Bytes wanted.
        bytes: usize,
    },
    /// The process was forked after the arena was made.
    #[error("the code arena is shared with the parent process: a forked child can run programs but not load new ones")]
    Forked,
}

static ARENA: OnceLock<Result<Arena, CodeError>> = OnceLock::new();

/// Forks of this process that have begun, since the arena was made.
static FORKS_BEGUN: AtomicU64 = AtomicU64::new(0);
/// Those that are over, on the parent's side. In a child they stay one behind, so that it never counts as the sole user of a range.
static FORKS_OVER: AtomicU64 = AtomicU64::new(0);

extern "C" fn before_fork() {
    FORKS_BEGUN.fetch_add(1, Ordering::SeqCst);
}

extern "C" fn after_fork_in_parent() {
    FORKS_OVER.fetch_add(1, Ordering::SeqCst);
}

/// The process's arena.
pub(crate) struct Arena {
    write: NonNull<u8>,
    exec: usize,
    pid: u32,
    free: Mutex<FreeRanges>,
    registry: Registry,
}

// SAFETY: the views are process-wide mappings that are never unmapped; all writes go to ranges that exactly one `Range` owns.
unsafe impl Send for Arena {}
// SAFETY: as above; the free list is behind a mutex and the registry is made of atomics.
unsafe impl Sync for Arena {}

/// A part of the arena with one owner. Dropping it fills it with traps and gives it back, unless a forked child may be using it.
#[derive(Debug)]
pub(crate) struct Range {
    offset: usize,
    len: usize,
    /// Forks that were over before it was published.
    forks_over: u64,
}

impl Arena {
    /// The process's arena, reserved at the first call.
    #[inline]
    pub(crate) fn get() -> Result<&'static Arena, CodeError> {
        match ARENA.get() {
            Some(Ok(arena)) => Ok(arena),
            _ => Arena::first(),
        }
    }

    #[cold]
    fn first() -> Result<&'static Arena, CodeError> {
        ARENA.get_or_init(Arena::reserve).as_ref().map_err(Clone::clone)
    }

    /// The arena, if anything was ever published. Safe in a signal handler once it exists.
    fn reserve() -> Result<Arena, CodeError> {
        let refused = |what| CodeError::Refused { what, errno: std::io::Error::last_os_error().to_string() };
        // SAFETY: the handlers touch two atomics and nothing else.
        let error = unsafe { libc::pthread_atfork(Some(before_fork), Some(after_fork_in_parent), None) };
        if error != 0 {
            let errno = std::io::Error::from_raw_os_error(error).to_string();
            return Err(CodeError::Refused { what: "pthread_atfork", errno });
        }
        // SAFETY: a plain system call with a NUL-terminated name.
        let fd = unsafe { libc::memfd_create(c"backstop-code".as_ptr(), libc::MFD_CLOEXEC) };
        if fd < 0 {
            return Err(refused("memfd_create"));
        }
        // SAFETY: fd was just made and is owned here.
        let sized = unsafe { libc::ftruncate(fd, ARENA_BYTES as libc::off_t) };
        let map = |prot| {
            // SAFETY: a fresh shared mapping at an address of the system's choice; nothing else is replaced.
            unsafe {
                libc::mmap(std::ptr::null_mut(), ARENA_BYTES, prot, libc::MAP_SHARED | libc::MAP_NORESERVE, fd, 0)
            }
        };
        let result = if sized != 0 {
            Err(refused("ftruncate"))
        } else {
            let write = map(libc::PROT_READ | libc::PROT_WRITE);
            let exec = if write == libc::MAP_FAILED { write } else { map(libc::PROT_READ | libc::PROT_EXEC) };
            match NonNull::new(write.cast::<u8>()) {
                Some(write) if exec != libc::MAP_FAILED => Ok((write, exec as usize)),
                _ => Err(refused("mmap")),
            }
        };
        // SAFETY: the mappings keep the file alive; the descriptor is not used again.
        unsafe { libc::close(fd) };
        let (write, exec) = result?;
        let registry = Registry::reserve(exec).ok_or_else(|| refused("mmap of the registry"))?;
        let free = Mutex::new(FreeRanges::new(ARENA_BYTES));
        Ok(Arena { write, exec, pid: std::process::id(), free, registry })
    }

    /// The registry over this arena.
    pub(crate) fn registry(&self) -> &Registry {
        &self.registry
    }

    /// Copies code into a fresh range and returns it; it is executable at [`Range::address`] from then on.
    pub(crate) fn publish(&self, bytes: &[u8]) -> Result<Range, CodeError> {
        if std::process::id() != self.pid {
            return Err(CodeError::Forked);
        }
        let forks_over = FORKS_OVER.load(Ordering::SeqCst);
        let len = bytes.len().next_multiple_of(GRANULE).max(GRANULE);
        let offset = self.free.lock().take(len).ok_or(CodeError::Full { bytes: bytes.len() })?;
        // SAFETY: [offset, offset+len) lies in the writable view (the free list starts with exactly that range) and belongs to
        // nobody else until the `Range` is dropped.
        unsafe {
            let at = self.write.as_ptr().add(offset);
            std::ptr::copy_nonoverlapping(bytes.as_ptr(), at, bytes.len());
            std::ptr::write_bytes(at.add(bytes.len()), TRAP, len - bytes.len());
        }
        Ok(Range { offset, len, forks_over })
    }
}

/// `int3`: what freed code becomes.
const TRAP: u8 = 0xcc;

impl Range {
    /// Address of the range's first byte in the executable view.
    #[inline]
    pub(crate) fn address(&self) -> usize {
        // A range exists only if the arena does.
        Arena::get().map_or(0, |a| a.exec) + self.offset
    }

    /// Size in bytes, whole granules.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Whether no child has it: every fork that has begun by now was over before it was published. (A fork that begins later finds a range
    /// that is being dropped, which nobody in the child can reach.)
    fn is_unshared(&self) -> bool {
        FORKS_BEGUN.load(Ordering::SeqCst) == self.forks_over
    }
}

impl Drop for Range {
    fn drop(&mut self) {
        let Ok(arena) = Arena::get() else { return };
        if std::process::id() != arena.pid || !self.is_unshared() {
            // The memory is shared with the parent, or with a child, whose copy of this range lives on.
            return;
        }
        // SAFETY: R1: this range is still ours, no other process has it, and no run is inside it: runs borrow the program that owns it.
        unsafe { std::ptr::write_bytes(arena.write.as_ptr().add(self.offset), TRAP, self.len) };
        arena.free.lock().give(self.offset, self.len);
    }
}

/// Free ranges by offset; neighbours are always merged.
struct FreeRanges(BTreeMap<usize, usize>);

impl FreeRanges {
    fn new(len: usize) -> FreeRanges {
        FreeRanges(BTreeMap::from([(0, len)]))
    }

    fn take(&mut self, len: usize) -> Option<usize> {
        let (&offset, &size) = self.0.iter().find(|(_, size)| **size >= len)?;
        self.0.remove(&offset);
        if size > len {
            self.0.insert(offset + len, size - len);
        }
        Some(offset)
    }

    fn give(&mut self, mut offset: usize, mut len: usize) {
        if let Some((&before, &size)) = self.0.range(..offset).next_back()
            && before + size == offset
        {
            self.0.remove(&before);
            offset = before;
            len += size;
        }
        if let Some(size) = self.0.remove(&(offset + len)) {
            len += size;
        }
        self.0.insert(offset, len);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_reused_and_merged() {
        let mut free = FreeRanges::new(1024);
        let (a, b, c) = (free.take(256), free.take(256), free.take(512));
        assert_eq!((a, b, c), (Some(0), Some(256), Some(512)));
        assert_eq!(free.take(128), None);
        free.give(0, 256);
        free.give(512, 512);
        assert_eq!(free.take(512), Some(512));
        free.give(512, 512);
        free.give(256, 256);
        assert_eq!(free.0, BTreeMap::from([(0, 1024)]));
    }

    /// What was there at a fork stays as it is; what came later is freed as ever.
    #[test]
    fn ranges_of_before_a_fork_are_left_alone() {
        let arena = Arena::get().expect("an arena");
        let before = arena.publish(&[0xc3]).expect("room");
        assert!(before.is_unshared());
        // SAFETY: the child leaves at once.
        let pid = unsafe { libc::fork() };
        if pid == 0 {
            // SAFETY: leaves without running anything.
            unsafe { libc::_exit(0) };
        }
        assert!(pid > 0, "no child: {}", std::io::Error::last_os_error());
        // SAFETY: our own child.
        unsafe { libc::waitpid(pid, std::ptr::null_mut(), 0) };
        assert!(!before.is_unshared());
        let (at, offset) = (before.address() as *const u8, before.offset);
        drop(before);
        // SAFETY: the arena is mapped readable for the life of the process.
        assert_eq!(unsafe { at.read_volatile() }, 0xc3);
        let after = arena.publish(&[0xc3]).expect("room");
        assert!(after.offset != offset && after.is_unshared());
    }

    /// Other tests publish, free and fork meanwhile, so one try may find the room taken again, or left as it was for a child.
    #[test]
    fn freed_code_is_a_trap() {
        let arena = Arena::get().expect("an arena");
        let code = [0xc3; 3000];
        let freed_at_once = || {
            let range = arena.publish(&code).expect("room");
            let (at, len) = (range.address() as *const u8, range.len());
            // SAFETY: the arena is mapped readable for the life of the process, and the range lies inside.
            let byte = |n: usize| unsafe { at.add(n).read_volatile() };
            assert!((0..code.len()).all(|n| byte(n) == 0xc3));
            drop(range);
            (0..len).all(|n| byte(n) == TRAP)
        };
        assert!((0..200).any(|_| freed_at_once()), "code that was freed stands there still");
    }
}
