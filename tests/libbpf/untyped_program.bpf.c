/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* A kptr to a struct that no code looks into, so that clang only declares it: Linux refuses the types, and libbpf goes on
 * without them. */
#include <backstop/held.h>

char LICENSE[] SEC("license") = "GPL";

struct whole {
	long a;
};

struct unseen {
	long a;
};

struct seen {
	struct whole __kptr *whole;
	struct unseen __kptr *declared_only;
	long b;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 4);
	__type(key, int);
	__type(value, struct seen);
} values SEC(".maps");

static __always_inline struct seen *one(int key)
{
	return bpf_map_lookup_elem(&values, &key);
}

SEC("tc")
int reads(struct __sk_buff *skb)
{
	struct seen *value = one(1);

	return value ? value->b : 0;
}

SEC("tc")
int allocates(struct __sk_buff *skb)
{
	struct whole *object = bpf_obj_new(struct whole);

	if (object)
		bpf_obj_drop(object);
	return 0;
}
