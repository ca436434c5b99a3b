//! Hash maps, plain and per CPU, over preallocated elements.
//!
//! All elements are made at the start, as in Linux's preallocated hash. A delete gives the element back at once; a guest that still
//! holds a pointer to it keeps valid memory, whose content may change. An update of a present key puts a fresh element in the old one's
//! place, so pointers from before see the old value until it is reused.
//!
//! Readers take no lock. A chain ends in a marker that names its bucket: a reader that was carried into another chain by a reuse sees a
//! foreign marker and starts again. Each element has a sequence: odd while it is filled, moved on when it leaves its chain. A key that
//! compares equal counts only if the sequence was even and stood still. Writers of one shard of buckets exclude each other; an element that is
//! in no chain belongs to the one writer that took it.

use std::hash::{BuildHasher, Hasher};
use std::sync::atomic::{AtomicU32, Ordering, fence};

use parking_lot::{Mutex, MutexGuard};

use super::slab::{LINE, Slab};
use super::{MapError, Update};

/// Set in a link that ends a chain; the rest is the bucket.
const END: u32 = 1 << 31;
/// Most shards; a power of two.
const SHARDS: u32 = 64;
/// Rounds that a reader of a whole value tries without a lock.
const OPTIMISTIC: usize = 8;

/// The map.
pub(crate) struct HashMap {
    hasher: foldhash::quality::RandomState,
    /// First element of each chain, or an end marker. A power of two.
    buckets: Box<[AtomicU32]>,
    links: Box<[Link]>,
    /// Element: key, padded, then the value copies, each padded.
    slab: Slab,
    /// A power of two, at most as many as buckets.
    shards: Box<[Mutex<()>]>,
    free: Mutex<Free>,
    value_size: usize,
    layout: ElementLayout,
    key_size: usize,
    copies: u32,
    capacity: u32,
}

struct Link {
    next: AtomicU32,
    sequence: AtomicU32,
}

struct Free {
    /// Elements given back. Has room for all from the start.
    returned: Vec<u32>,
    /// Elements from this one on were never used.
    fresh: u32,
    /// Elements in all.
    elements: u32,
    /// Elements that stand for a key.
    live: u32,
}

/// What an update sets.
#[derive(Clone, Copy)]
pub(crate) enum NewValue<'a> {
    /// Every copy: as many values as there are copies, one after the other.
    All(&'a [u8]),
    /// One CPU's copy; in a new element the others are 0.
    One {
        /// The CPU; 0 for plain maps.
        cpu: u32,
        /// Its value.
        value: &'a [u8],
    },
}

/// An element as it was when it was found.
#[derive(Clone, Copy)]
pub(crate) struct Found {
    element: u32,
    sequence: u32,
}

/// Offsets in an element, in bytes.
#[derive(Clone, Copy)]
struct ElementLayout {
    values: usize,
    value_stride: usize,
    size: usize,
}

impl ElementLayout {
    fn new(key_size: u32, value_size: u32, copies: u32) -> Option<ElementLayout> {
        // Copies of different CPUs share no cache line.
        let unit = if copies > 1 { LINE } else { 8 };
        let values = (key_size as usize).checked_next_multiple_of(unit)?;
        let value_stride = (value_size as usize).checked_next_multiple_of(unit)?;
        let size = value_stride.checked_mul(copies as usize)?.checked_add(values)?;
        Some(ElementLayout { values, value_stride, size })
    }
}

/// How many of what a map of this capacity has.
struct Counts {
    elements: u32,
    buckets: u32,
    shards: u32,
}

impl Counts {
    fn new(capacity: u32) -> Option<Counts> {
        let quarter = (capacity / 4).clamp(1, SHARDS);
        let shards = if quarter.is_power_of_two() { quarter } else { quarter.next_power_of_two() / 2 };
        // A spare for each shard: an update needs a fresh element while the old one still stands, and a shard has one writer.
        let elements = capacity.checked_add(shards).filter(|n| *n < END)?;
        let buckets = capacity.max(1).checked_next_power_of_two().filter(|n| *n < END)?;
        Some(Counts { elements, buckets, shards })
    }
}

