//! Verdicts, logs and test runs.

use crate::asm::*;
use backstop_referee::{
    AttachType, Error, MapSpec, ProgLoad, ProgType, Referee, TestRun, Verdict, map_kind, prog_flag,
};

#[test]
fn accepts_and_refuses_with_the_reason() {
    let Some(referee) = Referee::open_or_skip("accepts_and_refuses_with_the_reason") else {
        return;
    };
    let good = [mov(0, 7), exit()];
    let mut prog = ProgLoad { log_level: 4, name: "good-one", ..ProgLoad::new(ProgType::Xdp, good.as_flattened()) };
    let stats = must_load(&referee, &prog).log().stats().expect("counts at log level 4");
    assert_eq!(stats.processed_insns, 2);
    assert!(stats.verification_time_usec.is_some());
    assert_eq!(stats.insn_limit, Some(1_000_000));

    let bad = [exit()];
    prog.insns = bad.as_flattened();
    prog.log_level = 1;
    let verdict = referee.verdict(&prog).expect("a verdict");
    assert_eq!(verdict, Verdict::Reject { errno: libc::EACCES, reason: "R0 !read_ok".to_owned() });

    prog.log_level = 0;
    let silent = referee.verdict(&prog).expect("a verdict");
    assert_eq!(silent, Verdict::Reject { errno: libc::EACCES, reason: "EACCES".to_owned() });
}

#[test]
fn long_logs_come_whole() {
    let Some(referee) = Referee::open_or_skip("long_logs_come_whole") else {
        return;
    };
    let mut insns = vec![mov(0, 0)];
    insns.extend((0..4000).map(|_| add(0, 1)));
    insns.push(exit());
    let prog = ProgLoad { log_level: 2, ..ProgLoad::new(ProgType::SchedCls, insns.as_flattened()) };
    let loaded = must_load(&referee, &prog);
    assert!(loaded.log().text().len() > 64 << 10, "{} bytes", loaded.log().text().len());
    assert!(!loaded.log().is_truncated());
    assert_eq!(loaded.log().stats().map(|stats| stats.processed_insns), Some(4002));
}

#[test]
fn odd_bytes_never_reach_the_kernel() {
    let Some(referee) = Referee::open_or_skip("odd_bytes_never_reach_the_kernel") else {
        return;
    };
    let odd = referee.load(&ProgLoad::new(ProgType::Xdp, &[0x95, 0, 0]));
    assert!(matches!(odd, Err(Error::Size { got: 3, want: 8, .. })), "{odd:?}");
    let call = [kfunc(3), exit()];
    let prog = ProgLoad { kfuncs: &["bpf_throw"], ..ProgLoad::new(ProgType::SchedCls, call.as_flattened()) };
    let outside = referee.load(&prog);
    assert!(matches!(outside, Err(Error::KfuncIndex { slot: 0, index: 3, count: 1 })), "{outside:?}");
    let prog = ProgLoad { kfuncs: &["x", "x", "x", "no_such_kfunc"], ..prog };
    assert!(matches!(referee.load(&prog), Err(Error::NoSuchType { .. })));
}

#[test]
fn runs_xdp() {
    let Some(referee) = Referee::open_or_skip("runs_xdp") else {
        return;
    };
    // Writes 0x2a over the first byte of a packet that is long enough.
    let insns = [
        load_word(2, 1, 0),
        load_word(3, 1, 4),
        mov_reg(4, 2),
        add(4, 14),
        insn(0x2d, 4, 3, 2, 0),
        insn(0x72, 2, 0, 0, 0x2a),
        insn(0x05, 0, 0, 0, 0),
        mov(0, 2),
        exit(),
    ];
    let data = packet(64);
    let out = run(&referee, ProgType::Xdp, &insns, &TestRun::packet(&data));
    assert_eq!((out.retval, out.data_out.len(), out.data_out[0]), (2, 64, 0x2a));
    assert_eq!(out.data_out[1..], data[1..]);

    // With a context: data_end must be the packet's length; data_meta and data 0.
    let mut md = [0_u8; 24];
    md[4..8].copy_from_slice(&64_u32.to_ne_bytes());
    let out = run(&referee, ProgType::Xdp, &insns, &TestRun { ctx_in: &md, repeat: 10, ..TestRun::packet(&data) });
    assert_eq!((out.retval, out.ctx_out), (2, md.to_vec()));
}

