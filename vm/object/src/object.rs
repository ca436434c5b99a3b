//! An opened object: programs, functions, maps, globals, externs. Nothing is resolved and nothing is trusted yet.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use backstop_btf::{Btf, BtfExt, CoreRelo, ExtSection, LineInfo, TypeId};
use backstop_model::sections::{self, SectionDef, SectionError};
use backstop_model::{MapSpec, ProgKind};

use crate::btf_fix;
use crate::data::{self, Global};
use crate::elf::{Elf, Home, Reloc, Symbol, SymbolKind};
use crate::error::{ObjectError, Place};
use crate::externs::{self, Extern};
use crate::functions::{Function, Functions, Visibility};
use crate::maps::{self, Map};

/// A program of an object.
#[derive(Clone, PartialEq, Debug)]
pub struct ProgramInfo {
    /// Name of its main function.
    pub name: String,
    /// ELF section.
    pub section: String,
    /// Byte offset of its main function in the section.
    pub offset: u64,
    /// Instruction slots of its main function.
    pub slots: usize,
    /// What the section's name says, or why it says nothing.
    pub kind: Result<SectionDef, SectionError>,
    /// Loaded when the object is loaded as a whole.
    pub autoload: bool,
}

/// A map of an object.
#[derive(Clone, Debug)]
pub struct MapInfo {
    /// The description. Programs that use the same map share it.
    pub spec: Arc<MapSpec>,
    /// ELF section that declares it (`.maps`, `.rodata`, ...).
    pub section: String,
}

/// A relocation of an object, for listings.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RelocInfo {
    /// Section that it changes.
    pub section: String,
    /// Byte offset in that section.
    pub offset: u64,
    /// Kind as LLVM names it, or the question that a CO-RE relocation asks.
    pub kind: String,
    /// Symbol (with `+n` for an offset), or type and access of a CO-RE relocation.
    pub target: String,
}

/// An opened object.
#[derive(Debug)]
pub struct Object {
    pub(crate) name: String,
    pub(crate) license: String,
    pub(crate) btf: Option<Arc<Btf>>,
    pub(crate) functions: Functions,
    programs: Vec<(usize, Result<SectionDef, SectionError>)>,
    pub(crate) maps: Vec<MapInfo>,
    /// Maps by section and offset of their declaration; data maps at offset 0.
    pub(crate) map_at: HashMap<(usize, u64), usize>,
    /// Data maps by section, and the arena by the section of its variables.
    pub(crate) data_maps: HashMap<usize, usize>,
    globals: Vec<Global>,
    pub(crate) externs: HashMap<usize, Extern>,
    /// The map of `.kconfig` variables and their places in it.
    pub(crate) kconfig: Option<(usize, HashMap<String, externs::KconfigPlace>)>,
    /// Those that were given a value.
    pub(crate) kconfig_given: HashSet<String>,
    pub(crate) symbols: Vec<Symbol>,
    pub(crate) relocs: HashMap<usize, Vec<Reloc>>,
    pub(crate) section_names: Vec<String>,
    pub(crate) debug: DebugInfo,
    notes: Vec<String>,
}

/// `.BTF.ext` with its sections found by name at once.
#[derive(Debug, Default)]
pub(crate) struct DebugInfo {
    funcs: HashMap<String, Vec<backstop_btf::FuncInfo>>,
    lines: HashMap<String, Vec<LineInfo>>,
    relos: HashMap<String, Vec<CoreRelo>>,
}

fn by_section<R>(sections: Vec<ExtSection<R>>) -> HashMap<String, Vec<R>> {
    sections.into_iter().map(|s| (s.name, s.records)).collect()
}

/// The records of a byte range, where records are sorted by offset.
fn within<R>(records: Option<&Vec<R>>, from: u64, to: u64, offset: impl Fn(&R) -> u32) -> &[R] {
    let all = records.map_or(&[][..], Vec::as_slice);
    let start = all.partition_point(|r| u64::from(offset(r)) < from);
    let end = all.partition_point(|r| u64::from(offset(r)) < to);
    all.get(start..end).unwrap_or(&[])
}

impl DebugInfo {
    fn new(ext: BtfExt) -> DebugInfo {
        DebugInfo { funcs: by_section(ext.funcs), lines: by_section(ext.lines), relos: by_section(ext.relos) }
    }

    pub(crate) fn funcs(&self, section: &str, from: u64, to: u64) -> &[backstop_btf::FuncInfo] {
        within(self.funcs.get(section), from, to, |r| r.insn_off)
    }

