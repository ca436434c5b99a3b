/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * An exception callback of the program's own in each program type that may throw and is written for no function of one kernel: main
 * throws two frames deep, in a type whose result has a range a cookie beyond it, and the callback makes a result that is in range.
 */
#include <backstop/bpf.h>
#include <backstop/exceptions.h>

char LICENSE[] SEC("license") = "GPL";

__noinline u64 in_range(u64 cookie)
{
	return cookie == 301;
}

static __noinline u64 throws_above(u64 x)
{
	bpf_hide(x);
	bpf_throw(x + 1);
	return x;
}

static __noinline u64 passes_on(u64 x)
{
	bpf_hide(x);
	return throws_above(x + 100) + 1;
}

// => 1, throws 301
SEC("tc") __exception_cb(in_range)
int type_tc(struct __sk_buff *skb)
{
	return passes_on(200);
}

// => 1, throws 301
SEC("xdp") __exception_cb(in_range)
int type_xdp(struct xdp_md *ctx)
{
	return passes_on(200);
}

// => 1, throws 301
SEC("syscall") __exception_cb(in_range)
int type_syscall(void *ctx)
{
	return passes_on(200);
}

// => 1, throws 301
SEC("cgroup_skb/ingress") __exception_cb(in_range)
int type_cgroup_skb_ingress(struct __sk_buff *skb)
{
	return passes_on(200) & 1;
}

// => 1, throws 301
SEC("cgroup_skb/egress") __exception_cb(in_range)
int type_cgroup_skb_egress(struct __sk_buff *skb)
{
	return passes_on(200) & 1;
}

// accepted
SEC("tracepoint/syscalls/sys_enter_getpid") __exception_cb(in_range)
int type_tracepoint(void *ctx)
{
	return passes_on(200);
}

// accepted
SEC("perf_event") __exception_cb(in_range)
int type_perf_event(struct bpf_perf_event_data *ctx)
{
	return passes_on(200);
}

// accepted
SEC("sockops") __exception_cb(in_range)
int type_sock_ops(void *ctx)
{
	return passes_on(200) & 1;
}

// accepted
SEC("cgroup/sock_create") __exception_cb(in_range)
int type_cgroup_sock(void *ctx)
{
	return passes_on(200) & 1;
}

// accepted
SEC("cgroup/connect4") __exception_cb(in_range)
int type_cgroup_sock_addr(void *ctx)
{
	return passes_on(200) & 1;
}

// accepted
SEC("cgroup/dev") __exception_cb(in_range)
int type_cgroup_device(void *ctx)
{
	return passes_on(200) & 1;
}

// accepted
SEC("cgroup/sysctl") __exception_cb(in_range)
int type_cgroup_sysctl(void *ctx)
{
	return passes_on(200) & 1;
}

// accepted
SEC("cgroup/getsockopt") __exception_cb(in_range)
int type_cgroup_sockopt(void *ctx)
{
	return passes_on(200) & 1;
}

/* A callback alone does not make it allowed. */
// refused: calling kernel function bpf_throw is not allowed
SEC("raw_tp") __exception_cb(in_range)
int type_raw_tp(void *ctx)
{
	return passes_on(200);
}
