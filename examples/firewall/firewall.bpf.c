/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A packet filter: Ethernet with up to two VLAN tags, IPv4 with options, IPv6 with extension
 * headers, then a tail call by protocol to a program for TCP, UDP or ICMP.
 *
 * What a sender may get wrong is asserted; an assert that fails throws a cookie of enum
 * fw_cookie, and the exception callback counts it and drops the packet. No parser returns an
 * error: past an assert the packet is as its headers say.
 */
#include <backstop/bpf.h>
#include <backstop/exceptions.h>
#include <backstop/net.h>

#include "firewall.h"

char LICENSE[] SEC("license") = "Dual MIT/GPL";

/* ---- policy: set before load ---- */

/* Destination ports, host order, 0 for an unused entry, of TCP and UDP alike. */
const volatile u16 blocked_ports[FW_BLOCKED_PORTS] = { 23, 445, 3389, 6667 };
/* Packets of one flow that are passed; those beyond are dropped. 0: no limit. */
const volatile u64 flow_packet_limit = 0;
/* What becomes of protocols that have no program in `protocols`. */
const volatile bool drop_other_protocols = false;

/* ---- state ---- */

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4096);
	__type(key, struct fw_flow_key);
	__type(value, struct fw_flow);
} flows SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, FW_COUNTERS);
	__type(key, u32);
	__type(value, struct fw_count);
} counters SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 64);
	__type(key, u64);
	__type(value, u64);
} throws SEC(".maps");

/* What the first program learns of a packet and the program of its protocol goes on from. */
struct packet {
	struct fw_flow_key key;
	u32 payload; /* offset of the IP payload in the frame */
	u32 end;     /* offset of its end, within the frame */
	u32 frame;   /* the frame's length */
	u32 tcp_flags;
	u32 more_fragments; /* not the whole datagram: lengths within it reach beyond this packet */
	u32 unused;
	u64 number;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct packet);
} current_packet SEC(".maps");

/* Numbers the packets; the only clock, so that a capture gives the same flows each time. */
u64 packets_seen = 0;

int firewall_tcp(struct xdp_md *ctx);
int firewall_udp(struct xdp_md *ctx);
int firewall_icmp(struct xdp_md *ctx);

/* Indexed by the IP protocol number. */
struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 256);
	__uint(key_size, sizeof(u32));
	__array(values, int(struct xdp_md *));
} protocols SEC(".maps") = {
	.values = {
		[IPPROTO_TCP] = &firewall_tcp,
		[IPPROTO_UDP] = &firewall_udp,
		[IPPROTO_ICMP] = &firewall_icmp,
		[IPPROTO_ICMPV6] = &firewall_icmp,
	},
};

static __always_inline void count(u32 counter, u64 bytes)
{
	struct fw_count *entry = bpf_map_lookup_elem(&counters, &counter);

	if (entry) {
		entry->packets += 1;
		entry->bytes += bytes;
	}
}

/* What becomes of a packet that made an assert throw. */
__noinline u64 count_and_drop(u64 cookie)
{
	u64 *times = bpf_map_lookup_elem(&throws, &cookie);
	u64 once = 1;

	if (times)
		__sync_fetch_and_add(times, 1);
	else
		bpf_map_update_elem(&throws, &cookie, &once, BPF_ANY);
	count(FW_THROWN, 0);
	count(FW_DROPPED, 0);
	return XDP_DROP;
}

/* ---- looking into the frame ---- */

#define FRAME_START(ctx) ((u8 *)(long)(ctx)->data)
#define FRAME_END(ctx) ((u8 *)(long)(ctx)->data_end)

/* Offsets into a frame stay below this; a verifier wants packet offsets bounded. */
#define OFFSET_LIMIT 0x7fff

/*
 * A header of `type` at `offset` of the frame. Throws `cookie` where the frame ends inside it.
 * The offset is hidden around its check, so that the register that was checked is the one added.
 */
