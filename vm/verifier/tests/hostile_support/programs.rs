//! Programs made to cost a proof more than their instructions say: each in the corpus's text form, written by rule so that
//! depth and width can be turned up.

use std::fmt::Write as _;

use backstop_model::Program;

use crate::cases_support::{build, corpus};

/// A hostile program.
pub struct Hostile {
    pub name: &'static str,
    pub program: Program,
}

/// All of them. Each ends at the limit of instructions processed, however high it is.
pub fn all() -> Vec<Hostile> {
    let texts = [
        ("iterators nested", iterators(4, 0)),
        ("iterators nested, scalars that differ", iterators(4, 3)),
        ("iterators nested, a precise counter", iterator_counting()),
        ("iterators in callbacks", iterators_in_callbacks(3)),
        ("callbacks of callbacks", callbacks(6)),
        ("callbacks that branch", callbacks_branching(5)),
        ("exits behind checkpoints", exits_behind_checkpoints()),
        ("branches, imprecise scalars", branches(false)),
        ("branches, precise scalars", branches(true)),
        ("long code of spills", spills(60)),
        ("a long chain made precise", chain()),
        ("linked scalars", linked()),
        ("maybe-NULL pointers", maybe_null()),
        ("full stacks, all frames", frames(8)),
        ("map elements, loops and iterators", elements()),
        ("may_goto nested", may_goto(4)),
        ("a long loop", long_loop()),
        ("straight code, decisions all along", straight(40_000)),
        ("blocks in reverse order", reversed(30_000)),
        ("calls from everywhere", call_sites(30_000)),
        ("full stacks, kept at each round", rounds()),
    ];
    texts.into_iter().map(|(name, text)| Hostile { name, program: program(name, &text) }).collect()
}

fn program(name: &str, text: &str) -> Program {
    let case = corpus::read_case("hostile", &format!("{name}\n{text}"));
    build::program(&case).unwrap_or_else(|why| panic!("{name}: {why}\n{text}"))
}

/// `depth` iterators, each opened in the body of the one around it. With `scalars`, registers that are kept over the rounds
/// change at random in the innermost body.
fn iterators(depth: usize, scalars: usize) -> String {
    let mut out = String::from("type: xdp\nr6 = 0\nr7 = 0\nr8 = 0\n");
    open_iterators(&mut out, depth, 0, "m");
    for n in 0..scalars {
        let _ = writeln!(out, "call get_prandom_u32\nif r0 > {} goto +1\nr{} += {}", n + 7, n + 6, n + 3);
    }
    close_iterators(&mut out, depth, 0, "m");
    out.push_str("r0 = 0\nexit\n");
    out
}

fn open_iterators(out: &mut String, depth: usize, first: usize, tag: &str) {
    for n in first..first + depth {
        let off = 8 * (n + 1);
        let _ = write!(
            out,
            "r1 = r10\nr1 += -{off}\nr2 = 0\nr3 = 10\ncall bpf_iter_num_new\n\
             {tag}l{n}: r1 = r10\nr1 += -{off}\ncall bpf_iter_num_next\nif r0 == 0 goto {tag}d{n}\n\
             r9 = *(u32 *)(r0 + 0)\nif r9 == {n} goto +1\nr9 += 1\n*(u64 *)(r10 - {}) = r9\n",
            (off + 256 - 1) % 512 + 1
        );
    }
}

fn close_iterators(out: &mut String, depth: usize, first: usize, tag: &str) {
    for n in (first..first + depth).rev() {
        let off = 8 * (n + 1);
        let _ = write!(out, "goto {tag}l{n}\n{tag}d{n}: r1 = r10\nr1 += -{off}\ncall bpf_iter_num_destroy\n");
    }
}

/// A loop over an iterator that a precise counter keeps from coming to rest.
fn iterator_counting() -> String {
    let mut out = String::from("type: xdp\nr6 = 0\nr7 = 0\nr8 = 0\n");
    open_iterators(&mut out, 2, 0, "m");
    out.push_str("r6 += 1\nif r6 < 100000000 goto +1\nr8 = *(u64 *)(r10 - 400)\n");
    close_iterators(&mut out, 2, 0, "m");
    out.push_str("r0 = 0\nexit\n");
    out
}

