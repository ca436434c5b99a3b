/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* A kfunc that is not there and not weak: the object can't be loaded, whatever the program does. */
#include <backstop/bpf.h>

char LICENSE[] SEC("license") = "GPL";

extern int bpf_no_such_kfunc(int x) __ksym;

// refused
SEC("tc")
int calls_missing(struct __sk_buff *skb)
{
	if (skb->len > 100000)
		return bpf_no_such_kfunc(1);
	return 1;
}
