//! The ELF file as plain tables: sections, symbols, relocations. Every range in them lies inside the file.

use std::collections::HashMap;

use object::elf::{self, FileHeader64, SectionHeader64, Sym64};
use object::read::elf::{FileHeader, Rel as _, SectionHeader as _, SectionTable, Sym as _, SymbolTable};
use object::{Endianness, SectionIndex};

use crate::error::{ElfProblem, ObjectError};

/// Relocation of a 64-bit immediate load (`R_BPF_64_64`).
pub(crate) const RELOC_LD64: u32 = 1;
/// Relocation of 8 bytes of data (`R_BPF_64_ABS64`).
pub(crate) const RELOC_ABS64: u32 = 2;
/// Relocation of a call (`R_BPF_64_32`).
pub(crate) const RELOC_CALL: u32 = 10;

type Header = FileHeader64<Endianness>;

/// One section.
#[derive(Clone, Debug)]
pub(crate) struct Section<'a> {
    pub name: String,
    pub kind: u32,
    pub flags: u64,
    /// Size in bytes; more than `data` for sections without contents.
    pub size: u64,
    /// Contents; empty for `SHT_NOBITS`.
    pub data: &'a [u8],
}

impl Section<'_> {
    pub(crate) fn is_code(&self) -> bool {
        self.kind == elf::SHT_PROGBITS.0 && self.flags & elf::SHF_EXECINSTR.0 != 0
    }

    pub(crate) fn is_nobits(&self) -> bool {
        self.kind == elf::SHT_NOBITS.0
    }
}

/// Where a symbol is defined.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Home {
    /// Nowhere in this file.
    Undefined,
    /// In this section.
    Section(usize),
    /// Absolute, common, or a number that no section has.
    Other,
}

/// What a symbol names.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum SymbolKind {
    Function,
    Data,
    Section,
    Other,
}

/// One symbol.
#[derive(Clone, Debug)]
pub(crate) struct Symbol {
    pub name: String,
    pub home: Home,
    pub kind: SymbolKind,
    pub value: u64,
    pub size: u64,
    pub local: bool,
    pub weak: bool,
    /// Visibility hidden or internal: global only for the linker.
    pub hidden: bool,
}

/// One relocation of a section.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reloc {
    /// Byte in the section that it changes.
    pub offset: u64,
    pub kind: u32,
    /// Index into the symbols.
    pub symbol: usize,
}

/// The file's tables.
#[derive(Debug)]
pub(crate) struct Elf<'a> {
    pub object: &'a str,
    pub sections: Vec<Section<'a>>,
    pub symbols: Vec<Symbol>,
    /// By the section that they change, by rising offset.
    pub relocs: HashMap<usize, Vec<Reloc>>,
    names: HashMap<String, usize>,
    /// Indices of symbols by the section that defines them.
    homes: Vec<Vec<usize>>,
}

