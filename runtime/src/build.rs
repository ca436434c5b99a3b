//! One program, from its linked form to code that runs.

use std::any::TypeId;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use backstop_abi::TailTarget;
use backstop_ir::{Callee, Ir, LowerError, Proven};
use backstop_isa::{Instr, decode};
use backstop_model::{MapKind, Program as Linked};
use backstop_verifier::{Limits, Options, Region, Verified, verify};

use crate::backend::{Backend, BackendError, Native, compile, interpret, natives};
use crate::checked::{CHECKED_STACK, CheckedProgram, Proof};
use crate::context::ContextNeed;
use crate::engine::{Engine, EngineKind};
use crate::error::LoadError;
use crate::linker::Linker;
use crate::maps::MapRef;
use crate::program::ProgramCode;
use crate::record::CodeId;
use crate::stack::NATIVE_RESERVE;
use crate::stats::Counters;

/// Native stack that programs reached by tail calls out of subprograms may add, in bytes: each of the 33 keeps its caller's frames.
const TAIL_CALL_STACK: usize = backstop_abi::MAX_TAIL_CALLS as usize * 6 * 1024;

/// Puts a linked program before the verifier, as the engine's configuration wants it judged.
pub(crate) fn prove(engine: &Engine, name: &str, program: Linked) -> Result<Verified, LoadError> {
    prove_within(engine, name, program, Limits::default().insns)
}

/// As [`prove`], within so many instructions over all paths.
pub(crate) fn prove_within(engine: &Engine, name: &str, program: Linked, insns: u64) -> Result<Verified, LoadError> {
    let config = engine.config();
    let options = Options {
        compat_linux: config.compat_linux,
        unprivileged: config.unprivileged,
        no_leaks: false,
        keep_states: false,
        log_level: config.log_level,
        limits: Limits { insns, cpus: config.cpus, ..Limits::default() },
        kernel: config.kernel.clone(),
    };
    let refused = |refusal| LoadError::Refused { program: name.to_owned(), refusal };
    verify(Arc::new(program), &options).map_err(refused)
}

/// Lowers and compiles a proved program. `map` makes or finds the program's n-th map.
pub(crate) fn build<H: 'static>(
    linker: &Linker<H>,
    verified: &Verified,
    ir: &dyn Fn() -> Result<Arc<Ir<Proven>>, LowerError>,
    map: &mut dyn FnMut(usize) -> Result<MapRef, LoadError>,
) -> Result<Arc<ProgramCode>, LoadError> {
    linker.own_kfuncs(verified.program())?;
    let name = verified.program().name.as_str();
    let ir = ir().map_err(|source| LoadError::Lower { program: name.to_owned(), source })?;
    let host = |index: u32| linker.host_kfunc(index).map(|k| Arc::clone(&k.body));
    let natives = natives(&ir, &host).map_err(|e| failed(name, e))?;
    let maps = (0..verified.program().maps.len()).map(map).collect::<Result<Vec<_>, _>>()?;
    for array in maps.iter().filter(|m| m.spec().kind == MapKind::ProgArray) {
        let map = || array.spec().name.clone();
        array.claim_as(verified.program(), Some(TypeId::of::<H>())).map_err(|reason| LoadError::MapValues {
            map: map(),
            index: 0,
            reason,
        })?;
    }
    assemble(linker.engine(), TypeId::of::<H>(), verified, ir, &natives, maps).map_err(|e| failed(name, e))
}

fn assemble(
    engine: &Engine,
    host: TypeId,
    verified: &Verified,
    ir: Arc<Ir<Proven>>,
    natives: &[Native],
    maps: Vec<MapRef>,
) -> Result<Arc<ProgramCode>, BackendError> {
    let interpreted = next_interpreted_id();
    let backend = match engine.kind() {
        EngineKind::Interpreter => interpret(&ir, natives, &maps, interpreted.to_word())?,
        EngineKind::Jit => compile(engine, &ir, natives, &maps)?,
        EngineKind::Checked => {
            let proof = Proof::Proved { unwritten: !engine.config().unprivileged };
            let checked = CheckedProgram::new(&ir, natives, &maps, interpreted.to_word(), proof)?;
            Backend::Checked(Box::new(checked))
        }
    };
    let tail_calls = ir.funcs().iter().any(|f| f.tail_calls);
    let (entry, id, stack) = match &backend {
        Backend::Interpreter(_) => (0, interpreted, 0),
        Backend::Checked(_) => (0, interpreted, CHECKED_STACK),
        #[cfg(all(feature = "jit", target_arch = "x86_64", target_os = "linux"))]
        Backend::Jit(image) => (image.entry(), image.id(), image.tables().native_stack as usize),
    };
    let raises = match &backend {
        Backend::Interpreter(_) | Backend::Checked(_) => true,
        #[cfg(all(feature = "jit", target_arch = "x86_64", target_os = "linux"))]
        Backend::Jit(image) => image.tables().leaves_through,
    };
    let per_cpu = |m: &MapRef| m.spec().kind.info().per_cpu;
    // A tail call may reach a program that needs a slot.
    let needs_cpu = tail_calls || maps.iter().any(per_cpu) || ir.callees().iter().any(reads_cpu);
    let code = Arc::new(ProgramCode {
        tail: TailTarget { entry },
        engine: engine.clone(),
        host,
        needs_cpu,
        direct: !raises && !needs_cpu && !tail_calls && !engine.config().statistics_on(),
        stack_need: NATIVE_RESERVE + stack + if tail_calls { TAIL_CALL_STACK } else { 0 },
        context_need: ContextNeed { own: context_len(verified), tail_calls },
        proof: *verified.stats(),
        counters: Counters::default(),
        ir,
        backend,
        maps,
        id,
        holds: tail_calls && engine.kind() == EngineKind::Jit,
    });
    code.enlist();
    Ok(code)
}

pub(crate) fn reads_cpu(callee: &Callee) -> bool {
    matches!(callee, Callee::Helper(id) if crate::helpers::needs_cpu(*id))
}

fn failed(program: &str, error: BackendError) -> LoadError {
    let program = program.to_owned();
    match error {
        BackendError::NotImplemented(what) => LoadError::NotImplemented { program, what },
        BackendError::Compile(reason) => LoadError::Compile { program, reason, unsupported: false },
        BackendError::Unsupported(reason) => LoadError::Compile { program, reason, unsupported: true },
    }
}

/// Identities of interpreted code: generation 0, which the registry never gives.
pub(crate) fn next_interpreted_id() -> CodeId {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    CodeId { index: NEXT.fetch_add(1, Ordering::Relaxed), generation: 0 }
}

/// Bytes of context that the program itself may touch.
fn context_len(verified: &Verified) -> u32 {
    let slots = &verified.program().slots;
    let facts = verified.facts().slots.iter().enumerate();
    let ends = facts.filter_map(|(slot, fact)| {
        let Some(Region::Ctx { off, .. }) = fact.region else { return None };
        let size = match decode(slots, slot) {
            Ok(Instr::Load { size, .. } | Instr::Store { size, .. } | Instr::Atomic { size, .. }) => size.bytes(),
            _ => 8,
        };
        Some(off.saturating_add(size))
    });
    ends.max().unwrap_or(0).max(verified.facts().context_bytes)
}
