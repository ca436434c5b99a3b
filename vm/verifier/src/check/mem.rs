//! One access to memory through a register, whatever it points to (Linux: `check_mem_access`).

use backstop_isa::{Reg, Size};
use backstop_model::sockets::{self, SocketKind};
use backstop_model::{FieldKind, MAP_F_RDONLY_PROG, MAP_F_WRONLY_PROG, MapKind, contexts, returns};

use crate::domain;
use crate::env::Verifier;
use crate::facts::Region;
use crate::reason::{Check, Reason};
use crate::state::{Flags, Kind, MapId, RegState};

/// What is stored, or where a load goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Value {
    /// Loaded into, or stored from, this register.
    Reg(Reg),
    /// An immediate is stored.
    Imm(i32),
    /// Nobody looks: a helper or an atomic operation touches the memory.
    None,
}

/// One access.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Access {
    pub base: Reg,
    pub off: i16,
    pub size: Size,
    pub write: bool,
    pub value: Value,
    pub signed: bool,
    /// Must be aligned whatever it points to (atomic operations).
    pub strict: bool,
}

impl Verifier<'_> {
    /// Checks the access and, for a load, sets the register.
    pub fn access(&mut self, a: &Access) -> Check<Region> {
        self.access_at(a, i32::from(a.off))
    }

    /// As [`Verifier::access`], at any offset.
    pub fn access_at(&mut self, a: &Access, off: i32) -> Check<Region> {
        let reg = *self.reg(a.base);
        self.check_alignment(&reg, off, a.size.bytes(), a.strict)?;
        let region = self.access_kind(a, &reg, off)?;
        if !a.write
            && let Value::Reg(r) = a.value
            && self.reg(r).is_scalar()
            && a.size != Size::B8
        {
            let var = if a.signed {
                domain::sign_extend_load(a.size.bytes(), &self.reg(r).var)
            } else {
                domain::zero_extend_load(a.size.bytes(), &self.reg(r).var)
            };
            self.cur.reg_mut(r).var = var;
        }
        Ok(region)
    }

    fn access_kind(&mut self, a: &Access, reg: &RegState, off: i32) -> Check<Region> {
        let n = a.base.index() as u8;
        let at = i64::from(reg.off) + i64::from(off);
        let size = i64::from(a.size.bytes());
        match reg.kind {
            Kind::MapKey(map) if !reg.maybe_null() => {
                if a.write {
                    return Reason::WriteKey { reg: n }.fail();
                }
                let key = self.world.map(map).spec.key_size;
                self.check_region(a.base, at, size, key, false)?;
                self.load_unknown(a);
                Ok(Region::Memory)
            }
            Kind::MapValue(map) if !reg.maybe_null() => {
                self.access_map_value(a, map, reg, at, size)?;
                Ok(Region::MapValue)
            }
            Kind::Mem(len) => self.access_mem(a, reg, at, size, len),
            Kind::Ctx if !reg.maybe_null() => self.access_ctx(a, reg, off, at),
            Kind::Stack(frame) => {
                self.access_stack(a, usize::from(frame), reg, off)?;
                Ok(Region::Stack)
            }
            Kind::Packet | Kind::PacketMeta => {
                if a.write && !returns::packet(&self.program.kind).write {
                    return Reason::PacketWrite {}.fail();
                }
                self.no_leak(a, "packet")?;
                self.check_packet(a.base, at, size, false)?;
                self.load_unknown(a);
                Ok(Region::Packet)
            }
            Kind::Btf(b) if !reg.maybe_null() => self.access_btf(a, reg, b, at, size),
            Kind::SockCommon | Kind::Socket | Kind::TcpSock | Kind::XdpSock if !reg.maybe_null() => {
                self.access_sock(a, reg, at)?;
                Ok(Region::Probe)
            }
            Kind::MapPtr(map) if !reg.maybe_null() => self.access_map_struct(a, map, reg, at, size),
            Kind::TpBuffer => self.access_tp_buffer(a, reg, at, size),
            Kind::Arena => {
                self.load_unknown(a);
                Ok(Region::Arena)
            }
            _ => Reason::InvalidMem { reg: n, ty: reg.type_name() }.fail(),
        }
    }

    pub(super) fn load_unknown(&mut self, a: &Access) {
        if !a.write
            && let Value::Reg(r) = a.value
        {
            self.cur.set(r, RegState::UNKNOWN);
        }
    }

    fn no_leak(&self, a: &Access, what: &'static str) -> Check {
        match a.value {
            Value::Reg(r) if a.write && self.is_pointer_value(r) => {
                Reason::LeaksInto { reg: r.index() as u8, what }.fail()
            }
            _ => Ok(()),
        }
    }

    /// Linux: `check_ptr_alignment`. x86-64 accesses unaligned memory well; the stack must be aligned all the same, since
    /// slots are tracked by eight bytes.
    fn check_alignment(&self, reg: &RegState, off: i32, size: u32, strict: bool) -> Check {
        let (what, always) = match reg.kind {
            Kind::Packet | Kind::PacketMeta => return self.check_packet_alignment(reg, off, size, strict),
            // Linux names only pointers that are what they are for sure.
            _ if reg.maybe_null() => ("", false),
            Kind::MapKey(_) => ("key ", false),
            Kind::MapValue(_) => ("value ", false),
            Kind::Ctx => ("context ", false),
            Kind::Stack(_) => ("stack ", true),
            Kind::SockCommon => ("sock_common ", false),
            Kind::Socket => ("sock ", false),
            Kind::TcpSock => ("tcp_sock ", false),
            Kind::XdpSock => ("xdp_sock ", false),
            Kind::Arena => return Ok(()),
            _ => ("", false),
        };
        if !(strict || always) || size == 1 {
            return Ok(());
        }
        let total = i64::from(reg.off) + i64::from(off);
        if reg.var.tnum.add(domain::Tnum::constant(total as u64)).is_aligned(u64::from(size)) {
            return Ok(());
        }
        let what = format!("{what}access off {}+{}+{off} size {size}", bits_text(reg), reg.off);
        Reason::Misaligned { what }.fail()
    }

    fn check_packet_alignment(&self, reg: &RegState, off: i32, size: u32, strict: bool) -> Check {
        const NET_IP_ALIGN: i64 = 2;
        if !strict || size == 1 {
            return Ok(());
        }
        let total = NET_IP_ALIGN + i64::from(reg.off) + i64::from(off);
        if reg.var.tnum.add(domain::Tnum::constant(total as u64)).is_aligned(u64::from(size)) {
            return Ok(());
        }
        let what = format!("packet access off {NET_IP_ALIGN}+{}+{}+{off} size {size}", bits_text(reg), reg.off);
        Reason::Misaligned { what }.fail()
    }

    fn access_map_value(&mut self, a: &Access, map: MapId, reg: &RegState, at: i64, size: i64) -> Check {
        self.no_leak(a, "map")?;
        self.check_map_rights(map, at, size, a.write)?;
        self.check_map_value(a.base, map, at, size, false, false)?;
        if let Some(kptr) = self.kptr_at(map, reg, at) {
            return self.access_kptr(a, kptr);
        }
        let Value::Reg(r) = a.value else { return Ok(()) };
        if a.write {
            return Ok(());
        }
        let known = reg.var.is_const().and_then(|var| {
            let from = usize::try_from(at.wrapping_add(var as i64)).ok()?;
            self.frozen_content(map, from, size as usize, a.signed)
        });
        self.cur.set(r, known.map_or(RegState::UNKNOWN, RegState::constant));
        Ok(())
    }

    /// Content of a read-only map, which can't change any more.
    fn frozen_content(&self, map: MapId, from: usize, size: usize, signed: bool) -> Option<u64> {
        let spec = &self.world.map(map).spec;
        if !spec.frozen || spec.flags & MAP_F_RDONLY_PROG == 0 || spec.kind != MapKind::Array || spec.max_entries != 1 {
            return None;
        }
        let bytes = spec.initial.as_ref()?.get(from..from.checked_add(size)?)?;
        let mut word = [0u8; 8];
        word.get_mut(..size)?.copy_from_slice(bytes);
        let value = u64::from_le_bytes(word);
        let shift = 64 - 8 * size as u32;
        Some(if signed && shift > 0 { ((value << shift) as i64 >> shift) as u64 } else { value })
    }

    /// Linux: `check_map_access_type`.
    pub fn check_map_rights(&self, map: MapId, off: i64, len: i64, write: bool) -> Check {
        let spec = &self.world.map(map).spec;
        let size = spec.value_size;
        if write && spec.flags & MAP_F_RDONLY_PROG != 0 {
            return Reason::MapWriteForbidden { size, off, len }.fail();
        }
        if !write && spec.flags & MAP_F_WRONLY_PROG != 0 {
            return Reason::MapReadForbidden { size, off, len }.fail();
        }
        Ok(())
    }

    /// Bounds, and fields that only helpers may touch (Linux: `check_map_access`).
    pub fn check_map_value(&self, base: Reg, map: MapId, off: i64, len: i64, zero_ok: bool, helper: bool) -> Check {
        let entry = self.world.map(map);
        self.check_region(base, off, len, entry.spec.value_size, zero_ok)?;
        let var = self.reg(base).var;
        let low = var.smin.saturating_add(off);
        let high = i64::try_from(var.umax).unwrap_or(i64::MAX).saturating_add(off).saturating_add(len);
        for f in entry.fields.iter() {
            let overlaps = low < i64::from(f.off + f.size) && i64::from(f.off) < high;
            if !overlaps {
                continue;
            }
            if !f.class.is_pointer() {
                return Reason::SpecialField { name: f.class.name() }.fail();
            }
            self.check_kptr_bounds(self.reg(base), f, off, len, helper)?;
        }
        Ok(())
    }

    fn access_mem(&mut self, a: &Access, reg: &RegState, at: i64, size: i64, len: u32) -> Check<Region> {
        let n = a.base.index() as u8;
        let read_only = reg.flags.has(Flags::RDONLY);
        let probe = read_only && reg.flags.has(Flags::UNTRUSTED);
        if reg.maybe_null() {
            return Reason::InvalidMem { reg: n, ty: reg.type_name() }.fail();
        }
        if a.write && read_only {
            return Reason::CannotWriteInto { reg: n, ty: reg.type_name() }.fail();
        }
        self.no_leak(a, "mem")?;
        if !probe {
            self.check_region(a.base, at, size, len, false)?;
        }
        self.load_unknown(a);
        Ok(if probe { Region::Probe } else { Region::Memory })
    }

    fn access_ctx(&mut self, a: &Access, reg: &RegState, off: i32, at: i64) -> Check<Region> {
        self.no_leak(a, "ctx")?;
        self.check_offset_free(reg, a.base, false)?;
        let size = a.size.bytes();
        let Ok(field) = contexts::access(&self.program.kind, i64::from(off), size, a.write) else {
            return Reason::CtxAccess { off: at, size }.fail();
        };
        // A sign-extending load can give no pointer.
        if a.signed && field.kind != FieldKind::Scalar {
            return Reason::CtxAccess { off: at, size }.fail();
        }
        if let (false, Value::Reg(r)) = (a.write, a.value) {
            let loaded = match field.kind {
                FieldKind::Scalar => RegState::UNKNOWN,
                FieldKind::Packet => RegState::pointer(Kind::Packet),
                FieldKind::PacketEnd => RegState::pointer(Kind::PacketEnd),
                FieldKind::PacketMeta => RegState::pointer(Kind::PacketMeta),
                FieldKind::TracepointBuffer => RegState::pointer(Kind::TpBuffer),
                FieldKind::SockCommonOrNull => {
                    let id = self.new_id();
                    RegState { id, ..RegState::pointer(Kind::SockCommon).flagged(Flags::MAYBE_NULL) }
                }
            };
            self.cur.set(r, loaded);
        }
        Ok(Region::Ctx { off: off as u32, kind: field.kind })
    }

    /// Linux: `check_tp_buffer_access`. How long the buffer must be is checked against the tracepoint when the program is
    /// attached; here nobody attaches, so engines are told not to touch it.
    fn access_tp_buffer(&mut self, a: &Access, reg: &RegState, at: i64, size: i64) -> Check<Region> {
        let n = a.base.index() as u8;
        if at < 0 {
            let text = format!("R{n} invalid tracepoint buffer access: off={at}, size={size}");
            return Reason::BtfAccess { text }.fail();
        }
        if reg.var.is_const() != Some(0) {
            let var = bits_text(reg);
            let text = format!("R{n} invalid variable buffer offset: off={at}, var_off={var}");
            return Reason::BtfAccess { text }.fail();
        }
        self.load_unknown(a);
        Ok(Region::Probe)
    }

    /// The pointer must be as it was given: no variable offset, and unless `fixed_ok` no fixed one (Linux:
    /// `__check_ptr_off_reg`).
    pub fn check_offset_free(&self, reg: &RegState, r: Reg, fixed_ok: bool) -> Check {
        let n = r.index() as u8;
        if reg.off < 0 {
            return Reason::NegativeOffset { reg: n, ty: reg.type_name(), off: reg.off }.fail();
        }
        if !fixed_ok && reg.off != 0 {
            return Reason::ModifiedPointer { reg: n, ty: reg.type_name(), off: reg.off }.fail();
        }
        if reg.var.is_const() != Some(0) {
            return Reason::VariableOffset { ty: reg.type_name(), var_off: bits_text(reg) }.fail();
        }
        Ok(())
    }

    /// Fields of a socket (Linux: `bpf_sock_common_is_valid_access` and its kin): aligned reads within the struct.
    fn access_sock(&mut self, a: &Access, reg: &RegState, at: i64) -> Check {
        let n = a.base.index() as u8;
        if a.write {
            return Reason::CannotWriteInto { reg: n, ty: reg.type_name() }.fail();
        }
        self.check_offset_free(reg, a.base, true)?;
        let kind = match reg.kind {
            Kind::SockCommon => SocketKind::Common,
            Kind::TcpSock => SocketKind::Tcp,
            Kind::XdpSock => SocketKind::Xdp,
            _ => SocketKind::Full,
        };
        let size = a.size.bytes();
        if !sockets::readable(kind, at, size) {
            return Reason::BtfAccess { text: format!("R{n} invalid {} access off={at} size={size}", reg.type_name()) }
                .fail();
        }
        self.load_unknown(a);
        Ok(())
    }
}

/// The known bits of the variable part as the kernel writes them: a constant as a number.
pub(super) fn bits_text(reg: &RegState) -> String {
    match reg.var.is_const() {
        Some(v) if v <= 0xffff => v.to_string(),
        Some(v) => format!("{v:#x}"),
        None => reg.var.tnum.to_string(),
    }
}
