//! Numbers and strings in text.

#![allow(unsafe_code)]

use super::{errno, memory};
use crate::record::RunRecord;

/// Digits that are looked at: Linux copies so many to a buffer of 64 bytes.
const DIGITS: usize = 63;

struct Parsed {
    value: u64,
    negative: bool,
    /// Bytes of the text that were used.
    used: usize,
}

fn is_space(byte: u8) -> bool {
    // What C's isspace takes, and the no-break space of the kernel's table.
    matches!(byte, b' ' | 0x09..=0x0d | 0xa0)
}

/// The base that a text has, and the bytes that say so.
fn radix(text: &[u8], base: u64) -> (u64, usize) {
    let hex = matches!(text, [b'0', b'x' | b'X', ..]);
    let base = match base {
        0 if hex && text.get(2).is_some_and(u8::is_ascii_hexdigit) => 16,
        0 if text.first() == Some(&b'0') => 8,
        0 => 10,
        given => given,
    };
    (base, if base == 16 && hex { 2 } else { 0 })
}

fn parse(text: &[u8], flags: u64) -> Result<Parsed, i64> {
    let base = flags & 0x1f;
    if flags & !0x1f != 0 || !matches!(base, 0 | 8 | 10 | 16) {
        return Err(errno::EINVAL);
    }
    let spaces = text.iter().take_while(|byte| is_space(**byte)).count();
    let rest = text.get(spaces..).unwrap_or_default();
    let negative = rest.first() == Some(&b'-');
    let rest = rest.get(usize::from(negative)..).unwrap_or_default();
    let rest = rest.get(..rest.len().min(DIGITS)).unwrap_or_default();
    let (base, prefix) = radix(rest, base);
    let mut value = 0u64;
    let mut digits = 0;
    for byte in rest.get(prefix..).unwrap_or_default() {
        let Some(digit) = (*byte as char).to_digit(base as u32) else { break };
        let next = value.checked_mul(base).and_then(|v| v.checked_add(u64::from(digit)));
        value = next.ok_or(errno::ERANGE)?;
        digits += 1;
    }
    if digits == 0 {
        return Err(errno::EINVAL);
    }
    Ok(Parsed { value, negative, used: spaces + usize::from(negative) + prefix + digits })
}

fn convert(args: [u64; 5], fit: impl FnOnce(&Parsed) -> Result<u64, i64>) -> u64 {
    let [text, len, flags, out, _] = args;
    // SAFETY: I3: the text is readable for `len` bytes.
    let parsed = unsafe { memory::with(text, len as u32 as usize, |text| parse(text, flags)) };
    let fitted = parsed.and_then(|parsed| Ok((fit(&parsed)?, parsed.used)));
    let (value, result) = fitted.map_or_else(|error| (0, error as u64), |(value, used)| (value, used as u64));
    // SAFETY: I3: the result's place is writable for 8 bytes.
    unsafe { memory::write(out, &value.to_ne_bytes()) };
    result
}

/// `bpf_strtol(text, len, flags, result)`: bytes used.
pub(super) fn strtol(_run: &mut RunRecord<'_>, args: [u64; 5]) -> u64 {
    convert(args, |parsed| {
        let limit = i64::MAX as u64 + u64::from(parsed.negative);
        let value = if parsed.negative { parsed.value.wrapping_neg() } else { parsed.value };
        (parsed.value <= limit).then_some(value).ok_or(errno::ERANGE)
    })
}

/// `bpf_strtoul(text, len, flags, result)`: bytes used.
pub(super) fn strtoul(_run: &mut RunRecord<'_>, args: [u64; 5]) -> u64 {
    convert(args, |parsed| if parsed.negative { Err(errno::EINVAL) } else { Ok(parsed.value) })
}

/// A NUL-terminated string that the verifier found in a read-only map, its NUL not included; at most `limit` bytes of it.
pub(super) fn constant_string(address: u64, limit: usize) -> Vec<u8> {
    let mut text = Vec::new();
    for at in (address..).take(limit) {
        let mut byte = [0];
        // SAFETY: I3: a constant string's bytes are readable up to its NUL, where this stops.
        unsafe { memory::read(at, &mut byte) };
        if byte == [0] {
            break;
        }
        text.push(byte[0]);
    }
    text
}

/// `bpf_strncmp(s1, len, s2)`: -1, 0 or 1.
pub(super) fn strncmp(_run: &mut RunRecord<'_>, [first, len, second, ..]: [u64; 5]) -> u64 {
    let len = len as u32 as usize;
    let second = constant_string(second, len);
    let compare = |first: &[u8]| {
        let first = first.split(|byte| *byte == 0).next().unwrap_or_default();
        first.cmp(&second) as i64 as u64
    };
    // SAFETY: I3: the first string's memory is readable for `len` bytes.
    unsafe { memory::with(first, len, compare) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(text: &str, flags: u64) -> Result<(i64, usize), i64> {
        parse(text.as_bytes(), flags).map(|p| (if p.negative { -(p.value as i64) } else { p.value as i64 }, p.used))
    }

    #[test]
    fn numbers_as_linux_reads_them() {
        assert_eq!(number(" \t-42 rest", 0), Ok((-42, 5)));
        assert_eq!(number("0x1fg", 0), Ok((0x1f, 4)));
        assert_eq!(number("0x1f", 16), Ok((0x1f, 4)));
        assert_eq!(number("1f", 16), Ok((0x1f, 2)));
        assert_eq!(number("017", 0), Ok((0o17, 3)));
        assert_eq!(number("0", 0), Ok((0, 1)));
        assert_eq!(number("0xg", 0), Ok((0, 1)));
        assert_eq!(number("18446744073709551616", 10), Err(errno::ERANGE));
        assert_eq!(number("", 0), Err(errno::EINVAL));
        assert_eq!(number("-", 0), Err(errno::EINVAL));
        assert_eq!(number("9", 8), Err(errno::EINVAL));
        assert_eq!(number("1", 2), Err(errno::EINVAL));
        assert_eq!(number("1", 0x20), Err(errno::EINVAL));
    }
}
