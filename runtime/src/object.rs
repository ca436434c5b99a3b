//! An opened object: what an embedder can change before anything is loaded.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use backstop_model::{MapSpec, ProgKind};
use backstop_object::Object as ElfObject;

use crate::engine::Engine;
use crate::error::{LoadError, ObjectUseError, OpenError};
use crate::linker::Linker;
use crate::load::{Loaded, Loader};
use crate::maps::Map;

/// Largest object file that is read, in bytes.
const MAX_FILE: u64 = 256 << 20;

/// An object file that was opened. Nothing in it is verified; loading does that, as often as wanted.
pub struct Object {
    pub(crate) engine: Engine,
    pub(crate) elf: ElfObject,
    /// Maps of the embedder's in the place of the object's, by the object's index.
    pub(crate) replaced: HashMap<usize, Map>,
    autoload: BTreeMap<String, bool>,
    memory_lens: BTreeMap<String, u32>,
}

impl std::fmt::Debug for Object {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Object").field("name", &self.elf.name()).finish_non_exhaustive()
    }
}

/// A program of an object, before it is loaded.
#[derive(Clone, Debug)]
pub struct ObjectProgram {
    /// The function's name.
    pub name: String,
    /// Its ELF section.
    pub section: String,
    /// Whether [`Object::load`] loads it.
    pub autoload: bool,
    /// How many instruction slots its own function has.
    pub slots: usize,
}

impl Object {
    pub(crate) fn open_file(engine: &Engine, path: &Path) -> Result<Object, OpenError> {
        let failed = |source| OpenError::Read { path: path.to_owned(), source };
        let metadata = std::fs::metadata(path).map_err(failed)?;
        if !metadata.is_file() {
            // A device or pipe may never end.
            return Err(failed(std::io::Error::new(std::io::ErrorKind::InvalidInput, "not a regular file")));
        }
        let size = metadata.len();
        if size > MAX_FILE {
            let text = format!("{size} bytes are more than an object may have ({MAX_FILE})");
            return Err(failed(std::io::Error::new(std::io::ErrorKind::FileTooLarge, text)));
        }
        let bytes = std::fs::read(path).map_err(failed)?;
        let name = path.file_name().map_or_else(|| path.to_string_lossy(), |n| n.to_string_lossy()).into_owned();
        let opened = ElfObject::parse(&bytes, object_name(&name));
        let refused = |source| OpenError::Object { name: path.display().to_string(), source: Box::new(source) };
        let elf = opened.map_err(refused)?;
        Ok(Object::new(engine, elf))
    }

    pub(crate) fn open(engine: &Engine, bytes: &[u8], name: &str) -> Result<Object, OpenError> {
        let opened = ElfObject::parse(bytes, object_name(name));
        let refused = |source| OpenError::Object { name: name.to_owned(), source: Box::new(source) };
        let elf = opened.map_err(refused)?;
        Ok(Object::new(engine, elf))
    }

    fn new(engine: &Engine, elf: ElfObject) -> Object {
        Object {
            engine: engine.clone(),
            elf,
            replaced: HashMap::new(),
            autoload: BTreeMap::new(),
            memory_lens: BTreeMap::new(),
        }
    }

    /// The engine that opened it.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// The object as read: maps, globals, externs, relocations.
    pub fn elf(&self) -> &ElfObject {
        &self.elf
    }

    /// The programs, in the object's order.
    pub fn programs(&self) -> Vec<ObjectProgram> {
        let program = |p: backstop_object::ProgramInfo| ObjectProgram {
            autoload: self.autoload.get(&p.name).copied().unwrap_or(p.autoload),
            name: p.name,
            section: p.section,
            slots: p.slots,
        };
        self.elf.programs().map(program).collect()
    }

    /// Chooses whether [`Object::load`] loads a program (sections that begin with `?` are not loaded by default).
    ///
    /// # Errors
    /// [`ObjectUseError::NoProgram`].
    pub fn set_autoload(&mut self, program: &str, on: bool) -> Result<&mut Object, ObjectUseError> {
        self.need_program(program)?;
        self.autoload.insert(program.to_owned(), on);
        Ok(self)
    }

    /// Fixes the length in bytes of a `raw_mem` program's memory: the verifier relies on it, every run must bring exactly as much.
    ///
    /// # Errors
    /// [`ObjectUseError::NoProgram`].
    pub fn set_memory_len(&mut self, program: &str, bytes: u32) -> Result<&mut Object, ObjectUseError> {
        self.need_program(program)?;
        self.memory_lens.insert(program.to_owned(), bytes);
        Ok(self)
    }

