//! Helpers as data: number, name, prototype, who may call them.

/// What a helper takes in one argument register. Named after what the verifier must prove.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[allow(missing_docs)]
pub enum ArgKind {
    /// No argument.
    None,
    /// Any initialised value.
    Anything,
    /// The program's own context.
    Ctx,
    /// The program's own context, or NULL.
    CtxOrNull,
    /// A map, constant.
    ConstMap,
    /// Readable memory of the map's key size; the map is an earlier argument.
    MapKey,
    /// Readable memory of the map's value size.
    MapValue,
    /// As `MapValue`, may be NULL.
    MapValueOrNull,
    /// Memory of the map's value size that the helper fills.
    UninitMapValue,
    /// Readable memory; its length is the next argument.
    Mem,
    /// Readable memory or NULL; length next.
    MemOrNull,
    /// Memory that the helper fills; length next. Uninitialised stack is fine.
    UninitMem,
    /// As `UninitMem`, may be NULL.
    UninitMemOrNull,
    /// Memory of this many bytes, read.
    FixedMem(u32),
    /// Memory of this many bytes, filled by the helper.
    UninitFixedMem(u32),
    /// Memory of this many bytes, aligned to its size, filled by the helper.
    UninitFixedMemAligned(u32),
    /// A length for the memory before it, at least 1.
    Size,
    /// A length for the memory before it, may be 0.
    SizeOrZero,
    /// A constant size of an allocation, 0 allowed.
    ConstAllocSize,
    /// A function of the program, called back before the helper returns or later.
    Callback,
    /// Stack pointer or NULL, passed on to a callback.
    StackOrNull,
    /// A constant, NUL-terminated string in a read-only map.
    ConstStr,
    /// A spin lock in a map value or allocated object.
    SpinLock,
    /// A timer in a map value.
    Timer,
    /// A kptr field in a map value.
    KptrField,
    /// A referenced or trusted BTF object pointer or NULL (second of kptr_xchg).
    BtfOrNull,
    /// A ring buffer record from bpf_ringbuf_reserve.
    RingbufRecord,
    /// An uninitialised dynptr on the stack that the helper makes (local).
    DynptrUninitLocal,
    /// An uninitialised dynptr on the stack that the helper makes (ring buffer).
    DynptrUninitRingbuf,
    /// An initialised dynptr, only read.
    DynptrRdonly,
    /// An initialised dynptr.
    Dynptr,
    /// An initialised ring buffer dynptr.
    DynptrRingbuf,
    /// A socket-like pointer with a BTF id.
    BtfSockCommon,
    /// A socket of any kind, which has no BTF id.
    Socket,
    /// A per-CPU BTF object.
    PercpuBtf,
    /// Object of a named struct of the kernel's.
    BtfStruct(&'static str),
    /// As `BtfStruct`, may be NULL.
    BtfStructOrNull(&'static str),
    /// Pointer to a long, filled.
    UninitLong,
}

/// What a helper leaves in r0.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum RetKind {
    /// A 64-bit number.
    Integer,
    /// Nothing: r0 must not be read.
    Void,
    /// A map value or NULL.
    MapValueOrNull,
    /// Memory of the constant size given as an argument, or NULL (ring buffer reserve).
    AllocMemOrNull,
    /// Memory of the constant size given as an argument, or NULL (dynptr data).
    DynptrMemOrNull,
    /// A socket or NULL.
    SocketOrNull,
    /// TCP socket or NULL.
    TcpSockOrNull,
    /// Common socket or NULL.
    SockCommonOrNull,
    /// A trusted object of the named struct of the kernel's.
    BtfTrusted(&'static str),
    /// An object of the named struct of the kernel's that nobody vouches for.
    Btf(&'static str),
    /// As `Btf`, or NULL.
    BtfOrNull(&'static str),
    /// An untyped BTF pointer or NULL of the type of the kptr field.
    KptrOrNull,
    /// A per-CPU memory pointer or NULL.
    PercpuMemOrNull,
    /// A per-CPU memory pointer.
    PercpuMem,
}

/// How the verifier follows a helper's callback.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum CallbackUse {
    /// bpf_loop: (index, ctx).
    Loop,
    /// bpf_for_each_map_elem: (map, key, value, ctx).
    ForEachMapElem,
    /// bpf_user_ringbuf_drain: (dynptr, ctx).
    UserRingbufDrain,
    /// bpf_timer_set_callback: (map, key, value), called later.
    Timer,
    /// bpf_find_vma: (task, vma, ctx).
    FindVma,
}

/// A helper's prototype and rules.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct HelperProto {
    /// Linux's number.
    pub id: u32,
    /// Linux's name without `bpf_` (`map_lookup_elem`).
    pub name: &'static str,
    /// Arguments r1 to r5.
    pub args: [ArgKind; 5],
    /// Result.
    pub ret: RetKind,
    /// Callable by GPL-compatible programs only.
    pub gpl_only: bool,
    /// Packet pointers are invalid after it.
    pub changes_packet: bool,
    /// May sleep: callable in sleepable programs only.
    pub might_sleep: bool,
    /// Acquires the reference it returns.
    pub acquires: bool,
    /// Argument (0 to 4) whose reference it releases.
    pub releases: Option<u8>,
    /// Calls a function of the program.
    pub callback: Option<CallbackUse>,
    /// Enters code of the embedder's (Backstop: the trace sink), which may panic.
    pub reaches_host: bool,
    /// Packet pointers may be passed as memory.
    pub packet_access: bool,
}

impl HelperProto {
    /// Whether a run may end in it, by a panic or an error of code that it enters: engines must look after the call.
    pub fn may_end_run(&self) -> bool {
        self.reaches_host || self.callback.is_some()
    }
}