    pub(crate) fn lines(&self, section: &str, from: u64, to: u64) -> &[LineInfo] {
        within(self.lines.get(section), from, to, |r| r.insn_off)
    }

    pub(crate) fn relos(&self, section: &str, from: u64, to: u64) -> &[CoreRelo] {
        within(self.relos.get(section), from, to, |r| r.insn_off)
    }

    fn line_at(&self, section: &str, offset: u64) -> Option<&LineInfo> {
        self.lines(section, 0, offset.saturating_add(1)).last()
    }
}

impl Object {
    /// Opens an object from its bytes. `name` is what messages and libbpf's map names call it (a file name without
    /// directory and extension).
    ///
    /// # Errors
    /// Names the section, symbol and byte that is wrong and what to do. Damaged input of any kind gives an error.
    pub fn parse(bytes: &[u8], name: &str) -> Result<Object, ObjectError> {
        Object::parse_with(bytes, name, &|_| None)
    }

    /// As [`Object::parse`], with section names of the host's own: asked first, without the `?`.
    ///
    /// # Errors
    /// As [`Object::parse`].
    pub fn parse_with(
        bytes: &[u8],
        name: &str,
        custom: &dyn Fn(&str) -> Option<ProgKind>,
    ) -> Result<Object, ObjectError> {
        let elf = Elf::parse(bytes, name)?;
        refuse_sections(&elf)?;
        let functions = Functions::collect(&elf)?;
        let btf = read_btf(&elf, &functions)?;
        let debug = read_debug(&elf, btf.as_deref())?;
        let mut notes = notes(&elf);
        let mut maps = maps::collect(&elf, btf.as_ref(), &functions, &mut notes)?;
        data::collect(&elf, btf.as_ref(), &mut maps)?;
        let arena = data::arena(&elf, &maps, &mut notes)?;
        let globals = data::globals(&elf, btf.as_deref(), &maps);
        let externs = externs::collect(&elf, btf.as_deref());
        let kconfig = btf.as_deref().map(externs::kconfig_layout).filter(|(_, size)| *size > 0);
        let kconfig = kconfig.map(|(offsets, size)| {
            maps.push(data::kconfig_map(name, size));
            (maps.len() - 1, offsets)
        });
        let programs = programs(&functions, custom);
        let mut object = Object {
            name: name.to_owned(),
            license: license(&elf),
            btf,
            programs,
            map_at: maps.iter().enumerate().map(|(i, m)| ((m.section_index, m.offset), i)).collect(),
            data_maps: data_maps(&elf, &maps).chain(arena).collect(),
            maps: maps.into_iter().map(|m| MapInfo { spec: m.spec, section: m.section }).collect(),
            globals,
            externs,
            kconfig,
            kconfig_given: HashSet::new(),
            section_names: elf.sections.iter().map(|s| s.name.clone()).collect(),
            notes,
            relocs: elf.relocs,
            symbols: elf.symbols,
            functions,
            debug,
        };
        object.default_kconfig();
        Ok(object)
    }

    /// The name given when it was opened.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The license that the object states; empty if it states none.
    pub fn license(&self) -> &str {
        &self.license
    }

    /// The object's types, with section variables placed.
    pub fn btf(&self) -> Option<&Arc<Btf>> {
        self.btf.as_ref()
    }

