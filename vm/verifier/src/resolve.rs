//! What 64-bit immediate loads name, and maps that a program of this type may not have (Linux: `resolve_pseudo_ldimm64`).

use backstop_isa::{DecodeError, Instr, Pseudo};
use backstop_model::{MapKind, Program, SpecialField, field_refusal};

use crate::code::Code;
use crate::env::Verifier;
use crate::fields::FieldClass;
use crate::reason::{Check, Reason};
use crate::state::MapId;

/// Most maps of one program.
const MAX_MAPS: usize = 64;
/// Bytes of one page of an arena.
const ARENA_PAGE: u64 = 4096;
/// Offsets at or beyond this are refused.
pub(crate) const MAX_VAR_OFF: i64 = 1 << 29;

impl Verifier<'_> {
    /// Checks every load of an address and every opcode, in the order of the program.
    pub fn resolve_immediates(&self) -> Check {
        let mut used: Vec<u32> = Vec::new();
        for at in 0..self.code.len() {
            match self.code.get(at) {
                Some(Code::Insn(Instr::LoadPseudo { kind, imm, next_imm, .. })) => {
                    self.resolve_one(*kind, *imm, *next_imm, &mut used)?;
                }
                Some(Code::Bad(error, _)) => early_fault(error)?,
                _ => {}
            }
        }
        Ok(())
    }

    fn resolve_one(&self, kind: Pseudo, imm: i32, next_imm: i32, used: &mut Vec<u32>) -> Check {
        let index = match kind {
            Pseudo::MapIdx | Pseudo::MapValueIdx => imm,
            Pseudo::Func => return Ok(()),
            Pseudo::MapFd | Pseudo::MapValueFd => {
                return Reason::MapIndex { index: i64::from(imm) }.fail();
            }
            Pseudo::BtfId => return self.kernel_address(imm, next_imm).map(|_| ()),
        };
        let Some(index) = u32::try_from(index).ok().filter(|i| (*i as usize) < self.program.maps.len()) else {
            return Reason::MapIndex { index: i64::from(index) }.fail();
        };
        if !used.contains(&index) {
            if used.len() >= MAX_MAPS {
                return Reason::ManyMaps {}.fail();
            }
            self.check_arena(index, used)?;
            used.push(index);
            self.check_map(MapId(index))?;
        }
        if kind == Pseudo::MapValueIdx {
            self.check_direct_value(MapId(index), next_imm as u32)?;
        }
        Ok(())
    }

    fn check_direct_value(&self, map: MapId, off: u32) -> Check {
        let spec = &self.world.map(map).spec;
        if i64::from(off) >= MAX_VAR_OFF {
            return Reason::MapValueOffset { off }.fail();
        }
        if !spec.kind.info().direct_value {
            return Reason::MapNoDirect {}.fail();
        }
        let inside = match spec.kind {
            MapKind::Arena => u64::from(off) <= u64::from(spec.max_entries) * ARENA_PAGE,
            _ => spec.max_entries == 1 && off < spec.value_size,
        };
        if inside { Ok(()) } else { Reason::MapValuePointer { size: spec.value_size, off }.fail() }
    }

    /// Addresses can be cast to one arena only.
    fn check_arena(&self, index: u32, used: &[u32]) -> Check {
        let is_arena = |i: u32| self.world.map(MapId(i)).spec.kind == MapKind::Arena;
        if is_arena(index) && used.iter().any(|i| is_arena(*i)) {
            return Reason::MapProg { text: "Only one arena per program" }.fail();
        }
        Ok(())
    }

    /// Linux: `check_map_prog_compatibility`.
    fn check_map(&self, map: MapId) -> Check {
        let entry = self.world.map(map);
        let kind = &self.program.kind;
        for classes in [
            [FieldClass::ListHead, FieldClass::RbRoot],
            [FieldClass::SpinLock, FieldClass::ResSpinLock],
            [FieldClass::Timer, FieldClass::Timer],
            [FieldClass::Workqueue, FieldClass::Workqueue],
        ] {
            let present = classes.into_iter().find(|c| entry.has(*c));
            if let Some(text) = present.and_then(model_field).and_then(|f| field_refusal(f, kind)) {
                return Reason::MapProg { text }.fail();
            }
        }
        if kind.sleepable && !entry.spec.kind.sleepable() {
            return Reason::MapProg {
                text: "Sleepable programs can only use array, hash, ringbuf and local storage maps",
            }
            .fail();
        }
        Ok(())
    }
}

/// Whether some load of an address names an arena.
pub(crate) fn names_arena(program: &Program) -> bool {
    const LD_IMM64: u8 = 0x18;
    const BY_INDEX: [u8; 2] = [5, 6];
    program.slots.iter().any(|slot| {
        slot.code == LD_IMM64
            && BY_INDEX.contains(&slot.src)
            && usize::try_from(slot.imm)
                .ok()
                .and_then(|i| program.maps.get(i))
                .is_some_and(|m| m.kind == MapKind::Arena)
    })
}

/// The model's name of a field, for the rules by program type.
const fn model_field(class: FieldClass) -> Option<SpecialField> {
    match class {
        FieldClass::SpinLock | FieldClass::ResSpinLock => Some(SpecialField::SpinLock),
        FieldClass::Timer => Some(SpecialField::Timer),
        FieldClass::Workqueue => Some(SpecialField::Workqueue),
        FieldClass::ListHead | FieldClass::RbRoot => Some(SpecialField::Graph),
        _ => None,
    }
}

/// Faults that Linux finds wherever they stand, reached or not.
fn early_fault(error: &DecodeError) -> Check {
    let early = match error {
        DecodeError::UnknownOpcode { .. }
        | DecodeError::MissingSecondSlot { .. }
        | DecodeError::SecondSlot { .. }
        | DecodeError::SecondImmediate { .. } => true,
        DecodeError::SubCode { code, .. } => *code == 0x18,
        DecodeError::Reserved { code, .. } => *code == 0x18 || code & 7 == 1,
        _ => false,
    };
    if early { malformed(error).fail() } else { Ok(()) }
}

/// A decoding fault in Linux's words.
pub(crate) fn malformed(error: &DecodeError) -> Reason {
    Reason::Malformed { what: error.kernel_text().unwrap_or_else(|| error.to_string()) }
}
