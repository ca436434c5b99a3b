//! What all programs of a type may use: found once, since the model's tables are large and programs are many.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, PoisonError, RwLock};

use backstop::isa::Size;
use backstop::model::{FieldKind, HelperProto, ProgKind, ProgType, contexts};

use super::helpers::{PACKET, TAIL_CALL, usable};
use super::{Shape, context_len};

/// Where a context names the packet's bounds.
#[derive(Clone, Copy, Debug)]
pub(super) struct PacketFields {
    pub(super) start: i16,
    pub(super) end: i16,
    pub(super) size: Size,
}

impl PacketFields {
    fn of(kind: &ProgKind) -> Option<PacketFields> {
        let len = contexts::size(kind)?.min(192);
        let find = |wanted: FieldKind, size: Size| {
            let gives = |off: &u32| {
                contexts::access(kind, i64::from(*off), size.bytes(), false).is_ok_and(|access| access.kind == wanted)
            };
            (0..len).step_by(4).find(gives).and_then(|off| i16::try_from(off).ok())
        };
        [Size::B4, Size::B8].into_iter().find_map(|size| {
            let (start, end) = (find(FieldKind::Packet, size)?, find(FieldKind::PacketEnd, size)?);
            Some(PacketFields { start, end, size })
        })
    }
}

/// Whether Linux's test runs give this byte of the context the value that Backstop gives it.
fn same_on_linux(kind: &ProgKind, off: u32) -> bool {
    match kind.ty {
        ProgType::Syscall | ProgType::RawTracepoint | ProgType::RawMem => true,
        ProgType::Xdp => false,
        // len; mark; the control block.
        _ => matches!(off, 0..4 | 8..12 | 48..68),
    }
}

/// Plain fields of a context for one sort of access.
#[derive(Debug, Default)]
pub(super) struct Fields {
    /// Aligned places that the context has.
    pub(super) places: usize,
    bytes: u32,
    /// Offsets of those that may be accessed so, ascending.
    offsets: Vec<i16>,
}

impl Fields {
    fn of(kind: &ProgKind, shape: Shape, bytes: u32, write: bool) -> Fields {
        let size = contexts::size(kind).unwrap_or(0);
        let places = context_len(kind).map_or(192, |len| len as u32).min(size) / bytes;
        let may = |off: &u32| {
            let field = contexts::access(kind, i64::from(*off), bytes, write);
            let steady = !shape.kernel || same_on_linux(kind, *off);
            steady && field.is_ok_and(|field| field.kind == FieldKind::Scalar)
        };
        let offsets = (0..places).map(|n| n * bytes).filter(may).filter_map(|off| i16::try_from(off).ok());
        Fields { places: places as usize, bytes, offsets: offsets.collect() }
    }

    /// The first that may be accessed from the place of this number on, and round to it.
    pub(super) fn from(&self, place: usize) -> Option<i16> {
        let from = i16::try_from(place * self.bytes as usize).ok()?;
        let at = self.offsets.partition_point(|off| *off < from);
        self.offsets.get(at).or_else(|| self.offsets.first()).copied()
    }
}

/// Helpers to choose from.
#[derive(Debug)]
pub(super) struct Menu {
    pub(super) all: Vec<&'static HelperProto>,
    /// Maps, callbacks and tail calls, more often than the many others.
    pub(super) favourites: Vec<&'static HelperProto>,
    pub(super) packet: Vec<&'static HelperProto>,
}

impl Menu {
    fn of(kind: &ProgKind, shape: Shape, tail_calls: bool) -> Menu {
        let all: Vec<&'static HelperProto> = backstop::model::helpers::all()
            .filter(|proto| usable(proto, kind, shape))
            .filter(|proto| proto.id != TAIL_CALL || tail_calls)
            .collect();
        let favourite = |proto: &&HelperProto| matches!(proto.id, 1..=3 | TAIL_CALL | 164 | 181);
        let favourites = all.iter().copied().filter(favourite).collect();
        let packet = all.iter().copied().filter(|proto| PACKET.contains(&proto.id)).collect();
        Menu { all, favourites, packet }
    }
}

/// What decides it. The kinds of generated programs differ in their type alone.
type Key = (ProgType, bool, bool);

/// What all programs of a type may use.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) packet: Option<PacketFields>,
    /// Without and with tail calls.
    pub(super) menus: [Menu; 2],
    /// By size, read and written.
    fields: [[Fields; 2]; 4],
}

impl Known {
    pub(super) fn of(kind: &ProgKind, shape: Shape) -> Arc<Known> {
        static FOUND: LazyLock<RwLock<HashMap<Key, Arc<Known>>>> = LazyLock::new(RwLock::default);
        let key = (kind.ty, shape.unsteady, shape.kernel);
        if let Some(known) = FOUND.read().unwrap_or_else(PoisonError::into_inner).get(&key) {
            return Arc::clone(known);
        }
        let fields = |bytes: u32| [false, true].map(|write| Fields::of(kind, shape, bytes, write));
        let known = Arc::new(Known {
            packet: PacketFields::of(kind),
            menus: [false, true].map(|tail_calls| Menu::of(kind, shape, tail_calls)),
            fields: [1, 2, 4, 8].map(fields),
        });
        FOUND.write().unwrap_or_else(PoisonError::into_inner).insert(key, Arc::clone(&known));
        known
    }

    pub(super) fn fields(&self, size: Size, write: bool) -> &Fields {
        let [one, two, four, eight] = &self.fields;
        let [read, written] = match size {
            Size::B1 => one,
            Size::B2 => two,
            Size::B4 => four,
            Size::B8 => eight,
        };
        if write { written } else { read }
    }
}
