//! A packet: bytes with room around them, and what the stack knows of it.

use backstop_abi::{SKB_USER_SIZE, SkbContext, XdpContext};
use backstop_model::{ProgKind, ProgType};

/// Room before the data (Linux: `XDP_PACKET_HEADROOM`).
const HEADROOM: usize = 256;
/// Bytes that head room and data take at least, so that short packets can grow as in Linux: a page without the 320 bytes of
/// `struct skb_shared_info`.
const ROOM: usize = 4096 - 320;
/// Bytes of an Ethernet header.
pub(crate) const ETHERNET: usize = 14;
/// Words of `struct __sk_buff`.
const SKB_WORDS: usize = SKB_USER_SIZE / 4;

/// Words of `struct __sk_buff`, by field.
pub(super) mod skb {
    pub(crate) const LEN: usize = 0;
    pub(crate) const PKT_TYPE: usize = 1;
    pub(crate) const MARK: usize = 2;
    pub(crate) const QUEUE_MAPPING: usize = 3;
    pub(crate) const PROTOCOL: usize = 4;
    pub(crate) const PRIORITY: usize = 8;
    pub(crate) const INGRESS_IFINDEX: usize = 9;
    pub(crate) const IFINDEX: usize = 10;
    pub(crate) const TC_INDEX: usize = 11;
    pub(crate) const CB: usize = 12;
    pub(crate) const HASH: usize = 17;
    pub(crate) const TC_CLASSID: usize = 18;
    pub(crate) const DATA: usize = 19;
    pub(crate) const DATA_END: usize = 20;
    pub(crate) const FAMILY: usize = 22;
    pub(crate) const REMOTE_IP4: usize = 23;
    pub(crate) const LOCAL_IP4: usize = 24;
    pub(crate) const REMOTE_IP6: usize = 25;
    pub(crate) const LOCAL_IP6: usize = 29;
    pub(crate) const DATA_META: usize = 35;
    pub(crate) const TSTAMP: usize = 38;
    pub(crate) const WIRE_LEN: usize = 40;
    pub(crate) const GSO_SEGS: usize = 41;
    pub(crate) const GSO_SIZE: usize = 44;
    pub(crate) const HWTSTAMP: usize = 46;
}

/// Words of `struct xdp_md`, by field.
pub(super) mod xdp {
    pub(crate) const INGRESS_IFINDEX: usize = 3;
    pub(crate) const RX_QUEUE: usize = 4;
    pub(crate) const EGRESS_IFINDEX: usize = 5;
}

/// What r1 points to for XDP: the native context, then the bounds that helpers may move the packet in.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct XdpFrame {
    /// Must stay the first field.
    pub(crate) ctx: XdpContext,
    /// Address of the buffer's first byte.
    pub(crate) start: u64,
    /// Address after the last byte that data may take.
    pub(crate) end: u64,
    /// Address after the last byte that data ever took in this run.
    pub(crate) used: u64,
}

/// What r1 points to for types with a `struct __sk_buff`.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub(crate) struct SkbFrame {
    /// Must stay the first field.
    pub(crate) ctx: SkbContext,
    /// Address of the Ethernet header, which may stand before the data that the program sees.
    pub(crate) ethernet: u64,
}

/// A packet that programs read and may change: Ethernet header first, whatever the program's type.
///
/// Socket filters, cgroup and lwt programs see it without its Ethernet header, as in Linux. A packet can be used for any number of runs;
/// [`Packet::set_data`] reuses its buffer.
#[derive(Clone, Debug)]
pub struct Packet {
    buffer: Vec<u8>,
    /// Where metadata starts; `data` if there is none.
    meta: usize,
    data: usize,
    end: usize,
    /// Bytes from here on were never data: they are zero.
    used: usize,
    xdp: [u32; 6],
    skb: [u32; SKB_WORDS],
    xdp_frame: XdpFrame,
    skb_frame: SkbFrame,
}

const NO_SKB: SkbContext = SkbContext { user: [0; SKB_WORDS], data: 0, data_end: 0, data_meta: 0 };

