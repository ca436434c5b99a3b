typedef unsigned char u8; typedef unsigned short u16; typedef unsigned int u32; typedef unsigned long long u64; typedef int s32; typedef long long s64;
#ifndef FN
#define FN bench
#endif
#ifdef SECTION
/* Raw-memory BPF: the program's section says what it is given. */
u64 FN(u8 *m) __attribute__((section(SECTION)));
#endif
#define NOINLINE static __attribute__((noinline))
#define INLINE static inline __attribute__((always_inline))
#define MEM 8192
/* Keep loop counters as indices: hide a value from the optimiser at no cost. */
#define HIDE(x) __asm__ volatile("" : "+r"(x))
INLINE u32 rol32(u32 x, int r){ return (x<<r)|(x>>(32-r)); }
INLINE u64 rol64(u64 x, int r){ return (x<<r)|(x>>(64-r)); }
