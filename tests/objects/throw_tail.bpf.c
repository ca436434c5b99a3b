/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Tail calls and throws, in both directions. The target of a tail call is the boundary from then
 * on, with its own callback; out of a subprogram the call replaces only that subprogram's frame,
 * so what the target makes of its throw is returned to the subprogram's caller.
 */
#include <backstop/bpf.h>
#include <backstop/exceptions.h>

char LICENSE[] SEC("license") = "GPL";

enum {
	SLOT_THROWS_16 = 0,
	SLOT_THROWS_WITH_CALLBACK = 1,
	SLOT_RETURNS = 2,
	SLOT_THROWS_DEEP = 3,
	SLOT_EMPTY = 4,
};

int target_throws_16(struct __sk_buff *skb);
int target_with_callback(struct __sk_buff *skb);
int target_returns(struct __sk_buff *skb);
int target_throws_deep(struct __sk_buff *skb);

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 5);
	__uint(key_size, sizeof(u32));
	__array(values, int(struct __sk_buff *));
} targets SEC(".maps") = {
	.values = {
		[SLOT_THROWS_16] = &target_throws_16,
		[SLOT_THROWS_WITH_CALLBACK] = &target_with_callback,
		[SLOT_RETURNS] = &target_returns,
		[SLOT_THROWS_DEEP] = &target_throws_deep,
	},
};

__noinline u64 target_callback(u64 cookie)
{
	return cookie * 10;
}

__noinline u64 main_callback(u64 cookie)
{
	return cookie + 500000;
}

// => 16, throws 16
SEC("tc")
int target_throws_16(struct __sk_buff *skb)
{
	bpf_throw(16);
	return 0;
}

// => 330, throws 33
SEC("tc") __exception_cb(target_callback)
int target_with_callback(struct __sk_buff *skb)
{
	bpf_throw(33);
	return 0;
}

// => 7
SEC("tc")
int target_returns(struct __sk_buff *skb)
{
	return 7;
}

static __noinline u64 deep_2(u64 x)
{
	volatile u64 pad[4];

	bpf_hide(x);
	pad[0] = x;
	bpf_throw(pad[0] + 1);
	return pad[0];
}

static __noinline u64 deep_1(u64 x)
{
	bpf_hide(x);
	return deep_2(x + 1) + 1;
}

// => 62, throws 62
SEC("tc")
int target_throws_deep(struct __sk_buff *skb)
{
	return deep_1(60) + 1;
}

/* ---- from main ---- */

// => 16, throws 16
SEC("tc")
int main_to_throwing(struct __sk_buff *skb)
{
	bpf_tail_call_static(skb, &targets, SLOT_THROWS_16);
	return 1;
}

/* The target's callback counts, not main's. */
// => 330, throws 33
SEC("tc") __exception_cb(main_callback)
int main_to_callback(struct __sk_buff *skb)
{
	bpf_tail_call_static(skb, &targets, SLOT_THROWS_WITH_CALLBACK);
	bpf_throw(1);
	return 1;
}

// => 16, throws 16
SEC("tc") __exception_cb(main_callback)
int main_to_default_callback(struct __sk_buff *skb)
{
	bpf_tail_call_static(skb, &targets, SLOT_THROWS_16);
	bpf_throw(1);
	return 1;
}

// => 7
SEC("tc") __exception_cb(main_callback)
int main_throwing_to_returning(struct __sk_buff *skb)
{
	bpf_tail_call_static(skb, &targets, SLOT_RETURNS);
	bpf_throw(1);
	return 1;
}

/* An empty slot: the call falls through, and main throws. */
// => 500001, throws 1
SEC("tc") __exception_cb(main_callback)
int main_to_empty(struct __sk_buff *skb)
{
	bpf_tail_call_static(skb, &targets, SLOT_EMPTY);
	bpf_throw(1);
	return 1;
}

// => 62, throws 62
SEC("tc")
int main_to_deep(struct __sk_buff *skb)
{
	bpf_tail_call_static(skb, &targets, SLOT_THROWS_DEEP);
	return 1;
}

