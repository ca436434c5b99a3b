//! Contexts of the cgroup hooks, whose fields depend on the attach type: what a hook does not know cannot be read.

use super::{B1, B2, B4, B8, NARROW, Row, pointer, row};
use crate::{AttachType, FieldKind};

/// Linux's numbers of the attach types whose contexts differ from their type's first.
mod attach {
    pub(super) const POST_BIND4: u32 = 12;
    pub(super) const POST_BIND6: u32 = 13;
    pub(super) const SENDMSG4: u32 = 14;
    pub(super) const SENDMSG6: u32 = 15;
    /// bind, connect, recvmsg, getpeername and getsockname of IPv6.
    pub(super) const INET6: [u32; 5] = [9, 11, 20, 30, 32];
    /// connect, sendmsg, recvmsg, getpeername and getsockname of Unix sockets.
    pub(super) const UNIX: [u32; 5] = [49, 50, 51, 52, 53];
    pub(super) const SETSOCKOPT: u32 = 22;
}

/// Rows that all `struct bpf_sock` contexts have: numbers of which the low part may be read alone.
macro_rules! sock_rows {
    ($($own:expr),* $(,)?) => {
        &[
            $($own,)*
            row(4, 16, B4, 0),
            row(4, 6, B2, 0),
            row(4, 5, B1, 0),
            row(8, 10, B2, 0),
            row(12, 14, B2, 0),
            row(8, 9, B1, 0),
            row(12, 13, B1, 0),
            row(48, 80, B4, 0),
            row(48, 50, B1 | B2, 0),
            row(52, 72, NARROW, 0),
            row(72, 74, B2, 0),
            row(76, 78, B2, 0),
            row(72, 73, B1, 0),
            row(76, 77, B1, 0),
        ]
    };
}

const SOCK: &[Row] = sock_rows![row(0, 4, B4, B4), row(16, 24, B4, B4)];
const SOCK_POST_BIND4: &[Row] =
    sock_rows![row(24, 28, NARROW, 0), row(44, 48, B4, 0), row(44, 46, B2, 0), row(44, 45, B1, 0)];
const SOCK_POST_BIND6: &[Row] =
    sock_rows![row(28, 44, NARROW, 0), row(44, 48, B4, 0), row(44, 46, B2, 0), row(44, 45, B1, 0)];

/// `struct bpf_sock`, as it is made, released or bound.
pub(super) fn sock(attach: AttachType) -> &'static [Row] {
    match attach {
        AttachType::Other(attach::POST_BIND4) => SOCK_POST_BIND4,
        AttachType::Other(attach::POST_BIND6) => SOCK_POST_BIND6,
        _ => SOCK,
    }
}

/// Rows that all `struct bpf_sock_addr` contexts have: the families, the port, type and protocol.
macro_rules! addr_rows {
    ($($own:expr),* $(,)?) => {
        &[row(0, 4, B4, 0), $($own,)* row(24, 28, NARROW, B4), row(28, 40, B4, 0)]
    };
}

const ADDR4: &[Row] = addr_rows![row(4, 8, NARROW, B4)];
const ADDR4_SENDMSG: &[Row] = addr_rows![row(4, 8, NARROW, B4), row(40, 44, NARROW, B4)];
const ADDR6: &[Row] = addr_rows![row(8, 24, NARROW | B8, B4 | B8)];
const ADDR6_SENDMSG: &[Row] = addr_rows![row(8, 24, NARROW | B8, B4 | B8), row(44, 60, NARROW | B8, B4 | B8)];
const ADDR_UNIX: &[Row] = addr_rows![];

/// `struct bpf_sock_addr`, by the family of the address.
pub(super) fn sock_addr(attach: AttachType) -> &'static [Row] {
    match attach {
        AttachType::Other(attach::SENDMSG4) => ADDR4_SENDMSG,
        AttachType::Other(attach::SENDMSG6) => ADDR6_SENDMSG,
        AttachType::Other(n) if attach::INET6.contains(&n) => ADDR6,
        AttachType::Other(n) if attach::UNIX.contains(&n) => ADDR_UNIX,
        _ => ADDR4,
    }
}

const GETSOCKOPT: &[Row] =
    &[pointer(8, 8, FieldKind::Packet), pointer(16, 8, FieldKind::PacketEnd), row(24, 32, B4, 0), row(32, 40, B4, B4)];
const SETSOCKOPT: &[Row] =
    &[pointer(8, 8, FieldKind::Packet), pointer(16, 8, FieldKind::PacketEnd), row(24, 36, B4, B4)];

/// `struct bpf_sockopt`: the option's number before it is set, its result after it was read.
pub(super) fn sockopt(attach: AttachType) -> &'static [Row] {
    match attach {
        AttachType::Other(attach::SETSOCKOPT) => SETSOCKOPT,
        _ => GETSOCKOPT,
    }
}
