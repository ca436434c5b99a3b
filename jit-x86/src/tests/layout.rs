//! Tables: frames, boundaries, return addresses, listings.

use backstop_ir::{FuncId, OpId, OpKind, Role};

use super::{all_options, decode, functions, image};
use crate::{CompileOptions, Image, Symbol};

const CALLS: &str = "
    r6 = r1
    *(u64 *)(r10 - 8) = r6
    call sub
    r1 = r0
    call helper#5
    r0 += r6
    exit
sub:
    r7 = r1
    call helper#5
    call helper#7
    r0 = r7
    exit
";

const THROWS: &str = "
    r6 = r1
    call sub
    r0 = 0
    exit
sub:
    if r1 == 0 goto out
    r1 = 7
    call kfunc#0
out:
    r0 = 1
    exit
";

fn check_tables(image: &Image) {
    decode(image);
    assert_eq!(image.code.len() % 8, 0);
    assert_eq!(image.funcs[0].start, 0);
    assert!(image.funcs.iter().all(|f| f.start.is_multiple_of(16) && f.start < f.end));
    assert!(image.funcs.windows(2).all(|w| w[0].end <= w[1].start));
    assert!(image.pcs.windows(2).all(|w| w[0].0 < w[1].0));
    assert!(image.returns.windows(2).all(|w| w[0].0 < w[1].0));
    let calls: Vec<u32> = decode(image)
        .concat()
        .iter()
        .filter(|i| i.is_call_near() || i.is_call_near_indirect())
        .map(|i| i.next_ip() as u32)
        .collect();
    let returns: Vec<u32> = image.returns.iter().map(|&(offset, _)| offset).collect();
    assert_eq!(calls, returns, "every call and nothing else has a row");
    for &(offset, op) in &image.returns {
        assert_eq!(image.op_at(offset - 1), Some(op), "the call's own bytes belong to the operation");
        assert_eq!(image.op_returning_to(offset), Some(op));
        assert!(image.func_at(offset - 1).is_some());
    }
    let listing = image.listing();
    let listed: u32 = listing.iter().map(|row| row.end - row.start).sum();
    let code: u32 = image.funcs.iter().map(|f| f.end - f.start).sum();
    assert_eq!(listed, code, "every byte of a function is listed once");
}

#[test]
fn tables_agree_with_the_code() {
    for text in [CALLS, THROWS] {
        for options in all_options() {
            check_tables(&image(text, &options));
        }
    }
}

#[test]
fn the_pool_names_each_symbol_once() {
    let image = image(
        "r1 = map[0] ll
         r2 = map[0][8] ll
         r3 = map[0] ll
         call helper#5
         call helper#5
         r0 = 0
         exit",
        &CompileOptions::default(),
    );
    let natives = image.pool.iter().filter(|s| matches!(s, Symbol::Native(_))).count();
    let maps = image.pool.iter().filter(|s| matches!(s, Symbol::Map(_))).count();
    let values = image.pool.iter().filter(|s| matches!(s, Symbol::MapValue(_, 8))).count();
    assert_eq!((natives, maps, values, image.pool.len()), (1, 1, 1, 3));
    assert_eq!(image.size(), image.pool_offset() + 24);
    let slots: Vec<u64> = decode(&image)
        .concat()
        .iter()
        .filter(|i| i.is_ip_rel_memory_operand())
        .map(|i| i.ip_rel_memory_address())
        .collect();
    let pool = u64::from(image.pool_offset());
    assert_eq!(slots, [pool, pool + 8, pool, pool + 16, pool + 16]);
}

#[test]
fn frames_keep_the_stack_aligned_at_calls() {
    for stack in (0..64).step_by(8) {
        let (mut funcs, callback) = functions(CALLS);
        funcs.iter_mut().for_each(|f| f.stack = stack);
        let image = crate::lower::image(&funcs, callback, &CompileOptions::default()).expect("a program");
        for func in &image.funcs {
            // The return address and rbp are 16 bytes.
            assert_eq!(func.frame % 16, 0, "{func:?}");
            assert!(func.frame >= stack + 8 * func.saved.len() as u32);
            assert_eq!(func.saved.last().map(|s| s.1), Some(func.frame));
        }
    }
}

#[test]
fn subprograms_save_what_they_write_and_main_the_context_too() {
    let image = image(CALLS, &CompileOptions::default());
    let saved = |i: usize| image.funcs[i].saved.iter().map(|&(r, _)| r).collect::<Vec<_>>();
    assert_eq!(saved(0), [12, 3]);
    assert_eq!(saved(1), [13]);
    assert_eq!(image.boundary, None);
}

#[test]
fn a_boundary_saves_five_registers_in_order() {
    for options in all_options() {
        let image = image(THROWS, &options);
        let boundary = image.boundary.expect("a program that throws");
        let main = &image.funcs[0];
        let saved: Vec<u8> = main.saved.iter().map(|&(r, _)| r).collect();
        assert_eq!(saved, backstop_abi::x86::BOUNDARY_SAVES);
        assert_eq!(main.saved[4], (15, boundary.sp_below_rbp));
        let last = image.funcs.last().expect("a callback");
        assert_eq!(last.start, boundary.callback);
        assert_eq!(last.saved.len(), 5);
    }
}

#[test]
fn the_exception_callback_comes_last_wherever_it_stood() {
    let (mut funcs, callback) = functions(THROWS);
    assert_eq!(callback, Some(FuncId(2)), "the hidden one");
    let (helpers, _) = functions("r0 = r1\nexit");
    let mut helper = helpers[0].clone();
    helper.role = Role::Subprogram { callback: false };
    funcs.push(helper);
    let image = crate::lower::image(&funcs, callback, &CompileOptions::default()).expect("a program");
    let order: Vec<u32> = image.funcs.iter().map(|f| f.func.0).collect();
    assert_eq!(order, [0, 1, 3, 2]);
}

#[test]
fn the_stack_bound_covers_the_deepest_chain() {
    let image = image(CALLS, &CompileOptions::default());
    let frames: u32 = image.funcs.iter().map(|f| f.frame + 16).sum();
    assert_eq!(image.native_stack, frames + 8);
}

#[test]
fn fused_operations_are_found_by_the_access() {
    let (funcs, callback) = functions("r1 += r2\nr1 = *(u64 *)(r1 + 8)\nr0 = r1\nexit");
    let load = funcs[0].blocks[0].ops.iter().find(|op| matches!(op.kind, OpKind::Load { .. })).expect("a load").id;
    let image = crate::lower::image(&funcs, callback, &CompileOptions::default()).expect("a program");
    let access = decode(&image).concat().into_iter().find(|i| i.memory_displacement64() == 8).expect("a load");
    assert_eq!(image.op_at(access.ip() as u32), Some(load));
    assert_eq!(image.op_at(0), Some(OpId(0)), "the prologue");
}

/// What decides how main is entered: a throw is no such thing, a raise and a tail call are, in a subprogram too.
#[test]
fn an_image_tells_whether_it_can_be_left_through() {
    let through = |text: &str| image(text, &CompileOptions::default()).leaves_through;
    assert!(!through("r0 = 0\nexit"));
    assert!(!through(THROWS));
    assert!(!through("r1 = r10\ncall helper#5\nexit"));
    assert!(through("call helper#12\nr0 = 0\nexit"));
    assert!(through("call sub\nexit\nsub:\ncall helper#181\nr0 = 0\nexit"));
}
