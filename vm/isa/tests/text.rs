//! Assembler and disassembler: against golden lines checked with clang and llvm-objdump, against each other at random, and
//! against nonsense.

use backstop_isa::table::{Fill, rows};
use backstop_isa::{
    AsmErrorKind, Disasm, Instr, Name, Slot, Symbol, assemble, assemble_with, decode, decode_all, disassemble,
    slots_to_bytes,
};
use proptest::prelude::*;

/// Text, and the bytes that clang 19 makes of it. The text is also what the disassembler prints.
const CLANG: &[(&str, [u8; 8])] = &[
    ("r1 = *(s8 *)(r2 + 0)", [0x91, 0x21, 0, 0, 0, 0, 0, 0]),
    ("r1 = *(s32 *)(r2 + 0)", [0x81, 0x21, 0, 0, 0, 0, 0, 0]),
    ("r1 = *(u64 *)(r2 - 8)", [0x79, 0x21, 0xf8, 0xff, 0, 0, 0, 0]),
    ("*(u8 *)(r1 + 3) = 5", [0x72, 0x01, 3, 0, 5, 0, 0, 0]),
    ("*(u64 *)(r1 - 3) = -5", [0x7a, 0x01, 0xfd, 0xff, 0xfb, 0xff, 0xff, 0xff]),
    ("*(u64 *)(r1 - 3) = r4", [0x7b, 0x41, 0xfd, 0xff, 0, 0, 0, 0]),
    ("lock *(u64 *)(r1 + 0) += r2", [0xdb, 0x21, 0, 0, 0, 0, 0, 0]),
    ("lock *(u32 *)(r1 + 0) += w2", [0xc3, 0x21, 0, 0, 0, 0, 0, 0]),
    ("lock *(u64 *)(r1 + 0) ^= r2", [0xdb, 0x21, 0, 0, 0xa0, 0, 0, 0]),
    ("r0 = atomic_fetch_add((u64 *)(r1 + 0), r0)", [0xdb, 0x01, 0, 0, 1, 0, 0, 0]),
    ("w0 = atomic_fetch_add((u32 *)(r1 + 0), w0)", [0xc3, 0x01, 0, 0, 1, 0, 0, 0]),
    ("r3 = atomic_fetch_xor((u64 *)(r1 - 8), r3)", [0xdb, 0x31, 0xf8, 0xff, 0xa1, 0, 0, 0]),
    ("r2 = xchg_64(r1 + 0, r2)", [0xdb, 0x21, 0, 0, 0xe1, 0, 0, 0]),
    ("w2 = xchg32_32(r1 + 0, w2)", [0xc3, 0x21, 0, 0, 0xe1, 0, 0, 0]),
    ("r0 = cmpxchg_64(r1 + 0, r0, r2)", [0xdb, 0x21, 0, 0, 0xf1, 0, 0, 0]),
    ("w0 = cmpxchg32_32(r1 + 0, w0, w2)", [0xc3, 0x21, 0, 0, 0xf1, 0, 0, 0]),
    ("r1 = (s8)r2", [0xbf, 0x21, 8, 0, 0, 0, 0, 0]),
    ("r1 = (s32)r2", [0xbf, 0x21, 0x20, 0, 0, 0, 0, 0]),
    ("w1 = (s16)w2", [0xbc, 0x21, 0x10, 0, 0, 0, 0, 0]),
    ("r1 = be16 r1", [0xdc, 0x01, 0, 0, 0x10, 0, 0, 0]),
    ("r1 = le64 r1", [0xd4, 0x01, 0, 0, 0x40, 0, 0, 0]),
    ("r1 = bswap32 r1", [0xd7, 0x01, 0, 0, 0x20, 0, 0, 0]),
    ("r1 = -r1", [0x87, 0x01, 0, 0, 0, 0, 0, 0]),
    ("w1 = -w1", [0x84, 0x01, 0, 0, 0, 0, 0, 0]),
    ("if w1 s> 5 goto +3", [0x66, 0x01, 3, 0, 5, 0, 0, 0]),
    ("if r1 & 5 goto +3", [0x45, 0x01, 3, 0, 5, 0, 0, 0]),
    ("if r1 & r2 goto -3", [0x4d, 0x21, 0xfd, 0xff, 0, 0, 0, 0]),
    ("if r1 == -1 goto +3", [0x15, 0x01, 3, 0, 0xff, 0xff, 0xff, 0xff]),
    ("goto +5", [0x05, 0, 5, 0, 0, 0, 0, 0]),
    ("gotol +700", [0x06, 0, 0, 0, 0xbc, 2, 0, 0]),
    ("may_goto +3", [0xe5, 0, 3, 0, 0, 0, 0, 0]),
    ("r0 = *(u8 *)skb[r1]", [0x50, 0x10, 0, 0, 0, 0, 0, 0]),
    ("r0 = *(u16 *)skb[5]", [0x28, 0, 0, 0, 5, 0, 0, 0]),
    ("r1 = addr_space_cast(r2, 1, 0)", [0xbf, 0x21, 1, 0, 0, 0, 1, 0]),
    ("call 5", [0x85, 0, 0, 0, 5, 0, 0, 0]),
    ("exit", [0x95, 0, 0, 0, 0, 0, 0, 0]),
    ("r3 s/= r2", [0x3f, 0x23, 1, 0, 0, 0, 0, 0]),
    ("w3 s%= 5", [0x94, 0x03, 1, 0, 5, 0, 0, 0]),
    ("r3 s>>= 5", [0xc7, 0x03, 0, 0, 5, 0, 0, 0]),
    ("w3 = -77", [0xb4, 0x03, 0, 0, 0xb3, 0xff, 0xff, 0xff]),
    ("w3 = w4", [0xbc, 0x43, 0, 0, 0, 0, 0, 0]),
    ("r3 ^= 255", [0xa7, 0x03, 0, 0, 0xff, 0, 0, 0]),
    // Beyond clang 19: the encodings that Linux 6.18 takes.
    ("r1 = load_acquire((u32 *)(r2 + 0))", [0xc3, 0x21, 0, 0, 0, 1, 0, 0]),
    ("store_release((u8 *)(r1 - 1), r2)", [0xd3, 0x21, 0xff, 0xff, 0x10, 1, 0, 0]),
    ("call +3", [0x85, 0x10, 0, 0, 3, 0, 0, 0]),
    ("call kfunc#7", [0x85, 0x20, 0, 0, 7, 0, 0, 0]),
    ("call kfunc#7@-2", [0x85, 0x20, 0xfe, 0xff, 7, 0, 0, 0]),
    ("call helper#-1", [0x85, 0, 0, 0, 0xff, 0xff, 0xff, 0xff]),
    ("r0 = *(u32 *)skb[r3 + 5]", [0x40, 0x30, 0, 0, 5, 0, 0, 0]),
];

