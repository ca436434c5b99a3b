/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * What a BPF program needs to name the world around it: types, sections, maps,
 * helpers, contexts and verdicts. It stands alone: no kernel or libbpf header is
 * wanted. Numbers and layouts are those of Linux's stable interface.
 */
#ifndef BACKSTOP_BPF_H
#define BACKSTOP_BPF_H

typedef unsigned char __u8;
typedef signed char __s8;
typedef unsigned short __u16;
typedef signed short __s16;
typedef unsigned int __u32;
typedef signed int __s32;
typedef unsigned long long __u64;
typedef signed long long __s64;
typedef __u16 __be16;
typedef __u32 __be32;
typedef __u64 __be64;

typedef __u8 u8;
typedef __s8 s8;
typedef __u16 u16;
typedef __s16 s16;
typedef __u32 u32;
typedef __s32 s32;
typedef __u64 u64;
typedef __s64 s64;
typedef _Bool bool;

#define true 1
#define false 0
#ifndef NULL
#define NULL ((void *)0)
#endif

/* ---- how a program and its maps are declared ---- */

/* Puts a function or variable into an ELF section; the section's name says what it is. */
#define SEC(name) __attribute__((section(name), used))

#define __always_inline inline __attribute__((always_inline))
#define __noinline __attribute__((noinline))
#define __weak __attribute__((weak))
#define __packed __attribute__((packed))
#define __aligned(n) __attribute__((aligned(n)))
#define __unused_arg __attribute__((unused))

/* Functions (kfuncs) and variables that the runtime provides. */
#define __ksym __attribute__((section(".ksyms")))

/* A global function that the loader shall treat as static: verified in place, at each call. */
#define __hidden __attribute__((visibility("hidden")))

/* What a global function's parameter promises; the verifier holds callers to it. */
#define __arg_ctx __attribute__((btf_decl_tag("arg:ctx")))
#define __arg_nonnull __attribute__((btf_decl_tag("arg:nonnull")))
#define __arg_nullable __attribute__((btf_decl_tag("arg:nullable")))
#define __arg_trusted __attribute__((btf_decl_tag("arg:trusted")))
#define __arg_arena __attribute__((btf_decl_tag("arg:arena")))

/* Marks on pointers inside map values. */
#define __kptr __attribute__((btf_type_tag("kptr")))
#define __kptr_untrusted __attribute__((btf_type_tag("kptr_untrusted")))
#define __percpu_kptr __attribute__((btf_type_tag("percpu_kptr")))

/*
 * A map is a struct variable in SEC(".maps") whose members carry its attributes in their
 * types: a number as the length of an array, a type behind a pointer, initial contents as a
 * trailing array.
 */
#define __uint(attribute, number) int(*attribute)[number]
#define __type(attribute, type_name) __typeof__(type_name) *attribute
#define __array(attribute, type_name) __typeof__(type_name) *attribute[]
#define __ulong(attribute, number) \
	enum { BACKSTOP_GLUE(__ulong_, __COUNTER__, attribute) = number } attribute
#define BACKSTOP_GLUE(a, b, c) BACKSTOP_GLUE_(a, b, c)
#define BACKSTOP_GLUE_(a, b, c) a##b##c

/* A map of the older `maps` section. */
struct bpf_map_def {
	unsigned int type;
	unsigned int key_size;
	unsigned int value_size;
	unsigned int max_entries;
	unsigned int map_flags;
};

/* Hides a value from the optimiser, so that what is tested is what is used. */
#define bpf_hide(x) __asm__ volatile("" : "+r"(x))
#define bpf_barrier() __asm__ volatile("" ::: "memory")

/* ---- maps ---- */

