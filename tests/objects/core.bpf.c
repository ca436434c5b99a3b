/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * CO-RE relocations of every kind, against types that Linux and Backstop's built-in BTF both have.
 * Local types are flavours with other layouts, so that a relocation left undone is seen.
 */
#include <backstop/bpf.h>
#include <backstop/core.h>

char LICENSE[] SEC("license") = "GPL";

/* ---- layouts that are not the target's ---- */

struct xdp_md___swapped {
	__u32 data_end;
	__u32 data;
	__u32 not_in_linux;
} __core;

struct __sk_buff___few {
	__u32 cb[5];
	__u32 mark;
	__u32 len;
} __core;

struct pt_regs___few {
	unsigned long ip;
	unsigned long r15;
	unsigned long sp;
	unsigned long not_in_linux;
} __core;

/* Of another width than the target's field: the load's width follows. */
struct bpf_perf_event_data___nested {
	struct pt_regs___few regs;
	__u64 addr;
} __core;

struct fred_cs___bits {
	__u64 wfe : 1;
	__u64 sl : 2;
	__u64 cs : 16;
} __core;

struct bpf_sock___few {
	__s32 rx_queue_mapping;
	__u32 dst_ip6[4];
	__u16 dst_port;
} __core;

struct not_in_linux {
	int field;
} __core;

union not_in_linux_either {
	int field;
} __core;

typedef int not_in_linux_type;

enum bpf_map_type___local {
	BPF_MAP_TYPE_ARENA___local = 99,
	BPF_MAP_TYPE_NOT_IN_LINUX = 7,
};

enum not_in_linux_enum { NOT_IN_LINUX_VALUE = 3 };

/* ---- fields of the context itself ---- */

// => 64
SEC("xdp")
int field_access(struct xdp_md___swapped *ctx)
{
	return ctx->data_end - ctx->data;
}

// => 37
SEC("tc")
int field_array(struct __sk_buff___few *skb)
{
	skb->cb[3] = 30;
	skb->mark = 7;
	return skb->cb[3] + skb->mark;
}

/* ---- a field's offset, size, existence, sign, shifts ---- */

#define NOTHING(type) ((type *)0)

// => 292
SEC("tc")
int field_offset(struct __sk_buff *skb)
{
	return bpf_core_field_offset(NOTHING(struct pt_regs___few)->ip) +
	       bpf_core_field_offset(NOTHING(struct pt_regs___few)->sp) +
	       bpf_core_field_offset(NOTHING(struct pt_regs___few)->r15) +
	       bpf_core_field_offset(NOTHING(struct __sk_buff___few)->mark) +
	       bpf_core_field_offset(NOTHING(struct xdp_md___swapped)->data_end) +
	       bpf_core_field_offset(NOTHING(struct xdp_md___swapped)->data);
}

/* Through a nested struct, and an element of an array. */
// => 376
SEC("tc")
int field_offset_nested(struct __sk_buff *skb)
{
	return bpf_core_field_offset(NOTHING(struct bpf_perf_event_data___nested)->regs.sp) +
	       bpf_core_field_offset(NOTHING(struct bpf_perf_event_data___nested)->addr) +
	       bpf_core_field_offset(NOTHING(struct bpf_sock___few)->dst_ip6[2]) - 16;
}

// => 40
SEC("tc")
int field_size(struct __sk_buff *skb)
{
	return bpf_core_field_size(NOTHING(struct __sk_buff___few)->cb) +
	       bpf_core_field_size(NOTHING(struct pt_regs___few)->ip) +
	       bpf_core_field_size(NOTHING(struct __sk_buff___few)->mark) +
	       bpf_core_field_size(NOTHING(struct fred_cs___bits)->sl);
}

// => 110
SEC("tc")
int field_exists(struct __sk_buff *skb)
{
	return (bpf_core_field_exists(NOTHING(struct pt_regs___few)->ip) ? 100 : 0) +
	       (bpf_core_field_exists(NOTHING(struct __sk_buff___few)->cb[4]) ? 10 : 0) +
	       (bpf_core_field_exists(NOTHING(struct pt_regs___few)->not_in_linux) ? 1 : 0) +
	       (bpf_core_field_exists(NOTHING(struct not_in_linux)->field) ? 2 : 0);
}

// => 10
SEC("tc")
int field_signed(struct __sk_buff *skb)
{
	return bpf_core_field_signed(NOTHING(struct bpf_sock___few)->rx_queue_mapping) * 10 +
	       bpf_core_field_signed(NOTHING(struct bpf_sock___few)->dst_port);
}

