//! `diff` over objects and saved cases.

use std::path::Path;

use backstop::model::Program;
use backstop_differ::{Case, Columns, Rules, Tried, input_len};
use serde::Serialize;

use super::DiffArgs;
use super::kernel::{Answer, Kernel};
use crate::failure::{Failure, Outcome, Result};
use crate::files;
use crate::output::{Out, note};
use crate::session::need_program;

/// Exit code of a child whose parent went away: nobody hears it.
#[cfg(unix)]
const INTERRUPTED: i32 = 130;
/// First bytes of an ELF file.
const ELF: [u8; 4] = *b"\x7fELF";

/// What came of one program, or of an input that holds none. Its fields are kept stable.
#[derive(Serialize)]
struct Line {
    input: String,
    program: Option<String>,
    /// `same`, `differs`, `differs, meant`, `refused`, `unsupported`, `passed over`, `error`.
    outcome: &'static str,
    /// How it differs, why it was refused, why a difference is meant, what the error is.
    detail: Option<String>,
    /// Whether the kernel was asked, or why it was not.
    linux: Option<String>,
    /// With `--libbpf`, for objects: `same`, `differs`, or why it was left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    libbpf: Option<String>,
}

impl Line {
    fn error(path: &Path, program: Option<&str>, text: &str) -> Line {
        Line {
            input: path.display().to_string(),
            program: program.map(str::to_owned),
            outcome: "error",
            detail: Some(text.to_owned()),
            linux: None,
            libbpf: None,
        }
    }

    fn of(path: &Path, program: &str, answer: Answer) -> Line {
        let Answer { tried, linux, known, libbpf } = answer;
        let (mut outcome, mut detail) = match (tried, known) {
            (Tried::Differs(difference), _) => ("differs", Some(difference.to_string())),
            (_, Some(reason)) => ("differs, meant", Some(reason.to_owned())),
            (Tried::Same(_), None) => ("same", None),
            (Tried::Refused(why), None) => ("refused", Some(why)),
            (Tried::Unsupported(why), None) => ("unsupported", Some(why)),
            (Tried::PassedOver, None) => ("passed over", None),
        };
        let (input, program) = (path.display().to_string(), Some(program.to_owned()));
        if let Some(difference) = libbpf.as_ref().and_then(|libbpf| libbpf.difference.as_ref()) {
            outcome = "differs";
            let before = detail.map(|detail| format!("{}\n", detail.trim_end())).unwrap_or_default();
            detail = Some(format!("{before}{difference}"));
        }
        Line { input, program, outcome, detail, linux: Some(linux), libbpf: libbpf.map(|libbpf| libbpf.said) }
    }
}

/// Where a program stands among the inputs: the input, and the program in it.
fn place(input: usize, program: usize) -> u64 {
    (input as u64) << 32 | program as u64
}

/// Tells that the program at a place killed the process that compared it.
#[cfg(unix)]
pub fn killed(args: &DiffArgs, out: &mut Out, place: u64, how: &str) -> Result {
    let input = usize::try_from(place >> 32).unwrap_or(usize::MAX);
    let path = args.inputs.get(input).map_or(Path::new(""), std::path::PathBuf::as_path);
    let at = (place & u64::from(u32::MAX)) as usize;
    let program = programs(path).into_iter().nth(at);
    let line = Line { outcome: "differs", linux: None, ..Line::error(path, program.as_deref(), how) };
    report(out, args.json, &line)
}

/// Names of the programs of an input, as far as it is an object.
#[cfg(unix)]
fn programs(path: &Path) -> Vec<String> {
    let engine = backstop::Engine::new(backstop::Config::new());
    let object = engine.ok().and_then(|engine| engine.open_file(path).ok());
    object.map(|object| object.programs().into_iter().map(|program| program.name).collect()).unwrap_or_default()
}

/// Which programs are tried, and who is told before each.
struct Walk {
    behind: Option<u64>,
    #[cfg(unix)]
    notes: Option<super::isolated::Notes>,
}

impl Walk {
    fn new(args: &DiffArgs) -> Result<Walk> {
        #[cfg(unix)]
        let notes = {
            // Each program is told at once, so that the process may end anywhere.
            let end = || std::process::exit(INTERRUPTED);
            let notes = args.journal.as_ref().map(|path| super::isolated::Notes::open(path, end));
            notes.transpose()?
        };
        Ok(Walk {
            behind: args.behind,
            #[cfg(unix)]
            notes,
        })
    }

