//! The host's handle to a map.

use std::sync::Arc;

use backstop_model::MapSpec;

use super::inner::{MapRef, Storage};
use super::{MapError, NewValue, Plain, TypedMap, Update};
use crate::engine::Engine;

/// `BPF_F_RDONLY`: the host can't write.
const F_RDONLY: u32 = 1 << 3;
/// `BPF_F_WRONLY`: the host can't read.
const F_WRONLY: u32 = 1 << 4;

/// A map: a handle that is cheap to clone; clones are the same map.
///
/// Reads copy out and writes copy in; no lock is held that a program could wait for longer than one update takes. A value that a program
/// is just writing through a pointer may be seen half written; what programs and the host write by map operations is not.
///
/// As in Linux, a prog_array is emptied when the last handle to it goes, though programs still use it: without that, programs that
/// tail call each other would keep each other alive for ever.
pub struct Map {
    inner: MapRef,
}

impl Clone for Map {
    fn clone(&self) -> Map {
        Map::of(&self.inner)
    }
}

impl Drop for Map {
    fn drop(&mut self) {
        self.inner.drop_handle();
    }
}

impl std::fmt::Debug for Map {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let spec = self.spec();
        f.debug_struct("Map")
            .field("name", &spec.name)
            .field("kind", &spec.kind)
            .field("key_size", &spec.key_size)
            .field("value_size", &spec.value_size)
            .field("max_entries", &spec.max_entries)
            .finish_non_exhaustive()
    }
}

impl Map {
    /// Makes a map. Its first content is the specification's, else empty or zero; it is frozen if the specification says so.
    pub(crate) fn create(engine: &Engine, spec: Arc<MapSpec>) -> Result<Map, MapError> {
        MapRef::create(engine, spec).map(|inner| Map::of(&inner))
    }

    /// A further handle to a map that a program holds.
    pub(crate) fn of(inner: &MapRef) -> Map {
        inner.add_handle();
        Map { inner: inner.clone() }
    }

    /// What programs hold: it keeps the map alive but does not count as a handle.
    pub(crate) fn inner(&self) -> &MapRef {
        &self.inner
    }

    /// What the map was made from.
    pub fn spec(&self) -> &Arc<MapSpec> {
        self.inner.spec()
    }

    /// The map's name.
    pub fn name(&self) -> &str {
        &self.spec().name
    }

    /// Whether two handles are the same map.
    pub fn same(&self, other: &Map) -> bool {
        self.inner.same(&other.inner)
    }

    /// How many CPU slots a per-CPU map has values for; 1 for other kinds.
    pub fn cpus(&self) -> u32 {
        self.inner.copies()
    }

    fn check_key(&self, key: &[u8]) -> Result<(), MapError> {
        let expected = self.spec().key_size;
        if key.len() == expected as usize { Ok(()) } else { Err(MapError::KeySize { expected, given: key.len() }) }
    }

    fn readable(&self) -> Result<(), MapError> {
        match &self.inner.storage() {
            Storage::ProgArray(_) => Err(MapError::Invalid { what: "reading values" }),
            _ if self.spec().flags & F_WRONLY != 0 => Err(MapError::Denied { what: "read" }),
            _ => Ok(()),
        }
    }

    fn writable(&self) -> Result<(), MapError> {
        if self.inner.frozen() {
            Err(MapError::Frozen)
        } else if self.spec().flags & F_RDONLY != 0 {
            Err(MapError::Denied { what: "write" })
        } else {
            Ok(())
        }
    }

    /// Copies a key's value out: for per-CPU kinds that of all CPUs, one after the other. `None` if there is no such element.
    ///
    /// # Errors
    /// [`MapError::KeySize`]; [`MapError::Invalid`] for a prog_array.
    pub fn lookup(&self, key: &[u8]) -> Result<Option<Vec<u8>>, MapError> {
        self.check_key(key)?;
        self.readable()?;
        let mut out = vec![0; self.whole_size()];
        Ok(self.read(key, &mut out).then_some(out))
    }

    /// As [`Map::lookup`], into a buffer of the caller's; whether there is such an element.
    ///
    /// # Errors
    /// [`MapError::ValueSize`] if `out` has another size; as [`Map::lookup`].
    pub fn lookup_into(&self, key: &[u8], out: &mut [u8]) -> Result<bool, MapError> {
        self.check_key(key)?;
        self.readable()?;
        let expected = self.whole_size();
        if out.len() != expected {
            return Err(MapError::ValueSize { expected, given: out.len() });
        }
        Ok(self.read(key, out))
    }

    /// Copies a key's values out, one a CPU slot (one for kinds that are not per CPU).
    ///
    /// # Errors
    /// As [`Map::lookup`].
    pub fn lookup_per_cpu(&self, key: &[u8]) -> Result<Option<Vec<Vec<u8>>>, MapError> {
        let size = self.inner.value_size().max(1);
        Ok(self.lookup(key)?.map(|all| all.chunks_exact(size).map(<[u8]>::to_vec).collect()))
    }

    /// Bytes of all copies of a value.
    fn whole_size(&self) -> usize {
        self.inner.value_size() * self.inner.copies() as usize
    }

    fn read(&self, key: &[u8], out: &mut [u8]) -> bool {
        match self.inner.storage() {
            Storage::Array(array) => key.try_into().is_ok_and(|key| array.read(u32::from_ne_bytes(key), out)),
            Storage::Hash(hash) => hash.read(key, out),
            Storage::ProgArray(_) => false,
        }
    }

