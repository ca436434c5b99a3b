// Every kind of CO-RE relocation, one access each.
// clang-19 -g -O2 -target bpf -mcpu=v3 -gdwarf-5 -gembed-source -fdebug-compilation-dir=/src -c access.c; then llvm-objcopy --dump-section .BTF, .BTF.ext and tc.
#define core __attribute__((preserve_access_index))

struct inner {
	int a;
	unsigned char flag : 3;
	unsigned char mode : 5;
} core;

struct packet {
	unsigned int len;
	struct {
		union {
			long x;
			struct inner in;
		};
	};
	int arr[4];
	signed int hash : 7;
	char tail[];
} core;

struct packet___old {
	unsigned short length;
} core;

enum verdict { PASS = 1, DROP = -3 };
enum wide { HUGE = 0x123456789abcULL };
typedef struct packet packet_t;

extern const void some_symbol __attribute__((section(".ksyms")));
extern int report(struct packet *p, int n) __attribute__((section(".ksyms")));

int counter = 5;
static volatile int seen;

__attribute__((section("tc"))) int prog(struct packet *p)
{
	struct packet___old *old = (void *)p;
	long sum = p->len + p->arr[2] + p->in.a + p->tail[3];

	seen++;
	sum += __builtin_preserve_field_info(p->in.mode, 0);
	sum += __builtin_preserve_field_info(p->in.mode, 1);
	sum += __builtin_preserve_field_info(old->length, 2);
	sum += __builtin_preserve_field_info(p->hash, 3);
	sum += __builtin_preserve_field_info(p->in.mode, 4);
	sum += __builtin_preserve_field_info(p->in.mode, 5);
	sum += __builtin_btf_type_id(*(struct packet *)0, 0);
	sum += __builtin_btf_type_id(*(struct packet *)0, 1);
	sum += __builtin_preserve_type_info(*(packet_t *)0, 0);
	sum += __builtin_preserve_type_info(*(struct packet *)0, 1);
	sum += __builtin_preserve_type_info(*(struct packet *)0, 2);
	sum += __builtin_preserve_enum_value(*(enum verdict *)DROP, 0);
	sum += __builtin_preserve_enum_value(*(enum verdict *)DROP, 1);
	sum += __builtin_preserve_enum_value(*(enum wide *)HUGE, 1);
	return sum + report(p, counter) + (int)(long)&some_symbol;
}
