/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Throws that are accepted, in each place where a throw may stand. The comment before a
 * program is its expectation for 64 zero bytes of input (packet, or context for syscall):
 *     // => RESULT                     it returns
 *     // => RESULT, throws COOKIE      it throws and its callback makes RESULT of it
 *     // @OFFSET=HEX: => ...           the same with these bytes put into the input
 *     // accepted                      judged only: the kernel has no test run for the type
 * guest/build.sh gathers them into expect.toml.
 */
#include <backstop/bpf.h>
#include <backstop/exceptions.h>

char LICENSE[] SEC("license") = "GPL";

/* ---- from main, in each program type that may throw ---- */

// => 17, throws 17
SEC("tc")
int main_tc(struct __sk_buff *skb)
{
	bpf_throw(17);
	return 0;
}

// => 2, throws 2
SEC("xdp")
int main_xdp(struct xdp_md *ctx)
{
	bpf_throw(2);
	return 0;
}

// => 7, throws 7
SEC("syscall")
int main_syscall(void *ctx)
{
	bpf_throw(7);
	return 0;
}

// => 3, throws 3
SEC("cgroup_skb/egress")
int main_cgroup_skb(struct __sk_buff *skb)
{
	bpf_throw(3);
	return 0;
}

// accepted
SEC("tracepoint/syscalls/sys_enter_getpid")
int main_tracepoint(void *ctx)
{
	bpf_throw(1);
	return 0;
}

// accepted
SEC("perf_event")
int main_perf_event(struct bpf_perf_event_data *ctx)
{
	bpf_throw(1);
	return 0;
}

// accepted
SEC("sockops")
int main_sock_ops(void *ctx)
{
	bpf_throw(1);
	return 0;
}

/* A cookie has 64 bits, a Linux program's result the lower 32. */
// => 5, throws 0x1200000005
SEC("tc")
int main_wide_cookie(struct __sk_buff *skb)
{
	bpf_throw(0x1200000005ULL);
	return 0;
}

// => 0, throws 0
SEC("tc")
int main_zero_cookie(struct __sk_buff *skb)
{
	bpf_throw(0);
	return 1;
}

/* ---- both paths run ---- */

static __always_inline u64 byte_at(struct __sk_buff *skb, u32 offset)
{
	u8 *data = (u8 *)(long)skb->data;
	u8 *end = (u8 *)(long)skb->data_end;

	if (data + offset + 1 > end)
		return 0;
	return data[offset];
}

// => 100
// @20=2a: => 42, throws 42
SEC("tc")
int main_conditional(struct __sk_buff *skb)
{
	u64 byte = byte_at(skb, 20);

	if (byte)
		bpf_throw(byte);
	return 100;
}

// => 100
// @8=2a: => 42, throws 42
SEC("syscall")
int syscall_conditional(u64 *ctx)
{
	u64 word = ctx[1];

	if (word)
		bpf_throw(word);
	return 100;
}

static __noinline u64 may_throw(u64 byte)
{
	if (byte > 9)
		bpf_throw(byte + 1000);
	return byte + 1;
}

// => 1
// @20=09: => 10
// @20=0a: => 1010, throws 1010
SEC("tc")
int sub_conditional(struct __sk_buff *skb)
{
	return may_throw(byte_at(skb, 20));
}

/* ---- one, three and eight frames deep: static ---- */

static __noinline u64 static_1(u64 x)
{
	bpf_hide(x);
	bpf_throw(x + 1);
	return x;
}

static __noinline u64 static_2(u64 x)
{
	bpf_hide(x);
	return static_1(x + 1) + 1;
}

static __noinline u64 static_3(u64 x)
{
	bpf_hide(x);
	return static_2(x + 1) + 1;
}

static __noinline u64 static_4(u64 x)
{
	bpf_hide(x);
	return static_3(x + 1) + 1;
}

static __noinline u64 static_5(u64 x)
{
	bpf_hide(x);
	return static_4(x + 1) + 1;
}

static __noinline u64 static_6(u64 x)
{
	bpf_hide(x);
	return static_5(x + 1) + 1;
}

static __noinline u64 static_7(u64 x)
{
	bpf_hide(x);
	return static_6(x + 1) + 1;
}

