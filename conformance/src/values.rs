//! Values at which behaviour changes, and how runs put them into registers.

/// Values at which some operation changes its behaviour. Their number is a prime: see [`Inputs::Pairs`].
pub(crate) const BOUNDARY: [u64; 37] = [
    0,
    1,
    2,
    3,
    7,
    8,
    16,
    31,
    32,
    33,
    63,
    64,
    65,
    0x7f,
    0x80,
    0xff,
    0x7fff,
    0x8000,
    0xffff,
    0x7fff_ffff,
    0x8000_0000,
    0x8000_0001,
    0xffff_fffe,
    0xffff_ffff,
    0x1_0000_0000,
    0x1_8000_0000,
    0x7fff_ffff_ffff_ffff,
    0x8000_0000_0000_0000,
    0x8000_0000_0000_0001,
    0x8000_0000_ffff_ffff,
    0xffff_ffff_0000_0000,
    0xffff_ffff_7fff_ffff,
    0xffff_ffff_8000_0000,
    0xffff_ffff_ffff_fff9,
    0xffff_ffff_ffff_fffe,
    0xffff_ffff_ffff_ffff,
    0x0123_4567_89ab_cdef,
];

/// Immediates at which some operation, or some encoding of it, changes.
pub(crate) const IMMEDIATES: [i32; 36] = [
    0,
    1,
    -1,
    2,
    -2,
    3,
    -3,
    4,
    5,
    6,
    7,
    -7,
    9,
    10,
    16,
    31,
    32,
    63,
    64,
    100,
    127,
    128,
    -128,
    -129,
    255,
    256,
    641,
    0x7fff,
    0xffff,
    0x1_0000,
    1_000_000_007,
    0x4000_0000,
    i32::MAX,
    i32::MIN,
    i32::MIN + 1,
    -1000,
];

/// Words of input at the start of every memory: ten registers, then three words that go where a case's access leads.
pub(crate) const INPUT_WORDS: usize = 13;

/// A stream of numbers that is the same for the same seed on every machine (SplitMix64).
#[derive(Clone)]
pub(crate) struct Stream(u64);

impl Stream {
    pub(crate) fn new(seed: u64) -> Stream {
        Stream(seed)
    }

    /// A stream for one part of a whole, whatever others draw.
    pub(crate) fn part(seed: u64, part: &str) -> Stream {
        let mut stream = Stream(seed);
        for byte in part.bytes() {
            stream.0 ^= u64::from(byte);
            stream.next();
        }
        stream
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `end`, which is not 0.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        (self.next() % end.max(1) as u64) as usize
    }

    pub(crate) fn pick<T: Copy>(&mut self, from: &[T]) -> Option<T> {
        from.get(self.below(from.len())).copied()
    }

    /// A register's content: often a boundary.
    pub(crate) fn value(&mut self) -> u64 {
        match self.below(4) {
            0 => self.next(),
            1 => u64::from(self.next() as u32),
            _ => self.pick(&BOUNDARY).unwrap_or(0),
        }
    }

    /// An immediate: often a boundary, often small.
    pub(crate) fn immediate(&mut self) -> i32 {
        match self.below(4) {
            0 => self.next() as i32,
            1 => (self.next() % 512) as i32 - 256,
            _ => self.pick(&IMMEDIATES).unwrap_or(0),
        }
    }
}

/// What the runs of a trial put into the input words.
#[derive(Clone, Debug)]
pub(crate) enum Inputs {
    /// Each pair of different words meets each pair of boundary values exactly once: an orthogonal array of strength 2 over the field
    /// of `BOUNDARY.len()` elements. Word `w` of run (i, j) is number i + w * j.
    Pairs,
    /// Each word takes each value of the list once.
    Each(Vec<u64>),
    /// So many runs of chance.
    Random(usize, u64),
}

impl Inputs {
    /// Each word takes each boundary value once.
    pub(crate) fn each() -> Inputs {
        Inputs::Each(BOUNDARY.to_vec())
    }

    pub(crate) fn runs(&self) -> usize {
        match self {
            Inputs::Pairs => BOUNDARY.len() * BOUNDARY.len(),
            Inputs::Each(values) => values.len(),
            Inputs::Random(runs, _) => *runs,
        }
    }

    pub(crate) fn words(&self, run: usize) -> [u64; INPUT_WORDS] {
        let mut words = [0; INPUT_WORDS];
        let mut stream = match self {
            Inputs::Random(_, seed) => Stream::new(seed.wrapping_add(run as u64 * 0x51_7cc1)),
            _ => Stream::new(0),
        };
        for (n, word) in words.iter_mut().enumerate() {
            *word = match self {
                Inputs::Pairs => {
                    let prime = BOUNDARY.len();
                    BOUNDARY[(run / prime + n * (run % prime)) % prime]
                }
                Inputs::Each(values) => values.get((run + 5 * n) % values.len().max(1)).copied().unwrap_or(0),
                Inputs::Random(..) => stream.value(),
            };
        }
        words
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn every_pair_of_words_meets_every_pair_of_values() {
        let runs: Vec<_> = (0..Inputs::Pairs.runs()).map(|run| Inputs::Pairs.words(run)).collect();
        for a in 0..INPUT_WORDS {
            for b in 0..a {
                let met: HashSet<_> = runs.iter().map(|words| (words[a], words[b])).collect();
                assert_eq!(met.len(), BOUNDARY.len() * BOUNDARY.len(), "words {a} and {b}");
            }
        }
    }

    #[test]
    fn every_word_takes_every_listed_value() {
        let inputs = Inputs::Each(vec![4, 9, 16]);
        for word in 0..INPUT_WORDS {
            let met: HashSet<_> = (0..inputs.runs()).map(|run| inputs.words(run)[word]).collect();
            assert_eq!(met.len(), 3);
        }
    }
}
