//! One instruction to one operation.

use backstop_isa::{Instr, Pseudo, Size};
use backstop_model::{FieldKind, HelperProto, KfuncIdentity, contexts, helpers};
use backstop_verifier::Region;

use super::{LowerError, Lowering};
use crate::{Callee, MapId, Mem, OpKind, Unwind};

/// Linux's number of `bpf_tail_call`.
const HELPER_TAIL_CALL: i32 = 12;

/// What an instruction became.
pub(super) enum Lowered {
    /// No operation: it ends its block.
    Nothing,
    /// An operation.
    Op(OpKind),
    /// An operation after which nothing runs.
    Last(OpKind),
}

/// A memory access as the engines perform it.
struct Access {
    mem: Mem,
    off: i32,
    size: Size,
    /// The field is always NULL in Backstop's own contexts.
    null: bool,
}

impl Lowering<'_> {
    pub(super) fn op(&mut self, slot: u32, instr: &Instr) -> Result<Lowered, LowerError> {
        let kind = match *instr {
            Instr::Alu { width, op, dst, src } => OpKind::Alu { width, op, dst, src },
            Instr::Neg { width, dst } => OpKind::Neg { width, dst },
            Instr::Mov { width, dst, src } => OpKind::Mov { width, dst, src },
            Instr::MovSx { width, from, dst, src } => OpKind::MovSx { width, from, dst, src },
            Instr::AddrSpaceCast { dst, src, to, from } => OpKind::AddrSpaceCast { dst, src, to, from },
            Instr::End { order, size, dst } => OpKind::End { order, size, dst },
            Instr::LoadImm64 { dst, imm } => OpKind::Const { dst, value: imm },
            Instr::LoadPseudo { dst, kind, imm, next_imm } => self.pseudo(slot, dst, kind, imm, next_imm)?,
            Instr::Load { size, signed, dst, base, off } => {
                let access = self.access(slot, size, off, false)?;
                if access.null {
                    OpKind::Const { dst, value: 0 }
                } else {
                    OpKind::Load { size: access.size, signed, dst, base, off: access.off, mem: access.mem }
                }
            }
            Instr::Store { size, base, off, src } => {
                let access = self.access(slot, size, off, true)?;
                OpKind::Store { size: access.size, base, off: access.off, src, mem: access.mem }
            }
            Instr::Atomic { size, op, fetch, base, off, src } => {
                let access = self.access(slot, size, off, true)?;
                OpKind::Atomic { size, op, fetch, base, off: access.off, src, mem: access.mem }
            }
            Instr::LoadAcquire { size, dst, base, off } => {
                let access = self.access(slot, size, off, false)?;
                OpKind::LoadAcquire { size, dst, base, off: access.off, mem: access.mem }
            }
            Instr::StoreRelease { size, base, off, src } => {
                let access = self.access(slot, size, off, true)?;
                OpKind::StoreRelease { size, base, off: access.off, src, mem: access.mem }
            }
            Instr::LegacyLoad { size, index, imm } => OpKind::LegacyLoad { size, index, imm },
            Instr::CallHelper { .. } | Instr::CallLocal { .. } | Instr::CallKfunc { .. } => {
                return self.call(slot, instr);
            }
            Instr::Jump { .. } | Instr::Branch { .. } | Instr::MayGoto { .. } | Instr::Exit => {
                return Ok(Lowered::Nothing);
            }
        };
        Ok(Lowered::Op(kind))
    }

    fn pseudo(
        &self,
        slot: u32,
        dst: backstop_isa::Reg,
        kind: Pseudo,
        imm: i32,
        next: i32,
    ) -> Result<OpKind, LowerError> {
        let map = || {
            let index = u32::try_from(imm).ok().filter(|i| (*i as usize) < self.program.maps.len());
            index.map(MapId).ok_or(LowerError::BadIndex { slot, table: "map", index: i64::from(imm) })
        };
        let unsupported = |what: &str| LowerError::Unsupported { slot, what: what.to_owned() };
        Ok(match kind {
            Pseudo::MapIdx => OpKind::MapAddr { dst, map: map()? },
            Pseudo::MapValueIdx => OpKind::MapValueAddr { dst, map: map()?, off: next as u32 },
            Pseudo::Func => {
                let target = i64::from(slot) + 1 + i64::from(imm);
                match self.func_at(slot, target) {
                    Ok(func) => OpKind::FuncAddr { dst, func },
                    // No verified path enters it (bpf_loop with a count of 0): its address is taken, and never called.
                    Err(_) if self.is_unreached_function(target) => OpKind::Const { dst, value: 0 },
                    Err(error) => return Err(error),
                }
            }
            Pseudo::MapFd | Pseudo::MapValueFd => return Err(unsupported("a map named by file descriptor")),
            Pseudo::BtfId => return Err(unsupported("the address of a kernel variable")),
        })
    }

    fn access(&self, slot: u32, size: Size, off: i16, write: bool) -> Result<Access, LowerError> {
        let off = i32::from(off);
        let plain = |mem| Access { mem, off, size, null: false };
        let Some(facts) = self.facts else {
            return Ok(plain(Mem::Unknown));
        };
        // An access that was proved has a region: without one it must not become an unchecked access to anything.
        let region = facts.slots.get(slot as usize).and_then(|f| f.region);
        let region = region.ok_or(LowerError::MissingFact { slot })?;
        Ok(match region {
            Region::Stack => plain(Mem::Stack),
            Region::Packet => plain(Mem::Packet),
            Region::MapValue => plain(Mem::MapValue),
            Region::Memory | Region::Mixed => plain(Mem::Plain),
            Region::Probe => plain(Mem::Probe),
            Region::Arena => plain(Mem::Arena),
            Region::Ctx { off: user, kind } => {
                let found = contexts::access(&self.program.kind, i64::from(user), size.bytes(), write);
                let field =
                    found.map_err(|_| LowerError::BadIndex { slot, table: "context field", index: i64::from(user) })?;
                let native = match field.native_size {
                    1 => Size::B1,
                    2 => Size::B2,
                    4 => Size::B4,
                    _ => Size::B8,
                };
                // The base may stand inside the context: it is the native context plus (user - off).
                let moved = off + field.native_off as i32 - user as i32;
                Access { mem: Mem::Ctx, off: moved, size: native, null: kind == FieldKind::SockCommonOrNull && !write }
            }
        })
    }

    fn call(&mut self, slot: u32, instr: &Instr) -> Result<Lowered, LowerError> {
        let fact = self.fact(slot).map(|f| f.call).unwrap_or_default();
        if fact.kernel_memory {
            return Err(LowerError::Unsupported { slot, what: "memory of the kernel's own objects".to_owned() });
        }
        let kind = match *instr {
            Instr::CallHelper { id: HELPER_TAIL_CALL } => {
                let map = fact.map.map(MapId);
                let in_range =
                    |i: &u32| map.and_then(|m| self.program.maps.get(m.0 as usize)).is_some_and(|m| *i < m.max_entries);
                OpKind::TailCall { map, index: fact.tail_index.filter(in_range) }
            }
            Instr::CallHelper { id } => {
                let number = u32::try_from(id).map_err(|_| LowerError::BadIndex {
                    slot,
                    table: "helper",
                    index: i64::from(id),
                })?;
                let may_end = helpers::proto(number).is_some_and(HelperProto::may_end_run);
                let unwind = if may_end { Unwind::Propagate } else { Unwind::Never };
                OpKind::CallNative { callee: self.callee(Callee::Helper(number)), unwind }
            }
            Instr::CallKfunc { id, .. } if self.is_throw(id) => {
                self.throws = true;
                return Ok(Lowered::Last(OpKind::Throw));
            }
            Instr::CallKfunc { id, .. } => {
                let bad = LowerError::BadIndex { slot, table: "kfunc", index: i64::from(id) };
                let index = u32::try_from(id).map_err(|_| bad.clone())?;
                let kfunc = self.program.kfuncs.get(index as usize).ok_or(bad)?;
                let unwind = match kfunc.identity {
                    KfuncIdentity::Host(_) => Unwind::Propagate,
                    KfuncIdentity::Builtin(_) => Unwind::Never,
                    KfuncIdentity::Unimplemented(k) => {
                        return Err(LowerError::Unsupported { slot, what: format!("kfunc {}", k.name()) });
                    }
                };
                OpKind::CallNative { callee: self.callee(Callee::Kfunc(index)), unwind }
            }
            Instr::CallLocal { off } => {
                let target = i64::from(slot) + 1 + i64::from(off);
                OpKind::CallFunc { func: self.func_at(slot, target)?, unwind: Unwind::Propagate }
            }
            _ => return Ok(Lowered::Nothing),
        };
        Ok(if fact.never_returns { Lowered::Last(kind) } else { Lowered::Op(kind) })
    }
}
