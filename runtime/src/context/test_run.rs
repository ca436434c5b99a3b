//! `ctx_in`, `ctx_out` and `data_out` as Linux 6.18's `BPF_PROG_TEST_RUN` has them.

use backstop_abi::SKB_USER_SIZE;
use backstop_model::{ProgKind, ProgType, contexts};

use super::Packet;
use super::packet::{ETHERNET, skb, valid_meta, xdp};

/// A context that can't be given to a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ContextError {
    /// A field that the caller can't set, or to that value.
    #[error("byte {offset} of the context: {reason}")]
    Field {
        /// Where.
        offset: usize,
        /// What is wrong, and what to do.
        reason: &'static str,
    },
    /// Bytes beyond the struct that are not zero.
    #[error("the context has {len} bytes; those beyond {known} must be 0")]
    TooLong {
        /// Length given.
        len: usize,
        /// Length known.
        known: usize,
    },
    /// Metadata of an impossible length.
    #[error("metadata has {len} bytes; it must be a multiple of 4, at most 252, and leave room before the packet")]
    Meta {
        /// Length given.
        len: usize,
    },
    /// The program's type has no packet.
    #[error("programs of this type get no packet")]
    NoPacket,
}

/// Words that `ctx_in` may set in a `struct __sk_buff`; `data_end` is taken and ignored.
const SETTABLE: [usize; 17] = [
    skb::MARK,
    skb::PRIORITY,
    skb::INGRESS_IFINDEX,
    skb::IFINDEX,
    skb::CB,
    skb::CB + 1,
    skb::CB + 2,
    skb::CB + 3,
    skb::CB + 4,
    skb::TSTAMP,
    skb::TSTAMP + 1,
    skb::WIRE_LEN,
    skb::GSO_SEGS,
    skb::GSO_SIZE,
    skb::HWTSTAMP,
    skb::HWTSTAMP + 1,
    skb::DATA_END,
];

/// Words that `ctx_out` shows of a `struct __sk_buff`.
const SHOWN: [usize; 15] = [
    skb::MARK,
    skb::PRIORITY,
    skb::INGRESS_IFINDEX,
    skb::IFINDEX,
    skb::CB,
    skb::CB + 1,
    skb::CB + 2,
    skb::CB + 3,
    skb::CB + 4,
    skb::TSTAMP,
    skb::TSTAMP + 1,
    skb::WIRE_LEN,
    skb::GSO_SEGS,
    skb::HWTSTAMP,
    skb::HWTSTAMP + 1,
];

/// Linux: `GSO_MAX_SEGS`.
const GSO_MAX_SEGS: u32 = 65_535;

/// A struct of 32-bit words from bytes that may be shorter (the rest is 0) or longer (the rest must be 0).
fn words<const N: usize>(bytes: &[u8]) -> Result<[u32; N], ContextError> {
    if bytes.get(N * 4..).is_some_and(|rest| rest.iter().any(|byte| *byte != 0)) {
        return Err(ContextError::TooLong { len: bytes.len(), known: N * 4 });
    }
    let mut words = [0; N];
    for (word, chunk) in words.iter_mut().zip(bytes.chunks(4)) {
        let mut own = [0; 4];
        for (to, from) in own.iter_mut().zip(chunk) {
            *to = *from;
        }
        *word = u32::from_ne_bytes(own);
    }
    Ok(words)
}

impl Packet {
    /// Takes a context as `ctx_in` of `BPF_PROG_TEST_RUN` gives it: a `struct xdp_md` (whose `data` says how much of the packet is
    /// metadata) or a `struct __sk_buff`, by the program's kind.
    ///
    /// # Errors
    /// What Linux refuses: fields that can't be set and are not 0, impossible values.
    pub fn set_context(&mut self, kind: &ProgKind, bytes: &[u8]) -> Result<(), ContextError> {
        match kind.ty {
            ProgType::Xdp => self.set_xdp(words(bytes)?),
            ty if contexts::has_skb(ty) => self.set_skb(kind, words(bytes)?),
            _ => Err(ContextError::NoPacket),
        }
    }

