//! Special fields of map values and allocated objects, read from BTF as Linux reads them (`btf_parse_fields`).
//!
//! Plain loads and stores may not touch them, and what a field says of other types (the element type of a list, the pointee
//! of a kptr) types what their kfuncs give. Invariant of a record: fields ascend by offset and do not overlap; every root of
//! a graph names a struct of the same BTF and the offset of its node; roots come with a lock.

use std::cell::Cell;

use backstop_btf::{Btf, Kind as BtfKind, Type, TypeId};
use backstop_model::{MapKind, MapSpec, kernel_types};

/// What a special field is.
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
    /// `__kptr`: owns what it points to.
    Kptr,
    /// `__kptr_untrusted`: only probed.
    KptrUntrusted,
    /// `__percpu_kptr`: owns one object a CPU.
    KptrPercpu,
    /// `__uptr`: memory of a process.
    Uptr,
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

    fn by_tag(tag: &str) -> Option<FieldClass> {
        Some(match tag {
            "kptr" => FieldClass::Kptr,
            "kptr_untrusted" => FieldClass::KptrUntrusted,
            "percpu_kptr" => FieldClass::KptrPercpu,
            "uptr" => FieldClass::Uptr,
            _ => return None,
        })
    }

    /// Linux's name of the field (`btf_field_type_name`).
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
            FieldClass::Kptr | FieldClass::KptrUntrusted => "kptr",
            FieldClass::KptrPercpu => "percpu_kptr",
            FieldClass::Uptr => "uptr",
        }
    }

    pub const fn is_kptr(self) -> bool {
        matches!(self, FieldClass::Kptr | FieldClass::KptrUntrusted | FieldClass::KptrPercpu)
    }

    /// A pointer that loads and stores may see.
    pub const fn is_pointer(self) -> bool {
        self.is_kptr() || matches!(self, FieldClass::Uptr)
    }

    pub const fn is_lock(self) -> bool {
        matches!(self, FieldClass::SpinLock | FieldClass::ResSpinLock)
    }

    pub const fn is_root(self) -> bool {
        matches!(self, FieldClass::ListHead | FieldClass::RbRoot)
    }

    pub const fn is_node(self) -> bool {
        matches!(self, FieldClass::ListNode | FieldClass::RbNode)
    }

    /// The node that a root links.
    const fn node(self) -> FieldClass {
        match self {
            FieldClass::ListHead => FieldClass::ListNode,
            _ => FieldClass::RbNode,
        }
    }

    /// One type may have only one of it.
    const fn single(self) -> bool {
        matches!(self, FieldClass::SpinLock | FieldClass::ResSpinLock | FieldClass::Timer | FieldClass::Workqueue)
    }

    /// Bytes of the field. A struct of this name and another size is none.
    const fn size(self) -> u32 {
        match self {
            FieldClass::SpinLock | FieldClass::ResSpinLock | FieldClass::Refcount => 4,
            FieldClass::Kptr | FieldClass::KptrUntrusted | FieldClass::KptrPercpu | FieldClass::Uptr => 8,
            FieldClass::Timer | FieldClass::Workqueue | FieldClass::ListHead | FieldClass::RbRoot => 16,
            FieldClass::ListNode => 24,
            FieldClass::RbNode => 32,
        }
    }

    const fn align(self) -> u32 {
        match self {
            FieldClass::SpinLock | FieldClass::ResSpinLock | FieldClass::Refcount => 4,
            _ => 8,
        }
    }

    /// Fields that a map's value may have. Others are plain bytes there.
    const fn in_map(self) -> bool {
        !self.is_node()
    }

    /// Fields that an allocated object may have.
    const fn in_object(self) -> bool {
        !matches!(self, FieldClass::Timer | FieldClass::Workqueue | FieldClass::Uptr)
    }

    /// Kinds of maps that may have it (Linux: `map_check_btf`).
    const fn allowed_in(self, map: MapKind) -> bool {
        use MapKind::*;
        let storage = matches!(map, SkStorage | InodeStorage | TaskStorage | CgrpStorage);
        match self {
            FieldClass::SpinLock | FieldClass::ResSpinLock => storage || matches!(map, Hash | Array | CgroupStorage),
            FieldClass::Timer | FieldClass::Workqueue | FieldClass::ListHead | FieldClass::RbRoot => {
                matches!(map, Hash | LruHash | Array)
            }
            FieldClass::Kptr | FieldClass::KptrUntrusted | FieldClass::KptrPercpu | FieldClass::Refcount => {
                storage || matches!(map, Hash | PercpuHash | LruHash | LruPercpuHash | Array | PercpuArray)
            }
            FieldClass::Uptr => matches!(map, TaskStorage),
            FieldClass::ListNode | FieldClass::RbNode => true,
        }
    }
}