    /// Sets a key's value. For per-CPU kinds `value` is one value for every CPU, or those of all CPUs one after the other.
    ///
    /// # Errors
    /// Sizes; [`MapError::Full`]; [`MapError::Exists`] and [`MapError::NotFound`] by `update`; [`MapError::Frozen`].
    pub fn update(&self, key: &[u8], value: &[u8], update: Update) -> Result<(), MapError> {
        self.check_key(key)?;
        self.writable()?;
        let (one, whole) = (self.inner.value_size(), self.whole_size());
        if value.len() == whole {
            return self.inner.update(key, NewValue::All(value), update);
        }
        if value.len() != one {
            return Err(MapError::ValueSize { expected: one, given: value.len() });
        }
        let all = value.repeat(self.inner.copies() as usize);
        self.inner.update(key, NewValue::All(&all), update)
    }

    /// Sets a key's values, one a CPU slot.
    ///
    /// # Errors
    /// As [`Map::update`]; [`MapError::ValueSize`] also if there are not as many values as [`Map::cpus`].
    pub fn update_per_cpu(&self, key: &[u8], values: &[impl AsRef<[u8]>], update: Update) -> Result<(), MapError> {
        self.check_key(key)?;
        self.writable()?;
        let one = self.inner.value_size();
        let mut all = Vec::new();
        for value in values {
            let value = value.as_ref();
            if value.len() != one {
                return Err(MapError::ValueSize { expected: one, given: value.len() });
            }
            all.extend_from_slice(value);
        }
        if all.len() != self.whole_size() {
            return Err(MapError::ValueSize { expected: self.whole_size(), given: all.len() });
        }
        self.inner.update(key, NewValue::All(&all), update)
    }

    /// Removes a key; for a prog_array, empties the slot.
    ///
    /// # Errors
    /// [`MapError::NotFound`]; [`MapError::Invalid`] for arrays, whose elements always exist; [`MapError::Frozen`].
    pub fn delete(&self, key: &[u8]) -> Result<(), MapError> {
        self.check_key(key)?;
        self.writable()?;
        self.inner.delete(key)
    }

    /// Removes all elements; arrays are zeroed, a prog_array is emptied. What programs add meanwhile may stay.
    ///
    /// # Errors
    /// [`MapError::Frozen`].
    pub fn clear(&self) -> Result<(), MapError> {
        self.writable()?;
        match self.inner.storage() {
            Storage::Array(array) => array.clear(),
            Storage::Hash(hash) => hash.clear(),
            Storage::ProgArray(slots) => slots.clear(),
        }
        Ok(())
    }

    /// How many elements there are now: all of an array's, the filled slots of a prog_array.
    pub fn len(&self) -> usize {
        let count = match self.inner.storage() {
            Storage::Array(array) => array.entries(),
            Storage::Hash(hash) => hash.len(),
            Storage::ProgArray(slots) => slots.filled(),
        };
        count as usize
    }

    /// Whether there are no elements.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Keys and values (of per-CPU kinds: those of all CPUs, one after the other), in no order for hash maps. A prog_array has none.
    ///
    /// A hash map is read a bucket at a time: an element that stays is seen exactly once; one that is added or removed meanwhile may be seen
    /// or not.
    pub fn iter(&self) -> MapIter<'_> {
        MapIter { map: self, next: 0, batch: Vec::new() }
    }

    /// Makes the content final: the host can't change it any more. Programs still can, unless the map's flags forbid them to.
    pub fn freeze(&self) {
        self.inner.freeze();
    }

    /// The same map with Rust types for its keys and values.
    ///
    /// # Errors
    /// [`MapError::KeySize`] or [`MapError::ValueSize`] if a type's size is another.
    pub fn typed<K: Plain, V: Plain>(&self) -> Result<TypedMap<K, V>, MapError> {
        TypedMap::new(self.clone())
    }
}

impl<'a> IntoIterator for &'a Map {
    type Item = (Vec<u8>, Vec<u8>);
    type IntoIter = MapIter<'a>;

    fn into_iter(self) -> MapIter<'a> {
        self.iter()
    }
}

/// Iterator over a map's elements, by copies (see [`Map::iter`]).
#[derive(Debug)]
pub struct MapIter<'a> {
    map: &'a Map,
    /// Next index of an array, or bucket of a hash map.
    next: u32,
    /// Elements of a bucket that are still to be given.
    batch: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Iterator for MapIter<'_> {
    type Item = (Vec<u8>, Vec<u8>);

    fn next(&mut self) -> Option<Self::Item> {
        if self.map.readable().is_err() {
            return None;
        }
        match self.map.inner.storage() {
            Storage::Array(array) => {
                let index = self.next;
                let mut value = vec![0; self.map.whole_size()];
                array.read(index, &mut value).then(|| {
                    self.next += 1;
                    (index.to_ne_bytes().to_vec(), value)
                })
            }
            Storage::Hash(hash) => loop {
                if let Some(entry) = self.batch.pop() {
                    return Some(entry);
                }
                if self.next >= hash.buckets() {
                    return None;
                }
                hash.entries(self.next, &mut self.batch);
                self.next += 1;
            },
            Storage::ProgArray(_) => None,
        }
    }
}

#[cfg(test)]
#[path = "handle_tests.rs"]
mod tests;
