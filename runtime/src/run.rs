//! One run, from the host's call to its result.

#![allow(unsafe_code)]

use std::sync::Arc;

use backstop_abi::RunCtx;
use backstop_interp::{Fault, Halt};

use crate::backend::Backend;
use crate::checked::Given;
use crate::context::{Input, prepare};
use crate::cpu::CpuLease;
use crate::engine::Engine;
use crate::error::RunError;
use crate::exit::{Backtrace, Exit};
use crate::maps::hazard::Holder;
use crate::program::ProgramCode;
use crate::record::{End, RunRecord, Walk};
use crate::stack::remaining;
use crate::stats::Counters;
use crate::store::Scratch;

/// What a run reaches besides its arguments.
#[derive(Clone, Copy, Default)]
pub(crate) struct Surroundings {
    /// Address of the context.
    pub(crate) context: u64,
    /// Bytes of the context.
    pub(crate) context_len: u64,
    /// Packet: address and length.
    pub(crate) packet: (u64, u64),
}

/// Runs a program on an input.
pub(crate) fn run_code(
    code: &Arc<ProgramCode>,
    engine: &Engine,
    host_data: *mut (),
    scratch: &mut Scratch,
    mut input: Input<'_>,
) -> Result<Exit, RunError> {
    let prepared = prepare(code.kind(), &mut input, code.context_need).map_err(|reason| RunError::Input {
        program: code.name().to_owned(),
        kind: code.kind().ty.name(),
        reason,
    })?;
    let (args, surroundings) = (prepared.args(), prepared.surroundings());
    let exit = run_with(code, engine, host_data, scratch, args, surroundings);
    prepared.finish();
    exit.map(|exit| narrow(code, exit))
}

/// Linux's program types have a 32-bit result.
pub(crate) fn narrow(code: &ProgramCode, exit: Exit) -> Exit {
    if matches!(code.kind().ty, backstop_model::ProgType::RawMem | backstop_model::ProgType::Host) {
        return exit;
    }
    match exit {
        Exit::Returned(value) => Exit::Returned(u64::from(value as u32)),
        Exit::Thrown { cookie, value, backtrace } => Exit::Thrown { cookie, value: u64::from(value as u32), backtrace },
    }
}

/// Runs a program whose context is the host struct at `args[0]`.
#[inline]
pub(crate) fn run_at(
    code: &Arc<ProgramCode>,
    engine: &Engine,
    host_data: *mut (),
    scratch: &mut Scratch,
    args: [u64; 2],
) -> Result<Exit, RunError> {
    let context_len = u64::from(code.kind().host.as_ref().map_or(0, |host| host.size));
    let surroundings = Surroundings { context: args[0], context_len, packet: (0, 0) };
    run_with(code, engine, host_data, scratch, args, surroundings)
}

#[inline]
fn run_with(
    code: &Arc<ProgramCode>,
    engine: &Engine,
    host_data: *mut (),
    scratch: &mut Scratch,
    args: [u64; 2],
    surroundings: Surroundings,
) -> Result<Exit, RunError> {
    let available = remaining();
    if !code.engine.same(engine) || available < code.stack_need {
        return Err(refused(code, engine, available));
    }
    #[cfg(all(feature = "jit", target_arch = "x86_64", target_os = "linux"))]
    if code.direct {
        return run_direct(code, engine, host_data, &mut scratch.room, args, surroundings);
    }
    run_whole(code, engine, host_data, scratch, args, surroundings)
}

/// Why a run can't begin.
#[cold]
#[inline(never)]
fn refused(code: &ProgramCode, engine: &Engine, available: usize) -> RunError {
    let program = code.name().to_owned();
    if code.engine.same(engine) {
        RunError::NativeStack { program, needed: code.stack_need, available }
    } else {
        RunError::OtherEngine { program }
    }
}

/// Runs compiled code that needs nothing but its record: see [`ProgramCode::direct`].
#[cfg(all(feature = "jit", target_arch = "x86_64", target_os = "linux"))]
#[inline]
fn run_direct(
    code: &Arc<ProgramCode>,
    engine: &Engine,
    host_data: *mut (),
    room: &mut crate::native::room::RecordRoom,
    args: [u64; 2],
    surroundings: Surroundings,
) -> Result<Exit, RunError> {
    let record = room.hold(new_record(engine, host_data, u32::MAX, surroundings));
    let ctx: *mut RunCtx = std::ptr::from_mut(record).cast();
    // SAFETY: R4, R10: the image is live (the caller borrows its program) and never raises, its program was proved for arguments of this
    // kind, and the record is this run's alone.
    let value = unsafe { crate::native::trampoline::call(args[0], args[1], code.tail.entry, ctx) };
    if record.returned() { Ok(Exit::Returned(value)) } else { finish_otherwise(value, record) }
}

