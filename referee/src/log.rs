//! The verifier's log, read for what tests compare: the reason of a refusal and the counts of work.

/// What `BPF_LOG_STATS` (log level 4) and the last line of levels 1 and 2 tell.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stats {
    /// Time of the verification in microseconds (level 4 only).
    pub verification_time_usec: Option<u64>,
    /// Instructions that the verifier stepped through, over all paths.
    pub processed_insns: u64,
    /// The limit on them.
    pub insn_limit: Option<u64>,
    /// The most states kept at one instruction.
    pub max_states_per_insn: Option<u64>,
    /// All states ever kept.
    pub total_states: Option<u64>,
    /// The most states kept at one time.
    pub peak_states: Option<u64>,
    /// The longest walk that marked liveness.
    pub mark_read: Option<u64>,
}

/// A log as the kernel wrote it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct VerifierLog {
    pub(crate) text: String,
    pub(crate) truncated: bool,
}

impl VerifierLog {
    /// A log from text.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self { text: text.into(), truncated: false }
    }

    /// All of it; empty at log level 0.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether the log was longer than the bound of 64 MiB, so that only its end is here.
    #[must_use]
    pub fn is_truncated(&self) -> bool {
        self.truncated
    }

    /// The last line that is not blank.
    #[must_use]
    pub fn last_line(&self) -> Option<&str> {
        self.text.lines().rev().map(str::trim_end).find(|line| !line.is_empty())
    }

    /// The last line that says something about the program: the one before the counts. In a refusal it is the reason.
    #[must_use]
    pub fn reason(&self) -> Option<&str> {
        self.text.lines().rev().map(str::trim_end).find(|line| !line.is_empty() && !is_count(line))
    }

    /// Whether any line holds `text`.
    #[must_use]
    pub fn contains(&self, text: &str) -> bool {
        self.text.contains(text)
    }

    /// The counts, where the log has them.
    #[must_use]
    pub fn stats(&self) -> Option<Stats> {
        let line = self.text.lines().rev().find(|line| line.starts_with("processed "))?;
        let words: Vec<&str> = line.split_whitespace().collect();
        let after = |key: &str| {
            let at = words.iter().position(|word| word.trim_start_matches('(') == key)?;
            words.get(at.checked_add(1)?)?.trim_end_matches(')').parse().ok()
        };
        let time = self.text.lines().rev().find_map(|line| line.strip_prefix("verification time "));
        Some(Stats {
            verification_time_usec: time.and_then(|text| text.split_whitespace().next()?.parse().ok()),
            processed_insns: after("processed")?,
            insn_limit: after("limit"),
            max_states_per_insn: after("max_states_per_insn"),
            total_states: after("total_states"),
            peak_states: after("peak_states"),
            mark_read: after("mark_read"),
        })
    }
}

fn is_count(line: &str) -> bool {
    ["processed ", "verification time ", "stack depth "].iter().any(|start| line.starts_with(start))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: &str = "0: (95) exit\nR0 !read_ok\nverification time 17 usec\nstack depth 0+8\n\
        processed 12 insns (limit 1000000) max_states_per_insn 1 total_states 3 peak_states 2 mark_read 4\n\n";

    #[test]
    fn reads_reason_and_counts() {
        let log = VerifierLog::new(LOG);
        assert_eq!(log.reason(), Some("R0 !read_ok"));
        assert!(log.last_line().is_some_and(|line| line.starts_with("processed 12")));
        let stats = log.stats().expect("counts");
        assert_eq!(stats.verification_time_usec, Some(17));
        assert_eq!((stats.processed_insns, stats.insn_limit), (12, Some(1_000_000)));
        assert_eq!((stats.max_states_per_insn, stats.total_states), (Some(1), Some(3)));
        assert_eq!((stats.peak_states, stats.mark_read), (Some(2), Some(4)));
    }

    #[test]
    fn empty_log_says_nothing() {
        let log = VerifierLog::default();
        assert_eq!((log.reason(), log.last_line(), log.stats()), (None, None, None));
    }
}
