//! Loading: from an opened object to programs that run.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::marker::PhantomData;
use std::sync::Arc;

use backstop_btf::Btf;
use backstop_ir::lower;
use backstop_model::{HostContext, Kfunc, MapKind, ProgType, Program as Linked, kfuncs};
use backstop_object::{LinkEnv, LinkedProgram, known_type};
use backstop_verifier::Verified;

use crate::build;
use crate::error::{LoadError, ObjectUseError};
use crate::libbpf;
use crate::linker::Linker;
use crate::maps::{Map, MapRef};
use crate::object::Object;
use crate::program::{Program, ProgramCode};
use crate::proof::Proof;

/// Programs and maps that were loaded together.
pub struct Loaded<H> {
    programs: BTreeMap<String, Arc<ProgramCode>>,
    maps: Arc<BTreeMap<String, Map>>,
    host: PhantomData<fn(H) -> H>,
}

impl<H> std::fmt::Debug for Loaded<H> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Loaded")
            .field("programs", &self.programs.keys().collect::<Vec<_>>())
            .field("maps", &self.maps.keys().collect::<Vec<_>>())
            .finish()
    }
}

impl<H> Loaded<H> {
    /// A program by name.
    ///
    /// # Errors
    /// [`ObjectUseError::NoProgram`] names those that were loaded.
    pub fn program(&self, name: &str) -> Result<Program<H>, ObjectUseError> {
        let found = self.programs.get(name).map(|code| Program::new(Arc::clone(code), Arc::clone(&self.maps)));
        found.ok_or_else(|| ObjectUseError::NoProgram {
            name: name.to_owned(),
            known: self.programs.keys().map(String::as_str).collect::<Vec<_>>().join(", "),
        })
    }

    /// All loaded programs, by name.
    pub fn programs(&self) -> impl Iterator<Item = Program<H>> + '_ {
        self.programs.values().map(|code| Program::new(Arc::clone(code), Arc::clone(&self.maps)))
    }

    /// A map by name; maps that no loaded program uses are not made.
    ///
    /// # Errors
    /// [`ObjectUseError::NoMap`] names those that there are.
    pub fn map(&self, name: &str) -> Result<&Map, ObjectUseError> {
        self.maps.get(name).ok_or_else(|| ObjectUseError::NoMap {
            name: name.to_owned(),
            known: self.maps.keys().map(String::as_str).collect::<Vec<_>>().join(", "),
        })
    }

    /// All maps, by name.
    pub fn maps(&self) -> impl Iterator<Item = &Map> {
        self.maps.values()
    }

    /// Puts a program in a slot of a prog_array. Runs under way go on with what they find.
    ///
    /// # Errors
    /// [`ObjectUseError`] if there is no such map, or the program can't be called from its users.
    pub fn set_tail_call(&self, map: &str, index: u32, program: &Program<H>) -> Result<(), LoadError> {
        let target = self.map(map)?;
        set_slot(target, map, index, program.code())
    }
}

impl<H: 'static> Loaded<H> {
    /// Verifies and compiles one linked program, with maps of its own: for programs that come from no object (an assembler, a
    /// generator, another loader).
    ///
    /// # Errors
    /// [`LoadError`]; [`LoadError::OtherLinker`] if another linker's kfuncs were linked to it.
    pub fn from_program(linker: &Linker<H>, program: Linked) -> Result<Loaded<H>, LoadError> {
        Loaded::from_proof(linker, &Proof::new(linker.engine(), program)?)
    }

    /// Compiles a proved program, with maps of its own.
    ///
    /// # Errors
    /// [`LoadError`]; [`LoadError::OtherRules`] if the linker's engine judges by other rules than those of the proof;
    /// [`LoadError::OtherLinker`] if the program was linked against another linker that offers kfuncs.
    pub fn from_proof(linker: &Linker<H>, proof: &Proof) -> Result<Loaded<H>, LoadError> {
        let verified = &proof.verified;
        let name = verified.program().name.clone();
        if !proof.holds_for(linker.engine()) {
            return Err(LoadError::OtherRules { program: name });
        }
        let mut maps = BTreeMap::new();
        let specs = &verified.program().maps;
        let code = build::build(linker, verified, &|| proof.ir(), &mut |n| {
            let spec = specs.get(n).ok_or_else(|| no_map(n))?;
            let made = Map::create(linker.engine(), Arc::clone(spec));
            let map = made.map_err(|source| LoadError::Map { map: spec.name.clone(), source })?;
            let inner = MapRef::clone(map.inner());
            maps.insert(spec.name.clone(), map);
            Ok(inner)
        })?;
        Ok(Loaded { programs: BTreeMap::from([(name, code)]), maps: Arc::new(maps), host: PhantomData })
    }
}

fn no_map(index: usize) -> LoadError {
    ObjectUseError::NoMap { name: format!("#{index}"), known: "fewer".to_owned() }.into()
}

fn set_slot(map: &Map, name: &str, index: u32, code: &Arc<ProgramCode>) -> Result<(), LoadError> {
    let failed = |reason: String| LoadError::MapValues { map: name.to_owned(), index, reason };
    if !code.engine.same(map.inner().engine()) {
        return Err(failed(format!("program `{}` belongs to another engine", code.name())));
    }
    if code.kind().ty == ProgType::RawMem {
        // A tail call hands on the context alone; a raw memory program was proved with its length in r2.
        return Err(failed(format!("program `{}` gets raw memory and can't be reached by a tail call", code.name())));
    }
    map.inner().claim_as(code.ir.program(), Some(code.host)).map_err(failed)?;
    map.inner().set_program(index, Some(Arc::clone(code))).map_err(|e| failed(e.to_string()))
}

