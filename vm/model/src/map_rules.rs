//! Which maps can exist, and which programs may use which.
//!
//! The limits are Linux 6.18's where Linux has a rule (`map_alloc_check` of each kind), and Backstop's own bound on memory
//! beyond that: a map description comes from an untrusted object and must not make the host allocate without limit.

use backstop_btf::Kind;

use crate::{MAP_F_NO_PREALLOC, MAP_F_RDONLY_PROG, MAP_F_WRONLY_PROG, MapKind, MapSpec, ProgKind, ProgType};

/// Most bytes that one map may hold when full: 2 GiB.
pub const MAX_MAP_BYTES: u64 = 2 << 30;
/// Most bytes of one key or value.
pub const MAX_ELEMENT: u32 = 1 << 30;
/// Most bytes of one CPU's copy in a per-CPU map (Linux: `PCPU_MIN_UNIT_SIZE`).
pub const MAX_PERCPU_VALUE: u32 = 32 << 10;

const F_NO_COMMON_LRU: u32 = 1 << 1;
const F_NUMA_NODE: u32 = 1 << 2;
const F_RDONLY: u32 = 1 << 3;
const F_WRONLY: u32 = 1 << 4;
const F_STACK_BUILD_ID: u32 = 1 << 5;
const F_ZERO_SEED: u32 = 1 << 6;
const F_CLONE: u32 = 1 << 9;
const F_MMAPABLE: u32 = 1 << 10;
const F_PRESERVE_ELEMS: u32 = 1 << 11;
const F_INNER_MAP: u32 = 1 << 12;
const F_SEGV_ON_FAULT: u32 = 1 << 17;
const F_NO_USER_CONV: u32 = 1 << 18;
const F_ACCESS: u32 = F_RDONLY | F_WRONLY | MAP_F_RDONLY_PROG | MAP_F_WRONLY_PROG;

/// Why a map cannot be made. Each names the map and what to change.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum MapSpecError {
    /// A key size that the kind cannot have.
    #[error("map `{map}` ({kind}): key_size is {found}; it must be {must}")]
    KeySize {
        /// Map.
        map: String,
        /// Kind in Linux's words.
        kind: &'static str,
        /// What was given.
        found: u32,
        /// What is possible.
        must: &'static str,
    },
    /// A value size that the kind cannot have.
    #[error("map `{map}` ({kind}): value_size is {found}; it must be {must}")]
    ValueSize {
        /// Map.
        map: String,
        /// Kind in Linux's words.
        kind: &'static str,
        /// What was given.
        found: u32,
        /// What is possible.
        must: &'static str,
    },
    /// A capacity that the kind cannot have.
    #[error("map `{map}` ({kind}): max_entries is {found}; it must be {must}")]
    MaxEntries {
        /// Map.
        map: String,
        /// Kind in Linux's words.
        kind: &'static str,
        /// What was given.
        found: u32,
        /// What is possible.
        must: &'static str,
    },
    /// Flags that the kind does not know, or that contradict each other.
    #[error("map `{map}` ({kind}): map_flags {flags:#x} are not possible: {why}")]
    Flags {
        /// Map.
        map: String,
        /// Kind in Linux's words.
        kind: &'static str,
        /// What was given.
        flags: u32,
        /// What is wrong and what to do.
        why: &'static str,
    },
    /// `map_extra` where the kind has none or takes other numbers.
    #[error("map `{map}` ({kind}): map_extra is {extra:#x}; {must}")]
    Extra {
        /// Map.
        map: String,
        /// Kind in Linux's words.
        kind: &'static str,
        /// What was given.
        extra: u64,
        /// What is possible.
        must: &'static str,
    },
    /// More memory than one map may take.
    #[error(
        "map `{map}` ({kind}) would hold {bytes} bytes when full, and one map may hold {MAX_MAP_BYTES}: \
         lower max_entries or value_size"
    )]
    TooLarge {
        /// Map.
        map: String,
        /// Kind in Linux's words.
        kind: &'static str,
        /// Bytes when full.
        bytes: u128,
    },
    /// A map of maps without a template, or one nested too deep.
    #[error("map `{map}` ({kind}): {why}")]
    Inner {
        /// Map.
        map: String,
        /// Kind in Linux's words.
        kind: &'static str,
        /// What is wrong and what to do.
        why: &'static str,
    },
    /// First content of another length than the value.
    #[error("map `{map}`: its first content has {found} bytes and its value {value_size}")]
    Initial {
        /// Map.
        map: String,
        /// Length of the content.
        found: usize,
        /// Length of the value.
        value_size: u32,
    },
    /// The BTF type of the key or value has another size.
    #[error("map `{map}`: {part} is {declared} bytes but its type `{ty}` has {size}; make them agree")]
    TypeSize {
        /// Map.
        map: String,
        /// `key` or `value`.
        part: &'static str,
        /// Bytes declared.
        declared: u32,
        /// The type.
        ty: String,
        /// Bytes of the type.
        size: u64,
    },
}

