/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Contexts: which fields may be read and written, how wide, and packets behind them. */
#include <backstop/bpf.h>
#include <backstop/net.h>

char LICENSE[] SEC("license") = "GPL";

/* A load or store of exactly this width and offset, which clang must not join or widen. */
#define LOAD(type, base, offset) (*(volatile type *)((void *)(base) + (offset)))
#define STORE(type, base, offset, value) (*(volatile type *)((void *)(base) + (offset)) = (value))
#define FIELD(type, name) __builtin_offsetof(type, name)

/* ---- xdp ---- */

// => 64
SEC("xdp")
int xdp_length(struct xdp_md *ctx)
{
	return ctx->data_end - ctx->data;
}

// => 0
// @12=0800450000140000: => 4
SEC("xdp")
int xdp_parse(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	struct ethhdr *ethernet = data;
	struct iphdr *ip = data + sizeof(*ethernet);

	if ((void *)(ip + 1) > end)
		return 99;
	if (ethernet->h_proto != bpf_htons(ETH_P_IP))
		return 0;
	return ip->version_ihl >> 4;
}

/* The compare written each way round. */
// => 15
SEC("xdp")
int xdp_compare_forms(struct xdp_md *ctx)
{
	u8 *data = (u8 *)(long)ctx->data, *end = (u8 *)(long)ctx->data_end;
	u64 result = 0;

	if (data + 10 <= end)
		result += 1 + data[9];
	if (end >= data + 11)
		result += 2 + data[10];
	if (!(data + 12 > end))
		result += 4 + data[11];
	if (data + 13 < end)
		result += 8 + data[12];
	return result;
}

/* An offset from the packet itself. */
// => 7
// @0=14 @20=ab: => 171
SEC("xdp")
int xdp_variable_offset(struct xdp_md *ctx)
{
	u8 *data = (u8 *)(long)ctx->data, *end = (u8 *)(long)ctx->data_end;
	u64 offset;
	u8 *at;

	if (data + 2 > end)
		return 1;
	offset = data[0] & 0x3f;
	if (!offset)
		return 7;
	at = data + offset;
	if (at + 1 > end)
		return 2;
	return *at;
}

// => 103
SEC("xdp")
int xdp_write(struct xdp_md *ctx)
{
	u8 *data = (u8 *)(long)ctx->data, *end = (u8 *)(long)ctx->data_end;

	if (data + 20 > end)
		return 1;
	data[0] = 1;
	*(u16 *)(data + 2) = 0x0102;
	*(u32 *)(data + 4) = 0x01020304;
	*(u64 *)(data + 8) = 0x0102030405060764ULL;
	return data[0] + data[2] + data[8];
}

/* The end of the packet, byte by byte. */
// => 64
SEC("xdp")
int xdp_walk(struct xdp_md *ctx)
{
	u8 *data = (u8 *)(long)ctx->data, *end = (u8 *)(long)ctx->data_end;
	u64 sum = 0;

	for (u32 i = 0; i < 100; i++) {
		if (data + i + 1 > end)
			break;
		sum += data[i] + 1;
	}
	return sum;
}

// refused: invalid access to packet
SEC("xdp")
int xdp_unchecked(struct xdp_md *ctx)
{
	u8 *data = (u8 *)(long)ctx->data;

	return data[0];
}

// refused: invalid access to packet
SEC("xdp")
int xdp_checked_short(struct xdp_md *ctx)
{
	u8 *data = (u8 *)(long)ctx->data, *end = (u8 *)(long)ctx->data_end;

	if (data + 8 > end)
		return 0;
	return data[8];
}

// refused: invalid bpf_context access
SEC("xdp")
int xdp_narrow_load(struct xdp_md *ctx)
{
	return LOAD(u16, ctx, FIELD(struct xdp_md, rx_queue_index));
}

// refused: invalid bpf_context access
SEC("xdp")
int xdp_beyond_context(struct xdp_md *ctx)
{
	return LOAD(u32, ctx, sizeof(struct xdp_md));
}

// refused: invalid bpf_context access
SEC("xdp")
int xdp_context_write(struct xdp_md *ctx)
{
	STORE(u32, ctx, FIELD(struct xdp_md, rx_queue_index), 5);
	return 0;
}

/* ---- tc ---- */

// => 64
SEC("tc")
int tc_length(struct __sk_buff *skb)
{
	return skb->len;
}

