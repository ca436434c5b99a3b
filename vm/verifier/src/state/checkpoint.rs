//! A kept state: as much of a path's state as the paths that come after need.
//!
//! Compared, it needs its frames; walked back through, only what is a scalar in them. A state that is off its list is no longer
//! compared and gives its frames up; one that no open path leads through gives up its history.

use std::sync::Arc;

use super::history::PackedHistory;
use super::marks::AllMarks;
use super::meter::{Row, Shared};
use super::{Frame, Held, History, Marks, PackedFrame, Packer, Slot, State};

/// A frame of which only is known what is a scalar in it.
#[derive(Clone, Copy, Debug)]
struct Thin {
    callsite: u32,
    scalars: Marks,
}

#[derive(Debug)]
enum Frames {
    Whole(Row<Shared<PackedFrame>>),
    Thin(Row<Thin>),
}

/// A kept state.
#[derive(Debug)]
pub(crate) struct Checkpoint {
    frames: Frames,
    pub held: Arc<Held>,
    /// Instruction it stands before.
    pub insn: u32,
    /// Instruction it came from.
    pub last_insn: u32,
    /// Instruction at which the state before it was kept.
    pub first_insn: u32,
    /// The kept state it goes on from.
    pub parent: Option<u32>,
    /// Kept states above it.
    pub dfs_depth: u32,
    pub may_goto_depth: u32,
    pub callback_unroll_depth: u32,
    /// Jumps and stack accesses since the parent; none once no walk back can come here.
    history: Option<PackedHistory>,
    pub sleepable: bool,
    /// Precise scalars.
    marks: AllMarks,
}

impl Checkpoint {
    /// Keeps a state. `before`: the one it goes on from.
    pub fn new(state: &State, insn: u32, before: Option<&Checkpoint>, packer: &mut Packer) -> Checkpoint {
        let old = before.map_or(&[][..], Checkpoint::frames);
        let frames = state.frames.iter().enumerate().map(|(n, f)| packer.pack(f, old.get(n))).collect();
        Checkpoint {
            frames: Frames::Whole(frames),
            held: state.held.clone(),
            insn,
            last_insn: state.last_insn,
            first_insn: state.first_insn,
            parent: state.parent,
            dfs_depth: state.dfs_depth,
            may_goto_depth: state.may_goto_depth,
            callback_unroll_depth: state.callback_unroll_depth,
            history: Some(PackedHistory::of(&state.history)),
            sleepable: state.sleepable,
            marks: AllMarks::default(),
        }
    }

    /// The frames, none if they were given up.
    pub fn frames(&self) -> &[Shared<PackedFrame>] {
        match &self.frames {
            Frames::Whole(frames) => frames,
            Frames::Thin(_) => &[],
        }
    }

    pub fn frames_mut(&mut self) -> &mut [Shared<PackedFrame>] {
        match &mut self.frames {
            Frames::Whole(frames) => frames,
            Frames::Thin(_) => &mut [],
        }
    }

    /// The running frame, if the frames are there.
    pub fn frame(&self) -> Option<&PackedFrame> {
        self.frames().last().map(|f| &***f)
    }

    /// How many frames it has.
    pub fn depth(&self) -> usize {
        match &self.frames {
            Frames::Whole(frames) => frames.len(),
            Frames::Thin(frames) => frames.len(),
        }
    }

    /// Number of the running frame.
    pub fn top(&self) -> usize {
        self.depth().saturating_sub(1)
    }

    pub fn callsite(&self, frame: usize) -> Option<u32> {
        match &self.frames {
            Frames::Whole(frames) => frames.get(frame).map(|f| f.callsite),
            Frames::Thin(frames) => frames.get(frame).map(|f| f.callsite),
        }
    }

    /// Instruction at which a frame stands: its call, or the state's own instruction.
    pub fn frame_insn(&self, frame: usize) -> u32 {
        self.callsite(frame + 1).unwrap_or(self.insn)
    }

    pub fn same_callsites(&self, state: &State) -> bool {
        self.depth() == state.frames.len()
            && state.frames.iter().enumerate().all(|(n, f)| self.callsite(n) == Some(f.callsite))
    }

    /// Nothing is compared with it from now on.
    pub fn give_up_frames(&mut self) {
        if let Frames::Whole(frames) = &self.frames {
            let thin = frames.iter().map(|f| Thin { callsite: f.callsite, scalars: scalars(f, Marks::ALL) }).collect();
            self.frames = Frames::Thin(thin);
            self.held = Arc::default();
        }
    }

    /// No walk back comes here from now on.
    pub fn give_up_history(&mut self) {
        self.history = None;
    }

    pub fn history(&self) -> Option<&PackedHistory> {
        self.history.as_ref()
    }

    /// The history, to be put back.
    pub fn take_history(&mut self) -> Option<PackedHistory> {
        self.history.take()
    }

    pub fn put_history(&mut self, history: PackedHistory) {
        self.history = Some(history);
    }

    pub fn marks_of(&self, frame: usize) -> Marks {
        self.marks.of(frame)
    }

    pub fn has_marks(&self) -> bool {
        !self.marks.is_empty()
    }

    /// Adds marks; true if any is new.
    pub fn mark(&mut self, frame: usize, add: Marks) -> bool {
        self.marks.add(frame, add)
    }

    /// Which of these are scalars in a frame.
    pub fn scalars(&self, frame: usize, among: Marks) -> Marks {
        match &self.frames {
            Frames::Whole(frames) => frames.get(frame).map_or(Marks::default(), |f| scalars(f, among)),
            Frames::Thin(frames) => frames.get(frame).map_or(Marks::default(), |f| f.scalars.both(among)),
        }
    }

    /// Marks every scalar; true if any was not.
    pub fn mark_all(&mut self) -> bool {
        (0..self.depth()).fold(false, |changed, n| self.mark(n, self.scalars(n, Marks::ALL)) | changed)
    }

    /// The state as it was, without its history. `unpacked` gives the frames.
    pub fn state(&self, mut unpacked: impl FnMut(&Shared<PackedFrame>) -> Shared<Frame>) -> State {
        State {
            frames: self.frames().iter().map(&mut unpacked).collect(),
            held: self.held.clone(),
            insn: self.insn,
            last_insn: self.last_insn,
            first_insn: self.first_insn,
            parent: self.parent,
            dfs_depth: self.dfs_depth,
            may_goto_depth: self.may_goto_depth,
            callback_unroll_depth: self.callback_unroll_depth,
            history: History::default(),
            passed: 0,
            sleepable: self.sleepable,
            marks: (0..self.depth()).map(|n| self.marks.of(n)).collect(),
        }
    }
}

fn scalars(frame: &PackedFrame, among: Marks) -> Marks {
    let regs = ones(u64::from(among.regs)).filter(|i| frame.reg(*i).is_scalar());
    let slots = ones(among.slots).take_while(|i| *i < frame.stack.len());
    let slots = slots.filter(|i| frame.stack.get(*i).is_some_and(Slot::is_spilled_scalar));
    Marks { regs: regs.fold(0, |m, i| m | 1 << i), slots: slots.fold(0, |m, i| m | 1 << i) }
}

/// The numbers of the bits that are set, ascending.
fn ones(mut bits: u64) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        let i = bits.trailing_zeros();
        bits &= bits.wrapping_sub(1);
        (i < u64::BITS).then_some(i as usize)
    })
}
