/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * What a program holds for a while and must give back: allocated objects, lists and trees of them, pointers that maps
 * own, sections, dynptrs, work that runs later, pages of an arena. Prototypes are those of Linux 6.18.
 */
#ifndef BACKSTOP_HELD_H
#define BACKSTOP_HELD_H

#include <backstop/bpf.h>

/* ---- allocated objects ---- */

extern void *bpf_obj_new_impl(__u64 local_type_id, void *meta) __ksym;
extern void bpf_obj_drop_impl(void *object, void *meta) __ksym;
extern void *bpf_percpu_obj_new_impl(__u64 local_type_id, void *meta) __ksym;
extern void bpf_percpu_obj_drop_impl(void *object, void *meta) __ksym;
extern void *bpf_refcount_acquire_impl(void *object, void *meta) __ksym;

#define BACKSTOP_TYPE_ID(type) __builtin_btf_type_id(*(type *)0, 0)

/* A new object of a struct, zeroed; NULL if there is no memory. It must be dropped, linked or stored. */
#define bpf_obj_new(type) ((type *)bpf_obj_new_impl(BACKSTOP_TYPE_ID(type), NULL))
#define bpf_obj_drop(object) bpf_obj_drop_impl((object), NULL)
/* One object a CPU. */
#define bpf_percpu_obj_new(type) ((type __percpu_kptr *)bpf_percpu_obj_new_impl(BACKSTOP_TYPE_ID(type), NULL))
#define bpf_percpu_obj_drop(object) bpf_percpu_obj_drop_impl((void *)(object), NULL)
/* One more reference to an object with a `struct bpf_refcount`. */
#define bpf_refcount_acquire(object) bpf_refcount_acquire_impl((object), NULL)

BACKSTOP_HELPER(153, void *, bpf_per_cpu_ptr, const void *object, __u32 cpu);
BACKSTOP_HELPER(154, void *, bpf_this_cpu_ptr, const void *object);

#define container_of(pointer, type, member) ((type *)((char *)(pointer) - __builtin_offsetof(type, member)))

/* ---- lists and red-black trees ---- */

/* What a head or root holds: objects of a struct, by this member of theirs. */
#define __contains(name, member) __attribute__((btf_decl_tag("contains:" #name ":" #member)))

/* A variable in a section of its own: a lock and the heads and roots that it guards go into the same one. */
#define private(name) SEC(".bss." #name) __hidden __aligned(8)

extern int bpf_list_push_front_impl(struct bpf_list_head *head, struct bpf_list_node *node, void *meta,
				    __u64 off) __ksym;
extern int bpf_list_push_back_impl(struct bpf_list_head *head, struct bpf_list_node *node, void *meta,
				   __u64 off) __ksym;
extern struct bpf_list_node *bpf_list_pop_front(struct bpf_list_head *head) __ksym;
extern struct bpf_list_node *bpf_list_pop_back(struct bpf_list_head *head) __ksym;
extern struct bpf_list_node *bpf_list_front(struct bpf_list_head *head) __ksym;
extern struct bpf_list_node *bpf_list_back(struct bpf_list_head *head) __ksym;
extern int bpf_rbtree_add_impl(struct bpf_rb_root *root, struct bpf_rb_node *node,
			       bool(less)(struct bpf_rb_node *, const struct bpf_rb_node *), void *meta,
			       __u64 off) __ksym;
extern struct bpf_rb_node *bpf_rbtree_remove(struct bpf_rb_root *root, struct bpf_rb_node *node) __ksym;
extern struct bpf_rb_node *bpf_rbtree_first(struct bpf_rb_root *root) __ksym;
extern struct bpf_rb_node *bpf_rbtree_root(struct bpf_rb_root *root) __ksym;
extern struct bpf_rb_node *bpf_rbtree_left(struct bpf_rb_root *root, struct bpf_rb_node *node) __ksym;
extern struct bpf_rb_node *bpf_rbtree_right(struct bpf_rb_root *root, struct bpf_rb_node *node) __ksym;

#define bpf_list_push_front(head, node) bpf_list_push_front_impl((head), (node), NULL, 0)
#define bpf_list_push_back(head, node) bpf_list_push_back_impl((head), (node), NULL, 0)
#define bpf_rbtree_add(root, node, less) bpf_rbtree_add_impl((root), (node), (less), NULL, 0)

/* ---- sections and locks ---- */

extern void bpf_rcu_read_lock(void) __ksym;
extern void bpf_rcu_read_unlock(void) __ksym;
extern void bpf_preempt_disable(void) __ksym;
extern void bpf_preempt_enable(void) __ksym;
extern void bpf_local_irq_save(unsigned long *flags) __ksym;
extern void bpf_local_irq_restore(unsigned long *flags) __ksym;
/* 0, or negative if the lock was not taken. */
extern int bpf_res_spin_lock(struct bpf_res_spin_lock *lock) __ksym;
extern void bpf_res_spin_unlock(struct bpf_res_spin_lock *lock) __ksym;
extern int bpf_res_spin_lock_irqsave(struct bpf_res_spin_lock *lock, unsigned long *flags) __ksym;
extern void bpf_res_spin_unlock_irqrestore(struct bpf_res_spin_lock *lock, unsigned long *flags) __ksym;

/* ---- dynptrs ---- */

extern int bpf_dynptr_from_skb(struct __sk_buff *skb, __u64 flags, struct bpf_dynptr *to) __ksym;
extern int bpf_dynptr_from_xdp(struct xdp_md *xdp, __u64 flags, struct bpf_dynptr *to) __ksym;
/* Bytes of it in one piece: where they lie, or copied into the buffer; NULL if they lie outside. */
extern void *bpf_dynptr_slice(const struct bpf_dynptr *from, __u32 offset, void *buffer, __u32 size) __ksym;
extern void *bpf_dynptr_slice_rdwr(const struct bpf_dynptr *from, __u32 offset, void *buffer, __u32 size) __ksym;
extern int bpf_dynptr_adjust(const struct bpf_dynptr *of, __u32 start, __u32 end) __ksym;
extern bool bpf_dynptr_is_null(const struct bpf_dynptr *of) __ksym;
extern bool bpf_dynptr_is_rdonly(const struct bpf_dynptr *of) __ksym;
extern __u32 bpf_dynptr_size(const struct bpf_dynptr *of) __ksym;
extern int bpf_dynptr_clone(const struct bpf_dynptr *of, struct bpf_dynptr *to) __ksym;

/* ---- work that runs later ---- */

extern int bpf_wq_init(struct bpf_wq *wq, void *map, unsigned int flags) __ksym;
extern int bpf_wq_start(struct bpf_wq *wq, unsigned int flags) __ksym;
extern int bpf_wq_set_callback_impl(struct bpf_wq *wq, int(callback)(void *map, int *key, void *value),
				    unsigned int flags, void *aux) __ksym;
#define bpf_wq_set_callback(wq, callback, flags) bpf_wq_set_callback_impl((wq), (callback), (flags), NULL)

/* ---- arenas ---- */

/* A pointer into an arena, or a variable in it. Wants a clang that casts address spaces (19). */
#define __arena __attribute__((address_space(1)))

extern void __arena *bpf_arena_alloc_pages(void *map, void __arena *at, __u32 pages, int node, __u64 flags) __ksym;
extern void bpf_arena_free_pages(void *map, void __arena *at, __u32 pages) __ksym;

#endif
