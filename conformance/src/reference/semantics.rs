//! What RFC 9669 says of single operations, from its text alone: values are mathematical integers, speed does not matter.
//!
//! Nothing here knows the engines, the verifier or the ISA table. The rules are a trait so that a test can break one of them on purpose
//! and see that the exerciser tells.

/// Two-operand arithmetic (section 4.1).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub enum Arithmetic {
    Add,
    Sub,
    Mul,
    Div,
    Sdiv,
    Mod,
    Smod,
    Or,
    And,
    Xor,
    Lsh,
    Rsh,
    Arsh,
}

/// Conditions of branches (section 4.3).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub enum Condition {
    Eq,
    Ne,
    Set,
    Gt,
    Ge,
    Lt,
    Le,
    Sgt,
    Sge,
    Slt,
    Sle,
}

/// Byte order conversions (section 4.2).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub enum Order {
    ToLittle,
    ToBig,
    Swap,
}

/// Read-modify-write operations (section 5.3).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub enum Modify {
    Add,
    Or,
    And,
    Xor,
    Xchg,
    Cmpxchg,
}

fn modulus(bits: u32) -> i128 {
    1 << bits
}

fn unsigned(value: u64, bits: u32) -> i128 {
    i128::from(value) & (modulus(bits) - 1)
}

fn signed(value: u64, bits: u32) -> i128 {
    let value = unsigned(value, bits);
    if value >= modulus(bits) / 2 { value - modulus(bits) } else { value }
}

/// The register that holds a number of `bits` bits: the rest is zero.
fn register(value: i128, bits: u32) -> u64 {
    (value & (modulus(bits) - 1)) as u64
}

/// The rules. `bits` is 32 or 64 for arithmetic and branches, 8 to 64 for memory; the defaults are RFC 9669.
pub trait Semantics: Sync {
    /// The 64-bit operand that a 32-bit immediate stands for: "sign-extended" (section 4.1); 32-bit operations see its low half.
    fn immediate(&self, imm: i32) -> u64 {
        register(i128::from(imm), 64)
    }

    /// Section 4.1. Shift counts are masked to the width; a zero divisor gives 0, a zero modulus leaves the destination; the most
    /// negative number divided by -1 is itself, with remainder 0.
    fn arithmetic(&self, op: Arithmetic, bits: u32, dst: u64, src: u64) -> u64 {
        let (ud, us) = (unsigned(dst, bits), unsigned(src, bits));
        let (sd, ss) = (signed(dst, bits), signed(src, bits));
        let count = us & i128::from(bits - 1);
        let value = match op {
            Arithmetic::Add => ud + us,
            Arithmetic::Sub => ud - us,
            // Up to 128 bits of product: what wraps away is beyond the width.
            Arithmetic::Mul => ud.wrapping_mul(us),
            Arithmetic::Div if us == 0 => 0,
            Arithmetic::Div => ud / us,
            Arithmetic::Sdiv if ss == 0 => 0,
            Arithmetic::Sdiv => sd / ss,
            Arithmetic::Mod if us == 0 => ud,
            Arithmetic::Mod => ud % us,
            Arithmetic::Smod if ss == 0 => sd,
            Arithmetic::Smod => sd % ss,
            Arithmetic::Or => ud | us,
            Arithmetic::And => ud & us,
            Arithmetic::Xor => ud ^ us,
            Arithmetic::Lsh => ud << count,
            Arithmetic::Rsh => ud >> count,
            Arithmetic::Arsh => sd >> count,
        };
        register(value, bits)
    }

    /// Section 4.1, `NEG`.
    fn negate(&self, bits: u32, value: u64) -> u64 {
        register(-unsigned(value, bits), bits)
    }

    /// Section 4.1, `MOV`: 32-bit moves zero the upper half.
    fn mov(&self, bits: u32, value: u64) -> u64 {
        register(unsigned(value, bits), bits)
    }

    /// Section 4.1, `MOVSX`: the low `from` bits of the source, sign-extended to `bits`; the rest is zero.
    fn sign_extend(&self, bits: u32, from: u32, value: u64) -> u64 {
        register(signed(value, from), bits)
    }

    /// Section 4.2, for a little-endian program: the low `size` bits, in that order; the rest is zero.
    fn byte_order(&self, order: Order, size: u32, value: u64) -> u64 {
        let little = unsigned(value, size) as u64;
        match order {
            Order::ToLittle => little,
            Order::ToBig | Order::Swap => {
                (0..size / 8).fold(0, |all, byte| all | (little >> (8 * byte) & 0xff) << (size - 8 - 8 * byte))
            }
        }
    }

    /// Section 4.3.
    fn holds(&self, condition: Condition, bits: u32, dst: u64, src: u64) -> bool {
        let (ud, us) = (unsigned(dst, bits), unsigned(src, bits));
        let (sd, ss) = (signed(dst, bits), signed(src, bits));
        match condition {
            Condition::Eq => ud == us,
            Condition::Ne => ud != us,
            Condition::Set => ud & us != 0,
            Condition::Gt => ud > us,
            Condition::Ge => ud >= us,
            Condition::Lt => ud < us,
            Condition::Le => ud <= us,
            Condition::Sgt => sd > ss,
            Condition::Sge => sd >= ss,
            Condition::Slt => sd < ss,
            Condition::Sle => sd <= ss,
        }
    }

