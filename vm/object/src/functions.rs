//! The functions of an object: which bytes of which section, and which of them are programs.

use std::collections::HashMap;
use std::sync::Arc;

use backstop_isa::Slot;

use crate::elf::{Elf, Section, Symbol, SymbolKind};
use crate::error::ObjectError;

/// Who sees a function.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Visibility {
    /// Its file only: followed in place by the verifier.
    Static,
    /// Everyone: proved once, by its types.
    Global,
    /// As `Global`, and another definition may replace it.
    Weak,
    /// Global for the linker, static for the verifier.
    Hidden,
}

/// One function of an object.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Function {
    /// Name.
    pub name: String,
    /// Name of its section.
    pub section: String,
    /// Who sees it.
    pub visibility: Visibility,
    /// First slot in its section.
    pub start: usize,
    /// Slot after the last.
    pub end: usize,
    /// It can be run by the host: not static, and not in `.text`.
    pub is_program: bool,
    pub(crate) section_index: usize,
}

impl Function {
    /// Byte offset in its section.
    pub fn offset(&self) -> u64 {
        self.start as u64 * 8
    }
}

/// Functions and the code that they lie in.
#[derive(Debug)]
pub(crate) struct Functions {
    /// By section, then by first slot.
    pub all: Vec<Function>,
    /// Code of each section that has any.
    pub code: HashMap<usize, Arc<[Slot]>>,
    by_name: HashMap<String, usize>,
}

impl Functions {
    pub(crate) fn collect(elf: &Elf<'_>) -> Result<Functions, ObjectError> {
        let mut all = Vec::new();
        let mut code = HashMap::new();
        for (index, section) in elf.sections.iter().enumerate().filter(|(_, s)| s.is_code()) {
            if section.data.is_empty() {
                continue;
            }
            code.insert(index, slots(elf, section)?);
            functions_of(elf, index, section, &mut all)?;
        }
        check_names(elf, &all)?;
        Ok(Functions::new(all, code))
    }

    /// `all` is sorted by section, then by first slot.
    pub(crate) fn new(all: Vec<Function>, code: HashMap<usize, Arc<[Slot]>>) -> Functions {
        Functions { by_name: by_name(&all), all, code }
    }

    /// Index of the function of this name; of several the one that others can see.
    pub(crate) fn named(&self, name: &str) -> Option<usize> {
        self.by_name.get(name).copied()
    }

    /// The function that begins at a slot of a section.
    pub(crate) fn starting_at(&self, section: usize, slot: usize) -> Option<usize> {
        let key = (section, slot);
        let at = self.all.partition_point(|f| (f.section_index, f.start) < key);
        self.all.get(at).filter(|f| (f.section_index, f.start) == key).map(|_| at)
    }

    /// The slots of a function.
    pub(crate) fn slots(&self, function: &Function) -> &[Slot] {
        let code = self.code.get(&function.section_index).map_or(&[][..], |c| c);
        code.get(function.start..function.end).unwrap_or(&[])
    }
}

fn by_name(functions: &[Function]) -> HashMap<String, usize> {
    let mut all: HashMap<String, usize> = HashMap::new();
    let visible = |f: &&Function| f.visibility != Visibility::Static;
    for (i, function) in functions.iter().enumerate() {
        let known = all.get(&function.name).and_then(|&k| functions.get(k));
        let better = known.is_none_or(|k| !visible(&k) && visible(&function) || function.is_program && !k.is_program);
        if better {
            all.insert(function.name.clone(), i);
        }
    }
    all
}

fn slots(elf: &Elf<'_>, section: &Section<'_>) -> Result<Arc<[Slot]>, ObjectError> {
    let (chunks, rest) = section.data.as_chunks::<8>();
    if !rest.is_empty() {
        return Err(ObjectError::Section {
            object: elf.object.to_owned(),
            section: section.name.clone(),
            why: format!(
                "its {} bytes are no whole number of 8-byte instructions; the file is cut or corrupt, rebuild it",
                section.data.len()
            ),
        });
    }
    Ok(chunks.iter().map(|b| Slot::from_bytes(*b)).collect())
}

fn functions_of(
    elf: &Elf<'_>,
    index: usize,
    section: &Section<'_>,
    all: &mut Vec<Function>,
) -> Result<(), ObjectError> {
    let mut symbols: Vec<&Symbol> = elf.symbols_of(index).filter(|s| s.kind == SymbolKind::Function).collect();
    // Two names of one place: the one that others can see comes first and is what calls lead to.
    symbols.sort_by_key(|s| (s.value, s.local));
    let mut reached = 0u64;
    let mut last_start = None;
    for (i, symbol) in symbols.iter().enumerate() {
        let fail = |why: String| {
            let (object, section, function) = (elf.object.to_owned(), section.name.clone(), symbol.name.clone());
            ObjectError::Function { object, section, function, offset: symbol.value, why }
        };
        let next = symbols.get(i + 1).map_or(section.size, |n| n.value);
        let size = if symbol.size == 0 { next.saturating_sub(symbol.value) } else { symbol.size };
        let end = symbol.value.checked_add(size).filter(|&end| end <= section.size);
        let Some(end) = end else {
            return Err(fail(format!(
                "its {size} bytes go beyond the section of {}; rebuild the object",
                section.size
            )));
        };
        if symbol.value % 8 != 0 || size % 8 != 0 || size == 0 {
            return Err(fail(format!("its size of {size} bytes or its place is no whole number of instructions")));
        }
        let alias = last_start == Some(symbol.value) && end == reached;
        if symbol.value < reached && !alias {
            return Err(fail("it overlaps the function before it; rebuild the object".to_owned()));
        }
        reached = end;
        last_start = Some(symbol.value);
        let visibility = match (symbol.local, symbol.hidden, symbol.weak) {
            (true, _, _) => Visibility::Static,
            (_, true, _) => Visibility::Hidden,
            (_, _, true) => Visibility::Weak,
            _ => Visibility::Global,
        };
        all.push(Function {
            name: symbol.name.clone(),
            section: section.name.clone(),
            visibility,
            start: (symbol.value / 8) as usize,
            end: (end / 8) as usize,
            is_program: !symbol.local && section.name != ".text",
            section_index: index,
        });
    }
    Ok(())
}

fn check_names(elf: &Elf<'_>, all: &[Function]) -> Result<(), ObjectError> {
    let mut seen: HashMap<&str, &Function> = HashMap::new();
    for function in all.iter().filter(|f| f.is_program) {
        if let Some(first) = seen.insert(&function.name, function) {
            return Err(ObjectError::DuplicateProgram {
                object: elf.object.to_owned(),
                name: function.name.clone(),
                first: first.section.clone(),
                second: function.section.clone(),
            });
        }
    }
    Ok(())
}
