//! Damaged programs: whatever the slots, maps and types say, the proof ends with a verdict, soon, and never panics.

#[allow(dead_code, reason = "other tests use the rest")]
mod cases_support;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;

use backstop_isa::Slot;
use backstop_model::Program;
use backstop_verifier::{Limits, Options, verify};

use cases_support::{build, corpus};

/// Damaged programs judged in one run.
const PROGRAMS: usize = 6_000;

/// xorshift64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, n: usize) -> usize {
        (self.next() % n.max(1) as u64) as usize
    }
}

fn damage(random: &mut Random, program: &mut Program) {
    for _ in 0..=random.below(4) {
        let len = program.slots.len();
        let at = random.below(len);
        let from = random.below(len);
        let copy = program.slots[from];
        let Some(slot) = program.slots.get_mut(at) else { return };
        match random.below(8) {
            0 => slot.code = random.next() as u8,
            1 => slot.dst = random.below(16) as u8,
            2 => slot.src = random.below(16) as u8,
            3 => slot.off = random.next() as i16,
            4 => slot.imm = random.next() as i32,
            5 => *slot = Slot::from_bytes(random.next().to_le_bytes()),
            6 => *slot = copy,
            _ => program.slots.truncate(at.max(1)),
        }
    }
    match random.below(16) {
        0 => program.maps.clear(),
        1 => program.kfuncs.clear(),
        2 => program.func_info.truncate(1),
        3 => program.btf = None,
        _ => {}
    }
}

#[test]
fn damaged_programs_get_a_verdict() {
    let seed = std::env::var("BACKSTOP_SEED").ok().and_then(|s| s.parse().ok()).unwrap_or_else(|| {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        now.map_or(1, |d| d.as_nanos() as u64 | 1)
    });
    println!("BACKSTOP_SEED={seed}");
    let mut random = Random(seed);
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases");
    let pool: Vec<Program> = corpus::read_all(&folder)
        .iter()
        .flat_map(|topic| &topic.cases)
        .filter_map(|case| build::program(case).ok())
        .filter(|program| program.slots.len() < 400)
        .collect();
    assert!(pool.len() > 500, "only {} programs to damage", pool.len());
    let limits = Limits { insns: 20_000, ..Limits::default() };
    let mut accepted = 0;
    for n in 0..PROGRAMS {
        let mut program = pool[random.below(pool.len())].clone();
        damage(&mut random, &mut program);
        let options = Options {
            compat_linux: random.below(2) == 0,
            unprivileged: random.below(4) == 0,
            no_leaks: random.below(4) == 0,
            keep_states: random.below(8) == 0,
            log_level: if random.below(8) == 0 { 2 } else { 0 },
            limits,
            kernel: backstop_model::KernelBtf::reduced(),
        };
        let program = Arc::new(program);
        let outcome = catch_unwind(AssertUnwindSafe(|| match verify(program.clone(), &options) {
            Ok(_) => true,
            Err(refusal) => {
                assert!(!refusal.render(&program).is_empty());
                false
            }
        }));
        match outcome {
            Ok(verdict) => accepted += usize::from(verdict),
            Err(_) => panic!("program {n} of seed {seed} panicked:\n{}", backstop_isa::disassemble(&program.slots)),
        }
    }
    assert!(accepted > 0, "damage must leave some programs whole");
}
