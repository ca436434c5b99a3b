/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * What the firewall's program and whoever reads its maps agree on.
 */
#ifndef FIREWALL_H
#define FIREWALL_H

#include <backstop/bpf.h>

/* Why a packet made an assert throw: the exception's cookie, and the key of the map `throws`. */
enum fw_cookie {
	FW_ETHERNET_TRUNCATED = 1,      /* the frame ends inside its Ethernet header */
	FW_VLAN_TRUNCATED = 2,          /* ... inside a VLAN tag */
	FW_IPV4_TRUNCATED = 3,          /* ... inside the IPv4 header or its options */
	FW_IPV4_VERSION = 4,            /* EtherType IPv4, version field not 4 */
	FW_IPV4_HEADER_LENGTH = 5,      /* header length below 20 */
	FW_IPV4_TOTAL_LENGTH = 6,       /* total length below the header's or beyond the frame */
	FW_IPV4_CHECKSUM = 7,           /* the header's checksum is wrong */
	FW_IPV6_TRUNCATED = 8,          /* the frame ends inside the IPv6 header */
	FW_IPV6_VERSION = 9,            /* EtherType IPv6, version field not 6 */
	FW_IPV6_PAYLOAD_LENGTH = 10,    /* payload length beyond the frame */
	FW_IPV6_EXTENSION = 11,         /* an extension header ends beyond the payload */
	FW_IPV6_EXTENSION_COUNT = 12,   /* more extension headers than FW_MAX_EXTENSIONS */
	FW_TCP_TRUNCATED = 13,          /* the IP payload ends inside the TCP header */
	FW_TCP_DATA_OFFSET = 14,        /* TCP header length below 20 or beyond the payload */
	FW_UDP_TRUNCATED = 15,          /* the IP payload ends inside the UDP header */
	FW_UDP_LENGTH = 16,             /* UDP length below 8 or beyond the payload */
	FW_ICMP_TRUNCATED = 17,         /* the IP payload ends inside the ICMP header */
	FW_INTERNAL = 18,               /* the programs' own state makes no sense: never seen */
};

#define FW_MAX_VLAN_TAGS 2
#define FW_MAX_EXTENSIONS 6
#define FW_BLOCKED_PORTS 8

/* Index into the per-CPU array `counters`. Every packet counts under FW_PACKETS and one verdict. */
enum fw_counter {
	FW_PACKETS = 0,
	FW_PASSED = 1,
	FW_DROPPED = 2,
	FW_THROWN = 3, /* also counted under FW_DROPPED; in packets only */
	FW_VLAN = 4,
	FW_NOT_IP = 5,
	FW_IPV4 = 6,
	FW_IPV6 = 7,
	FW_FRAGMENT = 8, /* a fragment after the first: passed by its addresses alone */
	FW_TCP = 9,
	FW_UDP = 10,
	FW_ICMP = 11,
	FW_OTHER_PROTOCOL = 12,
	FW_BLOCKED_PORT = 13,
	FW_FLOW_LIMIT = 14,
	FW_TABLE_FULL = 15,
	FW_COUNTERS = 16,
};

struct fw_count {
	__u64 packets;
	__u64 bytes;
};

/*
 * A flow's key: both ends as the packet has them, addresses and ports in network order.
 * An IPv4 address stands in the first word. Ports are 0 where the protocol has none;
 * for ICMP `source_port` holds type and code.
 */
struct fw_flow_key {
	__be32 source[4];
	__be32 destination[4];
	__be16 source_port;
	__be16 destination_port;
	__u8 protocol;
	__u8 ip_version;
	__u16 vlan; /* the outer tag's id in host order, 0 without a tag */
};

struct fw_flow {
	__u64 packets;
	__u64 bytes;      /* of whole frames */
	__u64 first_seen; /* number of the packet, the first that the filter saw being 1 */
	__u64 last_seen;
	__u32 dropped; /* packets */
	__u32 tcp_flags; /* all that were seen, ored */
};

#endif
