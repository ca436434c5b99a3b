//! Where loops start: their heads are worth aligning.

use backstop_ir::Func;

use crate::live::successors;

/// A line of the instruction cache and of the decoded one.
const INNERMOST: usize = 64;
const OUTER: usize = 16;

/// The alignment in bytes of each block's start: more than 1 at loop heads.
pub(super) fn alignments(func: &Func) -> Vec<usize> {
    // By head, the last block that jumps back to it.
    let mut last = vec![None; func.blocks.len()];
    for (i, block) in func.blocks.iter().enumerate() {
        for to in successors(&block.term) {
            if let Some(slot) = last.get_mut(to.0 as usize)
                && to.0 as usize <= i
            {
                *slot = Some(i);
            }
        }
    }
    let mut heads_before = Vec::with_capacity(last.len() + 1);
    heads_before.push(0usize);
    for slot in &last {
        heads_before.push(heads_before.last().copied().unwrap_or(0) + usize::from(slot.is_some()));
    }
    let align = |(head, last): (usize, &Option<usize>)| {
        let Some(last) = *last else { return 1 };
        let heads_inside = heads_before.get(last + 1).zip(heads_before.get(head + 1)).map_or(0, |(a, b)| a - b);
        if heads_inside == 0 { INNERMOST } else { OUTER }
    };
    last.iter().enumerate().map(align).collect()
}
