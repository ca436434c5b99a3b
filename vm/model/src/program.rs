//! A linked program: what the loader hands to the verifier.
//!
//! Life cycle: `object` (or the assembler, or a generator) makes it; nothing in it is trusted; the verifier reads it and keeps it
//! alive behind its proof. Instructions keep the kernel's own form, so that the same slots can be put before Linux:
//! maps are named by index (pseudo 5 and 6), subprograms by relative calls, kfuncs by index into [`Program::kfuncs`].

use std::sync::Arc;

use backstop_btf::{Btf, TypeId};
use backstop_isa::Slot;

use crate::{KfuncFlags, MapSpec, ProgKind};

/// A program with everything it names resolved, not yet proved.
#[derive(Clone, Debug)]
pub struct Program {
    /// The function's name in the object.
    pub name: String,
    /// The ELF section it came from (empty if it came from no object).
    pub section: String,
    /// Type, attach type and context.
    pub kind: ProgKind,
    /// The main function first, then every subprogram it can reach.
    pub slots: Vec<Slot>,
    /// Maps, named by index in 64-bit immediate loads.
    pub maps: Vec<Arc<MapSpec>>,
    /// Kfuncs, named by index in calls.
    pub kfuncs: Vec<Arc<Kfunc>>,
    /// The program's own types; needed for global subprograms, exception callbacks and source lines.
    pub btf: Option<Arc<Btf>>,
    /// Type of each function, by its first slot, ascending.
    pub func_info: Vec<FuncInfo>,
    /// Source positions, by slot, ascending.
    pub line_info: Vec<LineInfo>,
    /// Instructions that a CO-RE relocation could not resolve: slot and what was wanted.
    pub poisoned: Vec<Poisoned>,
    /// License string ("GPL" opens GPL-only helpers, as in Linux).
    pub license: String,
}

/// Type of the function that starts at a slot.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FuncInfo {
    /// First slot of the function.
    pub slot: u32,
    /// A FUNC type in the program's BTF.
    pub func: TypeId,
}

/// Source position of the instructions from a slot on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LineInfo {
    /// First slot of the range.
    pub slot: u32,
    /// Offset of the file's name in the BTF string table.
    pub file: u32,
    /// Offset of the line's text in the BTF string table.
    pub text: u32,
    /// Line number, from 1 (0: unknown).
    pub line: u32,
    /// Column, from 1 (0: unknown).
    pub column: u32,
}

/// An instruction that must not be reached: its CO-RE relocation found no match.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Poisoned {
    /// The instruction.
    pub slot: u32,
    /// What was wanted, in words (`field exists: struct foo.bar`).
    pub wanted: String,
}

/// A kfunc that a program calls.
#[derive(Clone, Debug)]
pub struct Kfunc {
    /// Name as declared (`bpf_throw`).
    pub name: String,
    /// Who implements it.
    pub identity: KfuncIdentity,
    /// What the verifier must know besides the prototype.
    pub flags: KfuncFlags,
    /// The types in which the prototype is written: built-in or the host's; never the program's own.
    pub btf: Arc<Btf>,
    /// The FUNC type in `btf`.
    pub func: TypeId,
}

/// Who implements a kfunc. Special rules go by this, never by name.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum KfuncIdentity {
    /// One of Backstop's own (see [`crate::BuiltinKfunc`]).
    Builtin(crate::BuiltinKfunc),
    /// The host's, by index in its linker.
    Host(u32),
    /// Known to the model as one of Linux's, but not implemented: the verifier judges it, `run` refuses it.
    Unimplemented(crate::BuiltinKfunc),
}

impl Program {
    /// The source position of a slot, if line info covers it.
    pub fn line_at(&self, slot: u32) -> Option<&LineInfo> {
        let after = self.line_info.partition_point(|l| l.slot <= slot);
        after.checked_sub(1).and_then(|i| self.line_info.get(i))
    }
}
