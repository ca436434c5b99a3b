//! Which license strings open GPL-only helpers and kfuncs.

/// Whether Linux takes this license string as GPL-compatible (the list of `license_is_gpl_compatible`).
pub fn license_is_gpl_compatible(license: &str) -> bool {
    matches!(license, "GPL" | "GPL v2" | "GPL and additional rights" | "Dual BSD/GPL" | "Dual MIT/GPL" | "Dual MPL/GPL")
}
