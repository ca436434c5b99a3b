//! What a path did since its last kept state, as far as walking precision back needs it.
//!
use super::meter::{self, Row};

/// Most registers that one comparison refines together.
pub(crate) const MAX_LINKED: usize = 6;

/// A register or a stack slot of a frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Linked {
    pub frame: u8,
    pub is_reg: bool,
    /// Register number or slot index.
    pub index: u8,
}

/// Registers that hold the same scalar (up to a constant).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct LinkedSet {
    items: [Linked; MAX_LINKED],
    len: u8,
}

impl LinkedSet {
    pub fn as_slice(&self) -> &[Linked] {
        self.items.get(..self.len as usize).unwrap_or(&[])
    }

    pub fn len(&self) -> usize {
        self.len as usize
    }

    /// False if there is no room.
    pub fn push(&mut self, item: Linked) -> bool {
        match self.items.get_mut(self.len as usize) {
            Some(place) => {
                *place = item;
                self.len += 1;
                true
            }
            None => false,
        }
    }
}

/// What an instruction did that can't be read from its text.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Access {
    /// Spill to, or fill from, this slot of this frame.
    pub stack: Option<(u8, u8)>,
    /// A compare's source was a stack pointer.
    pub src_is_stack: bool,
    /// A compare's destination was a stack pointer.
    pub dst_is_stack: bool,
}

/// An instruction worth remembering.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct HistEntry {
    pub insn: u32,
    pub prev: u32,
    pub access: Access,
    /// Registers that it refined together.
    pub linked: Option<LinkedSet>,
}

/// The entries of one stretch of a path that is being walked, oldest first.
#[derive(Debug, Default)]
pub(crate) struct History {
    entries: Vec<HistEntry>,
}

impl History {
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub fn push(&mut self, insn: u32, prev: u32, access: Access) {
        meter::add(size_of::<HistEntry>());
        self.entries.push(HistEntry { insn, prev, access, linked: None });
    }

    /// The last entry's instruction did this as well.
    pub fn add_access(&mut self, access: Access) {
        if let Some(last) = self.entries.last_mut() {
            last.access.stack = last.access.stack.or(access.stack);
            last.access.src_is_stack |= access.src_is_stack;
            last.access.dst_is_stack |= access.dst_is_stack;
        }
    }

    /// The last entry's instruction refined these together.
    pub fn link(&mut self, set: LinkedSet) {
        if let Some(last) = self.entries.last_mut() {
            last.linked = Some(set);
        }
    }

    pub fn clear(&mut self) {
        meter::sub(size_of_val(self.entries.as_slice()));
        self.entries.clear();
    }

    /// The way back, from the end.
    pub fn back(&self) -> Back<'_> {
        Back::over(Source::Entries(&self.entries))
    }
}

impl Clone for History {
    fn clone(&self) -> Self {
        meter::add(size_of_val(self.entries.as_slice()));
        History { entries: self.entries.clone() }
    }
}

impl Drop for History {
    fn drop(&mut self) {
        meter::sub(size_of_val(self.entries.as_slice()));
    }
}

const STACK: u8 = 1;
const SRC_IS_STACK: u8 = 2;
const DST_IS_STACK: u8 = 4;
const LINKED: u8 = 8;
/// It was come to from the instruction before it.
const IN_ORDER: u8 = 16;

/// A history to be kept, in few bytes. It is read from its end, so each entry's bytes are the wrong way round, with its instruction as
/// the distance from that of the entry after it.
#[derive(Debug, Default)]
pub(crate) struct PackedHistory(Row<u8>);

impl PackedHistory {
    pub fn of(history: &History) -> PackedHistory {
        let mut bytes = Vec::with_capacity(history.len() * 4);
        for (i, entry) in history.entries.iter().enumerate() {
            let after = history.entries.get(i + 1).map_or(0, |e| e.insn);
            let from = bytes.len();
            put_entry(&mut bytes, entry, after);
            if let Some(written) = bytes.get_mut(from..) {
                written.reverse();
            }
        }
        PackedHistory(bytes.into_iter().collect())
    }

