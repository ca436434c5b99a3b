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
    /// When to stop even if there are more.
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

/// A program on which columns differ.
#[derive(Debug)]
pub struct Finding {
    /// Its number in the session.
    pub number: u64,
    /// How they differ.
    pub difference: Difference,
    /// The program and its inputs as they were found.
    pub case: Case,
    /// The same, reduced. `None` if it was not wanted, or does not differ when it is tried again.
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
    /// What the programs had.
    pub coverage: Coverage,
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
    fn add(&mut self, other: Report) {
        self.findings.extend(other.findings);
        self.coverage.add(&other.coverage);
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

    /// A session over columns of the caller's making.
    ///
    /// # Errors
    /// As [`Session::new`].
    pub fn with_columns(
        settings: Settings,
        make: impl Fn(Rules) -> Columns + Sync + 'm,
    ) -> Result<Session<'m>, SessionError> {
        let names = make(Rules::default()).names();
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

    fn for_linux(&self, number: u64) -> bool {
        self.settings.linux > 0 && number.is_multiple_of(self.settings.linux)
    }

    /// Runs it. `progress` is called from this thread, a few times a second.
    pub fn run(&self, progress: &dyn Fn(Progress)) -> Report {
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
            report: Mutex::new(Report::default()),
        };
        let now = || Progress {
            done: shared.done.load(Ordering::Relaxed),
            findings: shared.findings.load(Ordering::Relaxed),
            elapsed: started.elapsed(),
        };
        std::thread::scope(|scope| {
            let workers: Vec<_> = (0..threads).map(|_| scope.spawn(|| Worker::new(self, &shared).work())).collect();
            while !workers.iter().all(std::thread::ScopedJoinHandle::is_finished) {
                std::thread::sleep(TICK.min(Duration::from_millis(self.settings.count / 50 + 1)));
                if self.settings.time.is_some_and(|time| started.elapsed() >= time) {
                    shared.stop.store(true, Ordering::Relaxed);
                }
                progress(now());
            }
        });
        let mut report = shared.report.into_inner().unwrap_or_else(PoisonError::into_inner);
        report.findings.sort_by_key(|finding| finding.number);
        (report.elapsed, report.threads) = (started.elapsed(), threads);
        report
    }
}

struct Shared {
    next: AtomicU64,
    done: AtomicU64,
    findings: AtomicU64,
    stop: AtomicBool,
    report: Mutex<Report>,
}

/// One thread's part.
struct Worker<'s, 'm> {
    session: &'s Session<'m>,
    shared: &'s Shared,
    columns: Columns,
    /// Judged as Linux does.
    compat: Option<Columns>,
    report: Report,
}

impl<'s, 'm> Worker<'s, 'm> {
    fn new(session: &'s Session<'m>, shared: &'s Shared) -> Worker<'s, 'm> {
        let columns = (session.make)(Rules::default());
        Worker { session, shared, columns, compat: None, report: Report::default() }
    }

    fn work(mut self) {
        let settings = &self.session.settings;
        loop {
            let from = self.shared.next.fetch_add(CHUNK, Ordering::Relaxed);
            for n in from..from.saturating_add(CHUNK).min(settings.count) {
                if self.shared.stop.load(Ordering::Relaxed) {
                    return self.end();
                }
                self.one(settings.first + n);
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
        let made = self.session.generate(number);
        let inputs = inputs(&made.input);
        let rules = Rules { unprivileged: false, compat_linux: self.session.for_linux(number) };
        let tried = self.attempt(&made.program, &inputs, rules);
        let difference = match tried {
            Tried::Refused(_) => return self.report.coverage.refused(),
            Tried::PassedOver => {
                self.report.passed_over += 1;
                return self.report.coverage.refused();
            }
            Tried::Same(ran) => return self.report.coverage.ran(&ran),
            Tried::Differs(difference) => *difference,
        };
        self.report.coverage.refused();
        let case = Case { program: made.program, inputs, rules };
        let reduced = if self.session.settings.reduce { self.reduced(&case) } else { None };
        self.report.findings.push(Finding { number, difference, case, reduced });
        let findings = self.shared.findings.fetch_add(1, Ordering::Relaxed) + 1;
        if findings >= self.session.settings.most as u64 {
            self.shared.stop.store(true, Ordering::Relaxed);
        }
    }

    fn reduced(&mut self, case: &Case) -> Option<Reduced> {
        reduce(&case.program, &case.inputs, &mut |program: &Program, inputs: &[Vec<u8>]| {
            let Tried::Differs(difference) = self.attempt(program, inputs, case.rules) else { return None };
            let runs = !matches!(difference.what, What::Verdict | What::Panic);
            // Parts of a program that computes with nothing but numbers may return addresses, or what nobody wrote.
            (!runs || self.columns.settled(program, inputs, MAX_INSNS)).then_some(*difference)
        })
    }

    /// Tries a program; a panic of ours is a difference too.
    fn attempt(&mut self, program: &Program, inputs: &[Vec<u8>], rules: Rules) -> Tried {
        match catch_unwind(AssertUnwindSafe(|| self.attempt_on(program, inputs, rules))) {
            Ok(tried) => tried,
            Err(panic) => {
                // What a panic left behind is not used again.
                self.columns = (self.session.make)(Rules::default());
                self.compat = None;
                let text = panic.downcast_ref::<String>().map(String::as_str);
                let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("a panic").to_owned();
                Tried::Differs(Box::new(Difference {
                    what: What::Panic,
                    columns: ["any program".to_owned(), "this one".to_owned()],
                    made: ["no panic".to_owned(), text],
                }))
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
