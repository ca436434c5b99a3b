//! Writes a resolution into its instruction.

use backstop_isa::Slot;

use super::{Poison, PoisonReason, Resolution};

/// The helper number that poisoned instructions call (libbpf's; in hexadecimal 0xbad2310, "bad relo").
pub const POISON_HELPER: i32 = 195_896_080;

const CLASS: u8 = 0x07;
const CLASS_LD: u8 = 0x00;
const CLASS_LDX: u8 = 0x01;
const CLASS_ST: u8 = 0x02;
const CLASS_STX: u8 = 0x03;
const CLASS_ALU: u8 = 0x04;
const CLASS_ALU64: u8 = 0x07;
const SOURCE_REG: u8 = 0x08;
const SIZE_MASK: u8 = 0x18;
const LD_IMM64: u8 = 0x18;
const CALL: u8 = 0x85;

/// Why a resolution can't be written.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("CO-RE relocation {spec} of instruction {insn}: {problem}")]
pub struct PatchError {
    /// The relocation.
    pub spec: String,
    /// Slot of the instruction.
    pub insn: usize,
    /// What is wrong.
    pub problem: PatchProblem,
}

/// What is wrong between a resolution and its instruction.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum PatchProblem {
    /// The slot does not exist.
    #[error("there is no such instruction; rebuild the object")]
    Outside,
    /// An instruction that can't take a value.
    #[error("opcode {0:#04x} can't take a relocated value; rebuild the object with clang")]
    BadInstruction(u8),
    /// The instruction does not hold what the compiler's types say.
    #[error(
        "the instruction holds {found}, and the program's own types give {expected}; rebuild the object, its BTF and \
             code disagree"
    )]
    Mismatch {
        /// Value in the instruction.
        found: i64,
        /// Value by the program's BTF.
        expected: u64,
    },
    /// The value does not fit.
    #[error("the value {0} does not fit the instruction; access the field through a pointer to its struct")]
    TooLarge(u64),
    /// A load's size is not that of the field.
    #[error(
        "the instruction moves {found} bytes, and the field has {expected} in the program's types; rebuild the object"
    )]
    SizeMismatch {
        /// Bytes that the instruction moves.
        found: u64,
        /// Bytes of the field.
        expected: u64,
    },
    /// No load has the field's size.
    #[error("the field has {0} bytes in the target, which no load or store moves; read it with a helper")]
    BadSize(u64),
}

/// Whether a slot is one that [`patch`] poisoned.
pub fn is_poison(slot: &Slot) -> bool {
    slot.code == CALL && slot.src == 0 && slot.imm == POISON_HELPER
}

/// Writes a resolution into the instruction at slot `at`. If there is no answer, the instruction becomes a call of
/// [`POISON_HELPER`] (both slots of a 64-bit load), and the reason is returned.
///
/// # Errors
/// If the instruction can't take the value or contradicts the program's own types; nothing is changed then.
pub fn patch(slots: &mut [Slot], at: usize, res: &Resolution) -> Result<Option<Poison>, PatchError> {
    let fail = |problem| PatchError { spec: res.spec.clone(), insn: at, problem };
    let rest = slots.get_mut(at..).unwrap_or(&mut []);
    let (first, rest) = rest.split_first_mut().ok_or(fail(PatchProblem::Outside))?;
    if let Some(poison) = res.poison.clone() {
        put_poison(first, rest);
        return Ok(Some(poison));
    }
    let written = match first.code & CLASS {
        CLASS_ALU | CLASS_ALU64 => immediate(first, res),
        CLASS_LDX | CLASS_ST | CLASS_STX => {
            if res.unsafe_resize {
                let (local, target) = (res.local_size.unwrap_or(0), res.size.unwrap_or(0));
                let reason = PoisonReason::UnsafeResize { local, target };
                check(first.off.into(), res).map_err(fail)?;
                put_poison(first, rest);
                return Ok(Some(Poison { spec: res.spec.clone(), kind: res.kind, reason }));
            }
            offset(first, res)
        }
        CLASS_LD => immediate64(first, rest.first_mut(), res),
        _ => Err(PatchProblem::BadInstruction(first.code)),
    };
    written.map(|()| None).map_err(fail)
}

fn put_poison(first: &mut Slot, rest: &mut [Slot]) {
    let call = Slot { code: CALL, dst: 0, src: 0, off: 0, imm: POISON_HELPER };
    if first.code == LD_IMM64
        && let Some(second) = rest.first_mut()
    {
        *second = call;
    }
    *first = call;
}

fn check(found: i64, res: &Resolution) -> Result<(), PatchProblem> {
    if res.validate && found as u64 != res.local_value {
        return Err(PatchProblem::Mismatch { found, expected: res.local_value });
    }
    Ok(())
}

fn immediate(slot: &mut Slot, res: &Resolution) -> Result<(), PatchProblem> {
    if slot.code & SOURCE_REG != 0 {
        return Err(PatchProblem::BadInstruction(slot.code));
    }
    let signed = i32::try_from(res.value as i64).ok();
    // A 32-bit operation zero-extends its result, so all 32 bits can be a value.
    let unsigned = u32::try_from(res.value).ok().map(|v| v as i32).filter(|_| slot.code & CLASS == CLASS_ALU);
    if slot.code & CLASS == CLASS_ALU {
        let found = i64::from(slot.imm as u32);
        check(found, res).or_else(|_| check(slot.imm.into(), res))?;
    } else {
        check(slot.imm.into(), res)?;
    }
    slot.imm = signed.or(unsigned).ok_or(PatchProblem::TooLarge(res.value))?;
    Ok(())
}

fn offset(slot: &mut Slot, res: &Resolution) -> Result<(), PatchProblem> {
    check(slot.off.into(), res)?;
    let off = i16::try_from(res.value).map_err(|_| PatchProblem::TooLarge(res.value))?;
    let mut code = slot.code;
    if let (Some(local), Some(target)) = (res.local_size, res.size)
        && local != target
    {
        let found = 1u64 << [2, 1, 0, 3][usize::from(code >> 3 & 3)];
        if found != local {
            return Err(PatchProblem::SizeMismatch { found, expected: local });
        }
        let bits = match target {
            4 => 0x00,
            2 => 0x08,
            1 => 0x10,
            8 => 0x18,
            other => return Err(PatchProblem::BadSize(other)),
        };
        code = code & !SIZE_MASK | bits;
    }
    (slot.off, slot.code) = (off, code);
    Ok(())
}

fn immediate64(first: &mut Slot, second: Option<&mut Slot>, res: &Resolution) -> Result<(), PatchProblem> {
    let bad = PatchProblem::BadInstruction(first.code);
    let second = second.ok_or(bad)?;
    let plain = Slot { imm: second.imm, ..Slot::default() } == *second;
    if first.code != LD_IMM64 || first.src != 0 || first.off != 0 || !plain {
        return Err(bad);
    }
    check((u64::from(first.imm as u32) | u64::from(second.imm as u32) << 32) as i64, res)?;
    first.imm = res.value as u32 as i32;
    second.imm = (res.value >> 32) as u32 as i32;
    Ok(())
}