    /// The way back, from the end.
    pub fn back(&self) -> Back<'_> {
        Back::over(Source::Bytes(&self.0))
    }
}

fn put_entry(bytes: &mut Vec<u8>, entry: &HistEntry, after: u32) {
    let flag = |is: bool, bit: u8| if is { bit } else { 0 };
    let access = entry.access;
    bytes.push(
        flag(access.stack.is_some(), STACK)
            | flag(access.src_is_stack, SRC_IS_STACK)
            | flag(access.dst_is_stack, DST_IS_STACK)
            | flag(entry.linked.is_some(), LINKED)
            | flag(entry.prev.wrapping_add(1) == entry.insn, IN_ORDER),
    );
    put_number(bytes, zigzag(entry.insn.wrapping_sub(after)));
    if entry.prev.wrapping_add(1) != entry.insn {
        put_number(bytes, zigzag(entry.prev.wrapping_sub(entry.insn)));
    }
    if let Some((frame, slot)) = access.stack {
        bytes.extend([frame, slot]);
    }
    if let Some(set) = &entry.linked {
        bytes.push(set.len);
        bytes.extend(set.as_slice().iter().flat_map(|l| [l.frame << 1 | u8::from(l.is_reg), l.index]));
    }
}

/// Small distances either way become small numbers.
const fn zigzag(distance: u32) -> u32 {
    distance << 1 ^ ((distance as i32 >> 31) as u32)
}

const fn unzigzag(number: u32) -> u32 {
    number >> 1 ^ (number & 1).wrapping_neg()
}

