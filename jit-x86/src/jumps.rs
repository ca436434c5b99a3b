//! Which jumps can be short.
//!
//! The code is emitted twice. The first round makes all jumps near and measures; the second makes those short that surely reach. That
//! is sure because the second round can only shrink what lies between a jump and its target, save for the padding of alignments,
//! for which the worst is assumed.

use crate::emit::Label;

/// A jump as emitted.
pub(crate) struct JumpSite {
    /// The byte after it.
    pub(crate) end: usize,
    pub(crate) to: Label,
}

/// For each jump, in order of emission, whether it is short.
#[derive(Default)]
pub(crate) struct JumpPlan {
    short: Vec<bool>,
}

impl JumpPlan {
    pub(crate) fn is_short(&self, jump: usize) -> bool {
        self.short.get(jump).copied().unwrap_or(false)
    }

    /// Whether it shortens anything.
    pub(crate) fn shortens(&self) -> bool {
        self.short.contains(&true)
    }

    /// The plan for code that was emitted with `jumps`; `alignments` are ascending offsets with what each was aligned to.
    pub(crate) fn of(
        jumps: &[JumpSite],
        alignments: &[(usize, usize)],
        offset: impl Fn(Label) -> Option<usize>,
    ) -> JumpPlan {
        let mut slack = vec![0usize];
        for &(_, to) in alignments {
            slack.push(slack.last().copied().unwrap_or(0) + to.saturating_sub(1));
        }
        let slack_below = |at: usize| {
            let before = alignments.partition_point(|&(offset, _)| offset <= at);
            slack.get(before).copied().unwrap_or(0)
        };
        let reaches = |jump: &JumpSite| {
            let Some(target) = offset(jump.to) else { return false };
            let (low, high) = (jump.end.min(target), jump.end.max(target));
            high - low + (slack_below(high) - slack_below(low)) <= 127
        };
        JumpPlan { short: jumps.iter().map(reaches).collect() }
    }
}
