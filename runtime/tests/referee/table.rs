//! docs/linux-differences.md as data: the rows of its table `object | program | linux | reason`.

use std::path::Path;

/// How Linux differs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Side {
    /// It takes what Backstop refuses.
    Accepts,
    /// It refuses what Backstop takes.
    Refuses,
    /// Both take it, and Linux makes something else of an input.
    RunsOtherwise,
}

/// One difference that is meant.
#[derive(Clone, Debug)]
pub struct Row {
    pub object: String,
    pub program: String,
    pub linux: Side,
    /// A part of what the side that refuses says; empty for runs.
    pub text: String,
}

pub struct Table(Vec<Row>);

impl Table {
    pub fn read(path: &Path) -> Table {
        let text = std::fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        let rows = text.lines().filter(|line| line.starts_with("| `")).map(row);
        Table(rows.collect())
    }

    pub fn rows(&self) -> impl Iterator<Item = &Row> {
        self.0.iter()
    }

    /// The row for a difference, whose refusal says `reason`.
    pub fn find(&self, object: &str, program: &str, linux: Side, reason: &str) -> Option<usize> {
        self.0.iter().position(|row| {
            (row.object.as_str(), row.program.as_str(), row.linux) == (object, program, linux)
                && reason.contains(&row.text)
        })
    }
}

fn row(line: &str) -> Row {
    let cells: Vec<&str> = line.trim().trim_matches('|').split('|').map(|cell| cell.trim().trim_matches('`')).collect();
    let [object, program, linux, text, reason] = cells.as_slice() else { panic!("not five cells: {line}") };
    assert!(!reason.is_empty(), "no reason: {line}");
    let linux = match *linux {
        "accepts" => Side::Accepts,
        "refuses" => Side::Refuses,
        "runs otherwise" => Side::RunsOtherwise,
        other => panic!("`{other}` is none of `accepts`, `refuses`, `runs otherwise`: {line}"),
    };
    Row { object: (*object).to_owned(), program: (*program).to_owned(), linux, text: (*text).to_owned() }
}
