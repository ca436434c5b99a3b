//! Memory that guests point into: a fixed number of elements of one size, 8-byte aligned, zeroed, never moved.
//!
//! A guest keeps a pointer to an element for as long as its run lasts, and reads and writes it without asking. So the host never makes a
//! reference to an element: it copies in and out by relaxed atomic words, which races with guests without undefined behaviour.
//! The first element starts a cache line, so that elements of whole lines share none.

#![allow(unsafe_code)]

use std::alloc::{Layout, alloc_zeroed, dealloc};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

/// Bytes of a cache line.
pub(crate) const LINE: usize = 64;

/// The elements.
pub(crate) struct Slab {
    allocation: NonNull<u8>,
    layout: Layout,
    /// First element: in the allocation, at a multiple of [`LINE`].
    start: *mut u8,
    stride: usize,
    count: usize,
}

// SAFETY: R6: the memory is only read and written by relaxed atomics from here, and by guests, whose races are their own.
unsafe impl Send for Slab {}
// SAFETY: as above.
unsafe impl Sync for Slab {}

impl Slab {
    /// `count` zeroed elements of at least `size` bytes; `None` if the size overflows or memory is short.
    pub(crate) fn new(size: usize, count: usize) -> Option<Slab> {
        let stride = size.max(1).checked_next_multiple_of(8)?;
        // The system's allocator zeroes small alignments lazily; so the line is found here and not asked of it.
        let bytes = stride.checked_mul(count.max(1))?.checked_add(LINE)?;
        let layout = Layout::from_size_align(bytes, 8).ok()?;
        // SAFETY: the layout has a size of at least 8.
        let allocation = NonNull::new(unsafe { alloc_zeroed(layout) })?;
        let skip = allocation.as_ptr().align_offset(LINE);
        if skip > LINE {
            // SAFETY: just allocated with this layout.
            unsafe { dealloc(allocation.as_ptr(), layout) };
            return None;
        }
        // SAFETY: `skip` is at most LINE, and LINE bytes more than the elements were allocated.
        let start = unsafe { allocation.as_ptr().add(skip) };
        Some(Slab { allocation, layout, start, stride, count })
    }

    /// Address of an element.
    #[inline]
    pub(crate) fn address(&self, index: usize) -> Option<u64> {
        (index < self.count).then(|| self.start as u64 + (index * self.stride) as u64)
    }

    /// Copies bytes out of an element, from `offset` on. False if they do not lie inside.
    pub(crate) fn read(&self, index: usize, offset: usize, out: &mut [u8]) -> bool {
        self.visit(index, offset, out.len(), |at, i, whole| {
            // SAFETY: R6: `visit` hands out places inside the slab only, 8-byte aligned where `whole`.
            unsafe {
                if whole {
                    let word = AtomicU64::from_ptr(at.cast()).load(Ordering::Relaxed);
                    if let Some(to) = out.get_mut(i..i + 8) {
                        to.copy_from_slice(&word.to_ne_bytes());
                    }
                } else if let Some(to) = out.get_mut(i) {
                    *to = AtomicU8::from_ptr(at).load(Ordering::Relaxed);
                }
            }
            true
        })
    }

    /// Copies bytes into an element, from `offset` on. False if they do not lie inside.
    pub(crate) fn write(&self, index: usize, offset: usize, bytes: &[u8]) -> bool {
        self.visit(index, offset, bytes.len(), |at, i, whole| {
            // SAFETY: R6: as in `read`.
            unsafe {
                if whole {
                    if let Some(from) = bytes.get(i..i + 8).and_then(|b| b.try_into().ok()) {
                        AtomicU64::from_ptr(at.cast()).store(u64::from_ne_bytes(from), Ordering::Relaxed);
                    }
                } else if let Some(from) = bytes.get(i) {
                    AtomicU8::from_ptr(at).store(*from, Ordering::Relaxed);
                }
            }
            true
        })
    }

    /// Zeroes bytes of an element, from `offset` on. False if they do not lie inside.
    pub(crate) fn zero(&self, index: usize, offset: usize, len: usize) -> bool {
        self.visit(index, offset, len, |at, _, whole| {
            // SAFETY: R6: as in `read`.
            unsafe {
                if whole {
                    AtomicU64::from_ptr(at.cast()).store(0, Ordering::Relaxed);
                } else {
                    AtomicU8::from_ptr(at).store(0, Ordering::Relaxed);
                }
            }
            true
        })
    }

    /// Whether an element's bytes from `offset` on equal these.
    #[inline]
    pub(crate) fn equals(&self, index: usize, offset: usize, bytes: &[u8]) -> bool {
        self.visit(index, offset, bytes.len(), |at, i, whole| {
            // SAFETY: R6: as in `read`.
            unsafe {
                if whole {
                    let word = AtomicU64::from_ptr(at.cast()).load(Ordering::Relaxed).to_ne_bytes();
                    bytes.get(i..i + 8) == Some(&word[..])
                } else {
                    bytes.get(i).copied() == Some(AtomicU8::from_ptr(at).load(Ordering::Relaxed))
                }
            }
        })
    }

    /// Visits a range of an element: whole words where it is aligned, else bytes, with the index in the caller's buffer. Stops at
    /// the first `false`. False also if the range does not lie inside the element.
    #[inline]
    fn visit(
        &self,
        index: usize,
        offset: usize,
        len: usize,
        mut each: impl FnMut(*mut u8, usize, bool) -> bool,
    ) -> bool {
        let inside = offset.checked_add(len).is_some_and(|end| end <= self.stride) && index < self.count;
        if !inside {
            return false;
        }
        // SAFETY: index and offset were just checked against the allocation.
        let at = unsafe { self.start.add(index * self.stride + offset) };
        let words = if offset.is_multiple_of(8) { len / 8 } else { 0 };
        for word in 0..words {
            // SAFETY: inside the checked range.
            if !each(unsafe { at.add(word * 8) }, word * 8, true) {
                return false;
            }
        }
        for byte in words * 8..len {
            // SAFETY: inside the checked range.
            if !each(unsafe { at.add(byte) }, byte, false) {
                return false;
            }
        }
        true
    }
}

impl Drop for Slab {
    fn drop(&mut self) {
        // SAFETY: R4: allocated with this layout; no guest points here any more: runs keep their maps alive.
        unsafe { dealloc(self.allocation.as_ptr(), self.layout) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_stay_inside_an_element() {
        let slab = Slab::new(13, 3).expect("memory");
        assert_eq!(slab.address(1).zip(slab.address(0)).map(|(b, a)| b - a), Some(16));
        assert_eq!(slab.address(0).map(|a| a % LINE as u64), Some(0));
        assert!(slab.write(1, 3, b"hello worl"));
        let mut out = [0; 10];
        assert!(slab.read(1, 3, &mut out));
        assert_eq!(&out, b"hello worl");
        assert!(slab.equals(1, 3, b"hello worl"));
        assert!(!slab.equals(1, 3, b"hello word"));
        assert!(!slab.write(1, 8, &[0; 9]));
        assert!(!slab.read(3, 0, &mut out));
        assert_eq!(slab.address(3), None);
        assert!(slab.zero(1, 3, 5));
        assert!(slab.equals(1, 3, b"\0\0\0\0\0 worl"));
    }

    #[test]
    fn absurd_sizes_are_refused() {
        assert!(Slab::new(usize::MAX, 2).is_none());
        assert!(Slab::new(1 << 40, 1 << 40).is_none());
    }
}
