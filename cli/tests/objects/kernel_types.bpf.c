/* Programs that use the kernel's own objects. Names begin with Linux 6.18's verdict. Structs are declared as far as they are used:
 * offsets come from the kernel's types by CO-RE. */
typedef unsigned char u8;
typedef unsigned short u16;
typedef int s32;
typedef unsigned int u32;
typedef unsigned long long u64;

#define SEC(name) __attribute__((section(name), used))
#define KSYM __attribute__((section(".ksyms")))
#define CORE __attribute__((preserve_access_index))
#define TRUSTED __attribute__((btf_decl_tag("arg:trusted")))
#define NULLABLE __attribute__((btf_decl_tag("arg:nullable")))
#define KPTR __attribute__((btf_type_tag("kptr")))
#define NOINLINE __attribute__((noinline))

char _license[] SEC("license") = "GPL";

struct inode { u64 i_ino; } CORE;
struct file { struct inode *f_inode; } CORE;
struct mm_struct { struct file *exe_file; u64 start_code; } CORE;
struct task_struct {
	s32 pid;
	char comm[16];
	struct mm_struct *mm;
	struct task_struct *real_parent, *group_leader;
} CORE;
struct task_struct___newer { s32 pid; s32 not_there; } CORE;
struct net_device { s32 ifindex; } CORE;
struct sk_buff { u32 len; struct net_device *dev; u8 *head; } CORE;
struct skb_shared_info { u8 nr_frags; } CORE;
struct __sk_buff;
struct pt_regs { u64 ip; } CORE;

static struct task_struct *(*current)(void) = (void *)158;
static struct pt_regs *(*regs_of)(struct task_struct *) = (void *)175;
static void *(*lookup)(void *, const void *) = (void *)1;
static s32 (*update)(void *, const void *, const void *, u64) = (void *)2;
static s32 (*compare)(const char *, u32, const char *) = (void *)182;
static void *(*exchange)(void *, void *) = (void *)194;
extern void *bpf_cast_to_kern_ctx(void *) KSYM;
extern void *bpf_rdonly_cast(const void *, u32) KSYM;
extern struct task_struct *bpf_task_acquire(struct task_struct *) KSYM;
extern struct task_struct *bpf_task_from_pid(s32) KSYM;
extern void bpf_task_release(struct task_struct *) KSYM;

struct value { struct task_struct KPTR *task; u64 n; };
struct {
	int (*type)[2];
	int (*max_entries)[1];
	u32 *key;
	struct value *value;
} kept SEC(".maps");

const char text[4] SEC(".rodata") = "abc";
u64 out;

SEC("tracepoint/a/b") int accept_fields(void *ctx)
{
	struct task_struct *task = current();

	out = task->pid + task->comm[3] + task->real_parent->group_leader->pid;
	return 0;
}

SEC("kprobe/a") int accept_walk(void *ctx)
{
	out = current()->mm->exe_file->f_inode->i_ino;
	return 0;
}

SEC("raw_tp/a") int accept_newer_kernel(void *ctx)
{
	struct task_struct___newer *task = (void *)current();

	if (__builtin_preserve_field_info(task->not_there, 2))
		out = task->not_there;
	return 0;
}

SEC("raw_tp/a") int reject_newer_kernel(void *ctx)
{
	struct task_struct___newer *task = (void *)current();

	out = task->not_there;
	return 0;
}

SEC("raw_tp/a") int reject_write(void *ctx)
{
	current()->pid = 1;
	return 0;
}

SEC("tc") int accept_packet(struct __sk_buff *ctx)
{
	struct sk_buff *skb = bpf_cast_to_kern_ctx(ctx);

	out = skb->dev->ifindex + skb->len;
	return 0;
}

SEC("tc") int accept_shared(struct __sk_buff *ctx)
{
	struct sk_buff *skb = bpf_cast_to_kern_ctx(ctx);
	struct skb_shared_info *shared = bpf_rdonly_cast(skb->head, __builtin_btf_type_id(*(struct skb_shared_info *)0, 1));

	out = shared->nr_frags;
	return 0;
}

SEC("xdp") int reject_other_context(void *ctx)
{
	struct sk_buff *skb = bpf_cast_to_kern_ctx(ctx);

	out = skb->len;
	return 2;
}

NOINLINE int pid_of(struct task_struct *task TRUSTED)
{
	return task->pid;
}

NOINLINE int pid_or_0(struct task_struct *task TRUSTED NULLABLE)
{
	return task ? task->pid : 0;
}

SEC("tracepoint/a/b") int accept_argument(void *ctx)
{
	return pid_of(current()->group_leader) + pid_or_0(0);
}

SEC("tracepoint/a/b") int reject_argument(void *ctx)
{
	return pid_of(0);
}

SEC("syscall") int reject_outside_of_section(void *ctx)
{
	return pid_of(current()->group_leader);
}

SEC("syscall") int accept_owned(void *ctx)
{
	struct task_struct *task = bpf_task_from_pid(1);

	if (!task)
		return 0;
	out = regs_of(task)->ip;
	bpf_task_release(task);
	return 0;
}

SEC("syscall") int reject_leak(void *ctx)
{
	struct task_struct *task = bpf_task_from_pid(1);

	return task ? task->pid : 0;
}

NOINLINE int compares(struct task_struct *task TRUSTED)
{
	return compare((char *)task, sizeof(text), text);
}

/* The map is filled as plain memory, where nothing but the kernel's own update leaves the field alone. */
SEC("tracepoint/a/b") int accept_stored_read(void *ctx)
{
	u32 key = 0;
	u64 words[2] = { 0xdead0000, 0 };
	struct value *value;
	struct task_struct *task;

	update(&kept, &key, words, 0);
	value = lookup(&kept, &key);
	task = value ? value->task : 0;
	return task ? compares(task) : 0;
}

SEC("tracepoint/a/b") int accept_kept(void *ctx)
{
	u32 key = 0;
	struct value *value = lookup(&kept, &key);
	struct task_struct *task;

	if (!value)
		return 0;
	task = value->task;
	if (task)
		out = task->pid;
	task = bpf_task_acquire(current());
	if (!task)
		return 0;
	task = exchange(&value->task, task);
	if (task)
		bpf_task_release(task);
	return 0;
}
