/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Open-coded iterators behind bpf_for and bpf_repeat: whole, cut short, nested, left by return. */
#include <backstop/loops.h>

char LICENSE[] SEC("license") = "GPL";

// => 4950
SEC("syscall")
int sum_below_100(void *ctx)
{
	int i, sum = 0;

	bpf_for(i, 0, 100)
		sum += i;
	return sum;
}

// => 55
SEC("tc")
int breaks_off(void *ctx)
{
	int i, sum = 0;

	bpf_for(i, 1, 1000000) {
		if (i > 10)
			break;
		sum += i;
	}
	return sum;
}

static __noinline int first_square_above(int bound)
{
	int i;

	bpf_for(i, 0, 1000) {
		if (i * i > bound)
			return i;
	}
	return -1;
}

// => 32
SEC("tc")
int returns_from_the_loop(void *ctx)
{
	return first_square_above(1000);
}

// => 48
SEC("syscall")
int nested(void *ctx)
{
	int i, rounds = 0;

	bpf_for(i, 0, 4) {
		if (i == 2)
			continue;
		bpf_repeat(16)
			rounds++;
	}
	return rounds;
}

// => 0
SEC("syscall")
int no_round(void *ctx)
{
	int i, sum = 0;

	bpf_for(i, 5, 5)
		sum += i + 1;
	return sum;
}

// => 9
SEC("syscall")
int index_is_bounded(void *ctx)
{
	u8 bytes[16] = {};
	int i;

	bpf_for(i, 0, 16)
		bytes[i] = i;
	return bytes[4] + bytes[5];
}
