use super::*;

fn read(map: &HashMap, key: &[u8]) -> Option<Vec<u8>> {
    let mut out = vec![0; map.value_size * map.copies as usize];
    map.read(key, &mut out).then_some(out)
}

fn set(map: &HashMap, key: &[u8], value: &[u8]) -> Result<(), MapError> {
    map.update(key, NewValue::All(value), Update::Any)
}

#[test]
fn keys_come_and_go_up_to_the_capacity() {
    let map = HashMap::new(3, 5, 4, 1).expect("memory");
    for n in 0..3u8 {
        set(&map, &[n; 5], &[n; 4]).expect("room");
    }
    assert_eq!(set(&map, &[9; 5], &[9; 4]), Err(MapError::Full { capacity: 3 }));
    set(&map, &[1; 5], &[7; 4]).expect("an update needs no room");
    assert_eq!(read(&map, &[1; 5]), Some(vec![7; 4]));
    assert_eq!(map.update(&[1; 5], NewValue::All(&[7; 4]), Update::NoExist), Err(MapError::Exists));
    map.delete(&[0; 5]).expect("there");
    assert_eq!(map.delete(&[0; 5]), Err(MapError::NotFound));
    assert_eq!(map.update(&[0; 5], NewValue::All(&[7; 4]), Update::Exist), Err(MapError::NotFound));
    assert_eq!(map.len(), 2);
    let mut all = Vec::new();
    (0..map.buckets()).for_each(|b| map.entries(b, &mut all));
    all.sort();
    assert_eq!(all, [(vec![1; 5], vec![7; 4]), (vec![2; 5], vec![2; 4])]);
    map.clear();
    assert_eq!((map.len(), read(&map, &[2; 5])), (0, None));
}

#[test]
fn a_pointer_from_before_an_update_sees_the_old_element() {
    let map = HashMap::new(4, 4, 8, 1).expect("memory");
    set(&map, &[1; 4], &[1; 8]).expect("room");
    let before = map.lookup(&[1; 4], 0);
    set(&map, &[1; 4], &[2; 8]).expect("room");
    assert_ne!(map.lookup(&[1; 4], 0), before);
}

#[test]
fn per_cpu_values_are_set_alone() {
    let map = HashMap::new(4, 4, 4, 2).expect("memory");
    map.update(&[1; 4], NewValue::One { cpu: 1, value: &[5; 4] }, Update::Any).expect("room");
    assert_eq!(read(&map, &[1; 4]), Some(vec![0, 0, 0, 0, 5, 5, 5, 5]));
    map.update(&[1; 4], NewValue::One { cpu: 0, value: &[6; 4] }, Update::Any).expect("room");
    assert_eq!(read(&map, &[1; 4]), Some(vec![6, 6, 6, 6, 5, 5, 5, 5]));
    set(&map, &[1; 4], &[1, 1, 1, 1, 2, 2, 2, 2]).expect("room");
    assert_eq!(read(&map, &[1; 4]), Some(vec![1, 1, 1, 1, 2, 2, 2, 2]));
    assert_eq!(map.lookup(&[1; 4], 2), None);
    assert!(map.update(&[1; 4], NewValue::One { cpu: 2, value: &[6; 4] }, Update::Any).is_err());
    let apart = map.lookup(&[1; 4], 1).zip(map.lookup(&[1; 4], 0)).map(|(b, a)| b - a);
    assert_eq!(apart, Some(LINE as u64));
}

#[test]
fn a_walk_skips_elements_that_left() {
    let map = HashMap::new(4, 4, 4, 1).expect("memory");
    set(&map, &[1; 4], &[1; 4]).expect("room");
    let bucket = map.bucket(&[1; 4]);
    let mut found = Vec::new();
    map.chain(bucket, &mut found);
    let found = *found.first().expect("one element");
    assert!(map.addresses(found, 0).is_some());
    map.delete(&[1; 4]).expect("there");
    assert!(map.addresses(found, 0).is_none());
}

/// A small generator: the tests need no quality, only a seed to repeat them by.
struct Dice(u64);

impl Dice {
    fn throw(&mut self, below: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % below
    }
}

