/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Programs over a host's own struct and kfuncs, which no kernel has: the host that runs them defines what each
 * `host_` function does. None is judged alone, so that none has an expectation here.
 */
#include <backstop/bpf.h>
#include <backstop/exceptions.h>

char LICENSE[] SEC("license") = "GPL";

struct Request {
	u32 length;
	u32 verdict;
};

struct point {
	s32 x;
	s32 y;
	u64 weight;
};

extern u64 take_budget(u64 amount) __ksym;
extern u64 host_add(u64 a, u32 b) __ksym;
extern s32 host_negate(s32 a) __ksym;
extern u64 host_sum(u64 a, u32 b, u16 c, u8 d, s64 e) __ksym;
extern void host_note(u64 value) __ksym;
extern u64 host_move(struct point *point) __ksym;
extern u64 host_keep(struct point *point) __ksym;
extern u64 host_context(struct xdp_md *ctx) __ksym;
/* Runs another program and gives its result. */
extern u64 host_nested(u64 which) __ksym;
/* Fails for some values. */
extern u64 host_check(u64 value) __ksym;
extern u64 host_panic(u64 value) __ksym;
/* Returns when the host says so. */
extern u64 host_wait(void) __ksym;

/* ---- a context of the host's ---- */

/* Takes as much of the budget as the request is long; throws where it is not enough. */
SEC("host/Request")
u64 filter(struct Request *request)
{
	u64 taken = take_budget(request->length);

	bpf_assert_with(taken == request->length, 413);
	request->verdict = 200;
	return taken;
}

SEC("host/Request")
u64 writes_length(struct Request *request)
{
	request->length = 1;
	return 0;
}

SEC("host/Request")
u64 wide_result(struct Request *request)
{
	return (u64)request->length << 32 | 7;
}

/* ---- arguments and results ---- */

SEC("tc")
int adds(struct __sk_buff *skb)
{
	return host_add(40, 2);
}

SEC("tc")
int negates(struct __sk_buff *skb)
{
	s32 minus_seven = host_negate(7);

	bpf_hide(minus_seven);
	return host_negate(-100) + minus_seven;
}

SEC("tc")
int sums(struct __sk_buff *skb)
{
	return host_sum(1ULL << 40, 0xffffffff, 0xffff, 0xff, -1) >> 8;
}

SEC("tc")
int moves(struct __sk_buff *skb)
{
	struct point point = { .x = 1, .y = -2, .weight = 30 };
	u64 result = host_move(&point);

	return result + point.x * 100 + point.y * 10000 + point.weight * 1000000;
}

SEC("tc")
int keeps(struct __sk_buff *skb)
{
	struct point point = {};

	return host_keep(&point) * 10 + host_keep(&point);
}

/* A pointer to fewer bytes than the kfunc's struct has. */
SEC("?tc")
int moves_short(struct __sk_buff *skb)
{
	u64 word = 0;

	return host_move((struct point *)&word);
}

/* No pointer at all, where the kfunc takes one. */
SEC("?tc")
int moves_null(struct __sk_buff *skb)
{
	return host_move(0);
}

/* The context, where the kfunc takes a struct of the host's that has the same name. */
SEC("?xdp")
int passes_context(struct xdp_md *ctx)
{
	return host_context(ctx);
}

/* ---- throws beside host functions ---- */

static __noinline u64 notes_and_throws(u64 x)
{
	bpf_hide(x);
	host_note(x);
	bpf_throw(x + 1);
	return x;
}

static __noinline u64 passes_on(u64 x)
{
	bpf_hide(x);
	return notes_and_throws(x + 1) + 1;
}

SEC("tc")
int notes_then_throws(struct __sk_buff *skb)
{
	return passes_on(skb->mark) + 1;
}

SEC("tc")
int returns_mark(struct __sk_buff *skb)
{
	return skb->mark + 1;
}

__noinline u64 notes_cookie(u64 cookie)
{
	host_note(cookie + 5000);
	return cookie + 1000;
}

SEC("tc") __exception_cb(notes_cookie)
int callback_notes(struct __sk_buff *skb)
{
	return passes_on(20);
}

/* ---- runs inside runs ---- */

SEC("tc")
int outer_goes_on(struct __sk_buff *skb)
{
	u64 a = host_nested(1), b = host_nested(2);

	return a * 1000 + b;
}

static __noinline u64 nested_below(u64 which)
{
	bpf_hide(which);
	return host_nested(which) + 1;
}

SEC("tc") __exception_cb(notes_cookie)
int outer_throws_too(struct __sk_buff *skb)
{
	u64 inner = nested_below(1);

	bpf_throw(inner + 100);
	return 0;
}

static long nested_round(u32 index, u64 *sum)
{
	*sum += host_nested(index & 1);
	return 0;
}

SEC("tc")
int outer_loops(struct __sk_buff *skb)
{
	u64 sum = 0;

	bpf_loop(4, nested_round, &sum, 0);
	return sum;
}

/* ---- host functions that fail ---- */

static long check_round(u32 index, u64 *sum)
{
	*sum += host_check(index);
	return 0;
}

SEC("tc")
int fails_in_loop(struct __sk_buff *skb)
{
	u64 sum = 0;

	bpf_loop(skb->mark, check_round, &sum, 0);
	return sum;
}

static long inner_check(u32 index, u64 *base)
{
	host_check(*base + index);
	return 0;
}

