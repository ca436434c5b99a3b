//! The command line, as clap reads it. Its shape is part of the machine interface and is kept stable.

use std::path::PathBuf;

use backstop::model::sections::MAX_RAW_MEM;
use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::commands::{conformance, conformance_plugin, diff};

const ABOUT: &str = "Verifies, compiles and runs eBPF objects in user space";

const EXIT_CODES: &str = "\
Exit codes:
  0  done; a throw that the program's exception callback caught is done
  1  something was refused, could not be read, or differed; every input is reported first
  2  the command line is wrong
  3  a defect of backstop

Examples:
  backstop verify filter.bpf.o
  backstop run filter.bpf.o --program filter --data-in packet.bin
  backstop run firewall.bpf.o --pcap traffic.pcap --engine both --out passed.pcap";

const VERIFY_HELP: &str = "\
Examples:
  backstop verify filter.bpf.o
      a verdict for each program; a refusal comes with the C source line and the path that led there
  backstop verify --json a.bpf.o b.bpf.o
      one JSON line for each program
  backstop verify filter.bpf.o --program filter --format kernel --log-level 2
      the log in the form of Linux's: instructions with opcodes, `;` and what each changed, `from A to B:` where a branch is taken up,
      the reason, the counts. Instructions are written as `backstop disasm` writes them; what Linux tells of its own bookkeeping (live
      registers, precision) is left out";

const RUN_HELP: &str = "\
A run gets 64 zero bytes if no input is given: a packet for packet programs, the context for syscall and tracing programs, the memory for raw_mem programs \
(of the length that their section states: `raw_mem/128`; after `raw_mem` and `raw_mem/LABEL` the input's length counts).

Examples:
  backstop run throw.bpf.o --program throw_2
  backstop run throw.bpf.o --all --engine both --json
  backstop run filter.bpf.o --program filter --data-in packet.bin --repeat 1000000
  backstop run firewall.bpf.o --pcap traffic.pcap
      verdicts, throws by cookie and source line, the contents of the maps, nanoseconds per packet
  backstop run firewall.bpf.o --pcap traffic.pcap --engine both --out passed.pcap
      compares every packet's verdict, every throw and every map of the two engines";

const INSPECT_HELP: &str = "\
Examples:
  backstop inspect firewall.bpf.o
  backstop inspect firewall.bpf.o --json | jq '.maps[].name'
  backstop inspect --helpers xdp";

const DISASM_HELP: &str = "\
Examples:
  backstop disasm firewall.bpf.o --program firewall --source
  backstop disasm firewall.bpf.o --program firewall --ir";

const JIT_HELP: &str = "\
Addresses are relative to the start of the program's image.

Examples:
  backstop jit-dump firewall.bpf.o --program firewall";

/// The whole command line.
#[derive(Parser, Debug)]
#[command(name = "backstop", version, about = ABOUT, after_help = EXIT_CODES, max_term_width = 110)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Subcommand, Debug)]
pub enum Command {
    /// Judges each program of the objects as if it alone were loaded
    #[command(after_help = VERIFY_HELP)]
    Verify(VerifyArgs),
    /// Runs a program on an input, all programs of an object, or a packet program over a capture
    #[command(after_help = RUN_HELP)]
    Run(RunArgs),
    /// Shows what an object holds: programs, functions, maps, globals, externs, relocations
    #[command(after_help = INSPECT_HELP)]
    Inspect(InspectArgs),
    /// Shows the instructions of linked programs, with names and, if asked, C source lines
    #[command(after_help = DISASM_HELP)]
    Disasm(DisasmArgs),
    /// Shows BPF instructions, the IR and the x86-64 code that the JIT made of them, interleaved
    #[command(after_help = JIT_HELP)]
    JitDump(JitDumpArgs),
    /// Exercises every instruction on the engines, against RFC 9669
    #[command(after_help = conformance::HELP)]
    Conformance(conformance::ConformanceArgs),
    /// Compares the engines, and Linux, on generated programs, objects or saved cases
    #[command(after_help = diff::HELP)]
    Diff(diff::DiffArgs),
    /// Runs one program of base-16 bytes, as runners of ISA tests ask for it
    #[command(after_help = conformance_plugin::HELP)]
    ConformancePlugin(conformance_plugin::PluginArgs),
}

