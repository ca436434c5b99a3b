//! One method for each form of machine instruction that the compiler uses; the only user of dynasm.
//!
//! dynasm encodes a register that is known at run time in the longest way: always a REX prefix, always a SIB byte; displacements
//! and immediates are asked for at 32 bits here. Each instruction without a label is therefore made in a small buffer and tightened before it is appended.

use backstop_isa::{Size, Width};
use dynasmrt::components::LabelRegistry;
use dynasmrt::x64::X64Relocation;
use dynasmrt::{DynamicLabel, DynasmApi, DynasmError, DynasmLabelApi, SimpleAssembler, VecAssembler, dynasm};

use crate::regs::{Addr, Gpr};

/// A place in the code, bound once.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Label(DynamicLabel);

/// Two-operand arithmetic of the `80`/`01` opcode family.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Arith {
    Add,
    Or,
    And,
    Sub,
    Xor,
    Cmp,
}

/// Shifts and rotates.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Shift {
    Shl,
    Shr,
    Sar,
    Rol,
}

/// Condition of a jump.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Cond {
    Equal,
    NotEqual,
    Above,
    AboveEqual,
    Below,
    BelowEqual,
    Greater,
    GreaterEqual,
    Less,
    LessEqual,
    Sign,
}

impl Cond {
    /// The condition that holds exactly when this one does not (`Sign` has no user that needs its opposite).
    pub(crate) fn negated(self) -> Option<Cond> {
        match self {
            Cond::Equal => Some(Cond::NotEqual),
            Cond::NotEqual => Some(Cond::Equal),
            Cond::Above => Some(Cond::BelowEqual),
            Cond::AboveEqual => Some(Cond::Below),
            Cond::Below => Some(Cond::AboveEqual),
            Cond::BelowEqual => Some(Cond::Above),
            Cond::Greater => Some(Cond::LessEqual),
            Cond::GreaterEqual => Some(Cond::Less),
            Cond::Less => Some(Cond::GreaterEqual),
            Cond::LessEqual => Some(Cond::Greater),
            Cond::Sign => None,
        }
    }
}

/// Bytes under construction.
pub(crate) struct Emitter {
    asm: VecAssembler<X64Relocation>,
    /// The instruction being made.
    one: SimpleAssembler,
}

/// Emits an instruction without a memory operand.
macro_rules! put {
    ($self:ident, $keep_rex:expr, $($insn:tt)*) => {{
        dynasm!($self.one ; .arch x64 ; $($insn)*);
        $self.append(None, $keep_rex);
    }};
}

/// Emits an instruction with a memory operand, which stands between the two bracketed parts.
macro_rules! put_mem {
    ($self:ident, $addr:ident, $keep_rex:expr, [$($before:tt)*] [$($after:tt)*]) => {{
        // Number 4 in the index field says that there is no index.
        let (base, disp) = ($addr.base, $addr.disp);
        let index = $addr.index.map_or(Gpr::RSP, |i| i.reg);
        dynasm!($self.one ; .arch x64 ; $($before)* [DWORD Rq(base) + Rq(index) * 1 + disp] $($after)*);
        $self.append(Some($addr), $keep_rex);
    }};
}

/// Emits an instruction that refers to a label.
macro_rules! put_label {
    ($self:ident, $($insn:tt)*) => {{
        dynasm!($self.asm ; .arch x64 ; $($insn)*);
    }};
}

/// The same instruction at both widths.
macro_rules! put_rr {
    ($self:ident, $width:expr, $name:ident, $d:ident, $s:ident) => {
        match $width {
            Width::W32 => put!($self, false, $name Rd($d), Rd($s)),
            Width::W64 => put!($self, false, $name Rq($d), Rq($s)),
        }
    };
}

macro_rules! put_r {
    ($self:ident, $width:expr, $name:ident, $d:ident) => {
        match $width {
            Width::W32 => put!($self, false, $name Rd($d)),
            Width::W64 => put!($self, false, $name Rq($d)),
        }
    };
}

macro_rules! put_ri {
    ($self:ident, $width:expr, $name:ident, $d:ident, $imm:ident) => {
        match $width {
            Width::W32 => put!($self, false, $name Rd($d), DWORD $imm),
            Width::W64 => put!($self, false, $name Rq($d), DWORD $imm),
        }
    };
}

