//! What a proof is asked for.

use backstop_model::KernelBtf;

/// Limits of a proof.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Instructions processed over all paths.
    pub insns: u64,
    /// Comparisons of states: a program made to explode them ends here, as a refusal like that of `insns`. Linux has no such
    /// limit. It follows from two others: a listed state is compared in vain four times (or 65, at checkpoints that are forced)
    /// for each path that it ended, before it is taken off its list, so that comparisons stay near the number of instructions.
    /// The project's 369 programs make 0.38 for an instruction, none more than 0.95 (`verify --stats --json`); the worst of the
    /// tests' hostile ones makes 4.2 (`hostile_work`). The default leaves sixteen.
    pub comparisons: u64,
    /// Branches waiting to be walked.
    pub jumps: usize,
    /// Slots of a program.
    pub program: usize,
    /// Bytes of log kept.
    pub log_bytes: usize,
    /// Processor numbers that a run may be told that it is on are below this. Linux takes the machine's number.
    pub cpus: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            insns: 1_000_000,
            comparisons: 16_000_000,
            jumps: 8192,
            program: 1_000_000,
            log_bytes: 16 << 20,
            cpus: 8192,
        }
    }
}

/// Options of [`crate::verify`].
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Decide as Linux 6.18 does, even where Backstop could prove more. The rules that close holes of the kernel
    /// (docs/verifier-differences.md) hold all the same.
    pub compat_linux: bool,
    /// The rules for programs without privileges: no pointer may leak, nothing uninitialised be read.
    pub unprivileged: bool,
    /// No pointer may leak and nothing uninitialised be read, though loops, functions and all else that takes privileges are allowed: what
    /// such a program does depends on its input and on what it calls, never on addresses. Of Linux's rules these are those for programs
    /// with CAP_BPF but not CAP_PERFMON, without the ones against speculation.
    pub no_leaks: bool,
    /// Keep what was said of each checkpoint, so that runs can be held against it ([`crate::embed`]). The proof decides as it does
    /// without, and takes far more memory.
    pub keep_states: bool,
    /// 0: no log; 1: the instructions of the path that is refused, each with what it changed; 2: those of every path, and walks back
    /// for precision.
    pub log_level: u8,
    /// Limits.
    pub limits: Limits,
    /// The kernel's own types. A program that asks for one where there are none is refused by name; what a program itself declares of the
    /// kernel never counts.
    pub kernel: KernelBtf,
}
