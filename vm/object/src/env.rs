//! What the outside offers to a program that is being linked.

use std::sync::Arc;

use backstop_btf::{Btf, Kind};
use backstop_model::{BuiltinKfunc, HostContext, Kfunc, kernel_types, kfuncs};

/// What the outside offers to a program that is being linked: kfuncs, types for CO-RE, addresses, context structs.
pub trait LinkEnv {
    /// The kfunc of this name, if there is one.
    fn kfunc(&self, name: &str) -> Option<Arc<Kfunc>>;

    /// Types that CO-RE relocations are resolved against. The first that has a candidate for a type counts.
    fn core_targets(&self) -> &[Arc<Btf>];

    /// The types of a kernel, for CO-RE relocations of types that no other target has, and for its variables. Asked only by
    /// objects that want such a thing: they may have to be read first.
    fn kernel_types(&self) -> Option<Arc<Btf>> {
        None
    }

    /// Whether there is a type of this name that the targets do not hold: the program's own copy of it is believed then.
    fn knows_type(&self) -> fn(&str) -> bool {
        |_| false
    }

    /// The number that an extern variable of `.ksyms` stands for, if there is one.
    fn ksym(&self, _name: &str) -> Option<u64> {
        None
    }

    /// The host's struct that `SEC("host/NAME")` asks for.
    fn host_context(&self, _name: &str) -> Option<Arc<HostContext>> {
        None
    }
}

/// The model's own kfuncs and types, and further types (such as a kernel's) before them.
#[derive(Clone, Debug)]
pub struct StandardEnv {
    targets: Vec<Arc<Btf>>,
    knows_type: fn(&str) -> bool,
}

impl StandardEnv {
    /// Built-in kfuncs and types, with `extra` types asked first.
    ///
    /// # Errors
    /// Only if the library was built with damaged built-in types.
    pub fn new(extra: impl IntoIterator<Item = Arc<Btf>>) -> Result<StandardEnv, kfuncs::BuiltinError> {
        let mut targets: Vec<_> = extra.into_iter().collect();
        let knows_type = known_type(&targets);
        targets.push(kfuncs::builtin_btf()?);
        Ok(StandardEnv { targets, knows_type })
    }
}

impl LinkEnv for StandardEnv {
    fn kfunc(&self, name: &str) -> Option<Arc<Kfunc>> {
        kfuncs::builtin(BuiltinKfunc::by_name(name)?).ok()
    }

    fn core_targets(&self) -> &[Arc<Btf>] {
        &self.targets
    }

    fn knows_type(&self) -> fn(&str) -> bool {
        self.knows_type
    }
}

/// What [`LinkEnv::knows_type`] says beside these types from outside: with a kernel's types at hand nothing is believed,
/// without any the structs that Linux 6.18 is known to have are.
pub fn known_type(given: &[Arc<Btf>]) -> fn(&str) -> bool {
    let kernel = given.iter().any(|btf| btf.find("task_struct", Kind::Struct).is_some());
    if kernel { |_| false } else { kernel_types::is_struct }
}
