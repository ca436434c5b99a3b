//! From a code address to its program: a direct table over the arena.
//!
//! One 8-byte entry a granule holds (generation, descriptor + 1). A lookup is two loads, a store of nothing: wait-free, without allocation
//! or pinning, and may run in a signal handler. Descriptors are type-stable: memory of one is only ever reused as another, and its
//! generation tells a reader whether what it read belongs together. Both tables are reserved once and never unmapped.

#![allow(unsafe_code)]

use std::sync::atomic::{AtomicU64, Ordering, fence};

use parking_lot::Mutex;

use super::arena::{ARENA_BYTES, GRANULE};
use crate::record::CodeId;

const GRANULES: usize = ARENA_BYTES / GRANULE;

/// What the unwinder needs of an image, read and written as atomics. Four of them share a cache line, so that those of thousands of
/// programs stay in the cache.
#[repr(C, align(16))]
pub(crate) struct Descriptor {
    /// Generation, odd while `shape` is being changed; below it the granule of the image's first byte.
    place: AtomicU64,
    /// A [`Shape`].
    shape: AtomicU64,
}

/// Where an image's parts lie, in one word. Functions start at multiples of [`FUNCTION_UNIT`] from the image's first byte, saved registers at
/// multiples of 8 from the frame pointer.
#[derive(Clone, Copy)]
struct Shape(u64);

/// Bytes.
const FUNCTION_UNIT: usize = 16;
const OFFSET_BITS: u32 = 26;
const OFFSET_MASK: u64 = (1 << OFFSET_BITS) - 1;
const _: () = assert!(ARENA_BYTES / FUNCTION_UNIT <= 1 << OFFSET_BITS);

impl Shape {
    /// `None` if it does not fit, which no image's does.
    fn new(base: usize, main_len: usize, boundary: Option<Boundary>) -> Option<Shape> {
        // Nothing but padding lies between main's end and the next multiple.
        let main = main_len.div_ceil(FUNCTION_UNIT) as u64;
        let (callback, sp) = match boundary {
            None => (0, 0),
            Some(b) => (b.callback.checked_sub(base)?, u64::from(b.sp_below_rbp)),
        };
        let whole = callback.is_multiple_of(FUNCTION_UNIT) && sp.is_multiple_of(8);
        let (callback, sp) = ((callback / FUNCTION_UNIT) as u64, sp / 8);
        let fits = main <= OFFSET_MASK && callback <= OFFSET_MASK && sp >> (64 - 2 * OFFSET_BITS) == 0;
        (whole && fits).then_some(Shape(sp << (2 * OFFSET_BITS) | callback << OFFSET_BITS | main))
    }

    /// Bytes of the main function, which lies first.
    fn main_len(self) -> usize {
        (self.0 & OFFSET_MASK) as usize * FUNCTION_UNIT
    }

    /// The boundary of an image at `base`; one has saved registers.
    fn boundary(self, base: usize) -> Option<Boundary> {
        let sp_below_rbp = (self.0 >> (2 * OFFSET_BITS)) as u32 * 8;
        let callback = base + (self.0 >> OFFSET_BITS & OFFSET_MASK) as usize * FUNCTION_UNIT;
        (sp_below_rbp != 0).then_some(Boundary { sp_below_rbp, callback })
    }
}

/// A descriptor's first word, or a granule's entry: a generation, and what it belongs to.
fn tagged(generation: u32, low: u32) -> u64 {
    u64::from(generation) << 32 | u64::from(low)
}

/// What a lookup finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    /// Names the image among all that ever lived.
    pub(crate) id: CodeId,
    /// Address of the image's first byte.
    pub(crate) base: usize,
    /// Whether the address lies in the main function.
    pub(crate) in_main: bool,
    /// See [`Boundary`].
    pub(crate) boundary: Option<Boundary>,
}

/// A main function that catches throws.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Boundary {
    /// Bytes from the frame pointer down to the lowest saved register.
    pub(crate) sp_below_rbp: u32,
    /// Address of the exception callback.
    pub(crate) callback: usize,
}

/// The tables.
pub(crate) struct Registry {
    base: usize,
    entries: &'static [AtomicU64],
    descriptors: &'static [Descriptor],
    vacant: Mutex<Vacant>,
}

/// Descriptors that are free: given back ones, then never used ones.
struct Vacant {
    returned: Vec<u32>,
    fresh: u32,
}

/// An image's place in the registry. Dropping it makes its addresses unknown.
#[derive(Debug)]
pub(crate) struct Registration {
    id: CodeId,
    first: usize,
    count: usize,
}

impl Registry {
    pub(crate) fn reserve(base: usize) -> Option<Registry> {
        Some(Registry {
            base,
            entries: reserve_zeroed::<AtomicU64>(GRANULES)?,
            descriptors: reserve_zeroed::<Descriptor>(GRANULES)?,
            vacant: Mutex::new(Vacant { returned: Vec::new(), fresh: 0 }),
        })
    }

