//! tests/objects/expect.toml: what each committed program is expected to do.

use serde::Deserialize;

#[derive(Deserialize)]
struct File {
    program: Vec<Case>,
}

/// One program.
#[derive(Clone, Deserialize)]
pub struct Case {
    pub object: String,
    pub name: String,
    verdict: Verdict,
    /// What Linux says, where it is something else.
    linux: Option<Verdict>,
    /// Texts of the kernel's log; all must be in the refusal's.
    #[serde(default)]
    pub error: Vec<String>,
    #[serde(default, rename = "run")]
    pub runs: Vec<Run>,
}

#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Verdict {
    Accept,
    Reject,
}

/// One run over fresh maps.
#[derive(Clone, Deserialize)]
pub struct Run {
    input: Option<String>,
    /// The result's lower 32 bits.
    pub retval: u32,
    thrown: Option<String>,
}

impl Case {
    pub fn accepted(&self) -> bool {
        self.verdict == Verdict::Accept
    }

    /// Whether Linux says the same.
    pub fn linux_agrees(&self) -> bool {
        self.linux.is_none_or(|linux| linux == self.verdict)
    }
}

impl Run {
    pub fn input(&self) -> Vec<u8> {
        let Some(hex) = &self.input else { return vec![0; 64] };
        (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).expect("hex digits")).collect()
    }

    pub fn thrown(&self) -> Option<u64> {
        let digits = self.thrown.as_ref()?.trim_start_matches("0x");
        Some(u64::from_str_radix(digits, 16).expect("a number"))
    }
}

/// All of them.
pub fn cases() -> Vec<Case> {
    let text = std::fs::read_to_string(super::object_path("expect.toml")).expect("expect.toml");
    toml::from_str::<File>(&text).unwrap_or_else(|e| panic!("expect.toml: {e}")).program
}
