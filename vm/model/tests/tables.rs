//! The tables against facts: golden text for contexts, uniqueness and completeness for helpers and kfuncs.

use std::collections::HashSet;
use std::fmt::Write as _;

use backstop_btf::Kind;
use backstop_model::{
    AttachType, BuiltinKfunc, FieldKind, HostContext, HostField, KfuncIdentity, MapKind, MapSpec, MapSpecError,
    ProgKind, ProgType, SpecialField, contexts, field_refusal, helpers, kfuncs, license_is_gpl_compatible, returns,
    sections,
};

type Checked<T = ()> = Result<T, Box<dyn std::error::Error>>;

fn kind(ty: ProgType) -> ProgKind {
    ProgKind::new(ty)
}

/// Ranges of a context that may be accessed, by direction and size.
fn accessible(kind: &ProgKind, upto: i64) -> String {
    let mut text = String::new();
    for write in [false, true] {
        for size in [1u32, 2, 4, 8] {
            let mut ranges: Vec<(i64, i64)> = Vec::new();
            for off in (0..upto).filter(|&o| contexts::access(kind, o, size, write).is_ok()) {
                match ranges.last_mut() {
                    Some(last) if last.1 == off => last.1 = off + i64::from(size),
                    _ => ranges.push((off, off + i64::from(size))),
                }
            }
            if !ranges.is_empty() {
                let list: Vec<String> = ranges.iter().map(|(a, b)| format!("{a}..{b}")).collect();
                let _ = writeln!(text, "{}{size} {}", if write { 'w' } else { 'r' }, list.join(" "));
            }
        }
    }
    text
}

#[test]
fn contexts_are_accessible_as_in_linux() {
    let mut devmap = kind(ProgType::Xdp);
    devmap.attach = AttachType::XdpDevmap;
    let socket = "\
r1 0..72 84..88 164..168 176..180
r2 0..72 84..88 164..168 176..180
r4 0..72 84..88 164..168 176..180
r8 48..64 168..176
w1 48..68
w2 48..68
w4 48..68
w8 48..64
";
    let tc = "\
r1 0..76 84..88 160..168 176..181
r2 0..76 84..88 160..168 176..180
r4 0..88 140..144 160..168 176..180
r8 48..64 152..160 168..176 184..192
w1 48..68
w2 48..68
w4 8..16 32..36 44..68 72..76
w8 48..64 152..160
";
    let cgroup = "\
r1 0..72 84..92 132..140 164..168 176..180
r2 0..72 84..92 132..140 164..168 176..180
r4 0..72 76..140 164..168 176..180
r8 48..64 152..160 168..176 184..192
w1 48..68
w2 48..68
w4 8..12 32..36 48..68
w8 48..64 152..160
";
    let all =
        |n: i64| (1..=8).filter(|s| [1, 2, 4, 8].contains(s)).map(|s| format!("r{s} 0..{n}\n")).collect::<String>();
    let cases = [
        (kind(ProgType::Xdp), "r4 0..20\n".to_owned()),
        (devmap, "r4 0..24\n".to_owned()),
        (kind(ProgType::SocketFilter), socket.to_owned()),
        (kind(ProgType::SchedCls), tc.to_owned()),
        (kind(ProgType::SchedAct), tc.to_owned()),
        (kind(ProgType::CgroupSkb), cgroup.to_owned()),
        (kind(ProgType::RawTracepoint), all(96)),
        (kind(ProgType::Kprobe), all(168)),
        (kind(ProgType::PerfEvent), "r1 168..184\nr2 168..184\nr4 168..184\nr8 0..184\n".to_owned()),
        (kind(ProgType::SkLookup), "r1 8..68\nr2 8..68\nr4 8..68\n".to_owned()),
        (kind(ProgType::RawMem), String::new()),
        (kind(ProgType::Netfilter), String::new()),
    ];
    for (kind, expected) in cases {
        assert_eq!(accessible(&kind, 256), expected, "{:?} {:?}", kind.ty, kind.attach);
    }
}

