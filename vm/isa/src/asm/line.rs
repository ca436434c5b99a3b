//! Reading a line's tokens: punctuation, numbers, and the operands that statements are made of.

use super::error::{AsmError, AsmErrorKind};
use super::lex::{Tok, Token};
use crate::insn::{Operand, Reg, Size, Width};

pub(super) type Parsed<T> = Result<T, AsmError>;

/// A name to be replaced by a distance or a number.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fix<'t> {
    pub name: &'t str,
    pub column: u32,
    /// The name must be a label.
    pub label_only: bool,
}

/// Where a jump goes.
pub(super) enum Target<'t> {
    Slots(i32),
    Label(Fix<'t>),
}

/// The tokens of a line, and how far they are read.
pub(super) struct Line<'l, 't> {
    pub tokens: &'l [Token<'t>],
    pub at: usize,
    pub number: u32,
}

/// Tokens and numbers.
impl<'t> Line<'_, 't> {
    pub(super) fn peek_at(&self, ahead: usize) -> Tok<'t> {
        self.tokens.get(self.at + ahead).map_or(Tok::End, |token| token.tok)
    }

    pub(super) fn peek(&self) -> Tok<'t> {
        self.peek_at(0)
    }

    pub(super) fn column(&self) -> u32 {
        self.tokens.get(self.at).or(self.tokens.last()).map_or(1, |token| token.column)
    }

    pub(super) fn error_at(&self, column: u32, kind: AsmErrorKind) -> AsmError {
        AsmError { line: self.number, column, kind }
    }

    pub(super) fn expected(&self, expected: &'static str) -> AsmError {
        let found = self.peek().to_string();
        self.error_at(self.column(), AsmErrorKind::Expected { expected, found })
    }

    pub(super) fn mismatch(&self, column: u32, what: &'static str) -> AsmError {
        self.error_at(column, AsmErrorKind::Mismatch(what))
    }

    pub(super) fn eat(&mut self, punct: &'static str) -> bool {
        let is = self.peek() == Tok::Punct(punct);
        self.at += usize::from(is);
        is
    }

    pub(super) fn need(&mut self, punct: &'static str) -> Parsed<()> {
        if self.eat(punct) { Ok(()) } else { Err(self.expected(punct)) }
    }

    pub(super) fn eat_word(&mut self, word: &str) -> bool {
        let is = self.peek() == Tok::Word(word);
        self.at += usize::from(is);
        is
    }

    pub(super) fn need_word(&mut self, word: &'static str) -> Parsed<()> {
        if self.eat_word(word) { Ok(()) } else { Err(self.expected(word)) }
    }

    /// A number with any signs, and whether it was hexadecimal and had none.
    pub(super) fn signed(&mut self) -> Parsed<(i128, bool)> {
        let mut sign = None;
        for (punct, factor) in [("-", -1), ("+", 1)] {
            if sign.is_none() && self.eat(punct) {
                sign = Some(factor);
            }
        }
        let Tok::Number { value, hex } = self.peek() else {
            return Err(self.expected("a number"));
        };
        self.at += 1;
        Ok((i128::from(value) * sign.unwrap_or(1), hex && sign.is_none()))
    }

    pub(super) fn ranged(&mut self, what: &'static str, min: i128, max: i128) -> Parsed<i128> {
        let column = self.column();
        let (value, _) = self.signed()?;
        self.in_range(column, what, value, min, max)
    }

    pub(super) fn in_range(&self, column: u32, what: &'static str, value: i128, min: i128, max: i128) -> Parsed<i128> {
        if (min..=max).contains(&value) {
            Ok(value)
        } else {
            Err(self.error_at(column, AsmErrorKind::Range { what, value, min, max }))
        }
    }

    pub(super) fn i16(&mut self, what: &'static str) -> Parsed<i16> {
        self.ranged(what, i16::MIN.into(), i16::MAX.into()).map(|value| value as i16)
    }

    pub(super) fn i32(&mut self, what: &'static str) -> Parsed<i32> {
        self.ranged(what, i32::MIN.into(), i32::MAX.into()).map(|value| value as i32)
    }

    /// An immediate. Where only 32 bits count, unsigned hexadecimal is a bit pattern; where 64 do, it would be
    /// sign-extended to something that the text does not say.
    pub(super) fn imm(&mut self, width: Width) -> Parsed<i32> {
        let column = self.column();
        let (value, pattern) = self.signed()?;
        let max = match width {
            Width::W32 if pattern => i128::from(u32::MAX),
            Width::W32 | Width::W64 => i128::from(i32::MAX),
        };
        let value = self.in_range(column, "the immediate", value, i32::MIN.into(), max)?;
        Ok(value as i32)
    }
}

