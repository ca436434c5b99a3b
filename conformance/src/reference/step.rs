//! The reference's own decoder: from 8 bytes a slot to steps, by the numbers in RFC 9669 (sections 3 to 5) and, for `may_goto`,
//! load-acquire and store-release, the Linux kernel's instruction set document. It shares nothing with the ISA table, so that a wrong
//! number there is found as well.

use super::semantics::{Arithmetic, Condition, Modify, Order};

/// A register or an immediate.
#[derive(Clone, Copy, Debug)]
pub(super) enum Source {
    Register(usize),
    Immediate(i32),
}

/// Where an access goes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub base: usize,
    pub off: i16,
    /// Size of the access in bits.
    pub size: u32,
}

/// One decoded instruction. Jumps hold the slot that they lead to.
#[derive(Clone, Copy, Debug)]
pub(super) enum Step {
    Arithmetic {
        op: Arithmetic,
        bits: u32,
        dst: usize,
        src: Source,
    },
    Negate {
        bits: u32,
        dst: usize,
    },
    Move {
        bits: u32,
        dst: usize,
        src: Source,
    },
    SignExtend {
        bits: u32,
        from: u32,
        dst: usize,
        src: usize,
    },
    ByteOrder {
        order: Order,
        size: u32,
        dst: usize,
    },
    Constant {
        dst: usize,
        value: u64,
    },
    MapValue {
        dst: usize,
        map: usize,
        off: u64,
    },
    Map {
        dst: usize,
        map: usize,
    },
    Function {
        dst: usize,
        slot: usize,
    },
    Load {
        dst: usize,
        place: Place,
        sign: bool,
    },
    Store {
        place: Place,
        src: Source,
    },
    Modify {
        op: Modify,
        fetch: bool,
        place: Place,
        src: usize,
    },
    Packet {
        size: u32,
        index: Option<usize>,
        imm: i32,
    },
    Jump {
        to: usize,
    },
    Branch {
        condition: Condition,
        bits: u32,
        dst: usize,
        src: Source,
        to: usize,
    },
    MayGoto,
    Call {
        to: usize,
    },
    Helper {
        id: i32,
    },
    Kfunc {
        index: i32,
    },
    Exit,
    /// The second half of a two-slot instruction, or nothing that the text defines.
    Nothing,
}

/// Decodes a program; slots that make no sense become [`Step::Nothing`], which no run may reach.
pub(super) fn decode(slots: &[[u8; 8]]) -> Vec<Step> {
    let mut steps = Vec::with_capacity(slots.len());
    while let Some(&slot) = slots.get(steps.len()) {
        let at = steps.len();
        let raw = Raw::new(slot, at);
        if raw.code == 0x18 {
            let next = slots.get(at + 1).map_or(0, |next| Raw::new(*next, at).imm);
            steps.push(raw.wide(next));
            steps.push(Step::Nothing);
        } else {
            steps.push(raw.step().unwrap_or(Step::Nothing));
        }
    }
    steps.truncate(slots.len());
    steps
}

struct Raw {
    code: u8,
    dst: usize,
    src: usize,
    off: i16,
    imm: i32,
    at: usize,
}

impl Raw {
    fn new(bytes: [u8; 8], at: usize) -> Raw {
        let [code, regs, o0, o1, i0, i1, i2, i3] = bytes;
        Raw {
            code,
            dst: usize::from(regs & 15),
            src: usize::from(regs >> 4),
            off: i16::from_le_bytes([o0, o1]),
            imm: i32::from_le_bytes([i0, i1, i2, i3]),
            at,
        }
    }

    fn target(&self, distance: i64) -> usize {
        usize::try_from(self.at as i64 + 1 + distance).unwrap_or(usize::MAX)
    }

    fn source(&self) -> Source {
        if self.code & 8 != 0 { Source::Register(self.src) } else { Source::Immediate(self.imm) }
    }

    fn place(&self, base: usize) -> Place {
        let size = match self.code & 0x18 {
            0x00 => 32,
            0x08 => 16,
            0x10 => 8,
            _ => 64,
        };
        Place { base, off: self.off, size }
    }

    fn step(&self) -> Option<Step> {
        match self.code & 7 {
            0 => self.packet(),
            1 => self.load(),
            2 | 3 => self.store(),
            4 => self.arithmetic(32),
            5 => self.jump(64),
            6 => self.jump(32),
            _ => self.arithmetic(64),
        }
    }

    /// Section 5.4.
    fn wide(&self, next: i32) -> Step {
        let dst = self.dst;
        match self.src {
            0 => Step::Constant { dst, value: u64::from(next as u32) << 32 | u64::from(self.imm as u32) },
            4 => Step::Function { dst, slot: self.target(i64::from(self.imm)) },
            5 => Step::Map { dst, map: self.imm as usize },
            6 => Step::MapValue { dst, map: self.imm as usize, off: u64::from(next as u32) },
            _ => Step::Nothing,
        }
    }

