//! What is tried of each row of the ISA table: the one place where an operation meets the shapes of its operands.
//!
//! The match over [`Op`] is exhaustive: a new operation does not compile until somebody says here how it is exercised, or why not.

mod alu;
mod branch;
mod calls;
mod far;
mod maps;
mod memory;
mod packet;
mod sequences;

use backstop::isa::table::{Fill, Op, Row, SrcKind, rows};
use backstop::isa::{Pseudo, Slot};

use crate::block::Blocks;
use crate::trial::Trial;

/// How much is tried.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    pub(crate) seed: u64,
    /// Every n-th case and run only; 1 for all.
    pub(crate) every: usize,
}

impl Plan {
    pub(crate) fn blocks(&self) -> Blocks {
        Blocks::new(self.every)
    }
}

type Make = Box<dyn Fn(&Plan) -> Vec<Trial> + Send + Sync>;

/// A part of the work: trials that are made, run and forgotten together.
pub(crate) struct Job {
    /// The row that it is about, or what else.
    pub(crate) name: &'static str,
    pub(crate) make: Make,
}

impl Job {
    fn new(name: &'static str, make: impl Fn(&Plan) -> Vec<Trial> + Send + Sync + 'static) -> Job {
        Job { name, make: Box::new(make) }
    }
}

/// Rows that no case reaches, and why.
pub const NOT_EXERCISED: [(&str, &str); 4] = [
    ("load_map_fd", "file descriptors are resolved before a program gets here; by index it is exercised"),
    ("load_map_value_fd", "file descriptors are resolved before a program gets here; by index it is exercised"),
    ("load_btf_id", "it names a variable of the kernel's"),
    ("addr_space_cast", "it needs an arena, and what it does is up to the arena's place"),
];

/// All work, the longest parts first.
pub(crate) fn jobs() -> Vec<Job> {
    let mut jobs = vec![Job::new(far::MILLION, far::million)];
    jobs.extend(sequences::jobs());
    for row in rows() {
        jobs.extend(of_row(row));
    }
    jobs
}

fn of_row(row: &'static Row) -> Vec<Job> {
    let job = |make: fn(&'static Row, &Plan) -> Vec<Trial>| Job::new(row.name, move |plan| make(row, plan));
    match row.op {
        Op::Alu { src: SrcKind::Reg, .. } | Op::Mov { src: SrcKind::Reg, .. } | Op::MovSx { .. } => {
            vec![job(alu::registers)]
        }
        Op::Alu { src: SrcKind::Imm, .. } | Op::Mov { src: SrcKind::Imm, .. } => vec![job(alu::immediates)],
        Op::Neg { .. } | Op::End { .. } => vec![job(alu::single)],
        Op::LoadImm64 => vec![job(alu::constants)],
        Op::Load { .. } | Op::LoadAcquire { .. } => vec![job(memory::loads)],
        Op::Store { src: SrcKind::Reg, .. } | Op::StoreRelease { .. } => vec![job(memory::stores)],
        Op::Store { src: SrcKind::Imm, .. } => vec![job(memory::store_immediates)],
        Op::Atomic { .. } => vec![job(memory::atomics)],
        Op::LegacyLoad { .. } => vec![job(packet::loads)],
        Op::Branch { src, .. } => {
            let near = if src == SrcKind::Reg { branch::registers } else { branch::immediates };
            vec![job(near), job(far::forward), job(far::backward)]
        }
        Op::Jump { .. } => vec![job(branch::always), job(far::forward), job(far::backward)],
        Op::MayGoto => vec![job(branch::may_goto), job(far::forward), job(far::backward)],
        Op::CallHelper => vec![job(maps::lookups)],
        Op::CallLocal => vec![job(calls::saved), job(calls::frames), job(calls::far)],
        Op::CallKfunc => vec![job(calls::throws)],
        Op::Exit => vec![job(calls::exits)],
        Op::LoadPseudo { kind: Pseudo::MapIdx } => vec![job(maps::lookups)],
        Op::LoadPseudo { kind: Pseudo::MapValueIdx } => vec![job(maps::values)],
        Op::LoadPseudo { kind: Pseudo::Func } => vec![job(maps::callbacks)],
        Op::LoadPseudo { kind: Pseudo::MapFd | Pseudo::MapValueFd | Pseudo::BtfId } | Op::AddrSpaceCast => Vec::new(),
    }
}

/// One instance of a row.
fn instance(row: &Row, fill: Fill) -> Vec<Slot> {
    row.legal_instance(fill).as_slice().to_vec()
}

/// All ordered pairs of r0 to r9.
fn pairs() -> impl Iterator<Item = (u8, u8)> {
    (0..10).flat_map(|a| (0..10).map(move |b| (a, b)))
}
