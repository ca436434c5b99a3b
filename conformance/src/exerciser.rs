//! Makes all trials, runs them on every subject and on the reference, and counts what differs.
//!
//! The work is cut into jobs that threads take in turn; results are put together in the jobs' order, so that a seed gives the same
//! report however many threads there are.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Instant;

use backstop::isa::table::Group;
use backstop::{EngineChoice, EngineError};

use crate::reference::{Fault, Rfc9669, Semantics, Text, World, run};
use crate::report::{GroupCount, Report, Wrong};
use crate::shapes::{Job, Plan, jobs};
use crate::subject::{BackstopEngine, Running, Subject};
use crate::trial::{Case, Setting, Trial};
use crate::values::INPUT_WORDS;

/// The most that thinning leaves out: every tenth case and run is always kept.
const THINNEST: usize = 10;
const INPUT_NAMES: [&str; INPUT_WORDS] =
    ["r0", "r1", "r2", "r3", "r4", "r5", "r6", "r7", "r8", "r9", "memory+0", "memory+8", "memory+16"];

/// What to exercise, and how much.
#[derive(Clone, Debug)]
pub struct Exerciser {
    /// The same seed gives the same cases. Boundary values and operand shapes do not depend on it.
    pub seed: u64,
    /// Backstop's engines to exercise.
    pub engines: Vec<EngineChoice>,
    /// Ask the running kernel as well, where it permits that.
    pub linux: bool,
    /// Every n-th case and run only: 1 for all, at most 10.
    pub every: usize,
    /// Only what is about these rows of the ISA table (or `sequences`); empty for all.
    pub only: Vec<String>,
    /// How many threads.
    pub threads: usize,
    /// How many wrong cases the report shows.
    pub shown: usize,
}

impl Default for Exerciser {
    /// Everything on the interpreter, (where the build has it) the JIT, and the checked interpreter, with all processors.
    fn default() -> Self {
        let jit = cfg!(all(feature = "jit", target_arch = "x86_64", target_os = "linux"));
        let proved = [EngineChoice::Interpreter].into_iter().chain(jit.then_some(EngineChoice::Jit));
        Exerciser {
            seed: 1,
            engines: proved.chain([EngineChoice::Checked]).collect(),
            linux: false,
            every: 1,
            only: Vec::new(),
            threads: std::thread::available_parallelism().map_or(1, usize::from),
            shown: 10,
        }
    }
}

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExerciserError {
    /// An engine can't be had.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The reference can't run a case: a defect of the exerciser.
    #[error("case `{case}`: {fault}")]
    Reference {
        /// The first case of the program.
        case: String,
        /// What the reference met.
        fault: Fault,
    },
}

impl Exerciser {
    /// Holds the engines against RFC 9669.
    ///
    /// # Errors
    /// [`ExerciserError`]. What engines do wrong is no error but the report.
    pub fn run(&self) -> Result<Report, ExerciserError> {
        self.run_against(&Rfc9669)
    }

    /// Holds the engines against other rules: with one broken on purpose, it shows that the exerciser tells.
    ///
    /// # Errors
    /// As [`Exerciser::run`].
    pub fn run_against<S: Semantics>(&self, rules: &S) -> Result<Report, ExerciserError> {
        let start = Instant::now();
        let mut subjects: Vec<Box<dyn Subject>> = Vec::new();
        for choice in &self.engines {
            subjects.push(Box::new(BackstopEngine::new(*choice)?));
        }
        let linux_skipped = if self.linux { add_linux(&mut subjects) } else { None };
        let work = Work {
            rules,
            subjects: &subjects,
            plan: Plan { seed: self.seed, every: self.every.clamp(1, THINNEST) },
            shown: self.shown,
        };
        let mut jobs = jobs();
        jobs.retain(|job| self.only.is_empty() || self.only.iter().any(|name| name == job.name));
        let tallies = work.all(&jobs, self.threads.max(1))?;
        let mut report = Report {
            seed: self.seed,
            columns: subjects.iter().map(|subject| subject.name().to_owned()).collect(),
            linux_skipped,
            ..Report::default()
        };
        let mut whole = Tally::default();
        for tally in tallies {
            whole.add(tally);
        }
        whole.wrong.truncate(self.shown);
        report.groups = in_order(whole.groups);
        (report.rows, report.wrong, report.declined) = (whole.rows, whole.wrong, whole.declined);
        report.elapsed = start.elapsed();
        Ok(report)
    }
}

#[cfg(target_os = "linux")]
fn add_linux(subjects: &mut Vec<Box<dyn Subject>>) -> Option<String> {
    match crate::subject::Linux::new() {
        Ok(linux) => {
            subjects.push(Box::new(linux));
            None
        }
        Err(reason) => Some(reason.to_string()),
    }
}

#[cfg(not(target_os = "linux"))]
fn add_linux(_: &mut Vec<Box<dyn Subject>>) -> Option<String> {
    Some("this is not Linux".to_owned())
}

