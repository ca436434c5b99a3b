//! Why text does not assemble.

/// A fault in assembler text.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("line {line}, column {column}: {kind}")]
pub struct AsmError {
    /// Line, from 1.
    pub line: u32,
    /// Column in bytes, from 1.
    pub column: u32,
    /// What is wrong.
    pub kind: AsmErrorKind,
}

/// What is wrong with the text.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum AsmErrorKind {
    /// Something else should stand here.
    #[error("expected {expected}, found {found}")]
    Expected {
        /// What should.
        expected: &'static str,
        /// What does.
        found: String,
    },
    /// A character that nothing starts with.
    #[error("unexpected character {0:?}")]
    Character(char),
    /// A number that can't be read.
    #[error("{0:?} is no number of at most 64 bits")]
    Number(String),
    /// A number outside its field.
    #[error("{what} is {value}, must be {min} to {max}")]
    Range {
        /// What the number is for.
        what: &'static str,
        /// The number.
        value: i128,
        /// Least.
        min: i128,
        /// Greatest.
        max: i128,
    },
    /// The operation and its operands do not go together.
    #[error("{0}")]
    Mismatch(&'static str),
    /// A label that stands twice.
    #[error("label {name} is already at line {first_line}")]
    DuplicateLabel {
        /// Label.
        name: String,
        /// Where it stands first.
        first_line: u32,
    },
    /// A name that nothing has.
    #[error("{name} is not the name of {expected}")]
    UnknownName {
        /// Name.
        name: String,
        /// What it could be here.
        expected: &'static str,
    },
    /// A label out of the field's reach.
    #[error("{name} is {distance} slots away, beyond the reach of this instruction; gotol reaches further")]
    TooFar {
        /// Label.
        name: String,
        /// Slots.
        distance: i64,
    },
}
