# SPDX-License-Identifier: MIT OR Apache-2.0
# An object with a .bpf_cleanup section, as a compiler that knows landing pads makes it: rows of
# u32 begin, end, pad, byte offsets into the section of their relocation. A call in [begin, end)
# that ends in a throw shall go on at pad.

	.section license,"aw",@progbits
	.asciz "GPL"

	.text
	.type may_throw,@function
may_throw:
	r0 = r1
	exit
.Lmay_throw_end:
	.size may_throw, .Lmay_throw_end-may_throw

	.section tc,"ax",@progbits
	.globl has_landing_pad
	.p2align 3
	.type has_landing_pad,@function
has_landing_pad:
	r6 = *(u32 *)(r1 + 0)
	r1 = r6
.Lbegin:
	call may_throw
.Lend:
	exit
.Lpad:
	r0 = r6
	exit
.Lhas_landing_pad_end:
	.size has_landing_pad, .Lhas_landing_pad_end-has_landing_pad

	.section .bpf_cleanup,"a",@progbits
	.long .Lbegin
	.long .Lend
	.long .Lpad
