//! Everything that one proof carries along.

use std::collections::HashSet;
use std::time::Instant;

use backstop_isa::{Instr, Reg};
use backstop_model::{ProgType, Program};

use crate::code::{Code, InsnAux, decode_program};
use crate::collect::Collected;
use crate::cost::Costs;
use crate::domain::Precision;
use crate::facts::Stats;
use crate::flow::Flow;
use crate::kept::Kept;
use crate::liveness::StackLiveness;
use crate::log::Log;
use crate::options::Options;
use crate::precision::WalkedBack;
use crate::prune::IdMap;
use crate::reason::{Check, Reason};
use crate::state::{Access, Frame, LinkedSet, RegState, State, meter};
use crate::subprogs::Sub;
use crate::world::World;

/// A branch that waits to be walked.
#[derive(Debug)]
pub(crate) struct Pending {
    pub state: State,
    pub insn: u32,
    pub prev: u32,
    /// Where the log stood when it was put aside.
    pub log_at: usize,
}

/// The proof at work.
pub(crate) struct Verifier<'p> {
    pub program: &'p Program,
    pub options: &'p Options,
    pub precision: Precision,
    pub code: Vec<Code>,
    pub aux: Vec<InsnAux>,
    /// For the passes before the walk.
    pub flow: Flow,
    pub subs: Vec<Sub>,
    /// Spills and fills around calls that keep registers.
    pub fastcall_parts: HashSet<u32>,
    /// The program's own exception callback.
    pub exception_callback: Option<usize>,
    pub world: World,
    pub cur: State,
    pub pending: Vec<Pending>,
    pub kept: Kept,
    pub liveness: StackLiveness,
    pub idmap: IdMap,
    /// Where walks back from the current path have been, and what they wanted there.
    pub walked_back: WalkedBack,
    /// Ids of the states under comparison.
    pub scratch: Vec<u32>,
    pub ids: u32,
    pub insn: u32,
    pub prev_insn: u32,
    /// The running instruction already has an entry in the history.
    pub hist_open: bool,
    pub jmps: u64,
    pub prev_jmps: u64,
    pub prev_processed: u64,
    pub max_states_per_insn: u64,
    pub collected: Collected,
    pub stats: Stats,
    pub costs: Costs,
    /// Complete states of the walks so far, if they are wanted.
    pub claimed: Vec<State>,
    pub log: Log,
    pub started: Instant,
    /// A path is being walked, so that a refusal has one.
    pub walking: bool,
    /// What the meter showed when the proof began.
    pub held_before: u64,
    /// Bytes of the tables by slot.
    pub table_bytes: u64,
    /// The program names an arena, so that addresses may be cast to it.
    pub has_arena: bool,
}