#define HEADER_AT(ctx, type, offset, cookie)                                  \
	({                                                                    \
		u64 header_offset = (offset);                                 \
		bpf_hide(header_offset);                                      \
		bpf_assert_with(header_offset <= OFFSET_LIMIT, FW_INTERNAL);  \
		bpf_hide(header_offset);                                      \
		type *header = (type *)(FRAME_START(ctx) + header_offset);    \
		bpf_assert_with((u8 *)(header + 1) <= FRAME_END(ctx), cookie); \
		header;                                                       \
	})

/* The frame's EtherType behind its VLAN tags. Sets where the network header begins. */
static __noinline u32 parse_link(struct xdp_md *ctx, struct packet *packet)
{
	struct ethhdr *ethernet = HEADER_AT(ctx, struct ethhdr, 0, FW_ETHERNET_TRUNCATED);
	u32 proto = bpf_ntohs(ethernet->h_proto);
	u32 offset = sizeof(*ethernet);

#pragma clang loop unroll(full)
	for (u32 tags = 0; tags < FW_MAX_VLAN_TAGS; tags++) {
		struct vlan_hdr *tag;

		if (proto != ETH_P_8021Q && proto != ETH_P_8021AD)
			break;
		tag = HEADER_AT(ctx, struct vlan_hdr, offset, FW_VLAN_TRUNCATED);
		proto = bpf_ntohs(tag->encapsulated_proto);
		offset += sizeof(*tag);
		if (tags == 0) {
			packet->key.vlan = bpf_ntohs(tag->tci) & 0xfff;
			count(FW_VLAN, packet->frame);
		}
	}
	packet->payload = offset;
	return proto;
}

/* The one's complement sum over an IPv4 header of 20 to 60 bytes, which is 0xffff if good. */
static __noinline u32 ipv4_sum(struct xdp_md *ctx, u32 offset, u32 length)
{
	u64 sum = 0;

	for (u32 at = 0; at < 60; at += 4) {
		if (at >= length)
			break;
		sum += *HEADER_AT(ctx, u32, (u64)offset + at, FW_IPV4_TRUNCATED);
	}
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return sum;
}

/* Whether a transport header begins in this packet. Fills in addresses, payload and end. */
static __noinline bool parse_ipv4(struct xdp_md *ctx, struct packet *packet)
{
	u32 start = packet->payload;
	struct iphdr *ip = HEADER_AT(ctx, struct iphdr, start, FW_IPV4_TRUNCATED);
	u32 header = (ip->version_ihl & 0xf) * 4;
	u32 total = bpf_ntohs(ip->tot_len);
	u32 fragment = bpf_ntohs(ip->frag_off);

	bpf_assert_with(ip->version_ihl >> 4 == 4, FW_IPV4_VERSION);
	bpf_assert_with(header >= sizeof(*ip), FW_IPV4_HEADER_LENGTH);
	bpf_assert_with(start + header <= packet->frame, FW_IPV4_TRUNCATED);
	bpf_assert_with(total >= header && start + total <= packet->frame, FW_IPV4_TOTAL_LENGTH);

	packet->key.ip_version = 4;
	packet->key.protocol = ip->protocol;
	packet->key.source[0] = ip->saddr;
	packet->key.destination[0] = ip->daddr;
	packet->payload = start + header;
	packet->end = start + total;
	packet->more_fragments = fragment & IP_MORE_FRAGMENTS;
	bpf_assert_with(ipv4_sum(ctx, start, header) == 0xffff, FW_IPV4_CHECKSUM);
	return (fragment & IP_OFFSET_MASK) == 0;
}

static __always_inline void copy_address(__be32 *to, const __be32 *from)
{
	to[0] = from[0];
	to[1] = from[1];
	to[2] = from[2];
	to[3] = from[3];
}

