//! State embedding over a whole run: each program that it goes through, by tail calls too, is followed by its own proof.
//!
//! A tail call begins another walk: the program entered is followed from its first instruction, with the frames that a run shows from there
//! on. What follows a return into frames that a tail call left below is not followed, since their walk was left in the middle.

use std::sync::Arc;

use backstop::isa::{Instr, decode};
use backstop::verifier::embed::{Claims, Concrete, Follower, Violation};
use backstop::{Moment, Observe, Program};

/// The helper that tail calls.
const TAIL_CALL: i32 = 12;
/// The kfunc that throws.
const THROW: &str = "bpf_throw";

/// A program with what its proof said.
#[derive(Debug)]
pub struct Claimed {
    /// The program, as loaded.
    pub program: Program<()>,
    /// Its claims.
    pub claims: Arc<Claims>,
}

/// One run, followed through its programs.
#[derive(Debug)]
pub struct Trail<'c> {
    programs: &'c [Claimed],
    most: u64,
    now: Option<Walk<'c>>,
    steps: u64,
    entered: u64,
    lost: bool,
    violation: Option<Box<Violation>>,
}

/// In one program, since it was entered.
#[derive(Debug)]
struct Walk<'c> {
    program: usize,
    /// The instruction that ran last tail calls.
    tail_calls: bool,
    /// It left the program.
    leaves: bool,
    /// It throws: an exception callback of the program's own may follow.
    throws: bool,
    follower: Follower<'c>,
}

impl<'c> Trail<'c> {
    /// Follows a run through these programs for so many instructions.
    pub fn new(programs: &'c [Claimed], most: u64) -> Trail<'c> {
        Trail { programs, most, now: None, steps: 0, entered: 0, lost: false, violation: None }
    }

    /// Instructions that were followed.
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// How often a tail call was followed into a program.
    pub fn entered(&self) -> u64 {
        self.entered
    }

    /// What the run did that its proofs do not say.
    pub fn violation(self) -> Option<Box<Violation>> {
        self.violation
    }

    fn follow(&mut self, moment: &Moment<'_>) -> Option<()> {
        let program = self.programs.iter().position(|claimed| moment.is_in(&claimed.program))?;
        let claimed = self.programs.get(program)?;
        let slot = moment.slot();
        let enters = self.now.as_ref().is_none_or(|walk| walk.tail_calls && slot == 0);
        if enters {
            self.entered += u64::from(self.now.is_some());
            let follower = Follower::new(&claimed.claims);
            self.now = Some(Walk { program, tail_calls: false, leaves: false, throws: false, follower });
        }
        let walk = self.now.as_mut().filter(|walk| walk.program == program && !walk.leaves)?;
        let caught_here = moment.frames() == 1 && slot == moment.function(0);
        if walk.throws && !caught_here {
            return None;
        }
        let linked = claimed.program.ir().program();
        let instr = decode(&linked.slots, slot as usize);
        walk.tail_calls = matches!(instr, Ok(Instr::CallHelper { id: TAIL_CALL }));
        walk.leaves = matches!(instr, Ok(Instr::Exit)) && moment.frames() == 1;
        walk.throws = match instr {
            Ok(Instr::CallKfunc { id, .. }) => {
                let kfunc = usize::try_from(id).ok().and_then(|id| linked.kfuncs.get(id));
                kfunc.is_some_and(|kfunc| kfunc.name == THROW)
            }
            _ => false,
        };
        self.steps += 1;
        self.violation = walk.follower.before(slot, moment).err();
        Some(())
    }
}

impl Observe for Trail<'_> {
    fn before(&mut self, moment: &Moment<'_>) {
        if !self.lost && self.violation.is_none() && self.steps < self.most {
            self.lost = self.follow(moment).is_none();
        }
    }
}
