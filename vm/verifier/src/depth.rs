//! Stack over chains of calls, and what may not be called from where: a scan of the call graph, whether paths reach it or
//! not (Linux: `check_max_stack_depth`).

use backstop_isa::{Instr, Pseudo};
use backstop_model::ProgType;

use crate::env::Verifier;
use crate::reason::{Check, Reason};
use crate::state::MAX_FRAMES;

const MAX_STACK: u32 = 512;
/// Frames below a tail call may have this much.
const TAIL_CALL_STACK: u32 = 256;
/// Frames from this size on get a stack of their own, where the program type has that.
const PRIVATE_STACK: u32 = 64;

/// A frame of a call chain.
#[derive(Clone, Copy)]
struct Link {
    sub: usize,
    /// Where its scan goes on.
    at: u32,
    /// Bytes that it added to the chain.
    bytes: u32,
}

impl Verifier<'_> {
    /// Deepest chain in bytes.
    pub fn check_depth(&mut self) -> Check<u32> {
        let tail_calls = self.subs.iter().any(|s| s.has_tail_call);
        let private = !tail_calls && has_private_stack(self.ty());
        // Functions that also run later use the common stack, so those are looked at first.
        let mut common = vec![false; self.subs.len()];
        let mut deepest = 0;
        for root in (0..self.subs.len()).rev() {
            if root == 0 || self.subs[root].is_async {
                deepest = deepest.max(self.check_chains(root, private && root == 0, &mut common)?);
            }
        }
        Ok(deepest)
    }

    fn check_chains(&self, root: usize, private: bool, common: &mut [bool]) -> Check<u32> {
        let mut chain: Vec<Link> = Vec::new();
        let mut depth = 0;
        let mut deepest = 0;
        let mut tail_reachable = false;
        let mut steps = 0u64;
        self.enter(root, private, common, &mut chain, &mut depth)?;
        tail_reachable |= root != 0 && self.subs[root].has_tail_call;
        while let Some(top) = chain.last().copied() {
            deepest = deepest.max(depth);
            steps += 1;
            if steps > self.options.limits.insns {
                return Reason::TooLarge { processed: steps }.fail();
            }
            let end = self.subs.get(top.sub).map_or(0, |s| s.end);
            match self.next_call(top, end, &chain)? {
                Some((at, callee)) => {
                    if let Some(link) = chain.last_mut() {
                        link.at = at + 1;
                    }
                    tail_reachable |= self.subs[callee].has_tail_call;
                    self.enter(callee, private, common, &mut chain, &mut depth)?;
                }
                None => {
                    if tail_reachable {
                        let above = chain.iter().rev().skip(1);
                        if above.into_iter().any(|l| self.subs[l.sub].is_exception_callback) {
                            return Reason::TailCallInException {}.fail();
                        }
                    }
                    depth -= top.bytes;
                    chain.pop();
                }
            }
        }
        Ok(deepest)
    }

    fn enter(&self, sub: usize, private: bool, common: &mut [bool], chain: &mut Vec<Link>, depth: &mut u32) -> Check {
        let info = &self.subs[sub];
        if chain.len() >= MAX_FRAMES {
            return Reason::FramesTooDeepStatic { frames: chain.len() }.fail();
        }
        if sub != 0 && info.has_tail_call && *depth >= TAIL_CALL_STACK {
            return Reason::TailCallStack { bytes: *depth }.fail();
        }
        let bytes = self.counted_stack(sub).next_multiple_of(16);
        let own = private && !common.get(sub).copied().unwrap_or(true) && bytes >= PRIVATE_STACK;
        if !private && let Some(c) = common.get_mut(sub) {
            *c = true;
        }
        if own {
            if bytes > MAX_STACK {
                return Reason::SubprogStack { sub, bytes }.fail();
            }
        } else {
            *depth += bytes;
            if *depth > MAX_STACK {
                return Reason::CombinedStack { calls: chain.len() + 1, bytes: *depth }.fail();
            }
        }
        chain.push(Link { sub, at: info.start, bytes: if own { 0 } else { bytes } });
        Ok(())
    }

    /// The next call of a function from where its scan stands.
    fn next_call(&self, top: Link, end: u32, chain: &[Link]) -> Check<Option<(u32, usize)>> {
        for at in top.at..end {
            let (off, direct) = match self.instr(at) {
                Some(Instr::CallKfunc { id, .. }) => {
                    if self.may_throw_at(*id) && chain.iter().any(|l| self.subs[l.sub].is_callback) {
                        return Reason::ThrowInCallback { at: at as usize, sub: top.sub }.fail();
                    }
                    continue;
                }
                Some(Instr::CallLocal { off }) => (*off, true),
                Some(Instr::LoadPseudo { kind: Pseudo::Func, imm, .. }) => (*imm, false),
                _ => continue,
            };
            let target = u32::try_from(i64::from(at) + 1 + i64::from(off)).ok();
            let Some(callee) = target.and_then(|t| self.sub_at(t)) else { continue };
            let info = &self.subs[callee];
            if info.is_async {
                if !direct {
                    continue;
                }
                if info.is_exception_callback {
                    return Reason::CallsCallback { at: at as usize }.fail();
                }
            }
            return Ok(Some((at, callee)));
        }
        Ok(None)
    }
}

fn has_private_stack(ty: ProgType) -> bool {
    matches!(
        ty,
        ProgType::Kprobe
            | ProgType::Tracepoint
            | ProgType::PerfEvent
            | ProgType::RawTracepoint
            | ProgType::RawTracepointWritable
    )
}