#[test]
fn wide_contexts_end_where_linux_ends_them() {
    let at = |ty, off, size, write| contexts::access(&kind(ty), off, size, write).is_ok();
    for size in [1u32, 2, 4, 8] {
        let s = i64::from(size);
        assert!(!at(ProgType::Tracepoint, 8 - s, size, false) && at(ProgType::Tracepoint, 8, size, false));
        assert!(at(ProgType::Tracepoint, 8192 - s, size, false) && !at(ProgType::Tracepoint, 8192, size, false));
        assert!(!at(ProgType::Tracepoint, 8, size, true) && !at(ProgType::Tracepoint, 4095 * 8 + 1, size, false));
        assert!(at(ProgType::Syscall, 0, size, true) && at(ProgType::Syscall, 65528, size, false));
        assert!(!at(ProgType::Syscall, -s, size, false) && !at(ProgType::Syscall, 65536, size, false));
    }
    assert!(!at(ProgType::Syscall, 65535, 1, false) && !at(ProgType::Syscall, 4, 8, false));
    assert!(!at(ProgType::Syscall, i64::MAX, 1, false) && !at(ProgType::Syscall, 0, 3, false));
}

#[test]
fn packet_pointers_are_read_from_the_native_fields() -> Checked {
    let access = |ty, off, size| contexts::access(&kind(ty), off, size, false).map_err(|e| format!("{e:?}"));
    for (off, field, native) in [
        (0, FieldKind::Packet, backstop_abi::XDP_DATA),
        (4, FieldKind::PacketEnd, backstop_abi::XDP_DATA_END),
        (8, FieldKind::PacketMeta, backstop_abi::XDP_DATA_META),
    ] {
        let a = access(ProgType::Xdp, off, 4)?;
        assert_eq!((a.kind, a.native_off, a.native_size), (field, native, 8));
    }
    for (off, field, native) in [
        (76, FieldKind::Packet, backstop_abi::SKB_DATA),
        (80, FieldKind::PacketEnd, backstop_abi::SKB_DATA_END),
        (140, FieldKind::PacketMeta, backstop_abi::SKB_DATA_META),
    ] {
        let a = access(ProgType::SchedCls, off, 4)?;
        assert_eq!((a.kind, a.native_off, a.native_size), (field, native, 8));
    }
    let mark = access(ProgType::SchedCls, 9, 1)?;
    assert_eq!((mark.kind, mark.native_off, mark.native_size), (FieldKind::Scalar, 9, 1));
    Ok(())
}

#[test]
fn host_fields_are_accessible_as_declared() {
    let field = |name: &str, offset, size, writable| HostField { name: name.to_owned(), offset, size, writable };
    let fields = vec![field("id", 0, 4, false), field("verdict", 8, 8, true)];
    let mut host = kind(ProgType::Host);
    host.host = Some(std::sync::Arc::new(HostContext { name: "request".to_owned(), size: 16, fields }));
    let expected = "r1 0..4 8..16\nr2 0..4 8..16\nr4 0..4 8..16\nr8 8..16\nw1 8..16\nw2 8..16\nw4 8..16\nw8 8..16\n";
    assert_eq!(accessible(&host, 32), expected);
    assert_eq!(contexts::size(&host), Some(16));
}

#[test]
fn helpers_are_unique_ordered_and_named_as_in_linux() {
    let ids: Vec<u32> = helpers::all().map(|p| p.id).collect();
    assert!(ids.is_sorted_by(|a, b| a < b));
    let names: HashSet<&str> = helpers::all().map(|p| p.name).collect();
    assert_eq!(names.len(), ids.len());
    for proto in helpers::all() {
        assert_eq!(helpers::name(proto.id), Some(proto.name));
        assert_eq!(helpers::by_name(proto.name), Some(proto));
        assert_eq!(helpers::proto(proto.id), Some(proto));
        let gap = proto.args.iter().skip_while(|a| **a != backstop_model::ArgKind::None);
        assert!(gap.clone().all(|a| *a == backstop_model::ArgKind::None), "{} has a gap", proto.name);
        assert!(proto.releases.is_none_or(|r| r < 5));
    }
    assert_eq!((helpers::name(0), helpers::name(211), helpers::name(212)), (None, Some("cgrp_storage_delete"), None));
    assert!(helpers::proto(0).is_none() && helpers::proto(u32::MAX).is_none());
}

