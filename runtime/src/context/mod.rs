//! What a run is given: a program's first arguments, built from the host's input.
//!
//! - [`packet`]: [`Packet`], a buffer with room around the data and the metadata that `struct xdp_md` and `struct __sk_buff` show;
//! - [`test_run`]: `ctx_in`, `ctx_out` and `data_out` as Linux's `BPF_PROG_TEST_RUN` has them;
//! - this module: from an [`Input`] and a program's kind to r1 and r2, and back.
//!
//! Life cycle: [`prepare`] borrows the input until [`Prepared::finish`] or drop, so that every address it hands out stays valid and
//! untouched for the run (R9).

#![allow(unsafe_code)]

mod packet;
mod test_run;

use std::marker::PhantomData;
use std::ptr::NonNull;

use backstop_abi::{SkbContext, XdpContext};
use backstop_model::{FieldKind, ProgKind, ProgType, contexts};

pub use packet::Packet;
pub(crate) use packet::{ETHERNET, SkbFrame, XDP_FRAME, XdpFrame, valid_meta};
pub use test_run::ContextError;

use crate::run::Surroundings;

/// What a run is given. Which one suits is up to the program's type.
#[derive(Debug, Default)]
pub enum Input<'a> {
    /// Nothing: contexts are zero.
    #[default]
    None,
    /// Memory that is the context (raw memory, syscall, the host's own structs, and types whose context is a plain struct).
    Memory(&'a mut [u8]),
    /// A packet (XDP and the types that get a `struct __sk_buff`).
    Packet(&'a mut Packet),
    /// Arguments or registers (tracing types), read by the program as 64-bit words.
    Args(&'a [u64]),
}

impl<'a> From<&'a mut Packet> for Input<'a> {
    fn from(packet: &'a mut Packet) -> Input<'a> {
        Input::Packet(packet)
    }
}

impl<'a> From<&'a mut [u8]> for Input<'a> {
    fn from(memory: &'a mut [u8]) -> Input<'a> {
        Input::Memory(memory)
    }
}

impl<'a> From<&'a mut Vec<u8>> for Input<'a> {
    fn from(memory: &'a mut Vec<u8>) -> Input<'a> {
        Input::Memory(memory)
    }
}

impl<'a> From<&'a [u64]> for Input<'a> {
    fn from(args: &'a [u64]) -> Input<'a> {
        Input::Args(args)
    }
}

impl From<()> for Input<'_> {
    fn from((): ()) -> Self {
        Input::None
    }
}

/// How much of its context a program may touch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ContextNeed {
    /// Bytes that the program itself accesses: a caller that brings fewer is refused.
    pub(crate) own: u32,
    /// It can tail call others, whose need is not known: all that the kind allows must be there.
    pub(crate) tail_calls: bool,
}

impl ContextNeed {
    /// Bytes that must be there.
    fn reachable(self, kind: &ProgKind) -> usize {
        let limit = contexts::size(kind).unwrap_or(0);
        (if self.tail_calls { self.own.max(limit) } else { self.own }) as usize
    }
}

/// Bytes that the program accesses; what it can reach is taken to be all of its kind's.
impl From<u32> for ContextNeed {
    fn from(own: u32) -> ContextNeed {
        ContextNeed { own, tail_calls: true }
    }
}

/// A run's first arguments. The input is borrowed until this is finished or dropped.
pub(crate) struct Prepared<'a> {
    r1: u64,
    r2: u64,
    /// Bytes of the context.
    len: u64,
    packet: (u64, u64),
    back: Back,
    input: PhantomData<&'a mut [u8]>,
}

/// What the run's end brings back.
enum Back {
    Nothing,
    Packet {
        packet: NonNull<Packet>,
        xdp: bool,
    },
    /// The context stood in a block of its own: what the program may have written goes back to the caller's memory.
    Block {
        block: Vec<u64>,
        memory: Option<(NonNull<u8>, usize)>,
    },
}

