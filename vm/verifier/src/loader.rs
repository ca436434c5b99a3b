//! What a loader must know of the types that Linux takes: libbpf loads a program without its types, or makes a map without
//! them, where the kernel refuses them.

use std::borrow::Cow;
use std::sync::Arc;

use backstop_btf::{Btf, TypeId};
use backstop_model::{MapSpec, Program};

use crate::fields::map_record;
use crate::reason::Reason;

/// Whether values of this type (a struct or a section) have special fields: locks, timers, list heads, kptrs and the like.
pub fn has_special_fields(btf: &Btf, ty: TypeId) -> bool {
    map_record(btf, ty).is_ok_and(|record| !record.is_empty())
}

/// The program as libbpf would load it after the kernel refused its types for this reason; none if the reason is another
/// one. Each call takes types away, so a loop over it ends.
pub fn without_refused_types(program: &Program, reason: &Reason) -> Option<Program> {
    let maps = match reason {
        Reason::StructFields { .. } => program.maps.iter().map(untyped).collect(),
        Reason::MapFields { map: name, .. } => {
            let known = program.maps.iter().any(|map| named(map, name) && map.btf.is_some());
            known.then_some(())?;
            program.maps.iter().map(|map| if named(map, name) { untyped(map) } else { Arc::clone(map) }).collect()
        }
        _ => return None,
    };
    let mut bare = Program { maps, ..program.clone() };
    if matches!(reason, Reason::StructFields { .. }) {
        bare.btf.take()?;
        bare.func_info.clear();
        bare.line_info.clear();
    }
    Some(bare)
}

/// The map itself, or the template of its inner maps: a template has no name in refusals.
fn named(map: &MapSpec, name: &str) -> bool {
    map.name == name || (name.is_empty() && map.inner.is_some())
}

fn untyped(map: &Arc<MapSpec>) -> Arc<MapSpec> {
    let mut bare = Cow::Borrowed(&**map);
    if map.btf.is_some() {
        let bare = bare.to_mut();
        (bare.btf, bare.key_type, bare.value_type) = (None, None, None);
    }
    if let Some(inner) = &map.inner {
        bare.to_mut().inner = Some(untyped(inner));
    }
    match bare {
        Cow::Borrowed(_) => Arc::clone(map),
        Cow::Owned(bare) => Arc::new(bare),
    }
}
