//! `backstop conformance-plugin` speaks the protocol of ISA test runners, and says clearly what is wrong with its input.

use std::io::Write;
use std::process::{Command, Output, Stdio};

/// r0 = 42; exit
const ANSWER: &str = "b7 00 00 00 2a 00 00 00 95 00 00 00 00 00 00 00";
/// r0 = *(u8 *)(r1 + 1); r0 <<= 8; r0 |= r2; exit
const SECOND_AND_LENGTH: &str =
    "71 10 01 00 00 00 00 00 67 00 00 00 08 00 00 00 4f 20 00 00 00 00 00 00 95 00 00 00 00 00 00 00";

fn plugin(args: &[&str], input: &[u8]) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_backstop"))
        .arg("conformance-plugin")
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the command");
    // It may be gone before it has read anything.
    let _ = child.stdin.take().expect("a pipe").write_all(input);
    child.wait_with_output().expect("an end")
}

fn prints(args: &[&str], input: &str, wanted: &str) {
    for engine in ["interp", "jit", "checked"] {
        if engine == "jit" && !cfg!(all(feature = "jit", target_arch = "x86_64", target_os = "linux")) {
            continue;
        }
        let out = plugin(&[args, &["--engine", engine]].concat(), input.as_bytes());
        assert!(out.status.success(), "{args:?}: {}", String::from_utf8_lossy(&out.stderr));
        assert_eq!(String::from_utf8_lossy(&out.stdout), format!("{wanted}\n"), "{args:?} on {engine}");
        assert!(out.stderr.is_empty());
    }
}

fn fails(args: &[&str], input: &[u8], code: i32, wanted: &str) {
    let out = plugin(args, input);
    let text = String::from_utf8_lossy(&out.stderr).into_owned();
    assert_eq!(out.status.code(), Some(code), "{args:?}: {text}");
    assert!(text.contains(wanted), "{args:?}: {text}");
    assert!(out.stdout.is_empty());
}

#[test]
fn r0_comes_in_base_16_without_a_prefix() {
    prints(&[], ANSWER, "2a");
    prints(&["--program", ANSWER], "", "2a");
    prints(&[""], ANSWER, "2a");
    // All 64 bits: r0 = -1.
    prints(&[], "b7 00 00 00 ff ff ff ff 95 00 00 00 00 00 00 00\n", "ffffffffffffffff");
    prints(&[], "b700000000000000 9500000000000000", "0");
}

#[test]
fn r1_is_the_memory_and_r2_its_length() {
    prints(&["aa bb cc"], SECOND_AND_LENGTH, "bb03");
    prints(&["--program", SECOND_AND_LENGTH, "aabb"], "", "bb02");
}

#[test]
fn what_is_wrong_with_the_input_is_said() {
    fails(&[], b"b7 0", 1, "the program: a byte has two digits, but `0` has 1");
    fails(&[], b"b7 00 zz", 1, "the program: 'z' in `zz` is no digit of base 16");
    fails(&[], b"", 1, "there is no program");
    fails(&[], b"\xff\xfe", 1, "standard input");
    fails(&[], b"b7 00 00", 1, "the length must be a multiple of 8");
    fails(&["0"], ANSWER.as_bytes(), 1, "the memory: a byte has two digits");
    fails(&["aa", "bb"], ANSWER.as_bytes(), 2, "unexpected argument");
    fails(&["--engine", "fast"], ANSWER.as_bytes(), 2, "invalid value");
    fails(&["--fuel", "5"], ANSWER.as_bytes(), 2, "--unproven");
    fails(&["--elf"], ANSWER.as_bytes(), 1, "program");
}

fn conformance(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_backstop")).arg("conformance").args(args).output().expect("an end")
}

#[test]
fn the_table_ends_with_the_sum() {
    let out = conformance(&["--only", "mod32_imm", "--only", "jlt32_reg", "--engine", "interp"]);
    let text = String::from_utf8_lossy(&out.stdout);
    assert!(out.status.success(), "{text}");
    let words: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(words.first().map(Vec::as_slice), Some(&["group", "cases", "interp", "wrong"][..]));
    let counts: Vec<(&str, u64)> =
        words.iter().skip(1).map(|line| (line[0], line[1].parse().expect("cases"))).collect();
    assert_eq!(counts.iter().map(|(name, _)| *name).collect::<Vec<_>>(), ["base32", "divmul32", "sum"]);
    assert_eq!(counts[0].1 + counts[1].1, counts[2].1);
    assert!(counts[0].1 > 100_000 && words.iter().skip(1).all(|line| line[2] == "0"), "{text}");
}

