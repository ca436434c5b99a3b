#![allow(unsafe_code)]

use std::sync::{Arc, Mutex};

use backstop_abi::RunCtx;
use backstop_model::{MapKind, MapSpec};

use super::*;
use crate::call::CallBack;
use crate::config::{Config, EngineChoice};
use crate::context::{ContextNeed, Input, Packet, prepare};
use crate::engine::Engine;
use crate::maps::{Map, Update};
use crate::record::RunRecord;

/// What a test's callback gets: the run and its arguments.
type OnCall<'a> = &'a mut dyn FnMut([u64; 5]) -> Result<u64, Ended>;

struct Back<'a>(OnCall<'a>);

impl CallBack for Back<'_> {
    fn call_back(&mut self, _run: &mut RunRecord<'_>, _function: u64, args: [u64; 5]) -> Result<u64, Ended> {
        (self.0)(args)
    }
}

pub(super) fn engine(config: Config) -> Engine {
    Engine::new(config.engine(EngineChoice::Interpreter).cpus(2)).expect("an engine")
}

pub(super) fn record(engine: &Engine) -> RunRecord<'_> {
    let ctx = RunCtx { pending: 0, tail_calls: 0, catch_sp: 0, throw: 0, raise: 0, held: 0, legacy_load: 0 };
    RunRecord {
        ctx,
        engine,
        host_data: std::ptr::null_mut(),
        cpu: 1,
        context: 0,
        packet: (0, 0),
        array_keys: Default::default(),
        array_walks: 0,
        cookie: 0,
        walk: crate::record::Walk::default(),
        end: None,
    }
}

/// Calls a helper with callbacks.
fn call_with(engine: &Engine, id: u32, args: [u64; 5], on_call: OnCall<'_>) -> Result<i64, Ended> {
    let mut record = record(engine);
    let helper = find(id).expect("a helper");
    let mut back = Back(on_call);
    (helper.body)(&mut Call { run: &mut record, engine: &mut back }, args).map(|value| value as i64)
}

fn call(id: u32, args: [u64; 5]) -> i64 {
    call_with(&engine(Config::new()), id, args, &mut |_| Ok(0)).expect("no end")
}

fn map(engine: &Engine, kind: MapKind, key_size: u32, value_size: u32, max_entries: u32) -> Map {
    let spec = MapSpec::new("m", kind, key_size, value_size, max_entries);
    Map::create(engine, Arc::new(spec)).expect("a map")
}

fn at<T>(value: &T) -> u64 {
    std::ptr::from_ref(value) as u64
}

fn at_mut<T>(value: &mut T) -> u64 {
    std::ptr::from_mut(value) as u64
}

#[test]
fn the_table_is_ascending_and_known_to_the_model() {
    assert!(TABLE.windows(2).all(|pair| pair[0].id < pair[1].id));
    for helper in TABLE {
        assert!(backstop_model::helpers::proto(helper.id).is_some(), "{}", helper.id);
    }
    assert!(find(1).is_some() && find(4).is_none() && find(0).is_none());
    assert!(needs_cpu(8) && !needs_cpu(1));
}

