//! The text of a scalar in Linux's verifier log.

use super::scalar::Scalar;
use super::tnum::Tnum;
use std::fmt;

/// A number as the log prints signed ones: decimal if it fits 16 bits, else hexadecimal of all 64.
pub struct SignedNumber(
    /// The number.
    pub i64,
);

/// A number as the log prints unsigned ones.
struct UnsignedNumber(u64);

impl fmt::Display for SignedNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if fits_decimal(self.0) { write!(f, "{}", self.0) } else { write!(f, "{:#x}", self.0) }
    }
}

impl fmt::Display for UnsignedNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 <= u16::MAX.into() { write!(f, "{}", self.0) } else { write!(f, "{:#x}", self.0) }
    }
}

fn fits_decimal(n: i64) -> bool {
    i16::try_from(n).is_ok()
}

impl fmt::Display for Tnum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "({:#x}; {:#x})", self.value, self.mask)
    }
}

/// One bound of a scalar; minima and maxima alternate in the table, so that equals are two apart.
struct Field {
    name: &'static str,
    value: u64,
    signed: bool,
    shown: bool,
}

impl Field {
    fn is_negative(&self) -> bool {
        self.signed && (self.value as i64) < 0
    }
}

/// Sign-extended if it is going to be printed as a decimal, so that it equals its 64-bit sibling; else not.
fn signed_half(n: i32) -> u64 {
    if fits_decimal(n.into()) { n as i64 as u64 } else { u64::from(n as u32) }
}

impl Scalar {
    fn fields(&self) -> [Field; 8] {
        let signed = |name, value, shown| Field { name, value, signed: true, shown };
        let unsigned = |name, value, shown| Field { name, value, signed: false, shown };
        [
            signed("smin", self.smin as u64, self.smin != i64::MIN),
            signed("smax", self.smax as u64, self.smax != i64::MAX),
            unsigned("umin", self.umin, self.umin != 0),
            unsigned("umax", self.umax, self.umax != u64::MAX),
            signed("smin32", signed_half(self.s32_min), self.s32_min != i32::MIN),
            signed("smax32", signed_half(self.s32_max), self.s32_max != i32::MAX),
            unsigned("umin32", self.u32_min.into(), self.u32_min != 0),
            unsigned("umax32", self.u32_max.into(), self.u32_max != u32::MAX),
        ]
    }

    /// Writes what is known, as it stands between the log's parentheses: `smin=..,..,var_off=(..)`. A leading comma is
    /// written if `after` says that something stands before it.
    pub fn write_bounds(&self, out: &mut dyn fmt::Write, after: bool) -> fmt::Result {
        let mut fields = self.fields();
        let mut separator = if after { "," } else { "" };
        for i in 0..fields.len() {
            let (done, later) = fields.split_at_mut(i + 1);
            let Some(first) = done.last().filter(|f| f.shown) else { continue };
            write!(out, "{separator}{}=", first.name)?;
            separator = ",";
            for same in later.iter_mut().skip(1).step_by(2) {
                let equal = same.value == first.value && same.is_negative() == first.is_negative();
                if same.shown && equal {
                    same.shown = false;
                    write!(out, "{}=", same.name)?;
                }
            }
            if first.signed {
                write!(out, "{}", SignedNumber(first.value as i64))?;
            } else {
                write!(out, "{}", UnsignedNumber(first.value))?;
            }
        }
        if !self.tnum.is_unknown() {
            write!(out, "{separator}var_off={}", self.tnum)?;
        }
        Ok(())
    }
}

impl fmt::Display for Scalar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(value) = self.is_const() {
            return write!(f, "{}", SignedNumber(value as i64));
        }
        f.write_str("scalar(")?;
        self.write_bounds(f, false)?;
        f.write_str(")")
    }
}
