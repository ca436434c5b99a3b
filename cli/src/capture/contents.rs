//! The contents of maps after a capture, read by their BTF types: the largest entries of each.

use backstop::btf::{Kind, TypeId};
use backstop::model::{MapKind, MapSpec};
use backstop::{Loaded, Map};
use serde::Serialize;

use crate::values::{Value, decode, flow};

/// Fields that entries are sorted by, the first that there is; else the largest number counts.
const WEIGHTS: [&str; 3] = ["bytes", "packets", "count"];

/// The largest entries of a map.
#[derive(Serialize)]
pub struct Contents {
    pub map: String,
    pub kind: &'static str,
    /// Entries in all; of arrays those that are not zero.
    pub entries: usize,
    /// The field by which entries were sorted; none if by their largest number.
    pub sorted_by: Option<&'static str>,
    pub top: Vec<Entry>,
}

/// One entry. Of per-CPU maps the copies are added up.
#[derive(Serialize)]
pub struct Entry {
    /// As people read it.
    pub key: String,
    #[serde(serialize_with = "as_json")]
    pub value: Value,
    #[serde(skip)]
    weight: i128,
    #[serde(skip)]
    raw: Vec<u8>,
}

fn as_json<S: serde::Serializer>(value: &Value, to: S) -> Result<S::Ok, S::Error> {
    value.json().serialize(to)
}

/// All maps that programs count in, by name: no global data, no maps without values.
pub fn all(loaded: &Loaded<()>, top: usize) -> Vec<Contents> {
    loaded.maps().filter(|m| is_shown(m.spec())).map(|m| of(m, top)).collect()
}

fn is_shown(spec: &MapSpec) -> bool {
    let has_values = matches!(
        spec.kind,
        MapKind::Hash
            | MapKind::LruHash
            | MapKind::PercpuHash
            | MapKind::LruPercpuHash
            | MapKind::Array
            | MapKind::PercpuArray
    );
    let is_data = spec.initial.is_some() || spec.name.contains('.') || is_section(spec);
    has_values && !is_data
}

fn is_section(spec: &MapSpec) -> bool {
    spec.btf.as_ref().zip(spec.value_type).is_some_and(|(btf, ty)| btf.kind(ty) == Kind::Datasec)
}

fn is_array(spec: &MapSpec) -> bool {
    matches!(spec.kind, MapKind::Array | MapKind::PercpuArray)
}

/// The largest entries of one map.
pub fn of(map: &Map, top: usize) -> Contents {
    let spec = map.spec();
    let mut kept: Vec<Entry> = Vec::new();
    let (mut entries, mut sorted_by) = (0usize, None);
    for (key, copies) in map {
        let value = sum(map, &copies);
        if is_array(spec) && value.is_zero() {
            continue;
        }
        entries = entries.saturating_add(1);
        let weight = WEIGHTS.iter().find_map(|f| value.number(f).map(|n| (Some(*f), n)));
        let (field, weight) = weight.unwrap_or((None, value.largest()));
        sorted_by = field;
        kept.push(Entry { key: key_text(spec, &key), value, weight, raw: key });
        // Memory stays in proportion to what is shown, not to the map.
        if kept.len() > top.saturating_mul(2).saturating_add(1024) {
            cut(&mut kept, top, is_array(spec));
        }
    }
    cut(&mut kept, top, is_array(spec));
    Contents { map: map.name().to_owned(), kind: spec.kind.name(), entries, sorted_by, top: kept }
}

/// Arrays stay in the order of their indices; they are counters more often than rankings.
fn cut(kept: &mut Vec<Entry>, top: usize, by_index: bool) {
    kept.sort_by(|a, b| b.weight.cmp(&a.weight).then_with(|| a.raw.cmp(&b.raw)));
    kept.truncate(top);
    if by_index {
        kept.sort_by_key(|e| e.raw.first_chunk::<4>().map(|k| u32::from_ne_bytes(*k)));
    }
}

fn typed(spec: &MapSpec, ty: Option<TypeId>, bytes: &[u8]) -> Value {
    match (&spec.btf, ty) {
        (Some(btf), Some(ty)) => decode(btf, ty, bytes),
        _ => untyped(bytes),
    }
}

/// Without a type: a number if it has a number's size.
fn untyped(bytes: &[u8]) -> Value {
    match bytes.len() {
        4 | 8 => Value::Int(bytes.iter().rev().fold(0i128, |n, b| n << 8 | i128::from(*b))),
        _ => Value::Bytes(bytes.to_vec()),
    }
}

fn sum(map: &Map, copies: &[u8]) -> Value {
    let spec = map.spec();
    let each = copies.len().checked_div(map.cpus() as usize).filter(|n| *n > 0).unwrap_or(copies.len().max(1));
    let mut copies = copies.chunks_exact(each).map(|copy| typed(spec, spec.value_type, copy));
    let mut first = copies.next().unwrap_or(Value::Bytes(Vec::new()));
    copies.for_each(|copy| first.add(&copy));
    first
}

fn key_text(spec: &MapSpec, key: &[u8]) -> String {
    let flow = spec.btf.as_ref().zip(spec.key_type).and_then(|(btf, ty)| flow::text(btf, ty, key));
    flow.unwrap_or_else(|| typed(spec, spec.key_type, key).to_string())
}

impl Contents {
    /// How many entries there are, how many are shown, in which order.
    pub fn summary(&self) -> String {
        let shown = self.top.len();
        let order = match (self.kind.contains("array"), self.sorted_by) {
            (false, Some(field)) => format!(" by {field}"),
            _ => String::new(),
        };
        let entries = format!("{} {}", self.entries, if self.entries == 1 { "entry" } else { "entries" });
        if shown < self.entries { format!("{entries}, the first {shown}{order}") } else { format!("{entries}{order}") }
    }

    /// Key and value as columns.
    pub fn rows(&self) -> Vec<Vec<String>> {
        let row = |entry: &Entry| {
            let mut cells = vec![entry.key.clone()];
            match &entry.value {
                Value::Struct(fields) => {
                    cells.extend(fields.iter().flat_map(|(name, value)| [name.clone(), value.to_string()]))
                }
                value => cells.push(value.to_string()),
            }
            cells
        };
        self.top.iter().map(row).collect()
    }
}
