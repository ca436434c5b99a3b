//! Guest memory that a call's arguments point to.
//!
//! Other threads' guests may write it at any time (a key may stand in a map's value), so it is never borrowed: bytes are copied in and out by
//! relaxed atomics, once, and only the copy is looked at.

#![allow(unsafe_code)]

use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering};

/// Bytes that are copied to the host's stack; more go to the heap.
const INLINE: usize = 128;

/// Copies guest memory out.
///
/// # Safety
/// `address` is valid for reads of `out.len()` bytes: a memory argument of the proven size (I3).
#[inline]
pub(crate) unsafe fn read(address: u64, out: &mut [u8]) {
    let from = address as *mut u8;
    if address.is_multiple_of(8) {
        let mut words = out.chunks_exact_mut(8);
        let mut at = from;
        for word in &mut words {
            // SAFETY: inside the caller's range; aligned because the start is.
            unsafe {
                word.copy_from_slice(&AtomicU64::from_ptr(at.cast()).load(Ordering::Relaxed).to_ne_bytes());
                at = at.add(8);
            }
        }
        // SAFETY: what is left of the caller's range.
        unsafe { read_small(at, words.into_remainder()) };
    } else {
        // SAFETY: the caller's range.
        unsafe { read_small(from, out) };
    }
}

/// # Safety
/// As [`read`].
#[inline]
unsafe fn read_small(mut at: *mut u8, mut out: &mut [u8]) {
    if at.addr().is_multiple_of(4) {
        let mut words = out.chunks_exact_mut(4);
        for word in &mut words {
            // SAFETY: inside the caller's range, aligned because the start is.
            unsafe {
                word.copy_from_slice(&AtomicU32::from_ptr(at.cast()).load(Ordering::Relaxed).to_ne_bytes());
                at = at.add(4);
            }
        }
        out = words.into_remainder();
    }
    for byte in out {
        // SAFETY: inside the caller's range.
        unsafe {
            *byte = AtomicU8::from_ptr(at).load(Ordering::Relaxed);
            at = at.add(1);
        }
    }
}

/// Copies a 32-bit word out of guest memory.
///
/// # Safety
/// As [`read`] for 4 bytes.
#[inline]
pub(crate) unsafe fn read_u32(address: u64) -> u32 {
    if address.is_multiple_of(4) {
        // SAFETY: the caller's range, aligned as just checked.
        return unsafe { AtomicU32::from_ptr(address as *mut u32).load(Ordering::Relaxed) };
    }
    let mut bytes = [0; 4];
    // SAFETY: the caller's range.
    unsafe { read(address, &mut bytes) };
    u32::from_ne_bytes(bytes)
}

/// Hands a copy of guest memory of a fixed size to `look`, which can then be compiled for that size.
///
/// # Safety
/// As [`read`] for `N` bytes.
#[inline(always)]
pub(crate) unsafe fn with_array<const N: usize, R>(address: u64, look: impl FnOnce(&[u8]) -> R) -> R {
    let mut copy = [0; N];
    // SAFETY: the caller's promise.
    unsafe { read(address, &mut copy) };
    look(&copy)
}

/// Copies bytes into guest memory.
///
/// # Safety
/// `address` is valid for writes of `bytes.len()` bytes: a memory argument of the proven size (I3).
pub(crate) unsafe fn write(address: u64, bytes: &[u8]) {
    let mut at = address as *mut u8;
    let mut rest = bytes;
    while at.addr().is_multiple_of(8)
        && let Some((word, after)) = rest.split_first_chunk::<8>()
    {
        // SAFETY: inside the caller's range, aligned as just checked.
        unsafe {
            AtomicU64::from_ptr(at.cast()).store(u64::from_ne_bytes(*word), Ordering::Relaxed);
            at = at.add(8);
        }
        rest = after;
    }
    for byte in rest {
        // SAFETY: inside the caller's range.
        unsafe {
            AtomicU8::from_ptr(at).store(*byte, Ordering::Relaxed);
            at = at.add(1);
        }
    }
}

/// Fills guest memory with zeros.
///
/// # Safety
/// As [`write`].
pub(crate) unsafe fn zero(address: u64, len: usize) {
    for n in 0..len as u64 {
        // SAFETY: inside the caller's range.
        unsafe { AtomicU8::from_ptr((address + n) as *mut u8).store(0, Ordering::Relaxed) };
    }
}

/// Hands a copy of guest memory to `look`.
///
/// # Safety
/// As [`read`] for `len` bytes.
#[inline]
pub(crate) unsafe fn with<R>(address: u64, len: usize, look: impl FnOnce(&[u8]) -> R) -> R {
    let mut inline = [0; INLINE];
    if let Some(copy) = inline.get_mut(..len) {
        // SAFETY: the caller's promise.
        unsafe { read(address, copy) };
        look(copy)
    } else {
        let mut copy = vec![0; len];
        // SAFETY: the caller's promise.
        unsafe { read(address, &mut copy) };
        look(&copy)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_are_exact_at_every_alignment_and_length() {
        let source: Vec<u8> = (0..64).collect();
        for start in 0..16usize {
            for len in 0..32usize {
                let mut out = vec![0xee; len];
                let mut target = [0u64; 8];
                let base = target.as_mut_ptr() as u64;
                let expected = &source[start..start + len];
                // SAFETY: both ranges lie inside their buffers.
                unsafe {
                    read(source.as_ptr() as u64 + start as u64, &mut out);
                    write(base + start as u64, &out);
                    assert!(with(base + start as u64, len, |copy| copy == expected));
                }
                assert_eq!(out, expected);
                let bytes: Vec<u8> = target.iter().flat_map(|w| w.to_ne_bytes()).collect();
                assert_eq!(&bytes[start..start + len], expected);
                assert!(bytes[..start].iter().chain(&bytes[start + len..]).all(|b| *b == 0));
                // SAFETY: as above.
                unsafe { zero(base + start as u64, len) };
                assert_eq!(target, [0; 8]);
            }
        }
    }
}
