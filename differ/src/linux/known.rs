//! Differences to Linux that are meant: each a narrow predicate with its reason, as docs/linux-differences.md lists them.

use backstop::model::Program;

use crate::trial::{Difference, What};

/// A kind of differences.
struct Known {
    /// In what they are.
    what: What,
    /// A part of what the side that refuses says.
    says: &'static str,
    /// Who refuses: 0 Backstop, 1 Linux.
    side: usize,
    reason: &'static str,
}

const KNOWN: [Known; 1] = [Known {
    what: What::Verdict,
    says: "verifier bug",
    side: 1,
    reason: "Linux's verifier meets a fault of its own, and says so",
}];

/// Why a difference is meant, if it is.
pub(super) fn reason(_program: &Program, difference: &Difference) -> Option<&'static str> {
    let fits = |known: &&Known| {
        difference.what == known.what && difference.made.get(known.side).is_some_and(|made| made.contains(known.says))
    };
    KNOWN.iter().find(fits).map(|known| known.reason)
}
