//! What can't be compiled is refused by name; no IR makes the compiler panic or take more than linear time.

use backstop_ir::{Block, BlockId, Func, FuncId, Mem, Op, OpId, OpKind, Role, Term};
use backstop_isa::{CmpOp, Operand, Reg, Size, Width};

use super::{decode, image};
use crate::{CompileError, CompileOptions};

fn function(blocks: Vec<(Vec<OpKind>, Term)>) -> Func {
    let mut ids = (0..).map(OpId);
    let mut id = move || ids.next().unwrap_or(OpId(0));
    let blocks = blocks.into_iter().map(|(kinds, term)| Block {
        ops: kinds.into_iter().map(|kind| Op { id: id(), kind }).collect(),
        term,
        term_id: id(),
    });
    Func {
        name: "f".to_owned(),
        role: Role::Main,
        blocks: blocks.collect(),
        stack: 0,
        writes: [false; 4],
        may_goto: false,
        tail_calls: false,
    }
}

fn compile(funcs: &[Func]) -> Result<crate::Image, CompileError> {
    crate::lower::image(funcs, None, &CompileOptions::default())
}

fn single(kind: OpKind) -> Result<crate::Image, CompileError> {
    compile(&[function(vec![(vec![kind], Term::Return)])])
}

#[test]
fn other_memories_are_refused_by_name() {
    let load = |mem| OpKind::Load { size: Size::B8, signed: false, dst: Reg::R0, base: Reg::R1, off: 0, mem };
    for (mem, word) in [(Mem::Probe, "probing"), (Mem::Arena, "arena"), (Mem::Unknown, "not proved")] {
        let error = single(load(mem)).expect_err("an access that the compiler does not have");
        assert!(matches!(error, CompileError::Unsupported { op: OpId(0), .. }));
        assert!(error.to_string().contains(word), "{error}");
    }
    let cast = OpKind::AddrSpaceCast { dst: Reg::R1, src: Reg::R2, to: 0, from: 1 };
    assert!(matches!(single(cast), Err(CompileError::Unsupported { .. })));
}

#[test]
fn a_refused_access_is_refused_inside_a_fused_one_too() {
    let add = OpKind::Alu { width: Width::W64, op: backstop_isa::AluOp::Add, dst: Reg::R1, src: Operand::Reg(Reg::R2) };
    let load = OpKind::Load { size: Size::B8, signed: false, dst: Reg::R1, base: Reg::R1, off: 0, mem: Mem::Arena };
    let refused = compile(&[function(vec![(vec![add, load], Term::Return)])]);
    assert!(matches!(refused, Err(CompileError::Unsupported { op: OpId(1), .. })), "{refused:?}");
}

#[test]
fn broken_ir_is_an_error() {
    let call = |func| OpKind::CallFunc { func: FuncId(func), unwind: backstop_ir::Unwind::Propagate };
    let malformed = |result: Result<crate::Image, CompileError>| matches!(result, Err(CompileError::Malformed { .. }));
    assert!(malformed(compile(&[])), "no function");
    assert!(malformed(compile(&[function(vec![])])), "no block");
    assert!(malformed(compile(&[function(vec![(vec![], Term::Jump(BlockId(7)))])])), "no such block");
    assert!(malformed(single(call(9))), "no such function");
    assert!(malformed(single(call(0))), "a call of main");
    let atomic = |size| OpKind::Atomic {
        size,
        op: backstop_isa::AtomicOp::Add,
        fetch: false,
        base: Reg::R1,
        off: 0,
        src: Reg::R2,
        mem: Mem::Plain,
    };
    assert!(malformed(single(atomic(Size::B1))), "an atomic byte");
    assert!(malformed(compile(&[function(vec![(vec![], Term::MayGoto { exit: BlockId(0), next: BlockId(0) })])])));
    let mut huge = function(vec![(vec![], Term::Return)]);
    huge.stack = u32::MAX;
    assert!(malformed(compile(&[huge])), "a stack without bound");
    let mut sub = function(vec![(vec![call(1)], Term::Return)]);
    sub.role = Role::Subprogram { callback: false };
    let main = function(vec![(vec![call(1)], Term::Return)]);
    assert!(malformed(compile(&[main.clone(), sub])), "recursion");
    assert!(malformed(crate::lower::image(&[main], Some(FuncId(0)), &CompileOptions::default())), "main as callback");
}

/// Blocks in the order that is worst for the dataflow, and chains of empty blocks: quadratic time would take minutes.
#[test]
fn long_chains_take_linear_time() {
    const BLOCKS: u32 = 200_000;
    let work = OpKind::Alu { width: Width::W64, op: backstop_isa::AluOp::Add, dst: Reg::R0, src: Operand::Imm(1) };
    for ops in [vec![work], vec![]] {
        let mut blocks = vec![(vec![], Term::Jump(BlockId(BLOCKS - 1))), (vec![], Term::Return)];
        for i in 2..BLOCKS {
            blocks.push((ops.clone(), Term::Jump(BlockId(i - 1))));
        }
        let image = compile(&[function(blocks)]).expect("a long program");
        decode(&image);
    }
}

#[test]
fn empty_loops_are_kept() {
    let branch = Term::Branch {
        width: Width::W64,
        op: CmpOp::Eq,
        dst: Reg::R1,
        src: Operand::Imm(0),
        then: BlockId(1),
        otherwise: BlockId(4),
    };
    let around = |to| (vec![], Term::Jump(BlockId(to)));
    let blocks = vec![(vec![], branch), around(2), around(3), around(1), (vec![], Term::Return)];
    let image = compile(&[function(blocks)]).expect("a loop of nothing");
    let jumps_back = decode(&image).concat().iter().any(|i| i.is_jmp_short() && i.near_branch_target() <= i.ip());
    assert!(jumps_back, "{}", super::text(&image));
}

/// Distances around what a short jump reaches, in both directions.
#[test]
fn jumps_of_every_length_reach() {
    for filler in 0..60 {
        let body = "r2 ^= 0x12345678\n".repeat(filler);
        let program =
            format!("r0 = 0\nagain:\nif r1 == 0 goto out\n{body}r1 += -1\nif r1 != 5 goto again\nout:\nexit\n");
        for instructions in super::all_options().map(|o| decode(&image(&program, &o))) {
            let all = instructions.concat();
            let starts: Vec<u64> = all.iter().map(|i| i.ip()).collect();
            for jump in all.iter().filter(|i| i.near_branch_target() != 0) {
                assert!(starts.contains(&jump.near_branch_target()), "{filler}: into the middle of an instruction");
                let near = i64::try_from(jump.near_branch_target().abs_diff(jump.next_ip())).is_ok_and(|d| d > 127);
                assert!(!near || jump.len() > 2);
            }
        }
    }
}