/// Builds a program's first arguments.
///
/// # Errors
/// What the program wants instead, in words.
pub(crate) fn prepare<'a>(
    kind: &ProgKind,
    input: &'a mut Input<'_>,
    need: impl Into<ContextNeed>,
) -> Result<Prepared<'a>, String> {
    let need = need.into();
    let ty = kind.ty;
    let gets_packet = ty == ProgType::Xdp || contexts::has_skb(ty);
    match input {
        Input::Packet(packet) if !gets_packet => {
            let len = packet.data().len();
            Err(format!("it wants {}, not a packet (of {len} bytes)", wanted(ty)))
        }
        Input::Packet(packet) => {
            if ty != ProgType::Xdp {
                packet.check_skb(kind)?;
            }
            Ok(for_packet(packet, kind))
        }
        Input::None if gets_packet => Err("it wants a packet".to_owned()),
        _ if gets_packet => Err("it wants a packet, not memory: use `Input::Packet`".to_owned()),
        Input::Memory(memory) => match ty {
            ProgType::RawMem => exact(memory, kind.memory_len, "memory"),
            ProgType::Host => exact(memory, kind.host.as_ref().map_or(0, |host| host.size), "a struct"),
            _ => for_memory(memory, kind, need),
        },
        Input::None if ty == ProgType::RawMem && kind.memory_len == 0 => exact(&mut [], 0, "memory"),
        _ if ty == ProgType::RawMem => Err(format!("it wants memory of {} bytes", kind.memory_len)),
        _ if ty == ProgType::Host => {
            Err("it wants the host's struct: use `Input::Memory` or a typed program".to_owned())
        }
        Input::Args(args) => for_args(args, kind, need),
        Input::None => Ok(in_block(&[], None, kind, need)),
    }
}

fn wanted(ty: ProgType) -> &'static str {
    match ty {
        ProgType::RawMem => "memory",
        ProgType::Host => "the host's struct",
        ProgType::Syscall => "memory that is its context",
        _ => "arguments or memory that is its context",
    }
}

fn for_packet<'a>(packet: &'a mut Packet, kind: &ProgKind) -> Prepared<'a> {
    let xdp = kind.ty == ProgType::Xdp;
    let (r1, span) = if xdp { packet.enter_xdp() } else { packet.enter_skb(kind) };
    let back = Back::Packet { packet: NonNull::from(packet), xdp };
    let len = if xdp { size_of::<XdpContext>() } else { size_of::<SkbContext>() } as u64;
    Prepared { r1, r2: 0, len, packet: span, back, input: PhantomData }
}

/// Where a run's packet lies now, by its program's native context: start of the metadata, start, end.
///
/// # Safety
/// `context` is the context that [`prepare`] made for a program of this kind, whose run is under way (R9).
pub(crate) unsafe fn packet_bounds(kind: &ProgKind, context: u64) -> Option<(u64, u64, u64)> {
    if kind.ty == ProgType::Xdp {
        // SAFETY: the caller's promise: an XDP program's context begins with this struct.
        let ctx = unsafe { (context as *const XdpContext).read() };
        return Some((ctx.data_meta, ctx.data, ctx.data_end));
    }
    if contexts::has_skb(kind.ty) {
        // SAFETY: as above, for types with a `struct __sk_buff`.
        let ctx = unsafe { (context as *const SkbContext).read() };
        return Some((ctx.data_meta, ctx.data, ctx.data_end));
    }
    None
}

/// Memory whose length the verifier knew.
fn exact<'a>(memory: &'a mut [u8], len: u32, what: &str) -> Result<Prepared<'a>, String> {
    if memory.len() != len as usize {
        return Err(format!("it wants {what} of exactly {len} bytes, this one has {}", memory.len()));
    }
    let r2 = u64::from(len);
    let mut prepared = if (memory.as_ptr() as usize).is_multiple_of(8) {
        in_place(memory)
    } else {
        // Atomics want their natural alignment.
        let target = memory_of(memory);
        block(memory, Some(target), memory.len())
    };
    prepared.r2 = r2;
    Ok(prepared)
}

fn in_place(memory: &mut [u8]) -> Prepared<'_> {
    let (r1, len) = (memory.as_mut_ptr() as u64, memory.len() as u64);
    Prepared { r1, r2: 0, len, packet: (0, 0), back: Back::Nothing, input: PhantomData }
}

fn memory_of(memory: &mut [u8]) -> (NonNull<u8>, usize) {
    (NonNull::from(&mut *memory).cast(), memory.len())
}

/// A context that is one struct, as the caller wrote it.
fn for_memory<'a>(memory: &'a mut [u8], kind: &ProgKind, need: ContextNeed) -> Result<Prepared<'a>, String> {
    let limit = contexts::size(kind);
    if memory.len() < need.own as usize {
        return Err(format!("it reads or writes {} bytes of its context, the memory has {}", need.own, memory.len()));
    }
    if let Some(limit) = limit
        && memory.len() > limit as usize
    {
        return Err(format!("its context has at most {limit} bytes, the memory {}", memory.len()));
    }
    let plain = kind.ty == ProgType::Syscall;
    if plain && memory.len() >= need.reachable(kind) && (memory.as_ptr() as usize).is_multiple_of(8) {
        return Ok(in_place(memory));
    }
    let target = memory_of(memory);
    Ok(in_block(memory, Some(target), kind, need))
}