macro_rules! put_mr {
    ($self:ident, $size:expr, $name:ident, $addr:ident, $s:ident) => {
        match $size {
            Size::B1 => put_mem!($self, $addr, $s.byte_needs_rex(), [$name] [, Rb($s)]),
            Size::B2 => put_mem!($self, $addr, false, [$name] [, Rw($s)]),
            Size::B4 => put_mem!($self, $addr, false, [$name] [, Rd($s)]),
            Size::B8 => put_mem!($self, $addr, false, [$name] [, Rq($s)]),
        }
    };
}

macro_rules! put_mi {
    ($self:ident, $size:expr, $name:ident, $addr:ident, $imm:ident) => {
        match $size {
            Size::B1 => {
                let byte = $imm as i8;
                put_mem!($self, $addr, false, [$name BYTE] [, BYTE byte])
            }
            Size::B2 => {
                let word = $imm as i16;
                put_mem!($self, $addr, false, [$name WORD] [, WORD word])
            }
            Size::B4 => put_mem!($self, $addr, false, [$name DWORD] [, DWORD $imm]),
            Size::B8 => put_mem!($self, $addr, false, [$name QWORD] [, DWORD $imm]),
        }
    };
}

/// One arm for each member of [`Arith`].
macro_rules! for_arith {
    ($op:expr, $put:ident, $($args:tt)*) => {
        for_arith!(@ $op, $put, ($($args)*))
    };
    (@ $op:expr, $put:ident, ($self:ident, $size:expr, $($rest:tt)*)) => {
        match $op {
            Arith::Add => $put!($self, $size, add, $($rest)*),
            Arith::Or => $put!($self, $size, or, $($rest)*),
            Arith::And => $put!($self, $size, and, $($rest)*),
            Arith::Sub => $put!($self, $size, sub, $($rest)*),
            Arith::Xor => $put!($self, $size, xor, $($rest)*),
            Arith::Cmp => $put!($self, $size, cmp, $($rest)*),
        }
    };
}

/// One arm for each member of [`Cond`], short or near.
macro_rules! for_cond {
    ($self:ident, $cond:expr, $short:expr, $label:ident, $($name:ident $cc:ident),*) => {
        match ($cond, $short) {
            $(
                (Cond::$name, true) => put_label!($self, $cc BYTE =>$label),
                (Cond::$name, false) => put_label!($self, $cc =>$label),
            )*
        }
    };
}

impl Emitter {
    pub(crate) fn new() -> Emitter {
        Emitter { asm: VecAssembler::new(0), one: SimpleAssembler::new() }
    }

    /// Bytes so far.
    pub(crate) fn offset(&self) -> usize {
        self.asm.offset().0
    }

    pub(crate) fn new_label(&mut self) -> Label {
        Label(self.asm.new_dynamic_label())
    }

    pub(crate) fn bind(&mut self, label: Label) {
        self.asm.dynamic_label(label.0);
    }

    /// Where a bound label lies.
    pub(crate) fn label_offset(&self, label: Label) -> Option<usize> {
        let labels: &LabelRegistry = self.asm.labels();
        labels.resolve_dynamic(label.0).ok().map(|o| o.0)
    }

    /// All bytes, labels resolved.
    pub(crate) fn finish(self) -> Result<Vec<u8>, DynasmError> {
        self.asm.finalize()
    }

    fn append(&mut self, addr: Option<Addr>, keep_rex: bool) {
        tighten(&mut self.one.ops, addr, keep_rex);
        self.asm.extend(&self.one.ops);
        self.one.ops.clear();
    }

    pub(crate) fn arith_rr(&mut self, width: Width, op: Arith, d: Gpr, s: Gpr) {
        for_arith!(op, put_rr, self, width, d, s)
    }

    pub(crate) fn arith_ri(&mut self, width: Width, op: Arith, d: Gpr, imm: i32) {
        for_arith!(op, put_ri, self, width, d, imm)
    }

    pub(crate) fn arith_rm(&mut self, width: Width, op: Arith, d: Gpr, addr: Addr) {
        macro_rules! put_rm {
            ($self:ident, $width:expr, $name:ident, $d:ident, $addr:ident) => {
                match $width {
                    Width::W32 => put_mem!($self, $addr, false, [$name Rd($d),] []),
                    Width::W64 => put_mem!($self, $addr, false, [$name Rq($d),] []),
                }
            };
        }
        for_arith!(op, put_rm, self, width, d, addr)
    }

