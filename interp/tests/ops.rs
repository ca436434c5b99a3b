//! Every operation over boundary values, in fused and unfused surroundings, against the RFC's text.

mod common;

use backstop_interp::Stack;
use backstop_isa::{AluOp, AtomicOp, ByteOrder, CmpOp, Instr, Operand, Reg, Size, Width, encode_all};
use common::reference::{self, BOUNDARY, IMMEDIATES};
use common::{TestCode, World, code_of};

const WIDTHS: [Width; 2] = [Width::W32, Width::W64];
const SIZES: [Size; 4] = [Size::B1, Size::B2, Size::B4, Size::B8];

fn mov(dst: Reg, src: Reg) -> Instr {
    Instr::Mov { width: Width::W64, dst, src: Operand::Reg(src) }
}

fn build(instrs: &[Instr]) -> TestCode {
    code_of(encode_all(instrs), 0)
}

struct Runner(World, Stack);

impl Runner {
    fn new() -> Runner {
        Runner(World::default(), Stack::new())
    }

    fn run(&mut self, code: &TestCode, a: u64, b: u64) -> u64 {
        self.0.run_on(code, [a, b], &mut self.1).expect("a program that returns")
    }
}

/// `r0 = r1` and the operation, side by side and with something between them.
fn around(op: Instr) -> [TestCode; 2] {
    let set = mov(Reg::R0, Reg::R1);
    let between = Instr::LoadImm64 { dst: Reg::R5, imm: 1 };
    [build(&[set, op, Instr::Exit]), build(&[set, between, op, Instr::Exit])]
}

#[test]
fn arithmetic_of_two_registers() {
    let mut vm = Runner::new();
    for op in AluOp::ALL {
        for width in WIDTHS {
            let programs = around(Instr::Alu { width, op, dst: Reg::R0, src: Operand::Reg(Reg::R2) });
            let alias = Instr::Alu { width, op, dst: Reg::R1, src: Operand::Reg(Reg::R1) };
            let alias = build(&[alias, mov(Reg::R0, Reg::R1), Instr::Exit]);
            for a in BOUNDARY {
                let same = reference::alu(op, width, a, a);
                assert_eq!(vm.run(&alias, a, 0), same, "{op:?} {width:?} {a:#x} with itself");
                for b in BOUNDARY {
                    let wanted = reference::alu(op, width, a, b);
                    for program in &programs {
                        assert_eq!(vm.run(program, a, b), wanted, "{op:?} {width:?} {a:#x} {b:#x}\n{program}");
                    }
                }
            }
        }
    }
}

#[test]
fn arithmetic_with_an_immediate() {
    let mut vm = Runner::new();
    for op in AluOp::ALL {
        for width in WIDTHS {
            for imm in IMMEDIATES {
                // Instructions with a shift count beyond the width or a zero divisor do not exist; the IR is free to hold them.
                let instr = Instr::Alu { width, op, dst: Reg::R0, src: Operand::Imm(imm) };
                for program in around(instr) {
                    for a in BOUNDARY {
                        let wanted = reference::alu(op, width, a, reference::immediate(imm));
                        assert_eq!(vm.run(&program, a, 0), wanted, "{op:?} {width:?} {a:#x} {imm}\n{program}");
                    }
                }
            }
        }
    }
}

#[test]
fn every_pair_of_registers() {
    let mut vm = Runner::new();
    let named: Vec<Reg> = Reg::all().filter(|r| *r != Reg::R10).collect();
    let value = |r: Reg| 0x0101_0000_0000_0101 * (r.index() as u64 + 1);
    for &dst in &named {
        for &src in &named {
            let mut instrs: Vec<Instr> = named.iter().map(|&dst| Instr::LoadImm64 { dst, imm: value(dst) }).collect();
            instrs.push(Instr::Alu { width: Width::W64, op: AluOp::Sub, dst, src: Operand::Reg(src) });
            instrs.push(mov(Reg::R0, dst));
            instrs.push(Instr::Exit);
            let wanted = value(dst).wrapping_sub(value(src));
            assert_eq!(vm.run(&build(&instrs), 0, 0), wanted, "{dst} -= {src}");
        }
    }
}

