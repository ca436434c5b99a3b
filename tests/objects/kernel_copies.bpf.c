/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Structs of the kernel's as a generated vmlinux.h declares them: each field access is a CO-RE relocation, against types
 * that the built-in ones lack. The program's own copy is believed where it has the kernel's name.
 */
#include <backstop/bpf.h>
#include <backstop/core.h>

char LICENSE[] SEC("license") = "GPL";

struct ethhdr {
	unsigned char h_dest[6];
	unsigned char h_source[6];
	__be16 h_proto;
} __core;

struct udphdr {
	__be16 source;
	__be16 dest;
	__be16 len;
	__u16 check;
} __core;

struct udphdr___other {
	__be16 source;
} __core;

struct not_a_struct_of_linux {
	int field;
} __core;

// @12=0800: => 8
SEC("tc")
int reads_by_its_own_copy(struct __sk_buff *skb)
{
	void *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;
	struct ethhdr *eth = data;

	return data + sizeof(*eth) <= end ? eth->h_proto : 0;
}

// => 11
SEC("tc")
int copies_exist(struct __sk_buff *skb)
{
	return (bpf_core_type_exists(struct udphdr) ? 1 : 0) + (bpf_core_field_exists(((struct udphdr *)0)->dest) ? 2 : 0) +
	       (int)bpf_core_type_size(struct udphdr);
}

// refused: <invalid CO-RE relocation
SEC("tc")
int others_do_not(struct __sk_buff *skb)
{
	return bpf_core_field_offset(((struct not_a_struct_of_linux *)0)->field);
}
