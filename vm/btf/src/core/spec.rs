//! The access that a relocation describes: from its string to steps through types, and to text.

use crate::btf::Btf;
use crate::ext::{CoreKind, CoreRelo};
use crate::render::short;
use crate::types::*;

/// Most steps of an access (libbpf's `BPF_CORE_SPEC_MAX_LEN`).
pub(crate) const MAX_STEPS: usize = 64;

/// Longest text that is extended further, in bytes.
const MAX_TEXT: usize = 400;

/// What is wrong with a relocation record.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum SpecProblem {
    /// The string is no list of numbers.
    #[error("the access string is no list of numbers")]
    BadString,
    /// Too many steps.
    #[error("the access has more than {MAX_STEPS} steps")]
    TooLong,
    /// Steps where the kind has none.
    #[error("the access string of a relocation of this kind must be 0")]
    NotZero,
    /// The root has no size, is no enum, or does not exist.
    #[error("type {0} can't be the root of such an access")]
    BadRoot(TypeId),
    /// A member or enumerator that does not exist.
    #[error("type {ty} has no member {index}")]
    NoMember {
        /// The type.
        ty: TypeId,
        /// Which.
        index: u32,
    },
    /// An element beyond an array's end.
    #[error("array {ty} has no element {index}")]
    NoElement {
        /// The array.
        ty: TypeId,
        /// Which.
        index: u32,
    },
    /// A step into a type that has no parts.
    #[error("type {0} has no members")]
    NoParts(TypeId),
    /// The place is beyond what numbers hold.
    #[error("the offset is out of range")]
    Overflow,
    /// A question that makes no sense for an array element.
    #[error("this question can't be asked of an array element")]
    ArrayElement,
    /// A bitfield that no load can hold.
    #[error("the bitfield does not fit any 8-byte load")]
    WideBitfield,
}

/// One step of an access as a human sees it; anonymous members are left out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Accessor {
    /// The struct, union or enum, or the element type for an array.
    pub ty: TypeId,
    /// Which member, element or enumerator.
    pub index: u32,
    /// Name of the member or enumerator; none for array elements.
    pub name: Option<Name>,
}

/// An access, spelled in the types of one BTF.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Spec {
    /// Type that it starts from.
    pub root: TypeId,
    /// What is asked of it.
    pub kind: CoreKind,
    /// Steps without those into anonymous members.
    pub accessors: Vec<Accessor>,
    /// All steps.
    pub raw: Vec<u32>,
    /// Bits from the start of the root.
    pub bit_offset: u64,
}

/// Whether a kind asks about a field.
pub(crate) const fn asks_field(kind: CoreKind) -> bool {
    matches!(
        kind,
        CoreKind::FieldByteOffset
            | CoreKind::FieldByteSize
            | CoreKind::FieldExists
            | CoreKind::FieldSigned
            | CoreKind::FieldLshiftU64
            | CoreKind::FieldRshiftU64
    )
}

/// Whether a kind asks about an enumerator.
pub(crate) const fn asks_enumerator(kind: CoreKind) -> bool {
    matches!(kind, CoreKind::EnumvalExists | CoreKind::EnumvalValue)
}

impl Spec {
    /// An access without steps yet.
    pub(crate) fn new(root: TypeId, kind: CoreKind) -> Spec {
        Spec { root, kind, accessors: Vec::new(), raw: Vec::new(), bit_offset: 0 }
    }

    /// Whether it is about a field.
    pub const fn is_field(&self) -> bool {
        asks_field(self.kind)
    }

    pub(crate) fn step(&mut self, ty: TypeId, index: u32, name: Option<Name>) {
        self.accessors.push(Accessor { ty, index, name });
    }

    /// Moves on by `index` things of the size of `ty`.
    pub(crate) fn advance(&mut self, btf: &Btf, ty: TypeId, index: u32) -> Result<(), SpecProblem> {
        let size = btf.size_of(ty).ok_or(SpecProblem::BadRoot(ty))?;
        let bits = size.checked_mul(8).and_then(|b| b.checked_mul(index.into()));
        let sum = bits.and_then(|b| b.checked_add(self.bit_offset));
        self.bit_offset = sum.filter(|&b| b / 8 <= u32::MAX.into()).ok_or(SpecProblem::Overflow)?;
        Ok(())
    }

