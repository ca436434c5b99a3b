//! What can be seen of a program's runs.

use std::collections::BTreeMap;

use backstop::model::contexts::has_skb;
use backstop::model::{ProgKind, ProgType};
use backstop::{Exit, Frame, Input, Packet, Program, RunError};

/// What can be seen of one run.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Seen {
    /// How it ended.
    pub end: End,
    /// Packet with metadata, memory, or nothing.
    pub data: Vec<u8>,
    /// Fields of the packet that programs may write.
    pub fields: Vec<u32>,
}

/// How a run ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum End {
    /// With a result.
    Returned(u64),
    /// Caught.
    Thrown {
        /// What was thrown.
        cookie: u64,
        /// The exception callback's result.
        value: u64,
        /// The frames that it left, innermost first.
        frames: Vec<Frame>,
    },
    /// By an error of the host's side.
    Failed(String),
    /// The engine's own stack was too short: no difference if the other's was not.
    Stack,
}

impl End {
    /// The result that the caller of the run gets.
    pub fn value(&self) -> Option<u64> {
        match self {
            End::Returned(value) | End::Thrown { value, .. } => Some(*value),
            End::Failed(_) | End::Stack => None,
        }
    }
}

/// A map's elements, by key.
pub type Content = Vec<(Vec<u8>, Vec<u8>)>;

/// Everything that can be seen of a program's runs.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Observed {
    /// The runs, in order.
    pub runs: Vec<Seen>,
    /// Maps after the last run, by name.
    pub maps: BTreeMap<String, Content>,
    /// What `bpf_trace_printk` printed, a line a call.
    pub printed: Vec<String>,
}

impl Observed {
    /// Whether any run threw.
    pub fn threw(&self) -> bool {
        self.runs.iter().any(|run| matches!(run.end, End::Thrown { .. }))
    }

    /// Frames of the deepest throw; 0 if nothing was thrown.
    pub fn throw_depth(&self) -> usize {
        let depth = |run: &Seen| match &run.end {
            End::Thrown { frames, .. } => frames.len(),
            _ => 0,
        };
        self.runs.iter().map(depth).max().unwrap_or(0)
    }

    /// The first run that the program did not come to do, by number, and why. What all engines make so is no agreement: nothing ran.
    pub fn failed(&self) -> Option<(usize, &str)> {
        self.runs.iter().enumerate().find_map(|(number, run)| match &run.end {
            End::Failed(why) => Some((number, why.as_str())),
            _ => None,
        })
    }

    /// Whether any run ended for want of the engine's own stack.
    pub fn ran_out_of_stack(&self) -> bool {
        self.runs.iter().any(|run| run.end == End::Stack)
    }
}

/// Whether programs of this type run on a packet.
pub(crate) fn takes_packet(ty: ProgType) -> bool {
    ty == ProgType::Xdp || has_skb(ty)
}

/// Whether a context is given as words of arguments, which programs only read.
pub(crate) fn takes_args(ty: ProgType) -> bool {
    matches!(ty, ProgType::RawTracepoint | ProgType::RawTracepointWritable | ProgType::Tracing | ProgType::Lsm)
}

/// Gives a run its input in the form that the program's kind wants, and keeps what it changed.
pub fn seen(kind: &ProgKind, input: &[u8], run: impl FnOnce(Input<'_>) -> End) -> Seen {
    let ty = kind.ty;
    if takes_packet(ty) {
        let mut packet = Packet::new(input);
        let end = run(Input::Packet(&mut packet));
        let data = packet.meta_and_data().to_vec();
        let fields = packet.cb().into_iter().chain([packet.meta().len() as u32, packet.mark()]).collect();
        return Seen { end, data, fields };
    }
    if takes_args(ty) {
        let word = |chunk: &[u8]| chunk.iter().rev().fold(0, |all, byte| all << 8 | u64::from(*byte));
        let words: Vec<u64> = input.chunks_exact(8).map(word).collect();
        let given = if words.is_empty() { Input::None } else { Input::Args(&words) };
        return Seen { end: run(given), data: Vec::new(), fields: Vec::new() };
    }
    let mut memory = input.to_vec();
    let given = if memory.is_empty() && ty != ProgType::RawMem { Input::None } else { Input::Memory(&mut memory) };
    Seen { end: run(given), data: memory, fields: Vec::new() }
}

/// A run's end, with the backtrace in the author's terms.
///
/// # Panics
/// If a throw has no frames, or frames that nobody knows: that is a defect whatever the program.
pub fn end<H>(program: &Program<H>, result: Result<Exit, RunError>) -> End {
    match result {
        Ok(Exit::Returned(value)) => End::Returned(value),
        Ok(Exit::Thrown { cookie, value, backtrace }) => {
            let frames = program.backtrace(&backtrace);
            assert_eq!(frames.len(), backtrace.len(), "frames of a live program are not known");
            assert!(!frames.is_empty(), "a throw without frames");
            End::Thrown { cookie, value, frames }
        }
        Err(RunError::NativeStack { .. } | RunError::StackExhausted { .. }) => End::Stack,
        Err(error) => End::Failed(error.to_string()),
    }
}
