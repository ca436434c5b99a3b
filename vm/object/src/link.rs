//! Linking: which functions make up a program, in which order, and what is known of their lines and types.
//!
//! The order is libbpf's: the main function, then each function at its first mention, followed at once by what it mentions
//! itself. Exception callbacks come last, with what they call. Work is bounded by [`MAX_SLOTS`], as each function is
//! taken once.

use std::collections::HashMap;
use std::sync::Arc;

use backstop_btf::{Kind, TypeId};
use backstop_isa::Slot;
use backstop_model::{FuncInfo, Kfunc, LineInfo, MapSpec, Poisoned, ProgKind, Program};

use crate::elf::{Home, Reloc};
use crate::env::LinkEnv;
use crate::error::LinkError;
use crate::functions::{Function, Functions};
use crate::object::Object;
use crate::relocate::{self, CALL, LD_IMM64, PSEUDO_CALL, PSEUDO_FUNC};

/// Most slots of a linked program (Linux: `BPF_COMPLEXITY_LIMIT_INSNS`).
pub const MAX_SLOTS: usize = 1_000_000;

const CALLBACK_TAG: &str = "exception_callback:";

/// A program ready for the verifier.
#[derive(Clone, Debug)]
pub struct LinkedProgram {
    /// The program.
    pub program: Program,
    /// For each of the program's maps, its index in [`Object::maps`].
    pub map_indices: Vec<usize>,
}

/// State of one link.
pub(crate) struct Linker<'a> {
    pub object: &'a Object,
    pub functions: &'a Functions,
    pub env: &'a dyn LinkEnv,
    pub program: &'a str,
    /// Functions taken, in order, with their first slot in the program.
    pub taken: Vec<(usize, usize)>,
    starts: HashMap<usize, usize>,
    pub slots: Vec<Slot>,
    pub maps: Vec<Arc<MapSpec>>,
    pub map_indices: Vec<usize>,
    pub map_numbers: HashMap<usize, i32>,
    pub kfuncs: Vec<Arc<Kfunc>>,
    pub kfunc_numbers: HashMap<String, i32>,
    pub poisoned: Vec<Poisoned>,
}

impl Object {
    /// Builds one program: as if it alone were loaded.
    ///
    /// # Errors
    /// If the program does not exist, its section says no type, a symbol is undefined, or code, relocations and types
    /// contradict each other. Each error names the instruction and, where known, its source line.
    pub fn link(&self, program: &str, env: &dyn LinkEnv) -> Result<LinkedProgram, LinkError> {
        let (main, def) = self.program_function(program).ok_or_else(|| {
            let known: Vec<String> = self.programs().take(8).map(|p| format!("`{}`", p.name)).collect();
            let known = if known.is_empty() { String::new() } else { format!("; it has {}", known.join(", ")) };
            LinkError::NoProgram { object: self.name.clone(), program: program.to_owned(), known }
        })?;
        let def = def.as_ref().map_err(|source| {
            let (program, source) = (program.to_owned(), source.clone());
            LinkError::Section { program, source }
        })?;
        let mut kind = def.kind.clone();
        if let Some(name) = &def.host {
            bind_host(&mut kind, self, main, name, env)?;
        }
        self.link_main(&self.functions, main, kind, env)
    }

    /// Builds the program whose main function has this index among `functions`.
    pub(crate) fn link_main(
        &self,
        functions: &Functions,
        main: usize,
        kind: ProgKind,
        env: &dyn LinkEnv,
    ) -> Result<LinkedProgram, LinkError> {
        let name = functions.all.get(main).map_or("", |f| &f.name);
        let mut linker = Linker::new(self, functions, env, name);
        linker.take_all(main)?;
        for callback in self.exception_callbacks(functions, main) {
            linker.take_all(callback)?;
        }
        relocate::apply(&mut linker)?;
        linker.check_maps()?;
        Ok(linker.finish(kind, main))
    }

    /// Functions that decl tags on a main function name as its exception callback. Whether the tags are right is the
    /// verifier's to say: it reads them again.
    fn exception_callbacks(&self, functions: &Functions, main: usize) -> Vec<usize> {
        let Some((btf, function)) = self.btf.as_ref().zip(functions.all.get(main)) else { return Vec::new() };
        let ty = self.function_type(function).or_else(|| btf.find(&function.name, Kind::Func));
        let Some(ty) = ty else { return Vec::new() };
        let names = btf.decl_tags(ty, None).filter_map(|tag| tag.strip_prefix(CALLBACK_TAG));
        names.filter_map(|name| functions.named(name)).collect()
    }