/* As parse_ipv4; follows the extension headers. */
static __noinline bool parse_ipv6(struct xdp_md *ctx, struct packet *packet)
{
	u32 start = packet->payload;
	struct ipv6hdr *ip = HEADER_AT(ctx, struct ipv6hdr, start, FW_IPV6_TRUNCATED);
	u32 next = ip->nexthdr;
	u32 offset = start + sizeof(*ip);
	u32 end = offset + bpf_ntohs(ip->payload_len);

	bpf_assert_with(bpf_ntohl(ip->version_class_flow) >> 28 == 6, FW_IPV6_VERSION);
	bpf_assert_with(end <= packet->frame, FW_IPV6_PAYLOAD_LENGTH);

	packet->key.ip_version = 6;
	copy_address(packet->key.source, ip->saddr);
	copy_address(packet->key.destination, ip->daddr);
	packet->end = end;

	for (u32 headers = 0; headers <= FW_MAX_EXTENSIONS; headers++) {
		struct ipv6_ext_hdr *extension;
		bool first = true;

		if (next != IPPROTO_HOPOPTS && next != IPPROTO_ROUTING &&
		    next != IPPROTO_DSTOPTS && next != IPPROTO_FRAGMENT) {
			packet->key.protocol = next;
			packet->payload = offset;
			return true;
		}
		bpf_assert_with(headers < FW_MAX_EXTENSIONS, FW_IPV6_EXTENSION_COUNT);
		extension = HEADER_AT(ctx, struct ipv6_ext_hdr, offset, FW_IPV6_EXTENSION);
		if (next == IPPROTO_FRAGMENT) {
			struct ipv6_frag_hdr *fragment =
				HEADER_AT(ctx, struct ipv6_frag_hdr, offset, FW_IPV6_EXTENSION);

			first = bpf_ntohs(fragment->frag_off) >> 3 == 0;
			packet->more_fragments = bpf_ntohs(fragment->frag_off) & 1;
			next = fragment->nexthdr;
			offset += sizeof(*fragment);
		} else {
			next = extension->nexthdr;
			offset += 8 + extension->len * 8;
		}
		bpf_assert_with(offset <= end, FW_IPV6_EXTENSION);
		if (!first) {
			packet->key.protocol = next;
			packet->payload = offset;
			return false;
		}
	}
	return false;
}

/* ---- verdicts ---- */

/* Enters the packet into its flow; whether the flow is within its limit. */
static __noinline bool account(struct packet *packet, bool drop)
{
	struct fw_flow *flow = bpf_map_lookup_elem(&flows, &packet->key);
	struct fw_flow fresh = {};

	if (!flow) {
		fresh.packets = 1;
		fresh.bytes = packet->frame;
		fresh.first_seen = packet->number;
		fresh.last_seen = packet->number;
		fresh.dropped = drop;
		fresh.tcp_flags = packet->tcp_flags;
		if (bpf_map_update_elem(&flows, &packet->key, &fresh, BPF_NOEXIST))
			count(FW_TABLE_FULL, packet->frame);
		return true;
	}
	__sync_fetch_and_add(&flow->packets, 1);
	__sync_fetch_and_add(&flow->bytes, packet->frame);
	flow->last_seen = packet->number;
	flow->tcp_flags |= packet->tcp_flags;
	if (flow_packet_limit && flow->packets > flow_packet_limit) {
		flow->dropped += 1;
		return false;
	}
	flow->dropped += drop;
	return true;
}

static __noinline int decide(struct packet *packet, u32 kind, bool drop)
{
	count(kind, packet->frame);
	if (!account(packet, drop)) {
		count(FW_FLOW_LIMIT, packet->frame);
		drop = true;
	}
	count(drop ? FW_DROPPED : FW_PASSED, packet->frame);
	return drop ? XDP_DROP : XDP_PASS;
}

static __always_inline bool is_blocked(struct packet *packet)
{
	u16 port = bpf_ntohs(packet->key.destination_port);

	for (u32 i = 0; i < FW_BLOCKED_PORTS; i++) {
		if (blocked_ports[i] && blocked_ports[i] == port) {
			count(FW_BLOCKED_PORT, packet->frame);
			return true;
		}
	}
	return false;
}

