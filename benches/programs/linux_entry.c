/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The same program for a Linux kernel's test run: its 8 KiB lie in a map's value. PROGRAM is the
 * source. The whole result is left in `result`; a run returns its lower half.
 */
#include <backstop/bpf.h>

#define FN run
static __always_inline u64 run(u8 *m);
#include PROGRAM

char LICENSE[] SEC("license") = "Dual MIT/GPL";

u64 result = 0;

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, u8[MEM]);
} memory SEC(".maps");

SEC("xdp")
int bench(struct xdp_md *ctx)
{
	u32 zero = 0;
	u8 *m = bpf_map_lookup_elem(&memory, &zero);

	if (!m)
		return -1;
	result = run(m);
	return result;
}
