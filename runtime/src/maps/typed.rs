//! A map with Rust types in place of bytes.

use std::marker::PhantomData;

use super::{Map, MapError, Update};

/// Types that are the same as their bytes: keys and values of a [`TypedMap`].
///
/// Integers and arrays of such types are. A struct that mirrors one in C implements it field by field, in the order and with the padding of
/// C; nothing goes wrong beyond wrong values if it errs, because only bytes are exchanged.
pub trait Plain: Copy {
    /// Size in bytes.
    const SIZE: usize;

    /// Writes the value to `out`, which has [`Plain::SIZE`] bytes.
    fn write(&self, out: &mut [u8]);

    /// Reads a value from `bytes`, which has [`Plain::SIZE`] bytes.
    fn read(bytes: &[u8]) -> Self;
}

macro_rules! plain {
    ($($type:ty)*) => {$(
        impl Plain for $type {
            const SIZE: usize = size_of::<$type>();

            fn write(&self, out: &mut [u8]) {
                for (to, from) in out.iter_mut().zip(self.to_ne_bytes()) {
                    *to = from;
                }
            }

            fn read(bytes: &[u8]) -> $type {
                let mut own = [0; size_of::<$type>()];
                for (to, from) in own.iter_mut().zip(bytes) {
                    *to = *from;
                }
                <$type>::from_ne_bytes(own)
            }
        }
    )*};
}

plain!(u8 u16 u32 u64 u128 i8 i16 i32 i64 i128);

impl<T: Plain, const N: usize> Plain for [T; N] {
    const SIZE: usize = T::SIZE * N;

    fn write(&self, out: &mut [u8]) {
        for (to, from) in out.chunks_exact_mut(T::SIZE.max(1)).zip(self) {
            from.write(to);
        }
    }

    fn read(bytes: &[u8]) -> [T; N] {
        std::array::from_fn(|n| T::read(bytes.get(n * T::SIZE..(n + 1) * T::SIZE).unwrap_or_default()))
    }
}

/// A map with Rust types. For per-CPU kinds `V` is one CPU's value.
pub struct TypedMap<K, V> {
    map: Map,
    types: PhantomData<fn(K) -> V>,
}

impl<K, V> Clone for TypedMap<K, V> {
    fn clone(&self) -> Self {
        TypedMap { map: self.map.clone(), types: PhantomData }
    }
}

impl<K, V> std::fmt::Debug for TypedMap<K, V> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.map.fmt(f)
    }
}

fn bytes<T: Plain>(value: &T) -> Vec<u8> {
    let mut out = vec![0; T::SIZE];
    value.write(&mut out);
    out
}

impl<K: Plain, V: Plain> TypedMap<K, V> {
    pub(super) fn new(map: Map) -> Result<Self, MapError> {
        let (key, value) = (map.spec().key_size, map.spec().value_size as usize);
        if K::SIZE != key as usize {
            return Err(MapError::KeySize { expected: key, given: K::SIZE });
        }
        if V::SIZE != value {
            return Err(MapError::ValueSize { expected: value, given: V::SIZE });
        }
        Ok(TypedMap { map, types: PhantomData })
    }

    /// The map itself.
    pub fn map(&self) -> &Map {
        &self.map
    }

    /// A key's value; of a per-CPU map, the first CPU's.
    ///
    /// # Errors
    /// As [`Map::lookup`].
    pub fn get(&self, key: &K) -> Result<Option<V>, MapError> {
        Ok(self.get_per_cpu(key)?.and_then(|all| all.first().copied()))
    }

    /// A key's values, one a CPU slot.
    ///
    /// # Errors
    /// As [`Map::lookup`].
    pub fn get_per_cpu(&self, key: &K) -> Result<Option<Vec<V>>, MapError> {
        Ok(self.map.lookup(&bytes(key))?.map(|all| values(&all)))
    }

    /// Sets a key's value; of a per-CPU map, every CPU's.
    ///
    /// # Errors
    /// As [`Map::update`].
    pub fn set(&self, key: &K, value: &V, update: Update) -> Result<(), MapError> {
        self.map.update(&bytes(key), &bytes(value), update)
    }

    /// Sets a key's values, one a CPU slot.
    ///
    /// # Errors
    /// As [`Map::update_per_cpu`].
    pub fn set_per_cpu(&self, key: &K, values: &[V], update: Update) -> Result<(), MapError> {
        let values: Vec<Vec<u8>> = values.iter().map(bytes).collect();
        self.map.update_per_cpu(&bytes(key), &values, update)
    }

    /// Removes a key.
    ///
    /// # Errors
    /// As [`Map::delete`].
    pub fn delete(&self, key: &K) -> Result<(), MapError> {
        self.map.delete(&bytes(key))
    }

    /// Keys and values; of a per-CPU map, the first CPU's.
    pub fn iter(&self) -> impl Iterator<Item = (K, V)> + '_ {
        self.map.iter().map(|(key, value)| (K::read(&key), V::read(value.get(..V::SIZE).unwrap_or_default())))
    }

    /// Keys and values of all CPUs.
    pub fn iter_per_cpu(&self) -> impl Iterator<Item = (K, Vec<V>)> + '_ {
        self.map.iter().map(|(key, all)| (K::read(&key), values(&all)))
    }
}

fn values<V: Plain>(all: &[u8]) -> Vec<V> {
    all.chunks_exact(V::SIZE.max(1)).map(V::read).collect()
}