macro_rules! fields {
    ($($(#[$doc:meta])* $get:ident $set:ident $place:ident[$word:expr];)*) => {$(
        $(#[$doc])*
        pub fn $get(&self) -> u32 {
            self.$place[$word]
        }

        $(#[$doc])*
        pub fn $set(&mut self, value: u32) -> &mut Packet {
            self.$place[$word] = value;
            self
        }
    )*};
}

impl Packet {
    /// A packet of these bytes, received on interface 1 (the loopback device), queue 0.
    pub fn new(data: &[u8]) -> Packet {
        let mut packet = Packet {
            buffer: Vec::new(),
            meta: 0,
            data: 0,
            end: 0,
            used: 0,
            xdp: [0; 6],
            skb: [0; SKB_WORDS],
            xdp_frame: XdpFrame::default(),
            skb_frame: SkbFrame { ctx: NO_SKB, ethernet: 0 },
        };
        packet.xdp[xdp::INGRESS_IFINDEX] = 1;
        packet.skb[skb::IFINDEX] = 1;
        packet.set_data(data);
        packet
    }

    /// Other bytes in the same buffer. Metadata is dropped; fields stay.
    pub fn set_data(&mut self, data: &[u8]) -> &mut Packet {
        let end = HEADROOM + data.len();
        // What earlier packets left is not shown to programs that move into the room.
        self.note_used();
        self.buffer.iter_mut().take(self.used).for_each(|byte| *byte = 0);
        self.buffer.resize(end.max(ROOM), 0);
        (self.meta, self.data, self.end, self.used) = (HEADROOM, HEADROOM, end, end);
        self.xdp_frame = XdpFrame::default();
        self.data_mut().copy_from_slice(data);
        self
    }

    fn note_used(&mut self) {
        let in_run = self.xdp_frame.used.wrapping_sub(self.xdp_frame.start) as usize;
        self.used = self.used.max(self.end).max(in_run);
    }

    /// The packet's bytes.
    pub fn data(&self) -> &[u8] {
        self.buffer.get(self.data..self.end).unwrap_or_default()
    }

    /// The packet's bytes.
    pub fn data_mut(&mut self) -> &mut [u8] {
        self.buffer.get_mut(self.data..self.end).unwrap_or_default()
    }

    /// The metadata before the packet (XDP).
    pub fn meta(&self) -> &[u8] {
        self.buffer.get(self.meta..self.data).unwrap_or_default()
    }

    /// Metadata and packet, which lie together.
    pub fn meta_and_data(&self) -> &[u8] {
        self.buffer.get(self.meta..self.end).unwrap_or_default()
    }

    /// Sets the metadata before the packet (XDP).
    ///
    /// # Errors
    /// [`super::ContextError::Meta`] if the length is not a multiple of 4 up to 252.
    pub fn set_meta(&mut self, meta: &[u8]) -> Result<&mut Packet, super::ContextError> {
        let room = self.data.saturating_sub(XDP_FRAME);
        if !valid_meta(meta.len()) || meta.len() > room {
            return Err(super::ContextError::Meta { len: meta.len() });
        }
        self.meta = self.data - meta.len();
        if let Some(place) = self.buffer.get_mut(self.meta..self.data) {
            place.copy_from_slice(meta);
        }
        Ok(self)
    }

    fields! {
        /// `xdp_md.ingress_ifindex`.
        xdp_ingress_ifindex set_xdp_ingress_ifindex xdp[xdp::INGRESS_IFINDEX];
        /// `xdp_md.rx_queue_index`.
        rx_queue set_rx_queue xdp[xdp::RX_QUEUE];
        /// `xdp_md.egress_ifindex` (devmap programs).
        egress_ifindex set_egress_ifindex xdp[xdp::EGRESS_IFINDEX];
        /// `__sk_buff.mark`.
        mark set_mark skb[skb::MARK];
        /// `__sk_buff.priority`.
        priority set_priority skb[skb::PRIORITY];
        /// `__sk_buff.queue_mapping`.
        queue_mapping set_queue_mapping skb[skb::QUEUE_MAPPING];
        /// `__sk_buff.ifindex`.
        ifindex set_ifindex skb[skb::IFINDEX];
        /// `__sk_buff.ingress_ifindex`.
        ingress_ifindex set_ingress_ifindex skb[skb::INGRESS_IFINDEX];
        /// `__sk_buff.tc_index`.
        tc_index set_tc_index skb[skb::TC_INDEX];
        /// `__sk_buff.tc_classid`.
        tc_classid set_tc_classid skb[skb::TC_CLASSID];
        /// `__sk_buff.hash`.
        hash set_hash skb[skb::HASH];
        /// `__sk_buff.wire_len`: 0 unless set, as in Linux's test runs without a context.
        wire_len set_wire_len skb[skb::WIRE_LEN];
        /// `__sk_buff.gso_segs`.
        gso_segs set_gso_segs skb[skb::GSO_SEGS];
        /// `__sk_buff.gso_size`.
        gso_size set_gso_size skb[skb::GSO_SIZE];
    }

    /// `__sk_buff.cb`.
    pub fn cb(&self) -> [u32; 5] {
        std::array::from_fn(|n| self.skb[skb::CB + n])
    }

    /// `__sk_buff.cb`.
    pub fn set_cb(&mut self, cb: [u32; 5]) -> &mut Packet {
        self.skb[skb::CB..skb::CB + 5].copy_from_slice(&cb);
        self
    }

    /// `__sk_buff.tstamp`, nanoseconds.
    pub fn tstamp(&self) -> u64 {
        self.double(skb::TSTAMP)
    }

    /// `__sk_buff.tstamp`, nanoseconds.
    pub fn set_tstamp(&mut self, nanos: u64) -> &mut Packet {
        self.set_double(skb::TSTAMP, nanos);
        self
    }

    /// `__sk_buff.hwtstamp`, nanoseconds.
    pub fn hwtstamp(&self) -> u64 {
        self.double(skb::HWTSTAMP)
    }

    /// `__sk_buff.hwtstamp`, nanoseconds.
    pub fn set_hwtstamp(&mut self, nanos: u64) -> &mut Packet {
        self.set_double(skb::HWTSTAMP, nanos);
        self
    }

    fn double(&self, word: usize) -> u64 {
        let mut bytes = [0; 8];
        bytes[..4].copy_from_slice(&self.skb[word].to_ne_bytes());
        bytes[4..].copy_from_slice(&self.skb[word + 1].to_ne_bytes());
        u64::from_ne_bytes(bytes)
    }

    fn set_double(&mut self, word: usize, value: u64) {
        let [a, b, c, d, e, f, g, h] = value.to_ne_bytes();
        self.skb[word] = u32::from_ne_bytes([a, b, c, d]);
        self.skb[word + 1] = u32::from_ne_bytes([e, f, g, h]);
    }

    /// `__sk_buff.protocol`: the EtherType in network order, as `eth_type_trans` finds it; 0 if the header is cut short.
    pub fn protocol(&self) -> u32 {
        let data = self.data();
        let Some(&[high, low]) = data.get(12..14) else { return 0 };
        let network = |bytes| u32::from(u16::from_ne_bytes(bytes));
        match (u16::from_be_bytes([high, low]), data.get(14..16)) {
            (0x600.., _) => network([high, low]),
            // Raw IPX after a length, then 802.2.
            (_, Some([0xff, 0xff])) => network([0, 1]),
            _ => network([0, 4]),
        }
    }

    /// `__sk_buff.pkt_type` as the loopback device's receiver finds it: its own and its broadcast address are all zeros, so that
    /// frames to all are multicast there.
    fn packet_type(&self) -> u32 {
        match self.data().get(..6) {
            None | Some([0, 0, 0, 0, 0, 0]) => 0,
            Some([first, ..]) if first & 1 != 0 => 2,
            Some(_) => 3,
        }
    }

    /// What programs of this kind do not see of the data's start.
    pub(super) fn pulled(kind: &ProgKind) -> usize {
        match kind.ty {
            ProgType::SchedCls | ProgType::SchedAct => 0,
            _ => ETHERNET,
        }
    }

    pub(super) fn check_skb(&self, kind: &ProgKind) -> Result<(), String> {
        let pulled = Packet::pulled(kind);
        if self.data().len() < pulled {
            let given = self.data().len();
            return Err(format!(
                "it wants a packet with an Ethernet header of {pulled} bytes, this one has {given} bytes"
            ));
        }
        Ok(())
    }

    fn address(&mut self, at: usize) -> u64 {
        self.buffer.as_mut_ptr() as u64 + at as u64
    }

    /// Fills the frame for XDP: r1, and the packet's address and length.
    pub(super) fn enter_xdp(&mut self) -> (u64, (u64, u64)) {
        let (data, data_end, data_meta) = (self.address(self.data), self.address(self.end), self.address(self.meta));
        self.note_used();
        let ctx = XdpContext { user: self.xdp, data, data_end, data_meta };
        let (start, end) = (self.address(0), self.address(self.buffer.len()));
        self.xdp_frame = XdpFrame { ctx, start, end, used: data_end };
        ((&raw mut self.xdp_frame) as u64, (data, data_end - data))
    }

    /// Takes what a program did to the packet over.
    pub(super) fn leave_xdp(&mut self) {
        let start = self.address(0);
        let offset = |address: u64| (address.wrapping_sub(start)) as usize;
        let ctx = self.xdp_frame.ctx;
        let (meta, data, end) = (offset(ctx.data_meta), offset(ctx.data), offset(ctx.data_end));
        if meta <= data && data <= end && end <= self.buffer.len() {
            (self.meta, self.data, self.end) = (meta, data, end);
        }
    }

    /// Fills the frame for a `struct __sk_buff`: r1, and the packet's address and length as the program sees it.
    pub(super) fn enter_skb(&mut self, kind: &ProgKind) -> (u64, (u64, u64)) {
        let pulled = Packet::pulled(kind);
        let (data, data_end) = (self.address(self.data + pulled), self.address(self.end));
        let len = data_end - data;
        let mut user = self.skb;
        user[skb::LEN] = u32::try_from(len).unwrap_or(u32::MAX);
        user[skb::PKT_TYPE] = self.packet_type();
        user[skb::PROTOCOL] = self.protocol();
        for word in [skb::DATA, skb::DATA_END, skb::DATA_META] {
            user[word] = 0;
        }
        self.fill_addresses(&mut user);
        let ctx = SkbContext { user, data, data_end, data_meta: data };
        self.skb_frame = SkbFrame { ctx, ethernet: data - pulled as u64 };
        ((&raw mut self.skb_frame) as u64, (data, len))
    }

    /// Socket addresses as Linux's test run takes them from the packet: its destination is the remote end.
    fn fill_addresses(&self, user: &mut [u32; SKB_WORDS]) {
        let header = self.data().get(ETHERNET..).unwrap_or_default();
        let word = |at: usize| {
            let bytes = header.get(at..at + 4)?;
            Some(u32::from_ne_bytes(bytes.try_into().ok()?))
        };
        match u16::from_be(self.protocol() as u16) {
            0x0800 => {
                user[skb::FAMILY] = libc::AF_INET as u32;
                if let (true, Some(local), Some(remote)) = (header.len() >= 20, word(12), word(16)) {
                    (user[skb::LOCAL_IP4], user[skb::REMOTE_IP4]) = (local, remote);
                }
            }
            0x86dd => {
                user[skb::FAMILY] = libc::AF_INET6 as u32;
                for n in 0..4 {
                    if let (true, Some(local), Some(remote)) = (header.len() >= 40, word(8 + n * 4), word(24 + n * 4)) {
                        (user[skb::LOCAL_IP6 + n], user[skb::REMOTE_IP6 + n]) = (local, remote);
                    }
                }
            }
            _ => {}
        }
    }

    /// Takes the fields that a program may write over.
    pub(super) fn leave_skb(&mut self) {
        let user = self.skb_frame.ctx.user;
        let written = [skb::MARK, skb::QUEUE_MAPPING, skb::PRIORITY, skb::TC_INDEX, skb::TC_CLASSID, skb::HASH];
        for word in written.into_iter().chain(skb::CB..skb::CB + 5).chain(skb::TSTAMP..skb::TSTAMP + 2) {
            self.skb[word] = user[word];
        }
    }

    #[cfg(test)]
    pub(super) fn xdp_frame_for_test(&mut self) -> &mut XdpFrame {
        &mut self.xdp_frame
    }

    pub(super) fn skb_words(&mut self) -> &mut [u32; SKB_WORDS] {
        &mut self.skb
    }
}

/// Bytes at the buffer's start that stay free (Linux: `sizeof(struct xdp_frame)`).
pub(crate) const XDP_FRAME: usize = 40;

/// Whether metadata can have this length (Linux: `xdp_metalen_invalid`).
pub(crate) fn valid_meta(len: usize) -> bool {
    len.is_multiple_of(4) && len <= 255
}
