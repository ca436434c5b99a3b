//! What is expected of each program of tests/objects.
#![allow(dead_code, reason = "each test crate uses a part")]

use std::collections::BTreeMap;

/// One program's expectation.
#[derive(Debug, Clone)]
pub struct Expected {
    pub name: String,
    pub accepted: bool,
    /// Texts in the log of a refusal.
    pub errors: Vec<String>,
    pub runs: Vec<Run>,
}

/// One run's.
#[derive(Debug, Clone)]
pub struct Run {
    /// None: 64 zero bytes.
    pub input: Option<Vec<u8>>,
    pub retval: u64,
    pub cookie: Option<u64>,
}

/// All expectations, by object.
pub fn all() -> BTreeMap<String, Vec<Expected>> {
    let path = super::support::root().join("tests/objects/expect.toml");
    let text = std::fs::read_to_string(&path).expect("expect.toml");
    let table: toml::Table = text.parse().expect("expect.toml is TOML");
    let mut all: BTreeMap<String, Vec<Expected>> = BTreeMap::new();
    for program in table.get("program").and_then(|p| p.as_array()).expect("programs") {
        let text = |key: &str| program.get(key).and_then(|v| v.as_str()).map(str::to_owned);
        let errors = program.get("error").and_then(|e| e.as_array()).cloned().unwrap_or_default();
        let runs = program.get("run").and_then(|r| r.as_array()).cloned().unwrap_or_default();
        all.entry(text("object").expect("object")).or_default().push(Expected {
            name: text("name").expect("name"),
            accepted: text("verdict").as_deref() == Some("accept"),
            errors: errors.iter().filter_map(|e| e.as_str()).map(str::to_owned).collect(),
            runs: runs.iter().map(run).collect(),
        });
    }
    all
}

fn run(run: &toml::Value) -> Run {
    let text = |key: &str| run.get(key).and_then(|v| v.as_str());
    let cookie = text("thrown").map(|c| u64::from_str_radix(c.trim_start_matches("0x"), 16).expect("a cookie"));
    Run {
        input: text("input").map(bytes),
        retval: run.get("retval").and_then(|v| v.as_integer()).and_then(|v| u64::try_from(v).ok()).expect("retval"),
        cookie,
    }
}

fn bytes(hex: &str) -> Vec<u8> {
    let digits = hex.as_bytes().chunks_exact(2);
    digits.map(|d| u8::from_str_radix(std::str::from_utf8(d).expect("ASCII"), 16).expect("hexadecimal")).collect()
}
