//! The attributes of a map as the struct of its BTF variable carries them (libbpf: `parse_btf_map_def`).

use std::sync::Arc;

use backstop_btf::{Btf, Kind, Type, TypeId};
use backstop_model::{MapKind, MapSpec};

use crate::error::MapProblem;

/// Page size that ring buffers are rounded up to.
const PAGE: u32 = 4096;

/// Most attributes that a description may have: more than there are, and a bound on the work for hostile objects.
const MAX_ATTRIBUTES: usize = 32;

/// What `__array(values, ...)` says of the map's values.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Values {
    /// Maps of this struct.
    Maps(TypeId),
    /// Programs.
    Programs,
}

/// A description, and the byte in the variable at which `.values` begin.
pub(crate) struct MapDef {
    pub spec: MapSpec,
    pub values_at: Option<u64>,
    /// The object asks for a place in a file system.
    pub pinned: bool,
}

#[derive(Default)]
struct Attributes {
    kind: Option<u32>,
    key_size: Option<u32>,
    value_size: Option<u32>,
    max_entries: u32,
    flags: u32,
    extra: u64,
    key_type: Option<TypeId>,
    value_type: Option<TypeId>,
    values: Option<(Values, u64)>,
    pinned: bool,
}

/// Reads the struct of a map variable.
pub(crate) fn parse(btf: &Arc<Btf>, ty: TypeId, name: &str) -> Result<MapDef, MapProblem> {
    parse_level(btf, ty, name, true)
}

fn parse_level(btf: &Arc<Btf>, ty: TypeId, name: &str, outer: bool) -> Result<MapDef, MapProblem> {
    let ty = btf.resolve(ty);
    if btf.kind(ty) != Kind::Struct || btf.members(ty).len() > MAX_ATTRIBUTES {
        return Err(MapProblem::NotStruct);
    }
    let mut a = Attributes::default();
    for member in btf.members(ty) {
        let offset = u64::from(member.bit_offset) / 8;
        attribute(btf, &mut a, btf.str(member.name), member.ty, offset)?;
    }
    let number = a.kind.ok_or(MapProblem::NoType)?;
    let kind = MapKind::from_number(number).ok_or(MapProblem::UnknownType(number))?;
    let inner = inner(btf, &mut a, kind, name, outer)?;
    let (key_size, value_size) = (a.key_size.unwrap_or(0), a.value_size.unwrap_or(0));
    let spec = MapSpec {
        flags: a.flags,
        extra: a.extra,
        btf: (a.key_type.is_some() || a.value_type.is_some()).then(|| btf.clone()),
        key_type: a.key_type,
        value_type: a.value_type,
        inner,
        ..MapSpec::new(name, kind, key_size, value_size, entries(kind, a.max_entries))
    };
    Ok(MapDef { spec, values_at: a.values.map(|(_, at)| at), pinned: a.pinned })
}

/// What libbpf fills in where the object leaves the capacity open.
pub(crate) fn entries(kind: MapKind, given: u32) -> u32 {
    match kind {
        MapKind::Ringbuf | MapKind::UserRingbuf if given != 0 => {
            given.max(PAGE).checked_next_power_of_two().unwrap_or(given)
        }
        MapKind::PerfEventArray if given == 0 => {
            std::thread::available_parallelism().map_or(1, |n| u32::try_from(n.get()).unwrap_or(u32::MAX))
        }
        _ => given,
    }
}

