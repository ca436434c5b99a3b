//! The comparison can find: with a fault planted in what the JIT compiles, generated programs show it, and it is reduced to a few
//! instructions. One test a fault; what the other columns run is untouched. The one that traps is in `trapping`.
#![cfg(all(feature = "jit", target_arch = "x86_64", target_os = "linux"))]

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use backstop::PlantedFault as Fault;
use backstop::ir::{Block, BlockId, Func, Mem, Op, OpKind, Role, Term};
use backstop::isa::{AluOp, AtomicOp, ByteOrder, CmpOp, Operand, Reg, Size, Width};
use backstop_differ::{Case, Columns, Compare, Finding, Session, Settings, Shape, Tried, Watch};

/// Programs that may be tried until one shows the fault.
const MOST_PROGRAMS: u64 = 4000;
/// Instructions that may be left.
const FEW: usize = 10;
/// Instructions that a proof may take.
const INSNS: u64 = 100_000;

/// Plants the fault, finds it, reduces it; without the fault the reduced program runs the same everywhere.
fn finds(fault: Fault, shape: Option<Shape>) {
    finds_in(MOST_PROGRAMS, fault, shape);
}

fn finds_in(count: u64, fault: Fault, shape: Option<Shape>) {
    // As many findings as `backstop diff` reports.
    let settings = Settings { seed: 7, count, threads: 1, shape, ..Settings::default() };
    let planted = |rules| Columns::configured(rules, &|config| config.fault(fault));
    let report = Session::with_columns(settings, planted).expect("a session").run(&());
    let reduced = report.findings.iter().filter_map(|finding| Some((finding, finding.reduced.as_ref()?)));
    let smallest = reduced.min_by_key(|(_, reduced)| reduced.instructions());
    let (finding, reduced) = smallest.expect("no program shows the fault");
    let case = finding.smallest();
    println!("program {}, {} tests\n{}\n{case}", finding.number, reduced.tests, reduced.difference);
    assert!(reduced.instructions() <= FEW, "{} instructions are left:\n{case}", reduced.instructions());
    let sound = Columns::new(case.rules).attempt(&case.program, &case.inputs, Compare::All, INSNS);
    assert!(matches!(sound, Tried::Same(_)), "{sound:?}\n{case}");
}

fn functions(change: fn(&mut Vec<Func>)) -> Fault {
    Fault { functions: Some(change), image: None }
}

/// Puts others in an operation's place, for each operation for which there are any.
fn replace(funcs: &mut [Func], with: fn(OpKind) -> Option<Vec<OpKind>>) {
    for block in funcs.iter_mut().flat_map(|func| &mut func.blocks) {
        let old = std::mem::take(&mut block.ops);
        for op in old {
            let kinds = with(op.kind).unwrap_or_else(|| vec![op.kind]);
            block.ops.extend(kinds.into_iter().map(|kind| Op { id: op.id, kind }));
        }
    }
}

fn set(dst: Reg, imm: i32) -> OpKind {
    OpKind::Mov { width: Width::W64, dst, src: Operand::Imm(imm) }
}

fn sign_extend(dst: Reg) -> OpKind {
    OpKind::MovSx { width: Width::W64, from: Size::B4, dst, src: dst }
}

/// Before each division by a register for which `special` says what is done in its place if that register is 0.
fn on_zero(funcs: &mut [Func], special: fn(AluOp, Width, Reg) -> Option<OpKind>) {
    for func in funcs {
        let mut work: Vec<usize> = (0..func.blocks.len()).collect();
        while let Some(at) = work.pop() {
            let found = func.blocks[at].ops.iter().enumerate().find_map(|(n, op)| match op.kind {
                OpKind::Alu { width, op, dst, src: Operand::Reg(src) } => {
                    Some((n, width, src, special(op, width, dst)?))
                }
                _ => None,
            });
            let Some((n, width, src, kind)) = found else { continue };
            let next = |n: u32| BlockId(func.blocks.len() as u32 + n);
            let zero = Operand::Imm(0);
            let test = Term::Branch { width, op: CmpOp::Eq, dst: src, src: zero, then: next(0), otherwise: next(1) };
            divide(func, at, n, test, kind);
            // There may be more of them behind this one.
            work.push(func.blocks.len() - 1);
        }
    }
}