#[test]
fn json_is_one_object() {
    let out = conformance(&["--only", "neg64", "--json", "--seed", "9"]);
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    let line: serde_json::Value = serde_json::from_slice(&out.stdout).expect("JSON");
    assert_eq!((&line["seed"], &line["sum"]["wrong"]["interp"]), (&9.into(), &0.into()));
    assert_eq!(line["groups"][0]["group"], "base64");
    assert_eq!(line["groups"][0]["cases"], line["sum"]["cases"]);
}

#[test]
fn rows_that_are_not_there_are_said() {
    let out = conformance(&["--only", "neg46"]);
    assert_eq!(out.status.code(), Some(2));
    let text = String::from_utf8_lossy(&out.stderr).into_owned();
    assert!(text.contains("no row `neg46`") && text.contains("neg64"), "{text}");
}

#[test]
fn what_the_verifier_refuses_does_not_run() {
    // r0 = *(u8 *)(r1 + 1); exit: beyond the memory of one byte.
    fails(&["aa"], b"71 10 01 00 00 00 00 00 95 00 00 00 00 00 00 00", 1, "refused");
    // r0 is not set.
    fails(&[], b"95 00 00 00 00 00 00 00", 1, "R0 !read_ok");
    fails(&[], b"95 00 00 00 00 00 00 00", 1, "--unproven runs it all the same");
    // r10 = 0; exit: no option helps.
    let out = plugin(&[], b"b7 0a 00 00 00 00 00 00 95 00 00 00 00 00 00 00");
    let text = String::from_utf8_lossy(&out.stderr).into_owned();
    assert!(out.status.code() == Some(1) && text.contains("frame pointer is read only"), "{text}");
    assert!(!text.contains("--unproven"), "{text}");
}

/// r0 = 0; again: r3 = *(u8 *)(r1 + 0); r1 += 1; r0 += r3; r2 -= 1; if r2 != 0 goto again; exit
const SUM: &str = "b7 00 00 00 00 00 00 00 71 13 00 00 00 00 00 00 07 01 00 00 01 00 00 00 0f 30 00 00 00 00 00 00 \
                   17 02 00 00 01 00 00 00 55 02 fb ff 00 00 00 00 95 00 00 00 00 00 00 00";

#[test]
fn what_can_not_be_proved_runs_if_asked_for() {
    // A pointer out of bits that the proof loses: r1 *= 2; r1 >>= 1; r0 = *(u8 *)(r1 + 1); exit
    let scaled = "27 01 00 00 02 00 00 00 77 01 00 00 01 00 00 00 71 10 01 00 00 00 00 00 95 00 00 00 00 00 00 00";
    fails(&["aa bb"], scaled.as_bytes(), 1, "refused");
    prints(&["--unproven", "aa bb"], scaled, "bb");
    // What is proved runs on the engine that was asked for, with the option too.
    prints(&["--unproven", "01 02 03"], SUM, "6");
    prints(&["--unproven"], ANSWER, "2a");
}

#[test]
fn what_can_not_be_proved_is_stopped_where_it_breaks_a_rule() {
    let unproven = |args: &[&str], program: &str, wanted: &str| {
        fails(&[&["--unproven"], args].concat(), program.as_bytes(), 1, wanted);
    };
    let beyond = "71 10 01 00 00 00 00 00 95 00 00 00 00 00 00 00";
    unproven(&["aa"], beyond, "instruction 0: read of 1 byte at 0x");
    unproven(&["aa"], beyond, "the nearest region is the memory of 1 bytes, in which this is offset 1");
    unproven(&[], "95 00 00 00 00 00 00 00", "r0 was never written");
    // r0 = 1; again: if r0 != 0 goto again; exit
    let endless = "b7 00 00 00 01 00 00 00 55 00 ff ff 00 00 00 00 95 00 00 00 00 00 00 00";
    unproven(&[], endless, "ran 10000000 instructions");
    unproven(&["--fuel", "99"], endless, "ran 99 instructions");
    unproven(
        &[],
        "85 00 00 00 0f 27 00 00 95 00 00 00 00 00 00 00",
        "instruction 0 calls helper 9999, which does not exist",
    );
    // r10 += 0
    unproven(
        &[],
        "07 0a 00 00 00 00 00 00 b7 00 00 00 00 00 00 00 95 00 00 00 00 00 00 00",
        "r10, the frame pointer, is read-only",
    );
    unproven(&[], "05 00 05 00 00 00 00 00 95 00 00 00 00 00 00 00", "instruction 0: jump to 6");
    unproven(&[], "ff 00 00 00 00 00 00 00 95 00 00 00 00 00 00 00", "instruction 0");
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x} ")).collect()
}

