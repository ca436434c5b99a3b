//! Each kind of claim by runs made by hand: one that keeps it, one that breaks it. And faults planted in the states themselves.

#[allow(dead_code, unreachable_pub, reason = "other tests use the rest")]
#[path = "../../tests/cases_support/mod.rs"]
mod cases_support;

use std::collections::HashMap;
use std::sync::Arc;

use backstop_isa::Reg;

use super::{Claims, Concrete, Follower, PacketBounds, Place, PlaceKind, ViolationKind};
use crate::state::{Byte, RegState};
use crate::{Options, verify};
use cases_support::{build, corpus};

const STACK: u64 = 0x10_0000;
const CONTEXT: u64 = 0x2_0000;
const PACKET: u64 = 0x3_0000;
const VALUE: u64 = 0x4_0000;
const MAP: u64 = 0x5_0000;
const MEMORY: u64 = 0x6_0000;

/// A run made by hand.
#[derive(Clone)]
struct Hand {
    /// First slot and call site of each frame.
    frames: Vec<(u32, Option<u32>)>,
    regs: Vec<[Option<u64>; Reg::COUNT]>,
    stack: HashMap<(usize, i32), u8>,
    packet: u64,
}

impl Hand {
    fn new() -> Hand {
        let mut hand = Hand { frames: Vec::new(), regs: Vec::new(), stack: HashMap::new(), packet: 64 };
        hand.call(0, None);
        hand.set(1, CONTEXT);
        hand
    }

    fn call(&mut self, start: u32, site: Option<u32>) {
        self.frames.push((start, site));
        let mut regs = [None; Reg::COUNT];
        regs[10] = Some(fp(self.regs.len()));
        self.regs.push(regs);
    }

    fn set(&mut self, r: usize, value: u64) -> &mut Hand {
        self.regs.last_mut().expect("a frame")[r] = Some(value);
        self
    }

    fn with(&self, r: usize, value: u64) -> Hand {
        let mut other = self.clone();
        other.set(r, value);
        other
    }

    fn put(&mut self, off: i32, bytes: &[u8]) -> &mut Hand {
        let frame = self.frames.len() - 1;
        for (i, b) in bytes.iter().enumerate() {
            self.stack.insert((frame, off + i as i32), *b);
        }
        self
    }
}

fn fp(frame: usize) -> u64 {
    STACK + 0x1000 * frame as u64
}

impl Concrete for Hand {
    fn frames(&self) -> usize {
        self.frames.len()
    }

    fn function(&self, frame: usize) -> u32 {
        self.frames[frame].0
    }

    fn call_site(&self, frame: usize) -> Option<u32> {
        self.frames[frame].1
    }

    fn reg(&self, frame: usize, reg: Reg) -> Option<u64> {
        self.regs[frame][reg.index()]
    }

    fn stack_byte(&self, frame: usize, offset: i32) -> Option<u8> {
        self.stack.get(&(frame, offset)).copied()
    }

    fn context(&self) -> Option<u64> {
        Some(CONTEXT)
    }

    fn packet(&self) -> Option<PacketBounds> {
        Some(PacketBounds { meta: PACKET, data: PACKET, end: PACKET + self.packet })
    }

    fn region(&self, address: u64) -> Option<Place> {
        let regions = [
            (CONTEXT, 24, PlaceKind::Context),
            (PACKET, self.packet, PlaceKind::Packet),
            (VALUE, 16, PlaceKind::MapValue { map: Some(0) }),
            (MAP, 0, PlaceKind::Map { map: Some(0) }),
            (MEMORY, 32, PlaceKind::Memory),
        ];
        let stack = (0..self.frames.len()).map(|frame| (fp(frame) - 512, 512, PlaceKind::Stack { frame }));
        let place = |(start, size, kind): (u64, u64, PlaceKind)| {
            let offset = address.checked_sub(start).filter(|o| *o <= size)?;
            Some(Place { kind, offset, size })
        };
        regions.into_iter().chain(stack).find_map(place)
    }
}

