//! Runs that are not started as other engines' are: observed ones, and those of programs that nobody proved.

use std::sync::Arc;

use backstop_interp::Halt;

use crate::backend::Backend;
use crate::context::{Input, prepare};
use crate::cpu::CpuLease;
use crate::engine::Engine;
use crate::error::RunError;
use crate::exit::Exit;
use crate::program::ProgramCode;
use crate::record::RunRecord;
use crate::run::{Surroundings, finish, lease, narrow, new_record};
use crate::stack::remaining;
use crate::store::Scratch;

use super::moment::{Observe, Observed};
use super::{Given, interpret};

/// What a program needs of its surroundings.
#[derive(Clone, Copy)]
pub(crate) struct Needs<'a> {
    pub(crate) engine: &'a Engine,
    pub(crate) name: &'a str,
    /// Native stack, in bytes.
    pub(crate) stack: usize,
    /// A CPU slot.
    pub(crate) cpu: bool,
}

/// Runs what `run` runs, with all that a run needs.
///
/// # Errors
/// Any [`RunError`] but that of an input.
pub(crate) fn run_with(
    needs: Needs<'_>,
    engine: &Engine,
    host_data: *mut (),
    scratch: &mut Scratch,
    surroundings: Surroundings,
    run: impl FnOnce(&mut RunRecord<'_>, &mut Scratch) -> Result<u64, Halt>,
) -> Result<Exit, RunError> {
    let program = || needs.name.to_owned();
    if !needs.engine.same(engine) {
        return Err(RunError::OtherEngine { program: program() });
    }
    let available = remaining();
    if available < needs.stack {
        return Err(RunError::NativeStack { program: program(), needed: needs.stack, available });
    }
    let lease = lease(needs.cpu, needs.name, engine, scratch)?;
    let cpu = lease.as_ref().map_or(u32::MAX, CpuLease::index);
    let mut record = new_record(engine, host_data, cpu, surroundings);
    let value = run(&mut record, scratch);
    drop(lease);
    finish(needs.name, value, &mut record, &mut scratch.fault)
}

/// Runs a program on an input, with somebody who sees each instruction.
///
/// # Errors
/// [`RunError::Input`] on engines other than the checked interpreter, or any other [`RunError`].
pub(crate) fn run_observed(
    code: &Arc<ProgramCode>,
    engine: &Engine,
    host_data: *mut (),
    scratch: &mut Scratch,
    mut input: Input<'_>,
    observe: &mut dyn Observe,
) -> Result<Exit, RunError> {
    let unsuited = |reason| RunError::Input { program: code.name().to_owned(), kind: code.kind().ty.name(), reason };
    let Backend::Checked(checked) = &code.backend else {
        return Err(unsuited("only the checked interpreter can be observed: choose it by name".to_owned()));
    };
    let prepared = prepare(code.kind(), &mut input, code.context_need).map_err(unsuited)?;
    let (args, surroundings) = (prepared.args(), prepared.surroundings());
    let context_len = surroundings.context_len;
    let given = Given { kind: code.kind(), args, context_len, fuel: engine.config().fuel };
    let needs = Needs { engine: &code.engine, name: code.name(), stack: code.stack_need, cpu: code.needs_cpu };
    let exit = run_with(needs, engine, host_data, scratch, surroundings, |record, scratch| {
        interpret(checked, given, record, scratch, Some(&mut Observed { code, observe }))
    });
    prepared.finish();
    exit.map(|exit| narrow(code, exit))
}
