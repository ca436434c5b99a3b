//! `diff --mutate`: changed forms of the programs of objects and saved cases, on the engines alone.

use std::path::Path;

use backstop::model::Program;
use backstop::{Config, Engine, Linker, LoadError};
#[cfg(unix)]
use backstop_differ::Difference;
use backstop_differ::{Finding, Mutator, Tried};
use serde::Serialize;

use super::kernel::Answer;
use super::report::Found;
use super::saved::{Made, Saved};
use super::walk::{Held, Place, Walk, read, wanted};
use super::{DiffArgs, generated, inputs, report};
use crate::failure::{Failure, Outcome, Result};
use crate::interrupt::Interrupt;
use crate::output::{Out, note};

/// Findings of one program after which the next is looked at.
const MOST: u64 = 4;

/// What is asked for.
pub struct Settings {
    pub seed: u64,
    first: u64,
    count: u64,
}

impl Settings {
    /// Of a seed that is not asked for, another each time.
    pub fn new(args: &DiffArgs) -> Result<Settings> {
        generated::need_folder(args)?;
        let (seed, first) = (generated::seed(args), args.first.unwrap_or(0));
        Ok(Settings { seed, first, count: args.mutate.unwrap_or(0) })
    }
}

/// What came of one program's mutants. Its fields are kept stable.
#[derive(Serialize)]
struct Line<'a> {
    input: String,
    program: &'a str,
    /// `same` or `differs`.
    outcome: &'static str,
    seed: u64,
    first: u64,
    mutants: u64,
    /// All engines took them and made the same of them, or differed. `None` if the process that counted died.
    taken: Option<u64>,
    passed_over: Option<u64>,
    interrupted: bool,
}

/// One mutant that differs. Its fields are kept stable.
#[derive(Serialize)]
struct Differing<'a> {
    input: String,
    program: &'a str,
    outcome: &'static str,
    seed: u64,
    #[serde(flatten)]
    finding: Found<'a>,
}

/// Compares mutants of each program of each input.
pub fn diff(args: &DiffArgs, out: &mut Out) -> Result {
    let settings = Settings::new(args)?;
    let interrupt =
        Interrupt::listen().map_err(|error| Failure::input(format_args!("signals can't be heard: {error}")))?;
    let raise = interrupt.clone();
    let walk = Walk::new(args, move || raise.raise())?;
    let mut mutator = Mutator::new();
    if let Some(error) = mutator.missing() {
        return Err(Failure::Usage(error.to_string()));
    }
    if args.behind.is_none() {
        note(format_args!("seed {}, engines {}", settings.seed, mutator.columns().join(", ")));
    }
    let outcome = walk.each(args, out, &mut |input: usize, path: &Path, out: &mut Out| {
        let mut outcome = Outcome::Done;
        for (number, linked) in programs(args, path)? {
            let place = Place { input, program: number };
            if interrupt.came() || !walk.wants(place) {
                continue;
            }
            let program = match linked {
                Ok(program) => program,
                Err((name, error)) => {
                    let answer = Answer::without(Tried::not_taken(&error), "not asked");
                    inputs::report(out, args.json, &inputs::Line::of(path, &name, answer))?;
                    continue;
                }
            };
            let of = Of { args, settings: &settings, path, program: &program };
            outcome = outcome.and(of.compare(&mut mutator, &interrupt, out, &|part| walk.tries(place, part))?);
        }
        Ok(outcome)
    });
    if interrupt.came() {
        note("interrupted: the report is of what was done by then");
    }
    outcome
}

/// What processes of its own make of a finding, reduced; each form is kept at once.
#[cfg(unix)]
pub type Alone<'a> = dyn Fn(Finding, &mut dyn FnMut(&Finding)) -> Result<Finding> + 'a;

