/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Loops that the verifier need not unroll: the kernel's iterator of numbers behind a `for`.
 * The body is verified once for any round, so that a loop of a million rounds costs what one of ten does.
 */
#ifndef BACKSTOP_LOOPS_H
#define BACKSTOP_LOOPS_H

#include <backstop/bpf.h>

/*
 * The iterator lives in a loop of one round, so that the name it has ends with it; `break`, `return` and `goto`
 * out of the body give it back as its end does.
 */
#define BACKSTOP_NUMBERS(from, to) \
	for (struct bpf_iter_num backstop_numbers __attribute__((cleanup(bpf_iter_num_destroy))), \
	     *backstop_once = (bpf_iter_num_new(&backstop_numbers, (from), (to)), &backstop_numbers); \
	     backstop_once; backstop_once = NULL)

/*
 * bpf_for(i, from, to) BODY: runs BODY with `i` from `from` to `to - 1`. `i` is an int declared before. What is
 * tested again tells the verifier its range.
 */
#define bpf_for(i, from, to) \
	BACKSTOP_NUMBERS((from), (to)) \
		for (int *backstop_next; (backstop_next = bpf_iter_num_next(&backstop_numbers)) && \
		     ((i) = *backstop_next, (i) >= (from) && (i) < (to));)

/* bpf_repeat(rounds) BODY: runs BODY so often. */
#define bpf_repeat(rounds) \
	BACKSTOP_NUMBERS(0, (rounds)) \
		while (bpf_iter_num_next(&backstop_numbers))

#endif
