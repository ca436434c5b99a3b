//! Which bytes of a context a program may touch, by program type.
//!
//! The rows were read off a running Linux 6.18, byte by byte, size by size. An access is permitted if it is naturally
//! aligned and one row of its direction and size holds all of it. Fields that give pointers which [`FieldKind`] cannot
//! express (flow keys, full sockets) have no row: reading them is refused.

mod cgroup;

use backstop_abi as abi;

use crate::{AttachType, CtxAccess, CtxError, FieldKind, ProgKind, ProgType};

const B1: u8 = 1;
const B2: u8 = 2;
const B4: u8 = 4;
const B8: u8 = 8;
/// Any size up to 4: a field that may be read in parts.
const NARROW: u8 = B1 | B2 | B4;
const ALL: u8 = NARROW | B8;

/// Bytes `from..to` may be accessed in the sizes of the masks (a bit is the size itself).
struct Row {
    from: u32,
    to: u32,
    read: u8,
    write: u8,
    kind: FieldKind,
}

const fn row(from: u32, to: u32, read: u8, write: u8) -> Row {
    Row { from, to, read, write, kind: FieldKind::Scalar }
}

const fn pointer(from: u32, size: u8, kind: FieldKind) -> Row {
    Row { from, to: from + size as u32, read: size, write: 0, kind }
}

/// Length of the syscall type's context: any offset below it (Linux: `U16_MAX`).
const SYSCALL_LIMIT: u32 = u16::MAX as u32;