/// Tells that a mutant killed the process that tried it, after what `alone` makes of it in processes of its own. What is noted of such
/// a process is a program's place, a mutant's number and, if the mutant differed and was being reduced, one number more.
#[cfg(unix)]
pub fn killed(
    args: &DiffArgs,
    settings: &Settings,
    out: &mut Out,
    noted: &[u64],
    how: &str,
    alone: &Alone<'_>,
) -> Result {
    let [place, number, reducing @ ..] = noted else {
        return Err(Failure::Defect(format!("{how} before any program was tried")));
    };
    let place = Place::of(*place);
    let path = place.path(args);
    let program = programs(args, path)?.into_iter().find(|(number, _)| *number == place.program);
    let Some((_, Ok(program))) = program else {
        return Err(Failure::Input(format!("{}: it changed while its programs were compared", path.display())));
    };
    let of = Of { args, settings, path, program: &program };
    let saved = of.saved();
    let case = Mutator::mutant(&program, settings.seed, *number);
    let mut finding =
        Finding { number: *number, difference: Difference::killed(how.to_owned(), None), case, reduced: None };
    if reducing.is_empty() {
        note(saved.keep(&finding));
        finding = alone(finding, &mut |finding| drop(saved.keep(finding)))?;
    } else {
        // What it differed in is in the file that the process left.
        finding.difference = Difference::killed(format!("{how} when what differs was reduced"), None);
        saved.take_over(*number);
    }
    of.tell(&finding, &saved, out)?;
    let mutants = number.saturating_sub(settings.first).saturating_add(1);
    let line = Line { outcome: "differs", mutants, taken: None, passed_over: None, ..of.line() };
    of.sum_up(&line, out)?;
    Ok(Outcome::Refused)
}

type Linked = std::result::Result<Program, (String, LoadError)>;

/// The linked programs of an input that are asked for, each with its number in it.
fn programs(args: &DiffArgs, path: &Path) -> Result<Vec<(usize, Linked)>> {
    let bytes = match read(path)? {
        Held::Object(bytes) => bytes,
        Held::Case(case) => return Ok(vec![(0, Ok(case.program))]),
    };
    let engine = Engine::new(Config::new()).map_err(Failure::input)?;
    let object = engine.open(&bytes, &path.to_string_lossy()).map_err(Failure::input)?;
    let linker = Linker::<()>::new(&engine);
    let link = |(number, name): (usize, String)| (number, object.link(&linker, &name).map_err(|error| (name, error)));
    Ok(wanted(args, path, &object)?.map(link).collect())
}

/// A word of a command line, as a shell takes it.
fn quoted(word: &str) -> String {
    shlex::try_quote(word).map_or_else(|_| word.to_owned(), std::borrow::Cow::into_owned)
}

/// The mutants of one program.
struct Of<'a> {
    args: &'a DiffArgs,
    settings: &'a Settings,
    path: &'a Path,
    program: &'a Program,
}

