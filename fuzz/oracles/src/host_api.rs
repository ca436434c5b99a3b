//! The host's interface, called in any order: errors where they must be, no panic, and nothing left behind.

use std::sync::{Arc, Weak};

use backstop::ir::Callee;
use backstop::model::contexts::has_skb;
use backstop::model::{MapKind, MapSpec, ProgType};
use backstop::{Config, Engine, EngineChoice, Input, Linker, Loaded, Map, Object, Packet, Program, Store, Update};

use crate::Outcome;
use crate::objects::committed;
use backstop_differ::{Source, Stream};

/// Calls of one input.
const MAX_CALLS: usize = 48;
/// Things of one kind that are kept.
const MAX_KEPT: usize = 6;
/// Map memory of an engine, in bytes.
const MAP_MEMORY: u64 = 1 << 24;
/// Times that garbage is asked to go before it counts as a leak.
const COLLECTIONS: usize = 4096;
/// The helper that runs as often as a program's variable says.
const LOOP: u32 = 181;

struct World<'s, 'b> {
    source: &'s mut Source<'b>,
    engines: Vec<Engine>,
    objects: Vec<Object>,
    loaded: Vec<Loaded<()>>,
    programs: Vec<Program<()>>,
    maps: Vec<Map>,
    stores: Vec<Store<()>>,
    done: usize,
}

/// Makes a sequence of calls of the host's interface.
///
/// # Panics
/// If a call panics, contradicts another, or something is still alive when everything was dropped.
pub fn host_api(data: &[u8]) -> Outcome {
    let mut source = Source::new(data);
    let (done, alive) = {
        let (engines, alive) = engines();
        let mut world = World {
            source: &mut source,
            stores: engines.iter().map(|engine| Store::new(engine, ())).collect(),
            engines,
            objects: Vec::new(),
            loaded: Vec::new(),
            programs: Vec::new(),
            maps: Vec::new(),
            done: 0,
        };
        for _ in 0..MAX_CALLS {
            if world.source.is_empty() {
                break;
            }
            world.call();
        }
        (world.done, alive)
    };
    gone(&alive);
    if done > 0 { Outcome::Held } else { Outcome::Unusable }
}

/// One engine of each kind, with a token that lives as long as anything that was made with it.
fn engines() -> (Vec<Engine>, Vec<Weak<()>>) {
    let mut all = (Vec::new(), Vec::new());
    for choice in [EngineChoice::Interpreter, EngineChoice::Jit] {
        let token = Arc::new(());
        all.1.push(Arc::downgrade(&token));
        let config = Config::new().engine(choice).cpus(2).map_memory(MAP_MEMORY).statistics(true);
        let config = config.trace(move |_| {
            let _alive = &token;
        });
        all.0.extend(Engine::new(config));
    }
    all
}

