/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Sections that must end, and resilient locks. */
#include <backstop/held.h>
#include <backstop/exceptions.h>

char LICENSE[] SEC("license") = "GPL";

private(A) struct bpf_res_spin_lock first;
private(B) struct bpf_res_spin_lock second;
static long both;

// => 0
SEC("tc")
int one_in_the_other(struct __sk_buff *skb)
{
	unsigned long flags;

	bpf_preempt_disable();
	bpf_rcu_read_lock();
	bpf_local_irq_save(&flags);
	both = bpf_ktime_get_ns() == 0;
	bpf_local_irq_restore(&flags);
	bpf_rcu_read_unlock();
	bpf_preempt_enable();
	return both;
}

// accepted
SEC("tc")
int two_locks(struct __sk_buff *skb)
{
	unsigned long flags;

	if (bpf_res_spin_lock_irqsave(&first, &flags))
		return 0;
	if (!bpf_res_spin_lock(&second)) {
		both++;
		bpf_res_spin_unlock(&second);
	}
	bpf_res_spin_unlock_irqrestore(&first, &flags);
	return 1;
}

// refused: bpf_res_spin_unlock cannot be out of order
SEC("tc")
int out_of_order(struct __sk_buff *skb)
{
	if (bpf_res_spin_lock(&first))
		return 0;
	if (bpf_res_spin_lock(&second)) {
		bpf_res_spin_unlock(&first);
		return 0;
	}
	bpf_res_spin_unlock(&first);
	bpf_res_spin_unlock(&second);
	return 0;
}

// refused: cannot restore irq state out of order
SEC("xdp")
int flags_out_of_order(struct xdp_md *ctx)
{
	unsigned long outer, inner;

	bpf_local_irq_save(&outer);
	bpf_local_irq_save(&inner);
	bpf_local_irq_restore(&outer);
	bpf_local_irq_restore(&inner);
	return XDP_PASS;
}

// refused: cannot be used inside bpf_rcu_read_lock-ed region
SEC("tc")
int throws_in_a_section(struct __sk_buff *skb)
{
	bpf_rcu_read_lock();
	if (skb->len > 100)
		bpf_throw(1);
	bpf_rcu_read_unlock();
	return 0;
}
