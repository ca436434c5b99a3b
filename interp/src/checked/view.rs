//! What a run shows of itself before an instruction.

use std::cell::RefCell;

use backstop_isa::Reg;

use super::frames::Frames;
use super::regions::{Kind, Region, Regions};
use crate::access::Enter;
use crate::code::CHECKED_FUNCTIONS;
use crate::memory;
use crate::op::R;
use crate::run::{Regs, Root};

/// Sees each instruction of a checked run before it runs, once its registers were found to be written.
pub trait Watch {
    /// The run stands before an instruction.
    fn before(&mut self, view: &View<'_>);
}

/// A checked run before an instruction. Frames are those of the program that runs, its main function's (or exception callback's) is 0;
/// callbacks that helpers call are frames above the one that called the helper.
pub struct View<'a> {
    pub(super) frames: &'a RefCell<Frames>,
    pub(super) regions: &'a RefCell<Regions>,
    pub(super) regs: &'a Regs,
    pub(super) slot: u32,
    pub(super) code_id: u64,
}

/// A live frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FrameView {
    /// First slot of its function; `u32::MAX` for hidden code.
    pub function: u32,
    /// Its r10.
    pub top: u64,
    /// It was entered by native code.
    pub callback: bool,
    /// It took the place of a main function that something was thrown to.
    pub exception_callback: bool,
}

/// Where an address lies.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Found {
    /// In the stack of this frame of the program, or at its end.
    Stack {
        /// The frame.
        frame: usize,
        /// Bytes from r10, -512 to 0.
        offset: i64,
    },
    /// In another region, or at its end.
    Region(Region),
    /// It is a function of the program: index in its IR.
    Function(u32),
}

impl View<'_> {
    /// Slot of the instruction.
    pub fn slot(&self) -> u32 {
        self.slot
    }

    /// [`Bindings::code_id`](crate::Bindings::code_id) of the code that runs.
    pub fn code_id(&self) -> u64 {
        self.code_id
    }

    /// Live frames of the program.
    pub fn frames(&self) -> usize {
        self.frames.borrow().current().len()
    }

    /// A live frame.
    pub fn frame(&self, frame: usize) -> Option<FrameView> {
        let frames = self.frames.borrow();
        let frame = frames.current().get(frame)?;
        Some(FrameView {
            function: frame.function,
            top: frame.top(),
            callback: frame.how == Enter::Root(Root::Callback),
            exception_callback: frame.how == Enter::Root(Root::ExceptionCallback),
        })
    }

    /// Slot of the instruction (a call of a function, or of the helper that called back) that made a frame; `None` for frame 0.
    pub fn call_site(&self, frame: usize) -> Option<u32> {
        let frames = self.frames.borrow();
        frames.current().get(frame.checked_sub(1)?).map(|caller| caller.call)
    }

    /// A register's value; `None` if it was never written, or belongs to a caller and is one that calls do not keep.
    pub fn reg(&self, frame: usize, reg: Reg) -> Option<u64> {
        let frames = self.frames.borrow();
        let current = frames.current();
        let found = current.get(frame)?;
        if found.written & (1 << reg.index()) == 0 {
            return None;
        }
        if frame + 1 == current.len() {
            return Some(self.regs.get(R::from(reg)));
        }
        found.saved.get(reg.index().checked_sub(6)?).copied()
    }

    /// A byte of a frame's stack by its offset from r10, -512 to -1; `None` if it was never written.
    pub fn stack_byte(&self, frame: usize, offset: i32) -> Option<u8> {
        let frames = self.frames.borrow();
        let frame = frames.current().get(frame)?;
        let at = frame.top().checked_add_signed(i64::from(offset))?;
        if frame.holds(at) && frame.is_written(at) { memory::stack_byte(frame, at) } else { None }
    }

    /// Where an address lies; `None` for what is no address.
    pub fn find(&self, address: u64) -> Option<Found> {
        let frames = self.frames.borrow();
        let all = (0usize..).zip(frames.current());
        // A frame ends where its caller's may begin: the frame that holds the byte comes first.
        let stack = |holds: bool| {
            all.clone().find_map(|(frame, live)| {
                let offset = address.wrapping_sub(live.top()) as i64;
                let found = if holds { live.holds(address) } else { address == live.top() };
                found.then_some(Found::Stack { frame, offset })
            })
        };
        let function = || {
            let index = address.wrapping_sub(CHECKED_FUNCTIONS);
            u32::try_from(index).ok().map(Found::Function)
        };
        stack(true)
            .or_else(|| self.regions.borrow().holding(address).map(Found::Region))
            .or_else(|| stack(false))
            .or_else(function)
    }

    /// The run's own region of a kind, if there is exactly one such: its context or packet.
    pub fn region_of_kind(&self, kind: Kind) -> Option<Region> {
        self.regions.borrow().of_kind(kind)
    }
}
