//! Tags of a global subprogram's parameters: which go together, and what `__arg_ctx` may stand at (Linux:
//! `btf_prepare_func_args`, `btf_validate_prog_ctx_type`).

use backstop_btf::{Btf, Kind, Type, TypeId};
use backstop_model::{ProgKind, ProgType, contexts};

use crate::reason::{Check, Reason};

/// Tags of one parameter.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Tags {
    pub ctx: bool,
    pub nonnull: bool,
    pub nullable: bool,
    pub trusted: bool,
    pub untrusted: bool,
    pub arena: bool,
}

impl Tags {
    pub fn any(self) -> bool {
        self != Tags::default()
    }

    /// Whether no tag but those of `other` is set.
    pub fn within(self, other: Tags) -> bool {
        (!self.ctx || other.ctx)
            && (!self.nonnull || other.nonnull)
            && (!self.nullable || other.nullable)
            && (!self.trusted || other.trusted)
            && (!self.untrusted || other.untrusted)
            && (!self.arena || other.arena)
    }
}

/// The tags that the program's types give a parameter.
pub(crate) fn read(btf: &Btf, func: TypeId, n: usize) -> Check<Tags> {
    let mut tags = Tags::default();
    for tag in btf.decl_tags(func, u32::try_from(n).ok()) {
        match tag.strip_prefix("arg:") {
            None => {}
            Some("ctx") => tags.ctx = true,
            Some("nonnull") => tags.nonnull = true,
            Some("nullable") => tags.nullable = true,
            Some("trusted") => tags.trusted = true,
            Some("untrusted") => tags.untrusted = true,
            Some("arena") => tags.arena = true,
            Some(_) => return fail(n, "has unsupported set of tags"),
        }
    }
    Ok(tags)
}

/// Refuses a combination, in Linux's words.
pub(crate) fn fail<T>(n: usize, what: &str) -> Check<T> {
    Reason::GlobalArgTag { text: format!("arg#{n} {what}") }.fail()
}

/// A parameter tagged as the context must be of a type that says so, or of none.
pub(crate) fn check_ctx_type(kind: &ProgKind, btf: &Btf, ty: TypeId, n: usize) -> Check {
    let Some(to) = btf.pointee(ty) else { return Ok(()) };
    let target = btf.resolve(to);
    if btf.kind(target) == Kind::Void {
        return Ok(());
    }
    let name = btf.name(target);
    if name.is_empty() {
        return fail(n, "type doesn't have a name");
    }
    let Some(want) = context_struct(kind) else { return Ok(()) };
    let composite = btf.kind(target) == Kind::Struct;
    let word = matches!(btf.ty(target), Type::Int(i) if i.size == 8);
    let fits = match kind.ty {
        ProgType::PerfEvent if composite => matches!(name, "bpf_perf_event_data" | "pt_regs"),
        ProgType::RawTracepoint | ProgType::RawTracepointWritable if word => true,
        ProgType::Host => composite,
        _ => composite && name == want,
    };
    if fits { Ok(()) } else { fail(n, &format!("should be `struct {want} *`")) }
}

/// The struct that a program's context is called, where Linux asks for it by name.
fn context_struct(kind: &ProgKind) -> Option<&str> {
    use ProgType::*;
    Some(match kind.ty {
        Xdp => "xdp_md",
        ty if contexts::has_skb(ty) => "__sk_buff",
        Kprobe => "pt_regs",
        PerfEvent => "bpf_perf_event_data",
        RawTracepoint | RawTracepointWritable => "bpf_raw_tracepoint_args",
        SockOps => "bpf_sock_ops",
        CgroupSock => "bpf_sock",
        CgroupSockAddr => "bpf_sock_addr",
        SkMsg => "sk_msg_md",
        SkLookup => "bpf_sk_lookup",
        SkReuseport => "sk_reuseport_md",
        CgroupDevice => "bpf_cgroup_dev_ctx",
        CgroupSysctl => "bpf_sysctl",
        CgroupSockopt => "bpf_sockopt",
        Netfilter => "bpf_nf_ctx",
        Host => kind.host.as_ref().map(|h| h.name.as_str())?,
        _ => return None,
    })
}
