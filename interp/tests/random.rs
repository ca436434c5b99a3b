//! Random code against the RFC's text: what fusing may get wrong is a matter of neighbours.

mod common;

use std::hash::{BuildHasher, RandomState};

use backstop_isa::{AluOp, ByteOrder, CmpOp, Instr, Operand, Reg, Size, Width, encode_all};
use common::reference::{self, BOUNDARY, IMMEDIATES};
use common::{World, code_of};

/// xorshift64*
struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % n
    }

    fn of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len())]
    }

    /// Few registers, so that neighbours touch the same ones. r9 is the memory's address.
    fn reg(&mut self) -> Reg {
        self.of(&[Reg::R0, Reg::R1, Reg::R2, Reg::R6])
    }

    fn operand(&mut self) -> Operand {
        if self.below(2) == 0 { Operand::Reg(self.reg()) } else { Operand::Imm(self.of(&IMMEDIATES)) }
    }

    fn instr(&mut self, left: usize) -> Instr {
        let width = self.of(&[Width::W32, Width::W64]);
        let (dst, src) = (self.reg(), self.reg());
        let size = self.of(&[Size::B1, Size::B2, Size::B4, Size::B8]);
        let off = self.below(32) as i16;
        match self.below(10) {
            0..=1 => Instr::Mov { width, dst, src: self.operand() },
            2..=3 => Instr::Alu { width, op: self.of(&AluOp::ALL), dst, src: self.operand() },
            4 => {
                let op = self.of(&[AluOp::Add, AluOp::Lsh, AluOp::Rsh, AluOp::Arsh]);
                Instr::Alu { width: Width::W64, op, dst, src: Operand::Imm(self.of(&[32, 48, 56])) }
            }
            5 => Instr::MovSx { width: Width::W64, from: self.of(&[Size::B1, Size::B2, Size::B4]), dst, src },
            6 => Instr::End { order: self.of(&[ByteOrder::Be, ByteOrder::Le, ByteOrder::Swap]), size: Size::B4, dst },
            7 => Instr::Load { size, signed: size != Size::B8 && self.below(4) == 0, dst, base: Reg::R9, off },
            8 => Instr::Store { size, base: Reg::R9, off, src: self.operand() },
            _ if left == 0 => Instr::Neg { width, dst },
            _ => {
                let off = self.below(left) as i16;
                Instr::Branch { width, op: self.of(&CmpOp::ALL), dst, src: self.operand(), off }
            }
        }
    }
}

/// The reference's own machine.
struct Machine {
    regs: [u64; 11],
    memory: [u8; 40],
}

impl Machine {
    fn value(&self, operand: Operand) -> u64 {
        match operand {
            Operand::Reg(r) => self.regs[r.index()],
            Operand::Imm(imm) => reference::immediate(imm),
        }
    }

    /// How many instructions are skipped.
    fn step(&mut self, instr: Instr) -> usize {
        match instr {
            Instr::Mov { width, dst, src } => self.regs[dst.index()] = reference::moved(width, self.value(src)),
            Instr::Alu { width, op, dst, src } => {
                self.regs[dst.index()] = reference::alu(op, width, self.regs[dst.index()], self.value(src));
            }
            Instr::Neg { width, dst } => self.regs[dst.index()] = reference::negated(width, self.regs[dst.index()]),
            Instr::MovSx { width, from, dst, src } => {
                self.regs[dst.index()] = reference::sign_extended(width, from, self.regs[src.index()]);
            }
            Instr::End { order, size, dst } => {
                self.regs[dst.index()] = reference::byte_order(order, size, self.regs[dst.index()]);
            }
            Instr::Load { size, signed, dst, off, .. } => {
                let mut word = [0; 8];
                let (at, len) = (off as usize, size.bytes() as usize);
                word[..len].copy_from_slice(&self.memory[at..at + len]);
                let value = u64::from_le_bytes(word);
                self.regs[dst.index()] = if signed { reference::sign_extended(Width::W64, size, value) } else { value };
            }
            Instr::Store { size, off, src, .. } => {
                let bytes = self.value(src).to_le_bytes();
                let (at, len) = (off as usize, size.bytes() as usize);
                self.memory[at..at + len].copy_from_slice(&bytes[..len]);
            }
            Instr::Branch { width, op, dst, src, off } => {
                if reference::holds(op, width, self.regs[dst.index()], self.value(src)) {
                    return off as usize;
                }
            }
            other => unreachable!("{other} is not made"),
        }
        0
    }
}

#[test]
#[cfg(target_endian = "little")]
fn random_code_does_what_the_rfc_says() {
    let seed = match std::env::var("BACKSTOP_SEED") {
        Ok(seed) => seed.parse().expect("BACKSTOP_SEED is a number"),
        Err(_) => RandomState::new().hash_one(0) | 1,
    };
    println!("BACKSTOP_SEED={seed}");
    let mut random = Random(seed);
    let registers = [Reg::R0, Reg::R1, Reg::R2, Reg::R6];
    for round in 0..3000 {
        let len = 1 + random.below(24);
        let body: Vec<Instr> = (0..len).map(|i| random.instr(len - i - 1)).collect();
        let mut machine = Machine { regs: [0; 11], memory: std::array::from_fn(|i| (i * 29) as u8) };
        let mut memory = [[0u8; 8]; 10];
        memory.as_flattened_mut()[..40].copy_from_slice(&machine.memory);
        let base = memory.as_mut_ptr().expose_provenance() as u64;
        let mut program = vec![Instr::Mov { width: Width::W64, dst: Reg::R9, src: Operand::Reg(Reg::R1) }];
        for r in registers {
            machine.regs[r.index()] = random.of(&BOUNDARY);
            program.push(Instr::LoadImm64 { dst: r, imm: machine.regs[r.index()] });
        }
        program.extend(&body);
        for (i, r) in registers.into_iter().enumerate() {
            program.push(Instr::Store { size: Size::B8, base: Reg::R9, off: 40 + 8 * i as i16, src: Operand::Reg(r) });
        }
        program.push(Instr::Exit);
        let code = code_of(encode_all(&program), 0);
        World::default().run(&code, [base, 0]).expect("a program that returns");
        let mut at = 0;
        while let Some(instr) = body.get(at) {
            at += 1 + machine.step(*instr);
        }
        for (i, r) in registers.into_iter().enumerate() {
            assert_eq!(
                u64::from_le_bytes(memory[5 + i]),
                machine.regs[r.index()],
                "round {round}: {r} differs in\n{code}"
            );
        }
        assert_eq!(memory.as_flattened()[..40], machine.memory, "round {round}: the memory differs after\n{code}");
    }
}