/// Seven bits a byte, low ones first; the highest bit says that more follow.
fn put_number(bytes: &mut Vec<u8>, mut number: u32) {
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

#[derive(Clone, Copy, Debug)]
enum Source<'h> {
    Entries(&'h [HistEntry]),
    Bytes(&'h [u8]),
}

/// A place in a history on the way back through it.
#[derive(Debug)]
pub(crate) struct Back<'h> {
    /// What comes before `entry`.
    rest: Source<'h>,
    entry: Option<HistEntry>,
}

impl<'h> Back<'h> {
    fn over(rest: Source<'h>) -> Back<'h> {
        let mut back = Back { rest, entry: None };
        back.pop();
        back
    }

    /// The newest entry that is left.
    pub fn entry(&self) -> Option<&HistEntry> {
        self.entry.as_ref()
    }

    /// No entry is left before the newest.
    pub fn is_last(&self) -> bool {
        match self.rest {
            Source::Entries(rest) => rest.is_empty(),
            Source::Bytes(rest) => rest.is_empty(),
        }
    }

    /// A number that falls as entries are taken.
    pub fn left(&self) -> usize {
        let rest = match self.rest {
            Source::Entries(rest) => rest.len(),
            Source::Bytes(rest) => rest.len(),
        };
        rest + usize::from(self.entry.is_some())
    }

    /// Takes the newest entry.
    pub fn pop(&mut self) {
        let after = self.entry.map_or(0, |e| e.insn);
        self.entry = match &mut self.rest {
            Source::Entries(rest) => rest.split_off_last().copied(),
            Source::Bytes(rest) => take_entry(rest, after),
        };
    }

    /// The instruction before `at` on the path, which began with `first`.
    pub fn previous(&mut self, first: u32, at: u32) -> Option<u32> {
        let here = self.entry.filter(|e| e.insn == at);
        if at == first && (self.entry.is_none() || here.is_some() && self.is_last()) {
            return None;
        }
        match here {
            Some(entry) => {
                self.pop();
                Some(entry.prev)
            }
            None => at.checked_sub(1),
        }
    }
}

fn take_byte(bytes: &mut &[u8]) -> Option<u8> {
    bytes.split_off_last().copied()
}

fn take_number(bytes: &mut &[u8]) -> Option<u32> {
    let mut number = 0u32;
    for shift in (0..u32::BITS).step_by(7) {
        let byte = take_byte(bytes)?;
        number |= u32::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            break;
        }
    }
    Some(number)
}

fn take_entry(bytes: &mut &[u8], after: u32) -> Option<HistEntry> {
    let flags = take_byte(bytes)?;
    let insn = after.wrapping_add(unzigzag(take_number(bytes)?));
    let prev = match flags & IN_ORDER != 0 {
        true => insn.wrapping_sub(1),
        false => insn.wrapping_add(unzigzag(take_number(bytes)?)),
    };
    let mut access =
        Access { stack: None, src_is_stack: flags & SRC_IS_STACK != 0, dst_is_stack: flags & DST_IS_STACK != 0 };
    if flags & STACK != 0 {
        access.stack = Some((take_byte(bytes)?, take_byte(bytes)?));
    }
    let mut linked = None;
    if flags & LINKED != 0 {
        let mut set = LinkedSet::default();
        for _ in 0..take_byte(bytes)? {
            let (place, index) = (take_byte(bytes)?, take_byte(bytes)?);
            set.push(Linked { frame: place >> 1, is_reg: place & 1 != 0, index });
        }
        linked = Some(set);
    }
    Some(HistEntry { insn, prev, access, linked })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example() -> History {
        let mut history = History::default();
        let places = [(3, 2), (4, 3), (4000, 4), (70, 4000), (0, u32::MAX), (u32::MAX - 1, 5), (6, u32::MAX - 1)];
        for (n, (insn, prev)) in places.into_iter().enumerate() {
            for slot in [0, 63] {
                let stack = (n % 2 == 0).then_some((n as u8 % 8, slot));
                history.push(insn, prev, Access { stack, src_is_stack: n == 3, dst_is_stack: n == 4 });
                if slot == 63 {
                    let mut set = LinkedSet::default();
                    for i in 0..n.min(MAX_LINKED) {
                        assert!(set.push(Linked { frame: i as u8, is_reg: i % 2 == 0, index: 63 - i as u8 }));
                    }
                    history.link(set);
                }
            }
        }
        history
    }

    #[test]
    fn what_was_packed_comes_back_from_the_end() {
        let history = example();
        let packed = PackedHistory::of(&history);
        let mut backs = [history.back(), packed.back()];
        for entry in history.entries.iter().rev() {
            for back in &mut backs {
                assert_eq!(back.entry(), Some(entry));
                back.pop();
            }
        }
        for back in backs {
            assert_eq!((back.entry(), back.left()), (None, 0));
        }
    }

    #[test]
    fn accesses_of_one_instruction_add_up() {
        let mut history = History::default();
        history.push(1, 0, Access::default());
        history.add_access(Access { stack: Some((3, 4)), ..Access::default() });
        history.add_access(Access { stack: Some((5, 6)), src_is_stack: true, dst_is_stack: false });
        let access = history.back().entry().map(|e| e.access);
        assert_eq!(access, Some(Access { stack: Some((3, 4)), src_is_stack: true, dst_is_stack: false }));
    }

    #[test]
    fn all_is_weighed() {
        let before = meter::held();
        let mut history = example();
        let one = meter::held().wrapping_sub(before);
        assert_eq!(one, (history.len() * size_of::<HistEntry>()) as u64);
        let other = history.clone();
        assert_eq!(meter::held().wrapping_sub(before), 2 * one);
        history.clear();
        assert_eq!(meter::held().wrapping_sub(before), one);
        let packed = PackedHistory::of(&other);
        assert_eq!(meter::held().wrapping_sub(before), one + packed.0.len() as u64);
        drop((other, packed));
        assert_eq!(meter::held(), before);
    }
}
