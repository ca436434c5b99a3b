/* What runners of ISA tests hand over: code in .text, without SEC, maps or license. The entry is the one global function; calls to the
 * static ones are resolved. */
typedef unsigned char u8;
typedef unsigned long long u64;

static __attribute__((noinline)) u64 weighted(u64 byte, u64 weight)
{
	return byte * weight + 1;
}

static __attribute__((noinline)) u64 twice(u64 byte)
{
	return weighted(byte, 2) + weighted(byte, 3);
}

u64 entry(u8 *memory, u64 length)
{
	if (length != 3)
		return length;
	return twice(memory[1]) << 8 | weighted(memory[2], 5);
}