    pub(crate) fn memory_len(&self, program: &str) -> Option<u32> {
        self.memory_lens.get(program).copied()
    }

    /// A global variable's value as it will be at load.
    ///
    /// # Errors
    /// [`ObjectUseError::NoGlobal`].
    pub fn global(&self, name: &str) -> Result<Vec<u8>, ObjectUseError> {
        self.elf.global_bytes(name).ok_or_else(|| self.no_global(name))
    }

    /// Sets a global variable, `.rodata` included, as skeletons do before load: the verifier sees constants with this value.
    ///
    /// # Errors
    /// [`ObjectUseError::NoGlobal`], or [`ObjectUseError::GlobalSize`] if the value has another size.
    pub fn set_global(&mut self, name: &str, value: &[u8]) -> Result<&mut Object, ObjectUseError> {
        let Some(global) = self.elf.global(name) else { return Err(self.no_global(name)) };
        let size = |expected| ObjectUseError::GlobalSize { name: name.to_owned(), expected, given: value.len() };
        let expected = global.size as usize;
        if expected != value.len() {
            return Err(size(expected));
        }
        self.elf.set_global_bytes(name, value).map_err(|_| size(expected))?;
        Ok(self)
    }

    fn no_global(&self, name: &str) -> ObjectUseError {
        ObjectUseError::NoGlobal {
            name: name.to_owned(),
            known: listed(self.elf.globals().iter().map(|g| g.name.as_str())),
        }
    }

    /// Sets the capacity of a map before it is made (libbpf: `bpf_map__set_max_entries`): many objects leave that to the host.
    ///
    /// # Errors
    /// [`ObjectUseError::NoMap`], or [`ObjectUseError::Settle`] if it holds global data or was replaced.
    pub fn set_max_entries(&mut self, map: &str, max_entries: u32) -> Result<&mut Object, ObjectUseError> {
        self.need_own_map(map)?;
        self.elf.set_max_entries(map, max_entries)?;
        Ok(self)
    }

    /// Sets the size in bytes of a map's values before it is made (libbpf: `bpf_map__set_value_size`). A value type of another size is
    /// dropped.
    ///
    /// # Errors
    /// As [`Object::set_max_entries`].
    pub fn set_value_size(&mut self, map: &str, bytes: u32) -> Result<&mut Object, ObjectUseError> {
        self.need_own_map(map)?;
        self.elf.set_value_size(map, bytes)?;
        Ok(self)
    }

    /// Gives a variable of `.kconfig` its value, which programs can only read. `LINUX_KERNEL_VERSION` is 6.18.0 unless it is set here.
    ///
    /// # Errors
    /// [`ObjectUseError::Settle`] if there is no such variable, or it can't have this value.
    pub fn set_kconfig(&mut self, name: &str, value: u64) -> Result<&mut Object, ObjectUseError> {
        self.elf.set_kconfig(name, value)?;
        Ok(self)
    }

    /// The index of a map that was not replaced: programs are proved against the object's sizes.
    fn need_own_map(&self, name: &str) -> Result<(), ObjectUseError> {
        match self.need_map(name)? {
            index if self.replaced.contains_key(&index) => Err(ObjectUseError::Replaced { name: name.to_owned() }),
            _ => Ok(()),
        }
    }

    fn need_map(&self, name: &str) -> Result<usize, ObjectUseError> {
        self.elf.map_index(name).ok_or_else(|| ObjectUseError::NoMap {
            name: name.to_owned(),
            known: listed(self.elf.maps().iter().map(|m| m.spec.name.as_str())),
        })
    }

    /// Puts a map of the embedder's in the place of the object's, so that state survives a reload or is shared.
    ///
    /// # Errors
    /// [`ObjectUseError`] if there is no such map, the other one differs in what programs rely on, or belongs to another engine. Sizes
    /// that the object leaves at 0 are taken from the other map.
    pub fn replace_map(&mut self, name: &str, map: &Map) -> Result<&mut Object, ObjectUseError> {
        let index = self.need_map(name)?;
        if !map.inner().engine().same(&self.engine) {
            return Err(ObjectUseError::OtherEngine { name: name.to_owned() });
        }
        let open = self.elf.maps().get(index).map(|m| (m.spec.max_entries == 0, m.spec.value_size == 0));
        if let Some(mut wanted) = self.elf.maps().get(index).map(|m| MapSpec::clone(&m.spec)) {
            // What the object leaves open is as the other map has it.
            let (entries, value) = open.unwrap_or_default();
            wanted.max_entries = if entries { map.spec().max_entries } else { wanted.max_entries };
            wanted.value_size = if value { map.spec().value_size } else { wanted.value_size };
            fits(name, map.spec(), &wanted)?;
            if entries {
                self.elf.set_max_entries(name, wanted.max_entries)?;
            }
            if value {
                self.elf.set_value_size(name, wanted.value_size)?;
            }
        }
        self.replaced.insert(index, map.clone());
        Ok(self)
    }

