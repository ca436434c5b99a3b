//! Where numbers change sign or wrap.

/// Where the views wrap or change sign.
pub const EDGES: [u64; 8] =
    [0, 1 << 31, 1 << 32, (1 << 32) | (1 << 31), 1 << 63, (1 << 63) | (1 << 31), u64::MAX << 32, u64::MAX << 31];