/// bpf_loop in an iterator's body, whose callback opens iterators in which another callback is called, and so on.
fn iterators_in_callbacks(depth: usize) -> String {
    let mut out = String::from("type: xdp\n");
    for level in 0..=depth {
        let tag = format!("c{level}");
        let _ = write!(out, "{tag}: r6 = {level}\nr7 = 31\nr8 = 1\n");
        open_iterators(&mut out, 2, 0, &tag);
        let _ = write!(
            out,
            "call get_prandom_u32\nif r0 > 7 goto +1\nr6 += 3\nr7 &= 25\nr8 *= 3\n*(u64 *)(r10 - 400) = r6\n"
        );
        if level < depth {
            let _ = write!(out, "r1 = 4\nr2 = func c{} ll\nr3 = r10\nr3 += -400\nr4 = 0\ncall loop\n", level + 1);
            let _ = write!(out, "if r0 s<= 2 goto +1\nr6 += 1\n");
        }
        close_iterators(&mut out, 2, 0, &tag);
        out.push_str("r0 = 0\nexit\n");
    }
    out
}

/// Callbacks that call bpf_loop twice with the next one.
fn callbacks(depth: usize) -> String {
    let mut out = String::from("type: xdp\n");
    for level in 0..=depth {
        let _ = write!(out, "c{level}: r6 = r1\nr7 = 0\n");
        if level < depth {
            for _ in 0..2 {
                let _ = write!(out, "r1 = 4\nr2 = func c{} ll\nr3 = 0\nr4 = 0\ncall loop\nr7 += r0\n", level + 1);
                let _ = write!(out, "if r0 > 3 goto +1\nr6 += 1\n");
            }
        }
        out.push_str("r0 = 0\nexit\n");
    }
    out
}

/// As [`callbacks`], with branches on random numbers that leave other scalars on the stack that is shared.
fn callbacks_branching(depth: usize) -> String {
    let mut out = String::from("type: xdp\n");
    for level in 0..=depth {
        let r6 = if level == 0 { "r6 = 0" } else { "r6 = r2" };
        let _ = write!(out, "c{level}: {r6}\nr7 = 0\nr8 = 0\n*(u64 *)(r10 - 8) = r7\n*(u64 *)(r10 - 16) = r7\n");
        for n in 0..5 {
            let _ = write!(
                out,
                "call get_prandom_u32\nif r0 > {} goto +2\nr7 += {}\n*(u64 *)(r10 - 8) = r7\n",
                n + 9,
                1 << n
            );
        }
        if level < depth {
            let _ = write!(out, "r1 = 4\nr2 = func c{} ll\nr3 = r10\nr3 += -8\nr4 = 0\ncall loop\n", level + 1);
            let _ = write!(out, "r1 = *(u64 *)(r10 - 8)\nif r1 > 77 goto +1\nr8 += 1\n");
        }
        out.push_str("r0 = 0\nexit\n");
    }
    out
}

/// One loop whose body leaves many back edges: branches on fresh scalars, all of which are wanted at its end.
fn exits_behind_checkpoints() -> String {
    let mut out = String::from("type: xdp\nr6 = 0\nr7 = 0\nr8 = 0\n");
    open_iterators(&mut out, 2, 0, "m");
    for n in 0..12 {
        let _ = write!(
            out,
            "call get_prandom_u32\nif r0 > {} goto ml1\n*(u64 *)(r10 - {}) = r0\nr7 ^= {}\n",
            n + 5,
            320 + 8 * n,
            1 << n
        );
    }
    out.push_str("r1 = r10\nr7 &= 7\nr1 += -128\nr1 += r7\n*(u8 *)(r1 + 0) = 1\n");
    close_iterators(&mut out, 2, 0, "m");
    out.push_str("r0 = 0\nexit\n");
    out
}

