//! What the proof exports. Everything here holds on every path, pruned ones included.

use std::sync::Arc;

use backstop_model::{FieldKind, Program};

use crate::cost::SubprogramCost;
use crate::embed::Claims;

/// A program that was proved safe. Only [`crate::verify`] makes one.
#[derive(Clone, Debug)]
pub struct Verified {
    pub(crate) program: Arc<Program>,
    pub(crate) facts: Facts,
    pub(crate) stats: Stats,
    pub(crate) costs: Vec<SubprogramCost>,
    pub(crate) claims: Option<Arc<Claims>>,
    pub(crate) log: String,
    pub(crate) max_states_per_insn: u64,
}

impl Verified {
    /// The program that was proved.
    pub fn program(&self) -> &Arc<Program> {
        &self.program
    }

    /// What was proved of it.
    pub fn facts(&self) -> &Facts {
        &self.facts
    }

    /// What the proof cost.
    pub fn stats(&self) -> &Stats {
        &self.stats
    }

    /// What was said of each checkpoint, if [`crate::Options::keep_states`] was set.
    pub fn claims(&self) -> Option<&Arc<Claims>> {
        self.claims.as_ref()
    }

    /// What the proof of each function cost, in the order of their slots.
    pub fn costs(&self) -> &[SubprogramCost] {
        &self.costs
    }

    /// The log in the kernel's form: the walk, if a log was asked for, and the line of counts.
    pub fn kernel_format(&self) -> String {
        self.log.clone() + &counts_line(&self.stats, self.max_states_per_insn)
    }
}

/// Facts by slot and by subprogram.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// One a slot of the program.
    pub slots: Vec<SlotFact>,
    /// Functions by first slot, ascending; main is the first. Only those that the proof reached have `reached` set.
    pub subprograms: Vec<Subprogram>,
    /// A verified path reaches a throw: main is a boundary.
    pub throws: bool,
    /// The program's own exception callback, as an index into `subprograms`.
    pub exception_callback: Option<usize>,
    /// A tail call is reachable.
    pub tail_calls: bool,
    /// Bytes of the context that are passed on as plain memory: a run's context must have as many.
    pub context_bytes: u32,
    /// Bytes of BPF stack that the deepest call chain uses (frames rounded up to 16 as Linux does).
    pub stack_depth: u32,
}

/// What is known of one instruction, at its first slot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SlotFact {
    /// Some verified path executes it. Others are dead and may be removed.
    pub reached: bool,
    /// For memory accesses: what the base points to.
    pub region: Option<Region>,
    /// For calls: what is known of the arguments.
    pub call: CallFact,
}

/// What a base register points to, the same on every path that reaches the access (or `Mixed` if all are plain memory).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Region {
    /// Own or a caller's stack.
    Stack,
    /// The context, at this constant user offset; what the field gives. The IR turns it into the native access.
    Ctx {
        /// Byte offset as the program sees it.
        off: u32,
        /// What the field gives.
        kind: FieldKind,
    },
    /// Packet data or metadata.
    Packet,
    /// A map's value.
    MapValue,
    /// A map key, host memory, or another exact region.
    Memory,
    /// Several of the plain ones (stack, packet, map value, memory), by path.
    Mixed,
    /// An object that may be stale, kernel-typed or kept by RCU alone: a load that faults gives 0.
    Probe,
    /// The arena.
    Arena,
}

/// What is known of a call's arguments on every path.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CallFact {
    /// Index of the map argument, if always the same.
    pub map: Option<u32>,
    /// Tail call's index, if always the same constant.
    pub tail_index: Option<u32>,
    /// Callback, as an index into `subprograms`, if always the same.
    pub callback: Option<u32>,
    /// On some path the callee reads an object of the kernel's as memory: no engine has such objects.
    pub kernel_memory: bool,
    /// No verified path returns from this call: what follows is dead.
    pub never_returns: bool,
}

/// One function of the program.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Subprogram {
    /// First slot.
    pub start: u32,
    /// Slot after the last.
    pub end: u32,
    /// Name from BTF, or `main`/`subprog_N`.
    pub name: String,
    /// Has global linkage: proved once, by its types.
    pub global: bool,
    /// Some verified path enters it.
    pub reached: bool,
    /// Bytes of its own frame that it uses, not rounded.
    pub stack_depth: u32,
    /// A throw may leave it (its own or a callee's).
    pub may_throw: bool,
    /// Entered by native code (bpf_loop, for_each, timers).
    pub callback: bool,
    /// It is the exception callback or only called from there.
    pub in_exception_callback: bool,
}

/// What the proof cost: counts of work, never times but for `nanos`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Instructions processed over all paths.
    pub insns_processed: u64,
    /// States kept, in all.
    pub total_states: u64,
    /// States kept, most at one time.
    pub peak_states: u64,
    /// Bytes that the proof held, most at one time: states kept and waiting, what was noted of the stack, tables by slot. What
    /// states share counts once; what an allocator spends on top is not seen. The program itself does not count.
    pub peak_bytes: u64,
    /// State comparisons made.
    pub comparisons: u64,
    /// Instructions that walks back for precision looked at.
    pub precision_steps: u64,
    /// Longest chain of pending branches.
    pub longest_branch: u64,
    /// Wall time, nanoseconds.
    pub nanos: u64,
}

/// The last line of the kernel's log.
pub(crate) fn counts_line(stats: &Stats, max_states_per_insn: u64) -> String {
    format!(
        "processed {} insns (limit 1000000) max_states_per_insn {max_states_per_insn} total_states {} peak_states {} mark_read 0\n",
        stats.insns_processed, stats.total_states, stats.peak_states,
    )
}
