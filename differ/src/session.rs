//! Very many generated programs, on all processors.
//!
//! A program depends on the seed and its number alone, so that any can be made again, whatever the threads did.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use backstop::model::Program;

use crate::case::Case;
use crate::column::{Columns, Rules};
use crate::coverage::Coverage;
use crate::generate::{self, Generated, Shape};
use crate::reduce::{Reduced, reduce};
use crate::source::{Source, Stream};
use crate::trial::{Compare, Difference, Tried, What};

/// Numbers that a thread takes at a time.
const CHUNK: u64 = 32;
/// Instructions that a proof may take, over all paths: dearer programs are counted as refused.
const MAX_INSNS: u64 = 20_000;
/// Of every so manieth program that all columns took the executed instructions are counted, which takes one more run.
const MEASURED: u64 = 8;
/// How often progress is told.
const TICK: Duration = Duration::from_millis(200);

/// What a session is to do.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Seed.
    pub seed: u64,
    /// Number of the first program.
    pub first: u64,
    /// How many programs.
    pub count: u64,
    /// When to stop even if there are more programs, or something left to reduce.
    pub time: Option<Duration>,
    /// Threads; 0 for as many as there are processors.
    pub threads: usize,
    /// Whether findings are reduced.
    pub reduce: bool,
    /// After so many findings it stops.
    pub most: usize,
    /// Every so manieth program is made for Linux and put before it too; 0 for none.
    pub linux: u64,
    /// What programs are like; `None` for a mixture.
    pub shape: Option<Shape>,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            seed: 1,
            first: 0,
            count: 10_000,
            time: None,
            threads: 0,
            reduce: true,
            most: 4,
            linux: 0,
            shape: None,
        }
    }
}

/// Why there is no session.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SessionError {
    /// There is nothing to compare with.
    #[error("there is only one engine ({0}) here: nothing to compare it with")]
    OneColumn(String),
    /// An engine of this build can't be made here, so that nothing would be said of it.
    #[error("{0}")]
    Engine(String),
    /// Linux was asked for.
    #[error("Linux can't be asked: {0}")]
    Linux(String),
}

/// How far a session is.
#[derive(Clone, Copy, Debug, Default)]
pub struct Progress {
    /// Programs done.
    pub done: u64,
    /// Findings.
    pub findings: u64,
    /// Since when.
    pub elapsed: Duration,
}

/// Who follows a session. Of its methods only [`Watch::progress`] and [`Watch::ended`] come from the session's own thread.
pub trait Watch: Sync {
    /// How far it is, a few times a second.
    fn progress(&self, _progress: Progress) {}

    /// Whether it is to end before its time: no more programs are begun, and reductions stop with what they have.
    fn ended(&self) -> bool {
        false
    }

    /// A thread (from 0) is about to try a program, or a smaller one in the place of it.
    fn tries(&self, _thread: usize, _number: u64) {}

    /// Columns differ on a program. It is not reduced yet, and may never be: what is to be kept must be kept now.
    fn found(&self, _finding: &Finding) {}

    /// What was found is reduced, as far as it went.
    fn reduced(&self, _finding: &Finding) {}
}

/// Nobody.
impl Watch for () {}

/// A program on which columns differ.
#[derive(Debug)]
pub struct Finding {
    /// Its number in the session.
    pub number: u64,
    /// How they differ.
    pub difference: Difference,
    /// The program and its inputs as they were found.
    pub case: Case,
    /// The same, reduced. `None` if it was not wanted, is not done yet, or the program does not differ when it is tried again.
    pub reduced: Option<Reduced>,
}

impl Finding {
    /// The smallest case of it.
    pub fn smallest(&self) -> Case {
        match &self.reduced {
            Some(reduced) => {
                Case { program: reduced.program.clone(), inputs: reduced.inputs.clone(), rules: self.case.rules }
            }
            None => self.case.clone(),
        }
    }
}

