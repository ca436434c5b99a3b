//! Loaded programs.

use std::any::TypeId;
use std::collections::{BTreeMap, HashMap};
use std::marker::PhantomData;
use std::sync::{Arc, LazyLock, Weak};

use backstop_abi::TailTarget;
use backstop_ir::{Ir, OpId, Proven};
use backstop_model::{HostContext, HostField, ProgKind};
use backstop_verifier::Stats;
use parking_lot::Mutex;

use crate::backend::Backend;
use crate::context::{ContextNeed, Input};
use crate::engine::{Engine, EngineKind};
use crate::error::RunError;
use crate::exit::{Backtrace, Exit, Frame};
use crate::guest::{GuestField, GuestStruct};
use crate::maps::{Map, MapRef};
use crate::record::{CodeId, WalkedFrame};
use crate::run::run_code;
use crate::stats::{Counters, RunStatistics};
use crate::store::Store;

/// A loaded program, whatever the host's type: what prog_arrays hold and runs borrow.
///
/// It lives as long as anybody can run it: handles, prog_arrays, runs under way. Its maps live as long as it does.
#[repr(C)]
pub(crate) struct ProgramCode {
    /// What compiled tail calls read. Must stay the first field: a prog_array's slot is this struct's address.
    pub(crate) tail: TailTarget,
    // What every run reads comes first, so that it shares a cache line.
    pub(crate) engine: Engine,
    /// Native stack that a run may take, the reserve for native functions included, in bytes.
    pub(crate) stack_need: usize,
    /// Compiled code that never raises, and a run needs no CPU slot, no announcements and no clock: nothing but its record.
    pub(crate) direct: bool,
    /// The host's type that its kfuncs expect; programs around one prog_array agree in it.
    pub(crate) host: TypeId,
    pub(crate) ir: Arc<Ir<Proven>>,
    pub(crate) backend: Backend,
    pub(crate) maps: Vec<MapRef>,
    pub(crate) proof: Stats,
    pub(crate) id: CodeId,
    pub(crate) counters: Counters,
    /// A run needs a CPU slot: per-CPU data, or the number itself is read.
    pub(crate) needs_cpu: bool,
    /// Compiled code that may tail call: a run announces which programs it takes. (The interpreter counts them.)
    pub(crate) holds: bool,
    /// Bytes of context that the program, and what it can reach, may touch.
    pub(crate) context_need: ContextNeed,
}

/// Code by identity, for backtraces: the frames of a throw may belong to programs reached by tail calls.
static LIVE: LazyLock<Mutex<HashMap<CodeId, Weak<ProgramCode>>>> = LazyLock::new(|| Mutex::new(HashMap::new()));

impl ProgramCode {
    /// Makes the code known to backtraces.
    pub(crate) fn enlist(self: &Arc<Self>) {
        LIVE.lock().insert(self.id, Arc::downgrade(self));
    }

    pub(crate) fn by_id(id: CodeId) -> Option<Arc<ProgramCode>> {
        LIVE.lock().get(&id).and_then(Weak::upgrade)
    }

    pub(crate) fn name(&self) -> &str {
        &self.ir.program().name
    }

    pub(crate) fn kind(&self) -> &ProgKind {
        &self.ir.program().kind
    }

    /// Addresses of the machine code, if the JIT made any.
    pub(crate) fn image_range(&self) -> Option<std::ops::Range<usize>> {
        match &self.backend {
            Backend::Interpreter(_) | Backend::Checked(_) => None,
            #[cfg(all(feature = "jit", target_arch = "x86_64", target_os = "linux"))]
            Backend::Jit(image) => {
                let start = image.entry() as usize;
                Some(start..start + image.tables().code.len())
            }
        }
    }

    fn op_of(&self, place: u32) -> Option<OpId> {
        match &self.backend {
            Backend::Interpreter(_) | Backend::Checked(_) => Some(OpId(place)),
            #[cfg(all(feature = "jit", target_arch = "x86_64", target_os = "linux"))]
            Backend::Jit(image) => image.op_returning_to(place),
        }
    }

    fn frame(&self, place: u32) -> Option<Frame> {
        let position = self.ir.position(self.op_of(place)?)?;
        let program = self.ir.program();
        let line = position.slot.and_then(|slot| program.line_at(slot));
        let text = |name: u32| {
            let found = program.btf.as_ref().map(|btf| btf.str(backstop_btf::Name(name)).to_owned());
            found.filter(|t| !t.is_empty())
        };
        Some(Frame {
            program: self.name().to_owned(),
            function: self.ir.func(position.func).map_or_else(String::new, |f| f.name.clone()),
            slot: position.slot,
            file: line.and_then(|l| text(l.file)),
            line: line.map(|l| l.line).filter(|l| *l != 0),
            text: line.and_then(|l| text(l.text)),
        })
    }
}

impl Drop for ProgramCode {
    fn drop(&mut self) {
        LIVE.lock().remove(&self.id);
    }
}

/// A loaded program of a host type. Cloning is cheap; clones are the same program.
pub struct Program<H> {
    code: Arc<ProgramCode>,
    /// Handles of the maps that it was loaded with: a prog_array is emptied when its last handle goes.
    maps: Arc<BTreeMap<String, Map>>,
    host: PhantomData<fn(H) -> H>,
}

impl<H> Clone for Program<H> {
    fn clone(&self) -> Self {
        Program { code: Arc::clone(&self.code), maps: Arc::clone(&self.maps), host: PhantomData }
    }
}

impl<H> std::fmt::Debug for Program<H> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Program")
            .field("name", &self.name())
            .field("engine", &self.engine_kind())
            .finish_non_exhaustive()
    }
}

