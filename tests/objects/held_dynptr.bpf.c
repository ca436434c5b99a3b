/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Dynptrs over packets, memory and ring buffer records. */
#include <backstop/held.h>
#include <backstop/net.h>

char LICENSE[] SEC("license") = "GPL";

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096);
} records SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_USER_RINGBUF);
	__uint(max_entries, 4096);
} orders SEC(".maps");

static char notes[64];
static long ordered;

// accepted
SEC("tc")
int reads_a_header(struct __sk_buff *skb)
{
	struct bpf_dynptr packet, rest;
	struct ethhdr copy, *eth;
	__u8 *version;

	if (bpf_dynptr_from_skb(skb, 0, &packet))
		return 0;
	eth = bpf_dynptr_slice(&packet, 0, &copy, sizeof(copy));
	if (!eth || eth->h_proto != bpf_htons(ETH_P_IP))
		return 0;
	bpf_dynptr_clone(&packet, &rest);
	if (bpf_dynptr_adjust(&rest, sizeof(copy), bpf_dynptr_size(&packet)))
		return 0;
	version = bpf_dynptr_slice(&rest, 0, NULL, 1);
	return version ? *version >> 4 : 0;
}

// accepted
SEC("xdp")
int turns_the_sender(struct xdp_md *ctx)
{
	struct bpf_dynptr packet;
	struct ethhdr copy = {}, *eth;

	if (bpf_dynptr_from_xdp(ctx, 0, &packet))
		return XDP_ABORTED;
	eth = bpf_dynptr_slice_rdwr(&packet, 0, &copy, sizeof(copy));
	if (!eth)
		return XDP_DROP;
	eth->h_source[5] ^= 1;
	if (eth == &copy)
		bpf_dynptr_write(&packet, 0, &copy, sizeof(copy), 0);
	return XDP_TX;
}

// accepted
SEC("tracepoint/syscalls/sys_enter_getpid")
int records_some_bytes(void *ctx)
{
	struct bpf_dynptr record;
	__u64 now = bpf_ktime_get_ns();

	if (!bpf_ringbuf_reserve_dynptr(&records, 8 + (now & 63), 0, &record)) {
		bpf_dynptr_write(&record, 0, &now, sizeof(now), 0);
		bpf_ringbuf_submit_dynptr(&record, 0);
	} else {
		bpf_ringbuf_discard_dynptr(&record, 0);
	}
	return 0;
}

static long order(struct bpf_dynptr *sample, void *ctx)
{
	long number;

	if (bpf_dynptr_read(&number, sizeof(number), sample, 0, 0))
		return 1;
	ordered += number;
	return 0;
}

// accepted
SEC("perf_event")
int takes_orders(struct bpf_perf_event_data *ctx)
{
	return bpf_user_ringbuf_drain(&orders, order, NULL, 0) > 0;
}

// accepted
SEC("cgroup_skb/ingress")
int writes_notes(struct __sk_buff *skb)
{
	struct bpf_dynptr memory;
	char *first;

	if (bpf_dynptr_from_mem(notes, sizeof(notes), 0, &memory))
		return 1;
	first = bpf_dynptr_data(&memory, 0, 16);
	if (first)
		first[15] = (char)skb->len;
	return 1;
}

// refused: Unreleased reference
SEC("tc")
int forgets_a_record_that_failed(struct __sk_buff *skb)
{
	struct bpf_dynptr record;

	if (bpf_ringbuf_reserve_dynptr(&records, skb->len, 0, &record))
		return 0;
	bpf_ringbuf_submit_dynptr(&record, 0);
	return 1;
}

// refused: cannot write into rdonly_mem
SEC("tc")
int writes_what_it_may_read(struct __sk_buff *skb)
{
	struct bpf_dynptr packet;
	struct ethhdr copy, *eth;

	if (bpf_dynptr_from_skb(skb, 0, &packet))
		return 0;
	eth = bpf_dynptr_slice(&packet, 0, &copy, sizeof(copy));
	if (eth)
		eth->h_proto = 0;
	return 0;
}

// refused: invalid mem access 'scalar'
SEC("tc")
int keeps_a_slice_over_a_write(struct __sk_buff *skb)
{
	struct bpf_dynptr packet;
	char copy[4] = {}, *bytes;

	if (bpf_dynptr_from_skb(skb, 0, &packet))
		return 0;
	bytes = bpf_dynptr_slice(&packet, 0, copy, sizeof(copy));
	if (!bytes)
		return 0;
	bpf_dynptr_write(&packet, 8, copy, sizeof(copy), 0);
	return *bytes;
}

// refused: calling kernel function bpf_dynptr_from_skb is not allowed
SEC("kprobe/any")
int packet_in_a_kprobe(void *ctx)
{
	struct bpf_dynptr packet;

	return bpf_dynptr_from_skb(ctx, 0, &packet);
}
