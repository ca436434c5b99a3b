//! Arguments of kfuncs, by BTF and by the suffixes of parameter names (Linux: `check_kfunc_args`).

use backstop_btf::{Btf, Type};
use backstop_isa::Reg;
use backstop_model::{BuiltinKfunc, Kfunc};

use crate::check::{CallMeta, res_lock_call};
use crate::env::Verifier;
use crate::reason::{Check, Reason};
use crate::state::{DynptrKind, Flags, Kind, RegState};
use crate::transfer::kfunc::KfuncMeta;
use crate::transfer::kfunc_class::{KfuncArg, Param};
use crate::transfer::kfunc_map::check_kfunc_map;
use crate::transfer::kfunc_struct::check_trusted;

impl Verifier<'_> {
    pub fn check_kfunc_args(&mut self, kfunc: &Kfunc, known: Option<BuiltinKfunc>, meta: &mut KfuncMeta) -> Check {
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
            if std::mem::take(&mut skip) || p.has("__ign") || p.has("__prog") {
                continue;
            }
            let next = params.get(i + 1).filter(|q| q.is_length(self.reg(q.r)));
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
        if reg.is_null() {
            self.rests_on_null(p.r)?;
        }
        let trusts = kfunc.flags.trusted_args || kfunc.flags.release;
        let nullable = p.has("__nullable") || p.has("__opt");
        if (reg.is_null() || reg.maybe_null()) && (trusts || kfunc.flags.rcu) && !nullable {
            return Reason::KfuncNullArg { arg: p.n }.fail();
        }
        if reg.ref_id != 0 {
            meta.ref_id = reg.ref_id;
            if kfunc.flags.release {
                meta.release = Some((p.r, reg.ref_id));
            }
        }
        let class = self.classify_kfunc_arg(kfunc, known, btf, p, &reg, len.is_some())?;
        if class == KfuncArg::Null {
            return Ok(false);
        }
        if class == KfuncArg::Map {
            self.note_kfunc_map(p, &reg, meta)?;
        }
        if matches!(class, KfuncArg::Map | KfuncArg::AllocObject | KfuncArg::Struct) && (trusts || kfunc.flags.rcu) {
            check_trusted(&reg, p.r, kfunc.flags.rcu)?;
        }
        self.check_arg_offset(p.r, &reg, kfunc.flags.release && reg.ref_id != 0)?;
        let object = matches!(class, KfuncArg::AllocObject | KfuncArg::RefcountedObject | KfuncArg::Graph);
        if !object {
            self.readable(p.r)?;
        }
        match class {
            KfuncArg::Null => {}
            KfuncArg::Ctx => self.check_kfunc_ctx(known, p, &reg)?,
            KfuncArg::AllocObject => self.check_dropped(known, p.n, &reg, meta)?,
            KfuncArg::RefcountedObject => self.check_refcounted(p.n, &reg, meta)?,
            KfuncArg::Graph => self.check_graph_arg(kfunc, known, btf, p, &reg, meta)?,
            KfuncArg::Dynptr => self.check_kfunc_dynptr(known, p, &reg, meta)?,
            KfuncArg::Iterator => {
                let iterator = btf.pointee(p.ty).map(|t| btf.name(btf.resolve(t)).to_owned()).unwrap_or_default();
                self.process_iter_arg(kfunc, &iterator, p.n, p.r, &reg, meta)?;
            }
            KfuncArg::ConstString => self.check_kfunc_string(p, &reg)?,
            KfuncArg::Map => check_kfunc_map(p, &reg)?,
            KfuncArg::Workqueue => self.check_workqueue(p, &reg, meta)?,
            KfuncArg::IrqFlag => self.process_irq_flag(p.n, &reg, known)?,
            KfuncArg::ResSpinLock => {
                let Some((takes, irq)) = res_lock_call(known) else {
                    return Reason::KfuncUnsupported { name: kfunc.name.clone() }.fail();
                };
                self.process_res_lock_arg(p.n, p.r, &reg, takes, irq)?;
            }
            KfuncArg::Struct => self.check_kfunc_struct(kfunc, btf, p, &reg)?,
            KfuncArg::Callback => self.note_kfunc_callback(p, &reg, meta)?,
            KfuncArg::Memory => self.check_kfunc_memory(btf, p, &reg)?,
            KfuncArg::SizedMemory => {
                if let Some(len) = len {
                    self.check_kfunc_sized(p, len, &reg, meta)?;
                }
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn check_kfunc_scalar(&mut self, p: Param, reg: &RegState, meta: &mut KfuncMeta) -> Check {
        if !reg.is_scalar() {
            return Reason::NotScalar { reg: p.r.index() as u8 }.fail();
        }
        if p.has("__k") {
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
        if !p.has("__uninit") {
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

    /// Memory and its length; a constant length is also that of the result.
    fn check_kfunc_sized(&mut self, p: Param, len: Param, reg: &RegState, meta: &mut KfuncMeta) -> Check {
        if !(reg.is_null() && p.has("__opt")) {
            self.check_kfunc_buffer(p, len)?;
        }
        if !len.has("__szk") {
            return Ok(());
        }
        let Some(size) = self.reg(len.r).scalar_const() else {
            return Reason::KfuncConst { reg: len.r.index() as u8 }.fail();
        };
        self.mark_precise(len.r)?;
        meta.r0_size = Some(size);
        Ok(())
    }

    fn check_kfunc_ctx(&self, known: Option<BuiltinKfunc>, p: Param, reg: &RegState) -> Check {
        if reg.kind != Kind::Ctx {
            let what = format!("expected pointer to ctx, but got {}", reg.type_name());
            return Reason::KfuncArgPointer { arg: p.n, what }.fail();
        }
        if known == Some(BuiltinKfunc::CastToKernCtx) {
            self.cast_context()?;
        }
        Ok(())
    }

    fn check_kfunc_memory(&mut self, btf: &Btf, p: Param, reg: &RegState) -> Check {
        let Some(to) = btf.pointee(p.ty) else { return Ok(()) };
        let target = btf.resolve(to);
        let Some(size) = btf.size_of(target).and_then(|s| i64::try_from(s).ok()) else {
            let what = format!("reference type('{}') size cannot be determined: -22", btf.type_name(target));
            return Reason::KfuncArgPointer { arg: p.n, what }.fail();
        };
        self.check_sized(p.r, reg, size, !btf.is_const(to))
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
            return self.rests_on_null(r);
        }
        if matches!(reg.kind, Kind::Btf(_)) && reg.flags == Flags::TRUSTED {
            // Linux asks for the right to read alone, and the callee may write.
            return Reason::ArgType { reg: r.index() as u8, ty: reg.type_name(), expected: "fp".into() }.fail();
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
