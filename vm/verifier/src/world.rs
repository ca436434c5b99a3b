//! Maps and types that a proof knows, numbered: the program's own maps first, templates of inner maps after them.

use std::sync::Arc;

use backstop_btf::{Btf, Kind as BtfKind, Type, TypeId};
use backstop_model::{MapSpec, Program, SpecialField};

use crate::state::{BtfRef, MapId};

/// A field of a map's value or of an allocated object that plain loads and stores may not touch.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum FieldClass {
    SpinLock,
    ResSpinLock,
    Timer,
    Workqueue,
    ListHead,
    ListNode,
    RbRoot,
    RbNode,
    Refcount,
    Kptr,
}

impl FieldClass {
    fn by_struct(name: &str) -> Option<FieldClass> {
        Some(match name {
            "bpf_spin_lock" => FieldClass::SpinLock,
            "bpf_res_spin_lock" => FieldClass::ResSpinLock,
            "bpf_timer" => FieldClass::Timer,
            "bpf_wq" => FieldClass::Workqueue,
            "bpf_list_head" => FieldClass::ListHead,
            "bpf_list_node" => FieldClass::ListNode,
            "bpf_rb_root" => FieldClass::RbRoot,
            "bpf_rb_node" => FieldClass::RbNode,
            "bpf_refcount" => FieldClass::Refcount,
            _ => return None,
        })
    }

    /// Bytes of the field.
    pub const fn size(self) -> u32 {
        match self {
            FieldClass::SpinLock | FieldClass::ResSpinLock | FieldClass::Refcount => 4,
            FieldClass::Kptr => 8,
            FieldClass::Timer | FieldClass::Workqueue | FieldClass::ListHead | FieldClass::RbRoot => 16,
            FieldClass::ListNode => 24,
            FieldClass::RbNode => 32,
        }
    }

    /// Linux's name of the field.
    pub const fn name(self) -> &'static str {
        match self {
            FieldClass::SpinLock => "bpf_spin_lock",
            FieldClass::ResSpinLock => "bpf_res_spin_lock",
            FieldClass::Timer => "bpf_timer",
            FieldClass::Workqueue => "bpf_wq",
            FieldClass::ListHead => "bpf_list_head",
            FieldClass::ListNode => "bpf_list_node",
            FieldClass::RbRoot => "bpf_rb_root",
            FieldClass::RbNode => "bpf_rb_node",
            FieldClass::Refcount => "bpf_refcount",
            FieldClass::Kptr => "kptr",
        }
    }

    /// The model's name, for the rules by program type.
    pub const fn model(self) -> Option<SpecialField> {
        match self {
            FieldClass::SpinLock | FieldClass::ResSpinLock => Some(SpecialField::SpinLock),
            FieldClass::Timer => Some(SpecialField::Timer),
            FieldClass::Workqueue => Some(SpecialField::Workqueue),
            FieldClass::ListHead | FieldClass::RbRoot => Some(SpecialField::Graph),
            _ => None,
        }
    }
}

/// One special field.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct FieldAt {
    pub class: FieldClass,
    pub off: u32,
    pub size: u32,
}

/// Most special fields that one type may have (Linux: `BTF_FIELDS_MAX`).
const MAX_FIELDS: usize = 11;
/// Structs within structs that are searched.
const MAX_DEPTH: u32 = 4;

/// The special fields of a struct or of a section of variables, by offset.
pub(crate) fn special_fields(btf: &Btf, ty: TypeId) -> Vec<FieldAt> {
    let mut found = Vec::new();
    collect_fields(btf, ty, 0, 0, &mut found);
    found.sort_by_key(|f| f.off);
    found
}

fn collect_fields(btf: &Btf, ty: TypeId, base: u32, depth: u32, found: &mut Vec<FieldAt>) {
    let ty = btf.resolve(ty);
    if depth > MAX_DEPTH || found.len() >= MAX_FIELDS {
        return;
    }
    if btf.kind(ty) == BtfKind::Datasec {
        for var in btf.datasec_vars(ty) {
            if let Type::Var { ty, .. } = btf.ty(var.ty) {
                field_of(btf, *ty, base.saturating_add(var.offset), depth, found);
            }
        }
        return;
    }
    if btf.kind(ty) != BtfKind::Struct {
        return;
    }
    for member in btf.members(ty).iter().filter(|m| !m.is_bitfield()) {
        field_of(btf, member.ty, base.saturating_add(member.byte_offset()), depth, found);
    }
}

