/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Section names that no Linux program type has: raw memory, and a host's own. */
#include <backstop/bpf.h>
#include <backstop/exceptions.h>

/* r1 points to memory of a length that the host states, in r2 its length. */
SEC("raw_mem")
u64 sum_of_bytes(u8 *memory, u64 length)
{
	u64 sum = 0;

	for (u32 i = 0; i < 64; i++)
		sum += memory[i];
	return sum;
}

SEC("raw_mem/throwing")
u64 throws_on_first_byte(u8 *memory, u64 length)
{
	bpf_assert_with(!memory[0], memory[0]);
	memory[1] = 9;
	return memory[1];
}

struct request {
	u32 method;
	u32 status;
	u64 bytes;
};

SEC("host/request")
u64 judge_request(struct request *request)
{
	bpf_assert_with(request->method < 8, 400);
	request->status = request->bytes > 1000 ? 413 : 200;
	return request->status;
}