/// Cuts a block before operation `n` by `test`: its first target does `kind`, its second the operation; both go on.
fn divide(func: &mut Func, at: usize, n: usize, test: Term, kind: OpKind) {
    let rest = BlockId(func.blocks.len() as u32 + 2);
    let block = &mut func.blocks[at];
    let after = block.ops.split_off(n + 1);
    let op = block.ops.pop().expect("operation n");
    let (term, term_id) = (std::mem::replace(&mut block.term, test), block.term_id);
    let special = Op { id: op.id, kind };
    func.blocks.push(Block { ops: vec![special], term: Term::Jump(rest), term_id });
    func.blocks.push(Block { ops: vec![op], term: Term::Jump(rest), term_id });
    func.blocks.push(Block { ops: after, term, term_id });
}

#[test]
fn a_64_bit_compare_with_a_zero_extended_negative_immediate() {
    /// A quarter of 2^32.
    const STEP: i32 = 1 << 30;
    finds(
        functions(|funcs| {
            // x stands to the zero-extended immediate as x - 2^32 to the sign-extended one, unsigned orders apart; x is brought back on both
            // ways.
            for func in funcs {
                for at in 0..func.blocks.len() {
                    let fresh = BlockId(func.blocks.len() as u32);
                    let block = &mut func.blocks[at];
                    let Term::Branch { width: Width::W64, op, dst, src, then, otherwise } = &mut block.term else {
                        continue;
                    };
                    if matches!(op, CmpOp::Gt | CmpOp::Ge | CmpOp::Lt | CmpOp::Le | CmpOp::Set) {
                        continue;
                    }
                    if !matches!(src, Operand::Imm(imm) if *imm < 0) {
                        continue;
                    }
                    let (dst, id) = (*dst, block.term_id);
                    let ways = [std::mem::replace(then, fresh), std::mem::replace(otherwise, BlockId(fresh.0 + 1))];
                    let ops = |op| {
                        let step = OpKind::Alu { width: Width::W64, op, dst, src: Operand::Imm(STEP) };
                        vec![Op { id, kind: step }; 4]
                    };
                    block.ops.extend(ops(AluOp::Sub));
                    for way in ways {
                        func.blocks.push(Block { ops: ops(AluOp::Add), term: Term::Jump(way), term_id: id });
                    }
                }
            }
        }),
        None,
    );
}

/// Ends a session as soon as something is found, and notes what it is told.
#[derive(Default)]
struct Hasty {
    found: AtomicBool,
    told: Mutex<Vec<(u64, Option<bool>)>>,
}

impl Hasty {
    fn note(&self, finding: &Finding) {
        let reduced = finding.reduced.as_ref().map(|reduced| reduced.cut_short);
        self.told.lock().expect("the notes").push((finding.number, reduced));
    }
}

impl Watch for Hasty {
    fn ended(&self) -> bool {
        self.found.load(Ordering::Relaxed)
    }

    fn found(&self, finding: &Finding) {
        self.note(finding);
        self.found.store(true, Ordering::Relaxed);
        // The session's own thread asks a few times a second.
        std::thread::sleep(std::time::Duration::from_millis(500));
    }

    fn reduced(&self, finding: &Finding) {
        self.note(finding);
    }
}

#[test]
fn a_finding_is_told_at_once_and_its_reduction_ends_with_the_session() {
    let le16 = functions(|funcs| {
        replace(funcs, |kind| matches!(kind, OpKind::End { order: ByteOrder::Le, size: Size::B2, .. }).then(Vec::new));
    });
    let settings = Settings { seed: 7, count: MOST_PROGRAMS, threads: 1, ..Settings::default() };
    let planted = |rules| Columns::configured(rules, &|config| config.fault(le16));
    let watch = Hasty::default();
    let report = Session::with_columns(settings, planted).expect("a session").run(&watch);
    let finding = report.findings.first().expect("a finding");
    assert_eq!(report.findings.len(), 1);
    let told = watch.told.into_inner().expect("the notes");
    assert_eq!(told, [(finding.number, None), (finding.number, Some(true))]);
    let reduced = finding.reduced.as_ref().expect("what there was");
    assert!(reduced.cut_short && reduced.tests < 10, "{} tests", reduced.tests);
    let text = finding.smallest().to_string();
    assert!(text.parse::<Case>().is_ok(), "{text}");
}

