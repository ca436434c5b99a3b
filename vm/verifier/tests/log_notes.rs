//! What the log tells beside instructions and states: calls, returns and walks back for precision, in the words of the kernel's log,
//! which is asked where bpf(2) is permitted.

#[allow(dead_code, reason = "other tests use the rest")]
mod cases_support;

use std::sync::Arc;

use backstop_isa::slots_to_bytes;
use backstop_referee::{ProgLoad, ProgType, Referee};
use backstop_verifier::{Options, verify};

use cases_support::{build, corpus};

/// A number goes through a subprogram, the stack and a branch before a store's bounds rest on it.
const TEXT: &str = "type: socket_filter\ncall get_prandom_u32\nr6 = 3\nif r0 > 7 goto +1\nr6 = 4\n*(u64 *)(r10 - 8) = r6\n\
    r1 = r6\ncall f\nr2 = *(u64 *)(r10 - 8)\nr2 += r0\nr1 = r10\nr1 += -32\nr1 += r2\n*(u8 *)(r1 + 0) = 1\n\
    r0 = 0\nexit\nf: r0 = 0\nif r1 == 0 goto +1\nr0 = 1\nexit\n";

fn log(level: u8) -> String {
    let case = corpus::read_case("notes", &format!("notes\n{TEXT}"));
    let program = Arc::new(build::program(&case).expect("the program"));
    let options = Options { compat_linux: true, log_level: level, ..Options::default() };
    match verify(program, &options) {
        Ok(verified) => verified.kernel_format(),
        Err(refusal) => panic!("{refusal:?}"),
    }
}

/// The notes, without the states and the words of instructions in them.
fn notes(log: &str) -> Vec<String> {
    let words = ["mark_precise:", "caller", "callee", "returning from", "to caller", "from ", "frame 0: propagating"];
    let notes = log.lines().filter(|line| words.iter().any(|word| line.starts_with(word)));
    let cut = |line: &str| {
        let line = line.split(": R").next().unwrap_or(line).split(":  ").next().unwrap_or(line).to_owned();
        line.split(") ").next().unwrap_or(&line).trim_end().to_owned()
    };
    notes.map(cut).collect()
}

#[test]
fn calls_and_walks_back_are_told() {
    assert!(notes(&log(0)).is_empty());
    let told = log(2);
    let notes = notes(&told);
    for wanted in [
        "caller:",
        "callee:",
        "returning from callee:",
        "to caller at 7:",
        "mark_precise: frame0: last_idx 11 first_idx 15 subseq_idx -1",
    ] {
        assert!(notes.iter().any(|note| note == wanted), "{wanted}\n{told}");
    }
    assert!(notes.iter().any(|note| note.contains("parent state regs=")), "{told}");
}

#[test]
fn the_kernel_tells_the_same() {
    let name = "the_kernel_tells_the_same";
    let Some(referee) = Referee::open_or_skip(name) else { return };
    let case = corpus::read_case("notes", &format!("notes\n{TEXT}"));
    let program = build::program(&case).expect("the program");
    let bytes = slots_to_bytes(&program.slots);
    let load = ProgLoad { log_level: 2, ..ProgLoad::new(ProgType::SocketFilter, &bytes) };
    let outcome = referee.load(&load).expect("the kernel answers");
    let (ours, theirs) = (log(2), outcome.log().text().to_owned());
    assert_eq!(notes(&ours), notes(&theirs), "here\n{ours}\nkernel\n{theirs}");
}
