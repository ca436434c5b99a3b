/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The instructions of cpu v4 and the atomics, written out so that each is in the object whatever
 * clang would choose. Operands are words of the context: a at 0, b at 8.
 * build: -mcpu=v4
 */
#include <backstop/bpf.h>

char LICENSE[] SEC("license") = "GPL";

struct operands {
	u64 a;
	u64 b;
};

#define BINARY(name, instruction)                                                \
	SEC("syscall")                                                           \
	int name(struct operands *ctx)                                           \
	{                                                                        \
		u64 a = ctx->a, b = ctx->b;                                      \
										 \
		__asm__ volatile(instruction : [a] "+r"(a) : [b] "r"(b));        \
		return a ^ a >> 32;                                              \
	}

#define BINARY32(name, operator)                                                 \
	SEC("syscall")                                                           \
	int name(struct operands *ctx)                                           \
	{                                                                        \
		u64 a = ctx->a, b = ctx->b;                                      \
										 \
		__asm__ volatile("r1 = %[a]\n\tr2 = %[b]\n\tw1 " operator " w2\n\t" \
				 "%[a] = r1"                                     \
				 : [a] "+r"(a)                                   \
				 : [b] "r"(b)                                    \
				 : "r1", "r2");                                  \
		return a ^ a >> 32;                                              \
	}

/* ---- signed division: 0 divides to 0, modulo 0 leaves the dividend, the minimum wraps ---- */

// => 0
// @0=9cffffffffffffff @8=07: => 13
// @0=9cffffffffffffff @8=f9ffffffffffffff: => 14
// @0=0000000000000080 @8=ffffffffffffffff: => 0x80000000
// @0=64: => 0
BINARY(sdiv64, "%[a] s/= %[b]")

// => 0
// @0=9cffffffffffffff @8=07: => 1
// @0=64 @8=f9ffffffffffffff: => 2
// @0=0000000000000080 @8=ffffffffffffffff: => 0
// @0=64: => 100
BINARY(smod64, "%[a] s%%= %[b]")

// => 0
// @0=9cffffff @8=07: => 0xfffffff2
// @0=00000080 @8=ffffffff: => 0x80000000
// @0=6400000001: => 0
BINARY32(sdiv32, "s/=")

// => 0
// @0=9cffffff @8=07: => 0xfffffffe
// @0=00000080 @8=ffffffff: => 0
// @0=6400000001: => 100
BINARY32(smod32, "s%%=")

// => 0
// @0=9cffffffffffffff: => 33
BINARY(sdiv64_constant, "%[a] s/= -3")

// => 0
// @0=9cffffffffffffff: => 0
BINARY(smod64_constant, "%[a] s%%= -3")

/* ---- sign-extending moves ---- */

// => 0
// @8=80: => 0x7f
// @8=7f: => 0x7f
BINARY(movsx8, "%[a] = (s8)%[b]")

// => 0
// @8=0080: => 0x7fff
BINARY(movsx16, "%[a] = (s16)%[b]")

// => 0
// @8=00000080: => 0x7fffffff
// @8=0100000001: => 1
BINARY(movsx32, "%[a] = (s32)%[b]")

// => 0
// @8=80: => 0xffffff80
// @8=7fffffffffffffff: => 0x7f
BINARY32(movsx8_32, "= (s8)")

// => 0
// @8=0080: => 0xffff8000
BINARY32(movsx16_32, "= (s16)")

/* ---- byte swaps, whatever the host's order ---- */

// => 0
// @0=0102030405060708: => 0x0102
BINARY(bswap16, "%[a] = bswap16 %[a]")

// => 0
// @0=0102030405060708: => 0x01020304
BINARY(bswap32, "%[a] = bswap32 %[a]")

// => 0
// @0=0102030405060708: => 0x0404040c
BINARY(bswap64, "%[a] = bswap64 %[a]")

// => 0
// @0=0102030405060708: => 0x0102
BINARY(be16, "%[a] = be16 %[a]")

// => 0
// @0=0102030405060708: => 0x01020304
BINARY(be32, "%[a] = be32 %[a]")

// => 0
// @0=0102030405060708: => 0x0404040c
BINARY(be64, "%[a] = be64 %[a]")

// => 0
// @0=0102030405060708: => 0x0201
BINARY(le16, "%[a] = le16 %[a]")

// => 0
// @0=0102030405060708: => 0x04030201
BINARY(le32, "%[a] = le32 %[a]")

// => 0
// @0=0102030405060708: => 0x0c040404
BINARY(le64, "%[a] = le64 %[a]")

/* ---- sign-extending loads ---- */

#define LOAD(name, type)                                                         \
	SEC("syscall")                                                           \
	int name(struct operands *ctx)                                           \
	{                                                                        \
		volatile u64 slot = ctx->a;                                      \
		u64 a;                                                           \
										 \
		__asm__ volatile("%[a] = *(" type " *)(%[p] + 0)"                \
				 : [a] "=r"(a)                                   \
				 : [p] "r"(&slot)                                \
				 : "memory");                                    \
		return a ^ a >> 32;                                              \
	}

// => 0
// @0=80: => 0x7f
LOAD(ldsx8, "s8")

