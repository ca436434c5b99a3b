//! The eBPF instruction set, described once.
//!
//! [`table`] holds every operation of RFC 9669 up to cpu v4 and of Linux beyond it; [`decode()`], [`Instr::encode`] and
//! [`Instr::check_legal`] read it. [`assemble`] and [`Disasm`] (and `Display` of [`Instr`]) speak the pseudo-C that clang
//! and bpftool speak, and agree: what one prints the other reads back to the same slots.
//!
//! ```
//! use backstop_isa::{assemble, decode_all, disassemble};
//!
//! let slots = assemble("r0 = *(u32 *)(r1 + 8)\nif w0 s> 5 goto out\nr0 += 1\nout: exit")?;
//! let program = decode_all(&slots)?;
//! assert_eq!(program.len(), 4);
//! assert_eq!(program[1].1.to_string(), "if w0 s> 5 goto +1");
//! assert_eq!(assemble(&disassemble(&slots))?, slots);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Nothing here allocates by what an input claims, and no input can cause a panic.
#![forbid(unsafe_code)]

mod asm;
mod decode;
mod disasm;
mod encode;
mod error;
mod insn;
mod legal;
mod syntax;
pub mod table;

pub use asm::{AsmError, AsmErrorKind, Symbol, assemble, assemble_with};
pub use decode::{decode, decode_all, slots_from_bytes};
pub use disasm::{Disasm, Name, disassemble};
pub use encode::{Encoded, encode_all, slots_to_bytes};
pub use error::DecodeError;
pub use insn::{AluOp, AtomicOp, ByteOrder, CmpOp, Instr, Operand, Pseudo, Reg, Size, Slot, Width};
pub use legal::Illegal;
