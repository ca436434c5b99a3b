//! Maps of each basic kind, and programs that use them.

use crate::asm::*;
use backstop_referee::{
    Error, Map, MapSpec, ProgLoad, ProgType, Referee, TestRun, Verdict, map_flag, map_kind, update_flag,
};

fn make(referee: &Referee, kind: u32, key_size: u32, value_size: u32, flags: u32) -> Map {
    let spec = MapSpec { kind, key_size, value_size, max_entries: 4, flags, name: "a map", ..MapSpec::default() };
    referee.create_map(&spec).unwrap_or_else(|error| panic!("kind {kind}: {error}"))
}

#[test]
fn keyed_maps() {
    let Some(referee) = Referee::open_or_skip("keyed_maps") else {
        return;
    };
    for kind in [map_kind::HASH, map_kind::LRU_HASH, map_kind::ARRAY] {
        let map = make(&referee, kind, 4, 6, 0);
        let is_array = kind == map_kind::ARRAY;
        let key = 2_u32.to_ne_bytes();
        assert_eq!(map.lookup(&key).expect("lookup"), is_array.then(|| vec![0; 6]), "kind {kind}");
        map.update(&key, b"abcdef", update_flag::ANY).expect("update");
        assert_eq!(map.lookup(&key).expect("lookup").as_deref(), Some(&b"abcdef"[..]));
        assert_eq!(map.entries().expect("entries").len(), if is_array { 4 } else { 1 });
        if !is_array {
            assert!(map.delete(&key).expect("delete"));
            assert!(!map.delete(&key).expect("delete"));
            assert_eq!(map.entries().expect("entries"), Vec::new());
        }
        assert!(matches!(map.lookup(b"abc"), Err(Error::Size { got: 3, want: 4, .. })));
        assert!(matches!(map.update(&key, b"abc", 0), Err(Error::Size { got: 3, want: 6, .. })));
    }
    let trie = make(&referee, map_kind::LPM_TRIE, 8, 4, map_flag::NO_PREALLOC);
    let prefix = |bits: u32, address: [u8; 4]| [bits.to_ne_bytes(), address].concat();
    trie.update(&prefix(8, [10, 0, 0, 0]), b"wide", 0).expect("update");
    trie.update(&prefix(16, [10, 1, 0, 0]), b"slim", 0).expect("update");
    assert_eq!(trie.lookup(&prefix(32, [10, 1, 2, 3])).expect("lookup").as_deref(), Some(&b"slim"[..]));
    assert_eq!(trie.lookup(&prefix(32, [10, 2, 2, 3])).expect("lookup").as_deref(), Some(&b"wide"[..]));
    assert_eq!(trie.entries().expect("entries").len(), 2);
}

#[test]
fn per_cpu_maps() {
    let Some(referee) = Referee::open_or_skip("per_cpu_maps") else {
        return;
    };
    for kind in [map_kind::PERCPU_HASH, map_kind::PERCPU_ARRAY, map_kind::LRU_PERCPU_HASH] {
        let map = make(&referee, kind, 4, 12, 0);
        assert_eq!(map.transfer_size(), 16 * referee.possible_cpus());
        let key = 1_u32.to_ne_bytes();
        map.update_all_cpus(&key, b"abcdefghijkl", update_flag::ANY).expect("update");
        let values = map.lookup_per_cpu(&key).expect("lookup").expect("the element");
        assert_eq!(values, vec![b"abcdefghijkl".to_vec(); referee.possible_cpus()]);
    }
}

#[test]
fn maps_without_keys() {
    let Some(referee) = Referee::open_or_skip("maps_without_keys") else {
        return;
    };
    for (kind, order) in [(map_kind::QUEUE, [b"one", b"two"]), (map_kind::STACK, [b"two", b"one"])] {
        let map = make(&referee, kind, 0, 3, 0);
        map.update(&[], b"one", 0).expect("push");
        map.update(&[], b"two", 0).expect("push");
        assert_eq!(map.lookup(&[]).expect("peek").as_deref(), Some(&order[0][..]));
        for value in order {
            assert_eq!(map.lookup_and_delete(&[]).expect("pop").as_deref(), Some(&value[..]));
        }
        assert_eq!(map.lookup_and_delete(&[]).expect("pop"), None);
    }
    for kind in [map_kind::RINGBUF, map_kind::USER_RINGBUF] {
        let spec = MapSpec { kind, max_entries: 4096, ..MapSpec::default() };
        referee.create_map(&spec).expect("a ring buffer");
    }
    let arena = MapSpec { kind: map_kind::ARENA, max_entries: 1, flags: map_flag::MMAPABLE, ..MapSpec::default() };
    referee.create_map(&arena).expect("an arena");
}

