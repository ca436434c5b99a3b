//! Standard output. Every line is flushed when it is ready, and a reader that went away ends the program quietly.

use std::fmt::{self, Write as _};
use std::io::{self, Write};
use std::path::PathBuf;

use serde::Serialize;

use crate::failure::{Failure, Result};

/// Standard output, by whole lines.
pub struct Out {
    to: io::StdoutLock<'static>,
    line: String,
    lines: u64,
}

impl Out {
    /// Takes standard output.
    pub fn new() -> Out {
        Out { to: io::stdout().lock(), line: String::new(), lines: 0 }
    }

    /// Prints one line and flushes it.
    pub fn line(&mut self, text: impl fmt::Display) -> Result<()> {
        self.line.clear();
        // Formatting into a string fails only if a `Display` does, and then there is nothing to print.
        let _ = writeln!(self.line, "{text}");
        self.send()
    }

    /// Prints one value as a line of JSON and flushes it.
    pub fn json(&mut self, value: &impl Serialize) -> Result<()> {
        self.line = serde_json::to_string(value).map_err(Failure::input)?;
        self.line.push('\n');
        self.send()
    }

    /// Whether nothing was printed yet.
    pub fn is_empty(&self) -> bool {
        self.lines == 0
    }

    fn send(&mut self) -> Result<()> {
        self.lines = self.lines.saturating_add(1);
        let sent = self.to.write_all(self.line.as_bytes()).and_then(|()| self.to.flush());
        sent.map_err(|source| match source.kind() {
            io::ErrorKind::BrokenPipe => Failure::ReaderGone,
            _ => Failure::Write { path: PathBuf::from("standard output"), source },
        })
    }
}

/// Prints to standard error; where that is gone there is nobody to tell.
pub fn note(text: impl fmt::Display) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// Bytes as lower-case hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().saturating_mul(2));
    for byte in bytes {
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// `1 program`, `2 programs`.
pub fn counted(n: u64, what: &str) -> String {
    format!("{n} {what}{}", if n == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hexadecimal() {
        assert_eq!(hex(&[0, 0x1f, 0xff]), "001fff");
        assert_eq!(hex(&[]), "");
    }

    #[test]
    fn plurals() {
        assert_eq!(counted(1, "packet"), "1 packet");
        assert_eq!(counted(0, "packet"), "0 packets");
    }
}