impl HashMap {
    /// Bytes that a map of these sizes takes; `None` if that is no number.
    pub(crate) fn bytes(capacity: u32, key_size: u32, value_size: u32, copies: u32) -> Option<u64> {
        let counts = Counts::new(capacity)?;
        let element = ElementLayout::new(key_size, value_size, copies)?.size as u64;
        let each = element.checked_add(size_of::<Link>() as u64 + size_of::<u32>() as u64)?;
        each.checked_mul(u64::from(counts.elements))?.checked_add(u64::from(counts.buckets) * 4)
    }

    /// An empty map; `None` if the sizes overflow or memory is short.
    pub(crate) fn new(capacity: u32, key_size: u32, value_size: u32, copies: u32) -> Option<HashMap> {
        let counts = Counts::new(capacity)?;
        let layout = ElementLayout::new(key_size, value_size, copies)?;
        let mut returned = Vec::new();
        returned.try_reserve_exact(counts.elements as usize).ok()?;
        Some(HashMap {
            hasher: foldhash::quality::RandomState::default(),
            buckets: table(counts.buckets, |bucket| AtomicU32::new(END | bucket))?,
            links: table(counts.elements, |_| Link { next: AtomicU32::new(END), sequence: AtomicU32::new(0) })?,
            slab: Slab::new(layout.size, counts.elements as usize)?,
            shards: table(counts.shards, |_| Mutex::new(()))?,
            free: Mutex::new(Free { returned, fresh: 0, elements: counts.elements, live: 0 }),
            value_size: value_size as usize,
            layout,
            key_size: key_size as usize,
            copies,
            capacity,
        })
    }

    #[inline]
    fn bucket(&self, key: &[u8]) -> u32 {
        let mut hasher = self.hasher.build_hasher();
        hasher.write(key);
        hasher.finish() as u32 & (self.buckets.len() as u32).wrapping_sub(1)
    }

    fn value_offset(&self, cpu: u32) -> Option<usize> {
        (cpu < self.copies).then(|| self.layout.values + self.layout.value_stride * cpu as usize)
    }

