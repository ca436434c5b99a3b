/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The types that Backstop knows without a kernel: contexts of program types, objects that
 * live in map values, and prototypes of kfuncs, as Linux 6.18 has them on x86-64. Compiled
 * for its .BTF section alone, which the build script takes out as vm/model/data/builtin.btf.
 *
 * Names, order and types of fields and parameters matter: CO-RE relocations are resolved
 * against them, and the verifier reads the suffixes of parameter names (__k, __alloc, ...).
 * The bodies are never run.
 */

typedef unsigned char __u8;
typedef unsigned short __u16;
typedef int __s32;
typedef unsigned int __u32;
typedef unsigned long long __u64;
typedef __u8 u8;
typedef __u16 u16;
typedef __u32 u32;
typedef __u64 u64;
typedef __u16 __be16;
typedef __u32 __be32;
typedef _Bool bool;

/* An address-sized field of a context that 32-bit compilers shall lay out alike. */
#define CONTEXT_POINTER(type, name) \
	union {                     \
		type name;          \
		__u64 : 64;         \
	} __attribute__((aligned(8)))

#define OPAQUE(name, type, words)      \
	struct name {                  \
		type __opaque[words];  \
	} __attribute__((aligned(sizeof(type))))

/* A variable of the type keeps it, whole, in the BTF. */
#define KEEP_STRUCT(name) struct name keep_##name
#define KEEP_ENUM(name) enum name keep_##name

/* ---- contexts ---- */

struct bpf_flow_keys;
struct bpf_sock;

struct xdp_md {
	__u32 data;
	__u32 data_end;
	__u32 data_meta;
	__u32 ingress_ifindex;
	__u32 rx_queue_index;
	__u32 egress_ifindex;
};

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
	__u32 remote_port;
	__u32 local_port;
	__u32 data_meta;
	CONTEXT_POINTER(struct bpf_flow_keys *, flow_keys);
	__u64 tstamp;
	__u32 wire_len;
	__u32 gso_segs;
	CONTEXT_POINTER(struct bpf_sock *, sk);
	__u32 gso_size;
	__u8 tstamp_type;
	__u32 : 24;
	__u64 hwtstamp;
};

struct bpf_flow_keys {
	__u16 nhoff;
	__u16 thoff;
	__u16 addr_proto;
	__u8 is_frag;
	__u8 is_first_frag;
	__u8 is_encap;
	__u8 ip_proto;
	__be16 n_proto;
	__be16 sport;
	__be16 dport;
	union {
		struct {
			__be32 ipv4_src;
			__be32 ipv4_dst;
		};
		struct {
			__u32 ipv6_src[4];
			__u32 ipv6_dst[4];
		};
	};
	__u32 flags;
	__be32 flow_label;
};

struct bpf_sock {
	__u32 bound_dev_if;
	__u32 family;
	__u32 type;
	__u32 protocol;
	__u32 mark;
	__u32 priority;
	__u32 src_ip4;
	__u32 src_ip6[4];
	__u32 src_port;
	__be16 dst_port;
	__u16 : 16;
	__u32 dst_ip4;
	__u32 dst_ip6[4];
	__u32 state;
	__s32 rx_queue_mapping;
};

struct bpf_tcp_sock {
	__u32 snd_cwnd;
	__u32 srtt_us;
	__u32 rtt_min;
	__u32 snd_ssthresh;
	__u32 rcv_nxt;
	__u32 snd_nxt;
	__u32 snd_una;
	__u32 mss_cache;
	__u32 ecn_flags;
	__u32 rate_delivered;
	__u32 rate_interval_us;
	__u32 packets_out;
	__u32 retrans_out;
	__u32 total_retrans;
	__u32 segs_in;
	__u32 data_segs_in;
	__u32 segs_out;
	__u32 data_segs_out;
	__u32 lost_out;
	__u32 sacked_out;
	__u64 bytes_received;
	__u64 bytes_acked;
	__u32 dsack_dups;
	__u32 delivered;
	__u32 delivered_ce;
	__u32 icsk_retransmits;
};

struct bpf_sock_tuple {
	union {
		struct {
			__be32 saddr;
			__be32 daddr;
			__be16 sport;
			__be16 dport;
		} ipv4;
		struct {
			__be32 saddr[4];
			__be32 daddr[4];
			__be16 sport;
			__be16 dport;
		} ipv6;
	};
};

