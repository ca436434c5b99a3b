//! Arguments of kfuncs, by BTF and by the suffixes of parameter names (Linux: `check_kfunc_args`).

use backstop_btf::{Btf, Kind as BtfKind, Type, TypeId};
use backstop_isa::Reg;
use backstop_model::{BuiltinKfunc, Kfunc};

use crate::check::CallMeta;
use crate::env::Verifier;
use crate::global::is_context_type;
use crate::reason::{Check, Reason};
use crate::state::{DynptrKind, Flags, Kind, RegState};
use crate::transfer::kfunc::KfuncMeta;

/// One parameter.
#[derive(Clone, Copy)]
struct Param<'a> {
    /// Counted from 0.
    n: usize,
    r: Reg,
    name: &'a str,
    ty: TypeId,
}

/// What follows from how a kfunc's parameter is named.
fn has_suffix(name: &str, suffix: &str) -> bool {
    name.len() > suffix.len() && name.ends_with(suffix)
}

/// Kfuncs that this verifier judges.
fn judged(known: Option<BuiltinKfunc>) -> bool {
    use BuiltinKfunc::*;
    matches!(
        known,
        None | Some(
            Throw
                | IterNumNew
                | IterNumNext
                | IterNumDestroy
                | IterBitsNew
                | IterBitsNext
                | IterBitsDestroy
                | RcuReadLock
                | RcuReadUnlock
                | PreemptDisable
                | PreemptEnable
                | LocalIrqSave
                | LocalIrqRestore
                | ObjNew
                | ObjDrop
                | DynptrFromSkb
                | DynptrFromXdp
                | DynptrSlice
                | DynptrSliceRdwr
                | DynptrAdjust
                | DynptrClone
                | DynptrSize
                | DynptrIsNull
                | DynptrIsRdonly
        )
    )
}

