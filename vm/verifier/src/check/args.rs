//! Arguments of helpers: types, memory and its lengths (Linux: `check_func_arg` and what it calls).

use backstop_isa::Reg;
use backstop_model::{ArgKind, HelperProto, MapKind, contexts, helpers, returns};

use crate::check::dynptr::DynptrUse;
use crate::check::kptr::KptrUse;
use crate::check::mem::bits_text;
use crate::env::Verifier;
use crate::reason::{Check, Reason};
use crate::resolve::MAX_VAR_OFF;
use crate::state::{BtfRef, Byte, DynptrKind, Flags, Kind, MAX_STACK, MapId, RegState, byte_in_slot, spi};

/// What the arguments of one call said.
#[derive(Clone, Debug, Default)]
pub(crate) struct CallMeta {
    pub map: Option<MapId>,
    pub map_uid: u32,
    /// The memory argument before the length is filled by the helper.
    pub raw: bool,
    /// Stack that the helper fills.
    pub filled: Option<(Reg, i64)>,
    /// Argument whose reference is given up.
    pub release: Option<Reg>,
    pub ref_id: u32,
    /// Greatest length passed, which bounds some results.
    pub size_max: Option<u64>,
    /// Constant size of an allocation.
    pub mem_size: u64,
    pub func: Option<u32>,
    /// Constant key of an array lookup.
    pub const_key: Option<u64>,
    /// Dynptr that was passed.
    pub dynptr: Option<DynptrUse>,
    /// Kptr that is exchanged.
    pub kptr: Option<KptrUse>,
    /// Type of a per-CPU object that was passed.
    pub percpu: Option<BtfRef>,
}

/// A kind of value that an argument may be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Accept {
    Stack,
    Packet,
    PacketMeta,
    MapKey,
    MapValue,
    Mem,
    RingbufMem,
    Buf,
    TrustedBtf,
    AllocBtf,
    PlainBtf,
    RcuBtf,
    PercpuBtf,
    PercpuRcuBtf,
    PercpuTrustedBtf,
    MapPtr,
    Scalar,
    Func,
    Ctx,
    SockCommon,
    Socket,
    TcpSock,
    XdpSock,
    Dynptr,
}

impl Accept {
    const fn name(self) -> &'static str {
        match self {
            Accept::Stack => "fp",
            Accept::Packet => "pkt",
            Accept::PacketMeta => "pkt_meta",
            Accept::MapKey => "map_key",
            Accept::MapValue => "map_value",
            Accept::Mem => "mem",
            Accept::RingbufMem => "ringbuf_mem",
            Accept::Buf => "buf",
            Accept::TrustedBtf => "trusted_ptr_",
            Accept::AllocBtf | Accept::PlainBtf => "ptr_",
            Accept::RcuBtf => "rcu_ptr_",
            Accept::PercpuBtf => "percpu_ptr_",
            Accept::PercpuRcuBtf => "percpu_rcu_ptr_",
            Accept::PercpuTrustedBtf => "percpu_trusted_ptr_",
            Accept::MapPtr => "map_ptr",
            Accept::Scalar => "scalar",
            Accept::Func => "func",
            Accept::Ctx => "ctx",
            Accept::SockCommon => "sock_common",
            Accept::Socket => "sock",
            Accept::TcpSock => "tcp_sock",
            Accept::XdpSock => "xdp_sock",
            Accept::Dynptr => "dynptr_ptr",
        }
    }

    fn matches(self, kind: Kind, flags: Flags) -> bool {
        let plain = flags == Flags::NONE;
        match self {
            Accept::Stack => plain && matches!(kind, Kind::Stack(_)),
            Accept::Packet => plain && kind == Kind::Packet,
            Accept::PacketMeta => plain && kind == Kind::PacketMeta,
            Accept::MapKey => plain && matches!(kind, Kind::MapKey(_)),
            Accept::MapValue => plain && matches!(kind, Kind::MapValue(_)),
            Accept::Mem => plain && matches!(kind, Kind::Mem(_)),
            Accept::RingbufMem => flags == Flags::RINGBUF && matches!(kind, Kind::Mem(_)),
            Accept::Buf => false,
            Accept::TrustedBtf => flags == Flags::TRUSTED && matches!(kind, Kind::Btf(_)),
            Accept::AllocBtf => flags == Flags::ALLOC && matches!(kind, Kind::Btf(_)),
            Accept::PlainBtf => plain && matches!(kind, Kind::Btf(_)),
            Accept::RcuBtf => flags == Flags::RCU && matches!(kind, Kind::Btf(_)),
            Accept::PercpuBtf => flags == Flags::PERCPU && matches!(kind, Kind::Btf(_)),
            Accept::PercpuRcuBtf => flags == Flags::PERCPU.with(Flags::RCU) && matches!(kind, Kind::Btf(_)),
            Accept::PercpuTrustedBtf => flags == Flags::PERCPU.with(Flags::TRUSTED) && matches!(kind, Kind::Btf(_)),
            Accept::MapPtr => plain && matches!(kind, Kind::MapPtr(_)),
            Accept::Scalar => plain && kind == Kind::Scalar,
            Accept::Func => plain && matches!(kind, Kind::Func(_)),
            Accept::Ctx => plain && kind == Kind::Ctx,
            Accept::SockCommon => plain && kind == Kind::SockCommon,
            Accept::Socket => plain && kind == Kind::Socket,
            Accept::TcpSock => plain && kind == Kind::TcpSock,
            Accept::XdpSock => plain && kind == Kind::XdpSock,
            Accept::Dynptr => plain && kind == Kind::Dynptr,
        }
    }
}