    /// Reads the access that a relocation describes.
    pub(crate) fn parse(btf: &Btf, relo: &CoreRelo) -> Result<Spec, SpecProblem> {
        let mut spec = Spec::new(relo.ty, relo.kind);
        for part in btf.str(relo.access).split(':') {
            if spec.raw.len() == MAX_STEPS {
                return Err(SpecProblem::TooLong);
            }
            let digits = !part.is_empty() && part.bytes().all(|c| c.is_ascii_digit());
            let number = part.parse().ok().filter(|_| digits);
            spec.raw.push(number.ok_or(SpecProblem::BadString)?);
        }
        let (&first, rest) = spec.raw.split_first().ok_or(SpecProblem::BadString)?;
        let steps = rest.to_vec();
        let root = btf.resolve(relo.ty);
        if asks_field(relo.kind) {
            spec.step(root, first, None);
            spec.advance(btf, root, first)?;
            spec.walk(btf, root, &steps)?;
        } else if asks_enumerator(relo.kind) {
            if !btf.kind(root).is_any_enum() {
                return Err(SpecProblem::BadRoot(relo.ty));
            }
            let missing = SpecProblem::NoMember { ty: root, index: first };
            let value = btf.enumerators(root).get(first as usize).filter(|_| steps.is_empty()).ok_or(missing)?;
            spec.step(root, first, Some(value.name));
        } else if first != 0 || !steps.is_empty() {
            return Err(SpecProblem::NotZero);
        }
        Ok(spec)
    }

    fn walk(&mut self, btf: &Btf, root: TypeId, steps: &[u32]) -> Result<(), SpecProblem> {
        let mut at = root;
        for &index in steps {
            at = btf.resolve(at);
            match *btf.ty(at) {
                Type::Struct(_) | Type::Union(_) => {
                    let missing = SpecProblem::NoMember { ty: at, index };
                    let m = btf.members(at).get(index as usize).ok_or(missing)?;
                    self.bit_offset = self.bit_offset.saturating_add(m.bit_offset.into());
                    if !btf.str(m.name).is_empty() {
                        self.step(at, index, Some(m.name));
                    }
                    at = m.ty;
                }
                Type::Array { elem, len, .. } => {
                    if index >= len && !self.ends_in_flexible(btf, len) {
                        return Err(SpecProblem::NoElement { ty: at, index });
                    }
                    at = btf.resolve(elem);
                    self.step(at, index, None);
                    self.advance(btf, at, index)?;
                }
                _ => return Err(SpecProblem::NoParts(at)),
            }
        }
        Ok(())
    }

    /// Whether an array of `len` elements that the access reached is a flexible one: empty, and the last member of its
    /// struct.
    pub(crate) fn ends_in_flexible(&self, btf: &Btf, len: u32) -> bool {
        match self.accessors.last() {
            Some(acc) if acc.name.is_some() && len == 0 => acc.index as usize + 1 == btf.members(acc.ty).len(),
            _ => false,
        }
    }

    /// As libbpf shows it: `<byte_off> [12] struct sk_buff.len (0:0 @ offset 0)`.
    pub fn render(&self, btf: &Btf) -> String {
        let ty = btf.ty(self.root);
        let name = short(btf.str(ty.name()));
        let shown = if name.is_empty() { "<anon>".into() } else { name };
        let mut out = format!("<{}> {} {} {shown}", self.kind, self.root, ty.kind().keyword());
        if asks_enumerator(self.kind) {
            if let Some((acc, name)) = self.accessors.first().and_then(|a| Some((a, a.name?))) {
                let value = btf.enumerators(acc.ty).get(acc.index as usize).map_or(0, |e| e.value);
                out.push_str(&format!("::{} = {value}", short(btf.str(name))));
            }
            return out;
        }
        if !self.is_field() {
            return out;
        }
        for (i, acc) in self.accessors.iter().enumerate() {
            if out.len() > MAX_TEXT {
                out.push_str("...");
                break;
            }
            match acc.name {
                Some(name) => out.push_str(&format!(".{}", short(btf.str(name)))),
                None if i > 0 || acc.index > 0 => out.push_str(&format!("[{}]", acc.index)),
                None => {}
            }
        }
        let raw: Vec<String> = self.raw.iter().map(u32::to_string).collect();
        out.push_str(&format!(" ({} @ offset {}", raw.join(":"), self.bit_offset / 8));
        if !self.bit_offset.is_multiple_of(8) {
            out.push_str(&format!(".{}", self.bit_offset % 8));
        }
        out.push(')');
        out
    }
}
