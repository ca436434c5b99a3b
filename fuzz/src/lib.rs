//! What the fuzz targets share.
#![forbid(unsafe_code)]

use backstop_oracles::Outcome;
use libfuzzer_sys::Corpus;

/// Inputs that are of no use are not worth keeping.
pub fn keep(outcome: Outcome) -> Corpus {
    if outcome == Outcome::Unusable { Corpus::Reject } else { Corpus::Keep }
}