impl<'p> Verifier<'p> {
    pub fn new(program: &'p Program, options: &'p Options) -> Verifier<'p> {
        let held_before = meter::held();
        let code = decode_program(&program.slots);
        let n = code.len();
        Verifier {
            program,
            options,
            precision: if options.compat_linux { Precision::Linux } else { Precision::Sharper },
            aux: vec![InsnAux::default(); n],
            code,
            flow: Flow::default(),
            subs: Vec::new(),
            fastcall_parts: HashSet::new(),
            exception_callback: None,
            world: World::new(program, &options.kernel),
            cur: State::new(Frame::new(0, crate::state::NO_CALLSITE, 0), program.kind.sleepable, 0),
            pending: Vec::new(),
            kept: Kept::default(),
            liveness: StackLiveness::default(),
            idmap: IdMap::default(),
            walked_back: WalkedBack::default(),
            scratch: Vec::new(),
            ids: 0,
            insn: 0,
            prev_insn: u32::MAX,
            hist_open: false,
            jmps: 0,
            prev_jmps: 0,
            prev_processed: 0,
            max_states_per_insn: 0,
            collected: Collected::new(n),
            stats: Stats::default(),
            costs: Costs::new(),
            claimed: Vec::new(),
            log: Log::new(options),
            started: Instant::now(),
            walking: false,
            held_before,
            table_bytes: 0,
            has_arena: crate::resolve::names_arena(program),
        }
    }

    /// Pointers may be returned, stored and compared.
    pub fn leaks_allowed(&self) -> bool {
        !self.options.unprivileged && !self.options.no_leaks
    }

    /// May do what only privileged programs may (Linux: `bpf_capable`).
    pub fn capable(&self) -> bool {
        !self.options.unprivileged
    }

    /// Stack that was never written may be read.
    pub fn uninit_allowed(&self) -> bool {
        !self.options.unprivileged && !self.options.no_leaks
    }

    pub fn ty(&self) -> ProgType {
        self.program.kind.ty
    }

    pub fn instr(&self, at: u32) -> Option<&Instr> {
        match self.code.get(at as usize) {
            Some(Code::Insn(i)) => Some(i),
            _ => None,
        }
    }

    pub fn aux_at(&self, at: u32) -> InsnAux {
        self.aux.get(at as usize).copied().unwrap_or_default()
    }

    pub fn new_id(&mut self) -> u32 {
        self.ids = (self.ids + 1) & !crate::state::ADD_CONST;
        self.ids
    }

    pub fn reg(&self, r: Reg) -> &RegState {
        self.cur.reg(r)
    }

    /// Refuses a pointer where privileges are needed to treat it as a number.
    pub fn is_pointer_value(&self, r: Reg) -> bool {
        !self.leaks_allowed() && self.reg(r).is_pointer()
    }

    /// The register must be initialised.
    pub fn readable(&self, r: Reg) -> Check {
        if self.reg(r).is_init() { Ok(()) } else { Reason::NotReadable { reg: r.index() as u8 }.fail() }
    }

    /// The register may be written.
    pub fn writable(&self, r: Reg) -> Check {
        if r == Reg::R10 { Reason::FramePointer {}.fail() } else { Ok(()) }
    }

    /// r1 to r5 hold nothing after a call.
    pub fn clear_caller_saved(&mut self) {
        let frame = self.cur.frame_mut();
        for r in &mut frame.regs[0..=5] {
            *r = RegState::NOT_INIT;
        }
    }

    /// Notes that the path came here, and what the instruction did.
    pub fn push_history(&mut self, access: Access, linked: Option<LinkedSet>) {
        if self.hist_open && !self.cur.history.is_empty() {
            self.cur.history.add_access(access);
        } else {
            self.cur.history.push(self.insn, self.prev_insn, access);
            self.hist_open = true;
        }
        if let Some(linked) = linked {
            self.cur.history.link(linked);
        }
    }

    /// Notes how much the tables by slot take.
    pub fn weigh_tables(&mut self) {
        let slot = size_of::<Code>() + size_of::<InsnAux>() + size_of::<crate::collect::SlotNotes>();
        self.table_bytes = (self.code.len() * slot) as u64;
        self.weigh();
    }

    /// Notes how much the proof holds now.
    pub fn weigh(&mut self) {
        let states = meter::since(self.held_before);
        let waiting = self.pending.capacity() * size_of::<Pending>() + self.pending.len() * size_of::<State>() / 4;
        let now = states + waiting as u64 + self.kept.table_bytes() + self.liveness.bytes() + self.table_bytes;
        self.stats.peak_bytes = self.stats.peak_bytes.max(now);
    }

    /// Puts a copy of the current state aside, to be walked from `insn` later.
    pub fn push_branch(&mut self, insn: u32, prev: u32) -> Check<&mut State> {
        if self.pending.len() >= self.options.limits.jumps {
            return Reason::TooComplexJumps { count: self.pending.len() as u64 + 1 }.fail();
        }
        let state = self.cur.clone();
        if let Some(parent) = state.parent {
            self.kept.add_branch(parent);
        }
        self.pending.push(Pending { state, insn, prev, log_at: self.log.position() });
        self.stats.longest_branch = self.stats.longest_branch.max(self.pending.len() as u64);
        self.weigh();
        match self.pending.last_mut() {
            Some(p) => Ok(&mut p.state),
            None => Reason::TooComplexJumps { count: 0 }.fail(),
        }
    }

    /// Index of the subprogram that starts at a slot.
    pub fn sub_at(&self, start: u32) -> Option<usize> {
        self.subs.binary_search_by_key(&start, |s| s.start).ok()
    }

    /// Index of the subprogram that a slot lies in.
    pub fn sub_of(&self, slot: u32) -> usize {
        self.subs.partition_point(|s| s.start <= slot).saturating_sub(1)
    }
}