impl<'a> Elf<'a> {
    pub(crate) fn parse(bytes: &'a [u8], object: &'a str) -> Result<Elf<'a>, ObjectError> {
        let fail = |problem| ObjectError::Elf { object: object.to_owned(), problem };
        let not_elf = |e: object::Error| fail(ElfProblem::NotElf(e.to_string()));
        let header = Header::parse(bytes).map_err(not_elf)?;
        if header.is_big_endian() {
            return Err(fail(ElfProblem::BigEndian));
        }
        let endian = header.endian().map_err(not_elf)?;
        if header.e_machine(endian) != elf::EM_BPF {
            return Err(fail(ElfProblem::Machine(header.e_machine(endian).0)));
        }
        if header.e_type(endian) != elf::ET_REL {
            return Err(fail(ElfProblem::Kind(header.e_type(endian).0)));
        }
        let damaged = |part| move |e: object::Error| fail(ElfProblem::Table { part, detail: e.to_string() });
        let table = header.sections(endian, bytes).map_err(damaged("section table"))?;
        let sections = sections(&table, endian, bytes, object)?;
        check_overlaps(&table, endian, &sections, object)?;
        let symtab = table.symbols(endian, bytes, elf::SHT_SYMTAB).map_err(damaged("symbol table"))?;
        let symbols = symbols(&symtab, endian, sections.len()).map_err(damaged("symbol table"))?;
        let mut names = HashMap::new();
        for (i, section) in sections.iter().enumerate().skip(1) {
            names.entry(section.name.clone()).or_insert(i);
        }
        let mut homes = vec![Vec::new(); sections.len()];
        for (i, symbol) in symbols.iter().enumerate() {
            if let Home::Section(home) = symbol.home
                && let Some(list) = homes.get_mut(home)
            {
                list.push(i);
            }
        }
        let mut elf = Elf { object, sections, symbols, relocs: HashMap::new(), names, homes };
        elf.read_relocs(&table, endian, bytes)?;
        Ok(elf)
    }

    /// The first section of this name.
    pub(crate) fn section_named(&self, name: &str) -> Option<(usize, &Section<'a>)> {
        let index = *self.names.get(name)?;
        self.sections.get(index).map(|s| (index, s))
    }

    /// Symbols that are defined in a section.
    pub(crate) fn symbols_of(&self, section: usize) -> impl Iterator<Item = &Symbol> {
        let list = self.homes.get(section).map_or(&[][..], Vec::as_slice);
        list.iter().filter_map(|&i| self.symbols.get(i))
    }

    /// Name of a section, for messages.
    pub(crate) fn section_name(&self, index: usize) -> &str {
        self.sections.get(index).map_or("?", |s| s.name.as_str())
    }

    fn read_relocs(
        &mut self,
        table: &SectionTable<'a, Header>,
        endian: Endianness,
        bytes: &'a [u8],
    ) -> Result<(), ObjectError> {
        for (index, header) in table.enumerate() {
            let kind = header.sh_type(endian);
            if kind != elf::SHT_REL && kind != elf::SHT_RELA {
                continue;
            }
            let target = header.info_link(endian).0;
            let name = self.section_name(target).to_owned();
            let needed = self.sections.get(target).is_some_and(|s| s.is_code()) || name == ".maps";
            if !needed {
                continue;
            }
            let refuse = |why: &str| ObjectError::Section {
                object: self.object.to_owned(),
                section: self.section_name(index.0).to_owned(),
                why: why.to_owned(),
            };
            let (records, _) = header
                .rel(endian, bytes)
                .ok()
                .flatten()
                .ok_or_else(|| refuse("its relocations are no SHT_REL records; rebuild the object with clang"))?;
            let size = self.sections.get(target).map_or(0, |s| s.size);
            let mut list = Vec::with_capacity(records.len());
            for record in records {
                let reloc = Reloc {
                    offset: record.r_offset(endian),
                    kind: record.r_type(endian).0,
                    symbol: record.r_sym(endian) as usize,
                };
                self.check_reloc(&name, size, &reloc)?;
                list.push(reloc);
            }
            self.relocs.entry(target).or_default().append(&mut list);
        }
        for (&section, list) in &mut self.relocs {
            list.sort_by_key(|r| r.offset);
            if let Some(first) = list.windows(2).find_map(|w| (w[0].offset == w[1].offset).then_some(w[0])) {
                return Err(ObjectError::Relocation {
                    object: self.object.to_owned(),
                    section: self.sections.get(section).map_or_else(String::new, |s| s.name.clone()),
                    offset: first.offset,
                    why: "is there twice".to_owned(),
                });
            }
        }
        Ok(())
    }

    fn check_reloc(&self, section: &str, size: u64, reloc: &Reloc) -> Result<(), ObjectError> {
        let why = if reloc.offset.checked_add(8).is_none_or(|end| end > size) {
            format!("lies outside the section of {size:#x} bytes")
        } else if !reloc.offset.is_multiple_of(8) {
            "is no multiple of 8".to_owned()
        } else if reloc.symbol == 0 || self.symbols.get(reloc.symbol).is_none() {
            format!("refers to symbol {}, and the object has {}", reloc.symbol, self.symbols.len())
        } else {
            return Ok(());
        };
        let (object, section) = (self.object.to_owned(), section.to_owned());
        Err(ObjectError::Relocation { object, section, offset: reloc.offset, why })
    }
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn sections<'a>(
    table: &SectionTable<'a, Header>,
    endian: Endianness,
    bytes: &'a [u8],
    object: &str,
) -> Result<Vec<Section<'a>>, ObjectError> {
    let mut all = Vec::with_capacity(table.len());
    for (index, header) in table.enumerate() {
        let kind = header.sh_type(endian);
        let size: u64 = header.sh_size(endian);
        if kind == elf::SHT_NULL {
            all.push(Section { name: String::new(), kind: kind.0, flags: 0, size: 0, data: &[] });
            continue;
        }
        let name = table.section_name(endian, header).map(lossy).map_err(|e| ObjectError::Elf {
            object: object.to_owned(),
            problem: ElfProblem::Table { part: "section table", detail: format!("section {}: {e}", index.0) },
        })?;
        let data = header.data(endian, bytes).map_err(|_| {
            let offset: u64 = header.sh_offset(endian);
            let end = u128::from(offset) + u128::from(size);
            let (object, section, len) = (object.to_owned(), name.clone(), bytes.len() as u64);
            ObjectError::SectionOutside { object, index: index.0, section, offset, end, len }
        })?;
        all.push(Section { name, kind: kind.0, flags: header.sh_flags(endian).0, size, data });
    }
    Ok(all)
}