/// The claims of a program, which is accepted.
fn claims(text: &str) -> Claims {
    let case = corpus::read_case("embed", &format!("case\n{text}"));
    let program = Arc::new(build::program(&case).unwrap_or_else(|why| panic!("{why}")));
    let plain = Options { compat_linux: true, ..Options::default() };
    let keeping = Options { keep_states: true, ..plain.clone() };
    let before = verify(program.clone(), &plain).unwrap_or_else(|r| panic!("{}", r.reason.kernel_text()));
    let verified = verify(program, &keeping).unwrap_or_else(|r| panic!("{}", r.reason.kernel_text()));
    assert_eq!(before.stats().insns_processed, verified.stats().insns_processed, "keeping states changed the proof");
    assert!(before.claims().is_none());
    let claims = verified.claims.expect("claims");
    Arc::try_unwrap(claims).expect("nobody else has them")
}

/// The checkpoint at the first branch.
fn first_branch(claims: &Claims) -> u32 {
    let is_branch = |slot: &u32| {
        let code = claims.program.slots[*slot as usize].code;
        matches!(code & 7, 5 | 6) && !matches!(code & 0xf0, 0x00 | 0x80 | 0x90)
    };
    (0..claims.slots()).filter(is_branch).find(|slot| claims.is_checkpoint(*slot)).expect("a checkpoint")
}

#[track_caller]
fn judge(claims: &Claims, holds: &Hand, breaks: &[Hand]) {
    let slot = first_branch(claims);
    assert!(claims.count_at(slot) > 0);
    claims.check(slot, holds).unwrap_or_else(|v| panic!("{v}"));
    for (n, hand) in breaks.iter().enumerate() {
        let violation = claims.check(slot, hand).expect_err("a violation");
        assert_eq!((violation.kind, violation.slot), (ViolationKind::Checkpoint, slot), "run {n}");
    }
}

#[test]
fn precise_scalars_are_in_range_and_others_are_anything() {
    let claims = claims(
        "type: xdp\ncall get_prandom_u32\nr6 = r0\nr6 &= 7\nr7 = r0\nr7 &= 7\nif r0 == 1 goto +0\n\
         r1 = r10\nr1 += -8\nr1 += r6\n*(u8 *)(r1 + 0) = 1\n*(u64 *)(r10 - 16) = r7\nr0 = 0\nexit\n",
    );
    let mut hand = Hand::new();
    hand.set(0, 5).set(6, 5).set(7, 500);
    let mut unwritten = hand.clone();
    unwritten.regs[0][7] = None;
    let mut dead = hand.clone();
    dead.regs[0][1] = None;
    judge(&claims, &hand, &[hand.with(6, 8), hand.with(6, u64::MAX), unwritten]);
    judge(&claims, &dead, &[]);
}

#[test]
fn pointers_lie_where_they_are_claimed_to() {
    let claims = claims(
        "type: xdp\nmap: m hash 4 16 8\nr6 = r1\nr7 = r10\nr7 += -16\nr8 = m ll\nr9 = *(u32 *)(r1 + 4)\nif r7 == r6 goto +0\n\
         r0 = *(u32 *)(r6 + 8)\n*(u64 *)(r7 + 0) = r8\n*(u64 *)(r10 - 24) = r9\nr0 = 0\nexit\n",
    );
    let mut hand = Hand::new();
    hand.set(6, CONTEXT).set(7, fp(0) - 16).set(8, MAP).set(9, PACKET + 64);
    let breaks = [
        hand.with(6, CONTEXT + 4),
        hand.with(6, 0),
        hand.with(7, fp(0) - 8),
        hand.with(7, CONTEXT),
        hand.with(8, VALUE),
        hand.with(8, 0),
        hand.with(9, PACKET),
    ];
    judge(&claims, &hand, &breaks);
}

#[test]
fn packet_ranges_are_there() {
    let claims = claims(
        "type: xdp\nr6 = *(u32 *)(r1 + 0)\nr7 = *(u32 *)(r1 + 4)\nr2 = r6\nr2 += 14\nif r2 > r7 goto out\n\
         r0 = 0\nif r0 == 0 goto l\nl: r0 = *(u8 *)(r6 + 13)\nr0 = 0\nexit\nout: r0 = 1\nexit\n",
    );
    let inside = (0..claims.slots()).filter(|slot| claims.is_checkpoint(*slot)).nth(2).expect("a checkpoint");
    let mut hand = Hand::new();
    hand.set(6, PACKET).set(7, PACKET + 64).set(0, 0);
    claims.check(inside, &hand).unwrap_or_else(|v| panic!("{v}"));
    let mut short = hand.clone();
    short.packet = 13;
    short.set(7, PACKET + 13);
    let violation = claims.check(inside, &short).expect_err("13 bytes are not 14");
    assert!(violation.to_string().contains("13 bytes before the end"), "{violation}");
    let mut enough = hand.clone();
    enough.packet = 14;
    enough.set(7, PACKET + 14);
    claims.check(inside, &enough).unwrap_or_else(|v| panic!("{v}"));
}