/// What holds for all maps of a kind.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MapKindInfo {
    /// Linux's name in lower case (`percpu_hash`), as bpftool prints it.
    pub name: &'static str,
    /// Elements are found by a key.
    pub keyed: bool,
    /// One copy of each value per CPU.
    pub per_cpu: bool,
    /// Elements can be inserted and deleted (not an array).
    pub hashed: bool,
    /// The value's address can be put into the program (`.rodata`, `.data`, arena).
    pub direct_value: bool,
    /// `bpf_for_each_map_elem` walks it.
    pub iterable: bool,
    /// Values are maps.
    pub of_maps: bool,
}

impl MapKind {
    /// All kinds, by number.
    pub const ALL: [MapKind; 33] = [
        MapKind::Hash,
        MapKind::Array,
        MapKind::ProgArray,
        MapKind::PerfEventArray,
        MapKind::PercpuHash,
        MapKind::PercpuArray,
        MapKind::StackTrace,
        MapKind::CgroupArray,
        MapKind::LruHash,
        MapKind::LruPercpuHash,
        MapKind::LpmTrie,
        MapKind::ArrayOfMaps,
        MapKind::HashOfMaps,
        MapKind::Devmap,
        MapKind::Sockmap,
        MapKind::Cpumap,
        MapKind::Xskmap,
        MapKind::Sockhash,
        MapKind::CgroupStorage,
        MapKind::ReuseportSockarray,
        MapKind::PercpuCgroupStorage,
        MapKind::Queue,
        MapKind::Stack,
        MapKind::SkStorage,
        MapKind::DevmapHash,
        MapKind::StructOps,
        MapKind::Ringbuf,
        MapKind::InodeStorage,
        MapKind::TaskStorage,
        MapKind::BloomFilter,
        MapKind::UserRingbuf,
        MapKind::CgrpStorage,
        MapKind::Arena,
    ];

    /// The kind of Linux's number.
    pub fn from_number(number: u32) -> Option<MapKind> {
        let at = usize::try_from(number.checked_sub(1)?).ok()?;
        MapKind::ALL.get(at).copied()
    }

    /// Linux's number.
    pub const fn number(self) -> u32 {
        self as u32
    }

    /// What holds for all maps of this kind.
    pub const fn info(self) -> MapKindInfo {
        use MapKind::*;
        MapKindInfo {
            name: self.name(),
            keyed: !matches!(self, Queue | Stack | BloomFilter | Ringbuf | UserRingbuf | Arena),
            per_cpu: matches!(self, PercpuHash | PercpuArray | LruPercpuHash | PercpuCgroupStorage),
            hashed: matches!(
                self,
                Hash | PercpuHash | LruHash | LruPercpuHash | LpmTrie | HashOfMaps | Sockhash | DevmapHash
            ),
            direct_value: matches!(self, Array | Arena),
            iterable: matches!(self, Hash | Array | PercpuHash | PercpuArray | LruHash | LruPercpuHash),
            of_maps: matches!(self, ArrayOfMaps | HashOfMaps),
        }
    }

