//! Helpers and contexts before the running kernel: the same calls, there and here, must give the same results, memory and packet.

#![allow(unsafe_code)]

use backstop_isa::{assemble, slots_to_bytes};
use backstop_model::{FieldKind, ProgKind, ProgType, contexts};
use backstop_referee::{self as referee, Outcome, ProgLoad, Referee, TestRun};

use super::tests::{engine, record};
use super::*;
use crate::call::CallBack;
use crate::config::Config;
use crate::context::{Input, Packet, prepare};
use crate::record::RunRecord;

/// Bytes of stack that steps work on.
const MEMORY: usize = 64;

/// An argument of a call.
#[derive(Clone, Copy, Debug)]
enum Arg {
    Context,
    Word(i64),
    /// The memory, from an offset on.
    Memory(usize),
    /// A constant string in a read-only map.
    Format,
}

use Arg::{Context, Format, Memory, Word};

/// Calls of helpers in a row.
#[derive(Clone, Debug)]
struct Case {
    ty: ProgType,
    memory: [u8; MEMORY],
    format: &'static str,
    steps: Vec<(u32, Vec<Arg>)>,
    packet: Vec<u8>,
}

impl Case {
    fn new(ty: ProgType, steps: Vec<(u32, Vec<Arg>)>) -> Case {
        let packet = frame(0x0800, &(1..=60).collect::<Vec<u8>>());
        Case { ty, memory: std::array::from_fn(|n| n as u8 ^ 0x5a), format: "", steps, packet }
    }

    fn word(&self, at: usize) -> u64 {
        let mut word = [0; 8];
        word.copy_from_slice(&self.memory[at..at + 8]);
        u64::from_ne_bytes(word)
    }
}

fn frame(ether_type: u16, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2];
    bytes.extend(ether_type.to_be_bytes());
    bytes.extend(body);
    bytes
}

/// Results and memory, folded as the kernel's program folds them; and the packet.
type Seen = (u32, Vec<u8>);

fn fold(all: u64, next: u64) -> u64 {
    all.wrapping_mul(3).wrapping_add(next)
}

/// `None` if the kernel refuses the program.
fn in_kernel(kernel: &Referee, case: &Case) -> Option<Seen> {
    let mut text = "r6 = r1\nr7 = 0\n".to_owned();
    for at in (0..MEMORY).step_by(8) {
        text += &format!("r1 = {} ll\n*(u64 *)(r10 - {}) = r1\n", case.word(at) as i64, MEMORY - at);
    }
    for (id, args) in &case.steps {
        for (n, arg) in (1..).zip(args) {
            text += &match arg {
                Context => format!("r{n} = r6\n"),
                Word(value) => format!("r{n} = {value} ll\n"),
                Memory(at) => format!("r{n} = r10\nr{n} += {}\n", *at as i64 - MEMORY as i64),
                Format => format!("r{n} = map[0][0] ll\n"),
            };
        }
        text += &format!("call {id}\nr7 *= 3\nr7 += r0\n");
    }
    for at in (0..MEMORY).step_by(8) {
        text += &format!("r1 = *(u64 *)(r10 - {})\nr7 *= 3\nr7 += r1\n", MEMORY - at);
    }
    text += "r0 = r7\nexit\n";
    let code = slots_to_bytes(&assemble(&text).expect("assembles"));
    let formats = read_only(kernel, case.format);
    let maps = [&formats];
    let ty = referee::ProgType::from_number(case.ty.linux_number().expect("a type of Linux"));
    let load = ProgLoad { maps: &maps, ..ProgLoad::new(ty, &code) };
    let Outcome::Loaded(loaded) = kernel.load(&load).expect("a verdict") else { return None };
    let result = kernel.test_run(&loaded, &TestRun::packet(&case.packet)).expect("a run");
    Some((result.retval, result.data_out))
}

fn read_only(kernel: &Referee, text: &str) -> referee::Map {
    let (kind, flags) = (2, backstop_model::MAP_F_RDONLY_PROG);
    let spec = referee::MapSpec { kind, key_size: 4, value_size: 64, max_entries: 1, flags, ..Default::default() };
    let map = kernel.create_map(&spec).expect("a map");
    let mut value = [0; 64];
    value[..text.len()].copy_from_slice(text.as_bytes());
    map.update(&[0; 4], &value, 0).expect("room");
    map.freeze().expect("not frozen yet");
    map
}

