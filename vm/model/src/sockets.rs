//! Which bytes of a socket a program may read through a socket pointer (`struct bpf_sock`, `bpf_tcp_sock`, `bpf_xdp_sock`),
//! read off a running Linux 6.18, byte by byte. Nothing of them may be written.

/// What kind of socket a pointer stands for.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum SocketKind {
    /// Any socket, of which only what all have may be read.
    Common,
    /// A full socket.
    Full,
    /// A TCP socket's own numbers.
    Tcp,
    /// An AF_XDP socket.
    Xdp,
}

/// Reads of `size` bytes at `off` that are allowed. Aligned ones only.
pub fn readable(kind: SocketKind, off: i64, size: u32) -> bool {
    let Ok(off) = u32::try_from(off) else { return false };
    if !matches!(size, 1 | 2 | 4 | 8) || off % size != 0 {
        return false;
    }
    let word = size == 4;
    match kind {
        SocketKind::Xdp => word && off == 0,
        SocketKind::Tcp => match off {
            // Two counters of 64 bits.
            80 | 88 => size == 8,
            _ => word && (off < 80 || (96..112).contains(&off)),
        },
        SocketKind::Common if matches!(off, 8 | 12 | 16 | 20) => false,
        SocketKind::Common | SocketKind::Full => match off {
            // Bound interface, mark and priority: whole.
            0 | 16 | 20 => word,
            // Family, type, protocol, source port, state, queue: the low bytes.
            4 | 8 | 12 | 44 | 72 | 76 => size <= 4,
            // The peer's port, two bytes wide.
            48 => size <= 4,
            49 => size == 1,
            // Addresses: any part.
            24..44 | 52..72 => size <= 4,
            _ => false,
        },
    }
}
