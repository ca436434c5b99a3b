//! What the caller says about the machine and the code wanted.

/// Instruction set extensions that compiled code may use. Whoever will run the code detects them.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct CpuFeatures {
    /// shlx, shrx, sarx, rorx, mulx.
    pub bmi2: bool,
}

impl CpuFeatures {
    /// What every x86-64 machine has.
    pub const fn baseline() -> CpuFeatures {
        CpuFeatures { bmi2: false }
    }
}

/// Options of [`crate::compile`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CompileOptions {
    /// Extensions that the code may use.
    pub cpu: CpuFeatures,
    /// Lays the heads of innermost loops at multiples of 64 bytes and other loops' at 16.
    pub align_loops: bool,
    /// Merges operations of the IR into one machine instruction where that is faster.
    pub fuse: bool,
    /// Tail calls announce their target by an exchange, which is a barrier, and not by a store: for systems where whoever replaces targets has
    /// no other way to make announcements visible.
    pub exchange_at_tail_calls: bool,
}

impl Default for CompileOptions {
    fn default() -> CompileOptions {
        CompileOptions { cpu: CpuFeatures::baseline(), align_loops: true, fuse: true, exchange_at_tail_calls: false }
    }
}
