//! What one register (or spilled register) is known to hold.
//!
//! A [`RegState`] is small and copied freely. `kind` and `flags` together are the type; `off` is the fixed part and `var` the
//! variable part of a pointer's offset; `id` ties registers together that hold the same value (or came from the same
//! nullable pointer, or share a packet base).

use crate::domain::Scalar;

/// A map, as an index into the table of maps that the proof knows: the program's own first, inner templates after.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct MapId(pub u32);

/// Whose types a BTF id is in.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct BtfRef {
    /// In the environment's table of BTFs.
    pub btf: u32,
    /// The struct.
    pub id: u32,
}

/// What a register holds, without modifiers.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Kind {
    NotInit,
    Scalar,
    Ctx,
    /// Pointer into the stack of this frame.
    Stack(u8),
    MapPtr(MapId),
    MapValue(MapId),
    MapKey(MapId),
    Packet,
    PacketMeta,
    PacketEnd,
    SockCommon,
    Socket,
    TcpSock,
    XdpSock,
    /// Memory of the tracepoint's, as long as the program accesses it.
    TpBuffer,
    /// Kernel-typed or allocated object.
    Btf(BtfRef),
    /// Sized memory.
    Mem(u32),
    /// A subprogram's address.
    Func(u32),
    Arena,
    /// A dynptr handed to a callback.
    Dynptr,
}

/// Modifiers of a pointer type.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Debug)]
pub(crate) struct Flags(u16);

impl Flags {
    pub const NONE: Flags = Flags(0);
    pub const MAYBE_NULL: Flags = Flags(1);
    pub const RDONLY: Flags = Flags(2);
    pub const RINGBUF: Flags = Flags(4);
    pub const ALLOC: Flags = Flags(8);
    pub const TRUSTED: Flags = Flags(16);
    pub const RCU: Flags = Flags(32);
    pub const UNTRUSTED: Flags = Flags(64);
    pub const NON_OWN_REF: Flags = Flags(128);
    pub const PERCPU: Flags = Flags(256);
    pub const USER: Flags = Flags(512);
    /// Part of a packet, seen through a dynptr.
    pub const PACKET_SLICE: Flags = Flags(1024);

    /// What makes a pointer one that is vouched for (Linux: `BPF_REG_TRUSTED_MODIFIERS`).
    pub const VOUCHED: Flags = Flags::ALLOC.with(Flags::TRUSTED).with(Flags::NON_OWN_REF);

    pub const fn has(self, other: Flags) -> bool {
        self.0 & other.0 == other.0
    }

    pub const fn any(self, other: Flags) -> bool {
        self.0 & other.0 != 0
    }

    pub const fn with(self, other: Flags) -> Flags {
        Flags(self.0 | other.0)
    }

    pub const fn without(self, other: Flags) -> Flags {
        Flags(self.0 & !other.0)
    }
}

/// Packet pointer that is known to lie exactly at the packet's end or beyond.
pub(crate) const AT_PKT_END: i32 = -1;
/// Packet pointer that is known to lie beyond the packet's end.
pub(crate) const BEYOND_PKT_END: i32 = -2;

/// Set in `id` of a scalar that differs from the others of its id by the constant in `off`.
pub(crate) const ADD_CONST64: u32 = 1 << 31;
/// The same, of the low half alone; the high half is 0.
pub(crate) const ADD_CONST32: u32 = 1 << 30;
/// Either.
pub(crate) const ADD_CONST: u32 = ADD_CONST64 | ADD_CONST32;

/// One register.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct RegState {
    pub kind: Kind,
    pub flags: Flags,
    /// Pointers: fixed offset. Scalars: distance to the others of `id` if [`ADD_CONST`] is set.
    pub off: i32,
    /// Packet pointers: bytes from the base known to be there, or one of the two marks.
    pub range: i32,
    /// Distinguishes pointers into different elements, maps looked up in maps, linked scalars.
    pub id: u32,
    /// The reference it stands for.
    pub ref_id: u32,
    /// Which lookup gave the inner map.
    pub map_uid: u32,
    /// The dynptr that memory is a slice of.
    pub dynptr_id: u32,
    /// Value of a scalar; variable part of a pointer's offset.
    pub var: Scalar,
}

impl RegState {
    pub const NOT_INIT: RegState = RegState {
        kind: Kind::NotInit,
        flags: Flags::NONE,
        off: 0,
        range: 0,
        id: 0,
        ref_id: 0,
        map_uid: 0,
        dynptr_id: 0,
        var: Scalar::unknown(),
    };

    pub const UNKNOWN: RegState = RegState { kind: Kind::Scalar, ..RegState::NOT_INIT };

    pub const fn scalar(var: Scalar) -> RegState {
        RegState { kind: Kind::Scalar, var, ..RegState::NOT_INIT }
    }

    pub const fn constant(value: u64) -> RegState {
        RegState::scalar(Scalar::constant(value))
    }

