//! Whole tables of the model put before the running kernel: every context access and every helper, by program type.
//!
//! The corpus holds the telling programs; here each cell of a table is one program of two or three instructions, and Linux's
//! verdict and reason are asked for on the spot.

#[allow(dead_code)]
mod cases_support;

use std::sync::Arc;

use backstop_isa::Slot;
use backstop_model::{ProgKind, ProgType, Program, helpers};
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

const EXIT: Slot = slot(0x95, 0, 0, 0, 0);
const RESULT: Slot = slot(0xb7, 0, 0, 0, 0);

const fn slot(code: u8, dst: u8, src: u8, off: i16, imm: i32) -> Slot {
    Slot { code, dst, src, off, imm }
}

fn program(ty: ProgType, first: Slot) -> Program {
    Program {
        name: "cell".to_owned(),
        section: String::new(),
        kind: ProgKind::new(ty),
        slots: vec![first, RESULT, EXIT],
        maps: Vec::new(),
        kfuncs: Vec::new(),
        btf: None,
        func_info: Vec::new(),
        line_info: Vec::new(),
        poisoned: Vec::new(),
        license: "GPL".to_owned(),
    }
}

/// Verdict and masked reason of both; `None` if they are the same.
fn difference(referee: &Referee, program: Program) -> Option<String> {
    let (linux, _) = kernel::judge(referee, &program).expect("the kernel judges a program of three instructions");
    let options = Options { compat_linux: true, kernel: backstop_model::KernelBtf::reduced(), ..Options::default() };
    let first = program.slots.first().copied().unwrap_or_default();
    let name = program.kind.ty.name();
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

fn check(name: &str, cells: impl Iterator<Item = (ProgType, Slot)>, least: usize) {
    let Some(referee) = Referee::open_or_skip(name) else { return };
    let mut judged = 0;
    let mut differ = Vec::new();
    for (ty, first) in cells {
        judged += 1;
        differ.extend(difference(&referee, program(ty, first)));
    }
    println!("{name}: {judged} cells");
    assert!(judged >= least, "only {judged} cells");
    assert!(differ.is_empty(), "{} cells differ:\n{}", differ.len(), differ.join("\n"));
}

#[test]
fn context_accesses_are_the_kernels() {
    // Loads, stores of a register, of a constant, and sign-extending loads, by 1, 2, 4 and 8 bytes.
    const CODES: [u8; 15] = [0x71, 0x69, 0x61, 0x79, 0x73, 0x6b, 0x63, 0x7b, 0x72, 0x6a, 0x62, 0x7a, 0x91, 0x89, 0x81];
    let cells = TYPES.into_iter().flat_map(|ty| {
        let ends = if ty == ProgType::Tracepoint { 8184..8196 } else { 0..0 };
        (0..200).chain(ends).flat_map(move |off| {
            CODES.into_iter().map(move |code| {
                let loads = matches!(code & 7, 1);
                let (dst, src) = if loads { (0, 1) } else { (1, if code & 7 == 3 { 1 } else { 0 }) };
                (ty, slot(code, dst, src, off, 0))
            })
        })
    });
    check("context_accesses_are_the_kernels", cells, 27_000);
}

#[test]
fn helpers_of_a_type_are_the_kernels() {
    // What these print goes to the machine's trace.
    const PRINTS: [u32; 2] = [6, 177];
    // Linux has variants of these for kernel-typed sockets and buffers, which programs here cannot have.
    const OTHER_VARIANT: [(ProgType, u32); 4] =
        [(ProgType::Syscall, 46), (ProgType::Syscall, 107), (ProgType::Syscall, 108), (ProgType::Syscall, 188)];
    let cells = TYPES.into_iter().flat_map(|ty| {
        helpers::all()
            .map(|proto| proto.id)
            .filter(move |id| !PRINTS.contains(id) && !OTHER_VARIANT.contains(&(ty, *id)))
            .map(move |id| (ty, slot(0x85, 0, 0, 0, i32::try_from(id).unwrap_or(0))))
    });
    check("helpers_of_a_type_are_the_kernels", cells, 1_000);
}
