//! Backstop's x86-64 compiler: verified IR in, an [`Image`] out.
//!
//! It makes data only; placing and running an image is the runtime's. Layers, each using only the one above it in this list:
//! `emit` (dynasm), `masm` (macro assembler, pool, tables), `lower` (one file for each class of operation).
//!
//! Calling conventions, with the register map of [`backstop_abi::x86`]:
//!
//! - main: `extern "C" fn(r1, r2, _, _, _, run: *mut RunCtx) -> r0`, entered with a stack as after a `call`;
//! - subprograms: r1 to r5 in rdi, rsi, rdx, rcx, r8, the run in r12; they save what they write of rbx, r13, r14, r15;
//! - the exception callback: entered by a jump, see [`Boundary`]; it returns to the boundary's caller;
//! - native callees: `extern "C" fn(r1, r2, r3, r4, r5, run: *mut RunCtx) -> r0`, called with a stack aligned to 16 bytes.
//!
//! Every function has a frame under rbp; BPF's r10 is rbp itself and the BPF stack ends there.
#![forbid(unsafe_code)]

mod emit;
mod error;
mod image;
mod jumps;
mod live;
mod lower;
mod magic;
mod masm;
mod options;
mod regs;
#[cfg(test)]
mod tests;
mod upper;

pub use error::CompileError;
pub use image::{Boundary, Image, ImageFunc, ListingRow, Symbol};
pub use options::{CompileOptions, CpuFeatures};

use backstop_ir::{Ir, Proven};

/// Compiles a proved program.
///
/// # Errors
/// [`CompileError::Unsupported`] for operations that only the interpreter has (arena and probing accesses),
/// [`CompileError::TooLarge`] beyond 2 GiB of code.
pub fn compile(ir: &Ir<Proven>, options: &CompileOptions) -> Result<Image, CompileError> {
    lower::image(ir.funcs(), ir.exception_callback(), options)
}
