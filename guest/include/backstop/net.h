/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Packet headers as they lie on the wire (IEEE 802.3 and 802.1Q, RFC 791, 8200, 9293, 768,
 * 792, 4443), and byte order. Fields of more than a byte are in network order.
 */
#ifndef BACKSTOP_NET_H
#define BACKSTOP_NET_H

#include "bpf.h"

#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define bpf_htons(x) ((__u16)__builtin_bswap16((__u16)(x)))
#define bpf_htonl(x) ((__u32)__builtin_bswap32((__u32)(x)))
#define bpf_htonll(x) ((__u64)__builtin_bswap64((__u64)(x)))
#else
#define bpf_htons(x) ((__u16)(x))
#define bpf_htonl(x) ((__u32)(x))
#define bpf_htonll(x) ((__u64)(x))
#endif
#define bpf_ntohs(x) bpf_htons(x)
#define bpf_ntohl(x) bpf_htonl(x)
#define bpf_ntohll(x) bpf_htonll(x)

/* EtherTypes, in host order. */
#define ETH_P_IP 0x0800
#define ETH_P_ARP 0x0806
#define ETH_P_8021Q 0x8100
#define ETH_P_8021AD 0x88a8
#define ETH_P_IPV6 0x86dd

#define ETH_ALEN 6

/* IP protocol numbers, which are IPv6's next headers too. */
#define IPPROTO_HOPOPTS 0
#define IPPROTO_ICMP 1
#define IPPROTO_TCP 6
#define IPPROTO_UDP 17
#define IPPROTO_ROUTING 43
#define IPPROTO_FRAGMENT 44
#define IPPROTO_ESP 50
#define IPPROTO_AH 51
#define IPPROTO_ICMPV6 58
#define IPPROTO_NONE 59
#define IPPROTO_DSTOPTS 60

struct ethhdr {
	__u8 h_dest[ETH_ALEN];
	__u8 h_source[ETH_ALEN];
	__be16 h_proto;
} __packed;

/* What follows an EtherType of 802.1Q or 802.1ad. */
struct vlan_hdr {
	__be16 tci; /* priority 3 bits, drop eligible 1 bit, id 12 bits */
	__be16 encapsulated_proto;
};

struct iphdr {
	__u8 version_ihl; /* version in the upper half, length in words in the lower */
	__u8 tos;
	__be16 tot_len;
	__be16 id;
	__be16 frag_off; /* flags 3 bits, offset in units of 8 bytes 13 bits */
	__u8 ttl;
	__u8 protocol;
	__u16 check;
	__be32 saddr;
	__be32 daddr;
};

#define IP_OFFSET_MASK 0x1fff
#define IP_MORE_FRAGMENTS 0x2000

struct ipv6hdr {
	__be32 version_class_flow; /* version 4 bits, traffic class 8 bits, flow label 20 bits */
	__be16 payload_len;
	__u8 nexthdr;
	__u8 hop_limit;
	__be32 saddr[4];
	__be32 daddr[4];
};

/* The common start of hop-by-hop, routing and destination options headers. */
struct ipv6_ext_hdr {
	__u8 nexthdr;
	__u8 len; /* in units of 8 bytes, without the first 8 */
};

struct ipv6_frag_hdr {
	__u8 nexthdr;
	__u8 reserved;
	__be16 frag_off; /* offset in units of 8 bytes in the upper 13 bits, more-fragments in the lowest */
	__be32 id;
};

struct tcphdr {
	__be16 source;
	__be16 dest;
	__be32 seq;
	__be32 ack_seq;
	__u8 doff_reserved; /* header length in words in the upper half */
	__u8 flags;
	__be16 window;
	__u16 check;
	__be16 urg_ptr;
};

#define TCP_FIN 0x01
#define TCP_SYN 0x02
#define TCP_RST 0x04
#define TCP_PSH 0x08
#define TCP_ACK 0x10

struct udphdr {
	__be16 source;
	__be16 dest;
	__be16 len;
	__u16 check;
};

struct icmphdr {
	__u8 type;
	__u8 code;
	__u16 checksum;
	__be32 rest;
};

#endif
