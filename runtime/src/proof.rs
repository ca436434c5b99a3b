//! A proof that several engines compile: a comparison of engines should pay for it once.

use std::sync::{Arc, OnceLock};

use backstop_ir::{Ir, LowerError, Proven, lower};
use backstop_model::{KernelBtf, Program as Linked};
use backstop_verifier::{Limits, Verified};

use crate::build;
use crate::engine::Engine;
use crate::error::LoadError;

/// A program that was proved by an engine's rules, before it is compiled for any.
///
/// [`crate::Loaded::from_proof`] compiles it for each engine that has the same rules.
#[derive(Clone, Debug)]
pub struct Proof {
    pub(crate) verified: Arc<Verified>,
    /// Made when the first engine asks.
    ir: Arc<OnceLock<Result<Arc<Ir<Proven>>, LowerError>>>,
    rules: Rules,
}

/// What a proof's verdict and facts depend on.
#[derive(Clone, Debug)]
struct Rules {
    compat_linux: bool,
    unprivileged: bool,
    cpus: u32,
    kernel: KernelBtf,
}

impl Rules {
    fn of(engine: &Engine) -> Rules {
        let config = engine.config();
        Rules {
            compat_linux: config.compat_linux,
            unprivileged: config.unprivileged,
            cpus: config.cpus,
            kernel: config.kernel.clone(),
        }
    }
}

impl Proof {
    /// Verifies a linked program as the engine's configuration wants it judged.
    ///
    /// # Errors
    /// [`LoadError::Refused`].
    pub fn new(engine: &Engine, program: Linked) -> Result<Proof, LoadError> {
        Proof::within(engine, program, Limits::default().insns)
    }

    /// As [`Proof::new`], but gives up after so many instructions over all paths: for generators, whose programs may be dear to prove.
    ///
    /// # Errors
    /// [`LoadError::Refused`].
    pub fn within(engine: &Engine, program: Linked, insns: u64) -> Result<Proof, LoadError> {
        let name = program.name.clone();
        let verified = Arc::new(build::prove_within(engine, &name, program, insns)?);
        Ok(Proof { verified, ir: Arc::default(), rules: Rules::of(engine) })
    }

    /// What was proved.
    pub fn verified(&self) -> &Verified {
        &self.verified
    }

    /// What every engine compiles.
    pub(crate) fn ir(&self) -> Result<Arc<Ir<Proven>>, LowerError> {
        self.ir.get_or_init(|| lower(&self.verified).map(Arc::new)).clone()
    }

    /// Whether programs of this engine are judged by the rules of this proof.
    pub(crate) fn holds_for(&self, engine: &Engine) -> bool {
        let (own, other) = (&self.rules, Rules::of(engine));
        (own.compat_linux, own.unprivileged, own.cpus) == (other.compat_linux, other.unprivileged, other.cpus)
            && own.kernel.same(&other.kernel)
    }
}
