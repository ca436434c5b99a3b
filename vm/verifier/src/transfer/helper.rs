//! Calls of helpers (Linux: `check_helper_call`).

use backstop_isa::{Reg, Size};
use backstop_model::{
    CallbackUse, HelperProto, MAP_F_RDONLY_PROG, MapKind, ProgType, RetKind, helpers, license_is_gpl_compatible,
};

use crate::check::{Access, CallMeta, Value};
use crate::domain::Scalar;
use crate::env::Verifier;
use crate::explore::Step;
use crate::reason::{Check, Reason};
use crate::state::{DynptrKind, Flags, FrameRole, Kind, MapId, RefKind, RegState};
use crate::transfer::callback::CallbackArgs;

mod id {
    pub const MAP_LOOKUP: u32 = 1;
    pub const MAP_UPDATE: u32 = 2;
    pub const MAP_DELETE: u32 = 3;
    pub const TAIL_CALL: u32 = 12;
    pub const MAP_PUSH: u32 = 87;
    pub const MAP_POP: u32 = 88;
}

impl Verifier<'_> {
    pub fn call_helper(&mut self, number: i32) -> Check<Step> {
        let proto = self.find_helper(number)?;
        self.check_helper_context(proto)?;
        self.check_kernel_result(proto)?;
        let mut meta = CallMeta::default();
        for n in 0..5 {
            self.check_arg(proto, n, &mut meta)?;
        }
        self.note_call(proto, &meta)?;
        self.fill_stack(&meta)?;
        self.release_argument(proto, &meta)?;
        if proto.name == "get_func_ip" && !matches!(self.ty(), ProgType::Kprobe | ProgType::Tracing) {
            let ty = self.ty().linux_number().unwrap_or(0);
            let text = format!("func {}#{number} not supported for program type {ty}", bpf_name(proto));
            return Reason::FmtString { text }.fail();
        }
        if let Some(step) = self.special_helper(proto, &meta)? {
            return Ok(step);
        }
        self.clear_caller_saved();
        self.helper_result(proto, &meta);
        if let Some(map) = meta.map {
            let kind = self.world.map(map).spec.kind;
            if !helpers::takes_map(proto.id, kind, &self.program.kind) {
                return Reason::MapFuncMismatch { map: kind as u32, name: bpf_name(proto), id: number }.fail();
            }
        }
        let writes_packet = proto.name == "dynptr_write"
            && meta.dynptr.is_some_and(|d| matches!(d.kind, DynptrKind::Skb | DynptrKind::Xdp));
        // A tail call that failed has moved nothing.
        let moved = proto.changes_packet && proto.id != id::TAIL_CALL;
        if moved || writes_packet {
            self.forget_packets();
        }
        self.returned(self.insn);
        Ok(Step::Next)
    }

    fn find_helper(&self, number: i32) -> Check<&'static HelperProto> {
        let number_u = u32::try_from(number).unwrap_or(u32::MAX);
        let name = if number == 0 { Some("unspec") } else { helpers::name(number_u) };
        let Some(name) = name else {
            return Reason::HelperUnknown { name: "unknown".into(), id: number }.fail();
        };
        let name = format!("bpf_{name}");
        let allowed = helpers::proto(number_u).filter(|_| helpers::allowed(number_u, &self.program.kind));
        let Some(proto) = allowed else { return Reason::HelperDenied { name, id: number }.fail() };
        if helpers::needs_gpl(proto, &self.program.kind)
            && !self.own_type()
            && !license_is_gpl_compatible(&self.program.license)
        {
            return Reason::HelperGpl {}.fail();
        }
        Ok(proto)
    }

    fn check_helper_context(&self, proto: &HelperProto) -> Check {
        if !proto.might_sleep {
            return Ok(());
        }
        if !self.cur.sleepable {
            return Reason::HelperSleeps {}.fail();
        }
        let held = &self.cur.held;
        let section = match () {
            () if held.rcu > 0 => "rcu_read_lock",
            () if held.preempt > 0 => "non-preemptible",
            () if held.irq_id != 0 => "IRQ-disabled",
            () => return Ok(()),
        };
        Reason::HelperSleepsIn { name: bpf_name(proto), id: proto.id as i32, section }.fail()
    }

    /// Facts for the engines, and writes to maps that the program may only read.
    fn note_call(&mut self, proto: &HelperProto, meta: &CallMeta) -> Check {
        let at = self.insn;
        let index = meta.map.and_then(|m| self.world.map(m).index);
        if let Some(map) = meta.map {
            let spec = &self.world.map(map).spec;
            let writes = matches!(proto.id, id::MAP_UPDATE | id::MAP_DELETE | id::MAP_PUSH | id::MAP_POP);
            let read_only = spec.flags & MAP_F_RDONLY_PROG != 0;
            if writes && read_only {
                return Reason::MapWriteHelper {}.fail();
            }
            if let Some(s) = self.collected.slot(at) {
                s.map.add(index);
            }
        }
        if let Some(f) = meta.func
            && let Some(s) = self.collected.slot(at)
        {
            s.callback.add(Some(f));
        }
        if proto.id == id::TAIL_CALL {
            self.collected.tail_calls = true;
            let max = meta.map.map_or(0, |m| self.world.map(m).spec.max_entries);
            let r3 = *self.reg(Reg::R3);
            let constant = r3.scalar_const().and_then(|k| u32::try_from(k).ok()).filter(|k| *k < max);
            if constant.is_some() {
                self.mark_precise(Reg::R3)?;
            }
            if let Some(s) = self.collected.slot(at) {
                s.tail_index.add(constant);
            }
        }
        Ok(())
    }

    /// The helper fills stack: each byte becomes anything.
    fn fill_stack(&mut self, meta: &CallMeta) -> Check {
        let Some((base, size)) = meta.filled else { return Ok(()) };
        for i in 0..size {
            let touch =
                Access { base, off: 0, size: Size::B1, write: true, value: Value::None, signed: false, strict: false };
            self.access_at(&touch, i as i32)?;
        }
        Ok(())
    }

    fn release_argument(&mut self, proto: &HelperProto, meta: &CallMeta) -> Check {
        let Some(r) = meta.release else { return Ok(()) };
        if let Some(dynptr) = meta.dynptr {
            if self.release_dynptr(dynptr.ref_id) {
                return Ok(());
            }
            return Reason::HelperNotAcquired { name: bpf_name(proto), id: proto.id as i32 }.fail();
        }
        if meta.ref_id == 0 && self.reg(r).is_null() {
            return Ok(());
        }
        if meta.kptr.is_some() && self.give_away(meta.ref_id) {
            return Ok(());
        }
        if meta.ref_id == 0 || !self.release(meta.ref_id) {
            return Reason::HelperNotAcquired { name: bpf_name(proto), id: proto.id as i32 }.fail();
        }
        Ok(())
    }

    /// Gives a reference back: everything that stands for it is worth nothing now (Linux: `release_reference`).
    pub fn release(&mut self, ref_id: u32) -> bool {
        if !self.cur.held_mut().release_pointer(ref_id) {
            return false;
        }
        let gone = self.invalid();
        self.cur.for_each_reg(|r| r.ref_id == ref_id, |r| *r = gone);
        true
    }

    /// What is left of a pointer that must not be used any more.
    pub fn invalid(&self) -> RegState {
        if self.leaks_allowed() { RegState::UNKNOWN } else { RegState::NOT_INIT }
    }

    /// A new reference, acquired here.
    pub fn acquire(&mut self) -> u32 {
        let (id, at) = (self.new_id(), self.insn);
        self.cur.held_mut().acquire(id, at, RefKind::Pointer);
        id
    }

    fn special_helper(&mut self, proto: &HelperProto, meta: &CallMeta) -> Check<Option<Step>> {
        if proto.id == id::TAIL_CALL {
            return self.tail_call();
        }
        match (proto.callback, meta.func) {
            (Some(CallbackUse::Loop), Some(f)) => {
                // The count decides whether the callback runs at all.
                self.check_scalar_arg(Reg::R1)?;
                self.mark_precise(Reg::R1)?;
                let rounds = self.reg(Reg::R1).var.umax;
                if u64::from(self.cur.frame().callback_depth) < rounds {
                    let args = CallbackArgs { uses: CallbackUse::Loop, map: None, map_uid: 0 };
                    self.push_callback(f as usize, &args)?;
                } else {
                    self.cur.frame_mut().callback_depth = 0;
                }
            }
            (Some(uses), Some(f)) => {
                let args = CallbackArgs { uses, map: meta.map, map_uid: meta.map_uid };
                self.push_callback(f as usize, &args)?;
            }
            _ => {}
        }
        match proto.name {
            "snprintf" => self.check_snprintf()?,
            "dynptr_from_mem" if !matches!(self.reg(Reg::R1).kind, Kind::MapValue(_)) => {
                return Reason::DynptrSource { ty: self.reg(Reg::R1).type_name() }.fail();
            }
            _ => {}
        }
        Ok(None)
    }

    /// A tail call that succeeds ends the program, or returns from the subprogram that made it; one that fails goes on.
    fn tail_call(&mut self) -> Check<Option<Step>> {
        if let Kind::MapPtr(map) = self.reg(Reg::R2).kind
            && self.world.map(map).spec.kind != MapKind::ProgArray
        {
            return Reason::TailCallMap {}.fail();
        }
        self.check_end("tail_call", false, true)?;
        if self.in_callback() {
            return Reason::TailCallInCallback { at: self.insn as usize }.fail();
        }
        if self.cur.frames.len() == 1 {
            return Ok(None);
        }
        let at = self.insn;
        self.push_branch(at + 1, at)?;
        if let Some(mut p) = self.pending.pop() {
            let frame = p.state.frame_mut();
            for r in &mut frame.regs[0..=5] {
                *r = RegState::NOT_INIT;
            }
            self.pending.push(p);
        }
        self.returned(at);
        self.forget_packets();
        self.cur.set(Reg::R0, RegState::UNKNOWN);
        self.leave_function().map(Some)
    }

    /// Some frame of the path was entered by native code.
    pub fn in_callback(&self) -> bool {
        self.cur.frames.iter().any(|f| matches!(f.role, FrameRole::Callback | FrameRole::AsyncCallback))
    }

    fn helper_result(&mut self, proto: &HelperProto, meta: &CallMeta) {
        let nullable = |v: &mut Self, kind: Kind, flags: Flags| {
            let id = v.new_id();
            RegState { id, ..RegState::pointer(kind).flagged(flags.with(Flags::MAYBE_NULL)) }
        };
        let mut r0 = match proto.ret {
            RetKind::Integer => RegState::UNKNOWN,
            RetKind::Void => RegState::NOT_INIT,
            RetKind::MapValueOrNull => match meta.map {
                Some(map) => {
                    let known = proto.id == id::MAP_LOOKUP
                        && meta.const_key.is_some_and(|k| k < u64::from(self.world.map(map).spec.max_entries));
                    if known {
                        let id = if self.world.map(map).has_lock() { self.new_id() } else { 0 };
                        RegState { id, map_uid: meta.map_uid, ..RegState::pointer(Kind::MapValue(map)) }
                    } else {
                        RegState { map_uid: meta.map_uid, ..nullable(self, Kind::MapValue(map), Flags::NONE) }
                    }
                }
                None => RegState::UNKNOWN,
            },
            RetKind::AllocMemOrNull => {
                let size = u32::try_from(meta.mem_size).unwrap_or(0);
                let ring = if proto.name == "ringbuf_reserve" { Flags::RINGBUF } else { Flags::NONE };
                nullable(self, Kind::Mem(size), ring)
            }
            RetKind::DynptrMemOrNull => match meta.dynptr {
                Some(from) => {
                    let id = self.new_id();
                    let slice = self.slice_of(from, meta.mem_size, false);
                    RegState { id, flags: Flags::MAYBE_NULL, ..slice }
                }
                None => RegState::UNKNOWN,
            },
            RetKind::KptrOrNull => meta.kptr.map_or(RegState::UNKNOWN, |kptr| self.kptr_taken(kptr)),
            // Only per-CPU objects of the program's own are followed: one CPU's copy, as long as RCU keeps it.
            RetKind::PercpuMem | RetKind::PercpuMemOrNull => match meta.percpu {
                Some(b) if !self.world.is_kernel(b) => {
                    RegState::pointer(Kind::Btf(b)).flagged(Flags::ALLOC.with(Flags::RCU))
                }
                Some(b) => self.percpu_result(b, proto.ret),
                None => RegState::UNKNOWN,
            },
            RetKind::SocketOrNull => nullable(self, Kind::Socket, Flags::NONE),
            RetKind::TcpSockOrNull => nullable(self, Kind::TcpSock, Flags::NONE),
            RetKind::SockCommonOrNull => nullable(self, Kind::SockCommon, Flags::NONE),
            RetKind::BtfTrusted(name) => self.kernel_result(name, Flags::TRUSTED),
            RetKind::Btf(name) => self.kernel_result(name, Flags::NONE),
            RetKind::BtfOrNull(name) => self.kernel_result(name, Flags::MAYBE_NULL),
        };
        // The same socket, seen as another kind of socket: released with the one that was passed.
        if is_cast(proto) {
            r0.ref_id = meta.ref_id;
        }
        let of_sockets = |m: MapId| matches!(self.world.map(m).spec.kind, MapKind::Sockmap | MapKind::Sockhash);
        if proto.acquires || (proto.id == id::MAP_LOOKUP && meta.map.is_some_and(of_sockets)) {
            let id = self.acquire();
            r0.id = id;
            r0.ref_id = id;
        }
        if proto.ret == RetKind::Integer {
            r0.var = self.refined_result(proto, meta);
        }
        self.cur.set(Reg::R0, r0);
    }

    /// Results that Linux knows to be bounded (`do_refine_retval_range`).
    fn refined_result(&self, proto: &HelperProto, meta: &CallMeta) -> Scalar {
        let bounded = matches!(
            proto.name,
            "get_stack" | "get_task_stack" | "probe_read_str" | "probe_read_kernel_str" | "probe_read_user_str"
        );
        let mut s = Scalar::unknown();
        match meta.size_max {
            Some(max) if bounded => {
                let max = i64::try_from(max).unwrap_or(i64::MAX);
                s.smax = max;
                s.s32_max = i32::try_from(max).unwrap_or(i32::MAX);
                s.smin = -4095;
                s.s32_min = -4095;
                s.sync();
            }
            _ if proto.name == "get_smp_processor_id" => {
                let max = self.options.limits.cpus.clamp(1, i32::MAX as u32) - 1;
                s.umax = u64::from(max);
                s.u32_max = max;
                s.smax = i64::from(max);
                s.s32_max = max as i32;
                s.umin = 0;
                s.u32_min = 0;
                s.smin = 0;
                s.s32_min = 0;
                s.sync();
            }
            _ => {}
        }
        s
    }

    fn check_snprintf(&mut self) -> Check {
        let r5 = *self.reg(Reg::R5);
        let r3 = *self.reg(Reg::R3);
        if r5.var.is_const().is_some_and(|n| n % 8 != 0) {
            return Reason::FmtString { text: "data_len must be a multiple of 8".into() }.fail();
        }
        let fmt = self.check_const_str(Reg::R3, &r3)?;
        // Each conversion takes eight bytes of the data.
        // Of a length that is not constant Linux goes by the bits that are known to be set.
        if conversions(&fmt).is_none_or(|n| n * 8 > r5.var.tnum.value) {
            return Reason::FmtString { text: "Invalid format string".into() }.fail();
        }
        Ok(())
    }
}

