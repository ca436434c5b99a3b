use backstop_model::{AttachType, HostContext, HostField};
use std::sync::Arc;

use super::packet::skb as skb_field;
use super::*;

const NO_NEED: ContextNeed = ContextNeed { own: 0, tail_calls: false };

fn kind(ty: ProgType) -> ProgKind {
    ProgKind::new(ty)
}

/// An Ethernet header of this type before a body.
fn frame(ether_type: u16, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2];
    bytes.extend(ether_type.to_be_bytes());
    bytes.extend(body);
    bytes
}

fn skb_of(packet: &mut Packet, ty: ProgType) -> SkbFrame {
    let (r1, _) = packet.enter_skb(&kind(ty));
    // SAFETY: the frame lies in the packet, which is still borrowed.
    unsafe { *(r1 as *const SkbFrame) }
}

#[test]
fn xdp_sees_the_whole_packet_and_its_bounds() {
    let mut packet = Packet::new(&frame(0x800, &[9; 50]));
    packet.set_rx_queue(3).set_meta(&[1, 2, 3, 4]).expect("room");
    let mut input = Input::from(&mut packet);
    let prepared = prepare(&kind(ProgType::Xdp), &mut input, NO_NEED).expect("a packet suits");
    assert_eq!(prepared.packet.1, 64);
    // SAFETY: prepared for XDP: r1 is such a frame.
    let context = unsafe { &mut *(prepared.r1 as *mut XdpFrame) };
    assert_eq!(context.ctx.user, [0, 0, 0, 1, 3, 0]);
    assert_eq!(context.ctx.data_end - context.ctx.data, 64);
    assert_eq!(context.ctx.data - context.ctx.data_meta, 4);
    assert_eq!(context.ctx.data - context.start, 256);
    assert_eq!(context.end - context.start, 3776);
    context.ctx.data += 14;
    context.ctx.data_meta = context.ctx.data;
    prepared.finish();
    assert_eq!(packet.data(), [9; 50]);
    assert_eq!(packet.meta(), []);
}

#[test]
fn bounds_outside_the_buffer_are_not_taken_over() {
    let mut packet = Packet::new(&[7; 20]);
    packet.enter_xdp();
    packet.xdp_frame_for_test().ctx.data_end += 1 << 20;
    packet.leave_xdp();
    assert_eq!(packet.data(), [7; 20]);
}

#[test]
fn new_data_hides_the_old() {
    let mut packet = Packet::new(&[7; 5000]);
    packet.set_data(&[1; 10]);
    assert_eq!(packet.data(), [1; 10]);
    let (r1, _) = packet.enter_xdp();
    // SAFETY: the frame lies in the packet, which is still alive.
    let context = unsafe { *(r1 as *const XdpFrame) };
    // SAFETY: the frame's bounds are the packet's buffer.
    let buffer =
        unsafe { std::slice::from_raw_parts(context.start as *const u8, (context.end - context.start) as usize) };
    assert!(buffer.iter().all(|byte| *byte != 7));
}

#[test]
fn skb_fields_are_linuxs() {
    let mut packet = Packet::new(&frame(0x0800, &[0x45; 40]));
    packet.set_mark(5).set_cb([1, 2, 3, 4, 5]).set_tstamp(1 << 40);
    let tc = skb_of(&mut packet, ProgType::SchedCls);
    assert_eq!(tc.ctx.user[skb_field::LEN], 54);
    assert_eq!(tc.ctx.user[skb_field::PROTOCOL], u32::from(0x0800u16.to_be()));
    assert_eq!(tc.ctx.user[skb_field::PKT_TYPE], 3);
    assert_eq!(tc.ctx.user[skb_field::MARK], 5);
    assert_eq!(tc.ctx.user[skb_field::IFINDEX], 1);
    assert_eq!(tc.ctx.user[skb_field::CB + 4], 5);
    assert_eq!(tc.ctx.user[skb_field::TSTAMP + 1], 1 << 8);
    let socket = skb_of(&mut packet, ProgType::SocketFilter);
    assert_eq!(socket.ctx.user[skb_field::LEN], 40);
    assert_eq!(socket.ctx.data, tc.ctx.data + 14);
    assert_eq!(socket.ctx.user[skb_field::FAMILY], 2);
    assert_eq!(socket.ctx.user[skb_field::REMOTE_IP4], 0x4545_4545);
}