#[test]
fn golden_lines_in_both_directions() {
    for (text, bytes) in CLANG {
        let slots = assemble(text).unwrap_or_else(|e| panic!("{text}: {e}"));
        assert_eq!(slots_to_bytes(&slots), bytes, "{text}");
        assert_eq!(decode(&slots, 0).unwrap().to_string(), *text);
    }
}

#[test]
fn other_spellings_mean_the_same() {
    for (spelling, canonical) in [
        ("w1 = *(u32 *)(r2 + 8)", "r1 = *(u32 *)(r2 + 8)"),
        ("r1 = *(u32*)(r2)", "r1 = *(u32 *)(r2 + 0)"),
        ("*(u8 *)(r1 +0) = w2", "*(u8 *)(r1 + 0) = r2"),
        ("lock *(u32 *)(r1 +0) += r2", "lock *(u32 *)(r1 + 0) += w2"),
        ("r1 = atomic64_xchg((u64 *)(r2 +0), r1)", "r1 = xchg_64(r2 + 0, r1)"),
        ("r0 = atomic_cmpxchg((u32 *)(r2 +0), r0, r1)", "w0 = cmpxchg32_32(r2 + 0, w0, w1)"),
        ("r1 = atomic_fetch_or((u32 *)(r2 -4), r1)", "w1 = atomic_fetch_or((u32 *)(r2 - 4), w1)"),
        ("goto pc+3", "goto +3"),
        ("if w1 == 0xffffffff goto pc-1", "if w1 == -1 goto -1"),
        ("call bpf_ktime_get_ns#5", "call 5"),
        ("r1=0x10", "r1 = 16"),
        ("r1 = -0x10 # comment", "r1 = -16"),
        ("r0 = *(u8 *)skb[r1 + 0] ; comment", "r0 = *(u8 *)skb[r1]"),
        ("r1 = -1 ll // comment", "r1 = 0xffffffffffffffff ll"),
        ("call 5 # comment", "call 5"),
        ("exit #5", "exit"),
    ] {
        let text = disassemble(&assemble(spelling).unwrap_or_else(|e| panic!("{spelling}: {e}")));
        assert_eq!(text.trim_end(), canonical, "{spelling}");
    }
}

