//! Arrays, plain and per CPU: every element exists from the start.

use super::slab::Slab;
use super::{MapError, Update};

/// `max_entries` elements, each of one value or one value a CPU. A CPU's values lie together, apart from other CPUs' by a cache line.
pub(crate) struct ArrayMap {
    slab: Slab,
    entries: u32,
    value_size: usize,
    /// Copies of each value: 1, or the number of CPU slots.
    copies: u32,
    /// Elements from one CPU's copy to the next one's.
    copy_stride: usize,
}

impl ArrayMap {
    pub(crate) fn new(entries: u32, value_size: u32, copies: u32) -> Option<ArrayMap> {
        let copy_stride = copy_stride(entries, copies)?;
        let slab = Slab::new(value_size as usize, copy_stride.checked_mul(copies as usize)?)?;
        Some(ArrayMap { slab, entries, value_size: value_size as usize, copies, copy_stride })
    }

    /// Bytes that an array of these sizes takes; `None` if that is no number.
    pub(crate) fn bytes(entries: u32, value_size: u32, copies: u32) -> Option<u64> {
        let stride = u64::from(value_size.max(1)).checked_next_multiple_of(8)?;
        stride.checked_mul(copy_stride(entries, copies)? as u64)?.checked_mul(u64::from(copies))
    }

    pub(crate) fn entries(&self) -> u32 {
        self.entries
    }

    /// Address of a value; `cpu` is 0 for plain arrays.
    #[inline]
    pub(crate) fn address(&self, index: u32, cpu: u32) -> Option<u64> {
        self.slab.address(self.place(index, cpu)?)
    }

    #[inline]
    fn place(&self, index: u32, cpu: u32) -> Option<usize> {
        (index < self.entries && cpu < self.copies).then(|| cpu as usize * self.copy_stride + index as usize)
    }

    /// Copies all copies of a value out, one after the other; `out` has room for exactly those.
    pub(crate) fn read(&self, index: u32, out: &mut [u8]) -> bool {
        for (cpu, copy) in (0u32..).zip(out.chunks_exact_mut(self.value_size.max(1))) {
            let Some(place) = self.place(index, cpu) else { return false };
            if !self.slab.read(place, 0, copy) {
                return false;
            }
        }
        index < self.entries
    }

    /// Sets one CPU's copy. The value's length was checked.
    pub(crate) fn write(&self, index: u32, cpu: u32, value: &[u8], update: Update) -> Result<(), MapError> {
        if index >= self.entries {
            return Err(MapError::Full { capacity: self.entries });
        }
        if update == Update::NoExist {
            return Err(MapError::Exists);
        }
        let place = self.place(index, cpu).ok_or(MapError::Invalid { what: "this CPU" })?;
        if self.slab.write(place, 0, value) {
            Ok(())
        } else {
            Err(MapError::ValueSize { expected: self.value_size, given: value.len() })
        }
    }

    /// Zeroes all copies of all values.
    pub(crate) fn clear(&self) {
        for cpu in 0..self.copies {
            for index in 0..self.entries {
                if let Some(place) = self.place(index, cpu) {
                    self.slab.zero(place, 0, self.value_size);
                }
            }
        }
    }
}

/// Strides are multiples of 8 bytes, so a multiple of 8 elements is one of whole cache lines.
fn copy_stride(entries: u32, copies: u32) -> Option<usize> {
    let entries = entries as usize;
    if copies > 1 { entries.checked_next_multiple_of(8) } else { Some(entries) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_cpu_has_its_own_values() {
        let map = ArrayMap::new(3, 12, 2).expect("memory");
        map.write(2, 1, &[7; 12], Update::Any).expect("inside");
        let mut out = [1; 24];
        assert!(map.read(2, &mut out));
        assert_eq!((&out[..12], &out[12..]), (&[0; 12][..], &[7; 12][..]));
        assert_eq!(map.write(3, 0, &[0; 12], Update::Any), Err(MapError::Full { capacity: 3 }));
        assert_eq!(map.write(0, 0, &[0; 12], Update::NoExist), Err(MapError::Exists));
        assert_eq!(map.address(0, 2), None);
        assert_eq!(map.address(3, 0), None);
        let apart = map.address(0, 1).zip(map.address(0, 0)).map(|(b, a)| b - a);
        assert_eq!(apart, Some(8 * 16));
        map.clear();
        assert!(map.read(2, &mut out));
        assert_eq!(out, [0; 24]);
    }
}