struct NoCallBack;

impl CallBack for NoCallBack {
    fn call_back(&mut self, _: &mut RunRecord<'_>, _: u64, _: [u64; 5]) -> Result<u64, Ended> {
        Err(Ended)
    }
}

fn here(case: &Case) -> Seen {
    let (engine, kind) = (engine(Config::new()), ProgKind::new(case.ty));
    let mut packet = Packet::new(&case.packet);
    let mut input = Input::from(&mut packet);
    let prepared = prepare(&kind, &mut input, 0).expect("a packet suits");
    let mut record = record(&engine);
    let mut memory: Vec<u64> = (0..MEMORY).step_by(8).map(|at| case.word(at)).collect();
    let base = memory.as_mut_ptr() as u64;
    let format = format!("{}\0", case.format);
    let mut all = 0;
    for (id, args) in &case.steps {
        let mut words = [0; 5];
        for (word, arg) in words.iter_mut().zip(args) {
            *word = match arg {
                Context => prepared.args()[0],
                Word(value) => *value as u64,
                Memory(at) => base + *at as u64,
                Format => format.as_ptr() as u64,
            };
        }
        let mut call = Call { run: &mut record, engine: &mut NoCallBack };
        all = fold(all, (find(*id).expect("a helper").body)(&mut call, words).expect("no end"));
    }
    prepared.finish();
    (memory.into_iter().fold(all, fold) as u32, packet.data_out(&kind))
}

/// Puts all cases before the kernel; how many it took.
fn compare(test: &str, cases: Vec<Case>) {
    let Some(kernel) = Referee::open_or_skip(test) else { return };
    let mut taken = 0;
    for case in cases {
        if let Some(seen) = in_kernel(&kernel, &case) {
            assert_eq!(here(&case), seen, "ours, Linux's: {case:?}");
            taken += 1;
        }
    }
    assert!(taken > 10, "the kernel refused nearly all: {taken}");
}

#[test]
fn xdp_packets_move_as_in_linux() {
    let step = |id, by| (id, vec![Context, Word(by)]);
    let mut rows = Vec::new();
    for by in [-300, -257, -216, -215, -100, -4, -1, 0, 1, 4, 59, 60, 61, 74, 75, 200] {
        rows.push(vec![step(44, by)]);
        rows.push(vec![step(54, -8), step(44, by)]);
        rows.push(vec![step(44, by), step(65, -3), step(188, 0)]);
    }
    for by in [-75, -74, -61, -60, -1, 0, 1, 10, 3445, 3446, 3447, 4000] {
        rows.push(vec![step(65, by)]);
        rows.push(vec![step(65, by), step(65, 20), step(188, 0)]);
    }
    for by in [-300, -256, -252, -216, -212, -100, -7, -4, 0, 4, 8] {
        rows.push(vec![step(54, by)]);
        rows.push(vec![step(54, -32), step(54, by)]);
    }
    for (at, len) in [(0, 8), (66, 8), (67, 8), (73, 1), (74, 1), (-1, 1), (0x10000, 1)] {
        rows.push(vec![(189, vec![Context, Word(at), Memory(8), Word(len)])]);
        rows.push(vec![(190, vec![Context, Word(at), Memory(8), Word(len)])]);
    }
    compare("xdp_packets_move_as_in_linux", rows.into_iter().map(|r| Case::new(ProgType::Xdp, r)).collect());
}

#[test]
fn skb_helpers_do_as_in_linux() {
    let mut rows = Vec::new();
    for (at, len) in [(0, 8), (66, 8), (67, 8), (73, 1), (74, 1), (-1, 4), (70, 4)] {
        rows.push((26, vec![Context, Word(at), Memory(8), Word(len)]));
        for flags in [0, 1, 2, 4, 8] {
            rows.push((9, vec![Context, Word(at), Memory(8), Word(len), Word(flags)]));
        }
    }
    for (at, from) in [0, 1, 10, 72, 73, 74, 65_536].into_iter().flat_map(|at| [(at, 0), (at, 0x4321)]) {
        for flags in [0, 1, 2, 4, 6, 16] {
            rows.push((10, vec![Context, Word(at), Word(from), Word(0x1_2345), Word(flags)]));
        }
        for flags in [0, 2, 4, 2 | 16, 4 | 16, 2 | 32, 2 | 32 | 64, 4 | 64, 4 | 128 | 16, 256, 2 | 512] {
            rows.push((11, vec![Context, Word(at), Word(from), Word(0x1234_5678), Word(flags)]));
        }
    }
    rows.extend([0, 1, 14, 74, 75, 100_000].map(|len| (39, vec![Context, Word(len)])));
    let cases = rows.into_iter().map(|row| Case::new(ProgType::SchedCls, vec![row])).collect();
    compare("skb_helpers_do_as_in_linux", cases);
}

