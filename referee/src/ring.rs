//! Ring buffers: the one map kind that user space reads through shared memory
//! (Documentation/bpf/ringbuf.rst and kernel/bpf/ringbuf.c, Linux 6.18).
//!
//! Invariant: the consumer's position never passes the producer's, and only whole, committed records are read.

use std::os::fd::{AsFd, AsRawFd};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use crate::{Error, Map, map_kind};

const HEADER: u64 = 8;
const BUSY: u32 = 1 << 31;
const DISCARDED: u32 = 1 << 30;

impl Map {
    /// Takes all committed records out of a ring buffer, oldest first; stops at one that is still being written.
    ///
    /// # Errors
    /// [`Error::Call`]: `EINVAL` for a map of another kind, or what mmap(2) says.
    pub fn drain_ring(&self) -> Result<Vec<Vec<u8>>, Error> {
        let failed = |errno| Error::Call { what: "mapping a ring buffer", errno };
        if self.kind() != map_kind::RINGBUF {
            return Err(failed(libc::EINVAL));
        }
        let ring = Ring::map(self).map_err(failed)?;
        let mut records = Vec::new();
        let consumer = ring.consumer();
        let mut at = consumer.load(Ordering::Relaxed);
        // Acquire: what the producer wrote before it moved its position is seen below.
        let end = ring.producer().load(Ordering::Acquire);
        while at < end {
            let Some(head) = ring.head(at) else { break };
            let word = head.load(Ordering::Acquire);
            if word & BUSY != 0 {
                break;
            }
            let len = word & !DISCARDED;
            if word & DISCARDED == 0 {
                records.push(ring.copy(at.wrapping_add(HEADER), len));
            }
            at = at.saturating_add(HEADER.saturating_add(u64::from(len)).next_multiple_of(8));
            // Release: the copy above is done before the producer may write here again.
            consumer.store(at, Ordering::Release);
        }
        Ok(records)
    }
}

/// Pages of a file, given back when dropped.
struct Pages {
    start: NonNull<u8>,
    len: usize,
}

impl Pages {
    fn map(map: &Map, prot: i32, offset: usize, len: usize) -> Result<Self, i32> {
        let offset = libc::off_t::try_from(offset).map_err(|_| libc::EOVERFLOW)?;
        let fd = map.as_fd().as_raw_fd();
        // SAFETY: a fresh mapping at a place of the kernel's choice; nothing that exists is touched.
        let start = unsafe { libc::mmap(std::ptr::null_mut(), len, prot, libc::MAP_SHARED, fd, offset) };
        if start == libc::MAP_FAILED {
            return Err(std::io::Error::last_os_error().raw_os_error().unwrap_or(libc::EIO));
        }
        NonNull::new(start.cast()).map(|start| Self { start, len }).ok_or(libc::EIO)
    }

    /// The address of `len` bytes at `offset`, if they lie inside.
    fn at(&self, offset: usize, len: usize) -> Option<NonNull<u8>> {
        let end = offset.checked_add(len)?;
        // SAFETY: `offset` is inside of the mapping (checked), which is one allocation.
        (end <= self.len).then(|| unsafe { self.start.add(offset) })
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        // SAFETY: this value made the mapping, and no reference to it outlives the value.
        unsafe { libc::munmap(self.start.as_ptr().cast(), self.len) };
    }
}

/// A ring buffer in this process: the consumer's page, and read-only the producer's page with the data behind it, twice,
/// so that a record that wraps around is in one piece.
struct Ring {
    consumer: Pages,
    producer: Pages,
    page: usize,
    size: u64,
}

impl Ring {
    fn map(map: &Map) -> Result<Self, i32> {
        // SAFETY: asks for a number.
        let page = usize::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).map_err(|_| libc::EINVAL)?;
        let size = u64::from(map.max_entries());
        if !size.is_power_of_two() || page < 16 {
            return Err(libc::EINVAL);
        }
        let twice = (map.max_entries() as usize).checked_mul(2).ok_or(libc::EOVERFLOW)?;
        let consumer = Pages::map(map, libc::PROT_READ | libc::PROT_WRITE, 0, page)?;
        let len = page.checked_add(twice).ok_or(libc::EOVERFLOW)?;
        let producer = Pages::map(map, libc::PROT_READ, page, len)?;
        Ok(Self { consumer, producer, page, size })
    }

    fn consumer(&self) -> &AtomicU64 {
        // SAFETY: the first word of a page, aligned, mapped for writing as long as `self`; the kernel too reads it as one.
        unsafe { AtomicU64::from_ptr(self.consumer.start.as_ptr().cast()) }
    }

    fn producer(&self) -> &AtomicU64 {
        // SAFETY: the first word of a page, aligned, mapped as long as `self`; this side only loads from it.
        unsafe { AtomicU64::from_ptr(self.producer.start.as_ptr().cast()) }
    }

    /// Where the byte at a position lies, counted from the producer's page.
    fn offset(&self, position: u64) -> Option<usize> {
        let inside = position & self.size.wrapping_sub(1);
        usize::try_from(inside).ok()?.checked_add(self.page)
    }

    /// The first word of the record at a position.
    fn head(&self, position: u64) -> Option<&AtomicU32> {
        let place = self.producer.at(self.offset(position)?, 8)?;
        // SAFETY: inside of the mapping (checked), aligned since all records are multiples of 8 bytes; only loaded from.
        position.is_multiple_of(8).then(|| unsafe { AtomicU32::from_ptr(place.as_ptr().cast()) })
    }

    /// A copy of `len` bytes at a position; empty if they don't lie in the mapping.
    fn copy(&self, position: u64, len: u32) -> Vec<u8> {
        let len = len as usize;
        let Some(place) = self.offset(position).and_then(|offset| self.producer.at(offset, len)) else {
            return Vec::new();
        };
        let mut bytes = vec![0; len];
        // SAFETY: `len` bytes inside of the mapping (checked) of a committed record, which nobody writes until the
        // consumer's position passes it.
        unsafe { std::ptr::copy_nonoverlapping(place.as_ptr(), bytes.as_mut_ptr(), len) };
        bytes
    }
}
