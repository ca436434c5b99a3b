//! Instructions with places that are filled in when all functions stand.

use backstop::isa::table::{Fill, Row};
use backstop::isa::{AluOp, Instr, Operand, Pseudo, Reg, Size, Slot, Width};

/// The opcode of the jump whose distance stands in the immediate.
const GOTOL: u8 = 0x06;

/// A place in the code, to be fixed later.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Label(usize);

/// What an instruction waits for.
#[derive(Clone, Copy, Debug)]
enum Wait {
    /// A jump's or branch's target.
    Jump(Label),
    /// A function's first slot, relative to the next slot, in the immediate.
    Function(usize),
}

/// Code under construction: one function after the other.
#[derive(Debug)]
pub(super) struct Code {
    slots: Vec<Slot>,
    labels: Vec<Option<usize>>,
    waiting: Vec<(usize, Wait)>,
    /// First slot of each function that stands, by its number.
    starts: Vec<Option<usize>>,
}

impl Default for Code {
    /// With room for most programs.
    fn default() -> Code {
        Code {
            slots: Vec::with_capacity(512),
            labels: Vec::with_capacity(64),
            waiting: Vec::with_capacity(64),
            starts: Vec::new(),
        }
    }
}

impl Code {
    /// The next instruction is a function's first.
    pub(super) fn begin(&mut self, function: usize) {
        if self.starts.len() <= function {
            self.starts.resize(function + 1, None);
        }
        if let Some(start) = self.starts.get_mut(function) {
            *start = Some(self.slots.len());
        }
    }

    pub(super) fn start(&self, function: usize) -> Option<usize> {
        self.starts.get(function).copied().flatten()
    }

    pub(super) fn push(&mut self, instr: Instr) {
        self.slots.extend_from_slice(instr.encode().as_slice());
    }

    /// An instance of a row of the table, made legal.
    pub(super) fn row(&mut self, row: &Row, fill: Fill) {
        self.slots.extend_from_slice(row.legal_instance(fill).as_slice());
    }

    pub(super) fn label(&mut self) -> Label {
        self.labels.push(None);
        Label(self.labels.len() - 1)
    }

    pub(super) fn place(&mut self, label: Label) {
        if let Some(place) = self.labels.get_mut(label.0) {
            *place = Some(self.slots.len());
        }
    }

    /// The next instruction pushed jumps there.
    pub(super) fn wait_jump(&mut self, label: Label) {
        self.waiting.push((self.slots.len(), Wait::Jump(label)));
    }

    pub(super) fn jump(&mut self, label: Label, long: bool) {
        self.wait_jump(label);
        self.push(Instr::Jump { off: 0, long });
    }

    pub(super) fn call_function(&mut self, function: usize) {
        self.waiting.push((self.slots.len(), Wait::Function(function)));
        self.push(Instr::CallLocal { off: 0 });
    }

    pub(super) fn function_address(&mut self, dst: Reg, function: usize) {
        self.waiting.push((self.slots.len(), Wait::Function(function)));
        self.push(Instr::LoadPseudo { dst, kind: Pseudo::Func, imm: 0, next_imm: 0 });
    }

    pub(super) fn set(&mut self, dst: Reg, imm: i32) {
        self.push(Instr::Mov { width: Width::W64, dst, src: Operand::Imm(imm) });
    }

    pub(super) fn copy(&mut self, dst: Reg, src: Reg) {
        self.push(Instr::Mov { width: Width::W64, dst, src: Operand::Reg(src) });
    }

    pub(super) fn add(&mut self, dst: Reg, imm: i32) {
        self.push(Instr::Alu { width: Width::W64, op: AluOp::Add, dst, src: Operand::Imm(imm) });
    }

    pub(super) fn alu(&mut self, op: AluOp, dst: Reg, src: Operand) {
        self.push(Instr::Alu { width: Width::W64, op, dst, src });
    }

    pub(super) fn load(&mut self, size: Size, dst: Reg, base: Reg, off: i16) {
        self.push(Instr::Load { size, signed: false, dst, base, off });
    }

    pub(super) fn store(&mut self, size: Size, base: Reg, off: i16, src: Operand) {
        self.push(Instr::Store { size, base, off, src });
    }

    /// The slots, with every place filled in. What does not fit its field is left as a jump to the next instruction: the verifier judges.
    pub(super) fn finish(mut self) -> (Vec<Slot>, Vec<Option<usize>>) {
        for (at, wait) in std::mem::take(&mut self.waiting) {
            let target = match wait {
                Wait::Jump(label) => self.labels.get(label.0).copied().flatten(),
                Wait::Function(function) => self.start(function),
            };
            let Some(target) = target else { continue };
            let distance = target as i64 - at as i64 - 1;
            if let Some(slot) = self.slots.get_mut(at) {
                match wait {
                    Wait::Jump(_) if slot.code == GOTOL => slot.imm = i32::try_from(distance).unwrap_or(0),
                    Wait::Jump(_) => slot.off = i16::try_from(distance).unwrap_or(0),
                    Wait::Function(_) => slot.imm = i32::try_from(distance).unwrap_or(0),
                }
            }
        }
        (self.slots, self.starts)
    }
}
