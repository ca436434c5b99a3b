//! Loads, stores, atomic operations, legacy packet loads and addresses.

use backstop_isa::{AtomicOp, Operand, Pseudo, Reg, Size};
use backstop_model::{MapKind, returns};

use crate::check::{Access, Value};
use crate::collect::Touch;
use crate::domain::Scalar;
use crate::env::Verifier;
use crate::explore::Step;
use crate::facts::Region;
use crate::reason::{Check, Reason};
use crate::state::{Kind, MapId, RegState};

impl Verifier<'_> {
    pub fn load(&mut self, size: Size, signed: bool, dst: Reg, base: Reg, off: i16) -> Check<Step> {
        self.readable(base)?;
        self.writable(dst)?;
        let kind = *self.reg(base);
        let access = Access { base, off, size, write: false, value: Value::Reg(dst), signed, strict: false };
        let region = self.access(&access)?;
        self.note_region(&kind, region, Touch::Load)?;
        Ok(Step::Next)
    }

    pub fn store(&mut self, size: Size, base: Reg, off: i16, src: Operand) -> Check<Step> {
        let value = match src {
            Operand::Reg(r) => {
                self.readable(r)?;
                Value::Reg(r)
            }
            Operand::Imm(i) => Value::Imm(i),
        };
        self.readable(base)?;
        let kind = *self.reg(base);
        let access = Access { base, off, size, write: true, value, signed: false, strict: false };
        let region = self.access(&access)?;
        self.note_region(&kind, region, Touch::Other)?;
        Ok(Step::Next)
    }

    /// One instruction meets one kind of memory: native code for it is made once (Linux: `save_aux_ptr_type`).
    fn note_region(&mut self, base: &RegState, region: Region, how: Touch) -> Check {
        if self.collected.region(self.insn, base, region, how) { Ok(()) } else { Reason::DifferentPointers {}.fail() }
    }

    /// What atomic operations may not touch.
    fn atomic_target(&self, base: Reg) -> bool {
        let reg = self.reg(base);
        // Of what may be NULL Linux finds that first.
        let socket = matches!(reg.kind, Kind::SockCommon | Kind::Socket | Kind::TcpSock | Kind::XdpSock);
        if socket && reg.maybe_null() {
            return true;
        }
        !matches!(
            reg.kind,
            Kind::Ctx
                | Kind::Packet
                | Kind::PacketMeta
                | Kind::PacketEnd
                | Kind::SockCommon
                | Kind::Socket
                | Kind::TcpSock
                | Kind::XdpSock
        )
    }

    pub fn atomic(&mut self, size: Size, op: AtomicOp, fetch: bool, base: Reg, off: i16, src: Reg) -> Check<Step> {
        self.readable(src)?;
        self.readable(base)?;
        if op == AtomicOp::Cmpxchg {
            self.readable(Reg::R0)?;
            if self.is_pointer_value(Reg::R0) {
                return Reason::LeaksInto { reg: 0, what: "mem" }.fail();
            }
        }
        if self.is_pointer_value(src) {
            return Reason::LeaksInto { reg: src.index() as u8, what: "mem" }.fail();
        }
        let reg = *self.reg(base);
        // Linux's x86-64 JIT has no loop for these in an arena.
        let looped = fetch && matches!(op, AtomicOp::And | AtomicOp::Or | AtomicOp::Xor);
        if !self.atomic_target(base) || (looped && reg.kind == Kind::Arena) {
            return Reason::AtomicInto { reg: base.index() as u8, ty: reg.type_name() }.fail();
        }
        let into = match op {
            AtomicOp::Cmpxchg => Some(Reg::R0),
            _ if fetch => Some(src),
            _ => None,
        };
        if let Some(r) = into {
            self.writable(r)?;
        }
        let touch = Access { base, off, size, write: false, value: Value::None, signed: false, strict: true };
        let region = self.access(&touch)?;
        if let Some(r) = into {
            self.access(&Access { value: Value::Reg(r), ..touch })?;
        }
        self.access(&Access { write: true, ..touch })?;
        self.note_region(&reg, region, Touch::Atomic)?;
        Ok(Step::Next)
    }

    pub fn load_acquire(&mut self, size: Size, dst: Reg, base: Reg, off: i16) -> Check<Step> {
        self.readable(base)?;
        self.writable(dst)?;
        let reg = *self.reg(base);
        let allowed = self.atomic_target(base);
        let access = Access { base, off, size, write: false, value: Value::Reg(dst), signed: false, strict: true };
        let region = self.access(&access)?;
        if !allowed {
            return Reason::AtomicLoadFrom { reg: base.index() as u8, ty: reg.type_name() }.fail();
        }
        self.note_region(&reg, region, Touch::Other)?;
        Ok(Step::Next)
    }

    pub fn store_release(&mut self, size: Size, base: Reg, off: i16, src: Reg) -> Check<Step> {
        self.readable(src)?;
        self.readable(base)?;
        let reg = *self.reg(base);
        let access = Access { base, off, size, write: true, value: Value::Reg(src), signed: false, strict: true };
        let region = self.access(&access)?;
        if !self.atomic_target(base) {
            return Reason::AtomicInto { reg: base.index() as u8, ty: reg.type_name() }.fail();
        }
        self.note_region(&reg, region, Touch::Other)?;
        Ok(Step::Next)
    }

    /// Linux: `check_ld_abs`.
    pub fn legacy_load(&mut self, index: Option<Reg>) -> Check<Step> {
        if !returns::packet(&self.program.kind).legacy {
            return Reason::LegacyType {}.fail();
        }
        self.readable(Reg::R6)?;
        self.check_end("BPF_LD_[ABS|IND]", false, true)?;
        let ctx = *self.reg(Reg::R6);
        if ctx.kind != Kind::Ctx {
            return Reason::LegacyR6 {}.fail();
        }
        if let Some(r) = index {
            self.readable(r)?;
        }
        self.check_offset_free(&ctx, Reg::R6, false)?;
        self.clear_caller_saved();
        self.cur.set(Reg::R0, RegState::UNKNOWN);
        if self.in_callback() {
            return Reason::LegacyInCallback { at: self.insn as usize }.fail();
        }
        if self.cur.frames.len() == 1 {
            return Ok(Step::Next);
        }
        // Beyond the packet's end the function returns 0 from here.
        let at = self.insn;
        self.push_branch(at + 1, at)?;
        self.cur.set(Reg::R0, RegState::constant(0));
        self.leave_function()
    }

    pub fn load_pseudo(&mut self, dst: Reg, kind: Pseudo, imm: i32, next_imm: i32) -> Check<Step> {
        self.writable(dst)?;
        let reg = match kind {
            Pseudo::MapIdx => RegState::pointer(Kind::MapPtr(MapId(imm as u32))),
            Pseudo::MapValueIdx => {
                let map = MapId(imm as u32);
                if self.world.map(map).spec.kind == MapKind::Arena {
                    RegState { var: Scalar::unknown(), ..RegState::UNKNOWN }
                } else {
                    RegState { off: next_imm, ..RegState::pointer(Kind::MapValue(map)) }
                }
            }
            Pseudo::Func => {
                let start = self.target(i64::from(imm));
                let Some(sub) = self.sub_at(start) else { return Reason::InvalidCallDestination {}.fail() };
                if self.subs[sub].func.is_none() {
                    return Reason::MissingFuncInfo {}.fail();
                }
                if self.subs[sub].global {
                    return Reason::CallbackNotStatic {}.fail();
                }
                RegState::pointer(Kind::Func(sub as u32))
            }
            Pseudo::BtfId => self.kernel_address(imm, next_imm)?,
            Pseudo::MapFd | Pseudo::MapValueFd => return Reason::UnrecognizedLdImm64 {}.fail(),
        };
        self.cur.set(dst, reg);
        Ok(Step::Next)
    }
}
