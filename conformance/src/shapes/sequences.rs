//! Sequences of chance: what engines fuse, fold and forward over more than one instruction.
//!
//! Instructions are drawn from the ISA table; each often goes on with the register that the last one wrote. One register points to the
//! window and is never written. Branches lead forward, within the sequence.

use backstop::isa::table::{Fill, Group, Op, Row, rows};
use backstop::isa::{AtomicOp, Size, Slot};

use super::{Job, Plan};
use crate::block::{Block, Pointer, WINDOW, Window};
use crate::code::FP;
use crate::trial::Trial;
use crate::values::{Inputs, Stream};

const JOBS: usize = 64;
const TRIALS: usize = 4;
const BLOCKS: usize = 40;
const LONGEST: usize = 14;
const STACK: i16 = -72;

/// The name of the group.
pub(crate) const GROUP: &str = "sequences";

pub(super) fn jobs() -> Vec<Job> {
    (0..JOBS).map(|job| Job::new(GROUP, move |plan| trials(job, plan))).collect()
}

fn trials(job: usize, plan: &Plan) -> Vec<Trial> {
    let drawn: Vec<&'static Row> = rows().filter(|row| usable(row)).collect();
    let trial = |n: usize| {
        let mut stream = Stream::part(plan.seed, &format!("sequence {job} {n}"));
        let mut blocks = plan.blocks();
        for _ in 0..BLOCKS {
            blocks.add_named("sequence", GROUP, &block(&drawn, &mut stream));
        }
        blocks.finish(Inputs::Random(37, stream.next()))
    };
    (0..TRIALS).map(trial).collect()
}

fn usable(row: &Row) -> bool {
    matches!(
        row.op,
        Op::Alu { .. }
            | Op::Neg { .. }
            | Op::Mov { .. }
            | Op::MovSx { .. }
            | Op::End { .. }
            | Op::LoadImm64
            | Op::Load { .. }
            | Op::Store { .. }
            | Op::Atomic { .. }
            | Op::LoadAcquire { .. }
            | Op::StoreRelease { .. }
            | Op::Branch { .. }
    )
}

struct Draw<'s> {
    stream: &'s mut Stream,
    base: u8,
    window: Window,
    /// Written last.
    last: u8,
}

impl Draw<'_> {
    /// A register that is not the base.
    fn register(&mut self) -> u8 {
        if self.stream.below(2) == 0 {
            return self.last;
        }
        let n = self.stream.below(9) as u8;
        if n >= self.base { n + 1 } else { n }
    }

    fn written(&mut self) -> u8 {
        self.last = self.register();
        self.last
    }

    fn place(&mut self, size: Size) -> (u8, i16) {
        let size = size.bytes() as usize;
        let within = (self.stream.below(24 / size) * size) as i16;
        match self.window {
            Window::Stack(at) if self.stream.below(2) == 0 => (FP, at + within),
            _ => (self.base, within),
        }
    }

    /// An instance of the row that keeps to the rules; none if it can't.
    fn instance(&mut self, row: &Row) -> Option<Vec<Slot>> {
        let imm = self.stream.immediate();
        let fill = match row.op {
            Op::Load { size, .. } | Op::LoadAcquire { size } => {
                let (src, off) = self.place(size);
                Fill { dst: self.written(), src, off, ..Fill::default() }
            }
            Op::Store { size, .. } | Op::StoreRelease { size } => {
                let (dst, off) = self.place(size);
                Fill { dst, src: self.register(), off, imm, ..Fill::default() }
            }
            // It compares with r0, which an address must not be.
            Op::Atomic { op: AtomicOp::Cmpxchg, .. } if self.base == 0 => return None,
            Op::Atomic { size, .. } => {
                let (dst, off) = self.place(size);
                Fill { dst, src: self.written(), off, ..Fill::default() }
            }
            Op::Branch { .. } => Fill { dst: self.register(), src: self.register(), imm, ..Fill::default() },
            _ => {
                let src = self.register();
                let next_imm = self.stream.immediate();
                Fill { dst: self.written(), src, imm, next_imm, ..Fill::default() }
            }
        };
        Some(row.legal_instance(fill).as_slice().to_vec())
    }
}

fn block(drawn: &[&'static Row], stream: &mut Stream) -> Block {
    let window = if stream.below(3) == 0 { Window::Stack(STACK) } else { Window::Memory };
    let base = stream.below(10) as u8;
    let length = 2 + stream.below(LONGEST - 1);
    let last = (base + 1) % 10;
    let mut draw = Draw { stream, base, window, last };
    let mut parts: Vec<(bool, Vec<Slot>)> = Vec::new();
    while parts.len() < length {
        let Some(row) = draw.stream.pick(drawn) else { break };
        // Branches are many rows: a third of them is enough.
        let branch = matches!(row.op, Op::Branch { .. });
        let standard = row.group != Group::AcquireRelease || draw.stream.below(3) == 0;
        if (branch && draw.stream.below(3) != 0) || !standard {
            continue;
        }
        parts.extend(draw.instance(row).map(|slots| (branch, slots)));
    }
    let pointer = match window {
        Window::Memory => Pointer::Memory(WINDOW),
        Window::Stack(at) => Pointer::Stack(i32::from(at)),
    };
    let test = joined(parts, draw.stream);
    Block { window: Some(window), pointers: vec![(base, pointer)], test, ..Block::default() }
}

/// The parts in a row, with each branch leading to the beginning of a later part or to the end.
fn joined(mut parts: Vec<(bool, Vec<Slot>)>, stream: &mut Stream) -> Vec<Slot> {
    let sizes: Vec<usize> = parts.iter().map(|(_, slots)| slots.len()).collect();
    for (n, (branch, slots)) in parts.iter_mut().enumerate() {
        if let (true, Some(slot)) = (*branch, slots.first_mut()) {
            let over = stream.below(sizes.len() - n);
            slot.off = sizes.iter().skip(n + 1).take(over).sum::<usize>() as i16;
        }
    }
    parts.into_iter().flat_map(|(_, slots)| slots).collect()
}
