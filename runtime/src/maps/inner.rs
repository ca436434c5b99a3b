//! A map as programs hold it.

#![allow(unsafe_code)]

use std::any::TypeId;
use std::ops::Deref;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use backstop_abi::ProgArrayHead;
use backstop_model::{MapKind, MapSpec, Program};

use super::array::ArrayMap;
use super::hash::{HashMap, NewValue};
use super::owner::Owner;
use super::prog_array::Slots;
use super::{MapError, Update};
use crate::engine::Engine;
use crate::program::ProgramCode;

/// A map. Its address is what programs get for it; compiled tail calls read [`MapInner::head`] there.
#[repr(C)]
pub(crate) struct MapInner {
    /// Must stay the first field (R8). Empty for all kinds but prog_array.
    head: ProgArrayHead,
    spec: Arc<MapSpec>,
    storage: Storage,
    /// One copy of each value a CPU.
    per_cpu: bool,
    /// Copies of each value: 1, or the engine's CPU slots.
    copies: u32,
    /// Host handles. Programs' references do not count.
    handles: AtomicUsize,
    /// Of a prog_array: what its users and entries have in common.
    owner: OnceLock<Owner>,
    frozen: AtomicBool,
    /// Of a prog_array: type of the host's data that its programs' kfuncs get, once it was told.
    host: OnceLock<TypeId>,
    engine: Engine,
    /// What was taken from the engine's budget.
    bytes: u64,
}

/// The data structure of a kind.
pub(crate) enum Storage {
    /// `array`, `percpu_array`.
    Array(ArrayMap),
    /// `hash`, `percpu_hash`.
    Hash(HashMap),
    /// `prog_array`.
    ProgArray(Slots<ProgramCode>),
}

/// A program's reference to a map: keeps it alive, but not what its slots hold (see [`super::Map`]).
#[derive(Clone)]
pub(crate) struct MapRef(Arc<MapInner>);

impl Deref for MapRef {
    type Target = MapInner;

    fn deref(&self) -> &MapInner {
        &self.0
    }
}

impl std::fmt::Debug for MapRef {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("MapRef").field(&self.0.spec.name).finish()
    }
}

/// The map that a helper's argument names.
///
/// # Safety
/// `address` came from [`MapInner::native_address`] of a map that lives for `'a`: the verifier takes only constant maps of the
/// program there (I2), and a running program holds its maps (R4).
#[inline]
pub(crate) unsafe fn inner_from_native<'a>(address: u64) -> &'a MapInner {
    // SAFETY: the caller's promise; the object is never borrowed mutably while shared.
    unsafe { &*(address as *const MapInner) }
}

/// Which data structure maps of a kind are.
enum Layout {
    Array,
    Hash,
    ProgArray,
}

impl Layout {
    fn of(kind: MapKind) -> Option<Layout> {
        match kind {
            MapKind::Array | MapKind::PercpuArray => Some(Layout::Array),
            MapKind::Hash | MapKind::PercpuHash => Some(Layout::Hash),
            MapKind::ProgArray => Some(Layout::ProgArray),
            _ => None,
        }
    }
}

/// Whether there are maps of this kind here.
pub(crate) fn is_stored(kind: MapKind) -> bool {
    Layout::of(kind).is_some()
}

fn budget(engine: &Engine, spec: &MapSpec, copies: u32) -> Result<u64, MapError> {
    let (entries, value) = (spec.max_entries, spec.value_size);
    let bytes = match Layout::of(spec.kind) {
        Some(Layout::Array) => ArrayMap::bytes(entries, value, copies),
        Some(Layout::Hash) => HashMap::bytes(entries, spec.key_size, value, copies),
        Some(Layout::ProgArray) => Some(Slots::<ProgramCode>::bytes(entries)),
        None => return Err(MapError::Unsupported { kind: spec.kind.name().to_owned() }),
    };
    let bytes = bytes.ok_or(MapError::Memory { bytes: u64::MAX })?;
    engine.take_map_bytes(bytes).map_err(|left| MapError::Budget { needed: bytes, left })?;
    Ok(bytes)
}

impl Storage {
    fn new(spec: &MapSpec, copies: u32) -> Option<Storage> {
        let (entries, value) = (spec.max_entries, spec.value_size);
        match Layout::of(spec.kind)? {
            Layout::Array => ArrayMap::new(entries, value, copies).map(Storage::Array),
            Layout::Hash => HashMap::new(entries, spec.key_size, value, copies).map(Storage::Hash),
            Layout::ProgArray => Slots::new(entries).map(Storage::ProgArray),
        }
    }
}

impl MapRef {
    /// A new map without handles.
    pub(super) fn create(engine: &Engine, spec: Arc<MapSpec>) -> Result<MapRef, MapError> {
        spec.validate()?;
        let per_cpu = spec.kind.info().per_cpu;
        let copies = if per_cpu { engine.cpus().count() } else { 1 };
        let bytes = budget(engine, &spec, copies)?;
        let Some(storage) = Storage::new(&spec, copies) else {
            engine.give_map_bytes(bytes);
            return Err(MapError::Memory { bytes });
        };
        let head = match &storage {
            Storage::ProgArray(slots) => slots.head(),
            _ => ProgArrayHead { len: 0, slots: 0 },
        };
        let frozen = AtomicBool::new(spec.frozen);
        let (handles, engine) = (AtomicUsize::new(0), engine.clone());
        let (owner, host) = (OnceLock::new(), OnceLock::new());
        let inner = MapInner { head, spec, storage, per_cpu, copies, handles, owner, frozen, host, engine, bytes };
        inner.write_initial()?;
        Ok(MapRef(Arc::new(inner)))
    }

