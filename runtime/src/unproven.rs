//! Programs that nobody proved, on the checked interpreter.
//!
//! For test tools: what the verifier refuses can be run nevertheless, because every access, every argument of a helper and every read of
//! a register is checked when it happens, and instructions are counted.

use std::any::TypeId;
use std::collections::BTreeMap;
use std::sync::Arc;

use backstop_ir::{Callee, Ir, OpKind, Unproven, lower_unproven};
use backstop_model::{MapKind, ProgType, Program as Linked, helpers};

use crate::backend::{BackendError, natives};
use crate::build::{next_interpreted_id, reads_cpu};
use crate::checked::{CHECKED_STACK, CheckedProgram, Given, Needs, Proof, interpret, run_with};
use crate::context::{ContextNeed, Input, prepare};
use crate::engine::Engine;
use crate::error::{LoadError, RunError};
use crate::exit::Exit;
use crate::linker::Linker;
use crate::maps::{Map, MapRef};
use crate::stack::NATIVE_RESERVE;
use crate::store::Store;

/// A program that was decoded, but not proved. What it does wrong ends its run with [`RunError::Fault`].
///
/// Programs of the types [`ProgType::RawMem`], [`ProgType::Host`] and [`ProgType::Syscall`] only: other contexts are not what
/// unproved code takes them for. It gets maps of its own; its tail calls find only what the host puts into them.
pub struct UnprovenProgram<H> {
    ir: Ir<Unproven>,
    checked: CheckedProgram,
    engine: Engine,
    needs_cpu: bool,
    tail_calls: bool,
    maps: BTreeMap<String, Map>,
    /// What the program's regions point into.
    _held: Vec<MapRef>,
    host: std::marker::PhantomData<fn(H) -> H>,
}

impl<H> std::fmt::Debug for UnprovenProgram<H> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("UnprovenProgram").field("name", &self.name()).finish_non_exhaustive()
    }
}

impl<H: 'static> UnprovenProgram<H> {
    /// Makes a linked program runnable without a proof.
    ///
    /// # Errors
    /// [`LoadError::Unproven`] if its type can't be run so, its control flow leaves the code, it writes r10, or it calls what it may not;
    /// [`LoadError::OtherLinker`].
    pub fn new(linker: &Linker<H>, program: Linked) -> Result<UnprovenProgram<H>, LoadError> {
        let name = program.name.clone();
        let refused = |reason: String| LoadError::Unproven { program: name.clone(), reason };
        if !matches!(program.kind.ty, ProgType::RawMem | ProgType::Host | ProgType::Syscall) {
            let ty = program.kind.ty;
            return Err(refused(format!("only raw memory, host and syscall programs run without a proof, not {ty:?}")));
        }
        linker.own_kfuncs(&program)?;
        let program = Arc::new(program);
        let ir = lower_unproven(&program).map_err(|e| refused(e.to_string()))?;
        check_calls(&ir).map_err(refused)?;
        let host = |index: u32| linker.host_kfunc(index).map(|k| Arc::clone(&k.body));
        let failed = |error| {
            let (BackendError::NotImplemented(what) | BackendError::Compile(what) | BackendError::Unsupported(what)) =
                error;
            refused(what)
        };
        let natives = natives(&ir, &host).map_err(failed)?;
        let (maps, held) = make_maps::<H>(linker, &program)?;
        let id = next_interpreted_id();
        let checked = CheckedProgram::new(&ir, &natives, &held, id.to_word(), Proof::None).map_err(failed)?;
        let tail_calls = ir.funcs().iter().any(|func| func.tail_calls);
        let per_cpu = |map: &MapRef| map.spec().kind.info().per_cpu;
        let needs_cpu = tail_calls || held.iter().any(per_cpu) || ir.callees().iter().any(reads_cpu);
        Ok(UnprovenProgram {
            ir,
            checked,
            engine: linker.engine().clone(),
            needs_cpu,
            tail_calls,
            maps,
            _held: held,
            host: std::marker::PhantomData,
        })
    }
}

