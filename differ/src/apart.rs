//! Programs in a process of their own: what kills a process is an outcome like any other.
//!
//! A trap in compiled code (a division that the machine refuses, an address that nobody has) ends the process that runs it: the runtime
//! installs no signal handlers, which belong to its host. So a session that must survive one runs in a child, which notes in a
//! [`Journal`] what it is about to try; when it dies its parent reads the journal, and tries and reduces what stands there by [`Apart`], in
//! children that answer question by question ([`serve`]) and are started anew whenever one dies.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::fs::FileExt;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, SystemTime};

use crate::case::Case;
use crate::column::{Columns, Rules};
use crate::reduce::{Reduced, reduce};
use crate::trial::{Compare, Difference, Tried, What};

/// Instructions that a proof of a case may take.
const INSNS: u64 = 1_000_000;
/// A child that answers later is killed; what it was asked then shows nothing.
const PATIENCE: Duration = Duration::from_secs(20);
/// Bytes of a question or an answer.
const MOST: u64 = 64 << 20;
/// Bytes of a journal's entry.
const ENTRY: u64 = 8;
/// Numbers that name what the only thread of a process tries.
pub const NAMED_BY: usize = 4;
/// Between the parts of an answer.
const PARTS: char = '\0';

/// What each thread of a session is about to try, in a file that outlives the process.
#[derive(Debug)]
pub struct Journal(File);

impl Journal {
    /// Starts an empty one.
    ///
    /// # Errors
    /// The file can't be made.
    pub fn create(path: &Path) -> io::Result<Journal> {
        File::create(path).map(Journal)
    }

    /// A thread is about to try a program. Only what was noted last by each thread is kept.
    pub fn tries(&self, thread: usize, number: u64) {
        // What can't be noted is not found again, which its reader says.
        let _ = self.0.write_all_at(&number.wrapping_add(1).to_ne_bytes(), thread as u64 * ENTRY);
    }

    /// The one thread is about to try something that takes several numbers to name, at most [`NAMED_BY`].
    pub fn tries_part(&self, numbers: &[u64]) {
        // What is not named takes the place of what was.
        let mut entries = [0; NAMED_BY];
        for (entry, number) in entries.iter_mut().zip(numbers) {
            *entry = number.wrapping_add(1);
        }
        // As above.
        let _ = self.0.write_all_at(entries.map(u64::to_ne_bytes).as_flattened(), 0);
    }

    /// Nothing is tried any more: what follows may take as long as it likes.
    pub fn tries_no_more(&self) {
        // As above.
        let _ = self.0.set_len(0);
    }

    /// When something was noted last; `None` while nothing is being tried.
    pub fn last(path: &Path) -> Option<SystemTime> {
        let metadata = std::fs::metadata(path).ok()?;
        metadata.modified().ok().filter(|_| metadata.len() > 0)
    }

    /// What was being tried when the process ended: by each thread, or the numbers that name it.
    ///
    /// # Errors
    /// The file can't be read.
    pub fn read(path: &Path) -> io::Result<Vec<u64>> {
        let bytes = std::fs::read(path)?;
        let (entries, _) = bytes.as_chunks::<8>();
        // 0 is where nothing was noted.
        Ok(entries.iter().filter_map(|entry| u64::from_ne_bytes(*entry).checked_sub(1)).collect())
    }
}

/// How a process ended, if a signal ended it.
pub fn killed(status: ExitStatus) -> Option<String> {
    let signal = status.signal()?;
    let name = match signal {
        libc_signal::ILL => " (SIGILL)",
        libc_signal::TRAP => " (SIGTRAP)",
        libc_signal::ABRT => " (SIGABRT)",
        libc_signal::BUS => " (SIGBUS)",
        libc_signal::FPE => " (SIGFPE)",
        libc_signal::KILL => " (SIGKILL)",
        libc_signal::SEGV => " (SIGSEGV)",
        libc_signal::SYS => " (SIGSYS)",
        _ => "",
    };
    Some(format!("the process was killed by signal {signal}{name}"))
}

/// Whether the process ended by what it did itself: an end, or a signal that the processor or the kernel sends for a fault. Any other signal
/// (SIGINT, SIGTERM, SIGKILL, also of a system that is short of memory) comes from outside and shows nothing about a program.
pub fn by_itself(status: ExitStatus) -> bool {
    status.signal().is_none_or(|signal| libc_signal::FAULTS.contains(&signal))
}

/// Numbers of signals on Linux.
mod libc_signal {
    pub const ILL: i32 = 4;
    pub const TRAP: i32 = 5;
    pub const ABRT: i32 = 6;
    pub const BUS: i32 = 7;
    pub const FPE: i32 = 8;
    pub const KILL: i32 = 9;
    pub const SEGV: i32 = 11;
    pub const SYS: i32 = 31;
    pub const FAULTS: [i32; 7] = [ILL, TRAP, ABRT, BUS, FPE, SEGV, SYS];
}

