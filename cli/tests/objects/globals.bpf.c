/* Two global functions in .text: the first is the entry, calls to the other are left to relocations. */
typedef unsigned char u8;
typedef unsigned long long u64;

u64 sum(u64 a, u64 b);

u64 entry(u8 *memory, u64 length)
{
	if (length < 2)
		return 0;
	return sum(memory[0], memory[1]);
}

__attribute__((noinline)) u64 sum(u64 a, u64 b)
{
	return a + b;
}
