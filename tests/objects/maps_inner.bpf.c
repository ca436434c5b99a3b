/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Maps of maps, filled by `.values`. */
#include <backstop/bpf.h>

char LICENSE[] SEC("license") = "GPL";

struct inner {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 2);
	__type(key, u32);
	__type(value, u64);
} first SEC(".maps"), second SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, 4);
	__type(key, u32);
	__array(values, struct inner);
} by_index SEC(".maps") = {
	.values = { [0] = &first, [2] = &second },
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH_OF_MAPS);
	__uint(max_entries, 4);
	__type(key, u32);
	__array(values, struct {
		__uint(type, BPF_MAP_TYPE_HASH);
		__uint(max_entries, 4);
		__type(key, u32);
		__type(value, u32);
	});
} by_key SEC(".maps");

// => 30
SEC("tc")
int array_of_maps(struct __sk_buff *skb)
{
	u32 zero = 0, index = 2;
	void *map = bpf_map_lookup_elem(&by_index, &index);
	u64 value = 30, *found;

	if (!map)
		return 1;
	bpf_map_update_elem(map, &zero, &value, BPF_ANY);
	found = bpf_map_lookup_elem(&second, &zero);
	return found ? *found : 2;
}

// => 5
SEC("tc")
int empty_slot(struct __sk_buff *skb)
{
	u32 index = 1;

	return bpf_map_lookup_elem(&by_index, &index) ? 4 : 5;
}

// => 6
SEC("tc")
int hash_of_maps(struct __sk_buff *skb)
{
	u32 key = 1;
	u32 *found;
	void *map = bpf_map_lookup_elem(&by_key, &key);

	if (!map)
		return 6;
	found = bpf_map_lookup_elem(map, &key);
	return found ? *found : 7;
}
