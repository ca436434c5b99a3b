//! Whole tables of the model put before the running kernel: every context access and every helper, by program type and by what a
//! section's name says beyond it (attach type, sleepable, fragments).
//!
//! The corpus holds the telling programs; here each cell of a table is one program of two or three instructions, and Linux's
//! verdict and reason are asked for on the spot.

#[allow(dead_code)]
mod cases_support;

use std::sync::Arc;

use backstop_isa::Slot;
use backstop_model::{ProgKind, ProgType, Program, helpers, sections};
use backstop_referee::Referee;
use backstop_verifier::{Options, verify};

use cases_support::corpus::{Expected, mask};
use cases_support::kernel;

/// The types whose rules are held cell by cell.
const TYPES: [ProgType; 9] = [
    ProgType::SocketFilter,
    ProgType::SchedCls,
    ProgType::Xdp,
    ProgType::CgroupSkb,
    ProgType::RawTracepoint,
    ProgType::Tracepoint,
    ProgType::Kprobe,
    ProgType::PerfEvent,
    ProgType::Syscall,
];

/// Sections that say more than a type, one for each meaning.
const SECTIONS: [&str; 38] = [
    "uprobe.s",
    "kprobe.multi",
    "kprobe.session",
    "uprobe.multi",
    "uprobe.multi.s",
    "uprobe.session",
    "uprobe.session.s",
    "tcx/ingress",
    "tcx/egress",
    "netkit/primary",
    "netkit/peer",
    "action",
    "raw_tp.w",
    "xdp/devmap",
    "xdp/cpumap",
    "xdp.frags",
    "xdp.frags/devmap",
    "xdp.frags/cpumap",
    "cgroup_skb/egress",
    "cgroup/sock_create",
    "cgroup/sock_release",
    "cgroup/post_bind4",
    "cgroup/post_bind6",
    "cgroup/bind4",
    "cgroup/bind6",
    "cgroup/connect4",
    "cgroup/connect_unix",
    "cgroup/sendmsg4",
    "cgroup/sendmsg6",
    "cgroup/sendmsg_unix",
    "cgroup/recvmsg6",
    "cgroup/getpeername4",
    "cgroup/getsockname_unix",
    "cgroup/sysctl",
    "cgroup/getsockopt",
    "cgroup/setsockopt",
    "cgroup/dev",
    "sockops",
];

const EXIT: Slot = slot(0x95, 0, 0, 0, 0);
const RESULT: Slot = slot(0xb7, 0, 0, 0, 0);

const fn slot(code: u8, dst: u8, src: u8, off: i16, imm: i32) -> Slot {
    Slot { code, dst, src, off, imm }
}

fn of_section(name: &str) -> ProgKind {
    sections::parse(name).unwrap_or_else(|error| panic!("{name}: {error}")).kind
}

/// Reads of a full socket's address have no row in the model.
fn gives_full_socket(kind: &ProgKind, access: Slot) -> bool {
    let off = match kind.ty {
        ProgType::CgroupSockAddr => 64,
        ProgType::CgroupSockopt => 0,
        ProgType::SockOps => 184,
        _ => return false,
    };
    access.code == 0x79 && access.off == off
}

fn program(kind: ProgKind, first: Slot, license: &str) -> Program {
    Program {
        name: "cell".to_owned(),
        section: String::new(),
        kind,
        slots: vec![first, RESULT, EXIT],
        maps: Vec::new(),
        kfuncs: Vec::new(),
        btf: None,
        func_info: Vec::new(),
        line_info: Vec::new(),
        poisoned: Vec::new(),
        license: license.to_owned(),
    }
}

/// Verdict and masked reason of both; `None` if they are the same.
fn difference(referee: &Referee, program: Program) -> Option<String> {
    let (linux, _) = kernel::judge(referee, &program).expect("the kernel judges a program of three instructions");
    let options = Options { compat_linux: true, kernel: backstop_model::KernelBtf::reduced(), ..Options::default() };
    let first = program.slots.first().copied().unwrap_or_default();
    let name = format!("{} attached as {:?}", program.kind.ty.name(), program.kind.attach);
    let own = match verify(Arc::new(program), &options) {
        Ok(_) => Expected::Accept,
        Err(refusal) => Expected::Reject { text: refusal.reason.kernel_text().lines().last().unwrap_or("").to_owned() },
    };
    let words = |verdict: &Expected| match verdict {
        Expected::Accept => "accept".to_owned(),
        Expected::Reject { text } => mask(text),
    };
    let (linux, own) = (words(&linux), words(&own));
    (linux != own).then(|| format!("{name} {first:?}: Linux `{linux}`, Backstop `{own}`"))
}

