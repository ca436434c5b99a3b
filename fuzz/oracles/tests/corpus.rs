//! The kept corpus: inputs that once reached something new, or once failed. All must hold.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use backstop_oracles::{ALL, Outcome};

/// Files that a target may keep.
const MAX_FILES: usize = 100;
/// Bytes that all of them may take together.
const MAX_BYTES: u64 = 300 * 1024;

fn files(target: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../corpus").join(target);
    let entries = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
    files.sort();
    files
}

#[test]
fn every_kept_input_holds() {
    let mut failed = Vec::new();
    for (target, oracle) in ALL {
        let mut held = 0;
        let files = files(target);
        for file in &files {
            let bytes = fs::read(file).expect("a readable file");
            match catch_unwind(AssertUnwindSafe(|| oracle(&bytes))) {
                Ok(Outcome::Held) => held += 1,
                Ok(_) => {}
                Err(_) => failed.push(file.display().to_string()),
            }
        }
        println!("{target}: {held} of {} kept inputs were taken", files.len());
        assert!(held > 0 || !failed.is_empty(), "no kept input of {target} is taken");
    }
    assert!(failed.is_empty(), "failed:\n{}", failed.join("\n"));
}

#[test]
fn the_corpus_is_small() {
    let mut bytes = 0;
    for (target, _) in ALL {
        let files = files(target);
        assert!((1..=MAX_FILES).contains(&files.len()), "{target} keeps {} files", files.len());
        bytes += files.iter().map(|file| fs::metadata(file).expect("a file").len()).sum::<u64>();
    }
    assert!(bytes <= MAX_BYTES, "the corpus has {bytes} bytes");
}
