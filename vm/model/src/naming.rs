//! Names for what the instructions of a linked program refer to, and its source lines: one answer for listings, diagnostics and logs.

use backstop_isa::{Disasm, Instr, Name, Pseudo, decode};

use crate::{LineInfo, Program, helpers};

impl Program {
    /// What something in an instruction is called, if it has a name.
    pub fn name_of(&self, name: Name) -> Option<String> {
        match name {
            Name::Label(slot) => self.function_at(slot).map(str::to_owned),
            Name::Helper(id) => helpers::name(u32::try_from(id).ok()?).map(|n| format!("bpf_{n}")),
            Name::Kfunc { id, .. } => self.kfuncs.get(usize::try_from(id).ok()?).map(|k| k.name.clone()),
            Name::Address { kind: Pseudo::MapIdx, imm, .. } => self.map_name(imm).map(|m| format!("map {m}")),
            Name::Address { kind: Pseudo::MapValueIdx, imm, next_imm } => {
                self.map_name(imm).map(|m| format!("value of map {m}+{next_imm}"))
            }
            Name::Address { .. } => None,
        }
    }

    fn map_name(&self, index: i32) -> Option<&str> {
        self.maps.get(usize::try_from(index).ok()?).map(|m| m.name.as_str())
    }

    /// The name of the function that begins at a slot.
    pub fn function_at(&self, slot: usize) -> Option<&str> {
        if slot == 0 {
            return Some(&self.name);
        }
        let at = self.func_info.binary_search_by_key(&slot, |f| f.slot as usize).ok()?;
        let name = self.btf.as_ref()?.name(self.func_info.get(at)?.func);
        Some(name).filter(|n| !n.is_empty())
    }

    /// The text of the instruction at a slot, with names; none if there is no instruction.
    pub fn instruction_text(&self, slot: u32) -> Option<String> {
        let at = usize::try_from(slot).ok()?;
        let instr: Instr = decode(&self.slots, at).ok()?;
        let namer = |name| self.name_of(name);
        Some(Disasm::new(&namer).instr(at, &instr).to_string())
    }

    /// `file:line: text` of a source position.
    pub fn source_text(&self, at: &LineInfo) -> Option<String> {
        let types = self.btf.as_ref()?;
        let (file, text) = (types.str(backstop_btf::Name(at.file)), types.str(backstop_btf::Name(at.text)).trim());
        match at.line {
            0 => None,
            line => Some(format!("{file}:{line}: {text}")),
        }
    }
}