const MEMORY: &[Accept] = &[
    Accept::Stack,
    Accept::Packet,
    Accept::PacketMeta,
    Accept::MapKey,
    Accept::MapValue,
    Accept::Mem,
    Accept::RingbufMem,
    Accept::Buf,
    Accept::TrustedBtf,
];

const KERNEL_OBJECTS: &[Accept] = &[Accept::PlainBtf, Accept::TrustedBtf, Accept::RcuBtf];
const SOCKETS: &[Accept] = &[Accept::SockCommon, Accept::Socket, Accept::TcpSock, Accept::XdpSock];
const BTF_SOCKETS: &[Accept] =
    &[Accept::SockCommon, Accept::Socket, Accept::TcpSock, Accept::XdpSock, Accept::PlainBtf, Accept::TrustedBtf];

/// (what may be passed, may be NULL, may be read-only memory)
fn accepted(arg: ArgKind) -> Option<(&'static [Accept], bool, bool)> {
    Some(match arg {
        ArgKind::MapKey | ArgKind::MapValue | ArgKind::UninitMapValue => (MEMORY, false, false),
        ArgKind::MapValueOrNull => (MEMORY, true, false),
        ArgKind::Mem | ArgKind::FixedMem(_) => (MEMORY, false, true),
        ArgKind::MemOrNull => (MEMORY, true, true),
        ArgKind::UninitMem | ArgKind::UninitFixedMem(_) | ArgKind::UninitFixedMemAligned(_) | ArgKind::UninitLong => {
            (MEMORY, false, false)
        }
        ArgKind::UninitMemOrNull => (MEMORY, true, false),
        ArgKind::Size | ArgKind::SizeOrZero | ArgKind::ConstAllocSize => (&[Accept::Scalar], false, false),
        ArgKind::ConstMap => (&[Accept::MapPtr], false, false),
        ArgKind::Ctx => (&[Accept::Ctx], false, false),
        ArgKind::CtxOrNull => (&[Accept::Ctx], true, false),
        ArgKind::Callback => (&[Accept::Func], false, false),
        ArgKind::StackOrNull => (&[Accept::Stack], true, false),
        ArgKind::ConstStr | ArgKind::Timer => (&[Accept::MapValue], false, false),
        ArgKind::SpinLock => (&[Accept::MapValue, Accept::AllocBtf], false, false),
        ArgKind::KptrField => (&[Accept::MapValue, Accept::AllocBtf], false, false),
        ArgKind::BtfOrNull => (&[Accept::PlainBtf, Accept::TrustedBtf, Accept::RcuBtf], true, false),
        ArgKind::BtfStruct(_) => (KERNEL_OBJECTS, false, false),
        ArgKind::BtfStructOrNull(_) => (KERNEL_OBJECTS, true, false),
        ArgKind::PercpuBtf => (&[Accept::PercpuBtf, Accept::PercpuRcuBtf, Accept::PercpuTrustedBtf], false, false),
        ArgKind::RingbufRecord => (&[Accept::RingbufMem], false, false),
        ArgKind::BtfSockCommon => (BTF_SOCKETS, false, false),
        ArgKind::DynptrUninitLocal
        | ArgKind::DynptrUninitRingbuf
        | ArgKind::DynptrRdonly
        | ArgKind::Dynptr
        | ArgKind::DynptrRingbuf => (&[Accept::Stack, Accept::Dynptr], false, false),
        ArgKind::Socket => (SOCKETS, false, false),
        _ => return None,
    })
}