/// 2^n paths, each with a number of its own.
fn branches(precise: bool) -> String {
    let mut out = String::from("type: xdp\nr6 = 0\nr7 = 0\nr8 = r1\n");
    for _ in 0..40 {
        out.push_str("call get_prandom_u32\nr6 <<= 1\nif r0 == 7 goto +1\nr6 |= 1\n");
        if precise {
            out.push_str("r1 = r6\nr1 &= 7\nr2 = r10\nr2 += -16\nr2 += r1\n*(u8 *)(r2 + 0) = 1\n");
        }
    }
    out.push_str("r7 = r10\nr6 &= 0xff\nr7 += -256\nr7 += r6\n*(u8 *)(r7 + 0) = 1\nr0 = 0\nexit\n");
    out
}

/// A stack full of distinct spilled scalars, branches between, all read at the end.
fn spills(slots: usize) -> String {
    let mut out = String::from("type: xdp\n");
    for n in 1..=slots {
        let _ = write!(out, "call get_prandom_u32\n*(u64 *)(r10 - {}) = r0\n", 8 * n);
        let _ = write!(out, "if r0 == {n} goto +1\n*(u64 *)(r10 - {}) = {n}\n", 8 * n);
    }
    out.push_str("r6 = r10\nr7 = 0\n");
    for n in 1..=slots {
        let _ = write!(
            out,
            "r1 = *(u64 *)(r10 - {})\nr1 &= 1\nr7 += r1\nr6 = r10\nr6 += -72\nr2 = r7\nr2 &= 63\nr6 += r2\n*(u8 *)(r6 + 0) = 1\n",
            8 * n
        );
    }
    out.push_str("r0 = 0\nexit\n");
    out
}

/// A loop in which a value passes through many moves and spills before something depends on it: each precision walk is long.
fn chain() -> String {
    let mut out = String::from("type: xdp\nr6 = 0\nr9 = 0\nl: r6 += 1\n");
    for n in 0..100 {
        let _ = write!(out, "r7 = r6\n*(u64 *)(r10 - {0}) = r7\nr8 = *(u64 *)(r10 - {0})\n", 8 * (n % 60 + 1));
        if n % 10 == 9 {
            out.push_str("if r8 == 0xffffff goto +1\nr9 ^= r8\n");
        }
    }
    out.push_str(
        "r9 &= 7\nr1 = r10\nr1 += -512\nr1 += r9\n*(u8 *)(r1 + 0) = 1\nif r6 != 100000000 goto l\nr0 = 0\nexit\n",
    );
    out
}

/// Sets of registers and slots that hold one scalar, refined together again and again.
fn linked() -> String {
    let mut out = String::from("type: xdp\nr9 = 0\nl: call get_prandom_u32\nr9 += 1\n");
    for n in 1..=8 {
        let _ = writeln!(out, "r{n} = r0");
    }
    out = out.replace("r8 = r0\n", "");
    for n in 1..=60 {
        let _ = writeln!(out, "*(u64 *)(r10 - {}) = r{}", 8 * n, n % 7 + 1);
    }
    for n in 0..30 {
        let _ = write!(out, "if r{} == {} goto +1\nr8 = {n}\n", n % 7 + 1, n + 1000);
    }
    out.push_str("if r9 != 100000000 goto l\nr0 = 0\nexit\n");
    out
}

/// Pointers that may be NULL, each of another lookup, tested in all combinations.
fn maybe_null() -> String {
    let mut out = String::from("type: xdp\nmap: m hash 4 8 16\nr9 = 0\n*(u64 *)(r10 - 8) = 0\n");
    for n in 0..50 {
        let _ =
            write!(out, "r1 = m ll\nr2 = r10\nr2 += -8\ncall map_lookup_elem\n*(u64 *)(r10 - {}) = r0\n", 16 + 8 * n);
    }
    for n in 0..50 {
        let _ = write!(
            out,
            "r1 = *(u64 *)(r10 - {})\nr9 <<= 1\nif r1 == 0 goto +2\nr9 |= 1\n*(u64 *)(r1 + 0) = r9\n",
            16 + 8 * n
        );
    }
    out.push_str("r1 = r10\nr9 &= 7\nr1 += -8\nr1 += r9\nr0 = *(u8 *)(r1 + 0)\nr0 = 0\nexit\n");
    out
}

