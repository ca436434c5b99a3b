//! Recognises the key of a flow table by its field names, and writes it as people write flows.

use std::net::{Ipv4Addr, Ipv6Addr};

use backstop::btf::{Btf, Member, TypeId};

use super::is_big_endian;

const SOURCE: &[&str] = &["saddr", "src", "src_ip", "src_addr", "source", "source_ip", "source_address", "sip"];
const DESTINATION: &[&str] =
    &["daddr", "dst", "dst_ip", "dst_addr", "dest", "destination", "destination_ip", "destination_address", "dip"];
const SOURCE_PORT: &[&str] = &["sport", "src_port", "source_port"];
const DESTINATION_PORT: &[&str] = &["dport", "dst_port", "dest_port", "destination_port"];
const PROTOCOL: &[&str] = &["proto", "protocol", "ip_proto", "l4_proto"];
const VERSION: &[&str] = &["ip_version", "version"];

struct Key<'a> {
    btf: &'a Btf,
    members: &'a [Member],
    bytes: &'a [u8],
}

impl<'a> Key<'a> {
    fn member(&self, names: &[&str]) -> Option<&'a Member> {
        let named = |m: &&Member| names.contains(&self.btf.str(m.name).to_ascii_lowercase().as_str());
        self.members.iter().find(|m| named(m) && !m.is_bitfield())
    }

    fn bytes_of(&self, member: &Member) -> Option<&'a [u8]> {
        let from = member.byte_offset() as usize;
        let size = usize::try_from(self.btf.size_of(member.ty)?).ok()?;
        self.bytes.get(from..from.checked_add(size)?)
    }

    fn number(&self, names: &[&str]) -> Option<u64> {
        let member = self.member(names)?;
        let bytes = self.bytes_of(member)?;
        let fold = |n: u64, b: &u8| n << 8 | u64::from(*b);
        let short = bytes.len() <= 8;
        short.then(|| match is_big_endian(self.btf, member.ty) {
            true => bytes.iter().fold(0, fold),
            false => bytes.iter().rev().fold(0, fold),
        })
    }

    /// Addresses stand in memory as they stand in packets.
    fn address(&self, names: &[&str], version: Option<u64>) -> Option<(String, bool)> {
        let bytes = self.bytes_of(self.member(names)?)?;
        if let Ok(four) = <[u8; 4]>::try_from(bytes) {
            return Some((Ipv4Addr::from(four).to_string(), false));
        }
        let sixteen = <[u8; 16]>::try_from(bytes).ok()?;
        let is_four = match version {
            Some(version) => version == 4,
            None => sixteen.iter().skip(4).all(|b| *b == 0) && sixteen.iter().any(|b| *b != 0),
        };
        match sixteen.first_chunk::<4>() {
            Some(first) if is_four => Some((Ipv4Addr::from(*first).to_string(), false)),
            _ => Some((Ipv6Addr::from(sixteen).to_string(), true)),
        }
    }
}

/// `10.0.0.1:1234 -> 10.0.0.2:80 tcp`, if the struct has fields that say source and destination.
pub fn text(btf: &Btf, ty: TypeId, bytes: &[u8]) -> Option<String> {
    let key = Key { btf, members: btf.members(btf.resolve(ty)), bytes };
    let version = key.number(VERSION);
    let source = key.address(SOURCE, version)?;
    let destination = key.address(DESTINATION, version)?;
    let protocol = key.number(PROTOCOL);
    let ports = protocol.is_none_or(has_ports).then(|| (key.number(SOURCE_PORT), key.number(DESTINATION_PORT)));
    let (from, to) = ports.unwrap_or_default();
    let mut out = format!("{} -> {}", end(source, from), end(destination, to));
    if let Some(protocol) = protocol {
        out.push_str(&format!(" {}", protocol_name(protocol)));
    }
    let known = [SOURCE, DESTINATION, SOURCE_PORT, DESTINATION_PORT, PROTOCOL, VERSION].concat();
    for member in key.members {
        let name = btf.str(member.name);
        let rest = !known.contains(&name.to_ascii_lowercase().as_str()) && !name.is_empty();
        if let Some(n) = key.number(&[name]).filter(|n| rest && *n != 0) {
            out.push_str(&format!(" {name} {n}"));
        }
    }
    Some(out)
}

fn end((address, six): (String, bool), port: Option<u64>) -> String {
    match port {
        Some(port) if six => format!("[{address}]:{port}"),
        Some(port) => format!("{address}:{port}"),
        None => address,
    }
}

/// TCP, UDP, DCCP, SCTP, UDP-Lite.
fn has_ports(protocol: u64) -> bool {
    matches!(protocol, 6 | 17 | 33 | 132 | 136)
}

/// By IANA's numbers.
fn protocol_name(protocol: u64) -> String {
    let name = match protocol {
        1 => "icmp",
        2 => "igmp",
        4 => "ipip",
        6 => "tcp",
        17 => "udp",
        33 => "dccp",
        41 => "ipv6",
        47 => "gre",
        50 => "esp",
        51 => "ah",
        58 => "icmpv6",
        132 => "sctp",
        136 => "udplite",
        other => return format!("protocol {other}"),
    };
    name.to_owned()
}

#[cfg(test)]
mod tests {
    use backstop::btf::{BtfBuilder, Encoding};

    use super::*;

    fn key() -> (Btf, TypeId) {
        let mut b = BtfBuilder::new();
        let u8 = b.int("unsigned char", 1, Encoding::Unsigned);
        let u16 = b.int("unsigned short", 2, Encoding::Unsigned);
        let u32 = b.int("unsigned int", 4, Encoding::Unsigned);
        let be16 = b.typedef("__be16", u16);
        let fields = [
            ("saddr", u32, 0),
            ("daddr", u32, 32),
            ("sport", be16, 64),
            ("dport", be16, 80),
            ("proto", u8, 96),
            ("vlan", u8, 104),
        ];
        let ty = b.structure("key", 16, &fields);
        (b.build().expect("types that fit"), ty)
    }

    #[test]
    fn a_flow_reads_like_one() {
        let (btf, ty) = key();
        let mut bytes = [10, 0, 0, 1, 10, 0, 0, 2, 0x04, 0xd2, 0, 80, 6, 0, 0, 0];
        assert_eq!(text(&btf, ty, &bytes).as_deref(), Some("10.0.0.1:1234 -> 10.0.0.2:80 tcp"));
        bytes[13] = 7;
        assert_eq!(text(&btf, ty, &bytes).as_deref(), Some("10.0.0.1:1234 -> 10.0.0.2:80 tcp vlan 7"));
        bytes[12] = 1;
        assert_eq!(text(&btf, ty, &bytes).as_deref(), Some("10.0.0.1 -> 10.0.0.2 icmp vlan 7"));
    }

    #[test]
    fn other_structs_are_no_flows() {
        let mut b = BtfBuilder::new();
        let u32 = b.int("unsigned int", 4, Encoding::Unsigned);
        let ty = b.structure("key", 8, &[("saddr", u32, 0), ("mark", u32, 32)]);
        let btf = b.build().expect("types that fit");
        assert_eq!(text(&btf, ty, &[0; 8]), None);
    }
}
