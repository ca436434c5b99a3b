//! The abstract state of a path: frames with registers and stack, and what is held.
//!
//! Frames are shared copy-on-write: keeping a state, or branching, copies a few pointers; a frame is copied when it is first
//! written after that.

mod checkpoint;
mod held;
mod history;
mod marks;
pub(crate) mod meter;
mod packed;
mod reg;
mod stack;

use std::sync::{Arc, OnceLock};

use backstop_isa::Reg;

pub(crate) use checkpoint::Checkpoint;
pub(crate) use held::{Held, Ref, RefKind};
pub(crate) use history::{Access, Back, HistEntry, History, Linked, LinkedSet, PackedHistory};
pub(crate) use marks::Marks;
pub(crate) use meter::{Counted, Shared};
pub(crate) use packed::{PackedFrame, Packer};
pub(crate) use reg::{
    ADD_CONST, ADD_CONST32, ADD_CONST64, AT_PKT_END, BEYOND_PKT_END, BtfRef, Flags, Kind, MapId, RegState, type_name,
};
pub(crate) use stack::{Byte, DynptrKind, IterKind, IterState, MAX_STACK, Object, Slot, Stack, byte_in_slot, spi};

/// Deepest chain of calls.
pub(crate) const MAX_FRAMES: usize = 8;

/// Call site of a frame that nobody calls.
pub(crate) const NO_CALLSITE: u32 = u32::MAX;

/// Inclusive range that a callback may return.
pub(crate) type RetRange = (i32, i32);

/// What kind of function a frame runs.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub(crate) enum FrameRole {
    #[default]
    Plain,
    /// Called back before the helper returns.
    Callback,
    /// Called later, on its own.
    AsyncCallback,
    ExceptionCallback,
}

/// One frame.
#[derive(Clone, Debug)]
pub(crate) struct Frame {
    pub regs: [RegState; Reg::COUNT],
    pub stack: Stack,
    /// Subprogram that it runs.
    pub subprog: u32,
    /// Slot of the call.
    pub callsite: u32,
    pub role: FrameRole,
    /// What a callback may return.
    pub ret_range: RetRange,
    /// Rounds of the callback called from this frame on this path.
    pub callback_depth: u32,
    /// How deep asynchronous callbacks are entered from each other.
    pub async_entry: u32,
    /// The frame packed, as long as it is not written.
    pub packed: OnceLock<Shared<PackedFrame>>,
}

impl Frame {
    pub fn new(subprog: u32, callsite: u32, frame_no: u8) -> Frame {
        let mut regs = [RegState::NOT_INIT; Reg::COUNT];
        if let Some(fp) = regs.last_mut() {
            *fp = RegState::pointer(Kind::Stack(frame_no));
        }
        Frame {
            regs,
            stack: Stack::default(),
            subprog,
            callsite,
            role: FrameRole::Plain,
            ret_range: (0, 1),
            callback_depth: 0,
            async_entry: 0,
            packed: OnceLock::new(),
        }
    }

    pub fn reg(&self, r: Reg) -> &RegState {
        &self.regs[r.index()]
    }

    pub fn reg_mut(&mut self, r: Reg) -> &mut RegState {
        &mut self.regs[r.index()]
    }

    /// Slot at an index, if the frame has it.
    pub fn slot(&self, spi: usize) -> Option<&Slot> {
        self.stack.get(spi)
    }

    /// Slot at an index, made if missing. Indices come from offsets within the 512 bytes.
    pub fn slot_mut(&mut self, spi: usize) -> &mut Slot {
        let spi = spi.min(MAX_STACK as usize / 8 - 1);
        self.stack.slot_mut(spi)
    }

    /// Makes room for `bytes` of stack.
    pub fn grow(&mut self, bytes: i32) {
        self.stack.grow((bytes.clamp(0, MAX_STACK) as usize).div_ceil(8));
    }

    pub fn allocated(&self) -> i32 {
        self.stack.len() as i32 * 8
    }
}

