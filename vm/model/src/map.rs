//! Map kinds and what a program says of a map.

use std::sync::Arc;

use backstop_btf::{Btf, TypeId};

/// Map kind, by Linux's name and number.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[allow(missing_docs)]
#[repr(u32)]
pub enum MapKind {
    Hash = 1,
    Array = 2,
    ProgArray = 3,
    PerfEventArray = 4,
    PercpuHash = 5,
    PercpuArray = 6,
    StackTrace = 7,
    CgroupArray = 8,
    LruHash = 9,
    LruPercpuHash = 10,
    LpmTrie = 11,
    ArrayOfMaps = 12,
    HashOfMaps = 13,
    Devmap = 14,
    Sockmap = 15,
    Cpumap = 16,
    Xskmap = 17,
    Sockhash = 18,
    CgroupStorage = 19,
    ReuseportSockarray = 20,
    PercpuCgroupStorage = 21,
    Queue = 22,
    Stack = 23,
    SkStorage = 24,
    DevmapHash = 25,
    StructOps = 26,
    Ringbuf = 27,
    InodeStorage = 28,
    TaskStorage = 29,
    BloomFilter = 30,
    UserRingbuf = 31,
    CgrpStorage = 32,
    Arena = 33,
}

/// What an object says of one map. Sizes are in bytes.
#[derive(Clone, Debug)]
pub struct MapSpec {
    /// Name in the object.
    pub name: String,
    /// Kind.
    pub kind: MapKind,
    /// Size of a key.
    pub key_size: u32,
    /// Size of a value (of one CPU's copy for per-CPU kinds).
    pub value_size: u32,
    /// Capacity; 0 only where the kind has none.
    pub max_entries: u32,
    /// `BPF_F_*` map flags, Linux's numbers.
    pub flags: u32,
    /// `map_extra` (bloom filter, arena).
    pub extra: u64,
    /// The types that `key_type` and `value_type` are ids in.
    pub btf: Option<Arc<Btf>>,
    /// Type of a key.
    pub key_type: Option<TypeId>,
    /// Type of a value: where special fields (locks, timers, kptrs, lists) stand.
    pub value_type: Option<TypeId>,
    /// For maps of maps: what every inner map must look like.
    pub inner: Option<Arc<MapSpec>>,
    /// First content of a global-data map (`.rodata`, `.data`, `.bss`): exactly one value.
    pub initial: Option<Arc<[u8]>>,
    /// Programs cannot write it and its content is final before the proof: the verifier may fold constants from `initial`.
    pub frozen: bool,
    /// `.values` of prog_array and map-in-map: index and the name of a program or map of the same object.
    pub values: Vec<(u32, String)>,
}

impl MapSpec {
    /// A map without flags, types, first content or more.
    pub fn new(name: impl Into<String>, kind: MapKind, key_size: u32, value_size: u32, max_entries: u32) -> MapSpec {
        MapSpec {
            name: name.into(),
            kind,
            key_size,
            value_size,
            max_entries,
            flags: 0,
            extra: 0,
            btf: None,
            key_type: None,
            value_type: None,
            inner: None,
            initial: None,
            frozen: false,
            values: Vec::new(),
        }
    }
}

/// Program can only read.
pub const MAP_F_RDONLY_PROG: u32 = 1 << 7;
/// Program can only write.
pub const MAP_F_WRONLY_PROG: u32 = 1 << 8;
/// Elements are not preallocated.
pub const MAP_F_NO_PREALLOC: u32 = 1;
