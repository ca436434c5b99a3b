//! Maps as the kernel has them: made, read, written and frozen through bpf(2).
//!
//! Invariant: no key or value reaches the kernel unless its length is what the kernel will read or write, since bpf(2)
//! takes addresses only.

use std::fs;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use crate::sys::{self, Cmd};
use crate::{Error, LoadedBtf, Referee, Unavailable, map_kind};

/// An element: key, and value as [`Map::lookup`] returns it.
pub type Entry = (Vec<u8>, Vec<u8>);

/// Flags of an update.
pub mod update_flag {
    /// Make the element or write over it.
    pub const ANY: u64 = 0;
    /// Only make it.
    pub const NOEXIST: u64 = 1;
    /// Only write over it.
    pub const EXIST: u64 = 2;
    /// Hold the value's spin lock meanwhile.
    pub const LOCK: u64 = 4;
}

/// What kind of map to make.
#[derive(Debug, Clone, Copy, Default)]
pub struct MapSpec<'a> {
    /// One of [`map_kind`].
    pub kind: u32,
    /// Bytes of a key.
    pub key_size: u32,
    /// Bytes of a value, on one CPU.
    pub value_size: u32,
    /// Its capacity; for a ring buffer bytes, for an arena pages.
    pub max_entries: u32,
    /// See [`crate::map_flag`].
    pub flags: u32,
    /// At most 15 bytes are kept.
    pub name: &'a str,
    /// The template of a map of maps.
    pub inner: Option<&'a Map>,
    /// The types of key and value; needed for locks, timers and other special fields.
    pub btf: Option<MapBtf<'a>>,
    /// `map_extra`: hash functions of a bloom filter, address of an arena.
    pub extra: u64,
}

/// Types of a map's key and value.
#[derive(Debug, Clone, Copy)]
pub struct MapBtf<'a> {
    /// The BTF.
    pub btf: &'a LoadedBtf,
    /// Type id of the key, 0 for none.
    pub key_type: u32,
    /// Type id of the value.
    pub value_type: u32,
}

/// A map in the kernel; closed (and, where nothing else holds it, freed) when dropped.
#[derive(Debug)]
pub struct Map {
    fd: OwnedFd,
    kind: u32,
    key_size: usize,
    value_size: usize,
    max_entries: u32,
    cpus: usize,
}

impl AsFd for Map {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl Referee {
    /// Makes a map.
    ///
    /// # Errors
    /// [`Error::Call`] with the kernel's error number.
    pub fn create_map(&self, spec: &MapSpec<'_>) -> Result<Map, Error> {
        let mut attr = sys::MapCreate {
            map_type: spec.kind,
            key_size: spec.key_size,
            value_size: spec.value_size,
            max_entries: spec.max_entries,
            map_flags: spec.flags,
            map_name: sys::object_name(spec.name),
            map_extra: spec.extra,
            ..Default::default()
        };
        if let Some(inner) = spec.inner {
            attr.inner_map_fd = raw(&inner.fd);
        }
        if let Some(types) = &spec.btf {
            attr.btf_fd = raw(&types.btf.as_fd());
            attr.btf_key_type_id = types.key_type;
            attr.btf_value_type_id = types.value_type;
        }
        // SAFETY: the attributes hold no address.
        let fd = unsafe { sys::bpf(Cmd::MapCreate, &mut attr).and_then(|answer| sys::own(answer)) };
        Ok(Map {
            fd: fd.map_err(|errno| Error::Call { what: "BPF_MAP_CREATE", errno })?,
            kind: spec.kind,
            key_size: spec.key_size as usize,
            value_size: spec.value_size as usize,
            max_entries: spec.max_entries,
            cpus: self.possible_cpus(),
        })
    }
}

impl Map {
    /// One of [`map_kind`].
    #[must_use]
    pub fn kind(&self) -> u32 {
        self.kind
    }

    /// Bytes of a key.
    #[must_use]
    pub fn key_size(&self) -> usize {
        self.key_size
    }

    /// Bytes of a value on one CPU.
    #[must_use]
    pub fn value_size(&self) -> usize {
        self.value_size
    }

    /// The capacity that it was made with.
    #[must_use]
    pub fn max_entries(&self) -> u32 {
        self.max_entries
    }

    /// Whether an element has a value for each possible CPU.
    #[must_use]
    pub fn is_per_cpu(&self) -> bool {
        use map_kind::{LRU_PERCPU_HASH, PERCPU_ARRAY, PERCPU_CGROUP_STORAGE, PERCPU_HASH};
        matches!(self.kind, PERCPU_HASH | PERCPU_ARRAY | LRU_PERCPU_HASH | PERCPU_CGROUP_STORAGE)
    }

