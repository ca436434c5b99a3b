//! Calls, callbacks, tail calls, throws, and the bounds of them all.

mod common;

use std::sync::Arc;

use backstop_interp::{Halt, Stack, Stop};
use common::{Caught, TestCode, World, code, result};

fn array(programs: Vec<Option<&str>>) -> World {
    let made = |(i, text): (usize, Option<&str>)| text.map(|text| Arc::new(code(text, 100 + i as u64)));
    World { programs: programs.into_iter().enumerate().map(made).collect(), ..World::default() }
}

/// `r2` and `r3` for a tail call to a slot.
fn tail(slot: u32) -> String {
    format!("r2 = {}\nr3 = {slot}\ncall 12\n", World::ARRAY)
}

#[test]
fn code_may_be_shared_and_stacks_sent() {
    fn shared<T: Send + Sync>() {}
    fn sent<T: Send>() {}
    shared::<TestCode>();
    sent::<Stack>();
}

#[test]
fn a_call_keeps_r6_to_r9_and_has_its_own_frame() {
    let text = "
        r6 = 6\nr7 = 7\nr8 = 8\nr9 = 9
        r1 = 1000
        *(u64 *)(r10 - 8) = r1
        r5 = r10
        call sub
        r0 += r6\nr0 += r7\nr0 += r8\nr0 += r9
        r1 = *(u64 *)(r10 - 8)
        r0 += r1
        exit
        sub: r6 = 0\nr7 = 0\nr8 = 0\nr9 = 0
        *(u64 *)(r10 - 8) = r6
        r0 = r5
        r0 -= r10
        exit";
    assert_eq!(result(text, [0, 0]), 512 + 30 + 1000);
}

#[test]
fn returns_give_their_frames_back() {
    let text = "
        r6 = 100000
        again: call sub
        r6 += -1
        if r6 != 0 goto again
        exit
        sub: *(u64 *)(r10 - 512) = 1
        r0 = *(u64 *)(r10 - 512)
        exit";
    assert_eq!(result(text, [0, 0]), 1);
}

#[test]
fn eight_frames_and_no_more() {
    let chain = |calls: u32| {
        let text = "
            r1 = CALLS
            call sub
            exit
            sub: r6 = r1
            r0 = 0
            if r1 == 0 goto out
            r1 += -1
            call sub
            r0 += r6
            out: exit";
        code(&text.replace("CALLS", &calls.to_string()), 0)
    };
    let mut world = World::default();
    assert_eq!(world.run(&chain(6), [0, 0]), Ok(21));
    assert_eq!(world.run(&chain(7), [0, 0]), Err(Stop));
    assert_eq!(world.halts, [Halt::Stack]);
}

#[test]
fn native_calls_get_and_give_registers() {
    assert_eq!(result("r1 = 1\nr2 = 2\nr3 = 3\nr4 = 4\nr5 = 5\ncall 1\nexit", [0, 0]), 54321);
    let mut world = World::default();
    assert_eq!(world.run(&code("call 2\nr0 = 1\nexit", 0), [0, 0]), Err(Stop));
    assert_eq!(world.halts, [], "the services ended the run, not the interpreter");
}

const LOOP: &str = "
    r6 = 77
    *(u64 *)(r10 - 8) = 0
    r1 = ROUNDS
    r2 = func +10 ll
    r3 = r10
    r3 += -8
    r4 = 0
    call 181
    r1 = *(u64 *)(r10 - 8)
    r0 *= 1000
    r0 += r1
    r0 += r6
    exit
    body: r6 = *(u64 *)(r2 + 0)
    r6 += r1
    *(u64 *)(r2 + 0) = r6
    r0 = 0
    if r1 != 4 goto out
    r0 = 1
    out: exit";

#[test]
fn a_callback_uses_the_callers_stack() {
    assert_eq!(result(&LOOP.replace("ROUNDS", "3"), [0, 0]), 3077 + 3);
    assert_eq!(result(&LOOP.replace("ROUNDS", "100"), [0, 0]), 5077 + 10, "the fifth round ends the loop");
}

