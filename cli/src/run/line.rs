//! What is reported of one program on one engine.

use backstop::Frame;
use serde::Serialize;

use super::input::Material;
use crate::args::RunArgs;
use crate::failure::{Outcome, Result};
use crate::output::{Out, hex};

/// A line of the machine interface. Its fields are kept stable.
#[derive(Serialize, Clone, PartialEq, Debug)]
pub struct Line {
    pub object: String,
    pub program: Option<String>,
    pub engine: &'static str,
    /// `accept` or `reject`: whether the program may run, not how the run went.
    pub verdict: &'static str,
    pub error: Option<String>,
    /// The program's result; of a throw, the exception callback's.
    pub retval: Option<u64>,
    pub thrown: Option<Thrown>,
    /// The packet, memory or context after the run, in hexadecimal.
    pub data_out: Option<String>,
    pub ns_per_run: Option<f64>,
    /// The error as people read it, if there is more to show.
    #[serde(skip)]
    pub shown: Option<String>,
    /// The error is a defect of backstop.
    #[serde(skip)]
    pub defect: bool,
}

/// A throw that the outermost boundary caught.
#[derive(Serialize, Clone, PartialEq, Debug)]
pub struct Thrown {
    pub cookie: u64,
    /// The frames that were live at the throw, innermost first.
    pub backtrace: Vec<Walked>,
}

/// A frame of a throw.
#[derive(Serialize, Clone, PartialEq, Debug)]
pub struct Walked {
    pub program: String,
    pub function: String,
    /// The instruction that threw or called, counted in slots from the program's first.
    pub insn: Option<u32>,
    pub file: Option<String>,
    pub line: Option<u32>,
    pub source: Option<String>,
}

impl From<Frame> for Walked {
    fn from(frame: Frame) -> Walked {
        Walked {
            program: frame.program,
            function: frame.function,
            insn: frame.slot,
            file: frame.file,
            line: frame.line,
            source: frame.text.map(|t| t.trim().to_owned()),
        }
    }
}

impl Line {
    /// A program that was not run.
    pub fn failed(args: &RunArgs, program: &str, engine: &'static str, verdict: &'static str, error: String) -> Line {
        Line {
            object: args.object.display().to_string(),
            program: Some(program.to_owned()),
            engine,
            verdict,
            error: Some(error),
            retval: None,
            thrown: None,
            data_out: None,
            ns_per_run: None,
            shown: None,
            defect: false,
        }
    }

    /// A run that did not come to its program, or to no known one.
    pub fn unopened(args: &RunArgs, program: Option<&str>, engine: &'static str, error: &str) -> Line {
        let program = program.map(str::to_owned);
        Line { program, ..Line::failed(args, "", engine, "reject", error.trim_end().to_owned()) }
    }

    /// How the command ends because of this line.
    pub fn outcome(&self) -> Outcome {
        if self.defect { Outcome::Defect } else { Outcome::of(self.error.is_none()) }
    }

    /// For people.
    pub fn print(&self, out: &mut Out, material: &Material) -> Result<()> {
        let name = self.program.as_deref().unwrap_or("?");
        if let Some(error) = &self.error {
            let what = if self.verdict == "reject" { "refused" } else { "failed" };
            let text = self.shown.clone().unwrap_or_else(|| indented(error));
            return out.line(format_args!("{name} on {}: {what}\n{}", self.engine, text.trim_end()));
        }
        let value = self.retval.unwrap_or_default();
        let time = self.ns_per_run.map_or_else(String::new, |ns| format!(", {ns:.1} ns"));
        match &self.thrown {
            None => out.line(format_args!("{name} on {}: returned {value} ({value:#x}){time}", self.engine))?,
            Some(thrown) => {
                let cookie = thrown.cookie;
                out.line(format_args!(
                    "{name} on {}: threw {cookie} ({cookie:#x}), caught with {value} ({value:#x}){time}",
                    self.engine
                ))?;
                thrown.backtrace.iter().try_for_each(|frame| out.line(format_args!("    {}", frame.text())))?;
            }
        }
        let changed = self.data_out.as_ref().filter(|data| **data != hex(material.bytes()));
        changed.map_or(Ok(()), |data| out.line(format_args!("    data {data}")))
    }
}

impl Walked {
    fn text(&self) -> String {
        let insn = self.insn.map_or_else(String::new, |n| format!(" [{n}]"));
        let place = match (&self.file, self.line) {
            (Some(file), Some(line)) => format!(" at {file}:{line}"),
            _ => String::new(),
        };
        let source = self.source.as_ref().map_or_else(String::new, |s| format!(": {s}"));
        format!("{}{insn}{place}{source}", self.function)
    }
}

fn indented(text: &str) -> String {
    text.lines().map(|l| format!("    {l}")).collect::<Vec<_>>().join("\n")
}

/// What two engines made differently of a program, in words.
pub fn difference(first: &Line, second: &Line) -> Option<String> {
    let name = first.program.as_deref().unwrap_or("?");
    let told = |what: &str, a: String, b: String| {
        Some(format!(
            "program `{name}`: the engines differ in {what}: {a} on {}, {b} on {}",
            first.engine, second.engine
        ))
    };
    if (first.verdict, first.error.is_some()) != (second.verdict, second.error.is_some()) {
        let end = |l: &Line| l.error.clone().unwrap_or_else(|| "no error".to_owned());
        return told("how they end", end(first), end(second));
    }
    if first.retval != second.retval {
        return told("the result", number(first.retval), number(second.retval));
    }
    let cookie = |l: &Line| l.thrown.as_ref().map(|t| t.cookie);
    if cookie(first) != cookie(second) {
        return told("the throw", number(cookie(first)), number(cookie(second)));
    }
    if first.thrown != second.thrown {
        let frames =
            |l: &Line| l.thrown.iter().flat_map(|t| &t.backtrace).map(Walked::text).collect::<Vec<_>>().join(" < ");
        return told("the backtrace", frames(first), frames(second));
    }
    if first.data_out != second.data_out {
        let data = |l: &Line| l.data_out.clone().unwrap_or_default();
        return told("the data", data(first), data(second));
    }
    None
}

fn number(n: Option<u64>) -> String {
    n.map_or_else(|| "none".to_owned(), |n| format!("{n} ({n:#x})"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(engine: &'static str, retval: u64) -> Line {
        Line {
            object: "a.o".to_owned(),
            program: Some("p".to_owned()),
            engine,
            verdict: "accept",
            error: None,
            retval: Some(retval),
            thrown: None,
            data_out: Some("00".to_owned()),
            ns_per_run: Some(1.0),
            shown: None,
            defect: false,
        }
    }

    #[test]
    fn time_is_no_difference_but_the_result_is() {
        let first = line("interp", 1);
        assert_eq!(difference(&first, &Line { ns_per_run: Some(9.0), ..line("jit", 1) }), None);
        let text = difference(&first, &line("jit", 2)).expect("another result");
        assert_eq!(text, "program `p`: the engines differ in the result: 1 (0x1) on interp, 2 (0x2) on jit");
    }

    #[test]
    fn a_throw_on_one_engine_only_is_a_difference() {
        let thrown = Some(Thrown { cookie: 7, backtrace: Vec::new() });
        let text = difference(&line("interp", 7), &Line { thrown, ..line("jit", 7) }).expect("a throw");
        assert!(text.contains("the throw: none on interp, 7 (0x7) on jit"), "{text}");
    }
}