    /// All programs, in the order of their sections.
    pub fn programs(&self) -> impl Iterator<Item = ProgramInfo> + '_ {
        self.programs.iter().filter_map(|(index, kind)| {
            let function = self.functions.all.get(*index)?;
            Some(ProgramInfo {
                name: function.name.clone(),
                section: function.section.clone(),
                offset: function.offset(),
                slots: function.end - function.start,
                autoload: kind.as_ref().is_ok_and(|k| k.autoload),
                kind: kind.clone(),
            })
        })
    }

    /// The program of this name.
    pub fn program(&self, name: &str) -> Option<ProgramInfo> {
        self.programs().find(|p| p.name == name)
    }

    pub(crate) fn program_function(&self, name: &str) -> Option<(usize, &Result<SectionDef, SectionError>)> {
        let index = self.functions.named(name)?;
        self.programs.iter().find(|(i, _)| *i == index).map(|(i, kind)| (*i, kind))
    }

    /// All functions, programs' main functions among them.
    pub fn functions(&self) -> &[Function] {
        &self.functions.all
    }

    /// All maps: of `.maps`, of `maps`, then global data. A map's position is its index in
    /// [`crate::LinkedProgram::map_indices`].
    pub fn maps(&self) -> &[MapInfo] {
        &self.maps
    }

    /// Index of a map by its name, or of a data map by its section.
    pub fn map_index(&self, name: &str) -> Option<usize> {
        let named = self.maps.iter().position(|m| m.spec.name == name);
        named.or_else(|| self.maps.iter().position(|m| m.section == name && name.starts_with('.')))
    }

    /// All global variables.
    pub fn globals(&self) -> &[Global] {
        &self.globals
    }

    /// The global variable of this name.
    pub fn global(&self, name: &str) -> Option<&Global> {
        self.globals.iter().find(|g| g.name == name)
    }

    /// The bytes that a global variable will have at load.
    pub fn global_bytes(&self, name: &str) -> Option<Vec<u8>> {
        let global = self.global(name)?;
        let spec = &self.maps.get(global.map)?.spec;
        match &spec.initial {
            Some(bytes) => {
                let from = global.offset as usize;
                bytes.get(from..from.checked_add(global.size as usize)?).map(<[u8]>::to_vec)
            }
            None => Some(vec![0; global.size as usize]),
        }
    }

    /// Sets a global variable, `.rodata` too, for programs that are linked from now on.
    ///
    /// # Errors
    /// If there is no such variable, or it has another size.
    pub fn set_global_bytes(&mut self, name: &str, bytes: &[u8]) -> Result<(), ObjectError> {
        let Some(global) = self.globals.iter().find(|g| g.name == name) else {
            let known: Vec<&str> = self.globals.iter().map(|g| g.name.as_str()).take(8).collect();
            let (object, known) = (self.name.clone(), known.join(", "));
            return Err(ObjectError::NoGlobal { object, name: name.to_owned(), known });
        };
        if bytes.len() as u64 != u64::from(global.size) {
            let (object, name, given) = (self.name.clone(), name.to_owned(), bytes.len());
            return Err(ObjectError::GlobalSize { object, name, size: global.size, given });
        }
        let from = global.offset as usize;
        if let Some(map) = self.maps.get_mut(global.map) {
            let spec = Arc::make_mut(&mut map.spec);
            let mut content = match &spec.initial {
                Some(initial) => initial.to_vec(),
                None => vec![0; spec.value_size as usize],
            };
            if let Some(place) = content.get_mut(from..).and_then(|c| c.get_mut(..bytes.len())) {
                place.copy_from_slice(bytes);
            }
            spec.initial = Some(content.into());
        }
        Ok(())
    }

    /// Symbols that the object expects from outside, by name.
    pub fn externs(&self) -> Vec<&Extern> {
        let mut all: Vec<&Extern> = self.externs.values().collect();
        all.sort_by(|a, b| a.name.cmp(&b.name));
        all
    }

    /// All relocations of code and maps, and all CO-RE relocations, by section and offset.
    pub fn relocations(&self) -> Vec<RelocInfo> {
        let mut all: Vec<RelocInfo> = Vec::new();
        for (section, relocs) in &self.relocs {
            for reloc in relocs {
                all.push(RelocInfo {
                    section: self.section_names.get(*section).cloned().unwrap_or_default(),
                    offset: reloc.offset,
                    kind: reloc_kind(reloc.kind),
                    target: self.symbol_text(reloc.symbol),
                });
            }
        }
        if let Some(btf) = &self.btf {
            for (section, relos) in &self.debug.relos {
                all.extend(relos.iter().map(|r| RelocInfo {
                    section: section.clone(),
                    offset: u64::from(r.insn_off),
                    kind: r.kind.to_string(),
                    target: format!("{} ({})", btf.type_name(r.ty), btf.str(r.access)),
                }));
            }
        }
        all.sort_by(|a, b| (&a.section, a.offset, &a.kind).cmp(&(&b.section, b.offset, &b.kind)));
        all
    }

    /// What was read and left aside, in words, for listings.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// Type of a function in the object's BTF, by the function information of its first instruction.
    pub fn function_type(&self, function: &Function) -> Option<TypeId> {
        let offset = function.offset();
        let first = self.debug.funcs(&function.section, offset, offset.saturating_add(1)).first();
        first.map(|f| f.func)
    }

    pub(crate) fn symbol_text(&self, index: usize) -> String {
        let Some(symbol) = self.symbols.get(index) else { return format!("symbol {index}") };
        match (symbol.kind, symbol.home) {
            (SymbolKind::Section, Home::Section(home)) => self.section_names.get(home).cloned().unwrap_or_default(),
            _ => symbol.name.clone(),
        }
    }

    pub(crate) fn place(&self, function: &Function, slot_in_section: usize) -> Place {
        let offset = slot_in_section as u64 * 8;
        let line = self
            .btf
            .as_ref()
            .zip(self.debug.line_at(&function.section, offset))
            .map(|(btf, l)| format!("{}:{}", btf.str(l.file), l.line));
        Place { function: function.name.clone(), section: function.section.clone(), offset, line }
    }
}