    /// Linux's name in lower case.
    pub const fn name(self) -> &'static str {
        match self {
            MapKind::Hash => "hash",
            MapKind::Array => "array",
            MapKind::ProgArray => "prog_array",
            MapKind::PerfEventArray => "perf_event_array",
            MapKind::PercpuHash => "percpu_hash",
            MapKind::PercpuArray => "percpu_array",
            MapKind::StackTrace => "stack_trace",
            MapKind::CgroupArray => "cgroup_array",
            MapKind::LruHash => "lru_hash",
            MapKind::LruPercpuHash => "lru_percpu_hash",
            MapKind::LpmTrie => "lpm_trie",
            MapKind::ArrayOfMaps => "array_of_maps",
            MapKind::HashOfMaps => "hash_of_maps",
            MapKind::Devmap => "devmap",
            MapKind::Sockmap => "sockmap",
            MapKind::Cpumap => "cpumap",
            MapKind::Xskmap => "xskmap",
            MapKind::Sockhash => "sockhash",
            MapKind::CgroupStorage => "cgroup_storage",
            MapKind::ReuseportSockarray => "reuseport_sockarray",
            MapKind::PercpuCgroupStorage => "percpu_cgroup_storage",
            MapKind::Queue => "queue",
            MapKind::Stack => "stack",
            MapKind::SkStorage => "sk_storage",
            MapKind::DevmapHash => "devmap_hash",
            MapKind::StructOps => "struct_ops",
            MapKind::Ringbuf => "ringbuf",
            MapKind::InodeStorage => "inode_storage",
            MapKind::TaskStorage => "task_storage",
            MapKind::BloomFilter => "bloom_filter",
            MapKind::UserRingbuf => "user_ringbuf",
            MapKind::CgrpStorage => "cgrp_storage",
            MapKind::Arena => "arena",
        }
    }

    /// The kernel's own structure of such a map, as the verifier's texts name it.
    pub const fn kernel_struct(self) -> &'static str {
        use MapKind::*;
        match self {
            Array | ProgArray | PerfEventArray | CgroupArray | PercpuArray | ArrayOfMaps => "bpf_array",
            Hash | PercpuHash | LruHash | LruPercpuHash | HashOfMaps => "bpf_htab",
            LpmTrie => "lpm_trie",
            Queue | Stack => "bpf_queue_stack",
            BloomFilter => "bpf_bloom_filter",
            Ringbuf | UserRingbuf => "bpf_ringbuf_map",
            Arena => "bpf_arena",
            StackTrace => "bpf_stack_map",
            CgroupStorage | PercpuCgroupStorage => "bpf_cgroup_storage_map",
            Cpumap => "bpf_cpu_map",
            Devmap | DevmapHash => "bpf_dtab",
            Sockhash => "bpf_shtab",
            Sockmap => "bpf_stab",
            ReuseportSockarray => "reuseport_array",
            Xskmap => "xsk_map",
            SkStorage | InodeStorage | TaskStorage | CgrpStorage => "bpf_local_storage_map",
            StructOps => "bpf_struct_ops_map",
        }
    }

    /// Whether sleepable programs may use such a map (Linux 6.18: `check_map_prog_compatibility`).
    pub const fn sleepable(self) -> bool {
        use MapKind::*;
        matches!(
            self,
            Hash | LruHash
                | Array
                | PercpuHash
                | PercpuArray
                | LruPercpuHash
                | ArrayOfMaps
                | HashOfMaps
                | Ringbuf
                | UserRingbuf
                | InodeStorage
                | SkStorage
                | TaskStorage
                | CgrpStorage
                | Queue
                | Stack
                | Arena
        )
    }
}