impl Of<'_> {
    /// Compares them until there are no more, enough of them differ, or somebody asks for an end.
    fn compare(
        &self,
        mutator: &mut Mutator<'_>,
        interrupt: &Interrupt,
        out: &mut Out,
        tries: &dyn Fn(&[u64]),
    ) -> Result {
        let &Settings { seed, first, count } = self.settings;
        let saved = self.saved();
        let (mut mutants, mut taken, mut passed_over, mut findings) = (0, 0, 0, 0);
        for number in first..first.saturating_add(count) {
            if interrupt.came() || findings >= MOST {
                break;
            }
            mutants += 1;
            tries(&[number]);
            let case = Mutator::mutant(self.program, seed, number);
            let difference = match mutator.attempt(&case) {
                Tried::Refused(_) | Tried::Unsupported(_) => continue,
                Tried::PassedOver => {
                    passed_over += 1;
                    continue;
                }
                Tried::Same(ran) if ran.observed.failed().is_some() => {
                    passed_over += 1;
                    continue;
                }
                Tried::Same(_) => {
                    taken += 1;
                    continue;
                }
                Tried::Differs(difference) => *difference,
            };
            (taken, findings) = (taken + 1, findings + 1);
            let mut finding = Finding { number, difference, case, reduced: None };
            note(saved.keep(&finding));
            if self.args.reduce {
                tries(&[number, 0]);
                finding.reduced = mutator.reduce(&finding.case, &|| interrupt.came());
                saved.keep(&finding);
            }
            self.tell(&finding, &saved, out)?;
        }
        let outcome = if findings == 0 { "same" } else { "differs" };
        let (taken, passed_over) = (Some(taken), Some(passed_over));
        let interrupted = interrupt.came();
        self.sum_up(&Line { outcome, mutants, taken, passed_over, interrupted, ..self.line() }, out)?;
        Ok(Outcome::of(findings == 0))
    }

    fn saved(&self) -> Saved {
        let name =
            |text: &str| -> String { text.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect() };
        let (program, path, seed) = (&self.program.name, self.path.display().to_string(), self.settings.seed);
        let stem = inputs::stem(self.path);
        // Objects of several folders may have one name.
        let same = self.args.inputs.iter().filter(|input| inputs::stem(input) == stem);
        let before = same.take_while(|input| *input != self.path).count();
        let stem = if before == 0 { name(&stem) } else { format!("{}_{before}", name(&stem)) };
        let path = path.replace(char::is_control, "?");
        Saved::new(
            &self.args.save,
            Made {
                what: format!("{path} {program}: mutant"),
                file: format!("mutant-{stem}-{}-{seed}", name(program)),
                again: [
                    format!("backstop diff {} --mutate 1 --seed {seed}", quoted(&format!("--program={program}"))),
                    format!("-- {}", quoted(&path)),
                ],
            },
        )
    }

    fn line(&self) -> Line<'_> {
        let Settings { seed, first, .. } = *self.settings;
        Line {
            input: self.path.display().to_string(),
            program: &self.program.name,
            outcome: "same",
            seed,
            first,
            mutants: 0,
            taken: None,
            passed_over: None,
            interrupted: false,
        }
    }

    /// Prints a finding.
    fn tell(&self, finding: &Finding, saved: &Saved, out: &mut Out) -> Result<()> {
        let files = saved.files();
        let (input, program, seed) = (self.path.display().to_string(), &self.program.name, self.settings.seed);
        if self.args.json {
            let finding = Found::new(finding, &files);
            return out.json(&Differing { input, program, outcome: "differs", seed, finding });
        }
        let which = format!("{input} {program}: mutant {} of seed {seed}", finding.number);
        report::print_finding(out, &which, finding, &files)
    }

    /// Prints what came of them all.
    fn sum_up(&self, line: &Line<'_>, out: &mut Out) -> Result<()> {
        if self.args.json {
            return out.json(line);
        }
        let Line { input, program, outcome, mutants, .. } = line;
        let counts = match (line.taken, line.passed_over) {
            (Some(taken), Some(passed_over)) => format!("{taken} taken, {passed_over} passed over"),
            _ => "the last killed the process that tried it".to_owned(),
        };
        out.line(format_args!("{input} {program}: {outcome} ({mutants} mutants: {counts})"))
    }
}

#[cfg(all(test, unix))]
mod tests {
    use std::cell::Cell;
    use std::fs;

    use backstop_differ::{Case, What};
    use clap::Parser;

    use super::*;
    use crate::args::{Cli, Command};

    fn object(name: &str) -> String {
        format!("{}/../tests/objects/{name}", env!("CARGO_MANIFEST_DIR"))
    }

    fn args(words: &[&str]) -> DiffArgs {
        match Cli::parse_from(["backstop", "diff"].iter().chain(words)).command {
            Command::Diff(args) => args,
            other => panic!("{other:?}"),
        }
    }

    /// A mutant that kills its process, by what that process noted of it; and whether it was tried alone.
    fn killed_at(noted: &[u64], folder: &Path) -> bool {
        let objects = [object("throw_loop.bpf.o"), object("isa_v4.bpf.o")];
        let folder = folder.display().to_string();
        let args = args(&[&objects[0], &objects[1], "--mutate", "9", "--seed", "3", "--json", "--save", &folder]);
        let alone = Cell::new(false);
        let try_alone = |finding: Finding, keep: &mut dyn FnMut(&Finding)| {
            assert_eq!(finding.difference.what, What::Killed);
            alone.set(true);
            keep(&finding);
            Ok(finding)
        };
        let settings = Settings::new(&args).expect("settings");
        let outcome = killed(&args, &settings, &mut Out::new(), noted, "it died", &try_alone).expect("an outcome");
        assert_eq!(outcome, Outcome::Refused);
        alone.get()
    }

