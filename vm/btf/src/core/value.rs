//! The answer that an access gives in the types that it is spelled in.

use super::spec::{Spec, SpecProblem};
use crate::btf::Btf;
use crate::ext::CoreKind;
use crate::types::*;

/// The answer to one access.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Answer {
    pub value: u64,
    /// Whether the compiler's answer is certain to be the same, so that the instruction can be checked against it.
    pub validate: bool,
    /// Bytes of the field, if a load's size may have to follow it.
    pub size: Option<u64>,
    /// Type of that field.
    pub field: TypeId,
}

impl Answer {
    fn plain(value: u64) -> Answer {
        Answer { value, validate: true, size: None, field: TypeId::VOID }
    }
}

/// Answers for an access that exists in `btf`.
pub(crate) fn answer(btf: &Btf, spec: &Spec) -> Result<Answer, SpecProblem> {
    match spec.kind {
        // Ids may change when objects are linked, so the instruction's own is no witness.
        CoreKind::TypeIdLocal | CoreKind::TypeIdTarget => {
            Ok(Answer { validate: false, ..Answer::plain(spec.root.0.into()) })
        }
        CoreKind::TypeExists | CoreKind::TypeMatches | CoreKind::EnumvalExists | CoreKind::FieldExists => {
            Ok(Answer::plain(1))
        }
        CoreKind::TypeSize => btf.size_of(spec.root).map(Answer::plain).ok_or(SpecProblem::BadRoot(spec.root)),
        CoreKind::EnumvalValue => {
            let acc = spec.accessors.first().ok_or(SpecProblem::BadRoot(spec.root))?;
            let missing = SpecProblem::NoMember { ty: acc.ty, index: acc.index };
            btf.enumerators(acc.ty).get(acc.index as usize).map(|e| Answer::plain(e.value as u64)).ok_or(missing)
        }
        CoreKind::FieldByteOffset
        | CoreKind::FieldByteSize
        | CoreKind::FieldSigned
        | CoreKind::FieldLshiftU64
        | CoreKind::FieldRshiftU64 => field(btf, spec),
    }
}

fn field(btf: &Btf, spec: &Spec) -> Result<Answer, SpecProblem> {
    let acc = spec.accessors.last().ok_or(SpecProblem::BadRoot(spec.root))?;
    if acc.name.is_none() {
        return element(btf, spec, acc.ty);
    }
    let missing = SpecProblem::NoMember { ty: acc.ty, index: acc.index };
    let member = btf.members(acc.ty).get(acc.index as usize).ok_or(missing)?;
    let size = btf.size_of(member.ty).ok_or(SpecProblem::BadRoot(member.ty))?;
    let place = if member.is_bitfield() {
        Place::of_bitfield(spec.bit_offset, member.bit_size.into(), size)?
    } else {
        Place { byte: spec.bit_offset / 8, bytes: size, bit: spec.bit_offset, bits: size.saturating_mul(8) }
    };
    // How a bitfield is loaded is the compiler's choice; the offset and size here are one choice of many.
    let validate = !member.is_bitfield();
    let answer = |value| Answer { validate, ..Answer::plain(value) };
    let sure = Answer::plain;
    Ok(match spec.kind {
        CoreKind::FieldByteOffset if member.is_bitfield() => answer(place.byte),
        CoreKind::FieldByteOffset => {
            // An access to an array as a whole is one to its elements.
            let (mut ty, mut size) = (member.ty, size);
            while let Type::Array { elem, .. } = *btf.resolved(ty) {
                (ty, size) = (elem, btf.size_of(elem).unwrap_or(size));
            }
            Answer { size: Some(size), field: ty, ..answer(place.byte) }
        }
        CoreKind::FieldByteSize => answer(place.bytes),
        CoreKind::FieldSigned => sure(u64::from(match btf.resolved(member.ty) {
            Type::Int(i) => i.is_signed(),
            Type::Enum(e) | Type::Enum64(e) => e.signed,
            _ => false,
        })),
        CoreKind::FieldLshiftU64 => {
            let end = place.bit.saturating_add(place.bits).saturating_sub(place.byte.saturating_mul(8));
            answer(64u64.checked_sub(end).ok_or(SpecProblem::WideBitfield)?)
        }
        CoreKind::FieldRshiftU64 => sure(64u64.checked_sub(place.bits).ok_or(SpecProblem::WideBitfield)?),
        _ => sure(1),
    })
}

fn element(btf: &Btf, spec: &Spec, ty: TypeId) -> Result<Answer, SpecProblem> {
    let size = btf.size_of(ty).ok_or(SpecProblem::BadRoot(ty))?;
    match spec.kind {
        CoreKind::FieldByteOffset => Ok(Answer { size: Some(size), field: ty, ..Answer::plain(spec.bit_offset / 8) }),
        CoreKind::FieldByteSize => Ok(Answer::plain(size)),
        _ => Err(SpecProblem::ArrayElement),
    }
}

/// Where a field lies and which bytes must be loaded to have all of it.
struct Place {
    byte: u64,
    bytes: u64,
    bit: u64,
    bits: u64,
}

impl Place {
    /// Loads are aligned to their size: the smallest one, from the declared type's size on, that holds all bits.
    fn of_bitfield(bit: u64, bits: u64, declared: u64) -> Result<Place, SpecProblem> {
        let mut bytes = declared.max(1);
        loop {
            let byte = bit / 8 / bytes * bytes;
            if bit + bits - byte * 8 <= bytes * 8 {
                return Ok(Place { byte, bytes, bit, bits });
            }
            if bytes >= 8 {
                return Err(SpecProblem::WideBitfield);
            }
            bytes *= 2;
        }
    }
}