#[test]
fn map_values_and_nulls() {
    let claims = claims(
        "type: xdp\nmap: m hash 4 16 8\n*(u32 *)(r10 - 4) = 0\nr2 = r10\nr2 += -4\nr1 = m ll\ncall map_lookup_elem\nr6 = r0\nr7 = r0\n\
         if r6 == 0 goto out\n*(u64 *)(r7 + 8) = 1\nout: r0 = 0\nexit\n",
    );
    let mut hand = Hand::new();
    hand.set(0, VALUE).set(6, VALUE).set(7, VALUE).put(-4, &[0; 4]);
    let mut null = hand.clone();
    null.set(6, 0).set(7, 0);
    judge(&claims, &hand, &[hand.with(6, 0), hand.with(7, 0), hand.with(7, VALUE + 8), hand.with(7, MEMORY)]);
    judge(&claims, &null, &[null.with(7, VALUE)]);
}

#[test]
fn stack_slots_hold_what_was_spilled() {
    let claims = claims(
        "type: xdp\ncall get_prandom_u32\nr0 &= 3\n*(u64 *)(r10 - 8) = r0\n*(u64 *)(r10 - 16) = 0\nr6 = r10\n*(u64 *)(r10 - 24) = r6\n\
         r1 = 0\nif r1 == 0 goto l\nl: r2 = *(u64 *)(r10 - 24)\nr1 = *(u64 *)(r10 - 8)\nr3 = *(u64 *)(r10 - 16)\nr2 += r3\n\
         r2 += -32\nr2 += r1\n*(u8 *)(r2 + 0) = 0\nr0 = 0\nexit\n",
    );
    let mut hand = Hand::new();
    hand.set(1, 0).put(-8, &[2, 0, 0, 0, 0, 0, 0, 0]).put(-16, &[0; 8]).put(-24, &fp(0).to_le_bytes());
    let mut large = hand.clone();
    large.put(-8, &[4]);
    let mut high = hand.clone();
    high.put(-1, &[1]);
    let mut not_zero = hand.clone();
    not_zero.put(-9, &[1]);
    let mut elsewhere = hand.clone();
    elsewhere.put(-24, &(fp(0) - 8).to_le_bytes());
    judge(&claims, &hand, &[large, high, not_zero, elsewhere]);
}

#[test]
fn linked_scalars_are_equal() {
    let claims = claims(
        "type: xdp\ncall get_prandom_u32\nr6 = r0\nr7 = r0\nif r1 == 0 goto +0\nif r6 > 7 goto out\nr1 = r10\nr1 += -8\nr1 += r7\n\
         *(u8 *)(r1 + 0) = 1\nout: r0 = 0\nexit\n"
            .replace("if r1 == 0 goto +0\n", "r8 = 0\nif r8 == 0 goto l\nl: ")
            .as_str(),
    );
    let mut hand = Hand::new();
    hand.set(0, 5).set(6, 5).set(7, 5).set(8, 0);
    judge(&claims, &hand, &[hand.with(7, 9), hand.with(6, 4)]);
}

#[test]
fn calls_have_the_claimed_shape() {
    let claims = claims(
        "type: xdp\ncall f\nr0 = 0\ncall f\nr0 = 0\nexit\nf: call get_prandom_u32\nif r0 == 1 goto +0\nr0 = 0\nexit\n",
    );
    let slot = 6;
    let at = |site: u32| {
        let mut hand = Hand::new();
        hand.call(5, Some(site));
        hand.set(0, 3);
        hand
    };
    claims.check(slot, &at(0)).unwrap_or_else(|v| panic!("{v}"));
    claims.check(slot, &at(2)).unwrap_or_else(|v| panic!("{v}"));
    let elsewhere = claims.check(slot, &at(1)).expect_err("no call there");
    assert!(elsewhere.misses.is_empty(), "{elsewhere}");
    let mut alone = Hand::new();
    alone.frames[0].0 = 5;
    alone.set(0, 3);
    assert!(claims.check(slot, &alone).is_err(), "nobody enters a static function from outside");
}

