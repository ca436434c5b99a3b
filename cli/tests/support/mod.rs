//! Runs the built command and reads what it says.
#![allow(dead_code, reason = "each test crate uses a part")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;

/// The repository's root.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// An object of the tests.
pub fn object(name: &str) -> String {
    root().join("tests/objects").join(name).display().to_string()
}

/// The example's object.
pub fn firewall() -> String {
    root().join("examples/firewall/firewall.bpf.o").display().to_string()
}

/// The example's capture.
pub fn traffic() -> String {
    root().join("examples/firewall/traffic.pcap").display().to_string()
}

/// What a command said and how it ended.
pub struct Said {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

impl Said {
    fn of(output: Output) -> Said {
        Said {
            code: output.status.code(),
            out: String::from_utf8(output.stdout).expect("standard output is UTF-8"),
            err: String::from_utf8(output.stderr).expect("standard error is UTF-8"),
        }
    }

    /// Fails the test unless the command ended with this code.
    pub fn ends(self, code: i32) -> Said {
        assert_eq!(self.code, Some(code), "standard output:\n{}\nstandard error:\n{}", self.out, self.err);
        self
    }

    /// Fails the test unless standard error holds this text.
    pub fn complains(self, text: &str) -> Said {
        assert!(self.err.contains(text), "no `{text}` in:\n{}", self.err);
        self
    }

    /// Standard output as lines of JSON.
    pub fn lines(&self) -> Vec<Value> {
        self.out.lines().map(|l| serde_json::from_str(l).unwrap_or_else(|e| panic!("{e}: {l}"))).collect()
    }
}

/// Runs the command.
pub fn backstop(args: &[&str]) -> Said {
    let output = Command::new(env!("CARGO_BIN_EXE_backstop")).args(args).stdin(Stdio::null()).output();
    Said::of(output.expect("the command starts"))
}

/// Runs the command by another one.
pub fn backstop_by(by: &[&str], args: &[&str]) -> Said {
    let (program, first) = by.split_first().expect("a command");
    let mut command = Command::new(program);
    command.args(first).arg(env!("CARGO_BIN_EXE_backstop")).args(args).stdin(Stdio::null());
    Said::of(command.output().expect("the command starts"))
}

/// The keys of a JSON object, in their order.
pub fn keys(line: &Value) -> Vec<&str> {
    line.as_object().expect("an object").keys().map(String::as_str).collect()
}

/// Whether this build has a JIT that this machine can run.
pub fn has_jit() -> bool {
    cfg!(all(feature = "jit", target_arch = "x86_64", target_os = "linux"))
}

/// All engines that this build has, as `--engine` says them.
pub fn all_engines() -> &'static str {
    if has_jit() { "both" } else { "interp" }
}