/// How programs are linked and judged.
#[derive(Args, Debug, Clone, Default)]
pub struct Judging {
    /// Decide as Linux does where Backstop's own rules are sharper or wider
    #[arg(long, value_name = "WHOM")]
    pub compat: Option<Compat>,
    /// Resolve CO-RE relocations against these types first: raw BTF (such as /sys/kernel/btf/vmlinux) or an ELF file with .BTF
    #[arg(long, value_name = "FILE")]
    pub btf: Option<PathBuf>,
    /// The kernel's own types, for programs that use its objects (task_struct, sk_buff, ...): raw BTF or an ELF file with .BTF; judged, never run. CO-RE
    /// relocations are resolved against them as well [default with --compat linux: /sys/kernel/btf/vmlinux, else a part of Linux 6.18's]
    #[arg(long, value_name = "FILE")]
    pub kernel_btf: Option<PathBuf>,
    /// Refuse what Linux refuses to unprivileged users
    #[arg(long)]
    pub unprivileged: bool,
    /// Give a map this capacity before it is made: many objects leave max_entries at 0 for their host; repeatable
    #[arg(long, value_name = "NAME=N", value_parser = map_size)]
    pub map_size: Vec<(String, u32)>,
    /// Give a variable of .kconfig its value: a number, or y, m or n (1, 2, 0); LINUX_KERNEL_VERSION is 6.18.0 otherwise; repeatable
    #[arg(long, value_name = "NAME=VALUE", value_parser = kconfig)]
    pub kconfig: Vec<(String, u64)>,
}

fn pair(text: &str) -> Result<(&str, &str), String> {
    text.split_once('=').filter(|(name, _)| !name.is_empty()).ok_or_else(|| "write it as NAME=NUMBER".to_owned())
}

fn map_size(text: &str) -> Result<(String, u32), String> {
    let (name, size) = pair(text)?;
    size.parse().map(|size| (name.to_owned(), size)).map_err(|e| format!("`{size}`: {e}"))
}

fn kconfig(text: &str) -> Result<(String, u64), String> {
    let (name, value) = pair(text)?;
    let number = match (value, value.strip_prefix("0x")) {
        ("y", _) => Some(1),
        ("m", _) => Some(2),
        ("n", _) => Some(0),
        (_, Some(digits)) => u64::from_str_radix(digits, 16).ok(),
        _ => value.parse().ok().or_else(|| value.parse::<i64>().ok().map(|n| n as u64)),
    };
    number.map(|n| (name.to_owned(), n)).ok_or_else(|| format!("`{value}` is neither a number nor y, m or n"))
}

/// What a run would bring, where nothing is run.
#[derive(Args, Debug, Clone)]
pub struct MemoryArg {
    /// Bytes of memory that `raw_mem` programs get whose section states no length [default: 64]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=i64::from(MAX_RAW_MEM)))]
    pub data_size: Option<u32>,
}

/// Whose verdicts are to be reproduced.
#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub enum Compat {
    /// Linux 6.18
    Linux,
}

#[derive(Args, Debug)]
pub struct VerifyArgs {
    /// Object files made by `clang -target bpf -g -O2 -c`
    #[arg(required = true, value_name = "OBJ")]
    pub objects: Vec<PathBuf>,
    /// Only the program of this name
    #[arg(long, value_name = "NAME")]
    pub program: Option<String>,
    #[command(flatten)]
    pub judging: Judging,
    #[command(flatten)]
    pub memory: MemoryArg,
    /// One JSON line for each program
    #[arg(long)]
    pub json: bool,
    /// How a refusal is shown
    #[arg(long, value_name = "FORM", default_value = "source", conflicts_with = "json")]
    pub format: LogFormat,
    /// Print the walk too: 1 the path that was refused, each instruction with what it changed, 2 every path, of accepted programs as well
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u8).range(0..=2))]
    pub log_level: u8,
    /// Print what each proof cost: instructions, states, memory and time, by subprogram
    #[arg(long)]
    pub stats: bool,
}

