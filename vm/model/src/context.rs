//! A program's context (r1 at entry) as data: which bytes may be read or written, and what they give.

/// What the value loaded from a context field is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum FieldKind {
    /// A number.
    Scalar,
    /// Start of the packet.
    Packet,
    /// End of the packet.
    PacketEnd,
    /// Start of the packet's metadata.
    PacketMeta,
    /// A buffer of the tracepoint's, whose size is checked when the program is attached: judged only.
    TracepointBuffer,
    /// A socket or NULL (`__sk_buff.sk`): judged, but always NULL in Backstop's own runs.
    SockCommonOrNull,
}

/// A permitted access, and how compiled code performs it on the native context.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct CtxAccess {
    /// What a load gives.
    pub kind: FieldKind,
    /// Byte offset in the native context (see the `abi` crate).
    pub native_off: u32,
    /// Size in bytes of the native access: for pointers 8, else the size asked for.
    pub native_size: u32,
}

/// A context access that is refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CtxError {
    /// `invalid bpf_context access off=N size=N`.
    Invalid,
    /// Off the natural alignment (`misaligned context access off N size N`).
    Misaligned,
}