#[test]
fn refuses_inputs_that_a_type_does_not_take() {
    let Some(referee) = Referee::open_or_skip("refuses_inputs_that_a_type_does_not_take") else {
        return;
    };
    let zero = [mov(0, 0), exit()];
    let load = |prog_type| must_load(&referee, &ProgLoad::new(prog_type, zero.as_flattened()));
    let inputs = |prog_type, input: &TestRun<'_>| {
        let answer = referee.test_run(&load(prog_type), input);
        assert!(matches!(answer, Err(Error::Inputs { .. })), "{prog_type}: {answer:?}");
    };
    inputs(ProgType::Xdp, &TestRun::packet(&[0; 13]));
    inputs(ProgType::Xdp, &TestRun { flags: 2, ..TestRun::packet(&[0; 64]) });
    inputs(ProgType::Syscall, &TestRun::packet(&[0; 64]));
    inputs(ProgType::Syscall, &TestRun { repeat: 2, ..TestRun::default() });
    inputs(ProgType::RawTracepoint, &TestRun::context(&[0; 104]));
    for prog_type in [ProgType::Tracepoint, ProgType::Kprobe, ProgType::PerfEvent] {
        let answer = referee.test_run(&load(prog_type), &TestRun::default());
        assert!(matches!(answer, Err(Error::NoTestRun { .. })), "{prog_type}: {answer:?}");
    }
}

#[test]
fn packets_as_each_type_sees_them() {
    let Some(referee) = Referee::open_or_skip("packets_as_each_type_sees_them") else {
        return;
    };
    // r0 = skb->len
    let length = [load_word(0, 1, 0), exit()];
    let data = packet(64);
    let seen = |prog_type, insns: &[Slot]| run(&referee, prog_type, insns, &TestRun::packet(&data)).retval;
    assert_eq!(seen(ProgType::SchedCls, &length), 64);
    // Only tc sees the Ethernet header: for the others the kernel has pulled it.
    assert_eq!(seen(ProgType::SocketFilter, &length), 50);
    assert_eq!(seen(ProgType::LwtXmit, &length), 50);
    // cgroup_skb may return 0..1 on ingress, 0..3 on egress: bit 4 of 50 is set, and bits 0 to 1 of 50 >> 4 are 3.
    let egress = [load_word(0, 1, 0), insn(0x77, 0, 0, 0, 4), insn(0x57, 0, 0, 0, 3), exit()];
    let mut prog = ProgLoad::new(ProgType::CgroupSkb, egress.as_flattened());
    assert!(!referee.load(&prog).expect("load").is_loaded());
    prog.attach_type = Some(AttachType::CgroupInetEgress);
    let loaded = must_load(&referee, &prog);
    assert_eq!(referee.test_run(&loaded, &TestRun::packet(&data)).expect("run").retval, 3);
}

#[test]
fn gives_back_the_context_of_tc() {
    let Some(referee) = Referee::open_or_skip("gives_back_the_context_of_tc") else {
        return;
    };
    // skb->mark (offset 8) += 1; return skb->priority (offset 32)
    let insns = [load_word(2, 1, 8), add(2, 1), insn(0x63, 1, 2, 8, 0), load_word(0, 1, 32), exit()];
    let mut skb = [0_u8; 192];
    skb[8..12].copy_from_slice(&41_u32.to_ne_bytes());
    skb[32..36].copy_from_slice(&9_u32.to_ne_bytes());
    let data = packet(64);
    let out = run(&referee, ProgType::SchedCls, &insns, &TestRun { ctx_in: &skb, ..TestRun::packet(&data) });
    assert_eq!(out.retval, 9);
    assert_eq!(out.ctx_out[8..12], 42_u32.to_ne_bytes());
}