fn check(name: &str, cells: impl Iterator<Item = (ProgKind, Slot, &'static str)>, least: usize) {
    let Some(referee) = Referee::open_or_skip(name) else { return };
    let mut judged = 0;
    let mut differ = Vec::new();
    for (kind, first, license) in cells {
        judged += 1;
        differ.extend(difference(&referee, program(kind, first, license)));
    }
    println!("{name}: {judged} cells");
    assert!(judged >= least, "only {judged} cells");
    assert!(differ.is_empty(), "{} cells differ:\n{}", differ.len(), differ.join("\n"));
}

/// Loads, stores of a register, of a constant, and sign-extending loads, by 1, 2, 4 and 8 bytes.
fn accesses(off: i16) -> impl Iterator<Item = Slot> {
    const CODES: [u8; 15] = [0x71, 0x69, 0x61, 0x79, 0x73, 0x6b, 0x63, 0x7b, 0x72, 0x6a, 0x62, 0x7a, 0x91, 0x89, 0x81];
    CODES.into_iter().map(move |code| {
        let loads = matches!(code & 7, 1);
        let (dst, src) = if loads { (0, 1) } else { (1, if code & 7 == 3 { 1 } else { 0 }) };
        slot(code, dst, src, off, 0)
    })
}

#[test]
fn context_accesses_are_the_kernels() {
    let cells = TYPES.into_iter().flat_map(|ty| {
        let ends = if ty == ProgType::Tracepoint { 8184..8196 } else { 0..0 };
        (0..200).chain(ends).flat_map(accesses).map(move |access| (ProgKind::new(ty), access, "GPL"))
    });
    check("context_accesses_are_the_kernels", cells, 27_000);
}

#[test]
fn context_accesses_of_sections_are_the_kernels() {
    let cells = SECTIONS.into_iter().flat_map(|name| {
        let kind = of_section(name);
        let cells = (0..230).flat_map(accesses).map(move |access| (kind.clone(), access, "GPL"));
        cells.filter(|(kind, access, _)| !gives_full_socket(kind, *access))
    });
    check("context_accesses_of_sections_are_the_kernels", cells, 130_000);
}

/// Calls that are not put before the kernel: what these print goes to the machine's trace.
const PRINTS: [u32; 2] = [6, 177];

fn helper_call(id: u32) -> Slot {
    slot(0x85, 0, 0, 0, i32::try_from(id).unwrap_or(0))
}

#[test]
fn helpers_of_a_type_are_the_kernels() {
    // Linux has variants of these for kernel-typed sockets and buffers, which programs here cannot have.
    const OTHER_VARIANT: [(ProgType, u32); 4] =
        [(ProgType::Syscall, 46), (ProgType::Syscall, 107), (ProgType::Syscall, 108), (ProgType::Syscall, 188)];
    let cells = TYPES.into_iter().flat_map(|ty| {
        let known = helpers::all().map(|proto| proto.id);
        known
            .filter(move |id| !PRINTS.contains(id) && !OTHER_VARIANT.contains(&(ty, *id)))
            .map(move |id| (ProgKind::new(ty), helper_call(id), "GPL"))
    });
    check("helpers_of_a_type_are_the_kernels", cells, 1_000);
}

#[test]
fn licenses_of_helpers_are_the_kernels() {
    // Of other types not all helpers are known here, so that a wrong license might come before a wrong type.
    let judged = |kind: &ProgKind| TYPES.contains(&kind.ty);
    let kinds = TYPES.into_iter().map(ProgKind::new).chain(SECTIONS.into_iter().map(of_section).filter(judged));
    let cells = kinds.flat_map(|kind| {
        let called = helpers::all().map(|proto| proto.id).filter(|id| !PRINTS.contains(id));
        let called: Vec<u32> = called.filter(|id| helpers::allowed(*id, &kind)).collect();
        called.into_iter().map(move |id| (kind.clone(), helper_call(id), "Proprietary"))
    });
    check("licenses_of_helpers_are_the_kernels", cells, 1_500);
}
