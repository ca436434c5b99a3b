/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Throws that are refused, a program for each reason. `refused: TEXT` is what the last lines of
 * the kernel's log say; numbers of registers, instructions and references are left out where they
 * depend on the compiler.
 */
#include <backstop/bpf.h>
#include <backstop/exceptions.h>

char LICENSE[] SEC("license") = "GPL";

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096);
} ring SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 4);
	__type(key, u32);
	__type(value, u64);
} array SEC(".maps");

struct locked {
	struct bpf_spin_lock lock;
	u32 value;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct locked);
} locks SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 1);
	__uint(key_size, sizeof(u32));
	__uint(value_size, sizeof(u32));
} programs SEC(".maps");

static __noinline u64 static_throws(u64 x)
{
	bpf_hide(x);
	bpf_throw(x);
	return x;
}

__noinline u64 global_throws(u64 x)
{
	bpf_hide(x);
	bpf_throw(x);
	return x;
}

/* ---- the program type ---- */

// refused: calling kernel function bpf_throw is not allowed
SEC("socket")
int type_socket_filter(struct __sk_buff *skb)
{
	bpf_throw(1);
	return 0;
}

// refused: calling kernel function bpf_throw is not allowed
SEC("raw_tp/sys_enter")
int type_raw_tp(void *ctx)
{
	bpf_throw(1);
	return 0;
}

// refused: calling kernel function bpf_throw is not allowed
SEC("kprobe/do_nanosleep")
int type_kprobe(void *ctx)
{
	bpf_throw(1);
	return 0;
}

// refused: calling kernel function bpf_throw is not allowed
SEC("action")
int type_sched_act(struct __sk_buff *skb)
{
	bpf_throw(1);
	return 0;
}

// refused: calling kernel function bpf_throw is not allowed
SEC("lwt_xmit")
int type_lwt_xmit(struct __sk_buff *skb)
{
	bpf_throw(1);
	return 0;
}

// refused: calling kernel function bpf_throw is not allowed
SEC("sk_skb")
int type_sk_skb(struct __sk_buff *skb)
{
	bpf_throw(1);
	return 0;
}

// refused: calling kernel function bpf_throw is not allowed
SEC("sk_msg")
int type_sk_msg(void *ctx)
{
	bpf_throw(1);
	return 0;
}

// refused: calling kernel function bpf_throw is not allowed
SEC("sk_lookup")
int type_sk_lookup(void *ctx)
{
	bpf_throw(1);
	return 0;
}

// refused: calling kernel function bpf_throw is not allowed
SEC("sk_reuseport")
int type_sk_reuseport(void *ctx)
{
	bpf_throw(1);
	return 0;
}

// refused: calling kernel function bpf_throw is not allowed
SEC("flow_dissector")
int type_flow_dissector(struct __sk_buff *skb)
{
	bpf_throw(1);
	return 0;
}

/* Also where the throw stands in a subprogram. */
// refused: calling kernel function bpf_throw is not allowed
SEC("socket")
int type_socket_filter_sub(struct __sk_buff *skb)
{
	return static_throws(skb->len);
}

/* ---- the cookie ---- */

// refused: R1 is not a scalar
SEC("tc")
int cookie_context(struct __sk_buff *skb)
{
	bpf_throw((u64)(long)skb);
	return 0;
}

// refused: R1 is not a scalar
SEC("tc")
int cookie_stack(struct __sk_buff *skb)
{
	u64 word = skb->len;

	bpf_barrier();
	bpf_throw((u64)(long)&word);
	return 0;
}

// refused: R1 is not a scalar
SEC("tc")
int cookie_map_value(struct __sk_buff *skb)
{
	u32 key = 0;
	u64 *value = bpf_map_lookup_elem(&array, &key);

	if (value)
		bpf_throw((u64)(long)value);
	return 0;
}