impl<H> UnprovenProgram<H> {
    /// The program's name.
    pub fn name(&self) -> &str {
        &self.ir.program().name
    }

    /// The IR that runs.
    pub fn ir(&self) -> &Ir<Unproven> {
        &self.ir
    }

    /// Its maps, by name.
    pub fn maps(&self) -> impl Iterator<Item = &Map> {
        self.maps.values()
    }

    /// Runs the program once, for at most `fuel` instructions.
    ///
    /// # Errors
    /// [`RunError::Fault`] if it breaks a rule, [`RunError::OutOfFuel`], and what ends runs of proved programs.
    pub fn run(&self, store: &mut Store<H>, mut input: Input<'_>, fuel: u64) -> Result<Exit, RunError> {
        let Store { engine, data, scratch } = store;
        let program = self.ir.program();
        let need = ContextNeed { own: 0, tail_calls: self.tail_calls };
        let prepared = prepare(&program.kind, &mut input, need).map_err(|reason| RunError::Input {
            program: self.name().to_owned(),
            kind: program.kind.ty.name(),
            reason,
        })?;
        let (args, surroundings) = (prepared.args(), prepared.surroundings());
        let given = Given { kind: &program.kind, args, context_len: surroundings.context_len, fuel };
        let needs = Needs {
            engine: &self.engine,
            name: self.name(),
            stack: NATIVE_RESERVE + CHECKED_STACK,
            cpu: self.needs_cpu,
        };
        let host_data = std::ptr::from_mut(data).cast();
        let exit = run_with(needs, engine, host_data, scratch, surroundings, |record, scratch| {
            interpret(&self.checked, given, record, scratch, None)
        });
        prepared.finish();
        exit.map_err(|error| match error {
            RunError::ProofViolated { program, fault } => RunError::Fault { program, fault },
            RunError::OutOfFuel { program, .. } => RunError::OutOfFuel { program, fuel },
            other => other,
        })
    }
}

/// Whether every helper exists and may be called by this type of program.
fn check_calls(ir: &Ir<Unproven>) -> Result<(), String> {
    let kind = &ir.program().kind;
    let blocks = ir.funcs().iter().flat_map(|func| &func.blocks);
    for op in blocks.flat_map(|block| &block.ops) {
        let OpKind::CallNative { callee, .. } = op.kind else { continue };
        let Some(Callee::Helper(id)) = ir.callees().get(callee.0 as usize) else { continue };
        let slot = ir.position(op.id).and_then(|position| position.slot).unwrap_or_default();
        match helpers::proto(*id) {
            None => return Err(format!("instruction {slot} calls helper {id}, which does not exist")),
            Some(proto) if !helpers::allowed(*id, kind) => {
                let (name, ty) = (proto.name, kind.ty);
                return Err(format!("instruction {slot} calls bpf_{name}, which {ty:?} programs may not call"));
            }
            Some(_) => {}
        }
    }
    Ok(())
}

type Maps = (BTreeMap<String, Map>, Vec<MapRef>);

fn make_maps<H: 'static>(linker: &Linker<H>, program: &Linked) -> Result<Maps, LoadError> {
    let (mut maps, mut held) = (BTreeMap::new(), Vec::new());
    for spec in &program.maps {
        let made = Map::create(linker.engine(), Arc::clone(spec));
        let map = made.map_err(|source| LoadError::Map { map: spec.name.clone(), source })?;
        if spec.kind == MapKind::ProgArray {
            map.inner().claim_as(program, Some(TypeId::of::<H>())).map_err(|reason| LoadError::MapValues {
                map: spec.name.clone(),
                index: 0,
                reason,
            })?;
        }
        held.push(MapRef::clone(map.inner()));
        maps.insert(spec.name.clone(), map);
    }
    Ok((maps, held))
}