const XDP: &[Row] = &[
    pointer(0, 4, FieldKind::Packet),
    pointer(4, 4, FieldKind::PacketEnd),
    pointer(8, 4, FieldKind::PacketMeta),
    row(12, 20, B4, 0),
];
const XDP_DEVMAP: &[Row] = &[
    pointer(0, 4, FieldKind::Packet),
    pointer(4, 4, FieldKind::PacketEnd),
    pointer(8, 4, FieldKind::PacketMeta),
    row(12, 24, B4, 0),
];
const SOCKET_FILTER: &[Row] = &[
    row(0, 48, NARROW, 0),
    row(48, 68, NARROW, NARROW),
    row(48, 64, B8, B8),
    row(68, 72, NARROW, 0),
    row(84, 88, NARROW, 0),
    row(164, 168, NARROW, 0),
    pointer(168, 8, FieldKind::SockCommonOrNull),
    row(176, 180, NARROW, 0),
];
const TC: &[Row] = &[
    row(0, 76, NARROW, 0),
    row(8, 16, 0, B4),
    row(32, 36, 0, B4),
    row(44, 48, 0, B4),
    row(48, 68, 0, NARROW),
    row(48, 64, B8, B8),
    row(72, 76, 0, B4),
    pointer(76, 4, FieldKind::Packet),
    pointer(80, 4, FieldKind::PacketEnd),
    row(84, 88, NARROW, 0),
    pointer(140, 4, FieldKind::PacketMeta),
    row(152, 160, B8, B8),
    row(160, 168, NARROW, 0),
    pointer(168, 8, FieldKind::SockCommonOrNull),
    row(176, 180, NARROW, 0),
    row(180, 181, B1, 0),
    row(184, 192, B8, 0),
];
const CGROUP_SKB: &[Row] = &[
    row(0, 72, NARROW, 0),
    row(8, 12, 0, B4),
    row(32, 36, 0, B4),
    row(48, 68, 0, NARROW),
    row(48, 64, B8, B8),
    pointer(76, 4, FieldKind::Packet),
    pointer(80, 4, FieldKind::PacketEnd),
    row(84, 92, NARROW, 0),
    row(92, 132, B4, 0),
    row(132, 140, NARROW, 0),
    row(152, 160, B8, B8),
    row(164, 168, NARROW, 0),
    pointer(168, 8, FieldKind::SockCommonOrNull),
    row(176, 180, NARROW, 0),
    row(184, 192, B8, 0),
];
const LWT: &[Row] = &[
    row(0, 72, NARROW, 0),
    row(8, 12, 0, B4),
    row(32, 36, 0, B4),
    row(48, 68, 0, NARROW),
    row(48, 64, B8, B8),
    pointer(76, 4, FieldKind::Packet),
    pointer(80, 4, FieldKind::PacketEnd),
    row(84, 88, NARROW, 0),
    row(164, 168, NARROW, 0),
    pointer(168, 8, FieldKind::SockCommonOrNull),
    row(176, 180, NARROW, 0),
];
const SK_SKB: &[Row] = &[
    row(0, 8, NARROW, 0),
    row(12, 72, NARROW, 0),
    row(32, 36, 0, B4),
    row(44, 48, 0, B4),
    row(48, 64, B8, 0),
    pointer(76, 4, FieldKind::Packet),
    pointer(80, 4, FieldKind::PacketEnd),
    row(84, 92, NARROW, 0),
    row(92, 132, B4, 0),
    row(132, 140, NARROW, 0),
    row(164, 168, NARROW, 0),
    pointer(168, 8, FieldKind::SockCommonOrNull),
    row(176, 180, NARROW, 0),
];
const FLOW_DISSECTOR: &[Row] = &[pointer(76, 4, FieldKind::Packet), pointer(80, 4, FieldKind::PacketEnd)];
const SK_MSG: &[Row] = &[pointer(0, 8, FieldKind::Packet), pointer(8, 8, FieldKind::PacketEnd), row(16, 72, B4, 0)];
const SK_LOOKUP: &[Row] = &[row(8, 68, NARROW, 0)];
const SK_REUSEPORT: &[Row] = &[
    pointer(0, 8, FieldKind::Packet),
    pointer(8, 8, FieldKind::PacketEnd),
    row(16, 20, NARROW, 0),
    row(20, 24, B2 | B4, 0),
    row(24, 32, NARROW, 0),
    row(32, 36, B4, 0),
];
const SOCK_OPS: &[Row] = &[
    row(0, 168, B4, 0),
    row(4, 8, 0, B4),
    row(164, 168, 0, B4),
    row(168, 184, B8, 0),
    pointer(192, 8, FieldKind::Packet),
    pointer(200, 8, FieldKind::PacketEnd),
    row(208, 216, B4, 0),
    row(212, 214, B2, 0),
    row(212, 213, B1, 0),
    row(216, 224, B8, 0),
];
const CGROUP_DEVICE: &[Row] = &[row(0, 4, NARROW, 0), row(4, 12, B4, 0)];
const CGROUP_SYSCTL: &[Row] = &[row(0, 8, NARROW, 0), row(4, 8, 0, B4)];
const RAW_TP: &[Row] = &[row(0, 96, ALL, 0)];
/// The first argument is a writable buffer where it is read whole; only the others are plain.
const RAW_TP_WRITABLE: &[Row] = &[pointer(0, 8, FieldKind::TracepointBuffer), row(8, 96, B8, 0), row(1, 96, NARROW, 0)];
const KPROBE: &[Row] = &[row(0, 168, ALL, 0)];
const PERF_EVENT: &[Row] = &[row(0, 184, B8, 0), row(168, 184, NARROW, 0)];
const TRACEPOINT: &[Row] = &[row(8, 8192, ALL, 0)];

fn rows(kind: &ProgKind) -> &'static [Row] {
    use ProgType::*;
    match kind.ty {
        Xdp if kind.attach == AttachType::XdpDevmap => XDP_DEVMAP,
        Xdp => XDP,
        SocketFilter => SOCKET_FILTER,
        SchedCls | SchedAct => TC,
        CgroupSkb => CGROUP_SKB,
        LwtIn | LwtOut | LwtXmit | LwtSeg6Local => LWT,
        SkSkb => SK_SKB,
        FlowDissector => FLOW_DISSECTOR,
        SkMsg => SK_MSG,
        SkLookup => SK_LOOKUP,
        SkReuseport => SK_REUSEPORT,
        SockOps => SOCK_OPS,
        CgroupSock => cgroup::sock(kind.attach),
        CgroupSockAddr => cgroup::sock_addr(kind.attach),
        CgroupDevice => CGROUP_DEVICE,
        CgroupSysctl => CGROUP_SYSCTL,
        CgroupSockopt => cgroup::sockopt(kind.attach),
        RawTracepoint => RAW_TP,
        RawTracepointWritable => RAW_TP_WRITABLE,
        Kprobe => KPROBE,
        PerfEvent => PERF_EVENT,
        Tracepoint => TRACEPOINT,
        LircMode2 | Tracing | StructOps | Ext | Lsm | Netfilter | Syscall | RawMem | Host => &[],
    }
}

