//! BPF stack memory and the interpreter's own frames.
//!
//! Frames are carved downwards from chunks that are allocated when first needed and kept for the next run. A frame never moves and
//! never spans chunks, so that its address can be the guest's r10. Bounds: 8 frames of 512 bytes are the most that a program can
//! have, and 34 programs can be alive at once (33 tail calls out of subprograms), with an exception callback of 512 bytes at last.

use backstop_abi::{MAX_FRAMES, MAX_STACK, MAX_TAIL_CALLS};

/// Words of a chunk: 8 KiB, enough for almost every run.
const CHUNK_WORDS: usize = 1024;

/// Chunks that a run may use: what 34 whole programs need, each frame of the largest size, and what their ends leave unused.
pub(crate) const MAX_CHUNKS: usize =
    ((MAX_TAIL_CALLS as usize + 1) * MAX_FRAMES * MAX_STACK as usize).div_ceil(CHUNK_WORDS * 8) + 2;

/// Runs of the loop that may nest: one a tail call out of a subprogram, one a callback in a callback.
pub(crate) const MAX_LEVELS: u32 = MAX_TAIL_CALLS + 1 + MAX_FRAMES as u32;

/// The memory that a run uses: BPF stack and the interpreter's frames. Reused from run to run.
///
/// Grows to at most 152 KiB. Its content is what earlier runs left: verified programs read only what they wrote.
#[derive(Debug, Default)]
pub struct Stack {
    /// Fixed in place once allocated; while a run lasts only the guest accesses the words.
    chunks: Vec<Chunk>,
    pub(crate) frames: Vec<Frame>,
    /// Tail calls that this run has made.
    pub(crate) tail_calls: u32,
    /// Runs of the loop that are active.
    pub(crate) levels: u32,
}

#[derive(Debug)]
struct Chunk {
    /// Never touched again: it only owns the words.
    _words: Vec<u64>,
    /// Address of the lowest byte.
    low: u64,
}

/// A place in the chunks: everything below is free.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cursor {
    /// Address of the lowest byte in use.
    at: u64,
    /// Address of the chunk's lowest byte.
    low: u64,
    chunk: u32,
}

/// What a call leaves for its return.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Frame {
    /// The operation after the call.
    pub(crate) pc: u32,
    /// r6 to r10.
    pub(crate) saved: [u64; 5],
    /// Rounds that the caller's `may_goto` have left.
    pub(crate) rounds: u64,
    /// Free stack before the callee's frame was carved.
    pub(crate) cursor: Cursor,
}

impl Stack {
    /// An empty stack; memory is allocated by the first run.
    pub fn new() -> Stack {
        Stack::default()
    }

    /// Forgets what an earlier run left, also one that a panic ended.
    pub(crate) fn begin(&mut self) {
        self.frames.clear();
        self.tail_calls = 0;
        self.levels = 0;
        if self.chunks.is_empty() {
            self.add_chunk();
        }
    }

    /// All stack free.
    pub(crate) fn bottom(&self) -> Cursor {
        let low = self.chunks.first().map_or(0, |c| c.low);
        Cursor { at: low + self.chunks.first().map_or(0, |_| CHUNK_WORDS as u64 * 8), low, chunk: 0 }
    }

    /// Carves a frame of at most [`MAX_STACK`] bytes; gives the address after its last byte, the guest's r10.
    #[inline]
    pub(crate) fn carve(&mut self, cursor: &mut Cursor, size: u32) -> Option<u64> {
        if cursor.at - cursor.low < u64::from(size) {
            *cursor = self.next_chunk(cursor.chunk)?;
        }
        let top = cursor.at;
        cursor.at -= u64::from(size);
        Some(top)
    }

    #[cold]
    fn next_chunk(&mut self, after: u32) -> Option<Cursor> {
        let next = after as usize + 1;
        if next >= MAX_CHUNKS {
            return None;
        }
        if next == self.chunks.len() {
            self.add_chunk();
        }
        let low = self.chunks.get(next)?.low;
        Some(Cursor { at: low + CHUNK_WORDS as u64 * 8, low, chunk: next as u32 })
    }

    fn add_chunk(&mut self) {
        let mut words = vec![0u64; CHUNK_WORDS];
        let low = words.as_mut_ptr().expose_provenance() as u64;
        self.chunks.push(Chunk { _words: words, low });
    }
}

const _: () = assert!(MAX_STACK as usize <= CHUNK_WORDS * 8, "every frame fits into a chunk");
const _: () = assert!(MAX_CHUNKS * CHUNK_WORDS * 8 <= 152 << 10, "the bound that the documentation states");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_do_not_overlap_and_the_bound_holds() {
        let mut stack = Stack::new();
        stack.begin();
        let mut cursor = stack.bottom();
        let mut frames = Vec::new();
        while let Some(top) = stack.carve(&mut cursor, 504) {
            frames.push(top - 504..top);
        }
        assert!(frames.len() > 34 * 8, "{} frames", frames.len());
        frames.sort_by_key(|f| f.start);
        assert!(frames.windows(2).all(|w| w[0].end <= w[1].start));
        assert_eq!(stack.chunks.len(), MAX_CHUNKS);
    }

    #[test]
    fn a_returned_cursor_frees_its_frames() {
        let mut stack = Stack::new();
        stack.begin();
        let mut cursor = stack.bottom();
        let before = cursor;
        let first = stack.carve(&mut cursor, 512);
        cursor = before;
        assert_eq!(stack.carve(&mut cursor, 512), first);
    }
}
