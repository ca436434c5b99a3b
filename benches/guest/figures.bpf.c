/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Small programs whose cost is one thing: an entry, a throw, a lookup, a tail call, a callback.
 * A loop inside a program repeats that thing (LOOKUPS, CALLBACKS times), so that the entry weighs
 * little; the benches divide by them.
 */
#include <backstop/bpf.h>
#include <backstop/exceptions.h>

char LICENSE[] SEC("license") = "GPL";

#define LOOKUPS 256
#define CALLBACKS 1000
#define ENTRIES 1024

/* The host's struct. */
struct Call {
	u64 argument;
	u64 result;
};

/* ---- calls deep: throws1 throws its argument unless it is 0; throwsN calls throwsN-1 ---- */

static __noinline u64 throws1(u64 a)
{
	bpf_hide(a);
	if (a)
		bpf_throw(a);
	return a + 1;
}

/* The same without the throw: what a boundary costs is the difference. */
static __noinline u64 plain1(u64 a)
{
	bpf_hide(a);
	if (a)
		a = 2;
	return a + 1;
}

#define DEEPER(kind, n, below)                 \
	static __noinline u64 kind##n(u64 a)   \
	{                                      \
		bpf_hide(a);                   \
		a = kind##below(a);            \
		bpf_hide(a);                   \
		return a + 1;                  \
	}
DEEPER(throws, 2, 1)
DEEPER(throws, 3, 2)
DEEPER(throws, 4, 3)
DEEPER(throws, 5, 4)
DEEPER(throws, 6, 5)
DEEPER(throws, 7, 6)
DEEPER(plain, 2, 1)
DEEPER(plain, 3, 2)
DEEPER(plain, 4, 3)
DEEPER(plain, 5, 4)
DEEPER(plain, 6, 5)
DEEPER(plain, 7, 6)

__noinline u64 on_throw(u64 cookie)
{
	return cookie + 1;
}

/* ---- entries with the host's struct ---- */

SEC("host/Call")
u64 empty(struct Call *call)
{
	return 0;
}

SEC("host/Call")
u64 throw_1(struct Call *call)
{
	return throws1(call->argument);
}

/* Main and seven subprograms: as many frames as there can be. */
SEC("host/Call")
u64 throw_8(struct Call *call)
{
	return throws7(call->argument);
}

SEC("host/Call") __exception_cb(on_throw)
u64 throw_1_own(struct Call *call)
{
	return throws1(call->argument);
}

SEC("host/Call") __exception_cb(on_throw)
u64 throw_8_own(struct Call *call)
{
	return throws7(call->argument);
}

SEC("host/Call")
u64 plain_1(struct Call *call)
{
	return plain1(call->argument);
}

SEC("host/Call")
u64 plain_8(struct Call *call)
{
	return plain7(call->argument);
}

/* ---- the same throws as Linux can run them: a packet of 100 bytes or more throws ---- */

static __always_inline u64 is_long(struct xdp_md *ctx)
{
	return ctx->data_end - ctx->data >= 100;
}

SEC("xdp")
int xdp_empty(struct xdp_md *ctx)
{
	return XDP_PASS;
}

SEC("xdp")
int xdp_throw_1(struct xdp_md *ctx)
{
	return throws1(is_long(ctx));
}

SEC("xdp")
int xdp_throw_8(struct xdp_md *ctx)
{
	return throws7(is_long(ctx));
}

/* ---- maps ---- */

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, ENTRIES);
	__type(key, u32);
	__type(value, u64);
} array SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, ENTRIES);
	__type(key, u64);
	__type(value, u64);
} hash SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, ENTRIES);
	__type(key, u32);
	__type(value, u64);
} percpu SEC(".maps");

/* LOOKUPS lookups over keys that are spread. */
#define LOOKS_UP(map, key_type)                                        \
	SEC("host/Call")                                               \
	u64 lookup_##map(struct Call *call)                            \
	{                                                              \
		u64 sum = 0, *value;                                   \
                                                                       \
		for (u32 i = 0; i < LOOKUPS; i++) {                    \
			key_type key = (i * 37) & (ENTRIES - 1);       \
                                                                       \
			value = bpf_map_lookup_elem(&map, &key);       \
			if (value)                                     \
				sum += *value;                         \
		}                                                      \
		return sum;                                            \
	}
LOOKS_UP(array, u32)
LOOKS_UP(hash, u64)
LOOKS_UP(percpu, u32)

SEC("host/Call")
u64 update_hash(struct Call *call)
{
	for (u32 i = 0; i < LOOKUPS; i++) {
		u64 key = (i * 37) & (ENTRIES - 1), value = i;

		bpf_map_update_elem(&hash, &key, &value, BPF_ANY);
	}
	return 0;
}

/* ---- callbacks ---- */

static int add_index(u32 index, u64 *sum)
{
	*sum += index;
	return 0;
}

SEC("host/Call")
u64 callbacks(struct Call *call)
{
	u64 sum = 0;

	bpf_loop(CALLBACKS, add_index, &sum, 0);
	return sum;
}

/* ---- tail calls: a program that calls itself until the limit of 33 ends it ---- */

u64 tail_constant(struct Call *call);
u64 tail_variable(struct Call *call);

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 2);
	__uint(key_size, sizeof(u32));
	__array(values, u64(struct Call *));
} chain SEC(".maps") = {
	.values = { [0] = &tail_constant, [1] = &tail_variable },
};

SEC("host/Call")
u64 tail_constant(struct Call *call)
{
	bpf_tail_call(call, &chain, 0);
	return 33;
}

/* argument must be 1. */
SEC("host/Call")
u64 tail_variable(struct Call *call)
{
	bpf_tail_call(call, &chain, call->argument);
	return 33;
}
