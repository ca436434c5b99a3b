//! Program types, attach types and what a program's first argument is.

use std::sync::Arc;

/// Program type, by Linux's name; the last two are Backstop's own.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[allow(missing_docs)]
pub enum ProgType {
    SocketFilter,
    Kprobe,
    SchedCls,
    SchedAct,
    Tracepoint,
    Xdp,
    PerfEvent,
    CgroupSkb,
    CgroupSock,
    LwtIn,
    LwtOut,
    LwtXmit,
    SockOps,
    SkSkb,
    CgroupDevice,
    SkMsg,
    RawTracepoint,
    CgroupSockAddr,
    LwtSeg6Local,
    LircMode2,
    SkReuseport,
    FlowDissector,
    CgroupSysctl,
    RawTracepointWritable,
    CgroupSockopt,
    Tracing,
    StructOps,
    Ext,
    Lsm,
    SkLookup,
    Syscall,
    Netfilter,
    /// r1 = pointer to memory, r2 = its length, both known to the verifier.
    RawMem,
    /// r1 = pointer to a struct of the host's.
    Host,
}

/// Attach type, where it changes what the verifier allows.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
#[allow(missing_docs)]
pub enum AttachType {
    #[default]
    None,
    CgroupInetIngress,
    CgroupInetEgress,
    XdpDevmap,
    XdpCpumap,
    TraceIter,
    TraceFentry,
    TraceFexit,
    TraceModifyReturn,
    TraceRawTp,
    KprobeMulti,
    UprobeMulti,
    KprobeSession,
    /// Any other, by Linux's number.
    Other(u32),
}

impl ProgType {
    /// All of Linux's types in the order of their numbers, from 1 on.
    pub const LINUX: [ProgType; 32] = [
        ProgType::SocketFilter,
        ProgType::Kprobe,
        ProgType::SchedCls,
        ProgType::SchedAct,
        ProgType::Tracepoint,
        ProgType::Xdp,
        ProgType::PerfEvent,
        ProgType::CgroupSkb,
        ProgType::CgroupSock,
        ProgType::LwtIn,
        ProgType::LwtOut,
        ProgType::LwtXmit,
        ProgType::SockOps,
        ProgType::SkSkb,
        ProgType::CgroupDevice,
        ProgType::SkMsg,
        ProgType::RawTracepoint,
        ProgType::CgroupSockAddr,
        ProgType::LwtSeg6Local,
        ProgType::LircMode2,
        ProgType::SkReuseport,
        ProgType::FlowDissector,
        ProgType::CgroupSysctl,
        ProgType::RawTracepointWritable,
        ProgType::CgroupSockopt,
        ProgType::Tracing,
        ProgType::StructOps,
        ProgType::Ext,
        ProgType::Lsm,
        ProgType::SkLookup,
        ProgType::Syscall,
        ProgType::Netfilter,
    ];

    /// Linux's number (`BPF_PROG_TYPE_*`); none for Backstop's own types.
    pub fn linux_number(self) -> Option<u32> {
        let at = ProgType::LINUX.iter().position(|&t| t == self)?;
        u32::try_from(at).ok()?.checked_add(1)
    }

    /// Linux's name in lower case (`sched_cls`), as bpftool prints it; `raw_mem` and `host` for Backstop's own.
    pub const fn name(self) -> &'static str {
        match self {
            ProgType::SocketFilter => "socket_filter",
            ProgType::Kprobe => "kprobe",
            ProgType::SchedCls => "sched_cls",
            ProgType::SchedAct => "sched_act",
            ProgType::Tracepoint => "tracepoint",
            ProgType::Xdp => "xdp",
            ProgType::PerfEvent => "perf_event",
            ProgType::CgroupSkb => "cgroup_skb",
            ProgType::CgroupSock => "cgroup_sock",
            ProgType::LwtIn => "lwt_in",
            ProgType::LwtOut => "lwt_out",
            ProgType::LwtXmit => "lwt_xmit",
            ProgType::SockOps => "sock_ops",
            ProgType::SkSkb => "sk_skb",
            ProgType::CgroupDevice => "cgroup_device",
            ProgType::SkMsg => "sk_msg",
            ProgType::RawTracepoint => "raw_tracepoint",
            ProgType::CgroupSockAddr => "cgroup_sock_addr",
            ProgType::LwtSeg6Local => "lwt_seg6local",
            ProgType::LircMode2 => "lirc_mode2",
            ProgType::SkReuseport => "sk_reuseport",
            ProgType::FlowDissector => "flow_dissector",
            ProgType::CgroupSysctl => "cgroup_sysctl",
            ProgType::RawTracepointWritable => "raw_tracepoint_writable",
            ProgType::CgroupSockopt => "cgroup_sockopt",
            ProgType::Tracing => "tracing",
            ProgType::StructOps => "struct_ops",
            ProgType::Ext => "ext",
            ProgType::Lsm => "lsm",
            ProgType::SkLookup => "sk_lookup",
            ProgType::Syscall => "syscall",
            ProgType::Netfilter => "netfilter",
            ProgType::RawMem => "raw_mem",
            ProgType::Host => "host",
        }
    }
}