fn field_of(btf: &Btf, ty: TypeId, off: u32, depth: u32, found: &mut Vec<FieldAt>) {
    let resolved = btf.resolve(ty);
    match btf.ty(resolved) {
        Type::Array { elem, len, .. } => {
            let Some(size) = btf.size_of(*elem).and_then(|s| u32::try_from(s).ok()) else { return };
            let before = found.len();
            for i in 0..*len {
                if found.len() >= MAX_FIELDS {
                    break;
                }
                field_of(btf, *elem, off.saturating_add(i.saturating_mul(size)), depth + 1, found);
                if found.len() == before {
                    break;
                }
            }
        }
        Type::Struct(c) => match FieldClass::by_struct(btf.name(resolved)) {
            // Linux knows a field by name and size; of another size it is a struct like any other.
            Some(class) if c.size == class.size() && found.len() < MAX_FIELDS => {
                found.push(FieldAt { class, off, size: c.size })
            }
            _ => collect_fields(btf, resolved, off, depth + 1, found),
        },
        Type::Ptr { to } => {
            let kptr = btf.type_tags(*to).any(|t| matches!(t, "kptr" | "kptr_untrusted" | "percpu_kptr" | "uptr"));
            if kptr && found.len() < MAX_FIELDS {
                found.push(FieldAt { class: FieldClass::Kptr, off, size: 8 });
            }
        }
        _ => {}
    }
}

/// A map with what the proof derived from its description.
#[derive(Clone, Debug)]
pub(crate) struct MapEntry {
    pub spec: Arc<MapSpec>,
    pub fields: Arc<[FieldAt]>,
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
        self.has(FieldClass::SpinLock) || self.has(FieldClass::ResSpinLock)
    }
}

/// All maps and BTFs of one proof.
#[derive(Debug)]
pub(crate) struct World {
    maps: Vec<MapEntry>,
    btfs: Vec<Arc<Btf>>,
    nothing: MapEntry,
}

impl World {
    pub fn new(program: &Program) -> World {
        let nothing = MapEntry { spec: Arc::new(empty_map()), fields: Arc::new([]), inner: None, index: None };
        let mut world = World { maps: Vec::new(), btfs: Vec::new(), nothing };
        if let Some(btf) = &program.btf {
            world.btfs.push(btf.clone());
        }
        for (i, spec) in program.maps.iter().enumerate() {
            world.maps.push(entry(spec, u32::try_from(i).ok()));
        }
        for i in 0..program.maps.len() {
            let Some(inner) = world.maps[i].spec.inner.clone() else { continue };
            let id = MapId(world.maps.len() as u32);
            world.maps.push(entry(&inner, None));
            world.maps[i].inner = Some(id);
        }
        world
    }

    pub fn map(&self, id: MapId) -> &MapEntry {
        self.maps.get(id.0 as usize).unwrap_or(&self.nothing)
    }

    /// The number of a set of types; the same set always has the same.
    pub fn btf_number(&mut self, btf: &Arc<Btf>) -> u32 {
        match self.btfs.iter().position(|b| Arc::ptr_eq(b, btf)) {
            Some(i) => i as u32,
            None => {
                self.btfs.push(btf.clone());
                (self.btfs.len() - 1) as u32
            }
        }
    }

    pub fn btf(&self, r: BtfRef) -> Option<&Arc<Btf>> {
        self.btfs.get(r.btf as usize)
    }
}

fn entry(spec: &Arc<MapSpec>, index: Option<u32>) -> MapEntry {
    let fields = match (&spec.btf, spec.value_type) {
        (Some(btf), Some(ty)) => special_fields(btf, ty),
        _ => Vec::new(),
    };
    MapEntry { spec: spec.clone(), fields: fields.into(), inner: None, index }
}

fn empty_map() -> MapSpec {
    MapSpec {
        name: String::new(),
        kind: backstop_model::MapKind::Array,
        key_size: 0,
        value_size: 0,
        max_entries: 0,
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