#[test]
fn maps_that_hold_programs_and_maps() {
    let Some(referee) = Referee::open_or_skip("maps_that_hold_programs_and_maps") else {
        return;
    };
    let zero = 0_u32.to_ne_bytes();
    let target = [mov(0, 33), exit()];
    let target = must_load(&referee, &ProgLoad::new(ProgType::SchedCls, target.as_flattened()));
    let programs = make(&referee, map_kind::PROG_ARRAY, 4, 4, 0);
    programs.update_fd(&zero, &target).expect("a program");
    let [slot0, slot1] = map_by_index(2, 0);
    let caller = [slot0, slot1, mov(3, 0), helper(12), mov(0, 1), exit()];
    let prog = ProgLoad { maps: &[&programs], ..ProgLoad::new(ProgType::SchedCls, caller.as_flattened()) };
    let loaded = must_load(&referee, &prog);
    let data = packet(64);
    assert_eq!(referee.test_run(&loaded, &TestRun::packet(&data)).expect("run").retval, 33);
    assert_eq!(programs.entries().expect("entries").len(), 1);

    let inner = make(&referee, map_kind::ARRAY, 4, 8, 0);
    for kind in [map_kind::ARRAY_OF_MAPS, map_kind::HASH_OF_MAPS] {
        let spec =
            MapSpec { kind, key_size: 4, value_size: 4, max_entries: 2, inner: Some(&inner), ..MapSpec::default() };
        let outer = referee.create_map(&spec).expect("a map of maps");
        outer.update_fd(&zero, &inner).expect("a map");
        assert_eq!(outer.entries().expect("entries").len(), 1);
    }
}

#[test]
fn programs_name_maps_by_index() {
    let Some(referee) = Referee::open_or_skip("programs_name_maps_by_index") else {
        return;
    };
    let unused = make(&referee, map_kind::HASH, 4, 4, 0);
    let counts = make(&referee, map_kind::ARRAY, 4, 8, 0);
    let [slot0, slot1] = map_by_index(1, 1);
    let insns = [
        store_word(10, -4, 3),
        mov_reg(2, 10),
        add(2, -4),
        slot0,
        slot1,
        helper(1),
        insn(0x15, 0, 0, 1, 0),
        insn(0x7a, 0, 0, 0, 99),
        mov(0, 0),
        exit(),
    ];
    let prog = ProgLoad { maps: &[&unused, &counts], ..ProgLoad::new(ProgType::SchedCls, insns.as_flattened()) };
    let loaded = must_load(&referee, &prog);
    referee.test_run(&loaded, &TestRun::packet(&packet(64))).expect("run");
    let value = counts.lookup(&3_u32.to_ne_bytes()).expect("lookup");
    assert_eq!(value, Some(99_u64.to_ne_bytes().to_vec()));
}

#[test]
fn frozen_values_are_constants() {
    let Some(referee) = Referee::open_or_skip("frozen_values_are_constants") else {
        return;
    };
    let map = MapSpec { kind: map_kind::ARRAY, key_size: 4, value_size: 8, max_entries: 1, ..MapSpec::default() };
    let map = referee.create_map(&MapSpec { flags: map_flag::RDONLY_PROG, ..map }).expect("a map");
    map.update(&0_u32.to_ne_bytes(), &1_u64.to_ne_bytes(), 0).expect("update");
    // r1 = value of map 0; a branch on a known 1 never reaches the read of r9, which nothing wrote.
    let insns = [
        insn(0x18, 1, 6, 0, 0),
        insn(0, 0, 0, 0, 0),
        load_word(2, 1, 0),
        mov(0, 0),
        insn(0x15, 2, 0, 1, 1),
        mov_reg(0, 9),
        exit(),
    ];
    let prog = ProgLoad { maps: &[&map], ..ProgLoad::new(ProgType::SchedCls, insns.as_flattened()) };
    let reason = "R9 !read_ok".to_owned();
    assert_eq!(referee.verdict(&prog).expect("a verdict"), Verdict::Reject { errno: libc::EACCES, reason });
    map.freeze().expect("freeze");
    assert!(map.update(&0_u32.to_ne_bytes(), &2_u64.to_ne_bytes(), 0).is_err());
    assert_eq!(referee.verdict(&prog).expect("a verdict"), Verdict::Accept);
}

#[test]
fn ring_buffers_give_their_records() {
    let Some(referee) = Referee::open_or_skip("ring_buffers_give_their_records") else {
        return;
    };
    let spec = MapSpec { kind: map_kind::RINGBUF, max_entries: 4096, ..MapSpec::default() };
    let ring = referee.create_map(&spec).expect("a ring buffer");
    // bpf_ringbuf_output(ring, &(u64)skb->len, 8, 0)
    let [slot0, slot1] = map_by_index(1, 0);
    let insns = [
        load_word(6, 1, 0),
        insn(0x7b, 10, 6, -8, 0),
        slot0,
        slot1,
        mov_reg(2, 10),
        add(2, -8),
        mov(3, 8),
        mov(4, 0),
        helper(130),
        exit(),
    ];
    let prog = ProgLoad { maps: &[&ring], ..ProgLoad::new(ProgType::SchedCls, insns.as_flattened()) };
    let loaded = must_load(&referee, &prog);
    assert_eq!(ring.drain_ring().expect("drain"), Vec::<Vec<u8>>::new());
    // 200 records of 16 bytes fit; five rounds go over the end several times.
    for round in 0..5 {
        let len = 60 + round;
        let data = packet(len);
        let out = referee.test_run(&loaded, &TestRun { repeat: 200, ..TestRun::packet(&data) });
        assert_eq!(out.expect("run").retval, 0);
        let records = ring.drain_ring().expect("drain");
        assert_eq!(records, vec![(len as u64).to_ne_bytes().to_vec(); 200], "round {round}");
    }
    assert!(make(&referee, map_kind::ARRAY, 4, 4, 0).drain_ring().is_err());
}
