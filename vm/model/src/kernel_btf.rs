//! The kernel's own types (its BTF): where a proof takes them from, and the part of them that comes with this crate.
//!
//! A guest's declarations of the kernel's structs say nothing of where the kernel's fields lie, so they never stand in for these. The types
//! are parsed when a program first asks for one: a kernel's have megabytes.

use std::fmt;
use std::sync::{Arc, OnceLock};

use backstop_btf::{Btf, Kind, TypeId};

use crate::ProgType;

/// A part of the types of a Linux 6.18 on x86-64, by [`Btf::reduced`]: the structs that programs ask for most. Structs that they only
/// point to have no fields.
static REDUCED: &[u8] = include_bytes!("../data/kernel.btf");

type Source = Box<dyn Fn() -> Option<Arc<Btf>> + Send + Sync>;

struct Lazy {
    source: Source,
    read: OnceLock<Option<Arc<Btf>>>,
}

/// Where the kernel's types come from. The default is nowhere: then every program that asks for one is refused by name.
#[derive(Clone, Default)]
pub struct KernelBtf(Option<Arc<Lazy>>);

impl fmt::Debug for KernelBtf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match &self.0 {
            None => "none",
            Some(lazy) if lazy.read.get().is_some() => "read",
            Some(_) => "not read yet",
        };
        f.debug_tuple("KernelBtf").field(&state).finish()
    }
}

impl KernelBtf {
    /// These types.
    pub fn of(types: Arc<Btf>) -> KernelBtf {
        KernelBtf(Some(Arc::new(Lazy { source: Box::new(|| None), read: OnceLock::from(Some(types)) })))
    }

    /// Types that are read when they are first asked for; `None` if there are none.
    pub fn lazy(source: impl Fn() -> Option<Arc<Btf>> + Send + Sync + 'static) -> KernelBtf {
        KernelBtf(Some(Arc::new(Lazy { source: Box::new(source), read: OnceLock::new() })))
    }

    /// The part of Linux 6.18's types that comes with this crate, without a file.
    pub fn reduced() -> KernelBtf {
        KernelBtf::lazy(reduced_btf)
    }

    /// The types. The first call may read and parse them.
    pub fn get(&self) -> Option<&Arc<Btf>> {
        let lazy = self.0.as_ref()?;
        lazy.read.get_or_init(|| (lazy.source)()).as_ref()
    }

    /// Whether both are the same source.
    pub fn same(&self, other: &KernelBtf) -> bool {
        match (&self.0, &other.0) {
            (None, None) => true,
            (Some(a), Some(b)) => Arc::ptr_eq(a, b),
            _ => false,
        }
    }
}

/// The part of Linux 6.18's types that comes with this crate, parsed once.
pub fn reduced_btf() -> Option<Arc<Btf>> {
    static PARSED: OnceLock<Option<Arc<Btf>>> = OnceLock::new();
    PARSED.get_or_init(|| Btf::parse(REDUCED).ok().map(Arc::new)).clone()
}

/// The struct that the kernel itself has in the place of a program's context (Linux: `get_kern_ctx_btf_id`): what the kernel's list of
/// contexts says of the type.
///
/// # Errors
/// The type in the list that is no struct; nothing if the list has none of this type.
pub fn context_struct(btf: &Btf, ty: ProgType) -> Result<TypeId, Option<TypeId>> {
    let list = btf.find("bpf_ctx_convert", Kind::Struct).ok_or(None)?;
    let wanted = format!("BPF_PROG_TYPE_{}_kern", ty.name().to_uppercase());
    let member = btf.members(list).iter().find(|m| btf.str(m.name) == wanted).ok_or(None)?;
    if btf.kind(member.ty).is_composite() { Ok(member.ty) } else { Err(Some(member.ty)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_types_that_come_along_are_whole() {
        let btf = reduced_btf().expect("the reduced types parse");
        let task = btf.find("task_struct", Kind::Struct).expect("task_struct");
        assert!(btf.members(task).len() > 100);
        for marks in ["task_struct__safe_rcu", "mm_struct__safe_rcu_or_null", "file__safe_trusted"] {
            assert!(btf.find(marks, Kind::Struct).is_some(), "{marks}");
        }
        let skb = context_struct(&btf, ProgType::SchedCls).expect("a tc program's context");
        assert_eq!(btf.name(skb), "sk_buff");
        assert!(context_struct(&btf, ProgType::Tracepoint).is_err_and(|ty| ty.is_some()));
    }

    #[test]
    fn types_are_read_once_and_not_before_they_are_wanted() {
        use std::sync::atomic::{AtomicU32, Ordering};
        static READ: AtomicU32 = AtomicU32::new(0);
        let lazy = KernelBtf::lazy(|| {
            READ.fetch_add(1, Ordering::Relaxed);
            reduced_btf()
        });
        assert_eq!(READ.load(Ordering::Relaxed), 0);
        assert!(lazy.clone().get().is_some() && lazy.get().is_some());
        assert_eq!(READ.load(Ordering::Relaxed), 1);
        assert!(KernelBtf::default().get().is_none());
    }
}