// => 11, throws 11
SEC("tc")
int static_deep_1(struct __sk_buff *skb)
{
	return static_1(10) + 5;
}

// => 13, throws 13
SEC("tc")
int static_deep_3(struct __sk_buff *skb)
{
	return static_3(10) + 5;
}

/* Main and seven subprograms are the eight frames that a program may have. */
// => 17, throws 17
SEC("tc")
int static_deep_8(struct __sk_buff *skb)
{
	return static_7(10) + 5;
}

// => 13, throws 13
SEC("xdp")
int static_deep_3_xdp(struct xdp_md *ctx)
{
	return static_3(10) + 5;
}

// => 17, throws 17
SEC("syscall")
int static_deep_8_syscall(void *ctx)
{
	return static_7(10) + 5;
}

/* ---- the same, global ---- */

__noinline u64 global_1(u64 x)
{
	bpf_hide(x);
	if (x < 1000)
		bpf_throw(x + 1);
	return x;
}

__noinline u64 global_2(u64 x)
{
	bpf_hide(x);
	return global_1(x + 1) + 1;
}

__noinline u64 global_3(u64 x)
{
	bpf_hide(x);
	return global_2(x + 1) + 1;
}

__noinline u64 global_4(u64 x)
{
	bpf_hide(x);
	return global_3(x + 1) + 1;
}

__noinline u64 global_5(u64 x)
{
	bpf_hide(x);
	return global_4(x + 1) + 1;
}

__noinline u64 global_6(u64 x)
{
	bpf_hide(x);
	return global_5(x + 1) + 1;
}

__noinline u64 global_7(u64 x)
{
	bpf_hide(x);
	return global_6(x + 1) + 1;
}

// => 11, throws 11
SEC("tc")
int global_deep_1(struct __sk_buff *skb)
{
	return global_1(10) + 5;
}

// => 13, throws 13
SEC("tc")
int global_deep_3(struct __sk_buff *skb)
{
	return global_3(10) + 5;
}

// => 17, throws 17
SEC("tc")
int global_deep_8(struct __sk_buff *skb)
{
	return global_7(10) + 5;
}

// => 5011
SEC("tc")
int global_deep_8_returns(struct __sk_buff *skb)
{
	return global_7(5000) - 1;
}

/* A global function whose body does nothing but throw. */
__noinline u64 global_always(u64 x)
{
	bpf_hide(x);
	bpf_throw(x);
	return 0;
}

// => 91, throws 91
SEC("xdp")
int global_always_xdp(struct xdp_md *ctx)
{
	return global_always(91);
}

/* Static calls global calls static. */
static __noinline u64 mixed_outer(u64 x)
{
	bpf_hide(x);
	return global_2(x) + 3;
}

// => 22, throws 22
SEC("tc")
int mixed_deep(struct __sk_buff *skb)
{
	return mixed_outer(20);
}

/* ---- a throw as the last native instruction, once dead code is removed ---- */

static __noinline u64 ends_in_throw(u64 x)
{
	bpf_hide(x);
	bpf_throw(x);
	return x * 3;
}

static __noinline u64 follows_at_once(u64 x)
{
	bpf_hide(x);
	return x * 2;
}

// => 44, throws 44
SEC("tc")
int last_instruction(struct __sk_buff *skb)
{
	u64 x = follows_at_once(22);

	return ends_in_throw(x) + follows_at_once(x);
}

/* Main itself ends in a call that never returns. */
// => 45, throws 45
SEC("tc")
int last_is_call(struct __sk_buff *skb)
{
	return ends_in_throw(45);
}

/* A branch that the verifier knows and clang does not: the rest is dead. */
// => 46, throws 46
SEC("tc")
int last_after_known_branch(struct __sk_buff *skb)
{
	u64 one = 1;

	bpf_hide(one);
	if (one == 1)
		bpf_throw(46);
	return follows_at_once(skb->len);
}

/* A throw that no path reaches makes no boundary. */
// => 12
SEC("tc")
int never_reached(struct __sk_buff *skb)
{
	u64 one = 1;

	bpf_hide(one);
	if (one != 1)
		bpf_throw(46);
	return 12;
}