/// What a field says of another type of the same BTF.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Target {
    None,
    /// Elements of a list or tree: their struct, and where their node lies in it.
    Graph {
        value: TypeId,
        node: u32,
    },
    /// Pointee of a kptr; `kernel`: the struct of this name is one of Linux's own.
    Pointee {
        ty: TypeId,
        kernel: bool,
    },
}

/// One special field.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct FieldAt {
    pub class: FieldClass,
    pub off: u32,
    pub size: u32,
    pub target: Target,
}

impl FieldAt {
    /// Element type and node offset of a root.
    pub fn graph(&self) -> Option<(TypeId, u32)> {
        match self.target {
            Target::Graph { value, node } => Some((value, node)),
            _ => None,
        }
    }
}

/// The special fields of one type, by offset.
pub(crate) type Record = Vec<FieldAt>;

/// Why a type's fields make no record, in the name of the kernel's error.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum FieldError {
    /// Too many fields, or several of one that may stand only once.
    TooMany,
    /// Fields overlap.
    Overlap,
    /// A root without a fitting tag, lock or node; a kptr to no struct; a kind that may not repeat in an array.
    Invalid,
    /// A kptr to a type of the kernel's that programs may not own, or a root of a struct that is not there.
    Missing,
    /// Types that could own each other in a circle.
    Cycle,
}

impl FieldError {
    /// What is wrong, for a refusal.
    pub const fn what(self) -> &'static str {
        match self {
            FieldError::TooMany => "it has too many special fields, or two of which it may have one",
            FieldError::Overlap => "special fields overlap",
            FieldError::Invalid => {
                "a list head or tree root wants a bpf_spin_lock in the same struct, a `contains:STRUCT:NODE` tag and such a \
                 node; a node of both kinds wants a bpf_refcount; a kptr points to a struct"
            }
            FieldError::Missing => "a list head, tree root or kptr names a struct that cannot be owned",
            FieldError::Cycle => "structs with nodes own structs with roots: objects could own each other in a circle",
        }
    }
}

/// Most special fields that one type may have (Linux: `BTF_FIELDS_MAX`).
const MAX_FIELDS: usize = 11;
/// Structs within structs that are searched (Linux: `MAX_RESOLVE_DEPTH`).
const MAX_DEPTH: u32 = 32;

/// Members looked at in one search of a whole BTF. Structs of size 0 may nest without limit.
const MAX_WORK: u32 = 1 << 20;

struct Search<'b> {
    btf: &'b Btf,
    wanted: fn(FieldClass) -> bool,
    work: &'b Cell<u32>,
}

/// Fields of a map's value. None that can't be read are an error, as Linux then treats the value as plain bytes.
pub(crate) fn map_record(btf: &Btf, ty: TypeId) -> Result<Record, FieldError> {
    record(btf, ty, FieldClass::in_map, &Cell::new(MAX_WORK))
}

/// Kind of map that may not have a field of its value, if so.
pub(crate) fn misplaced(spec: &MapSpec, record: &[FieldAt]) -> Option<FieldClass> {
    record.iter().map(|f| f.class).find(|c| !c.allowed_in(spec.kind))
}

/// Structs of a BTF that have special fields among their direct members, with their records (Linux:
/// `btf_parse_struct_metas`). An error refuses the whole BTF.
pub(crate) fn struct_records(btf: &Btf) -> Result<Vec<(TypeId, Record)>, (TypeId, FieldError)> {
    let mut all = Vec::new();
    let work = Cell::new(MAX_WORK);
    for id in btf.ids().filter(|id| btf.kind(*id) == BtfKind::Struct) {
        if !btf.members(id).iter().any(|m| marks_struct(btf, m.ty)) {
            continue;
        }
        let found = record(btf, id, FieldClass::in_object, &work).map_err(|e| (id, e))?;
        if found.is_empty() {
            return Err((id, FieldError::Invalid));
        }
        all.push((id, found));
    }
    let of = |id: TypeId| all.binary_search_by_key(&id, |(known, _)| *known).ok().and_then(|at| all.get(at));
    for (id, record) in &all {
        owns_acyclic(|id| of(id).map(|(_, r)| &r[..]), record).map_err(|e| (*id, e))?;
    }
    Ok(all)
}