    /// Whether a program is to be tried, which is noted.
    fn comes_to(&self, place: u64) -> bool {
        let wanted = self.behind.is_none_or(|behind| place > behind);
        #[cfg(unix)]
        if let Some(notes) = self.notes.as_ref().filter(|_| wanted) {
            notes.tries(0, place);
        }
        wanted
    }

    /// Whether an input was dealt with by an earlier child, but for programs that may be left of it.
    fn is_behind(&self, input: usize) -> bool {
        self.behind.is_some_and(|behind| (input as u64) < behind >> 32)
    }
}

/// Every input is reported before a failure is.
pub fn diff(args: &DiffArgs, out: &mut Out) -> Result {
    let mut outcome = Outcome::Done;
    let (linux, missing) = Kernel::open(args);
    if let Some(why) = missing.filter(|_| args.behind.is_none()) {
        note(format_args!("error: {why}; leave it out with --linux 0"));
        outcome = Outcome::Refused;
    }
    let walk = Walk::new(args)?;
    for (n, path) in args.inputs.iter().enumerate().filter(|(n, _)| !walk.is_behind(*n)) {
        let comes_to = |program: usize| walk.comes_to(place(n, program));
        match one(args, path, &comes_to, &linux, &mut |line: Line| report(out, args.json, &line)) {
            Ok(one) => outcome = outcome.and(one),
            Err(Failure::Input(text)) => {
                if args.json {
                    out.json(&Line::error(path, args.program.as_deref(), &text))?;
                }
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
        let Line { input, program, outcome, detail, linux, libbpf } = line;
        let (program, linux) = (program.as_deref().unwrap_or_default(), linux.as_deref().unwrap_or_default());
        let libbpf = libbpf.as_ref().map(|said| format!("; libbpf: {said}")).unwrap_or_default();
        out.line(format_args!("{input} {program}: {outcome} (linux: {linux}{libbpf})"))?;
        for text in detail.iter().flat_map(|detail| detail.lines()) {
            out.line(format_args!("    {text}"))?;
        }
    }
    Ok(Outcome::of(line.outcome != "differs"))
}

type Tell<'t> = dyn FnMut(Line) -> Result + 't;

fn one(args: &DiffArgs, path: &Path, comes_to: &dyn Fn(usize) -> bool, linux: &Kernel, tell: &mut Tell<'_>) -> Result {
    files::check_regular(path)?;
    let bytes = files::input(path)?;
    if bytes.starts_with(&ELF) {
        return object(args, path, &bytes, comes_to, linux, tell);
    }
    let wrong = |what: &dyn std::fmt::Display| Failure::Input(format!("{}: {what}", path.display()));
    let text = String::from_utf8(bytes).map_err(|_| wrong(&"it is neither an object nor a case"))?;
    let case: Case = text.parse().map_err(|error| wrong(&error))?;
    if !comes_to(0) {
        return Ok(Outcome::Done);
    }
    let answer = linux.case(&mut Columns::new(case.rules), &case);
    tell(Line::of(path, &case.program.name, answer))
}

fn object(
    args: &DiffArgs,
    path: &Path,
    bytes: &[u8],
    comes_to: &dyn Fn(usize) -> bool,
    linux: &Kernel,
    tell: &mut Tell<'_>,
) -> Result {
    let mut columns = Columns::new(Rules { unprivileged: false, compat_linux: linux.is_asked() });
    let opened = columns.open(bytes, &path.to_string_lossy()).map_err(Failure::input)?;
    let Some(first) = opened.first() else { return Ok(Outcome::Done) };
    if let Some(name) = &args.program {
        need_program(first, path, name)?;
    }
    let names = first.programs().into_iter().map(|program| program.name).enumerate();
    let wanted = names.filter(|(_, name)| args.program.as_ref().is_none_or(|wanted| wanted == name));
    let stem = path.file_name().unwrap_or_default().to_string_lossy();
    let stem = stem.split('.').next().unwrap_or_default().to_owned();
    let mut outcome = Outcome::Done;
    for (_, name) in wanted.filter(|(n, _)| comes_to(*n)) {
        let inputs = |program: &Program| {
            let len = input_len(program);
            vec![vec![0; len], (0..len).map(|n| (n * 37 + 11) as u8).collect()]
        };
        let mut answer = linux.object(&mut columns, &opened, &name, &inputs);
        if args.libbpf {
            answer.libbpf = Some(linux.libbpf(&opened, bytes, &stem, &name));
        }
        outcome = outcome.and(tell(Line::of(path, &name, answer))?);
    }
    Ok(outcome)
}