/// A field of a map's value that not every program type may have.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum SpecialField {
    /// `struct bpf_spin_lock` or `struct bpf_res_spin_lock`.
    SpinLock,
    /// `struct bpf_timer`.
    Timer,
    /// `struct bpf_wq`.
    Workqueue,
    /// `struct bpf_list_head` or `struct bpf_rb_root`.
    Graph,
}

/// Linux's words for a field that programs of this kind may not have in a map, if so (the error comes at load).
pub fn field_refusal(field: SpecialField, kind: &ProgKind) -> Option<&'static str> {
    let tracing = is_tracing(kind.ty);
    match field {
        SpecialField::SpinLock if kind.ty == ProgType::SocketFilter => {
            Some("socket filter progs cannot use bpf_spin_lock yet")
        }
        SpecialField::SpinLock if tracing => Some("tracing progs cannot use bpf_spin_lock yet"),
        SpecialField::Timer if tracing => Some("tracing progs cannot use bpf_timer yet"),
        SpecialField::Workqueue if tracing => Some("tracing progs cannot use bpf_wq yet"),
        SpecialField::Graph if tracing => Some("tracing progs cannot use bpf_{list_head,rb_root} yet"),
        _ => None,
    }
}

/// Types that run anywhere in the kernel (Linux: `is_tracing_prog_type`).
pub const fn is_tracing(ty: ProgType) -> bool {
    matches!(
        ty,
        ProgType::Kprobe
            | ProgType::Tracepoint
            | ProgType::PerfEvent
            | ProgType::RawTracepoint
            | ProgType::RawTracepointWritable
    )
}

impl MapSpec {
    /// Whether a map of this description can be made.
    ///
    /// # Errors
    /// Names the map, the attribute and what it must be.
    pub fn validate(&self) -> Result<(), MapSpecError> {
        self.check_sizes()?;
        self.check_flags()?;
        self.check_extra()?;
        self.check_inner()?;
        self.check_types()?;
        if let Some(initial) = &self.initial
            && initial.len() as u64 != u64::from(self.value_size)
        {
            let (map, found) = (self.name.clone(), initial.len());
            return Err(MapSpecError::Initial { map, found, value_size: self.value_size });
        }
        let bytes = self.full_bytes();
        if bytes > u128::from(MAX_MAP_BYTES) {
            return Err(MapSpecError::TooLarge { map: self.name.clone(), kind: self.kind.name(), bytes });
        }
        Ok(())
    }

    /// Bytes that the map's keys and values take when it is full, one CPU's copy counted for per-CPU kinds.
    pub fn full_bytes(&self) -> u128 {
        let round = |n: u32| u128::from(n).next_multiple_of(8);
        let entries = u128::from(self.max_entries);
        match self.kind {
            MapKind::Ringbuf | MapKind::UserRingbuf | MapKind::BloomFilter => entries,
            MapKind::Arena => 0,
            kind if kind.info().hashed => entries * (round(self.key_size) + round(self.value_size)),
            _ => entries * round(self.value_size),
        }
    }

    fn key(&self, must: &'static str) -> MapSpecError {
        MapSpecError::KeySize { map: self.name.clone(), kind: self.kind.name(), found: self.key_size, must }
    }

    fn value(&self, must: &'static str) -> MapSpecError {
        MapSpecError::ValueSize { map: self.name.clone(), kind: self.kind.name(), found: self.value_size, must }
    }

    fn entries(&self, must: &'static str) -> MapSpecError {
        MapSpecError::MaxEntries { map: self.name.clone(), kind: self.kind.name(), found: self.max_entries, must }
    }

    fn check_sizes(&self) -> Result<(), MapSpecError> {
        self.check_key()?;
        self.check_value()?;
        self.check_entries()
    }

