/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Many programs in one object: the forms a section's name may take, programs that are not loaded
 * unless asked for, subprograms shared between programs, weak symbols that are not there.
 */
#include <backstop/bpf.h>

char LICENSE[] SEC("license") = "Dual BSD/GPL";
u32 _version SEC("version") = 0x61200;

/* ---- subprograms ---- */

static __noinline u64 shared_leaf(u64 x)
{
	bpf_hide(x);
	return x * 2;
}

static __noinline u64 shared_middle(u64 x)
{
	bpf_hide(x);
	return shared_leaf(x) + 1;
}

__noinline u64 global_sum(u64 a, u32 b, s16 c)
{
	bpf_hide(a);
	return a + b + c + shared_leaf(1);
}

struct pair {
	u64 first;
	u64 second;
};

/* A global function's pointer argument: sized by its type, and possibly NULL. */
__noinline int global_pair(const struct pair *pair)
{
	return pair ? pair->first * 10 + pair->second : -1;
}

__noinline int global_context(struct __sk_buff *skb)
{
	return skb->len;
}

__noinline __weak int global_weak(int x)
{
	bpf_hide(x);
	return x + 4;
}

/* Seen by the loader as static: verified where it is called. */
__hidden __noinline u64 hidden_sub(u64 x)
{
	bpf_hide(x);
	return x + 100;
}

/* ---- one section, several programs ---- */

// => 12
SEC("tc")
int first(struct __sk_buff *skb)
{
	return shared_leaf(6);
}

// => 13
SEC("tc")
int second(struct __sk_buff *skb)
{
	return shared_middle(6);
}

// => 21
SEC("tc")
int third(struct __sk_buff *skb)
{
	return global_sum(20, 4, -5);
}

// => 34
SEC("tc")
int by_pointer(struct __sk_buff *skb)
{
	struct pair pair = { 3, 4 };

	return global_pair(&pair);
}

// => -1
SEC("tc")
int by_null_pointer(struct __sk_buff *skb)
{
	return global_pair(NULL);
}

// => 64
SEC("tc")
int by_context(struct __sk_buff *skb)
{
	return global_context(skb);
}

// => 9
SEC("tc")
int by_weak(struct __sk_buff *skb)
{
	return global_weak(5);
}

// => 105
SEC("tc")
int by_hidden(struct __sk_buff *skb)
{
	return hidden_sub(5);
}

/* ---- section names ---- */

// => 1
SEC("classifier")
int named_classifier(struct __sk_buff *skb)
{
	return 1;
}

// => 1
SEC("tc/ingress")
int named_tc_ingress(struct __sk_buff *skb)
{
	return 1;
}

// => 1
SEC("tcx/egress")
int named_tcx_egress(struct __sk_buff *skb)
{
	return 1;
}

// => 2
SEC("xdp.frags")
int named_xdp_frags(struct xdp_md *ctx)
{
	return 2;
}

// accepted
SEC("xdp/devmap")
int named_xdp_devmap(struct xdp_md *ctx)
{
	return 2;
}

// accepted
SEC("xdp/cpumap")
int named_xdp_cpumap(struct xdp_md *ctx)
{
	return 2;
}

// => 3
SEC("socket")
int named_socket(struct __sk_buff *skb)
{
	return 3;
}

// => 1
SEC("cgroup/skb")
int named_cgroup_skb(struct __sk_buff *skb)
{
	return 1;
}

// => 4
SEC("raw_tracepoint/sys_enter")
int named_raw_tracepoint(void *ctx)
{
	return 4;
}

// => 4
SEC("raw_tp")
int named_raw_tp(void *ctx)
{
	return 4;
}

// accepted
SEC("tracepoint/syscalls/sys_enter_getpid")
int named_tracepoint(void *ctx)
{
	return 0;
}

// accepted
SEC("kretprobe/do_nanosleep")
int named_kretprobe(void *ctx)
{
	return 0;
}

// accepted
SEC("uprobe")
int named_uprobe(void *ctx)
{
	return 0;
}

// accepted
SEC("ksyscall/nanosleep")
int named_ksyscall(void *ctx)
{
	return 0;
}

// accepted
SEC("kprobe.multi/do_nano*")
int named_kprobe_multi(void *ctx)
{
	return 0;
}

// accepted
SEC("perf_event")
int named_perf_event(void *ctx)
{
	return 0;
}

// => 5
SEC("syscall")
int named_syscall(void *ctx)
{
	return 5;
}

/* ---- not loaded unless asked for ---- */

// => 6
SEC("?tc")
int optional(struct __sk_buff *skb)
{
	return 6;
}

// refused: invalid access to packet
SEC("?xdp")
int optional_and_bad(struct xdp_md *ctx)
{
	return *(u8 *)(long)ctx->data;
}

/* ---- weak symbols ---- */

extern int bpf_no_such_kfunc(int x) __weak __ksym;
extern const int no_such_variable __weak __ksym;

/* Absent: its address is 0 and the call is dead. */
// => 70
SEC("tc")
int weak_kfunc_absent(struct __sk_buff *skb)
{
	if (bpf_no_such_kfunc)
		return bpf_no_such_kfunc(1);
	return 70;
}

// => 71
SEC("tc")
int weak_variable_absent(struct __sk_buff *skb)
{
	return &no_such_variable ? 1 : 71;
}

// => 45
SEC("tc")
int weak_kfunc_present(struct __sk_buff *skb)
{
	struct bpf_iter_num it;
	int *i, sum = 0;

	if (!bpf_iter_num_new)
		return 1;
	bpf_iter_num_new(&it, 0, 10);
	while ((i = bpf_iter_num_next(&it)))
		sum += *i;
	bpf_iter_num_destroy(&it);
	return sum;
}