/// The helpers that the verifier must judge.
const WANTED: &str = "map_lookup_elem map_update_elem map_delete_elem map_push_elem map_pop_elem map_peek_elem \
    map_lookup_percpu_elem for_each_map_elem loop tail_call spin_lock spin_unlock ktime_get_ns ktime_get_boot_ns \
    ktime_get_coarse_ns ktime_get_tai_ns jiffies64 get_prandom_u32 get_smp_processor_id get_numa_node_id \
    get_current_pid_tgid get_current_comm trace_printk trace_vprintk snprintf strncmp strtol strtoul csum_diff csum_update \
    l3_csum_replace l4_csum_replace get_hash_recalc skb_load_bytes skb_load_bytes_relative skb_store_bytes skb_pull_data \
    skb_change_type skb_change_head skb_change_tail skb_change_proto xdp_adjust_head xdp_adjust_meta xdp_adjust_tail \
    xdp_load_bytes xdp_store_bytes xdp_get_buff_len redirect clone_redirect perf_event_output probe_read_kernel \
    probe_read_kernel_str ringbuf_output ringbuf_reserve ringbuf_submit ringbuf_discard ringbuf_query \
    ringbuf_reserve_dynptr ringbuf_submit_dynptr ringbuf_discard_dynptr user_ringbuf_drain dynptr_from_mem dynptr_read \
    dynptr_write dynptr_data timer_init timer_set_callback timer_start timer_cancel kptr_xchg";

