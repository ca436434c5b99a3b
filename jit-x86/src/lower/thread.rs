//! Blocks that only jump on: whoever goes there goes on at once, and they need no code.

use backstop_ir::{BlockId, Func, Term};

/// For each block where going there ends up; a block with code of its own ends up at itself.
pub(super) fn destinations(func: &Func) -> Vec<BlockId> {
    let hop = |b: BlockId| match func.blocks.get(b.0 as usize) {
        Some(block) if block.ops.is_empty() && b.0 != 0 => match block.term {
            Term::Jump(to) => Some(to),
            Term::Branch { .. } | Term::MayGoto { .. } | Term::Return | Term::Unreachable => None,
        },
        _ => None,
    };
    let mut ends: Vec<Option<BlockId>> = vec![None; func.blocks.len()];
    // The last start whose path came by.
    let mut seen = vec![None; func.blocks.len()];
    for start in (0..func.blocks.len() as u32).map(BlockId) {
        let mut path = Vec::new();
        let mut at = start;
        let end = loop {
            if let Some(known) = ends.get(at.0 as usize).copied().flatten() {
                break known;
            }
            // Around an empty loop: one of its blocks must have code, so it is this one.
            match seen.get_mut(at.0 as usize) {
                Some(by) if *by == Some(start) => break at,
                Some(by) => *by = Some(start),
                None => break at,
            }
            match hop(at) {
                Some(to) => {
                    path.push(at);
                    at = to;
                }
                None => break at,
            }
        };
        path.push(start);
        for block in path {
            if let Some(slot) = ends.get_mut(block.0 as usize) {
                *slot = Some(end);
            }
        }
    }
    (0..).map(BlockId).zip(ends).map(|(own, end)| end.unwrap_or(own)).collect()
}
