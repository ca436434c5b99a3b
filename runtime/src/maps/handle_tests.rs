use backstop_model::{MAP_F_RDONLY_PROG, MapKind};

use super::*;
use crate::config::Config;

fn engine() -> Engine {
    Engine::new(Config::new().engine(crate::config::EngineChoice::Interpreter).cpus(2).map_memory(1 << 20))
        .expect("an engine")
}

fn spec(kind: MapKind, key_size: u32, value_size: u32, max_entries: u32) -> MapSpec {
    MapSpec::new("m", kind, key_size, value_size, max_entries)
}

fn create(kind: MapKind, key_size: u32, value_size: u32, max_entries: u32) -> Map {
    Map::create(&engine(), Arc::new(spec(kind, key_size, value_size, max_entries))).expect("a map")
}

#[test]
fn arrays_by_the_host() {
    let map = create(MapKind::Array, 4, 8, 3);
    let typed = map.typed::<u32, u64>().expect("sizes");
    assert_eq!(typed.get(&2), Ok(Some(0)));
    typed.set(&2, &77, Update::Any).expect("inside");
    assert_eq!(typed.get(&2), Ok(Some(77)));
    assert_eq!(typed.get(&3), Ok(None));
    assert_eq!(typed.set(&3, &1, Update::Any), Err(MapError::Full { capacity: 3 }));
    assert_eq!(typed.set(&0, &1, Update::NoExist), Err(MapError::Exists));
    assert!(matches!(typed.delete(&0), Err(MapError::Invalid { .. })));
    assert_eq!(typed.iter().collect::<Vec<_>>(), [(0, 0), (1, 0), (2, 77)]);
    assert_eq!(map.len(), 3);
    map.clear().expect("not frozen");
    assert_eq!(typed.get(&2), Ok(Some(0)));
    assert!(map.typed::<u64, u64>().is_err() && map.typed::<u32, [u8; 7]>().is_err());
    assert_eq!(map.lookup(&[0; 3]), Err(MapError::KeySize { expected: 4, given: 3 }));
    assert_eq!(map.update(&[0; 4], &[0; 9], Update::Any), Err(MapError::ValueSize { expected: 8, given: 9 }));
}

#[test]
fn hashes_by_the_host() {
    let map = create(MapKind::Hash, 6, 4, 2).typed::<[u16; 3], i32>().expect("sizes");
    map.set(&[1, 2, 3], &-5, Update::NoExist).expect("room");
    map.set(&[1, 2, 4], &6, Update::Any).expect("room");
    assert_eq!(map.set(&[0; 3], &6, Update::Any), Err(MapError::Full { capacity: 2 }));
    let mut all: Vec<_> = map.iter().collect();
    all.sort();
    assert_eq!(all, [([1, 2, 3], -5), ([1, 2, 4], 6)]);
    map.delete(&[1, 2, 3]).expect("there");
    assert_eq!(map.get(&[1, 2, 3]), Ok(None));
    assert_eq!(map.map().len(), 1);
    map.map().clear().expect("not frozen");
    assert!(map.map().is_empty());
    let mut out = [0; 4];
    assert_eq!(map.map().lookup_into(&[0; 6], &mut out), Ok(false));
    assert!(map.map().lookup_into(&[0; 6], &mut []).is_err());
}

#[test]
fn per_cpu_kinds_have_a_value_a_slot() {
    for kind in [MapKind::PercpuArray, MapKind::PercpuHash] {
        let map = create(kind, 4, 4, 2).typed::<u32, u32>().expect("sizes");
        map.set(&1, &3, Update::Any).expect("room");
        assert_eq!(map.get_per_cpu(&1), Ok(Some(vec![3, 3])));
        map.set_per_cpu(&1, &[4, 5], Update::Any).expect("room");
        assert_eq!(map.map().lookup_per_cpu(&1u32.to_ne_bytes()), Ok(Some(vec![vec![4, 0, 0, 0], vec![5, 0, 0, 0]])));
        assert!(map.set_per_cpu(&1, &[4], Update::Any).is_err());
        assert!(map.iter_per_cpu().any(|entry| entry == (1, vec![4, 5])));
    }
}

#[test]
fn global_data_has_its_first_content_and_an_address() {
    let mut data = spec(MapKind::Array, 4, 6, 1);
    data.initial = Some(Arc::from(&b"sixsix"[..]));
    data.flags = MAP_F_RDONLY_PROG;
    data.frozen = true;
    let map = Map::create(&engine(), Arc::new(data)).expect("a map");
    assert_eq!(map.lookup(&[0; 4]), Ok(Some(b"sixsix".to_vec())));
    assert_eq!(map.update(&[0; 4], b"xxxxxx", Update::Any), Err(MapError::Frozen));
    assert_eq!(map.clear(), Err(MapError::Frozen));
    assert_eq!(map.inner().value_address(5), map.inner().value_address(0).map(|a| a + 5));
    assert_eq!(map.inner().value_address(6), None);
    assert_eq!(create(MapKind::Hash, 4, 4, 1).inner().value_address(0), None);
    assert_ne!(map.inner().native_address(), 0);
}

