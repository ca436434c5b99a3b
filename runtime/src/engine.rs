//! The engine: what all programs and maps of an embedder share.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use backstop_model::MapSpec;

use crate::config::{Config, EngineChoice, TraceSink};
use crate::cpu::CpuSlots;
use crate::error::{EngineError, MapError, OpenError};
use crate::maps::Map;
use crate::object::Object;

/// Shared by everything that was opened or loaded with it. Cloning is cheap; clones are the same engine.
///
/// # Forks
/// A forked child can go on running programs, whatever its parent unloads. With the JIT, code is memory that both share: the child can't
/// load programs, and code that was alive at a fork keeps its place in the parent's code memory (1 GiB) after it was unloaded, so a process that
/// forks and reloads again and again uses that up. Only `fork` itself is noticed: children made by a raw `clone` system call must run no
/// programs.
#[derive(Clone)]
pub struct Engine {
    inner: Arc<Inner>,
}

struct Inner {
    config: Config,
    kind: EngineKind,
    cpus: CpuSlots,
    /// Bytes of map memory that live maps hold.
    map_bytes: AtomicU64,
}

/// The engine that runs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum EngineKind {
    /// The interpreter.
    Interpreter,
    /// The x86-64 JIT.
    Jit,
    /// The checked interpreter.
    Checked,
}

impl EngineKind {
    /// `interp`, `jit` or `checked`, as the command line says it.
    pub const fn name(self) -> &'static str {
        match self {
            EngineKind::Interpreter => "interp",
            EngineKind::Jit => "jit",
            EngineKind::Checked => "checked",
        }
    }
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine")
            .field("kind", &self.inner.kind)
            .field("config", &self.inner.config)
            .finish_non_exhaustive()
    }
}

impl Engine {
    /// An engine of this configuration.
    ///
    /// # Errors
    /// [`EngineError::NoJit`] if the JIT was asked for by name and this build, machine or system has none;
    /// [`EngineError::TooManyCpus`].
    pub fn new(config: Config) -> Result<Engine, EngineError> {
        if config.cpus > Config::MAX_CPUS {
            return Err(EngineError::TooManyCpus { asked: config.cpus, most: Config::MAX_CPUS });
        }
        let kind = match config.engine {
            EngineChoice::Interpreter => EngineKind::Interpreter,
            EngineChoice::Checked => EngineKind::Checked,
            EngineChoice::Jit => {
                crate::backend::jit_available().map_err(|reason| EngineError::NoJit { reason })?;
                EngineKind::Jit
            }
            EngineChoice::Auto => crate::backend::jit_available().map_or(EngineKind::Interpreter, |()| EngineKind::Jit),
        };
        let cpus = CpuSlots::new(config.cpus);
        Ok(Engine { inner: Arc::new(Inner { config, kind, cpus, map_bytes: AtomicU64::new(0) }) })
    }

    /// Opens an object file; nothing in it is trusted or verified yet.
    ///
    /// # Errors
    /// [`OpenError`] names the file and, in it, the section and offset.
    pub fn open_file(&self, path: impl AsRef<Path>) -> Result<Object, OpenError> {
        Object::open_file(self, path.as_ref())
    }

    /// Opens an object from its bytes. `name` stands for the file in messages and in names of global-data maps.
    ///
    /// # Errors
    /// [`OpenError`] names the section and offset.
    pub fn open(&self, bytes: &[u8], name: &str) -> Result<Object, OpenError> {
        Object::open(self, bytes, name)
    }

    /// Makes a map that objects can share (see [`Object::replace_map`]).
    ///
    /// # Errors
    /// [`MapError`] if the specification is not valid or memory is short.
    pub fn create_map(&self, spec: MapSpec) -> Result<Map, MapError> {
        Map::create(self, Arc::new(spec))
    }

    /// The engine that runs programs.
    pub fn kind(&self) -> EngineKind {
        self.inner.kind
    }

    /// The configuration.
    pub fn config(&self) -> &Config {
        &self.inner.config
    }

    pub(crate) fn cpus(&self) -> &CpuSlots {
        &self.inner.cpus
    }

    pub(crate) fn trace(&self) -> Option<&TraceSink> {
        self.inner.config.trace.as_ref()
    }

    /// Whether two handles are the same engine.
    pub fn same(&self, other: &Engine) -> bool {
        Arc::ptr_eq(&self.inner, &other.inner)
    }

    /// Takes map memory from the engine's budget.
    pub(crate) fn take_map_bytes(&self, bytes: u64) -> Result<(), u64> {
        let limit = self.inner.config.map_memory;
        let take = |used: u64| used.checked_add(bytes).filter(|total| *total <= limit);
        let taken = self.inner.map_bytes.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take);
        taken.map(|_| ()).map_err(|used| limit.saturating_sub(used))
    }

    pub(crate) fn give_map_bytes(&self, bytes: u64) {
        self.inner.map_bytes.fetch_sub(bytes, Ordering::Relaxed);
    }
}