/// Judges one access of `size` bytes (1, 2, 4 or 8) at byte `off` of the context.
///
/// [`ProgType::RawMem`] has no context: its first argument is plain memory, and every access is refused here.
pub fn access(kind: &ProgKind, off: i64, size: u32, write: bool) -> Result<CtxAccess, CtxError> {
    let mask = match size {
        1 | 2 | 4 | 8 => size as u8,
        _ => return Err(CtxError::Invalid),
    };
    let off = u32::try_from(off).map_err(|_| CtxError::Invalid)?;
    // On x86-64 Linux calls a misaligned access of the context invalid, not misaligned.
    if off % size != 0 {
        return Err(CtxError::Invalid);
    }
    let plain = CtxAccess { kind: FieldKind::Scalar, native_off: off, native_size: size };
    match kind.ty {
        ProgType::Syscall if off < SYSCALL_LIMIT => Ok(plain),
        ProgType::Host => host_access(kind, off, size, write).then_some(plain).ok_or(CtxError::Invalid),
        _ => {
            let end = off.saturating_add(size);
            rows(kind)
                .iter()
                .find(|r| r.from <= off && end <= r.to && (if write { r.write } else { r.read }) & mask != 0)
                .map(|r| native(kind, r.kind, plain))
                .ok_or(CtxError::Invalid)
        }
    }
}

fn host_access(kind: &ProgKind, off: u32, size: u32, write: bool) -> bool {
    let end = off.saturating_add(size);
    kind.host.as_ref().is_some_and(|host| {
        host.fields.iter().any(|f| {
            f.offset <= off && end <= f.offset.saturating_add(f.size) && end <= host.size && (f.writable || !write)
        })
    })
}

/// Pointer fields stand beside the user's view in the native context; all else stays where it is.
fn native(kind: &ProgKind, field: FieldKind, plain: CtxAccess) -> CtxAccess {
    let xdp = kind.ty == ProgType::Xdp;
    let native_off = match field {
        FieldKind::Packet if xdp => abi::XDP_DATA,
        FieldKind::PacketEnd if xdp => abi::XDP_DATA_END,
        FieldKind::PacketMeta if xdp => abi::XDP_DATA_META,
        FieldKind::Packet | FieldKind::PacketEnd | FieldKind::PacketMeta if !has_skb(kind.ty) => plain.native_off,
        FieldKind::Packet => abi::SKB_DATA,
        FieldKind::PacketEnd => abi::SKB_DATA_END,
        FieldKind::PacketMeta => abi::SKB_DATA_META,
        FieldKind::Scalar | FieldKind::TracepointBuffer | FieldKind::SockCommonOrNull => plain.native_off,
    };
    let native_size = if field == FieldKind::Scalar { plain.native_size } else { 8 };
    CtxAccess { kind: field, native_off, native_size }
}

/// Whether the context is a `struct __sk_buff`.
pub fn has_skb(ty: ProgType) -> bool {
    use ProgType::*;
    matches!(
        ty,
        SocketFilter
            | SchedCls
            | SchedAct
            | CgroupSkb
            | LwtIn
            | LwtOut
            | LwtXmit
            | LwtSeg6Local
            | SkSkb
            | FlowDissector
    )
}

/// Bytes of the context as programs see it; none where it is not one struct (raw memory, BTF-typed arguments).
///
/// For the syscall type this is the limit, not a length that a run must bring.
pub fn size(kind: &ProgKind) -> Option<u32> {
    use ProgType::*;
    match kind.ty {
        Xdp => Some(24),
        ty if has_skb(ty) => Some(abi::SKB_USER_SIZE as u32),
        RawTracepoint | RawTracepointWritable => Some(96),
        Kprobe => Some(168),
        PerfEvent => Some(184),
        Tracepoint => Some(8192),
        Syscall => Some(SYSCALL_LIMIT),
        SkMsg => Some(80),
        SkLookup => Some(72),
        SkReuseport => Some(56),
        SockOps => Some(224),
        CgroupSock => Some(80),
        CgroupSockAddr => Some(72),
        CgroupDevice => Some(12),
        CgroupSysctl => Some(8),
        CgroupSockopt => Some(40),
        Host => kind.host.as_ref().map(|h| h.size),
        _ => None,
    }
}