// refused: At program exit the register R1 has smin=64 smax=64 should have been in [0, 3]
SEC("cgroup_skb/egress")
int cookie_out_of_range(struct __sk_buff *skb)
{
	bpf_throw(64);
	return 0;
}

// refused: should have been in [0, 3]
SEC("cgroup_skb/egress")
int cookie_of_unknown_range(struct __sk_buff *skb)
{
	u64 cookie = skb->len;

	bpf_throw(cookie);
	return 0;
}

// refused: should have been in [0, 1]
SEC("cgroup_skb/ingress")
int cookie_out_of_range_ingress(struct __sk_buff *skb)
{
	bpf_throw(2);
	return 0;
}

// refused: should have been in [0, 3]
SEC("cgroup_skb/egress")
int cookie_out_of_range_in_sub(struct __sk_buff *skb)
{
	return static_throws(64) & 1;
}

/* In assembly: what clang would not write. */
// refused: R1 is not a scalar
SEC("tc")
__attribute__((naked)) int cookie_uninitialised(void)
{
	__asm__ volatile("call 7\n\t"
			 "call %[bpf_throw]\n\t"
			 "r0 = 0\n\t"
			 "exit"
			 :
			 : [bpf_throw] "i"(bpf_throw)
			 : "r0", "r1", "r2", "r3", "r4", "r5", "memory");
}

/* A throw ends the path, and still the subprogram must end in an exit or a jump. */
// refused: last insn is not an exit or jmp
SEC("tc")
__attribute__((naked)) int ends_without_exit(void)
{
	__asm__ volatile("r1 = 5\n\t"
			 "call %[bpf_throw]"
			 :
			 : [bpf_throw] "i"(bpf_throw)
			 : "r0", "r1", "r2", "r3", "r4", "r5", "memory");
}

/* ---- held at the throw ---- */

// refused: Unreleased reference
// refused: bpf_throw would lead to reference leak
SEC("tc")
int held_record(struct __sk_buff *skb)
{
	void *record = bpf_ringbuf_reserve(&ring, 16, 0);

	if (!record)
		return 0;
	if (skb->len > 40)
		bpf_throw(1);
	bpf_ringbuf_discard(record, 0);
	return 0;
}

/* Held in main, thrown in a static subprogram. */
// refused: Unreleased reference
// refused: bpf_throw would lead to reference leak
SEC("tc")
int held_record_below(struct __sk_buff *skb)
{
	void *record = bpf_ringbuf_reserve(&ring, 16, 0);
	u64 x;

	if (!record)
		return 0;
	x = static_throws(skb->len);
	bpf_ringbuf_discard(record, 0);
	return x;
}

// refused: Unreleased reference
// refused: bpf_throw would lead to reference leak
SEC("tc")
int held_iterator(struct __sk_buff *skb)
{
	struct bpf_iter_num it;
	int *i;

	bpf_iter_num_new(&it, 0, 10);
	while ((i = bpf_iter_num_next(&it))) {
		if (*i == 3 && skb->len > 40)
			bpf_throw(1);
	}
	bpf_iter_num_destroy(&it);
	return 0;
}

// refused: Unreleased reference
// refused: bpf_throw would lead to reference leak
SEC("tc")
int held_ringbuf_dynptr(struct __sk_buff *skb)
{
	struct bpf_dynptr dynptr;

	bpf_ringbuf_reserve_dynptr(&ring, 16, 0, &dynptr);
	if (skb->len > 40)
		bpf_throw(1);
	bpf_ringbuf_discard_dynptr(&dynptr, 0);
	return 0;
}

// refused: function calls are not allowed while holding a lock
SEC("tc")
int held_lock(struct __sk_buff *skb)
{
	u32 key = 0;
	struct locked *value = bpf_map_lookup_elem(&locks, &key);

	if (!value)
		return 0;
	bpf_spin_lock(&value->lock);
	if (value->value)
		bpf_throw(1);
	bpf_spin_unlock(&value->lock);
	return 0;
}