/// Answers questions until there are no more: cases, each with its length in bytes on a line before it, and the engines to try it on.
///
/// # Errors
/// Input or output fails, or the input holds something else.
pub fn serve(make: &dyn Fn(Rules) -> Columns, input: &mut dyn BufRead, output: &mut dyn Write) -> io::Result<()> {
    let wrong = |what: &dyn std::fmt::Display| io::Error::new(io::ErrorKind::InvalidData, what.to_string());
    loop {
        let mut line = String::new();
        if input.read_line(&mut line)? == 0 {
            return Ok(());
        }
        let (len, only) = line.trim_end().split_once(' ').unwrap_or((line.trim_end(), ""));
        let len: u64 = len.parse().map_err(|error| wrong(&error))?;
        let mut text = String::new();
        input.take(len.min(MOST)).read_to_string(&mut text)?;
        let case: Case = text.parse().map_err(|error| wrong(&error))?;
        let mut columns = make(case.rules);
        if !only.is_empty() {
            columns.keep(only);
        }
        let answer = match columns.attempt(&case.program, &case.inputs, Compare::All, INSNS) {
            Tried::Differs(difference) => told(&difference),
            Tried::Same(_) | Tried::Refused(_) | Tried::Unsupported(_) | Tried::PassedOver => String::new(),
        };
        write!(output, "{}\n{answer}", answer.len())?;
        output.flush()?;
    }
}

fn told(difference: &Difference) -> String {
    let Difference { what, columns: [left, right], made: [a, b] } = difference;
    [what.to_string().as_str(), left, right, a, b].map(|part| part.replace(PARTS, " ")).join("\0")
}

fn heard(text: &str) -> Option<Difference> {
    let parts: Vec<&str> = text.split(PARTS).collect();
    let [what, left, right, a, b] = parts.as_slice() else { return None };
    let what = What::ALL.into_iter().find(|known| known.to_string() == *what)?;
    let columns = [left, right].map(|part| (*part).to_owned());
    Some(Difference { what, columns, made: [a, b].map(|part| (*part).to_owned()) })
}

/// Tries cases in children, each made by a command whose process calls [`serve`] over its standard input and output.
pub struct Apart<'c> {
    command: Box<dyn Fn() -> Command + 'c>,
    running: Option<Running>,
}

impl std::fmt::Debug for Apart<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Apart").field("running", &self.running).finish_non_exhaustive()
    }
}