/// Operands.
impl<'t> Line<'_, 't> {
    pub(super) fn peek_register(&self) -> Option<(Width, Reg)> {
        let Tok::Word(word) = self.peek() else {
            return None;
        };
        register(word)
    }

    pub(super) fn any_register(&mut self) -> Parsed<(Width, Reg)> {
        let found = self.peek_register();
        self.at += usize::from(found.is_some());
        found.ok_or_else(|| self.expected("a register, r0 to r10 or w0 to w10"))
    }

    pub(super) fn register(&mut self) -> Parsed<Reg> {
        match self.peek_register() {
            Some((Width::W64, reg)) => {
                self.at += 1;
                Ok(reg)
            }
            _ => Err(self.expected("a register, r0 to r10")),
        }
    }

    pub(super) fn register_of(&mut self, width: Width) -> Parsed<Reg> {
        match self.peek_register() {
            Some((found, reg)) if found == width => {
                self.at += 1;
                Ok(reg)
            }
            _ if width == Width::W32 => Err(self.expected("a register, w0 to w10")),
            _ => Err(self.expected("a register, r0 to r10")),
        }
    }

    /// A register that holds a value of this size: `r` always, `w` up to four bytes.
    pub(super) fn register_for(&mut self, size: Size) -> Parsed<Reg> {
        let column = self.column();
        let (width, reg) = self.any_register()?;
        self.fits(column, width, size)?;
        Ok(reg)
    }

    pub(super) fn fits(&self, column: u32, width: Width, size: Size) -> Parsed<()> {
        if width == Width::W32 && size == Size::B8 {
            return Err(self.mismatch(column, "8 bytes need a 64-bit register"));
        }
        Ok(())
    }

    pub(super) fn operand(&mut self, width: Width) -> Parsed<Operand> {
        match self.peek() {
            Tok::Word(_) => self.register_of(width).map(Operand::Reg),
            Tok::Number { .. } | Tok::Punct("+" | "-") => self.imm(width).map(Operand::Imm),
            Tok::Punct(_) | Tok::End => Err(self.expected("a register or number")),
        }
    }

    /// `u32 *)`: the rest of a pointer cast.
    pub(super) fn pointee(&mut self) -> Parsed<(Size, bool)> {
        let size = match self.peek() {
            Tok::Word(word) => Size::ALL.into_iter().find_map(|size| {
                let signed = word == size.signed();
                (signed || word == size.unsigned()).then_some((size, signed))
            }),
            Tok::Number { .. } | Tok::Punct(_) | Tok::End => None,
        };
        let size = size.ok_or_else(|| self.expected("a type, u8 to u64 or s8 to s32"))?;
        self.at += 1;
        self.need("*")?;
        self.need(")")?;
        Ok(size)
    }

    pub(super) fn unsigned_pointee(&mut self) -> Parsed<Size> {
        let column = self.column();
        match self.pointee()? {
            (size, false) => Ok(size),
            (_, true) => Err(self.mismatch(column, "a signed type is for loads only")),
        }
    }

    /// `r1 + 8`
    pub(super) fn place(&mut self) -> Parsed<(Reg, i16)> {
        let base = self.register()?;
        let off = match self.peek() {
            Tok::Punct("+" | "-") => self.i16("the offset")?,
            _ => 0,
        };
        Ok((base, off))
    }

    /// `(r1 + 8)`
    pub(super) fn bracketed_place(&mut self) -> Parsed<(Reg, i16)> {
        self.need("(")?;
        let place = self.place()?;
        self.need(")")?;
        Ok(place)
    }

    /// `((u32 *)(r1 + 8)` with the first bracket read: a typed place as an argument.
    pub(super) fn typed_argument(&mut self) -> Parsed<(Size, Reg, i16)> {
        self.need("(")?;
        let size = self.unsigned_pointee()?;
        let (base, off) = self.bracketed_place()?;
        Ok((size, base, off))
    }

    pub(super) fn target(&mut self, what: &'static str, min: i32, max: i32) -> Parsed<Target<'t>> {
        let column = self.column();
        if let (Tok::Word("pc"), Tok::Punct("+" | "-")) = (self.peek(), self.peek_at(1)) {
            self.at += 1;
        }
        match self.peek() {
            Tok::Word(name) => {
                self.at += 1;
                Ok(Target::Label(Fix { name, column, label_only: true }))
            }
            Tok::Punct("+" | "-") => {
                let slots = self.ranged(what, min.into(), max.into())?;
                Ok(Target::Slots(slots as i32))
            }
            _ => Err(self.expected("a label, or slots with a sign")),
        }
    }

    pub(super) fn near(&mut self) -> Parsed<Target<'t>> {
        self.target("the distance", i16::MIN.into(), i16::MAX.into())
    }

    pub(super) fn far(&mut self) -> Parsed<Target<'t>> {
        self.target("the distance", i32::MIN, i32::MAX)
    }
}

/// `r3` or `w3`
fn register(word: &str) -> Option<(Width, Reg)> {
    let (width, number) = match word.split_at_checked(1)? {
        ("r", number) => (Width::W64, number),
        ("w", number) => (Width::W32, number),
        _ => return None,
    };
    Reg::all()
        .find(|reg| match (reg.number(), number.as_bytes()) {
            (10, b"10") => true,
            (n, [digit]) => *digit == b'0' + n,
            _ => false,
        })
        .map(|reg| (width, reg))
}