    /// Read-modify-write on memory (`Cmp` only reads); the width is the access's.
    pub(crate) fn arith_mr(&mut self, size: Size, op: Arith, addr: Addr, s: Gpr) {
        for_arith!(op, put_mr, self, size, addr, s)
    }

    /// Read-modify-write on memory (`Cmp` only reads); the immediate is cut to the access's size.
    pub(crate) fn arith_mi(&mut self, size: Size, op: Arith, addr: Addr, imm: i32) {
        for_arith!(op, put_mi, self, size, addr, imm)
    }

    /// The next instruction locks the bus.
    pub(crate) fn lock(&mut self) {
        self.one.push(0xf0);
    }

    pub(crate) fn mov_rr(&mut self, width: Width, d: Gpr, s: Gpr) {
        put_rr!(self, width, mov, d, s)
    }

    /// Zero-extends to 64 bits.
    pub(crate) fn mov_imm32(&mut self, d: Gpr, imm: u32) {
        let imm = imm as i32;
        put!(self, false, mov Rd(d), DWORD imm)
    }

    /// Sign-extends to 64 bits.
    pub(crate) fn mov_simm32(&mut self, d: Gpr, imm: i32) {
        put!(self, false, mov Rq(d), DWORD imm)
    }

    pub(crate) fn mov_imm64(&mut self, d: Gpr, imm: u64) {
        let imm = imm as i64;
        put!(self, false, mov Rq(d), QWORD imm)
    }

    pub(crate) fn test_rr(&mut self, width: Width, d: Gpr, s: Gpr) {
        put_rr!(self, width, test, d, s)
    }

    pub(crate) fn test_ri(&mut self, width: Width, d: Gpr, imm: i32) {
        match width {
            Width::W32 => put!(self, false, test Rd(d), DWORD imm),
            Width::W64 => put!(self, false, test Rq(d), DWORD imm),
        }
    }

    pub(crate) fn neg(&mut self, width: Width, d: Gpr) {
        put_r!(self, width, neg, d)
    }

    pub(crate) fn bswap(&mut self, width: Width, d: Gpr) {
        put_r!(self, width, bswap, d)
    }

    pub(crate) fn shift_ri(&mut self, width: Width, op: Shift, d: Gpr, count: u8) {
        let count = count as i8;
        macro_rules! arm {
            ($name:ident) => {
                match width {
                    Width::W32 => put!(self, false, $name Rd(d), BYTE count),
                    Width::W64 => put!(self, false, $name Rq(d), BYTE count),
                }
            };
        }
        match op {
            Shift::Shl => arm!(shl),
            Shift::Shr => arm!(shr),
            Shift::Sar => arm!(sar),
            Shift::Rol => arm!(rol),
        }
    }

    /// Shifts by cl, masked to the width.
    pub(crate) fn shift_cl(&mut self, width: Width, op: Shift, d: Gpr) {
        macro_rules! arm {
            ($name:ident) => {
                match width {
                    Width::W32 => put!(self, false, $name Rd(d), cl),
                    Width::W64 => put!(self, false, $name Rq(d), cl),
                }
            };
        }
        match op {
            Shift::Shl => arm!(shl),
            Shift::Shr => arm!(shr),
            Shift::Sar => arm!(sar),
            Shift::Rol => arm!(rol),
        }
    }

    /// BMI2 shifts by any register, masked to the width.
    pub(crate) fn shlx(&mut self, width: Width, d: Gpr, s: Gpr, count: Gpr) {
        match width {
            Width::W32 => put!(self, false, shlx Rd(d), Rd(s), Rd(count)),
            Width::W64 => put!(self, false, shlx Rq(d), Rq(s), Rq(count)),
        }
    }

    /// BMI2.
    pub(crate) fn shrx(&mut self, width: Width, d: Gpr, s: Gpr, count: Gpr) {
        match width {
            Width::W32 => put!(self, false, shrx Rd(d), Rd(s), Rd(count)),
            Width::W64 => put!(self, false, shrx Rq(d), Rq(s), Rq(count)),
        }
    }