#[test]
fn protocols_without_an_ether_type() {
    assert_eq!(Packet::new(&frame(46, &[0xff, 0xff])).protocol(), u32::from(1u16.to_be()));
    assert_eq!(Packet::new(&frame(46, &[0, 0])).protocol(), u32::from(4u16.to_be()));
    assert_eq!(Packet::new(&[0; 13]).protocol(), 0);
}

#[test]
fn what_a_program_writes_into_its_skb_comes_back() {
    let mut packet = Packet::new(&frame(0x86dd, &[0; 40]));
    let kind = kind(ProgType::SchedCls);
    let mut input = Input::from(&mut packet);
    let prepared = prepare(&kind, &mut input, NO_NEED).expect("a packet suits");
    // SAFETY: prepared for a type with a __sk_buff: r1 is such a frame.
    let user = unsafe { &mut (*(prepared.r1 as *mut SkbFrame)).ctx.user };
    user[skb_field::MARK] = 77;
    user[skb_field::CB] = 78;
    user[skb_field::LEN] = 1;
    prepared.finish();
    assert_eq!((packet.mark(), packet.cb()[0], packet.data().len()), (77, 78, 54));
    let out = packet.context(&kind);
    assert_eq!((out.len(), out[8]), (192, 77));
}

#[test]
fn contexts_in_and_out() {
    let xdp = kind(ProgType::Xdp);
    let bytes = |words: &[u32]| words.iter().flat_map(|w| w.to_ne_bytes()).collect::<Vec<u8>>();
    let mut packet = Packet::new(&[3; 64]);
    packet.set_context(&xdp, &bytes(&[8, 64, 0, 0, 0, 0])).expect("8 bytes of metadata");
    assert_eq!((packet.meta().len(), packet.data().len()), (8, 56));
    assert_eq!(packet.data_out(&xdp), [3; 64]);
    assert_eq!(packet.context(&xdp), bytes(&[8, 64, 0, 1, 0, 0]));
    let mut packet = Packet::new(&[3; 64]);
    for wrong in
        [[7, 64, 0, 0, 0, 0], [0, 63, 0, 0, 0, 0], [0, 64, 1, 0, 0, 0], [0, 64, 0, 0, 1, 0], [0, 64, 0, 0, 0, 1]]
    {
        assert!(packet.set_context(&xdp, &bytes(&wrong)).is_err(), "{wrong:?}");
    }
    let tc = kind(ProgType::SchedCls);
    let mut words = [0; 48];
    words[skb_field::MARK] = 9;
    packet.set_context(&tc, &bytes(&words)).expect("a mark can be set");
    assert_eq!((packet.mark(), packet.wire_len()), (9, 64));
    words[skb_field::LEN] = 1;
    assert_eq!(
        packet.set_context(&tc, &bytes(&words)),
        Err(ContextError::Field { offset: 0, reason: "this field can't be set and must be 0" })
    );
    assert!(packet.set_context(&tc, &[1; 193]).is_err());
    assert_eq!(packet.set_context(&kind(ProgType::Syscall), &[]), Err(ContextError::NoPacket));
    assert_eq!(packet.data_out(&kind(ProgType::SocketFilter))[..15], [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 3]);
}

#[test]
fn raw_memory_is_exact_and_aligned() {
    let mut kind = kind(ProgType::RawMem);
    kind.memory_len = 9;
    let mut memory = [1u8; 24];
    for start in 0..8 {
        let part = &mut memory[start..start + 9];
        let mut input = Input::Memory(part);
        let prepared = prepare(&kind, &mut input, NO_NEED).expect("9 bytes");
        assert_eq!((prepared.r1 % 8, prepared.r2), (0, 9));
        // SAFETY: r1 is the memory or a copy of it.
        unsafe { *((prepared.r1 + 8) as *mut u8) = 40 + start as u8 };
        prepared.finish();
        assert_eq!(memory[start + 8], 40 + start as u8);
    }
    let refused = |input: &mut Input<'_>| prepare(&kind, input, NO_NEED).err();
    assert_eq!(
        refused(&mut Input::Memory(&mut memory[..8])),
        Some("it wants memory of exactly 9 bytes, this one has 8".to_owned())
    );
    assert_eq!(refused(&mut Input::None), Some("it wants memory of 9 bytes".to_owned()));
    assert!(refused(&mut Input::Packet(&mut Packet::new(&[]))).is_some());
}

