//! The rows: one a helper.

use ArgKind::*;
use ProgType as T;

use crate::types::TypeSet;
use crate::{ArgKind, CallbackUse, HelperProto, ProgType, RetKind};

/// A prototype and the program types that may call it.
pub(super) struct Row {
    pub(super) proto: HelperProto,
    pub(super) types: TypeSet,
}

impl Row {
    const fn gpl(mut self) -> Row {
        self.proto.gpl_only = true;
        self
    }
    /// Packet pointers may be passed as memory.
    const fn packet(mut self) -> Row {
        self.proto.packet_access = true;
        self
    }
    /// Packet pointers are invalid after it (Linux: `bpf_helper_changes_pkt_data`).
    const fn moves(mut self) -> Row {
        self.proto.changes_packet = true;
        self
    }
    const fn sleeps(mut self) -> Row {
        self.proto.might_sleep = true;
        self
    }
    const fn acquires(mut self) -> Row {
        self.proto.acquires = true;
        self
    }
    const fn releases(mut self, arg: u8) -> Row {
        self.proto.releases = Some(arg);
        self
    }
    const fn calls(mut self, callback: CallbackUse) -> Row {
        self.proto.callback = Some(callback);
        self
    }
    /// Enters code of the embedder's.
    const fn reaches_host(mut self) -> Row {
        self.proto.reaches_host = true;
        self
    }
}

/// A row without flags. Arguments beyond the slice are none.
const fn h(id: u32, name: &'static str, args: &[ArgKind], ret: RetKind, types: TypeSet) -> Row {
    let mut all = [None; 5];
    let mut i = 0;
    while i < args.len() {
        all[i] = args[i];
        i += 1;
    }
    let proto = HelperProto {
        id,
        name,
        args: all,
        ret,
        gpl_only: false,
        changes_packet: false,
        might_sleep: false,
        acquires: false,
        releases: Option::None,
        callback: Option::None,
        reaches_host: false,
        packet_access: false,
    };
    Row { proto, types }
}

const INT: RetKind = RetKind::Integer;
const TASK: ArgKind = BtfStruct("task_struct");
const TASK_OR_NULL: ArgKind = BtfStructOrNull("task_struct");
const CGROUP_OR_NULL: ArgKind = BtfStructOrNull("cgroup");
const VOID: RetKind = RetKind::Void;

/// Backstop's own types: memory or a struct of the host's, no packet, no kernel around.
const OWN: TypeSet = TypeSet::of(&[T::RawMem, T::Host]);
/// Every type.
const ANY: TypeSet = TypeSet::ALL;
/// Every type of Linux: what asks for a kernel's tasks, cgroups and memory.
const LINUX: TypeSet = TypeSet::ALL.without(OWN);
const TRACING: TypeSet = TypeSet::of(&[
    T::Kprobe,
    T::Tracepoint,
    T::PerfEvent,
    T::RawTracepoint,
    T::RawTracepointWritable,
    T::Tracing,
    T::Lsm,
    T::Syscall,
]);
const COOKIE: TypeSet = TRACING.without(TypeSet::of(&[T::Syscall]));
const TC: TypeSet = TypeSet::of(&[T::SchedCls, T::SchedAct]);
const XDP: TypeSet = TypeSet::of(&[T::Xdp]);
const TC_XDP: TypeSet = TC.and(XDP);
const LWT: TypeSet = TypeSet::of(&[T::LwtIn, T::LwtOut, T::LwtXmit, T::LwtSeg6Local]);
const TC_XMIT: TypeSet = TC.and(TypeSet::of(&[T::LwtXmit]));
const TC_LWT: TypeSet = TC.and(LWT);
const TC_CGROUP: TypeSet = TC.and(TypeSet::of(&[T::CgroupSkb]));
const SK_SKB: TypeSet = TypeSet::of(&[T::SkSkb]);
const SK_MSG: TypeSet = TypeSet::of(&[T::SkMsg]);
const SOCKET_SKB: TypeSet = TC_CGROUP.and(TypeSet::of(&[T::SocketFilter]));
const SKB_LOAD: TypeSet = SOCKET_SKB.and(LWT).and(SK_SKB).and(TypeSet::of(&[T::SkReuseport, T::FlowDissector]));
const SK_LOOKUPS: TypeSet = TC_CGROUP.and(XDP).and(SK_SKB).and(TypeSet::of(&[T::CgroupSockAddr]));
const NO_OUTPUT: TypeSet = TypeSet::of(&[T::SkReuseport, T::FlowDissector, T::Netfilter]);
/// Coarse time: in the base set of networking types only.
const NO_COARSE: TypeSet = TRACING.and(TypeSet::of(&[T::CgroupDevice, T::CgroupSockopt, T::Netfilter]));
const RETVAL: TypeSet =
    TypeSet::of(&[T::CgroupSock, T::CgroupSockAddr, T::CgroupSockopt, T::CgroupDevice, T::CgroupSysctl]);
