/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Maps, their helpers, globals, and callbacks over them. Results are those of fresh maps. */
#include <backstop/bpf.h>

char LICENSE[] SEC("license") = "GPL";

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 8);
	__type(key, u32);
	__type(value, u64);
} array SEC(".maps");

struct pair {
	u32 first;
	u16 second;
	u16 third;
};

struct record {
	u64 count;
	u32 parts[4];
	u8 name[8];
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4);
	__type(key, struct pair);
	__type(value, struct record);
} hash SEC(".maps");

/* Sizes in place of types; allocated as elements come. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 64);
	__uint(key_size, 4);
	__uint(value_size, 8);
	__uint(map_flags, BPF_F_NO_PREALLOC);
} loose_hash SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 3);
	__type(key, u32);
	__type(value, u64);
} percpu_array SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_HASH);
	__uint(max_entries, 3);
	__type(key, u64);
	__type(value, u64);
} percpu_hash SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 4);
	__uint(map_flags, BPF_F_RDONLY_PROG);
	__type(key, u32);
	__type(value, u32);
} read_only SEC(".maps");

/* ---- arrays ---- */

// => 41
SEC("tc")
int array_update_lookup(struct __sk_buff *skb)
{
	u32 key = 3;
	u64 value = 40, *found;

	if (bpf_map_update_elem(&array, &key, &value, BPF_ANY))
		return 1;
	found = bpf_map_lookup_elem(&array, &key);
	if (!found)
		return 2;
	*found += 1;
	found = bpf_map_lookup_elem(&array, &key);
	return found ? *found : 3;
}

/* Beyond the end there is nothing; an element can't be made (E2BIG) or deleted (EINVAL). */
// => 0
SEC("tc")
int array_limits(struct __sk_buff *skb)
{
	u32 key = 8;
	u64 value = 1;

	if (bpf_map_lookup_elem(&array, &key))
		return 1;
	if (bpf_map_update_elem(&array, &key, &value, BPF_ANY) != -7)
		return 2;
	key = 0;
	if (bpf_map_update_elem(&array, &key, &value, BPF_NOEXIST) != -17)
		return 3;
	if (bpf_map_update_elem(&array, &key, &value, BPF_EXIST))
		return 4;
	if (bpf_map_delete_elem(&array, &key) != -22)
		return 5;
	if (bpf_map_update_elem(&array, &key, &value, 77) != -22)
		return 6;
	return 0;
}

// => 0
SEC("tc")
int array_read_only(struct __sk_buff *skb)
{
	u32 key = skb->len & 3;
	u32 *found = bpf_map_lookup_elem(&read_only, &key);

	return found ? *found : 1;
}

// refused: write into map forbidden
SEC("tc")
int array_read_only_written(struct __sk_buff *skb)
{
	u32 key = 0;
	u32 *found = bpf_map_lookup_elem(&read_only, &key);

	if (found)
		*found = 1;
	return 0;
}

/* ---- hashes ---- */

// => 77
SEC("tc")
int hash_insert_lookup_delete(struct __sk_buff *skb)
{
	struct pair key = { 1, 2, 3 };
	struct record value = { .count = 70, .parts = { 1, 2, 3, 4 }, .name = "flow" }, *found;
	u64 result;

	if (bpf_map_lookup_elem(&hash, &key))
		return 1;
	if (bpf_map_update_elem(&hash, &key, &value, BPF_NOEXIST))
		return 2;
	found = bpf_map_lookup_elem(&hash, &key);
	if (!found)
		return 3;
	found->count += found->parts[2] + found->parts[3];
	result = found->count;
	if (found->name[3] != 'w')
		return 4;
	if (bpf_map_delete_elem(&hash, &key))
		return 5;
	if (bpf_map_lookup_elem(&hash, &key))
		return 6;
	return result;
}

/* Flags and their refusals: EEXIST, ENOENT, EINVAL, and E2BIG when full. */
// => 0
SEC("tc")
int hash_limits(struct __sk_buff *skb)
{
	struct pair key = {};
	struct record value = {};

	if (bpf_map_update_elem(&hash, &key, &value, BPF_EXIST) != -2)
		return 1;
	if (bpf_map_delete_elem(&hash, &key) != -2)
		return 2;
	if (bpf_map_update_elem(&hash, &key, &value, BPF_NOEXIST))
		return 3;
	if (bpf_map_update_elem(&hash, &key, &value, BPF_NOEXIST) != -17)
		return 4;
	if (bpf_map_update_elem(&hash, &key, &value, 77) != -22)
		return 5;
	for (u32 i = 1; i < 4; i++) {
		key.first = i;
		if (bpf_map_update_elem(&hash, &key, &value, BPF_ANY))
			return 10 + i;
	}
	key.first = 4;
	if (bpf_map_update_elem(&hash, &key, &value, BPF_ANY) != -7)
		return 6;
	key.first = 3;
	if (bpf_map_update_elem(&hash, &key, &value, BPF_ANY))
		return 7;
	for (u32 i = 0; i < 4; i++) {
		key.first = i;
		if (bpf_map_delete_elem(&hash, &key))
			return 20 + i;
	}
	return 0;
}