/// `enum bpf_attach_type` of Linux 6.18 in lower case and without `BPF_`, by number.
const ATTACH_NAMES: [&str; 58] = [
    "cgroup_inet_ingress",
    "cgroup_inet_egress",
    "cgroup_inet_sock_create",
    "cgroup_sock_ops",
    "sk_skb_stream_parser",
    "sk_skb_stream_verdict",
    "cgroup_device",
    "sk_msg_verdict",
    "cgroup_inet4_bind",
    "cgroup_inet6_bind",
    "cgroup_inet4_connect",
    "cgroup_inet6_connect",
    "cgroup_inet4_post_bind",
    "cgroup_inet6_post_bind",
    "cgroup_udp4_sendmsg",
    "cgroup_udp6_sendmsg",
    "lirc_mode2",
    "flow_dissector",
    "cgroup_sysctl",
    "cgroup_udp4_recvmsg",
    "cgroup_udp6_recvmsg",
    "cgroup_getsockopt",
    "cgroup_setsockopt",
    "trace_raw_tp",
    "trace_fentry",
    "trace_fexit",
    "modify_return",
    "lsm_mac",
    "trace_iter",
    "cgroup_inet4_getpeername",
    "cgroup_inet6_getpeername",
    "cgroup_inet4_getsockname",
    "cgroup_inet6_getsockname",
    "xdp_devmap",
    "cgroup_inet_sock_release",
    "xdp_cpumap",
    "sk_lookup",
    "xdp",
    "sk_skb_verdict",
    "sk_reuseport_select",
    "sk_reuseport_select_or_migrate",
    "perf_event",
    "trace_kprobe_multi",
    "lsm_cgroup",
    "struct_ops",
    "netfilter",
    "tcx_ingress",
    "tcx_egress",
    "trace_uprobe_multi",
    "cgroup_unix_connect",
    "cgroup_unix_sendmsg",
    "cgroup_unix_recvmsg",
    "cgroup_unix_getpeername",
    "cgroup_unix_getsockname",
    "netkit_primary",
    "netkit_peer",
    "trace_kprobe_session",
    "trace_uprobe_session",
];

impl AttachType {
    /// Linux's name in lower case without `BPF_` (`xdp_devmap`), as bpftool prints it; none where no attach type is set or Linux 6.18
    /// has none of this number.
    pub fn name(self) -> Option<&'static str> {
        match self {
            AttachType::None => None,
            other => ATTACH_NAMES.get(usize::try_from(other.linux_number()).ok()?).copied(),
        }
    }

    /// Linux's number (`enum bpf_attach_type`); 0 where none is set.
    pub const fn linux_number(self) -> u32 {
        match self {
            AttachType::None | AttachType::CgroupInetIngress => 0,
            AttachType::CgroupInetEgress => 1,
            AttachType::TraceRawTp => 23,
            AttachType::TraceFentry => 24,
            AttachType::TraceFexit => 25,
            AttachType::TraceModifyReturn => 26,
            AttachType::TraceIter => 28,
            AttachType::XdpDevmap => 33,
            AttachType::XdpCpumap => 35,
            AttachType::KprobeMulti => 42,
            AttachType::UprobeMulti => 48,
            AttachType::KprobeSession => 56,
            AttachType::Other(number) => number,
        }
    }
}

/// What kind of program this is, in full.
#[derive(Clone, PartialEq, Debug)]
pub struct ProgKind {
    /// Type.
    pub ty: ProgType,
    /// Attach type.
    pub attach: AttachType,
    /// May sleep (`.s` sections, syscall).
    pub sleepable: bool,
    /// XDP with multi-buffer support (`xdp.frags`).
    pub frags: bool,
    /// For [`ProgType::RawMem`]: length of the memory in bytes. A run must bring exactly this many.
    pub memory_len: u32,
    /// For [`ProgType::Host`]: the struct.
    pub host: Option<Arc<HostContext>>,
}

impl ProgKind {
    /// A kind with nothing but a type.
    pub fn new(ty: ProgType) -> ProgKind {
        ProgKind {
            ty,
            attach: AttachType::None,
            sleepable: ty == ProgType::Syscall,
            frags: false,
            memory_len: 64,
            host: None,
        }
    }
}

/// A `#[repr(C)]` struct of the host's that programs get as their first argument.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HostContext {
    /// The struct's name in C.
    pub name: String,
    /// Size in bytes.
    pub size: u32,
    /// Fields by offset, ascending, not overlapping. Bytes outside any field are not accessible.
    pub fields: Vec<HostField>,
}

/// One field of a [`HostContext`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HostField {
    /// Name in C.
    pub name: String,
    /// Byte offset.
    pub offset: u32,
    /// Size in bytes.
    pub size: u32,
    /// Whether programs may write it.
    pub writable: bool,
}
