//! Global subprograms: their arguments by BTF, at the call and at their own walk (Linux: `btf_prepare_func_args`).

use backstop_btf::{Btf, Type, TypeId};
use backstop_isa::Reg;
use backstop_model::{ProgKind, ProgType, contexts};

use crate::env::Verifier;
use crate::reason::{Check, Reason};
use crate::state::Kind;
use crate::subprogs::returns_int;

/// What a global subprogram takes in one register.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum ArgClass {
    Scalar,
    Ctx,
    /// Memory of this many bytes.
    Mem(u32),
    /// Anything that loads are probed through.
    UntrustedMem,
    Arena,
    Dynptr,
}

/// One argument.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct ArgSpec {
    pub class: ArgClass,
    pub nullable: bool,
}

/// Tags of one parameter.
#[derive(Clone, Copy, Default)]
struct Tags {
    ctx: bool,
    nonnull: bool,
    nullable: bool,
    trusted: bool,
    untrusted: bool,
    arena: bool,
}

impl Tags {
    fn any(self) -> bool {
        self.ctx || self.nonnull || self.nullable || self.trusted || self.untrusted || self.arena
    }
}

impl Verifier<'_> {
    /// Arguments of a subprogram, read once.
    pub fn args_of(&mut self, i: usize) -> Check<Vec<ArgSpec>> {
        if let Some(known) = self.subs.get(i).and_then(|s| s.args.clone()) {
            return known;
        }
        let args = self.read_args(i);
        if let Some(sub) = self.subs.get_mut(i) {
            sub.args = Some(args.clone());
        }
        args
    }

    fn read_args(&self, i: usize) -> Check<Vec<ArgSpec>> {
        let Some(sub) = self.subs.get(i) else { return Reason::MissingFuncInfo {}.fail() };
        let (Some(btf), Some(func)) = (&self.program.btf, sub.func) else {
            return Reason::MissingFuncInfo {}.fail();
        };
        let Some(proto) = btf.proto(func) else { return Reason::MissingFuncInfo {}.fail() };
        let name = sub.name.clone();
        let count = proto.params.len() + usize::from(proto.variadic);
        if count > 5 {
            return Reason::GlobalArgCount { name, count }.fail();
        }
        if !returns_int(btf, proto.id) {
            return Reason::GlobalReturn { name }.fail();
        }
        let mut args = Vec::new();
        for (n, p) in proto.params.iter().enumerate() {
            args.push(self.read_arg(btf, func, n, p.ty, &name)?);
        }
        Ok(args)
    }

    fn read_arg(&self, btf: &Btf, func: TypeId, n: usize, ty: TypeId, name: &str) -> Check<ArgSpec> {
        let tags = read_tags(btf, func, n)?;
        let nullable = tags.nullable;
        let resolved = btf.resolve(ty);
        if tags.any() && !matches!(btf.ty(resolved), Type::Ptr { .. }) {
            let text = format!("arg#{n} has pointer tag, but is not a pointer type");
            return Reason::GlobalArgTag { text }.fail();
        }
        let plain = |class| Ok(ArgSpec { class, nullable: false });
        match btf.ty(resolved) {
            Type::Int(i) if i.size <= 8 => plain(ArgClass::Scalar),
            Type::Enum(_) | Type::Enum64(_) => plain(ArgClass::Scalar),
            Type::Ptr { to } => {
                let target = btf.resolve(*to);
                let target_name = btf.name(target);
                if tags.arena {
                    return plain(ArgClass::Arena);
                }
                if tags.ctx || (btf.kind(target).is_composite() && is_context_type(&self.program.kind, target_name)) {
                    return plain(ArgClass::Ctx);
                }
                if target_name == "bpf_dynptr" {
                    return plain(ArgClass::Dynptr);
                }
                if tags.untrusted {
                    return plain(ArgClass::UntrustedMem);
                }
                if tags.trusted {
                    return Reason::GlobalArg { arg: n, kind: "PTR".into(), name: name.to_owned() }.fail();
                }
                match btf.size_of(target).and_then(|s| u32::try_from(s).ok()) {
                    Some(size) => Ok(ArgSpec { class: ArgClass::Mem(size), nullable: nullable || !tags.nonnull }),
                    None => {
                        let ty = type_words(btf, target);
                        Reason::GlobalArgSize { arg: n, ty }.fail()
                    }
                }
            }
            other => {
                let kind = other.kind().label().to_owned();
                Reason::GlobalArg { arg: n, kind, name: name.to_owned() }.fail()
            }
        }
    }

    /// What the caller passes to a global subprogram (Linux: `btf_check_func_arg_match`).
    pub fn check_global_args(&mut self, callee: usize) -> Check {
        let args = self.args_of(callee)?;
        for (n, (arg, r)) in args.iter().zip([Reg::R1, Reg::R2, Reg::R3, Reg::R4, Reg::R5]).enumerate() {
            self.check_global_arg(n, arg, r)?;
        }
        Ok(())
    }

    fn check_global_arg(&mut self, n: usize, arg: &ArgSpec, r: Reg) -> Check {
        let reg = *self.reg(r);
        let number = r.index() as u8;
        match arg.class {
            ArgClass::Scalar if !reg.is_scalar() => Reason::NotScalar { reg: number }.fail(),
            ArgClass::Scalar | ArgClass::UntrustedMem => Ok(()),
            ArgClass::Ctx => {
                self.check_arg_offset(r, &reg, false)?;
                let fits = match self.ty() {
                    // Raw memory has no context: its first argument takes that place, if it is passed whole.
                    ProgType::RawMem => {
                        reg.kind == Kind::Mem(self.program.kind.memory_len)
                            && reg.flags == crate::state::Flags::NONE
                            && reg.off == 0
                            && reg.var.is_const() == Some(0)
                    }
                    _ => reg.kind == Kind::Ctx,
                };
                if fits { Ok(()) } else { Reason::ArgCtx { arg: n }.fail() }
            }
            ArgClass::Mem(size) => {
                self.check_arg_offset(r, &reg, false)?;
                self.check_sized(r, &reg, i64::from(size), true)?;
                if !arg.nullable && (reg.maybe_null() || reg.is_null()) {
                    return Reason::ArgNonNull { arg: n }.fail();
                }
                Ok(())
            }
            ArgClass::Arena => {
                if reg.kind == Kind::Arena || reg.is_scalar() {
                    return Ok(());
                }
                Reason::ArgArena { reg: number }.fail()
            }
            ArgClass::Dynptr if matches!(reg.kind, Kind::Dynptr | Kind::Stack(_)) => {
                self.use_dynptr(n, r, None).map(|_| ())
            }
            ArgClass::Dynptr => {
                Reason::ArgType { reg: number, ty: reg.type_name(), expected: "fp, dynptr_ptr".into() }.fail()
            }
        }
    }
}

