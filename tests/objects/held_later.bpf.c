/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Timers and workqueues in map values. */
#include <backstop/held.h>

char LICENSE[] SEC("license") = "GPL";

#define CLOCK_MONOTONIC 1

struct later {
	int rounds;
	struct bpf_timer timer;
	struct bpf_wq work;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4);
	__type(key, int);
	__type(value, struct later);
} all SEC(".maps");

static int again(void *map, int *key, struct later *value)
{
	if (value->rounds++ < 3)
		bpf_timer_start(&value->timer, 1000000, 0);
	else
		bpf_map_delete_elem(map, key);
	return 0;
}

static int work(void *map, int *key, void *value)
{
	struct later *later = value;

	later->rounds = *key;
	return 0;
}

static int too_much(void *map, int *key, void *value)
{
	return 1;
}

static __always_inline struct later *one(int key)
{
	return bpf_map_lookup_elem(&all, &key);
}

// accepted
SEC("tc")
int starts_a_timer(struct __sk_buff *skb)
{
	struct later *later = one(1);

	if (!later || bpf_timer_init(&later->timer, &all, CLOCK_MONOTONIC))
		return 0;
	bpf_timer_set_callback(&later->timer, again);
	return bpf_timer_start(&later->timer, 0, 0);
}

// accepted
SEC("syscall")
int starts_work(void *ctx)
{
	struct later *later = one(2);

	if (!later || bpf_wq_init(&later->work, &all, 0) || bpf_wq_set_callback(&later->work, work, 0))
		return 0;
	return bpf_wq_start(&later->work, 0);
}

// refused: At async callback return the register R0 has
SEC("tc")
int returns_too_much(struct __sk_buff *skb)
{
	struct later *later = one(2);

	if (later)
		bpf_wq_set_callback(&later->work, too_much, 0);
	return 0;
}

// refused: doesn't point to 'struct bpf_timer'
SEC("tc")
int work_is_no_timer(struct __sk_buff *skb)
{
	struct later *later = one(2);

	return later ? bpf_timer_init((void *)&later->work, &all, CLOCK_MONOTONIC) : 0;
}

// refused: tracing progs cannot use bpf_timer yet
SEC("perf_event")
int a_tracing_type_has_none(struct bpf_perf_event_data *ctx)
{
	return one(3) != NULL;
}