fn seed() -> u64 {
    let given = std::env::var("BACKSTOP_SEED").ok().and_then(|s| s.parse().ok());
    let seed = given.unwrap_or_else(|| foldhash::quality::RandomState::default().hash_one(1u8)) | 1;
    println!("seed: BACKSTOP_SEED={seed}");
    seed
}

#[test]
fn random_operations_agree_with_the_standard_map() {
    let mut dice = Dice(seed());
    for key_size in [1u32, 3, 4, 8, 13, 16, 40] {
        let capacity = 1 + dice.throw(40) as usize;
        let map = HashMap::new(capacity as u32, key_size, 12, 1).expect("memory");
        let mut model = std::collections::HashMap::<Vec<u8>, Vec<u8>>::new();
        for _ in 0..4000 {
            let mut key = vec![0; key_size as usize];
            let last = key.len() - 1;
            key[last] = dice.throw(60) as u8;
            let value: Vec<u8> = (0..12).map(|_| dice.throw(256) as u8).collect();
            let update = [Update::Any, Update::NoExist, Update::Exist][dice.throw(3) as usize];
            match dice.throw(4) {
                0 => {
                    let expected = model.remove(&key).map(|_| ()).ok_or(MapError::NotFound);
                    assert_eq!(map.delete(&key), expected);
                }
                1 => assert_eq!(read(&map, &key), model.get(&key).cloned()),
                _ => {
                    let expected = match (update, model.contains_key(&key)) {
                        (Update::NoExist, true) => Err(MapError::Exists),
                        (Update::Exist, false) => Err(MapError::NotFound),
                        (_, false) if model.len() == capacity => Err(MapError::Full { capacity: capacity as u32 }),
                        _ => {
                            model.insert(key.clone(), value.clone());
                            Ok(())
                        }
                    };
                    assert_eq!(map.update(&key, NewValue::All(&value), update), expected);
                }
            }
            assert_eq!(map.len() as usize, model.len());
        }
        let mut all = Vec::new();
        (0..map.buckets()).for_each(|b| map.entries(b, &mut all));
        assert_eq!(all.into_iter().collect::<std::collections::HashMap<_, _>>(), model);
    }
}

/// Every value is its key in each word: a reader that sees anything else saw a torn or foreign element.
#[test]
fn threads_see_whole_elements_only() {
    let map = HashMap::new(64, 8, 64, 1).expect("memory");
    let value = |n: u64| n.to_ne_bytes().repeat(8);
    std::thread::scope(|scope| {
        for t in 0..4u64 {
            let map = &map;
            scope.spawn(move || {
                let mut out = vec![0; 64];
                for n in 0..20_000u64 {
                    let key = (n * 7 + t) % 96;
                    match n % 3 {
                        0 => drop(set(map, &key.to_ne_bytes(), &value(key))),
                        1 => drop(map.delete(&key.to_ne_bytes())),
                        _ => {
                            if map.read(&key.to_ne_bytes(), &mut out) {
                                assert_eq!(out, value(key));
                            }
                        }
                    }
                }
            });
        }
    });
    let mut all = Vec::new();
    (0..map.buckets()).for_each(|b| map.entries(b, &mut all));
    assert_eq!(all.len(), map.len() as usize);
    assert!(all.len() <= 64);
}

/// A key that stays in the map is found at every moment, whatever happens around it.
#[test]
fn a_key_that_stays_is_always_found() {
    let map = HashMap::new(32, 4, 4, 1).expect("memory");
    set(&map, &1000u32.to_ne_bytes(), &[1; 4]).expect("room");
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for n in 0..100_000u32 {
                let key = (n % 31).to_ne_bytes();
                drop(set(&map, &key, &key));
                if n % 2 == 0 {
                    drop(map.delete(&key));
                }
            }
            done.store(true, Ordering::Relaxed);
        });
        while !done.load(Ordering::Relaxed) {
            assert!(map.lookup(&1000u32.to_ne_bytes(), 0).is_some());
        }
    });
}

#[test]
fn sizes_that_overflow_are_refused() {
    assert!(HashMap::bytes(u32::MAX, 4, 4, 1).is_none());
    assert!(HashMap::bytes(1 << 30, u32::MAX, u32::MAX, 1 << 20).is_none() || cfg!(target_pointer_width = "64"));
    assert_eq!(HashMap::bytes(1, 4, 4, 1), Some(2 * (16 + 12) + 4));
}