/// A committed object, as the plugin takes it.
fn object(path: &str) -> String {
    let path = format!("{}/{path}", env!("CARGO_MANIFEST_DIR"));
    hex(&std::fs::read(path).expect("the committed object"))
}

/// The first program of an object runs over the memory: here one that sums 64 bytes.
#[test]
fn objects_come_as_bytes_too() {
    let text = object("../tests/objects/custom.bpf.o");
    prints(&["--elf", &"02 ".repeat(64)], &text, "80");
    fails(&["--elf", "02"], text.as_bytes(), 1, "refused");
}

/// Without SEC, types, license: the entry is the first global function, what it calls is linked to it.
#[test]
fn objects_need_not_keep_to_conventions() {
    let text = object("tests/objects/text.bpf.o");
    prints(&["--elf", "01 02 03"], &text, "c10");
    prints(&["--elf", "01 02"], &text, "2");
    prints(&["--elf"], &text, "0");
    prints(&["--elf", "05 06"], &object("tests/objects/globals.bpf.o"), "b");
    prints(&["--elf"], &object("tests/objects/labels.bpf.o"), "2b");
}

/// An ELF object of nothing but `.text`: no symbols, no types.
fn bare(code: &[u8]) -> Vec<u8> {
    const NAMES: &[u8] = b"\0.text\0.shstrtab\0";
    let (text, names) = (64, 64 + code.len());
    let headers = (names + NAMES.len()).next_multiple_of(8);
    let section = |name: u32, kind: u32, flags: u64, at: usize, size: usize| {
        let mut header = Vec::new();
        header.extend(name.to_le_bytes());
        header.extend(kind.to_le_bytes());
        for word in [flags, 0, at as u64, size as u64, 0, 8, 0] {
            header.extend(word.to_le_bytes());
        }
        header
    };
    let mut file = vec![0x7f, b'E', b'L', b'F', 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    for half in [1u16, 247] {
        file.extend(half.to_le_bytes());
    }
    file.extend(1u32.to_le_bytes());
    for word in [0, 0, headers as u64] {
        file.extend(word.to_le_bytes());
    }
    file.extend(0u32.to_le_bytes());
    for half in [64u16, 0, 0, 64, 3, 2] {
        file.extend(half.to_le_bytes());
    }
    file.extend(code);
    file.extend(NAMES);
    file.resize(headers, 0);
    file.extend(section(0, 0, 0, 0, 0));
    file.extend(section(1, 1, 6, text, code.len()));
    file.extend(section(7, 3, 0, names, NAMES.len()));
    file
}

#[test]
fn objects_without_symbols_run_from_their_start() {
    // call +1; exit; r0 = *(u8 *)(r1 + 0); exit
    let code = [
        [0x85, 0x10, 0, 0, 1, 0, 0, 0],
        [0x95, 0, 0, 0, 0, 0, 0, 0],
        [0x71, 0x10, 0, 0, 0, 0, 0, 0],
        [0x95, 0, 0, 0, 0, 0, 0, 0],
    ];
    prints(&["--elf", "2f"], &hex(&bare(code.as_flattened())), "2f");
    fails(&["--elf"], hex(&bare(code.as_flattened())).as_bytes(), 1, "refused");
    fails(&["--elf"], hex(&bare(&[])).as_bytes(), 1, "holds no code");
    fails(&["--elf"], hex(&bare(&[0x95])).as_bytes(), 1, "no whole number of 8-byte instructions");
    fails(&["--elf"], ANSWER.as_bytes(), 1, "ELF");
    let mut beyond = code;
    beyond[0][4] = 9;
    fails(&["--elf", "2f"], hex(&bare(beyond.as_flattened())).as_bytes(), 1, "where no function begins");
}

/// What shells, editors and other systems make of a line of bytes.
#[test]
fn the_form_of_the_bytes_is_free() {
    prints(&[], &format!("{ANSWER}\r\n"), "2a");
    prints(&[], &format!("  {}  \r\n\r\n", ANSWER.replace(' ', "\t")), "2a");
    prints(&[], &ANSWER.replace(' ', ""), "2a");
    prints(&["AaBB Cc\n"], &SECOND_AND_LENGTH.to_uppercase(), "bb03");
    prints(&["aabbcc", "--program", SECOND_AND_LENGTH], "", "bb03");
    fails(&["--program", ""], ANSWER.as_bytes(), 1, "there is no program");
    fails(&["0x2a"], ANSWER.as_bytes(), 1, "'x'");
    fails(&[], b"\xef\xbb\xbfb7", 1, "no digit of base 16");
    fails(&[], b"b7,00", 1, "','");
}
