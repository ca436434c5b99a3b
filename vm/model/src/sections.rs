//! ELF section names and what they say of a program: libbpf's `SEC()` conventions, and Backstop's own names.

use crate::{AttachType, ProgKind, ProgType};

/// What a section's name says.
#[derive(Clone, PartialEq, Debug)]
pub struct SectionDef {
    /// Type and attach type. For `host/NAME` the struct is still to be filled in from [`SectionDef::host`].
    pub kind: ProgKind,
    /// Loaded when the object is loaded as a whole (no `?` before the name).
    pub autoload: bool,
    /// `host/NAME`: the name of the host's struct.
    pub host: Option<String>,
}

/// Why a section's name says nothing.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum SectionError {
    /// No known name.
    #[error(
        "section `{0}` names no known program type: use one of libbpf's SEC() names (`xdp`, `tc`, `socket`, `raw_tp/...`), \
         `raw_mem`, `raw_mem/LENGTH`, `raw_mem/LABEL` or `host/STRUCT`, or give the host's own section names a type"
    )]
    Unknown(String),
    /// A known name with something after it that does not fit.
    #[error("section `{section}`: {why}")]
    Malformed {
        /// The name.
        section: String,
        /// What is wrong and what would be right.
        why: &'static str,
    },
}

/// How a name may go on after its prefix.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Tail {
    /// Exactly the name.
    None,
    /// The name, or the name and `/anything`.
    May,
    /// The name and `/anything`.
    Must,
    /// The name and anything at all (libbpf's old sloppy match).
    Any,
}

struct Known {
    name: &'static str,
    tail: Tail,
    ty: ProgType,
    attach: AttachType,
    sleepable: bool,
    frags: bool,
}

const fn sec(name: &'static str, tail: Tail, ty: ProgType, attach: AttachType) -> Known {
    Known { name, tail, ty, attach, sleepable: false, frags: false }
}

impl Known {
    const fn sleepable(mut self) -> Known {
        self.sleepable = true;
        self
    }
    const fn frags(mut self) -> Known {
        self.frags = true;
        self
    }
}

const fn other(number: u32) -> AttachType {
    AttachType::Other(number)
}