    fn need_program(&self, name: &str) -> Result<(), ObjectUseError> {
        if self.elf.program(name).is_some() {
            return Ok(());
        }
        let programs = self.programs();
        let known = listed(programs.iter().map(|p| p.name.as_str()));
        Err(ObjectUseError::NoProgram { name: name.to_owned(), known })
    }

    /// Links, verifies and compiles all programs that are to be loaded, with the maps that they use. All or nothing.
    ///
    /// # Errors
    /// [`LoadError`] of the first program that fails.
    pub fn load<H: 'static>(&self, linker: &Linker<H>) -> Result<Loaded<H>, LoadError> {
        let wanted: Vec<String> = self.programs().into_iter().filter(|p| p.autoload).map(|p| p.name).collect();
        Loader::new(self, linker).load(&wanted)
    }

    /// As [`Object::load`], for these programs only (and those that `.values` of their maps name).
    ///
    /// # Errors
    /// [`LoadError`] of the first program that fails.
    pub fn load_programs<H: 'static>(&self, linker: &Linker<H>, names: &[&str]) -> Result<Loaded<H>, LoadError> {
        for name in names {
            self.need_program(name)?;
        }
        let wanted: Vec<String> = names.iter().map(|n| (*n).to_owned()).collect();
        Loader::new(self, linker).load(&wanted)
    }

    /// Links one program without loading it: what the verifier would see.
    ///
    /// # Errors
    /// [`LoadError::Link`] or [`LoadError::Object`].
    pub fn link<H: 'static>(&self, linker: &Linker<H>, name: &str) -> Result<backstop_model::Program, LoadError> {
        self.need_program(name)?;
        Ok(Loader::new(self, linker).link(name)?.program)
    }

    /// Links the one program of an object that need not keep to libbpf's conventions, as a program of another kind than its section
    /// says: which function that is, [`backstop_object::Object::link_entry`] tells.
    ///
    /// # Errors
    /// [`LoadError::Link`].
    pub fn link_entry<H: 'static>(
        &self,
        linker: &Linker<H>,
        kind: ProgKind,
    ) -> Result<backstop_model::Program, LoadError> {
        let linked = self.elf.link_entry(kind, &Loader::new(self, linker));
        let failed = |source| LoadError::Link { program: self.elf.name().to_owned(), source: Box::new(source) };
        Ok(linked.map_err(failed)?.program)
    }

    /// Verifies one program without making any map or code.
    ///
    /// # Errors
    /// [`LoadError::Link`], [`LoadError::Refused`] or [`LoadError::Object`].
    pub fn verify<H: 'static>(&self, linker: &Linker<H>, name: &str) -> Result<backstop_verifier::Verified, LoadError> {
        self.need_program(name)?;
        let loader = Loader::new(self, linker);
        let linked = loader.link(name)?;
        loader.verify(name, linked.program)
    }
}

/// The part of a file's name that global-data maps carry: up to the first dot.
fn object_name(file: &str) -> &str {
    file.split('.').next().unwrap_or(file)
}

fn listed<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let mut names: Vec<&str> = names.collect();
    if names.is_empty() {
        return "none".to_owned();
    }
    let more = names.len().saturating_sub(16);
    names.truncate(16);
    let mut text = names.join(", ");
    if more > 0 {
        text.push_str(&format!(" and {more} more"));
    }
    text
}

/// What programs rely on must be the same; a final content can't be swapped at all: constants were folded from it.
fn fits(name: &str, given: &MapSpec, wanted: &MapSpec) -> Result<(), ObjectUseError> {
    let mismatch = |what, given: String, wanted: String| {
        Err(ObjectUseError::MapMismatch { name: name.to_owned(), what, given, wanted })
    };
    if wanted.frozen || given.frozen {
        return mismatch("content", "another".to_owned(), "its own, which is final".to_owned());
    }
    if given.kind != wanted.kind {
        return mismatch("kind", given.kind.name().to_owned(), wanted.kind.name().to_owned());
    }
    let numbers = [
        ("key_size", given.key_size, wanted.key_size),
        ("value_size", given.value_size, wanted.value_size),
        ("max_entries", given.max_entries, wanted.max_entries),
        ("map_flags", given.flags, wanted.flags),
    ];
    for (what, given, wanted) in numbers {
        if given != wanted {
            return mismatch(what, given.to_string(), wanted.to_string());
        }
    }
    Ok(())
}
