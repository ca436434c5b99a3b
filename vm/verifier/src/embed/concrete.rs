//! What a run shows of itself at an instruction, so that it can be held against what was proved.
//!
//! An engine that watches itself (the checked interpreter) implements [`Concrete`]; nothing here depends on how. Addresses are
//! numbers and are never followed: all memory is read through the view.

use backstop_isa::Reg;

/// A run that stands before an instruction.
///
/// Frames are counted from the outermost one of the run, 0. A callback that a helper calls is a frame above the one that called
/// the helper; a tail call replaces the frames; the exception callback is a frame 0 of its own.
pub trait Concrete {
    /// Frames of the run; at least 1.
    fn frames(&self) -> usize;

    /// First slot of the function that a frame runs.
    fn function(&self, frame: usize) -> u32;

    /// Slot of the call instruction (of a subprogram, or of the helper that calls back) that made a frame. `None` for frame 0.
    fn call_site(&self, frame: usize) -> Option<u32>;

    /// A register's value. `None` if it was never written, or if the frame is not the innermost one and the register is one of r0
    /// to r5, which calls do not keep.
    fn reg(&self, frame: usize, reg: Reg) -> Option<u64>;

    /// A byte of a frame's stack at an offset from its frame pointer, -512 to -1. `None` if it was never written.
    fn stack_byte(&self, frame: usize, offset: i32) -> Option<u8>;

    /// Address of the context as the program sees it. `None` if the program has none.
    fn context(&self) -> Option<u64>;

    /// Where the packet lies now. `None` if the program has none.
    fn packet(&self) -> Option<PacketBounds>;

    /// The region that an address lies in. A region's end (one past its last byte) belongs to it too, if no other begins there.
    /// `None` for what is no address, and for pointers that were moved out of their region.
    fn region(&self, address: u64) -> Option<Place>;
}

/// Where a packet lies: addresses, ascending.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PacketBounds {
    /// Start of the metadata; `data` if there is none.
    pub meta: u64,
    /// First byte of the packet.
    pub data: u64,
    /// One past its last byte.
    pub end: u64,
}

/// An address as a place in a region.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Place {
    /// What the region is.
    pub kind: PlaceKind,
    /// Bytes from the region's first byte. For a stack frame that is r10 - 512.
    pub offset: u64,
    /// The region's size in bytes. 0 for those whose bytes no program may touch.
    pub size: u64,
}

/// Regions that a program may hold pointers into.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PlaceKind {
    /// The stack of this frame, 512 bytes.
    Stack {
        /// Number of the frame.
        frame: usize,
    },
    /// The context.
    Context,
    /// The packet, with its metadata.
    Packet,
    /// One element of a map.
    MapValue {
        /// Index in the program's table of maps; `None` for a map found in another map.
        map: Option<u32>,
    },
    /// One key of a map.
    MapKey {
        /// As in [`PlaceKind::MapValue`].
        map: Option<u32>,
    },
    /// A map itself.
    Map {
        /// As in [`PlaceKind::MapValue`].
        map: Option<u32>,
    },
    /// Memory of a known size that a helper, a kfunc or the host gave.
    Memory,
    /// An object of the host's or the runtime's that programs only name.
    Object,
    /// A function of the program.
    Function {
        /// Its first slot.
        slot: u32,
    },
}