#[test]
fn maps_by_helper() {
    let engine = engine(Config::new());
    for kind in [MapKind::Array, MapKind::PercpuArray, MapKind::Hash, MapKind::PercpuHash] {
        let map = map(&engine, kind, 4, 8, 2);
        let native = map.inner().native_address();
        let (key, value, far) = (1u32, 0x55u64, 7u32);
        let call = |id, args| call_with(&engine, id, args, &mut |_| Ok(0)).expect("no end");
        let hash = kind.info().hashed;
        assert_eq!(call(1, [native, at(&key), 0, 0, 0]) == 0, hash);
        assert_eq!(call(2, [native, at(&key), at(&value), 2, 0]), if hash { -2 } else { 0 });
        assert_eq!(call(2, [native, at(&key), at(&value), 0, 0]), 0);
        assert_eq!(call(2, [native, at(&key), at(&value), 1, 0]), -17);
        assert_eq!(call(2, [native, at(&key), at(&value), 3, 0]), -22);
        let found = call(1, [native, at(&key), 0, 0, 0]) as u64 as *const u64;
        // SAFETY: the helper found the value, whose map lives.
        assert_eq!(unsafe { found.read_volatile() }, 0x55);
        let cpus = map.lookup_per_cpu(&key.to_ne_bytes()).expect("readable").expect("there");
        let values: Vec<u8> = cpus.iter().map(|v| v[0]).collect();
        assert_eq!(values, if kind.info().per_cpu { vec![0, 0x55] } else { vec![0x55] });
        if kind.info().per_cpu {
            assert_eq!(call(195, [native, at(&key), 1, 0, 0]), found as i64);
            assert_ne!(call(195, [native, at(&key), 0, 0, 0]), found as i64);
            assert_eq!(call(195, [native, at(&key), 2, 0, 0]), 0);
        }
        assert_eq!(call(3, [native, at(&key), 0, 0, 0]), if hash { 0 } else { -22 });
        assert_eq!(call(3, [native, at(&key), 0, 0, 0]), if hash { -2 } else { -22 });
        assert_eq!(call(1, [native, at(&far), 0, 0, 0]), 0);
        assert_eq!(call(2, [native, at(&far), at(&value), 0, 0]), if hash { 0 } else { -7 });
    }
}

#[test]
fn keys_and_values_of_any_length() {
    let engine = engine(Config::new());
    let map = map(&engine, MapKind::Hash, 300, 1000, 2);
    let (key, value) = ([3u8; 300], [4u8; 1000]);
    let updated = call_with(&engine, 2, [map.inner().native_address(), at(&key), at(&value), 0, 0], &mut |_| Ok(0));
    assert_eq!(updated.expect("no end"), 0);
    assert_eq!(map.lookup(&key), Ok(Some(value.to_vec())));
}

#[test]
fn loops_count_and_stop() {
    let engine = engine(Config::new());
    let mut seen = Vec::new();
    let mut run = |args, stop_at| {
        seen.clear();
        call_with(&engine, 181, args, &mut |[index, ctx, ..]| {
            seen.push((index, ctx));
            Ok(u64::from(index == stop_at))
        })
        .map(|r| (r, seen.len()))
        .ok()
    };
    assert_eq!(run([5, 0, 9, 0, 0], 99), Some((5, 5)));
    assert_eq!(run([5, 0, 9, 0, 0], 2), Some((3, 3)));
    assert_eq!(run([0, 0, 9, 0, 0], 2), Some((0, 0)));
    assert_eq!(run([5, 0, 9, 1, 0], 2), Some((-22, 0)));
    assert_eq!(run([(1 << 23) + 1, 0, 9, 0, 0], 2), Some((-7, 0)));
    assert_eq!(run([1 << 23, 0, 9, 0, 0], 0), Some((1, 1)));
    let ended = call_with(&engine, 181, [5, 0, 0, 0, 0], &mut |_| Err(Ended));
    assert!(ended.is_err());
}

#[test]
fn every_element_is_visited_once() {
    let engine = engine(Config::new());
    for kind in [MapKind::Array, MapKind::PercpuArray, MapKind::Hash, MapKind::PercpuHash] {
        let map = map(&engine, kind, 4, 4, 50);
        for n in 0..50u32 {
            map.update(&n.to_ne_bytes(), &n.to_ne_bytes(), Update::Any).expect("room");
        }
        let mut seen = Vec::new();
        let visited =
            call_with(&engine, 164, [map.inner().native_address(), 0, 77, 0, 0], &mut |[m, key, value, ctx, _]| {
                assert_eq!((m, ctx), (map.inner().native_address(), 77));
                // SAFETY: the helper hands out addresses of a key and a value.
                let (key, value) = unsafe { (*(key as *const u32), *(value as *const u32)) };
                assert_eq!(key, value);
                seen.push(key);
                Ok(0)
            });
        assert_eq!(visited.expect("no end"), 50);
        seen.sort_unstable();
        assert_eq!(seen, (0..50).collect::<Vec<_>>());
        let stopped = call_with(&engine, 164, [map.inner().native_address(), 0, 0, 0, 0], &mut |_| Ok(1));
        assert_eq!(stopped.expect("no end"), 1);
        assert_eq!(call(164, [map.inner().native_address(), 0, 0, 1, 0]), -22);
    }
}