#[test]
fn labels_maps_and_names() {
    let text = "
        start: // labels may share a line, or stand alone
        again:
            r1 = map[0] ll
            r2 = map[1][8] ll
            r3 = func sub ll
            r4 = flows ll
            r5 = sub ll
            if r1 > r2 goto start
            call sub
            call bpf_get
            call my_kfunc
            may_goto again
            gotol end
        sub: exit
        end:";
    let resolve = |name: &str| match name {
        "flows" => Some(Symbol::MapValue { map: 3, offset: 16 }),
        "bpf_get" => Some(Symbol::Helper(12)),
        "my_kfunc" => Some(Symbol::Kfunc { id: 9, off: 1 }),
        _ => None,
    };
    let slots = assemble_with(text, &resolve).unwrap();
    let expected = "\
r1 = map[0] ll
r2 = map[1][8] ll
r3 = func +11 ll
r4 = map[3][16] ll
r5 = func +7 ll
if r1 > r2 goto -11
call +4
call 12
call kfunc#9@1
may_goto -15
gotol +1
exit
";
    assert_eq!(disassemble(&slots), expected);
    let names = |name| match name {
        Name::Label(0) => Some("start".to_owned()),
        Name::Label(16) => Some("sub".to_owned()),
        Name::Helper(12) => Some("bpf_get".to_owned()),
        Name::Kfunc { id: 9, off: 1 } => Some("my_kfunc".to_owned()),
        Name::Address { imm: 3, next_imm: 16, .. } => Some("flows".to_owned()),
        _ => None,
    };
    let listing = Disasm::new(&names).listing(&slots);
    let expected = "\
start:
     0: r1 = map[0] ll
     2: r2 = map[1][8] ll
     4: r3 = func sub ll
     6: r4 = flows ll
     8: r5 = func sub ll
    10: if r1 > r2 goto start
    11: call sub
    12: call bpf_get
    13: call my_kfunc
    14: may_goto start
    15: gotol +1
sub:
    16: exit
";
    assert_eq!(listing, expected);
}

#[test]
fn errors_point_at_the_place() {
    for (text, message) in [
        ("r1 = ", "line 1, column 6: expected a value, found the end of the line"),
        ("\n  r11 = 5", "line 2, column 3: expected an instruction, or a register r0 to r10, found `r11`"),
        ("r1 = r11", "line 1, column 6: expected a value, found `r11`"),
        ("r1 += w2", "line 1, column 7: expected a register, r0 to r10, found `w2`"),
        ("r1 = 0x100000000", "line 1, column 6: the immediate is 4294967296, must be -2147483648 to 2147483647"),
        ("r1 = *(u32 *)(r2 + 40000)", "line 1, column 18: the offset is 40000, must be -32768 to 32767"),
        ("goto nowhere", "line 1, column 6: nowhere is not the name of a label"),
        ("a:\nb: a: exit", "line 2, column 4: label a is already at line 1"),
        ("exit exit", "line 1, column 6: expected the end of the line, found `exit`"),
        ("r1 = \u{fc}", "line 1, column 6: unexpected character 'ü'"),
        ("r1 = 5x", "line 1, column 6: \"5x\" is no number of at most 64 bits"),
        ("lock *(u8 *)(r1 + 0) += w2", "line 1, column 7: atomics have 4 or 8 bytes"),
        ("w1 = *(u64 *)(r1 + 0)", "line 1, column 1: 8 bytes need a 64-bit register"),
        ("w1 = (s32)w2", "line 1, column 7: expected s8 or s16, found `s32`"),
        ("r1 = xchg_64(r2 + 0, r3)", "line 1, column 22: the old value goes to the register that holds the operand"),
        ("call what", "line 1, column 6: what is not the name of a label, helper or kfunc"),
        ("r1 = -r2", "line 1, column 7: expected the destination register again, found `r2`"),
    ] {
        assert_eq!(assemble(text).unwrap_err().to_string(), message, "{text}");
    }
    let far = format!("goto end\n{}end:", "exit\n".repeat(40_000));
    let kind = AsmErrorKind::TooFar { name: "end".into(), distance: 40_000 };
    assert_eq!(assemble(&far).unwrap_err().kind, kind);
    assert_eq!(assemble(&far.replacen("goto", "gotol", 1)).unwrap().len(), 40_001);
}

