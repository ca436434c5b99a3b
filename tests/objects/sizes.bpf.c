/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Maps whose sizes the host sets before the load, and values of .kconfig. */
#include <backstop/bpf.h>

char LICENSE[] SEC("license") = "GPL";

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__type(key, u32);
	__type(value, u64);
} unsized_hash SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERF_EVENT_ARRAY);
	__uint(key_size, 4);
	__uint(value_size, 4);
} events SEC(".maps");

extern int LINUX_KERNEL_VERSION __kconfig;
extern bool CONFIG_PREEMPT __kconfig;

// refused
SEC("syscall")
int uses_unsized(void *ctx)
{
	u32 key = 7;
	u64 value = 35;

	bpf_map_update_elem(&unsized_hash, &key, &value, BPF_ANY);
	u64 *found = bpf_map_lookup_elem(&unsized_hash, &key);
	return found ? (int)*found : 1;
}

// => 35
SEC("syscall")
int beside_unsized(void *ctx)
{
	return 35;
}

// => 1
SEC("syscall")
int asks_version(void *ctx)
{
	return LINUX_KERNEL_VERSION == ((6 << 16) | (18 << 8));
}

// refused
SEC("syscall")
int asks_config(void *ctx)
{
	return CONFIG_PREEMPT ? 5 : 6;
}
