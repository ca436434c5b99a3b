//! A trial: one program with many cases in it, and the runs that it is put through.

use std::ops::Range;

use backstop::isa::{Slot, disassemble};

use crate::values::{INPUT_WORDS, Inputs};

/// Bytes of input at the start of a memory.
pub(crate) const INPUT_BYTES: usize = INPUT_WORDS * 8;
/// Bytes of a packet that a socket filter does not see.
const ETHERNET: usize = 14;
/// The longest text of a case, in lines.
const LINES: usize = 24;

/// What a trial's program is given.
#[derive(Clone, Debug)]
pub(crate) enum Setting {
    /// r1 = memory of this many bytes, r2 = its length.
    Memory(usize),
    /// r1 = `struct __sk_buff`; a socket filter's packet starts after the Ethernet header.
    Packet { data: Vec<u8>, filter: bool },
}

/// One instruction (or what must stand together) with its operands; a run of it is counted once.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    /// The row of the ISA table, or what the case is about.
    pub(crate) name: &'static str,
    pub(crate) group: &'static str,
    /// The slots to show.
    pub(crate) test: Range<usize>,
    /// Bytes of memory that hold its results; empty if r0 alone tells.
    pub(crate) out: Range<usize>,
    /// What each word of `out` is.
    pub(crate) words: Vec<&'static str>,
}

/// A program and its runs.
#[derive(Clone, Debug)]
pub(crate) struct Trial {
    pub(crate) slots: Vec<Slot>,
    pub(crate) setting: Setting,
    /// Sizes of the values of the arrays of one element that the program uses.
    pub(crate) maps: Vec<u32>,
    pub(crate) cases: Vec<Case>,
    pub(crate) inputs: Inputs,
    /// First slots of all functions, main's first, if the program must bring their types.
    pub(crate) typed: Vec<usize>,
    /// Kfunc 0 is `bpf_throw`.
    pub(crate) throws: bool,
    /// Why Linux can't be asked, if so.
    pub(crate) without_linux: Option<&'static str>,
}

impl Trial {
    pub(crate) fn new(slots: Vec<Slot>, setting: Setting, cases: Vec<Case>, inputs: Inputs) -> Trial {
        Trial { slots, setting, maps: Vec::new(), cases, inputs, typed: Vec::new(), throws: false, without_linux: None }
    }

    /// The memory before a run: the inputs, then a pattern that no case expects.
    pub(crate) fn memory(&self, words: &[u64; INPUT_WORDS], memory: &mut Vec<u8>) {
        memory.clear();
        match &self.setting {
            Setting::Memory(bytes) => {
                memory.extend(words.iter().flat_map(|word| word.to_le_bytes()));
                memory.resize((*bytes).max(INPUT_BYTES), 0xa5);
            }
            Setting::Packet { data, filter } => {
                let start = if *filter { ETHERNET } else { 0 };
                memory.extend_from_slice(data.get(start..).unwrap_or_default());
            }
        }
    }

    /// The case's instructions as text, the middle of long ones left out.
    pub(crate) fn text(&self, case: &Case) -> String {
        let slots = self.slots.get(case.test.clone()).unwrap_or_default();
        let text = disassemble(slots);
        let lines: Vec<&str> = text.lines().collect();
        if lines.len() <= LINES {
            return lines.join("\n");
        }
        let (head, tail) = (lines.get(..LINES / 2).unwrap_or_default(), lines.len() - LINES / 4);
        let tail = lines.get(tail..).unwrap_or_default();
        let left_out = lines.len() - head.len() - tail.len();
        format!("{}\n// {left_out} instructions\n{}", head.join("\n"), tail.join("\n"))
    }

    /// The whole program as the reference and the kernel read it.
    pub(crate) fn bytes(&self) -> Vec<[u8; 8]> {
        self.slots.iter().map(|slot| slot.to_bytes()).collect()
    }
}
