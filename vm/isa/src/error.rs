//! Why slots are not an instruction, and how Linux says so.

use crate::insn::Pseudo;
use crate::table::{Field, rows_of};

/// Why slots do not decode. Slot numbers count from the start of the slice that was given.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, thiserror::Error)]
pub enum DecodeError {
    /// No instruction has this opcode byte.
    #[error("slot {at}: unknown opcode {code:#04x}")]
    UnknownOpcode {
        /// Slot.
        at: usize,
        /// Opcode byte.
        code: u8,
    },
    /// A field that has no meaning here is not 0.
    #[error("slot {at}: {field} of {} is {value}, must be 0", name(*code))]
    Reserved {
        /// Slot.
        at: usize,
        /// Opcode byte.
        code: u8,
        /// Field.
        field: Field,
        /// What it holds.
        value: i64,
    },
    /// The field that tells operations of one opcode byte apart holds none of its values.
    #[error("slot {at}: {field} of {} is {value:#x}, must be {}", name(*code), choices(*code))]
    SubCode {
        /// Slot.
        at: usize,
        /// Opcode byte.
        code: u8,
        /// Field.
        field: Field,
        /// What it holds.
        value: i64,
    },
    /// A register field names one of r11 to r15, which don't exist.
    #[error("slot {at}: {field} names r{value}, must be r0 to r10")]
    Register {
        /// Slot.
        at: usize,
        /// Field.
        field: Field,
        /// Number.
        value: u8,
    },
    /// A 64-bit immediate load is the last slot.
    #[error("slot {at}: a 64-bit immediate load needs a second slot, but the program ends here")]
    MissingSecondSlot {
        /// Slot of the load.
        at: usize,
    },
    /// In the second slot of a 64-bit immediate load something besides the immediate is not 0.
    #[error("slot {at}: {field} is {value}, must be 0 in the second slot of a 64-bit immediate load")]
    SecondSlot {
        /// The second slot.
        at: usize,
        /// Field.
        field: Field,
        /// What it holds.
        value: i64,
    },
    /// The second immediate of a load that has only one is not 0.
    #[error("slot {at}: second immediate is {value}, must be 0 for {kind:?}")]
    SecondImmediate {
        /// The second slot.
        at: usize,
        /// What the load names.
        kind: Pseudo,
        /// Immediate.
        value: i32,
    },
    /// There is no such slot.
    #[error("slot {at} does not exist: the program has {len} slots")]
    OutOfRange {
        /// Slot.
        at: usize,
        /// How many there are.
        len: usize,
    },
    /// The bytes end within a slot.
    #[error("{len} bytes are not whole instructions: the length must be a multiple of 8")]
    PartialSlot {
        /// Bytes.
        len: usize,
    },
}

impl DecodeError {
    /// The slot that is at fault, if the fault is in one.
    pub const fn at(&self) -> Option<usize> {
        match *self {
            DecodeError::UnknownOpcode { at, .. }
            | DecodeError::Reserved { at, .. }
            | DecodeError::SubCode { at, .. }
            | DecodeError::Register { at, .. }
            | DecodeError::MissingSecondSlot { at }
            | DecodeError::SecondSlot { at, .. }
            | DecodeError::SecondImmediate { at, .. }
            | DecodeError::OutOfRange { at, .. } => Some(at),
            DecodeError::PartialSlot { .. } => None,
        }
    }

    /// The last line of the log with which Linux refuses the same (probed on 6.18).
    ///
    /// `None` where Linux refuses without a text, or accepts: it passes over the offset of `exit` and the second immediate
    /// of a subprogram's address, which RFC 9669 wants to be 0.
    pub fn kernel_text(&self) -> Option<String> {
        match *self {
            DecodeError::UnknownOpcode { code, .. } => Some(unknown_text(code)),
            DecodeError::Reserved { code: 0x95, field: Field::Off, .. } => None,
            DecodeError::Reserved { code: 0xe5, field, value, .. } => {
                let imm = if field == Field::Imm { value } else { 0 };
                Some(format!("invalid may_goto imm {imm}"))
            }
            DecodeError::Reserved { code, .. } => Some(reserved_text(code).into()),
            DecodeError::SubCode { code, value, .. } => Some(sub_code_text(code, value)),
            DecodeError::Register { value, .. } => Some(format!("R{value} is invalid")),
            DecodeError::MissingSecondSlot { .. } => Some("last insn is not an exit or jmp".into()),
            DecodeError::SecondSlot { .. } => Some("invalid bpf_ld_imm64 insn".into()),
            DecodeError::SecondImmediate { kind: Pseudo::Func, .. } => None,
            DecodeError::SecondImmediate { .. } => Some("unrecognized bpf_ld_imm64 insn".into()),
            DecodeError::OutOfRange { .. } | DecodeError::PartialSlot { .. } => None,
        }
    }
}

const CLASS: u8 = 0x07;
const LDX: u8 = 0x01;
const STX: u8 = 0x03;
const MODE: u8 = 0xe0;
const ATOMIC: u8 = 0xc0;

/// Linux meets loads of an unknown mode in an earlier pass than other unknown opcodes.
fn unknown_text(code: u8) -> String {
    let known_mode = matches!(code & MODE, 0x60 | 0x80);
    if code & CLASS == LDX && !known_mode { reserved_text(code).into() } else { format!("unknown opcode {code:02x}") }
}

fn sub_code_text(code: u8, value: i64) -> String {
    let read_modify_write = rows_of(0xdb)
        .iter()
        .filter(|row| row.group == crate::table::Group::Atomic64)
        .any(|row| row.selector().is_some_and(|(_, sub)| sub == value));
    match code {
        0x18 => "unrecognized bpf_ld_imm64 insn".into(),
        _ if code & CLASS == STX && code & MODE == ATOMIC => {
            if read_modify_write {
                "invalid atomic operand size".into()
            } else {
                format!("BPF_ATOMIC uses invalid atomic opcode {:02x}", value as u32)
            }
        }
        _ => reserved_text(code).into(),
    }
}

fn reserved_text(code: u8) -> &'static str {
    match (code & CLASS, code) {
        (0, 0x18) => "BPF_LD_IMM64 uses reserved fields",
        (0, _) => "BPF_LD_[ABS|IND] uses reserved fields",
        (LDX, _) => "BPF_LDX uses reserved fields",
        (2, _) => "BPF_ST uses reserved fields",
        (STX, _) => "BPF_STX uses reserved fields",
        (5 | 6, 0x05 | 0x06) => "BPF_JA uses reserved fields",
        (5, 0x85) => "BPF_CALL uses reserved fields",
        (5, 0x95) => "BPF_EXIT uses reserved fields",
        (5 | 6, _) => "BPF_JMP/JMP32 uses reserved fields",
        (_, code) => match code & 0xf0 {
            0x80 => "BPF_NEG uses reserved fields",
            0xb0 => "BPF_MOV uses reserved fields",
            0xd0 => "BPF_END uses reserved fields",
            _ => "BPF_ALU uses reserved fields",
        },
    }
}

/// Names an opcode byte, with the operation's name if it has but one.
fn name(code: u8) -> String {
    match rows_of(code) {
        [row] => format!("opcode {code:#04x} ({})", row.name),
        _ => format!("opcode {code:#04x}"),
    }
}

/// The values of an opcode byte's sub-code, in words.
fn choices(code: u8) -> String {
    let values: Vec<String> =
        rows_of(code).iter().filter_map(|row| row.selector()).map(|(_, value)| format!("{value:#x}")).collect();
    match values.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, rest)) => format!("{} or {last}", rest.join(", ")),
        None => "0".into(),
    }
}