    /// The relocation of a slot of a section.
    pub(crate) fn reloc_at(&self, section: usize, slot: usize) -> Option<&Reloc> {
        let list = self.relocs.get(&section)?;
        let offset = slot as u64 * 8;
        list.binary_search_by_key(&offset, |r| r.offset).ok().and_then(|i| list.get(i))
    }

    /// Section and byte that an instruction calls or takes the address of, if it does. `at` is its slot in its section.
    pub(crate) fn leads_to(&self, section: usize, at: usize, slot: &Slot) -> Option<(usize, i64)> {
        match (slot.code, slot.src, self.reloc_at(section, at)) {
            (CALL, PSEUDO_CALL, None) | (LD_IMM64, PSEUDO_FUNC, None) => Some((section, next(at, slot))),
            (CALL, PSEUDO_CALL, Some(r)) => {
                let (section, value) = self.code_symbol(r)?;
                Some((section, value.saturating_add(next(0, slot))))
            }
            (LD_IMM64, _, Some(r)) => {
                let (section, value) = self.code_symbol(r)?;
                Some((section, value.saturating_add(i64::from(slot.imm))))
            }
            _ => None,
        }
    }

    /// Section and value of a relocation's symbol, if it lies in code.
    fn code_symbol(&self, reloc: &Reloc) -> Option<(usize, i64)> {
        let symbol = self.symbols.get(reloc.symbol)?;
        let Home::Section(section) = symbol.home else { return None };
        self.functions.code.contains_key(&section).then_some(())?;
        Some((section, i64::try_from(symbol.value).unwrap_or(i64::MAX)))
    }
}

fn bind_host(
    kind: &mut ProgKind,
    object: &Object,
    main: usize,
    name: &str,
    env: &dyn LinkEnv,
) -> Result<(), LinkError> {
    let function = object.functions.all.get(main);
    kind.host = Some(env.host_context(name).ok_or_else(|| LinkError::NoHostContext {
        program: function.map_or_else(String::new, |f| f.name.clone()),
        section: function.map_or_else(String::new, |f| f.section.clone()),
        name: name.to_owned(),
    })?);
    Ok(())
}