    /// A pointer to the start of something.
    pub const fn pointer(kind: Kind) -> RegState {
        RegState { kind, var: Scalar::constant(0), ..RegState::NOT_INIT }
    }

    pub const fn flagged(self, flags: Flags) -> RegState {
        RegState { flags: self.flags.with(flags), ..self }
    }

    /// Nothing ties it to others, so that it covers itself whatever ids stand for.
    pub const fn has_no_ids(&self) -> bool {
        self.id == 0 && self.ref_id == 0
    }

    pub const fn is_scalar(&self) -> bool {
        matches!(self.kind, Kind::Scalar)
    }

    pub const fn is_init(&self) -> bool {
        !matches!(self.kind, Kind::NotInit)
    }

    /// Initialised and no scalar.
    pub const fn is_pointer(&self) -> bool {
        !matches!(self.kind, Kind::Scalar | Kind::NotInit)
    }

    pub const fn maybe_null(&self) -> bool {
        self.flags.has(Flags::MAYBE_NULL)
    }

    /// The scalar 0.
    pub fn is_null(&self) -> bool {
        self.is_scalar() && self.var.is_const() == Some(0)
    }

    pub fn scalar_const(&self) -> Option<u64> {
        if self.is_scalar() { self.var.is_const() } else { None }
    }

    /// Packet or metadata pointer, not the end.
    pub const fn is_packet(&self) -> bool {
        matches!(self.kind, Kind::Packet | Kind::PacketMeta)
    }

    pub const fn is_packet_any(&self) -> bool {
        matches!(self.kind, Kind::Packet | Kind::PacketMeta | Kind::PacketEnd)
    }

    /// The id without the mark of a constant distance.
    pub const fn base_id(&self) -> u32 {
        self.id & !ADD_CONST
    }

    /// Whether the pointer is certainly not 0 (Linux: `reg_not_null`).
    pub const fn not_null(&self) -> bool {
        if self.maybe_null() {
            return false;
        }
        match self.kind {
            Kind::Socket | Kind::TcpSock | Kind::MapValue(_) | Kind::MapKey(_) | Kind::SockCommon | Kind::MapPtr(_) => {
                true
            }
            // What only RCU keeps is not known to Linux here, though it was checked.
            Kind::Btf(_) => {
                let trusted = Flags::TRUSTED.with(Flags::ALLOC).with(Flags::NON_OWN_REF);
                self.ref_id != 0 || (self.flags.any(trusted) && self.flags.without(trusted).0 == 0)
            }
            Kind::Mem(_) => !self.flags.has(Flags::UNTRUSTED),
            _ => false,
        }
    }

    /// An object that a program allocated, and that is one for sure (Linux: `type_is_ptr_alloc_obj`).
    pub const fn is_object(&self) -> bool {
        matches!(self.kind, Kind::Btf(_)) && self.flags.has(Flags::ALLOC) && !self.flags.has(Flags::UNTRUSTED)
    }

    /// Whether a store to the stack keeps what it is.
    pub const fn is_spillable(&self) -> bool {
        self.is_pointer() && !matches!(self.kind, Kind::Dynptr | Kind::TpBuffer)
    }

    /// Type as the kernel's log writes it (`reg_type_str`).
    pub fn type_name(&self) -> String {
        type_name(self.kind, self.flags)
    }
}

/// Type as the kernel's log writes it.
pub(crate) fn type_name(kind: Kind, flags: Flags) -> String {
    let base = match kind {
        Kind::NotInit => "?",
        Kind::Scalar => "scalar",
        Kind::Ctx => "ctx",
        Kind::Stack(_) => "fp",
        Kind::MapPtr(_) => "map_ptr",
        Kind::MapValue(_) => "map_value",
        Kind::MapKey(_) => "map_key",
        Kind::Packet => "pkt",
        Kind::PacketMeta => "pkt_meta",
        Kind::PacketEnd => "pkt_end",
        Kind::SockCommon => "sock_common",
        Kind::Socket => "sock",
        Kind::TcpSock => "tcp_sock",
        Kind::XdpSock => "xdp_sock",
        Kind::TpBuffer => "tp_buffer",
        Kind::Btf(_) => "ptr_",
        Kind::Mem(_) => "mem",
        Kind::Func(_) => "func",
        Kind::Arena => "arena",
        Kind::Dynptr => "dynptr_ptr",
    };
    let mut prefix = String::new();
    for (flag, word) in [
        (Flags::RDONLY, "rdonly_"),
        (Flags::RINGBUF, "ringbuf_"),
        (Flags::USER, "user_"),
        (Flags::PERCPU, "percpu_"),
        (Flags::UNTRUSTED, "untrusted_"),
        (Flags::TRUSTED, "trusted_"),
        (Flags::RCU, "rcu_"),
    ] {
        if flags.has(flag) {
            prefix.push_str(word);
        }
    }
    let null = match (flags.has(Flags::MAYBE_NULL), kind) {
        (false, _) => "",
        (true, Kind::Btf(_)) => "or_null_",
        (true, _) => "_or_null",
    };
    format!("{prefix}{base}{null}")
}
