//! Names for what instructions of a linked program refer to, and its source lines.

use backstop::btf;
use backstop::isa::{Name, Pseudo};
use backstop::model::{LineInfo, Program, helpers};

/// What something in an instruction is called.
pub fn of(program: &Program, name: Name) -> Option<String> {
    match name {
        Name::Label(slot) => function_at(program, slot),
        Name::Helper(id) => helpers::name(u32::try_from(id).ok()?).map(|n| format!("bpf_{n}")),
        Name::Kfunc { id, .. } => program.kfuncs.get(usize::try_from(id).ok()?).map(|k| k.name.clone()),
        Name::Address { kind: Pseudo::MapIdx, imm, .. } => map(program, imm).map(|m| format!("map {m}")),
        Name::Address { kind: Pseudo::MapValueIdx, imm, next_imm } => {
            map(program, imm).map(|m| format!("value of map {m}+{next_imm}"))
        }
        Name::Address { .. } => None,
    }
}

fn map(program: &Program, index: i32) -> Option<&str> {
    program.maps.get(usize::try_from(index).ok()?).map(|m| m.name.as_str())
}

/// The name of the function that begins at a slot.
pub fn function_at(program: &Program, slot: usize) -> Option<String> {
    if slot == 0 {
        return Some(program.name.clone());
    }
    let info = program.func_info.iter().find(|f| f.slot as usize == slot)?;
    program.btf.as_ref().map(|btf| btf.name(info.func).to_owned()).filter(|n| !n.is_empty())
}

/// `file:line: text` of a source position.
pub fn source(program: &Program, at: &LineInfo) -> Option<String> {
    let types = program.btf.as_ref()?;
    let (file, text) = (types.str(btf::Name(at.file)), types.str(btf::Name(at.text)).trim());
    match at.line {
        0 => None,
        line => Some(format!("{file}:{line}: {text}")),
    }
}