/// The first row that matches counts.
static KNOWN: &[Known] = {
    use AttachType::None as NoAttach;
    use AttachType::*;
    use ProgType::*;
    use Tail::{Any, May, Must, None};
    &[
        sec("socket", Any, SocketFilter, NoAttach),
        sec("sk_reuseport/migrate", None, SkReuseport, other(40)),
        sec("sk_reuseport", None, SkReuseport, other(39)),
        sec("kprobe.multi", May, Kprobe, KprobeMulti),
        sec("kretprobe.multi", May, Kprobe, KprobeMulti),
        sec("kprobe.session", May, Kprobe, KprobeSession),
        sec("kprobe", May, Kprobe, NoAttach),
        sec("kretprobe", May, Kprobe, NoAttach),
        sec("uprobe.multi.s", May, Kprobe, UprobeMulti).sleepable(),
        sec("uretprobe.multi.s", May, Kprobe, UprobeMulti).sleepable(),
        sec("uprobe.session.s", May, Kprobe, other(57)).sleepable(),
        sec("uprobe.multi", May, Kprobe, UprobeMulti),
        sec("uretprobe.multi", May, Kprobe, UprobeMulti),
        sec("uprobe.session", May, Kprobe, other(57)),
        sec("uprobe.s", May, Kprobe, NoAttach).sleepable(),
        sec("uretprobe.s", May, Kprobe, NoAttach).sleepable(),
        sec("uprobe", May, Kprobe, NoAttach),
        sec("uretprobe", May, Kprobe, NoAttach),
        sec("ksyscall", May, Kprobe, NoAttach),
        sec("kretsyscall", May, Kprobe, NoAttach),
        sec("usdt.s", May, Kprobe, NoAttach).sleepable(),
        sec("usdt", May, Kprobe, NoAttach),
        sec("tc/ingress", None, SchedCls, other(46)),
        sec("tc/egress", None, SchedCls, other(47)),
        sec("tcx/ingress", None, SchedCls, other(46)),
        sec("tcx/egress", None, SchedCls, other(47)),
        sec("tc", May, SchedCls, NoAttach),
        sec("tcx", May, SchedCls, NoAttach),
        sec("classifier", Any, SchedCls, NoAttach),
        sec("action", Any, SchedAct, NoAttach),
        sec("netkit/primary", None, SchedCls, other(54)),
        sec("netkit/peer", None, SchedCls, other(55)),
        sec("tracepoint", May, Tracepoint, NoAttach),
        sec("tp", May, Tracepoint, NoAttach),
        sec("raw_tracepoint.w", May, RawTracepointWritable, NoAttach),
        sec("raw_tp.w", May, RawTracepointWritable, NoAttach),
        sec("raw_tracepoint", May, RawTracepoint, NoAttach),
        sec("raw_tp", May, RawTracepoint, NoAttach),
        sec("tp_btf", May, Tracing, TraceRawTp),
        sec("fentry.s", May, Tracing, TraceFentry).sleepable(),
        sec("fmod_ret.s", May, Tracing, TraceModifyReturn).sleepable(),
        sec("fexit.s", May, Tracing, TraceFexit).sleepable(),
        sec("fentry", May, Tracing, TraceFentry),
        sec("fmod_ret", May, Tracing, TraceModifyReturn),
        sec("fexit", May, Tracing, TraceFexit),
        sec("freplace", May, Ext, NoAttach),
        sec("lsm_cgroup", May, Lsm, other(43)),
        sec("lsm.s", May, Lsm, other(27)).sleepable(),
        sec("lsm", May, Lsm, other(27)),
        sec("iter.s", May, Tracing, TraceIter).sleepable(),
        sec("iter", May, Tracing, TraceIter),
        sec("syscall", None, Syscall, NoAttach).sleepable(),
        sec("xdp.frags/devmap", None, Xdp, XdpDevmap).frags(),
        sec("xdp/devmap", None, Xdp, XdpDevmap),
        sec("xdp.frags/cpumap", None, Xdp, XdpCpumap).frags(),
        sec("xdp/cpumap", None, Xdp, XdpCpumap),
        sec("xdp.frags", None, Xdp, other(37)).frags(),
        sec("xdp", Any, Xdp, other(37)),
        sec("perf_event", None, PerfEvent, NoAttach),
        sec("lwt_in", None, LwtIn, NoAttach),
        sec("lwt_out", None, LwtOut, NoAttach),
        sec("lwt_xmit", None, LwtXmit, NoAttach),
        sec("lwt_seg6local", None, LwtSeg6Local, NoAttach),
        sec("sockops", None, SockOps, other(3)),
        sec("sk_skb/stream_parser", None, SkSkb, other(4)),
        sec("sk_skb/stream_verdict", None, SkSkb, other(5)),
        sec("sk_skb/verdict", None, SkSkb, other(38)),
        sec("sk_skb", Any, SkSkb, NoAttach),
        sec("sk_msg", None, SkMsg, other(7)),
        sec("lirc_mode2", None, LircMode2, other(16)),
        sec("flow_dissector", None, FlowDissector, other(17)),
        sec("cgroup_skb/ingress", None, CgroupSkb, CgroupInetIngress),
        sec("cgroup_skb/egress", None, CgroupSkb, CgroupInetEgress),
        sec("cgroup/skb", None, CgroupSkb, NoAttach),
        sec("cgroup/sock_create", None, CgroupSock, other(2)),
        sec("cgroup/sock_release", None, CgroupSock, other(34)),
        sec("cgroup/sock", None, CgroupSock, other(2)),
        sec("cgroup/post_bind4", None, CgroupSock, other(12)),
        sec("cgroup/post_bind6", None, CgroupSock, other(13)),
        sec("cgroup/bind4", None, CgroupSockAddr, other(8)),
        sec("cgroup/bind6", None, CgroupSockAddr, other(9)),
        sec("cgroup/connect4", None, CgroupSockAddr, other(10)),
        sec("cgroup/connect6", None, CgroupSockAddr, other(11)),
        sec("cgroup/connect_unix", None, CgroupSockAddr, other(49)),
        sec("cgroup/sendmsg4", None, CgroupSockAddr, other(14)),
        sec("cgroup/sendmsg6", None, CgroupSockAddr, other(15)),
        sec("cgroup/sendmsg_unix", None, CgroupSockAddr, other(50)),
        sec("cgroup/recvmsg4", None, CgroupSockAddr, other(19)),
        sec("cgroup/recvmsg6", None, CgroupSockAddr, other(20)),
        sec("cgroup/recvmsg_unix", None, CgroupSockAddr, other(51)),
        sec("cgroup/getpeername4", None, CgroupSockAddr, other(29)),
        sec("cgroup/getpeername6", None, CgroupSockAddr, other(30)),
        sec("cgroup/getpeername_unix", None, CgroupSockAddr, other(52)),
        sec("cgroup/getsockname4", None, CgroupSockAddr, other(31)),
        sec("cgroup/getsockname6", None, CgroupSockAddr, other(32)),
        sec("cgroup/getsockname_unix", None, CgroupSockAddr, other(53)),
        sec("cgroup/sysctl", None, CgroupSysctl, other(18)),
        sec("cgroup/getsockopt", None, CgroupSockopt, other(21)),
        sec("cgroup/setsockopt", None, CgroupSockopt, other(22)),
        sec("cgroup/dev", None, CgroupDevice, other(6)),
        sec("struct_ops.s", May, StructOps, NoAttach).sleepable(),
        sec("struct_ops", May, StructOps, NoAttach),
        sec("sk_lookup", None, SkLookup, other(36)),
        sec("netfilter", None, Netfilter, other(45)),
        sec("raw_mem", None, RawMem, NoAttach),
        sec("host", Must, Host, NoAttach),
    ]
};