    #[test]
    fn one_that_kills_is_a_file_that_says_how_to_make_it_again() {
        let folder = tempfile::tempdir().expect("a folder");
        let place = Place { input: 1, program: 0 }.number();
        assert!(killed_at(&[place, 5], folder.path()));
        let files: Vec<_> =
            fs::read_dir(folder.path()).expect("the folder").map(|file| file.expect("a file")).collect();
        let [file] = files.as_slice() else { panic!("{files:?}") };
        let name = file.file_name().to_string_lossy().into_owned();
        assert!(name.starts_with("mutant-isa_v4-") && name.ends_with("-3-5.case"), "{name}");
        let text = fs::read_to_string(file.path()).expect("the file");
        let again = text.lines().next().and_then(|line| line.strip_prefix("// backstop diff ")).expect("a command");
        let again = shlex::split(again).expect("words");
        let again = args(&again.iter().map(String::as_str).collect::<Vec<_>>());
        assert_eq!((again.mutate, again.seed, again.first), (Some(1), Some(3), Some(5)));
        let all = programs(&again, &again.inputs[0]).expect("programs");
        let [(0, Ok(program))] = all.as_slice() else { panic!("another program") };
        let case: Case = text.parse().expect("a case");
        assert_eq!(case.program.slots, Mutator::mutant(program, 3, 5).program.slots);
        assert!(text.contains("killed process") && text.contains("it died"), "{text}");
    }

    #[test]
    fn the_command_that_makes_one_again_is_quoted() {
        let folder = tempfile::tempdir().expect("a folder");
        let (path, object) = ("-it's a $(path).o", object("isa_v4.bpf.o"));
        let args = args(&["--mutate", "1", "--save", &folder.path().display().to_string(), "--", path]);
        let linked = programs(&args, Path::new(&object)).expect("programs").remove(0).1;
        let Ok(program) = linked else { panic!("it does not link") };
        let settings = Settings { seed: 1, first: 0, count: 1 };
        let saved = Of { args: &args, settings: &settings, path: Path::new(path), program: &program }.saved();
        let difference = Difference::killed("it died".to_owned(), None);
        saved.keep(&Finding { number: 7, difference, case: Mutator::mutant(&program, 1, 7), reduced: None });
        let text = fs::read_to_string(saved.path(7)).expect("the file");
        let words = shlex::split(text.lines().next().expect("a line")).expect("words");
        let again = self::args(&words.iter().skip(3).map(String::as_str).collect::<Vec<_>>());
        assert_eq!(again.inputs, [Path::new(path)]);
        assert_eq!((again.program.as_deref(), again.first), (Some(program.name.as_str()), Some(7)));
    }

    #[test]
    fn what_differed_stays_in_its_file_if_its_reduction_kills() {
        let folder = tempfile::tempdir().expect("a folder");
        let place = Place { input: 1, program: 0 }.number();
        assert!(killed_at(&[place, 5], folder.path()));
        let file = fs::read_dir(folder.path()).expect("the folder").next().expect("a file").expect("a file").path();
        fs::write(&file, "what differed").expect("the file");
        assert!(!killed_at(&[place, 5, 0], folder.path()));
        assert_eq!(fs::read_to_string(&file).expect("the file"), "what differed");
    }

    #[test]
    fn programs_of_one_name_have_files_of_their_own() {
        let args = args(&["a/x.o", "b/x.o", "b/y.o", "--mutate", "1"]);
        let object = object("isa_v4.bpf.o");
        let linked = programs(&args, Path::new(&object)).expect("programs").remove(0).1;
        let Ok(program) = linked else { panic!("it does not link") };
        let settings = Settings { seed: 1, first: 0, count: 1 };
        let file = |path: &Path| Of { args: &args, settings: &settings, path, program: &program }.saved().path(0);
        let mut files: Vec<_> = args.inputs.iter().map(|path| file(path)).collect();
        files.dedup();
        assert_eq!(files.len(), 3, "{files:?}");
    }
}
