/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Throws from inside loops that clang keeps as loops. */
#include <backstop/bpf.h>
#include <backstop/exceptions.h>

char LICENSE[] SEC("license") = "GPL";

// => 200
// @25=03: => 25, throws 25
SEC("tc")
int loop_over_packet(struct __sk_buff *skb)
{
	u8 *data = (u8 *)(long)skb->data;
	u8 *end = (u8 *)(long)skb->data_end;

#pragma clang loop unroll(disable)
	for (u64 i = 20; i < 40; i++) {
		if (data + i + 1 > end)
			return 1;
		if (data[i] == 3)
			bpf_throw(i);
	}
	return 200;
}

static __noinline u64 throws_at(u64 i, u64 limit)
{
	bpf_hide(i);
	if (i == limit)
		bpf_throw(i + 70);
	return i;
}

// => 78, throws 78
// @20=01: => 79, throws 79
// @20=10: => 45
SEC("tc")
int loop_of_calls(struct __sk_buff *skb)
{
	u8 *data = (u8 *)(long)skb->data;
	u64 sum = 0;

	if (data + 21 > (u8 *)(long)skb->data_end)
		return 1;
#pragma clang loop unroll(disable)
	for (u64 i = 0; i < 10; i++)
		sum += throws_at(i, 8 + data[20]);
	return sum;
}

/* The iterator is closed before the throw. */
// => 45, throws 45
SEC("tc")
int after_iterator(struct __sk_buff *skb)
{
	struct bpf_iter_num it;
	u64 sum = 0;
	int *i;

	bpf_iter_num_new(&it, 0, 10);
	while ((i = bpf_iter_num_next(&it)))
		sum += *i;
	bpf_iter_num_destroy(&it);
	bpf_throw(sum);
	return 0;
}
