//! Objects that keep to none of libbpf's conventions: which function runs, and where functions begin that no symbol names.
//!
//! Runners of ISA tests hand over code in `.text`, without types and sometimes without symbols, its calls resolved or left to
//! relocations. Nothing is guessed between several: what runs is the first by a rule that is written down, or an error says why none does.

use std::collections::{BTreeMap, BTreeSet};

use backstop_model::ProgKind;

use crate::elf::{Home, Symbol, SymbolKind};
use crate::env::LinkEnv;
use crate::error::LinkError;
use crate::functions::{Function, Functions, Visibility};
use crate::link::{LinkedProgram, MAX_SLOTS, slot_of};
use crate::object::Object;
use crate::relocate::LD_IMM64;

const TEXT: &str = ".text";

impl Object {
    /// Builds the one program of an object as `kind`, whatever its sections are called.
    ///
    /// What runs is the first global function outside `.text`; without one, the first in `.text`; without a global function at all, what
    /// begins at offset 0 of the only section with code (besides `.text`, if there are two). Functions begin where symbols say and
    /// where calls lead to.
    ///
    /// # Errors
    /// [`LinkError::NoCode`] and [`LinkError::NoEntry`], [`LinkError::TooLarge`] if the object holds more code than a program may have,
    /// and as [`Object::link`].
    pub fn link_entry(&self, kind: ProgKind, env: &dyn LinkEnv) -> Result<LinkedProgram, LinkError> {
        let slots: usize = self.functions.code.values().map(|code| code.len()).sum();
        if slots > MAX_SLOTS {
            return Err(LinkError::TooLarge { program: self.name.clone(), limit: MAX_SLOTS });
        }
        let functions = completed(self);
        let main = entry(self, &functions)?;
        self.link_main(&functions, main, kind, env)
    }
}

fn entry(object: &Object, functions: &Functions) -> Result<usize, LinkError> {
    let first = |wanted: fn(&Function) -> bool| functions.all.iter().position(wanted);
    if let Some(first) = first(|f| f.is_program).or_else(|| first(|f| f.visibility != Visibility::Static)) {
        return Ok(first);
    }
    let name = |section: usize| object.section_names.get(section).map_or("", String::as_str);
    let sections: BTreeSet<usize> = functions.code.keys().copied().collect();
    // `.text` holds what programs call; where it is all there is, it holds the program.
    let outside: Vec<usize> = sections.iter().copied().filter(|&s| name(s) != TEXT).collect();
    let home = match (outside.as_slice(), sections.first()) {
        ([], None) => return Err(LinkError::NoCode { object: object.name.clone() }),
        ([], Some(text)) => *text,
        ([one], _) => *one,
        (several, _) => {
            let sections: Vec<String> = several.iter().take(8).map(|&s| format!("`{}`", name(s))).collect();
            return Err(LinkError::NoEntry { object: object.name.clone(), sections: sections.join(", ") });
        }
    };
    functions.starting_at(home, 0).ok_or_else(|| LinkError::NoCode { object: object.name.clone() })
}

/// All code cut into functions: at symbols, at what calls lead to, and what is left between.
fn completed(object: &Object) -> Functions {
    let known = &object.functions;
    let labels = labels(object);
    let mut cuts: BTreeMap<usize, BTreeSet<usize>> = known.code.keys().map(|&s| (s, BTreeSet::from([0]))).collect();
    let mut cut = |section: usize, slot: usize| {
        cuts.entry(section).or_default().insert(slot);
    };
    known.all.iter().for_each(|f| [f.start, f.end].into_iter().for_each(|slot| cut(f.section_index, slot)));
    labels.keys().for_each(|&(section, slot)| cut(section, slot));
    for (&section, code) in &known.code {
        let mut at = 0;
        while let Some(slot) = code.get(at) {
            if let Some((target, byte)) = object.leads_to(section, at, slot)
                && let Some(slot) = slot_of(byte)
            {
                cut(target, slot);
            }
            at += if slot.code == LD_IMM64 { 2 } else { 1 };
        }
    }
    let mut all = Vec::new();
    for (&section, cuts) in &cuts {
        let len = known.code.get(&section).map_or(0, |code| code.len());
        let starts: Vec<usize> = cuts.range(..len).copied().collect();
        for (i, &start) in starts.iter().enumerate() {
            let end = starts.get(i + 1).copied().unwrap_or(len);
            let before = all.len();
            let named = known.starting_at(section, start).and_then(|first| known.all.get(first..)).unwrap_or_default();
            let same = named.iter().take_while(|f| (f.section_index, f.start) == (section, start));
            all.extend(same.map(|f| Function { end, ..f.clone() }));
            if all.len() == before {
                all.push(unnamed(object, section, start, end, labels.get(&(section, start)).copied()));
            }
        }
    }
    Functions::new(all, known.code.clone())
}

/// A function that no symbol of a function's type names; a global label may.
fn unnamed(object: &Object, section_index: usize, start: usize, end: usize, label: Option<&Symbol>) -> Function {
    let section = object.section_names.get(section_index).cloned().unwrap_or_default();
    let name = label.map(|symbol| symbol.name.clone()).unwrap_or_else(|| format!("{section}+{:#x}", start * 8));
    let visibility = if label.is_some() { Visibility::Global } else { Visibility::Static };
    let is_program = label.is_some() && section != TEXT;
    Function { name, section, visibility, start, end, is_program, section_index }
}

/// Global symbols without a type, as assemblers make of labels, by section and slot: where no symbol of a section says that it is a
/// function's, these do.
fn labels(object: &Object) -> BTreeMap<(usize, usize), &Symbol> {
    let typed: BTreeSet<usize> = object.functions.all.iter().map(|f| f.section_index).collect();
    let mut all = BTreeMap::new();
    for symbol in object.symbols.iter().filter(|s| s.kind == SymbolKind::Other && !s.local) {
        let Home::Section(section) = symbol.home else { continue };
        let inside = object.functions.code.get(&section).filter(|_| !typed.contains(&section)).map_or(0, |c| c.len());
        let slot = i64::try_from(symbol.value).ok().and_then(slot_of).filter(|&slot| slot < inside);
        if let Some(slot) = slot {
            all.entry((section, slot)).or_insert(symbol);
        }
    }
    all
}
