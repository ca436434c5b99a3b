//! Global subprograms: their arguments by BTF, at the call and at their own walk (Linux: `btf_prepare_func_args`).

use backstop_btf::{Btf, Kind, Type, TypeId, essential_name};
use backstop_isa::Reg;
use backstop_model::{ProgKind, ProgType, contexts};

use crate::env::Verifier;
use crate::global_tags::{self, Tags};
use crate::reason::{Check, Reason};
use crate::state::{BtfRef, Kind as RegKind};
use crate::subprogs::returns_int;
use crate::world::World;

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
    /// An object of this type of the kernel's; not trusted: any address, which loads are probed through.
    Kernel {
        ty: BtfRef,
        trusted: bool,
    },
}

/// One argument.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct ArgSpec {
    pub class: ArgClass,
    pub nullable: bool,
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
        let tags = global_tags::read(btf, func, n)?;
        let resolved = btf.resolve(ty);
        let plain = |class| Ok(ArgSpec { class, nullable: false });
        match btf.ty(resolved) {
            Type::Ptr { to } => self.read_pointer_arg(btf, n, resolved, *to, tags),
            _ if tags.any() => global_tags::fail(n, "has pointer tag, but is not a pointer type"),
            Type::Int(i) if i.size <= 8 => plain(ArgClass::Scalar),
            Type::Enum(_) | Type::Enum64(_) => plain(ArgClass::Scalar),
            other => {
                let kind = other.kind().label().to_owned();
                Reason::GlobalArg { arg: n, kind, name: name.to_owned() }.fail()
            }
        }
    }

    fn read_pointer_arg(&self, btf: &Btf, n: usize, ty: TypeId, to: TypeId, tags: Tags) -> Check<ArgSpec> {
        const CTX: Tags = Tags { ctx: true, ..NO_TAGS };
        const TRUSTED: Tags = Tags { trusted: true, nullable: true, ..NO_TAGS };
        const NONNULL: Tags = Tags { nonnull: true, ..NO_TAGS };
        const MIXED: &str = "has invalid combination of tags";
        let target = btf.resolve(to);
        let target_name = btf.name(target);
        let plain = |class| Ok(ArgSpec { class, nullable: false });
        if tags.ctx || (btf.kind(target).is_composite() && is_context_type(&self.program.kind, target_name)) {
            if !tags.within(CTX) {
                return global_tags::fail(n, MIXED);
            }
            if tags.ctx {
                global_tags::check_ctx_type(&self.program.kind, btf, ty, n)?;
            }
            return plain(ArgClass::Ctx);
        }
        if btf.kind(target) == Kind::Struct && target_name == "bpf_dynptr" {
            return if tags.any() { global_tags::fail(n, MIXED) } else { plain(ArgClass::Dynptr) };
        }
        if tags.trusted {
            if !tags.within(TRUSTED) {
                return global_tags::fail(n, MIXED);
            }
            let ty = self.kernel_type_of_arg(btf, n, target)?;
            return Ok(ArgSpec { class: ArgClass::Kernel { ty, trusted: true }, nullable: tags.nullable });
        }
        if tags.untrusted {
            if !tags.within(Tags { untrusted: true, ..NO_TAGS }) {
                return global_tags::fail(n, "untrusted cannot be combined with any other tags");
            }
            let number = matches!(btf.kind(target), Kind::Int | Kind::Enum | Kind::Enum64 | Kind::Void);
            if number {
                return plain(ArgClass::UntrustedMem);
            }
            let ty = self.kernel_type_of_arg(btf, n, target)?;
            if !self.world.btf(ty).is_some_and(|kernel| kernel.kind(TypeId(ty.id)).is_composite()) {
                let (kind, name) = (btf.kind(target).label(), btf.name(target));
                let what = format!("has type {kind} '{name}', but only struct or primitive types are allowed");
                return global_tags::fail(n, &what);
            }
            return plain(ArgClass::Kernel { ty, trusted: false });
        }
        if tags.arena {
            if !tags.within(Tags { arena: true, ..NO_TAGS }) {
                return global_tags::fail(n, "arena cannot be combined with any other tags");
            }
            return plain(ArgClass::Arena);
        }
        if !tags.within(NONNULL) {
            return global_tags::fail(n, MIXED);
        }
        match btf.size_of(target).and_then(|s| u32::try_from(s).ok()) {
            Some(size) => Ok(ArgSpec { class: ArgClass::Mem(size), nullable: !tags.nonnull }),
            None => {
                let ty = type_words(btf, target);
                Reason::GlobalArgSize { arg: n, ty }.fail()
            }
        }
    }

    /// The kernel's own type that a parameter means: the only one of its name, as CO-RE sees names (Linux: `btf_get_ptr_to_btf_id`).
    fn kernel_type_of_arg(&self, btf: &Btf, n: usize, target: TypeId) -> Check<BtfRef> {
        let name = essential_name(btf.name(target));
        let kind = btf.kind(target);
        let Some(kernel) = self.world.kernel().filter(|_| !name.is_empty()) else {
            return no_kernel_type(btf, n, target, "has no matches");
        };
        let mut found = kernel.find_essential(name).filter(|id| kernel.kind(*id) == kind);
        match (found.next(), found.next()) {
            (Some(id), None) => Ok(World::in_kernel(id)),
            (None, _) => no_kernel_type(btf, n, target, "has no matches"),
            _ => no_kernel_type(btf, n, target, "is ambiguous"),
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
            ArgClass::Scalar | ArgClass::UntrustedMem | ArgClass::Kernel { trusted: false, .. } => Ok(()),
            ArgClass::Kernel { .. } if arg.nullable && reg.is_null() => self.rests_on_null(r),
            ArgClass::Kernel { ty, .. } => self.check_kernel_object(r, &reg, ty, arg.nullable),
            ArgClass::Ctx => {
                self.check_arg_offset(r, &reg, false)?;
                let fits = match self.ty() {
                    // Raw memory has no context: its first argument takes that place, if it is passed whole.
                    ProgType::RawMem => {
                        reg.kind == RegKind::Mem(self.program.kind.memory_len)
                            && reg.flags == crate::state::Flags::NONE
                            && reg.off == 0
                            && reg.var.is_const() == Some(0)
                    }
                    _ => reg.kind == RegKind::Ctx,
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
                if reg.kind == RegKind::Arena || reg.is_scalar() {
                    return Ok(());
                }
                Reason::ArgArena { reg: number }.fail()
            }
            ArgClass::Dynptr if matches!(reg.kind, RegKind::Dynptr | RegKind::Stack(_)) => {
                self.use_dynptr(n, r, None).map(|_| ())
            }
            ArgClass::Dynptr => {
                Reason::ArgType { reg: number, ty: reg.type_name(), expected: "fp, dynptr_ptr".into() }.fail()
            }
        }
    }
}

const NO_TAGS: Tags =
    Tags { ctx: false, nonnull: false, nullable: false, trusted: false, untrusted: false, arena: false };

/// None of the kernel's types matches, or there are none.
fn no_kernel_type(btf: &Btf, n: usize, target: TypeId, why: &str) -> Check<BtfRef> {
    let why = if btf.name(target).is_empty() { "candidate matching error: -22" } else { why };
    let kind = if btf.kind(target) == Kind::Void { "UNKNOWN" } else { btf.kind(target).label() };
    let name = if btf.name(target).is_empty() { "(anon)" } else { btf.name(target) };
    global_tags::fail(n, &format!("reference type('{kind} {name}') {why}"))
}

fn type_words(btf: &Btf, ty: TypeId) -> String {
    match btf.kind(ty) {
        Kind::Fwd => format!("FWD {}", btf.name(ty)),
        Kind::Void => "UNKNOWN ".into(),
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
        PerfEvent => matches!(name, "bpf_perf_event_data" | "bpf_perf_event_data_kern"),
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