#[test]
fn runs_with_a_context_alone() {
    let Some(referee) = Referee::open_or_skip("runs_with_a_context_alone") else {
        return;
    };
    // *(u32 *)(ctx + 4) = *(u32 *)ctx + 1; return 5
    let insns = [load_word(2, 1, 0), add(2, 1), insn(0x63, 1, 2, 4, 0), mov(0, 5), exit()];
    let out = run(&referee, ProgType::Syscall, &insns, &TestRun::context(&[9, 0, 0, 0, 0, 0, 0, 0]));
    let expected: Vec<u8> =
        [9_u32, u32::from_ne_bytes([9, 0, 0, 0]) + 1].iter().flat_map(|word| word.to_ne_bytes()).collect();
    assert_eq!((out.retval, out.ctx_out[4..].to_vec()), (5, expected[4..].to_vec()));

    // A raw tracepoint returns its second argument.
    let second = [insn(0x79, 0, 1, 8, 0), exit()];
    let args: Vec<u8> = [3_u64, 77].iter().flat_map(|word| word.to_ne_bytes()).collect();
    let out = run(&referee, ProgType::RawTracepoint, &second, &TestRun::context(&args));
    assert_eq!((out.retval, out.ctx_out.len()), (77, 0));
}

#[test]
fn throws_with_the_default_callback() {
    let Some(referee) = Referee::open_or_skip("throws_with_the_default_callback") else {
        return;
    };
    let insns = throwing(64);
    // Neither BTF nor func_info is needed for a throw without a callback of the program's own.
    let prog = ProgLoad { kfuncs: &["bpf_throw"], ..ProgLoad::new(ProgType::SchedCls, insns.as_flattened()) };
    let loaded = must_load(&referee, &prog);
    assert_eq!(referee.test_run(&loaded, &TestRun::packet(&packet(64))).expect("run").retval, 64);
    let raw_tp = ProgLoad { prog_type: ProgType::RawTracepoint, ..prog };
    let reason = "calling kernel function bpf_throw is not allowed".to_owned();
    assert_eq!(referee.verdict(&raw_tp).expect("a verdict"), Verdict::Reject { errno: libc::EACCES, reason });
    // A program that is not GPL can't call kfuncs at all.
    let unfree = ProgLoad { license: "MIT", ..prog };
    assert!(!referee.load(&unfree).expect("load").is_loaded());
}

#[test]
fn flags_reach_the_verifier() {
    let Some(referee) = Referee::open_or_skip("flags_reach_the_verifier") else {
        return;
    };
    // A misaligned load from a map's value is taken where the machine does not mind (for the stack it never is).
    let spec = MapSpec { kind: map_kind::ARRAY, key_size: 4, value_size: 8, max_entries: 1, ..MapSpec::default() };
    let map = referee.create_map(&spec).expect("a map");
    let insns = [insn(0x18, 1, 6, 0, 0), insn(0, 0, 0, 0, 0), load_word(0, 1, 1), exit()];
    let prog = ProgLoad { maps: &[&map], ..ProgLoad::new(ProgType::SchedCls, insns.as_flattened()) };
    if cfg!(target_arch = "x86_64") {
        assert_eq!(referee.verdict(&prog).expect("a verdict"), Verdict::Accept);
    }
    let strict = ProgLoad { flags: prog_flag::STRICT_ALIGNMENT, ..prog };
    let verdict = referee.verdict(&strict).expect("a verdict");
    assert!(matches!(&verdict, Verdict::Reject { reason, .. } if reason.contains("misaligned")), "{verdict:?}");
}
