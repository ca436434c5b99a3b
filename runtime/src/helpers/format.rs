//! Formats as the kernel's `bpf_bprintf_prepare` and `vsnprintf` take them.
//!
//! Both the format and the arguments are the guest's: output is bounded, and pointers are printed, never followed. So `%s` and the pointer
//! formats that read memory are refused.

use super::errno;

/// Bytes of one formatted text, its final NUL included (Linux: `MAX_BPRINTF_BUF`).
const LIMIT: usize = 1024;

/// A formatted text.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Text {
    /// What fits into the limit.
    pub(super) kept: Vec<u8>,
    /// Bytes that the whole text has.
    pub(super) len: u64,
}

impl Text {
    fn put(&mut self, byte: u8) {
        if self.kept.len() < LIMIT - 1 {
            self.kept.push(byte);
        }
        self.len += 1;
    }

    fn fill(&mut self, byte: u8, count: usize) {
        let room = (LIMIT - 1).saturating_sub(self.kept.len());
        self.kept.resize(self.kept.len() + count.min(room), byte);
        self.len += count as u64;
    }
}

/// Flags and width of one conversion.
#[derive(Default)]
struct Field {
    left: bool,
    zero: bool,
    plus: bool,
    space: bool,
    width: usize,
}

impl Field {
    /// Writes a sign (or nothing) and digits in the field's width.
    fn write(&self, text: &mut Text, sign: &str, digits: &str) {
        let pad = self.width.saturating_sub(sign.len() + digits.len());
        let zeros = self.zero && !self.left;
        if !self.left && !zeros {
            text.fill(b' ', pad);
        }
        sign.bytes().for_each(|byte| text.put(byte));
        if zeros {
            text.fill(b'0', pad);
        }
        digits.bytes().for_each(|byte| text.put(byte));
        if self.left {
            text.fill(b' ', pad);
        }
    }

    fn signed(&self, text: &mut Text, value: i64) {
        let sign = match (value < 0, self.plus, self.space) {
            (true, ..) => "-",
            (_, true, _) => "+",
            (_, _, true) => " ",
            _ => "",
        };
        self.write(text, sign, &value.unsigned_abs().to_string());
    }
}

struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn peek(&self, at: usize) -> u8 {
        self.0.get(at).copied().unwrap_or(0)
    }

    fn skip(&mut self, count: usize) {
        self.0 = self.0.get(count..).unwrap_or_default();
    }

    fn take(&mut self) -> u8 {
        let byte = self.peek(0);
        self.skip(1);
        byte
    }

    fn field(&mut self) -> Field {
        let mut field = Field::default();
        loop {
            match self.peek(0) {
                b'0' => field.zero = true,
                b'+' => field.plus = true,
                b'-' => field.left = true,
                b' ' => field.space = true,
                _ => break,
            }
            self.skip(1);
        }
        while self.peek(0).is_ascii_digit() {
            let digit = usize::from(self.take() - b'0');
            // The kernel's limit of a width.
            field.width = field.width.saturating_mul(10).saturating_add(digit).min((1 << 23) - 1);
        }
        field
    }
}

/// Whether a pointer conversion may end before this byte.
fn ends_pointer(byte: u8) -> bool {
    byte == 0 || byte.is_ascii_whitespace() || byte == 0x0b || byte.is_ascii_punctuation()
}

/// Formats; the arguments are 64-bit words, whatever the conversion.
///
/// # Errors
/// `EINVAL` as Linux: bytes that are not printable, unknown conversions, more conversions than arguments.
pub(super) fn format(format: &[u8], args: &[u64]) -> Result<Text, i64> {
    let mut text = Text::default();
    let mut args = args.iter().copied();
    let mut rest = Reader(format);
    while !rest.0.is_empty() {
        let byte = rest.take();
        if !matches!(byte, 0x20..=0x7e | 0x09..=0x0d) {
            return Err(errno::EINVAL);
        }
        if byte != b'%' {
            text.put(byte);
            continue;
        }
        if rest.peek(0) == b'%' {
            rest.skip(1);
            text.put(b'%');
            continue;
        }
        let value = args.next().ok_or(errno::EINVAL)?;
        let field = rest.field();
        convert(&mut rest, &field, value, &mut text)?;
    }
    Ok(text)
}

fn convert(rest: &mut Reader<'_>, field: &Field, value: u64, text: &mut Text) -> Result<(), i64> {
    match rest.peek(0) {
        b'p' => {
            rest.skip(1);
            match rest.peek(0) {
                b'K' | b'x' => rest.skip(1),
                next if ends_pointer(next) => {}
                _ => return Err(errno::EINVAL),
            }
            // Without a width a pointer has all its digits.
            let digits = if field.width == 0 { format!("{value:016x}") } else { format!("{value:x}") };
            field.write(text, "", &digits);
            return Ok(());
        }
        b'c' => {
            rest.skip(1);
            let pad = field.width.saturating_sub(1);
            text.fill(b' ', if field.left { 0 } else { pad });
            text.put(value as u8);
            text.fill(b' ', if field.left { pad } else { 0 });
            return Ok(());
        }
        _ => {}
    }
    let mut long = false;
    for _ in 0..2 {
        if rest.peek(0) == b'l' {
            long = true;
            rest.skip(1);
        }
    }
    let unsigned = if long { value } else { u64::from(value as u32) };
    match rest.take() {
        b'd' | b'i' => field.signed(text, if long { value as i64 } else { i64::from(value as i32) }),
        b'u' => field.write(text, "", &unsigned.to_string()),
        b'x' => field.write(text, "", &format!("{unsigned:x}")),
        b'X' => field.write(text, "", &format!("{unsigned:X}")),
        _ => return Err(errno::EINVAL),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str, args: &[u64]) -> Result<String, i64> {
        format(text.as_bytes(), args).map(|t| String::from_utf8_lossy(&t.kept).into_owned())
    }

    #[test]
    fn conversions_as_the_kernel_makes_them() {
        let ok =
            |text: &str, args: &[u64], expected: &str| assert_eq!(shown(text, args).as_deref(), Ok(expected), "{text}");
        ok("plain %%\n", &[], "plain %\n");
        ok("%d %u %x", &[u64::MAX, u64::MAX, 255], "-1 4294967295 ff");
        ok("%lld %llu %lx", &[u64::MAX, u64::MAX, u64::MAX], "-1 18446744073709551615 ffffffffffffffff");
        ok("%5d|%-5d|%05d", &[42, 42, (-42i64) as u64], "   42|42   |-0042");
        ok("%+d % d %X", &[1, 1, 0xbeef], "+1  1 BEEF");
        ok("%c%i", &[u64::from(b'x'), 7], "x7");
        ok("%p.", &[0xabc], "0000000000000abc.");
        ok("%px", &[0xabc], "0000000000000abc");
    }

    #[test]
    fn bad_formats_are_refused() {
        for (text, args) in [
            ("%d", &[][..]),
            ("%s", &[1]),
            ("%pI4", &[1]),
            ("%q", &[1]),
            ("%", &[1]),
            ("%l", &[1]),
            ("%lc", &[1]),
            ("caf\u{e9}", &[]),
            ("\u{1}", &[]),
        ] {
            assert_eq!(shown(text, args), Err(errno::EINVAL), "{text}");
        }
    }

    #[test]
    fn output_is_bounded() {
        let text = format(b"%999999999d", &[1]).expect("a width");
        assert_eq!((text.kept.len(), text.len), (1023, (1 << 23) - 1));
    }
}