struct bpf_sock_ops {
	__u32 op;
	union {
		__u32 args[4];
		__u32 reply;
		__u32 replylong[4];
	};
	__u32 family;
	__u32 remote_ip4;
	__u32 local_ip4;
	__u32 remote_ip6[4];
	__u32 local_ip6[4];
	__u32 remote_port;
	__u32 local_port;
	__u32 is_fullsock;
	__u32 snd_cwnd;
	__u32 srtt_us;
	__u32 bpf_sock_ops_cb_flags;
	__u32 state;
	__u32 rtt_min;
	__u32 snd_ssthresh;
	__u32 rcv_nxt;
	__u32 snd_nxt;
	__u32 snd_una;
	__u32 mss_cache;
	__u32 ecn_flags;
	__u32 rate_delivered;
	__u32 rate_interval_us;
	__u32 packets_out;
	__u32 retrans_out;
	__u32 total_retrans;
	__u32 segs_in;
	__u32 data_segs_in;
	__u32 segs_out;
	__u32 data_segs_out;
	__u32 lost_out;
	__u32 sacked_out;
	__u32 sk_txhash;
	__u64 bytes_received;
	__u64 bytes_acked;
	CONTEXT_POINTER(struct bpf_sock *, sk);
	CONTEXT_POINTER(void *, skb_data);
	CONTEXT_POINTER(void *, skb_data_end);
	__u32 skb_len;
	__u32 skb_tcp_flags;
	__u64 skb_hwtstamp;
};

struct bpf_sock_addr {
	__u32 user_family;
	__u32 user_ip4;
	__u32 user_ip6[4];
	__u32 user_port;
	__u32 family;
	__u32 type;
	__u32 protocol;
	__u32 msg_src_ip4;
	__u32 msg_src_ip6[4];
	CONTEXT_POINTER(struct bpf_sock *, sk);
};

struct sk_msg_md {
	CONTEXT_POINTER(void *, data);
	CONTEXT_POINTER(void *, data_end);
	__u32 family;
	__u32 remote_ip4;
	__u32 local_ip4;
	__u32 remote_ip6[4];
	__u32 local_ip6[4];
	__u32 remote_port;
	__u32 local_port;
	__u32 size;
	CONTEXT_POINTER(struct bpf_sock *, sk);
};

struct sk_reuseport_md {
	CONTEXT_POINTER(void *, data);
	CONTEXT_POINTER(void *, data_end);
	__u32 len;
	__u32 eth_protocol;
	__u32 ip_protocol;
	__u32 bind_inany;
	__u32 hash;
	CONTEXT_POINTER(struct bpf_sock *, sk);
	CONTEXT_POINTER(struct bpf_sock *, migrating_sk);
};

struct bpf_sockopt {
	CONTEXT_POINTER(struct bpf_sock *, sk);
	CONTEXT_POINTER(void *, optval);
	CONTEXT_POINTER(void *, optval_end);
	__s32 level;
	__s32 optname;
	__s32 optlen;
	__s32 retval;
};

struct bpf_sysctl {
	__u32 write;
	__u32 file_pos;
};

struct bpf_cgroup_dev_ctx {
	__u32 access_type;
	__u32 major;
	__u32 minor;
};

struct bpf_sk_lookup {
	union {
		CONTEXT_POINTER(struct bpf_sock *, sk);
		__u64 cookie;
	};
	__u32 family;
	__u32 protocol;
	__u32 remote_ip4;
	__u32 remote_ip6[4];
	__be16 remote_port;
	__u16 : 16;
	__u32 local_ip4;
	__u32 local_ip6[4];
	__u32 local_port;
	__u32 ingress_ifindex;
};

struct fred_cs {
	u64 cs : 16;
	u64 sl : 2;
	u64 wfe : 1;
	u64 : 45;
};

struct fred_ss {
	u64 ss : 16;
	u64 sti : 1;
	u64 swevent : 1;
	u64 nmi : 1;
	u64 : 13;
	u64 vector : 8;
	u64 : 8;
	u64 type : 4;
	u64 : 4;
	u64 enclave : 1;
	u64 lm : 1;
	u64 nested : 1;
	u64 : 1;
	u64 insnlen : 4;
};

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
	union {
		u16 cs;
		u64 csx;
		struct fred_cs fred_cs;
	};
	unsigned long flags;
	unsigned long sp;
	union {
		u16 ss;
		u64 ssx;
		struct fred_ss fred_ss;
	};
};