/// Calls to the full depth, each frame's stack full of spills that differ by path.
fn frames(depth: usize) -> String {
    let mut out = String::from("type: xdp\n");
    for level in 0..depth {
        let _ = write!(out, "f{level}: r6 = r1\nr7 = 0\n");
        for n in 1..=64 {
            let _ = write!(out, "r7 += {n}\n*(u64 *)(r10 - {}) = r7\n", 8 * n);
        }
        for n in 0..6 {
            let _ = write!(
                out,
                "call get_prandom_u32\nif r0 == {n} goto +2\nr7 += r0\n*(u64 *)(r10 - {}) = r7\n",
                8 * (n + 1)
            );
        }
        if level + 1 < depth {
            let _ = write!(out, "r1 = r6\ncall f{}\nr8 = r0\n", level + 1);
        }
        for n in 1..=64 {
            let _ = write!(out, "r1 = *(u64 *)(r10 - {})\nr7 ^= r1\n", 8 * n);
        }
        out.push_str("r7 &= 7\nr1 = r10\nr1 += -512\nr1 += r7\n*(u8 *)(r1 + 0) = 1\nr0 = r7\nexit\n");
    }
    out
}

/// for_each_map_elem in an iterator's body, bpf_loop in its callback, two iterators one after the other in that one's.
fn elements() -> String {
    let mut out = String::from(
        "type: socket_filter\nmap: m array 4 16 4\ncall f1\nexit\n\
         f1: r7 = 31\nr1 = m ll\nr2 = func e1 ll\nr3 = 0\nr4 = 0\ncall for_each_map_elem\n",
    );
    open_iterators(&mut out, 1, 0, "f");
    out.push_str("r7 &= 25\n*(u64 *)(r10 - 48) = 186\nr1 = m ll\nr2 = func e2 ll\nr3 = r10\nr3 += -48\nr4 = 0\ncall for_each_map_elem\nr0 = le64 r0\n");
    close_iterators(&mut out, 1, 0, "f");
    out.push_str(
        "r0 = r7\nexit\n\
         e1: r6 = r2\nr7 = r3\nr1 = 3\nr2 = func c ll\nr3 = 0\nr4 = 0\ncall loop\nif r0 s<= 255 goto +2\nr0 = 0\nexit\n\
         *(u64 *)(r10 - 24) = r7\nif r0 s>= -5 goto +1\nr0 /= 17\nr0 = 0\nexit\n\
         e2: r6 = r2\nr7 = r3\ncall get_smp_processor_id\nr1 = 3\nr2 = func c ll\nr3 = 0\nr4 = 0\ncall loop\nr0 = 0\nexit\n",
    );
    out.push_str("c: r5 = 6\nr8 = 127\nw5 s%= 32\n");
    for (n, counter) in [(0, "r8 += 12"), (1, "r6 += 3")] {
        if n == 1 {
            out.push_str("r6 = 30\nw6 -= w6\n");
        }
        let off = 40 - 24 * n;
        let _ = write!(
            out,
            "r1 = r10\nr1 += -{off}\nr2 = 0\nr3 = 4\ncall bpf_iter_num_new\nk{n}: r1 = r10\nr1 += -{off}\ncall bpf_iter_num_next\n\
             if r0 == 0 goto j{n}\n{counter}\nr0 = 0\ngoto k{n}\nj{n}: r1 = r10\nr1 += -{off}\ncall bpf_iter_num_destroy\n",
        );
    }
    out.push_str("r0 = 0\nexit\n");
    out
}

