//! Programs on the checked interpreter: what they are handed, and what they may pass to native functions.
//!
//! - this module: a program's checked form, and one run of it;
//! - [`regions`]: maps, contexts and packets as regions;
//! - [`args`]: arguments of helpers and kfuncs, checked against their prototypes before each call;
//! - [`moment`]: what a run shows of itself before each instruction;
//! - [`drive`]: runs that are not started as other engines' are: observed ones, and those of unproved programs;
//! - [`services`]: calls, callbacks and tail calls, and the regions that they hand out.
//!
//! Invariant (R11): a region that a run was handed stays valid memory until the run ends.

mod args;
mod drive;
mod moment;
mod regions;
mod services;

use std::cell::RefCell;

use backstop_interp::{Bindings, CheckedCode, Checks, Halt, Reason, Region, Rights, Rules, Stop, Watch};
use backstop_ir::{CalleeId, Ir, MapId};
use backstop_model::{ProgKind, ProgType};

use crate::backend::{BackendError, Native};
use crate::maps::MapRef;
use crate::record::RunRecord;
use crate::store::Scratch;

pub(crate) use drive::{Needs, run_observed, run_with};
pub use moment::{Moment, Observe};

use args::Callable;
use services::{CheckedServices, Surroundings};

/// Native stack that a checked run may take beyond what an interpreted one does, in bytes: calls are checked, and code that nobody
/// proved may nest callbacks as deep as levels go.
pub(crate) const CHECKED_STACK: usize = 256 * 1024;

/// A program in the form that the checked interpreter runs.
pub(crate) struct CheckedProgram {
    pub(crate) code: CheckedCode<Callable>,
    /// Its maps, and the values that it names without a lookup.
    regions: Vec<Region>,
    /// What it may do with its context.
    context: Rights,
    proved: bool,
    /// Stack that was never written may be read.
    unwritten: bool,
}

/// What is known of a program.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Proof {
    /// Nothing.
    None,
    /// It was proved, under rules that let it read stack that it never wrote, or not.
    Proved { unwritten: bool },
}

impl CheckedProgram {
    /// Compiles for the checked interpreter.
    ///
    /// # Errors
    /// What the interpreter can't compile, or what a call's arguments can't be checked for.
    pub(crate) fn new<S>(
        ir: &Ir<S>,
        natives: &[Native],
        maps: &[MapRef],
        code_id: u64,
        proof: Proof,
    ) -> Result<CheckedProgram, BackendError> {
        let callees = ir.callees().iter().zip(natives);
        let callables =
            callees.map(|(callee, native)| Callable::new(ir, callee, native)).collect::<Result<Vec<_>, _>>()?;
        let map_addr = |m: MapId| maps.get(m.0 as usize).map_or(0, |map| map.native_address());
        let map_value_addr =
            |m: MapId, off: u32| maps.get(m.0 as usize).and_then(|map| map.value_address(off)).unwrap_or(0);
        let callee = |c: CalleeId| callables.get(c.0 as usize).cloned().unwrap_or_else(Callable::absent);
        let bindings = Bindings { map_addr: &map_addr, map_value_addr: &map_value_addr, callee: &callee, code_id };
        let code = CheckedCode::checked(ir, &bindings).map_err(|e| BackendError::from(&e))?;
        let regions = regions::of_maps(ir, maps);
        let context = regions::context_rights(&ir.program().kind);
        let (proved, unwritten) = (proof != Proof::None, proof == Proof::Proved { unwritten: true });
        Ok(CheckedProgram { code, regions, context, proved, unwritten })
    }
}

/// What a run is given.
#[derive(Clone, Copy)]
pub(crate) struct Given<'a> {
    /// The program's kind.
    pub(crate) kind: &'a ProgKind,
    /// r1 and r2; r1 is the context.
    pub(crate) args: [u64; 2],
    /// Bytes of the context.
    pub(crate) context_len: u64,
    /// Instructions that may run.
    pub(crate) fuel: u64,
}

/// Runs a program on the checked interpreter; a fault is left in `scratch`.
///
/// # Errors
/// The interpreter's own reason to end it.
pub(crate) fn interpret(
    program: &CheckedProgram,
    given: Given<'_>,
    record: &mut RunRecord<'_>,
    scratch: &mut Scratch,
    watch: Option<&mut dyn Watch>,
) -> Result<u64, Halt> {
    let raw = given.kind.ty == ProgType::RawMem;
    let rules = Rules { written_stack: !program.unwritten, args: if raw { 2 } else { 1 }, fuel: given.fuel };
    let checks = match watch {
        Some(watch) => Checks::new(rules).watched(watch),
        None => Checks::new(rules),
    };
    let mut stack = scratch.stack.take().unwrap_or_default();
    let kept = RefCell::default();
    let surroundings = Surroundings::new(&checks, &kept, given, program);
    let mut services = CheckedServices::new(record, surroundings);
    let value = backstop_interp::run_checked(&program.code, given.args, &mut services, &mut stack, &checks);
    let halted = match services.halted() {
        // What breaks an unproved program's own rules is no defect.
        Some(Halt::Defect(what)) if !program.proved => {
            checks.refuse(Reason::Rule(what));
            Some(Halt::Fault)
        }
        halted => halted,
    };
    scratch.stack = Some(stack);
    scratch.fault = checks.fault().map(Box::new);
    match (value, halted) {
        (Ok(value), _) => Ok(value),
        (Err(Stop), Some(halt)) => Err(halt),
        // An end waits in the record; the value does not count.
        (Err(Stop), None) => Ok(0),
    }
}
