//! A set of program types, for tables.

use crate::ProgType;

/// A set of program types, one bit each.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct TypeSet(u64);

const fn bit(ty: ProgType) -> u64 {
    1 << ty as u64
}

impl TypeSet {
    /// All of Linux's types and Backstop's own.
    pub(crate) const ALL: TypeSet = TypeSet(u64::MAX);

    /// The set of these types.
    pub(crate) const fn of(types: &[ProgType]) -> TypeSet {
        let mut bits = 0;
        let mut i = 0;
        while i < types.len() {
            bits |= bit(types[i]);
            i += 1;
        }
        TypeSet(bits)
    }

    /// Both sets.
    pub(crate) const fn and(self, other: TypeSet) -> TypeSet {
        TypeSet(self.0 | other.0)
    }

    /// This set without another.
    pub(crate) const fn without(self, other: TypeSet) -> TypeSet {
        TypeSet(self.0 & !other.0)
    }

    /// Whether the type is in the set.
    pub(crate) const fn has(self, ty: ProgType) -> bool {
        self.0 & bit(ty) != 0
    }
}
