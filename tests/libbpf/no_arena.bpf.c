/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* A variable in an arena that the object does not declare. */
#include <backstop/held.h>

char LICENSE[] SEC("license") = "GPL";

int __arena counter;

SEC("tc")
int counts(struct __sk_buff *skb)
{
	return counter++;
}