fn for_args<'a>(args: &[u64], kind: &ProgKind, need: ContextNeed) -> Result<Prepared<'a>, String> {
    let given = args.len() * 8;
    if given < need.own as usize {
        return Err(format!("it reads {} bytes of arguments, {given} are given", need.own));
    }
    if let Some(limit) = contexts::size(kind)
        && given > limit as usize
    {
        return Err(format!("it takes at most {} arguments, {} are given", limit / 8, args.len()));
    }
    let bytes: Vec<u8> = args.iter().flat_map(|word| word.to_ne_bytes()).collect();
    Ok(in_block(&bytes, None, kind, need))
}

/// A copy of the context in a block that is as long as the kind's context can be, zero beyond what the caller brought.
fn in_block<'a>(bytes: &[u8], back: Option<(NonNull<u8>, usize)>, kind: &ProgKind, need: ContextNeed) -> Prepared<'a> {
    // The syscall type's limit is no length; other types' contexts are short.
    let size = if kind.ty == ProgType::Syscall { 0 } else { contexts::size(kind).unwrap_or(0) };
    // Helpers may look for packet bounds behind a context: there are none, which zeros say.
    let len = bytes.len().max(size as usize).max(need.reachable(kind)).max(size_of::<SkbFrame>());
    let mut prepared = block(bytes, back, len);
    if let Back::Block { block, .. } = &mut prepared.back {
        clear_pointers(kind, size, block);
    }
    prepared
}

fn block<'a>(bytes: &[u8], memory: Option<(NonNull<u8>, usize)>, len: usize) -> Prepared<'a> {
    let mut block = vec![0u64; len.div_ceil(8).max(1)];
    for (word, chunk) in block.iter_mut().zip(bytes.chunks(8)) {
        let mut own = [0; 8];
        for (to, from) in own.iter_mut().zip(chunk) {
            *to = *from;
        }
        *word = u64::from_ne_bytes(own);
    }
    let r1 = block.as_mut_ptr() as u64;
    Prepared { r1, r2: 0, len: len as u64, packet: (0, 0), back: Back::Block { block, memory }, input: PhantomData }
}

/// Fields that programs take for pointers never hold the caller's bytes: without a packet its start and end are 0.
fn clear_pointers(kind: &ProgKind, size: u32, block: &mut [u64]) {
    for offset in (0..size).step_by(4) {
        for width in [4, 8] {
            let pointer = contexts::access(kind, i64::from(offset), width, false)
                .is_ok_and(|access| access.kind != FieldKind::Scalar);
            if pointer {
                let words = offset as usize / 8..=(offset as usize).div_ceil(8);
                block.get_mut(words).into_iter().flatten().for_each(|word| *word = 0);
            }
        }
    }
}

impl Prepared<'_> {
    /// BPF's r1 and r2 at entry.
    pub(crate) fn args(&self) -> [u64; 2] {
        [self.r1, self.r2]
    }

    /// What the run's record needs to know: the context's address and length; the packet's address and length, 0 and 0 without one.
    pub(crate) fn surroundings(&self) -> Surroundings {
        Surroundings { context: self.r1, context_len: self.len, packet: self.packet }
    }

    /// Brings what the program changed back into the input. Without it (a run that failed) packets keep their old bounds and fields.
    pub(crate) fn finish(self) {
        match self.back {
            Back::Nothing => {}
            Back::Packet { mut packet, xdp } => {
                // SAFETY: R9: the packet is borrowed for as long as this lives, and the run that wrote it has ended.
                let packet = unsafe { packet.as_mut() };
                if xdp { packet.leave_xdp() } else { packet.leave_skb() }
            }
            Back::Block { block, memory } => {
                let Some((target, len)) = memory else { return };
                let len = len.min(block.len() * 8);
                // SAFETY: R9: the memory is borrowed for as long as this lives; the block has at least as many bytes.
                unsafe { std::ptr::copy_nonoverlapping(block.as_ptr().cast::<u8>(), target.as_ptr(), len) };
            }
        }
    }
}

#[cfg(test)]
mod tests;
