//! Backstop: a userspace runtime for eBPF that catches what programs throw.
//!
//! It loads what clang makes, proves it safe as Linux's verifier does, and runs it by an interpreter or an x86-64 JIT from one verified
//! IR. A program that calls `bpf_throw` ends at its boundary: every frame above is gone, and its exception callback gives the result.
//!
//! ```no_run
//! use backstop::{Config, Engine, Exit, Input, Linker, Packet, Store};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let engine = Engine::new(Config::new())?;
//! let object = engine.open_file("filter.bpf.o")?;
//! let loaded = object.load(&Linker::<()>::new(&engine))?;
//! let filter = loaded.program("filter")?;
//! let mut store = Store::new(&engine, ());
//! let mut packet = Packet::new(&[0; 64]);
//! match filter.run(&mut store, Input::Packet(&mut packet))? {
//!     Exit::Returned(verdict) => println!("{verdict}"),
//!     Exit::Thrown { cookie, value, backtrace } => {
//!         println!("threw {cookie}, caught with {value}");
//!         for frame in filter.backtrace(&backtrace) {
//!             println!("  {frame}");
//!         }
//!     }
//! }
//! # Ok(())
//! # }
//! ```
//!
//! All native unsafe code of Backstop is in this crate; each block names the invariant of docs/INVARIANTS.md that it rests on.

mod backend;
#[doc(hidden)]
pub mod bench;
mod build;
mod call;
mod caller;
mod checked;
mod config;
mod context;
mod cpu;
mod engine;
mod error;
mod exit;
#[cfg(all(feature = "jit", target_arch = "x86_64", target_os = "linux"))]
mod fault;
mod guest;
mod helpers;
mod hostfn;
mod kfuncs;
mod libbpf;
mod linker;
mod load;
mod maps;
#[cfg(all(feature = "jit", target_arch = "x86_64", target_os = "linux"))]
mod native;
mod object;
mod program;
mod proof;
mod record;
mod run;
pub mod runnable;
mod services;
mod stack;
mod stats;
mod store;
mod unproven;

pub use backstop_btf as btf;
pub use backstop_ir as ir;
pub use backstop_isa as isa;
pub use backstop_model as model;
pub use backstop_verifier as verifier;

pub use backstop_interp::{Fault, Reason as FaultReason};
pub use call::HostError;
pub use caller::{Caller, Ptr, StalePointer};
pub use config::{Config, EngineChoice, TraceSink};
pub use context::{ContextError, Input, Packet};
pub use engine::{Engine, EngineKind};
pub use error::{EngineError, LoadError, ObjectUseError, OpenError, RunError};
pub use exit::{Backtrace, Exit, Frame};
#[doc(hidden)]
#[cfg(all(feature = "testing", feature = "jit", target_arch = "x86_64", target_os = "linux"))]
pub use fault::PlantedFault;
pub use guest::{GuestField, GuestInt, GuestStruct};
pub use hostfn::{Arg, HostFn, Ret};
pub use linker::{Linker, LinkerError};
pub use load::Loaded;
pub use maps::{Map, MapError, MapIter, Plain, TypedMap, Update};
pub use object::{Object, ObjectProgram};
pub use program::{Program, TypedProgram};
pub use proof::Proof;
pub use stats::RunStatistics;
pub use store::Store;
pub use unproven::UnprovenProgram;

#[doc(hidden)]
pub use checked::{Moment, Observe};

/// The README's example, compiled as a documentation test.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
mod readme {}

/// A store of another host type than the program's does not compile.
///
/// ```compile_fail,E0308
/// fn run(program: &backstop::Program<u8>, store: &mut backstop::Store<u16>) {
///     let _ = program.run(store, backstop::Input::None);
/// }
/// ```
#[cfg(doctest)]
mod host_types {}
