//! Packets by helper: loads, stores, and moving an XDP packet's bounds.
//!
//! A context argument is the run's own context (I3): for these helpers a frame that `context` made, whose bounds are the truth about the
//! packet (R9). Offsets and lengths come from the guest and are checked here.

#![allow(unsafe_code)]

use super::{errno, memory};
use crate::context::{ETHERNET, SkbFrame, XDP_FRAME, XdpFrame, valid_meta};
use crate::record::RunRecord;

/// `BPF_F_RECOMPUTE_CSUM`.
const RECOMPUTE_CSUM: u64 = 1;
/// `BPF_F_INVALIDATE_HASH`.
const INVALIDATE_HASH: u64 = 2;
/// Offsets of legacy loads from here on count from the network header (Linux: `SKF_NET_OFF`).
const FROM_NETWORK: i64 = -0x10_0000;
/// Offsets of legacy loads from here on count from the Ethernet header (Linux: `SKF_LL_OFF`).
const FROM_ETHERNET: i64 = -0x20_0000;
/// Word of `__sk_buff.hash`.
const SKB_HASH: usize = 17;

fn xdp_frame<'call>(context: u64) -> &'call mut XdpFrame {
    // SAFETY: I3, R9: XDP programs' context is such a frame, which only the run that calls uses; helpers keep it no longer than their call.
    unsafe { &mut *(context as *mut XdpFrame) }
}

fn skb_frame<'call>(context: u64) -> &'call mut SkbFrame {
    // SAFETY: I3, R9: contexts of the types that may call these helpers are such frames, or longer zeroed blocks.
    unsafe { &mut *(context as *mut SkbFrame) }
}

/// Address of `len` bytes at `offset` of a packet, if they lie inside.
pub(super) fn inside(data: u64, data_end: u64, offset: u64, len: u64) -> Option<u64> {
    let end = offset.checked_add(len)?;
    (end <= data_end.saturating_sub(data)).then(|| data + offset)
}

/// Address of bytes in a `struct __sk_buff`'s packet.
pub(super) fn skb_bytes(context: u64, offset: u64, len: u64) -> Option<u64> {
    let ctx = &skb_frame(context).ctx;
    inside(ctx.data, ctx.data_end, offset, len)
}

/// Copies between places that may overlap: through a copy of the source.
fn copy(from: u64, to: u64, len: usize) {
    // SAFETY: the callers checked the packet's side against its bounds; the other is a memory argument of this length (I3).
    unsafe { memory::with(from, len, |bytes| memory::write(to, bytes)) };
}

/// `bpf_skb_load_bytes(skb, offset, to, len)`.
pub(super) fn skb_load_bytes(_run: &mut RunRecord<'_>, [context, offset, to, len, _]: [u64; 5]) -> u64 {
    let (offset, len) = (u64::from(offset as u32), u64::from(len as u32));
    match skb_bytes(context, offset, len).filter(|_| offset <= i32::MAX as u64) {
        Some(from) => {
            copy(from, to, len as usize);
            0
        }
        None => {
            // SAFETY: I3: the target is writable for `len` bytes; Linux clears it on failure.
            unsafe { memory::zero(to, len as usize) };
            errno::EFAULT as u64
        }
    }
}

/// `bpf_skb_store_bytes(skb, offset, from, len, flags)`.
pub(super) fn skb_store_bytes(_run: &mut RunRecord<'_>, [context, offset, from, len, flags]: [u64; 5]) -> u64 {
    let (offset, len) = (u64::from(offset as u32), u64::from(len as u32));
    if flags & !(RECOMPUTE_CSUM | INVALIDATE_HASH) != 0 {
        return errno::EINVAL as u64;
    }
    let Some(to) = skb_bytes(context, offset, len).filter(|_| offset <= i32::MAX as u64) else {
        return errno::EFAULT as u64;
    };
    copy(from, to, len as usize);
    if flags & INVALIDATE_HASH != 0 {
        skb_frame(context).ctx.user[SKB_HASH] = 0;
    }
    0
}

/// `bpf_skb_pull_data(skb, len)`: all of a packet is always there.
pub(super) fn skb_pull_data(_run: &mut RunRecord<'_>, [context, len, ..]: [u64; 5]) -> u64 {
    let there = skb_bytes(context, 0, u64::from(len as u32)).is_some();
    if there { 0 } else { errno::ENOMEM as u64 }
}

/// `bpf_xdp_get_buff_len(xdp)`.
pub(super) fn xdp_get_buff_len(_run: &mut RunRecord<'_>, [context, ..]: [u64; 5]) -> u64 {
    let ctx = &xdp_frame(context).ctx;
    ctx.data_end.saturating_sub(ctx.data)
}

/// Address of bytes in an XDP packet, with Linux's errors.
fn xdp_bytes(context: u64, offset: u64, len: u64) -> Result<u64, i64> {
    let (offset, len) = (u64::from(offset as u32), u64::from(len as u32));
    if offset > 0xffff || len > 0xffff {
        return Err(errno::EFAULT);
    }
    let ctx = &xdp_frame(context).ctx;
    inside(ctx.data, ctx.data_end, offset, len).ok_or(errno::EINVAL)
}

