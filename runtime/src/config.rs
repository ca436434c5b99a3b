//! What an embedder chooses once, for all that an engine loads.

use std::sync::Arc;

use backstop_model::KernelBtf;

/// Which engine runs programs.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum EngineChoice {
    /// The JIT where it exists and the system permits executable memory, else the interpreter.
    #[default]
    Auto,
    /// The interpreter.
    Interpreter,
    /// The JIT; loading fails where it can't be had.
    Jit,
    /// The checked interpreter: each access, argument and read of a register is proved again when it happens. For tests and for
    /// finding defects; many times slower than the interpreter, and never chosen by `Auto`.
    Checked,
}

/// Receives what programs print by `bpf_trace_printk`, a line a call, without a newline.
pub type TraceSink = Arc<dyn Fn(&str) + Send + Sync>;

/// Configuration of an [`crate::Engine`].
#[derive(Clone)]
pub struct Config {
    pub(crate) engine: EngineChoice,
    pub(crate) compat_linux: bool,
    pub(crate) unprivileged: bool,
    pub(crate) statistics: bool,
    pub(crate) cpus: u32,
    pub(crate) map_memory: u64,
    pub(crate) log_level: u8,
    pub(crate) fuel: u64,
    pub(crate) trace: Option<TraceSink>,
    pub(crate) kernel: KernelBtf,
    #[cfg(all(feature = "testing", feature = "jit", target_arch = "x86_64", target_os = "linux"))]
    pub(crate) fault: crate::fault::PlantedFault,
}

impl Default for Config {
    fn default() -> Self {
        Config::new()
    }
}

impl std::fmt::Debug for Config {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Config")
            .field("engine", &self.engine)
            .field("compat_linux", &self.compat_linux)
            .field("unprivileged", &self.unprivileged)
            .field("statistics", &self.statistics)
            .field("cpus", &self.cpus)
            .field("map_memory", &self.map_memory)
            .field("log_level", &self.log_level)
            .field("fuel", &self.fuel)
            .field("kernel", &self.kernel)
            .finish_non_exhaustive()
    }
}

impl Config {
    /// Most CPU slots of an engine: each takes memory at once, and a copy of every value of per-CPU maps.
    pub const MAX_CPUS: u32 = 4096;

    /// The defaults: `Auto` engine, Backstop's own verdicts, privileged rules, no statistics, as many CPU slots as the machine
    /// has processors, 1 GiB of map memory an engine, trace output dropped.
    pub fn new() -> Config {
        Config {
            engine: EngineChoice::Auto,
            compat_linux: false,
            unprivileged: false,
            statistics: false,
            cpus: std::thread::available_parallelism()
                .map_or(1, |n| u32::try_from(n.get()).map_or(Config::MAX_CPUS, |n| n.min(Config::MAX_CPUS))),
            map_memory: 1 << 30,
            log_level: 0,
            fuel: u64::MAX,
            trace: None,
            kernel: KernelBtf::default(),
            #[cfg(all(feature = "testing", feature = "jit", target_arch = "x86_64", target_os = "linux"))]
            fault: crate::fault::PlantedFault::default(),
        }
    }

    /// Chooses the engine. One that was asked for by name never falls back to the other.
    pub fn engine(mut self, choice: EngineChoice) -> Config {
        self.engine = choice;
        self
    }

    /// Decides as Linux does where Backstop's own rules are sharper or wider.
    pub fn compat_linux(mut self, on: bool) -> Config {
        self.compat_linux = on;
        self
    }

    /// Refuses what Linux refuses to unprivileged users: pointer leaks among others.
    pub fn unprivileged(mut self, on: bool) -> Config {
        self.unprivileged = on;
        self
    }

    /// Counts runs, throws and time per program. Free when off.
    pub fn statistics(mut self, on: bool) -> Config {
        self.statistics = on;
        self
    }

    pub(crate) fn statistics_on(&self) -> bool {
        self.statistics
    }

    /// How many CPU slots per-CPU maps have (at least 1, at most [`Config::MAX_CPUS`]): as many runs of programs that use such maps can be under way at once.
    pub fn cpus(mut self, cpus: u32) -> Config {
        self.cpus = cpus.max(1);
        self
    }

    /// Bytes that all maps of this engine may take together.
    pub fn map_memory(mut self, bytes: u64) -> Config {
        self.map_memory = bytes;
        self
    }

    /// Verifier log: 0 none, 1 the instructions of the refused path, each with what it changed, 2 those of every path, of accepted programs
    /// too ([`crate::verifier::Verified::kernel_format`]).
    pub fn log_level(mut self, level: u8) -> Config {
        self.log_level = level;
        self
    }

    /// Instructions that one run may take on the checked interpreter (no limit without this); the other engines run proved
    /// programs only, which end, and do not count.
    pub fn fuel(mut self, instructions: u64) -> Config {
        self.fuel = instructions;
        self
    }

    /// Plants a fault in what the JIT compiles. For tests alone: what runs then was not proved, and can do anything to the process.
    #[doc(hidden)]
    #[cfg(all(feature = "testing", feature = "jit", target_arch = "x86_64", target_os = "linux"))]
    pub fn fault(mut self, fault: crate::fault::PlantedFault) -> Config {
        self.fault = fault;
        self
    }

    /// The kernel's own types, for programs that are written for a kernel: CO-RE relocations are resolved against them before any others, and
    /// pointers to the kernel's objects can be judged. Such objects are not there in user space, so loading for a run refuses what uses
    /// them. Without this every program that asks for one is refused by name.
    pub fn kernel_btf(mut self, types: KernelBtf) -> Config {
        self.kernel = types;
        self
    }

    /// Where `bpf_trace_printk` goes.
    pub fn trace(mut self, sink: impl Fn(&str) + Send + Sync + 'static) -> Config {
        self.trace = Some(Arc::new(sink));
        self
    }
}