typedef struct pt_regs bpf_user_pt_regs_t;

struct bpf_perf_event_data {
	bpf_user_pt_regs_t regs;
	__u64 sample_period;
	__u64 addr;
};

struct bpf_raw_tracepoint_args {
	__u64 args[0];
};

/* ---- objects in map values, in allocated memory and on the stack ---- */

struct bpf_spin_lock {
	__u32 val;
};

struct bpf_res_spin_lock {
	u32 val;
};

OPAQUE(bpf_refcount, __u32, 1);
OPAQUE(bpf_timer, __u64, 2);
OPAQUE(bpf_wq, __u64, 2);
OPAQUE(bpf_dynptr, __u64, 2);
OPAQUE(bpf_list_head, __u64, 2);
OPAQUE(bpf_list_node, __u64, 3);
OPAQUE(bpf_rb_root, __u64, 2);
OPAQUE(bpf_rb_node, __u64, 4);
OPAQUE(bpf_iter_num, __u64, 1);
OPAQUE(bpf_iter_bits, __u64, 2);

/* ---- numbers that programs ask for by name ---- */

enum xdp_action {
	XDP_ABORTED = 0,
	XDP_DROP = 1,
	XDP_PASS = 2,
	XDP_TX = 3,
	XDP_REDIRECT = 4,
};

enum tcx_action_base {
	TCX_NEXT = -1,
	TCX_PASS = 0,
	TCX_DROP = 2,
	TCX_REDIRECT = 7,
};

enum sk_action {
	SK_DROP = 0,
	SK_PASS = 1,
};

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
	BPF_MAP_TYPE_CGROUP_STORAGE_DEPRECATED = 19,
	BPF_MAP_TYPE_CGROUP_STORAGE = 19,
	BPF_MAP_TYPE_REUSEPORT_SOCKARRAY = 20,
	BPF_MAP_TYPE_PERCPU_CGROUP_STORAGE_DEPRECATED = 21,
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
	__MAX_BPF_MAP_TYPE = 34,
};

enum bpf_prog_type {
	BPF_PROG_TYPE_UNSPEC = 0,
	BPF_PROG_TYPE_SOCKET_FILTER = 1,
	BPF_PROG_TYPE_KPROBE = 2,
	BPF_PROG_TYPE_SCHED_CLS = 3,
	BPF_PROG_TYPE_SCHED_ACT = 4,
	BPF_PROG_TYPE_TRACEPOINT = 5,
	BPF_PROG_TYPE_XDP = 6,
	BPF_PROG_TYPE_PERF_EVENT = 7,
	BPF_PROG_TYPE_CGROUP_SKB = 8,
	BPF_PROG_TYPE_CGROUP_SOCK = 9,
	BPF_PROG_TYPE_LWT_IN = 10,
	BPF_PROG_TYPE_LWT_OUT = 11,
	BPF_PROG_TYPE_LWT_XMIT = 12,
	BPF_PROG_TYPE_SOCK_OPS = 13,
	BPF_PROG_TYPE_SK_SKB = 14,
	BPF_PROG_TYPE_CGROUP_DEVICE = 15,
	BPF_PROG_TYPE_SK_MSG = 16,
	BPF_PROG_TYPE_RAW_TRACEPOINT = 17,
	BPF_PROG_TYPE_CGROUP_SOCK_ADDR = 18,
	BPF_PROG_TYPE_LWT_SEG6LOCAL = 19,
	BPF_PROG_TYPE_LIRC_MODE2 = 20,
	BPF_PROG_TYPE_SK_REUSEPORT = 21,
	BPF_PROG_TYPE_FLOW_DISSECTOR = 22,
	BPF_PROG_TYPE_CGROUP_SYSCTL = 23,
	BPF_PROG_TYPE_RAW_TRACEPOINT_WRITABLE = 24,
	BPF_PROG_TYPE_CGROUP_SOCKOPT = 25,
	BPF_PROG_TYPE_TRACING = 26,
	BPF_PROG_TYPE_STRUCT_OPS = 27,
	BPF_PROG_TYPE_EXT = 28,
	BPF_PROG_TYPE_LSM = 29,
	BPF_PROG_TYPE_SK_LOOKUP = 30,
	BPF_PROG_TYPE_SYSCALL = 31,
	BPF_PROG_TYPE_NETFILTER = 32,
	__MAX_BPF_PROG_TYPE = 33,
};