fn attribute(btf: &Btf, a: &mut Attributes, name: &str, ty: TypeId, offset: u64) -> Result<(), MapProblem> {
    let bad = |why| MapProblem::BadAttribute { attribute: name.to_owned(), why };
    let number = || number(btf, ty).ok_or_else(|| bad("is not declared as __uint(name, number)"));
    let word = || number().and_then(|n| u32::try_from(n).map_err(|_| bad("is larger than 32 bits")));
    let pointee = || btf.pointee(ty).ok_or_else(|| bad("is not declared as __type(name, type)"));
    match name {
        "type" => a.kind = Some(word()?),
        "max_entries" => a.max_entries = word()?,
        "map_flags" => a.flags = word()?,
        "map_extra" => a.extra = number()?,
        "pinning" => a.pinned = word()? != 0,
        // Where a map's memory lies is the host's affair.
        "numa_node" => {
            word()?;
        }
        "key_size" => a.key_size = Some(sized("key_size", a.key_size, u64::from(word()?))?),
        "value_size" => a.value_size = Some(sized("value_size", a.value_size, u64::from(word()?))?),
        "key" => {
            let to = pointee()?;
            let size = btf.size_of(to).ok_or_else(|| bad("has a type without a size"))?;
            a.key_size = Some(sized("key_size", a.key_size, size)?);
            a.key_type = Some(to);
        }
        "value" => {
            let to = pointee()?;
            let size = btf.size_of(to).ok_or_else(|| bad("has a type without a size"))?;
            a.value_size = Some(sized("value_size", a.value_size, size)?);
            a.value_type = Some(to);
        }
        "values" => a.values = Some((values(btf, ty).map_err(bad)?, offset)),
        _ => return Err(MapProblem::UnknownAttribute(name.to_owned())),
    }
    Ok(())
}

/// A size that is stated as a number, by a type, or by both.
fn sized(attribute: &'static str, before: Option<u32>, size: u64) -> Result<u32, MapProblem> {
    match (before, u32::try_from(size)) {
        (Some(declared), Ok(now)) if declared == now => Ok(now),
        (None, Ok(now)) => Ok(now),
        (declared, _) => Err(MapProblem::SizeMismatch { attribute, declared: declared.unwrap_or(u32::MAX), size }),
    }
}

/// `__uint` is a pointer to an array of that length; `__ulong` an enum with one constant.
fn number(btf: &Btf, ty: TypeId) -> Option<u64> {
    if let Some(to) = btf.pointee(ty) {
        return match btf.resolved(to) {
            Type::Array { len, .. } => Some(u64::from(*len)),
            _ => None,
        };
    }
    match btf.enumerators(ty) {
        [one] => Some(one.value as u64),
        _ => None,
    }
}

fn values(btf: &Btf, ty: TypeId) -> Result<Values, &'static str> {
    let Type::Array { elem, len: 0, .. } = *btf.resolved(ty) else {
        return Err("is not declared as __array(values, type)");
    };
    let Some(to) = btf.pointee(elem) else { return Err("holds no pointers; declare it as __array(values, type)") };
    let to = btf.resolve(to);
    match btf.kind(to) {
        Kind::Struct => Ok(Values::Maps(to)),
        Kind::FuncProto => Ok(Values::Programs),
        _ => Err("must hold maps (a struct of map attributes) or programs (a function type)"),
    }
}

fn inner(
    btf: &Arc<Btf>,
    a: &mut Attributes,
    kind: MapKind,
    name: &str,
    outer: bool,
) -> Result<Option<Arc<MapSpec>>, MapProblem> {
    let Some((values, _)) = a.values else { return Ok(None) };
    let bad = |why| MapProblem::BadAttribute { attribute: "values".to_owned(), why };
    match values {
        _ if !outer => Err(bad("of an inner map cannot be given: maps nest only once")),
        Values::Maps(ty) if kind.info().of_maps => {
            a.value_size = Some(sized("value_size", a.value_size, 4)?);
            let inner = parse_level(btf, ty, &format!("{name}.inner"), false)?;
            Ok(Some(Arc::new(inner.spec)))
        }
        Values::Programs if kind == MapKind::ProgArray => {
            a.value_size = Some(sized("value_size", a.value_size, 4)?);
            Ok(None)
        }
        _ => Err(bad("is for array_of_maps, hash_of_maps (maps) and prog_array (functions) only")),
    }
}