#[test]
fn moves_negation_and_byte_order() {
    let mut vm = Runner::new();
    for a in BOUNDARY.into_iter().chain([0x0123_4567_89ab_cdef, 0x8899_aabb_ccdd_eeff]) {
        for width in WIDTHS {
            let moving = Instr::Mov { width, dst: Reg::R0, src: Operand::Reg(Reg::R1) };
            assert_eq!(vm.run(&build(&[moving, Instr::Exit]), a, 0), reference::moved(width, a));
            for program in around(Instr::Neg { width, dst: Reg::R0 }) {
                assert_eq!(vm.run(&program, a, 0), reference::negated(width, a), "-{a:#x} {width:?}");
            }
            for from in [Size::B1, Size::B2, Size::B4] {
                if width == Width::W32 && from == Size::B4 {
                    continue;
                }
                let wanted = reference::sign_extended(width, from, a);
                let instr = Instr::MovSx { width, from, dst: Reg::R0, src: Reg::R1 };
                assert_eq!(vm.run(&build(&[instr, Instr::Exit]), a, 0), wanted, "{a:#x} {width:?} {from:?}");
            }
        }
        for order in [ByteOrder::Le, ByteOrder::Be, ByteOrder::Swap] {
            for size in [Size::B2, Size::B4, Size::B8] {
                for program in around(Instr::End { order, size, dst: Reg::R0 }) {
                    let wanted = reference::byte_order(order, size, a);
                    assert_eq!(vm.run(&program, a, 0), wanted, "{order:?} {size:?} {a:#x}");
                }
            }
        }
    }
    for imm in IMMEDIATES {
        for width in WIDTHS {
            let instr = Instr::Mov { width, dst: Reg::R0, src: Operand::Imm(imm) };
            let wanted = reference::moved(width, reference::immediate(imm));
            assert_eq!(vm.run(&build(&[instr, Instr::Exit]), 0, 0), wanted, "{imm} {width:?}");
        }
    }
}

/// 1 if the jump is taken, else 2: once as it stands, once over another jump.
fn jumps(width: Width, op: CmpOp, src: Operand) -> [TestCode; 2] {
    let jump = Instr::Branch { width, op, dst: Reg::R1, src, off: 2 };
    let over = Instr::Branch { width, op, dst: Reg::R1, src, off: 1 };
    let set = |imm| Instr::Mov { width: Width::W64, dst: Reg::R0, src: Operand::Imm(imm) };
    [
        build(&[jump, set(2), Instr::Exit, set(1), Instr::Exit]),
        build(&[over, Instr::Jump { off: 2, long: false }, set(1), Instr::Exit, set(2), Instr::Exit]),
    ]
}

#[test]
fn conditions() {
    let mut vm = Runner::new();
    for op in CmpOp::ALL {
        for width in WIDTHS {
            let programs = jumps(width, op, Operand::Reg(Reg::R2));
            for a in BOUNDARY {
                for b in BOUNDARY {
                    let wanted = if reference::holds(op, width, a, b) { 1 } else { 2 };
                    for program in &programs {
                        assert_eq!(vm.run(program, a, b), wanted, "{a:#x} {op:?} {b:#x} {width:?}");
                    }
                }
            }
            for imm in IMMEDIATES {
                for program in jumps(width, op, Operand::Imm(imm)) {
                    for a in BOUNDARY {
                        let wanted = if reference::holds(op, width, a, reference::immediate(imm)) { 1 } else { 2 };
                        assert_eq!(vm.run(&program, a, 0), wanted, "{a:#x} {op:?} {imm} {width:?}");
                    }
                }
            }
        }
    }
}

#[test]
fn addition_before_a_jump() {
    let mut vm = Runner::new();
    for op in CmpOp::ALL {
        for (width, add_width) in WIDTHS.into_iter().flat_map(|w| WIDTHS.map(|a| (w, a))) {
            for add in [1, -1, i32::MIN] {
                for src in [Operand::Reg(Reg::R2), Operand::Reg(Reg::R1), Operand::Imm(-1), Operand::Imm(64)] {
                    let adding = Instr::Alu { width: add_width, op: AluOp::Add, dst: Reg::R1, src: Operand::Imm(add) };
                    let jump = Instr::Branch { width, op, dst: Reg::R1, src, off: 2 };
                    let result = mov(Reg::R0, Reg::R1);
                    let program = build(&[
                        adding,
                        jump,
                        result,
                        Instr::Exit,
                        result,
                        Instr::Neg { width: Width::W64, dst: Reg::R0 },
                        Instr::Exit,
                    ]);
                    for a in BOUNDARY {
                        let b = 0x8000_0000;
                        let sum = reference::alu(AluOp::Add, add_width, a, reference::immediate(add));
                        let other = match src {
                            Operand::Reg(Reg::R1) => sum,
                            Operand::Reg(_) => b,
                            Operand::Imm(imm) => reference::immediate(imm),
                        };
                        let taken = reference::holds(op, width, sum, other);
                        let wanted = if taken { reference::negated(Width::W64, sum) } else { sum };
                        assert_eq!(vm.run(&program, a, b), wanted, "{a:#x} + {add} {op:?} {src:?} {width:?}");
                    }
                }
            }
        }
    }
}