/* Bytes and halves of a field whose value is known. */
// => 64
SEC("tc")
int tc_narrow(struct __sk_buff *skb)
{
	return LOAD(u8, skb, FIELD(struct __sk_buff, len)) +
	       LOAD(u8, skb, FIELD(struct __sk_buff, len) + 1) +
	       LOAD(u16, skb, FIELD(struct __sk_buff, len) + 2);
}

// => 0x1234
SEC("tc")
int tc_mark(struct __sk_buff *skb)
{
	if (skb->mark)
		return 1;
	skb->mark = 0x1234;
	return skb->mark;
}

// => 150
SEC("tc")
int tc_cb(struct __sk_buff *skb)
{
	for (u32 i = 0; i < 5; i++)
		if (skb->cb[i])
			return 1 + i;
	skb->cb[0] = 10;
	skb->cb[1] = 20;
	skb->cb[2] = 30;
	skb->cb[3] = 40;
	skb->cb[4] = 50;
	return LOAD(u8, skb, FIELD(struct __sk_buff, cb[0])) + skb->cb[1] +
	       LOAD(u16, skb, FIELD(struct __sk_buff, cb[2])) + skb->cb[3] + skb->cb[4];
}

/* Two words of cb at once are allowed, aligned to eight bytes. */
// => 33
SEC("tc")
int tc_cb_wide(struct __sk_buff *skb)
{
	STORE(u64, skb, FIELD(struct __sk_buff, cb[0]), 0x0000000100000020ULL);
	return skb->cb[0] + skb->cb[1];
}

// => 9
SEC("tc")
int tc_priority_and_class(struct __sk_buff *skb)
{
	skb->priority = 4;
	skb->tc_index = 5;
	return skb->priority + skb->tc_index;
}

// => 5
SEC("tc")
int tc_tstamp(struct __sk_buff *skb)
{
	skb->tstamp = 5;
	return skb->tstamp;
}

// => 0
// @12=0800: => 0x0008
SEC("tc")
int tc_packet(struct __sk_buff *skb)
{
	void *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;
	struct ethhdr *ethernet = data;

	if ((void *)(ethernet + 1) > end)
		return 99;
	return ethernet->h_proto;
}

// => 0x0a
SEC("tc")
int tc_packet_write(struct __sk_buff *skb)
{
	u8 *data = (u8 *)(long)skb->data, *end = (u8 *)(long)skb->data_end;

	if (data + 64 > end)
		return 99;
	data[63] = 10;
	return data[63] + data[62];
}

// refused: invalid bpf_context access
SEC("tc")
int tc_wide_load(struct __sk_buff *skb)
{
	return LOAD(u64, skb, 0);
}

// refused: invalid bpf_context access
SEC("tc")
int tc_len_written(struct __sk_buff *skb)
{
	STORE(u32, skb, FIELD(struct __sk_buff, len), 5);
	return 0;
}

// refused: invalid bpf_context access
SEC("tc")
int tc_beyond_context(struct __sk_buff *skb)
{
	return LOAD(u32, skb, sizeof(struct __sk_buff));
}

/* Legacy loads are in network order; past the end the program ends with 0. */
// => 0
// @14=45000054: => 0x45000054
SEC("tc")
int tc_legacy_word(struct __sk_buff *skb)
{
	return bpf_load_word(skb, 14);
}

/* ---- socket filters: the packet begins behind the Ethernet header ---- */

// => 50
SEC("socket")
int socket_length(struct __sk_buff *skb)
{
	return skb->len;
}

// => 0
// @14=4506001122: => 6
// @14=4506001122334455667788: => 6
SEC("socket")
int socket_legacy_byte(struct __sk_buff *skb)
{
	return bpf_load_byte(skb, 1);
}

// => 0
// @16=0102: => 0x0102
SEC("socket")
int socket_legacy_half(struct __sk_buff *skb)
{
	return bpf_load_half(skb, 2);
}

/* The offset in a register, and a value that lives across the load. */
// => 50
// @14=04 @18=01020304: => 0x01020336
SEC("socket")
int socket_legacy_indirect(struct __sk_buff *skb)
{
	u64 len = skb->len;
	u64 offset = bpf_load_byte(skb, 0);

	return bpf_load_word(skb, offset) % 0x04000000 + len - (offset ? 0 : 0);
}

/* Out of range: the result is 0 at once. */
// => 0
SEC("socket")
int socket_legacy_beyond(struct __sk_buff *skb)
{
	return bpf_load_word(skb, 48) + 5;
}

