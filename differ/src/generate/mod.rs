//! Programs from bytes: mostly such as the verifier accepts, over everything that both engines run.
//!
//! The generator keeps a coarse image of registers and stack (`state`) and writes statements that suit it, each over rows of the
//! instruction table, the model's helper prototypes and map kinds, so that what is added there is generated without a change here.
//! Programs end by construction (loops and callbacks count to small constants) and compute nothing from addresses, clocks or chance
//! (helpers that tell them are called, and what they say is dropped): two engines must agree on every bit.

mod body;
mod calls;
mod code;
mod helpers;
mod known;
mod maps;
mod sections;
mod state;
mod types;

pub(crate) use calls::Role;
pub use helpers::{UNSTEADY, generated as helpers};
pub use maps::kinds as map_kinds;
pub use sections::KFUNCS;
pub(crate) use types::{Signature, types as signatures};

use std::sync::Arc;

use backstop::isa::Slot;
use backstop::isa::table::{Fill, rows};
use backstop::model::{HostContext, HostField, ProgKind, ProgType, Program, contexts, kfuncs};

use crate::source::{Source, Stream};
use body::Writer;

/// The types that most programs are generated for.
const USUAL: [ProgType; 6] = [
    ProgType::RawMem,
    ProgType::Xdp,
    ProgType::SchedCls,
    ProgType::Syscall,
    ProgType::RawTracepoint,
    ProgType::SocketFilter,
];

/// The other types that run without a function or struct of one kernel to be written for.
const RARE: [ProgType; 24] = [
    ProgType::Host,
    ProgType::Kprobe,
    ProgType::SchedAct,
    ProgType::Tracepoint,
    ProgType::PerfEvent,
    ProgType::CgroupSkb,
    ProgType::CgroupSock,
    ProgType::LwtIn,
    ProgType::LwtOut,
    ProgType::LwtXmit,
    ProgType::SockOps,
    ProgType::SkSkb,
    ProgType::CgroupDevice,
    ProgType::SkMsg,
    ProgType::CgroupSockAddr,
    ProgType::LwtSeg6Local,
    ProgType::LircMode2,
    ProgType::SkReuseport,
    ProgType::FlowDissector,
    ProgType::CgroupSysctl,
    ProgType::RawTracepointWritable,
    ProgType::CgroupSockopt,
    ProgType::SkLookup,
    ProgType::Netfilter,
];

/// The types that Linux test-runs on an input as Backstop does. Runs of XDP programs are dear there, so they are few.
const KERNEL: [ProgType; 16] = [
    ProgType::Syscall,
    ProgType::Syscall,
    ProgType::Syscall,
    ProgType::Syscall,
    ProgType::SchedCls,
    ProgType::SchedCls,
    ProgType::SchedCls,
    ProgType::SocketFilter,
    ProgType::SocketFilter,
    ProgType::RawTracepoint,
    ProgType::CgroupSkb,
    ProgType::SchedAct,
    ProgType::LwtIn,
    ProgType::LwtXmit,
    ProgType::LwtOut,
    ProgType::Xdp,
];

/// Every type that programs are generated for.
pub fn types() -> impl Iterator<Item = ProgType> {
    USUAL.into_iter().chain(RARE)
}

/// Bytes of the memory or context that generated programs of types without a packet get.
pub const MEMORY_LEN: usize = 64;

/// What a generator may use.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Shape {
    /// Deepest chain of frames, main included.
    pub frames: usize,
    /// Statements of a function, about.
    pub statements: usize,
    /// Every path is more likely to call and to throw than to compute.
    pub throws: bool,
    /// A chain of calls down to a depth that is drawn, before anything else is done; it may end in a throw.
    pub chain: bool,
    /// Helpers that can't be run here, and results that differ from run to run.
    pub unsteady: bool,
    /// Only what Linux runs with the same results, and what is safe to load there: nothing that prints, and a custom exception callback only
    /// in a program without any other subprogram (Linux 6.18 does not survive one beside a subprogram that no path reaches).
    pub kernel: bool,
}

impl Shape {
    /// For comparing engines.
    pub const STEADY: Shape =
        Shape { frames: 4, statements: 24, throws: false, chain: false, unsteady: false, kernel: false };
    /// For the verifier alone.
    pub const ANY: Shape = Shape { frames: 5, statements: 40, unsteady: true, ..Shape::STEADY };
    /// Deep calls and throws.
    pub const THROWS: Shape = Shape { frames: 8, statements: 4, throws: true, ..Shape::STEADY };
    /// Calls of every depth.
    pub const CHAIN: Shape = Shape { frames: 8, statements: 10, chain: true, ..Shape::STEADY };

    /// One of those for comparing engines.
    pub fn any(source: &mut Source<'_>) -> Shape {
        match source.below(8) {
            0..=3 => Shape::STEADY,
            4..=6 => Shape::CHAIN,
            _ => Shape::THROWS,
        }
    }

