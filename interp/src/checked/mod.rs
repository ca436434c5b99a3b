//! Runs that prove each access when it is made.
//!
//! [`Checks`] is what one run knows of itself: the regions that it was handed, its live frames with a shadow that says which bytes and
//! registers were written, and how many instructions it may still run. The loop asks it before every instruction and every
//! access ([`crate::memory`] does the access). It takes proved and unproven code alike; what a broken rule means is up to the caller.
//!
//! Invariants:
//! - an access that [`Checks`] permits lies inside one live frame or one region, and regions are memory that whoever added them
//!   vouched for ([`Checks::add`]);
//! - regions never overlap, and none overlaps the interpreter's stack;
//! - the frames here are those of the loop: entered and left with them, dropped by throws and tail calls.
//!
//! Life cycle: one `Checks` a run; nested runs have their own.

mod fault;
mod frames;
mod marks;
mod regions;
mod view;

use std::cell::{Cell, RefCell};

use crate::Code;
use crate::access::{Entered, Observer};
use crate::run::Regs;
use crate::services::Halt;

pub use fault::{Fault, Nearest, Reason};
pub use regions::{Kind, Region, Rights};
pub use view::{Found, FrameView, View, Watch};

pub(crate) use marks::{Marks, mark};

pub(crate) use frames::Frame;

use frames::Frames;
use marks::HIDDEN;
use regions::Regions;

/// Of [`Code`]: may be run with checks only.
#[derive(Clone, Copy, Debug)]
pub enum Guarded {}

/// What a run must keep to besides its regions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// Reads of stack that was never written are faults. Off for programs that were proved under privileged rules: those may read any
    /// byte of a live frame.
    pub written_stack: bool,
    /// Argument registers that the main function is given, from r1 on.
    pub args: u8,
    /// Instructions that may run.
    pub fuel: u64,
}

/// What one run knows of itself.
pub struct Checks<'w> {
    rules: Rules,
    fuel: Cell<u64>,
    regions: RefCell<Regions>,
    frames: RefCell<Frames>,
    /// Code and slot of the current instruction.
    place: Cell<(u64, u32)>,
    fault: Cell<Option<Fault>>,
    watch: Option<RefCell<&'w mut dyn Watch>>,
}

/// An access's direction.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Direction {
    /// Bytes are read.
    Read,
    /// Bytes are written.
    Write,
}

/// The run met a fault: [`Checks::fault`] says which.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Faulted;

impl From<Faulted> for Halt {
    fn from(Faulted: Faulted) -> Halt {
        Halt::Fault
    }
}

