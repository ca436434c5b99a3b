//! Why a program could not be compiled.

use backstop_ir::OpId;

/// What [`crate::compile`] can fail with. No input makes it panic.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum CompileError {
    /// The compiler does not have this operation; the interpreter may.
    #[error("operation {}: the x86-64 compiler does not support {what}; choose the interpreter for this program", .op.0)]
    Unsupported {
        /// In words.
        what: &'static str,
        /// Where.
        op: OpId,
    },
    /// The IR breaks one of its own invariants (a defect of whatever made it).
    #[error("function {func}: the IR is malformed: {what}")]
    Malformed {
        /// In words.
        what: &'static str,
        /// Index of the function.
        func: u32,
    },
    /// The image would pass 2 GiB, or a jump can't reach its target.
    #[error("the compiled program is too large ({bytes} bytes); split it with tail calls")]
    TooLarge {
        /// Bytes made so far.
        bytes: usize,
    },
}