#[test]
fn le16_as_a_no_op() {
    finds(
        functions(|funcs| {
            replace(funcs, |kind| {
                matches!(kind, OpKind::End { order: ByteOrder::Le, size: Size::B2, .. }).then(Vec::new)
            });
        }),
        None,
    );
}

#[test]
fn mov32_as_mov64() {
    finds(
        functions(|funcs| {
            replace(funcs, |kind| match kind {
                OpKind::Mov { width: Width::W32, dst, src } => Some(vec![OpKind::Mov { width: Width::W64, dst, src }]),
                _ => None,
            });
        }),
        None,
    );
}

#[test]
fn mod32_by_zero_giving_0() {
    finds(
        functions(|funcs| {
            on_zero(funcs, |op, width, dst| (op == AluOp::Mod && width == Width::W32).then(|| set(dst, 0)));
        }),
        None,
    );
}

#[test]
fn a_64_bit_jump_compared_as_32_bit() {
    finds(
        functions(|funcs| {
            // Bounds of an address must stay what they are: a wrong one would reach anywhere.
            for block in funcs.iter_mut().filter(|func| has_fixed_addresses(func)).flat_map(|func| &mut func.blocks) {
                if let Term::Branch { width, .. } = &mut block.term {
                    *width = Width::W32;
                }
            }
        }),
        None,
    );
}

/// Whether no branch decides where a function's accesses go.
fn has_fixed_addresses(func: &Func) -> bool {
    let ops = || func.blocks.iter().flat_map(|block| &block.ops);
    let base = |op: &Op| match op.kind {
        OpKind::Load { base, mem, .. }
        | OpKind::Store { base, mem, .. }
        | OpKind::Atomic { base, mem, .. }
        | OpKind::LoadAcquire { base, mem, .. }
        | OpKind::StoreRelease { base, mem, .. } => Some((base, mem)),
        _ => None,
    };
    let moves = |op: &Op, base: Reg| match op.kind {
        OpKind::Alu { dst, src: Operand::Reg(_), .. } => dst == base,
        _ => false,
    };
    ops().filter_map(base).all(|(base, mem)| mem != Mem::Packet && !ops().any(|op| moves(op, base)))
}

#[test]
fn movsx_as_mov() {
    finds(
        functions(|funcs| {
            replace(funcs, |kind| match kind {
                OpKind::MovSx { width, dst, src, .. } => Some(vec![OpKind::Mov { width, dst, src: Operand::Reg(src) }]),
                _ => None,
            });
        }),
        None,
    );
}

#[test]
fn sdiv_as_div() {
    finds(
        functions(|funcs| {
            replace(funcs, |kind| match kind {
                OpKind::Alu { width, op: AluOp::Sdiv, dst, src } => {
                    Some(vec![OpKind::Alu { width, op: AluOp::Div, dst, src }])
                }
                _ => None,
            });
        }),
        None,
    );
}

#[test]
fn a_32_bit_fetching_atomic_not_zero_extended() {
    finds(
        functions(|funcs| {
            replace(funcs, |kind| match kind {
                OpKind::Atomic { size: Size::B4, op, fetch: true, src, .. } => {
                    let fetched = if op == AtomicOp::Cmpxchg { Reg::R0 } else { src };
                    Some(vec![kind, sign_extend(fetched)])
                }
                _ => None,
            });
        }),
        None,
    );
}

#[test]
fn sub32_sign_extended() {
    finds(
        functions(|funcs| {
            replace(funcs, |kind| match kind {
                OpKind::Alu { width: Width::W32, op: AluOp::Sub, dst, .. } => Some(vec![kind, sign_extend(dst)]),
                _ => None,
            });
        }),
        None,
    );
}

