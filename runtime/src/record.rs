//! The record of one run: what native code, helpers and the host share while a program runs.
//!
//! A record lives for exactly one run, in the host's stack or in the room that its store has for one; nested runs have their own. Compiled code sees only its first field.

use std::any::Any;

use backstop_abi::RunCtx;

use crate::call::HostError;
use crate::engine::Engine;

/// Frames that a throw can pass: the verifier admits no more in one program.
pub(crate) const MAX_WALK: usize = backstop_abi::MAX_FRAMES;

/// Names a loaded program's code among all that ever lived in the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub struct CodeId {
    pub(crate) index: u32,
    pub(crate) generation: u32,
}

impl CodeId {
    /// As one word, for engines that carry it for us.
    pub(crate) fn to_word(self) -> u64 {
        u64::from(self.generation) << 32 | u64::from(self.index)
    }

    /// Back from [`CodeId::to_word`].
    pub(crate) fn from_word(word: u64) -> CodeId {
        CodeId { index: word as u32, generation: (word >> 32) as u32 }
    }
}

/// A frame that a throw passed: which code, and the operation that called (or threw) there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct WalkedFrame {
    pub(crate) code: CodeId,
    /// Native: offset of the return address in the image. Interpreter: the operation's id.
    pub(crate) place: u32,
}

/// The frames that a throw passed, innermost first. They are all of one image: a walk ends at the first main function, and
/// subprograms above it are its own.
///
/// Filled in place while the walk goes, and small: copies of words that were just written in halves stall the CPU.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Walk {
    pub(crate) code: CodeId,
    pub(crate) places: [u32; MAX_WALK],
    /// Frames in `places`; 0 as long as the outermost boundary caught nothing.
    pub(crate) depth: u32,
}

/// Why a run ends other than by returning or throwing.
#[derive(Debug)]
pub(crate) enum End {
    /// A host function failed.
    Host(HostError),
    /// A host function panicked: resumed in the caller of `run`.
    Panic(Box<dyn Any + Send>),
}

/// `RunCtx::pending` while an [`End`] waits in [`RunRecord::end`].
pub(crate) const PENDING_END: u64 = 1;

/// One run.
#[repr(C)]
pub(crate) struct RunRecord<'run> {
    /// What compiled code sees. Must stay the first field: compiled code's context pointer is cast back to the record.
    pub(crate) ctx: RunCtx,
    /// The engine that runs.
    pub(crate) engine: &'run Engine,
    /// The store's data (`H` of `Store<H>`), erased; the linker that made the called functions fixes the type.
    pub(crate) host_data: *mut (),
    /// CPU slot that per-CPU maps use; `u32::MAX` if the program uses none.
    pub(crate) cpu: u32,
    /// Address of the program's context, for legacy packet loads.
    pub(crate) context: u64,
    /// Packet bytes, for legacy packet loads and packet helpers: address and length.
    pub(crate) packet: (u64, u64),
    /// The indices that walks over arrays show their callbacks, outermost first: a callback may walk another, and both read theirs.
    pub(crate) array_keys: [u32; MAX_WALKS],
    /// Walks over arrays that are under way.
    pub(crate) array_walks: usize,
    /// What the outermost boundary caught: cookie and frames.
    pub(crate) cookie: u64,
    pub(crate) walk: Walk,
    /// The end that waits to be carried to the run's start.
    pub(crate) end: Option<End>,
}

/// Walks over arrays in each other: each is made by a frame and calls back in another (I6).
pub(crate) const MAX_WALKS: usize = 8;

impl RunRecord<'_> {
    /// Whether nothing but main's return has ended the run: no throw was caught by the outermost boundary, and no end waits.
    #[inline]
    pub(crate) fn returned(&self) -> bool {
        self.end.is_none() && self.walk.depth == 0
    }

    /// Notes a throw at the boundary that catches it, whose first `depth` places are in `walk`. Only the outermost boundary makes
    /// the run's result a throw.
    #[inline]
    pub(crate) fn caught(&mut self, cookie: u64, outermost: bool, code: CodeId, depth: usize) {
        if outermost {
            self.cookie = cookie;
            self.walk.code = code;
            self.walk.depth = depth.min(MAX_WALK) as u32;
        }
    }

    /// Leaves an end to be raised as soon as the native call returns. The first one stays.
    pub(crate) fn set_end(&mut self, end: End) {
        if self.end.is_none() {
            self.end = Some(end);
        }
        self.ctx.pending = PENDING_END;
    }
}
