/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Pointers that maps own: of one object, of one object a CPU, and of objects that own others. */
#include <backstop/held.h>

char LICENSE[] SEC("license") = "GPL";

struct leaf {
	long seen;
	struct bpf_refcount refs;
};

struct branch {
	struct leaf __kptr *leaf;
	long name;
};

struct count {
	long packets;
	int bytes;
};

struct slot {
	struct leaf __kptr *leaf;
	struct branch __kptr *branch;
	struct count __percpu_kptr *count;
	long plain;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 4);
	__type(key, int);
	__type(value, struct slot);
} slots SEC(".maps");

static __always_inline struct slot *slot(int at)
{
	return bpf_map_lookup_elem(&slots, &at);
}

// accepted
SEC("tc")
int stores(struct __sk_buff *skb)
{
	struct slot *to = slot(0);
	struct leaf *leaf;
	if (!to)
		return 0;
	leaf = bpf_obj_new(struct leaf);
	if (!leaf)
		return 0;
	leaf->seen = skb->len;
	leaf = bpf_kptr_xchg(&to->leaf, leaf);
	if (leaf)
		bpf_obj_drop(leaf);
	return 1;
}

// accepted
SEC("syscall")
int stores_in_what_it_owns(void *ctx)
{
	struct slot *to = slot(1);
	struct branch *branch;
	struct leaf *leaf;
	if (!to)
		return 0;
	branch = bpf_obj_new(struct branch);
	if (!branch)
		return 0;
	leaf = bpf_obj_new(struct leaf);
	if (leaf) {
		leaf = bpf_kptr_xchg(&branch->leaf, leaf);
		if (leaf)
			bpf_obj_drop(leaf);
	}
	branch = bpf_kptr_xchg(&to->branch, branch);
	if (branch)
		bpf_obj_drop(branch);
	return 1;
}

// accepted
SEC("syscall")
int keeps_under_rcu(void *ctx)
{
	struct slot *from = slot(0);
	struct leaf *leaf;
	long seen = 0;
	if (!from)
		return 0;
	bpf_rcu_read_lock();
	leaf = from->leaf;
	if (leaf)
		leaf = bpf_refcount_acquire(leaf);
	bpf_rcu_read_unlock();
	if (leaf) {
		seen = leaf->seen;
		bpf_obj_drop(leaf);
	}
	return seen;
}

// accepted
SEC("xdp")
int counts_on_this_cpu(struct xdp_md *ctx)
{
	struct slot *of = slot(2);
	struct count __percpu_kptr *all;
	struct count *mine;
	if (!of)
		return XDP_ABORTED;
	all = of->count;
	if (!all) {
		all = bpf_percpu_obj_new(struct count);
		if (!all)
			return XDP_ABORTED;
		all = bpf_kptr_xchg(&of->count, (void *)all);
		if (all)
			bpf_percpu_obj_drop(all);
		return XDP_PASS;
	}
	mine = bpf_this_cpu_ptr((void *)all);
	mine->packets++;
	return XDP_PASS;
}

// refused: Unreleased reference
SEC("tc")
int forgets_what_was_there(struct __sk_buff *skb)
{
	struct slot *to = slot(0);
	return to && bpf_kptr_xchg(&to->leaf, NULL);
}

// refused: invalid kptr access
SEC("tc")
int stores_another_struct(struct __sk_buff *skb)
{
	struct slot *to = slot(0);
	struct branch *branch;
	void *old;
	if (!to)
		return 0;
	branch = bpf_obj_new(struct branch);
	if (!branch)
		return 0;
	old = bpf_kptr_xchg(&to->leaf, branch);
	if (old)
		bpf_obj_drop(old);
	return 0;
}

// refused: must be referenced or trusted
SEC("tc")
int drops_what_the_map_owns(struct __sk_buff *skb)
{
	struct slot *of = slot(0);
	struct leaf *leaf;
	if (!of)
		return 0;
	leaf = of->leaf;
	if (leaf)
		bpf_obj_drop(leaf);
	return 0;
}

// refused: store to referenced kptr disallowed
SEC("tc")
int overwrites(struct __sk_buff *skb)
{
	struct slot *of = slot(0);
	if (of)
		of->leaf = NULL;
	return 0;
}
