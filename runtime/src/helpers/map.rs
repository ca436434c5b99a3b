//! Maps by helper.

#![allow(unsafe_code)]

use super::{errno, memory};
use crate::maps::{MapError, MapInner, NewValue, Storage, Update, inner_from_native};
use crate::record::RunRecord;

/// The map that an argument names. The lifetime is the caller's: helpers keep it no longer than their call lasts.
#[inline]
pub(super) fn map_argument<'call>(address: u64) -> &'call MapInner {
    // SAFETY: I2: a map argument is a constant map of the running program, which holds it for the run (R4).
    unsafe { inner_from_native(address) }
}

#[inline]
fn lookup(map: &MapInner, key: u64, copy: u32) -> u64 {
    let found = match map.storage() {
        // SAFETY: I3: a key argument is readable for the map's key size, which is 4 for arrays.
        Storage::Array(array) => array.address(unsafe { memory::read_u32(key) }, copy),
        // SAFETY: I3: as above, for this map's key size.
        Storage::Hash(hash) => unsafe {
            match map.key_size() {
                4 => memory::with_array::<4, _>(key, |key| hash.lookup(key, copy)),
                8 => memory::with_array::<8, _>(key, |key| hash.lookup(key, copy)),
                16 => memory::with_array::<16, _>(key, |key| hash.lookup(key, copy)),
                len => memory::with(key, len, |key| hash.lookup(key, copy)),
            }
        },
        Storage::ProgArray(_) => None,
    };
    found.unwrap_or(0)
}

/// `bpf_map_lookup_elem(map, key)`: address of the value, or 0.
#[inline]
pub(super) fn lookup_elem(run: &mut RunRecord<'_>, [map, key, ..]: [u64; 5]) -> u64 {
    let map = map_argument(map);
    lookup(map, key, map.copy_of(run.cpu))
}

/// `bpf_map_lookup_percpu_elem(map, key, cpu)`: address of that CPU's value, or 0.
pub(super) fn lookup_percpu_elem(_run: &mut RunRecord<'_>, [map, key, cpu, ..]: [u64; 5]) -> u64 {
    let map = map_argument(map);
    let cpu = cpu as u32;
    if cpu < map.copies() { lookup(map, key, cpu) } else { 0 }
}

fn result(done: Result<(), MapError>) -> u64 {
    done.map_or_else(|error| error.errno() as u64, |()| 0)
}

/// `bpf_map_update_elem(map, key, value, flags)`.
pub(super) fn update_elem(run: &mut RunRecord<'_>, [map, key, value, flags, _]: [u64; 5]) -> u64 {
    let map = map_argument(map);
    let Some(update) = Update::from_flags(flags) else { return errno::EINVAL as u64 };
    let cpu = map.copy_of(run.cpu);
    // SAFETY: I3: key and value are readable for the map's key and value sizes.
    let done = unsafe {
        memory::with(key, map.key_size(), |key| {
            memory::with(value, map.value_size(), |value| map.update(key, NewValue::One { cpu, value }, update))
        })
    };
    result(done)
}

/// `bpf_map_delete_elem(map, key)`.
pub(super) fn delete_elem(_run: &mut RunRecord<'_>, [map, key, ..]: [u64; 5]) -> u64 {
    let map = map_argument(map);
    // SAFETY: I3: the key is readable for the map's key size.
    result(unsafe { memory::with(key, map.key_size(), |key| map.delete(key)) })
}