enum bpf_map_type {
	BPF_MAP_TYPE_UNSPEC = 0,
	BPF_MAP_TYPE_HASH = 1,
	BPF_MAP_TYPE_ARRAY = 2,
	BPF_MAP_TYPE_PROG_ARRAY = 3,
	BPF_MAP_TYPE_PERF_EVENT_ARRAY = 4,
	BPF_MAP_TYPE_PERCPU_HASH = 5,
	BPF_MAP_TYPE_PERCPU_ARRAY = 6,
	BPF_MAP_TYPE_STACK_TRACE = 7,
	BPF_MAP_TYPE_CGROUP_ARRAY = 8,
	BPF_MAP_TYPE_LRU_HASH = 9,
	BPF_MAP_TYPE_LRU_PERCPU_HASH = 10,
	BPF_MAP_TYPE_LPM_TRIE = 11,
	BPF_MAP_TYPE_ARRAY_OF_MAPS = 12,
	BPF_MAP_TYPE_HASH_OF_MAPS = 13,
	BPF_MAP_TYPE_DEVMAP = 14,
	BPF_MAP_TYPE_SOCKMAP = 15,
	BPF_MAP_TYPE_CPUMAP = 16,
	BPF_MAP_TYPE_XSKMAP = 17,
	BPF_MAP_TYPE_SOCKHASH = 18,
	BPF_MAP_TYPE_CGROUP_STORAGE = 19,
	BPF_MAP_TYPE_REUSEPORT_SOCKARRAY = 20,
	BPF_MAP_TYPE_PERCPU_CGROUP_STORAGE = 21,
	BPF_MAP_TYPE_QUEUE = 22,
	BPF_MAP_TYPE_STACK = 23,
	BPF_MAP_TYPE_SK_STORAGE = 24,
	BPF_MAP_TYPE_DEVMAP_HASH = 25,
	BPF_MAP_TYPE_STRUCT_OPS = 26,
	BPF_MAP_TYPE_RINGBUF = 27,
	BPF_MAP_TYPE_INODE_STORAGE = 28,
	BPF_MAP_TYPE_TASK_STORAGE = 29,
	BPF_MAP_TYPE_BLOOM_FILTER = 30,
	BPF_MAP_TYPE_USER_RINGBUF = 31,
	BPF_MAP_TYPE_CGRP_STORAGE = 32,
	BPF_MAP_TYPE_ARENA = 33,
};

/* Flags of bpf_map_update_elem. */
#define BPF_ANY 0     /* make or replace */
#define BPF_NOEXIST 1 /* make only */
#define BPF_EXIST 2   /* replace only */
#define BPF_F_LOCK 4

/* Flags of a map. */
#define BPF_F_NO_PREALLOC (1U << 0)
#define BPF_F_NO_COMMON_LRU (1U << 1)
#define BPF_F_NUMA_NODE (1U << 2)
#define BPF_F_RDONLY (1U << 3)
#define BPF_F_WRONLY (1U << 4)
#define BPF_F_ZERO_SEED (1U << 6)
#define BPF_F_RDONLY_PROG (1U << 7)
#define BPF_F_WRONLY_PROG (1U << 8)
#define BPF_F_MMAPABLE (1U << 10)
#define BPF_F_INNER_MAP (1U << 12)

#define BPF_F_CURRENT_CPU 0xffffffffULL

/* ---- contexts ---- */

struct bpf_flow_keys;
struct bpf_sock;

/* A pointer field as wide as on a 64-bit host, whatever the compiler's pointers are. */
#define BACKSTOP_CONTEXT_POINTER(type, name) \
	union {                              \
		type name;                   \
		__u64 : 64;                  \
	} __attribute__((aligned(8)))

/* What an XDP program is given. `data` and its like hold addresses, read as 32-bit fields. */
struct xdp_md {
	__u32 data;
	__u32 data_end;
	__u32 data_meta;
	__u32 ingress_ifindex;
	__u32 rx_queue_index;
	__u32 egress_ifindex;
};