fn is_dynptr(arg: ArgKind) -> bool {
    matches!(
        arg,
        ArgKind::DynptrUninitLocal
            | ArgKind::DynptrUninitRingbuf
            | ArgKind::DynptrRdonly
            | ArgKind::Dynptr
            | ArgKind::DynptrRingbuf
    )
}

impl Verifier<'_> {
    /// Checks one argument.
    pub fn check_arg(&mut self, proto: &HelperProto, n: usize, meta: &mut CallMeta) -> Check {
        let Some(r) = Reg::new(n as u8 + 1) else { return Ok(()) };
        let arg = helpers::arg(proto, n, &self.program.kind);
        if arg == ArgKind::None {
            return Ok(());
        }
        self.readable(r)?;
        if arg == ArgKind::Anything {
            if self.is_pointer_value(r) {
                return Reason::LeaksHelper { reg: r.index() as u8 }.fail();
            }
            return Ok(());
        }
        let arg = self.resolve_map_arg(arg, meta)?;
        let reg = *self.reg(r);
        if reg.is_packet() && !self.packet_argument_ok(proto) {
            return Reason::PacketHelper {}.fail();
        }
        let Some((types, nullable, rdonly)) = accepted(arg) else {
            return Reason::KfuncUnsupported { name: format!("bpf_{}", proto.name) }.fail();
        };
        let releases = proto.releases == Some(n as u8);
        if nullable && reg.is_null() {
            self.rests_on_null(r)?;
        } else {
            // What a program allocated may be given away as a kernel object may.
            let gives = arg == ArgKind::BtfOrNull && reg.flags.has(Flags::ALLOC);
            let given = if gives { Flags::ALLOC.with(Flags::PERCPU) } else { Flags::NONE };
            self.check_type(r, &reg, types, nullable, rdonly, given)?;
            self.check_object_type(proto, arg, r, &reg, rdonly)?;
            if arg == ArgKind::BtfOrNull {
                self.check_kptr_source(r, meta)?;
            }
            let on_stack = is_dynptr(arg) && matches!(reg.kind, Kind::Stack(_));
            self.check_arg_offset(r, &reg, releases && !on_stack)?;
        }
        if releases && is_dynptr(arg) {
            self.check_dynptr_release(r)?;
            meta.release = Some(r);
        } else if releases {
            if reg.ref_id == 0 && !reg.is_null() {
                return Reason::MustBeReferenced { reg: r.index() as u8 }.fail();
            }
            meta.release = Some(r);
        }
        if reg.ref_id != 0 && arg != ArgKind::KptrField {
            // A helper's result and what it releases hang on one reference.
            if meta.ref_id != 0 {
                return Reason::TwoReferenced { reg: r.index() as u8, id: reg.ref_id, other: meta.ref_id }.fail();
            }
            meta.ref_id = reg.ref_id;
        }
        self.check_arg_content(proto, arg, n, r, &reg, meta)
    }

    /// What a map's value is depends on the map (Linux: `resolve_map_arg_type`).
    fn resolve_map_arg(&self, arg: ArgKind, meta: &CallMeta) -> Check<ArgKind> {
        if !matches!(arg, ArgKind::MapValue | ArgKind::MapValueOrNull | ArgKind::UninitMapValue) {
            return Ok(arg);
        }
        match meta.map.map(|m| self.world.map(m).spec.kind) {
            Some(MapKind::Sockmap | MapKind::Sockhash) if arg == ArgKind::MapValue => Ok(ArgKind::BtfSockCommon),
            Some(MapKind::Sockmap | MapKind::Sockhash) => {
                Reason::FmtString { text: "invalid arg_type for sockmap/sockhash".into() }.fail()
            }
            // A bloom filter is asked for the value that it is given.
            Some(MapKind::BloomFilter) => Ok(ArgKind::MapValue),
            _ => Ok(arg),
        }
    }

    /// Linux: `may_access_direct_pkt_data` for helpers: the program type may read packets and the helper may be given them.
    fn packet_argument_ok(&self, proto: &HelperProto) -> bool {
        returns::packet(&self.program.kind).read && proto.packet_access
    }

    fn check_type(
        &self,
        r: Reg,
        reg: &RegState,
        types: &[Accept],
        nullable: bool,
        rdonly: bool,
        ignored: Flags,
    ) -> Check {
        let mut flags = reg.flags.without(ignored);
        if rdonly {
            flags = flags.without(Flags::RDONLY);
        }
        if matches!(reg.kind, Kind::Mem(_)) {
            flags = flags.without(Flags::PACKET_SLICE);
        }
        if nullable {
            flags = flags.without(Flags::MAYBE_NULL);
        }
        if types.iter().any(|t| t.matches(reg.kind, flags)) {
            return Ok(());
        }
        let expected = types.iter().map(|t| t.name()).collect::<Vec<_>>().join(", ");
        Reason::ArgType { reg: r.index() as u8, ty: reg.type_name(), expected }.fail()
    }

    /// Linux: `check_func_arg_reg_off`.
    pub fn check_arg_offset(&self, r: Reg, reg: &RegState, releases: bool) -> Check {
        if releases {
            if reg.off != 0 {
                return Reason::ZeroOffsetRelease { reg: r.index() as u8 }.fail();
            }
            return self.check_offset_free(reg, r, false);
        }
        match reg.kind {
            Kind::Stack(_)
            | Kind::Packet
            | Kind::PacketMeta
            | Kind::MapKey(_)
            | Kind::MapValue(_)
            | Kind::Mem(_)
            | Kind::Arena
            | Kind::Scalar => Ok(()),
            Kind::Btf(_) => {
                let borrowed = Flags::ALLOC.with(Flags::NON_OWN_REF);
                let known =
                    [Flags::NONE, Flags::ALLOC, Flags::TRUSTED, Flags::RCU, borrowed, borrowed.with(Flags::RCU)];
                self.check_offset_free(reg, r, known.contains(&reg.flags))
            }
            _ => self.check_offset_free(reg, r, false),
        }
    }

    fn check_arg_content(
        &mut self,
        proto: &HelperProto,
        arg: ArgKind,
        n: usize,
        r: Reg,
        reg: &RegState,
        meta: &mut CallMeta,
    ) -> Check {
        match arg {
            ArgKind::ConstMap => {
                if let Kind::MapPtr(map) = reg.kind {
                    let other = meta.map.is_some_and(|m| m != map || meta.map_uid != reg.map_uid);
                    if other {
                        return Reason::TimerMap { uid: meta.map_uid, map_uid: reg.map_uid }.fail();
                    }
                    meta.map = Some(map);
                    meta.map_uid = reg.map_uid;
                }
                Ok(())
            }
            ArgKind::MapKey => {
                let Some(map) = meta.map else { return Reason::MapKeyNoMap {}.fail() };
                let size = i64::from(self.world.map(map).spec.key_size);
                self.check_memory(r, size, false, false, &mut CallMeta::default())?;
                meta.const_key = self.constant_key(map, reg, size);
                Ok(())
            }
            ArgKind::MapValue | ArgKind::MapValueOrNull | ArgKind::UninitMapValue => {
                if arg == ArgKind::MapValueOrNull && reg.is_null() {
                    return Ok(());
                }
                let Some(map) = meta.map else { return Reason::MapKeyNoMap {}.fail() };
                meta.raw = arg == ArgKind::UninitMapValue;
                let size = i64::from(self.world.map(map).spec.value_size);
                self.check_memory(r, size, meta.raw, false, meta)
            }
            ArgKind::Mem | ArgKind::MemOrNull => {
                meta.raw = false;
                Ok(())
            }
            ArgKind::UninitMem | ArgKind::UninitMemOrNull => {
                meta.raw = true;
                Ok(())
            }
            ArgKind::FixedMem(size) => {
                meta.raw = false;
                self.check_memory(r, i64::from(size), false, false, meta)
            }
            ArgKind::UninitFixedMem(size) => {
                meta.raw = true;
                self.check_memory(r, i64::from(size), true, false, meta)
            }
            ArgKind::UninitFixedMemAligned(size) => {
                meta.raw = true;
                self.check_memory(r, i64::from(size), true, false, meta)?;
                self.check_arg_alignment(reg, size)
            }
            ArgKind::UninitLong => {
                meta.raw = true;
                self.check_memory(r, 8, true, false, meta)?;
                self.check_arg_alignment(reg, 8)
            }
            ArgKind::Size | ArgKind::SizeOrZero => {
                let write = matches!(
                    n.checked_sub(1).and_then(|i| proto.args.get(i)),
                    Some(ArgKind::UninitMem | ArgKind::UninitMemOrNull)
                );
                self.check_size(r, write, arg == ArgKind::SizeOrZero, meta)
            }
            ArgKind::ConstAllocSize => {
                let Some(size) = reg.scalar_const() else {
                    return Reason::NotConstant { reg: r.index() as u8 }.fail();
                };
                meta.mem_size = size;
                self.mark_precise(r)
            }
            ArgKind::Callback => {
                if let Kind::Func(sub) = reg.kind {
                    meta.func = Some(sub);
                }
                Ok(())
            }
            ArgKind::SpinLock if self.in_tree_callback() => Reason::LockInTreeCallback {}.fail(),
            ArgKind::SpinLock => self.process_spin_lock(r, proto.name == "spin_lock"),
            ArgKind::KptrField => self.check_kptr_dest(r, reg, meta),
            ArgKind::PercpuBtf => {
                if let Kind::Btf(b) = reg.kind {
                    meta.percpu = Some(b);
                }
                Ok(())
            }
            ArgKind::DynptrUninitLocal => self.make_dynptr(r, DynptrKind::Local, 0),
            ArgKind::DynptrUninitRingbuf => self.make_dynptr(r, DynptrKind::Ringbuf, 0),
            ArgKind::DynptrRdonly | ArgKind::Dynptr | ArgKind::DynptrRingbuf => {
                let want = (arg == ArgKind::DynptrRingbuf).then_some(DynptrKind::Ringbuf);
                meta.dynptr = Some(self.use_dynptr(n, r, want)?);
                Ok(())
            }
            ArgKind::Timer => self.check_timer(r, reg, meta),
            ArgKind::ConstStr => self.check_const_str(r, reg).map(|_| ()),
            _ => Ok(()),
        }
    }

    fn check_arg_alignment(&self, reg: &RegState, size: u32) -> Check {
        let tnum = reg.var.tnum.add(crate::domain::Tnum::constant(i64::from(reg.off) as u64));
        if tnum.is_aligned(u64::from(size)) {
            return Ok(());
        }
        let what = match reg.kind {
            Kind::Stack(_) => "stack ",
            Kind::MapValue(_) => "value ",
            _ => "",
        };
        let what = format!("{what}access off {}+{}+0 size {size}", bits_text(reg), reg.off);
        Reason::Misaligned { what }.fail()
    }

    /// A length for the memory in the register before it (Linux: `check_mem_size_reg`).
    pub fn check_size(&mut self, r: Reg, write: bool, zero_ok: bool, meta: &mut CallMeta) -> Check {
        let n = r.index() as u8;
        let reg = *self.reg(r);
        meta.size_max = Some(reg.var.umax);
        if reg.var.smin < 0 {
            return Reason::SizeNegative { reg: n }.fail();
        }
        if reg.var.umin == 0 && !zero_ok {
            return Reason::SizeZero { reg: n, min: reg.var.umin, max: reg.var.umax }.fail();
        }
        if reg.var.umax >= MAX_VAR_OFF as u64 {
            return Reason::SizeUnbounded { reg: n }.fail();
        }
        let Some(mem) = Reg::new(n.saturating_sub(1)) else { return Ok(()) };
        // NULL goes with no bytes at all, not even where the helper takes NULL.
        if self.reg(mem).maybe_null() && reg.var.umax > 0 {
            return self.not_memory(mem);
        }
        if reg.scalar_const().is_some() {
            self.check_memory(mem, reg.var.umax as i64, write, zero_ok, meta)?;
        } else {
            // How much is filled is not known, so all of it must be initialised before.
            self.check_memory(mem, reg.var.umax as i64, write, zero_ok, &mut CallMeta::default())?;
        }
        self.mark_precise(r)
    }

    /// `size` bytes behind a register, for a helper (Linux: `check_helper_mem_access`).
    pub fn check_memory(&mut self, r: Reg, size: i64, write: bool, zero_ok: bool, meta: &mut CallMeta) -> Check {
        let reg = *self.reg(r);
        let n = r.index() as u8;
        let off = i64::from(reg.off);
        match reg.kind {
            Kind::Packet | Kind::PacketMeta => {
                if write && !returns::packet(&self.program.kind).write {
                    return Reason::PacketWrite {}.fail();
                }
                self.check_packet(r, off, size, zero_ok)
            }
            Kind::MapKey(map) => {
                if write {
                    return Reason::CannotWriteInto { reg: n, ty: reg.type_name() }.fail();
                }
                let key = self.world.map(map).spec.key_size;
                self.check_region(r, off, size, key, false)
            }
            // What a lookup in a map of maps gives is a map, be it checked for NULL or not.
            Kind::MapValue(map) if reg.maybe_null() && self.world.map(map).inner.is_some() => self.not_memory(r),
            Kind::MapValue(map) => {
                self.check_map_rights(map, off, size, write)?;
                self.check_map_value(r, map, off, size, zero_ok, true)
            }
            Kind::Mem(len) => {
                if write && reg.flags.has(Flags::RDONLY) {
                    return Reason::CannotWriteInto { reg: n, ty: reg.type_name() }.fail();
                }
                self.check_region(r, off, size, len, zero_ok)
            }
            Kind::Stack(frame) => {
                self.check_stack_range_raw(r, usize::from(frame), &reg, 0, size, zero_ok, write, meta)
            }
            Kind::Btf(b) if reg.flags.has(Flags::ALLOC) => self.check_object_memory(r, &reg, b, size),
            Kind::Btf(b) if reg.flags == Flags::TRUSTED && !write => self.check_kernel_memory(r, &reg, b, size),
            Kind::Ctx if self.free_context() => self.check_context_memory(r, size, write, zero_ok),
            _ => {
                if zero_ok && size == 0 && reg.is_null() {
                    return self.rests_on_null(r);
                }
                self.not_memory(r)
            }
        }
    }

    fn not_memory(&self, r: Reg) -> Check {
        let ty = self.reg(r).type_name();
        Reason::ArgType { reg: r.index() as u8, ty, expected: "fp".into() }.fail()
    }

    /// The context stands in memory as the program sees it, so that it may be passed on as memory (Linux: types without
    /// `convert_ctx_access`).
    fn free_context(&self) -> bool {
        use backstop_model::ProgType::*;
        matches!(
            self.ty(),
            Syscall | Kprobe | Tracepoint | RawTracepoint | RawTracepointWritable | CgroupDevice | Netfilter
        )
    }

    fn check_context_memory(&mut self, r: Reg, size: i64, write: bool, zero_ok: bool) -> Check {
        let reg = *self.reg(r);
        if size == 0 {
            let why = Reason::ArgType { reg: r.index() as u8, ty: reg.type_name(), expected: "fp".into() };
            return if zero_ok { Ok(()) } else { why.fail() };
        }
        self.check_offset_free(&reg, r, false)?;
        match contexts::access(&self.program.kind, size - 1, 1, write) {
            Ok(_) => {
                let bytes = u32::try_from(size).unwrap_or(u32::MAX);
                self.collected.context_bytes = self.collected.context_bytes.max(bytes);
                Ok(())
            }
            Err(_) => Reason::CtxAccess { off: size - 1, size: 1 }.fail(),
        }
    }

    /// The key of an array lookup, if it is a constant on the stack (Linux: `get_constant_map_key`).
    fn constant_key(&mut self, map: MapId, reg: &RegState, size: i64) -> Option<u64> {
        let kind = self.world.map(map).spec.kind;
        let Kind::Stack(frame) = reg.kind else { return None };
        if !self.capable() || !matches!(kind, MapKind::Array | MapKind::PercpuArray) {
            return None;
        }
        let off = i32::try_from((reg.var.is_const()? as i64).wrapping_add(i64::from(reg.off))).ok()?;
        if !(-MAX_STACK..0).contains(&off) {
            return None;
        }
        let slot_no = spi(off);
        let slot = self.cur.frame_at(usize::from(frame)).slot(slot_no)?;
        let from = slot.bytes.get(byte_in_slot(off)..)?;
        let zeros = from.iter().take_while(|b| **b == Byte::Zero).count() as i64;
        if zeros >= size {
            return Some(0);
        }
        let spilled = from.iter().take_while(|b| **b == Byte::Spill).count() as i64;
        if !slot.is_spilled_scalar() || spilled != size {
            return None;
        }
        let value = slot.spilled().var.is_const()?;
        self.mark_slot_precise(usize::from(frame), slot_no);
        Some(value)
    }

    /// A string of a read-only map (Linux: `check_reg_const_str`): its bytes up to the NUL.
    pub fn check_const_str(&self, r: Reg, reg: &RegState) -> Check<Vec<u8>> {
        let n = r.index() as u8;
        let text = |text: String| Reason::FmtString { text };
        let Kind::MapValue(map) = reg.kind else { return text(format!("R{n} is not a map value")).fail() };
        let spec = self.world.map(map).spec.clone();
        if !spec.frozen || spec.flags & backstop_model::MAP_F_RDONLY_PROG == 0 {
            return text(format!("R{n} does not point to a readonly map'")).fail();
        }
        let Some(var) = reg.var.is_const() else { return text(format!("R{n} is not a constant address'")).fail() };
        if !spec.kind.info().direct_value {
            return text("no direct value access support for this map type".into()).fail();
        }
        let off = (var as i64).wrapping_add(i64::from(reg.off));
        self.check_map_value(r, map, i64::from(reg.off), i64::from(spec.value_size) - off, false, true)?;
        let bytes = usize::try_from(off).ok().and_then(|o| spec.initial.as_ref().and_then(|i| i.get(o..)));
        let string = bytes.and_then(|b| b.iter().position(|c| *c == 0).and_then(|end| b.get(..end)));
        match string {
            Some(s) => Ok(s.to_vec()),
            None => text("string is not zero-terminated".into()).fail(),
        }
    }
}
