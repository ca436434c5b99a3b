//! Typed objects as arguments of kfuncs: who vouches for them, and of what type they must be (Linux: `is_trusted_reg`,
//! `process_kf_arg_ptr_to_btf_id`).

use backstop_btf::{Btf, TypeId};
use backstop_isa::Reg;
use backstop_model::Kfunc;

use crate::env::Verifier;
use crate::reason::{Check, Reason};
use crate::state::{Flags, Kind, RegState, type_name};
use crate::transfer::kfunc_class::Param;

impl Verifier<'_> {
    pub(super) fn check_kfunc_struct(&mut self, kfunc: &Kfunc, btf: &Btf, p: Param, reg: &RegState) -> Check {
        let n = p.r.index() as u8;
        let typed = matches!(reg.kind, Kind::Btf(_));
        let unsafe_flags = reg.flags.without(Flags::VOUCHED) != Flags::NONE && !reg.flags.has(Flags::RCU);
        if typed && unsafe_flags {
            let kept = [Flags::ALLOC, Flags::TRUSTED, Flags::NON_OWN_REF].into_iter().filter(|f| reg.flags.has(*f));
            let kept = kept.fold(Flags::NONE, Flags::with);
            let (ty, expected) = (reg.type_name(), type_name(reg.kind, kept));
            let text = format!("arg#{} is {ty} expected {expected} or socket", p.n);
            return Reason::KfuncMap { text }.fail();
        }
        let Some(target) = btf.pointee(p.ty).map(|t| btf.resolve(t)) else { return Ok(()) };
        let want = btf.name(target);
        let have = match reg.kind {
            Kind::Btf(b) => self.world.btf(b).map_or("", |have| have.name(TypeId(b.id))),
            Kind::MapPtr(_) => "bpf_map",
            Kind::Socket => "sock",
            Kind::TcpSock => "tcp_sock",
            Kind::SockCommon => "sock_common",
            _ => "",
        };
        let projected = matches!((want, have), ("__sk_buff", "sk_buff") | ("xdp_md", "xdp_buff"));
        let strict = (kfunc.flags.release && reg.ref_id != 0) || is_bare_alias(have, want);
        let fits = match reg.kind {
            _ if reg.flags.has(Flags::ALLOC) => false,
            Kind::Btf(b) if strict => self.world.is_kernel(b) && reg.off == 0 && have == want,
            Kind::Btf(b) => projected || self.is_struct(reg, b, want),
            _ => have == want || self.kind_holds(have, want),
        };
        if fits {
            return Ok(());
        }
        let (want, have) = (want.to_owned(), format!("STRUCT {have}"));
        Reason::KfuncPointerStruct { name: kfunc.name.clone(), arg: p.n, want, reg: n, have }.fail()
    }

    /// A socket of the verifier's own kinds, seen as the kernel's struct.
    fn kind_holds(&self, have: &str, want: &str) -> bool {
        let known = self.world.kernel_type(have, backstop_btf::Kind::Struct);
        known.is_some_and(|b| self.is_struct(&RegState::pointer(Kind::Btf(b)), b, want))
    }
}

/// One of the names is the other's with `___init` behind it: the objects are no substitutes for each other (Linux:
/// `btf_type_ids_nocast_alias`).
fn is_bare_alias(a: &str, b: &str) -> bool {
    const INIT: &str = "___init";
    a.strip_suffix(INIT) == Some(b) || b.strip_suffix(INIT) == Some(a)
}

/// What the caller vouches for: an acquired object, or one that a kfunc or lookup said is safe to use (Linux:
/// `is_trusted_reg`). With `rcu` one that RCU protects is enough.
pub(super) fn check_trusted(reg: &RegState, r: Reg, rcu: bool) -> Check {
    let unsafe_flags = reg.flags.without(Flags::VOUCHED) != Flags::NONE;
    let kernel_known =
        matches!(reg.kind, Kind::SockCommon | Kind::Socket | Kind::TcpSock | Kind::MapPtr(_)) && !unsafe_flags;
    if reg.ref_id != 0 || kernel_known || (reg.flags.any(Flags::VOUCHED) && !unsafe_flags) {
        return Ok(());
    }
    let reg_no = r.index() as u8;
    match rcu {
        true if reg.flags.has(Flags::RCU) => Ok(()),
        true => Reason::KfuncRcu { reg: reg_no }.fail(),
        false => Reason::KfuncReferenced { reg: reg_no }.fail(),
    }
}