    /// BMI2.
    pub(crate) fn sarx(&mut self, width: Width, d: Gpr, s: Gpr, count: Gpr) {
        match width {
            Width::W32 => put!(self, false, sarx Rd(d), Rd(s), Rd(count)),
            Width::W64 => put!(self, false, sarx Rq(d), Rq(s), Rq(count)),
        }
    }

    /// BMI2: d = s rotated right.
    pub(crate) fn rorx(&mut self, width: Width, d: Gpr, s: Gpr, count: u8) {
        let count = count as i8;
        match width {
            Width::W32 => put!(self, false, rorx Rd(d), Rd(s), BYTE count),
            Width::W64 => put!(self, false, rorx Rq(d), Rq(s), BYTE count),
        }
    }

    /// BMI2: high and low half of rdx * s.
    pub(crate) fn mulx(&mut self, high: Gpr, low: Gpr, s: Gpr) {
        put!(self, false, mulx Rq(high), Rq(low), Rq(s))
    }

    /// rdx:rax = rax * s, unsigned, 64-bit.
    pub(crate) fn mul(&mut self, s: Gpr) {
        put!(self, false, mul Rq(s))
    }

    pub(crate) fn imul_rr(&mut self, width: Width, d: Gpr, s: Gpr) {
        put_rr!(self, width, imul, d, s)
    }

    pub(crate) fn imul_rri(&mut self, width: Width, d: Gpr, s: Gpr, imm: i32) {
        match width {
            Width::W32 => put!(self, false, imul Rd(d), Rd(s), DWORD imm),
            Width::W64 => put!(self, false, imul Rq(d), Rq(s), DWORD imm),
        }
    }

    /// rax, rdx = rdx:rax / s, rdx:rax % s; unsigned.
    pub(crate) fn div(&mut self, width: Width, s: Gpr) {
        put_r!(self, width, div, s)
    }

    /// rax, rdx = rdx:rax / s, rdx:rax % s; signed.
    pub(crate) fn idiv(&mut self, width: Width, s: Gpr) {
        put_r!(self, width, idiv, s)
    }

    /// rdx = the sign of rax.
    pub(crate) fn sign_into_rdx(&mut self, width: Width) {
        match width {
            Width::W32 => put!(self, false, cdq),
            Width::W64 => put!(self, false, cqo),
        }
    }

    /// Zero-extends to 64 bits.
    pub(crate) fn movzx(&mut self, from: Size, d: Gpr, s: Gpr) {
        match from {
            Size::B1 => put!(self, s.byte_needs_rex(), movzx Rd(d), Rb(s)),
            Size::B2 => put!(self, false, movzx Rd(d), Rw(s)),
            Size::B4 => put!(self, false, mov Rd(d), Rd(s)),
            Size::B8 => put!(self, false, mov Rq(d), Rq(s)),
        }
    }

    /// Sign-extends to the width, then zero-extends to 64 bits.
    pub(crate) fn movsx(&mut self, width: Width, from: Size, d: Gpr, s: Gpr) {
        match (width, from) {
            (Width::W32, Size::B1) => put!(self, s.byte_needs_rex(), movsx Rd(d), Rb(s)),
            (Width::W32, Size::B2) => put!(self, false, movsx Rd(d), Rw(s)),
            (Width::W32, Size::B4 | Size::B8) => put!(self, false, mov Rd(d), Rd(s)),
            (Width::W64, Size::B1) => put!(self, false, movsx Rq(d), Rb(s)),
            (Width::W64, Size::B2) => put!(self, false, movsx Rq(d), Rw(s)),
            (Width::W64, Size::B4) => put!(self, false, movsxd Rq(d), Rd(s)),
            (Width::W64, Size::B8) => put!(self, false, mov Rq(d), Rq(s)),
        }
    }

    /// Loads and zero-extends to 64 bits.
    pub(crate) fn load(&mut self, size: Size, d: Gpr, addr: Addr) {
        match size {
            Size::B1 => put_mem!(self, addr, false, [movzx Rd(d), BYTE] []),
            Size::B2 => put_mem!(self, addr, false, [movzx Rd(d), WORD] []),
            Size::B4 => put_mem!(self, addr, false, [mov Rd(d),] []),
            Size::B8 => put_mem!(self, addr, false, [mov Rq(d),] []),
        }
    }