/* What tc, socket filter and cgroup_skb programs are given. */
struct __sk_buff {
	__u32 len;
	__u32 pkt_type;
	__u32 mark;
	__u32 queue_mapping;
	__u32 protocol;
	__u32 vlan_present;
	__u32 vlan_tci;
	__u32 vlan_proto;
	__u32 priority;
	__u32 ingress_ifindex;
	__u32 ifindex;
	__u32 tc_index;
	__u32 cb[5];
	__u32 hash;
	__u32 tc_classid;
	__u32 data;
	__u32 data_end;
	__u32 napi_id;
	__u32 family;
	__u32 remote_ip4;
	__u32 local_ip4;
	__u32 remote_ip6[4];
	__u32 local_ip6[4];
	__u32 remote_port; /* network byte order in its upper half */
	__u32 local_port;  /* host byte order */
	__u32 data_meta;
	BACKSTOP_CONTEXT_POINTER(struct bpf_flow_keys *, flow_keys);
	__u64 tstamp;
	__u32 wire_len;
	__u32 gso_segs;
	BACKSTOP_CONTEXT_POINTER(struct bpf_sock *, sk);
	__u32 gso_size;
	__u8 tstamp_type;
	__u32 : 24;
	__u64 hwtstamp;
};

/* What a raw tracepoint program is given: the tracepoint's arguments, a word each. */
struct bpf_raw_tracepoint_args {
	__u64 args[0];
};

/* What perf_event and kprobe programs see of the registers (x86-64). */
struct pt_regs {
	unsigned long r15;
	unsigned long r14;
	unsigned long r13;
	unsigned long r12;
	unsigned long bp;
	unsigned long bx;
	unsigned long r11;
	unsigned long r10;
	unsigned long r9;
	unsigned long r8;
	unsigned long ax;
	unsigned long cx;
	unsigned long dx;
	unsigned long si;
	unsigned long di;
	unsigned long orig_ax;
	unsigned long ip;
	unsigned long cs;
	unsigned long flags;
	unsigned long sp;
	unsigned long ss;
};

struct bpf_perf_event_data {
	struct pt_regs regs;
	__u64 sample_period;
	__u64 addr;
};

/* ---- verdicts ---- */

enum xdp_action {
	XDP_ABORTED = 0,
	XDP_DROP = 1,
	XDP_PASS = 2,
	XDP_TX = 3,
	XDP_REDIRECT = 4,
};

#define TC_ACT_UNSPEC (-1)
#define TC_ACT_OK 0
#define TC_ACT_RECLASSIFY 1
#define TC_ACT_SHOT 2
#define TC_ACT_PIPE 3
#define TC_ACT_STOLEN 4
#define TC_ACT_QUEUED 5
#define TC_ACT_REPEAT 6
#define TC_ACT_REDIRECT 7

/* ---- objects that live in map values and on the stack; opaque to programs ---- */

struct bpf_spin_lock {
	__u32 val;
};

struct bpf_res_spin_lock {
	__u32 val;
};

struct bpf_refcount {
	__u32 __opaque[1];
} __attribute__((aligned(4)));

struct bpf_timer {
	__u64 __opaque[2];
} __attribute__((aligned(8)));

struct bpf_wq {
	__u64 __opaque[2];
} __attribute__((aligned(8)));

struct bpf_dynptr {
	__u64 __opaque[2];
} __attribute__((aligned(8)));

struct bpf_list_head {
	__u64 __opaque[2];
} __attribute__((aligned(8)));

struct bpf_list_node {
	__u64 __opaque[3];
} __attribute__((aligned(8)));

struct bpf_rb_root {
	__u64 __opaque[2];
} __attribute__((aligned(8)));

struct bpf_rb_node {
	__u64 __opaque[4];
} __attribute__((aligned(8)));

struct bpf_iter_num {
	__u64 __opaque[1];
} __attribute__((aligned(8)));

struct bpf_iter_bits {
	__u64 __opaque[2];
} __attribute__((aligned(8)));

/* ---- helpers: a call by number ---- */

