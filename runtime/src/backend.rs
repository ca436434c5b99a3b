//! The two engines behind one face: what a program was compiled to.

use std::sync::Arc;

use backstop_interp::Code;
use backstop_ir::{Callee, Ir, Proven};
use backstop_model::KfuncIdentity;

use crate::call::Body;
use crate::checked::CheckedProgram;
use crate::engine::{Engine, EngineKind};
use crate::helpers::HelperImpl;
use crate::maps::MapRef;

/// A native function that a program calls.
#[derive(Clone)]
pub(crate) enum Native {
    /// A helper or built-in kfunc.
    Helper(&'static HelperImpl),
    /// A kfunc of the host's.
    Host(Arc<Body>),
    /// A callee that the IR does not list: a defect.
    Absent,
}

/// A program in an engine's own form.
pub(crate) enum Backend {
    Interpreter(Box<Code<Native>>),
    Checked(Box<CheckedProgram>),
    #[cfg(all(feature = "jit", target_arch = "x86_64", target_os = "linux"))]
    Jit(Box<crate::native::image::NativeImage>),
}

/// Why a program has no backend.
pub(crate) enum BackendError {
    /// It calls something that nothing implements.
    NotImplemented(String),
    /// The engine can't compile it.
    Compile(String),
    /// The engine has no form for one of its operations.
    Unsupported(String),
}

impl From<&backstop_interp::CompileError> for BackendError {
    fn from(error: &backstop_interp::CompileError) -> BackendError {
        match error {
            backstop_interp::CompileError::Unsupported { .. } => BackendError::Unsupported(error.to_string()),
            _ => BackendError::Compile(error.to_string()),
        }
    }
}

impl Backend {
    pub(crate) fn kind(&self) -> EngineKind {
        match self {
            Backend::Interpreter(_) => EngineKind::Interpreter,
            Backend::Checked(_) => EngineKind::Checked,
            #[cfg(all(feature = "jit", target_arch = "x86_64", target_os = "linux"))]
            Backend::Jit(_) => EngineKind::Jit,
        }
    }
}

/// Finds the native functions that the IR's callees name.
pub(crate) fn natives<S>(ir: &Ir<S>, host: &dyn Fn(u32) -> Option<Arc<Body>>) -> Result<Vec<Native>, BackendError> {
    ir.callees().iter().map(|callee| native(ir, callee, host)).collect()
}

fn native<S>(ir: &Ir<S>, callee: &Callee, host: &dyn Fn(u32) -> Option<Arc<Body>>) -> Result<Native, BackendError> {
    match *callee {
        Callee::Helper(id) => crate::helpers::find(id).map(Native::Helper).ok_or_else(|| {
            let name = backstop_model::helpers::proto(id).map_or("of this number", |p| p.name);
            BackendError::NotImplemented(format!("helper {id} (bpf_{name})"))
        }),
        Callee::Kfunc(index) => {
            let kfunc = ir.kfunc(index);
            let found = kfunc.and_then(|k| match k.identity {
                KfuncIdentity::Builtin(builtin) => crate::kfuncs::find(builtin).map(Native::Helper),
                KfuncIdentity::Host(n) => host(n).map(Native::Host),
                KfuncIdentity::Unimplemented(_) => None,
            });
            let name = kfunc.map_or("?", |k| k.name.as_str());
            found.ok_or_else(|| BackendError::NotImplemented(format!("kfunc {name}")))
        }
    }
}

/// Compiles for the interpreter.
pub(crate) fn interpret(
    ir: &Ir<Proven>,
    natives: &[Native],
    maps: &[MapRef],
    code_id: u64,
) -> Result<Backend, BackendError> {
    let map_addr = |m: backstop_ir::MapId| maps.get(m.0 as usize).map_or(0, |map| map.native_address());
    let map_value_addr =
        |m: backstop_ir::MapId, off: u32| maps.get(m.0 as usize).and_then(|map| map.value_address(off)).unwrap_or(0);
    let callee = |c: backstop_ir::CalleeId| natives.get(c.0 as usize).cloned().unwrap_or(Native::Absent);
    let bindings =
        backstop_interp::Bindings { map_addr: &map_addr, map_value_addr: &map_value_addr, callee: &callee, code_id };
    let code = Code::new(ir, &bindings).map_err(|e| BackendError::from(&e))?;
    Ok(Backend::Interpreter(Box::new(code)))
}

#[cfg(not(all(feature = "jit", target_arch = "x86_64", target_os = "linux")))]
pub(crate) fn jit_available() -> Result<(), String> {
    Err("this build has no JIT (feature `jit`, x86-64 Linux)".to_owned())
}

#[cfg(all(feature = "jit", target_arch = "x86_64", target_os = "linux"))]
pub(crate) fn jit_available() -> Result<(), String> {
    if crate::native::shadow_stack_active() {
        return Err("the CPU's shadow stack is active in this thread, which a throw would violate".to_owned());
    }
    crate::native::arena::Arena::get().map(|_| ()).map_err(|e| e.to_string())
}

#[cfg(not(all(feature = "jit", target_arch = "x86_64", target_os = "linux")))]
pub(crate) fn compile(
    _engine: &Engine,
    _ir: &Ir<Proven>,
    _natives: &[Native],
    _maps: &[MapRef],
) -> Result<Backend, BackendError> {
    Err(BackendError::Compile("this build has no JIT".to_owned()))
}

/// Compiles to machine code and publishes it.
#[cfg(all(feature = "jit", target_arch = "x86_64", target_os = "linux"))]
pub(crate) fn compile(
    engine: &Engine,
    ir: &Ir<Proven>,
    natives: &[Native],
    maps: &[MapRef],
) -> Result<Backend, BackendError> {
    use crate::fault::{patched, planted};
    use crate::native::image::{NativeImage, Resolve};
    use crate::native::thunk::HostThunk;
    use backstop_ir::{CalleeId, MapId};

    struct World<'a> {
        natives: Vec<u64>,
        maps: &'a [MapRef],
    }

    impl Resolve for World<'_> {
        fn native(&self, callee: CalleeId) -> u64 {
            self.natives.get(callee.0 as usize).copied().unwrap_or(0)
        }

        fn map(&self, map: MapId) -> u64 {
            self.maps.get(map.0 as usize).map_or(0, |m| m.native_address())
        }

        fn map_value(&self, map: MapId, offset: u32) -> u64 {
            self.maps.get(map.0 as usize).and_then(|m| m.value_address(offset)).unwrap_or(0)
        }
    }

    let failed = |e: &dyn std::fmt::Display| BackendError::Compile(e.to_string());
    let image =
        backstop_jit_x86::compile(&planted(engine, ir), &crate::native::compile_options()).map_err(|e| match e {
            backstop_jit_x86::CompileError::Unsupported { .. } => BackendError::Unsupported(e.to_string()),
            _ => failed(&e),
        })?;
    let mut thunks = Vec::new();
    let mut addresses = Vec::with_capacity(natives.len());
    for native in natives {
        addresses.push(match native {
            Native::Helper(helper) => helper.native as *const () as u64,
            Native::Host(body) => {
                let thunk = HostThunk::new(body).map_err(|e| failed(&e))?;
                let address = thunk.address();
                thunks.push(thunk);
                address
            }
            Native::Absent => return Err(BackendError::Compile("a call names no callee".to_owned())),
        });
    }
    let world = World { natives: addresses, maps };
    let placed = NativeImage::publish(patched(engine, image), &world, thunks).map_err(|e| failed(&e))?;
    Ok(Backend::Jit(Box::new(placed)))
}