impl<H> Program<H> {
    pub(crate) fn new(code: Arc<ProgramCode>, maps: Arc<BTreeMap<String, Map>>) -> Program<H> {
        Program { code, maps, host: PhantomData }
    }

    pub(crate) fn code(&self) -> &Arc<ProgramCode> {
        &self.code
    }

    /// The program's name.
    pub fn name(&self) -> &str {
        self.code.name()
    }

    /// The maps that it was loaded with, by name.
    pub fn maps(&self) -> impl Iterator<Item = &Map> {
        self.maps.values()
    }

    /// Type, attach type and context.
    pub fn kind(&self) -> &ProgKind {
        self.code.kind()
    }

    /// The engine that runs it.
    pub fn engine_kind(&self) -> EngineKind {
        self.code.backend.kind()
    }

    /// The IR that runs.
    pub fn ir(&self) -> &Ir<Proven> {
        &self.code.ir
    }

    /// What the proof cost.
    pub fn proof(&self) -> &Stats {
        &self.code.proof
    }

    /// The machine code and its tables, if the JIT compiled it.
    #[cfg(all(feature = "jit", target_arch = "x86_64", target_os = "linux"))]
    pub fn image(&self) -> Option<&backstop_jit_x86::Image> {
        match &self.code.backend {
            Backend::Interpreter(_) | Backend::Checked(_) => None,
            Backend::Jit(image) => Some(image.tables()),
        }
    }

    /// Native stack that a run may need, in bytes, the reserve for native functions included. Checked at entry.
    pub fn stack_need(&self) -> usize {
        self.code.stack_need
    }

    /// Runs and throws so far; all 0 unless [`crate::Config::statistics`] is on.
    pub fn statistics(&self) -> RunStatistics {
        self.code.counters.read()
    }

    /// Runs the program once.
    ///
    /// # Errors
    /// [`RunError`] if the input does not suit, a resource is short, or a host function failed. A throw is no error: see
    /// [`Exit::Thrown`]. The only panic that leaves is a host function's own.
    pub fn run(&self, store: &mut Store<H>, input: Input<'_>) -> Result<Exit, RunError> {
        let Store { engine, data, scratch } = store;
        run_code(&self.code, engine, std::ptr::from_mut(data).cast(), scratch, input)
    }

    /// As [`Program::run`] on the checked interpreter, with somebody who sees each instruction before it runs. For tests.
    ///
    /// # Errors
    /// As [`Program::run`], and [`RunError::Input`] on other engines.
    #[doc(hidden)]
    pub fn run_watched(
        &self,
        store: &mut Store<H>,
        input: Input<'_>,
        observe: &mut dyn crate::checked::Observe,
    ) -> Result<Exit, RunError> {
        let Store { engine, data, scratch } = store;
        crate::checked::run_observed(&self.code, engine, std::ptr::from_mut(data).cast(), scratch, input, observe)
    }

    /// The program as one over a struct of the host's.
    ///
    /// # Errors
    /// [`RunError::Input`] if the program's context is not this struct, field by field.
    pub fn typed<T: GuestStruct>(&self) -> Result<TypedProgram<H, T>, RunError> {
        let reason = match &self.kind().host {
            None => Some("it takes no struct of the host's".to_owned()),
            Some(context) => {
                differs::<T>(context).map(|what| format!("its context is struct {}: {what}", context.name))
            }
        };
        match reason {
            None => Ok(TypedProgram { program: self.clone(), context: PhantomData }),
            Some(reason) => Err(RunError::Input {
                program: self.name().to_owned(),
                kind: self.kind().ty.name(),
                reason: format!("{reason}, not {}", T::NAME),
            }),
        }
    }

    /// The frames of a throw in the author's terms, innermost first. Frames of programs that were unloaded meanwhile are left out.
    pub fn backtrace(&self, backtrace: &Backtrace) -> Vec<Frame> {
        let resolve = |walked: WalkedFrame| {
            if walked.code == self.code.id {
                self.code.frame(walked.place)
            } else {
                ProgramCode::by_id(walked.code)?.frame(walked.place)
            }
        };
        backtrace.frames().filter_map(resolve).collect()
    }
}

/// In what a struct differs from the context that a program was proved for.
fn differs<T: GuestStruct>(context: &HostContext) -> Option<String> {
    if context.name != T::NAME {
        return Some("another name".to_owned());
    }
    if context.size as usize != size_of::<T>() {
        return Some(format!("{} bytes here, {} there", size_of::<T>(), context.size));
    }
    let same = |(given, field): (&GuestField, &HostField)| {
        (given.offset, given.size, given.writable) == (field.offset as usize, field.size as usize, field.writable)
            && given.name == field.name
    };
    let all = T::FIELDS.len() == context.fields.len() && T::FIELDS.iter().zip(&context.fields).all(same);
    (!all).then(|| "other fields".to_owned())
}

/// A program over a `#[repr(C)]` struct of the host's.
pub struct TypedProgram<H, T> {
    program: Program<H>,
    context: PhantomData<fn(&mut T)>,
}

impl<H, T> Clone for TypedProgram<H, T> {
    fn clone(&self) -> Self {
        TypedProgram { program: self.program.clone(), context: PhantomData }
    }
}

impl<H, T: GuestStruct> TypedProgram<H, T> {
    /// Runs the program on a context.
    ///
    /// # Errors
    /// As [`Program::run`].
    pub fn run(&self, store: &mut Store<H>, context: &mut T) -> Result<Exit, RunError> {
        let Store { engine, data, scratch } = store;
        let at = std::ptr::from_mut(context) as u64;
        crate::run::run_at(&self.program.code, engine, std::ptr::from_mut(data).cast(), scratch, [at, 0])
    }

    /// The program without the type.
    pub fn untyped(&self) -> &Program<H> {
        &self.program
    }
}