// => 90
SEC("tc")
int hash_loose(struct __sk_buff *skb)
{
	u64 sum = 0;

	for (u32 i = 0; i < 10; i++) {
		u64 value = i * 2;
		u32 key = i;

		bpf_map_update_elem(&loose_hash, &key, &value, BPF_ANY);
	}
	for (u32 i = 0; i < 12; i++) {
		u32 key = i;
		u64 *found = bpf_map_lookup_elem(&loose_hash, &key);

		if (found)
			sum += *found;
	}
	return sum;
}

/* A lookup whose result is used without a check. */
// refused: R0 invalid mem access 'map_value_or_null'
SEC("tc")
int hash_unchecked(struct __sk_buff *skb)
{
	u32 key = 1;
	u64 *found = bpf_map_lookup_elem(&loose_hash, &key);

	return *found;
}

/* ---- per CPU ---- */

// => 15
SEC("tc")
int percpu_array_adds(struct __sk_buff *skb)
{
	u32 key = 2;
	u64 *found, value = 5;

	if (bpf_map_update_elem(&percpu_array, &key, &value, BPF_ANY))
		return 1;
	for (u32 i = 0; i < 2; i++) {
		found = bpf_map_lookup_elem(&percpu_array, &key);
		if (!found)
			return 2;
		*found += 5;
	}
	return *found;
}

// => 12
SEC("tc")
int percpu_hash_adds(struct __sk_buff *skb)
{
	u64 key = 0x100000002, *found, value = 5;

	if (bpf_map_update_elem(&percpu_hash, &key, &value, BPF_NOEXIST))
		return 1;
	found = bpf_map_lookup_elem(&percpu_hash, &key);
	if (!found)
		return 2;
	*found += 7;
	value = *found;
	if (bpf_map_delete_elem(&percpu_hash, &key))
		return 3;
	return value;
}

/* ---- atomics on elements ---- */

// => 28
SEC("tc")
int atomic_adds(struct __sk_buff *skb)
{
	u32 key = 5;
	u64 *found = bpf_map_lookup_elem(&array, &key);
	u64 old;

	if (!found)
		return 1;
	*found = 10;
	__sync_fetch_and_add(found, 4);
	old = __sync_fetch_and_add(found, 5);
	return old + (*found == 19 ? 14 : 0);
}

/* ---- globals ---- */

const volatile u32 threshold = 100;
const volatile u8 letters[] = "backstop";
u64 counter = 0;
u32 started_at = 7;
static volatile u64 hidden_static = 30;
static u16 zeroes[64];

u64 in_custom_data SEC(".data.custom") = 0x1122334455667788ULL;
const u32 in_custom_rodata[4] SEC(".rodata.custom") = { 1, 20, 300, 4000 };
u64 in_custom_bss[4] SEC(".bss.custom");

// => 252
SEC("tc")
int globals_read(struct __sk_buff *skb)
{
	return threshold + letters[0] + letters[7] - counter + started_at - hidden_static -
	       zeroes[skb->len & 63] - 35;
}

// => 1068
SEC("tc")
int globals_written(struct __sk_buff *skb)
{
	counter += 5;
	started_at *= 9;
	zeroes[(skb->len + 1) & 63] = 1000;
	return counter + started_at + zeroes[1];
}

// => 0x6678
SEC("tc")
int globals_custom(struct __sk_buff *skb)
{
	u32 index = skb->len & 3;
	u64 sum;

	bpf_hide(index);
	in_custom_bss[index & 3] = 1;
	in_custom_data -= 0x1122334455660000ULL;
	sum = in_custom_data - 0x1110 + in_custom_bss[0] + in_custom_bss[3];
	return sum + in_custom_rodata[index & 3] - 2;
}

// refused: write into map forbidden
SEC("tc")
int globals_read_only_written(struct __sk_buff *skb)
{
	u32 *place = (u32 *)&threshold;

	bpf_hide(place);
	*place = 5;
	return 0;
}

// refused: invalid access to map value
SEC("tc")
int globals_beyond(struct __sk_buff *skb)
{
	u64 index = skb->len;

	bpf_hide(index);
	if (index > 500)
		return 0;
	return zeroes[index];
}

/* ---- callbacks ---- */

struct walk {
	u64 sum;
	u64 stop_at;
};

static long add_element(void *map, const u32 *key, u64 *value, struct walk *walk)
{
	walk->sum += *value * 10 + *key;
	return *key == walk->stop_at;
}

/* 0*10+0 + 1*10+1 + ... + 7*10+7 */
// => 316
SEC("tc")
int for_each_array(struct __sk_buff *skb)
{
	struct walk walk = { .stop_at = 1000 };
	long seen;

	for (u32 i = 0; i < 8; i++) {
		u64 value = i;
		u32 key = i;

		bpf_map_update_elem(&array, &key, &value, BPF_ANY);
	}
	seen = bpf_for_each_map_elem(&array, add_element, &walk, 0);
	return walk.sum + seen;
}

