//! Accesses to objects with a type: allocated ones, and the kernel's (Linux: `check_ptr_to_btf_access`, `btf_struct_access`).

use backstop_btf::{Btf, Kind as BtfKind, Name, Type, TypeId};
use backstop_isa::Reg;
use backstop_model::{ProgType, license_is_gpl_compatible};

use crate::check::mem::{Access, Value};
use crate::env::Verifier;
use crate::facts::Region;
use crate::reason::{Check, Reason};
use crate::state::{BtfRef, Flags, Kind, RegState};

/// What lies at an offset in a struct.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Member {
    Scalar,
    /// A pointer to a struct.
    Pointer(PointerMember),
    /// A pointer to something else.
    PlainPointer,
}

/// A member that points to a struct.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct PointerMember {
    pub to: TypeId,
    pub name: Name,
    /// What its type tag says (`__rcu`, `__percpu`, `__user`), and untrusted if it lies in a union.
    pub flags: Flags,
}

/// Structs within structs that are walked.
const MAX_DEPTH: u32 = 32;

impl Verifier<'_> {
    pub(super) fn access_btf(&mut self, a: &Access, reg: &RegState, b: BtfRef, at: i64, size: i64) -> Check<Region> {
        let member = self.check_object(a.base, reg, b, at, size, a.write)?;
        if let Value::Reg(r) = a.value
            && !a.write
        {
            let loaded = self.loaded(reg, b, member);
            self.cur.set(r, loaded);
        }
        // What is held, or linked under the lock that is held, is there; anything else may be gone.
        let held = reg.ref_id != 0 || (reg.flags.has(Flags::NON_OWN_REF) && !reg.flags.has(Flags::RCU));
        let there = reg.flags.has(Flags::ALLOC) && held;
        Ok(if there { Region::Memory } else { Region::Probe })
    }

    /// Whether `size` bytes at `at` may be accessed, and what they are.
    fn check_object(&self, base: Reg, reg: &RegState, b: BtfRef, at: i64, size: i64, write: bool) -> Check<Member> {
        let n = base.index() as u8;
        let refuse = |text: String| Reason::BtfAccess { text }.fail();
        let Some(btf) = self.world.btf(b) else {
            return Reason::InvalidMem { reg: n, ty: reg.type_name() }.fail();
        };
        let id = TypeId(b.id);
        let name = btf.name(id);
        let local = reg.flags.has(Flags::ALLOC);
        if !self.leaks_allowed() {
            return refuse(format!("'struct {name}' access is allowed only to CAP_PERFMON and CAP_SYS_ADMIN"));
        }
        if self.world.is_kernel(b) && !license_is_gpl_compatible(&self.program.license) {
            return refuse(format!("Cannot access kernel 'struct {name}' from non-GPL compatible program"));
        }
        if self.world.is_declared(b) {
            return Reason::KernelType { name: name.to_owned() }.fail();
        }
        if at < 0 {
            return refuse(format!("R{n} is ptr_{name} invalid negative access: off={at}"));
        }
        if reg.var.is_const() != Some(0) {
            let var = super::mem::bits_text(reg);
            return refuse(format!("R{n} is ptr_{name} invalid variable offset: off={at}, var_off={var}"));
        }
        if reg.flags.has(Flags::USER) {
            return refuse(format!("R{n} is ptr_{name} access user memory: off={at}"));
        }
        if reg.flags.has(Flags::PERCPU) {
            return refuse(format!("R{n} is ptr_{name} access percpu memory: off={at}"));
        }
        if write && !local && matches!(name, "nf_conn" | "nf_conn___init") && self.may_mark_connections() {
            return check_mark(btf, at, size).map_or_else(refuse, |()| Ok(Member::Scalar));
        }
        if write && !reg.is_object() {
            return refuse("only read is supported".into());
        }
        if local && reg.ref_id == 0 && !reg.flags.any(Flags::NON_OWN_REF.with(Flags::RCU)) {
            return refuse("verifier bug: ref_obj_id for allocated object must be non-zero".into());
        }
        if local {
            for f in self.world.fields(b) {
                if at < i64::from(f.off + f.size) && i64::from(f.off) < at.saturating_add(size) {
                    return refuse(format!("direct access to {} is disallowed", f.class.name()));
                }
            }
        }
        walk(btf, id, at, size).or_else(refuse)
    }

    /// Linux: types whose `btf_struct_access` is that of connection tracking.
    fn may_mark_connections(&self) -> bool {
        matches!(self.ty(), ProgType::SchedCls | ProgType::SchedAct | ProgType::Xdp)
    }

    /// Memory of this size in an object of the kernel's, which a helper reads (Linux: `check_helper_mem_access`).
    pub(super) fn check_kernel_memory(&mut self, r: Reg, reg: &RegState, b: BtfRef, size: i64) -> Check {
        let at = self.insn;
        if let Some(s) = self.collected.slot(at) {
            s.kernel_memory = true;
        }
        self.check_object(r, reg, b, i64::from(reg.off), size, false).map(|_| ())
    }

    /// What a load of a member gives. A pointer to a struct is a number in an allocated object, where anybody may have
    /// written it; a pointer to anything else is only probed, wherever it comes from.
    fn loaded(&mut self, reg: &RegState, b: BtfRef, member: Member) -> RegState {
        match member {
            Member::Scalar => RegState::UNKNOWN,
            Member::Pointer(_) if reg.flags.has(Flags::ALLOC) => RegState::UNKNOWN,
            Member::Pointer(p) => {
                let flags = self.trust_of_member(reg, b, p);
                let id = if flags.has(Flags::MAYBE_NULL) { self.new_id() } else { 0 };
                RegState { id, ..RegState::pointer(Kind::Btf(BtfRef { btf: b.btf, id: p.to.0 })).flagged(flags) }
            }
            Member::PlainPointer => RegState::pointer(Kind::Mem(0)).flagged(Flags::RDONLY.with(Flags::UNTRUSTED)),
        }
    }

    /// Memory of this size in an object that is there, for a subprogram. Linux asks for the right to read alone, so it takes
    /// the kernel's objects too, which the subprogram may then write.
    pub(super) fn check_object_memory(&self, r: Reg, reg: &RegState, b: BtfRef, size: i64) -> Check {
        let borrowed = reg.flags.has(Flags::NON_OWN_REF) && !reg.flags.has(Flags::RCU);
        if !reg.flags.has(Flags::ALLOC) || reg.maybe_null() || !(borrowed || reg.ref_id != 0) {
            return Reason::ArgType { reg: r.index() as u8, ty: reg.type_name(), expected: "fp".into() }.fail();
        }
        self.check_object(r, reg, b, i64::from(reg.off), size, false).map(|_| ())
    }
}