#[test]
fn a_callback_may_delete_what_is_visited() {
    let engine = engine(Config::new());
    let map = map(&engine, MapKind::Hash, 4, 4, 50);
    for n in 0..50u32 {
        map.update(&n.to_ne_bytes(), &[0; 4], Update::Any).expect("room");
    }
    let visited = call_with(&engine, 164, [map.inner().native_address(), 0, 0, 0, 0], &mut |[_, key, ..]| {
        // SAFETY: the helper hands out the address of a key.
        let key = unsafe { *(key as *const u32) };
        map.delete(&key.to_ne_bytes()).expect("there");
        // Its neighbour goes too, if it is still there: then it is not visited.
        drop(map.delete(&(key ^ 1).to_ne_bytes()));
        Ok(0)
    });
    assert_eq!(visited.expect("no end"), 25);
    assert!(map.is_empty());
}

#[test]
fn clocks_go_forward() {
    for id in [5, 118, 125, 160, 208] {
        let first = call(id, [0; 5]);
        assert!(first > 0 && call(id, [0; 5]) >= first, "{id}");
    }
}

#[test]
fn who_and_where() {
    assert_eq!(call(8, [0; 5]), 1);
    assert_eq!(call(42, [0; 5]), 0);
    assert_eq!((call(14, [0; 5]) as u64 >> 32) as u32, std::process::id());
    let chances: std::collections::HashSet<i64> = (0..50).map(|_| call(7, [0; 5])).collect();
    assert!(chances.len() > 40 && chances.iter().all(|c| *c >= 0 && *c <= i64::from(u32::MAX)));
    let mut name = [0xffu8; 4];
    assert_eq!(call(16, [at_mut(&mut name), 4, 0, 0, 0]), 0);
    assert!(name[0] != 0 && name[3] == 0);
}

#[test]
fn printing_reaches_the_hosts_sink() {
    let lines = Arc::new(Mutex::new(Vec::new()));
    let sink = Arc::clone(&lines);
    let engine = engine(Config::new().trace(move |line| sink.lock().expect("no panic").push(line.to_owned())));
    let call = |id, args| call_with(&engine, id, args, &mut |_| Ok(0)).expect("no end");
    let format = *b"n=%d x=%llx\n\0";
    let len = format.len() as u64;
    assert_eq!(call(6, [at(&format), len, 7, 0xabc, 0]), 10);
    assert_eq!(call(6, [at(&format), len - 1, 7, 0xabc, 0]), -22);
    let data = [8u64, 9];
    assert_eq!(call(177, [at(&format), len, at(&data), 16, 0]), 8);
    assert_eq!(call(177, [at(&format), len, at(&data), 12, 0]), -22);
    assert_eq!(*lines.lock().expect("no panic"), ["n=7 x=abc", "n=8 x=9"]);
    let mut out = [0xffu8; 6];
    assert_eq!(call(165, [at_mut(&mut out), 6, at(&format), at(&data), 16]), 9);
    assert_eq!(&out, b"n=8 x\0");
    assert_eq!(call(165, [0, 0, at(&format), at(&data), 16]), 9);
}