// => 0x77
SEC("socket")
int socket_cb(struct __sk_buff *skb)
{
	skb->cb[2] = 0x77;
	return skb->cb[2];
}

// refused: invalid bpf_context access
SEC("socket")
int socket_direct_access(struct __sk_buff *skb)
{
	void *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;

	return data + 1 > end;
}

// refused: invalid bpf_context access
SEC("socket")
int socket_mark_written(struct __sk_buff *skb)
{
	skb->mark = 1;
	return 0;
}

/* ---- cgroup_skb ---- */

// => 1
SEC("cgroup_skb/ingress")
int cgroup_packet(struct __sk_buff *skb)
{
	u8 *data = (u8 *)(long)skb->data, *end = (u8 *)(long)skb->data_end;

	if (data + 20 > end)
		return 0;
	return (data[0] & 1) == 0;
}

// => 1
SEC("cgroup_skb/egress")
int cgroup_mark(struct __sk_buff *skb)
{
	skb->mark = 3;
	return skb->mark == 3;
}

// refused: cannot write into packet
SEC("cgroup_skb/ingress")
int cgroup_packet_written(struct __sk_buff *skb)
{
	u8 *data = (u8 *)(long)skb->data, *end = (u8 *)(long)skb->data_end;

	if (data + 20 > end)
		return 0;
	data[0] = 1;
	return 1;
}

// refused: At program exit the register R0 has
SEC("cgroup_skb/ingress")
int cgroup_result(struct __sk_buff *skb)
{
	return skb->len;
}

/* ---- raw tracepoints: words, read-only ---- */

// => 0
// @0=0500000000000000 @8=0700000000000000: => 12
SEC("raw_tp/sys_enter")
int raw_tp_arguments(struct bpf_raw_tracepoint_args *ctx)
{
	return ctx->args[0] + ctx->args[1];
}

// => 0
// @16=aabbccdd: => 0xbbaa
SEC("raw_tp/sys_enter")
int raw_tp_narrow(struct bpf_raw_tracepoint_args *ctx)
{
	return LOAD(u16, ctx, 16);
}

// refused: invalid bpf_context access
SEC("raw_tp/sys_enter")
int raw_tp_beyond(struct bpf_raw_tracepoint_args *ctx)
{
	return ctx->args[12];
}

// refused: invalid bpf_context access
SEC("raw_tp/sys_enter")
int raw_tp_written(struct bpf_raw_tracepoint_args *ctx)
{
	STORE(u64, ctx, 0, 5);
	return 0;
}

/* ---- syscall: read and write ---- */

struct arguments {
	u64 a;
	u32 b;
	u16 c;
	u8 d[2];
	u64 sum;
};

// => 0
// @0=0100000000000000020000000300 @14=0405: => 15
SEC("syscall")
int syscall_sum(struct arguments *ctx)
{
	ctx->sum = ctx->a + ctx->b + ctx->c + ctx->d[0] + ctx->d[1];
	return ctx->sum;
}

// => 0x56
SEC("syscall")
int syscall_write(struct arguments *ctx)
{
	ctx->b = 0x12345678;
	ctx->d[1] = 1;
	return LOAD(u8, ctx, FIELD(struct arguments, b) + 1);
}

// refused: variable ctx access
SEC("syscall")
int syscall_variable_offset(struct arguments *ctx)
{
	u64 offset = ctx->c & 7;

	bpf_hide(offset);
	return *((u8 *)ctx + offset);
}

/* ---- other tracing types: judged only ---- */

// accepted
SEC("kprobe/do_nanosleep")
int kprobe_registers(struct pt_regs *ctx)
{
	return ctx->di + ctx->ip;
}

// refused: invalid bpf_context access
SEC("kprobe/do_nanosleep")
int kprobe_beyond(struct pt_regs *ctx)
{
	return LOAD(u64, ctx, sizeof(*ctx));
}

// accepted
SEC("perf_event")
int perf_event_fields(struct bpf_perf_event_data *ctx)
{
	return ctx->regs.ip + ctx->sample_period + ctx->addr;
}

// accepted
SEC("tp/syscalls/sys_enter_getpid")
int tracepoint_words(void *ctx)
{
	return LOAD(u64, ctx, 8) + LOAD(u32, ctx, 16);
}

// refused: invalid bpf_context access
SEC("tp/syscalls/sys_enter_getpid")
int tracepoint_common(void *ctx)
{
	return LOAD(u64, ctx, 0);
}