/// Runs a program on any engine.
#[inline(never)]
fn run_whole(
    code: &Arc<ProgramCode>,
    engine: &Engine,
    host_data: *mut (),
    scratch: &mut Scratch,
    args: [u64; 2],
    surroundings: Surroundings,
) -> Result<Exit, RunError> {
    let lease = lease(code.needs_cpu, code.name(), engine, scratch)?;
    let mut holder = code.holds.then(Holder::new);
    let cpu = lease.as_ref().map_or(u32::MAX, CpuLease::index);
    let mut record = new_record(engine, host_data, cpu, surroundings);
    record.ctx.held = holder.as_ref().map_or(0, Holder::address);
    let started = Counters::start(engine.config().statistics_on());
    let value = dispatch(code, args, surroundings.context_len, &mut record, scratch);
    code.counters.finish(started, record.walk.depth != 0);
    if let Some(holder) = &mut holder {
        holder.made(record.ctx.tail_calls);
    }
    drop(lease);
    finish(code.name(), value, &mut record, &mut scratch.fault)
}

#[inline]
pub(crate) fn new_record(engine: &Engine, host_data: *mut (), cpu: u32, surroundings: Surroundings) -> RunRecord<'_> {
    RunRecord {
        ctx: context_of_run(),
        engine,
        host_data,
        cpu,
        context: surroundings.context,
        packet: surroundings.packet,
        array_keys: Default::default(),
        array_walks: 0,
        cookie: 0,
        walk: Walk::default(),
        end: None,
    }
}

#[inline]
pub(crate) fn lease<'e>(
    needed: bool,
    program: &str,
    engine: &'e Engine,
    scratch: &mut Scratch,
) -> Result<Option<CpuLease<'e>>, RunError> {
    if !needed {
        return Ok(None);
    }
    let lease = engine.cpus().lease(scratch.cpu_hint);
    match lease {
        Some(lease) => {
            scratch.cpu_hint = lease.index();
            Ok(Some(lease))
        }
        None => Err(RunError::NoCpu { program: program.to_owned(), slots: engine.cpus().count() }),
    }
}

#[inline]
fn dispatch(
    code: &Arc<ProgramCode>,
    args: [u64; 2],
    context_len: u64,
    record: &mut RunRecord<'_>,
    scratch: &mut Scratch,
) -> Result<u64, Halt> {
    match &code.backend {
        Backend::Interpreter(interpreted) => crate::services::interpret(interpreted, args, record, scratch),
        Backend::Checked(checked) => {
            let given = Given { kind: code.kind(), args, context_len, fuel: record.engine.config().fuel };
            crate::checked::interpret(checked, given, record, scratch, None)
        }
        #[cfg(all(feature = "jit", target_arch = "x86_64", target_os = "linux"))]
        Backend::Jit(_) => {
            let ctx: *mut RunCtx = std::ptr::from_mut(record).cast();
            // SAFETY: the image is live (the caller borrows its program), its program was proved for arguments of this kind, and
            // the record is this run's alone.
            Ok(unsafe { crate::native::trampoline::enter(args[0], args[1], code.tail.entry, ctx) })
        }
    }
}

pub(crate) fn finish(
    program: &str,
    value: Result<u64, Halt>,
    record: &mut RunRecord<'_>,
    fault: &mut Option<Box<Fault>>,
) -> Result<Exit, RunError> {
    let program = || program.to_owned();
    match value {
        Ok(value) if record.returned() => Ok(Exit::Returned(value)),
        Ok(value) => finish_otherwise(value, record),
        Err(_) if record.end.is_some() => finish_otherwise(0, record),
        Err(Halt::Stack) => Err(RunError::StackExhausted { program: program() }),
        Err(Halt::Defect(what)) => Err(RunError::Defect { program: program(), what }),
        Err(Halt::Fuel) => Err(RunError::OutOfFuel { program: program(), fuel: record.engine.config().fuel }),
        Err(Halt::Fault) => Err(match fault.take() {
            Some(fault) => RunError::ProofViolated { program: program(), fault },
            None => RunError::Defect { program: program(), what: "a fault without a reason" },
        }),
    }
}

/// Ends a run that did not return. Apart, and with few arguments, so that a run that returns neither copies an exit's whole payload nor
/// leaves words on the stack that a copy of its result would have to wait for.
#[inline(never)]
fn finish_otherwise(value: u64, record: &mut RunRecord<'_>) -> Result<Exit, RunError> {
    match record.end.take() {
        Some(End::Host(error)) => Err(RunError::Host(error)),
        Some(End::Panic(panic)) => std::panic::resume_unwind(panic),
        None => Ok(Exit::Thrown { cookie: record.cookie, value, backtrace: Backtrace { walk: record.walk } }),
    }
}

#[cfg(all(feature = "jit", target_arch = "x86_64", target_os = "linux"))]
#[inline]
fn context_of_run() -> RunCtx {
    RunCtx {
        pending: 0,
        tail_calls: 0,
        catch_sp: 0,
        throw: crate::native::trampoline::throw as *const () as u64,
        raise: crate::native::trampoline::raise as *const () as u64,
        held: 0,
        legacy_load: crate::helpers::legacy_load_native as *const () as u64,
    }
}

#[cfg(not(all(feature = "jit", target_arch = "x86_64", target_os = "linux")))]
fn context_of_run() -> RunCtx {
    RunCtx { pending: 0, tail_calls: 0, catch_sp: 0, throw: 0, raise: 0, held: 0, legacy_load: 0 }
}