    fn set_xdp(&mut self, [data, data_end, data_meta, ingress, queue, egress]: [u32; 6]) -> Result<(), ContextError> {
        let field = |word: usize, reason| Err(ContextError::Field { offset: word * 4, reason });
        let all = self.data().to_vec();
        let meta = data as usize;
        if data_meta != 0 {
            return field(2, "data_meta must be 0: metadata starts the data");
        }
        if data_end as usize != all.len() {
            return field(1, "data_end must be the length of metadata and packet");
        }
        if meta > all.len() || !valid_meta(meta) {
            return Err(ContextError::Meta { len: meta });
        }
        if egress != 0 {
            return field(xdp::EGRESS_IFINDEX, "egress_ifindex can't be set");
        }
        if ingress == 0 && queue != 0 {
            return field(xdp::RX_QUEUE, "rx_queue_index needs an ingress_ifindex");
        }
        let (meta, data) = all.split_at(meta);
        self.set_data(data).set_meta(meta)?;
        if ingress != 0 {
            self.set_xdp_ingress_ifindex(ingress).set_rx_queue(queue);
        }
        Ok(())
    }

    fn set_skb(&mut self, kind: &ProgKind, given: [u32; SKB_USER_SIZE / 4]) -> Result<(), ContextError> {
        let field = |word: usize, reason| Err(ContextError::Field { offset: word * 4, reason });
        if let Some(word) = (0..given.len()).find(|word| given[*word] != 0 && !SETTABLE.contains(word)) {
            return field(word, "this field can't be set and must be 0");
        }
        let len = self.data().len().saturating_sub(Packet::pulled(kind)) as u32;
        let wire_len = if given[skb::WIRE_LEN] == 0 { len } else { given[skb::WIRE_LEN] };
        if wire_len < len {
            return field(skb::WIRE_LEN, "wire_len can't be less than the packet's length");
        }
        if given[skb::GSO_SEGS] > GSO_MAX_SEGS {
            return field(skb::GSO_SEGS, "gso_segs is at most 65535");
        }
        let own = self.skb_words();
        for word in SETTABLE.into_iter().filter(|word| *word != skb::DATA_END) {
            own[word] = given[word];
        }
        own[skb::IFINDEX] = given[skb::IFINDEX].max(1);
        own[skb::WIRE_LEN] = wire_len;
        Ok(())
    }

    /// The context after a run as `ctx_out` of `BPF_PROG_TEST_RUN` shows it; nothing for types without a packet.
    pub fn context(&mut self, kind: &ProgKind) -> Vec<u8> {
        let words = match kind.ty {
            ProgType::Xdp => {
                let (meta, all) = (self.meta().len() as u32, self.meta_and_data().len() as u32);
                vec![meta, all, 0, self.xdp_ingress_ifindex(), self.rx_queue(), 0]
            }
            ty if contexts::has_skb(ty) => {
                let own = *self.skb_words();
                (0..own.len()).map(|word| if SHOWN.contains(&word) { own[word] } else { 0 }).collect()
            }
            _ => Vec::new(),
        };
        words.into_iter().flat_map(u32::to_ne_bytes).collect()
    }

    /// The packet after a run as `data_out` of `BPF_PROG_TEST_RUN` shows it: metadata first for XDP; for types that do not see the
    /// Ethernet header, zeros in its place.
    pub fn data_out(&self, kind: &ProgKind) -> Vec<u8> {
        let mut out = match kind.ty {
            ProgType::Xdp => self.meta_and_data().to_vec(),
            _ => self.data().to_vec(),
        };
        if contexts::has_skb(kind.ty) && Packet::pulled(kind) != 0 {
            out.iter_mut().take(ETHERNET).for_each(|byte| *byte = 0);
        }
        out
    }
}