/* ---- registers ---- */

static __noinline u64 uses_all(u64 a, u64 b, u64 c, u64 d)
{
	u64 w = a * 3, x = b * 5, y = c * 7, z = d * 11;

	bpf_hide(w);
	bpf_hide(x);
	bpf_hide(y);
	bpf_hide(z);
	w += may_throw(a & 7);
	return w + x + y + z;
}

/* Four values stay in callee-saved registers while calls are made. */
// => 1092
// @20=80: => 1128, throws 1128
SEC("tc")
int registers_live(struct __sk_buff *skb)
{
	u64 a = 1, b = 2, c = 3, d = 4, sum;

	bpf_hide(a);
	bpf_hide(b);
	bpf_hide(c);
	bpf_hide(d);
	sum = uses_all(a, b, c, d);
	sum += may_throw(byte_at(skb, 20));
	return sum + a * 1000 + b + c + d + may_throw(a);
}

/* A large stack in the boundary's frame and in those above it. */
static __noinline u64 large_frame(u64 x)
{
	volatile u64 words[20];

	for (u32 i = 0; i < 20; i++)
		words[i] = x + i;
	if (words[19] > 100)
		bpf_throw(words[19]);
	return words[3];
}

// => 23
// @20=60: => 115, throws 115
SEC("tc")
int stack_live(struct __sk_buff *skb)
{
	volatile u64 words[20];

	for (u32 i = 0; i < 20; i++)
		words[i] = i;
	return large_frame(byte_at(skb, 20)) + words[19] + words[1];
}

/* ---- callbacks of the program's own ---- */

__noinline u64 twice_plus_one(u64 cookie)
{
	return cookie * 2 + 1;
}

// => 43, throws 21
SEC("tc") __exception_cb(twice_plus_one)
int callback_main(struct __sk_buff *skb)
{
	bpf_throw(21);
	return 0;
}

// => 27, throws 13
SEC("tc") __exception_cb(twice_plus_one)
int callback_deep_3(struct __sk_buff *skb)
{
	return static_3(10);
}

// => 35, throws 17
SEC("xdp") __exception_cb(twice_plus_one)
int callback_deep_8_xdp(struct xdp_md *ctx)
{
	return static_7(10);
}

// => 35, throws 17
SEC("syscall") __exception_cb(twice_plus_one)
int callback_global_deep_8(void *ctx)
{
	return global_7(10);
}

/* The lower half of what the callback returns is the result. */
// => 3, throws 0x8000000000000001
SEC("tc") __exception_cb(twice_plus_one)
int callback_wide_cookie(struct __sk_buff *skb)
{
	bpf_throw(0x8000000000000001ULL);
	return 0;
}

/* Nothing throws, and the callback is verified all the same. */
// => 6
SEC("tc") __exception_cb(twice_plus_one)
int callback_unused(struct __sk_buff *skb)
{
	return 6;
}

/* With a callback the cookie is free, where the program's own result has a range. */
__noinline u64 always_one(u64 cookie)
{
	return 1;
}

// => 1, throws 64
SEC("cgroup_skb/egress") __exception_cb(always_one)
int callback_frees_cookie(struct __sk_buff *skb)
{
	bpf_throw(64);
	return 0;
}

/* A tag on any function but main says nothing. */
__exception_cb(twice_plus_one)
__noinline u64 tagged_sub(u64 x)
{
	bpf_hide(x);
	bpf_throw(x);
	return 0;
}

// => 8, throws 8
SEC("tc")
int callback_tag_on_sub(struct __sk_buff *skb)
{
	return tagged_sub(8);
}

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 4);
	__type(key, u32);
	__type(value, u64);
} throws SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16);
	__type(key, u64);
	__type(value, u64);
} by_cookie SEC(".maps");

