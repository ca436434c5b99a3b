//! A line of text to tokens.

use super::error::{AsmError, AsmErrorKind};

/// A piece of text.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Tok<'t> {
    /// A word: register, keyword, label.
    Word(&'t str),
    /// A number without sign.
    Number { value: u64, hex: bool },
    /// An operator or bracket.
    Punct(&'static str),
    /// The line's end.
    End,
}

impl std::fmt::Display for Tok<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Tok::Word(word) => write!(f, "`{word}`"),
            Tok::Number { value, hex: false } => write!(f, "`{value}`"),
            Tok::Number { value, hex: true } => write!(f, "`{value:#x}`"),
            Tok::Punct(punct) => write!(f, "`{punct}`"),
            Tok::End => f.write_str("the end of the line"),
        }
    }
}

/// A token and its column, in bytes from 1.
#[derive(Clone, Copy, Debug)]
pub(super) struct Token<'t> {
    pub tok: Tok<'t>,
    pub column: u32,
}

/// Longest first where one begins another. Those with a leading `s` are words to the eye and stand in `SIGNED`.
const PUNCTS: [&str; 28] = [
    ">>=", "<<=", "+=", "-=", "*=", "/=", "%=", "|=", "&=", "^=", "==", "!=", ">=", "<=", ">", "<", "=", "&", "(", ")",
    "[", "]", "*", "+", "-", ",", ":", "@",
];

/// Operators that begin with the letter `s`, for signed.
const SIGNED: [&str; 7] = ["s>>=", "s>=", "s<=", "s/=", "s%=", "s>", "s<"];

/// All tokens of a line, without its comment; the last is always [`Tok::End`].
pub(super) fn tokens(line: &str, number: u32) -> Result<Vec<Token<'_>>, AsmError> {
    let mut tokens: Vec<Token<'_>> = Vec::new();
    let mut at = 0;
    loop {
        let rest = line.get(at..).unwrap_or("");
        let rest_trimmed = rest.trim_start_matches([' ', '\t', '\r']);
        at += rest.len() - rest_trimmed.len();
        let column = u32::try_from(at).unwrap_or(u32::MAX - 1) + 1;
        let rest = rest_trimmed;
        let number_sign = rest.starts_with('#') && call_number(&tokens, column, rest);
        if rest.is_empty() || starts_comment(rest) && !number_sign {
            tokens.push(Token { tok: Tok::End, column });
            return Ok(tokens);
        }
        let error = |kind| AsmError { line: number, column, kind };
        let (tok, len) = if number_sign { (Tok::Punct("#"), 1) } else { token(rest).map_err(error)? };
        tokens.push(Token { tok, column });
        at += len;
    }
}

fn starts_comment(rest: &str) -> bool {
    rest.starts_with("//") || rest.starts_with('#') || rest.starts_with(';')
}

/// `#` starts a comment, except in `call helper#5`, where it touches the word and a number follows.
fn call_number(tokens: &[Token<'_>], column: u32, rest: &str) -> bool {
    let [.., call, name] = tokens else {
        return false;
    };
    let Tok::Word(word) = name.tok else {
        return false;
    };
    let touches = u32::try_from(word.len()).is_ok_and(|len| name.column.saturating_add(len) == column);
    let numeric = rest[1..].starts_with(|c: char| c == '-' || c.is_ascii_digit());
    call.tok == Tok::Word("call") && touches && numeric
}

/// The token that `rest` begins with, and its length in bytes.
fn token(rest: &str) -> Result<(Tok<'_>, usize), AsmErrorKind> {
    if let Some(signed) = SIGNED.iter().find(|signed| rest.starts_with(*signed)) {
        return Ok((Tok::Punct(signed), signed.len()));
    }
    let word_len = rest.find(|c: char| !is_word(c)).unwrap_or(rest.len());
    let (word, after) = rest.split_at(word_len);
    if word.starts_with(|c: char| c.is_ascii_digit()) {
        return Ok((parse_number(word)?, word_len));
    }
    if !word.is_empty() {
        return Ok((Tok::Word(word), word_len));
    }
    match PUNCTS.iter().find(|punct| after.starts_with(*punct)) {
        Some(punct) => Ok((Tok::Punct(punct), punct.len())),
        None => Err(AsmErrorKind::Character(after.chars().next().unwrap_or('\0'))),
    }
}

fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '$')
}

fn parse_number(word: &str) -> Result<Tok<'_>, AsmErrorKind> {
    let hex = word.strip_prefix("0x").or_else(|| word.strip_prefix("0X"));
    let value = match hex {
        Some(digits) => u64::from_str_radix(digits, 16),
        None => word.parse(),
    };
    match value {
        Ok(value) => Ok(Tok::Number { value, hex: hex.is_some() }),
        Err(_) => Err(AsmErrorKind::Number(word.to_owned())),
    }
}
