//! The linker: what the host offers to the programs that it loads.

use std::collections::BTreeMap;
use std::marker::PhantomData;
use std::sync::Arc;

use backstop_btf::{Btf, BtfError};
use backstop_model::{BuiltinKfunc, HostContext, HostField, Kfunc, KfuncFlags, KfuncIdentity, Program, kfuncs};

use crate::call::Body;
use crate::engine::Engine;
use crate::error::LoadError;
use crate::guest::GuestStruct;
use crate::hostfn::{HostFn, body};

/// The host's kfuncs, context types and BTF, for programs that run with a [`crate::Store`] of the same host type.
pub struct Linker<H> {
    engine: Engine,
    host: Vec<HostKfunc>,
    names: BTreeMap<String, usize>,
    contexts: BTreeMap<String, Arc<HostContext>>,
    targets: Vec<Arc<Btf>>,
    data: PhantomData<fn(H) -> H>,
}

/// A kfunc of the host's.
#[derive(Clone)]
pub(crate) struct HostKfunc {
    pub(crate) kfunc: Arc<Kfunc>,
    pub(crate) body: Arc<Body>,
}

/// What the host offers can't be offered.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LinkerError {
    /// The name is taken.
    #[error("kfunc `{name}` is {owner} already; choose another name")]
    Duplicate {
        /// The name.
        name: String,
        /// Whose it is.
        owner: &'static str,
    },
    /// A prototype that BTF can't say.
    #[error("kfunc `{name}`: {source}")]
    Prototype {
        /// The name.
        name: String,
        /// The reason.
        source: BtfError,
    },
    /// The described fields are out of order or beyond the struct.
    #[error("context `{name}`: field `{field}` does not follow the one before or lies outside the struct")]
    Context {
        /// The struct.
        name: String,
        /// The field.
        field: String,
    },
}

impl<H: 'static> Linker<H> {
    /// An empty linker.
    pub fn new(engine: &Engine) -> Linker<H> {
        Linker {
            engine: engine.clone(),
            host: Vec::new(),
            names: BTreeMap::new(),
            contexts: BTreeMap::new(),
            targets: Vec::new(),
            data: PhantomData,
        }
    }

    /// Offers a typed Rust function as a kfunc. An `Err` that it returns ends the run with [`crate::RunError::Host`].
    ///
    /// # Errors
    /// [`LinkerError`] if the name is taken or the prototype can't be said in BTF.
    pub fn kfunc<Args: 'static, F: HostFn<H, Args>>(
        &mut self,
        name: &str,
        function: F,
    ) -> Result<&mut Self, LinkerError> {
        if BuiltinKfunc::by_name(name).is_some() {
            return Err(LinkerError::Duplicate { name: name.to_owned(), owner: "the runtime's" });
        }
        if self.names.contains_key(name) {
            return Err(LinkerError::Duplicate { name: name.to_owned(), owner: "offered" });
        }
        let made = function.prototype(name).map_err(|source| LinkerError::Prototype { name: name.to_owned(), source });
        let (btf, func) = made?;
        let index = self.host.len();
        let kfunc = Kfunc {
            name: name.to_owned(),
            identity: KfuncIdentity::Host(index as u32),
            // Without trusted arguments the verifier would take NULL and unproven memory for a pointer.
            flags: KfuncFlags { may_fail: true, trusted_args: true, ..KfuncFlags::default() },
            btf: Arc::new(btf),
            func,
        };
        self.host.push(HostKfunc { kfunc: Arc::new(kfunc), body: body(function) });
        self.names.insert(name.to_owned(), index);
        Ok(self)
    }

    /// Offers a struct as the context of programs in sections `host/NAME`.
    ///
    /// # Errors
    /// [`LinkerError::Context`] if the type describes its fields wrongly.
    pub fn context<T: GuestStruct>(&mut self) -> Result<&mut Self, LinkerError> {
        let mut fields = Vec::with_capacity(T::FIELDS.len());
        let mut end = 0;
        for field in T::FIELDS {
            let after = field.offset.checked_add(field.size).filter(|a| *a <= size_of::<T>() && field.offset >= end);
            let Some(after) = after else {
                return Err(LinkerError::Context { name: T::NAME.to_owned(), field: field.name.to_owned() });
            };
            end = after;
            fields.push(HostField {
                name: field.name.to_owned(),
                offset: field.offset as u32,
                size: field.size as u32,
                writable: field.writable,
            });
        }
        let context = HostContext { name: T::NAME.to_owned(), size: size_of::<T>() as u32, fields };
        self.contexts.insert(T::NAME.to_owned(), Arc::new(context));
        Ok(self)
    }

    /// Resolves CO-RE relocations against these types too, before the built-in ones.
    pub fn btf(&mut self, types: Arc<Btf>) -> &mut Self {
        self.targets.push(types);
        self
    }

    /// The engine.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    pub(crate) fn host_kfunc(&self, index: u32) -> Option<&HostKfunc> {
        self.host.get(index as usize)
    }

    pub(crate) fn contexts(&self) -> &BTreeMap<String, Arc<HostContext>> {
        &self.contexts
    }

    pub(crate) fn targets(&self) -> &[Arc<Btf>] {
        &self.targets
    }

    /// Checks that the program's kfuncs are this linker's own and the built-in ones themselves.
    ///
    /// A host kfunc is bound by its number, but calls were proved against the prototype that stands in the program: under another
    /// linker's number, or with a prototype that somebody wrote, any function would be called with any words.
    pub(crate) fn own_kfuncs(&self, program: &Program) -> Result<(), LoadError> {
        let foreign = program.kfuncs.iter().find(|kfunc| {
            let known = match kfunc.identity {
                KfuncIdentity::Host(n) => self.host_kfunc(n).map(|host| Arc::clone(&host.kfunc)),
                KfuncIdentity::Builtin(builtin) => kfuncs::builtin(builtin).ok(),
                // Nothing is called: a program that names it is verified at most.
                KfuncIdentity::Unimplemented(_) => return false,
            };
            known.is_none_or(|known| !Arc::ptr_eq(&known, kfunc))
        });
        foreign.map_or(Ok(()), |kfunc| {
            Err(LoadError::OtherLinker { program: program.name.clone(), kfunc: kfunc.name.clone() })
        })
    }

    /// The kfunc that a program's extern of this name means.
    pub(crate) fn resolve(&self, name: &str) -> Option<Arc<Kfunc>> {
        if let Some(host) = self.names.get(name).and_then(|i| self.host.get(*i)) {
            return Some(Arc::clone(&host.kfunc));
        }
        let builtin = BuiltinKfunc::by_name(name)?;
        let known = kfuncs::builtin(builtin).ok()?;
        let implemented = builtin == BuiltinKfunc::Throw || crate::kfuncs::find(builtin).is_some();
        if implemented {
            return Some(known);
        }
        Some(Arc::new(Kfunc { identity: KfuncIdentity::Unimplemented(builtin), ..(*known).clone() }))
    }
}
