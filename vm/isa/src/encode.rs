//! From the decoded instruction to its slots, by the table.

use crate::insn::{Instr, Operand, Reg, Slot};
use crate::table::Fill;

/// One or two slots, held without allocation. Reads as a slice.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Encoded {
    slots: [Slot; 2],
    two: bool,
}

impl Encoded {
    pub(crate) fn one(slot: Slot) -> Encoded {
        Encoded { slots: [slot, Slot::default()], two: false }
    }

    pub(crate) fn two(first: Slot, next_imm: i32) -> Encoded {
        Encoded { slots: [first, Slot { imm: next_imm, ..Slot::default() }], two: true }
    }

    /// The slots.
    pub fn as_slice(&self) -> &[Slot] {
        if self.two { &self.slots } else { &self.slots[..1] }
    }

    /// The first slot, which carries the opcode.
    pub fn first(&self) -> Slot {
        self.slots[0]
    }
}

impl std::ops::Deref for Encoded {
    type Target = [Slot];

    fn deref(&self) -> &[Slot] {
        self.as_slice()
    }
}

impl IntoIterator for Encoded {
    type Item = Slot;
    type IntoIter = std::iter::Take<std::array::IntoIter<Slot, 2>>;

    fn into_iter(self) -> Self::IntoIter {
        self.slots.into_iter().take(if self.two { 2 } else { 1 })
    }
}

impl Instr {
    /// The instruction's slots.
    ///
    /// Whatever [`decode`](crate::decode()) has made comes back bit by bit. The type can also say things that the set lacks
    /// (an atomic add of one byte): such a value gives the all-zero slot, which no decoder accepts.
    pub fn encode(&self) -> Encoded {
        match self.op().row() {
            Some(row) => row.instance(self.fields()),
            None => Encoded::one(Slot::default()),
        }
    }

    /// The operands, each in the field that carries it; sub-codes are the table's business.
    pub(crate) fn fields(&self) -> Fill {
        let regs = |dst: Reg, src: Reg| Fill { dst: dst.number(), src: src.number(), ..Fill::default() };
        let only = |dst: Reg| Fill { dst: dst.number(), ..Fill::default() };
        let operand = |dst: Reg, src: Operand| match src {
            Operand::Reg(src) => regs(dst, src),
            Operand::Imm(imm) => Fill { imm, ..only(dst) },
        };
        match *self {
            Instr::Alu { dst, src, .. } | Instr::Mov { dst, src, .. } => operand(dst, src),
            Instr::Neg { dst, .. } | Instr::End { dst, .. } => only(dst),
            Instr::MovSx { dst, src, .. } => regs(dst, src),
            Instr::AddrSpaceCast { dst, src, to, from } => {
                let imm = (u32::from(to) << 16 | u32::from(from)) as i32;
                Fill { imm, ..regs(dst, src) }
            }
            Instr::LoadImm64 { dst, imm } => Fill { imm: imm as i32, next_imm: (imm >> 32) as i32, ..only(dst) },
            Instr::LoadPseudo { dst, imm, next_imm, .. } => Fill { imm, next_imm, ..only(dst) },
            Instr::Load { dst, base, off, .. } | Instr::LoadAcquire { dst, base, off, .. } => {
                Fill { off, ..regs(dst, base) }
            }
            Instr::Store { base, off, src, .. } => Fill { off, ..operand(base, src) },
            Instr::Atomic { base, off, src, .. } | Instr::StoreRelease { base, off, src, .. } => {
                Fill { off, ..regs(base, src) }
            }
            Instr::LegacyLoad { index, imm, .. } => Fill { src: index.map_or(0, Reg::number), imm, ..Fill::default() },
            // The short form's row reads `off`, the long one's `imm`; a short jump always fits (see `Instr::op`).
            Instr::Jump { off, .. } => Fill { off: off as i16, imm: off, ..Fill::default() },
            Instr::Branch { dst, src, off, .. } => Fill { off, ..operand(dst, src) },
            Instr::MayGoto { off } => Fill { off, ..Fill::default() },
            Instr::CallHelper { id } => Fill { imm: id, ..Fill::default() },
            Instr::CallLocal { off } => Fill { imm: off, ..Fill::default() },
            Instr::CallKfunc { id, off } => Fill { imm: id, off, ..Fill::default() },
            Instr::Exit => Fill::default(),
        }
    }
}

/// The slots of a whole program.
pub fn encode_all<'i>(program: impl IntoIterator<Item = &'i Instr>) -> Vec<Slot> {
    program.into_iter().flat_map(Instr::encode).collect()
}

/// The bytes of a program, as they lie in a little-endian object file.
pub fn slots_to_bytes(slots: &[Slot]) -> Vec<u8> {
    slots.iter().flat_map(|slot| slot.to_bytes()).collect()
}