/// What came of a session.
#[derive(Debug, Default)]
pub struct Report {
    /// The findings, by number.
    pub findings: Vec<Finding>,
    /// What the programs had that were made for the engines alone.
    pub coverage: Coverage,
    /// What those had that were made for Linux too: by design less, since not everything can go there.
    pub for_linux: Coverage,
    /// Programs that may run too long or deep, and were not compared.
    pub passed_over: u64,
    /// Programs that were put before Linux.
    pub linux: u64,
    /// Differences to Linux that are meant, by reason.
    pub known: std::collections::BTreeMap<&'static str, u64>,
    /// How long it took.
    pub elapsed: Duration,
    /// Processor time per program would be this times the threads.
    pub threads: usize,
}

impl Report {
    /// Programs that were generated.
    pub fn programs(&self) -> u64 {
        self.coverage.programs() + self.for_linux.programs()
    }

    fn counts(&mut self, for_linux: bool) -> &mut Coverage {
        if for_linux { &mut self.for_linux } else { &mut self.coverage }
    }

    fn add(&mut self, other: Report) {
        self.findings.extend(other.findings);
        self.coverage.add(&other.coverage);
        self.for_linux.add(&other.for_linux);
        self.passed_over += other.passed_over;
        self.linux += other.linux;
        for (reason, count) in other.known {
            *self.known.entry(reason).or_default() += count;
        }
    }
}

/// Makes the columns of one thread.
type Make<'m> = dyn Fn(Rules) -> Columns + Sync + 'm;

/// A comparison of generated programs.
pub struct Session<'m> {
    settings: Settings,
    make: Box<Make<'m>>,
    names: Vec<&'static str>,
    #[cfg(target_os = "linux")]
    linux: Option<crate::linux::Linux>,
}

impl std::fmt::Debug for Session<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session")
            .field("settings", &self.settings)
            .field("columns", &self.names)
            .finish_non_exhaustive()
    }
}

impl<'m> Session<'m> {
    /// A session over all engines of this build.
    ///
    /// # Errors
    /// [`SessionError`] if there is nothing to compare, or Linux was asked for and can't be had.
    pub fn new(settings: Settings) -> Result<Session<'m>, SessionError> {
        Session::with_columns(settings, Columns::new)
    }

    /// A session that only makes programs, the same ones as one that asks Linux.
    ///
    /// # Errors
    /// As [`Session::new`].
    pub fn offline(settings: Settings) -> Result<Session<'m>, SessionError> {
        let linux = settings.linux;
        let mut session = Session::new(Settings { linux: 0, ..settings })?;
        session.settings.linux = linux;
        Ok(session)
    }

    /// A session over columns of the caller's making.
    ///
    /// # Errors
    /// As [`Session::new`].
    pub fn with_columns(
        settings: Settings,
        make: impl Fn(Rules) -> Columns + Sync + 'm,
    ) -> Result<Session<'m>, SessionError> {
        let columns = make(Rules::default());
        if let Some(error) = columns.missing() {
            return Err(SessionError::Engine(error.to_string()));
        }
        let names = columns.names();
        #[cfg(target_os = "linux")]
        let linux = match settings.linux {
            0 => None,
            _ => Some(crate::linux::Linux::open().map_err(|error| SessionError::Linux(error.to_string()))?),
        };
        #[cfg(not(target_os = "linux"))]
        if settings.linux > 0 {
            return Err(SessionError::Linux("this is no Linux".to_owned()));
        }
        if names.len() < 2 && settings.linux == 0 {
            return Err(SessionError::OneColumn(names.join(", ")));
        }
        Ok(Session {
            settings,
            make: Box::new(make),
            names,
            #[cfg(target_os = "linux")]
            linux,
        })
    }

    /// Names of the engines that are compared.
    pub fn columns(&self) -> &[&'static str] {
        &self.names
    }

    /// The program of this number.
    pub fn generate(&self, number: u64) -> Generated {
        let mut stream = Stream::new(self.settings.seed ^ number.wrapping_mul(0xd6e8_feb8_6659_fd93).rotate_left(32));
        let len = 192 + stream.below(1300);
        let bytes = stream.bytes(len);
        let mut source = Source::new(&bytes);
        let shape = self.settings.shape.unwrap_or_else(|| Shape::any(&mut source));
        generate::program(&mut source, if self.for_linux(number) { shape.kernel() } else { shape })
    }

    /// The program of this number with the inputs that it is run on.
    pub fn case(&self, number: u64) -> Case {
        let made = self.generate(number);
        let rules = Rules { unprivileged: false, compat_linux: self.for_linux(number) };
        Case { inputs: inputs(&made.input), program: made.program, rules }
    }

    fn for_linux(&self, number: u64) -> bool {
        self.settings.linux > 0 && number.is_multiple_of(self.settings.linux)
    }

    /// Runs it.
    pub fn run(&self, watch: &dyn Watch) -> Report {
        let threads = match self.settings.threads {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            threads => threads,
        };
        let started = Instant::now();
        let shared = Shared {
            next: AtomicU64::new(0),
            done: AtomicU64::new(0),
            findings: AtomicU64::new(0),
            stop: AtomicBool::new(false),
            halt: AtomicBool::new(false),
            watch,
            report: Mutex::new(Report::default()),
        };
        let now = || Progress {
            done: shared.done.load(Ordering::Relaxed),
            findings: shared.findings.load(Ordering::Relaxed),
            elapsed: started.elapsed(),
        };
        std::thread::scope(|scope| {
            let shared = &shared;
            let work = |thread| move || Worker::new(self, shared, thread).work();
            let workers: Vec<_> = (0..threads).map(|thread| scope.spawn(work(thread))).collect();
            while !workers.iter().all(std::thread::ScopedJoinHandle::is_finished) {
                std::thread::sleep(TICK.min(Duration::from_millis(self.settings.count / 50 + 1)));
                if watch.ended() || self.settings.time.is_some_and(|time| started.elapsed() >= time) {
                    shared.halt.store(true, Ordering::Relaxed);
                }
                watch.progress(now());
            }
        });
        let mut report = shared.report.into_inner().unwrap_or_else(PoisonError::into_inner);
        report.findings.sort_by_key(|finding| finding.number);
        (report.elapsed, report.threads) = (started.elapsed(), threads);
        report
    }
}

