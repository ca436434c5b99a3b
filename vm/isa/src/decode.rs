//! From slots to the closed instruction type.
//!
//! Nothing is passed over in silence: a field that the table does not give a meaning must be 0, a register must exist, a
//! sub-code must be one of the table's. Checks run in the order in which Linux makes them, so that the first fault
//! found is the one that the kernel's log would name.

use crate::error::DecodeError;
use crate::insn::{Instr, Operand, Reg, Slot};
use crate::table::{Field, ImmField, NextField, OffField, Op, RegField, Row, SrcKind, rows_of};

/// Decodes the instruction that starts at slot `at`.
///
/// # Errors
/// The first fault, with its slot, its field and what the field should hold.
pub fn decode(slots: &[Slot], at: usize) -> Result<Instr, DecodeError> {
    let slot = *slots.get(at).ok_or(DecodeError::OutOfRange { at, len: slots.len() })?;
    let rows = rows_of(slot.code);
    let first = rows.first().ok_or(DecodeError::UnknownOpcode { at, code: slot.code })?;
    let next = match first.next {
        NextField::None => Slot::default(),
        NextField::Zero | NextField::Value => second_slot(slots, at)?,
    };
    let row = rows.iter().find(|row| row.selects(slot)).ok_or_else(|| {
        let (field, value) = match first.selector() {
            Some((field, _)) => (field, slot.field(field)),
            None => (Field::Code, i64::from(slot.code)),
        };
        DecodeError::SubCode { at, code: slot.code, field, value }
    })?;
    if let (NextField::Zero, Op::LoadPseudo { kind }) = (row.next, row.op)
        && next.imm != 0
    {
        return Err(DecodeError::SecondImmediate { at: at + 1, kind, value: next.imm });
    }
    let operands = Operands { at, slot, next };
    operands.check(row)?;
    operands.build(row.op)
}

/// Decodes a whole program: each instruction with the index of its first slot.
///
/// # Errors
/// As [`decode`].
pub fn decode_all(slots: &[Slot]) -> Result<Vec<(usize, Instr)>, DecodeError> {
    let mut program = Vec::with_capacity(slots.len());
    let mut at = 0;
    while at < slots.len() {
        let instr = decode(slots, at)?;
        program.push((at, instr));
        at += instr.slots();
    }
    Ok(program)
}

/// Reads slots from little-endian bytes, as they lie in an object file.
///
/// # Errors
/// [`DecodeError::PartialSlot`] if the length is not a multiple of 8.
pub fn slots_from_bytes(bytes: &[u8]) -> Result<Vec<Slot>, DecodeError> {
    let (whole, rest) = bytes.as_chunks::<8>();
    if !rest.is_empty() {
        return Err(DecodeError::PartialSlot { len: bytes.len() });
    }
    Ok(whole.iter().map(|bytes| Slot::from_bytes(*bytes)).collect())
}

/// The second slot of a 64-bit immediate: everything but its immediate must be 0.
fn second_slot(slots: &[Slot], at: usize) -> Result<Slot, DecodeError> {
    let next = *slots.get(at + 1).ok_or(DecodeError::MissingSecondSlot { at })?;
    for field in [Field::Code, Field::Dst, Field::Src, Field::Off] {
        let value = next.field(field);
        if value != 0 {
            return Err(DecodeError::SecondSlot { at: at + 1, field, value });
        }
    }
    Ok(next)
}

/// The fields of an instruction whose row is known.
struct Operands {
    at: usize,
    slot: Slot,
    next: Slot,
}

impl Operands {
    fn check(&self, row: &Row) -> Result<(), DecodeError> {
        // Linux looks at a branch's first register before the reserved fields, elsewhere after them.
        if matches!(row.op, Op::Branch { .. }) {
            self.reg(Field::Dst)?;
        }
        self.reserved(row.imm == ImmField::Zero, Field::Imm)?;
        self.reserved(row.src == RegField::Zero, Field::Src)?;
        self.reserved(row.dst == RegField::Zero, Field::Dst)?;
        // Last, as Linux passes over the offset of `exit`.
        self.reserved(row.off == OffField::Zero, Field::Off)?;
        if row.src.is_register() {
            self.reg(Field::Src)?;
        }
        if row.dst.is_register() {
            self.reg(Field::Dst)?;
        }
        Ok(())
    }