#[test]
fn sums_are_linuxs() {
    let mut cases = Vec::new();
    for seed in [0, 1, 0xffff, 0xffff_ffff, 0x1234_5678] {
        for (from, to) in [(0, 4), (4, 0), (4, 4), (8, 16), (16, 8), (0, 16), (16, 0), (32, 32)] {
            let at = |at, len| if len == 0 { Word(0) } else { Memory(at) };
            let args = vec![at(0, from), Word(from), at(32, to), Word(to), Word(seed)];
            let mut case = Case::new(ProgType::SchedCls, vec![(28, args)]);
            cases.push(case.clone());
            case.memory[32..].fill(0);
            cases.push(case.clone());
            case.memory.fill(0xff);
            cases.push(case);
        }
    }
    compare("sums_are_linuxs", cases);
}

#[test]
fn numbers_are_read_as_in_linux() {
    let mut cases = Vec::new();
    let texts = [
        ("  -42 ", 0),
        ("0x1fg", 0),
        ("0x1f", 16),
        ("017", 0),
        ("0xg", 0),
        ("", 0),
        ("-", 0),
        ("9", 8),
        ("1", 2),
        ("1", 0x20),
        ("+5", 0),
        ("99999999999999999999", 10),
        ("\u{b}7", 0),
        ("-0x10", 0),
        ("0X1F", 0),
        ("00", 0),
        ("-0", 0),
        ("0x", 16),
        ("9223372036854775808", 10),
        ("-9223372036854775808", 10),
        ("-9223372036854775809", 10),
        ("08", 0),
    ];
    for (text, flags) in texts {
        for (id, len) in [105, 106].into_iter().flat_map(|id| [(id, 1), (id, text.len().max(1)), (id, 24)]) {
            let args = vec![Memory(0), Word(len as i64), Word(flags), Memory(56)];
            let mut case = Case::new(ProgType::SchedCls, vec![(id, args)]);
            case.memory.fill(0);
            case.memory[..text.len()].copy_from_slice(text.as_bytes());
            cases.push(case);
        }
    }
    compare("numbers_are_read_as_in_linux", cases);
}

#[test]
fn text_is_formatted_as_in_linux() {
    let mut cases = Vec::new();
    // `%p` without an x prints a hash in Linux.
    let formats = [
        "n=%d %u %x\n",
        "%5d|%-5d",
        "%05d",
        "%+d% d",
        "%lld",
        "%lu %lx",
        "%c%c",
        "%px",
        "%%",
        "%q",
        "%10x",
        "%-10x|",
        "%010x",
        "%X",
        "%i",
        "%5c|",
        "%-5c|",
        "%20px",
        "%llu",
        "%0-5d|",
        "%3d",
        "%d%d%d%d",
        "%-20px|",
        "%+05d",
        "%+x",
        "%020lld",
        "%70d",
        "%5%",
        "%5px",
        "%+u",
        "%c\n",
    ];
    for format in formats {
        for value in [5i64, -42, 0x1234_5678_9abc, 0, 65] {
            for size in [1, 5, 40] {
                let count = format.replace("%%", "").matches('%').count() as i64;
                let args = vec![Memory(24), Word(size), Format, Memory(0), Word(count.min(3) * 8)];
                let mut case = Case::new(ProgType::SchedCls, vec![(165, args)]);
                case.format = format;
                (0..3).for_each(|n| case.memory[n * 8..n * 8 + 8].copy_from_slice(&value.to_ne_bytes()));
                cases.push(case);
            }
        }
    }
    compare("text_is_formatted_as_in_linux", cases);
}

#[test]
fn strings_compare_as_in_linux() {
    let mut cases = Vec::new();
    for (memory, format) in
        [("abc", "abd"), ("abd", "abc"), ("abc", "abc"), ("ab", "abc"), ("abc", "ab"), ("", "a"), ("\u{ff}", "a")]
    {
        for len in [1, 2, 3, 4, 16] {
            let mut case = Case::new(ProgType::SchedCls, vec![(182, vec![Memory(0), Word(len), Format])]);
            case.format = format;
            case.memory.fill(0);
            case.memory[..memory.len()].copy_from_slice(memory.as_bytes());
            cases.push(case);
        }
    }
    compare("strings_compare_as_in_linux", cases);
}