#[test]
fn syscall_contexts_are_as_long_as_the_program_reaches() {
    let kind = kind(ProgType::Syscall);
    let need = ContextNeed { own: 16, tail_calls: true };
    let mut memory = vec![5u8; 24];
    let mut input = Input::from(&mut memory);
    let prepared = prepare(&kind, &mut input, need).expect("24 bytes do");
    // SAFETY: all that a syscall program may touch is reachable.
    unsafe {
        assert_eq!(*((prepared.r1 + 65_534) as *const u8), 0);
        *((prepared.r1 + 23) as *mut u8) = 9;
    }
    prepared.finish();
    assert_eq!(memory[22..], [5, 9]);
    let short = prepare(&kind, &mut Input::Memory(&mut [0; 8]), need).err();
    assert_eq!(short, Some("it reads or writes 16 bytes of its context, the memory has 8".to_owned()));
}

#[test]
fn arguments_are_a_block_of_the_types_size() {
    let kind = kind(ProgType::RawTracepoint);
    let mut input = Input::Args(&[11, 12]);
    let prepared = prepare(&kind, &mut input, ContextNeed { own: 16, tail_calls: true }).expect("two arguments");
    // SAFETY: 96 bytes are reachable.
    let words = unsafe { *(prepared.r1 as *const [u64; 12]) };
    assert_eq!(words, [11, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    prepared.finish();
    assert!(prepare(&kind, &mut Input::Args(&[1]), ContextNeed { own: 16, tail_calls: false }).is_err());
    assert!(prepare(&kind, &mut Input::Args(&[0; 13]), NO_NEED).is_err());
    assert!(prepare(&kind, &mut Input::None, NO_NEED).is_ok());
}

#[test]
fn pointer_fields_never_hold_the_callers_bytes() {
    for ty in [ProgType::SkMsg, ProgType::SkReuseport, ProgType::SkLookup, ProgType::SockOps] {
        let kind = kind(ty);
        let size = contexts::size(&kind).expect("a struct");
        let mut memory = vec![0xaa; size as usize];
        let mut input = Input::from(&mut memory);
        let prepared = prepare(&kind, &mut input, size).expect("its size");
        for offset in (0..i64::from(size)).step_by(4) {
            for width in [4, 8] {
                let Ok(access) = contexts::access(&kind, offset, width, false) else { continue };
                if access.kind != FieldKind::Scalar {
                    // SAFETY: the block has the size of the struct at least.
                    let word = unsafe { ((prepared.r1 + u64::from(access.native_off)) as *const u64).read_unaligned() };
                    assert_eq!(word, 0, "{ty:?} {offset}");
                }
            }
        }
    }
}

#[test]
fn host_structs_are_exact() {
    let mut kind = kind(ProgType::Host);
    let fields = vec![HostField { name: "a".to_owned(), offset: 0, size: 4, writable: true }];
    kind.host = Some(Arc::new(HostContext { name: "s".to_owned(), size: 4, fields }));
    assert!(prepare(&kind, &mut Input::Memory(&mut [0; 4]), NO_NEED).is_ok());
    assert!(prepare(&kind, &mut Input::Memory(&mut [0; 8]), NO_NEED).is_err());
    assert!(prepare(&kind, &mut Input::None, NO_NEED).is_err());
}

#[test]
fn packets_are_for_packet_types() {
    let mut short = Packet::new(&[0; 5]);
    assert!(prepare(&kind(ProgType::SocketFilter), &mut Input::Packet(&mut short), NO_NEED).is_err());
    assert!(prepare(&kind(ProgType::SchedCls), &mut Input::Packet(&mut short), NO_NEED).is_ok());
    assert!(prepare(&kind(ProgType::Syscall), &mut Input::Packet(&mut short), NO_NEED).is_err());
    assert!(prepare(&kind(ProgType::Xdp), &mut Input::None, NO_NEED).is_err());
    let mut egress = kind(ProgType::CgroupSkb);
    egress.attach = AttachType::CgroupInetEgress;
    let mut packet = Packet::new(&[0; 64]);
    let prepared = prepare(&egress, &mut Input::Packet(&mut packet), NO_NEED).map(|p| p.packet.1);
    assert_eq!(prepared, Ok(50));
}