impl Verifier<'_> {
    pub fn check_kfunc_args(&mut self, kfunc: &Kfunc, known: Option<BuiltinKfunc>, meta: &mut KfuncMeta) -> Check {
        if !judged(known) {
            return Reason::KfuncUnsupported { name: kfunc.name.clone() }.fail();
        }
        let btf = kfunc.btf.clone();
        let Some(proto) = btf.proto(kfunc.func) else {
            return Reason::KfuncUnsupported { name: kfunc.name.clone() }.fail();
        };
        let params: Vec<Param> = proto
            .params
            .iter()
            .enumerate()
            .filter_map(|(n, p)| Some(Param { n, r: Reg::new(n as u8 + 1)?, name: btf.str(p.name), ty: p.ty }))
            .collect();
        if proto.params.len() > 5 {
            return Reason::KfuncArgs { name: kfunc.name.clone(), count: proto.params.len() }.fail();
        }
        let mut skip = false;
        for (i, p) in params.iter().enumerate() {
            if std::mem::take(&mut skip) || has_suffix(p.name, "__ign") || has_suffix(p.name, "__prog") {
                continue;
            }
            let next = params.get(i + 1).filter(|q| has_suffix(q.name, "__sz") || has_suffix(q.name, "__szk"));
            skip = self.check_kfunc_arg(kfunc, known, &btf, *p, next.copied(), meta)?;
        }
        if kfunc.flags.release && meta.release.is_none() {
            return Reason::KfuncReleaseNone { name: kfunc.name.clone() }.fail();
        }
        Ok(())
    }

    /// True if the next parameter, the length of this one, was checked too.
    fn check_kfunc_arg(
        &mut self,
        kfunc: &Kfunc,
        known: Option<BuiltinKfunc>,
        btf: &Btf,
        p: Param,
        len: Option<Param>,
        meta: &mut KfuncMeta,
    ) -> Check<bool> {
        let reg = *self.reg(p.r);
        if !matches!(btf.resolved(p.ty), Type::Ptr { .. }) {
            return self.check_kfunc_scalar(p, &reg, meta).map(|()| false);
        }
        self.readable(p.r)?;
        let nullable = has_suffix(p.name, "__nullable") || has_suffix(p.name, "__opt");
        let sized = len.filter(|l| has_suffix(l.name, "__szk"));
        if let (true, Some(len)) = (reg.is_null() && nullable, sized) {
            return self.check_const_buffer(p, len, &reg, meta).map(|()| true);
        }
        if (reg.is_null() || reg.maybe_null()) && (kfunc.flags.trusted_args || kfunc.flags.release) && !nullable {
            return Reason::KfuncNullArg { arg: p.n }.fail();
        }
        if reg.ref_id != 0 {
            meta.ref_id = reg.ref_id;
            if kfunc.flags.release {
                meta.release = Some((p.r, reg.ref_id));
            }
        }
        if reg.is_null() && nullable {
            return Ok(len.is_some());
        }
        if kfunc.flags.iter_new || kfunc.flags.iter_next || kfunc.flags.iter_destroy {
            let iterator = btf.pointee(p.ty).map(|t| btf.name(btf.resolve(t)).to_owned()).unwrap_or_default();
            if iterator.starts_with("bpf_iter_") {
                return self.process_iter_arg(kfunc, &iterator, p.n, p.r, &reg, meta).map(|()| false);
            }
        }
        match known {
            Some(BuiltinKfunc::LocalIrqSave | BuiltinKfunc::LocalIrqRestore) => {
                return self.process_irq_flag(p.n, &reg, known == Some(BuiltinKfunc::LocalIrqSave)).map(|()| false);
            }
            Some(BuiltinKfunc::ObjDrop) => return self.check_object_arg(p, &reg, meta).map(|()| false),
            _ => {}
        }
        let dynptr = btf.pointee(p.ty).is_some_and(|t| btf.name(btf.resolve(t)) == "bpf_dynptr");
        if dynptr {
            return self.check_kfunc_dynptr(known, p, &reg, meta).map(|()| false);
        }
        if let Some(len) = len.filter(|l| has_suffix(l.name, "__szk")) {
            return self.check_const_buffer(p, len, &reg, meta).map(|()| true);
        }
        self.check_kfunc_pointer(kfunc, btf, p, &reg, len)
    }

    fn check_kfunc_scalar(&mut self, p: Param, reg: &RegState, meta: &mut KfuncMeta) -> Check {
        if !reg.is_scalar() {
            return Reason::NotScalar { reg: p.r.index() as u8 }.fail();
        }
        if has_suffix(p.name, "__k") || has_suffix(p.name, "__szk") {
            let Some(value) = reg.scalar_const() else {
                return Reason::KfuncConst { reg: p.r.index() as u8 }.fail();
            };
            self.mark_precise(p.r)?;
            meta.constant = Some(value);
        }
        Ok(())
    }

    fn check_kfunc_dynptr(
        &mut self,
        known: Option<BuiltinKfunc>,
        p: Param,
        reg: &RegState,
        meta: &mut KfuncMeta,
    ) -> Check {
        self.check_dynptr_place(p.n, reg)?;
        if !has_suffix(p.name, "__uninit") {
            meta.dynptr = Some(self.use_dynptr(p.n, p.r, None)?);
            return Ok(());
        }
        let (kind, shared) = match (known, meta.dynptr) {
            (Some(BuiltinKfunc::DynptrFromSkb), _) => (DynptrKind::Skb, 0),
            (Some(BuiltinKfunc::DynptrFromXdp), _) => (DynptrKind::Xdp, 0),
            (_, Some(parent)) => (parent.kind, parent.ref_id),
            _ => (DynptrKind::Local, 0),
        };
        if reg.kind == Kind::Dynptr {
            return Reason::DynptrUninit {}.fail();
        }
        self.make_dynptr(p.r, kind, shared)
    }

    /// An optional buffer and its constant length, which is also the length of the result.
    fn check_const_buffer(&mut self, p: Param, len: Param, reg: &RegState, meta: &mut KfuncMeta) -> Check {
        if reg.is_null() {
            self.check_scalar_arg(len.r)?;
        } else {
            self.check_kfunc_buffer(p, len)?;
        }
        let Some(size) = self.reg(len.r).scalar_const() else {
            return Reason::KfuncConst { reg: len.r.index() as u8 }.fail();
        };
        self.mark_precise(len.r)?;
        meta.r0_size = Some(size);
        Ok(())
    }

    fn check_object_arg(&mut self, p: Param, reg: &RegState, meta: &mut KfuncMeta) -> Check {
        if reg.ref_id == 0 && !(matches!(reg.kind, Kind::Btf(_)) && reg.flags.any(Flags::ALLOC.with(Flags::TRUSTED))) {
            return Reason::KfuncReferenced { reg: p.r.index() as u8 }.fail();
        }
        let fits = matches!(reg.kind, Kind::Btf(_)) && reg.flags == Flags::ALLOC;
        if !fits {
            let what = "expected pointer to allocated object".into();
            return Reason::KfuncArgPointer { arg: p.n, what }.fail();
        }
        if reg.ref_id == 0 {
            return Reason::KfuncAllocType { text: "allocated object must be referenced" }.fail();
        }
        self.check_arg_offset(p.r, reg, true)?;
        meta.dropped = true;
        Ok(())
    }

    fn check_kfunc_pointer(
        &mut self,
        kfunc: &Kfunc,
        btf: &Btf,
        p: Param,
        reg: &RegState,
        len: Option<Param>,
    ) -> Check<bool> {
        let Some(target) = btf.pointee(p.ty).map(|t| btf.resolve(t)) else { return Ok(false) };
        let composite = btf.kind(target).is_composite();
        self.check_arg_offset(p.r, reg, kfunc.flags.release && reg.ref_id != 0)?;
        if composite && is_context_type(&self.program.kind, btf.name(target)) {
            if reg.kind == Kind::Ctx {
                return Ok(false);
            }
            let what = format!("expected pointer to ctx, but got {}", reg.type_name());
            return Reason::KfuncArgPointer { arg: p.n, what }.fail();
        }
        if let (true, Kind::Btf(b)) = (composite, reg.kind) {
            return self.check_kfunc_struct(kfunc, btf, target, p, reg, b).map(|()| len.is_some());
        }
        if let Some(len) = len {
            return self.check_kfunc_buffer(p, len).map(|()| true);
        }
        if composite && !scalars_only(btf, target, 0) {
            let what = format!(
                "pointer type {} must point to scalar, or struct with scalar",
                btf.type_name(target).to_uppercase_kind()
            );
            return Reason::KfuncArgPointer { arg: p.n, what }.fail();
        }
        let Some(size) = btf.size_of(target).and_then(|s| i64::try_from(s).ok()) else {
            let what = format!("reference type('{}') size cannot be determined: -22", btf.type_name(target));
            return Reason::KfuncArgPointer { arg: p.n, what }.fail();
        };
        self.check_sized(p.r, reg, size, !btf.is_const(btf.pointee(p.ty).unwrap_or(TypeId::VOID)))?;
        Ok(false)
    }

    fn check_kfunc_struct(
        &mut self,
        kfunc: &Kfunc,
        btf: &Btf,
        target: TypeId,
        p: Param,
        reg: &RegState,
        b: crate::state::BtfRef,
    ) -> Check {
        let n = p.r.index() as u8;
        if reg.maybe_null() {
            return Reason::KfuncNullArg { arg: p.n }.fail();
        }
        let trusted =
            reg.ref_id != 0 || reg.flags.has(Flags::TRUSTED) || (kfunc.flags.rcu && reg.flags.has(Flags::RCU));
        let untrusted = reg.flags.any(Flags::UNTRUSTED);
        if (kfunc.flags.trusted_args || kfunc.flags.release || untrusted) && !trusted {
            return if kfunc.flags.rcu { Reason::KfuncRcu { reg: n } } else { Reason::KfuncReferenced { reg: n } }
                .fail();
        }
        let Some(have_btf) = self.world.btf(b) else { return Ok(()) };
        let have = have_btf.name(TypeId(b.id)).to_owned();
        let want = btf.name(target).to_owned();
        let local = reg.flags.has(Flags::ALLOC);
        if have != want || local {
            return Reason::KfuncPointerStruct { name: kfunc.name.clone(), arg: p.n, want, reg: n, have }.fail();
        }
        self.check_offset_free(reg, p.r, false)
    }

    /// Memory and its length in two parameters (Linux: `check_kfunc_mem_size_reg`): read and written.
    fn check_kfunc_buffer(&mut self, p: Param, len: Param) -> Check {
        self.check_scalar_arg(len.r)?;
        for write in [false, true] {
            if let Err(inner) = self.check_size(len.r, write, true, &mut CallMeta::default()) {
                return Reason::KfuncMemSize { inner, mem: p.n, len: len.n }.fail();
            }
        }
        Ok(())
    }

    /// Memory of a known size behind a register: read, and written unless `const` (Linux: `check_mem_reg`).
    pub fn check_sized(&mut self, r: Reg, reg: &RegState, size: i64, write: bool) -> Check {
        if reg.is_null() {
            return Ok(());
        }
        let nullable = reg.maybe_null();
        if nullable {
            // Of a map of maps the result turns out to be a map, which is no memory.
            let plain = self.not_null(*reg);
            self.cur.set(r, plain);
        }
        // Linux asks for the right to write even where the parameter is const; only of packets is that not asked here.
        let written = write || !reg.is_packet();
        let mut checked = self.check_memory(r, size, false, true, &mut CallMeta::default());
        if checked.is_ok() && written {
            checked = self.check_memory(r, size, true, true, &mut CallMeta::default());
        }
        if nullable {
            self.cur.set(r, *reg);
        }
        checked
    }
}

/// A struct of numbers alone, to any depth that Linux looks (`__btf_type_is_scalar_struct`).
fn scalars_only(btf: &Btf, ty: TypeId, depth: u32) -> bool {
    if depth > 4 {
        return false;
    }
    let ty = btf.resolve(ty);
    match btf.ty(ty) {
        Type::Int(_) | Type::Enum(_) | Type::Enum64(_) => true,
        Type::Array { elem, .. } => scalars_only(btf, *elem, depth + 1),
        Type::Struct(_) => btf.members(ty).iter().all(|m| scalars_only(btf, m.ty, depth + 1)),
        _ => btf.kind(ty) == BtfKind::Void && depth == 0,
    }
}

trait UppercaseKind {
    fn to_uppercase_kind(&self) -> String;
}

impl UppercaseKind for str {
    /// `struct foo` as Linux prints it here: `STRUCT foo`.
    fn to_uppercase_kind(&self) -> String {
        match self.split_once(' ') {
            Some((kind, name)) => format!("{} {name}", kind.to_uppercase()),
            None => self.to_owned(),
        }
    }
}
