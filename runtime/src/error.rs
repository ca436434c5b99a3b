//! Errors of the host API: enums with sources, never strings to parse.

use std::path::PathBuf;

use backstop_ir::LowerError;
use backstop_object::{LinkError, ObjectError};
use backstop_verifier::Refusal;

use crate::call::HostError;
pub use crate::maps::MapError;

/// Why there is no engine.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EngineError {
    /// The JIT was asked for by name.
    #[error("the JIT is not available: {reason}; choose the interpreter or `auto`")]
    NoJit {
        /// What is missing.
        reason: String,
    },
    /// More CPU slots than an engine may have.
    #[error("{asked} CPU slots are more than an engine may have; choose at most {most} in `Config::cpus`")]
    TooManyCpus {
        /// What the configuration asks for.
        asked: u32,
        /// What it may ask for: [`crate::Config::MAX_CPUS`].
        most: u32,
    },
}

/// Why an object can't be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The file can't be read.
    #[error("{}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// The content is not an object that Backstop takes.
    #[error("{name}: {source}")]
    Object {
        /// The file or the name given for the bytes.
        name: String,
        /// Section, offset and reason.
        source: Box<ObjectError>,
    },
}

/// Misuse of an opened object.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ObjectUseError {
    /// No program of this name.
    #[error("the object has no program `{name}`; it has {known}")]
    NoProgram {
        /// What was asked for.
        name: String,
        /// What there is.
        known: String,
    },
    /// No map of this name.
    #[error("the object has no map `{name}`; it has {known}")]
    NoMap {
        /// What was asked for.
        name: String,
        /// What there is.
        known: String,
    },
    /// No global variable of this name.
    #[error("the object has no global variable `{name}`; it has {known}")]
    NoGlobal {
        /// What was asked for.
        name: String,
        /// What there is.
        known: String,
    },
    /// A value of another size.
    #[error("global variable `{name}` has {expected} bytes, the value has {given}")]
    GlobalSize {
        /// The variable.
        name: String,
        /// Its size.
        expected: usize,
        /// The value's.
        given: usize,
    },
    /// A map that does not fit in the other's place.
    #[error("map `{name}` can't be replaced: {what} is {given}, the object wants {wanted}")]
    MapMismatch {
        /// The map.
        name: String,
        /// Which property.
        what: &'static str,
        /// The new map's.
        given: String,
        /// The object's.
        wanted: String,
    },
    /// Something that can't be settled so before the load.
    #[error(transparent)]
    Settle(#[from] Box<ObjectError>),
    /// A map that was replaced keeps the other one's sizes.
    #[error("map `{name}` was replaced by another one; size that one, or set the size first")]
    Replaced {
        /// The map.
        name: String,
    },
    /// A map or program of another engine.
    #[error("`{name}` belongs to another engine; make it with this one")]
    OtherEngine {
        /// What.
        name: String,
    },
}

impl From<ObjectError> for ObjectUseError {
    fn from(error: ObjectError) -> ObjectUseError {
        ObjectUseError::Settle(Box::new(error))
    }
}