fn read(bytes: &[u8], at: usize, size: Size) -> u64 {
    let mut word = [0; 8];
    let len = size.bytes() as usize;
    word[..len].copy_from_slice(&bytes[at..at + len]);
    u64::from_le_bytes(word)
}

#[test]
#[cfg(target_endian = "little")]
fn loads_and_stores_at_every_alignment() {
    let mut vm = Runner::new();
    let pattern: Vec<u8> = (0..32u8).map(|i| i.wrapping_mul(37) ^ 0x93).collect();
    for size in SIZES {
        for off in 0..16i16 {
            for signed in [false, true] {
                if signed && size == Size::B8 {
                    continue;
                }
                let load = Instr::Load { size, signed, dst: Reg::R0, base: Reg::R1, off: off - 8 };
                let value = read(&pattern, off as usize, size);
                let wanted = if signed { reference::sign_extended(Width::W64, size, value) } else { value };
                let base = pattern.as_ptr().expose_provenance() as u64 + 8;
                assert_eq!(vm.run(&build(&[load, Instr::Exit]), base, 0), wanted, "{size:?} at {off}");
            }
            for src in [Operand::Reg(Reg::R2), Operand::Imm(-3), Operand::Imm(i32::MAX)] {
                let mut bytes = pattern.clone();
                let store = Instr::Store { size, base: Reg::R1, off: off - 8, src };
                let b = 0x8182_8384_8586_8788;
                let base = bytes.as_mut_ptr().expose_provenance() as u64 + 8;
                vm.run(&build(&[store, mov(Reg::R0, Reg::R2), Instr::Exit]), base, b);
                let value = if let Operand::Imm(imm) = src { reference::immediate(imm) } else { b };
                let mut wanted = pattern.clone();
                let len = size.bytes() as usize;
                wanted[off as usize..off as usize + len].copy_from_slice(&value.to_le_bytes()[..len]);
                assert_eq!(bytes, wanted, "{size:?} {src:?} at {off}");
            }
        }
    }
}

#[test]
#[cfg(target_endian = "little")]
fn loads_before_arithmetic_and_jumps() {
    let mut vm = Runner::new();
    for size in SIZES {
        for value in BOUNDARY {
            let memory = value.to_le_bytes();
            let base = memory.as_ptr().expose_provenance() as u64;
            let loaded = read(&memory, 0, size);
            let load = Instr::Load { size, signed: false, dst: Reg::R3, base: Reg::R1, off: 0 };
            for op in [AluOp::Add, AluOp::Xor, AluOp::Sub] {
                for width in WIDTHS {
                    let add = Instr::Alu { width, op, dst: Reg::R2, src: Operand::Reg(Reg::R3) };
                    let join =
                        Instr::Alu { width: Width::W64, op: AluOp::Xor, dst: Reg::R0, src: Operand::Reg(Reg::R3) };
                    let program = build(&[load, add, mov(Reg::R0, Reg::R2), join, Instr::Exit]);
                    let b = 0xffff_fff0;
                    let wanted = reference::alu(op, width, b, loaded) ^ loaded;
                    assert_eq!(vm.run(&program, base, b), wanted, "{size:?} {op:?} {width:?} {value:#x}\n{program}");
                }
            }
            for op in CmpOp::ALL {
                for (width, imm) in WIDTHS.into_iter().flat_map(|w| IMMEDIATES.map(|i| (w, i))) {
                    let jump = Instr::Branch { width, op, dst: Reg::R3, src: Operand::Imm(imm), off: 2 };
                    let result = mov(Reg::R0, Reg::R3);
                    let program = build(&[
                        load,
                        jump,
                        result,
                        Instr::Exit,
                        result,
                        Instr::Neg { width: Width::W64, dst: Reg::R0 },
                        Instr::Exit,
                    ]);
                    let taken = reference::holds(op, width, loaded, reference::immediate(imm));
                    let wanted = if taken { reference::negated(Width::W64, loaded) } else { loaded };
                    assert_eq!(
                        vm.run(&program, base, 0),
                        wanted,
                        "{size:?} {op:?} {width:?} {imm} {value:#x}\n{program}"
                    );
                }
            }
        }
    }
}

#[repr(align(8))]
struct Aligned([u8; 32]);

impl Aligned {
    fn address(&mut self) -> u64 {
        self.0.as_mut_ptr().expose_provenance() as u64
    }
}

const ATOMICS: [AtomicOp; 6] =
    [AtomicOp::Add, AtomicOp::Or, AtomicOp::And, AtomicOp::Xor, AtomicOp::Xchg, AtomicOp::Cmpxchg];

