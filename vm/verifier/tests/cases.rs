//! The corpus of small programs (`cases/*.txt`), each with the verdict of Linux 6.18 and the last line of its log.
//!
//! What is judged: Backstop's verdict and, with numbers and register names masked, its reason; that the recorded verdicts are
//! the running kernel's where bpf(2) is permitted; that every rule has programs of both kinds. `BACKSTOP_BLESS=1` writes
//! the kernel's verdicts into the files, `BACKSTOP_CASES=TOPIC,...` looks at some topics only, `BACKSTOP_CASES_REPORT=FILE` writes the differences, one line each, `BACKSTOP_CASES_LOG=CASE` prints the kernel's log of that case.

mod cases_support;
#[path = "corpus_tests/every_reason.rs"]
mod every_reason;

use std::collections::{BTreeMap, HashSet};
use std::fmt::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use backstop_btf::Btf;
use backstop_model::KernelBtf;
use backstop_referee::Referee;
use backstop_verifier::{Options, verify};

use cases_support::corpus::{self, Case, Expected, Topic};
use cases_support::{build, kernel};

/// Refusals whose reason must be the kernel's, in percent.
const TEXT_PERCENT: usize = 90;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases")
}

fn topics() -> Vec<Topic> {
    let mut topics = corpus::read_all(&folder());
    if let Ok(only) = std::env::var("BACKSTOP_CASES") {
        topics.retain(|topic| only.split(',').any(|name| name == topic.name));
    }
    assert!(!topics.is_empty(), "no cases in {}", folder().display());
    topics
}

/// The kernel's types that come with the model.
fn with_types() -> Options {
    Options { kernel: KernelBtf::reduced(), ..Options::default() }
}

/// The types of the kernel that runs here, if they can be read.
fn running_types() -> Option<Arc<Btf>> {
    let bytes = std::fs::read("/sys/kernel/btf/vmlinux").ok()?;
    Btf::parse(&bytes).ok().map(Arc::new)
}

/// Backstop's verdict; a panic is one too, and never the expected one.
fn judged(case: &Case, options: &Options) -> Result<Expected, String> {
    let program = match options.kernel.get() {
        Some(types) => build::program_for(case, types)?,
        None => build::program(case)?,
    };
    let outcome = catch_unwind(AssertUnwindSafe(|| verify(Arc::new(program), options)));
    match outcome {
        Err(_) => Err("panicked".to_owned()),
        Ok(Ok(_)) => Ok(Expected::Accept),
        Ok(Err(refusal)) => {
            let text = refusal.reason.kernel_text();
            let last = text.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or_default();
            Ok(Expected::Reject { text: last.trim_end().to_owned() })
        }
    }
}

/// Verdicts that differ, reasons that differ, and how many reasons were compared.
#[derive(Default)]
struct Report {
    verdicts: Vec<String>,
    texts: Vec<String>,
    compared: usize,
}

impl Report {
    fn judge(&mut self, topic: &str, case: &Case, options: &Options) {
        let name = format!("{topic}: {}", case.name);
        let expected = case.expected.as_ref().unwrap_or_else(|| panic!("{name}: no verdict"));
        match (expected, judged(case, options)) {
            (_, Err(why)) => self.verdicts.push(format!("{name} | expected {} | got {why}", expected.word())),
            (Expected::Accept, Ok(Expected::Accept)) => {}
            (Expected::Reject { text }, Ok(Expected::Reject { text: got })) => {
                if text.is_empty() {
                    return;
                }
                self.compared += 1;
                if corpus::mask(text) != corpus::mask(&got) {
                    self.texts.push(format!("{name} | expected `{text}` | got `{got}`"));
                }
            }
            (Expected::Accept, Ok(Expected::Reject { text })) => {
                self.verdicts.push(format!("{name} | expected accept | got reject `{text}`"));
            }
            (Expected::Reject { text }, Ok(Expected::Accept)) => {
                self.verdicts.push(format!("{name} | expected reject `{text}` | got ACCEPT"));
            }
        }
    }

    fn print(&self, cases: usize) -> String {
        let mut out = format!(
            "{cases} cases, {} verdicts differ, {} of {} reasons differ\n",
            self.verdicts.len(),
            self.texts.len(),
            self.compared
        );
        for line in &self.verdicts {
            let _ = writeln!(out, "VERDICT {line}");
        }
        for line in &self.texts {
            let _ = writeln!(out, "TEXT {line}");
        }
        out
    }
}

#[test]
fn backstop_judges_as_recorded() {
    let options = Options { compat_linux: true, ..with_types() };
    let mut report = Report::default();
    let mut cases = 0;
    for topic in topics() {
        for case in &topic.cases {
            report.judge(&topic.name, case, &options);
            cases += 1;
        }
    }
    let text = report.print(cases);
    if let Some(path) = std::env::var_os("BACKSTOP_CASES_REPORT") {
        std::fs::write(path, &text).expect("the report is written");
    }
    println!("{text}");
    assert!(report.verdicts.is_empty(), "verdicts differ:\n{text}");
    let equal = report.compared - report.texts.len();
    assert!(equal * 100 >= report.compared * TEXT_PERCENT, "reasons differ:\n{text}");
}

