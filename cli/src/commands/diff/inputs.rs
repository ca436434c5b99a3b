//! `diff` over objects and saved cases.

use std::path::Path;

use backstop::model::Program;
use backstop_differ::{Case, Columns, Compare, Rules, Tried, input_len};
use serde::Serialize;

use super::DiffArgs;
use crate::failure::{Failure, Outcome, Result};
use crate::files;
use crate::output::{Out, note};
use crate::session::need_program;

/// Instructions that a proof of a case may take.
const CASE_INSNS: u64 = 1_000_000;
/// First bytes of an ELF file.
const ELF: [u8; 4] = *b"\x7fELF";

/// What came of one program.
#[derive(Serialize)]
struct Line {
    input: String,
    program: String,
    /// `same`, `differs`, `refused`, `passed over`.
    outcome: &'static str,
    detail: Option<String>,
    /// Whether the kernel was asked, or why it was not.
    linux: String,
}

/// Every input is reported before a failure is.
pub fn diff(args: &DiffArgs) -> Result {
    let mut out = Out::new();
    let linux = Kernel::open(args)?;
    let mut outcome = Outcome::Done;
    for path in &args.inputs {
        let tried = one(args, path, &linux, &mut |line: Line| report(&mut out, args.json, &line));
        match tried {
            Ok(one) => outcome = outcome.and(one),
            Err(Failure::Input(text)) => {
                note(format_args!("error: {text}"));
                outcome = Outcome::Refused;
            }
            Err(other) => return Err(other),
        }
    }
    Ok(outcome)
}

fn report(out: &mut Out, json: bool, line: &Line) -> Result {
    if json {
        out.json(line)?;
    } else {
        out.line(format_args!("{} {}: {} (linux: {})", line.input, line.program, line.outcome, line.linux))?;
        for text in line.detail.iter().flat_map(|detail| detail.lines()) {
            out.line(format_args!("    {text}"))?;
        }
    }
    Ok(Outcome::of(line.outcome != "differs"))
}

type Tell<'t> = dyn FnMut(Line) -> Result + 't;

fn one(args: &DiffArgs, path: &Path, linux: &Kernel, tell: &mut Tell<'_>) -> Result {
    files::check_regular(path)?;
    let bytes = files::input(path)?;
    if bytes.starts_with(&ELF) {
        return object(args, path, &bytes, linux, tell);
    }
    let wrong = |what: &dyn std::fmt::Display| Failure::Input(format!("{}: {what}", path.display()));
    let text = String::from_utf8(bytes).map_err(|_| wrong(&"it is neither an object nor a case"))?;
    let case: Case = text.parse().map_err(|error| wrong(&error))?;
    let mut columns = Columns::new(case.rules);
    let (tried, asked) = linux.case(&mut columns, &case);
    tell(line(path, &case.program.name, &tried, asked))
}

fn line(path: &Path, program: &str, tried: &Tried, linux: String) -> Line {
    let (outcome, detail) = match tried {
        Tried::Same(_) => ("same", None),
        Tried::Differs(difference) => ("differs", Some(difference.to_string())),
        Tried::Refused(why) => ("refused", Some(why.clone())),
        Tried::PassedOver => ("passed over", None),
    };
    Line { input: path.display().to_string(), program: program.to_owned(), outcome, detail, linux }
}

fn object(args: &DiffArgs, path: &Path, bytes: &[u8], linux: &Kernel, tell: &mut Tell<'_>) -> Result {
    let mut columns = Columns::new(Rules { unprivileged: false, compat_linux: linux.is_asked() });
    let opened = columns.open(bytes, &path.to_string_lossy()).map_err(Failure::input)?;
    let Some(first) = opened.first() else { return Ok(Outcome::Done) };
    if let Some(name) = &args.program {
        need_program(first, path, name)?;
    }
    let names = first.programs().into_iter().map(|program| program.name);
    let wanted = names.filter(|name| args.program.as_ref().is_none_or(|wanted| wanted == name));
    let mut outcome = Outcome::Done;
    for name in wanted.collect::<Vec<String>>() {
        let inputs = |program: &Program| {
            let len = input_len(program);
            vec![vec![0; len], (0..len).map(|n| (n * 37 + 11) as u8).collect()]
        };
        let (tried, asked) = linux.object(&mut columns, &opened, &name, &inputs);
        outcome = outcome.and(tell(line(path, &name, &tried, asked))?);
    }
    Ok(outcome)
}

/// Programs to their inputs.
type Inputs<'i> = dyn Fn(&Program) -> Vec<Vec<u8>> + 'i;

/// The running kernel, or why it is not asked.
struct Kernel {
    #[cfg(target_os = "linux")]
    linux: Option<backstop_differ::linux::Linux>,
    why_not: String,
}

#[cfg(target_os = "linux")]
impl Kernel {
    fn open(args: &DiffArgs) -> Result<Kernel> {
        use backstop_differ::linux::Linux;
        if args.linux == Some(0) {
            return Ok(Kernel { linux: None, why_not: "not asked".to_owned() });
        }
        match (Linux::open(), args.linux) {
            (Ok(linux), _) => Ok(Kernel { linux: Some(linux), why_not: String::new() }),
            (Err(reason), None) => Ok(Kernel { linux: None, why_not: reason.to_string() }),
            (Err(reason), Some(_)) => {
                Err(Failure::input(format_args!("Linux can't be asked: {reason}; leave it out with --linux 0")))
            }
        }
    }

    fn is_asked(&self) -> bool {
        self.linux.is_some()
    }

    fn case(&self, columns: &mut Columns, case: &Case) -> (Tried, String) {
        match &self.linux {
            Some(linux) if case.rules.compat_linux => {
                let tried = linux.attempt(columns, &case.program, &case.inputs, CASE_INSNS);
                (tried.tried, tried.linux)
            }
            _ => {
                let why = if self.linux.is_some() { "the case is not judged as Linux does" } else { &self.why_not };
                (columns.attempt(&case.program, &case.inputs, Compare::All, CASE_INSNS), why.to_owned())
            }
        }
    }

    fn object(
        &self,
        columns: &mut Columns,
        opened: &[backstop::Object],
        name: &str,
        inputs: &Inputs<'_>,
    ) -> (Tried, String) {
        match &self.linux {
            Some(linux) => {
                let tried = linux.attempt_object(columns, opened, name, inputs);
                (tried.tried, tried.linux)
            }
            None => (columns.attempt_object(opened, name, inputs, Compare::Cautious), self.why_not.clone()),
        }
    }
}

#[cfg(not(target_os = "linux"))]
impl Kernel {
    fn open(args: &DiffArgs) -> Result<Kernel> {
        match args.linux {
            None | Some(0) => Ok(Kernel { why_not: "this is no Linux".to_owned() }),
            Some(_) => Err(Failure::input("Linux can't be asked: this is no Linux; leave it out with --linux 0")),
        }
    }

    fn is_asked(&self) -> bool {
        false
    }

    fn case(&self, columns: &mut Columns, case: &Case) -> (Tried, String) {
        (columns.attempt(&case.program, &case.inputs, Compare::All, CASE_INSNS), self.why_not.clone())
    }

    fn object(
        &self,
        columns: &mut Columns,
        opened: &[backstop::Object],
        name: &str,
        inputs: &Inputs<'_>,
    ) -> (Tried, String) {
        (columns.attempt_object(opened, name, inputs, Compare::Cautious), self.why_not.clone())
    }
}
