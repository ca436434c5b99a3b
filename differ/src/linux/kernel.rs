//! The loader's half for the kernel: from a linked program to maps, BTF and a loaded program there.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use backstop::btf::{Btf, Kind};
use backstop::model::{MapKind, MapSpec, ProgType, Program as Linked};
use backstop::{Linker, Object};
use backstop_referee::{
    AttachType, DataSection, LoadedBtf, Map, MapBtf, Outcome, ProgBtf, ProgLoad, ProgType as TheirType, Referee,
    kernel_btf, prog_flag,
};

/// `BPF_MAP_TYPE_PROG_ARRAY` and maps of maps are filled by file descriptor.
const OF_MAPS: [MapKind; 2] = [MapKind::ArrayOfMaps, MapKind::HashOfMaps];

/// Loads programs, with what they need, into the running kernel.
#[derive(Debug)]
pub struct Kernel<'r> {
    /// The kernel.
    pub referee: &'r Referee,
}

/// A program that the kernel took, with the maps of its load.
#[derive(Debug)]
pub struct Loaded {
    /// The program.
    pub program: backstop_referee::Loaded,
    maps: Maps,
    /// What prog_arrays name: the array empties when its last user goes, not its entries.
    _targets: Vec<backstop_referee::Loaded>,
}

impl Loaded {
    /// One of its maps.
    pub fn map(&self, name: &str) -> Option<&Map> {
        self.maps.get(name).map(|m| &**m)
    }
}

type Maps = BTreeMap<String, Rc<Map>>;

/// Why a program must not go to the kernel, if so.
pub type Guard<'a> = dyn Fn(&Linked) -> Option<&'static str> + 'a;

/// One program and what comes along with it.
struct Load<'a> {
    referee: &'a Referee,
    /// What names programs and inner maps; none for a program that came from no object.
    object: Option<(&'a Object, &'a Linker<()>)>,
    guard: &'a Guard<'a>,
    btf: Option<LoadedBtf>,
    maps: RefCell<Maps>,
}

impl<'r> Kernel<'r> {
    /// Over this kernel.
    pub fn new(referee: &'r Referee) -> Kernel<'r> {
        Kernel { referee }
    }

    /// Loads a program of an object with fresh maps; the inner result is the kernel's verdict.
    ///
    /// # Errors
    /// Why the kernel could not be asked.
    pub fn load(
        &self,
        object: &Object,
        linker: &Linker<()>,
        linked: &Linked,
        guard: &Guard<'_>,
    ) -> Result<Result<Loaded, String>, String> {
        self.load_from(Some((object, linker)), linked, guard)
    }

    /// Loads a program that came from no object, with itself in slot 0 of its first prog_array.
    ///
    /// # Errors
    /// As [`Kernel::load`].
    pub fn load_alone(&self, linked: &Linked, guard: &Guard<'_>) -> Result<Result<Loaded, String>, String> {
        let loaded = self.load_from(None, linked, guard)?;
        let jumps = linked.maps.iter().find(|spec| spec.kind == MapKind::ProgArray);
        if let (Ok(loaded), Some(jumps)) = (&loaded, jumps)
            && let Some(map) = loaded.map(&jumps.name)
        {
            // Refused where the type may not tail call; the slot stays empty then.
            let _ = map.update_fd(&vec![0; jumps.key_size as usize], &loaded.program);
        }
        Ok(loaded)
    }

    fn load_from(
        &self,
        object: Option<(&Object, &Linker<()>)>,
        linked: &Linked,
        guard: &Guard<'_>,
    ) -> Result<Result<Loaded, String>, String> {
        let btf = match &linked.btf {
            None => None,
            Some(btf) => {
                let bytes = kernel_types(btf, linked).map_err(|e| e.to_string())?;
                Some(self.referee.load_btf(&bytes).map_err(|e| format!("BTF: {e}"))?)
            }
        };
        let load = Load { referee: self.referee, object, guard, btf, maps: RefCell::default() };
        let program = match load.program(linked)? {
            Ok(program) => program,
            Err(reason) => return Ok(Err(reason)),
        };
        let targets = load.fill(linked)?;
        Ok(Ok(Loaded { program, maps: load.maps.into_inner(), _targets: targets }))
    }
}

impl Load<'_> {
    fn program(&self, linked: &Linked) -> Result<Result<backstop_referee::Loaded, String>, String> {
        if let Some(why) = (self.guard)(linked) {
            return Err(format!("{} stays here: {why}", linked.name));
        }
        let insns: Vec<u8> = linked.slots.iter().flat_map(|slot| slot.to_bytes()).collect();
        let maps = linked.maps.iter().map(|spec| self.map(spec)).collect::<Result<Vec<_>, _>>()?;
        let maps: Vec<&Map> = maps.iter().map(|m| &**m).collect();
        let kfuncs: Vec<&str> = linked.kfuncs.iter().map(|k| k.name.as_str()).collect();
        let func_info: Vec<u8> = linked.func_info.iter().flat_map(|f| words([f.slot, f.func.0])).collect();
        let line = |l: &backstop::model::LineInfo| words([l.slot, l.file, l.text, l.line << 10 | l.column]);
        let line_info: Vec<u8> = linked.line_info.iter().flat_map(line).collect();
        let btf = self.btf.as_ref().map(|btf| ProgBtf {
            btf,
            func_info: &func_info,
            func_info_rec_size: 8,
            line_info: &line_info,
            line_info_rec_size: 16,
        });
        let kind = &linked.kind;
        let number = kind.ty.linux_number().ok_or("no type of Linux's")?;
        let attach = kind.attach.linux_number();
        let sleepable = kind.sleepable && kind.ty != ProgType::Syscall;
        let load = ProgLoad {
            attach_type: (attach != 0 || kind.ty == ProgType::CgroupSkb).then(|| AttachType::from_number(attach)),
            license: &linked.license,
            maps: &maps,
            kfuncs: &kfuncs,
            btf,
            flags: if sleepable { prog_flag::SLEEPABLE } else { 0 }
                | if kind.frags { prog_flag::XDP_HAS_FRAGS } else { 0 },
            name: &linked.name,
            log_level: 0,
            ..ProgLoad::new(TheirType::from_number(number), &insns)
        };
        if let Outcome::Loaded(program) = self.referee.load(&load).map_err(|e| e.to_string())? {
            return Ok(Ok(program));
        }
        // Logs cost much, so they are asked for only now.
        match self.referee.load(&ProgLoad { log_level: 1, ..load }).map_err(|e| e.to_string())? {
            Outcome::Loaded(program) => Ok(Ok(program)),
            Outcome::Refused(refused) => Ok(Err(refused.reason())),
        }
    }