#define BACKSTOP_HELPER(number, result, name, ...) \
	static result (*const name)(__VA_ARGS__) __attribute__((unused)) = (void *)(number)

BACKSTOP_HELPER(1, void *, bpf_map_lookup_elem, void *map, const void *key);
BACKSTOP_HELPER(2, long, bpf_map_update_elem, void *map, const void *key, const void *value,
		__u64 flags);
BACKSTOP_HELPER(3, long, bpf_map_delete_elem, void *map, const void *key);
BACKSTOP_HELPER(5, __u64, bpf_ktime_get_ns, void);
BACKSTOP_HELPER(6, long, bpf_trace_printk, const char *format, __u32 format_size, ...);
BACKSTOP_HELPER(7, __u32, bpf_get_prandom_u32, void);
BACKSTOP_HELPER(8, __u32, bpf_get_smp_processor_id, void);
BACKSTOP_HELPER(9, long, bpf_skb_store_bytes, struct __sk_buff *skb, __u32 offset,
		const void *from, __u32 len, __u64 flags);
BACKSTOP_HELPER(10, long, bpf_l3_csum_replace, struct __sk_buff *skb, __u32 offset, __u64 from,
		__u64 to, __u64 size);
BACKSTOP_HELPER(11, long, bpf_l4_csum_replace, struct __sk_buff *skb, __u32 offset, __u64 from,
		__u64 to, __u64 flags);
BACKSTOP_HELPER(12, long, bpf_tail_call, void *ctx, void *prog_array, __u32 index);
BACKSTOP_HELPER(13, long, bpf_clone_redirect, struct __sk_buff *skb, __u32 ifindex, __u64 flags);
BACKSTOP_HELPER(14, __u64, bpf_get_current_pid_tgid, void);
BACKSTOP_HELPER(15, __u64, bpf_get_current_uid_gid, void);
BACKSTOP_HELPER(16, long, bpf_get_current_comm, void *buffer, __u32 size);
BACKSTOP_HELPER(23, long, bpf_redirect, __u32 ifindex, __u64 flags);
BACKSTOP_HELPER(25, long, bpf_perf_event_output, void *ctx, void *map, __u64 flags, void *data,
		__u64 size);
BACKSTOP_HELPER(26, long, bpf_skb_load_bytes, const void *skb, __u32 offset, void *to, __u32 len);
BACKSTOP_HELPER(28, __s64, bpf_csum_diff, __be32 *from, __u32 from_size, __be32 *to, __u32 to_size,
		__u32 seed);
BACKSTOP_HELPER(32, long, bpf_skb_change_type, struct __sk_buff *skb, __u32 type);
BACKSTOP_HELPER(34, __u32, bpf_get_hash_recalc, struct __sk_buff *skb);
BACKSTOP_HELPER(38, long, bpf_skb_change_tail, struct __sk_buff *skb, __u32 len, __u64 flags);
BACKSTOP_HELPER(39, long, bpf_skb_pull_data, struct __sk_buff *skb, __u32 len);
BACKSTOP_HELPER(40, __s64, bpf_csum_update, struct __sk_buff *skb, __u32 csum);
BACKSTOP_HELPER(42, long, bpf_get_numa_node_id, void);
BACKSTOP_HELPER(43, long, bpf_skb_change_head, struct __sk_buff *skb, __u32 len, __u64 flags);
BACKSTOP_HELPER(44, long, bpf_xdp_adjust_head, struct xdp_md *ctx, int delta);
BACKSTOP_HELPER(51, long, bpf_redirect_map, void *map, __u64 key, __u64 flags);
BACKSTOP_HELPER(54, long, bpf_xdp_adjust_meta, struct xdp_md *ctx, int delta);
BACKSTOP_HELPER(65, long, bpf_xdp_adjust_tail, struct xdp_md *ctx, int delta);
BACKSTOP_HELPER(68, long, bpf_skb_load_bytes_relative, const void *skb, __u32 offset, void *to,
		__u32 len, __u32 start_header);