/// Of a tracked connection only the mark may be written (Linux: `nfct_btf_struct_access`).
fn check_mark(btf: &Btf, at: i64, size: i64) -> Result<(), String> {
    let mark = btf.find("nf_conn", BtfKind::Struct).and_then(|known| btf.field(known, "mark"));
    match mark.map(|m| i64::try_from(m.byte_offset()).unwrap_or(i64::MAX)) {
        Some(start) if start == at && size <= 4 => Ok(()),
        Some(start) if start == at => Err(format!(
            "write access at off {at} with size {size} beyond the member of nf_conn ended at {}",
            start.saturating_add(4)
        )),
        _ => Err(format!("no write support to nf_conn at off {at}")),
    }
}

/// The member that an access hits (Linux: `btf_struct_walk`).
fn walk(btf: &Btf, ty: TypeId, off: i64, size: i64) -> Result<Member, String> {
    let (mut ty, mut off, mut union) = (ty, off, false);
    for _ in 0..MAX_DEPTH {
        let name = named(btf, ty);
        let total = match btf.ty(ty) {
            Type::Struct(c) | Type::Union(c) => i64::from(c.size),
            _ => return Err(format!("Type '{name}' is not a struct")),
        };
        // What a union holds may be anything else, too, but for unions of one member.
        union |= btf.kind(ty) == BtfKind::Union && btf.members(ty).len() != 1;
        let found = match off.saturating_add(size) > total {
            true => beyond(btf, ty, off, size, total)?,
            false => step(btf, ty, off, size, union)?,
        };
        match found {
            Found::Member(Member::Pointer(p)) if union => {
                return Ok(Member::Pointer(PointerMember { flags: p.flags.with(Flags::UNTRUSTED), ..p }));
            }
            Found::Member(m) => return Ok(m),
            Found::Within(inner, rest) => (ty, off) = (inner, rest),
        }
    }
    Err(format!("struct {} doesn't have field at offset {off}", named(btf, ty)))
}