/* Calls helpers: looks up, updates and deletes, and returns what the maps say. */
__noinline u64 counts_in_maps(u64 cookie)
{
	u32 slot = 1;
	u64 value = cookie + 1;
	u64 *count, *found;
	u64 result = 0;

	count = bpf_map_lookup_elem(&throws, &slot);
	if (!count)
		return 900;
	*count += 5;
	if (bpf_map_update_elem(&by_cookie, &cookie, &value, BPF_ANY))
		return 901;
	found = bpf_map_lookup_elem(&by_cookie, &cookie);
	if (found)
		result = *found + *count;
	if (bpf_map_delete_elem(&by_cookie, &cookie))
		return 902;
	if (bpf_map_lookup_elem(&by_cookie, &cookie))
		return 903;
	*count = 0;
	return result;
}

// => 19, throws 13
SEC("tc") __exception_cb(counts_in_maps)
int callback_maps(struct __sk_buff *skb)
{
	return static_3(10);
}

struct sum {
	u64 total;
	u64 step;
};

static int add_round(u32 round, void *data)
{
	struct sum *sum = data;

	sum->total += round + sum->step;
	return sum->total > 1000;
}

static __noinline u64 callback_helper(u64 x)
{
	bpf_hide(x);
	return x + 2;
}

__noinline u64 global_adds_four(u64 x)
{
	bpf_hide(x);
	return x + 4;
}

/* Calls bpf_loop and subprograms, on a stack of its own. */
__noinline u64 loops_and_calls(u64 cookie)
{
	struct sum sum = { .total = 0, .step = cookie };
	long rounds = bpf_loop(10, add_round, &sum, 0);

	return callback_helper(sum.total) + rounds + global_adds_four(2000);
}

/* 45 + 10 * 4 from the loop, 2, 10 rounds, 2004 from the global function. */
// => 2101, throws 4
SEC("tc") __exception_cb(loops_and_calls)
int callback_loops(struct __sk_buff *skb)
{
	return static_1(3);
}

/* As deep a stack as a program has; the boundary's own was 160 bytes. */
__noinline u64 callback_with_stack(u64 cookie)
{
	volatile u64 words[60];
	u64 sum = 0;

	for (u32 i = 0; i < 60; i++)
		words[i] = cookie + i;
	for (u32 i = 0; i < 60; i++)
		sum += words[i];
	return sum;
}

// => 23
// @20=60: => 8670, throws 115
SEC("tc") __exception_cb(callback_with_stack)
int callback_stack(struct __sk_buff *skb)
{
	volatile u64 words[20];

	for (u32 i = 0; i < 20; i++)
		words[i] = i;
	return large_frame(byte_at(skb, 20)) + words[19] + words[1];
}

/* ---- asserts ---- */

// => 0, throws 0
// @20=01: => 55
SEC("tc")
int assert_plain(struct __sk_buff *skb)
{
	bpf_assert(byte_at(skb, 20) == 1);
	return 55;
}

// => 56
// @20=01: => 77, throws 77
SEC("tc")
int assert_with(struct __sk_buff *skb)
{
	bpf_assert_with(byte_at(skb, 20) != 1, 77);
	return 56;
}

const volatile u64 table[8] = { 10, 11, 12, 13, 14, 15, 16, 17 };

/* What the assert proves makes the index good. */
// => 0, throws 0
// @20=01: => 11
// @20=07: => 17
// @20=08: => 0, throws 0
SEC("tc")
int assert_range(struct __sk_buff *skb)
{
	u64 index = byte_at(skb, 20);

	bpf_assert_range(index, 1, 7);
	return table[index];
}

// => 10
// @20=08: => 300, throws 300
SEC("xdp")
int assert_range_with(struct xdp_md *ctx)
{
	u8 *data = (u8 *)(long)ctx->data;
	s64 index;

	if (data + 21 > (u8 *)(long)ctx->data_end)
		return 1;
	index = data[20];
	bpf_assert_range_with(index, 0, 7, 300);
	return table[index];
}

/* ---- inside a loop and an early return ---- */

// => 40
// @20=01: => 3020, throws 3020
// @23=05: => 3023, throws 3023
SEC("tc")
int in_unrolled_walk(struct __sk_buff *skb)
{
	u8 *data = (u8 *)(long)skb->data;

	if (data + 40 > (u8 *)(long)skb->data_end)
		return 1;
#pragma clang loop unroll(full)
	for (u32 i = 20; i < 24; i++)
		if (data[i])
			bpf_throw(3000 + i);
	return 40;
}