/// A path's state before one instruction.
#[derive(Clone, Debug)]
pub(crate) struct State {
    pub frames: Vec<Shared<Frame>>,
    pub held: Arc<Held>,
    /// Instruction it stands before.
    pub insn: u32,
    /// Instruction it came from.
    pub last_insn: u32,
    /// Instruction at which it was last kept.
    pub first_insn: u32,
    /// The kept state it goes on from.
    pub parent: Option<u32>,
    /// Kept states above it.
    pub dfs_depth: u32,
    pub may_goto_depth: u32,
    pub callback_unroll_depth: u32,
    /// Jumps and stack accesses since the parent.
    pub history: History,
    /// Entries that the history had before states were kept aside.
    pub passed: u32,
    /// Runs in a context that may sleep.
    pub sleepable: bool,
    /// Precise scalars by frame, of a state that was kept. Empty if there are none.
    pub marks: Box<[Marks]>,
}

impl State {
    pub fn new(frame: Frame, sleepable: bool, insn: u32) -> State {
        State {
            frames: vec![Counted::shared(frame)],
            held: Arc::new(Held::default()),
            insn,
            last_insn: u32::MAX,
            first_insn: insn,
            parent: None,
            dfs_depth: 0,
            may_goto_depth: 0,
            callback_unroll_depth: 0,
            history: History::default(),
            passed: 0,
            sleepable,
            marks: Box::default(),
        }
    }

    /// Number of the running frame.
    pub fn top(&self) -> usize {
        self.frames.len().saturating_sub(1)
    }

    pub fn frame(&self) -> &Frame {
        &self.frames[self.frames.len() - 1]
    }

    pub fn frame_mut(&mut self) -> &mut Frame {
        let top = self.frames.len() - 1;
        written(&mut self.frames[top])
    }

    pub fn frame_at(&self, n: usize) -> &Frame {
        &self.frames[n.min(self.frames.len() - 1)]
    }

    pub fn frame_at_mut(&mut self, n: usize) -> &mut Frame {
        let n = n.min(self.frames.len() - 1);
        written(&mut self.frames[n])
    }

    pub fn reg(&self, r: Reg) -> &RegState {
        self.frame().reg(r)
    }

    pub fn reg_mut(&mut self, r: Reg) -> &mut RegState {
        self.frame_mut().reg_mut(r)
    }

    pub fn set(&mut self, r: Reg, to: RegState) {
        *self.frame_mut().reg_mut(r) = to;
    }

    pub fn held_mut(&mut self) -> &mut Held {
        Arc::make_mut(&mut self.held)
    }

    /// Instruction at which a frame stands: its call, or the state's own instruction.
    pub fn frame_insn(&self, frame: usize) -> u32 {
        match self.frames.get(frame + 1) {
            Some(inner) => inner.callsite,
            None => self.insn,
        }
    }

    /// An RCU section ends: iterators over what it kept can't be used any more.
    pub fn expire_iterators(&mut self) {
        let kept = |s: &Slot| matches!(s.object, Some(Object::Iter { .. })) && s.reg_flags().has(Flags::RCU);
        for frame in self.frames.iter_mut().filter(|f| f.stack.iter().any(kept)) {
            let frame = written(frame);
            for i in 0..frame.stack.len() {
                if frame.stack.get(i).is_some_and(kept)
                    && let Some(owner) = frame.slot_mut(i).spilled_mut()
                {
                    owner.flags = owner.flags.without(Flags::RCU).with(Flags::UNTRUSTED);
                }
            }
        }
    }

    /// Runs `change` over every register and spilled register of every frame, copying only frames for which `wanted` holds of
    /// some register.
    pub fn for_each_reg(&mut self, wanted: impl Fn(&RegState) -> bool, mut change: impl FnMut(&mut RegState)) {
        for frame in &mut self.frames {
            let in_regs = frame.regs.iter().any(&wanted);
            let in_stack = frame.stack.iter().any(|s| s.is_spill() && wanted(s.spilled()));
            if !in_regs && !in_stack {
                continue;
            }
            let frame = written(frame);
            if in_regs {
                for r in frame.regs.iter_mut().filter(|r| wanted(r)) {
                    change(r);
                }
            }
            if in_stack {
                for i in 0..frame.stack.len() {
                    if frame.stack.get(i).is_some_and(|s| s.is_spill() && wanted(s.spilled()))
                        && let Some(r) = frame.slot_mut(i).spilled_mut()
                    {
                        change(r);
                    }
                }
            }
        }
    }
}

/// A frame, to be written.
fn written(frame: &mut Shared<Frame>) -> &mut Frame {
    let frame = Arc::make_mut(frame);
    frame.packed.take();
    frame
}
