/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* A map that no kernel makes, and that one program uses: libbpf makes all maps of an object first. */
#include <backstop/bpf.h>

char LICENSE[] SEC("license") = "GPL";

struct {
	__uint(type, BPF_MAP_TYPE_QUEUE);
	__uint(max_entries, 4);
	__type(key, int);
	__type(value, long);
} keyed_queue SEC(".maps");

SEC("tc")
int does_nothing(struct __sk_buff *skb)
{
	return 0;
}

SEC("tc")
int pops(struct __sk_buff *skb)
{
	long value;

	return bpf_map_pop_elem(&keyed_queue, &value);
}