static __always_inline struct packet *the_packet(void)
{
	u32 zero = 0;

	return bpf_map_lookup_elem(&current_packet, &zero);
}

/* ---- the programs ---- */

SEC("xdp") __exception_cb(count_and_drop)
int firewall(struct xdp_md *ctx)
{
	struct packet *packet = the_packet();
	u32 proto;
	bool transport;

	if (!packet)
		return XDP_ABORTED;
	memset(packet, 0, sizeof(*packet));
	packet->number = __sync_fetch_and_add(&packets_seen, 1) + 1;
	packet->frame = FRAME_END(ctx) - FRAME_START(ctx);
	count(FW_PACKETS, packet->frame);

	proto = parse_link(ctx, packet);
	if (proto == ETH_P_IP) {
		count(FW_IPV4, packet->frame);
		transport = parse_ipv4(ctx, packet);
	} else if (proto == ETH_P_IPV6) {
		count(FW_IPV6, packet->frame);
		transport = parse_ipv6(ctx, packet);
	} else {
		count(FW_NOT_IP, packet->frame);
		count(FW_PASSED, packet->frame);
		return XDP_PASS;
	}
	if (!transport)
		return decide(packet, FW_FRAGMENT, false);

	bpf_tail_call(ctx, &protocols, packet->key.protocol);
	return decide(packet, FW_OTHER_PROTOCOL, drop_other_protocols);
}

SEC("xdp") __exception_cb(count_and_drop)
int firewall_tcp(struct xdp_md *ctx)
{
	struct packet *packet = the_packet();
	struct tcphdr *tcp;
	u32 header;

	if (!packet)
		return XDP_ABORTED;
	bpf_assert_with(packet->payload + sizeof(*tcp) <= packet->end, FW_TCP_TRUNCATED);
	tcp = HEADER_AT(ctx, struct tcphdr, packet->payload, FW_TCP_TRUNCATED);
	header = (tcp->doff_reserved >> 4) * 4;
	bpf_assert_with(header >= sizeof(*tcp), FW_TCP_DATA_OFFSET);
	bpf_assert_with(packet->payload + header <= packet->end, FW_TCP_DATA_OFFSET);

	packet->key.source_port = tcp->source;
	packet->key.destination_port = tcp->dest;
	packet->tcp_flags = tcp->flags;
	return decide(packet, FW_TCP, is_blocked(packet));
}

SEC("xdp") __exception_cb(count_and_drop)
int firewall_udp(struct xdp_md *ctx)
{
	struct packet *packet = the_packet();
	struct udphdr *udp;
	u32 length;

	if (!packet)
		return XDP_ABORTED;
	bpf_assert_with(packet->payload + sizeof(*udp) <= packet->end, FW_UDP_TRUNCATED);
	udp = HEADER_AT(ctx, struct udphdr, packet->payload, FW_UDP_TRUNCATED);
	length = bpf_ntohs(udp->len);
	bpf_assert_with(length >= sizeof(*udp), FW_UDP_LENGTH);
	bpf_assert_with(packet->more_fragments || packet->payload + length <= packet->end,
			FW_UDP_LENGTH);

	packet->key.source_port = udp->source;
	packet->key.destination_port = udp->dest;
	return decide(packet, FW_UDP, is_blocked(packet));
}

SEC("xdp") __exception_cb(count_and_drop)
int firewall_icmp(struct xdp_md *ctx)
{
	struct packet *packet = the_packet();
	struct icmphdr *icmp;

	if (!packet)
		return XDP_ABORTED;
	bpf_assert_with(packet->payload + sizeof(*icmp) <= packet->end, FW_ICMP_TRUNCATED);
	icmp = HEADER_AT(ctx, struct icmphdr, packet->payload, FW_ICMP_TRUNCATED);
	packet->key.source_port = bpf_htons(icmp->type << 8 | icmp->code);
	return decide(packet, FW_ICMP, false);
}