#[test]
fn steps_follow_the_transfer() {
    let claims = claims("type: xdp\nr6 = 5\nr6 += 2\nr6 <<= 1\nr0 = 0\nexit\n");
    let mut follower = Follower::new(&claims);
    let mut hand = Hand::new();
    follower.before(0, &hand).expect("the start");
    hand.set(6, 5);
    follower.before(1, &hand).expect("a constant");
    hand.set(6, 7);
    follower.before(2, &hand).expect("a sum");
    assert_eq!(follower.steps(), 3);
    hand.set(6, 15);
    let violation = follower.before(3, &hand).expect_err("14 is not 15");
    assert_eq!((violation.kind, violation.slot), (ViolationKind::Step, 3));
    assert_eq!(violation.path, [0, 1, 2, 3]);
    assert!(violation.to_string().contains("r6 = 0xf"), "{violation}");
}

#[test]
fn a_step_into_nowhere_is_found() {
    let claims = claims("type: xdp\nr6 = 5\nr6 += 2\nr0 = 0\nexit\n");
    let mut follower = Follower::new(&claims);
    let mut hand = Hand::new();
    follower.before(0, &hand).expect("the start");
    hand.set(6, 5);
    assert_eq!(follower.before(2, &hand).expect_err("an instruction is left out").kind, ViolationKind::Step);
}

/// A loop whose register r6 has to be in bounds at its head.
fn looping() -> (Claims, Vec<(u32, Hand)>) {
    let claims = claims(
        "type: xdp\nr6 = 0\nl: r1 = r10\nr1 += -8\nr1 += r6\n*(u8 *)(r1 + 0) = 0\nr6 += 1\nif r6 != 8 goto l\nr0 = 0\nexit\n",
    );
    let mut hand = Hand::new();
    let mut run = vec![(0, hand.clone())];
    for round in 0..8 {
        hand.set(6, round);
        run.push((1, hand.clone()));
        hand.set(1, fp(0));
        run.push((2, hand.clone()));
        hand.set(1, fp(0) - 8);
        run.push((3, hand.clone()));
        hand.set(1, fp(0) - 8 + round);
        run.push((4, hand.clone()));
        hand.put(-8 + round as i32, &[0]);
        run.push((5, hand.clone()));
        hand.set(6, round + 1);
        run.push((6, hand.clone()));
    }
    run.push((7, hand.clone()));
    hand.set(0, 0);
    run.push((8, hand));
    (claims, run)
}

fn follow(claims: &Claims, run: &[(u32, Hand)]) -> Result<u64, (u32, ViolationKind)> {
    let mut follower = Follower::new(claims);
    for (slot, hand) in run {
        follower.before(*slot, hand).map_err(|v| (v.slot, v.kind))?;
    }
    Ok(follower.steps())
}

#[test]
fn a_loop_is_followed_and_planted_faults_are_found() {
    let (claims, run) = looping();
    assert_eq!(follow(&claims, &run), Ok(run.len() as u64));

    let mut narrowed = looping().0;
    for state in narrowed.states.get_mut(&6).into_iter().flatten() {
        let r6 = &mut state.frame_mut().regs[6];
        if r6.scalar_const() == Some(5) {
            *r6 = RegState::constant(4);
        }
    }
    assert_eq!(follow(&narrowed, &run), Err((6, ViolationKind::Checkpoint)), "a value was changed");

    let mut lost = looping().0;
    for states in lost.states.values_mut() {
        states.retain(|s| s.insn != 6 || s.reg(Reg::R6).scalar_const() != Some(3));
    }
    assert_eq!(follow(&lost, &run), Err((6, ViolationKind::Checkpoint)), "a path was pruned that must not be");

    let mut unmarked = looping().0;
    for state in unmarked.states.values_mut().flatten() {
        state.marks = Box::default();
    }
    assert_eq!(
        follow(&unmarked, &run),
        Err((4, ViolationKind::Step)),
        "the store's bounds rest on a value that must be precise"
    );

    let mut zeroed = looping().0;
    for state in zeroed.states.get_mut(&6).into_iter().flatten() {
        state.frame_mut().slot_mut(5).bytes = [Byte::Zero; 8];
    }
    assert_eq!(follow(&zeroed, &run), Err((6, ViolationKind::Checkpoint)), "a slot is claimed that was never written");
}
