//! Findings as files. Each is written when it is found, and again when it is reduced; a file is whole whenever the process ends.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::{fs, io};

use backstop_differ::{Finding, Settings};

/// Where the findings of a run go, by number.
pub struct Saved {
    folder: PathBuf,
    made: Made,
    files: Mutex<Files>,
}

/// How programs were made, which their number among them completes.
pub struct Made {
    /// What messages call one.
    pub what: String,
    /// How files are called, before the number.
    pub file: String,
    /// The command that makes one again, before `--first` and behind it.
    pub again: [String; 2],
}

impl From<&Settings> for Made {
    fn from(settings: &Settings) -> Made {
        let Settings { seed, linux, .. } = settings;
        Made {
            what: "program".to_owned(),
            file: format!("diff-{seed}"),
            again: [format!("backstop diff --seed {seed}"), format!("--count 1 --linux {linux}")],
        }
    }
}

/// Each finding's file, or why it has none.
pub type Files = BTreeMap<u64, Result<PathBuf, String>>;

impl Saved {
    /// Into this folder.
    pub fn new(folder: &Path, made: impl Into<Made>) -> Saved {
        Saved { folder: folder.to_owned(), made: made.into(), files: Mutex::default() }
    }

    /// The file of a finding.
    pub fn path(&self, number: u64) -> PathBuf {
        self.folder.join(format!("{}-{number}.case", self.made.file))
    }

    /// Writes the smallest case of a finding; gives a line that says so, or why not.
    pub fn keep(&self, finding: &Finding) -> String {
        let number = finding.number;
        let (path, what) = (self.path(number), &self.made.what);
        let made = replace(&path, &self.text(finding)).map_err(|error| format!("{}: {error}", path.display()));
        let line = match &made {
            Ok(()) => format!("{what} {number} differs; saved as {}", path.display()),
            Err(why) => format!("error: {what} {number} differs and can't be saved: {why}"),
        };
        let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        // A failure must not hide an earlier success: that file is still there.
        if made.is_ok() || !matches!(files.get(&number), Some(Ok(_))) {
            files.insert(number, made.map(|()| path));
        }
        line
    }

    /// The file of a finding that another process left, if it did.
    #[cfg(unix)]
    pub fn take_over(&self, number: u64) {
        let path = self.path(number);
        if path.is_file() {
            self.files.lock().unwrap_or_else(PoisonError::into_inner).insert(number, Ok(path));
        }
    }

    /// What was written so far.
    pub fn files(&self) -> Files {
        self.files.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// All that was written.
    pub fn into_files(self) -> Files {
        self.files.into_inner().unwrap_or_else(PoisonError::into_inner)
    }

    fn text(&self, finding: &Finding) -> String {
        let [before, behind] = &self.made.again;
        let (difference, state) = match &finding.reduced {
            Some(reduced) if reduced.cut_short => (&reduced.difference, "// its reduction was cut short\n"),
            Some(reduced) => (&reduced.difference, ""),
            None => (&finding.difference, "// not reduced\n"),
        };
        let comments: String = difference.to_string().lines().map(|line| format!("// {line}\n")).collect();
        format!("// {before} --first {} {behind}\n{state}{comments}{}", finding.number, finding.smallest())
    }
}

/// Puts a whole file in the place of another.
fn replace(path: &Path, text: &str) -> io::Result<()> {
    let part = path.with_extension("case.part");
    fs::write(&part, text)?;
    fs::rename(&part, path)
}

#[cfg(test)]
mod tests {
    use backstop_differ::{Case, Difference, Reduced, Rules, Session, What};

    use super::*;

    fn finding(reduced: Option<bool>) -> Finding {
        let made = Session::new(Settings { seed: 3, ..Settings::default() }).expect("a session").generate(5);
        let difference = Difference {
            what: What::End,
            columns: ["interp".to_owned(), "jit".to_owned()],
            made: ["1".to_owned(), "2".to_owned()],
        };
        let case = Case { program: made.program, inputs: vec![made.input], rules: Rules::default() };
        let reduced = reduced.map(|cut_short| Reduced {
            program: case.program.clone(),
            inputs: Vec::new(),
            difference: difference.clone(),
            tests: 9,
            cut_short,
        });
        Finding { number: 5, difference, case, reduced }
    }

    #[test]
    fn a_finding_is_a_file_at_once_and_its_reduction_replaces_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let saved = Saved::new(folder.path(), &Settings { seed: 3, linux: 0, ..Settings::default() });
        let path = folder.path().join("diff-3-5.case");
        let text = |finding: &Finding| {
            let line = saved.keep(finding);
            assert!(line.contains("program 5 differs; saved as"), "{line}");
            let text = fs::read_to_string(&path).expect("the file");
            text.parse::<Case>().expect("a case");
            text
        };
        let found = text(&finding(None));
        assert!(
            found.starts_with("// backstop diff --seed 3 --first 5 --count 1 --linux 0\n// not reduced\n"),
            "{found}"
        );
        assert!(found.contains("\ninput: "));
        let short = text(&finding(Some(true)));
        assert!(short.contains("// its reduction was cut short\n") && !short.contains("\ninput: "), "{short}");
        let reduced = text(&finding(Some(false)));
        assert!(!reduced.contains("reduc") && reduced.contains("// interp and jit differ: result\n"), "{reduced}");
        let files: Vec<_> = fs::read_dir(folder.path()).expect("the folder").collect();
        assert_eq!(files.len(), 1, "{files:?}");
        assert_eq!(saved.into_files().get(&5), Some(&Ok(path)));
    }

    #[test]
    fn what_can_not_be_saved_is_told_and_lost_to_nobody() {
        let folder = tempfile::tempdir().expect("a folder");
        let gone = folder.path().join("gone");
        let saved = Saved::new(&gone, &Settings::default());
        let line = saved.keep(&finding(None));
        assert!(line.starts_with("error: program 5 differs and can't be saved: "), "{line}");
        assert!(saved.into_files().get(&5).is_some_and(Result::is_err));
    }
}