/// Programs and maps hold their engine. What prog_arrays held goes when no run holds it.
fn gone(alive: &[Weak<()>]) {
    for round in 0..COLLECTIONS {
        if alive.iter().all(|token| token.strong_count() == 0) {
            return;
        }
        if round < 64 {
            std::thread::yield_now();
        } else {
            // Another thread's run holds it meanwhile (tests run side by side): let it end.
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
    }
    panic!("a program or map outlives everything that could reach it");
}

fn keep<T>(all: &mut Vec<T>, one: T) {
    if all.len() >= MAX_KEPT {
        all.remove(0);
    }
    all.push(one);
}

impl World<'_, '_> {
    fn call(&mut self) {
        if self.objects.is_empty() {
            // Without one there is little to call.
            return self.open();
        }
        match self.source.byte() % 24 {
            0..=2 => self.open(),
            3 => self.set_global(),
            4 => self.replace_map(),
            5 => self.choose(),
            6..=8 => self.load_one(),
            9 => self.load_all(),
            10 => self.take_map(),
            11 => self.create_map(),
            12..=14 => self.use_map(),
            15 => self.set_tail_call(),
            16..=19 => self.run(),
            20 => self.judge(),
            21 => self.wrong_names(),
            22 => self.drop_one(),
            _ => self.new_store(),
        }
    }

    fn at<T>(source: &mut Source<'_>, all: &[T]) -> Option<usize> {
        (!all.is_empty()).then(|| source.below(all.len()))
    }

    fn open(&mut self) {
        let (name, bytes) = committed(self.source);
        let Some(engine) = Self::at(self.source, &self.engines).and_then(|n| self.engines.get(n)) else { return };
        match engine.open(bytes, name) {
            Ok(object) => keep(&mut self.objects, object),
            Err(error) => panic!("{name} is not opened: {error}"),
        }
        self.done += 1;
    }

    fn set_global(&mut self) {
        let Some(object) = Self::at(self.source, &self.objects).and_then(|n| self.objects.get_mut(n)) else { return };
        let globals: Vec<(String, u32)> = object.elf().globals().iter().map(|g| (g.name.clone(), g.size)).collect();
        let Some((name, size)) = globals.get(self.source.below(globals.len())) else { return };
        let odd = usize::from(self.source.chance(32));
        let mut value = self.source.take(*size as usize + odd).to_vec();
        value.resize(*size as usize + odd, 0);
        match object.set_global(name, &value) {
            Ok(object) => assert_eq!(object.global(name).ok(), Some(value), "global {name}"),
            Err(error) => assert!(odd == 1, "global {name}: {error}"),
        }
        self.done += 1;
    }

    fn replace_map(&mut self) {
        let Some(map) = Self::at(self.source, &self.maps).and_then(|n| self.maps.get(n)) else { return };
        let Some(object) = Self::at(self.source, &self.objects).and_then(|n| self.objects.get_mut(n)) else { return };
        let name = map.name().to_owned();
        let names: Vec<String> = object.elf().maps().iter().map(|m| m.spec.name.clone()).collect();
        let other = names.get(self.source.below(names.len())).cloned();
        let name = if self.source.chance(64) { other.unwrap_or(name) } else { name };
        if let Err(error) = object.replace_map(&name, map) {
            assert!(!error.to_string().is_empty());
        }
        self.done += 1;
    }

    fn choose(&mut self) {
        let (on, len) = (self.source.chance(128), self.source.half());
        let Some((object, name)) = self.object_and_program() else { return };
        let Some(object) = self.objects.get_mut(object) else { return };
        assert!(object.set_autoload(&name, on).is_ok());
        assert!(object.programs().iter().any(|p| p.name == name && p.autoload == on));
        assert!(object.set_memory_len(&name, u32::from(len)).is_ok());
    }

    fn object_and_program(&mut self) -> Option<(usize, String)> {
        let n = Self::at(self.source, &self.objects)?;
        let programs = self.objects.get(n)?.programs();
        let name = programs.get(self.source.below(programs.len()))?.name.clone();
        Some((n, name))
    }

    fn load_one(&mut self) {
        let Some((n, name)) = self.object_and_program() else { return };
        let foreign = self.source.chance(8);
        let Some(object) = self.objects.get(n) else { return };
        let engine = if foreign { self.engines.first() } else { Some(object.engine()) };
        let Some(engine) = engine else { return };
        let result = object.load_programs(&Linker::<()>::new(engine), &[&name]);
        match result {
            Ok(loaded) => {
                assert!(engine.same(object.engine()), "a linker of another engine was taken");
                match loaded.program(&name) {
                    Ok(program) => keep(&mut self.programs, program),
                    Err(error) => panic!("loaded, but {error}"),
                }
                keep(&mut self.loaded, loaded);
            }
            Err(error) => assert!(!error.to_string().is_empty()),
        }
        self.done += 1;
    }

    fn load_all(&mut self) {
        let Some(object) = Self::at(self.source, &self.objects).and_then(|n| self.objects.get(n)) else { return };
        if object.programs().len() > 24 {
            return;
        }
        match object.load(&Linker::<()>::new(object.engine())) {
            Ok(loaded) => {
                let programs: Vec<_> = loaded.programs().collect();
                programs.into_iter().for_each(|program| keep(&mut self.programs, program));
                keep(&mut self.loaded, loaded);
            }
            Err(error) => assert!(!error.to_string().is_empty()),
        }
        self.done += 1;
    }

    fn take_map(&mut self) {
        let Some(loaded) = Self::at(self.source, &self.loaded).and_then(|n| self.loaded.get(n)) else { return };
        let maps: Vec<&Map> = loaded.maps().collect();
        let Some(map) = maps.get(self.source.below(maps.len())) else { return };
        match loaded.map(map.name()) {
            Ok(same) => assert!(same.same(map), "two maps of one name"),
            Err(error) => panic!("{error}"),
        }
        let map = Map::clone(map);
        keep(&mut self.maps, map);
    }

    fn create_map(&mut self) {
        let kinds = [MapKind::Array, MapKind::Hash, MapKind::PercpuArray, MapKind::PercpuHash, MapKind::ProgArray];
        let kind = match self.source.pick(&kinds) {
            Some(kind) if !self.source.chance(16) => kind,
            _ => MapKind::ALL.get(self.source.below(MapKind::ALL.len())).copied().unwrap_or(MapKind::Array),
        };
        let sane = !self.source.chance(64);
        let size = |source: &mut Source<'_>, small: usize| {
            if sane { 1 + source.below(small) as u32 } else { source.number() as u32 }
        };
        let key_size =
            if sane && !matches!(kind, MapKind::Hash | MapKind::PercpuHash) { 4 } else { size(self.source, 16) };
        let value_size = if sane && kind == MapKind::ProgArray { 4 } else { size(self.source, 40) };
        let mut spec = MapSpec::new("made", kind, key_size, value_size, size(self.source, 20));
        if !sane {
            spec.flags = self.source.number() as u32;
        }
        let Some(engine) = Self::at(self.source, &self.engines).and_then(|n| self.engines.get(n)) else { return };
        match engine.create_map(spec) {
            Ok(map) => keep(&mut self.maps, map),
            Err(error) => assert!(!error.to_string().is_empty()),
        }
        self.done += 1;
    }

    fn use_map(&mut self) {
        let Some(map) = Self::at(self.source, &self.maps).and_then(|n| self.maps.get(n)) else { return };
        let source = &mut *self.source;
        let odd = usize::from(source.chance(16));
        let sized = |source: &mut Source<'_>, len: usize| {
            let mut bytes = source.take(len.min(64)).to_vec();
            bytes.resize(len + odd, 0);
            bytes
        };
        let key = sized(source, map.spec().key_size as usize);
        match source.byte() % 8 {
            0 | 1 => {
                let value = sized(source, map.spec().value_size as usize);
                let how = source.pick(&[Update::Any, Update::NoExist, Update::Exist]).unwrap_or_default();
                if map.update(&key, &value, how).is_ok() && map.spec().kind != MapKind::ProgArray {
                    let read = map.lookup(&key).ok().flatten();
                    assert!(read.is_none_or(|read| read.starts_with(&value)), "what was written is not read");
                }
            }
            2 | 3 => {
                if let Ok(Some(found)) = map.lookup(&key) {
                    let mut into = vec![0; found.len()];
                    assert_eq!(map.lookup_into(&key, &mut into).ok(), Some(true));
                    assert_eq!(into, found, "two ways to read differ");
                }
            }
            4 => {
                if map.delete(&key).is_ok() {
                    assert!(!matches!(map.lookup(&key), Ok(Some(_))), "deleted, and still there");
                }
            }
            5 => {
                let count = map.iter().count();
                // A map that the host may not read shows it nothing.
                let unreadable = matches!(map.lookup(&key), Err(backstop::MapError::Denied { .. }));
                assert!(
                    map.spec().kind == MapKind::ProgArray || unreadable || count == map.len(),
                    "{count} elements of {}",
                    map.len()
                );
            }
            6 => {
                let _ = map.clear();
            }
            _ if source.chance(32) => map.freeze(),
            _ => assert!(!map.is_empty() || map.iter().next().is_none()),
        }
        self.done += 1;
    }

    fn set_tail_call(&mut self) {
        let Some(loaded) = Self::at(self.source, &self.loaded).and_then(|n| self.loaded.get(n)) else { return };
        let Some(program) = Self::at(self.source, &self.programs).and_then(|n| self.programs.get(n)) else { return };
        let arrays: Vec<String> = loaded
            .maps()
            .filter(|map| map.spec().kind == MapKind::ProgArray)
            .map(|map| map.name().to_owned())
            .collect();
        let Some(name) = arrays.get(self.source.below(arrays.len())) else { return };
        if let Err(error) = loaded.set_tail_call(name, self.source.below(12) as u32, program) {
            assert!(!error.to_string().is_empty());
        }
        self.done += 1;
    }

    fn run(&mut self) {
        let Some(program) = Self::at(self.source, &self.programs).and_then(|n| self.programs.get(n)) else { return };
        let Some(store) = Self::at(self.source, &self.stores).and_then(|n| self.stores.get_mut(n)) else { return };
        // A variable of the object's may say how often a callback is called.
        if program.ir().callees().contains(&Callee::Helper(LOOP)) || program.ir().funcs().iter().any(|f| f.may_goto) {
            return;
        }
        let before = program.statistics();
        let ty = program.kind().ty;
        let mut memory = Stream::new(u64::from(self.source.byte())).bytes(match ty {
            ProgType::RawMem => program.kind().memory_len as usize,
            ProgType::Host => program.kind().host.as_ref().map_or(0, |host| host.size as usize),
            _ => self.source.below(200),
        });
        let packets = ty == ProgType::Xdp || has_skb(ty);
        let result = if packets != self.source.chance(16) {
            program.run(store, Input::Packet(&mut Packet::new(&memory)))
        } else if self.source.chance(32) {
            program.run(store, Input::None)
        } else {
            program.run(store, Input::Memory(&mut memory))
        };
        match result {
            Ok(exit) => {
                let after = program.statistics();
                assert_eq!(after.runs, before.runs + 1, "a run was not counted");
                assert_eq!(after.throws, before.throws + u64::from(exit.cookie().is_some()), "a throw was not counted");
                if let backstop::Exit::Thrown { backtrace, .. } = &exit {
                    assert!(program.backtrace(backtrace).len() <= backtrace.len());
                }
            }
            Err(error) => assert!(!error.to_string().is_empty()),
        }
        self.done += 1;
    }

    fn judge(&mut self) {
        let Some((n, name)) = self.object_and_program() else { return };
        let Some(object) = self.objects.get(n) else { return };
        let linker = Linker::<()>::new(object.engine());
        let (linked, verified) = (object.link(&linker, &name), object.verify(&linker, &name));
        assert!(linked.is_ok() || verified.is_err(), "{name} is verified but not linked");
        if let (Ok(linked), Ok(verified)) = (linked, verified) {
            assert_eq!(linked.slots, verified.program().slots, "{name} is linked in two ways");
        }
        self.done += 1;
    }

    fn wrong_names(&mut self) {
        let name = String::from_utf8_lossy(self.source.take(8)).into_owned() + " is no name";
        if let Some(object) = self.objects.last_mut() {
            assert!(object.set_autoload(&name, true).is_err() && object.global(&name).is_err());
            assert!(object.set_global(&name, &[]).is_err() && object.set_memory_len(&name, 1).is_err());
            let linker = Linker::<()>::new(object.engine());
            assert!(object.load_programs(&linker, &[&name]).is_err());
        }
        if let Some(loaded) = self.loaded.last() {
            assert!(loaded.program(&name).is_err() && loaded.map(&name).is_err());
        }
    }

    fn drop_one(&mut self) {
        match self.source.byte() % 5 {
            0 => drop(Self::at(self.source, &self.objects).map(|n| self.objects.swap_remove(n))),
            1 => drop(Self::at(self.source, &self.loaded).map(|n| self.loaded.swap_remove(n))),
            2 => drop(Self::at(self.source, &self.programs).map(|n| self.programs.swap_remove(n))),
            3 => drop(Self::at(self.source, &self.maps).map(|n| self.maps.swap_remove(n))),
            _ => drop(Self::at(self.source, &self.stores).map(|n| self.stores.swap_remove(n))),
        }
    }

    fn new_store(&mut self) {
        let Some(engine) = Self::at(self.source, &self.engines).and_then(|n| self.engines.get(n)) else { return };
        let store = Store::new(engine, ());
        keep(&mut self.stores, store);
    }
}