/// How a refusal is shown.
#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub enum LogFormat {
    /// With the C source line, the path that led there and what would help
    Source,
    /// As the log of Linux's verifier
    Kernel,
}

#[derive(Args, Debug)]
pub struct RunArgs {
    /// Object file
    #[arg(value_name = "OBJ")]
    pub object: PathBuf,
    /// The program to run [with --pcap: the first XDP or tc program that is loaded by default and no target of tail calls]
    #[arg(long, value_name = "NAME", required_unless_present_any = ["all", "pcap"], conflicts_with = "all")]
    pub program: Option<String>,
    /// Run each program of the object on its own, with fresh maps
    #[arg(long)]
    pub all: bool,
    #[command(flatten)]
    pub judging: Judging,
    /// The input: a packet, a context or memory, as raw bytes
    #[arg(long, value_name = "FILE", conflicts_with = "data_size")]
    pub data_in: Option<PathBuf>,
    /// An input of this many zero bytes
    #[arg(long, value_name = "N")]
    pub data_size: Option<usize>,
    /// The context as raw bytes: for syscall and tracing programs, and the fields of packet contexts that a test may set (a whole struct
    /// xdp_md of 24 or __sk_buff of 192 bytes)
    #[arg(long, value_name = "FILE")]
    pub ctx_in: Option<PathBuf>,
    /// Run this often on the same buffer and maps; the last run's result is reported, the time is the mean of CPU time
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    pub repeat: u64,
    /// The engine; one that is named never falls back to the other
    #[arg(long, value_name = "ENGINE", default_value = "auto")]
    pub engine: EngineArg,
    /// One JSON line for each program and engine
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub capture: CaptureArgs,
}

/// Running over a capture.
#[derive(Args, Debug)]
#[command(next_help_heading = "Running over a capture")]
pub struct CaptureArgs {
    /// Run the program over each packet of a classic pcap file
    #[arg(long, value_name = "FILE", conflicts_with_all = ["all", "data_in", "data_size", "ctx_in", "repeat"])]
    pub pcap: Option<PathBuf>,
    /// Write the packets that passed to a pcap file
    #[arg(long, value_name = "FILE", requires = "pcap")]
    pub out: Option<PathBuf>,
    /// Most entries that are shown of a map [default: 10]
    #[arg(long, value_name = "N", requires = "pcap")]
    pub top: Option<usize>,
}

/// Which engine runs.
#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub enum EngineArg {
    /// The JIT where it exists, else the interpreter
    Auto,
    /// The interpreter
    Interp,
    /// The JIT
    Jit,
    /// Both, and compare them
    Both,
    /// The interpreter that checks every access again when it is made: slow, for finding defects
    Checked,
}

#[derive(Args, Debug)]
pub struct InspectArgs {
    /// Object file
    #[arg(value_name = "OBJ", required_unless_present = "helpers", conflicts_with = "helpers")]
    pub object: Option<PathBuf>,
    /// List the helpers and kfuncs that programs of a type may call; the type by Linux's name or as SEC() has it
    #[arg(long, value_name = "TYPE")]
    pub helpers: Option<String>,
    /// One JSON object
    #[arg(long)]
    pub json: bool,
}

#[derive(Args, Debug)]
pub struct DisasmArgs {
    /// Object file
    #[arg(value_name = "OBJ")]
    pub object: PathBuf,
    /// Only the program of this name
    #[arg(long, value_name = "NAME")]
    pub program: Option<String>,
    /// Put the C source lines between the instructions
    #[arg(long)]
    pub source: bool,
    /// The verified IR instead of instructions; the program must pass the verifier
    #[arg(long, conflicts_with = "source")]
    pub ir: bool,
    #[command(flatten)]
    pub judging: Judging,
    #[command(flatten)]
    pub memory: MemoryArg,
}

#[derive(Args, Debug)]
pub struct JitDumpArgs {
    /// Object file
    #[arg(value_name = "OBJ")]
    pub object: PathBuf,
    /// Only the program of this name
    #[arg(long, value_name = "NAME")]
    pub program: Option<String>,
    #[command(flatten)]
    pub judging: Judging,
    #[command(flatten)]
    pub memory: MemoryArg,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        super::Cli::command().debug_assert();
    }
}