fn run_text(kernel: &Referee, ty: ProgType, text: &str, packet: &[u8]) -> u32 {
    let code = slots_to_bytes(&assemble(text).expect("assembles"));
    let ty = referee::ProgType::from_number(ty.linux_number().expect("a type of Linux"));
    let loaded = kernel.load(&ProgLoad::new(ty, &code)).expect("a verdict").into_result();
    let loaded = loaded.unwrap_or_else(|refused| panic!("{}\n{text}", refused.log.text()));
    kernel.test_run(&loaded, &TestRun::packet(packet)).expect("a run").retval
}

#[test]
fn legacy_loads_reach_what_linuxs_reach() {
    let Some(kernel) = Referee::open_or_skip("legacy_loads_reach_what_linuxs_reach") else { return };
    let bytes = frame(0x0800, &(1..=60).collect::<Vec<u8>>());
    let engine = engine(Config::new());
    let (net, link) = (-0x10_0000, -0x20_0000);
    let negative =
        [-1, -0x1000, net, net + 4, net + 58, net + 60, net - 1, link, link + 12, link + 72, link - 1, i32::MIN];
    for ty in [ProgType::SocketFilter, ProgType::SchedCls] {
        for offset in [0, 1, 56, 58, 60, 70, 71, 72, 73, 74].into_iter().chain(negative) {
            for (size, name) in [(1, "u8"), (2, "u16"), (4, "u32")] {
                let text = format!("r6 = r1\nr0 = *({name} *)skb[{offset}]\nexit\n");
                let mut packet = Packet::new(&bytes);
                let mut input = Input::from(&mut packet);
                let prepared = prepare(&ProgKind::new(ty), &mut input, 0).expect("a packet suits");
                let mut record = record(&engine);
                (record.context, record.packet) = (prepared.surroundings().context, prepared.surroundings().packet);
                let ours = legacy_load(&mut record, offset as u32, size).unwrap_or(0) as u32;
                assert_eq!(ours, run_text(&kernel, ty, &text, &bytes), "ours, Linux's: {ty:?} {text}");
            }
        }
    }
}

#[test]
fn context_fields_are_linuxs() {
    let Some(kernel) = Referee::open_or_skip("context_fields_are_linuxs") else { return };
    let body: Vec<u8> = (1..=60).collect();
    let mut packets = vec![vec![0; 64], frame(40, &[0xff; 50]), frame(40, &body)];
    packets.extend([0x0800, 0x86dd, 0x8100].map(|ty| frame(ty, &body)));
    for destination in [[0xff; 6], [1, 0, 0x5e, 0, 0, 1], [0; 6]] {
        let mut packet = frame(0x0800, &body);
        packet[..6].copy_from_slice(&destination);
        packets.push(packet);
    }
    let types = [ProgType::SchedCls, ProgType::SocketFilter, ProgType::CgroupSkb, ProgType::Xdp, ProgType::LwtXmit];
    for (ty, bytes) in types.into_iter().flat_map(|ty| packets.iter().map(move |packet| (ty, packet))) {
        let kind = ProgKind::new(ty);
        let scalar = |at| contexts::access(&kind, i64::from(at), 4, false).is_ok_and(|a| a.kind == FieldKind::Scalar);
        for offset in (0..192u32).step_by(4).filter(|at| scalar(*at)) {
            let mut packet = Packet::new(bytes);
            let mut input = Input::from(&mut packet);
            let prepared = prepare(&kind, &mut input, 0).expect("a packet suits");
            // SAFETY: a field of the prepared context.
            let ours = unsafe { *((prepared.args()[0] + u64::from(offset)) as *const u32) };
            // Some types may only return 0 or 1.
            let text =
                format!("r2 = *(u32 *)(r1 + {offset})\nr3 = {ours} ll\nr0 = 0\nif r2 != r3 goto +1\nr0 = 1\nexit\n");
            assert_eq!(run_text(&kernel, ty, &text, bytes), 1, "{ty:?}: {offset} is {ours:#x} here, for {bytes:x?}");
        }
    }
}
