/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The map declarations of before BTF; libbpf refuses them since 1.0. */
#include <backstop/bpf.h>

char LICENSE[] SEC("license") = "GPL";

struct bpf_map_def old_array SEC("maps") = {
	.type = BPF_MAP_TYPE_ARRAY,
	.key_size = sizeof(u32),
	.value_size = sizeof(u64),
	.max_entries = 4,
};

SEC("tc")
int reads_old_array(struct __sk_buff *skb)
{
	u32 key = 1;
	u64 *value = bpf_map_lookup_elem(&old_array, &key);

	return value ? *value : 1;
}
