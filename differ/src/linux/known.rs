//! Differences to Linux that are meant, as data: each a narrow predicate with its reason and a program that shows it.
//!
//! docs/linux-differences.md has the same list; a test holds the two, and the running kernel, together.

use crate::trial::{Difference, What};

/// Who refuses what the other takes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Side {
    /// Backstop.
    Backstop,
    /// Linux.
    Linux,
}

/// A kind of verdicts that are meant to differ.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Known {
    /// Who refuses.
    pub side: Side,
    /// What the refusal says: text that stands in this order, with anything in the gaps. A refusal of Linux's must begin with the first.
    pub says: &'static [&'static str],
    /// Why that is meant.
    pub reason: &'static str,
    /// A program that shows it, of the committed objects or the cases of this crate's tests: `OBJECT PROGRAM` or `NAME.case`.
    pub witness: &'static str,
}

/// All of them.
pub const KNOWN: &[Known] = &[
    Known {
        side: Side::Backstop,
        says: &["global function ", "() called at insn ", " may throw while ", " is held"],
        reason: "a global subprogram throws while its caller holds something, which Linux leaks",
        witness: "throw_holes.bpf.o hole_record",
    },
    Known {
        side: Side::Backstop,
        says: &["refused at instruction ", "At program exit the register R1 has ", " should have been in ["],
        reason: "a global subprogram throws a cookie out of the program's range, which Linux does not look at",
        witness: "throw_holes.bpf.o hole_cookie",
    },
    Known {
        side: Side::Backstop,
        says: &["cannot spill a callback's key into a stack frame that outlives the callback"],
        reason: "Linux keeps the key of an element readable after the callback that got it has returned",
        witness: "key_kept.case",
    },
    Known {
        side: Side::Backstop,
        says: &["invalid bpf_context access off=-", " size="],
        reason: "Linux compares a negative offset into a tracepoint's context without its sign",
        witness: "before_context.case",
    },
    Known {
        side: Side::Linux,
        says: &["verifier bug: scc exit: no visit info for call chain (", ")"],
        reason: "Linux's bookkeeping of loops fails where a loop throws, and it reports a bug of its own",
        witness: "throw_in_loop.case",
    },
];

impl Known {
    /// Whether it is this difference.
    pub fn is(&self, difference: &Difference) -> bool {
        let (refuses, takes) = match self.side {
            Side::Backstop => (0, 1),
            Side::Linux => (1, 0),
        };
        let made = |side: usize| difference.made.get(side).map_or("", String::as_str);
        difference.what == What::Verdict && made(takes) == super::TAKES && self.fits(made(refuses))
    }

    fn fits(&self, text: &str) -> bool {
        let mut rest = text;
        for (n, part) in self.says.iter().enumerate() {
            match rest.find(part) {
                Some(0) if n == 0 => rest = rest.get(part.len()..).unwrap_or_default(),
                Some(_) if n == 0 && self.side == Side::Linux => return false,
                Some(at) => rest = rest.get(at + part.len()..).unwrap_or_default(),
                None => return false,
            }
        }
        true
    }
}

/// The entry that says that a difference is meant.
pub(super) fn find(difference: &Difference) -> Option<&'static Known> {
    KNOWN.iter().find(|known| known.is(difference))
}