    fn lock(&self, bucket: u32) -> Option<MutexGuard<'_, ()>> {
        self.shards.get(bucket as usize & (self.shards.len() - 1)).map(Mutex::lock)
    }

    /// The element of a key, found without a lock.
    #[inline]
    fn find(&self, bucket: u32, key: &[u8]) -> Option<Found> {
        let head = self.buckets.get(bucket as usize)?;
        'again: loop {
            let mut at = head.load(Ordering::Acquire);
            while at & END == 0 {
                let link = self.links.get(at as usize)?;
                let sequence = link.sequence.load(Ordering::Acquire);
                if self.slab.equals(at as usize, 0, key) {
                    if sequence & 1 == 0 && self.stands(Found { element: at, sequence }) {
                        return Some(Found { element: at, sequence });
                    }
                    std::hint::spin_loop();
                    continue 'again;
                }
                at = link.next.load(Ordering::Acquire);
            }
            if at == END | bucket {
                return None;
            }
        }
    }

    /// Whether an element is still what it was when it was found, for all reads made before.
    #[inline]
    fn stands(&self, found: Found) -> bool {
        fence(Ordering::Acquire);
        self.links.get(found.element as usize).is_some_and(|l| l.sequence.load(Ordering::Relaxed) == found.sequence)
    }

    /// Address of a key's value; `cpu` is 0 for plain maps.
    #[inline]
    pub(crate) fn lookup(&self, key: &[u8], cpu: u32) -> Option<u64> {
        let found = self.find(self.bucket(key), key)?;
        Some(self.slab.address(found.element as usize)? + self.value_offset(cpu)? as u64)
    }

    /// Copies all copies of a key's value out, one after the other; `out` has room for exactly those. No update by a map
    /// operation is seen in part (guests that write through pointers may be).
    pub(crate) fn read(&self, key: &[u8], out: &mut [u8]) -> bool {
        let bucket = self.bucket(key);
        for _ in 0..OPTIMISTIC {
            let Some(found) = self.find(bucket, key) else { return false };
            if !self.read_element(found.element, out) {
                return false;
            }
            if self.stands(found) {
                return true;
            }
        }
        let _guard = self.lock(bucket);
        self.find(bucket, key).is_some_and(|found| self.read_element(found.element, out))
    }

    fn read_element(&self, element: u32, out: &mut [u8]) -> bool {
        (0u32..).zip(out.chunks_exact_mut(self.value_size.max(1))).all(|(cpu, copy)| {
            self.value_offset(cpu).is_some_and(|offset| self.slab.read(element as usize, offset, copy))
        })
    }

    /// Sets a key's value. Sizes were checked.
    pub(crate) fn update(&self, key: &[u8], value: NewValue<'_>, update: Update) -> Result<(), MapError> {
        if let NewValue::One { cpu, .. } = value
            && cpu >= self.copies
        {
            return Err(MapError::Invalid { what: "this CPU" });
        }
        let bucket = self.bucket(key);
        let _guard = self.lock(bucket);
        let old = self.find(bucket, key).map(|found| found.element);
        match (update, old) {
            (Update::NoExist, Some(_)) => return Err(MapError::Exists),
            (Update::Exist, None) => return Err(MapError::NotFound),
            _ => {}
        }
        // One CPU's copy of a present element is set in place: the others' must stay.
        if let (Some(element), NewValue::One { cpu, value }, true) = (old, value, self.copies > 1) {
            if let Some(offset) = self.value_offset(cpu) {
                self.slab.write(element as usize, offset, value);
            }
            return Ok(());
        }
        let fresh = self.take(old.is_none())?;
        self.fill(fresh, key, value);
        self.link(bucket, fresh);
        if let Some(old) = old {
            self.unlink(bucket, old);
            self.free.lock().returned.push(old);
        }
        Ok(())
    }

    /// Takes an element that is in no chain.
    fn take(&self, new_key: bool) -> Result<u32, MapError> {
        let mut free = self.free.lock();
        let full = MapError::Full { capacity: self.capacity };
        if new_key && free.live >= self.capacity {
            return Err(full);
        }
        let element = match free.returned.pop() {
            Some(element) => element,
            None if free.fresh < free.elements => {
                free.fresh += 1;
                free.fresh - 1
            }
            None => return Err(full),
        };
        free.live += u32::from(new_key);
        Ok(element)
    }

    /// Writes an element that belongs to the caller. Readers that were carried to it see an odd sequence until it is whole.
    fn fill(&self, element: u32, key: &[u8], value: NewValue<'_>) {
        let Some(link) = self.links.get(element as usize) else { return };
        let sequence = link.sequence.load(Ordering::Relaxed);
        link.sequence.store(sequence.wrapping_add(1), Ordering::Relaxed);
        fence(Ordering::Release);
        self.slab.write(element as usize, 0, key);
        for cpu in 0..self.copies {
            let Some(offset) = self.value_offset(cpu) else { break };
            let own = match value {
                NewValue::All(all) => all.chunks_exact(self.value_size.max(1)).nth(cpu as usize),
                NewValue::One { cpu: own, value } => (own == cpu).then_some(value),
            };
            match own {
                Some(bytes) => self.slab.write(element as usize, offset, bytes),
                None => self.slab.zero(element as usize, offset, self.value_size),
            };
        }
        link.sequence.store(sequence.wrapping_add(2), Ordering::Release);
    }

    /// Puts an element at its chain's head. The bucket's shard is locked.
    fn link(&self, bucket: u32, element: u32) {
        if let (Some(head), Some(link)) = (self.buckets.get(bucket as usize), self.links.get(element as usize)) {
            // Release: a reader that still stands on this element goes on from here.
            link.next.store(head.load(Ordering::Relaxed), Ordering::Release);
            head.store(element, Ordering::Release);
        }
    }

    /// Takes an element out of its chain. The bucket's shard is locked; the element keeps its own link for readers on it.
    fn unlink(&self, bucket: u32, element: u32) -> Option<()> {
        let mut cell = self.buckets.get(bucket as usize)?;
        loop {
            let at = cell.load(Ordering::Relaxed);
            let link = self.links.get(at as usize)?;
            if at == element {
                cell.store(link.next.load(Ordering::Relaxed), Ordering::Release);
                let sequence = link.sequence.load(Ordering::Relaxed);
                link.sequence.store(sequence.wrapping_add(2), Ordering::Release);
                return Some(());
            }
            cell = &link.next;
        }
    }

    pub(crate) fn delete(&self, key: &[u8]) -> Result<(), MapError> {
        let bucket = self.bucket(key);
        let _guard = self.lock(bucket);
        let found = self.find(bucket, key).ok_or(MapError::NotFound)?;
        self.remove(bucket, found.element);
        Ok(())
    }

    /// Unlinks and gives back an element. The bucket's shard is locked.
    fn remove(&self, bucket: u32, element: u32) {
        if self.unlink(bucket, element).is_some() {
            let mut free = self.free.lock();
            free.live -= 1;
            free.returned.push(element);
        }
    }

    /// Removes all keys, bucket by bucket.
    pub(crate) fn clear(&self) {
        let mut found = Vec::new();
        for bucket in 0..self.buckets() {
            let _guard = self.lock(bucket);
            self.walk(bucket, &mut found);
            for element in &found {
                self.remove(bucket, element.element);
            }
        }
    }

    /// How many keys there are.
    pub(crate) fn len(&self) -> u32 {
        self.free.lock().live
    }

    /// Buckets, for walks.
    pub(crate) fn buckets(&self) -> u32 {
        self.buckets.len() as u32
    }

    /// The elements of one bucket at this moment, in place of what `found` held.
    pub(crate) fn chain(&self, bucket: u32, found: &mut Vec<Found>) {
        let _guard = self.lock(bucket);
        self.walk(bucket, found);
    }

    /// The bucket's shard is locked.
    fn walk(&self, bucket: u32, found: &mut Vec<Found>) {
        found.clear();
        let mut at = self.buckets.get(bucket as usize).map_or(END, |b| b.load(Ordering::Relaxed));
        while let Some(link) = self.links.get(at as usize) {
            found.push(Found { element: at, sequence: link.sequence.load(Ordering::Relaxed) });
            at = link.next.load(Ordering::Relaxed);
        }
    }

    /// Copies of the keys and values of one bucket at this moment.
    pub(crate) fn entries(&self, bucket: u32, out: &mut Vec<(Vec<u8>, Vec<u8>)>) {
        let _guard = self.lock(bucket);
        let mut found = Vec::new();
        self.walk(bucket, &mut found);
        for element in found {
            let mut key = vec![0; self.key_size];
            let mut value = vec![0; self.value_size * self.copies as usize];
            self.slab.read(element.element as usize, 0, &mut key);
            self.read_element(element.element, &mut value);
            out.push((key, value));
        }
    }

    /// Addresses of an element's key and of a CPU's value, if the element still stands for its key.
    pub(crate) fn addresses(&self, found: Found, cpu: u32) -> Option<(u64, u64)> {
        let key = self.slab.address(found.element as usize)?;
        let value = key + self.value_offset(cpu)? as u64;
        self.stands(found).then_some((key, value))
    }
}

/// A table that is refused, not aborted on, when memory is short.
fn table<T>(count: u32, make: impl Fn(u32) -> T) -> Option<Box<[T]>> {
    let mut cells = Vec::new();
    cells.try_reserve_exact(count as usize).ok()?;
    cells.extend((0..count).map(make));
    Some(cells.into_boxed_slice())
}

#[cfg(test)]
#[path = "hash_tests.rs"]
mod tests;
