/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* A lock that other files could see: libbpf would map its section, and Linux does not. No program of the object loads. */
#include <backstop/bpf.h>

char LICENSE[] SEC("license") = "GPL";

struct bpf_spin_lock lock SEC(".data.lock");

SEC("tc")
int does_nothing(struct __sk_buff *skb)
{
	return 0;
}
