//! What several tests need: raw BTF by hand, the recorded blobs, random numbers with a printed seed.
#![allow(dead_code, missing_docs)]

use backstop_btf::{Btf, BtfExt};

pub const ACCESS: &[u8] = include_bytes!("../data/access.btf");
pub const ACCESS_EXT: &[u8] = include_bytes!("../data/access.btf.ext");
pub const ACCESS_CODE: &[u8] = include_bytes!("../data/access.tc");
pub const SHAPES: &[u8] = include_bytes!("../data/shapes.btf");
pub const SHAPES_EXT: &[u8] = include_bytes!("../data/shapes.btf.ext");

pub fn access() -> (Btf, BtfExt) {
    let btf = Btf::parse(ACCESS).expect("access.btf");
    let ext = BtfExt::parse(ACCESS_EXT, &btf).expect("access.btf.ext");
    (btf, ext)
}

pub fn shapes() -> (Btf, BtfExt) {
    let btf = Btf::parse(SHAPES).expect("shapes.btf");
    let ext = BtfExt::parse(SHAPES_EXT, &btf).expect("shapes.btf.ext");
    (btf, ext)
}

/// A `.BTF` section from type words and string bytes.
pub fn raw(types: &[u32], strings: &[u8]) -> Vec<u8> {
    let mut out = vec![0x9f, 0xeb, 1, 0];
    let len = types.len() as u32 * 4;
    for word in [24, 0, len, len, strings.len() as u32].iter().chain(types) {
        out.extend_from_slice(&word.to_le_bytes());
    }
    out.extend_from_slice(strings);
    out
}

/// The info word of a record.
pub fn info(kind: u32, vlen: u32) -> u32 {
    kind << 24 | vlen
}

/// xorshift64*
pub struct Random(u64);

impl Random {
    /// Seeded by `BACKSTOP_SEED` or the clock; the seed is printed.
    pub fn new(what: &str) -> Random {
        let clock =
            std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("clock").as_nanos() as u64;
        let seed = std::env::var("BACKSTOP_SEED").ok().and_then(|s| s.parse().ok()).unwrap_or(clock) | 1;
        println!("{what}: BACKSTOP_SEED={seed}");
        Random(seed)
    }

    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    pub fn below(&mut self, n: usize) -> usize {
        ((self.next() >> 16) % n.max(1) as u64) as usize
    }
}