    /// Loads and sign-extends to 64 bits.
    pub(crate) fn load_signed(&mut self, size: Size, d: Gpr, addr: Addr) {
        match size {
            Size::B1 => put_mem!(self, addr, false, [movsx Rq(d), BYTE] []),
            Size::B2 => put_mem!(self, addr, false, [movsx Rq(d), WORD] []),
            Size::B4 => put_mem!(self, addr, false, [movsxd Rq(d), DWORD] []),
            Size::B8 => put_mem!(self, addr, false, [mov Rq(d),] []),
        }
    }

    pub(crate) fn store(&mut self, size: Size, addr: Addr, s: Gpr) {
        put_mr!(self, size, mov, addr, s)
    }

    /// Stores the immediate, cut to the size or sign-extended to it.
    pub(crate) fn store_imm(&mut self, size: Size, addr: Addr, imm: i32) {
        match size {
            Size::B1 => {
                let byte = imm as i8;
                put_mem!(self, addr, false, [mov BYTE] [, BYTE byte])
            }
            Size::B2 => {
                let word = imm as i16;
                put_mem!(self, addr, false, [mov WORD] [, WORD word])
            }
            Size::B4 => put_mem!(self, addr, false, [mov DWORD] [, DWORD imm]),
            Size::B8 => put_mem!(self, addr, false, [mov QWORD] [, DWORD imm]),
        }
    }

    pub(crate) fn lea(&mut self, width: Width, d: Gpr, addr: Addr) {
        match width {
            Width::W32 => put_mem!(self, addr, false, [lea Rd(d),] []),
            Width::W64 => put_mem!(self, addr, false, [lea Rq(d),] []),
        }
    }

    pub(crate) fn xadd(&mut self, size: Size, addr: Addr, s: Gpr) {
        put_mr!(self, size, xadd, addr, s)
    }

    /// Locks by itself.
    pub(crate) fn xchg(&mut self, size: Size, addr: Addr, s: Gpr) {
        put_mr!(self, size, xchg, addr, s)
    }

    pub(crate) fn cmpxchg(&mut self, size: Size, addr: Addr, s: Gpr) {
        put_mr!(self, size, cmpxchg, addr, s)
    }

    pub(crate) fn push(&mut self, r: Gpr) {
        put!(self, false, push Rq(r))
    }

    pub(crate) fn pop(&mut self, r: Gpr) {
        put!(self, false, pop Rq(r))
    }

    pub(crate) fn leave(&mut self) {
        put!(self, false, leave)
    }

    pub(crate) fn ret(&mut self) {
        put!(self, false, ret)
    }

    pub(crate) fn jmp_reg(&mut self, r: Gpr) {
        put!(self, false, jmp Rq(r))
    }

    pub(crate) fn call_mem(&mut self, addr: Addr) {
        put_mem!(self, addr, false, [call QWORD] [])
    }

    pub(crate) fn jmp_mem(&mut self, addr: Addr) {
        put_mem!(self, addr, false, [jmp QWORD] [])
    }

    pub(crate) fn jmp(&mut self, label: Label, short: bool) {
        let label = label.0;
        if short { put_label!(self, jmp BYTE =>label) } else { put_label!(self, jmp =>label) }
    }

    pub(crate) fn jcc(&mut self, cond: Cond, label: Label, short: bool) {
        let label = label.0;
        for_cond!(
            self, cond, short, label, Equal je, NotEqual jne, Above ja, AboveEqual jae, Below jb, BelowEqual jbe, Greater jg,
            GreaterEqual jge, Less jl, LessEqual jle, Sign js
        )
    }

    pub(crate) fn call_label(&mut self, label: Label) {
        let label = label.0;
        put_label!(self, call =>label)
    }

    /// Calls the address that lies at the label.
    pub(crate) fn call_at(&mut self, label: Label) {
        let label = label.0;
        put_label!(self, call QWORD [=>label])
    }

    /// Loads the 8 bytes that lie at the label.
    pub(crate) fn load_at(&mut self, d: Gpr, label: Label) {
        let label = label.0;
        put_label!(self, mov Rq(d), [=>label])
    }

    pub(crate) fn lea_label(&mut self, d: Gpr, label: Label) {
        let label = label.0;
        put_label!(self, lea Rq(d), [=>label])
    }

    /// Fills up to a multiple of `to` bytes with no-operations.
    pub(crate) fn align_with_nops(&mut self, to: usize) {
        let mut left = self.offset().next_multiple_of(to) - self.offset();
        while left > 0 {
            let nop = NOPS[left.min(NOPS.len()) - 1];
            self.asm.extend(nop);
            left -= nop.len();
        }
    }