impl<'w> Checks<'w> {
    /// The checks of a run that was handed nothing yet.
    pub fn new(rules: Rules) -> Checks<'w> {
        Checks {
            rules,
            fuel: Cell::new(rules.fuel),
            regions: RefCell::default(),
            frames: RefCell::default(),
            place: Cell::new((0, HIDDEN)),
            fault: Cell::new(None),
            watch: None,
        }
    }

    /// Lets somebody see each instruction of the program before it runs.
    pub fn watched(mut self, watch: &'w mut dyn Watch) -> Checks<'w> {
        self.watch = Some(RefCell::new(watch));
        self
    }

    pub(crate) fn put(&self, region: Region) {
        self.regions.borrow_mut().put(region);
    }

    /// Takes a region back: by its first byte.
    pub fn remove(&self, start: u64) {
        self.regions.borrow_mut().remove(start);
    }

    /// The region that begins at an address.
    pub fn region_at(&self, start: u64) -> Option<Region> {
        self.regions.borrow().starting(start)
    }

    /// The region that an address lies in, live frames left out.
    pub fn region_of(&self, address: u64) -> Option<Region> {
        self.regions.borrow().holding(address)
    }

    /// The one region of a kind of which a run has no more: its context or packet.
    pub fn region_of_kind(&self, kind: Kind) -> Option<Region> {
        self.regions.borrow().of_kind(kind)
    }

    /// Why the run faulted.
    pub fn fault(&self) -> Option<Fault> {
        self.fault.get()
    }

    /// Instructions that were run so far.
    pub fn spent(&self) -> u64 {
        self.rules.fuel - self.fuel.get()
    }

    /// Notes a fault of the current instruction that concerns no memory. The first one stays.
    pub fn refuse(&self, reason: Reason) -> Faulted {
        self.note(reason, None)
    }

    fn note(&self, reason: Reason, access: Option<(u64, u64, Direction)>) -> Faulted {
        if self.fault.get().is_none() {
            let (code_id, slot) = self.place.get();
            let slot = (slot != HIDDEN).then_some(slot);
            let nearest = access.and_then(|(at, size, _)| self.nearest(at, size));
            self.fault.set(Some(Fault { code_id, slot, access, nearest, reason }));
        }
        Faulted
    }

    fn nearest(&self, at: u64, size: u64) -> Option<Nearest> {
        let frames = self.frames.borrow().nearest(at, size);
        let regions = self.regions.borrow().nearest(at, size);
        frames.into_iter().chain(regions).min_by_key(|found| found.gap(at, size))
    }

    /// Whether all bytes of an access are the run's to read or write; stack that is written counts as initialised from then on.
    ///
    /// # Errors
    /// [`Faulted`], and the fault is noted.
    #[inline]
    pub fn permit(&self, at: u64, size: u64, direction: Direction) -> Result<(), Faulted> {
        self.admit(at, size, direction).map_err(|reason| self.note(reason, Some((at, size, direction))))
    }

    fn admit(&self, at: u64, size: u64, direction: Direction) -> Result<(), Reason> {
        let end = at.checked_add(size).ok_or(Reason::Outside)?;
        if let Some(frame) = self.frames.borrow_mut().holding(at) {
            if end > frame.top() {
                return Err(Reason::Outside);
            }
            return match direction {
                Direction::Write => {
                    frame.write(at, size);
                    Ok(())
                }
                Direction::Read if !self.rules.written_stack => Ok(()),
                Direction::Read => frame.unwritten(at, size).map_or(Ok(()), |byte| Err(Reason::UnwrittenStack(byte))),
            };
        }
        let regions = self.regions.borrow();
        let region = regions.at(at).filter(|region| end <= region.end()).ok_or(Reason::Outside)?;
        region.admits(at, size, direction)
    }

    /// What a run has at the current instruction, for [`Watch`].
    fn view<'a>(&'a self, regs: &'a Regs, slot: u32, code_id: u64) -> View<'a> {
        View { frames: &self.frames, regions: &self.regions, regs, slot, code_id }
    }
}

/// The observer of a checked run.
#[derive(Clone, Copy)]
pub(crate) struct Guard<'a, 'w>(pub(crate) &'a Checks<'w>);

impl Observer for Guard<'_, '_> {
    type Fault = Halt;

    #[inline]
    fn before<C, M>(&self, code: &Code<C, M>, op: usize, regs: &Regs) -> Result<(), Halt> {
        let checks = self.0;
        let marks = code.marks.get(op).copied().unwrap_or_default();
        if marks.slot != HIDDEN {
            checks.place.set((code.code_id, marks.slot));
            let left = checks.fuel.get().checked_sub(1).ok_or(Halt::Fuel)?;
            checks.fuel.set(left);
        }
        let missing = checks.frames.borrow().missing(&marks);
        if let Some(register) = missing {
            return Err(checks.refuse(Reason::UnwrittenRegister(register)).into());
        }
        if let (true, Some(watch)) = (marks.slot != HIDDEN, &checks.watch) {
            // A watcher that runs programs of its own from inside is not called for those.
            if let Ok(mut watch) = watch.try_borrow_mut() {
                watch.before(&checks.view(regs, marks.slot, code.code_id));
            }
        }
        checks.frames.borrow_mut().run(&marks, regs);
        Ok(())
    }

    fn frames(&self) -> usize {
        self.0.frames.borrow().len()
    }

    fn entered<C, M>(&self, code: &Code<C, M>, entered: Entered) {
        self.0.frames.borrow_mut().enter(code, entered, self.0.rules.args);
    }

    fn left(&self) {
        self.0.frames.borrow_mut().leave();
    }

    fn cut(&self, frames: usize) {
        self.0.frames.borrow_mut().cut(frames);
    }

    fn replaced(&self) {
        self.0.frames.borrow_mut().replaced();
    }
}