/// Whether a member of this very type makes its struct one with special fields.
fn marks_struct(btf: &Btf, ty: TypeId) -> bool {
    match btf.ty(ty) {
        Type::Struct(_) => matches!(
            FieldClass::by_struct(btf.name(ty)),
            Some(
                FieldClass::SpinLock
                    | FieldClass::ListHead
                    | FieldClass::ListNode
                    | FieldClass::RbRoot
                    | FieldClass::RbNode
                    | FieldClass::Refcount
            )
        ),
        _ => kptr(btf, ty).is_ok_and(|k| k.is_some_and(|(class, _)| class.is_kptr())),
    }
}

/// A type that is both a root and a node must not own roots (Linux: `btf_check_and_fixup_fields`). `record_of` gives the
/// fields of a struct that has any.
pub(crate) fn owns_acyclic<'r>(
    record_of: impl Fn(TypeId) -> Option<&'r [FieldAt]>,
    record: &[FieldAt],
) -> Result<(), FieldError> {
    let is_node = record.iter().any(|f| f.class.is_node());
    for (value, _) in record.iter().filter_map(FieldAt::graph) {
        let Some(of_value) = record_of(value) else { return Err(FieldError::Missing) };
        if is_node && of_value.iter().any(|f| f.class.is_root()) {
            return Err(FieldError::Cycle);
        }
    }
    Ok(())
}

fn record(btf: &Btf, ty: TypeId, wanted: fn(FieldClass) -> bool, work: &Cell<u32>) -> Result<Record, FieldError> {
    let search = Search { btf, wanted, work };
    let found = match btf.kind(ty) {
        BtfKind::Struct => search.members(ty, 0)?,
        BtfKind::Datasec => search.section(ty)?,
        _ => return Ok(Vec::new()),
    };
    let mut end = 0;
    for f in &found {
        if f.off < end {
            return Err(FieldError::Overlap);
        }
        end = f.off + f.size;
    }
    let has = |test: fn(FieldClass) -> bool| found.iter().any(|f| test(f.class));
    let (spin, res) = (has(|c| c == FieldClass::SpinLock), has(|c| c == FieldClass::ResSpinLock));
    let both_nodes = has(|c| c == FieldClass::ListNode) && has(|c| c == FieldClass::RbNode);
    if spin && res || (has(FieldClass::is_root) && !spin && !res) {
        return Err(FieldError::Invalid);
    }
    if both_nodes && !has(|c| c == FieldClass::Refcount) {
        return Err(FieldError::Invalid);
    }
    Ok(found)
}