// refused: function calls are not allowed while holding a lock
SEC("tc")
int held_lock_static(struct __sk_buff *skb)
{
	u32 key = 0;
	struct locked *value = bpf_map_lookup_elem(&locks, &key);
	u64 x;

	if (!value)
		return 0;
	bpf_spin_lock(&value->lock);
	x = static_throws(value->value);
	bpf_spin_unlock(&value->lock);
	return x;
}

// refused: global function calls are not allowed while holding a lock,
// refused: use static function instead
SEC("tc")
int held_lock_global(struct __sk_buff *skb)
{
	u32 key = 0;
	struct locked *value = bpf_map_lookup_elem(&locks, &key);
	u64 x;

	if (!value)
		return 0;
	bpf_spin_lock(&value->lock);
	x = global_throws(value->value);
	bpf_spin_unlock(&value->lock);
	return x;
}

// refused: bpf_throw cannot be used inside bpf_rcu_read_lock-ed region
SEC("tc")
int held_rcu(struct __sk_buff *skb)
{
	bpf_rcu_read_lock();
	if (skb->len > 40)
		bpf_throw(1);
	bpf_rcu_read_unlock();
	return 0;
}

// refused: bpf_throw cannot be used inside bpf_preempt_disable-ed region
SEC("tc")
int held_preempt(struct __sk_buff *skb)
{
	bpf_preempt_disable();
	if (skb->len > 40)
		bpf_throw(1);
	bpf_preempt_enable();
	return 0;
}

// refused: bpf_throw cannot be used inside bpf_local_irq_save-ed region
SEC("tc")
int held_irq(struct __sk_buff *skb)
{
	unsigned long flags;

	bpf_local_irq_save(&flags);
	if (skb->len > 40)
		bpf_throw(1);
	bpf_local_irq_restore(&flags);
	return 0;
}

/* In a static subprogram while main holds the section. */
// refused: bpf_throw cannot be used inside bpf_rcu_read_lock-ed region
SEC("tc")
int held_rcu_below(struct __sk_buff *skb)
{
	u64 x;

	bpf_rcu_read_lock();
	x = static_throws(skb->len);
	bpf_rcu_read_unlock();
	return x;
}

/* ---- two things wrong at once: which is said ---- */

// refused: function calls are not allowed while holding a lock
SEC("tc")
int order_lock_before_scalar(struct __sk_buff *skb)
{
	u32 key = 0;
	struct locked *value = bpf_map_lookup_elem(&locks, &key);

	if (!value)
		return 0;
	bpf_spin_lock(&value->lock);
	bpf_throw((u64)(long)value);
	bpf_spin_unlock(&value->lock);
	return 0;
}

// refused: R1 is not a scalar
SEC("tc")
int order_scalar_before_reference(struct __sk_buff *skb)
{
	void *record = bpf_ringbuf_reserve(&ring, 16, 0);

	if (!record)
		return 0;
	bpf_throw((u64)(long)record);
	bpf_ringbuf_discard(record, 0);
	return 0;
}

// refused: should have been in [0, 3]
SEC("cgroup_skb/egress")
int order_range_before_reference(struct __sk_buff *skb)
{
	void *record = bpf_ringbuf_reserve(&ring, 16, 0);

	if (!record)
		return 0;
	bpf_throw(64);
	bpf_ringbuf_discard(record, 0);
	return 0;
}

// refused: bpf_throw would lead to reference leak
SEC("tc")
int order_reference_before_rcu(struct __sk_buff *skb)
{
	void *record = bpf_ringbuf_reserve(&ring, 16, 0);

	if (!record)
		return 0;
	bpf_rcu_read_lock();
	if (skb->len > 40)
		bpf_throw(64);
	bpf_rcu_read_unlock();
	bpf_ringbuf_discard(record, 0);
	return 0;
}