fn is_cast(proto: &HelperProto) -> bool {
    matches!(
        proto.name,
        "sk_fullsock"
            | "tcp_sock"
            | "skc_to_tcp_sock"
            | "skc_to_tcp6_sock"
            | "skc_to_udp6_sock"
            | "skc_to_mptcp_sock"
            | "skc_to_tcp_timewait_sock"
            | "skc_to_tcp_request_sock"
    )
}

fn bpf_name(proto: &HelperProto) -> String {
    format!("bpf_{}", proto.name)
}

/// How many values a format takes, if every conversion in it is one that helpers know (Linux: `bpf_bprintf_prepare`).
fn conversions(fmt: &[u8]) -> Option<u64> {
    const MOST: u64 = 12;
    let mut count = 0;
    let mut rest = fmt;
    while let Some((&c, after)) = rest.split_first() {
        if !(c.is_ascii_graphic() || c.is_ascii_whitespace()) {
            return None;
        }
        rest = after;
        if c != b'%' {
            continue;
        }
        if let Some(after) = rest.strip_prefix(b"%") {
            rest = after;
            continue;
        }
        count += 1;
        if count > MOST {
            return None;
        }
        rest = conversion(rest)?;
    }
    Some(count)
}

/// What follows one conversion, after its percent sign.
fn conversion(fmt: &[u8]) -> Option<&[u8]> {
    let flags = fmt.iter().take_while(|c| b"0 +-#".contains(c)).count();
    let fmt = fmt.get(flags..)?;
    let digits = fmt.iter().take_while(|c| c.is_ascii_digit()).count();
    let fmt = fmt.get(digits..)?;
    for known in [&b"pks"[..], b"pus", b"pi4", b"pI4", b"pi6", b"pI6", b"pK", b"px", b"ps", b"pS", b"pB"] {
        if let Some(rest) = fmt.strip_prefix(known) {
            return Some(rest);
        }
    }
    if let Some(rest) = fmt.strip_prefix(b"p") {
        let ends = rest.first().is_none_or(|c| c.is_ascii_whitespace() || c.is_ascii_punctuation());
        return ends.then_some(rest);
    }
    if let Some(rest) = fmt.strip_prefix(b"c").or_else(|| fmt.strip_prefix(b"s")) {
        return Some(rest);
    }
    let fmt = fmt.strip_prefix(b"ll").or_else(|| fmt.strip_prefix(b"l")).unwrap_or(fmt);
    let (kind, rest) = fmt.split_first()?;
    b"diuxX".contains(kind).then_some(rest)
}
