/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Linked lists and red-black trees of allocated objects, as C programs use them. */
#include <backstop/held.h>
#include <backstop/exceptions.h>
#include <backstop/loops.h>

char LICENSE[] SEC("license") = "GPL";

struct job {
	__u64 due;
	struct bpf_list_node in_list;
	struct bpf_rb_node in_tree;
	struct bpf_refcount refs;
	__u32 id;
};

private(A) struct bpf_spin_lock lock;
private(A) struct bpf_list_head list __contains(job, in_list);
private(A) struct bpf_rb_root tree __contains(job, in_tree);
private(B) struct bpf_spin_lock other_lock;

static bool sooner(struct bpf_rb_node *a, const struct bpf_rb_node *b)
{
	return container_of(a, struct job, in_tree)->due < container_of(b, struct job, in_tree)->due;
}

// accepted
SEC("tc")
int in_both(struct __sk_buff *skb)
{
	struct job *job = bpf_obj_new(struct job), *again;
	if (!job)
		return 0;
	job->due = skb->len;
	again = bpf_refcount_acquire(job);
	bpf_spin_lock(&lock);
	bpf_list_push_back(&list, &job->in_list);
	bpf_rbtree_add(&tree, &again->in_tree, sooner);
	/* Still to be seen while the lock is held. */
	job->id = 1;
	bpf_spin_unlock(&lock);
	return 1;
}

// accepted
SEC("xdp")
int takes_the_first(struct xdp_md *ctx)
{
	struct bpf_rb_node *node;
	__u32 id;

	bpf_spin_lock(&lock);
	node = bpf_rbtree_first(&tree);
	if (node)
		node = bpf_rbtree_remove(&tree, node);
	bpf_spin_unlock(&lock);
	if (!node)
		return XDP_PASS;
	struct job *job = container_of(node, struct job, in_tree);
	id = job->id;
	bpf_obj_drop(job);
	return id ? XDP_PASS : XDP_DROP;
}

// accepted
SEC("syscall")
int drains_the_list(void *ctx)
{
	struct bpf_list_node *node;
	int dropped = 0;

	bpf_repeat(100) {
		bpf_spin_lock(&lock);
		node = bpf_list_pop_front(&list);
		bpf_spin_unlock(&lock);
		if (!node)
			break;
		bpf_obj_drop(container_of(node, struct job, in_list));
		dropped++;
	}
	return dropped;
}

// accepted
SEC("cgroup_skb/egress")
int walks_down(struct __sk_buff *skb)
{
	struct bpf_rb_node *node;
	__u64 due = 0;
	int depth;

	bpf_spin_lock(&lock);
	node = bpf_rbtree_root(&tree);
	bpf_for(depth, 0, 32) {
		if (!node)
			break;
		due = container_of(node, struct job, in_tree)->due;
		node = due > 100 ? bpf_rbtree_left(&tree, node) : bpf_rbtree_right(&tree, node);
	}
	bpf_spin_unlock(&lock);
	return due != 0;
}

// refused: Unreleased reference
SEC("tc")
int leaks(struct __sk_buff *skb)
{
	struct job *job = bpf_obj_new(struct job);
	return job ? (int)job->id : 0;
}

// refused: bpf_spin_lock at off=0 must be held for bpf_list_head
SEC("tc")
int pushes_without_the_lock(struct __sk_buff *skb)
{
	struct job *job = bpf_obj_new(struct job);
	if (job)
		bpf_list_push_front(&list, &job->in_list);
	return 0;
}

// refused: bpf_spin_lock at off=0 must be held for bpf_list_head
SEC("tc")
int pushes_under_another_lock(struct __sk_buff *skb)
{
	struct job *job = bpf_obj_new(struct job);
	if (!job)
		return 0;
	bpf_spin_lock(&other_lock);
	bpf_list_push_front(&list, &job->in_list);
	bpf_spin_unlock(&other_lock);
	return 0;
}

// refused: invalid mem access 'scalar'
SEC("tc")
int looks_after_the_unlock(struct __sk_buff *skb)
{
	struct job *job = bpf_obj_new(struct job);
	if (!job)
		return 0;
	bpf_spin_lock(&lock);
	bpf_list_push_front(&list, &job->in_list);
	bpf_spin_unlock(&lock);
	return job->id;
}

// refused: Unreleased reference
SEC("tc")
int throws_with_an_object(struct __sk_buff *skb)
{
	struct job *job = bpf_obj_new(struct job);
	if (!job)
		return 0;
	if (skb->len > 100)
		bpf_throw(1);
	bpf_obj_drop(job);
	return 0;
}

// refused: calling kernel function bpf_obj_new_impl is not allowed
SEC("raw_tp/sys_enter")
int objects_in_a_raw_tracepoint(void *ctx)
{
	struct job *job = bpf_obj_new(struct job);
	if (job)
		bpf_obj_drop(job);
	return 0;
}

// refused: tracing progs cannot use
SEC("kprobe/any")
int tree_in_a_kprobe(void *ctx)
{
	return *(volatile int *)&lock;
}