fn atomic_result(op: AtomicOp, width: Width, old: u64, operand: u64, r0: u64) -> u64 {
    let alu = |op| reference::alu(op, width, old, operand);
    match op {
        AtomicOp::Add => alu(AluOp::Add),
        AtomicOp::Or => alu(AluOp::Or),
        AtomicOp::And => alu(AluOp::And),
        AtomicOp::Xor => alu(AluOp::Xor),
        AtomicOp::Xchg => reference::moved(width, operand),
        AtomicOp::Cmpxchg if reference::moved(width, r0) == old => reference::moved(width, operand),
        AtomicOp::Cmpxchg => old,
    }
}

#[test]
#[cfg(target_endian = "little")]
fn atomics_aligned_and_not() {
    let mut vm = Runner::new();
    let mut memory = Aligned([0; 32]);
    let cases =
        [(0u64, 0u64), (1, u64::MAX), (0x8000_0000_8000_0000, 0x8000_0000_8000_0000), (0x1234_5678_9abc_def0, 0x0ff0)];
    for (size, width) in [(Size::B4, Width::W32), (Size::B8, Width::W64)] {
        for op in ATOMICS {
            for fetch in [false, true] {
                if !fetch && matches!(op, AtomicOp::Xchg | AtomicOp::Cmpxchg) {
                    continue;
                }
                for off in 0..8 {
                    for (old, operand) in cases {
                        for r0 in [old, operand] {
                            let atomic = Instr::Atomic { size, op, fetch, base: Reg::R1, off, src: Reg::R2 };
                            let program = build(&[
                                Instr::LoadImm64 { dst: Reg::R0, imm: r0 },
                                atomic,
                                Instr::Store { size: Size::B8, base: Reg::R1, off: 16, src: Operand::Reg(Reg::R2) },
                                Instr::Exit,
                            ]);
                            let at = off as usize;
                            memory.0[at..at + 8].copy_from_slice(&old.to_le_bytes());
                            let got = vm.run(&program, memory.address(), operand);
                            let (now, src) = (read(&memory.0, at, Size::B8), read(&memory.0, 16, Size::B8));
                            let narrow = reference::moved(width, old);
                            let new = atomic_result(op, width, narrow, operand, r0);
                            let wanted = if width == Width::W64 { new } else { old >> 32 << 32 | new };
                            let what = format!("{op:?} {size:?} fetch {fetch} at {off}: {old:#x} {operand:#x} {r0:#x}");
                            assert_eq!(now, wanted, "memory: {what}");
                            let fetched = fetch && op != AtomicOp::Cmpxchg;
                            assert_eq!(src, if fetched { narrow } else { operand }, "src: {what}");
                            assert_eq!(got, if op == AtomicOp::Cmpxchg { narrow } else { r0 }, "r0: {what}");
                        }
                    }
                }
            }
        }
    }
}

#[test]
#[cfg(target_endian = "little")]
fn acquire_and_release() {
    let mut vm = Runner::new();
    let pattern: [u8; 24] = std::array::from_fn(|i| 0xf1 ^ i as u8);
    for size in SIZES {
        for off in 0..8 {
            let mut bytes = pattern;
            let at = bytes.as_mut_ptr().expose_provenance() as u64;
            let load = Instr::LoadAcquire { size, dst: Reg::R0, base: Reg::R1, off };
            assert_eq!(vm.run(&build(&[load, Instr::Exit]), at, 0), read(&pattern, off as usize, size));
            let store = Instr::StoreRelease { size, base: Reg::R1, off, src: Reg::R2 };
            let b = 0x0102_0304_0506_0708u64;
            vm.run(&build(&[store, mov(Reg::R0, Reg::R2), Instr::Exit]), at, b);
            let mut wanted = pattern;
            let len = size.bytes() as usize;
            wanted[off as usize..off as usize + len].copy_from_slice(&b.to_le_bytes()[..len]);
            assert_eq!(bytes, wanted);
        }
    }
}

#[test]
fn counters_shared_by_threads_lose_nothing() {
    // One word aligned, one across words.
    for off in [0i16, 4] {
        let mut memory = Aligned([0; 32]);
        let at = memory.address();
        let add = Instr::Atomic { size: Size::B8, op: AtomicOp::Add, fetch: true, base: Reg::R1, off, src: Reg::R4 };
        let program = build(&[
            Instr::LoadImm64 { dst: Reg::R3, imm: 10_000 },
            Instr::LoadImm64 { dst: Reg::R4, imm: 1 },
            add,
            Instr::Alu { width: Width::W64, op: AluOp::Add, dst: Reg::R3, src: Operand::Imm(-1) },
            Instr::Branch { width: Width::W64, op: CmpOp::Ne, dst: Reg::R3, src: Operand::Imm(0), off: -5 },
            mov(Reg::R0, Reg::R3),
            Instr::Exit,
        ]);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| Runner::new().run(&program, at, 0));
            }
        });
        assert_eq!(read(&memory.0, off as usize, Size::B8), 40_000);
    }
}