#[test]
fn the_running_kernels_types_lead_to_the_same_verdicts() {
    let Some(types) = running_types() else {
        println!("the_running_kernels_types_lead_to_the_same_verdicts: skipped, /sys/kernel/btf/vmlinux can't be read");
        return;
    };
    let options = Options { compat_linux: true, kernel: KernelBtf::of(types), ..Options::default() };
    let mut report = Report::default();
    for topic in topics().iter().filter(|topic| topic.name.starts_with("kernel_")) {
        topic.cases.iter().for_each(|case| report.judge(&topic.name, case, &options));
    }
    assert!(report.verdicts.is_empty() && report.texts.is_empty(), "{}", report.print(0));
}

#[test]
fn default_mode_takes_what_compat_mode_takes() {
    let options = with_types();
    let mut lost = Vec::new();
    for topic in topics() {
        for case in topic.cases.iter().filter(|case| case.expected == Some(Expected::Accept)) {
            match judged(case, &options) {
                Ok(Expected::Accept) => {}
                other => lost.push(format!("{}: {}: {other:?}", topic.name, case.name)),
            }
        }
    }
    assert!(lost.is_empty(), "refused without compat_linux:\n{}", lost.join("\n"));
}

#[test]
fn default_mode_refuses_what_no_sharper_bound_makes_safe() {
    // What a program declares of the kernel makes nothing safe where the kernel's own types are not at hand.
    let modes = [("with types", with_types()), ("without types", Options::default())];
    let mut taken = Vec::new();
    let mut judged_cases = 0;
    for topic in topics() {
        for case in topic.cases.iter().filter(|case| case.first("options") == Some("default")) {
            judged_cases += 1;
            for (mode, options) in &modes {
                match judged(case, options) {
                    Ok(Expected::Reject { .. }) => {}
                    other => taken.push(format!("{}: {} {mode}: {other:?}", topic.name, case.name)),
                }
            }
        }
    }
    assert!(judged_cases > 0, "no case has `options: default`");
    assert!(taken.is_empty(), "accepted without compat_linux:\n{}", taken.join("\n"));
}

#[test]
fn recorded_verdicts_are_the_kernels() {
    let Some(referee) = Referee::open_or_skip("recorded_verdicts_are_the_kernels") else { return };
    let bless = std::env::var_os("BACKSTOP_BLESS").is_some();
    let mut differ = Vec::new();
    let running = running_types();
    for mut topic in topics() {
        for case in &mut topic.cases {
            if case.kernel_skip().is_some() {
                continue;
            }
            let program =
                running.as_ref().map_or_else(|| build::program(case), |types| build::program_for(case, types));
            let program = program.unwrap_or_else(|why| panic!("{}: {}: {why}", topic.name, case.name));
            let got = match kernel::judge(&referee, &program) {
                Ok((got, log)) => {
                    if std::env::var("BACKSTOP_CASES_LOG").is_ok_and(|n| n == case.name) {
                        println!("{log}");
                    }
                    got
                }
                Err(why) => panic!("{}: {}: {why}", topic.name, case.name),
            };
            let own_verdict = case.first("linux").is_some();
            if bless && !own_verdict {
                case.expected = Some(got);
                continue;
            }
            let same = match (&case.expected, &got) {
                _ if own_verdict => case.linux_accepts() == Some(got == Expected::Accept),
                (Some(Expected::Reject { text }), Expected::Reject { text: got }) => {
                    corpus::mask(text) == corpus::mask(got)
                }
                (expected, got) => expected.as_ref() == Some(got),
            };
            if !same {
                differ.push(format!("{}: {}: recorded {:?}, kernel {got:?}", topic.name, case.name, case.expected));
            }
        }
        if bless {
            std::fs::write(&topic.path, corpus::print(&topic)).expect("the corpus is written");
        }
    }
    assert!(differ.is_empty(), "run with BACKSTOP_BLESS=1 to record:\n{}", differ.join("\n"));
}

#[test]
fn every_rule_has_both_verdicts() {
    let mut names = HashSet::new();
    let mut empty = Vec::new();
    let (mut accepted, mut refused) = (0, 0);
    println!("{:16} {:28} {:>6} {:>6}", "topic", "rule", "accept", "refuse");
    for topic in topics() {
        let mut rules = BTreeMap::<&str, (usize, usize)>::new();
        for case in &topic.cases {
            assert!(names.insert((topic.name.clone(), case.name.clone())), "{}: {} twice", topic.name, case.name);
            let cell = rules.entry(case.rule()).or_default();
            match &case.expected {
                Some(Expected::Accept) => cell.0 += 1,
                Some(Expected::Reject { .. }) => cell.1 += 1,
                None => panic!("{}: {}: no verdict", topic.name, case.name),
            }
        }
        let (mut a, mut r) = (0, 0);
        for (rule, (accept, reject)) in &rules {
            if *accept == 0 || *reject == 0 {
                empty.push(format!("{}: {rule}", topic.name));
            }
            println!("{:16} {rule:28} {accept:>6} {reject:>6}", topic.name);
            a += accept;
            r += reject;
        }
        println!("{:16} {:28} {a:>6} {r:>6}", topic.name, "all");
        accepted += a;
        refused += r;
    }
    println!("{accepted} accepted, {refused} refused");
    assert!(empty.is_empty(), "rules with an empty cell: {empty:?}");
}