/// The RFC's order, then what is not the RFC's.
fn in_order(mut groups: BTreeMap<&'static str, GroupCount>) -> Vec<GroupCount> {
    use Group::*;
    let order =
        [Base32, Base64, Divmul32, Divmul64, Atomic32, Atomic64, Packet, MayGoto, AcquireRelease, AddrSpaceCast];
    let mut sorted: Vec<GroupCount> = order.iter().filter_map(|group| groups.remove(group.name())).collect();
    sorted.extend(groups.into_values());
    sorted
}

/// Counts of a part of the work.
#[derive(Default)]
struct Tally {
    groups: BTreeMap<&'static str, GroupCount>,
    rows: BTreeMap<String, u64>,
    wrong: Vec<Wrong>,
    declined: BTreeMap<String, u64>,
}

impl Tally {
    fn add(&mut self, other: Tally) {
        for (name, from) in other.groups {
            let to = self.groups.entry(name).or_insert_with(|| GroupCount {
                group: from.group.clone(),
                cases: 0,
                wrong: vec![0; from.wrong.len()],
                declined: vec![0; from.declined.len()],
            });
            to.cases += from.cases;
            to.wrong.iter_mut().zip(&from.wrong).for_each(|(to, from)| *to += from);
            to.declined.iter_mut().zip(&from.declined).for_each(|(to, from)| *to += from);
        }
        for (name, cases) in other.rows {
            *self.rows.entry(name).or_default() += cases;
        }
        for (reason, cases) in other.declined {
            *self.declined.entry(reason).or_default() += cases;
        }
        self.wrong.extend(other.wrong);
    }

    fn group(&mut self, case: &Case, columns: usize) -> &mut GroupCount {
        self.groups.entry(case.group).or_insert_with(|| GroupCount {
            group: case.group.to_owned(),
            cases: 0,
            wrong: vec![0; columns],
            declined: vec![0; columns],
        })
    }
}

struct Work<'a, S> {
    rules: &'a S,
    subjects: &'a [Box<dyn Subject>],
    plan: Plan,
    shown: usize,
}

/// One run as the reference has it.
struct Expected<'a> {
    words: &'a [u64; INPUT_WORDS],
    memory: &'a [u8],
    result: u64,
}

