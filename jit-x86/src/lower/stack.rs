//! How much native stack a program can need.

use backstop_ir::{Func, FuncId, OpKind};

use super::program::Span;
use crate::error::CompileError;

/// A return address and the caller's rbp.
const LINK: u32 = 16;

/// Far above what a proved program nests ([`backstop_abi::MAX_FRAMES`]); bounds this module's own recursion.
const MAX_DEPTH: usize = 64;

/// Upper bound in bytes, over main and the exception callback, which takes main's place. Counts compiled frames and the return
/// address of a native call; what native functions use is their own.
///
/// Native functions may call functions whose address is taken, from any depth: then every frame is taken to be the largest.
pub(super) fn deepest(funcs: &[Func], callback: Option<FuncId>, spans: &[Span]) -> Result<u32, CompileError> {
    let mut frames = vec![0u32; funcs.len()];
    for span in spans {
        if let Some(slot) = frames.get_mut(span.id.0 as usize) {
            *slot = span.frame.saturating_add(LINK);
        }
    }
    let takes_address =
        |f: &Func| f.blocks.iter().flat_map(|b| &b.ops).any(|op| matches!(op.kind, OpKind::FuncAddr { .. }));
    let bound = if funcs.iter().any(takes_address) {
        let largest = frames.iter().copied().max().unwrap_or(0);
        largest.saturating_mul(backstop_abi::MAX_FRAMES as u32)
    } else {
        let mut chains = Chains { funcs, frames: &frames, done: vec![None; funcs.len()] };
        let mut bound = chains.from(FuncId(0), 0)?;
        if let Some(callback) = callback {
            bound = bound.max(chains.from(callback, 0)?);
        }
        bound
    };
    Ok(bound.saturating_add(8))
}

struct Chains<'a> {
    funcs: &'a [Func],
    frames: &'a [u32],
    /// Deepest chain from each function, once known.
    done: Vec<Option<u32>>,
}

impl Chains<'_> {
    fn from(&mut self, id: FuncId, depth: usize) -> Result<u32, CompileError> {
        let i = id.0 as usize;
        if let Some(known) = self.done.get(i).copied().flatten() {
            return Ok(known);
        }
        if depth >= MAX_DEPTH {
            return Err(CompileError::Malformed { what: "calls nest too deep, or in a circle", func: id.0 });
        }
        let funcs = self.funcs;
        let mut below = 0;
        for op in funcs.get(i).into_iter().flat_map(|f| &f.blocks).flat_map(|b| &b.ops) {
            if let OpKind::CallFunc { func, .. } = op.kind {
                below = self.from(func, depth + 1)?.max(below);
            }
        }
        let all = self.frames.get(i).copied().unwrap_or(0).saturating_add(below);
        if let Some(slot) = self.done.get_mut(i) {
            *slot = Some(all);
        }
        Ok(all)
    }
}
