//! What comparisons of packet pointers teach about how much of the packet is there.

use backstop_isa::{CmpOp, Operand, Reg, Width};

use crate::env::Verifier;
use crate::state::{AT_PKT_END, BEYOND_PKT_END, Kind, RegState, State};
use crate::transfer::branch::Compare;

/// Longest packet that ranges are tracked for.
const MAX_PACKET_OFF: u64 = 0xffff;

impl Verifier<'_> {
    /// True if the comparison was one of packet pointers that teaches something (Linux: `try_match_pkt_pointers`).
    pub fn learn_packet(&mut self, c: &Compare, other: &mut State) -> bool {
        let Operand::Reg(src) = c.src else { return false };
        if c.width == Width::W32 {
            return false;
        }
        let (a, b) = (*self.reg(c.dst), *self.reg(src));
        let (ptr_reg, ptr, on_left) = if pair(&a, &b) {
            (c.dst, a, true)
        } else if pair(&b, &a) {
            (src, b, false)
        } else {
            return false;
        };
        // In which state the pointer is known to be in bounds, and whether the test leaves out equality there.
        let (in_bounds_if_taken, open) = match (c.op, on_left) {
            (CmpOp::Gt, true) | (CmpOp::Lt, false) => (false, false),
            (CmpOp::Gt, false) | (CmpOp::Lt, true) => (true, true),
            (CmpOp::Ge, true) | (CmpOp::Le, false) => (false, true),
            (CmpOp::Ge, false) | (CmpOp::Le, true) => (true, false),
            _ => return false,
        };
        let (inside, outside) = if in_bounds_if_taken { (other, &mut self.cur) } else { (&mut self.cur, other) };
        good_range(inside, &ptr, open);
        mark_end(outside, ptr_reg, !open);
        true
    }
}

/// (packet, end) or (metadata, start of packet).
fn pair(ptr: &RegState, end: &RegState) -> bool {
    match (ptr.kind, end.kind) {
        (Kind::Packet, Kind::PacketEnd) => true,
        (Kind::PacketMeta, Kind::Packet) => end.id == 0 && end.off == 0 && end.var.is_const() == Some(0),
        _ => false,
    }
}

fn good_range(state: &mut State, ptr: &RegState, open: bool) {
    if ptr.off < 0 || (ptr.off == 0 && open) {
        return;
    }
    if ptr.var.umax > MAX_PACKET_OFF || ptr.var.umax + ptr.off as u64 > MAX_PACKET_OFF {
        return;
    }
    let range = ptr.off + i32::from(open);
    let (kind, id) = (ptr.kind, ptr.id);
    state.for_each_reg(|r| r.kind == kind && r.id == id && r.range < range, |r| r.range = range);
}

fn mark_end(state: &mut State, r: Reg, open: bool) {
    if state.reg(r).kind == Kind::Packet {
        state.reg_mut(r).range = if open { BEYOND_PKT_END } else { AT_PKT_END };
    }
}