impl<S: Semantics> Work<'_, S> {
    fn all(&self, jobs: &[Job], threads: usize) -> Result<Vec<Tally>, ExerciserError> {
        let next = AtomicUsize::new(0);
        let stop = AtomicBool::new(false);
        let done = Mutex::new(BTreeMap::new());
        let work = || {
            while let Some((n, job)) = Some(next.fetch_add(1, Ordering::Relaxed)).and_then(|n| Some((n, jobs.get(n)?)))
            {
                if stop.load(Ordering::Relaxed) {
                    return;
                }
                let result = self.job(job);
                stop.fetch_or(result.is_err(), Ordering::Relaxed);
                done.lock().unwrap_or_else(std::sync::PoisonError::into_inner).insert(n, result);
            }
        };
        std::thread::scope(|scope| {
            for _ in 1..threads {
                scope.spawn(work);
            }
            work();
        });
        done.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner).into_values().collect()
    }

    fn job(&self, job: &Job) -> Result<Tally, ExerciserError> {
        let mut tally = Tally::default();
        for trial in (job.make)(&self.plan) {
            self.trial(&trial, &mut tally)?;
        }
        Ok(tally)
    }

    /// The runs that thinning keeps, the first one always.
    fn runs(&self, trial: &Trial) -> impl Iterator<Item = usize> + use<S> {
        // No step has a divisor in common with the number of boundary values, so that pairs stay mixed.
        (0..trial.inputs.runs()).step_by(self.plan.every)
    }

    fn trial(&self, trial: &Trial, tally: &mut Tally) -> Result<(), ExerciserError> {
        let runs = self.runs(trial).count() as u64;
        for case in &trial.cases {
            tally.group(case, self.subjects.len()).cases += runs;
            *tally.rows.entry(case.name.to_owned()).or_default() += runs;
        }
        let mut running: Vec<Option<Box<dyn Running + '_>>> = Vec::new();
        for (column, subject) in self.subjects.iter().enumerate() {
            running.push(self.load(column, subject.as_ref(), trial, runs, tally));
        }
        let text = Text::new(&trial.bytes());
        let mut maps: Vec<Vec<u8>> = trial.maps.iter().map(|size| vec![0; *size as usize]).collect();
        let (mut before, mut expected, mut got) = (Vec::new(), Vec::new(), Vec::new());
        for run_number in self.runs(trial) {
            let words = trial.inputs.words(run_number);
            trial.memory(&words, &mut before);
            expected.clone_from(&before);
            let packet = matches!(trial.setting, Setting::Packet { .. });
            let world = World { memory: &mut expected, packet, maps: &mut maps };
            let result = run(self.rules, &text, world).map_err(|fault| ExerciserError::Reference {
                case: trial
                    .cases
                    .first()
                    .map_or_else(String::new, |case| format!("{}\n{}", case.name, trial.text(case))),
                fault,
            })?;
            let expected = Expected { words: &words, memory: &expected, result };
            for (column, running) in running.iter_mut().enumerate() {
                let Some(running) = running else { continue };
                got.clone_from(&before);
                let outcome = running.run(&mut got);
                self.compare(column, trial, &expected, &got, outcome, tally);
            }
        }
        Ok(())
    }

    /// A subject with the program in it; none if it can't be asked or refuses, which is a wrong for every run of every case.
    fn load<'s>(
        &self,
        column: usize,
        subject: &'s dyn Subject,
        trial: &Trial,
        runs: u64,
        tally: &mut Tally,
    ) -> Option<Box<dyn Running + 's>> {
        let columns = self.subjects.len();
        if let Some(reason) = subject.declines(trial) {
            for case in &trial.cases {
                if let Some(n) = tally.group(case, columns).declined.get_mut(column) {
                    *n += runs;
                }
            }
            let reason = format!("{}: {reason}", subject.name());
            *tally.declined.entry(reason).or_default() += runs * trial.cases.len() as u64;
            return None;
        }
        match subject.load(trial) {
            Ok(running) => Some(running),
            Err(refusal) => {
                for case in &trial.cases {
                    if let Some(n) = tally.group(case, columns).wrong.get_mut(column) {
                        *n += runs;
                    }
                }
                if let Some(case) = trial.cases.first() {
                    let failure = format!("refused: {refusal}");
                    self.show(tally, Wrong { failure: Some(failure), ..self.blank(column, trial, case) });
                }
                None
            }
        }
    }

    fn show(&self, tally: &mut Tally, wrong: Wrong) {
        if tally.wrong.len() < self.shown {
            tally.wrong.push(wrong);
        }
    }

    fn blank(&self, column: usize, trial: &Trial, case: &Case) -> Wrong {
        Wrong {
            column: self.subjects.get(column).map_or_else(String::new, |subject| subject.name().to_owned()),
            group: case.group.to_owned(),
            name: case.name.to_owned(),
            program: trial.text(case),
            inputs: Vec::new(),
            expected: Vec::new(),
            got: Vec::new(),
            failure: None,
        }
    }

    fn compare(
        &self,
        column: usize,
        trial: &Trial,
        expected: &Expected<'_>,
        got: &[u8],
        outcome: Result<u64, String>,
        tally: &mut Tally,
    ) {
        let bits = self.subjects.get(column).map_or(u64::MAX, |subject| subject.result_bits());
        let (value, failure) = match outcome {
            Ok(value) => (value & bits, None),
            Err(failure) => (0, Some(failure)),
        };
        let result = expected.result & bits;
        if failure.is_none() && value == result && got == expected.memory {
            return;
        }
        let differs = |case: &&Case| {
            failure.is_some()
                || case.out.is_empty()
                || got.get(case.out.clone()) != expected.memory.get(case.out.clone())
        };
        let mut wrong: Vec<&Case> = trial.cases.iter().filter(differs).collect();
        // A difference that lies in no case's results: the first case stands for the program.
        let astray = wrong.is_empty();
        wrong.extend(trial.cases.first().filter(|_| astray));
        for case in wrong {
            if let Some(n) = tally.group(case, self.subjects.len()).wrong.get_mut(column) {
                *n += 1;
            }
            if tally.wrong.len() >= self.shown {
                continue;
            }
            let mut shown = self.blank(column, trial, case);
            shown.inputs = INPUT_NAMES.into_iter().zip(*expected.words).collect();
            shown.failure.clone_from(&failure);
            let whole = astray || case.out.is_empty();
            let places = if whole { elsewhere(expected.memory, got) } else { within(case, expected.memory, got) };
            if value != result {
                shown.expected.push(("result".to_owned(), result));
                shown.got.push(("result".to_owned(), value));
            }
            for (name, should, is) in places {
                shown.expected.push((name.clone(), should));
                shown.got.push((name, is));
            }
            self.show(tally, shown);
        }
    }
}

type Place = (String, u64, u64);

fn word(memory: &[u8], at: usize) -> u64 {
    let bytes = memory.get(at..).unwrap_or_default().iter().take(8);
    bytes.rev().fold(0, |all, byte| all << 8 | u64::from(*byte))
}

/// The words of a case's results that differ, by name.
fn within(case: &Case, expected: &[u8], got: &[u8]) -> Vec<Place> {
    let words = case.words.iter().zip(case.out.clone().step_by(8));
    let places = words.map(|(name, at)| ((*name).to_owned(), word(expected, at), word(got, at)));
    places.filter(|(_, should, is)| should != is).collect()
}

/// The first words of the whole memory that differ, by offset.
fn elsewhere(expected: &[u8], got: &[u8]) -> Vec<Place> {
    let offsets = (0..expected.len().max(got.len())).step_by(8);
    let places = offsets.map(|at| (format!("memory[{at}]"), word(expected, at), word(got, at)));
    places.filter(|(_, should, is)| should != is).take(4).collect()
}