/// Whether a struct has another one at this offset, by itself or as the first part of what is there.
pub(super) fn holds(btf: &Btf, ty: TypeId, off: i64, want: TypeId) -> bool {
    let (mut ty, mut off) = (ty, off);
    for _ in 0..MAX_DEPTH {
        match step(btf, ty, off, 1, false) {
            Ok(Found::Within(inner, 0)) if inner == want => return true,
            Ok(Found::Within(inner, rest)) => (ty, off) = (inner, rest),
            _ => return false,
        }
    }
    false
}

enum Found {
    Member(Member),
    /// In this struct, at this offset.
    Within(TypeId, i64),
}

/// Past the struct's end there may be a flexible array of numbers or structs.
fn beyond(btf: &Btf, ty: TypeId, off: i64, size: i64, total: i64) -> Result<Found, String> {
    let error = || format!("access beyond struct {} at off {off} size {size}", named(btf, ty));
    let last = btf.members(ty).last().ok_or_else(error)?;
    let Type::Array { elem, len: 0, .. } = *btf.resolved(last.ty) else { return Err(error()) };
    let start = i64::from(last.byte_offset());
    if off < start || off < total.min(start) {
        return Err(error());
    }
    let elem = btf.resolve(elem);
    match *btf.ty(elem) {
        Type::Int(_) => Ok(Found::Member(Member::Scalar)),
        Type::Struct(c) | Type::Union(c) if c.size > 0 => Ok(Found::Within(elem, (off - start) % i64::from(c.size))),
        _ => Err(error()),
    }
}

/// A struct's name as the kernel writes it.
fn named(btf: &Btf, ty: TypeId) -> &str {
    match btf.name(ty) {
        "" => "(anon)",
        name => name,
    }
}

/// `untrusted`: the way led through a union, whose members may be read beyond their ends.
fn step(btf: &Btf, ty: TypeId, off: i64, size: i64, untrusted: bool) -> Result<Found, String> {
    let name = named(btf, ty);
    for m in btf.members(ty) {
        let start = i64::from(m.byte_offset());
        if off + size <= start {
            break;
        }
        if m.is_bitfield() {
            let end = i64::from((m.bit_offset + u32::from(m.bit_size)).div_ceil(8));
            if off <= start && end <= off + size {
                return Ok(Found::Member(Member::Scalar));
            }
            continue;
        }
        if off < start {
            break;
        }
        let field = btf.str(m.name);
        let Some(bytes) = btf.size_of(m.ty).and_then(|s| i64::try_from(s).ok()) else {
            return Err(format!("field {field} doesn't have size"));
        };
        let end = start + bytes;
        if off >= end {
            continue;
        }
        let (elem, start) = element(btf, m.ty, start, off);
        match *btf.ty(elem) {
            Type::Struct(_) | Type::Union(_) => return Ok(Found::Within(elem, off - start)),
            Type::Ptr { to } => {
                if size != 8 || off != start {
                    return Err(format!(
                        "cannot access ptr member {field} with moff {start} in struct {name} with off {off} size {size}"
                    ));
                }
                return Ok(Found::Member(pointer_member(btf, to, m.name)));
            }
            _ if off + size > end && !untrusted => {
                return Err(format!(
                    "access beyond the end of member {field} (mend:{end}) in struct {name} with off {off} size {size}"
                ));
            }
            _ => return Ok(Found::Member(Member::Scalar)),
        }
    }
    Err(format!("struct {name} doesn't have field at offset {off}"))
}

/// The element that an offset hits, through arrays of any depth, and where it starts.
fn element(btf: &Btf, ty: TypeId, start: i64, off: i64) -> (TypeId, i64) {
    let mut ty = btf.resolve(ty);
    for _ in 0..MAX_DEPTH {
        let Type::Array { elem, .. } = *btf.ty(ty) else { break };
        ty = btf.resolve(elem);
    }
    match btf.size_of(ty).and_then(|s| i64::try_from(s).ok()) {
        Some(size) if size > 0 => (ty, start + (off - start) / size * size),
        _ => (ty, start),
    }
}

fn pointer_member(btf: &Btf, to: TypeId, name: Name) -> Member {
    let flags = match *btf.ty(to) {
        Type::TypeTag { name, attribute: false, .. } => match btf.str(name) {
            "user" => Flags::USER,
            "percpu" => Flags::PERCPU,
            "rcu" => Flags::RCU,
            _ => Flags::NONE,
        },
        _ => Flags::NONE,
    };
    let to = btf.resolve(to);
    if btf.kind(to).is_composite() { Member::Pointer(PointerMember { to, name, flags }) } else { Member::PlainPointer }
}
