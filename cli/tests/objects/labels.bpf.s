# Hand-made: labels without a type, a section of no convention, a call by label and one to a label of another section.
	.section	suite, "ax", @progbits
	.globl	entry
entry:
	r6 = r1
	r1 = 20
	call local
	r1 = r0
	call other
	if r0 == 0 goto out
	r0 += 1
out:
	exit
local:
	r0 = r1
	r0 += 1
	exit

	.text
	.globl	other
other:
	r0 = r1
	r0 *= 2
	exit
