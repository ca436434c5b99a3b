//! Maps and types that a proof knows, numbered: the program's own maps first, templates of inner maps after them.

use std::collections::HashMap;
use std::sync::Arc;

use backstop_btf::{Btf, Kind, TypeId};
use backstop_model::{KernelBtf, MAP_F_RDONLY_PROG, MapKind, MapSpec, Program, kfuncs};

use crate::fields::{FieldAt, FieldClass, FieldError, Target, map_record, misplaced, owns_acyclic, struct_records};
use crate::reason::{Check, Reason};
use crate::state::{BtfRef, MapId};

/// A map with what the proof derived from its description.
#[derive(Clone, Debug)]
pub(crate) struct MapEntry {
    pub spec: Arc<MapSpec>,
    pub fields: Arc<[FieldAt]>,
    /// Number of the types that its fields name.
    pub btf: u32,
    pub inner: Option<MapId>,
    /// Index in the program's table; none for templates of inner maps.
    pub index: Option<u32>,
}

impl MapEntry {
    pub fn has(&self, class: FieldClass) -> bool {
        self.fields.iter().any(|f| f.class == class)
    }

    /// A register that points into it keeps its id, since a lock may be taken there.
    pub fn has_lock(&self) -> bool {
        self.fields.iter().any(|f| f.class.is_lock())
    }
}

/// Number of the kernel's own types, wherever they come from. They are not read before somebody asks for one.
const KERNEL: u32 = u32::MAX;

/// A set of types.
#[derive(Clone, Debug)]
struct Types {
    btf: Arc<Btf>,
    /// The kernel's own, as the kfuncs' prototypes or the program's declarations have them.
    kernel: bool,
    /// Structs with special fields.
    records: HashMap<u32, Arc<[FieldAt]>>,
}

/// All maps and BTFs of one proof.
#[derive(Debug)]
pub(crate) struct World {
    maps: Vec<MapEntry>,
    btfs: Vec<Types>,
    nothing: MapEntry,
    kernel: KernelBtf,
    /// Why Linux would not take the types or make the maps.
    refused: Option<Reason>,
}

impl World {
    pub fn new(program: &Program, kernel: &KernelBtf) -> World {
        let spec = Arc::new(empty_map());
        let nothing = MapEntry { spec, fields: Arc::new([]), btf: 0, inner: None, index: None };
        let mut world = World { maps: Vec::new(), btfs: Vec::new(), nothing, kernel: kernel.clone(), refused: None };
        if let Some(btf) = &program.btf {
            world.program_btf(btf);
        }
        for (i, spec) in program.maps.iter().enumerate() {
            let entry = world.entry(spec, u32::try_from(i).ok());
            world.maps.push(entry);
        }
        for i in 0..program.maps.len() {
            let Some(inner) = world.maps[i].spec.inner.clone() else { continue };
            let id = MapId(world.maps.len() as u32);
            let entry = world.entry(&inner, None);
            world.maps.push(entry);
            world.maps[i].inner = Some(id);
        }
        world
    }

    /// Types and maps that Linux would refuse before it looks at the program.
    pub fn check(&self) -> Check {
        self.refused.clone().map_or(Ok(()), Reason::fail)
    }

    pub fn map(&self, id: MapId) -> &MapEntry {
        self.maps.get(id.0 as usize).unwrap_or(&self.nothing)
    }

    fn position(&self, btf: &Arc<Btf>, kernel: bool) -> Option<u32> {
        let at = self.btfs.iter().position(|t| t.kernel == kernel && Arc::ptr_eq(&t.btf, btf))?;
        u32::try_from(at).ok()
    }

    fn add(&mut self, btf: &Arc<Btf>, kernel: bool) -> u32 {
        self.btfs.push(Types { btf: btf.clone(), kernel, records: HashMap::new() });
        (self.btfs.len() - 1) as u32
    }

    /// The number of the kernel's types in these; the same set always has the same.
    pub fn kernel_btf(&mut self, btf: &Arc<Btf>) -> u32 {
        self.position(btf, true).unwrap_or_else(|| self.add(btf, true))
    }

    /// The number of the program's or a map's own types.
    pub fn program_btf(&mut self, btf: &Arc<Btf>) -> u32 {
        if let Some(known) = self.position(btf, false) {
            return known;
        }
        let number = self.add(btf, false);
        match struct_records(btf) {
            Ok(records) => {
                let records = records.into_iter().map(|(id, r)| (id.0, Arc::from(r))).collect();
                self.btfs[number as usize].records = records;
            }
            Err((id, error)) => {
                let refusal = Reason::StructFields { name: btf.name(id).to_owned(), what: error.what() };
                self.refused.get_or_insert(refusal);
            }
        }
        // Pointees of kptrs may be the kernel's.
        self.kernel_btf(btf);
        number
    }

    pub fn btf(&self, r: BtfRef) -> Option<&Arc<Btf>> {
        if r.btf == KERNEL {
            return self.kernel.get();
        }
        self.btfs.get(r.btf as usize).map(|t| &t.btf)
    }

    /// Whether the type is the kernel's own, no program's.
    pub fn is_kernel(&self, r: BtfRef) -> bool {
        r.btf == KERNEL || self.btfs.get(r.btf as usize).is_none_or(|t| t.kernel)
    }