struct Shared<'w> {
    next: AtomicU64,
    done: AtomicU64,
    findings: AtomicU64,
    /// No more programs.
    stop: AtomicBool,
    /// Nor any more reductions.
    halt: AtomicBool,
    watch: &'w dyn Watch,
    report: Mutex<Report>,
}

impl Shared<'_> {
    fn stops(&self) -> bool {
        self.stop.load(Ordering::Relaxed) || self.halt.load(Ordering::Relaxed)
    }
}

/// One thread's part.
struct Worker<'s, 'm> {
    session: &'s Session<'m>,
    shared: &'s Shared<'s>,
    thread: usize,
    columns: Columns,
    /// Judged as Linux does.
    compat: Option<Columns>,
    report: Report,
}

impl<'s, 'm> Worker<'s, 'm> {
    fn new(session: &'s Session<'m>, shared: &'s Shared<'s>, thread: usize) -> Worker<'s, 'm> {
        let columns = (session.make)(Rules::default());
        Worker { session, shared, thread, columns, compat: None, report: Report::default() }
    }

    fn work(mut self) {
        let settings = &self.session.settings;
        loop {
            let from = self.shared.next.fetch_add(CHUNK, Ordering::Relaxed);
            for n in from..from.saturating_add(CHUNK).min(settings.count) {
                // Numbers end at 2^64: what follows would be the programs of another `first`.
                let number = settings.first.checked_add(n).filter(|_| !self.shared.stops());
                let Some(number) = number else { return self.end() };
                self.one(number);
                self.shared.done.fetch_add(1, Ordering::Relaxed);
            }
            if from.saturating_add(CHUNK) >= settings.count {
                return self.end();
            }
        }
    }

    fn end(self) {
        self.shared.report.lock().unwrap_or_else(PoisonError::into_inner).add(self.report);
    }