    fn check_key(&self) -> Result<(), MapSpecError> {
        use MapKind::*;
        let bad = match self.kind {
            Array | PercpuArray | ProgArray | PerfEventArray | CgroupArray | ArrayOfMaps | Devmap | Cpumap | Xskmap
            | Sockmap | StackTrace | ReuseportSockarray | DevmapHash | StructOps | SkStorage | InodeStorage
            | TaskStorage | CgrpStorage => (self.key_size != 4).then_some("4"),
            Hash | PercpuHash | LruHash | LruPercpuHash | HashOfMaps => {
                (self.key_size == 0 || self.key_size > MAX_ELEMENT).then_some("from 1 to 2^30")
            }
            Sockhash => (self.key_size == 0 || self.key_size > 512).then_some("from 1 to 512"),
            LpmTrie => (!(5..=260).contains(&self.key_size)).then_some("from 5 to 260: 4 for the length and the data"),
            CgroupStorage | PercpuCgroupStorage => {
                (!matches!(self.key_size, 8 | 16)).then_some("8 or the size of struct bpf_cgroup_storage_key, 16")
            }
            Queue | Stack | BloomFilter | Ringbuf | UserRingbuf | Arena => {
                (self.key_size != 0).then_some("0: the kind has no keys")
            }
        };
        bad.map_or(Ok(()), |must| Err(self.key(must)))
    }

    fn check_value(&self) -> Result<(), MapSpecError> {
        use MapKind::*;
        let size = self.value_size;
        let bad = match self.kind {
            ProgArray | PerfEventArray | CgroupArray | ArrayOfMaps | HashOfMaps | Xskmap => (size != 4).then_some("4"),
            Sockmap | Sockhash | ReuseportSockarray | Devmap | DevmapHash | Cpumap => {
                (!matches!(size, 4 | 8)).then_some("4 or 8")
            }
            Ringbuf | UserRingbuf | Arena => (size != 0).then_some("0: the kind has no values"),
            StackTrace => {
                (size == 0 || !size.is_multiple_of(8) || size > 127 * 32).then_some("a multiple of 8 from 8 to 4064")
            }
            PercpuArray | PercpuHash | LruPercpuHash => {
                (size == 0 || size > MAX_PERCPU_VALUE).then_some("from 1 to 32768, one CPU's copy")
            }
            _ => (size == 0 || size > MAX_ELEMENT).then_some("from 1 to 2^30"),
        };
        bad.map_or(Ok(()), |must| Err(self.value(must)))
    }

    fn check_entries(&self) -> Result<(), MapSpecError> {
        use MapKind::*;
        let n = self.max_entries;
        let bad = match self.kind {
            SkStorage | InodeStorage | TaskStorage | CgrpStorage | CgroupStorage | PercpuCgroupStorage => {
                (n != 0).then_some("0: the kind has no fixed capacity")
            }
            Ringbuf | UserRingbuf => {
                (n == 0 || !n.is_multiple_of(4096) || !n.is_power_of_two()).then_some("a power of two, at least 4096")
            }
            StructOps => (n != 1).then_some("1"),
            Cpumap => (n == 0 || n > 8192).then_some("from 1 to the number of CPUs"),
            Queue | Stack => (n == 0 || n == u32::MAX).then_some("from 1 to 2^32 - 2"),
            Arena => (n == 0 || n > 1 << 20).then_some("from 1 to 2^20 pages (4 GiB)"),
            _ => (n == 0).then_some("at least 1"),
        };
        bad.map_or(Ok(()), |must| Err(self.entries(must)))
    }

