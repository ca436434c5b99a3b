//! What programs may call and use and be run: the verifier judges more than this runtime has an implementation of.
//!
//! Tests and generators ask here, so that what is added to the runtime can't be forgotten by them.

use backstop_model::{BuiltinKfunc, MapKind};

/// `bpf_tail_call`: no helper of the table, since engines do it themselves.
const TAIL_CALL: u32 = 12;

/// Helpers, by Linux's numbers, ascending.
pub fn helpers() -> Vec<u32> {
    let mut all: Vec<u32> = crate::helpers::numbers().chain([TAIL_CALL]).collect();
    all.sort_unstable();
    all
}

/// Linux's kfuncs.
pub fn kfuncs() -> Vec<BuiltinKfunc> {
    // Engines throw themselves.
    std::iter::once(BuiltinKfunc::Throw).chain(crate::kfuncs::all()).collect()
}

/// Kinds of maps, by Linux's numbers.
pub fn map_kinds() -> Vec<MapKind> {
    MapKind::ALL.into_iter().filter(|kind| crate::maps::is_stored(*kind)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lists_are_those_of_the_tables() {
        let helpers = helpers();
        assert!(helpers.is_sorted_by(|a, b| a < b), "{helpers:?}");
        assert!([1, 12, 181].iter().all(|id| helpers.contains(id)));
        assert!(kfuncs().contains(&BuiltinKfunc::Throw) && kfuncs().contains(&BuiltinKfunc::IterNumNew));
        assert!(map_kinds().contains(&MapKind::Array) && map_kinds().contains(&MapKind::ProgArray));
        assert!(!map_kinds().contains(&MapKind::StructOps));
    }
}