// refused: bpf_throw cannot be used inside bpf_rcu_read_lock-ed region
SEC("tc")
int order_rcu_before_preempt(struct __sk_buff *skb)
{
	bpf_preempt_disable();
	bpf_rcu_read_lock();
	if (skb->len > 40)
		bpf_throw(64);
	bpf_rcu_read_unlock();
	bpf_preempt_enable();
	return 0;
}

// refused: bpf_throw cannot be used inside bpf_local_irq_save-ed region
SEC("tc")
int order_irq_before_rcu(struct __sk_buff *skb)
{
	unsigned long flags;

	bpf_rcu_read_lock();
	bpf_local_irq_save(&flags);
	if (skb->len > 40)
		bpf_throw(64);
	bpf_local_irq_restore(&flags);
	bpf_rcu_read_unlock();
	return 0;
}

/* ---- from callbacks ---- */

static int throws_in_round(u32 round, void *data)
{
	if (round == 3)
		bpf_throw(3);
	return 0;
}

// refused: cannot be called from callback subprog
SEC("tc")
int callback_loop(struct __sk_buff *skb)
{
	return bpf_loop(10, throws_in_round, NULL, 0);
}

static int calls_thrower_in_round(u32 round, void *data)
{
	return static_throws(round);
}

// refused: cannot be called from callback subprog
SEC("tc")
int callback_loop_calls(struct __sk_buff *skb)
{
	return bpf_loop(10, calls_thrower_in_round, NULL, 0);
}

static int calls_global_in_round(u32 round, void *data)
{
	return global_throws(round) & 1;
}

// refused: cannot be called from callback subprog
SEC("tc")
int callback_loop_calls_global(struct __sk_buff *skb)
{
	return bpf_loop(10, calls_global_in_round, NULL, 0);
}

static long throws_for_element(void *map, const u32 *key, u64 *value, void *data)
{
	bpf_throw(*key);
	return 0;
}

// refused: cannot be called from callback subprog
SEC("tc")
int callback_for_each(struct __sk_buff *skb)
{
	return bpf_for_each_map_elem(&array, throws_for_element, NULL, 0);
}

/* A scan of the calls refuses it, though no path takes the callback there. */
static int never_throws_in_round(u32 round, void *data)
{
	u64 zero = 0;

	bpf_hide(zero);
	if (zero)
		bpf_throw(3);
	return 0;
}

// refused: cannot be called from callback subprog
SEC("tc")
int callback_loop_unreached(struct __sk_buff *skb)
{
	return bpf_loop(10, never_throws_in_round, NULL, 0);
}

/* ---- the exception callback ---- */

__noinline u64 throwing_callback(u64 cookie)
{
	bpf_hide(cookie);
	bpf_throw(cookie);
	return 0;
}

// refused: cannot be called from callback subprog
SEC("tc") __exception_cb(throwing_callback)
int callback_throws(struct __sk_buff *skb)
{
	bpf_throw(1);
	return 0;
}

__noinline u64 callback_calls_thrower(u64 cookie)
{
	return global_throws(cookie);
}

// refused: cannot be called from callback subprog
SEC("tc") __exception_cb(callback_calls_thrower)
int callback_throws_below(struct __sk_buff *skb)
{
	bpf_throw(1);
	return 0;
}

__noinline void void_callback(u64 cookie)
{
	bpf_barrier();
}

// refused: Global function void_callback() doesn't return scalar. Only those are supported.
SEC("tc") __exception_cb(void_callback)
int callback_void(struct __sk_buff *skb)
{
	bpf_throw(1);
	return 0;
}

__noinline u64 *pointer_callback(u64 cookie)
{
	return (u64 *)(long)cookie;
}

// refused: Global function pointer_callback() doesn't return scalar. Only those are supported.
SEC("tc") __exception_cb(pointer_callback)
int callback_returns_pointer(struct __sk_buff *skb)
{
	bpf_throw(1);
	return 0;
}

__noinline u64 two_argument_callback(u64 cookie, u64 other)
{
	return cookie + other;
}