impl Search<'_> {
    fn section(&self, ty: TypeId) -> Result<Record, FieldError> {
        let mut found = Vec::new();
        let mut seen = Vec::new();
        for var in self.btf.datasec_vars(ty) {
            let Type::Var { ty, .. } = *self.btf.ty(var.ty) else { continue };
            let part = self.one((var.ty, None), ty, var.offset, Some(var.size), 0, &mut seen)?;
            push(&mut found, part)?;
        }
        Ok(found)
    }

    fn members(&self, ty: TypeId, depth: u32) -> Result<Record, FieldError> {
        let mut found = Vec::new();
        let mut seen = Vec::new();
        for (n, m) in self.btf.members(ty).iter().enumerate() {
            if m.is_bitfield() {
                continue;
            }
            let owner = (ty, u32::try_from(n).ok());
            let part = self.one(owner, m.ty, m.byte_offset(), None, depth, &mut seen)?;
            push(&mut found, part)?;
        }
        Ok(found)
    }

    /// The fields that one member or variable is or holds (Linux: `btf_find_field_one`). `owner` has its tags.
    fn one(
        &self,
        owner: (TypeId, Option<u32>),
        ty: TypeId,
        off: u32,
        room: Option<u32>,
        depth: u32,
        seen: &mut Vec<FieldClass>,
    ) -> Result<Record, FieldError> {
        self.work.set(self.work.get().checked_sub(1).ok_or(FieldError::TooMany)?);
        let (mut ty, mut count) = (ty, 1u32);
        for _ in 0..MAX_DEPTH {
            let Type::Array { elem, len, .. } = *self.btf.ty(ty) else { break };
            count = count.saturating_mul(len);
            ty = elem;
        }
        if count == 0 {
            return Ok(Vec::new());
        }
        let fits = |size: u32| room.is_none_or(|r| u64::from(r) == u64::from(size) * u64::from(count));
        let Type::Struct(c) = *self.btf.ty(ty) else {
            return match kptr(self.btf, ty)? {
                Some((class, to)) if (self.wanted)(class) && fits(8) && off.is_multiple_of(8) => {
                    let kernel = kernel_types::is_struct(self.btf.name(to));
                    if kernel && class == FieldClass::Kptr && !kernel_types::is_ownable(self.btf.name(to)) {
                        return Err(FieldError::Missing);
                    }
                    let target = Target::Pointee { ty: to, kernel };
                    repeat(vec![FieldAt { class, off, size: 8, target }], count, 8)
                }
                _ => Ok(Vec::new()),
            };
        };
        match FieldClass::by_struct(self.btf.name(ty)).filter(|class| (self.wanted)(*class)) {
            None if !fits(c.size) => Ok(Vec::new()),
            None => {
                if depth + 1 >= MAX_DEPTH {
                    return Err(FieldError::TooMany);
                }
                let mut inner = self.members(ty, depth + 1)?;
                for f in &mut inner {
                    f.off = f.off.checked_add(off).ok_or(FieldError::Invalid)?;
                }
                repeat(inner, count, c.size)
            }
            Some(class) => {
                if class.single() {
                    if seen.contains(&class) {
                        return Err(FieldError::TooMany);
                    }
                    seen.push(class);
                }
                if c.size != class.size() || !fits(c.size) || !off.is_multiple_of(class.align()) {
                    return Ok(Vec::new());
                }
                let target = if class.is_root() { self.graph(owner, class)? } else { Target::None };
                repeat(vec![FieldAt { class, off, size: c.size, target }], count, c.size)
            }
        }
    }

    /// What a root's `contains:STRUCT:NODE` tag names.
    fn graph(&self, owner: (TypeId, Option<u32>), root: FieldClass) -> Result<Target, FieldError> {
        let mut tags = self.btf.decl_tags(owner.0, owner.1).filter_map(|t| t.strip_prefix("contains:"));
        let (Some(tag), None) = (tags.next(), tags.next()) else { return Err(FieldError::Invalid) };
        let (name, member) = tag.split_once(':').ok_or(FieldError::Invalid)?;
        let value = self.btf.find(name, BtfKind::Struct).ok_or(FieldError::Missing)?;
        let mut nodes = self.btf.members(value).iter().filter(|m| self.btf.str(m.name) == member);
        let Some(node) = nodes.next().filter(|_| !member.is_empty()) else { return Err(FieldError::Missing) };
        let class = match self.btf.ty(node.ty) {
            Type::Struct(_) => FieldClass::by_struct(self.btf.name(node.ty)),
            _ => None,
        };
        let placed = !node.is_bitfield() && node.byte_offset().is_multiple_of(8);
        if nodes.next().is_some() || class != Some(root.node()) || !placed {
            return Err(FieldError::Invalid);
        }
        Ok(Target::Graph { value, node: node.byte_offset() })
    }
}

fn push(found: &mut Record, part: Record) -> Result<(), FieldError> {
    if found.len() + part.len() > MAX_FIELDS {
        return Err(FieldError::TooMany);
    }
    found.extend(part);
    Ok(())
}

/// Fields of an array's elements. Only some kinds may repeat (Linux: `btf_repeat_fields`).
fn repeat(fields: Record, count: u32, stride: u32) -> Result<Record, FieldError> {
    if count <= 1 || fields.is_empty() {
        return Ok(fields);
    }
    if fields.iter().any(|f| !(f.class.is_pointer() || f.class.is_root())) {
        return Err(FieldError::Invalid);
    }
    if u64::from(count) * fields.len() as u64 > MAX_FIELDS as u64 {
        return Err(FieldError::TooMany);
    }
    let all = (0..count).flat_map(|i| fields.iter().map(move |f| FieldAt { off: f.off + i * stride, ..*f }));
    Ok(all.collect())
}

/// The tag and the struct of a pointer that is a kptr (Linux: `btf_find_kptr`).
fn kptr(btf: &Btf, ty: TypeId) -> Result<Option<(FieldClass, TypeId)>, FieldError> {
    let ty = match *btf.ty(ty) {
        Type::Volatile { to } => to,
        _ => ty,
    };
    let Type::Ptr { to } = *btf.ty(ty) else { return Ok(None) };
    let Type::TypeTag { name, to, attribute: false } = *btf.ty(to) else { return Ok(None) };
    if matches!(btf.ty(to), Type::TypeTag { .. }) {
        return Err(FieldError::Invalid);
    }
    let Some(class) = FieldClass::by_tag(btf.str(name)) else { return Ok(None) };
    let to = btf.resolve(to);
    if btf.kind(to) == BtfKind::Struct { Ok(Some((class, to))) } else { Err(FieldError::Invalid) }
}