/// Loops that end by may_goto, one in the other.
fn may_goto(depth: usize) -> String {
    let mut out = String::from("type: xdp\nr6 = 0\nr7 = 0\nr8 = 0\nr9 = 0\n");
    for n in 0..depth {
        let _ = write!(
            out,
            "l{n}: may_goto d{n}\ncall get_prandom_u32\nif r0 > {} goto +1\nr{} += {}\n",
            n + 3,
            6 + n % 4,
            n + 1
        );
        let _ = writeln!(out, "*(u64 *)(r10 - {}) = r{}", 8 * (n + 1), 6 + n % 4);
    }
    out.push_str("r1 = r6\nif r1 > 100 goto +1\nr7 += 5\n");
    for n in (0..depth).rev() {
        let _ = write!(out, "goto l{n}\nd{n}: r8 ^= r6\n");
    }
    out.push_str("r0 = 0\nexit\n");
    out
}

/// Code without a jump, in which every other instruction makes a scalar precise that was computed from the start on.
fn straight(len: usize) -> String {
    let mut out = String::from("type: xdp\ncall get_prandom_u32\nr6 = r0\nr6 &= 1\n");
    for _ in 0..len {
        out.push_str("r6 ^= 1\nr2 = r10\nr2 += r6\n");
    }
    out.push_str("r0 = 0\nexit\n");
    out
}

/// Blocks that follow each other from the end of the program to its start.
fn reversed(blocks: usize) -> String {
    let mut out = format!("type: xdp\nr6 = 0\nr7 = 0\nr8 = 0\ngotol b{}\nb0: r0 = 0\nexit\n", blocks - 1);
    for n in 1..blocks {
        let _ = write!(out, "b{n}: r6 += 1\nr{} = r6\ngotol b{}\n", 7 + n % 2, n - 1);
    }
    out
}

/// A function that spills and may go on for long, called from very many places.
fn call_sites(calls: usize) -> String {
    let mut out = String::from("type: xdp\n");
    for _ in 0..calls {
        out.push_str("call f\n");
    }
    out.push_str(
        "r0 = 0\nexit\nf: r1 = 1\n*(u64 *)(r10 - 8) = r1\nr0 = *(u64 *)(r10 - 8)\nif r0 == 1 goto e\nl: r0 += 1\n",
    );
    for _ in 0..20_000 {
        out.push_str("r0 += 1\n");
    }
    out.push_str("if r0 != 0 goto l\ne: exit\n");
    out
}

/// Iterators that never come to rest in the innermost of eight frames with full stacks: each round changes one slot of each.
fn rounds() -> String {
    let mut out = String::from("type: xdp\nr1 = 0\n");
    for level in 0..8 {
        let _ = write!(out, "f{level}: r6 = r1\nr7 = 0\n");
        for n in 1..=62 {
            let _ = write!(out, "r7 += {n}\n*(u64 *)(r10 - {}) = r7\n", 8 * n);
        }
        if level < 7 {
            let _ = write!(out, "r1 = r10\nr1 += -{}\ncall f{}\nr0 = 0\nexit\n", 8 * (level + 1), level + 1);
            continue;
        }
        open_iterators(&mut out, 1, 61, "f");
        out.push_str("r7 += 1\n*(u64 *)(r6 + 0) = r7\n*(u64 *)(r10 - 8) = r7\n*(u64 *)(r10 - 256) = r7\nif r7 < 100000000 goto +1\nr8 = *(u64 *)(r10 - 400)\n");
        close_iterators(&mut out, 1, 61, "f");
        out.push_str("r0 = 0\nexit\n");
    }
    out
}

/// A counted loop that is walked round by round.
fn long_loop() -> String {
    "type: xdp\nr6 = 0\nr9 = r1\nl: r6 += 1\nr8 = r6\nr7 = r6\nr7 &= 15\nr1 = r10\nr1 += -16\nr1 += r7\n*(u8 *)(r1 + 0) = 1\nif r6 < 100000000 goto l\nr0 = 0\nexit\n".to_owned()
}
