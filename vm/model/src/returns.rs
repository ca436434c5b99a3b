//! What a program may return, and what it may do to packets: rules by program type (Linux 6.18: `check_return_code`,
//! `may_access_direct_pkt_data`).

use crate::{AttachType, ProgKind, ProgType};

/// Inclusive range that a program's result must lie in, as signed 64-bit numbers.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct RetRange {
    /// Least.
    pub min: i64,
    /// Greatest.
    pub max: i64,
    /// Only the low 32 bits of the result count.
    pub word: bool,
}

const fn int(min: i64, max: i64) -> Option<RetRange> {
    Some(RetRange { min, max, word: false })
}

/// Linux's numbers of the attach types that have a range of their own.
mod attach {
    pub(super) const INET4_BIND: u32 = 8;
    pub(super) const INET6_BIND: u32 = 9;
    /// Receive and name hooks that cannot refuse: IPv4, IPv6 and Unix.
    pub(super) const ONLY_ONE: [u32; 9] = [19, 20, 29, 30, 31, 32, 51, 52, 53];
    pub(super) const UPROBE_SESSION: u32 = 57;
    pub(super) const LSM_CGROUP: u32 = 43;
}

/// The range that the main program's result must lie in, if there is one.
///
/// `None`: anything that is initialised, pointers too (privileged rules).
pub fn range(kind: &ProgKind) -> Option<RetRange> {
    use ProgType::*;
    match kind.ty {
        CgroupSkb if kind.attach == AttachType::CgroupInetEgress => int(0, 3),
        CgroupSockAddr => match kind.attach {
            AttachType::Other(attach::INET4_BIND | attach::INET6_BIND) => int(0, 3),
            AttachType::Other(n) if attach::ONLY_ONE.contains(&n) => int(1, 1),
            _ => int(0, 1),
        },
        CgroupSkb | CgroupSock | SockOps | CgroupDevice | CgroupSysctl | CgroupSockopt | SkLookup | Netfilter => {
            int(0, 1)
        }
        Kprobe if matches!(kind.attach, AttachType::KprobeSession | AttachType::Other(attach::UPROBE_SESSION)) => {
            int(0, 1)
        }
        Tracing => match kind.attach {
            AttachType::TraceFentry | AttachType::TraceFexit => int(0, 0),
            AttachType::TraceIter => int(0, 1),
            _ => None,
        },
        Lsm if kind.attach == AttachType::Other(attach::LSM_CGROUP) => int(0, 1),
        Lsm => int(-4095, 0),
        _ => None,
    }
}

/// The range of a callback that native code enters (bpf_loop, for_each, user ring buffer, find_vma).
pub const CALLBACK_RANGE: RetRange = RetRange { min: 0, max: 1, word: false };

/// The range of a callback that runs later (timer, workqueue): 0 only.
pub const ASYNC_CALLBACK_RANGE: RetRange = RetRange { min: 0, max: 0, word: false };

/// Direct packet access.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct PacketRules {
    /// Loads through packet pointers are allowed.
    pub read: bool,
    /// Stores through packet pointers are allowed.
    pub write: bool,
    /// The legacy packet loads (`BPF_ABS`, `BPF_IND`) are allowed.
    pub legacy: bool,
}

/// What programs of this kind may do to packets directly.
pub fn packet(kind: &ProgKind) -> PacketRules {
    use ProgType::*;
    let (read, write) = match kind.ty {
        LwtIn | LwtOut | LwtSeg6Local | SkReuseport | FlowDissector | CgroupSkb => (true, false),
        SchedCls | SchedAct | Xdp | LwtXmit | SkSkb | SkMsg | CgroupSockopt => (true, true),
        _ => (false, false),
    };
    let legacy = matches!(kind.ty, SocketFilter | SchedCls | SchedAct);
    PacketRules { read, write, legacy }
}