    /// The kernel's types are the same if their names are, whoever declares them.
    pub fn same_type(&self, a: BtfRef, b: BtfRef) -> bool {
        let name = |r: BtfRef| self.btf(r).map(|btf| btf.name(TypeId(r.id)));
        a == b || (self.is_kernel(a) && self.is_kernel(b) && name(a) == name(b))
    }

    /// The kernel's own type of this name and kind, if the kernel's types are at hand and have one.
    pub fn kernel_type(&self, name: &str, kind: Kind) -> Option<BtfRef> {
        let id = self.kernel.get()?.find(name, kind)?;
        Some(BtfRef { btf: KERNEL, id: id.0 })
    }

    /// Whether the type is the kernel's by the word of the program alone: of where its fields lie that says nothing.
    pub fn is_declared(&self, r: BtfRef) -> bool {
        let types = self.btfs.get(r.btf as usize).filter(|t| t.kernel);
        types.is_some_and(|t| self.position(&t.btf, false).is_some())
    }

    /// The kernel's own types, if they are at hand.
    pub fn kernel(&self) -> Option<&Arc<Btf>> {
        self.kernel.get()
    }

    /// The kernel's own type of this id.
    pub const fn in_kernel(id: TypeId) -> BtfRef {
        BtfRef { btf: KERNEL, id: id.0 }
    }

    /// A type that a prototype names. Those of Linux's kfuncs mean the kernel's own; a host's never do, whatever they are called, since
    /// what a host gives out lies as the host says.
    pub fn named_by_kfunc(&mut self, btf: &Arc<Btf>, id: TypeId) -> BtfRef {
        let known = kfuncs::are_linuxs(btf).then(|| self.kernel_type(btf.name(id), btf.kind(id))).flatten();
        known.unwrap_or_else(|| BtfRef { btf: self.kernel_btf(btf), id: id.0 })
    }

    /// Special fields of an allocated object.
    pub fn fields(&self, r: BtfRef) -> &[FieldAt] {
        self.btfs.get(r.btf as usize).and_then(|t| t.records.get(&r.id)).map_or(&[], |fields| &fields[..])
    }

    /// The pointee of a kptr in a value or object whose types have this number.
    pub fn pointee(&self, number: u32, field: &FieldAt) -> Option<BtfRef> {
        let Target::Pointee { ty, kernel } = field.target else { return None };
        let own = self.btfs.get(number as usize)?;
        if !kernel {
            return Some(BtfRef { btf: number, id: ty.0 });
        }
        // What the program declares of the kernel's struct counts for its name alone, if the struct itself is known.
        let declared = BtfRef { btf: self.position(&own.btf, true)?, id: ty.0 };
        Some(self.kernel_type(own.btf.name(ty), own.btf.kind(ty)).unwrap_or(declared))
    }

    fn entry(&mut self, spec: &Arc<MapSpec>, index: Option<u32>) -> MapEntry {
        let mut entry =
            MapEntry { spec: as_seen(spec, index.is_none()), fields: Arc::new([]), btf: 0, inner: None, index };
        let (Some(btf), Some(ty)) = (&spec.btf, spec.value_type) else { return entry };
        entry.btf = self.program_btf(btf);
        // Linux makes the map even if its fields can't be read; then it has none.
        let Ok(record) = map_record(btf, ty) else { return entry };
        if let Err(what) = self.map_allowed(spec, btf, &record) {
            self.refused.get_or_insert(Reason::MapFields { map: spec.name.clone(), what });
        }
        entry.fields = record.into();
        entry
    }

    fn map_allowed(&self, spec: &MapSpec, btf: &Arc<Btf>, record: &[FieldAt]) -> Result<(), String> {
        let read_only = spec.flags & (MAP_F_RDONLY_PROG | backstop_model::MAP_F_WRONLY_PROG) != 0;
        if read_only && !record.is_empty() {
            return Err("a map that programs may only read, or only write, can have no special fields".into());
        }
        if let Some(class) = misplaced(spec, record) {
            return Err(format!("maps of this kind can have no {}", class.name()));
        }
        let types = self.position(btf, false).and_then(|n| self.btfs.get(n as usize));
        let record_of = |id: TypeId| types.and_then(|t| t.records.get(&id.0)).map(|r| &r[..]);
        owns_acyclic(record_of, record).map_err(|e: FieldError| e.what().to_owned())
    }
}

/// The map as programs see it.
fn as_seen(spec: &Arc<MapSpec>, template: bool) -> Arc<MapSpec> {
    let mut spec = spec.clone();
    // A device map's values are the kernel's own.
    if matches!(spec.kind, MapKind::Devmap | MapKind::DevmapHash) {
        Arc::make_mut(&mut spec).flags |= MAP_F_RDONLY_PROG;
    }
    // A template of inner maps has no name of its own.
    if template && !spec.name.is_empty() {
        Arc::make_mut(&mut spec).name.clear();
    }
    spec
}

fn empty_map() -> MapSpec {
    MapSpec::new("", backstop_model::MapKind::Array, 0, 0, 0)
}
