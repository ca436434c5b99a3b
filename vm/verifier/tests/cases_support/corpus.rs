//! The corpus as text: topics (files) of cases, each a header of `key: value` lines and then assembler text.
//!
//! | key | meaning |
//! |---|---|
//! | `== RULE/VARIANT` | begins a case; the rule is what the coverage table counts |
//! | `type: xdp [sleepable] [frags]`, `attach: NUMBER`, `license: TEXT` | the program's kind |
//! | `map: NAME KIND KEY VALUE ENTRIES [flags=N] [extra=N] [inner=NAME] [type=STRUCT] [section=NAME] [frozen=HEX]` | a map |
//! | `inner: ...` | as `map`, only a template for maps of maps |
//! | `section: NAME { TYPE VARIABLE [@TAG]; ... }` | a section of global variables, the value of one map |
//! | `struct: NAME { TYPE FIELD [@TAG]; ... }`, `enum: NAME A=1 ...`, `typedef: NAME TYPE` | types |
//! | `func: LABEL RET NAME(TYPE ARG [@TAG], ...) static or global` | a function's type; others get one of their own |
//! | `btf: on` or `off` | types for the functions where no `func` or callback asks for them |
//! | `tag: TEXT` | declaration tag of the main function |
//! | `kernel: skip REASON` | never put before the kernel |
//! | `options: default` | the refusal holds without `compat_linux` too, where sharper bounds must not lead around it |
//! | `linux: accept` or `reject` | the kernel's verdict where Backstop's must differ; `reason:` says why |
//! | `verdict: accept` or `reject`, `text: LINE` | the verdict and the log's last line, empty where the log says nothing (types or maps that are refused have none) |
//!
//! In the assembler text `.repeat N` ... `.end` repeats lines (`$i` is the number of the round, from 0), `$NAME` is the
//! id of a type of the program, `$kernel.NAME` that of a type of the kernel's, `$kernel.NAME.FIELD` a field's offset, `call NAME` a helper, `call bpf_NAME` a kfunc and `rX = NAME ll` a map.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

/// What is expected of a case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expected {
    Accept,
    Reject { text: String },
}

impl Expected {
    pub fn word(&self) -> &'static str {
        match self {
            Expected::Accept => "accept",
            Expected::Reject { .. } => "reject",
        }
    }
}

/// A line of a case's header.
#[derive(Clone, Debug)]
pub struct HeaderLine {
    pub key: String,
    pub value: String,
}

/// One program.
#[derive(Clone, Debug)]
pub struct Case {
    pub name: String,
    pub header: Vec<HeaderLine>,
    /// The text after the header as it stands in the file.
    pub body: String,
    pub expected: Option<Expected>,
}

impl Case {
    /// The values of a key, in order.
    pub fn all<'c>(&'c self, key: &'c str) -> impl Iterator<Item = &'c str> {
        self.header.iter().filter(move |line| line.key == key).map(|line| line.value.as_str())
    }

    pub fn first(&self, key: &str) -> Option<&str> {
        self.header.iter().find(|line| line.key == key).map(|line| line.value.as_str())
    }

    /// What stands before the `/` of the name.
    pub fn rule(&self) -> &str {
        self.name.split('/').next().unwrap_or(&self.name)
    }

    /// The kernel's verdict as recorded: the case's own unless `linux:` says otherwise.
    pub fn linux_accepts(&self) -> Option<bool> {
        match self.first("linux") {
            Some(word) => Some(word == "accept"),
            None => self.expected.as_ref().map(|expected| *expected == Expected::Accept),
        }
    }

    pub fn kernel_skip(&self) -> Option<&str> {
        self.first("kernel").and_then(|value| value.strip_prefix("skip"))
    }
}

/// A file of cases.
#[derive(Clone, Debug)]
pub struct Topic {
    pub name: String,
    pub path: PathBuf,
    /// Comment lines before the first case.
    pub preface: String,
    pub cases: Vec<Case>,
}

const KEYS: [&str; 20] = [
    "type", "attach", "license", "map", "inner", "struct", "enum", "typedef", "func", "btf", "tag", "kernel", "linux",
    "reason", "verdict", "text", "comment", "options", "fwd", "section",
];

/// All topics, by name.
pub fn read_all(folder: &Path) -> Vec<Topic> {
    let mut paths: Vec<PathBuf> = fs::read_dir(folder)
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        .map(|entry| entry.expect("a folder entry").path())
        .filter(|path| path.extension().is_some_and(|ext| ext == "txt"))
        .collect();
    paths.sort();
    paths.into_iter().map(read_topic).collect()
}