fn read_tags(btf: &Btf, func: TypeId, n: usize) -> Check<Tags> {
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
            Some(_) => {
                let text = format!("arg#{n} has unsupported set of tags");
                return Reason::GlobalArgTag { text }.fail();
            }
        }
    }
    Ok(tags)
}

fn type_words(btf: &Btf, ty: TypeId) -> String {
    match btf.kind(ty) {
        backstop_btf::Kind::Fwd => format!("FWD {}", btf.name(ty)),
        backstop_btf::Kind::Void => "UNKNOWN ".into(),
        kind => format!("{} {}", kind.label(), btf.name(ty)),
    }
}

/// Whether a struct of this name is the context of programs of this kind.
pub(crate) fn is_context_type(kind: &ProgKind, name: &str) -> bool {
    use ProgType::*;
    match kind.ty {
        Xdp => matches!(name, "xdp_md" | "xdp_buff"),
        ty if contexts::has_skb(ty) => matches!(name, "__sk_buff" | "sk_buff"),
        Kprobe => matches!(name, "pt_regs" | "user_pt_regs" | "bpf_user_pt_regs_t"),
        PerfEvent => matches!(name, "bpf_perf_event_data" | "pt_regs" | "user_pt_regs" | "user_regs_struct"),
        RawTracepoint | RawTracepointWritable => name == "bpf_raw_tracepoint_args",
        SockOps => matches!(name, "bpf_sock_ops" | "bpf_sock_ops_kern"),
        CgroupSock => matches!(name, "bpf_sock" | "sock"),
        CgroupSockAddr => matches!(name, "bpf_sock_addr" | "bpf_sock_addr_kern"),
        SkMsg => matches!(name, "sk_msg_md" | "sk_msg"),
        SkLookup => matches!(name, "bpf_sk_lookup" | "bpf_sk_lookup_kern"),
        SkReuseport => matches!(name, "sk_reuseport_md" | "sk_reuseport_kern"),
        CgroupDevice => name == "bpf_cgroup_dev_ctx",
        CgroupSysctl => matches!(name, "bpf_sysctl" | "bpf_sysctl_kern"),
        CgroupSockopt => matches!(name, "bpf_sockopt" | "bpf_sockopt_kern"),
        Netfilter => name == "bpf_nf_ctx",
        Host => kind.host.as_ref().is_some_and(|h| h.name == name),
        _ => false,
    }
}
