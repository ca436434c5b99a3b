/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * What Linux 6.18 accepts and Backstop refuses in every mode: a global subprogram is judged there
 * without its callers, so that what they hold leaks when it throws, and the range of the
 * cookie it throws is never looked at. And what Linux fails on and is safe.
 */
#include <backstop/bpf.h>
#include <backstop/exceptions.h>

char LICENSE[] SEC("license") = "GPL";

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096);
} ring SEC(".maps");

__noinline u64 global_throws(u64 x)
{
	bpf_hide(x);
	if (x > 40)
		bpf_throw(64);
	return x & 1;
}

/* Throws only through another global function. */
__noinline u64 global_throws_below(u64 x)
{
	bpf_hide(x);
	return global_throws(x + 1);
}

__noinline u64 global_never_throws(u64 x)
{
	bpf_hide(x);
	return x & 1;
}

// refused, Linux accepts: the ring buffer's record leaks when the global function throws
SEC("tc")
int hole_record(struct __sk_buff *skb)
{
	void *record = bpf_ringbuf_reserve(&ring, 16, 0);
	u64 x;

	if (!record)
		return 0;
	x = global_throws(skb->len);
	bpf_ringbuf_discard(record, 0);
	return x;
}

// refused, Linux accepts: the ring buffer's record leaks when a global function two calls down throws
SEC("tc")
int hole_record_below(struct __sk_buff *skb)
{
	void *record = bpf_ringbuf_reserve(&ring, 16, 0);
	u64 x;

	if (!record)
		return 0;
	x = global_throws_below(skb->len);
	bpf_ringbuf_discard(record, 0);
	return x;
}

// refused, Linux accepts: the iterator stays open when the global function throws
SEC("tc")
int hole_iterator(struct __sk_buff *skb)
{
	struct bpf_iter_num it;
	u64 sum = 0;
	int *i;

	bpf_iter_num_new(&it, 0, 3);
	while ((i = bpf_iter_num_next(&it)))
		sum += global_throws(*i);
	bpf_iter_num_destroy(&it);
	return sum;
}

// refused, Linux accepts: the RCU read section stays open when the global function throws
SEC("tc")
int hole_rcu(struct __sk_buff *skb)
{
	u64 x;

	bpf_rcu_read_lock();
	x = global_throws(skb->len);
	bpf_rcu_read_unlock();
	return x;
}

// refused, Linux accepts: preemption stays off when the global function throws
SEC("tc")
int hole_preempt(struct __sk_buff *skb)
{
	u64 x;

	bpf_preempt_disable();
	x = global_throws(skb->len);
	bpf_preempt_enable();
	return x;
}

// refused, Linux accepts: interrupts stay off when the global function throws
SEC("tc")
int hole_irq(struct __sk_buff *skb)
{
	unsigned long flags;
	u64 x;

	bpf_local_irq_save(&flags);
	x = global_throws(skb->len);
	bpf_local_irq_restore(&flags);
	return x;
}

// refused, Linux accepts: the cookie 64 would be the program's result, whose range is 0 to 3
SEC("cgroup_skb/egress")
int hole_cookie(struct __sk_buff *skb)
{
	u64 x = global_throws(skb->len);

	bpf_hide(x);
	return x & 1;
}

/* A global function that throws nothing may be called with anything held. */
// accepted
SEC("tc")
int whole_record(struct __sk_buff *skb)
{
	void *record = bpf_ringbuf_reserve(&ring, 16, 0);
	u64 x;

	if (!record)
		return 5;
	x = global_never_throws(skb->len);
	bpf_ringbuf_discard(record, 0);
	return x;
}

__noinline u64 always_one(u64 cookie)
{
	return 1;
}

/* With a callback the cookie is free, thrown from a global function too. */
// => 1, throws 64
SEC("cgroup_skb/egress") __exception_cb(always_one)
int whole_cookie(struct __sk_buff *skb)
{
	u64 x = global_throws(skb->len);

	bpf_hide(x);
	return x & 1;
}

/* Released before the call: nothing is held at the throw. */
// accepted
SEC("tc")
int whole_released(struct __sk_buff *skb)
{
	void *record = bpf_ringbuf_reserve(&ring, 16, 0);

	if (!record)
		return 5;
	bpf_ringbuf_discard(record, 0);
	return global_throws(skb->len);
}