static long outer_check(u32 index, u64 *sum)
{
	u64 base = index * 10;

	*sum += bpf_loop(10, inner_check, &base, 0);
	return 0;
}

SEC("tc")
int fails_in_nested_loops(struct __sk_buff *skb)
{
	u64 sum = 0;

	bpf_loop(skb->mark, outer_check, &sum, 0);
	return sum;
}

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 8);
	__type(key, u32);
	__type(value, u64);
} elements SEC(".maps");

static long check_element(void *map, const u32 *key, u64 *value, u64 *sum)
{
	*value += 1;
	*sum += host_check(*key + 100);
	return 0;
}

SEC("tc")
int fails_in_for_each(struct __sk_buff *skb)
{
	u64 sum = 0;

	bpf_for_each_map_elem(&elements, check_element, &sum, 0);
	return sum;
}

static __noinline u64 checks(u64 x)
{
	bpf_hide(x);
	return host_check(x) + 1;
}

static __noinline u64 checks_below(u64 x)
{
	bpf_hide(x);
	return checks(x) + 1;
}

/* A host function's error is not the program's throw: its callback does not run. */
SEC("tc") __exception_cb(notes_cookie)
int fails_before_throw(struct __sk_buff *skb)
{
	u64 x = checks_below(skb->mark);

	bpf_throw(x);
	return 0;
}

__noinline u64 checks_cookie(u64 cookie)
{
	return host_check(cookie) + 2000;
}

SEC("tc") __exception_cb(checks_cookie)
int fails_in_callback(struct __sk_buff *skb)
{
	bpf_throw(skb->mark);
	return 0;
}

static long panic_round(u32 index, u64 *sum)
{
	*sum += host_panic(index);
	return 0;
}

SEC("tc")
int panics_in_loop(struct __sk_buff *skb)
{
	u64 sum = 0;

	bpf_loop(10, panic_round, &sum, 0);
	return sum;
}

/* ---- runs that last ---- */

SEC("tc")
int waits(struct __sk_buff *skb)
{
	return host_wait() + 1;
}

static long wait_round(u32 index, u64 *sum)
{
	*sum += host_wait();
	return 0;
}

SEC("tc")
int waits_in_loop(struct __sk_buff *skb)
{
	u64 sum = 0;

	bpf_loop(2, wait_round, &sum, 0);
	bpf_throw(sum);
	return 0;
}

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, u64);
} on_cpu SEC(".maps");

SEC("tc")
int waits_on_cpu(struct __sk_buff *skb)
{
	u32 key = 0;
	u64 *count = bpf_map_lookup_elem(&on_cpu, &key);

	if (!count)
		return 0;
	*count += host_wait();
	return *count;
}

SEC("tc")
int counts_on_cpu(struct __sk_buff *skb)
{
	u32 key = 0;
	u64 *count = bpf_map_lookup_elem(&on_cpu, &key);

	if (!count)
		return 0;
	*count += 1;
	return bpf_get_smp_processor_id();
}

SEC("tc")
int nests_on_cpu(struct __sk_buff *skb)
{
	u32 own = bpf_get_smp_processor_id();

	return host_nested(3) * 100 + own;
}

/* ---- tail calls whose targets change ---- */

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 2);
	__uint(key_size, sizeof(u32));
	__uint(value_size, sizeof(u32));
} jumps SEC(".maps");

SEC("tc")
int jumps_away(struct __sk_buff *skb)
{
	bpf_tail_call_static(skb, &jumps, 0);
	return 5;
}

SEC("tc")
int waits_then_jumps(struct __sk_buff *skb)
{
	host_wait();
	bpf_tail_call_static(skb, &jumps, 1);
	return 5;
}

SEC("tc")
int target_one(struct __sk_buff *skb)
{
	return 101;
}

SEC("tc")
int target_two(struct __sk_buff *skb)
{
	bpf_throw(102);
	return 0;
}

static __noinline int jumps_below(struct __sk_buff *skb)
{
	int ten = 10;

	bpf_hide(ten);
	bpf_tail_call_static(skb, &jumps, 1);
	return ten;
}

/* Four values stay in callee-saved registers while a target throws from a subprogram's place. */
SEC("tc")
int keeps_over_jump(struct __sk_buff *skb)
{
	u64 a = skb->mark, b = skb->priority, c = skb->len, result;

	bpf_hide(a);
	bpf_hide(b);
	bpf_hide(c);
	result = jumps_below(skb);
	bpf_hide(result);
	result += jumps_below(skb);
	return result + a * 3 + b * 5 + c * 7;
}

/* Writes all the callee-saved registers, then throws three frames deep. */
SEC("tc")
int target_three(struct __sk_buff *skb)
{
	u64 a = skb->len, b = a + 1, c = a + 2, d = a + 3;

	bpf_hide(a);
	bpf_hide(b);
	bpf_hide(c);
	bpf_hide(d);
	host_note(a);
	return passes_on(1) + a * b + c * d;
}

SEC("xdp")
int other_type(struct xdp_md *ctx)
{
	return 2;
}

/* ---- globals ---- */

const volatile u32 threshold = 10;
const volatile bool verbose = false;
u64 seen = 0;

SEC("tc")
int uses_globals(struct __sk_buff *skb)
{
	seen += 1;
	if (verbose)
		bpf_printk("mark %u of %u", skb->mark, threshold);
	if (skb->mark > threshold)
		bpf_throw(seen);
	return seen;
}