// => 0
// @0=0080: => 0x7fff
LOAD(ldsx16, "s16")

// => 0
// @0=00000080: => 0x7fffffff
// @0=0100000001: => 1
LOAD(ldsx32, "s32")

/* ---- far jumps ---- */

// => 7
// @0=01: => 9
SEC("syscall")
int gotol(struct operands *ctx)
{
	u64 a = ctx->a, result = 0;

	__asm__ volatile("if %[a] == 0 goto 1f\n\t"
			 "%[result] = 9\n\t"
			 "gotol 2f\n\t"
			 "1:\n\t"
			 "%[result] = 7\n\t"
			 "2:"
			 : [result] "+r"(result)
			 : [a] "r"(a));
	return result;
}

/* ---- atomics ---- */

/* The slot holds a, the register b; the result mixes what came back and what is left. */
#define ATOMIC(name, instruction)                                                \
	SEC("syscall")                                                           \
	int name(struct operands *ctx)                                           \
	{                                                                        \
		volatile u64 slot = ctx->a;                                      \
		u64 b = ctx->b;                                                  \
										 \
		__asm__ volatile("r1 = %[b]\n\t" instruction "\n\t%[b] = r1"     \
				 : [b] "+r"(b)                                   \
				 : [p] "r"(&slot)                                \
				 : "r1", "memory");                              \
		b = b * 0x10000 + slot;                                          \
		return b ^ b >> 32;                                              \
	}

// => 0
// @0=05 @8=07: => 0x7000c
ATOMIC(atomic_add64, "lock *(u64 *)(%[p] + 0) += r1")

// => 0
// @0=ffffffff @8=01: => 0x10000
ATOMIC(atomic_add32, "lock *(u32 *)(%[p] + 0) += w1")

// => 0
// @0=0d @8=07: => 0x70005
ATOMIC(atomic_and64, "lock *(u64 *)(%[p] + 0) &= r1")

// => 0
// @0=05 @8=0a: => 0xa000f
ATOMIC(atomic_or32, "lock *(u32 *)(%[p] + 0) |= w1")

// => 0
// @0=05 @8=07: => 0x70002
ATOMIC(atomic_xor64, "lock *(u64 *)(%[p] + 0) ^= r1")

// => 0
// @0=05 @8=07: => 0x5000c
ATOMIC(atomic_fetch_add64, "r1 = atomic_fetch_add((u64 *)(%[p] + 0), r1)")

/* A 32-bit fetch clears the register's upper half. */
// => 0
// @0=05 @8=07000000ffffffff: => 0x5000c
ATOMIC(atomic_fetch_add32, "w1 = atomic_fetch_add((u32 *)(%[p] + 0), w1)")

// => 0
// @0=0d @8=07: => 0xd0005
ATOMIC(atomic_fetch_and64, "r1 = atomic_fetch_and((u64 *)(%[p] + 0), r1)")

// => 0
// @0=05 @8=0a: => 0x5000f
ATOMIC(atomic_fetch_or32, "w1 = atomic_fetch_or((u32 *)(%[p] + 0), w1)")

// => 0
// @0=05 @8=07: => 0x50002
ATOMIC(atomic_fetch_xor64, "r1 = atomic_fetch_xor((u64 *)(%[p] + 0), r1)")

// => 0
// @0=05 @8=07: => 0x50007
ATOMIC(atomic_xchg64, "r1 = xchg_64(%[p] + 0, r1)")

// => 0
// @0=05 @8=07000000ffffffff: => 0x50007
ATOMIC(atomic_xchg32, "w1 = xchg32_32(%[p] + 0, w1)")

/* Compares the slot with r0: 5 here. What was in the slot comes back in r0. */
#define COMPARE_EXCHANGE(name, instruction)                                      \
	SEC("syscall")                                                           \
	int name(struct operands *ctx)                                           \
	{                                                                        \
		volatile u64 slot = ctx->a;                                      \
		u64 b = ctx->b;                                                  \
										 \
		__asm__ volatile("r0 = 5\n\tr1 = %[b]\n\t" instruction "\n\t%[b] = r0" \
				 : [b] "+r"(b)                                   \
				 : [p] "r"(&slot)                                \
				 : "r0", "r1", "memory");                        \
		b = b * 0x10000 + slot;                                          \
		return b ^ b >> 32;                                              \
	}

// => 0
// @0=05 @8=07: => 0x50007
// @0=06 @8=07: => 0x60006
COMPARE_EXCHANGE(atomic_cmpxchg64, "r0 = cmpxchg_64(%[p] + 0, r0, r1)")

// => 0
// @0=05 @8=07: => 0x50007
// @0=06 @8=07: => 0x60006
COMPARE_EXCHANGE(atomic_cmpxchg32, "w0 = cmpxchg32_32(%[p] + 0, w0, w1)")

/* ---- what clang makes of plain C at this level ---- */

// => 0
// @0=9cffffff @8=05: => 0xffffffec
SEC("syscall")
int plain_c(struct operands *ctx)
{
	s32 a = ctx->a, b = ctx->b;
	s8 narrow = ctx->a;

	if (!b)
		return 0;
	return a / b + a % b + (narrow + 100);
}