fn refuse_sections(elf: &Elf<'_>) -> Result<(), ObjectError> {
    match elf.sections.iter().find(|s| s.name.starts_with(".bpf_cleanup")) {
        None => Ok(()),
        Some(section) => Err(ObjectError::Section {
            object: elf.object.to_owned(),
            section: section.name.clone(),
            why: "landing pads cannot be honoured yet; build the program with panic=abort, without cleanup".to_owned(),
        }),
    }
}

fn read_btf(elf: &Elf<'_>, functions: &Functions) -> Result<Option<Arc<Btf>>, ObjectError> {
    let Some((_, section)) = elf.section_named(".BTF").filter(|(_, s)| !s.is_nobits()) else { return Ok(None) };
    let fail = |source| ObjectError::Btf { object: elf.object.to_owned(), source: Box::new(source) };
    let mut btf = Btf::parse(section.data).map_err(fail)?;
    btf_fix::place_sections(&mut btf, elf).map_err(fail)?;
    let hidden = functions.all.iter().filter(|f| f.visibility == Visibility::Hidden);
    let hidden: Vec<&str> = hidden.map(|f| f.name.as_str()).collect();
    let btf = btf_fix::make_static(btf, &hidden).map_err(fail)?;
    Ok(Some(Arc::new(btf)))
}

fn read_debug(elf: &Elf<'_>, btf: Option<&Btf>) -> Result<DebugInfo, ObjectError> {
    let section = elf.section_named(".BTF.ext").filter(|(_, s)| !s.data.is_empty());
    let (Some(btf), Some((_, section))) = (btf, section) else { return Ok(DebugInfo::default()) };
    let ext = BtfExt::parse(section.data, btf);
    let ext = ext.map_err(|source| ObjectError::BtfExt { object: elf.object.to_owned(), source: Box::new(source) })?;
    Ok(DebugInfo::new(ext))
}

fn programs(
    functions: &Functions,
    custom: &dyn Fn(&str) -> Option<ProgKind>,
) -> Vec<(usize, Result<SectionDef, SectionError>)> {
    let mains = functions.all.iter().enumerate().filter(|(_, f)| f.is_program);
    mains.map(|(i, f)| (i, sections::parse_with(&f.section, custom))).collect()
}

fn data_maps(elf: &Elf<'_>, maps: &[Map]) -> impl Iterator<Item = (usize, usize)> {
    let data = |m: &Map| elf.sections.get(m.section_index).is_some_and(data::is_data);
    maps.iter().enumerate().filter(move |(_, m)| data(m)).map(|(i, m)| (m.section_index, i))
}

fn license(elf: &Elf<'_>) -> String {
    let bytes = elf.section_named("license").map_or(&[][..], |(_, s)| s.data);
    let text = bytes.split(|&b| b == 0).next().unwrap_or(&[]);
    String::from_utf8_lossy(text).into_owned()
}

fn notes(elf: &Elf<'_>) -> Vec<String> {
    let mut notes = Vec::new();
    for section in &elf.sections {
        if section.name.starts_with(".struct_ops") {
            notes.push(format!("section `{}`: struct_ops maps are left aside", section.name));
        }
        if section.name.starts_with(".rel.data") || section.name.starts_with(".rel.rodata") {
            notes.push(format!("section `{}`: addresses in global data are left zero, as libbpf does", section.name));
        }
    }
    notes
}

fn reloc_kind(kind: u32) -> String {
    match kind {
        crate::elf::RELOC_LD64 => "R_BPF_64_64".to_owned(),
        crate::elf::RELOC_ABS64 => "R_BPF_64_ABS64".to_owned(),
        crate::elf::RELOC_CALL => "R_BPF_64_32".to_owned(),
        other => format!("type {other}"),
    }
}
