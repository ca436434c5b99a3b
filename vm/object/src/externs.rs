//! What an object expects from outside: kfuncs, kernel variables, configuration values.

use std::collections::HashMap;

use backstop_btf::{Btf, Kind, TypeId};

use crate::elf::{Elf, Home};

/// What an extern is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum ExternKind {
    /// A function of `.ksyms`.
    Kfunc,
    /// A variable of `.ksyms`.
    Variable,
    /// A variable of `.kconfig`.
    Kconfig,
    /// Neither: the object's BTF does not say.
    Unknown,
}

/// A symbol that the object does not define.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Extern {
    /// Name.
    pub name: String,
    /// What it is.
    pub kind: ExternKind,
    /// The program can do without it.
    pub weak: bool,
    /// Its FUNC or VAR in the object's BTF.
    pub ty: Option<TypeId>,
}

/// All externs, by symbol number.
pub(crate) fn collect(elf: &Elf<'_>, btf: Option<&Btf>) -> HashMap<usize, Extern> {
    let declared = btf.map(declared).unwrap_or_default();
    let undefined = |(i, s): (usize, &crate::elf::Symbol)| {
        if s.home != Home::Undefined || s.name.is_empty() {
            return None;
        }
        let (kind, ty) = declared.get(s.name.as_str()).map_or((ExternKind::Unknown, None), |&(k, t)| (k, Some(t)));
        Some((i, Extern { name: s.name.clone(), kind, weak: s.weak, ty }))
    };
    elf.symbols.iter().enumerate().filter_map(undefined).collect()
}

fn declared(btf: &Btf) -> HashMap<&str, (ExternKind, TypeId)> {
    let mut all = HashMap::new();
    let sections = [(".ksyms", ExternKind::Variable), (".kconfig", ExternKind::Kconfig)];
    for (name, kind) in sections {
        let Some(section) = btf.find(name, Kind::Datasec) else { continue };
        for var in btf.datasec_vars(section) {
            let kind = if btf.kind(var.ty) == Kind::Func { ExternKind::Kfunc } else { kind };
            all.insert(btf.name(var.ty), (kind, var.ty));
        }
    }
    all
}

/// Where a `.kconfig` variable lies in their map, and its bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct KconfigPlace {
    pub offset: u32,
    pub size: u32,
}

/// Layout of the `.kconfig` variables as one block of memory: place by name, and its size.
///
/// All are zero at first; there is no kernel configuration but what the host gives.
pub(crate) fn kconfig_layout(btf: &Btf) -> (HashMap<String, KconfigPlace>, u32) {
    let mut offsets = HashMap::new();
    let mut end = 0u32;
    let section = btf.find(".kconfig", Kind::Datasec);
    for var in section.map_or(&[][..], |s| btf.datasec_vars(s)) {
        let (Some(at), true) = (end.checked_next_multiple_of(8), var.size > 0) else { continue };
        let Some(next) = at.checked_add(var.size).filter(|&n| u64::from(n) <= crate::MAX_DATA_BYTES) else { continue };
        offsets.insert(btf.name(var.ty).to_owned(), KconfigPlace { offset: at, size: var.size });
        end = next;
    }
    (offsets, end)
}