BACKSTOP_HELPER(87, long, bpf_map_push_elem, void *map, const void *value, __u64 flags);
BACKSTOP_HELPER(88, long, bpf_map_pop_elem, void *map, void *value);
BACKSTOP_HELPER(89, long, bpf_map_peek_elem, void *map, void *value);
BACKSTOP_HELPER(93, long, bpf_spin_lock, struct bpf_spin_lock *lock);
BACKSTOP_HELPER(94, long, bpf_spin_unlock, struct bpf_spin_lock *lock);
BACKSTOP_HELPER(105, long, bpf_strtol, const char *text, unsigned long text_size, __u64 flags,
		long *result);
BACKSTOP_HELPER(106, long, bpf_strtoul, const char *text, unsigned long text_size, __u64 flags,
		unsigned long *result);
BACKSTOP_HELPER(113, long, bpf_probe_read_kernel, void *to, __u32 size, const void *from);
BACKSTOP_HELPER(115, long, bpf_probe_read_kernel_str, void *to, __u32 size, const void *from);
BACKSTOP_HELPER(118, __u64, bpf_jiffies64, void);
BACKSTOP_HELPER(125, __u64, bpf_ktime_get_boot_ns, void);
BACKSTOP_HELPER(130, long, bpf_ringbuf_output, void *ringbuf, void *data, __u64 size, __u64 flags);
BACKSTOP_HELPER(131, void *, bpf_ringbuf_reserve, void *ringbuf, __u64 size, __u64 flags);
BACKSTOP_HELPER(132, void, bpf_ringbuf_submit, void *data, __u64 flags);
BACKSTOP_HELPER(133, void, bpf_ringbuf_discard, void *data, __u64 flags);
BACKSTOP_HELPER(134, __u64, bpf_ringbuf_query, void *ringbuf, __u64 flags);
BACKSTOP_HELPER(160, __u64, bpf_ktime_get_coarse_ns, void);
BACKSTOP_HELPER(164, long, bpf_for_each_map_elem, void *map, void *callback, void *callback_ctx,
		__u64 flags);
BACKSTOP_HELPER(165, long, bpf_snprintf, char *to, __u32 to_size, const char *format, __u64 *data,
		__u32 data_size);
BACKSTOP_HELPER(169, long, bpf_timer_init, struct bpf_timer *timer, void *map, __u64 flags);
BACKSTOP_HELPER(170, long, bpf_timer_set_callback, struct bpf_timer *timer, void *callback);
BACKSTOP_HELPER(171, long, bpf_timer_start, struct bpf_timer *timer, __u64 nsecs, __u64 flags);
BACKSTOP_HELPER(172, long, bpf_timer_cancel, struct bpf_timer *timer);
BACKSTOP_HELPER(177, long, bpf_trace_vprintk, const char *format, __u32 format_size,
		const void *data, __u32 data_size);
BACKSTOP_HELPER(181, long, bpf_loop, __u32 rounds, void *callback, void *callback_ctx, __u64 flags);
BACKSTOP_HELPER(182, long, bpf_strncmp, const char *text, __u32 text_size, const char *constant);
BACKSTOP_HELPER(188, __u64, bpf_xdp_get_buff_len, struct xdp_md *ctx);
BACKSTOP_HELPER(189, long, bpf_xdp_load_bytes, struct xdp_md *ctx, __u32 offset, void *to,
		__u32 len);
BACKSTOP_HELPER(190, long, bpf_xdp_store_bytes, struct xdp_md *ctx, __u32 offset, void *from,
		__u32 len);
BACKSTOP_HELPER(194, void *, bpf_kptr_xchg, void *place, void *pointer);
BACKSTOP_HELPER(195, void *, bpf_map_lookup_percpu_elem, void *map, const void *key, __u32 cpu);
BACKSTOP_HELPER(197, long, bpf_dynptr_from_mem, void *data, __u64 size, __u64 flags,
		struct bpf_dynptr *dynptr);
