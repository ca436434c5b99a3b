//! Compiles the benchmarks' C for this machine: what all engines are measured against.
//!
//! clang at -O2 if there is one (the same front end and optimiser that made the BPF and wasm files), else the system's
//! compiler; the table says which.

use std::process::Command;

#[path = "src/names.rs"]
mod names;

use names::PROGRAMS;

fn version(compiler: &str) -> Option<String> {
    let output = Command::new(compiler).arg("--version").output().ok().filter(|o| o.status.success())?;
    let text = String::from_utf8(output.stdout).ok()?;
    text.lines().next().map(str::to_owned)
}

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed=../programs");
    println!("cargo:rerun-if-env-changed=CC");
    let named = std::env::var("CC").ok();
    let candidates = named.as_deref().into_iter().chain(["clang-19", "clang", "cc"]);
    let found = candidates.into_iter().find_map(|compiler| Some((compiler.to_owned(), version(compiler)?)));
    let (compiler, version) = found.unwrap_or_else(|| ("cc".to_owned(), "cc, of unknown version".to_owned()));
    println!("cargo:rustc-env=NATIVE_COMPILER={version}");
    for program in PROGRAMS {
        let source = format!("../programs/{program}.c");
        let mut build = cc::Build::new();
        build.compiler(&compiler).file(source).define("FN", format!("native_{program}").as_str());
        build
            .opt_level(2)
            .debug(false)
            .warnings(false)
            .force_frame_pointer(false)
            .compile(&format!("native_{program}"));
    }
}
