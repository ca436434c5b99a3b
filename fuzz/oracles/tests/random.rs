//! Every oracle on random bytes and on changed inputs of the kept corpus. The seed is printed; `BACKSTOP_SEED` repeats a run, and
//! `BACKSTOP_ROUNDS` makes it longer.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;

use backstop_oracles::{ALL, Oracle, Outcome, Stream};

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

fn corpus(name: &str) -> Vec<Vec<u8>> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../corpus").join(name);
    let mut files: Vec<PathBuf> = std::fs::read_dir(&folder)
        .map(|entries| entries.filter_map(|entry| Some(entry.ok()?.path())).collect())
        .unwrap_or_default();
    files.sort();
    files.iter().filter_map(|path| std::fs::read(path).ok()).collect()
}

/// Random bytes, or a kept input with changes: bytes set, a part taken away, or a part of another put in.
fn input(stream: &mut Stream, kept: &[Vec<u8>]) -> Vec<u8> {
    let Some(start) = kept.get(stream.below(kept.len().max(1))).filter(|_| stream.below(4) == 0) else {
        let len = 1 << stream.below(11);
        return stream.bytes(len);
    };
    let mut bytes = start.clone();
    for _ in 0..1 + stream.below(6) {
        let at = stream.below(bytes.len());
        match stream.below(6) {
            0 => drop(bytes.drain(at..(at + stream.below(40)).min(bytes.len()))),
            1 => {
                let other = kept[stream.below(kept.len())].clone();
                let from = stream.below(other.len());
                let part: Vec<u8> = other.into_iter().skip(from).take(64).collect();
                bytes.splice(at..at, part);
            }
            _ => {
                if let Some(byte) = bytes.get_mut(at) {
                    *byte = stream.next_long() as u8;
                }
            }
        }
    }
    bytes
}

/// Runs an oracle on `rounds` inputs; counts outcomes. A failure is reported with its bytes.
fn rounds(name: &str, oracle: Oracle, rounds: u64) -> BTreeMap<Outcome, u64> {
    let seed = number("BACKSTOP_SEED").unwrap_or_else(|| RandomState::new().hash_one(name));
    let rounds = number("BACKSTOP_ROUNDS").unwrap_or(rounds);
    println!("{name}: BACKSTOP_SEED={seed}, {rounds} rounds");
    let kept = corpus(name);
    assert!(!kept.is_empty(), "{name} has no kept inputs");
    let mut stream = Stream::new(seed);
    let mut outcomes = BTreeMap::new();
    for round in 0..rounds {
        let bytes = input(&mut stream, &kept);
        match catch_unwind(AssertUnwindSafe(|| oracle(&bytes))) {
            Ok(outcome) => *outcomes.entry(outcome).or_default() += 1,
            Err(_) => {
                let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
                panic!("{name}: BACKSTOP_SEED={seed}: round {round} failed on\n{hex}");
            }
        }
    }
    println!("{name}: {outcomes:?}");
    outcomes
}

fn oracle(name: &str) -> Oracle {
    ALL.iter().find(|(known, _)| *known == name).map_or_else(|| panic!("no oracle {name}"), |(_, oracle)| *oracle)
}

macro_rules! random {
    ($($name:ident: $rounds:literal, $held:literal percent;)*) => {$(
        #[test]
        fn $name() {
            let outcomes = rounds(stringify!($name), oracle(stringify!($name)), $rounds);
            let all: u64 = outcomes.values().sum();
            let held = outcomes.get(&Outcome::Held).copied().unwrap_or(0);
            // Oracles that refuse everything would hold for nothing.
            assert!(held * 100 >= all * $held, "only {held} of {all} inputs were taken");
        }
    )*};
}

random! {
    btf: 4000, 1 percent;
    codec: 4000, 5 percent;
    elf_run: 60, 10 percent;
    embedding: 600, 30 percent;
    engines: 1500, 30 percent;
    host_api: 150, 80 percent;
    open_object: 400, 20 percent;
    throw_unwind: 800, 20 percent;
    unproven: 4000, 5 percent;
    verify: 1500, 20 percent;
}
