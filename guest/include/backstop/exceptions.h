/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Exceptions for programs: throwing, asserting, and naming the function that decides
 * what a throw makes of the program's result.
 */
#ifndef BACKSTOP_EXCEPTIONS_H
#define BACKSTOP_EXCEPTIONS_H

#include "bpf.h"

/*
 * Ends the program at once, from any depth of calls. Without a callback of its own the
 * program's result is the cookie.
 *
 * It is deliberately not declared noreturn: clang would then end the function at the call,
 * and a subprogram must end in an exit or a jump.
 */
extern void bpf_throw(u64 cookie) __ksym;

/*
 * Names the program's exception callback, on the main function:
 *
 *     __noinline u64 on_throw(u64 cookie) { return XDP_DROP; }
 *
 *     SEC("xdp") __exception_cb(on_throw)
 *     int filter(struct xdp_md *ctx) { ... }
 *
 * The callback is a global function of one integer with an integer result.
 */
#define __exception_cb(name) __attribute__((btf_decl_tag("exception_callback:" #name)))

/* Throws `cookie` unless `condition` holds. */
#define bpf_assert_with(condition, cookie)                       \
	do {                                                     \
		if (__builtin_expect(!(condition), 0))           \
			bpf_throw(cookie);                       \
	} while (0)

/* Throws 0 unless `condition` holds. */
#define bpf_assert(condition) bpf_assert_with(condition, 0)

/*
 * Throws `cookie` unless low <= x <= high. `x` is an integer variable; it is hidden from the
 * optimiser before, between and after the two compares, so that the register that was
 * compared is the one that is used and the verifier knows its range from here on.
 */
#define bpf_assert_range_with(x, low, high, cookie)                      \
	do {                                                             \
		bpf_hide(x);                                             \
		if (__builtin_expect((x) < (low), 0))                    \
			bpf_throw(cookie);                               \
		bpf_hide(x);                                             \
		if (__builtin_expect((x) > (high), 0))                   \
			bpf_throw(cookie);                               \
		bpf_hide(x);                                             \
	} while (0)

/* Throws 0 unless low <= x <= high. */
#define bpf_assert_range(x, low, high) bpf_assert_range_with(x, low, high, 0)

#endif