// => 36
SEC("tc")
int for_each_stopped(struct __sk_buff *skb)
{
	struct walk walk = { .stop_at = 2 };
	long seen;

	for (u32 i = 0; i < 8; i++) {
		u64 value = i;
		u32 key = i;

		bpf_map_update_elem(&array, &key, &value, BPF_ANY);
	}
	seen = bpf_for_each_map_elem(&array, add_element, &walk, 0);
	return walk.sum + seen;
}

// => 555
SEC("tc")
int for_each_hash(struct __sk_buff *skb)
{
	struct walk walk = { .stop_at = 1000 };
	long seen;

	for (u32 i = 100; i < 105; i++) {
		u64 value = 0;
		u32 key = i;

		bpf_map_update_elem(&loose_hash, &key, &value, BPF_ANY);
	}
	seen = bpf_for_each_map_elem(&loose_hash, add_element, &walk, 0);
	for (u32 i = 100; i < 105; i++) {
		u32 key = i;

		bpf_map_delete_elem(&loose_hash, &key);
	}
	return walk.sum + seen * 9;
}

/* Flags must be 0: EINVAL. */
// => 22
SEC("tc")
int for_each_flags(struct __sk_buff *skb)
{
	struct walk walk = { .stop_at = 1000 };

	return -bpf_for_each_map_elem(&array, add_element, &walk, 1);
}

static long add_index(u32 index, struct walk *walk)
{
	walk->sum += index;
	return index == walk->stop_at;
}

// => 4960
SEC("tc")
int loop_sum(struct __sk_buff *skb)
{
	struct walk walk = { .stop_at = 1000 };
	long rounds = bpf_loop(100, add_index, &walk, 0);

	return walk.sum + rounds - 90;
}

// => 16
SEC("tc")
int loop_stopped(struct __sk_buff *skb)
{
	struct walk walk = { .stop_at = 4 };
	long rounds = bpf_loop(100, add_index, &walk, 0);

	return walk.sum + rounds + 1;
}

// => 0
SEC("tc")
int loop_none(struct __sk_buff *skb)
{
	struct walk walk = { .stop_at = 4 };
	long rounds = bpf_loop(0, add_index, &walk, 0);

	return walk.sum + rounds;
}

/* E2BIG above 8 Mi rounds, EINVAL for flags. */
// => 29
SEC("tc")
int loop_refused(struct __sk_buff *skb)
{
	struct walk walk = { .stop_at = 1000 };

	return -bpf_loop((1 << 23) + 1, add_index, &walk, 0) - bpf_loop(1, add_index, &walk, 1);
}

static long inner_round(u32 index, u64 *sum)
{
	*sum += index;
	return 0;
}

static long outer_round(u32 index, u64 *sum)
{
	return bpf_loop(index, inner_round, sum, 0) > 1000;
}

// => 165
SEC("tc")
int loop_nested(struct __sk_buff *skb)
{
	u64 sum = 0;

	bpf_loop(11, outer_round, &sum, 0);
	return sum;
}

/* A callback that reads and updates maps, and stores through its context. */
static long map_round(u32 index, void *data)
{
	u64 value = index, *found;
	u32 key = index & 7;

	found = bpf_map_lookup_elem(&array, &key);
	if (found)
		value += *found;
	bpf_map_update_elem(&array, &key, &value, BPF_ANY);
	return 0;
}

// => 24
SEC("tc")
int loop_over_maps(struct __sk_buff *skb)
{
	u32 key = 4;
	u64 zero = 0, *found;

	bpf_map_update_elem(&array, &key, &zero, BPF_ANY);
	bpf_loop(16 + 5, map_round, NULL, 0);
	found = bpf_map_lookup_elem(&array, &key);
	return found ? *found - 12 : 1;
}

static long returns_index(u32 index, void *data)
{
	return index;
}

// refused: At callback return the register R0 has
SEC("tc")
int loop_callback_result(struct __sk_buff *skb)
{
	return bpf_loop(11, returns_index, NULL, 0);
}

/* ---- scalar helpers ---- */

// => 1
SEC("tc")
int scalar_helpers(struct __sk_buff *skb)
{
	u64 before = bpf_ktime_get_ns();
	u32 cpu = bpf_get_smp_processor_id();
	u32 a = bpf_get_prandom_u32(), b = bpf_get_prandom_u32(), c = bpf_get_prandom_u32();
	u64 after = bpf_ktime_get_ns();

	return before <= after && before != 0 && cpu < 4096 && !(a == b && b == c);
}

// => 1
SEC("tc")
int prints(struct __sk_buff *skb)
{
	u64 written = bpf_printk("len %d of %llx, %s", skb->len, 0x1122334455667788ULL, "text");

	return written > 10;
}