KEEP_STRUCT(xdp_md);
KEEP_STRUCT(__sk_buff);
KEEP_STRUCT(bpf_flow_keys);
KEEP_STRUCT(bpf_sock);
KEEP_STRUCT(bpf_tcp_sock);
KEEP_STRUCT(bpf_sock_tuple);
KEEP_STRUCT(bpf_sock_ops);
KEEP_STRUCT(bpf_sock_addr);
KEEP_STRUCT(sk_msg_md);
KEEP_STRUCT(sk_reuseport_md);
KEEP_STRUCT(bpf_sockopt);
KEEP_STRUCT(bpf_sysctl);
KEEP_STRUCT(bpf_cgroup_dev_ctx);
KEEP_STRUCT(bpf_sk_lookup);
KEEP_STRUCT(bpf_perf_event_data);
KEEP_STRUCT(bpf_raw_tracepoint_args);
KEEP_STRUCT(bpf_spin_lock);
KEEP_STRUCT(bpf_res_spin_lock);
KEEP_STRUCT(bpf_refcount);
KEEP_STRUCT(bpf_timer);
KEEP_STRUCT(bpf_wq);
KEEP_STRUCT(bpf_dynptr);
KEEP_STRUCT(bpf_list_head);
KEEP_STRUCT(bpf_list_node);
KEEP_STRUCT(bpf_rb_root);
KEEP_STRUCT(bpf_rb_node);
KEEP_STRUCT(bpf_iter_num);
KEEP_STRUCT(bpf_iter_bits);
KEEP_ENUM(xdp_action);
KEEP_ENUM(tcx_action_base);
KEEP_ENUM(sk_action);
KEEP_ENUM(bpf_map_type);
KEEP_ENUM(bpf_prog_type);

/* ---- kfuncs ---- */

#define KFUNC __attribute__((btf_decl_tag("bpf_kfunc")))
#define FASTCALL __attribute__((btf_decl_tag("bpf_fastcall")))
#define ARENA __attribute__((btf_type_tag("address_space(1)")))

KFUNC void bpf_throw(u64 cookie) {}
KFUNC void bpf_iter_num_destroy(struct bpf_iter_num *it) {}
KFUNC int bpf_iter_num_new(struct bpf_iter_num *it, int start, int end) { return 0; }
KFUNC int *bpf_iter_num_next(struct bpf_iter_num *it) { return 0; }
KFUNC void bpf_iter_bits_destroy(struct bpf_iter_bits *it) {}
KFUNC int bpf_iter_bits_new(struct bpf_iter_bits *it, const u64 *unsafe_ptr__ign,
	u32 nr_words) { return 0; }
KFUNC int *bpf_iter_bits_next(struct bpf_iter_bits *it) { return 0; }
KFUNC void bpf_rcu_read_lock(void) {}
KFUNC void bpf_rcu_read_unlock(void) {}
KFUNC void bpf_preempt_disable(void) {}
KFUNC void bpf_preempt_enable(void) {}
KFUNC void bpf_local_irq_restore(unsigned long *flags__irq_flag) {}
KFUNC void bpf_local_irq_save(unsigned long *flags__irq_flag) {}
KFUNC int bpf_res_spin_lock(struct bpf_res_spin_lock *lock) { return 0; }
KFUNC int bpf_res_spin_lock_irqsave(struct bpf_res_spin_lock *lock,
	unsigned long *flags__irq_flag) { return 0; }
KFUNC void bpf_res_spin_unlock(struct bpf_res_spin_lock *lock) {}
KFUNC void bpf_res_spin_unlock_irqrestore(struct bpf_res_spin_lock *lock,
	unsigned long *flags__irq_flag) {}
KFUNC void bpf_obj_drop_impl(void *p__alloc, void *meta__ign) {}
KFUNC void *bpf_obj_new_impl(u64 local_type_id__k, void *meta__ign) { return 0; }
KFUNC void bpf_percpu_obj_drop_impl(void *p__alloc, void *meta__ign) {}
KFUNC void *bpf_percpu_obj_new_impl(u64 local_type_id__k, void *meta__ign) { return 0; }
KFUNC void *bpf_refcount_acquire_impl(void *p__refcounted_kptr, void *meta__ign) { return 0; }
KFUNC struct bpf_list_node *bpf_list_back(struct bpf_list_head *head) { return 0; }
KFUNC struct bpf_list_node *bpf_list_front(struct bpf_list_head *head) { return 0; }
KFUNC struct bpf_list_node *bpf_list_pop_back(struct bpf_list_head *head) { return 0; }
KFUNC struct bpf_list_node *bpf_list_pop_front(struct bpf_list_head *head) { return 0; }
KFUNC int bpf_list_push_back_impl(struct bpf_list_head *head, struct bpf_list_node *node,
	void *meta__ign, u64 off) { return 0; }