/* wfe lies at bit 18, sl at 16 and 17, cs at 0 to 15. */
// => 45456264
SEC("tc")
int field_shifts(struct __sk_buff *skb)
{
	u64 left = __builtin_preserve_field_info(NOTHING(struct fred_cs___bits)->wfe,
						 BACKSTOP_FIELD_LSHIFT_U64);
	u64 right = __builtin_preserve_field_info(NOTHING(struct fred_cs___bits)->wfe,
						  BACKSTOP_FIELD_RSHIFT_U64);
	u64 sl_left = __builtin_preserve_field_info(NOTHING(struct fred_cs___bits)->sl,
						    BACKSTOP_FIELD_LSHIFT_U64);
	u64 sl_right = __builtin_preserve_field_info(NOTHING(struct fred_cs___bits)->sl,
						     BACKSTOP_FIELD_RSHIFT_U64);

	return left * 1000000 + (right - 18) * 10000 + (sl_left - 46 + 62) * 100 + sl_right + 2 +
	       (left - 45) - (right - 63) + 0 * sl_left;
}

/* A bit-field of an object on the stack, at the target's place for it. */
// => 13
SEC("tc")
int field_bits(struct __sk_buff *skb)
{
	u64 object = 0x5000bULL | 0x50000ULL;
	struct fred_cs___bits *bits = (void *)&object;

	return bpf_core_bitfield(bits, cs) + bpf_core_bitfield(bits, sl) +
	       bpf_core_bitfield(bits, wfe);
}

/* ---- types ---- */

// => 11000
SEC("tc")
int type_exists(struct __sk_buff *skb)
{
	return (bpf_core_type_exists(struct xdp_md) ? 10000 : 0) +
	       (bpf_core_type_exists(struct pt_regs___few) ? 1000 : 0) +
	       (bpf_core_type_exists(struct not_in_linux) ? 100 : 0) +
	       (bpf_core_type_exists(union not_in_linux_either) ? 10 : 0) +
	       (bpf_core_type_exists(not_in_linux_type) ? 1 : 0);
}

// => 384
SEC("tc")
int type_size(struct __sk_buff *skb)
{
	return bpf_core_type_size(struct pt_regs___few) + bpf_core_type_size(struct xdp_md___swapped) +
	       bpf_core_type_size(struct __sk_buff___few) +
	       bpf_core_type_size(struct not_in_linux);
}

// => 10
SEC("tc")
int type_matches(struct __sk_buff *skb)
{
	return (bpf_core_type_matches(struct xdp_md) ? 10 : 0) +
	       (bpf_core_type_matches(struct xdp_md___swapped) ? 1 : 0);
}

// => 1
SEC("tc")
int type_ids(struct __sk_buff *skb)
{
	return bpf_core_type_id_kernel(struct xdp_md) != 0 &&
	       bpf_core_type_id_local(struct xdp_md___swapped) != 0 &&
	       bpf_core_type_id_kernel(struct not_in_linux) == 0;
}

/* ---- enumerators ---- */

// => 33
SEC("tc")
int enum_value(struct __sk_buff *skb)
{
	return bpf_core_enum_value(enum bpf_map_type___local, BPF_MAP_TYPE_ARENA___local);
}

// => 100
SEC("tc")
int enum_value_exists(struct __sk_buff *skb)
{
	return (bpf_core_enum_value_exists(enum bpf_map_type___local, BPF_MAP_TYPE_ARENA___local) ?
			100 : 0) +
	       (bpf_core_enum_value_exists(enum bpf_map_type___local, BPF_MAP_TYPE_NOT_IN_LINUX) ?
			10 : 0) +
	       (bpf_core_enum_value_exists(enum not_in_linux_enum, NOT_IN_LINUX_VALUE) ? 1 : 0);
}

/*
 * ---- what can't be resolved ----
 * Its instruction becomes a call of a helper that is not there, number 0xbad2310.
 */

/* Guarded: the poisoned instruction is never reached. */
// => 8
SEC("tc")
int guarded(struct __sk_buff *skb)
{
	if (bpf_core_field_exists(NOTHING(struct pt_regs___few)->not_in_linux))
		return bpf_core_field_offset(NOTHING(struct pt_regs___few)->not_in_linux);
	return 8;
}

// refused: invalid func unknown#195896080
SEC("xdp")
int field_unresolved(struct xdp_md___swapped *ctx)
{
	return ctx->not_in_linux;
}

// refused: invalid func unknown#195896080
SEC("tc")
int offset_unresolved(struct __sk_buff *skb)
{
	return bpf_core_field_offset(NOTHING(struct pt_regs___few)->not_in_linux);
}

// refused: invalid func unknown#195896080
SEC("tc")
int enum_unresolved(struct __sk_buff *skb)
{
	return bpf_core_enum_value(enum not_in_linux_enum, NOT_IN_LINUX_VALUE);
}