    /// Fills up to a multiple of `to` bytes with traps: nothing runs through here.
    pub(crate) fn align_with_traps(&mut self, to: usize) {
        self.asm.align(to, 0xcc);
    }

    /// Data: 8 zero bytes.
    pub(crate) fn zero_quad(&mut self) {
        self.asm.push_u64(0);
    }
}

/// The forms of one to nine bytes that both big makers of these machines recommend.
const NOPS: [&[u8]; 9] = [
    &[0x90],
    &[0x66, 0x90],
    &[0x0f, 0x1f, 0x00],
    &[0x0f, 0x1f, 0x40, 0x00],
    &[0x0f, 0x1f, 0x44, 0x00, 0x00],
    &[0x66, 0x0f, 0x1f, 0x44, 0x00, 0x00],
    &[0x0f, 0x1f, 0x80, 0x00, 0x00, 0x00, 0x00],
    &[0x0f, 0x1f, 0x84, 0x00, 0x00, 0x00, 0x00, 0x00],
    &[0x66, 0x0f, 0x1f, 0x84, 0x00, 0x00, 0x00, 0x00, 0x00],
];

/// Rewrites one instruction, as dynasm made it, in its shortest form. A memory operand is known to be ModRM, SIB and a 32-bit
/// displacement; `addr` brings the scale, which the template lacks.
fn tighten(code: &mut Vec<u8>, addr: Option<Addr>, keep_rex: bool) {
    let prefixes = code.iter().take_while(|&&b| matches!(b, 0xf0 | 0x66)).count();
    let Some(&first) = code.get(prefixes) else { return };
    if matches!(first, 0xc4 | 0xc5) {
        return; // VEX
    }
    let has_rex = first & 0xf0 == 0x40;
    tighten_immediate(code, prefixes + usize::from(has_rex));
    if let Some(addr) = addr {
        let opcode = prefixes + usize::from(has_rex);
        let escaped = code.get(opcode) == Some(&0x0f);
        tighten_address(code, opcode + 1 + usize::from(escaped), addr);
    }
    if first == 0x40 && !keep_rex {
        code.remove(prefixes);
    }
}

/// The forms with a sign-extended byte have an opcode larger by two, and otherwise the same layout.
fn tighten_immediate(code: &mut Vec<u8>, opcode: usize) {
    const WIDE: [u8; 2] = [0x81, 0x69];
    let operand_bytes = if code.first() == Some(&0x66) { 2 } else { 4 };
    let Some(start) = code.len().checked_sub(operand_bytes) else { return };
    let Some(op) = code.get_mut(opcode).filter(|op| WIDE.contains(op)) else { return };
    let byte_form = *op + 2;
    let (low, sign) = match code.get(start..) {
        Some([low, rest @ ..]) => (*low, rest.to_vec()),
        _ => return,
    };
    let fill = if low & 0x80 != 0 { 0xff } else { 0 };
    if sign.iter().all(|&b| b == fill) {
        code.truncate(start + 1);
        if let Some(op) = code.get_mut(opcode) {
            *op = byte_form;
        }
    }
}

fn tighten_address(code: &mut Vec<u8>, at: usize, addr: Addr) {
    const NO_BASE: u8 = 5;
    const SIB_FOLLOWS: u8 = 4;
    let Some(&modrm) = code.get(at) else { return };
    let base = addr.base.number() & 7;
    let (mode, disp_bytes) = match addr.disp {
        0 if base != NO_BASE => (0x00, 0),
        d if i8::try_from(d).is_ok() => (0x40, 1),
        _ => (0x80, 4),
    };
    let needs_sib = addr.index.is_some() || base == SIB_FOLLOWS;
    let mut short = Vec::with_capacity(6);
    short.push(mode | (modrm & 0x38) | if needs_sib { SIB_FOLLOWS } else { base });
    if needs_sib {
        let (index, scale) = addr.index.map_or((SIB_FOLLOWS, 0), |i| (i.reg.number() & 7, i.scale));
        short.push((scale << 6) | (index << 3) | base);
    }
    short.extend(addr.disp.to_le_bytes().into_iter().take(disp_bytes));
    code.splice(at..at + 6, short);
}
