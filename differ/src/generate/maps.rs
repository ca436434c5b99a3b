//! The maps that generated programs may use. A program gets those that it names.

use std::sync::Arc;

use backstop::model::{MAP_F_RDONLY_PROG, MapKind, MapSpec};

/// Which map.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum MapUse {
    Array,
    /// One element, whose address programs may name.
    Single,
    Hash,
    PercpuArray,
    PercpuHash,
    /// Slot 0 is the program itself; the others are empty.
    ProgArray,
    /// Final content, with a NUL-terminated string at 0.
    Constants,
}

/// Content of [`MapUse::Constants`].
const CONSTANTS: [u8; 24] = *b"%d of %u\n\0\x01\x02\x03\x04\x05\x06\xff\xfe\xfd\xfc\x80\x7f\0\0";

impl MapUse {
    /// Those with elements that helpers look up.
    pub(super) const ELEMENTS: [MapUse; 5] =
        [MapUse::Array, MapUse::Single, MapUse::Hash, MapUse::PercpuArray, MapUse::PercpuHash];

    pub(super) fn kind(self) -> MapKind {
        match self {
            MapUse::Array | MapUse::Single | MapUse::Constants => MapKind::Array,
            MapUse::Hash => MapKind::Hash,
            MapUse::PercpuArray => MapKind::PercpuArray,
            MapUse::PercpuHash => MapKind::PercpuHash,
            MapUse::ProgArray => MapKind::ProgArray,
        }
    }

    pub(super) fn key_size(self) -> u32 {
        if self == MapUse::PercpuHash { 8 } else { 4 }
    }

    pub(super) fn value_size(self) -> u32 {
        match self {
            MapUse::Array | MapUse::Single => 32,
            MapUse::Hash => 16,
            MapUse::PercpuArray => 24,
            MapUse::PercpuHash => 8,
            MapUse::ProgArray => 4,
            MapUse::Constants => CONSTANTS.len() as u32,
        }
    }

    /// Every map that programs may get.
    const ALL: [MapUse; 7] = [
        MapUse::Array,
        MapUse::Single,
        MapUse::Hash,
        MapUse::PercpuArray,
        MapUse::PercpuHash,
        MapUse::ProgArray,
        MapUse::Constants,
    ];

    fn name(self) -> &'static str {
        match self {
            MapUse::Array => "array",
            MapUse::Single => "single",
            MapUse::Hash => "hash",
            MapUse::PercpuArray => "percpu_array",
            MapUse::PercpuHash => "percpu_hash",
            MapUse::ProgArray => "jumps",
            MapUse::Constants => "gen.rodata",
        }
    }

    fn spec(self) -> MapSpec {
        let constant = self == MapUse::Constants;
        let entries = if constant || self == MapUse::Single { 1 } else { 3 };
        MapSpec {
            flags: if constant { MAP_F_RDONLY_PROG } else { 0 },
            initial: constant.then(|| Arc::from(CONSTANTS)),
            frozen: constant,
            ..MapSpec::new(self.name(), self.kind(), self.key_size(), self.value_size(), entries)
        }
    }
}

/// The kinds of maps that programs are generated with.
pub fn kinds() -> Vec<MapKind> {
    let mut kinds: Vec<MapKind> = Vec::new();
    for map in MapUse::ALL {
        if !kinds.contains(&map.kind()) {
            kinds.push(map.kind());
        }
    }
    kinds
}

/// The maps of one program, in the order in which it names them first.
#[derive(Debug, Default)]
pub(super) struct Maps(Vec<MapUse>);

impl Maps {
    /// Index of a map in the program.
    pub(super) fn index(&mut self, wanted: MapUse) -> i32 {
        let at = self.0.iter().position(|map| *map == wanted).unwrap_or_else(|| {
            self.0.push(wanted);
            self.0.len() - 1
        });
        at as i32
    }

    pub(super) fn specs(&self) -> Vec<Arc<MapSpec>> {
        self.0.iter().map(|map| Arc::new(map.spec())).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Kinds that the runtime has and no program is generated with, each with its reason.
    const LEFT_OUT: &[(MapKind, &str)] = &[];

    #[test]
    fn programs_use_every_kind_of_map_of_the_runtime() {
        for kind in backstop::runnable::map_kinds() {
            let left_out = LEFT_OUT.iter().any(|(left, why)| *left == kind && !why.is_empty());
            assert!(kinds().contains(&kind) != left_out, "{} is neither generated nor left out", kind.name());
        }
        assert!(kinds().iter().all(|kind| backstop::runnable::map_kinds().contains(kind)));
    }
}