    fn map(&self, spec: &MapSpec) -> Result<Rc<Map>, String> {
        if let Some(made) = self.maps.borrow().get(&spec.name) {
            return Ok(Rc::clone(made));
        }
        let map = Rc::new(self.create(spec)?);
        let said = |e: backstop_referee::Error| format!("map {}: {e}", spec.name);
        if let Some(initial) = &spec.initial {
            map.update(&0_u32.to_ne_bytes(), initial, 0).map_err(said)?;
        }
        if spec.frozen {
            map.freeze().map_err(said)?;
        }
        self.maps.borrow_mut().insert(spec.name.clone(), Rc::clone(&map));
        Ok(map)
    }

    fn create(&self, spec: &MapSpec) -> Result<Map, String> {
        let inner = spec.inner.as_ref().map(|inner| self.create(inner)).transpose()?;
        let typed = |id: Option<backstop::btf::TypeId>| id.map_or(0, |id| id.0);
        // A section's map has a value type alone.
        let section = spec.btf.as_ref().zip(spec.value_type).is_some_and(|(btf, ty)| btf.kind(ty) == Kind::Datasec);
        let typeless = OF_MAPS.contains(&spec.kind) || matches!(spec.kind, MapKind::ProgArray | MapKind::Ringbuf);
        let btf =
            self.btf.as_ref().filter(|_| section || !typeless && spec.key_type.is_some() && spec.value_type.is_some());
        let theirs = backstop_referee::MapSpec {
            kind: spec.kind as u32,
            key_size: spec.key_size,
            value_size: spec.value_size,
            max_entries: spec.max_entries,
            flags: spec.flags,
            name: "",
            inner: inner.as_ref(),
            btf: btf.map(|btf| MapBtf { btf, key_type: typed(spec.key_type), value_type: typed(spec.value_type) }),
            extra: spec.extra,
        };
        self.referee.create_map(&theirs).map_err(|e| format!("map {}: {e}", spec.name))
    }

    /// Fills prog_arrays and maps of maps as `.values` say, with what the programs in them need in turn.
    fn fill(&self, main: &Linked) -> Result<Vec<backstop_referee::Loaded>, String> {
        let mut done = Vec::new();
        let mut loaded: BTreeMap<String, backstop_referee::Loaded> = BTreeMap::new();
        let mut queue: Vec<_> = main.maps.clone();
        while let Some(spec) = queue.pop() {
            if done.contains(&spec.name) {
                continue;
            }
            done.push(spec.name.clone());
            for (index, name) in &spec.values {
                let map = self.map(&spec)?;
                let put = |what: &dyn std::fmt::Display| format!("map {}, index {index}: {what}", spec.name);
                if spec.kind != MapKind::ProgArray {
                    let mut known = self.object.iter().flat_map(|(object, _)| object.elf().maps());
                    let inner = known.find(|m| m.spec.name == *name).ok_or_else(|| put(name))?;
                    let inner = self.map(&inner.spec)?;
                    map.update_fd(&index.to_ne_bytes(), &*inner).map_err(|e| put(&e))?;
                    continue;
                }
                if !loaded.contains_key(name) {
                    let (object, linker) = self.object.ok_or_else(|| put(name))?;
                    let linked = object.link(linker, name).map_err(|e| put(&e))?;
                    let program = self.program(&linked)?.map_err(|e| put(&e))?;
                    queue.extend(linked.maps.iter().cloned());
                    loaded.insert(name.clone(), program);
                }
                let target = loaded.get(name).ok_or_else(|| put(name))?;
                map.update_fd(&index.to_ne_bytes(), target).map_err(|e| put(&e))?;
            }
        }
        Ok(loaded.into_values().collect())
    }
}

/// The program's types as the kernel takes them, its data sections among them: locks and list heads may lie there.
fn kernel_types(btf: &Btf, linked: &Linked) -> Result<Vec<u8>, backstop_referee::Error> {
    let types = linked.maps.iter().filter_map(|spec| Some((spec.value_type?, spec.value_size)));
    let sections: Vec<_> = types.filter(|(ty, _)| btf.kind(*ty) == Kind::Datasec).collect();
    let variables = |ty| btf.datasec_vars(ty).iter().map(|v| (btf.name(v.ty), v.offset)).collect::<Vec<_>>();
    let variables: Vec<_> = sections.iter().map(|(ty, _)| variables(*ty)).collect();
    let sections: Vec<_> = sections
        .iter()
        .zip(&variables)
        .map(|((ty, size), variables)| DataSection { name: btf.name(*ty), size: *size, variables })
        .collect();
    kernel_btf(&btf.encode(), &sections)
}

fn words<const N: usize>(words: [u32; N]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_ne_bytes()).collect()
}