    /// The same for Linux as well.
    pub fn kernel(self) -> Shape {
        Shape { kernel: true, ..self }
    }
}

/// A program and what it is run on.
#[derive(Clone, Debug)]
pub struct Generated {
    /// The program.
    pub program: Program,
    /// Packet, memory or arguments.
    pub input: Vec<u8>,
}

/// Makes a program.
pub fn program(source: &mut Source<'_>, shape: Shape) -> Generated {
    let kind = kind(source, shape);
    let input = input(&kind, source);
    let mut writer = Writer::new(source, shape, kind.clone());
    writer.program();
    let written = writer.finish();
    let program = Program {
        name: "generated".to_owned(),
        section: String::new(),
        kind,
        slots: written.slots,
        maps: written.maps,
        kfuncs: sections::KFUNCS.iter().filter_map(|kfunc| kfuncs::builtin(*kfunc).ok()).collect(),
        btf: written.btf,
        func_info: written.func_info,
        line_info: Vec::new(),
        poisoned: Vec::new(),
        license: "GPL".to_owned(),
    };
    Generated { program, input }
}

fn kind(source: &mut Source<'_>, shape: Shape) -> ProgKind {
    let types: &[ProgType] = match shape {
        Shape { kernel: true, .. } => &KERNEL,
        Shape { throws: true, .. } => &USUAL[..4],
        _ if source.chance(104) => &RARE,
        _ => &USUAL,
    };
    let mut kind = ProgKind::new(source.pick(types).unwrap_or(ProgType::RawMem));
    kind.memory_len = MEMORY_LEN as u32;
    if kind.ty == ProgType::Host {
        kind.host = Some(host());
    }
    kind
}

/// The struct that generated programs of the host's type get.
pub(crate) fn host() -> Arc<HostContext> {
    let field = |n: u32, size: u32, writable: bool| HostField { name: format!("f{n}"), offset: n, size, writable };
    let fields =
        vec![field(0, 8, true), field(8, 4, true), field(12, 4, false), field(16, 8, false), field(24, 2, true)];
    Arc::new(HostContext { name: "generated_host".to_owned(), size: 32, fields })
}

/// Bytes of the context or memory that a program of this kind gets; `None` if it gets a packet.
pub fn context_len(kind: &ProgKind) -> Option<usize> {
    match kind.ty {
        ProgType::RawMem | ProgType::Syscall => Some(MEMORY_LEN),
        ty if ty == ProgType::Xdp || contexts::has_skb(ty) => None,
        ProgType::Host => kind.host.as_ref().map(|host| host.size as usize),
        _ => Some((contexts::size(kind).unwrap_or(0) as usize).min(96) / 8 * 8),
    }
}

fn input(kind: &ProgKind, source: &mut Source<'_>) -> Vec<u8> {
    let mut stream = Stream::new(u64::from(source.half()));
    let len = context_len(kind).unwrap_or_else(|| 14 + stream.below(120));
    stream.bytes(len)
}

/// Changes single instructions: the result need not be a program at all.
pub fn damage(slots: &mut Vec<Slot>, source: &mut Source<'_>, changes: usize) {
    for _ in 0..changes {
        if slots.is_empty() || source.is_empty() {
            return;
        }
        let at = source.below(slots.len());
        let what = source.byte();
        match what % 10 {
            8 => {
                slots.remove(at);
                continue;
            }
            9 => {
                let all = rows();
                let row = all.clone().nth(source.below(all.len()));
                let fill = fill(source);
                if let Some(row) = row {
                    let encoded = if what & 128 == 0 { row.legal_instance(fill) } else { row.instance(fill) };
                    slots.splice(at..=at, encoded.as_slice().iter().copied());
                }
                continue;
            }
            _ => {}
        }
        let Some(slot) = slots.get_mut(at) else { return };
        match what % 10 {
            0 => slot.imm = source.number() as i32,
            1 => slot.imm ^= 1 << (source.byte() & 31),
            2 => slot.off = source.number() as i16,
            3 => slot.off ^= 1 << (source.byte() & 15),
            4 => slot.dst = source.byte() & 15,
            5 => slot.src = source.byte() & 15,
            6 => slot.code ^= 1 << (source.byte() & 7),
            _ => slot.code = source.byte(),
        }
    }
}

fn fill(source: &mut Source<'_>) -> Fill {
    Fill {
        dst: source.byte(),
        src: source.byte(),
        off: (source.number() & 0x1f) as i16,
        imm: source.number() as i32,
        next_imm: source.number() as i32,
    }
}

/// Slots that mean nothing.
pub fn noise(source: &mut Source<'_>) -> Vec<Slot> {
    let mut slots = Vec::new();
    while !source.is_empty() && slots.len() < 256 {
        let mut raw = [0; 8];
        for (to, from) in raw.iter_mut().zip(source.take(8)) {
            *to = *from;
        }
        slots.push(Slot::from_bytes(raw));
    }
    slots
}