/// Why an object or one of its programs was not loaded. Nothing of it stays behind.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// A proof by other rules than the engine's.
    #[error(
        "program `{program}` was proved by other rules than those of this engine; prove it with an engine of the same configuration"
    )]
    OtherRules {
        /// Which.
        program: String,
    },
    /// A kfunc that is not the one which this linker has in its place.
    #[error(
        "program `{program}` was linked against another linker, whose kfunc `{kfunc}` is not this one's; link it with this one"
    )]
    OtherLinker {
        /// The program.
        program: String,
        /// The first such kfunc.
        kfunc: String,
    },
    /// Linking failed; the reason names the program.
    #[error("{source}")]
    Link {
        /// The program.
        program: String,
        /// The reason, with its place.
        source: Box<LinkError>,
    },
    /// The verifier refused it.
    #[error("program `{program}` is refused: {refusal}")]
    Refused {
        /// The program.
        program: String,
        /// The whole judgement.
        refusal: Box<Refusal>,
    },
    /// With `Config::compat_linux`: a section of variables that libbpf could not map into its process.
    #[error(
        "map `{map}`: Linux maps no section with special fields (locks, list heads, kptrs, ...) into a process, so no program of this object can be loaded there; make its variables static or `__hidden`"
    )]
    Unmappable {
        /// The section's map.
        map: String,
    },
    /// Proved, but no engine can run it yet.
    #[error("program `{program}`: {source}")]
    Lower {
        /// The program.
        program: String,
        /// What has no implementation.
        source: LowerError,
    },
    /// The engine can't compile it.
    #[error("program `{program}`: {reason}")]
    Compile {
        /// The program.
        program: String,
        /// The engine's reason.
        reason: String,
        /// The engine has no form for an operation yet; otherwise a limit or a defect is the reason.
        unsupported: bool,
    },
    /// A helper that the verifier knows but no engine implements.
    #[error("program `{program}` calls {what}, which this version can verify but not run")]
    NotImplemented {
        /// The program.
        program: String,
        /// The helper or kfunc.
        what: String,
    },
    /// A map can't be made.
    #[error("map `{map}`: {source}")]
    Map {
        /// The map.
        map: String,
        /// The reason.
        source: MapError,
    },
    /// It was to run without a proof and can't.
    #[error("program `{program}` can't run without a proof: {reason}")]
    Unproven {
        /// The program.
        program: String,
        /// Why not.
        reason: String,
    },
    /// `.values` names something that is not there.
    #[error("map `{map}`, index {index}: {reason}")]
    MapValues {
        /// The map.
        map: String,
        /// The slot.
        index: u32,
        /// What is wrong.
        reason: String,
    },
    /// No program of this name.
    #[error(transparent)]
    Object(#[from] ObjectUseError),
}

/// Why a run did not end by the program's own doing.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// The input does not suit the program's type.
    #[error("program `{program}` ({kind}) can't run on this input: {reason}")]
    Input {
        /// The program.
        program: String,
        /// Its type, by Linux's name.
        kind: &'static str,
        /// What it wants.
        reason: String,
    },
    /// The store was made for another engine.
    #[error(
        "the store belongs to another engine than program `{program}`; make it with `Store::new(&engine, ..)` of the same one"
    )]
    OtherEngine {
        /// The program.
        program: String,
    },
    /// Every CPU slot is leased.
    #[error("all {slots} CPU slots are in use and program `{program}` needs one; raise `Config::cpus`")]
    NoCpu {
        /// The program.
        program: String,
        /// How many slots there are.
        slots: u32,
    },
    /// The thread's stack is too short for the program's worst case.
    #[error(
        "the thread has {available} bytes of stack left and program `{program}` may need {needed}; run it on a larger stack"
    )]
    NativeStack {
        /// The program.
        program: String,
        /// Bytes needed, the reserve for native functions included.
        needed: usize,
        /// Bytes left.
        available: usize,
    },
    /// A host function returned an error.
    #[error("a host function failed: {0}")]
    Host(#[source] HostError),
    /// The interpreter's stack is exhausted (tail calls out of nested subprograms).
    #[error("program `{program}` exhausted the interpreter's stack")]
    StackExhausted {
        /// The program.
        program: String,
    },
    /// A proved program broke a rule on the checked interpreter: a defect of Backstop's verifier, its lowering, or the rule.
    #[error("defect of Backstop: program `{program}` was proved, but {fault}; please report it with the object")]
    ProofViolated {
        /// The program.
        program: String,
        /// Instruction, access, and the rule.
        fault: Box<backstop_interp::Fault>,
    },
    /// A program that nobody proved broke a rule.
    #[error("program `{program}`: {fault}")]
    Fault {
        /// The program.
        program: String,
        /// Instruction, access, and the rule.
        fault: Box<backstop_interp::Fault>,
    },
    /// The run took all the instructions that it was given: by [`crate::Config::fuel`], or for the run.
    #[error("program `{program}` ran {fuel} instructions, all that it was given; raise the fuel if it needs more")]
    OutOfFuel {
        /// The program.
        program: String,
        /// Instructions given.
        fuel: u64,
    },
    /// The program did what its proof rules out: a defect of Backstop.
    #[error("defect of Backstop in program `{program}`: {what}; please report it with the object")]
    Defect {
        /// The program.
        program: String,
        /// What was met.
        what: &'static str,
    },
}

impl RunError {
    /// Whether it is a defect of Backstop's, and nobody else's fault.
    pub fn is_defect(&self) -> bool {
        matches!(self, RunError::ProofViolated { .. } | RunError::Defect { .. })
    }
}
