//! Linked lists and red-black trees (Linux: `process_kf_arg_ptr_to_graph_root` and its kin).
//!
//! A list or tree owns what is linked in it and is worked on under the lock of the same value or object. Linking a node gives
//! its reference away and leaves pointers that only borrow; what they point to may go when the lock is released.

use backstop_btf::{Btf, TypeId};
use backstop_isa::Reg;
use backstop_model::{BuiltinKfunc, Kfunc};

use crate::check::lock_place;
use crate::code::builtin;
use crate::env::Verifier;
use crate::fields::{FieldAt, FieldClass};
use crate::reason::{Check, Reason};
use crate::state::{BtfRef, Flags, FrameRole, Kind, RegState};
use crate::transfer::kfunc::KfuncMeta;
use crate::transfer::kfunc_class::Param;

/// A pointer to an element, as far into it as its node lies.
pub(super) fn graph_node(number: u32, root: &FieldAt) -> RegState {
    match root.graph() {
        Some((value, node)) => RegState {
            off: i32::try_from(node).unwrap_or(i32::MAX),
            ..RegState::pointer(Kind::Btf(BtfRef { btf: number, id: value.0 })).flagged(Flags::ALLOC)
        },
        None => RegState::UNKNOWN,
    }
}

/// `PTR_TO_BTF_ID | MEM_ALLOC` and nothing else.
fn is_plain_object(reg: &RegState) -> bool {
    matches!(reg.kind, Kind::Btf(_)) && reg.flags == Flags::ALLOC
}