// refused: exception cb only supports single integer argument
SEC("tc") __exception_cb(two_argument_callback)
int callback_two_arguments(struct __sk_buff *skb)
{
	bpf_throw(1);
	return 0;
}

__noinline u64 no_argument_callback(void)
{
	return 1;
}

// refused: exception cb only supports single integer argument
SEC("tc") __exception_cb(no_argument_callback)
int callback_no_argument(struct __sk_buff *skb)
{
	bpf_throw(1);
	return 0;
}

__noinline u64 pointer_argument_callback(u64 *cookie)
{
	return cookie ? 1 : 2;
}

// refused: exception cb only supports single integer argument
SEC("tc") __exception_cb(pointer_argument_callback)
int callback_pointer_argument(struct __sk_buff *skb)
{
	bpf_throw(1);
	return 0;
}

__noinline u64 context_argument_callback(struct __sk_buff *skb)
{
	return skb->len;
}

// refused: exception cb only supports single integer argument
SEC("tc") __exception_cb(context_argument_callback)
int callback_context_argument(struct __sk_buff *skb)
{
	bpf_throw(1);
	return 0;
}

__noinline u64 good_callback(u64 cookie)
{
	bpf_hide(cookie);
	return cookie;
}

// refused: cannot call exception cb directly
SEC("tc") __exception_cb(good_callback)
int callback_called(struct __sk_buff *skb)
{
	return good_callback(skb->len);
}

__noinline u64 calls_good_callback(u64 x)
{
	bpf_hide(x);
	return good_callback(x) + 1;
}

// refused: cannot call exception cb directly
SEC("tc") __exception_cb(good_callback)
int callback_called_below(struct __sk_buff *skb)
{
	return calls_good_callback(skb->len);
}

__noinline u64 other_callback(u64 cookie)
{
	return cookie + 1;
}

// refused: multiple exception callback tags for main subprog
SEC("tc") __exception_cb(good_callback) __exception_cb(other_callback)
int callback_two_tags(struct __sk_buff *skb)
{
	bpf_throw(1);
	return 0;
}

// refused: exception callback 'not_there' could not be found in BTF
SEC("tc") __exception_cb(not_there)
int callback_not_found(struct __sk_buff *skb)
{
	bpf_throw(1);
	return 0;
}

static __noinline u64 static_callback(u64 cookie)
{
	bpf_hide(cookie);
	return cookie;
}

// refused: exception callback 'static_callback' must have global linkage
SEC("tc") __exception_cb(static_callback)
int callback_static(struct __sk_buff *skb)
{
	bpf_throw(1);
	return static_callback(0);
}

/* Its result is judged as the main program's. */
__noinline u64 returns_seven(u64 cookie)
{
	return 7;
}

// refused: At program exit the register R0 has smin=7 smax=7 should have been in [0, 3]
SEC("cgroup_skb/egress") __exception_cb(returns_seven)
int callback_result_out_of_range(struct __sk_buff *skb)
{
	bpf_throw(1);
	return 0;
}

/* Verified even if nothing throws. */
// refused: At program exit the register R0 has smin=7 smax=7 should have been in [0, 3]
SEC("cgroup_skb/egress") __exception_cb(returns_seven)
int callback_unused_out_of_range(struct __sk_buff *skb)
{
	return 0;
}

/* A callback has no context to hand on: the tail call stands where no path leads. */
static __noinline u64 tail_calls_in_sub(u64 cookie)
{
	u64 zero = 0;

	bpf_hide(zero);
	if (zero)
		bpf_tail_call_static((void *)(long)cookie, &programs, 0);
	return cookie;
}

__noinline u64 tail_calling_below_callback(u64 cookie)
{
	return tail_calls_in_sub(cookie);
}

// refused: cannot tail call within exception cb
SEC("tc") __exception_cb(tail_calling_below_callback)
int callback_tail_calls_below(struct __sk_buff *skb)
{
	bpf_throw(1);
	return 0;
}