    /// Sections 5.1 and 5.2: what a load of `size` bits leaves in the register.
    fn load(&self, size: u32, sign: bool, value: u64) -> u64 {
        register(if sign { signed(value, size) } else { unsigned(value, size) }, 64)
    }

    /// Section 5.3: what is left in memory. `accumulator` is r0, which compare-and-exchange compares with.
    fn modify(&self, op: Modify, size: u32, memory: u64, operand: u64, accumulator: u64) -> u64 {
        let (old, operand) = (unsigned(memory, size), unsigned(operand, size));
        let value = match op {
            Modify::Add => old + operand,
            Modify::Or => old | operand,
            Modify::And => old & operand,
            Modify::Xor => old ^ operand,
            Modify::Xchg => operand,
            Modify::Cmpxchg if old == unsigned(accumulator, size) => operand,
            Modify::Cmpxchg => old,
        };
        register(value, size)
    }

    /// Section 5.3: what a fetching operation leaves in its register: the value before, "zero-extended".
    fn fetched(&self, size: u32, memory: u64) -> u64 {
        register(unsigned(memory, size), 64)
    }
}

/// RFC 9669, unchanged.
#[derive(Clone, Copy, Debug, Default)]
pub struct Rfc9669;

impl Semantics for Rfc9669 {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn division_corners_are_those_of_the_text() {
        let min = i64::MIN as u64;
        let minus_one = u64::MAX;
        let a = |op, bits, dst, src| Rfc9669.arithmetic(op, bits, dst, src);
        assert_eq!(a(Arithmetic::Div, 64, 7, 0), 0);
        assert_eq!(a(Arithmetic::Mod, 64, 7, 0), 7);
        assert_eq!(a(Arithmetic::Mod, 32, 0xffff_ffff_0000_0007, 0xffff_ffff_0000_0000), 7);
        assert_eq!(a(Arithmetic::Smod, 32, minus_one, 0), 0xffff_ffff);
        assert_eq!(a(Arithmetic::Sdiv, 64, min, minus_one), min);
        assert_eq!(a(Arithmetic::Smod, 64, min, minus_one), 0);
        assert_eq!(a(Arithmetic::Sdiv, 32, 0x8000_0000, minus_one), 0x8000_0000);
        assert_eq!(a(Arithmetic::Smod, 64, -13_i64 as u64, 3), minus_one);
        assert_eq!(a(Arithmetic::Sdiv, 64, -13_i64 as u64, 3), -4_i64 as u64);
        assert_eq!(a(Arithmetic::Mul, 64, minus_one, minus_one), 1);
    }

    #[test]
    fn shifts_and_extensions_are_those_of_the_text() {
        assert_eq!(Rfc9669.arithmetic(Arithmetic::Lsh, 64, 1, 127), 1 << 63);
        assert_eq!(Rfc9669.arithmetic(Arithmetic::Lsh, 32, 3, 63), 0x8000_0000);
        assert_eq!(Rfc9669.arithmetic(Arithmetic::Arsh, 32, 0x8000_0000, 31), 0xffff_ffff);
        assert_eq!(Rfc9669.arithmetic(Arithmetic::Arsh, 64, 1 << 63, 64), 1 << 63);
        assert_eq!(Rfc9669.sign_extend(32, 8, 0x1_80), 0xffff_ff80);
        assert_eq!(Rfc9669.sign_extend(64, 32, 0x8000_0000), 0xffff_ffff_8000_0000);
        assert_eq!(Rfc9669.byte_order(Order::ToBig, 16, 0x11_2233), 0x3322);
        assert_eq!(Rfc9669.byte_order(Order::Swap, 64, 0x0102_0304_0506_0708), 0x0807_0605_0403_0201);
        assert_eq!(Rfc9669.byte_order(Order::ToLittle, 16, 0x11_2233), 0x2233);
        assert_eq!(Rfc9669.immediate(-1), u64::MAX);
        assert_eq!(Rfc9669.negate(32, 1), 0xffff_ffff);
    }

    #[test]
    fn branches_and_memory_are_those_of_the_text() {
        assert!(Rfc9669.holds(Condition::Sgt, 32, 0x1_0000_0000, 0xffff_ffff));
        assert!(!Rfc9669.holds(Condition::Gt, 32, 0x1_0000_0000, 0xffff_ffff));
        assert!(Rfc9669.holds(Condition::Set, 64, 6, 3));
        assert_eq!(Rfc9669.load(8, true, 0xf80), u64::MAX - 0x7f);
        assert_eq!(Rfc9669.modify(Modify::Cmpxchg, 32, 0x5_0000_0001, 9, 0x7_0000_0001), 9);
        assert_eq!(Rfc9669.modify(Modify::Cmpxchg, 64, 0x5_0000_0001, 9, 0x7_0000_0001), 0x5_0000_0001);
        assert_eq!(Rfc9669.modify(Modify::Add, 32, 0xffff_ffff, 1, 0), 0);
        assert_eq!(Rfc9669.fetched(32, 0xffff_ffff_ffff_ffff), 0xffff_ffff);
    }
}