/// r9 is in r15: the exception callback pops it with the others that the boundary saved. Whoever called the boundary misses it; with a changed
/// image the runtime's own entry keeps its registers itself, so a program sees it that tail calls a throwing one out of a subprogram.
#[test]
fn a_callee_saved_register_not_restored_after_a_throw() {
    /// mov rbp, rdx, in both encodings.
    const WAY_IN: [[u8; 3]; 2] = [[0x48, 0x89, 0xd5], [0x48, 0x8b, 0xea]];
    /// pop r15; pop r14; pop r13; pop rbx.
    const POPS: [u8; 7] = [0x41, 0x5f, 0x41, 0x5e, 0x41, 0x5d, 0x5b];
    /// The second byte of pop r8, which nothing uses there.
    const POP_R8: u8 = 0x58;
    let functions = |funcs: &mut Vec<Func>| HARMLESS.set(funcs.iter().all(only_computes_with_r9));
    let image = |code: &mut [u8]| {
        let way_in = |window: &[u8]| WAY_IN.iter().any(|way| window.starts_with(way)) && window.ends_with(&POPS);
        // Programs that throw nothing have none.
        let found = code.windows(3 + POPS.len()).position(way_in);
        if let Some(found) = found.filter(|_| HARMLESS.get()) {
            code[found + 3 + 1] = POP_R8;
        }
    };
    finds_in(
        20_000,
        Fault { functions: Some(functions), image: Some(image) },
        Some(Shape { frames: 3, statements: 8, ..Shape::THROWS }),
    );
}

thread_local! {
    /// Of the program that is being compiled: a wrong r9 leads neither to an address nor round a loop for ever.
    static HARMLESS: std::cell::Cell<bool> = const { std::cell::Cell::new(false) };
}

/// Whether a function's r9 never holds an address, and decides no branch.
fn only_computes_with_r9(func: &Func) -> bool {
    let harmless = |op: &Op| match op.kind {
        OpKind::Mov { dst, src, .. } => dst != Reg::R9 || matches!(src, Operand::Imm(_)),
        OpKind::Load { dst, base, .. } => ![dst, base].contains(&Reg::R9),
        OpKind::LoadAcquire { base, .. } | OpKind::Store { base, .. } => base != Reg::R9,
        OpKind::StoreRelease { base, .. } | OpKind::Atomic { base, .. } => base != Reg::R9,
        OpKind::MapAddr { dst, .. } | OpKind::MapValueAddr { dst, .. } | OpKind::FuncAddr { dst, .. } => dst != Reg::R9,
        OpKind::Alu { dst, src, .. } => dst != Reg::R9 || matches!(src, Operand::Imm(_)),
        _ => true,
    };
    let ends = |term: &Term| !matches!(term, Term::Branch { dst: Reg::R9, .. });
    func.blocks.iter().all(|block| block.ops.iter().all(harmless) && ends(&block.term))
}

/// A subprogram's throw ends that subprogram alone, as if it had returned the cookie.
#[test]
fn a_throw_one_frame_short() {
    finds(
        functions(|funcs| {
            let hidden = |func: &Func| func.role == Role::ExceptionCallback { hidden: true };
            let last = |block: &Block| block.ops.last().map(|op| op.kind);
            // A call from which nothing returns has nothing behind it to go on with.
            let ends =
                |block: &Block| matches!(last(block), Some(OpKind::CallFunc { .. })) && block.term == Term::Unreachable;
            if !funcs.iter().any(hidden) || funcs.iter().flat_map(|func| &func.blocks).any(ends) {
                return;
            }
            for func in funcs.iter_mut().filter(|func| func.role == Role::Subprogram { callback: false }) {
                for block in &mut func.blocks {
                    if let Some(op) = block.ops.last_mut()
                        && op.kind == OpKind::Throw
                    {
                        op.kind = OpKind::Mov { width: Width::W64, dst: Reg::R0, src: Operand::Reg(Reg::R1) };
                        block.term = Term::Return;
                    }
                }
            }
        }),
        Some(Shape::THROWS),
    );
}