    /// Makes the image at `address` known. `None` if it lies outside the arena or no descriptor is left.
    pub(crate) fn register(
        &self,
        address: usize,
        len: usize,
        main_len: usize,
        boundary: Option<Boundary>,
    ) -> Option<Registration> {
        let shape = Shape::new(address, main_len, boundary)?;
        let first = address.checked_sub(self.base)? / GRANULE;
        let count = len.div_ceil(GRANULE);
        let entries = self.entries.get(first..first.checked_add(count)?)?;
        let index = {
            let mut vacant = self.vacant.lock();
            match vacant.returned.pop() {
                Some(index) => index,
                None => {
                    let index = vacant.fresh;
                    vacant.fresh = index.checked_add(1)?;
                    index
                }
            }
        };
        let descriptor = self.descriptors.get(index as usize)?;
        let odd = ((descriptor.place.load(Ordering::Relaxed) >> 32) as u32).wrapping_add(1);
        descriptor.place.store(tagged(odd, 0), Ordering::Relaxed);
        fence(Ordering::Release);
        descriptor.shape.store(shape.0, Ordering::Relaxed);
        let generation = odd.wrapping_add(1);
        descriptor.place.store(tagged(generation, first as u32), Ordering::Release);
        let entry = tagged(generation, index + 1);
        for cell in entries {
            cell.store(entry, Ordering::Release);
        }
        Some(Registration { id: CodeId { index, generation }, first, count })
    }

    /// The image that an address lies in. Use a return address minus one: a call can be a function's last instruction.
    #[inline]
    pub(crate) fn lookup(&self, address: usize) -> Option<Found> {
        let granule = address.wrapping_sub(self.base) / GRANULE;
        let entry = self.entries.get(granule)?.load(Ordering::Acquire);
        let index = (entry as u32).checked_sub(1)?;
        let generation = (entry >> 32) as u32;
        let descriptor = self.descriptors.get(index as usize)?;
        let shape = Shape(descriptor.shape.load(Ordering::Acquire));
        // Of this generation: then the shape, too, was this one's.
        let place = descriptor.place.load(Ordering::Relaxed);
        if (place >> 32) as u32 != generation {
            return None;
        }
        let base = self.base + place as u32 as usize * GRANULE;
        let in_main = address < base + shape.main_len();
        Some(Found { id: CodeId { index, generation }, base, in_main, boundary: shape.boundary(base) })
    }

    fn unregister(&self, registration: &Registration) {
        if let Some(entries) = self.entries.get(registration.first..registration.first + registration.count) {
            for cell in entries {
                cell.store(0, Ordering::Release);
            }
        }
        if let Some(descriptor) = self.descriptors.get(registration.id.index as usize) {
            let generation = (descriptor.place.load(Ordering::Relaxed) >> 32) as u32;
            descriptor.place.store(tagged(generation.wrapping_add(2), 0), Ordering::Release);
        }
        self.vacant.lock().returned.push(registration.id.index);
    }
}

impl Registration {
    /// The image's identity.
    pub(crate) fn id(&self) -> CodeId {
        self.id
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        if let Ok(arena) = super::arena::Arena::get() {
            arena.registry().unregister(self);
        }
    }
}

/// Types that are valid when all their bytes are zero and that need no drop.
trait Zeroed {}
impl Zeroed for AtomicU64 {}
impl Zeroed for Descriptor {}

fn reserve_zeroed<T: Zeroed>(count: usize) -> Option<&'static [T]> {
    let bytes = count.checked_mul(size_of::<T>())?;
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
    // SAFETY: a fresh anonymous mapping at an address of the system's choice.
    let at = unsafe { libc::mmap(std::ptr::null_mut(), bytes, libc::PROT_READ | libc::PROT_WRITE, flags, -1, 0) };
    if at == libc::MAP_FAILED {
        return None;
    }
    // SAFETY: page-aligned, `bytes` long, zeroed, never unmapped; `Zeroed` types are valid as zeros.
    Some(unsafe { std::slice::from_raw_parts(at.cast::<T>(), count) })
}

#[cfg(test)]
mod tests {
    use super::super::arena::Arena;
    use super::*;

    #[test]
    fn addresses_lead_to_their_image_until_it_goes() {
        let arena = Arena::get().expect("an arena");
        let range = arena.publish(&[0xc3; 300]).expect("room");
        let at = range.address();
        let boundary = Boundary { sp_below_rbp: 48, callback: at + 208 };
        let registration = arena.registry().register(at, range.len(), 100, Some(boundary)).expect("a descriptor");
        let found = arena.registry().lookup(at + 99).expect("known");
        assert_eq!(found, Found { id: registration.id(), base: at, in_main: true, boundary: Some(boundary) });
        assert!(!arena.registry().lookup(at + 112).expect("known").in_main);
        let id = registration.id();
        drop(registration);
        assert_eq!(arena.registry().lookup(at), None);
        let again = arena.registry().register(at, range.len(), 100, None).expect("a descriptor");
        assert_ne!(again.id(), id);
    }

    /// A walk may have read an entry before its image went, and ask for the descriptor when that is another image's.
    #[test]
    fn entries_of_images_that_went_lead_nowhere() {
        let base = 1 << 30;
        let registry = Registry::reserve(base).expect("room");
        // Dropping a registration speaks to the arena's own registry.
        let register =
            |at| std::mem::ManuallyDrop::new(registry.register(at, GRANULE, 16, None).expect("a descriptor"));
        let first = register(base);
        let cell = &registry.entries[0];
        let entry = cell.load(Ordering::Acquire);
        registry.unregister(&first);
        assert_eq!(registry.lookup(base), None);
        let elsewhere = base + 8 * GRANULE;
        let second = register(elsewhere);
        assert_eq!(second.id.index, first.id.index);
        cell.store(entry, Ordering::Release);
        assert_eq!(registry.lookup(base), None);
        assert_eq!(registry.lookup(elsewhere).map(|found| found.id), Some(second.id));
    }

    #[test]
    fn addresses_outside_the_arena_are_nobodys() {
        let arena = Arena::get().expect("an arena");
        for address in [0, 1, usize::MAX, Arena::get as *const () as usize] {
            assert_eq!(arena.registry().lookup(address), None);
        }
    }
}