    /// Whether both are the same map.
    pub(crate) fn same(&self, other: &MapRef) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl MapInner {
    fn write_initial(&self) -> Result<(), MapError> {
        match (&self.spec.initial, &self.storage) {
            (Some(initial), Storage::Array(array)) => array.write(0, 0, initial, Update::Any),
            _ => Ok(()),
        }
    }

    /// What the map was made from.
    pub(crate) fn spec(&self) -> &Arc<MapSpec> {
        &self.spec
    }

    /// The engine that the map belongs to.
    pub(crate) fn engine(&self) -> &Engine {
        &self.engine
    }

    /// What programs get as the map's address.
    pub(crate) fn native_address(&self) -> u64 {
        debug_assert_eq!(std::mem::offset_of!(MapInner, head), 0);
        std::ptr::from_ref(self) as u64
    }

    /// Address of an array's first value plus `offset`, which lies in that value (Linux: `map_direct_value_addr`).
    pub(crate) fn value_address(&self, offset: u32) -> Option<u64> {
        match &self.storage {
            Storage::Array(array) if !self.per_cpu && offset < self.spec.value_size => {
                array.address(0, 0)?.checked_add(u64::from(offset))
            }
            _ => None,
        }
    }

    /// The data structure.
    #[inline]
    pub(crate) fn storage(&self) -> &Storage {
        &self.storage
    }

    /// Size of a key in bytes.
    #[inline]
    pub(crate) fn key_size(&self) -> usize {
        self.spec.key_size as usize
    }

    /// Size of a value, or of one CPU's copy, in bytes.
    #[inline]
    pub(crate) fn value_size(&self) -> usize {
        self.spec.value_size as usize
    }

    /// Copies of each value.
    pub(crate) fn copies(&self) -> u32 {
        self.copies
    }

    /// Which copy a run on this CPU slot uses.
    #[inline]
    pub(crate) fn copy_of(&self, cpu: u32) -> u32 {
        if self.per_cpu { cpu } else { 0 }
    }

    /// Sets a key's value (of one CPU's copy, or all of them). Sizes were checked.
    pub(crate) fn update(&self, key: &[u8], value: NewValue<'_>, update: Update) -> Result<(), MapError> {
        match &self.storage {
            Storage::Array(array) => {
                let index = index(key).ok_or(MapError::Invalid { what: "this key" })?;
                match value {
                    NewValue::One { cpu, value } => array.write(index, cpu, value, update),
                    NewValue::All(all) => (0u32..)
                        .zip(all.chunks_exact(self.value_size().max(1)))
                        .try_for_each(|(cpu, value)| array.write(index, cpu, value, update)),
                }
            }
            Storage::Hash(hash) => hash.update(key, value, update),
            Storage::ProgArray(_) => Err(MapError::Invalid { what: "setting a value" }),
        }
    }

    /// Removes a key.
    pub(crate) fn delete(&self, key: &[u8]) -> Result<(), MapError> {
        match &self.storage {
            Storage::Array(_) => Err(MapError::Invalid { what: "deleting an element" }),
            Storage::Hash(hash) => hash.delete(key),
            Storage::ProgArray(slots) => {
                let index = index(key).ok_or(MapError::Invalid { what: "this key" })?;
                match slots.set(index, None) {
                    (true, true) => Ok(()),
                    (true, false) => Err(MapError::NotFound),
                    (false, _) => Err(MapError::Full { capacity: slots.count() }),
                }
            }
        }
    }

    /// Fills or empties a prog_array's slot. The caller checked that the program may stand there: same engine, equal kind.
    ///
    /// # Errors
    /// [`MapError::Full`] beyond the last slot, [`MapError::Invalid`] for other kinds.
    pub(crate) fn set_program(&self, index: u32, program: Option<Arc<ProgramCode>>) -> Result<(), MapError> {
        match &self.storage {
            Storage::ProgArray(slots) if slots.set(index, program).0 => Ok(()),
            Storage::ProgArray(slots) => Err(MapError::Full { capacity: slots.count() }),
            _ => Err(MapError::Invalid { what: "holding programs" }),
        }
    }

    /// Makes a program one of those around this prog_array: it uses the map, or is to stand in it. Its kind and the type of the host's
    /// data that its kfuncs get become the array's, or must agree with it: any of them may continue any other's run.
    ///
    /// # Errors
    /// What differs, in words.
    pub(crate) fn claim_as(&self, program: &Program, host: Option<TypeId>) -> Result<(), String> {
        let owner = Owner::new(&program.kind, self.engine.kind());
        self.owner.get_or_init(|| owner.clone()).admits(&owner)?;
        match host {
            Some(host) if *self.host.get_or_init(|| host) != host => {
                Err("its programs must agree in the type of the store's data with the first one that used the map"
                    .to_owned())
            }
            _ => Ok(()),
        }
    }

    /// The program in a prog_array's slot.
    pub(crate) fn program(&self, index: u32) -> Option<Arc<ProgramCode>> {
        match &self.storage {
            Storage::ProgArray(slots) => slots.get(index),
            _ => None,
        }
    }

    pub(super) fn add_handle(&self) {
        self.handles.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn drop_handle(&self) {
        if self.handles.fetch_sub(1, Ordering::AcqRel) == 1
            && let Storage::ProgArray(slots) = &self.storage
        {
            slots.clear();
        }
    }

    /// Whether the host may not change the content any more.
    pub(crate) fn frozen(&self) -> bool {
        self.frozen.load(Ordering::Acquire)
    }

    pub(super) fn freeze(&self) {
        self.frozen.store(true, Ordering::Release);
    }
}

impl Drop for MapInner {
    fn drop(&mut self) {
        self.engine.give_map_bytes(self.bytes);
    }
}

fn index(key: &[u8]) -> Option<u32> {
    key.try_into().ok().map(u32::from_ne_bytes)
}
