/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * An object for a big-endian machine: its bytes are in the other order, headers and BTF included.
 * build: --target=bpfeb
 */
#include <backstop/bpf.h>

char LICENSE[] SEC("license") = "GPL";

u64 counter = 5;

SEC("tc")
int reads_counter(struct __sk_buff *skb)
{
	return counter + skb->len;
}
