//! Programs from bytes: mostly such as the verifier accepts, over everything that both engines run.
//!
//! The generator keeps a coarse image of registers and stack ([`state`]) and writes statements that suit it, each over rows of the
//! instruction table, the model's helper prototypes and map kinds, so that what is added there is generated without a change here.
//! Programs end by construction (loops and callbacks count to small constants) and compute nothing from addresses, clocks or chance:
//! two engines must agree on every bit.

mod body;
mod calls;
mod code;
mod helpers;
mod maps;
mod sections;
mod state;
mod types;

use backstop::isa::Slot;
use backstop::isa::table::{Fill, rows};
use backstop::model::{ProgKind, ProgType, Program, kfuncs};

use crate::source::{Source, Stream};
use body::Writer;

/// The types that programs are generated for.
const TYPES: [ProgType; 6] = [
    ProgType::RawMem,
    ProgType::Xdp,
    ProgType::SchedCls,
    ProgType::Syscall,
    ProgType::RawTracepoint,
    ProgType::SocketFilter,
];

/// Bytes of the memory or context that generated programs of types without a packet get.
pub(crate) const MEMORY_LEN: usize = 64;

/// What a generator may use.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Shape {
    /// Deepest chain of frames, main included.
    pub(crate) frames: usize,
    /// Statements of a function, about.
    pub(crate) statements: usize,
    /// Every path is more likely to call and to throw than to compute.
    pub(crate) throws: bool,
    /// Helpers whose results differ from run to run.
    pub(crate) unsteady: bool,
}

impl Shape {
    /// For comparing engines.
    pub(crate) const STEADY: Shape = Shape { frames: 4, statements: 24, throws: false, unsteady: false };
    /// For the verifier alone.
    pub(crate) const ANY: Shape = Shape { frames: 5, statements: 40, throws: false, unsteady: true };
    /// Deep calls and throws.
    pub(crate) const THROWS: Shape = Shape { frames: 8, statements: 4, throws: true, unsteady: false };
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
pub(crate) fn program(source: &mut Source<'_>, shape: Shape) -> Generated {
    let types = if shape.throws { &TYPES[..4] } else { &TYPES[..] };
    let mut kind = ProgKind::new(source.pick(types).unwrap_or(ProgType::RawMem));
    kind.memory_len = MEMORY_LEN as u32;
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

fn input(kind: &ProgKind, source: &mut Source<'_>) -> Vec<u8> {
    let mut stream = Stream::new(u64::from(source.half()));
    let len = match kind.ty {
        ProgType::RawMem | ProgType::Syscall => MEMORY_LEN,
        ProgType::RawTracepoint => 96,
        _ => 14 + stream.below(120),
    };
    stream.bytes(len)
}

/// Changes single instructions: the result need not be a program at all.
pub(crate) fn damage(slots: &mut Vec<Slot>, source: &mut Source<'_>, changes: usize) {
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
pub(crate) fn noise(source: &mut Source<'_>) -> Vec<Slot> {
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