BACKSTOP_HELPER(198, long, bpf_ringbuf_reserve_dynptr, void *ringbuf, __u32 size, __u64 flags,
		struct bpf_dynptr *dynptr);
BACKSTOP_HELPER(199, void, bpf_ringbuf_submit_dynptr, struct bpf_dynptr *dynptr, __u64 flags);
BACKSTOP_HELPER(200, void, bpf_ringbuf_discard_dynptr, struct bpf_dynptr *dynptr, __u64 flags);
BACKSTOP_HELPER(201, long, bpf_dynptr_read, void *to, __u64 len, const struct bpf_dynptr *from,
		__u64 offset, __u64 flags);
BACKSTOP_HELPER(202, long, bpf_dynptr_write, const struct bpf_dynptr *to, __u64 offset, void *from,
		__u64 len, __u64 flags);
BACKSTOP_HELPER(203, void *, bpf_dynptr_data, const struct bpf_dynptr *dynptr, __u64 offset,
		__u64 len);
BACKSTOP_HELPER(208, __u64, bpf_ktime_get_tai_ns, void);
BACKSTOP_HELPER(209, long, bpf_user_ringbuf_drain, void *map, void *callback, void *callback_ctx,
		__u64 flags);

/* The format goes to .rodata, as the verifier wants it. At most three further arguments. */
#define bpf_printk(format, ...)                                                        \
	({                                                                             \
		static const char backstop_format[] = format;                         \
		bpf_trace_printk(backstop_format, sizeof(backstop_format), ##__VA_ARGS__); \
	})

/* A tail call whose index is a constant is compiled to a direct jump; this keeps it one. */
static __always_inline void bpf_tail_call_static(void *ctx, const void *prog_array,
						 const __u32 index)
{
	__asm__ volatile("r1 = %[ctx]\n\t"
			 "r2 = %[table]\n\t"
			 "r3 = %[index]\n\t"
			 "call 12"
			 :
			 : [ctx] "r"(ctx), [table] "r"(prog_array), [index] "i"(index)
			 : "r0", "r1", "r2", "r3", "r4", "r5");
}

/* ---- legacy packet loads: network order, through the skb in r6; out of range ends the program ---- */

unsigned long long bpf_load_byte(void *skb, unsigned long long offset) __asm__("llvm.bpf.load.byte");
unsigned long long bpf_load_half(void *skb, unsigned long long offset) __asm__("llvm.bpf.load.half");
unsigned long long bpf_load_word(void *skb, unsigned long long offset) __asm__("llvm.bpf.load.word");

/* ---- kfuncs that need no further header ---- */

extern int bpf_iter_num_new(struct bpf_iter_num *it, int start, int end) __weak __ksym;
extern int *bpf_iter_num_next(struct bpf_iter_num *it) __weak __ksym;
extern void bpf_iter_num_destroy(struct bpf_iter_num *it) __weak __ksym;
extern void bpf_rcu_read_lock(void) __weak __ksym;
extern void bpf_rcu_read_unlock(void) __weak __ksym;
extern void bpf_preempt_disable(void) __weak __ksym;
extern void bpf_preempt_enable(void) __weak __ksym;
extern void bpf_local_irq_save(unsigned long *flags) __weak __ksym;
extern void bpf_local_irq_restore(unsigned long *flags) __weak __ksym;

/* The C library's functions that clang may expand in place. */
#define memset(to, byte, size) __builtin_memset((to), (byte), (size))
#define memcpy(to, from, size) __builtin_memcpy((to), (from), (size))
#define memmove(to, from, size) __builtin_memmove((to), (from), (size))

/* Values of the configuration, that programs only read: LINUX_KERNEL_VERSION and what the host gives. */
#define __kconfig __attribute__((section(".kconfig")))

#endif