/// `bpf_xdp_load_bytes(xdp, offset, to, len)`.
pub(super) fn xdp_load_bytes(_run: &mut RunRecord<'_>, [context, offset, to, len, _]: [u64; 5]) -> u64 {
    let found = xdp_bytes(context, offset, len);
    found.map_or_else(
        |error| error as u64,
        |from| {
            copy(from, to, len as u32 as usize);
            0
        },
    )
}

/// `bpf_xdp_store_bytes(xdp, offset, from, len)`.
pub(super) fn xdp_store_bytes(_run: &mut RunRecord<'_>, [context, offset, from, len, _]: [u64; 5]) -> u64 {
    let found = xdp_bytes(context, offset, len);
    found.map_or_else(
        |error| error as u64,
        |to| {
            copy(from, to, len as u32 as usize);
            0
        },
    )
}

/// Address moved by a guest's signed 32-bit distance.
fn moved(address: u64, distance: u64) -> u64 {
    address.wrapping_add_signed(i64::from(distance as i32))
}

fn note_bounds(run: &mut RunRecord<'_>, frame: &mut XdpFrame) {
    frame.used = frame.used.max(frame.ctx.data_end);
    run.packet = (frame.ctx.data, frame.ctx.data_end.saturating_sub(frame.ctx.data));
}

/// `bpf_xdp_adjust_head(xdp, delta)`: moves the packet's start, and the metadata with it.
pub(super) fn xdp_adjust_head(run: &mut RunRecord<'_>, [context, delta, ..]: [u64; 5]) -> u64 {
    let frame = xdp_frame(context);
    let ctx = frame.ctx;
    let meta_len = ctx.data.saturating_sub(ctx.data_meta);
    let data = moved(ctx.data, delta);
    let lowest = frame.start + XDP_FRAME as u64 + meta_len;
    let highest = ctx.data_end.saturating_sub(ETHERNET as u64);
    if data < lowest || data > highest {
        return errno::EINVAL as u64;
    }
    let data_meta = data - meta_len;
    copy(ctx.data_meta, data_meta, meta_len as usize);
    (frame.ctx.data, frame.ctx.data_meta) = (data, data_meta);
    note_bounds(run, frame);
    0
}

/// `bpf_xdp_adjust_meta(xdp, delta)`: moves the metadata's start.
pub(super) fn xdp_adjust_meta(_run: &mut RunRecord<'_>, [context, delta, ..]: [u64; 5]) -> u64 {
    let frame = xdp_frame(context);
    let meta = moved(frame.ctx.data_meta, delta);
    if meta < frame.start + XDP_FRAME as u64 || meta > frame.ctx.data {
        return errno::EINVAL as u64;
    }
    if !valid_meta((frame.ctx.data - meta) as usize) {
        return errno::EACCES as u64;
    }
    frame.ctx.data_meta = meta;
    0
}

/// `bpf_xdp_adjust_tail(xdp, delta)`: moves the packet's end; new bytes are 0.
pub(super) fn xdp_adjust_tail(run: &mut RunRecord<'_>, [context, delta, ..]: [u64; 5]) -> u64 {
    let frame = xdp_frame(context);
    let old = frame.ctx.data_end;
    let end = moved(old, delta);
    if end > frame.end || end < frame.ctx.data + ETHERNET as u64 {
        return errno::EINVAL as u64;
    }
    if end > old {
        // SAFETY: R9: from the old end up to the frame's bound, inside the packet's buffer.
        unsafe { memory::zero(old, (end - old) as usize) };
    }
    frame.ctx.data_end = end;
    note_bounds(run, frame);
    0
}

/// A legacy packet load (`BPF_ABS`, `BPF_IND`) of 1, 2 or 4 bytes in network order; `None` beyond the packet.
///
/// Offsets count from the data; negative ones from the headers as in Linux (`bpf_internal_load_pointer_neg_helper`).
pub(crate) fn legacy_load(run: &mut RunRecord<'_>, offset: u32, size: u32) -> Option<u64> {
    if run.packet == (0, 0) || !matches!(size, 1 | 2 | 4) {
        return None;
    }
    // Programs with legacy loads have a `struct __sk_buff`.
    let frame = *skb_frame(run.context);
    let offset = i64::from(offset as i32);
    let (base, offset) = match offset {
        0.. => (frame.ctx.data, offset),
        FROM_NETWORK..0 => (frame.ethernet + ETHERNET as u64, offset - FROM_NETWORK),
        FROM_ETHERNET..FROM_NETWORK => (frame.ethernet, offset - FROM_ETHERNET),
        _ => return None,
    };
    let at = inside(base, frame.ctx.data_end, u64::try_from(offset).ok()?, u64::from(size))?;
    let mut bytes = [0; 4];
    let bytes = bytes.get_mut(..size as usize)?;
    // SAFETY: R9: the place was just found inside the packet.
    unsafe { memory::read(at, bytes) };
    Some(bytes.iter().fold(0, |value, byte| value << 8 | u64::from(*byte)))
}