#[test]
fn callbacks_nest_as_deep_as_frames_may() {
    // Each callback starts one more loop until r2, its context, is 0.
    let text = "
        r1 = 1\nr2 = func +5 ll\nr3 = DEPTH
        call 181
        r0 = 5
        exit
        body: r0 = 0
        if r2 == 0 goto out
        r3 = r2
        r3 += -1
        r2 = func -5 ll
        r1 = 1
        call 181
        r0 = 0
        out: exit";
    let mut world = World::default();
    assert_eq!(world.run(&code(&text.replace("DEPTH", "6"), 0), [0, 0]), Ok(5));
    assert_eq!(world.run(&code(&text.replace("DEPTH", "1000"), 0), [0, 0]), Err(Stop));
    assert_eq!(world.halts, [Halt::Stack]);
}

#[test]
fn what_is_no_callback_is_not_called() {
    let mut world = World::default();
    let program = code("r1 = 1\nr2 = 0\nr3 = 0\ncall 181\nexit", 0);
    assert_eq!(world.run(&program, [0, 0]), Err(Stop));
    assert!(matches!(world.halts[..], [Halt::Defect(_)]));
}

#[test]
fn a_tail_call_from_main_replaces_it() {
    let mut world = array(vec![Some("r0 = *(u64 *)(r1 + 0)\nexit"), None]);
    let context = [4711u64];
    let context = context.as_ptr().expose_provenance() as u64;
    let main = |slot| code(&format!("{}r0 = 3\nexit", tail(slot)), 0);
    assert_eq!(world.run(&main(0), [context, 0]), Ok(4711));
    assert_eq!(world.run(&main(1), [context, 0]), Ok(3), "an empty slot");
    assert_eq!(world.run(&main(2), [context, 0]), Ok(3), "beyond the array");
}

/// As Linux 6.18 does it: main adds 8 to what the subprogram gives.
const CALLS_SUB: &str = "
    r6 = r1
    call sub
    r0 += 8
    exit
    sub: r2 = 4096
    r3 = SLOT
    call 12
    r0 = 10
    exit";

#[test]
fn a_tail_call_from_a_subprogram_replaces_only_its_frame() {
    let mut world = array(vec![Some("r0 = 30\nexit"), None, Some("r1 = 16\ncall kfunc#0")]);
    let main = |slot: u32| code(&CALLS_SUB.replace("SLOT", &slot.to_string()), 7);
    assert_eq!(world.run(&main(0), [0, 0]), Ok(38));
    assert_eq!(world.run(&main(1), [0, 0]), Ok(18));
    assert_eq!(world.run(&main(2), [0, 0]), Ok(24), "the target's boundary catches");
    assert_eq!(world.caught, [Caught { cookie: 16, outermost: false, frames: vec![(102, 1)] }]);
}

#[test]
fn thirty_three_tail_calls_and_only_those_that_are_made_count() {
    // Each round tries an empty slot first. The context counts the rounds.
    let itself = format!(
        "r6 = r1\nr7 = *(u64 *)(r1 + 0)\nr7 += 1\n*(u64 *)(r1 + 0) = r7\n{}r1 = r6\n{}r0 = 99\nexit",
        tail(1),
        tail(0)
    );
    let mut world = array(vec![Some(&itself), None]);
    let start = Arc::clone(world.programs[0].as_ref().expect("the program"));
    let mut stack = Stack::new();
    for _ in 0..2 {
        let mut rounds = [0u64];
        let context = rounds.as_mut_ptr().expose_provenance() as u64;
        assert_eq!(world.run_on(&start, [context, 0], &mut stack), Ok(99));
        assert_eq!(rounds, [34], "the first program and 33 tail calls; each run counts anew");
    }
}

#[test]
fn tail_calls_out_of_subprograms_keep_their_callers() {
    let text = format!("call sub\nr0 += 1\nexit\nsub: r6 = 1\n*(u64 *)(r10 - 512) = r6\n{}r0 = 1000\nexit", tail(0));
    let mut world = array(vec![Some(&text)]);
    let start = Arc::clone(world.programs[0].as_ref().expect("the program"));
    assert_eq!(world.run(&start, [0, 0]), Ok(1034));
    assert_eq!(world.halts, []);
}