#[derive(Debug)]
struct Running {
    child: Child,
    /// Whole answers, as they come.
    answers: Receiver<String>,
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may be gone already, which is as well.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What a child did with a question.
enum Answer {
    Said(Option<Difference>),
    Killed(String),
    /// Too late, or the child was killed from outside: it shows nothing.
    Late,
}

impl<'c> Apart<'c> {
    /// Children of this command.
    pub fn new(command: impl Fn() -> Command + 'c) -> Apart<'c> {
        Apart { command: Box::new(command), running: None }
    }

    /// How a case differs, if it does: as the child says, or because the child dies of it. Then it is tried on each engine alone, to name
    /// the one that kills.
    ///
    /// # Errors
    /// No child can be started.
    pub fn attempt(&mut self, case: &Case, engines: &[&str]) -> io::Result<Option<Difference>> {
        match self.ask(case, "")? {
            Answer::Said(difference) => Ok(difference),
            Answer::Late => Ok(None),
            Answer::Killed(how) => {
                let mut deadly = None;
                for engine in engines {
                    if let Answer::Killed(_) = self.ask(case, engine)? {
                        deadly = Some(*engine);
                        break;
                    }
                }
                Ok(Some(Difference::killed(how, deadly)))
            }
        }
    }

    /// A difference if the case does not end in the time that a child has for an answer. Each engine is tried alone then, to name the one.
    ///
    /// # Errors
    /// No child can be started.
    pub fn endless(&mut self, case: &Case, engines: &[&str]) -> io::Result<Option<Difference>> {
        if !matches!(self.ask(case, "")?, Answer::Late) {
            return Ok(None);
        }
        let mut which = None;
        for engine in engines {
            if let Answer::Late = self.ask(case, engine)? {
                which = Some(*engine);
                break;
            }
        }
        Ok(Some(Difference::killed(format!("it does not end within {} s", PATIENCE.as_secs()), which)))
    }

    /// The smallest case that still kills, or differs, like this one. `None` if it does nothing of the kind when it is tried again.
    ///
    /// # Errors
    /// No child can be started.
    pub fn reduce(&mut self, case: &Case, engines: &[&str], stop: &dyn Fn() -> bool) -> io::Result<Option<Reduced>> {
        let mut failed = None;
        let mut kills = None;
        let mut test = |program: &backstop::model::Program, inputs: &[Vec<u8>]| {
            let case = Case { program: program.clone(), inputs: inputs.to_vec(), rules: case.rules };
            // The engine is named at last, which takes more children.
            let difference = match self.attempt(&case, &[]) {
                Ok(difference) => difference?,
                Err(error) => {
                    failed = Some(error);
                    return None;
                }
            };
            // What is seen while everything ends is no witness.
            if stop() {
                return None;
            }
            let alike = *kills.get_or_insert(difference.what == What::Killed) == (difference.what == What::Killed);
            alike.then_some(difference)
        };
        let reduced = reduce(&case.program, &case.inputs, &mut test, stop);
        if let Some(error) = failed {
            return Err(error);
        }
        let Some(mut reduced) = reduced else { return Ok(None) };
        let smallest = Case { program: reduced.program.clone(), inputs: reduced.inputs.clone(), rules: case.rules };
        if let Some(difference) = self.attempt(&smallest, engines)? {
            reduced.difference = difference;
        }
        Ok(Some(reduced))
    }

    fn ask(&mut self, case: &Case, only: &str) -> io::Result<Answer> {
        let mut running = match self.running.take() {
            Some(running) => running,
            None => Running::start((self.command)())?,
        };
        let text = case.to_string();
        let asked = match &mut running.child.stdin {
            Some(stdin) => write!(stdin, "{} {only}\n{text}", text.len()).and_then(|()| stdin.flush()),
            None => Ok(()),
        };
        // A child that can't be written to is as dead as one that does not answer.
        let answer =
            asked.ok().map_or(Err(RecvTimeoutError::Disconnected), |()| running.answers.recv_timeout(PATIENCE));
        match answer {
            Ok(answer) => {
                self.running = Some(running);
                Ok(Answer::Said(heard(&answer)))
            }
            Err(RecvTimeoutError::Timeout) => Ok(Answer::Late),
            Err(RecvTimeoutError::Disconnected) => {
                let status = running.child.wait()?;
                match killed(status) {
                    Some(how) if by_itself(status) => Ok(Answer::Killed(how)),
                    Some(_) => Ok(Answer::Late),
                    // It ended by itself: it is no server.
                    None => Err(io::Error::other("the child that tries programs ended")),
                }
            }
        }
    }
}

impl Running {
    fn start(mut command: Command) -> io::Result<Running> {
        // A terminal's SIGINT is for the parent, which decides what becomes of its children.
        command.process_group(0);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
        let stdout = child.stdout.take().ok_or_else(|| io::Error::other("a child without output"))?;
        let (send, answers) = channel();
        std::thread::spawn(move || {
            let mut from = BufReader::new(stdout);
            while let Ok(answer) = one_answer(&mut from) {
                if send.send(answer).is_err() {
                    break;
                }
            }
        });
        Ok(Running { child, answers })
    }
}

fn one_answer(from: &mut impl BufRead) -> io::Result<String> {
    let mut line = String::new();
    from.read_line(&mut line)?;
    let len: u64 = line.trim_end().parse().map_err(|_| io::Error::from(io::ErrorKind::UnexpectedEof))?;
    let mut bytes = Vec::new();
    from.take(len.min(MOST)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 != len {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    String::from_utf8(bytes).map_err(|_| io::ErrorKind::InvalidData.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_child_that_is_killed_from_outside_shows_nothing_of_a_program() {
        let case: Case =
            "type: raw_mem\nmemory: 8\ninput: 0000000000000000\ncode:\nr0 = 7\nexit\n".parse().expect("a case");
        let shown = |signal: &str| {
            let mut apart = Apart::new(|| {
                let mut command = Command::new("sh");
                command.args(["-c", &format!("read line; kill -{signal} $$")]);
                command
            });
            apart.attempt(&case, &["one"]).expect("a child").map(|difference| difference.what)
        };
        // Not INT and HUP, which a process may have inherited as ignored.
        for outside in ["TERM", "KILL", "USR1", "ALRM"] {
            assert_eq!(shown(outside), None, "{outside}");
        }
        for fault in ["ILL", "TRAP", "ABRT", "BUS", "FPE", "SEGV", "SYS"] {
            assert_eq!(shown(fault), Some(What::Killed), "{fault}");
        }
    }

    #[test]
    fn a_journal_has_what_was_noted_last() {
        let path = std::env::temp_dir().join(format!("backstop-journal-{}", std::process::id()));
        let journal = Journal::create(&path).expect("a file");
        let read = || Journal::read(&path).expect("the file");
        assert_eq!(read(), []);
        journal.tries_part(&[7, 0, 3]);
        assert_eq!(read(), [7, 0, 3]);
        journal.tries_part(&[8, 1]);
        assert_eq!(read(), [8, 1]);
        journal.tries(0, 5);
        journal.tries(6, u64::MAX - 1);
        assert_eq!(read(), [5, 1, u64::MAX - 1]);
        std::fs::remove_file(&path).expect("the file");
    }
}