    /// Bytes that bpf(2) moves for one element (kernel/bpf/syscall.c, `bpf_map_value_size`): per CPU the size rounded
    /// up to 8, times the possible CPUs; 4 where values are descriptors; else the value's size.
    #[must_use]
    pub fn transfer_size(&self) -> usize {
        use map_kind::{ARRAY_OF_MAPS, CGROUP_ARRAY, HASH_OF_MAPS, PERF_EVENT_ARRAY, PROG_ARRAY};
        match self.kind {
            _ if self.is_per_cpu() => self.cpu_stride().saturating_mul(self.cpus),
            PROG_ARRAY | PERF_EVENT_ARRAY | CGROUP_ARRAY | ARRAY_OF_MAPS | HASH_OF_MAPS => 4,
            _ => self.value_size,
        }
    }

    /// Bytes from one CPU's value to the next in what [`Map::lookup`] returns.
    #[must_use]
    pub fn cpu_stride(&self) -> usize {
        self.value_size.next_multiple_of(8)
    }

    /// The value at `key` ([`Map::transfer_size`] bytes), or `None` where there is no element. For queues and stacks
    /// (empty key) the next element, which stays.
    ///
    /// # Errors
    /// [`Error::Size`] for a key of another length, [`Error::Call`] with the kernel's error number.
    pub fn lookup(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        self.take(Cmd::MapLookup, "BPF_MAP_LOOKUP_ELEM", key)
    }

    /// As [`Map::lookup`], and removes the element: how queues and stacks are popped.
    ///
    /// # Errors
    /// As [`Map::lookup`].
    pub fn lookup_and_delete(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        self.take(Cmd::MapLookupAndDelete, "BPF_MAP_LOOKUP_AND_DELETE_ELEM", key)
    }

    /// The values at `key`, one for each possible CPU and each [`Map::value_size`] bytes long; a single one where the
    /// map is not per CPU.
    ///
    /// # Errors
    /// As [`Map::lookup`].
    pub fn lookup_per_cpu(&self, key: &[u8]) -> Result<Option<Vec<Vec<u8>>>, Error> {
        let Some(bytes) = self.lookup(key)? else {
            return Ok(None);
        };
        if !self.is_per_cpu() || self.value_size == 0 {
            return Ok(Some(vec![bytes]));
        }
        let values = bytes.chunks(self.cpu_stride()).map(|chunk| chunk.iter().take(self.value_size).copied().collect());
        Ok(Some(values.collect()))
    }

    fn take(&self, cmd: Cmd, what: &'static str, key: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        self.check_key(key)?;
        let mut value = vec![0; self.transfer_size()];
        let mut attr = self.elem(key);
        attr.value_or_next_key = sys::address_mut(&mut value);
        // SAFETY: `key` has the map's key size (checked), `value` the size that the kernel writes; both outlive the call.
        let answer = unsafe { sys::bpf(cmd, &mut attr) };
        found(what, answer).map(|there| there.then_some(value))
    }

    /// Writes the value at `key`. In maps that hold programs or maps the value is a descriptor: see [`Map::update_fd`].
    ///
    /// # Errors
    /// [`Error::Size`] for a key, or a value, not as long as [`Map::transfer_size`]; [`Error::Call`] with the kernel's
    /// error number (`E2BIG` outside of an array or in a full map).
    pub fn update(&self, key: &[u8], value: &[u8], flags: u64) -> Result<(), Error> {
        self.check_key(key)?;
        check("the value", value.len(), self.transfer_size())?;
        let mut attr = self.elem(key);
        attr.value_or_next_key = sys::address(value);
        attr.flags = flags;
        // SAFETY: key and value have the sizes that the kernel reads (checked) and outlive the call.
        let answer = unsafe { sys::bpf(Cmd::MapUpdate, &mut attr) };
        answer.map(|_| ()).map_err(|errno| Error::Call { what: "BPF_MAP_UPDATE_ELEM", errno })
    }

    /// Writes the same value for each possible CPU.
    ///
    /// # Errors
    /// As [`Map::update`].
    pub fn update_all_cpus(&self, key: &[u8], value: &[u8], flags: u64) -> Result<(), Error> {
        if !self.is_per_cpu() {
            return self.update(key, value, flags);
        }
        check("the value", value.len(), self.value_size)?;
        let mut one = value.to_vec();
        one.resize(self.cpu_stride(), 0);
        self.update(key, &one.repeat(self.cpus), flags)
    }

    /// Puts a program (in a program array) or a map (in a map of maps) at `key`.
    ///
    /// # Errors
    /// As [`Map::update`].
    pub fn update_fd(&self, key: &[u8], object: &impl AsFd) -> Result<(), Error> {
        self.update(key, &raw(&object.as_fd()).to_ne_bytes(), update_flag::ANY)
    }

    /// Removes the element at `key`; whether there was one.
    ///
    /// # Errors
    /// [`Error::Size`] for a key of another length, [`Error::Call`] with the kernel's error number.
    pub fn delete(&self, key: &[u8]) -> Result<bool, Error> {
        self.check_key(key)?;
        let mut attr = self.elem(key);
        // SAFETY: the key has the map's key size (checked) and outlives the call.
        let answer = unsafe { sys::bpf(Cmd::MapDelete, &mut attr) };
        found("BPF_MAP_DELETE_ELEM", answer)
    }