fn read_topic(path: PathBuf) -> Topic {
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let mut parts = text.split("\n== ");
    let first = parts.next().unwrap_or_default();
    let (preface, first_case) = match first.strip_prefix("== ") {
        Some(case) => ("", Some(case)),
        None => (first, None),
    };
    let cases = first_case.into_iter().chain(parts).map(|part| read_case(&name, part)).collect();
    Topic { name, path, preface: preface.to_owned(), cases }
}

/// A case from its name in one line and its text.
pub fn read_case(topic: &str, part: &str) -> Case {
    let (name, mut rest) = part.split_once('\n').unwrap_or((part, ""));
    let mut case = Case { name: name.trim().to_owned(), header: Vec::new(), body: String::new(), expected: None };
    let mut verdict = None;
    let mut reason = None;
    while let Some((line, after)) = rest.split_once('\n') {
        let Some((key, value)) = line.split_once(':') else { break };
        if !KEYS.contains(&key) {
            break;
        }
        rest = after;
        let value = value.trim().to_owned();
        match key {
            "verdict" => verdict = Some(value),
            "text" => reason = Some(value),
            _ => case.header.push(HeaderLine { key: key.to_owned(), value }),
        }
    }
    case.expected = match verdict.as_deref() {
        None => None,
        Some("accept") => Some(Expected::Accept),
        Some("reject") => Some(Expected::Reject { text: reason.unwrap_or_default() }),
        Some(other) => panic!("{topic}: {}: verdict `{other}`", case.name),
    };
    case.body = rest.trim_end().to_owned();
    case
}

/// The topic's text, as [`read_all`] reads it.
pub fn print(topic: &Topic) -> String {
    let mut out = topic.preface.trim_end().to_owned();
    if !out.is_empty() {
        out.push('\n');
    }
    for case in &topic.cases {
        if !out.is_empty() {
            out.push('\n');
        }
        let _ = writeln!(out, "== {}", case.name);
        for line in &case.header {
            let _ = writeln!(out, "{}: {}", line.key, line.value);
        }
        if let Some(expected) = &case.expected {
            let _ = writeln!(out, "verdict: {}", expected.word());
            if let Expected::Reject { text } = expected {
                let _ = writeln!(out, "text: {text}");
            }
        }
        let _ = writeln!(out, "{}", case.body);
    }
    out
}

/// The assembler text with repetitions written out.
pub fn expand(body: &str) -> String {
    let lines: Vec<&str> = body.lines().collect();
    let mut out = String::new();
    expand_lines(&lines, &mut out);
    out
}

fn expand_lines(lines: &[&str], out: &mut String) {
    let mut at = 0;
    while at < lines.len() {
        let line = lines[at];
        at += 1;
        let Some(count) = line.trim().strip_prefix(".repeat ") else {
            out.push_str(line);
            out.push('\n');
            continue;
        };
        let count: usize = count.trim().parse().unwrap_or_else(|_| panic!("`{line}`: not a count"));
        let end = lines[at..].iter().position(|line| line.trim() == ".end").unwrap_or_else(|| panic!("no .end")) + at;
        let inside = lines[at..end].join("\n");
        for round in 0..count {
            out.push_str(&inside.replace("$i", &round.to_string()));
            out.push('\n');
        }
        at = end + 1;
    }
}

/// A log line with numbers and register names replaced, so that lines are equal when they say the same.
pub fn mask(line: &str) -> String {
    let chars: Vec<char> = line.trim().chars().collect();
    let mut out = String::new();
    let mut at = 0;
    while at < chars.len() {
        let c = chars[at];
        let before_word = at > 0 && (chars[at - 1].is_ascii_alphanumeric() || chars[at - 1] == '_');
        let digit_next = chars.get(at + 1).is_some_and(char::is_ascii_digit);
        if matches!(c, 'R' | 'r' | 'w') && digit_next && !before_word {
            at += 1;
            while chars.get(at).is_some_and(char::is_ascii_digit) {
                at += 1;
            }
            out.push('R');
        } else if (c.is_ascii_digit() || c == '-' && digit_next) && (!before_word || c == '-') {
            at += usize::from(c == '-');
            let hex = chars[at] == '0' && chars.get(at + 1) == Some(&'x');
            at += if hex { 2 } else { 0 };
            while chars.get(at).is_some_and(|c| c.is_ascii_digit() || hex && c.is_ascii_hexdigit()) {
                at += 1;
            }
            out.push('N');
        } else {
            out.push(c);
            at += 1;
        }
    }
    out
}