#[test]
fn flags_bind_the_host() {
    for (flag, read) in [(F_RDONLY, true), (F_WRONLY, false)] {
        let mut spec = spec(MapKind::Hash, 4, 4, 1);
        spec.flags = flag;
        let map = Map::create(&engine(), Arc::new(spec)).expect("a map");
        assert_eq!(map.lookup(&[0; 4]).is_ok(), read);
        assert_eq!(map.update(&[0; 4], &[0; 4], Update::Any).is_ok(), !read);
    }
}

#[test]
fn impossible_maps_are_refused_before_memory_is_taken() {
    let engine = engine();
    let create = |spec| Map::create(&engine, Arc::new(spec)).map(|_| ());
    assert!(matches!(create(spec(MapKind::Hash, 4, 4, 0)), Err(MapError::Spec(_))));
    assert!(matches!(create(spec(MapKind::Hash, 0, 4, 1)), Err(MapError::Spec(_))));
    assert!(matches!(create(spec(MapKind::Array, 3, 4, 1)), Err(MapError::Spec(_))));
    assert!(matches!(create(spec(MapKind::Hash, 8, 8, u32::MAX)), Err(MapError::Spec(_))));
    assert!(matches!(create(spec(MapKind::Array, 4, 4096, 257)), Err(MapError::Budget { needed: 1_052_672, .. })));
    let unsupported = create(spec(MapKind::LruHash, 4, 4, 1));
    assert_eq!(unsupported, Err(MapError::Unsupported { kind: "lru_hash".to_owned() }));
    // The budget is given back: of maps that went and of maps that never were.
    for _ in 0..10 {
        create(spec(MapKind::Array, 4, 4096, 250)).expect("the whole budget is free");
    }
}

#[test]
fn prog_arrays_hold_no_values() {
    let map = create(MapKind::ProgArray, 4, 4, 2);
    assert!(matches!(map.lookup(&[0; 4]), Err(MapError::Invalid { .. })));
    assert!(matches!(map.update(&[0; 4], &[0; 4], Update::Any), Err(MapError::Invalid { .. })));
    assert_eq!(map.delete(&[0; 4]), Err(MapError::NotFound));
    assert_eq!(map.delete(&[9; 4]), Err(MapError::Full { capacity: 2 }));
    assert_eq!((map.len(), map.iter().count()), (0, 0));
    assert!(map.inner().program(0).is_none());
    assert!(map.inner().set_program(0, None).is_ok() && map.inner().set_program(2, None).is_err());
}

#[test]
fn a_prog_array_is_for_programs_of_one_kind() {
    use std::any::TypeId;

    use backstop_model::{ProgKind, ProgType, Program};

    let program = |ty| Program {
        name: "p".to_owned(),
        section: String::new(),
        kind: ProgKind::new(ty),
        slots: Vec::new(),
        maps: Vec::new(),
        kfuncs: Vec::new(),
        btf: None,
        func_info: Vec::new(),
        line_info: Vec::new(),
        poisoned: Vec::new(),
        license: String::new(),
    };
    let map = create(MapKind::ProgArray, 4, 4, 2);
    let claim = |ty, host| map.inner().claim_as(&program(ty), host);
    assert_eq!(claim(ProgType::Xdp, None), Ok(()));
    assert_eq!(claim(ProgType::Xdp, Some(TypeId::of::<u8>())), Ok(()));
    assert!(claim(ProgType::Xdp, Some(TypeId::of::<u16>())).is_err_and(|e| e.contains("store's data")));
    assert_eq!(
        claim(ProgType::SchedCls, None),
        Err("its programs must agree in type (xdp, not sched_cls) with the first one that used the map".to_owned())
    );
}

#[test]
fn handles_count_apart_from_programs() {
    let map = create(MapKind::Hash, 4, 4, 2);
    let held = map.inner().clone();
    map.update(&[1; 4], &[1; 4], Update::Any).expect("room");
    drop(map.clone());
    drop(map);
    let again = Map::of(&held);
    assert_eq!(again.lookup(&[1; 4]), Ok(Some(vec![1; 4])));
    assert!(again.same(&Map::of(&held)));
}

#[test]
fn threads_share_a_map() {
    let map = create(MapKind::Hash, 4, 4, 100).typed::<u32, u32>().expect("sizes");
    std::thread::scope(|scope| {
        for t in 0..4u32 {
            let map = &map;
            scope.spawn(move || {
                for n in 0..2_000u32 {
                    let key = t * 25 + n % 25;
                    map.set(&key, &key, Update::Any).expect("room for all");
                    assert_eq!(map.get(&key), Ok(Some(key)));
                    assert!(map.iter().all(|(k, v)| k == v));
                    if n % 50 == 0 {
                        map.delete(&key).expect("only this thread removes it");
                        map.set(&key, &key, Update::NoExist).expect("room for all");
                    }
                }
            });
        }
    });
    assert_eq!(map.map().len(), 100);
}