impl<'a> Linker<'a> {
    fn new(object: &'a Object, functions: &'a Functions, env: &'a dyn LinkEnv, program: &'a str) -> Linker<'a> {
        Linker {
            object,
            functions,
            env,
            program,
            taken: Vec::new(),
            starts: HashMap::new(),
            slots: Vec::new(),
            maps: Vec::new(),
            map_indices: Vec::new(),
            map_numbers: HashMap::new(),
            kfuncs: Vec::new(),
            kfunc_numbers: HashMap::new(),
            poisoned: Vec::new(),
        }
    }

    pub(crate) fn function(&self, index: usize) -> Option<&'a Function> {
        self.functions.all.get(index)
    }

    /// Where a function begins in the program, if it was taken.
    pub(crate) fn start_of(&self, function: usize) -> Option<usize> {
        self.starts.get(&function).copied()
    }

    /// Takes a function and all that it mentions, each at its first mention.
    fn take_all(&mut self, root: usize) -> Result<(), LinkError> {
        // Functions whose mentions are being gone through; the last entry is the innermost.
        let mut open = Vec::new();
        open.extend(self.take(root)?);
        while let Some(mentions) = open.last_mut() {
            match mentions.next() {
                Some(next) => open.extend(self.take(next)?),
                None => {
                    open.pop();
                }
            }
        }
        Ok(())
    }

    /// Appends a function unless it is there already; gives what it mentions.
    fn take(&mut self, index: usize) -> Result<Option<std::vec::IntoIter<usize>>, LinkError> {
        if self.starts.contains_key(&index) {
            return Ok(None);
        }
        let Some(function) = self.function(index) else { return Ok(None) };
        let code = self.functions.slots(function);
        if self.slots.len().saturating_add(code.len()) > MAX_SLOTS {
            return Err(LinkError::TooLarge { program: self.program.to_owned(), limit: MAX_SLOTS });
        }
        self.starts.insert(index, self.slots.len());
        self.taken.push((index, self.slots.len()));
        self.slots.extend_from_slice(code);
        Ok(Some(self.mentions(function, code)?.into_iter()))
    }

    fn mentions(&self, function: &Function, code: &[Slot]) -> Result<Vec<usize>, LinkError> {
        let mut all = Vec::new();
        for (i, slot) in code.iter().enumerate() {
            all.extend(self.mention(function, function.start + i, slot)?);
        }
        Ok(all)
    }

    /// The function that an instruction calls or takes the address of, if it does. `at` is its slot in the section.
    pub(crate) fn mention(&self, function: &Function, at: usize, slot: &Slot) -> Result<Option<usize>, LinkError> {
        let Some((section, target)) = self.object.leads_to(function.section_index, at, slot) else { return Ok(None) };
        let found = slot_of(target).and_then(|slot| self.functions.starting_at(section, slot));
        match found {
            Some(index) => Ok(Some(index)),
            None => Err(LinkError::BadCallTarget {
                program: self.program.to_owned(),
                place: Box::new(self.object.place(function, at)),
                section: self.object.section_names.get(section).cloned().unwrap_or_default(),
                target,
            }),
        }
    }

    /// The maps must be possible by now: sizes that an object leaves open are the host's to set.
    fn check_maps(&self) -> Result<(), LinkError> {
        for (spec, index) in self.maps.iter().zip(&self.map_indices) {
            spec.validate().map_err(|source| LinkError::Map {
                program: self.program.to_owned(),
                section: self.object.maps.get(*index).map_or_else(String::new, |m| m.section.clone()),
                source: Box::new(source),
            })?;
        }
        Ok(())
    }

    fn finish(self, kind: ProgKind, main: usize) -> LinkedProgram {
        let mut func_info = Vec::new();
        let mut line_info = Vec::new();
        for &(index, start) in &self.taken {
            if let Some(function) = self.function(index) {
                self.describe(function, start, &mut func_info, &mut line_info);
            }
        }
        let main = self.function(main);
        let program = Program {
            name: self.program.to_owned(),
            section: main.map_or_else(String::new, |f| f.section.clone()),
            kind,
            slots: self.slots,
            maps: self.maps,
            kfuncs: self.kfuncs,
            btf: self.object.btf.clone(),
            func_info,
            line_info,
            poisoned: self.poisoned,
            license: self.object.license.clone(),
        };
        LinkedProgram { program, map_indices: self.map_indices }
    }

    /// Function and line information of one function, moved to where it lies in the program.
    fn describe(
        &self,
        function: &Function,
        start: usize,
        func_info: &mut Vec<FuncInfo>,
        line_info: &mut Vec<LineInfo>,
    ) {
        let (from, to) = (function.offset(), function.end as u64 * 8);
        let slot = |insn_off: u32| {
            let inside = u64::from(insn_off).saturating_sub(from) / 8;
            u32::try_from(inside.saturating_add(start as u64)).unwrap_or(u32::MAX)
        };
        let debug = &self.object.debug;
        // One function has one type; a second record inside it would be refused by Linux.
        let types = debug.funcs(&function.section, from, from.saturating_add(1)).first();
        func_info.extend(types.map(|f| FuncInfo { slot: slot(f.insn_off), func: f.func }));
        line_info.extend(debug.lines(&function.section, from, to).iter().map(|l| LineInfo {
            slot: slot(l.insn_off),
            file: l.file.0,
            text: l.text.0,
            line: l.line,
            column: l.column,
        }));
    }

    /// Type of an extern's declaration in the object's BTF.
    pub(crate) fn extern_type(&self, symbol: usize) -> Option<TypeId> {
        self.object.externs.get(&symbol)?.ty
    }
}

/// The slot that begins at a byte of a section, if one does.
pub(crate) fn slot_of(byte: i64) -> Option<usize> {
    usize::try_from(byte / 8).ok().filter(|_| byte % 8 == 0 && byte >= 0)
}

/// Byte that a relative call at a slot leads to.
fn next(at: usize, slot: &Slot) -> i64 {
    let at = i64::try_from(at).unwrap_or(i64::MAX / 16);
    at.saturating_add(i64::from(slot.imm)).saturating_add(1).saturating_mul(8)
}
