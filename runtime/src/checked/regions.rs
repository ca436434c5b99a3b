//! Maps, contexts and packets as regions.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Mutex, PoisonError};

use backstop_abi::{SkbContext, XdpContext};
use backstop_interp::{Kind, Region, Rights};
use backstop_ir::{Ir, OpKind};
use backstop_model::{AttachType, MAP_F_RDONLY_PROG, MAP_F_WRONLY_PROG, ProgKind, ProgType, contexts, returns};

use crate::maps::{MapInner, MapRef};

/// What programs may do with a map's values.
pub(super) fn value_rights(map: &MapInner) -> Rights {
    let flags = map.spec().flags;
    match (flags & MAP_F_RDONLY_PROG != 0, flags & MAP_F_WRONLY_PROG != 0) {
        (false, false) => Rights::ReadWrite,
        (true, false) => Rights::Read,
        (false, true) => Rights::Write,
        (true, true) => Rights::None,
    }
}

/// One value of a map.
pub(super) fn value(map: &MapInner, start: u64) -> Region {
    let kind = Kind::MapValue(map.native_address());
    Region { start, len: map.value_size() as u64, kind, rights: value_rights(map) }
}

/// A program's maps, which it may name, and the values that it reaches without a lookup.
pub(super) fn of_maps<S>(ir: &Ir<S>, maps: &[MapRef]) -> Vec<Region> {
    let blocks = ir.funcs().iter().flat_map(|func| &func.blocks);
    let direct: BTreeSet<u32> = blocks
        .flat_map(|block| &block.ops)
        .filter_map(|op| match op.kind {
            OpKind::MapValueAddr { map, .. } => Some(map.0),
            _ => None,
        })
        .collect();
    let named =
        maps.iter().map(|map| Region { start: map.native_address(), len: 1, kind: Kind::Map, rights: Rights::None });
    let values = direct.into_iter().filter_map(|index| {
        let map = maps.get(index as usize)?;
        Some(value(map, map.value_address(0)?))
    });
    named.chain(values).collect()
}

/// What a kind without a struct of the host's own is known by.
type Known = (ProgType, AttachType, bool, bool);

/// What programs of a kind may do with their context, by its native bytes.
pub(super) fn context_rights(kind: &ProgKind) -> Rights {
    /// Every byte and width is asked of the tables: once a kind is enough.
    static FOUND: Mutex<Option<HashMap<Known, Rights>>> = Mutex::new(None);
    match kind.ty {
        ProgType::RawMem | ProgType::Syscall => Rights::ReadWrite,
        _ if kind.host.is_some() => field_rights(kind),
        _ => {
            let mut found = FOUND.lock().unwrap_or_else(PoisonError::into_inner);
            let known = (kind.ty, kind.attach, kind.sleepable, kind.frags);
            found.get_or_insert_default().entry(known).or_insert_with(|| field_rights(kind)).clone()
        }
    }
}

fn field_rights(kind: &ProgKind) -> Rights {
    let size = contexts::size(kind).unwrap_or(0);
    let native = match kind.ty {
        ProgType::Xdp => size_of::<XdpContext>(),
        ty if contexts::has_skb(ty) => size_of::<SkbContext>(),
        _ => size as usize,
    };
    let mut fields = vec![(false, false); native];
    for (off, width) in (0..size).flat_map(|off| [1, 2, 4, 8].map(|width| (off, width))) {
        for write in [false, true] {
            let Ok(access) = contexts::access(kind, i64::from(off), width, write) else { continue };
            let bytes = access.native_off as usize..(access.native_off + access.native_size) as usize;
            for (may_read, may_write) in fields.get_mut(bytes).unwrap_or_default() {
                *may_read |= !write;
                *may_write |= write;
            }
        }
    }
    Rights::Fields(fields.into())
}

/// What programs of a kind may do with their packet.
pub(super) fn packet_rights(kind: &ProgKind) -> Rights {
    let rules = returns::packet(kind);
    match (rules.read, rules.write) {
        (true, true) => Rights::ReadWrite,
        (true, false) => Rights::Read,
        (false, _) => Rights::None,
    }
}