#[test]
fn every_helper_that_is_wanted_has_a_prototype() {
    let missing: Vec<&str> = WANTED.split_whitespace().filter(|n| helpers::by_name(n).is_none()).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

/// After these an engine must look whether the run goes on: code that they enter may end it.
#[test]
fn helpers_that_enter_other_code_may_end_the_run() {
    let may: Vec<u32> = helpers::all().filter(|p| p.may_end_run()).map(|p| p.id).collect();
    assert_eq!(may, [6, 164, 170, 177, 180, 181, 209]);
}

#[test]
fn helpers_are_available_by_type_as_in_linux() -> Checked {
    let allowed = |name: &str, ty| -> Checked<bool> {
        let proto = helpers::by_name(name).ok_or(name)?;
        Ok(helpers::allowed(proto.id, &kind(ty)))
    };
    use ProgType::*;
    for (name, yes, no) in [
        ("csum_diff", &[SchedCls, Xdp, RawMem][..], &[SocketFilter, CgroupSkb, Syscall][..]),
        ("skb_store_bytes", &[SchedCls, SkSkb], &[SocketFilter, CgroupSkb, Xdp]),
        ("skb_pull_data", &[SchedCls, LwtIn], &[CgroupSkb, SocketFilter]),
        ("ktime_get_coarse_ns", &[SchedCls, Xdp, SocketFilter], &[RawTracepoint, Kprobe, Syscall]),
        ("skb_load_bytes", &[SchedCls, SocketFilter, CgroupSkb], &[Xdp, Kprobe]),
        ("xdp_adjust_head", &[Xdp], &[SchedCls]),
        ("perf_event_output", &[Xdp, SchedCls, Kprobe], &[RawMem, FlowDissector]),
        ("map_lookup_elem", &[Xdp, RawMem, Host, Kprobe], &[]),
        ("probe_read_kernel", &[Xdp, Kprobe, Syscall], &[RawMem, Host]),
        ("loop", &[Xdp, RawMem, Host], &[]),
    ] {
        for &ty in yes {
            assert!(allowed(name, ty)?, "{name} in {}", ty.name());
        }
        for &ty in no {
            assert!(!allowed(name, ty)?, "{name} in {}", ty.name());
        }
    }
    Ok(())
}

#[test]
fn map_kinds_and_helpers_go_together_as_in_linux() {
    let tc = kind(ProgType::SchedCls);
    let takers = |map: MapKind| -> Vec<u32> {
        [1, 2, 3, 12, 25, 51, 87, 88, 89, 130, 164, 195]
            .into_iter()
            .filter(|&id| helpers::takes_map(id, map, &tc))
            .collect()
    };
    for (map, expected) in [
        (MapKind::Array, &[1, 2, 3, 164][..]),
        (MapKind::PercpuHash, &[1, 2, 3, 164, 195]),
        (MapKind::LpmTrie, &[1, 2, 3, 164]),
        (MapKind::ProgArray, &[12]),
        (MapKind::PerfEventArray, &[25]),
        (MapKind::Ringbuf, &[130]),
        (MapKind::Queue, &[87, 88, 89]),
        (MapKind::BloomFilter, &[87, 89]),
        (MapKind::ArrayOfMaps, &[1]),
        (MapKind::Cpumap, &[51]),
        (MapKind::Devmap, &[1, 51]),
    ] {
        assert_eq!(takers(map), expected, "{}", map.name());
    }
    assert!(!MapKind::LpmTrie.info().iterable && MapKind::LruHash.info().iterable);
}

#[test]
fn every_kfunc_has_its_prototype_in_the_built_in_types() -> Checked {
    for &kfunc in BuiltinKfunc::ALL {
        let made = kfuncs::builtin(kfunc)?;
        assert_eq!(made.name, kfunc.name());
        assert_eq!(made.btf.kind(made.func), Kind::Func);
        assert!(made.btf.proto(made.func).is_some(), "{}", kfunc.name());
        assert_eq!(made.identity, KfuncIdentity::Builtin(kfunc));
        assert_eq!(kfuncs::unimplemented(kfunc)?.identity, KfuncIdentity::Unimplemented(kfunc));
        assert_eq!(BuiltinKfunc::by_name(kfunc.name()), Some(kfunc));
        let flags = kfuncs::flags(kfunc);
        // A new connection is given away and comes back as one that is tracked.
        let exchanges = kfunc == BuiltinKfunc::CtInsertEntry;
        assert!(!(flags.acquire && flags.release) || exchanges, "{}", kfunc.name());
    }
    for context in ["xdp_md", "__sk_buff", "bpf_perf_event_data", "bpf_timer", "bpf_iter_num", "bpf_dynptr"] {
        assert!(kfuncs::builtin_btf()?.find(context, Kind::Struct).is_some(), "{context}");
    }
    let skb = kfuncs::builtin_btf()?.find("__sk_buff", Kind::Struct).ok_or("no __sk_buff")?;
    assert_eq!(kfuncs::builtin_btf()?.size_of(skb), Some(backstop_abi::SKB_USER_SIZE as u64));
    Ok(())
}

#[test]
fn throws_are_allowed_by_type_as_measured() {
    use ProgType::*;
    let yes: HashSet<&str> = ProgType::LINUX
        .iter()
        .chain(&[RawMem, Host])
        .filter(|&&ty| kfuncs::allowed(BuiltinKfunc::Throw, &kind(ty)))
        .map(|ty| ty.name())
        .collect();
    let expected = [
        SchedCls,
        Xdp,
        Syscall,
        Tracepoint,
        PerfEvent,
        Tracing,
        CgroupSkb,
        CgroupSock,
        CgroupDevice,
        CgroupSockAddr,
        CgroupSysctl,
        CgroupSockopt,
        SockOps,
        StructOps,
        Lsm,
        RawMem,
        Host,
    ];
    assert_eq!(yes, expected.iter().map(|ty| ty.name()).collect());
    for ty in [SocketFilter, RawTracepoint, Kprobe] {
        assert!(kfuncs::allowed(BuiltinKfunc::IterNumNew, &kind(ty)));
        assert!(!kfuncs::allowed(BuiltinKfunc::ObjNew, &kind(ty)));
    }
    assert!(kfuncs::allowed(BuiltinKfunc::DynptrFromSkb, &kind(SocketFilter)));
    assert!(!kfuncs::allowed(BuiltinKfunc::DynptrFromSkb, &kind(Xdp)));
}

#[test]
fn results_have_the_ranges_of_linux() {
    let mut egress = kind(ProgType::CgroupSkb);
    egress.attach = AttachType::CgroupInetEgress;
    let range = |k: &ProgKind| returns::range(k).map(|r| (r.min, r.max));
    assert_eq!(range(&egress), Some((0, 3)));
    for ty in [ProgType::CgroupSkb, ProgType::CgroupSock, ProgType::SockOps, ProgType::SkLookup, ProgType::Netfilter] {
        assert_eq!(range(&kind(ty)), Some((0, 1)), "{}", ty.name());
    }
    for ty in [ProgType::Xdp, ProgType::SchedCls, ProgType::RawTracepoint, ProgType::Syscall, ProgType::SocketFilter] {
        assert_eq!(range(&kind(ty)), None, "{}", ty.name());
    }
    let session = sections::parse("kprobe.session/f").map(|d| range(&d.kind));
    assert_eq!(session, Ok(Some((0, 1))));
    assert_eq!(sections::parse("fentry/f").map(|d| range(&d.kind)), Ok(Some((0, 0))));
    assert_eq!(sections::parse("cgroup/bind4").map(|d| range(&d.kind)), Ok(Some((0, 3))));
    assert_eq!(sections::parse("cgroup/recvmsg6").map(|d| range(&d.kind)), Ok(Some((1, 1))));
}

#[test]
fn packets_are_accessible_by_type_as_in_linux() {
    let rules = |ty| {
        let p = returns::packet(&kind(ty));
        (p.read, p.write, p.legacy)
    };
    assert_eq!(rules(ProgType::Xdp), (true, true, false));
    assert_eq!(rules(ProgType::SchedCls), (true, true, true));
    assert_eq!(rules(ProgType::CgroupSkb), (true, false, false));
    assert_eq!(rules(ProgType::SocketFilter), (false, false, true));
    assert_eq!(rules(ProgType::Kprobe), (false, false, false));
}

#[test]
fn sections_name_programs_as_libbpf_has_them() -> Checked {
    for (section, ty, attach, sleepable, autoload) in [
        ("xdp", ProgType::Xdp, 37, false, true),
        ("xdp.frags", ProgType::Xdp, 37, false, true),
        ("xdp/devmap", ProgType::Xdp, 33, false, true),
        ("xdp.frags/cpumap", ProgType::Xdp, 35, false, true),
        ("?tc", ProgType::SchedCls, 0, false, false),
        ("tc/ingress", ProgType::SchedCls, 46, false, true),
        ("tcx/egress", ProgType::SchedCls, 47, false, true),
        ("classifier", ProgType::SchedCls, 0, false, true),
        ("socket", ProgType::SocketFilter, 0, false, true),
        ("cgroup_skb/egress", ProgType::CgroupSkb, 1, false, true),
        ("cgroup/skb", ProgType::CgroupSkb, 0, false, true),
        ("raw_tp/sys_enter", ProgType::RawTracepoint, 0, false, true),
        ("raw_tracepoint.w/x", ProgType::RawTracepointWritable, 0, false, true),
        ("tp/syscalls/sys_enter_open", ProgType::Tracepoint, 0, false, true),
        ("kprobe.multi/tcp_*", ProgType::Kprobe, 42, false, true),
        ("kretprobe/do_unlinkat", ProgType::Kprobe, 0, false, true),
        ("uprobe.multi.s/a:b", ProgType::Kprobe, 48, true, true),
        ("usdt", ProgType::Kprobe, 0, false, true),
        ("perf_event", ProgType::PerfEvent, 0, false, true),
        ("syscall", ProgType::Syscall, 0, true, true),
        ("tp_btf/x", ProgType::Tracing, 23, false, true),
        ("fexit.s/x", ProgType::Tracing, 25, true, true),
        ("iter/task", ProgType::Tracing, 28, false, true),
        ("lsm.s/file_open", ProgType::Lsm, 27, true, true),
        ("sk_skb/stream_verdict", ProgType::SkSkb, 5, false, true),
        ("netfilter", ProgType::Netfilter, 45, false, true),
        ("raw_mem", ProgType::RawMem, 0, false, true),
    ] {
        let def = sections::parse(section)?;
        let found = (def.kind.ty, def.kind.attach.linux_number(), def.kind.sleepable, def.autoload);
        assert_eq!(found, (ty, attach, sleepable, autoload), "{section}");
    }
    assert!(sections::parse("xdp.frags")?.kind.frags && !sections::parse("xdp")?.kind.frags);
    assert_eq!(sections::parse("raw_mem/8192")?.kind.memory_len, 8192);
    let stated = ["raw_mem", "raw_mem/label", "?raw_mem/12", "xdp"].map(sections::stated_memory_len);
    assert_eq!(stated, [None, None, Some(12), None]);
    assert_eq!(sections::parse("raw_mem/label")?.kind.memory_len, sections::parse("raw_mem")?.kind.memory_len);
    assert_eq!(sections::parse("host/request")?.host.as_deref(), Some("request"));
    for unknown in [
        "",
        "?",
        "xd",
        "kprobes",
        "host",
        "host/",
        "syscall/x",
        "cgroup/none",
        "raw_mem/0",
        "raw_mem/99999999999",
        "raw_mem/64k",
    ] {
        let error = sections::parse(unknown).err().ok_or(unknown)?;
        assert!(error.to_string().contains(&format!("`{unknown}`")), "{error}");
    }
    let custom = |name: &str| (name == "xdp").then(|| kind(ProgType::Host));
    assert_eq!(sections::parse_with("?xdp", &custom)?.kind.ty, ProgType::Host);
    Ok(())
}

fn spec(kind: MapKind, key_size: u32, value_size: u32, max_entries: u32) -> MapSpec {
    let flags = match kind {
        MapKind::LpmTrie => 1,
        MapKind::Arena => 1 << 10,
        _ => 0,
    };
    MapSpec { flags, ..MapSpec::new("m", kind, key_size, value_size, max_entries) }
}

#[test]
fn maps_are_valid_as_in_linux() {
    use MapKind::*;
    for (kind, key, value, entries) in [
        (Array, 4, 8, 4),
        (Array, 4, 1 << 20, 1),
        (Hash, 3, 5, 4),
        (Hash, 4096, 8, 4),
        (PercpuArray, 4, 32768, 1),
        (LpmTrie, 5, 8, 4),
        (LpmTrie, 260, 8, 4),
        (Queue, 0, 8, 4),
        (Ringbuf, 0, 0, 4096),
        (Arena, 0, 0, 2),
        (BloomFilter, 0, 8, 4),
        (ProgArray, 4, 4, 4),
    ] {
        assert_eq!(spec(kind, key, value, entries).validate(), Ok(()), "{} {key} {value} {entries}", kind.name());
    }
    for (kind, key, value, entries) in [
        (Array, 8, 8, 4),
        (Array, 4, 0, 4),
        (Array, 4, 8, 0),
        (Array, 4, 8, u32::MAX),
        (Array, 4, 1 << 31, 1),
        (Hash, 0, 8, 4),
        (Hash, 4, 0, 4),
        (Hash, 4, 8, 0),
        (Hash, 4, 8, u32::MAX),
        (PercpuArray, 4, 40000, 1),
        (PercpuHash, 4, 40000, 1),
        (LpmTrie, 4, 8, 4),
        (LpmTrie, 261, 8, 4),
        (Queue, 4, 8, 4),
        (Queue, 0, 0, 4),
        (Ringbuf, 4, 0, 4096),
        (Ringbuf, 0, 0, 12288),
        (Ringbuf, 0, 0, 2048),
        (BloomFilter, 4, 8, 4),
        (Arena, 4, 0, 2),
        (ProgArray, 4, 8, 4),
        (PerfEventArray, 4, 4, 0),
        (StackTrace, 4, 81, 4),
        (ArrayOfMaps, 4, 4, 2),
    ] {
        let error = spec(kind, key, value, entries).validate().err().map(|e| e.to_string());
        assert!(
            error.as_ref().is_some_and(|e| e.contains("`m`")),
            "{} {key} {value} {entries}: {error:?}",
            kind.name()
        );
    }
}

#[test]
fn map_flags_extras_and_templates_are_checked() {
    let flags = |kind, flags| MapSpec { flags, ..spec(kind, 4, 8, 4) }.validate();
    assert!(matches!(flags(MapKind::Array, 1), Err(MapSpecError::Flags { .. })));
    assert!(matches!(flags(MapKind::Array, 0x180), Err(MapSpecError::Flags { .. })));
    assert!(matches!(flags(MapKind::Hash, 1 << 20), Err(MapSpecError::Flags { .. })));
    assert!(matches!(flags(MapKind::Hash, 1 << 10), Err(MapSpecError::Flags { .. })));
    assert_eq!(flags(MapKind::Array, 1 << 10), Ok(()));
    assert_eq!(flags(MapKind::Hash, 1), Ok(()));
    let extra = |kind, key, extra| MapSpec { extra, ..spec(kind, key, 8, 4) }.validate();
    assert!(matches!(extra(MapKind::Hash, 4, 1), Err(MapSpecError::Extra { .. })));
    assert!(matches!(extra(MapKind::BloomFilter, 0, 16), Err(MapSpecError::Extra { .. })));
    assert_eq!(extra(MapKind::BloomFilter, 0, 5), Ok(()));
    let template = |inner: MapSpec| MapSpec { inner: Some(inner.into()), ..spec(MapKind::HashOfMaps, 4, 4, 4) };
    assert_eq!(template(spec(MapKind::Hash, 4, 8, 4)).validate(), Ok(()));
    assert!(matches!(template(spec(MapKind::Hash, 0, 8, 4)).validate(), Err(MapSpecError::KeySize { .. })));
    assert!(matches!(template(template(spec(MapKind::Hash, 4, 8, 4))).validate(), Err(MapSpecError::Inner { .. })));
    let with_content = MapSpec { initial: Some([0; 4].as_slice().into()), ..spec(MapKind::Array, 4, 8, 1) };
    assert!(matches!(with_content.validate(), Err(MapSpecError::Initial { found: 4, value_size: 8, .. })));
}

#[test]
fn special_fields_are_refused_by_type() {
    let tracing = kind(ProgType::Kprobe);
    assert_eq!(
        field_refusal(SpecialField::SpinLock, &kind(ProgType::SocketFilter)),
        Some("socket filter progs cannot use bpf_spin_lock yet")
    );
    assert_eq!(field_refusal(SpecialField::Timer, &tracing), Some("tracing progs cannot use bpf_timer yet"));
    assert_eq!(
        field_refusal(SpecialField::Graph, &tracing),
        Some("tracing progs cannot use bpf_{list_head,rb_root} yet")
    );
    for field in [SpecialField::SpinLock, SpecialField::Timer, SpecialField::Workqueue, SpecialField::Graph] {
        assert!(field_refusal(field, &tracing).is_some() && field_refusal(field, &kind(ProgType::SchedCls)).is_none());
    }
}

#[test]
fn map_kinds_keep_linuxs_numbers() {
    for number in 1..=33 {
        assert_eq!(MapKind::from_number(number).map(MapKind::number), Some(number));
    }
    assert_eq!((MapKind::from_number(0), MapKind::from_number(34)), (None, None));
    assert_eq!(ProgType::Xdp.linux_number(), Some(6));
    assert_eq!(ProgType::Netfilter.linux_number(), Some(32));
    assert_eq!(ProgType::RawMem.linux_number(), None);
}

#[test]
fn licenses_are_judged_as_in_linux() {
    for yes in ["GPL", "GPL v2", "Dual MIT/GPL", "Dual BSD/GPL", "Dual MPL/GPL", "GPL and additional rights"] {
        assert!(license_is_gpl_compatible(yes));
    }
    for no in ["", "MIT", "gpl", "GPL ", "Proprietary", "GPLv2"] {
        assert!(!license_is_gpl_compatible(no));
    }
}
