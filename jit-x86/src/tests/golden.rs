//! Whole programs and the x86 text that is made of them, in `tests/golden`. `BACKSTOP_BLESS=1` rewrites the expectations.

use std::path::PathBuf;

use super::{image, text};
use crate::{CompileOptions, CpuFeatures};

const SEPARATOR: &str = "---\n";

fn check(name: &str, bmi2: bool) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name).with_extension("txt");
    let file = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let (program, wanted) = file.split_once(SEPARATOR).unwrap_or((&file, ""));
    let options = CompileOptions { cpu: CpuFeatures { bmi2 }, ..CompileOptions::default() };
    let made = text(&image(program, &options));
    if std::env::var_os("BACKSTOP_BLESS").is_some() {
        std::fs::write(&path, format!("{program}{SEPARATOR}{made}")).expect("a file that can be written");
        return;
    }
    assert_eq!(made, wanted, "{name}: made\n{made}");
}

macro_rules! golden {
    ($($name:ident $(($bmi2:literal))?),* $(,)?) => {
        $(
            #[test]
            fn $name() {
                check(stringify!($name), false $(|| $bmi2)?);
            }
        )*
    };
}

golden! {
    arithmetic,
    atomics,
    branches,
    byte_order,
    calls,
    constants,
    division,
    histogram,
    legacy_loads,
    may_goto,
    rotations,
    rotations_bmi2(true),
    shifts,
    tail_calls,
    throws,
}
