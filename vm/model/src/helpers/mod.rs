//! Helpers as data: Linux 6.18's numbers, prototypes and availability by program type.
//!
//! Invariant: rows are unique and ascending by number; availability was read off a running 6.18 kernel, type by type.

mod names;
mod table;

use crate::{ArgKind, AttachType, HelperProto, MapKind, ProgKind, ProgType};

/// The helper of this number, if Backstop has a prototype of it.
pub fn proto(id: u32) -> Option<&'static HelperProto> {
    row(id).map(|r| &r.proto)
}

/// The helper of this name (without `bpf_`), if Backstop has a prototype of it.
pub fn by_name(name: &str) -> Option<&'static HelperProto> {
    all().find(|p| p.name == name)
}

/// All helpers with a prototype, ascending by number.
pub fn all() -> impl Iterator<Item = &'static HelperProto> {
    table::ROWS.iter().map(|r| &r.proto)
}

/// Linux's name of a helper's number (without `bpf_`), also of those that have no prototype here.
pub fn name(id: u32) -> Option<&'static str> {
    let index = usize::try_from(id.checked_sub(1)?).ok()?;
    names::NAMES.get(index).copied()
}

/// Whether programs of this kind may call the helper (Linux: `get_func_proto` of the program type).
///
/// GPL and sleepable rules stand apart in [`HelperProto::gpl_only`] and [`HelperProto::might_sleep`].
pub fn allowed(id: u32, kind: &ProgKind) -> bool {
    row(id).is_some_and(|r| r.types.has(kind.ty))
}

/// Whether programs of this kind need a GPL-compatible license to call it: [`HelperProto::gpl_only`], but for helpers of which Linux has
/// variants with another license.
pub fn needs_gpl(proto: &HelperProto, kind: &ProgKind) -> bool {
    const GET_STACKID: u32 = 27;
    const GET_FUNC_IP: u32 = 173;
    const UPROBE_SESSION: u32 = 57;
    let many = matches!(
        kind.attach,
        AttachType::KprobeMulti
            | AttachType::KprobeSession
            | AttachType::UprobeMulti
            | AttachType::Other(UPROBE_SESSION)
    );
    match proto.id {
        GET_STACKID if kind.ty == ProgType::PerfEvent => false,
        GET_FUNC_IP if kind.ty == ProgType::Kprobe && many => false,
        _ => proto.gpl_only,
    }
}

/// What a program of this kind passes in one argument: the prototype's kind, but for helpers of which Linux has variants.
pub fn arg(proto: &HelperProto, n: usize, kind: &ProgKind) -> ArgKind {
    const GET_CGROUP_CLASSID: u32 = 17;
    let skb = crate::contexts::has_skb(kind.ty) && !matches!(kind.ty, ProgType::SocketFilter | ProgType::CgroupSkb);
    let of_packet = skb && !matches!(kind.ty, ProgType::SkSkb | ProgType::FlowDissector);
    match proto.args.get(n) {
        // The class of the packet's socket where there is a packet to send, else that of the running task.
        Some(_) if proto.id == GET_CGROUP_CLASSID && !of_packet => ArgKind::None,
        Some(&arg) => arg,
        None => ArgKind::None,
    }
}

/// Whether a map of this kind may be passed to the helper (Linux: `check_map_func_compatibility`).
pub fn takes_map(id: u32, map: MapKind, kind: &ProgKind) -> bool {
    map_takes_helper(map, id, kind) && helper_takes_map(id, map)
}

fn row(id: u32) -> Option<&'static table::Row> {
    let at = table::ROWS.binary_search_by_key(&id, |r| r.proto.id).ok()?;
    table::ROWS.get(at)
}

/// From the map's side: kinds that only certain helpers may see.
fn map_takes_helper(map: MapKind, id: u32, kind: &ProgKind) -> bool {
    use MapKind::*;
    match map {
        ProgArray => id == 12,
        PerfEventArray => matches!(id, 22 | 25 | 55 | 111 | 121),
        Ringbuf => matches!(id, 130 | 131 | 134 | 198 | 199 | 200),
        UserRingbuf => id == 209,
        StackTrace => id == 27,
        CgroupArray => matches!(id, 33 | 37),
        CgroupStorage | PercpuCgroupStorage => id == 81,
        Devmap | DevmapHash | Xskmap => matches!(id, 1 | 51),
        Cpumap => id == 51,
        ArrayOfMaps | HashOfMaps => id == 1,
        Sockmap => matches!(id, 1 | 52 | 53 | 60 | 82) || (matches!(id, 2 | 3) && may_update_sockmap(kind)),
        Sockhash => matches!(id, 1 | 70 | 71 | 72 | 82) || (matches!(id, 2 | 3) && may_update_sockmap(kind)),
        ReuseportSockarray => id == 82,
        Queue | Stack => matches!(id, 87..=89),
        SkStorage => matches!(id, 107 | 108 | 194),
        InodeStorage => matches!(id, 145 | 146 | 194),
        TaskStorage => matches!(id, 156 | 157 | 194),
        CgrpStorage => matches!(id, 194 | 210 | 211),
        BloomFilter => matches!(id, 87 | 89),
        Hash | Array | PercpuHash | PercpuArray | LruHash | LruPercpuHash | LpmTrie | StructOps | Arena => true,
    }
}

/// From the helper's side: helpers that only certain map kinds may be given to.
fn helper_takes_map(id: u32, map: MapKind) -> bool {
    use MapKind::*;
    match id {
        12 => map == ProgArray,
        22 | 25 | 55 | 111 | 121 => map == PerfEventArray,
        27 => map == StackTrace,
        33 | 37 => map == CgroupArray,
        51 => matches!(map, Devmap | DevmapHash | Cpumap | Xskmap),
        52 | 53 | 60 => map == Sockmap,
        70..=72 => map == Sockhash,
        81 => matches!(map, CgroupStorage | PercpuCgroupStorage),
        82 => matches!(map, ReuseportSockarray | Sockmap | Sockhash),
        88 => matches!(map, Queue | Stack),
        87 | 89 => matches!(map, Queue | Stack | BloomFilter),
        107 | 108 => map == SkStorage,
        130 | 131 | 134 | 198..=200 => map == Ringbuf,
        145 | 146 => map == InodeStorage,
        156 | 157 => map == TaskStorage,
        195 => matches!(map, PercpuArray | PercpuHash | LruPercpuHash),
        209 => map == UserRingbuf,
        210 | 211 => map == CgrpStorage,
        _ => true,
    }
}

/// Program types that may change a map of sockets from inside (Linux: `may_update_sockmap`).
fn may_update_sockmap(kind: &ProgKind) -> bool {
    use ProgType::*;
    match kind.ty {
        SockOps | SocketFilter | SchedCls | SchedAct | Xdp | SkReuseport | FlowDissector | SkLookup => true,
        Tracing => kind.attach == crate::AttachType::TraceIter,
        _ => false,
    }
}
