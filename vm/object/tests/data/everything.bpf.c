/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * One of everything that a loader must understand; the object is committed beside it. Made here by
 *     clang-19 -O2 -g -target bpf -mcpu=v3 -I ../../../../guest/include \
 *         -ffile-prefix-map=$PWD=. -c everything.bpf.c -o everything.bpf.o
 *     llvm-strip-19 -g everything.bpf.o
 */
#include <backstop/bpf.h>
#include <backstop/exceptions.h>
#include <backstop/core.h>

char LICENSE[] SEC("license") = "Dual MIT/GPL";

/* ---- maps ---- */

struct value {
	u64 packets;
	u64 bytes;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(pinning, 1);
	__type(key, u32);
	__type(value, struct value);
} flows SEC(".maps");

struct inner {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, u64);
} first SEC(".maps"), second SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, 4);
	__type(key, u32);
	__array(values, struct inner);
} outer SEC(".maps") = {
	.values = { &first, 0, &second },
};

int target(struct xdp_md *ctx);

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 4);
	__uint(key_size, 4);
	__array(values, int(void *));
} jumps SEC(".maps") = {
	.values = { [1] = (void *)&target },
};

struct {
	__uint(type, BPF_MAP_TYPE_ARENA);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 2);
	__ulong(map_extra, 0x1ull << 44);
} arena SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 5000);
} ring SEC(".maps");

struct bpf_map_def SEC("maps") legacy = {
	.type = BPF_MAP_TYPE_ARRAY,
	.key_size = 4,
	.value_size = 8,
	.max_entries = 3,
};

/* ---- global data ---- */

const volatile int threshold = 5;
int total = 7;
long count;
static int hidden_count;
const volatile char word[5] SEC(".rodata.words") = "abc";

/* ---- externs ---- */

extern int missing_kfunc(int x) __ksym __weak;
extern int absent_kfunc(int x) __ksym;
extern void bpf_rcu_read_lock___mine(int surprise) __ksym;
extern const int missing_variable __ksym __weak;
extern int CONFIG_WEAK __attribute__((section(".kconfig"))) __weak;
extern int CONFIG_STRONG __attribute__((section(".kconfig")));

/* ---- functions ---- */

static __noinline int leaf(int x)
{
	hidden_count += x;
	if (x > 100)
		bpf_throw(x);
	return x + total;
}

__noinline int global_sub(int x)
{
	return leaf(x) * 2;
}

__noinline int never_called(int x)
{
	return global_sub(x) + 1;
}

__hidden __noinline int hidden_sub(int x)
{
	return leaf(x + 1) + 3;
}

__attribute__((section("elsewhere"))) static __noinline int far_away(int x)
{
	bpf_hide(x);
	return leaf(x);
}

static long each(u32 index, void *sum)
{
	*(int *)sum += leaf(index);
	return 0;
}

__noinline u64 only_on_throw(u64 cookie)
{
	bpf_hide(cookie);
	return cookie + 1;
}

__noinline u64 on_throw(u64 cookie)
{
	return leaf(1) + only_on_throw(cookie);
}

/* ---- programs ---- */

SEC("xdp") __exception_cb(on_throw)
int everything(struct xdp_md *ctx)
{
	u32 key = threshold;
	int sum = 0;

	bpf_map_lookup_elem(&flows, &key);
	bpf_loop(10, each, &sum, 0);
	if (missing_kfunc)
		sum += missing_kfunc(3);
	if (&missing_variable)
		sum += 1;
	return global_sub(key) + leaf(3) + sum + word[2] + count++ + hidden_sub(1) + far_away(2);
}

SEC("?xdp.frags")
int target(struct xdp_md *ctx)
{
	u32 key = 0;

	bpf_map_lookup_elem(&outer, &key);
	bpf_map_lookup_elem(&legacy, &key);
	bpf_tail_call(ctx, &jumps, 1);
	return CONFIG_WEAK;
}

/* Fields in another order, one of another size, one that does not exist. */
struct __sk_buff___mine {
	u32 mark;
	u32 len;
	u64 not_there;
} __core;

SEC("tc")
int relocated(struct __sk_buff *skb)
{
	struct __sk_buff___mine *mine = (void *)skb;
	int result = mine->len + mine->mark;

	if (bpf_core_field_exists(mine->not_there))
		result += mine->not_there;
	return result + bpf_core_type_size(struct bpf_timer) + bpf_core_enum_value(enum xdp_action, XDP_TX);
}

SEC("raw_mem/128")
long memory(void *data, u64 len)
{
	return len;
}

SEC("host/request")
int host(void *request)
{
	return 0;
}

SEC("nobody/knows")
int custom(void *ctx)
{
	return 0;
}

SEC("tc")
int needs_config(struct __sk_buff *skb)
{
	return CONFIG_STRONG;
}

SEC("tc")
int needs_kfunc(struct __sk_buff *skb)
{
	return absent_kfunc(1);
}

SEC("tc")
int wrong_prototype(struct __sk_buff *skb)
{
	bpf_rcu_read_lock___mine(1);
	return 0;
}