fn matches(known: &Known, name: &str) -> bool {
    let Some(rest) = name.strip_prefix(known.name) else { return false };
    match known.tail {
        Tail::None => rest.is_empty(),
        Tail::May => rest.is_empty() || rest.starts_with('/'),
        Tail::Must => rest.len() > 1 && rest.starts_with('/'),
        Tail::Any => true,
    }
}

/// What a section's name says.
///
/// # Errors
/// If the name is none that libbpf or Backstop knows.
pub fn parse(section: &str) -> Result<SectionDef, SectionError> {
    parse_with(section, &|_| None)
}

/// What a section's name says, after the host's own names (without the `?`) have been asked for.
///
/// # Errors
/// As [`parse`].
pub fn parse_with(section: &str, custom: &dyn Fn(&str) -> Option<ProgKind>) -> Result<SectionDef, SectionError> {
    let (name, autoload) = match section.strip_prefix('?') {
        Some(rest) => (rest, false),
        None => (section, true),
    };
    if let Some(kind) = custom(name) {
        return Ok(SectionDef { kind, autoload, host: None });
    }
    if let Some(length) = name.strip_prefix("raw_mem/") {
        let mut kind = ProgKind::new(ProgType::RawMem);
        kind.memory_len = raw_length(section, length)?.unwrap_or(kind.memory_len);
        return Ok(SectionDef { kind, autoload, host: None });
    }
    let known = KNOWN.iter().find(|k| matches(k, name)).ok_or_else(|| SectionError::Unknown(section.to_owned()))?;
    let mut kind = ProgKind::new(known.ty);
    kind.attach = known.attach;
    kind.sleepable = known.sleepable;
    kind.frags = known.frags;
    let host = (known.ty == ProgType::Host).then(|| name.strip_prefix("host/").unwrap_or_default().to_owned());
    Ok(SectionDef { kind, autoload, host })
}

/// Most bytes of memory that `raw_mem/LENGTH` may ask for: what a verifier's offset can span with room to spare.
pub const MAX_RAW_MEM: u32 = 1 << 28;

/// A length, if what follows `raw_mem/` begins with a digit; any other word is only a label.
fn raw_length(section: &str, text: &str) -> Result<Option<u32>, SectionError> {
    if !text.starts_with(|c: char| c.is_ascii_digit()) {
        return Ok(None);
    }
    match text.parse::<u32>() {
        Ok(n) if (1..=MAX_RAW_MEM).contains(&n) => Ok(Some(n)),
        _ => {
            let why =
                "the length is a decimal number of bytes from 1 to 268435456; a label must not begin with a digit";
            Err(SectionError::Malformed { section: section.to_owned(), why })
        }
    }
}

/// The length in bytes that a `raw_mem` section states for its memory; none if it leaves that to the host (`raw_mem`, `raw_mem/LABEL`) or
/// is no `raw_mem` section at all.
pub fn stated_memory_len(section: &str) -> Option<u32> {
    let length = section.strip_prefix('?').unwrap_or(section).strip_prefix("raw_mem/")?;
    raw_length(section, length).ok().flatten()
}