impl Verifier<'_> {
    /// A parameter that takes the head of a list, the root of a tree, or a node.
    pub(super) fn check_graph_arg(
        &self,
        kfunc: &Kfunc,
        known: Option<BuiltinKfunc>,
        btf: &Btf,
        p: Param,
        reg: &RegState,
        meta: &mut KfuncMeta,
    ) -> Check {
        let arg = p.n;
        let class = match btf.pointee(p.ty).map(|to| btf.name(btf.resolve(to))) {
            Some("bpf_list_head") => FieldClass::ListHead,
            Some("bpf_list_node") => FieldClass::ListNode,
            Some("bpf_rb_root") => FieldClass::RbRoot,
            _ => FieldClass::RbNode,
        };
        if class.is_root() {
            if !matches!(reg.kind, Kind::MapValue(_)) || reg.flags != Flags::NONE {
                if !is_plain_object(reg) {
                    return Reason::GraphRoot { arg }.fail();
                }
                held(reg)?;
            }
            return self.check_root(class, p.r, reg, meta);
        }
        if known == Some(BuiltinKfunc::RbtreeAdd) || class == FieldClass::ListNode {
            if !is_plain_object(reg) {
                return expected_object(arg);
            }
            held(reg)?;
        } else {
            let borrowed = reg.is_object() && reg.flags.has(Flags::NON_OWN_REF);
            if !borrowed && reg.ref_id == 0 {
                return Reason::GraphBorrowed { name: kfunc.name.clone() }.fail();
            }
            if self.in_tree_callback() {
                return Reason::GraphInCallback { name: kfunc.name.clone() }.fail();
            }
        }
        self.check_node(class, p.r, reg, meta)
    }

    /// An object itself, to be freed.
    pub(super) fn check_dropped(
        &self,
        known: Option<BuiltinKfunc>,
        arg: usize,
        reg: &RegState,
        meta: &mut KfuncMeta,
    ) -> Check {
        let percpu = reg.flags == Flags::ALLOC.with(Flags::PERCPU);
        let Kind::Btf(b) = reg.kind else { return expected_object(arg) };
        if !percpu && reg.flags != Flags::ALLOC {
            return expected_object(arg);
        }
        let (wanted, name) = match percpu {
            true => (BuiltinKfunc::PercpuObjDrop, "bpf_percpu_obj_drop_impl"),
            false => (BuiltinKfunc::ObjDrop, "bpf_obj_drop_impl"),
        };
        if known != Some(wanted) {
            return Reason::KfuncArgPointer { arg, what: format!("expected for {name}()") }.fail();
        }
        held(reg)?;
        meta.object = Some(b);
        Ok(())
    }

    /// An object that counts its references.
    pub(super) fn check_refcounted(&self, arg: usize, reg: &RegState, meta: &mut KfuncMeta) -> Check {
        let Kind::Btf(b) = reg.kind else { return Reason::RefcountOwner { arg }.fail() };
        if !reg.is_object() {
            return Reason::RefcountOwner { arg }.fail();
        }
        // Linux takes an object that only RCU keeps for an owned one if it is of no list or tree, but the count of such an
        // object may have gone to 0.
        meta.owned = reg.ref_id != 0;
        if self.world.fields(b).is_empty() {
            return Reason::RecordNone {}.fail();
        }
        if !self.world.fields(b).iter().any(|f| f.class == FieldClass::Refcount) {
            return Reason::RefcountNone { arg }.fail();
        }
        meta.object = Some(b);
        Ok(())
    }

    /// The special fields behind a pointer, and the number of the types that they name.
    fn fields_behind(&self, reg: &RegState) -> (u32, &[FieldAt]) {
        match reg.kind {
            Kind::MapValue(map) => {
                let entry = self.world.map(map);
                (entry.btf, &entry.fields[..])
            }
            Kind::Btf(b) if reg.is_object() => (b.btf, self.world.fields(b)),
            _ => (0, &[]),
        }
    }

    fn check_root(&self, class: FieldClass, r: Reg, reg: &RegState, meta: &mut KfuncMeta) -> Check {
        let what = class.name();
        let Some(var) = reg.var.is_const() else {
            return Reason::FieldOffset { reg: r.index() as u8, field: what }.fail();
        };
        let off = i64::from(reg.off).wrapping_add(var as i64);
        let (number, fields) = self.fields_behind(reg);
        let Some(field) = fields.iter().find(|f| f.class == class && i64::from(f.off) == off) else {
            return Reason::GraphNotFound { what, off }.fail();
        };
        let (held, place) = (&self.cur.held, lock_place(reg));
        if !held.has_lock(reg.id, place) && !held.has_res_lock(reg.id, place) {
            let lock = fields.iter().find(|f| f.class == FieldClass::SpinLock).map_or(-22, |f| i64::from(f.off));
            return Reason::GraphLock { lock, what }.fail();
        }
        meta.root = Some((number, *field));
        Ok(())
    }

    fn check_node(&self, class: FieldClass, r: Reg, reg: &RegState, meta: &mut KfuncMeta) -> Check {
        let node = class.name();
        let Some(var) = reg.var.is_const() else {
            return Reason::FieldOffset { reg: r.index() as u8, field: node }.fail();
        };
        let off = i64::from(reg.off).wrapping_add(var as i64);
        let (_, fields) = self.fields_behind(reg);
        let found = fields.iter().any(|f| f.class == class && i64::from(f.off) == off);
        let (Kind::Btf(b), true) = (reg.kind, found) else {
            return Reason::GraphNotFound { what: node, off }.fail();
        };
        let Some((number, (root, (value, want)))) = meta.root.and_then(|(n, f)| Some((n, (f, f.graph()?)))) else {
            return Reason::GraphNotFound { what: node, off }.fail();
        };
        let element = BtfRef { btf: number, id: value.0 };
        let name = |b: BtfRef| self.world.btf(b).map_or("", |btf| btf.name(TypeId(b.id))).to_owned();
        if b != element {
            let (root, want_struct, in_struct) = (root.class.name(), name(element), name(b));
            return Reason::GraphElement { root, node, want, want_struct, off, in_struct }.fail();
        }
        if off != i64::from(want) {
            return Reason::GraphNode { off, node, want, name: name(element) }.fail();
        }
        meta.object = Some(b);
        Ok(())
    }

    /// The running function compares nodes for `bpf_rbtree_add`.
    pub fn in_tree_callback(&self) -> bool {
        let frame = self.cur.frame();
        let adds = |at: u32| match self.instr(at) {
            Some(backstop_isa::Instr::CallKfunc { id, .. }) => {
                self.kfunc(*id).is_ok_and(|k| builtin(k.identity) == Some(BuiltinKfunc::RbtreeAdd))
            }
            _ => false,
        };
        self.cur.frames.len() > 1 && frame.role == FrameRole::Callback && adds(frame.callsite)
    }

    /// A round of the function that orders nodes: it gets two of the tree, not NULL, borrowed.
    pub(super) fn push_less_callback(&mut self, meta: &KfuncMeta) -> Check {
        let (Some(callee), Some((number, root))) = (meta.func, meta.root) else { return Ok(()) };
        let at = self.insn;
        let Some(sub) = self.subs.get_mut(callee as usize) else { return Ok(()) };
        sub.is_callback = true;
        sub.reached = true;
        let start = sub.start;
        let mut frame = self.callee_frame(&self.cur, callee as usize, at)?;
        let node = self.borrowed(graph_node(number, &root));
        *frame.reg_mut(Reg::R1) = node;
        *frame.reg_mut(Reg::R2) = node;
        self.push_round(frame, start)
    }

    /// Linking a node: the list or tree has the reference now, and what pointed to the node borrows it.
    pub(super) fn link_node(&mut self, kfunc: &Kfunc, known: Option<BuiltinKfunc>, index: i32) -> Check {
        use BuiltinKfunc::{ListPushBack, ListPushFront, RbtreeAdd};
        if !matches!(known, Some(ListPushFront | ListPushBack | RbtreeAdd)) {
            return Ok(());
        }
        let ref_id = self.reg(Reg::R2).ref_id;
        if ref_id == 0 || !self.cur.held_mut().release_pointer(ref_id) {
            return Reason::KfuncNotAcquired { name: kfunc.name.clone(), id: i64::from(index) }.fail();
        }
        let counted = |b: BtfRef| self.world.fields(b).iter().any(|f| f.class == FieldClass::Refcount);
        self.cur.for_each_reg(
            |r| r.ref_id == ref_id,
            |r| {
                r.ref_id = 0;
                r.flags = r.flags.with(Flags::NON_OWN_REF);
                if let Kind::Btf(b) = r.kind
                    && counted(b)
                {
                    r.flags = r.flags.with(Flags::RCU);
                }
            },
        );
        Ok(())
    }
}

fn expected_object(arg: usize) -> Check {
    Reason::KfuncArgPointer { arg, what: "expected pointer to allocated object".into() }.fail()
}

/// A reference to the object must be held.
fn held(reg: &RegState) -> Check {
    if reg.ref_id != 0 { Ok(()) } else { Reason::KfuncAllocType { text: "allocated object must be referenced" }.fail() }
}