/* An index that is known only at run time. */
// => 16, throws 16
// @20=01: => 330, throws 33
// @20=02: => 7
// @20=03: => 62, throws 62
// @20=04: => 99
// @20=05: => 99
// @20=ff: => 99
SEC("tc")
int main_by_index(struct __sk_buff *skb)
{
	u8 *data = (u8 *)(long)skb->data;
	u32 index;

	if (data + 21 > (u8 *)(long)skb->data_end)
		return 1;
	index = data[20];
	bpf_tail_call(skb, &targets, index);
	return 99;
}

/* ---- from a subprogram ---- */

/* Not a constant to clang, which would add it to main's sum without waiting for the call. */
static __always_inline int ten(void)
{
	int value = 10;

	bpf_hide(value);
	return value;
}

static __noinline int sub_to_throwing(struct __sk_buff *skb)
{
	bpf_tail_call_static(skb, &targets, SLOT_THROWS_16);
	return ten();
}

static __noinline int sub_to_empty(struct __sk_buff *skb)
{
	bpf_tail_call_static(skb, &targets, SLOT_EMPTY);
	return ten();
}

static __noinline int sub_to_callback(struct __sk_buff *skb)
{
	bpf_tail_call_static(skb, &targets, SLOT_THROWS_WITH_CALLBACK);
	return ten();
}

static __noinline int sub_to_returning(struct __sk_buff *skb)
{
	bpf_tail_call_static(skb, &targets, SLOT_RETURNS);
	return ten();
}

static __noinline int sub_to_deep(struct __sk_buff *skb)
{
	bpf_tail_call_static(skb, &targets, SLOT_THROWS_DEEP);
	return ten();
}

// => 24
SEC("tc")
int sub_throwing(struct __sk_buff *skb)
{
	return sub_to_throwing(skb) + 8;
}

// => 18
SEC("tc")
int sub_empty(struct __sk_buff *skb)
{
	return sub_to_empty(skb) + 8;
}

// => 338
SEC("tc")
int sub_callback(struct __sk_buff *skb)
{
	return sub_to_callback(skb) + 8;
}

// => 70
SEC("tc")
int sub_deep(struct __sk_buff *skb)
{
	return sub_to_deep(skb) + 8;
}

/* Main throws too, after the target's throw came back as a value. */
// => 500024, throws 24
SEC("tc") __exception_cb(main_callback)
int sub_throwing_then_main(struct __sk_buff *skb)
{
	u64 sum = sub_to_throwing(skb) + 8;

	bpf_throw(sum);
	return 0;
}

// => 500015, throws 15
SEC("tc") __exception_cb(main_callback)
int sub_returning_then_main(struct __sk_buff *skb)
{
	u64 sum = sub_to_returning(skb) + 8;

	bpf_throw(sum);
	return 0;
}

// => 500018, throws 18
SEC("tc") __exception_cb(main_callback)
int sub_empty_then_main(struct __sk_buff *skb)
{
	u64 sum = sub_to_empty(skb) + 8;

	bpf_throw(sum);
	return 0;
}

/* A subprogram that throws itself when its tail call finds nothing. */
static __noinline int sub_throws_on_empty(struct __sk_buff *skb)
{
	bpf_tail_call_static(skb, &targets, SLOT_EMPTY);
	bpf_throw(71);
	return 0;
}

// => 71, throws 71
SEC("tc")
int sub_empty_throws(struct __sk_buff *skb)
{
	return sub_throws_on_empty(skb) + 8;
}

/* ---- tail call into a program that tail calls out of a subprogram ---- */

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 1);
	__uint(key_size, sizeof(u32));
	__array(values, int(struct __sk_buff *));
} second SEC(".maps") = {
	.values = { [0] = &sub_throwing_then_main },
};

// => 500024, throws 24
SEC("tc")
int main_to_sub_throwing(struct __sk_buff *skb)
{
	bpf_tail_call_static(skb, &second, 0);
	return 1;
}

static __noinline int sub_to_second(struct __sk_buff *skb)
{
	bpf_tail_call_static(skb, &second, 0);
	return ten();
}

/* Two boundaries, one in the other: the inner one's result comes back, and main goes on. */
// => 500032
SEC("tc")
int sub_to_sub_throwing(struct __sk_buff *skb)
{
	return sub_to_second(skb) + 8;
}