    fn packet(&self) -> Option<Step> {
        let size = self.place(0).size;
        match self.code & 0xe0 {
            0x20 => Some(Step::Packet { size, index: None, imm: self.imm }),
            0x40 => Some(Step::Packet { size, index: Some(self.src), imm: self.imm }),
            _ => None,
        }
    }

    fn load(&self) -> Option<Step> {
        let sign = match self.code & 0xe0 {
            0x60 => false,
            0x80 => true,
            _ => return None,
        };
        Some(Step::Load { dst: self.dst, place: self.place(self.src), sign })
    }

    fn store(&self) -> Option<Step> {
        let place = self.place(self.dst);
        match (self.code & 7, self.code & 0xe0) {
            (2, 0x60) => Some(Step::Store { place, src: Source::Immediate(self.imm) }),
            (3, 0x60) => Some(Step::Store { place, src: Source::Register(self.src) }),
            (3, 0xc0) => self.atomic(place),
            _ => None,
        }
    }

    fn atomic(&self, place: Place) -> Option<Step> {
        let (op, fetch) = match self.imm {
            0x00 => (Modify::Add, false),
            0x40 => (Modify::Or, false),
            0x50 => (Modify::And, false),
            0xa0 => (Modify::Xor, false),
            0x01 => (Modify::Add, true),
            0x41 => (Modify::Or, true),
            0x51 => (Modify::And, true),
            0xa1 => (Modify::Xor, true),
            0xe1 => (Modify::Xchg, true),
            0xf1 => (Modify::Cmpxchg, true),
            0x100 => return Some(Step::Load { dst: self.dst, place: self.place(self.src), sign: false }),
            0x110 => return Some(Step::Store { place, src: Source::Register(self.src) }),
            _ => return None,
        };
        Some(Step::Modify { op, fetch, place, src: self.src })
    }

    fn arithmetic(&self, bits: u32) -> Option<Step> {
        let (dst, src) = (self.dst, self.source());
        let op = match (self.code & 0xf0, self.off) {
            (0x00, 0) => Arithmetic::Add,
            (0x10, 0) => Arithmetic::Sub,
            (0x20, 0) => Arithmetic::Mul,
            (0x30, 0) => Arithmetic::Div,
            (0x30, 1) => Arithmetic::Sdiv,
            (0x40, 0) => Arithmetic::Or,
            (0x50, 0) => Arithmetic::And,
            (0x60, 0) => Arithmetic::Lsh,
            (0x70, 0) => Arithmetic::Rsh,
            (0x80, 0) => return Some(Step::Negate { bits, dst }),
            (0x90, 0) => Arithmetic::Mod,
            (0x90, 1) => Arithmetic::Smod,
            (0xa0, 0) => Arithmetic::Xor,
            (0xb0, 0) => return Some(Step::Move { bits, dst, src }),
            (0xb0, 8 | 16 | 32) => {
                return Some(Step::SignExtend { bits, from: self.off as u32, dst, src: self.src });
            }
            (0xc0, 0) => Arithmetic::Arsh,
            (0xd0, 0) => return self.byte_order(bits),
            _ => return None,
        };
        Some(Step::Arithmetic { op, bits, dst, src })
    }

    fn byte_order(&self, bits: u32) -> Option<Step> {
        let order = match (bits, self.code & 8) {
            (32, 0) => Order::ToLittle,
            (32, _) => Order::ToBig,
            (_, 0) => Order::Swap,
            _ => return None,
        };
        let size = u32::try_from(self.imm).ok().filter(|size| matches!(size, 16 | 32 | 64))?;
        Some(Step::ByteOrder { order, size, dst: self.dst })
    }

    fn jump(&self, bits: u32) -> Option<Step> {
        let to = self.target(i64::from(self.off));
        let condition = match (self.code & 0xf0, bits) {
            (0x00, 64) => return Some(Step::Jump { to }),
            (0x00, _) => return Some(Step::Jump { to: self.target(i64::from(self.imm)) }),
            (0x80, 64) => return self.call(),
            (0x90, 64) => return Some(Step::Exit),
            (0xe0, 64) => return Some(Step::MayGoto),
            (0x10, _) => Condition::Eq,
            (0x20, _) => Condition::Gt,
            (0x30, _) => Condition::Ge,
            (0x40, _) => Condition::Set,
            (0x50, _) => Condition::Ne,
            (0x60, _) => Condition::Sgt,
            (0x70, _) => Condition::Sge,
            (0xa0, _) => Condition::Lt,
            (0xb0, _) => Condition::Le,
            (0xc0, _) => Condition::Slt,
            (0xd0, _) => Condition::Sle,
            _ => return None,
        };
        Some(Step::Branch { condition, bits, dst: self.dst, src: self.source(), to })
    }

    fn call(&self) -> Option<Step> {
        match self.src {
            0 => Some(Step::Helper { id: self.imm }),
            1 => Some(Step::Call { to: self.target(i64::from(self.imm)) }),
            2 => Some(Step::Kfunc { index: self.imm }),
            _ => None,
        }
    }
}
