/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* A map that may not have its value's lock: libbpf makes it without types. */
#include <backstop/held.h>

char LICENSE[] SEC("license") = "GPL";

struct value {
	struct bpf_spin_lock lock;
	int number;
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4);
	__type(key, int);
	__type(value, struct value);
} recent SEC(".maps");

static __always_inline struct value *one(int key)
{
	return bpf_map_lookup_elem(&recent, &key);
}

SEC("tc")
int reads(struct __sk_buff *skb)
{
	struct value *value = one(1);

	return value ? value->number : 0;
}

SEC("tc")
int locks(struct __sk_buff *skb)
{
	struct value *value = one(1);

	if (!value)
		return 0;
	bpf_spin_lock(&value->lock);
	bpf_spin_unlock(&value->lock);
	return 1;
}