    fn one(&mut self, number: u64) {
        let case = self.session.case(number);
        let rules = case.rules;
        self.shared.watch.tries(self.thread, number);
        let tried = self.attempt(&case.program, &case.inputs, rules);
        let coverage = self.report.counts(rules.compat_linux);
        let difference = match tried {
            Tried::Refused(_) | Tried::Unsupported(_) => return coverage.refused(),
            Tried::PassedOver => {
                coverage.refused();
                self.report.passed_over += 1;
                return;
            }
            Tried::Same(ran) if ran.observed.failed().is_some() => {
                coverage.refused();
                self.report.passed_over += 1;
                return;
            }
            Tried::Same(ran) => {
                let judged = if rules.compat_linux { self.compat.as_mut() } else { Some(&mut self.columns) };
                let measuring = judged.filter(|_| number.is_multiple_of(MEASURED));
                let executed = measuring
                    .and_then(|columns| columns.executed(&ran, case.inputs.first().map_or(&[], Vec::as_slice)));
                return coverage.ran(&ran, executed);
            }
            Tried::Differs(difference) => *difference,
        };
        coverage.refused();
        let mut finding = Finding { number, difference, case, reduced: None };
        self.shared.watch.found(&finding);
        let findings = self.shared.findings.fetch_add(1, Ordering::Relaxed) + 1;
        if findings >= self.session.settings.most as u64 {
            self.shared.stop.store(true, Ordering::Relaxed);
        }
        if self.session.settings.reduce {
            finding.reduced = self.reduced(number, &finding.case);
            self.shared.watch.reduced(&finding);
        }
        self.report.findings.push(finding);
    }

    fn reduced(&mut self, number: u64, case: &Case) -> Option<Reduced> {
        let shared = self.shared;
        let stop = || shared.halt.load(Ordering::Relaxed);
        let mut test = |program: &Program, inputs: &[Vec<u8>]| {
            // A sign of life for who waits.
            shared.watch.tries(self.thread, number);
            let Tried::Differs(difference) = self.attempt(program, inputs, case.rules) else { return None };
            let runs = !matches!(difference.what, What::Verdict | What::Panic);
            // Parts of a program that computes with nothing but numbers may return addresses, or what nobody wrote.
            (!runs || self.columns.settled(program, inputs, MAX_INSNS)).then_some(*difference)
        };
        reduce(&case.program, &case.inputs, &mut test, &stop)
    }

    /// Tries a program; a panic of ours is a difference too.
    fn attempt(&mut self, program: &Program, inputs: &[Vec<u8>], rules: Rules) -> Tried {
        match catch_unwind(AssertUnwindSafe(|| self.attempt_on(program, inputs, rules))) {
            Ok(tried) => tried,
            Err(panic) => {
                // What a panic left behind is not used again.
                self.columns = (self.session.make)(Rules::default());
                self.compat = None;
                Tried::Differs(Box::new(Difference::panicked(panic.as_ref())))
            }
        }
    }

    fn attempt_on(&mut self, program: &Program, inputs: &[Vec<u8>], rules: Rules) -> Tried {
        if !rules.compat_linux {
            return self.columns.attempt(program, inputs, Compare::All, MAX_INSNS);
        }
        let columns = self.compat.get_or_insert_with(|| (self.session.make)(rules));
        #[cfg(target_os = "linux")]
        if let Some(linux) = &self.session.linux {
            let tried = linux.attempt(columns, program, inputs, MAX_INSNS);
            self.report.linux += u64::from(tried.asked);
            if let Some(reason) = tried.known {
                *self.report.known.entry(reason).or_default() += 1;
            }
            return tried.tried;
        }
        columns.attempt(program, inputs, Compare::All, MAX_INSNS)
    }
}

/// Three runs: the given input, another of its length, and the given one again.
pub(crate) fn inputs(first: &[u8]) -> Vec<Vec<u8>> {
    let second = Stream::new(first.len() as u64).bytes(first.len());
    vec![first.to_vec(), second, first.to_vec()]
}