    fn check_flags(&self) -> Result<(), MapSpecError> {
        use MapKind::*;
        let known = match self.kind {
            Array => F_NUMA_NODE | F_MMAPABLE | F_ACCESS | F_PRESERVE_ELEMS | F_INNER_MAP,
            PercpuArray => F_ACCESS | F_NUMA_NODE,
            Hash | PercpuHash => MAP_F_NO_PREALLOC | F_NUMA_NODE | F_ACCESS | F_ZERO_SEED,
            LruHash | LruPercpuHash => F_NO_COMMON_LRU | F_NUMA_NODE | F_ACCESS | F_ZERO_SEED,
            HashOfMaps => MAP_F_NO_PREALLOC | F_NUMA_NODE | F_ACCESS | F_ZERO_SEED,
            PerfEventArray => F_NUMA_NODE | F_ACCESS | F_PRESERVE_ELEMS,
            LpmTrie => MAP_F_NO_PREALLOC | F_NUMA_NODE | F_ACCESS,
            Queue | Stack | BloomFilter => F_NUMA_NODE | F_ACCESS | F_ZERO_SEED,
            Ringbuf => F_NUMA_NODE,
            UserRingbuf => F_NUMA_NODE,
            Arena => F_SEGV_ON_FAULT | F_MMAPABLE | F_NO_USER_CONV,
            StackTrace => F_NUMA_NODE | F_RDONLY | F_WRONLY | F_STACK_BUILD_ID,
            SkStorage | InodeStorage | TaskStorage | CgrpStorage => MAP_F_NO_PREALLOC | F_CLONE,
            _ => F_NUMA_NODE | F_ACCESS,
        };
        let contradiction = MAP_F_RDONLY_PROG | MAP_F_WRONLY_PROG;
        let why = if self.flags & !known != 0 {
            "the kind does not know some of them, remove those"
        } else if self.flags & contradiction == contradiction {
            "BPF_F_RDONLY_PROG and BPF_F_WRONLY_PROG exclude each other"
        } else if self.kind == LpmTrie && self.flags & MAP_F_NO_PREALLOC == 0 {
            "an lpm_trie needs BPF_F_NO_PREALLOC"
        } else if self.kind == Arena && self.flags & F_MMAPABLE == 0 {
            "an arena needs BPF_F_MMAPABLE"
        } else {
            return Ok(());
        };
        Err(MapSpecError::Flags { map: self.name.clone(), kind: self.kind.name(), flags: self.flags, why })
    }

    fn check_extra(&self) -> Result<(), MapSpecError> {
        let must = match self.kind {
            MapKind::BloomFilter if self.extra <= 15 => return Ok(()),
            MapKind::BloomFilter => "a bloom filter takes 0 to 15 hash functions",
            MapKind::Arena if self.extra.is_multiple_of(4096) => return Ok(()),
            MapKind::Arena => "an arena's address must be a multiple of 4096",
            _ if self.extra == 0 => return Ok(()),
            _ => "only bloom_filter and arena take one, remove it",
        };
        Err(MapSpecError::Extra { map: self.name.clone(), kind: self.kind.name(), extra: self.extra, must })
    }

    fn check_inner(&self) -> Result<(), MapSpecError> {
        let error = |why| Err(MapSpecError::Inner { map: self.name.clone(), kind: self.kind.name(), why });
        match &self.inner {
            None if self.kind.info().of_maps => {
                error("it needs the description of its inner maps: use __array(values, struct {...})")
            }
            None => Ok(()),
            Some(_) if !self.kind.info().of_maps => error("only maps of maps have inner maps"),
            Some(inner) if inner.kind.info().of_maps || inner.inner.is_some() => {
                error("inner maps cannot hold maps themselves")
            }
            Some(inner) if matches!(inner.kind, MapKind::ProgArray | MapKind::StructOps) => {
                error("inner maps cannot be prog_array or struct_ops")
            }
            Some(inner) => inner.validate(),
        }
    }

    fn check_types(&self) -> Result<(), MapSpecError> {
        let Some(btf) = &self.btf else { return Ok(()) };
        let parts = [("key", self.key_type, self.key_size), ("value", self.value_type, self.value_size)];
        for (part, ty, declared) in parts {
            let Some(ty) = ty else { continue };
            // The content of a global-data map is a section, whose size the linker decides.
            if btf.kind(ty) == Kind::Datasec {
                continue;
            }
            match btf.size_of(ty) {
                Some(size) if size == u64::from(declared) => {}
                size => {
                    let (map, ty) = (self.name.clone(), btf.name(ty).to_owned());
                    return Err(MapSpecError::TypeSize { map, part, declared, ty, size: size.unwrap_or(0) });
                }
            }
        }
        Ok(())
    }
}
