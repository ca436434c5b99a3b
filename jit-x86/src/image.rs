//! What the compiler makes: bytes and tables, placed nowhere yet.

use backstop_ir::{CalleeId, FuncId, MapId, OpId};

/// A compiled program: position-independent code, the addresses that it wants, and what its native addresses mean.
///
/// Offsets are in bytes from the start of `code`. Behind the code, at [`Image::pool_offset`], the placer puts one 8-byte address
/// for each entry of `pool`, in order; code reads them relative to its own place.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Image {
    /// Machine code; its length is a multiple of 8. Place it at a multiple of [`Image::ALIGN`].
    pub code: Vec<u8>,
    /// What the pool's slots hold.
    pub pool: Vec<Symbol>,
    /// Functions in the order of the IR: main at offset 0, subprograms, the exception callback.
    pub funcs: Vec<ImageFunc>,
    /// What a throw needs, if the main function is a boundary.
    pub boundary: Option<Boundary>,
    /// From this offset on, bytes belong to this operation; ascending offsets, no two equal. A prologue belongs to the
    /// first operation of its function. Cold code at a function's end has entries of its own.
    pub pcs: Vec<(u32, OpId)>,
    /// Return offset of each call (the byte after it) and the operation that calls; ascending. A return offset can be the end of its
    /// function, so whoever looks up the *function* of a return address subtracts one first.
    pub returns: Vec<(u32, OpId)>,
    /// Whether code of this image may raise an end, which drops frames without restoring registers, or jump to another image, which may.
    /// If not, the main function can be called like any function of the C ABI: a throw, too, leaves through its boundary's frame.
    pub leaves_through: bool,
    /// Upper bound of the native stack in bytes, from the caller's `call` on, without what native callees use.
    pub native_stack: u32,
}

/// What a pool slot holds.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Symbol {
    /// Address of an `extern "C" fn(a1, a2, a3, a4, a5, run: *mut RunCtx) -> u64`.
    Native(CalleeId),
    /// Address of a map's native object ([`backstop_abi::ProgArrayHead`] for a prog_array).
    Map(MapId),
    /// Address of an array map's first value plus a byte offset.
    MapValue(MapId, u32),
}

/// A function of an image.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ImageFunc {
    /// Which.
    pub func: FuncId,
    /// Its entry; functions start at multiples of 16.
    pub start: u32,
    /// The byte after its last instruction.
    pub end: u32,
    /// Bytes between rbp and the lowest saved register: hidden cells and saved registers included.
    pub frame: u32,
    /// Registers (the machine's numbers) that the prologue saves, and how many bytes below rbp each lies.
    pub saved: Vec<(u8, u32)>,
}

/// How a throw leaves through the main function's frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Boundary {
    /// The sp for the callback is the boundary's rbp minus this: the address of the saved r15.
    pub sp_below_rbp: u32,
    /// Entry of the exception callback, entered by a jump with cookie, sp, rbp and run in rdi, rsi, rdx and rcx.
    pub callback: u32,
}

/// A run of native bytes that belongs to one operation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ListingRow {
    /// First byte.
    pub start: u32,
    /// Byte after the last.
    pub end: u32,
    /// Function.
    pub func: FuncId,
    /// Operation or terminator.
    pub op: OpId,
}

impl Image {
    /// Alignment in bytes that the code's placement must have.
    pub const ALIGN: u32 = 64;

    /// Where the pool starts, from the start of the code.
    pub fn pool_offset(&self) -> u32 {
        self.code.len() as u32
    }

    /// Bytes of code and pool.
    pub fn size(&self) -> u32 {
        self.pool_offset() + 8 * self.pool.len() as u32
    }

    /// The function whose bytes cover an offset.
    pub fn func_at(&self, offset: u32) -> Option<&ImageFunc> {
        let after = self.funcs.partition_point(|f| f.start <= offset);
        let func = self.funcs.get(after.checked_sub(1)?)?;
        (offset < func.end).then_some(func)
    }

    /// The operation whose bytes cover an offset.
    pub fn op_at(&self, offset: u32) -> Option<OpId> {
        self.func_at(offset)?;
        let after = self.pcs.partition_point(|&(start, _)| start <= offset);
        self.pcs.get(after.checked_sub(1)?).map(|&(_, op)| op)
    }

    /// The operation whose call returns to an offset.
    pub fn op_returning_to(&self, offset: u32) -> Option<OpId> {
        let i = self.returns.binary_search_by_key(&offset, |&(o, _)| o).ok()?;
        self.returns.get(i).map(|&(_, op)| op)
    }

    /// The code as runs of bytes, ascending, with the operation that each belongs to; padding between functions is left out.
    pub fn listing(&self) -> Vec<ListingRow> {
        let ends = self.pcs.iter().skip(1).map(|&(start, _)| start).chain([self.pool_offset()]);
        let rows = self.pcs.iter().zip(ends).filter_map(|(&(start, op), end)| {
            let func = self.func_at(start)?;
            Some(ListingRow { start, end: end.min(func.end), func: func.func, op })
        });
        rows.collect()
    }
}
