//! The tables, as Markdown and as JSON.

use std::fmt::Write;

use serde_json::{Value, json};

use crate::native::COMPILER;
use crate::ratios::{self, ENGINES, Row};
use crate::throws::Throw;
use crate::verifying::{self, Proof};

/// All that was measured.
pub struct Report {
    /// The 14 programs.
    pub rows: Vec<Row>,
    /// Throws.
    pub throws: Vec<Throw>,
    /// Verification.
    pub proofs: Vec<Proof>,
}

fn number(value: Option<f64>, digits: usize) -> String {
    value.map_or_else(|| "-".to_owned(), |v| format!("{v:.digits$}"))
}

impl Report {
    /// As JSON.
    pub fn json(&self) -> Value {
        let means: Vec<Value> = ENGINES
            .iter()
            .zip(ratios::means(&self.rows))
            .map(|(engine, (mean, programs))| json!({"engine": engine.name, "geomean": mean, "programs": programs}))
            .collect();
        json!({
            "native_compiler": COMPILER,
            "programs": self.rows,
            "geomeans": means,
            "throws": self.throws,
            "verification": self.proofs,
        })
    }

    /// As Markdown.
    pub fn markdown(&self) -> String {
        let mut out = String::new();
        if !self.rows.is_empty() {
            self.ratios(&mut out);
        }
        if !self.throws.is_empty() {
            self.throws(&mut out);
        }
        if !self.proofs.is_empty() {
            self.proofs(&mut out);
        }
        out
    }

    fn ratios(&self, out: &mut String) {
        let _ = writeln!(out, "Run time as a multiple of native code ({COMPILER}, -O2):\n");
        let _ = write!(out, "| program | native, ns |");
        for engine in ENGINES.iter().skip(1) {
            let _ = write!(out, " {} |", engine.name);
        }
        let _ = writeln!(out, "\n|---|{}", "---:|".repeat(ENGINES.len()));
        for row in &self.rows {
            let native = row.cells.first().and_then(|c| c.ns);
            let _ = write!(out, "| {} | {} |", row.program, number(native, 1));
            for cell in row.cells.iter().skip(1) {
                let text = match (&cell.missing, cell.ratio) {
                    (Some(why), _) if why.starts_with("wrong") => "wrong".to_owned(),
                    (_, ratio) => number(ratio, 2),
                };
                let _ = write!(out, " {text} |");
            }
            out.push('\n');
        }
        let _ = write!(out, "| **geomean** | |");
        for (mean, programs) in ratios::means(&self.rows).into_iter().skip(1) {
            let all = if programs == self.rows.len() { String::new() } else { format!(" (of {programs})") };
            let _ = write!(out, " **{}**{all} |", number(mean, 2));
        }
        out.push_str("\n\n");
    }

    fn throws(&self, out: &mut String) {
        out.push_str("A throw from an XDP program, the whole call, ns:\n\n");
        out.push_str(
            "| | Backstop JIT | Backstop interp | Linux | Linux / Backstop JIT |\n|---|---:|---:|---:|---:|\n",
        );
        for throw in &self.throws {
            let gain = throw.linux_ns.map(|linux| linux / throw.backstop_ns);
            let (jit, interp) = (number(Some(throw.backstop_ns), 1), number(Some(throw.interp_ns), 1));
            let (linux, gain) = (number(throw.linux_ns, 0), number(gain, 1));
            let _ = writeln!(out, "| {} | {jit} | {interp} | {linux} | {gain} |", throw.case);
        }
        out.push('\n');
    }

    fn proofs(&self, out: &mut String) {
        out.push_str("Verification, us:\n\n");
        out.push_str(
            "| program | slots | insns stepped: Backstop | Linux | us: Backstop | Linux | Linux / Backstop |\n",
        );
        out.push_str("|---|---:|---:|---:|---:|---:|---:|\n");
        for proof in &self.proofs {
            let theirs = proof.linux_insns.map_or_else(|| "-".to_owned(), |n| n.to_string());
            let _ = writeln!(
                out,
                "| {} | {} | {} | {theirs} | {} | {} | {} |",
                proof.program,
                proof.slots,
                proof.backstop_insns,
                number(Some(proof.backstop_us), 0),
                number(proof.linux_us, 0),
                number(proof.gain(), 2)
            );
        }
        let _ = writeln!(out, "| **geomean** | | | | | | **{}** |\n", number(verifying::mean_gain(&self.proofs), 2));
    }
}