#[test]
fn numbers_in_text() {
    let mut out = 1i64;
    let text = *b" -12x";
    assert_eq!(call(105, [at(&text), 5, 0, at_mut(&mut out), 0]), 4);
    assert_eq!(out, -12);
    assert_eq!(call(106, [at(&text), 5, 0, at_mut(&mut out), 0]), -22);
    assert_eq!(out, 0);
    let text = *b"9223372036854775808";
    assert_eq!(call(105, [at(&text), 19, 10, at_mut(&mut out), 0]), -34);
    assert_eq!(call(106, [at(&text), 19, 10, at_mut(&mut out), 0]), 19);
    assert_eq!(out as u64, 1 << 63);
    let (one, two) = (*b"abc\0", *b"abd\0");
    assert_eq!(call(182, [at(&one), 4, at(&two), 0, 0]), -1);
    assert_eq!(call(182, [at(&two), 4, at(&one), 0, 0]), 1);
    assert_eq!(call(182, [at(&one), 2, at(&two), 0, 0]), 0);
    assert_eq!(call(182, [at(&one), 4, at(&one), 0, 0]), 0);
}

#[test]
fn sums_of_differences() {
    let (old, new) = (1u32, 3u32);
    assert_eq!(call(28, [at(&old), 4, at(&new), 4, 0]), 2);
    assert_eq!(call(28, [0, 0, at(&new), 4, 5]), 8);
    assert_eq!(call(28, [at(&old), 4, 0, 0, 5]), 4);
    assert_eq!(call(28, [0, 0, 0, 0, 0x12345]), 0x2346);
    // Linux 6.18 takes sizes that are no multiple of four: zeros stand for what is missing.
    assert_eq!(call(28, [at(&old), 3, 0, 0, 0]), 0xfffe);
}

/// Runs `steps` on a packet as an XDP program would.
fn on_xdp(packet: &mut Packet, steps: impl FnOnce(&mut dyn FnMut(u32, [u64; 4]) -> i64)) {
    let kind = backstop_model::ProgKind::new(backstop_model::ProgType::Xdp);
    let engine = engine(Config::new());
    let mut record = record(&engine);
    let mut input = Input::from(packet);
    let prepared = prepare(&kind, &mut input, ContextNeed::default()).expect("a packet suits");
    let [r1, _] = prepared.args();
    steps(&mut |id, [a, b, c, d]| {
        let mut back = |_| Ok(0);
        let mut back = Back(&mut back);
        let mut call = Call { run: &mut record, engine: &mut back };
        (find(id).expect("a helper").body)(&mut call, [r1, a, b, c, d]).expect("no end") as i64
    });
    prepared.finish();
}

const fn minus(n: i64) -> u64 {
    (-n) as u64
}

#[test]
fn xdp_packets_move_inside_their_room() {
    let mut packet = Packet::new(&[5; 64]);
    on_xdp(&mut packet, |call| {
        assert_eq!(call(188, [0; 4]), 64);
        assert_eq!(call(44, [minus(4), 0, 0, 0]), 0);
        assert_eq!(call(188, [0; 4]), 68);
        assert_eq!(call(44, [minus(400), 0, 0, 0]), -22);
        assert_eq!(call(44, [55, 0, 0, 0]), -22);
        assert_eq!(call(65, [10, 0, 0, 0]), 0);
        assert_eq!(call(65, [4000, 0, 0, 0]), -22);
        assert_eq!(call(65, [minus(65), 0, 0, 0]), -22);
        assert_eq!(call(54, [minus(8), 0, 0, 0]), 0);
        assert_eq!(call(54, [minus(2), 0, 0, 0]), -13);
        assert_eq!(call(54, [minus(1000), 0, 0, 0]), -22);
        assert_eq!(call(44, [4, 0, 0, 0]), 0);
    });
    assert_eq!((packet.meta().len(), packet.data().len()), (8, 74));
    assert_eq!((packet.data()[0], packet.data()[73]), (5, 0));
}

