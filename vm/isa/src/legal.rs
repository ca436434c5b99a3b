//! Legality beyond the form: what Linux's verifier refuses although the encoding is sound.
//!
//! RFC 9669 masks shift counts and defines division by zero, so the decoder accepts immediates that do either; Linux
//! refuses them. The verifier asks here, once for each instruction it reaches, as Linux does: dead code may hold them.

use crate::insn::{Instr, Reg, Slot};
use crate::table::{ImmField, Row};

/// Why a well-formed instruction is refused.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, thiserror::Error)]
pub enum Illegal {
    /// Division or remainder by the constant 0.
    #[error("division by the constant 0; test the divisor, or divide by a register (which gives 0)")]
    DivisionByZero,
    /// Shift by a constant that is negative, or not below the width.
    #[error("shift by the constant {count}; it must be 0 to {} for this width", bits - 1)]
    ShiftCount {
        /// The constant.
        count: i32,
        /// Bits of the operand.
        bits: u32,
    },
    /// A cast other than from address space 0 to 1 or 1 to 0.
    #[error("addr_space_cast from space {from} to {to}; only 0 to 1 and 1 to 0 exist")]
    AddressSpaces {
        /// Target.
        to: u16,
        /// Source.
        from: u16,
    },
    /// r10 as a destination.
    #[error("r10, the frame pointer, can't be written; copy it to another register first")]
    FramePointerWrite,
    /// A combination of size and operation that no opcode stands for. The decoder never makes one.
    #[error("the instruction set has no such combination of operation and size")]
    NotInSet,
}

impl Illegal {
    /// The last line of the log with which Linux refuses it (probed on 6.18); `None` where Linux never sees it.
    pub fn kernel_text(&self) -> Option<String> {
        Some(match self {
            Illegal::DivisionByZero => "div by zero".into(),
            Illegal::ShiftCount { count, .. } => format!("invalid shift {count}"),
            Illegal::AddressSpaces { .. } => {
                "addr_space_cast insn can only convert between address space 1 and 0".into()
            }
            Illegal::FramePointerWrite => "frame pointer is read only".into(),
            Illegal::NotInSet => return None,
        })
    }
}

fn writes_frame_pointer(row: &Row, slot: Slot) -> Result<(), Illegal> {
    let frame_pointer = Reg::R10.number();
    let writes =
        (row.dst.is_written() && slot.dst == frame_pointer) || (row.src.is_written() && slot.src == frame_pointer);
    if writes { Err(Illegal::FramePointerWrite) } else { Ok(()) }
}

impl Instr {
    /// Whether Linux's verifier would take the instruction by its form and constants alone.
    ///
    /// # Errors
    /// The first rule broken, constants before registers, as Linux looks at them.
    pub fn check_legal(&self) -> Result<(), Illegal> {
        let row = self.op().row().ok_or(Illegal::NotInSet)?;
        let slot = row.instance(self.fields()).first();
        match row.imm {
            ImmField::Shift(width) if !(0..width.bits() as i32).contains(&slot.imm) => {
                return Err(Illegal::ShiftCount { count: slot.imm, bits: width.bits() });
            }
            ImmField::Divisor if slot.imm == 0 => return Err(Illegal::DivisionByZero),
            ImmField::AddrSpaces if slot.imm != 1 && slot.imm != 0x1_0000 => {
                let spaces = slot.imm as u32;
                return Err(Illegal::AddressSpaces { to: (spaces >> 16) as u16, from: spaces as u16 });
            }
            _ => {}
        }
        writes_frame_pointer(row, slot)
    }

    /// Whether the instruction leaves r10 alone, which the BPF ABI has read-only.
    ///
    /// # Errors
    /// [`Illegal::FramePointerWrite`].
    pub fn check_frame_pointer(&self) -> Result<(), Illegal> {
        writes_frame_pointer(self.op().row().ok_or(Illegal::NotInSet)?, self.encode().first())
    }
}
