//! The compact code as text: what is fused, and how blocks are laid out.

mod common;

use common::code;

fn check(text: &str, wanted: &str) {
    let lines =
        |text: &str| text.lines().map(str::trim).filter(|l| !l.is_empty()).map(str::to_owned).collect::<Vec<_>>();
    let made = code(text, 0).to_string();
    assert_eq!(lines(&made), lines(wanted), "made:\n{made}");
}

#[test]
fn a_move_and_an_operation_are_one() {
    check(
        "r1 = r10\nr1 += -8\nw2 = w1\nw2 <<= 3\nr3 = r1\nr3 -= r2\nr4 = r1\nr4 /= 3\nr0 = 0\nexit",
        "f0:
         0  Add3RI64(r1, r10, -8)
         1  Lsh3RI32(r2, r1, 3)
         2  Sub3RR64(r3, r1, r2)
         3  Mov64(r4, r1)
         4  DivRI64(r4, 3)
         5  Const(r0, 0)
         6  Return",
    );
}

#[test]
fn a_move_that_reads_its_own_result_is_not_fused() {
    check("r0 = r1\nr0 += r0\nexit", "f0:\n0  Mov64(r0, r1)\n1  AddRR64(r0, r0)\n2  Return");
    check("w0 = w1\nr0 += r2\nexit", "f0:\n0  Mov32(r0, r1)\n1  AddRR64(r0, r2)\n2  Return");
}

#[test]
fn moves_pair_unless_the_second_fuses_better() {
    check("r6 = r1\nr7 = r2\nr0 = 0\nexit", "f0:\n0  MovMov(r6, r1, r7, r2)\n1  Const(r0, 0)\n2  Return");
    check("r6 = r1\nr0 = r2\nr0 += 4\nexit", "f0:\n0  Mov64(r6, r1)\n1  Add3RI64(r0, r2, 4)\n2  Return");
}

#[test]
fn shifts_that_extend_are_one() {
    check(
        "r0 = 0\nr1 <<= 32\nr1 >>= 32\nr1 <<= 32\nr1 s>>= 32\nr1 <<= 48\nr1 >>= 48\nr1 <<= 56\nr1 s>>= 56\nexit",
        "f0:
         0  Const(r0, 0)
         1  Mov32(r1, r1)
         2  Sx32To64(r1, r1)
         3  Trunc16(r1)
         4  Sx8To64(r1, r1)
         5  Return",
    );
}

#[test]
fn loads_fuse_with_sums_and_tests() {
    check(
        "r0 = 0
         r2 = *(u16 *)(r1 + 4)
         r0 += r2
         r2 = *(u8 *)(r1 + 6)
         if r2 == 17 goto out
         r2 = *(u64 *)(r1 + 8)
         if w2 == 1 goto out
         r0 = 1
         out: exit",
        "f0:
         0  Const(r0, 0)
         1  LoadAdd64U16(r2, r1, 4, r0)
         2  LoadJEqU8(r2, r1, 6, 17, 6)
         3  LoadU64(r2, r1, 8)
         4  JEqRI32(r2, 1, 6)
         5  Const(r0, 1)
         6  Return",
    );
}

#[test]
fn a_counting_loop_is_one_operation_a_round_beyond_its_body() {
    check(
        "r0 = 0
         r2 = 0
         again: r3 = r1
         r3 += r2
         r4 = *(u8 *)(r3 + 0)
         r0 += r4
         r2 += 1
         if r2 < 64 goto again
         exit",
        "f0:
         0  Const(r0, 0)
         1  Const(r2, 0)
         2  Add3RR64(r3, r1, r2)
         3  LoadAdd64U8(r4, r3, 0, r0)
         4  AddJLtRI64(r2, 1, 64, 2)
         5  Return",
    );
}

#[test]
fn jumps_to_the_next_block_vanish_and_returns_are_copied() {
    check(
        "r0 = 1
         if r1 s> 5 goto big
         r0 = 2
         goto out
         big: r0 = 3
         out: exit",
        "f0:
         0  Const(r0, 1)
         1  JSgtRI64(r1, 5, 4)
         2  Const(r0, 2)
         3  Return
         4  Const(r0, 3)
         5  Return",
    );
    check(
        "if r1 & 5 goto far
         goto near
         far: r0 = 1
         exit
         near: r0 = 2
         exit",
        "f0:
         0  JSetRI64(r1, 5, 2)
         1  Jump(4)
         2  Const(r0, 1)
         3  Return
         4  Const(r0, 2)
         5  Return",
    );
}

#[test]
fn calls_name_operations_and_throws_end_functions() {
    check(
        "r6 = r1
         call sub
         exit
         sub: r1 = 1
         call kfunc#0",
        "f0:
         0  Mov64(r6, r1)
         1  CallFunc { target: 3, frame: 512 }
         2  Return
         f1:
         3  Const(r1, 1)
         4  Throw
         f2:
         5  Mov64(r0, r1)
         6  Return",
    );
}
