//! Internet checksums (RFC 1071): ones' complement sums, computed over words in the host's order as the kernel does.

#![allow(unsafe_code)]

use super::packet::skb_bytes;
use super::{errno, memory};
use crate::record::RunRecord;

/// Size of the field that is replaced, or 0 if `to` is a difference.
const FIELD: u64 = 0xf;
/// The field is part of the pseudo header.
const PSEUDO_HEADER: u64 = 1 << 4;
/// A checksum of 0 means that there is none, and stays (UDP).
const MARK_MANGLED_0: u64 = 1 << 5;
/// Replace even a checksum of 0.
const MARK_ENFORCE: u64 = 1 << 6;
/// The pseudo header's addresses are IPv6.
const IPV6: u64 = 1 << 7;

/// Adds with the carry brought around.
fn add(a: u32, b: u32) -> u32 {
    let (sum, carry) = a.overflowing_add(b);
    sum.wrapping_add(u32::from(carry))
}

/// Folds to 16 bits.
fn fold(sum: u32) -> u16 {
    let sum = (sum & 0xffff) + (sum >> 16);
    (sum + (sum >> 16)) as u16
}

/// Adds bytes to a sum.
fn partial(bytes: &[u8], seed: u32) -> u32 {
    bytes.chunks(4).fold(seed, |sum, chunk| {
        let mut own = [0; 4];
        for (to, from) in own.iter_mut().zip(chunk) {
            *to = *from;
        }
        add(sum, u32::from_ne_bytes(own))
    })
}

/// A checksum field after `from` in the data became `to`.
fn replace(field: u16, from: u32, to: u32) -> u16 {
    !fold(add(add(u32::from(!field), !from), to))
}

/// `bpf_csum_diff(from, from_size, to, to_size, seed)`: the sum of what came minus what went, folded to 16 bits. Any sizes do (as seen on Linux
/// 6.18): a last part of a word counts as if zeros followed.
pub(super) fn csum_diff(_run: &mut RunRecord<'_>, [from, from_size, to, to_size, seed]: [u64; 5]) -> u64 {
    let (from_size, to_size, seed) = (from_size as u32 as usize, to_size as u32 as usize, seed as u32);
    // The prototype allows NULL for either memory; what the guest pairs with it is checked here too.
    if (from == 0 && from_size != 0) || (to == 0 && to_size != 0) {
        return errno::EINVAL as u64;
    }
    // SAFETY: I3: both memories are readable for their sizes (NULL only with size 0).
    let sum = |address, size, seed| unsafe { memory::with(address, size, |bytes| partial(bytes, seed)) };
    let result = match (from_size != 0, to_size != 0) {
        (true, true) => add(sum(to, to_size, seed), !sum(from, from_size, 0)),
        (false, true) => sum(to, to_size, seed),
        (true, false) => !sum(from, from_size, !seed),
        (false, false) => seed,
    };
    u64::from(fold(result))
}

/// Changes the checksum at an offset of a packet.
fn at_offset(context: u64, offset: u64, change: impl FnOnce(u16) -> Result<u16, i64>) -> Result<(), i64> {
    let offset = u64::from(offset as u32);
    if offset > 0xffff || !offset.is_multiple_of(2) {
        return Err(errno::EFAULT);
    }
    let place = skb_bytes(context, offset, 2).ok_or(errno::EFAULT)?;
    let mut field = [0; 2];
    // SAFETY: R9: the place was just found inside the packet.
    unsafe { memory::read(place, &mut field) };
    let changed = change(u16::from_ne_bytes(field))?;
    // SAFETY: R9: as above.
    unsafe { memory::write(place, &changed.to_ne_bytes()) };
    Ok(())
}

fn replaced(field: u16, from: u64, to: u64, flags: u64) -> Result<u16, i64> {
    match flags & FIELD {
        0 if from != 0 => Err(errno::EINVAL),
        0 => Ok(replace(field, !0, to as u32)),
        2 => Ok(replace(field, u32::from(from as u16), u32::from(to as u16))),
        4 => Ok(replace(field, from as u32, to as u32)),
        _ => Err(errno::EINVAL),
    }
}

fn result(done: Result<(), i64>) -> u64 {
    done.map_or_else(|error| error as u64, |()| 0)
}

/// `bpf_l3_csum_replace(skb, offset, from, to, size)`.
pub(super) fn l3_csum_replace(_run: &mut RunRecord<'_>, [context, offset, from, to, flags]: [u64; 5]) -> u64 {
    if flags & !FIELD != 0 {
        return errno::EINVAL as u64;
    }
    result(at_offset(context, offset, |field| replaced(field, from, to, flags)))
}

/// `bpf_l4_csum_replace(skb, offset, from, to, flags)`.
pub(super) fn l4_csum_replace(_run: &mut RunRecord<'_>, [context, offset, from, to, flags]: [u64; 5]) -> u64 {
    if flags & !(FIELD | PSEUDO_HEADER | MARK_MANGLED_0 | MARK_ENFORCE | IPV6) != 0 {
        return errno::EINVAL as u64;
    }
    let mangled = flags & MARK_MANGLED_0 != 0;
    result(at_offset(context, offset, |field| {
        if mangled && flags & MARK_ENFORCE == 0 && field == 0 {
            return Ok(field);
        }
        let changed = replaced(field, from, to, flags)?;
        Ok(if mangled && changed == 0 { 0xffff } else { changed })
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The checksum over whole words, as RFC 1071 defines it.
    fn checksum(bytes: &[u8]) -> u16 {
        !fold(partial(bytes, 0))
    }

    #[test]
    fn replacing_a_word_is_summing_again() {
        let mut data = *b"some bytes whose sum is taken   ";
        for (at, new) in [(0, 1u32), (4, 0xffff_ffff), (8, 0x8000_0001), (28, 0)] {
            let before = checksum(&data);
            let mut old = [0; 4];
            old.copy_from_slice(&data[at..at + 4]);
            data[at..at + 4].copy_from_slice(&new.to_ne_bytes());
            assert_eq!(replace(before, u32::from_ne_bytes(old), new), checksum(&data));
        }
    }

    #[test]
    fn sums_of_rfc_1071() {
        let bytes = [0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7];
        assert_eq!(fold(partial(&bytes, 0)).to_ne_bytes(), [0xdd, 0xf2]);
        assert_eq!(fold(add(u32::MAX, 1)), 1);
    }
}