fn check_overlaps(
    table: &SectionTable<'_, Header>,
    endian: Endianness,
    sections: &[Section<'_>],
    object: &str,
) -> Result<(), ObjectError> {
    let range = |(i, header): (SectionIndex, &SectionHeader64<Endianness>)| {
        let section = sections.get(i.0)?;
        let offset: u64 = header.sh_offset(endian);
        (!section.data.is_empty()).then(|| (offset, offset.saturating_add(section.data.len() as u64), i.0))
    };
    let mut ranges: Vec<_> = table.enumerate().filter_map(range).collect();
    ranges.sort_unstable();
    let clash = ranges.windows(2).find_map(|w| (w[1].0 < w[0].1).then_some((w[0], w[1])));
    let Some((first, second)) = clash else { return Ok(()) };
    let name = |i: usize| sections.get(i).map_or_else(String::new, |s| s.name.clone());
    Err(ObjectError::SectionsOverlap {
        object: object.to_owned(),
        first: name(first.2),
        second: name(second.2),
        offset: second.0,
    })
}

fn symbols(table: &SymbolTable<'_, Header>, endian: Endianness, sections: usize) -> Result<Vec<Symbol>, object::Error> {
    let mut all = Vec::with_capacity(table.len());
    for (index, raw) in table.enumerate() {
        let raw: &Sym64<Endianness> = raw;
        let home = if raw.is_undefined(endian) {
            Home::Undefined
        } else {
            match table.symbol_section(endian, raw, index)? {
                Some(SectionIndex(i)) if i > 0 && i < sections => Home::Section(i),
                _ => Home::Other,
            }
        };
        let kind = match raw.st_type() {
            elf::STT_FUNC => SymbolKind::Function,
            elf::STT_OBJECT => SymbolKind::Data,
            elf::STT_SECTION => SymbolKind::Section,
            _ => SymbolKind::Other,
        };
        all.push(Symbol {
            name: lossy(table.symbol_name(endian, raw)?),
            home,
            kind,
            value: raw.st_value(endian),
            size: raw.st_size(endian),
            local: raw.st_bind() == elf::STB_LOCAL,
            weak: raw.st_bind() == elf::STB_WEAK,
            hidden: matches!(raw.st_visibility(), elf::STV_HIDDEN | elf::STV_INTERNAL),
        });
    }
    Ok(all)
}