/// One load under way.
pub(crate) struct Loader<'a, H> {
    object: &'a Object,
    linker: &'a Linker<H>,
    targets: Vec<Arc<Btf>>,
    maps: HashMap<usize, Map>,
}

impl<H: 'static> LinkEnv for Loader<'_, H> {
    fn kfunc(&self, name: &str) -> Option<Arc<Kfunc>> {
        self.linker.resolve(name)
    }

    fn core_targets(&self) -> &[Arc<Btf>] {
        &self.targets
    }

    fn kernel_types(&self) -> Option<Arc<Btf>> {
        self.linker.engine().config().kernel.get().cloned()
    }

    fn knows_type(&self) -> fn(&str) -> bool {
        known_type(self.linker.targets())
    }

    fn host_context(&self, name: &str) -> Option<Arc<HostContext>> {
        self.linker.contexts().get(name).cloned()
    }
}

impl<'a, H: 'static> Loader<'a, H> {
    pub(crate) fn new(object: &'a Object, linker: &'a Linker<H>) -> Loader<'a, H> {
        let mut targets = linker.targets().to_vec();
        targets.extend(kfuncs::builtin_btf());
        Loader { object, linker, targets, maps: HashMap::new() }
    }

    pub(crate) fn load(mut self, wanted: &[String]) -> Result<Loaded<H>, LoadError> {
        if !self.linker.engine().same(&self.object.engine) {
            return Err(ObjectUseError::OtherEngine { name: "linker".to_owned() }.into());
        }
        let mut codes: BTreeMap<String, Arc<ProgramCode>> = BTreeMap::new();
        let mut queue: VecDeque<(String, bool)> = wanted.iter().map(|n| (n.clone(), true)).collect();
        while let Some((name, required)) = queue.pop_front() {
            if codes.contains_key(&name) {
                continue;
            }
            match self.load_one(&name) {
                Ok((code, used)) => {
                    for target in used.iter().flat_map(|map| self.named_programs(*map)) {
                        queue.push_back((target, false));
                    }
                    codes.insert(name, code);
                }
                Err(error) if required => return Err(error),
                // A program that only `.values` names leaves its slot empty if it is refused.
                Err(_) => {}
            }
        }
        self.fill_prog_arrays(&codes)?;
        let maps = self.maps.into_values().map(|map| (map.spec().name.clone(), map)).collect();
        Ok(Loaded { programs: codes, maps: Arc::new(maps), host: PhantomData })
    }

    pub(crate) fn link(&self, name: &str) -> Result<LinkedProgram, LoadError> {
        if self.object.engine.config().compat_linux {
            libbpf::check_maps(&self.object.elf, name)?;
        }
        let linked = self.object.elf.link(name, self);
        let mut linked =
            linked.map_err(|source| LoadError::Link { program: name.to_owned(), source: Box::new(source) })?;
        if let Some(len) = self.object.memory_len(name) {
            linked.program.kind.memory_len = len;
        }
        Ok(linked)
    }

    pub(crate) fn verify(&self, name: &str, program: Linked) -> Result<Verified, LoadError> {
        libbpf::prove(&self.object.engine, name, program, &|| Ok(self.link(name)?.program))
    }

    fn load_one(&mut self, name: &str) -> Result<(Arc<ProgramCode>, Vec<usize>), LoadError> {
        let linked = self.link(name)?;
        let verified = self.verify(name, linked.program)?;
        let indices = linked.map_indices;
        let code = build::build(self.linker, &verified, &|| lower(&verified).map(Arc::new), &mut |n| {
            let index = indices.get(n).copied().unwrap_or(usize::MAX);
            Ok(MapRef::clone(self.map(index)?.inner()))
        })?;
        Ok((code, indices))
    }

    fn map(&mut self, index: usize) -> Result<&Map, LoadError> {
        if !self.maps.contains_key(&index) {
            let made = match (self.object.replaced.get(&index), self.object.elf.maps().get(index)) {
                (Some(map), _) => map.clone(),
                (None, Some(info)) => Map::create(&self.object.engine, Arc::clone(&info.spec))
                    .map_err(|source| LoadError::Map { map: info.spec.name.clone(), source })?,
                (None, None) => return Err(no_map(index)),
            };
            self.maps.insert(index, made);
        }
        self.maps.get(&index).ok_or_else(|| no_map(index))
    }

    fn named_programs(&self, map: usize) -> Vec<String> {
        let spec = self.object.elf.maps().get(map).map(|m| &m.spec);
        let spec = spec.filter(|s| s.kind == MapKind::ProgArray);
        spec.map_or_else(Vec::new, |s| s.values.iter().map(|(_, name)| name.clone()).collect())
    }

    fn fill_prog_arrays(&self, codes: &BTreeMap<String, Arc<ProgramCode>>) -> Result<(), LoadError> {
        for (index, map) in &self.maps {
            if self.object.replaced.contains_key(index) || map.spec().kind != MapKind::ProgArray {
                continue;
            }
            for (slot, name) in &map.spec().values {
                if let Some(code) = codes.get(name) {
                    set_slot(map, &map.spec().name, *slot, code)?;
                }
            }
        }
        Ok(())
    }
}