#[test]
fn a_target_leaves_the_frames_below_it_alone() {
    let fills =
        "r2 = -64\nagain: r3 = r10\nr3 += r2\n*(u64 *)(r3 + 0) = -1\nr2 += 8\nif r2 != 0 goto again\nr0 = 0\nexit";
    let mut world = array(vec![Some(fills)]);
    let text = format!(
        "r6 = 11\n*(u64 *)(r10 - 8) = 5\ncall sub\nr1 = *(u64 *)(r10 - 8)\nr0 += r1\nr0 += r6\nexit\nsub: {}exit",
        tail(0)
    );
    assert_eq!(world.run(&code(&text, 0), [0, 0]), Ok(16));
}

#[test]
fn a_throw_passes_subprograms_and_names_their_frames() {
    let text = "
        r6 = 1
        call one
        r0 = 1
        exit
        one: r6 = 2
        r6 = 3
        call two
        r0 = 2
        exit
        two: r1 = 0x123456789abcdef0 ll
        call kfunc#0";
    let mut world = World::default();
    assert_eq!(world.run(&code(text, 9), [0, 0]), Ok(0x1234_5678_9abc_def0));
    let frames = vec![(9, 10), (9, 6), (9, 1)];
    assert_eq!(world.caught, [Caught { cookie: 0x1234_5678_9abc_def0, outermost: true, frames }]);
}

#[test]
fn a_throw_after_a_tail_call_is_the_targets() {
    let mut world = array(vec![Some("call sub\nexit\nsub: r1 = 5\ncall kfunc#0")]);
    assert_eq!(world.run(&code(&format!("{}r0 = 1\nexit", tail(0)), 1), [0, 0]), Ok(5));
    assert_eq!(world.caught, [Caught { cookie: 5, outermost: true, frames: vec![(100, 3), (100, 0)] }]);
}

#[test]
fn a_throw_in_a_callback_is_refused() {
    let text = "r1 = 1\nr2 = func +4 ll\nr3 = 0\ncall 181\nexit\nbody: r1 = 1\ncall kfunc#0";
    let mut world = World::default();
    assert_eq!(world.run(&code(text, 0), [0, 0]), Err(Stop));
    assert_eq!(world.halts, [Halt::Defect("a throw in a callback")]);
    assert_eq!(world.caught, []);
}

#[test]
fn the_stack_is_whole_again_after_a_throw() {
    let text = "r1 = 7\ncall a\nexit\na: call b\nexit\nb: *(u64 *)(r10 - 512) = r1\ncall kfunc#0";
    let (program, mut world, mut stack) = (code(text, 0), World::default(), Stack::new());
    for _ in 0..1000 {
        assert_eq!(world.run_on(&program, [0, 0], &mut stack), Ok(7));
    }
    assert_eq!(world.caught.len(), 1000);
}

#[test]
fn may_goto_has_its_rounds_in_each_call() {
    let text = "
        call sub
        r6 = r0
        call sub
        r0 -= r6
        if r0 != 0 goto out
        r0 = r6
        may_goto none_left
        out: exit
        none_left: r0 = 0
        exit
        sub: r0 = 0
        again: may_goto done
        r0 += 1
        goto again
        done: exit";
    assert_eq!(result(text, [0, 0]), backstop_abi::MAY_GOTO_ROUNDS);
}

#[test]
fn packet_loads_are_big_endian_and_end_the_function_beyond_the_packet() {
    let mut world = World { packet: vec![0x11, 0x22, 0x33, 0x44, 0x55], ..World::default() };
    let mut load = |text: &str| world.run(&code(text, 0), [0, 0]);
    assert_eq!(load("r6 = r1\nr0 = *(u8 *)skb[4]\nexit"), Ok(0x55));
    assert_eq!(load("r6 = r1\nr0 = *(u16 *)skb[1]\nexit"), Ok(0x2233));
    assert_eq!(load("r6 = r1\nr7 = 1\nr0 = *(u32 *)skb[r7 + 0]\nexit"), Ok(0x2233_4455));
    assert_eq!(load("r6 = r1\nr0 = *(u32 *)skb[2]\nr0 = 1\nexit"), Ok(0));
    assert_eq!(load("r6 = r1\nr0 = *(u8 *)skb[-1]\nr0 = 1\nexit"), Ok(0));
}
