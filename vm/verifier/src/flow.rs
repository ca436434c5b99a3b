//! Where control may go within functions, and where it comes from: found once, before the passes and walks that ask for it.

use crate::code::{Code, successors};

/// No slot.
const NONE: u32 = u32::MAX;

/// The edges between a program's slots, calls left out.
#[derive(Debug, Default)]
pub(crate) struct Flow {
    /// The next slot and the branch's target.
    after: Vec<(u32, u32)>,
    /// Where the list of each slot's predecessors starts in `before`, and one more for where the last ends.
    starts: Vec<u32>,
    before: Vec<u32>,
}

impl Flow {
    pub fn of(code: &[Code]) -> Flow {
        let slot = |to: Option<usize>| to.and_then(|to| u32::try_from(to).ok()).unwrap_or(NONE);
        let after: Vec<(u32, u32)> = (0..code.len())
            .map(|at| {
                let (next, branch) = successors(code, at);
                (slot(next), slot(branch))
            })
            .collect();
        let edges = || {
            let inside = |to: &u32| (*to as usize) < code.len();
            let of = move |(at, &(a, b)): (usize, &(u32, u32))| {
                [a, b].into_iter().filter(inside).map(move |to| (at as u32, to as usize))
            };
            after.iter().enumerate().flat_map(of)
        };
        // Counted, summed up to where each list ends, and filled from there backwards.
        let mut starts = vec![0u32; code.len() + 1];
        edges().for_each(|(_, to)| starts[to] += 1);
        let mut sum = 0;
        for start in &mut starts {
            sum += *start;
            *start = sum;
        }
        let mut before = vec![0; sum as usize];
        let edges: Vec<(u32, usize)> = edges().collect();
        for (at, to) in edges.into_iter().rev() {
            starts[to] -= 1;
            before[starts[to] as usize] = at;
        }
        Flow { after, starts, before }
    }

    /// The next slot and the branch's target, which may lie outside the program.
    pub fn successors(&self, at: usize) -> (Option<usize>, Option<usize>) {
        let (next, branch) = self.after.get(at).copied().unwrap_or((NONE, NONE));
        let slot = |to: u32| (to != NONE).then_some(to as usize);
        (slot(next), slot(branch))
    }

    /// Bytes that it takes.
    pub fn bytes(&self) -> usize {
        size_of_val(self.after.as_slice()) + size_of_val(self.starts.as_slice()) + size_of_val(self.before.as_slice())
    }

    /// The slots that lead to a slot, ascending.
    pub fn predecessors(&self, at: usize) -> &[u32] {
        let (Some(start), Some(end)) = (self.starts.get(at), self.starts.get(at + 1)) else { return &[] };
        self.before.get(*start as usize..*end as usize).unwrap_or(&[])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::code::decode_program;
    use backstop_isa::{CmpOp, Instr, Operand, Reg, Width, encode_all};

    #[test]
    fn every_edge_is_found_from_both_ends() {
        let branch = |off| Instr::Branch { width: Width::W64, op: CmpOp::Eq, dst: Reg::R0, src: Operand::Imm(0), off };
        let program = [Instr::LoadImm64 { dst: Reg::R0, imm: 1 }, branch(1), branch(-2), branch(0), Instr::Exit];
        let flow = Flow::of(&decode_program(&encode_all(&program)));
        let expected = [(Some(2), None), (Some(2), None), (Some(3), Some(4)), (Some(4), Some(2)), (Some(5), Some(5))];
        let found: Vec<_> = (0..5).map(|at| flow.successors(at)).collect();
        assert_eq!(found, expected);
        assert_eq!((flow.successors(5), flow.successors(6)), ((None, None), (None, None)));
        let before: Vec<&[u32]> = (0..7).map(|at| flow.predecessors(at)).collect();
        assert_eq!(before, [&[][..], &[], &[0, 1, 3], &[2], &[2, 3], &[4, 4], &[]]);
    }
}