    /// The key after `key`, or the first one; `None` at the end.
    ///
    /// # Errors
    /// [`Error::Size`] for a key of another length, [`Error::Call`] with the kernel's error number.
    pub fn next_key(&self, key: Option<&[u8]>) -> Result<Option<Vec<u8>>, Error> {
        let mut next = vec![0; self.key_size];
        let mut attr = match key {
            Some(key) => {
                self.check_key(key)?;
                self.elem(key)
            }
            None => self.elem(&[]),
        };
        attr.value_or_next_key = sys::address_mut(&mut next);
        // SAFETY: key (or null, which asks for the first) and next key have the map's key size and outlive the call.
        let answer = unsafe { sys::bpf(Cmd::MapNextKey, &mut attr) };
        found("BPF_MAP_GET_NEXT_KEY", answer).map(|there| there.then_some(next))
    }

    /// All elements (key, value as of [`Map::lookup`]) in the kernel's order; those removed meanwhile are left out, and
    /// so are the empty slots of maps that hold programs or maps.
    ///
    /// # Errors
    /// [`Error::EndlessWalk`] where others write to the map all the time, else as [`Map::lookup`].
    pub fn entries(&self) -> Result<Vec<Entry>, Error> {
        let mut entries = Vec::new();
        let mut steps = u64::from(self.max_entries).saturating_mul(2).saturating_add(64);
        let mut at = self.next_key(None)?;
        while let Some(key) = at {
            if let Some(value) = self.lookup(&key)? {
                entries.push((key.clone(), value));
            }
            steps = steps.checked_sub(1).ok_or(Error::EndlessWalk { max_entries: self.max_entries })?;
            at = self.next_key(Some(&key))?;
        }
        Ok(entries)
    }

    /// Forbids all further writes through bpf(2). With [`crate::map_flag::RDONLY_PROG`] the verifier then takes the
    /// values for constants.
    ///
    /// # Errors
    /// [`Error::Call`] with the kernel's error number.
    pub fn freeze(&self) -> Result<(), Error> {
        let mut attr = sys::MapElem { map_fd: raw(&self.fd), ..Default::default() };
        // SAFETY: the attributes hold no address.
        let answer = unsafe { sys::bpf(Cmd::MapFreeze, &mut attr) };
        answer.map(|_| ()).map_err(|errno| Error::Call { what: "BPF_MAP_FREEZE", errno })
    }

    fn elem(&self, key: &[u8]) -> sys::MapElem {
        sys::MapElem { map_fd: raw(&self.fd), key: sys::address(key), ..Default::default() }
    }

    fn check_key(&self, key: &[u8]) -> Result<(), Error> {
        check("the key", key.len(), self.key_size)
    }
}

fn check(what: &'static str, got: usize, want: usize) -> Result<(), Error> {
    if got == want { Ok(()) } else { Err(Error::Size { what, got, want }) }
}

fn found(what: &'static str, answer: Result<i64, i32>) -> Result<bool, Error> {
    match answer {
        Ok(_) => Ok(true),
        Err(libc::ENOENT) => Ok(false),
        Err(errno) => Err(Error::Call { what, errno }),
    }
}

/// The number of a descriptor in the width of bpf(2); an open descriptor is never negative.
pub(crate) fn raw(fd: &impl AsRawFd) -> u32 {
    fd.as_raw_fd().cast_unsigned()
}

/// How many CPUs the kernel may ever bring up (/sys/devices/system/cpu/possible).
///
/// # Errors
/// [`Unavailable::Cpus`] where the file is missing or is not a list of ranges.
pub fn possible_cpus() -> Result<usize, Unavailable> {
    let text = fs::read_to_string("/sys/devices/system/cpu/possible").map_err(Unavailable::Cpus)?;
    count_cpus(&text)
        .ok_or_else(|| Unavailable::Cpus(io::Error::new(io::ErrorKind::InvalidData, format!("{:?}", text.trim_end()))))
}

fn count_cpus(list: &str) -> Option<usize> {
    let mut count = 0_usize;
    for range in list.trim().split(',') {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let (first, last): (usize, usize) = (first.parse().ok()?, last.parse().ok()?);
        count = count.checked_add(last.checked_sub(first)?.checked_add(1)?)?;
    }
    (count > 0).then_some(count)
}

#[cfg(test)]
mod tests {
    use super::count_cpus;

    #[test]
    fn cpu_lists() {
        assert_eq!(count_cpus("0\n"), Some(1));
        assert_eq!(count_cpus("0-1"), Some(2));
        assert_eq!(count_cpus("0-3,8,10-11\n"), Some(7));
        assert_eq!(count_cpus("3-1"), None);
        assert_eq!(count_cpus(""), None);
    }
}
