// Types of every kind that clang makes for C, in two functions and three sections.
// clang-19 -g -O2 -target bpf -mcpu=v3 -gdwarf-5 -gembed-source -fdebug-compilation-dir=/src -c shapes.c; then llvm-objcopy --dump-section .BTF, .BTF.ext and tc.
#define tag(x) __attribute__((btf_decl_tag(x)))
#define type_tag(x) __attribute__((btf_type_tag(x)))

struct forward;
union uforward;

struct node {
	struct node *next;
	const volatile char *restrict name;
	struct forward *f;
	union uforward *u;
	int type_tag("rcu") *guarded;
	int (*compare)(const void *, struct node *, ...);
	double weight;
	float small[2][3];
	unsigned long long bits : 40;
	_Bool on tag("member");
	union {
		struct { short lo, hi; };
		unsigned int both;
	};
} tag("whole");

typedef int (*callback_t)(struct node *n, void *ctx);
typedef unsigned long long u64;

enum small { ONE = 1, TWO = 2 };
enum negative { MINUS = -1 };
enum big { BIG = 1ULL << 40, BIGGER };

struct node table[3];
const char text[] __attribute__((section(".rodata.text"))) = "a \"quoted\" text";
enum big kind = BIG;
enum negative sign;
callback_t hook;

static __attribute__((noinline)) int helper(struct node *n tag("argument"), enum small s)
{
	volatile int x = n->both;
	return x + s + sign;
}

__attribute__((section("tc"))) int prog(struct node *ctx)
{
	u64 a = table[1].bits + (u64)kind;
	return helper(ctx, TWO) + a + text[ctx->lo & 7] + (hook != 0);
}
