//! What RFC 9669 says of arithmetic and jumps, written from its text without regard to speed: values are mathematical integers.

use backstop_isa::{AluOp, ByteOrder, CmpOp, Size, Width};

/// Values at which behaviour changes.
pub const BOUNDARY: [u64; 24] = [
    0,
    1,
    2,
    3,
    7,
    31,
    32,
    33,
    63,
    64,
    0x7f,
    0x80,
    0xff,
    0x7fff,
    0x8000,
    0x7fff_ffff,
    0x8000_0000,
    0x8000_0001,
    0xffff_ffff,
    0x1_0000_0000,
    0x7fff_ffff_ffff_ffff,
    0x8000_0000_0000_0000,
    0xffff_ffff_8000_0000,
    0xffff_ffff_ffff_ffff,
];

/// Immediates at which behaviour changes.
pub const IMMEDIATES: [i32; 14] = [0, 1, 2, 7, 31, 32, 33, 63, 64, 0x7fff, i32::MAX, i32::MIN, -1, -2];

fn modulus(bits: u32) -> i128 {
    1 << bits
}

fn unsigned(value: u64, bits: u32) -> i128 {
    i128::from(value) % modulus(bits)
}

fn signed(value: u64, bits: u32) -> i128 {
    let value = unsigned(value, bits);
    if value >= modulus(bits) / 2 { value - modulus(bits) } else { value }
}

fn wrap(value: i128, bits: u32) -> u64 {
    value.rem_euclid(modulus(bits)) as u64
}

/// The second operand that an immediate stands for.
pub fn immediate(imm: i32) -> u64 {
    wrap(i128::from(imm), 64)
}

/// Section 4.1.
pub fn alu(op: AluOp, width: Width, a: u64, b: u64) -> u64 {
    let bits = width.bits();
    let (ua, ub) = (unsigned(a, bits), unsigned(b, bits));
    let (sa, sb) = (signed(a, bits), signed(b, bits));
    // Shift counts are masked: 0x1f or 0x3f.
    let count = ub % i128::from(bits);
    let power = 1i128 << count;
    let value = match op {
        AluOp::Add => ua + ub,
        AluOp::Sub => ua - ub,
        AluOp::Mul => return wrap_product(ua, ub, bits),
        AluOp::Div => {
            if ub == 0 {
                0
            } else {
                ua / ub
            }
        }
        // "if execution would result in ... underflow, the destination register is instead set to the most negative value".
        AluOp::Sdiv => {
            if sb == 0 {
                0
            } else {
                sa / sb
            }
        }
        AluOp::Mod => {
            if ub == 0 {
                ua
            } else {
                ua % ub
            }
        }
        AluOp::Smod => {
            if sb == 0 {
                sa
            } else {
                sa % sb
            }
        }
        AluOp::Or => ua | ub,
        AluOp::And => ua & ub,
        AluOp::Xor => ua ^ ub,
        AluOp::Lsh => return wrap_product(ua, power, bits),
        AluOp::Rsh => ua / power,
        AluOp::Arsh => sa.div_euclid(power),
    };
    wrap(value, bits)
}

/// A product of two 64-bit numbers need not fit into an `i128`: half of one at a time.
fn wrap_product(a: i128, b: i128, bits: u32) -> u64 {
    let low = a * (b % modulus(32));
    let high = (a * (b / modulus(32))).rem_euclid(modulus(bits)) * modulus(32) % modulus(bits);
    wrap(low.rem_euclid(modulus(bits)) + high, bits)
}

pub fn negated(width: Width, a: u64) -> u64 {
    wrap(-unsigned(a, width.bits()), width.bits())
}

pub fn moved(width: Width, b: u64) -> u64 {
    wrap(unsigned(b, width.bits()), width.bits())
}

pub fn sign_extended(width: Width, from: Size, b: u64) -> u64 {
    wrap(signed(b, from.bits()), width.bits())
}

/// Section 4.2, on the machine that runs the test.
pub fn byte_order(order: ByteOrder, size: Size, a: u64) -> u64 {
    let mut bytes = a.to_le_bytes()[..size.bytes() as usize].to_vec();
    let swap = match order {
        ByteOrder::Swap => true,
        ByteOrder::Be => cfg!(target_endian = "little"),
        ByteOrder::Le => cfg!(target_endian = "big"),
    };
    if swap {
        bytes.reverse();
    }
    bytes.iter().rev().fold(0, |value, byte| value * 256 + u64::from(*byte))
}

/// Section 4.3.
pub fn holds(op: CmpOp, width: Width, a: u64, b: u64) -> bool {
    let bits = width.bits();
    let (ua, ub) = (unsigned(a, bits), unsigned(b, bits));
    let (sa, sb) = (signed(a, bits), signed(b, bits));
    match op {
        CmpOp::Eq => ua == ub,
        CmpOp::Ne => ua != ub,
        CmpOp::Set => ua & ub != 0,
        CmpOp::Gt => ua > ub,
        CmpOp::Ge => ua >= ub,
        CmpOp::Lt => ua < ub,
        CmpOp::Le => ua <= ub,
        CmpOp::Sgt => sa > sb,
        CmpOp::Sge => sa >= sb,
        CmpOp::Slt => sa < sb,
        CmpOp::Sle => sa <= sb,
    }
}
