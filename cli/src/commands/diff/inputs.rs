//! `diff` over objects and saved cases.

use std::path::Path;

use backstop::model::Program;
use backstop_differ::{Columns, Ran, Rules, Tried, input_len};
use serde::Serialize;

use super::DiffArgs;
use super::kernel::{Answer, Kernel};
use super::walk::{Held, Place, Walk, read, wanted};
use crate::failure::{Failure, Outcome, Result};
use crate::output::{Out, note};

/// Exit code of a child whose parent went away: nobody hears it.
const INTERRUPTED: i32 = 130;

/// What came of one program, or of an input that holds none. Its fields are kept stable.
#[derive(Serialize)]
pub struct Line {
    input: String,
    program: Option<String>,
    /// `same`, `differs`, `differs, meant`, `refused`, `unsupported`, `passed over`, `error`.
    outcome: &'static str,
    /// How it differs, why it was refused, why a difference is meant, what the error is.
    detail: Option<String>,
    /// The engines that were compared; none if nothing was.
    engines: Vec<&'static str>,
    /// Whether the kernel was asked, or why it was not.
    linux: Option<String>,
    /// With `--libbpf`, for objects: `same`, `differs`, or why it was left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    libbpf: Option<String>,
}

impl Line {
    /// An input that can't be used, or a program of one.
    pub fn error(path: &Path, program: Option<&str>, text: &str) -> Line {
        Line {
            input: path.display().to_string(),
            program: program.map(str::to_owned),
            outcome: "error",
            detail: Some(text.to_owned()),
            engines: Vec::new(),
            linux: None,
            libbpf: None,
        }
    }

    /// What came of a program.
    pub fn of(path: &Path, program: &str, answer: Answer) -> Line {
        let Answer { tried, linux, known, libbpf } = answer;
        let (mut outcome, mut detail) = match (tried, known) {
            (Tried::Differs(difference), _) => ("differs", Some(difference.to_string())),
            (_, Some(reason)) => ("differs, meant", Some(reason.to_owned())),
            (Tried::Same(ran), None) => match unheard(&ran) {
                Some(why) => ("error", Some(why)),
                None => ("same", None),
            },
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
        let engines = Vec::new();
        Line { input, program, outcome, detail, engines, linux: Some(linux), libbpf: libbpf.map(|libbpf| libbpf.said) }
    }
}

/// Why engines that made the same of a program said nothing by it, if so: no run of it took place, or one of them did not.
fn unheard(ran: &Ran) -> Option<String> {
    if ran.observed.runs.is_empty() {
        return Some("nothing ran: the case has no line `input:`; add one for each run".to_owned());
    }
    let (number, why) = ran.observed.failed()?;
    let run = number + 1;
    Some(format!("run {run} did not take place on any engine: {why}; of a case, mend its `input:` line {run}"))
}

/// Tells that the program at a place killed the process that compared it.
#[cfg(unix)]
pub fn killed(args: &DiffArgs, out: &mut Out, place: Place, how: &str) -> Result {
    let path = place.path(args);
    let engine = backstop::Engine::new(backstop::Config::new());
    let object = engine.ok().and_then(|engine| engine.open_file(path).ok());
    let program = object.and_then(|object| super::walk::names(&object).into_iter().nth(place.program));
    let engines = Columns::new(Rules::default()).names();
    let line = Line { outcome: "differs", engines, ..Line::error(path, program.as_deref(), how) };
    report(out, args.json, &line)
}

/// Compares each program of each input.
pub fn diff(args: &DiffArgs, out: &mut Out) -> Result {
    let mut outcome = Outcome::Done;
    let (linux, missing) = Kernel::open(args);
    if let Some(why) = missing.filter(|_| args.behind.is_none()) {
        note(format_args!("error: {why}; leave it out with --linux 0"));
        outcome = Outcome::Refused;
    }
    // Each program is told at once, so that the process may end anywhere.
    let walk = Walk::new(args, || std::process::exit(INTERRUPTED))?;
    let all = walk.each(args, out, &mut |input: usize, path: &Path, out: &mut Out| {
        let comes_to = |program: usize| {
            let place = Place { input, program };
            let wanted = walk.wants(place);
            if wanted {
                walk.tries(place, &[]);
            }
            wanted
        };
        one(args, path, &comes_to, &linux, &mut |line: Line| report(out, args.json, &line))
    });
    all.map(|all| outcome.and(all))
}

/// Prints what came of a program.
pub fn report(out: &mut Out, json: bool, line: &Line) -> Result {
    if json {
        out.json(line)?;
    } else {
        let Line { input, program, outcome, detail, linux, libbpf, .. } = line;
        let (program, linux) = (program.as_deref().unwrap_or_default(), linux.as_deref().unwrap_or_default());
        let libbpf = libbpf.as_ref().map(|said| format!("; libbpf: {said}")).unwrap_or_default();
        out.line(format_args!("{input} {program}: {outcome} (linux: {linux}{libbpf})"))?;
        for text in detail.iter().flat_map(|detail| detail.lines()) {
            out.line(format_args!("    {text}"))?;
        }
    }
    Ok(Outcome::of(!matches!(line.outcome, "differs" | "error")))
}

/// Every engine of this build, all of which can be made here.
fn columns(rules: Rules) -> Result<Columns> {
    let columns = Columns::new(rules);
    match columns.missing() {
        Some(error) => Err(Failure::Usage(error.to_string())),
        None => Ok(columns),
    }
}

type Tell<'t> = dyn FnMut(Line) -> Result + 't;

fn one(args: &DiffArgs, path: &Path, comes_to: &dyn Fn(usize) -> bool, linux: &Kernel, tell: &mut Tell<'_>) -> Result {
    let case = match read(path)? {
        Held::Object(bytes) => return object(args, path, &bytes, comes_to, linux, tell),
        Held::Case(case) => case,
    };
    if !comes_to(0) {
        return Ok(Outcome::Done);
    }
    let mut columns = columns(case.rules)?;
    let answer = linux.case(&mut columns, &case);
    tell(Line { engines: columns.names(), ..Line::of(path, &case.program.name, answer) })
}

fn object(
    args: &DiffArgs,
    path: &Path,
    bytes: &[u8],
    comes_to: &dyn Fn(usize) -> bool,
    linux: &Kernel,
    tell: &mut Tell<'_>,
) -> Result {
    let mut columns = columns(Rules { unprivileged: false, compat_linux: linux.is_asked() })?;
    let opened = columns.open(bytes, &path.to_string_lossy()).map_err(Failure::input)?;
    let Some(first) = opened.first() else { return Ok(Outcome::Done) };
    let stem = stem(path);
    let mut outcome = Outcome::Done;
    for (_, name) in wanted(args, path, first)?.filter(|(n, _)| comes_to(*n)) {
        let inputs = |program: &Program| {
            let len = input_len(program);
            let bytes: Vec<u8> = (0..len).map(|n| (n * 37 + 11) as u8).collect();
            // The kernel may run it on another processor the next time.
            let once = linux.is_asked() && program.maps.iter().any(|map| map.kind.info().per_cpu);
            if once { vec![bytes] } else { vec![vec![0; len], bytes] }
        };
        let mut answer = linux.object(&mut columns, &opened, &name, &inputs);
        if args.libbpf {
            answer.libbpf = Some(linux.libbpf(&opened, bytes, &stem, &name));
        }
        outcome = outcome.and(tell(Line { engines: columns.names(), ..Line::of(path, &name, answer) })?);
    }
    Ok(outcome)
}

/// A file's name up to its first dot.
pub fn stem(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    name.split('.').next().unwrap_or_default().to_owned()
}