/// Sockets seen as the kernel's own structs: networking, and programs that are attached by type.
const SKC: TypeSet = LINUX
    .without(NO_COARSE)
    .without(TypeSet::of(&[T::CgroupSock, T::CgroupSysctl, T::SkReuseport]))
    .and(TypeSet::of(&[T::Tracing, T::Lsm, T::Syscall]));
const FROM_FILE: TypeSet = TypeSet::of(&[T::Tracing, T::Lsm, T::Syscall]);
const SK_STORAGE: TypeSet = TC_CGROUP.and(SK_MSG).and(TypeSet::of(&[T::SockOps, T::CgroupSockAddr, T::CgroupSockopt]));
const PERF: TypeSet = TypeSet::of(&[T::PerfEvent]);
const SYSCALL: TypeSet = TypeSet::of(&[T::Syscall]);

/// All rows, ascending by number.
pub(super) static ROWS: &[Row] = &[
    h(1, "map_lookup_elem", &[ConstMap, MapKey], RetKind::MapValueOrNull, ANY).packet(),
    h(2, "map_update_elem", &[ConstMap, MapKey, MapValue, Anything], INT, ANY).packet(),
    h(3, "map_delete_elem", &[ConstMap, MapKey], INT, ANY).packet(),
    h(4, "probe_read", &[UninitMem, SizeOrZero, Anything], INT, TRACING).gpl(),
    h(5, "ktime_get_ns", &[], INT, ANY),
    h(6, "trace_printk", &[Mem, Size], INT, ANY).gpl().reaches_host(),
    h(7, "get_prandom_u32", &[], INT, ANY),
    h(8, "get_smp_processor_id", &[], INT, ANY),
    h(9, "skb_store_bytes", &[Ctx, Anything, Mem, Size, Anything], INT, TC_XMIT.and(SK_SKB)).moves(),
    h(10, "l3_csum_replace", &[Ctx, Anything, Anything, Anything, Anything], INT, TC_XMIT).moves(),
    h(11, "l4_csum_replace", &[Ctx, Anything, Anything, Anything, Anything], INT, TC_XMIT).moves(),
    h(12, "tail_call", &[Ctx, ConstMap, Anything], VOID, ANY).moves(),
    h(13, "clone_redirect", &[Ctx, Anything, Anything], INT, TC_XMIT).moves(),
    h(14, "get_current_pid_tgid", &[], INT, ANY),
    h(15, "get_current_uid_gid", &[], INT, LINUX),
    h(16, "get_current_comm", &[UninitMem, Size], INT, ANY),
    h(17, "get_cgroup_classid", &[Ctx], INT, LINUX),
    h(18, "skb_vlan_push", &[Ctx, Anything, Anything], INT, TC).moves(),
    h(19, "skb_vlan_pop", &[Ctx], INT, TC).moves(),
    h(20, "skb_get_tunnel_key", &[Ctx, UninitMem, Size, Anything], INT, TC_XMIT),
    h(21, "skb_set_tunnel_key", &[Ctx, Mem, Size, Anything], INT, TC_XMIT),
    h(22, "perf_event_read", &[ConstMap, Anything], INT, LINUX).gpl(),
    h(23, "redirect", &[Anything, Anything], INT, TC_XMIT.and(XDP)),
    h(24, "get_route_realm", &[Ctx], INT, TC_LWT),
    h(25, "perf_event_output", &[Ctx, ConstMap, Anything, Mem, SizeOrZero], INT, LINUX.without(NO_OUTPUT)).gpl(),
    h(26, "skb_load_bytes", &[Ctx, Anything, UninitMem, Size], INT, SKB_LOAD),
    h(27, "get_stackid", &[Ctx, ConstMap, Anything], INT, TRACING).gpl(),
    h(28, "csum_diff", &[MemOrNull, SizeOrZero, MemOrNull, SizeOrZero, Anything], INT, TC_XDP.and(LWT).and(OWN))
        .packet(),
    h(29, "skb_get_tunnel_opt", &[Ctx, UninitMem, Size], INT, TC_XMIT),
    h(30, "skb_set_tunnel_opt", &[Ctx, Mem, Size], INT, TC_XMIT),
    h(31, "skb_change_proto", &[Ctx, Anything, Anything], INT, TC).moves(),
    h(32, "skb_change_type", &[Ctx, Anything], INT, TC),
    h(33, "skb_under_cgroup", &[Ctx, ConstMap, Anything], INT, TC_LWT),
    h(34, "get_hash_recalc", &[Ctx], INT, TC_LWT),
    h(35, "get_current_task", &[], INT, LINUX).gpl(),
    h(37, "current_task_under_cgroup", &[ConstMap, Anything], INT, LINUX),
    h(38, "skb_change_tail", &[Ctx, Anything, Anything], INT, TC_XMIT.and(SK_SKB)).moves(),
    h(39, "skb_pull_data", &[Ctx, Anything], INT, TC_LWT.and(SK_SKB)).moves(),
    h(40, "csum_update", &[Ctx, Anything], INT, TC_XMIT),
    h(41, "set_hash_invalid", &[Ctx], INT, TC_XMIT),
    h(42, "get_numa_node_id", &[], INT, ANY),
    h(43, "skb_change_head", &[Ctx, Anything, Anything], INT, TC_XMIT.and(SK_SKB)).moves(),
    h(44, "xdp_adjust_head", &[Ctx, Anything], INT, XDP).moves(),
    h(45, "probe_read_str", &[UninitMem, SizeOrZero, Anything], INT, TRACING).gpl(),
    h(
        46,
        "get_socket_cookie",
        &[Ctx],
        INT,
        SOCKET_SKB.and(SK_SKB).and(TypeSet::of(&[T::CgroupSock, T::SockOps, T::CgroupSockAddr])),
    ),
    h(47, "get_socket_uid", &[Ctx], INT, SOCKET_SKB.and(SK_SKB)),
    h(48, "set_hash", &[Ctx, Anything], INT, TC),
    h(50, "skb_adjust_room", &[Ctx, Anything, Anything, Anything], INT, TC.and(SK_SKB)).moves(),
    h(51, "redirect_map", &[ConstMap, Anything, Anything], INT, XDP),
    h(52, "sk_redirect_map", &[Ctx, ConstMap, Anything, Anything], INT, SK_SKB),
    h(54, "xdp_adjust_meta", &[Ctx, Anything], INT, XDP).moves(),
    h(55, "perf_event_read_value", &[ConstMap, Anything, UninitMem, Size], INT, LINUX).gpl(),
    h(56, "perf_prog_read_value", &[Ctx, UninitMem, Size], INT, PERF).gpl(),
    h(60, "msg_redirect_map", &[Ctx, ConstMap, Anything, Anything], INT, SK_MSG),
    h(61, "msg_apply_bytes", &[Ctx, Anything], INT, SK_MSG),
    h(62, "msg_cork_bytes", &[Ctx, Anything], INT, SK_MSG),
    h(63, "msg_pull_data", &[Ctx, Anything, Anything, Anything], INT, SK_MSG).moves(),
    h(65, "xdp_adjust_tail", &[Ctx, Anything], INT, XDP).moves(),
    h(66, "skb_get_xfrm_state", &[Ctx, Anything, UninitMem, Size, Anything], INT, TC),
    h(67, "get_stack", &[Ctx, UninitMem, SizeOrZero, Anything], INT, TRACING).gpl(),
    h(
        68,
        "skb_load_bytes_relative",
        &[Ctx, Anything, UninitMem, Size, Anything],
        INT,
        SOCKET_SKB.and(TypeSet::of(&[T::SkReuseport])),
    ),
    h(69, "fib_lookup", &[Ctx, UninitMem, Size, Anything], INT, TC_XDP).gpl(),
    h(71, "msg_redirect_hash", &[Ctx, ConstMap, MapKey, Anything], INT, SK_MSG),
    h(72, "sk_redirect_hash", &[Ctx, ConstMap, MapKey, Anything], INT, SK_SKB),
    h(79, "skb_cgroup_id", &[Ctx], INT, TC_CGROUP),
    h(80, "get_current_cgroup_id", &[], INT, LINUX),
    h(83, "skb_ancestor_cgroup_id", &[Ctx, Anything], INT, TC_CGROUP),
    h(84, "sk_lookup_tcp", &[Ctx, Mem, SizeOrZero, Anything, Anything], RetKind::SocketOrNull, SK_LOOKUPS)
        .packet()
        .acquires(),
    h(85, "sk_lookup_udp", &[Ctx, Mem, SizeOrZero, Anything, Anything], RetKind::SocketOrNull, SK_LOOKUPS)
        .packet()
        .acquires(),
    h(86, "sk_release", &[BtfSockCommon], INT, SK_LOOKUPS.and(TypeSet::of(&[T::SkLookup]))).releases(0),
    h(87, "map_push_elem", &[ConstMap, MapValue, Anything], INT, ANY).packet(),
    h(88, "map_pop_elem", &[ConstMap, UninitMapValue], INT, ANY),
    h(89, "map_peek_elem", &[ConstMap, UninitMapValue], INT, ANY),
    h(90, "msg_push_data", &[Ctx, Anything, Anything, Anything], INT, SK_MSG).moves(),
    h(91, "msg_pop_data", &[Ctx, Anything, Anything, Anything], INT, SK_MSG).moves(),
    h(93, "spin_lock", &[SpinLock], VOID, ANY),
    h(94, "spin_unlock", &[SpinLock], VOID, ANY),
    h(95, "sk_fullsock", &[Socket], RetKind::SocketOrNull, TC_CGROUP),
    h(96, "tcp_sock", &[Socket], RetKind::TcpSockOrNull, TC_CGROUP.and(TypeSet::of(&[T::SockOps, T::CgroupSockopt]))),
    h(97, "skb_ecn_set_ce", &[Ctx], INT, TC_CGROUP),
    h(98, "get_listener_sock", &[Socket], RetKind::SocketOrNull, TC_CGROUP),
    h(99, "skc_lookup_tcp", &[Ctx, Mem, SizeOrZero, Anything, Anything], RetKind::SockCommonOrNull, SK_LOOKUPS)
        .packet()
        .acquires(),
    h(100, "tcp_check_syncookie", &[BtfSockCommon, Mem, Size, Mem, Size], INT, TC_XDP).packet().gpl(),
    h(105, "strtol", &[Mem, Size, Anything, UninitFixedMemAligned(8)], INT, ANY),
    h(106, "strtoul", &[Mem, Size, Anything, UninitFixedMemAligned(8)], INT, ANY),
    h(107, "sk_storage_get", &[ConstMap, BtfSockCommon, MapValueOrNull, Anything], RetKind::MapValueOrNull, SK_STORAGE),
    h(108, "sk_storage_delete", &[ConstMap, BtfSockCommon], INT, SK_STORAGE),
    h(109, "send_signal", &[Anything], INT, LINUX),
    h(110, "tcp_gen_syncookie", &[BtfSockCommon, Mem, Size, Mem, Size], INT, TC_XDP).gpl().packet(),
    h(112, "probe_read_user", &[UninitMem, SizeOrZero, Anything], INT, LINUX).gpl(),
    h(113, "probe_read_kernel", &[UninitMem, SizeOrZero, Anything], INT, LINUX).gpl(),
    h(114, "probe_read_user_str", &[UninitMem, SizeOrZero, Anything], INT, LINUX).gpl(),
    h(115, "probe_read_kernel_str", &[UninitMem, SizeOrZero, Anything], INT, LINUX).gpl(),
    h(117, "send_signal_thread", &[Anything], INT, LINUX),
    h(118, "jiffies64", &[], INT, ANY),
    h(119, "read_branch_records", &[Ctx, UninitMemOrNull, SizeOrZero, Anything], INT, PERF).gpl(),
    h(120, "get_ns_current_pid_tgid", &[Anything, Anything, UninitMem, Size], INT, LINUX),
    h(
        122,
        "get_netns_cookie",
        &[CtxOrNull],
        INT,
        SOCKET_SKB.and(SK_MSG).and(TypeSet::of(&[T::CgroupSock, T::SockOps, T::CgroupSockAddr, T::CgroupSockopt])),
    ),
    h(123, "get_current_ancestor_cgroup_id", &[Anything], INT, LINUX),
    h(124, "sk_assign", &[Ctx, BtfSockCommon, Anything], INT, TC),
    h(125, "ktime_get_boot_ns", &[], INT, ANY),
    h(128, "sk_cgroup_id", &[BtfSockCommon], INT, TypeSet::of(&[T::CgroupSkb])),
    h(129, "sk_ancestor_cgroup_id", &[BtfSockCommon, Anything], INT, TypeSet::of(&[T::CgroupSkb])),
    h(130, "ringbuf_output", &[ConstMap, Mem, SizeOrZero, Anything], INT, ANY),
    h(131, "ringbuf_reserve", &[ConstMap, ConstAllocSize, Anything], RetKind::AllocMemOrNull, ANY).acquires(),
    h(132, "ringbuf_submit", &[RingbufRecord, Anything], VOID, ANY).releases(0),
    h(133, "ringbuf_discard", &[RingbufRecord, Anything], VOID, ANY).releases(0),
    h(134, "ringbuf_query", &[ConstMap, Anything], INT, ANY),
    h(135, "csum_level", &[Ctx, Anything], INT, TC_XMIT),
    h(136, "skc_to_tcp6_sock", &[BtfSockCommon], RetKind::BtfOrNull("tcp6_sock"), SKC),
    h(137, "skc_to_tcp_sock", &[BtfSockCommon], RetKind::BtfOrNull("tcp_sock"), SKC),
    h(138, "skc_to_tcp_timewait_sock", &[BtfSockCommon], RetKind::BtfOrNull("tcp_timewait_sock"), SKC),
    h(139, "skc_to_tcp_request_sock", &[BtfSockCommon], RetKind::BtfOrNull("tcp_request_sock"), SKC),
    h(140, "skc_to_udp6_sock", &[BtfSockCommon], RetKind::BtfOrNull("udp6_sock"), SKC),
    h(141, "get_task_stack", &[TASK, UninitMem, SizeOrZero, Anything], INT, LINUX),
    h(148, "copy_from_user", &[UninitMem, SizeOrZero, Anything], INT, LINUX).sleeps(),
    h(149, "snprintf_btf", &[UninitMem, Size, Mem, Size, Anything], INT, LINUX),
    h(151, "skb_cgroup_classid", &[Ctx], INT, TC),
    h(152, "redirect_neigh", &[Anything, MemOrNull, SizeOrZero, Anything], INT, TC),
    h(153, "per_cpu_ptr", &[PercpuBtf, Anything], RetKind::PercpuMemOrNull, ANY),
    h(154, "this_cpu_ptr", &[PercpuBtf], RetKind::PercpuMem, ANY),
    h(155, "redirect_peer", &[Anything, Anything], INT, TC),
    h(156, "task_storage_get", &[ConstMap, TASK_OR_NULL, MapValueOrNull, Anything], RetKind::MapValueOrNull, LINUX),
    h(157, "task_storage_delete", &[ConstMap, TASK_OR_NULL], INT, LINUX),
    h(158, "get_current_task_btf", &[], RetKind::BtfTrusted("task_struct"), LINUX).gpl(),
    h(160, "ktime_get_coarse_ns", &[], INT, ANY.without(NO_COARSE)),
    h(162, "sock_from_file", &[BtfStruct("file")], RetKind::BtfOrNull("socket"), FROM_FILE),
    h(163, "check_mtu", &[Ctx, Anything, UninitFixedMemAligned(4), Anything, Anything], INT, TC_XDP).gpl(),
    h(164, "for_each_map_elem", &[ConstMap, Callback, StackOrNull, Anything], INT, ANY)
        .calls(CallbackUse::ForEachMapElem),
    h(165, "snprintf", &[UninitMemOrNull, SizeOrZero, ConstStr, MemOrNull, SizeOrZero], INT, ANY).gpl(),
    h(166, "sys_bpf", &[Anything, Mem, Size], INT, SYSCALL).sleeps(),
    h(167, "btf_find_by_name_kind", &[Mem, Size, Anything, Anything], INT, SYSCALL),
    h(168, "sys_close", &[Anything], INT, SYSCALL),
    h(169, "timer_init", &[Timer, ConstMap, Anything], INT, ANY).gpl(),
    h(170, "timer_set_callback", &[Timer, Callback], INT, ANY).gpl().calls(CallbackUse::Timer),
    h(171, "timer_start", &[Timer, Anything, Anything], INT, ANY).gpl(),
    h(172, "timer_cancel", &[Timer], INT, ANY).gpl(),
    h(173, "get_func_ip", &[Ctx], INT, TRACING).gpl(),
    h(174, "get_attach_cookie", &[Ctx], INT, COOKIE),
    h(175, "task_pt_regs", &[TASK], RetKind::Btf("pt_regs"), LINUX).gpl(),
    h(176, "get_branch_snapshot", &[UninitMem, SizeOrZero], INT, LINUX).gpl(),
    h(177, "trace_vprintk", &[Mem, Size, MemOrNull, SizeOrZero], INT, ANY).gpl().reaches_host(),
    h(178, "skc_to_unix_sock", &[BtfSockCommon], RetKind::BtfOrNull("unix_sock"), SKC),
    h(179, "kallsyms_lookup_name", &[Mem, SizeOrZero, Anything, UninitFixedMemAligned(8)], INT, SYSCALL),
    h(180, "find_vma", &[TASK, Anything, Callback, StackOrNull, Anything], INT, LINUX).calls(CallbackUse::FindVma),
    h(181, "loop", &[Anything, Callback, StackOrNull, Anything], INT, ANY).calls(CallbackUse::Loop),
    h(182, "strncmp", &[Mem, Size, ConstStr], INT, ANY),
    h(186, "get_retval", &[], INT, RETVAL),
    h(187, "set_retval", &[Anything], INT, RETVAL),
    h(188, "xdp_get_buff_len", &[Ctx], INT, XDP),
    h(189, "xdp_load_bytes", &[Ctx, Anything, UninitMem, Size], INT, XDP),
    h(190, "xdp_store_bytes", &[Ctx, Anything, Mem, Size], INT, XDP),
    h(191, "copy_from_user_task", &[UninitMem, SizeOrZero, Anything, TASK, Anything], INT, LINUX).gpl().sleeps(),
    h(192, "skb_set_tstamp", &[Ctx, Anything, Anything], INT, TC),
    h(194, "kptr_xchg", &[KptrField, BtfOrNull], RetKind::KptrOrNull, ANY).acquires().releases(1),
    h(195, "map_lookup_percpu_elem", &[ConstMap, MapKey, Anything], RetKind::MapValueOrNull, ANY).packet(),
    h(196, "skc_to_mptcp_sock", &[Socket], RetKind::BtfOrNull("mptcp_sock"), SKC),
    h(197, "dynptr_from_mem", &[UninitMem, SizeOrZero, Anything, DynptrUninitLocal], INT, ANY),
    h(198, "ringbuf_reserve_dynptr", &[ConstMap, Anything, Anything, DynptrUninitRingbuf], INT, ANY),
    h(199, "ringbuf_submit_dynptr", &[DynptrRingbuf, Anything], VOID, ANY).releases(0),
    h(200, "ringbuf_discard_dynptr", &[DynptrRingbuf, Anything], VOID, ANY).releases(0),
    h(201, "dynptr_read", &[UninitMem, SizeOrZero, DynptrRdonly, Anything, Anything], INT, ANY),
    h(202, "dynptr_write", &[Dynptr, Anything, Mem, SizeOrZero, Anything], INT, ANY),
    h(203, "dynptr_data", &[Dynptr, Anything, ConstAllocSize], RetKind::DynptrMemOrNull, ANY),
    h(204, "tcp_raw_gen_syncookie_ipv4", &[FixedMem(20), Mem, SizeOrZero], INT, TC_XDP).gpl().packet(),
    h(205, "tcp_raw_gen_syncookie_ipv6", &[FixedMem(40), Mem, SizeOrZero], INT, TC_XDP).gpl().packet(),
    h(206, "tcp_raw_check_syncookie_ipv4", &[FixedMem(20), FixedMem(20)], INT, TC_XDP).gpl().packet(),
    h(207, "tcp_raw_check_syncookie_ipv6", &[FixedMem(40), FixedMem(20)], INT, TC_XDP).gpl().packet(),
    h(208, "ktime_get_tai_ns", &[], INT, ANY),
    h(209, "user_ringbuf_drain", &[ConstMap, Callback, StackOrNull, Anything], INT, ANY)
        .calls(CallbackUse::UserRingbufDrain),
    h(210, "cgrp_storage_get", &[ConstMap, CGROUP_OR_NULL, MapValueOrNull, Anything], RetKind::MapValueOrNull, LINUX),
    h(211, "cgrp_storage_delete", &[ConstMap, CGROUP_OR_NULL], INT, LINUX),
];
