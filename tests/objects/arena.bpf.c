/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* An arena: pages, pointers into it that are kept in it, and variables of the program that lie in it. */
#include <backstop/held.h>

char LICENSE[] SEC("license") = "GPL";

struct {
	__uint(type, BPF_MAP_TYPE_ARENA);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 100);
	__ulong(map_extra, 0x1ull << 44);
} arena SEC(".maps");

struct item {
	struct item __arena *next;
	long value;
};

struct item __arena *head;
int __arena taken;
long __arena sums[16];

// accepted
SEC("syscall")
int adds_a_page(void *ctx)
{
	struct item __arena *item = bpf_arena_alloc_pages(&arena, NULL, 1, -1, 0);

	if (!item)
		return 0;
	item->value = taken;
	item->next = head;
	head = item;
	__sync_fetch_and_add(&taken, 1);
	return 1;
}

// accepted
SEC("syscall")
int frees_a_page(void *ctx)
{
	struct item __arena *item = head;

	if (!item)
		return 0;
	head = item->next;
	bpf_arena_free_pages(&arena, item, 1);
	return 1;
}

// accepted
SEC("tc")
int any_index_is_fine(struct __sk_buff *skb)
{
	sums[skb->len] += 1;
	return sums[3];
}

// refused: program must be sleepable to call sleepable kfunc
SEC("tc")
int allocates_where_it_may_not_sleep(struct __sk_buff *skb)
{
	return bpf_arena_alloc_pages(&arena, NULL, 1, -1, 0) != NULL;
}