KFUNC int bpf_list_push_front_impl(struct bpf_list_head *head, struct bpf_list_node *node,
	void *meta__ign, u64 off) { return 0; }
KFUNC int bpf_rbtree_add_impl(struct bpf_rb_root *root, struct bpf_rb_node *node,
	bool (*less)(struct bpf_rb_node *, const struct bpf_rb_node *), void *meta__ign, u64 off) { return 0; }
KFUNC struct bpf_rb_node *bpf_rbtree_first(struct bpf_rb_root *root) { return 0; }
KFUNC struct bpf_rb_node *bpf_rbtree_left(struct bpf_rb_root *root,
	struct bpf_rb_node *node) { return 0; }
KFUNC struct bpf_rb_node *bpf_rbtree_remove(struct bpf_rb_root *root,
	struct bpf_rb_node *node) { return 0; }
KFUNC struct bpf_rb_node *bpf_rbtree_right(struct bpf_rb_root *root,
	struct bpf_rb_node *node) { return 0; }
KFUNC struct bpf_rb_node *bpf_rbtree_root(struct bpf_rb_root *root) { return 0; }
KFUNC int bpf_dynptr_adjust(const struct bpf_dynptr *p, u32 start, u32 end) { return 0; }
KFUNC int bpf_dynptr_clone(const struct bpf_dynptr *p,
	struct bpf_dynptr *clone__uninit) { return 0; }
KFUNC int bpf_dynptr_copy(struct bpf_dynptr *dst_ptr, u32 dst_off, struct bpf_dynptr *src_ptr,
	u32 src_off, u32 size) { return 0; }
KFUNC int bpf_dynptr_from_skb(struct __sk_buff *s, u64 flags,
	struct bpf_dynptr *ptr__uninit) { return 0; }
KFUNC int bpf_dynptr_from_skb_meta(struct __sk_buff *skb_, u64 flags,
	struct bpf_dynptr *ptr__uninit) { return 0; }
KFUNC int bpf_dynptr_from_xdp(struct xdp_md *x, u64 flags,
	struct bpf_dynptr *ptr__uninit) { return 0; }
KFUNC bool bpf_dynptr_is_null(const struct bpf_dynptr *p) { return 0; }
KFUNC bool bpf_dynptr_is_rdonly(const struct bpf_dynptr *p) { return 0; }
KFUNC int bpf_dynptr_memset(struct bpf_dynptr *p, u32 offset, u32 size, u8 val) { return 0; }
KFUNC __u32 bpf_dynptr_size(const struct bpf_dynptr *p) { return 0; }
KFUNC void *bpf_dynptr_slice(const struct bpf_dynptr *p, u32 offset, void *buffer__opt,
	u32 buffer__szk) { return 0; }
KFUNC void *bpf_dynptr_slice_rdwr(const struct bpf_dynptr *p, u32 offset, void *buffer__opt,
	u32 buffer__szk) { return 0; }
KFUNC void ARENA *bpf_arena_alloc_pages(void *p__map, void ARENA *addr__ign, u32 page_cnt,
	int node_id, u64 flags) { return 0; }
KFUNC void bpf_arena_free_pages(void *p__map, void ARENA *ptr__ign, u32 page_cnt) {}
KFUNC int bpf_arena_reserve_pages(void *p__map, void ARENA *ptr__ign, u32 page_cnt) { return 0; }
KFUNC int bpf_wq_init(struct bpf_wq *wq, void *p__map, unsigned int flags) { return 0; }
KFUNC int bpf_wq_set_callback_impl(struct bpf_wq *wq, int (*callback_fn)(void *, int *, void *),
	unsigned int flags, void *aux__prog) { return 0; }
KFUNC int bpf_wq_start(struct bpf_wq *wq, unsigned int flags) { return 0; }
KFUNC FASTCALL void *bpf_cast_to_kern_ctx(void *obj) { return 0; }
KFUNC FASTCALL void *bpf_rdonly_cast(const void *obj__ign, u32 btf_id__k) { return 0; }
