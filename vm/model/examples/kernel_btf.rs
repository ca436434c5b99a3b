//! Makes `vm/model/data/kernel.btf` from a kernel's types:
//!
//!     cargo run --release -p backstop-model --example kernel_btf -- /sys/kernel/btf/vmlinux vm/model/data/kernel.btf

use std::error::Error;
use std::time::Instant;

use backstop_btf::{Btf, Kind};

/// Structs that come whole, beside those that the kernel marks as safe, contexts and what the listed ones hold by value.
const WHOLE: &[&str] = &[
    // Tasks and what hangs on them.
    "task_struct",
    "mm_struct",
    "vm_area_struct",
    "signal_struct",
    "sighand_struct",
    "files_struct",
    "fdtable",
    "fs_struct",
    "cred",
    "nsproxy",
    "pid",
    "pid_namespace",
    "user_namespace",
    "uts_namespace",
    "mnt_namespace",
    "ipc_namespace",
    "rq",
    "css_set",
    "cgroup",
    "cgroup_subsys_state",
    "cgroup_root",
    "kernfs_node",
    "cpumask",
    "bpf_cpumask",
    "pt_regs",
    "task_group",
    "mem_cgroup",
    "io_context",
    // Files.
    "file",
    "inode",
    "dentry",
    "path",
    "super_block",
    "vfsmount",
    "mount",
    "address_space",
    "file_system_type",
    "block_device",
    "page",
    "folio",
    "linux_binprm",
    "seq_file",
    "pipe_inode_info",
    "request",
    "request_queue",
    "gendisk",
    "bio",
    // Network.
    "sk_buff",
    "skb_shared_info",
    "net_device",
    "net",
    "sock",
    "sock_common",
    "socket",
    "inet_sock",
    "inet_connection_sock",
    "tcp_sock",
    "tcp6_sock",
    "udp_sock",
    "udp6_sock",
    "unix_sock",
    "tcp_timewait_sock",
    "inet_timewait_sock",
    "tcp_request_sock",
    "request_sock",
    "inet_request_sock",
    "mptcp_sock",
    "xdp_buff",
    "xdp_rxq_info",
    "xdp_txq_info",
    "xdp_frame",
    "netdev_queue",
    "netdev_rx_queue",
    "dst_entry",
    "neighbour",
    "iphdr",
    "ipv6hdr",
    "tcphdr",
    "udphdr",
    "ethhdr",
    "nf_conn",
    "nf_conn___init",
    "nf_hook_state",
    "sk_filter",
    "sk_reuseport_kern",
    "napi_struct",
    // BPF's own.
    "bpf_map",
    "bpf_array",
    "bpf_htab",
    "bpf_prog",
    "bpf_prog_aux",
    "bpf_link",
    "btf",
    "bpf_iter_meta",
    "bpf_iter__task",
    "bpf_crypto_ctx",
    "bpf_iter__bpf_map",
    "bpf_iter_num",
    "bpf_dynptr_kern",
    "bpf_dynptr",
    "perf_event",
    "perf_event_attr",
    "bpf_raw_tracepoint_args",
    "bpf_user_pt_regs_t",
    "kmem_cache",
    "dma_buf",
    "list_head",
    "hlist_node",
    "hlist_head",
    "rb_node",
    "rb_root",
    "callback_head",
    "work_struct",
    "module",
    "bpf_ctx_convert",
];

/// Per-CPU variables.
const VARIABLES: &[&str] = &[
    "runqueues",
    "bpf_prog_active",
    "cpu_number",
    "current_task",
    "this_cpu_off",
    "kernel_cpustat",
    "kstat",
    "softnet_data",
    "process_counts",
    "cpu_hw_events",
    "cpu_loops_per_jiffy",
    "kvm_running_vcpu",
    "vm_event_states",
];

/// Of functions only the prototypes: those that programs may call, and the names of tracepoints' argument lists.
fn wanted_function(btf: &Btf, id: backstop_btf::TypeId) -> bool {
    btf.decl_tags(id, None).any(|tag| tag == "bpf_kfunc")
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let (from, to) = (args.next().ok_or("from which file?")?, args.next().ok_or("to which file?")?);
    let bytes = std::fs::read(from)?;
    let started = Instant::now();
    let btf = Btf::parse(&bytes)?;
    println!("{} types in {} bytes, parsed in {:?}", btf.len(), bytes.len(), started.elapsed());
    let mut wanted: Vec<_> = Vec::new();
    for name in WHOLE {
        match btf.find(name, Kind::Struct) {
            Some(id) => wanted.push(id),
            None => println!("no struct {name}"),
        }
    }
    for id in btf.ids() {
        let name = btf.name(id);
        let section = btf.kind(id) == Kind::Datasec;
        let marks = btf.kind(id) == Kind::Struct && name.contains("__safe_");
        let function = btf.kind(id) == Kind::Func && wanted_function(&btf, id);
        let variable = btf.kind(id) == Kind::Var && VARIABLES.contains(&name);
        // Programs may pass memory for these, of the size of their type.
        if function && name.starts_with("bpf_") {
            let pointees = btf.params(id).iter().filter_map(|p| btf.pointee(p.ty)).map(|ty| btf.resolve(ty));
            wanted.extend(pointees.filter(|ty| btf.kind(*ty).is_composite()));
        }
        if section || marks || function || variable {
            wanted.push(id);
        }
    }
    let reduced = btf.reduced(wanted);
    let bytes = reduced.encode();
    let again = Btf::parse(&bytes)?;
    println!("{} types in {} bytes", again.len(), bytes.len());
    std::fs::write(to, bytes)?;
    Ok(())
}