/// SplitMix64: enough randomness for fields, and the seed alone repeats a run.
struct Rng(u64);

impl Rng {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Often near an edge, else anything.
    fn number(&mut self) -> u64 {
        const EDGES: [i64; 9] = [0, 1, -1, 8, -8, 32767, -32768, 0x7fff_ffff, -0x8000_0000];
        let n = self.next();
        if n & 1 == 0 { EDGES[(n >> 8) as usize % EDGES.len()] as u64 } else { n }
    }

    fn fill(&mut self) -> Fill {
        Fill {
            dst: self.next() as u8,
            src: self.next() as u8,
            off: self.number() as i16,
            imm: self.number() as i32,
            next_imm: self.number() as i32,
        }
    }
}

/// `BACKSTOP_SEED=0x... cargo test` repeats a run.
fn seeded() -> Rng {
    let seed = std::env::var("BACKSTOP_SEED").ok().and_then(|text| {
        let digits = text.trim_start_matches("0x");
        u64::from_str_radix(digits, 16).ok()
    });
    let clock = || std::time::UNIX_EPOCH.elapsed().map_or(1, |time| time.as_nanos() as u64);
    let seed = seed.unwrap_or_else(clock);
    println!("BACKSTOP_SEED={seed:#x}");
    Rng(seed)
}

#[test]
fn every_row_reads_back_what_it_prints() {
    let mut rng = seeded();
    for row in rows() {
        for _ in 0..500 {
            let slots = row.instance(rng.fill());
            let instr = decode(&slots, 0).unwrap_or_else(|e| panic!("{}: {e}", row.name));
            let text = instr.to_string();
            let back = assemble(&text).unwrap_or_else(|e| panic!("{}: {text}: {e}", row.name));
            assert_eq!(back, *slots, "{}: {text}", row.name);
        }
    }
}

#[test]
fn named_text_reads_back_as_well() {
    let mut rng = seeded();
    for _ in 0..200 {
        let mut slots = Vec::new();
        while slots.len() < 40 {
            let row = rows().nth(rng.next() as usize % rows().len()).unwrap();
            let near = Fill { off: rng.next() as i16 % 20, imm: rng.next() as i32 % 20, ..rng.fill() };
            slots.extend(row.instance(near));
        }
        // A label before every instruction; targets within one have none and stay numbers.
        let program = decode_all(&slots).unwrap();
        let starts: Vec<usize> = program.iter().map(|(at, _)| *at).collect();
        let names = |name| match name {
            Name::Label(at) if starts.contains(&at) => Some(format!("L{at}")),
            _ => None,
        };
        let disasm = Disasm::new(&names);
        let line = |(at, instr): &(usize, Instr)| format!("L{at}: {}\n", disasm.instr(*at, instr));
        let text: String = program.iter().map(line).collect();
        assert_eq!(assemble(&text).unwrap_or_else(|e| panic!("{e}\n{text}")), slots, "{text}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_slots_survive_text(bytes in prop::collection::vec(any::<[u8; 8]>(), 0..20)) {
        let slots: Vec<Slot> = bytes.into_iter().map(Slot::from_bytes).collect();
        let text = disassemble(&slots);
        prop_assert_eq!(assemble(&text), Ok(slots), "{}", text);
    }

    #[test]
    fn any_text_is_an_answer(text in "\\PC{0,60}(\n\\PC{0,60}){0,4}") {
        let _ = assemble(&text);
    }

    /// Text made of the language's own words gets further in than noise does.
    #[test]
    fn any_words_assemble_to_what_decodes(words in prop::collection::vec(prop::sample::select(vec![
        "r1", "w2", "r10", "r0", "=", "+=", "s/=", "*", "(", ")", "u32", "u64", "s8", "u8", "+", "-", "5", "0x10", "ll",
        "goto", "gotol", "if", "s>", "==", "&", "call", "lock", "exit", ":", "l", "\n", "[", "]", "map", "skb", "func",
        "xchg_64", "cmpxchg_64", "atomic_fetch_add", "load_acquire", "store_release", "addr_space_cast", ",", "be16",
        "may_goto", "helper", "#", "kfunc", "@", "70000",
    ]), 0..14)) {
        let text = words.join(" ");
        if let Ok(slots) = assemble(&text) {
            prop_assert!(decode_all(&slots).is_ok(), "{}", text);
        }
    }
}