    fn reserved(&self, must_be_zero: bool, field: Field) -> Result<(), DecodeError> {
        let value = self.slot.field(field);
        if must_be_zero && value != 0 {
            return Err(DecodeError::Reserved { at: self.at, code: self.slot.code, field, value });
        }
        Ok(())
    }

    fn reg(&self, field: Field) -> Result<Reg, DecodeError> {
        let n = if field == Field::Dst { self.slot.dst } else { self.slot.src };
        Reg::new(n).ok_or(DecodeError::Register { at: self.at, field, value: n })
    }

    fn dst(&self) -> Result<Reg, DecodeError> {
        self.reg(Field::Dst)
    }

    fn src(&self) -> Result<Reg, DecodeError> {
        self.reg(Field::Src)
    }

    fn operand(&self, kind: SrcKind) -> Result<Operand, DecodeError> {
        Ok(match kind {
            SrcKind::Imm => Operand::Imm(self.slot.imm),
            SrcKind::Reg => Operand::Reg(self.src()?),
        })
    }

    fn build(&self, op: Op) -> Result<Instr, DecodeError> {
        let Slot { off, imm, .. } = self.slot;
        Ok(match op {
            Op::Alu { width, op, src } => Instr::Alu { width, op, dst: self.dst()?, src: self.operand(src)? },
            Op::Neg { width } => Instr::Neg { width, dst: self.dst()? },
            Op::Mov { width, src } => Instr::Mov { width, dst: self.dst()?, src: self.operand(src)? },
            Op::MovSx { width, from } => Instr::MovSx { width, from, dst: self.dst()?, src: self.src()? },
            Op::AddrSpaceCast => Instr::AddrSpaceCast {
                dst: self.dst()?,
                src: self.src()?,
                to: (imm as u32 >> 16) as u16,
                from: imm as u16,
            },
            Op::End { order, size } => Instr::End { order, size, dst: self.dst()? },
            Op::LoadImm64 => {
                let imm = u64::from(imm as u32) | u64::from(self.next.imm as u32) << 32;
                Instr::LoadImm64 { dst: self.dst()?, imm }
            }
            Op::LoadPseudo { kind } => Instr::LoadPseudo { dst: self.dst()?, kind, imm, next_imm: self.next.imm },
            Op::Load { size, signed } => Instr::Load { size, signed, dst: self.dst()?, base: self.src()?, off },
            Op::Store { size, src } => Instr::Store { size, base: self.dst()?, off, src: self.operand(src)? },
            Op::Atomic { size, op, fetch } => {
                Instr::Atomic { size, op, fetch, base: self.dst()?, off, src: self.src()? }
            }
            Op::LoadAcquire { size } => Instr::LoadAcquire { size, dst: self.dst()?, base: self.src()?, off },
            Op::StoreRelease { size } => Instr::StoreRelease { size, base: self.dst()?, off, src: self.src()? },
            Op::LegacyLoad { size, indexed } => {
                let index = if indexed { Some(self.src()?) } else { None };
                Instr::LegacyLoad { size, index, imm }
            }
            Op::Jump { long } => Instr::Jump { off: if long { imm } else { i32::from(off) }, long },
            Op::Branch { width, op, src } => {
                Instr::Branch { width, op, dst: self.dst()?, src: self.operand(src)?, off }
            }
            Op::MayGoto => Instr::MayGoto { off },
            Op::CallHelper => Instr::CallHelper { id: imm },
            Op::CallLocal => Instr::CallLocal { off: imm },
            Op::CallKfunc => Instr::CallKfunc { id: imm, off },
            Op::Exit => Instr::Exit,
        })
    }
}