#[test]
fn packet_bytes_by_helper() {
    let mut packet = Packet::new(&(0..64).collect::<Vec<u8>>());
    let mut out = [0u8; 4];
    let to = at_mut(&mut out);
    on_xdp(&mut packet, |call| {
        assert_eq!(call(189, [60, to, 4, 0]), 0);
        assert_eq!(call(189, [61, to, 4, 0]), -22);
        assert_eq!(call(189, [0x10000, to, 4, 0]), -14);
        assert_eq!(call(190, [1, to, 4, 0]), 0);
        assert_eq!(call(190, [minus(1), to, 4, 0]), -14);
    });
    assert_eq!((out, &packet.data()[..6]), ([60, 61, 62, 63], &[0, 60, 61, 62, 63, 5][..]));
}

#[test]
fn skb_bytes_by_helper() {
    let mut packet = Packet::new(&[1; 40]);
    let kind = backstop_model::ProgKind::new(backstop_model::ProgType::SchedCls);
    let mut input = Input::from(&mut packet);
    let prepared = prepare(&kind, &mut input, ContextNeed::default()).expect("a packet suits");
    let [skb, _] = prepared.args();
    let mut out = [7u8; 4];
    assert_eq!(call(26, [skb, 36, at_mut(&mut out), 4, 0]), 0);
    assert_eq!(out, [1; 4]);
    assert_eq!(call(26, [skb, 37, at_mut(&mut out), 4, 0]), -14);
    assert_eq!(out, [0; 4]);
    assert_eq!(call(26, [skb, u64::from(u32::MAX), at_mut(&mut out), 4, 0]), -14);
    assert_eq!(call(9, [skb, 0, at(&[9u8; 4]), 4, 0]), 0);
    assert_eq!(call(9, [skb, 0, at(&out), 4, 8]), -22);
    assert_eq!(call(9, [skb, 38, at(&out), 4, 0]), -14);
    assert_eq!((call(39, [skb, 40, 0, 0, 0]), call(39, [skb, 41, 0, 0, 0])), (0, -12));
    // A checksum of zeros over words that sum to its complement.
    assert_eq!(call(10, [skb, 4, 0x0101, 0x0202, 2]), 0);
    assert_eq!(call(10, [skb, 5, 0, 0, 2]), -14);
    assert_eq!(call(10, [skb, 4, 1, 0, 0]), -22);
    assert_eq!(call(10, [skb, 4, 1, 0, 3]), -22);
    assert_eq!(call(11, [skb, 6, 0x0101, 0x0202, 2 | 0x10]), 0);
    assert_eq!(call(11, [skb, 6, 0, 0, 0x100]), -22);
    prepared.finish();
    assert_eq!(packet.data()[..8], [9, 9, 9, 9, 0, 0, 0, 0]);
}

#[cfg(all(feature = "jit", target_arch = "x86_64", target_os = "linux"))]
#[test]
fn native_forms_do_the_same_and_carry_panics() {
    struct Bad;
    impl Full for Bad {
        fn call(_: &mut Call<'_, '_>, _: [u64; 5]) -> Result<u64, Ended> {
            panic!("on purpose")
        }
    }
    let engine = engine(Config::new());
    let mut record = record(&engine);
    let run = (&raw mut record).cast::<RunCtx>();
    let leaf = find(8).expect("a helper").native;
    // SAFETY: `run` is the first field of a live record.
    assert_eq!(unsafe { leaf(0, 0, 0, 0, 0, run) }, 1);
    // SAFETY: as above; the format is not read past its length.
    let printed = unsafe { (find(6).expect("a helper").native)(at(b"x\0"), 2, 0, 0, 0, run) };
    assert_eq!(printed, 1);
    // SAFETY: as above.
    assert_eq!(unsafe { native::full::<Bad>(0, 0, 0, 0, 0, run) }, 0);
    assert!(matches!(record.end, Some(crate::record::End::Panic(_))));
    assert_ne!(record.ctx.pending, 0);
}
