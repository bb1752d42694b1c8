//! Bytes that are nearly right: cut, doubled, swapped with those of another seed, with counts that lie.

/// A small generator of numbers (xorshift64*): the same seed gives the same numbers.
pub struct Random(u64);

impl Random {
    /// Any seed will do.
    pub fn new(seed: u64) -> Self {
        Self(seed | 1)
    }

    /// The next number.
    pub fn next_number(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// A number below `end`; 0 where there is none.
    pub fn below(&mut self, end: usize) -> usize {
        let end = u64::try_from(end).unwrap_or(u64::MAX);
        usize::try_from(self.next_number().checked_rem(end).unwrap_or(0)).unwrap_or(0)
    }
}

/// Makes something of a seed that is not quite it.
pub fn mutated(random: &mut Random, seed: &[u8], other: &[u8]) -> Vec<u8> {
    let mut bytes = seed.to_vec();
    for _ in 0..=random.below(4) {
        let at = random.below(bytes.len() + 1);
        let end = (at + random.below(12)).min(bytes.len());
        match random.below(7) {
            0 => {
                if let Some(byte) = bytes.get_mut(at) {
                    *byte ^= 1 << random.below(8);
                }
            }
            1 => bytes.truncate(at),
            2 => {
                bytes.drain(at..end);
            }
            3 => {
                let again = bytes.get(at..end).unwrap_or_default().to_vec();
                bytes.splice(at..at, again);
            }
            4 => {
                let from = random.below(other.len() + 1);
                let to = (from + random.below(24)).min(other.len());
                bytes.splice(at..end, other.get(from..to).unwrap_or_default().iter().copied());
            }
            5 => {
                // A count or a length that lies.
                const LIES: [[u8; 4]; 5] =
                    [[0xff; 4], [0x7f, 0xff, 0xff, 0xff], [0; 4], [0, 0, 0xff, 0xff], [0x80, 0, 0, 0]];
                let lie = LIES.get(random.below(LIES.len())).copied().unwrap_or_default();
                for (to, from) in bytes.iter_mut().skip(at).zip(lie) {
                    *to = from;
                }
            }
            _ => {
                let words: [&[u8]; 8] = [b"(", b")", b"'", b"\"", b"--", b"/*", b"$$", b";"];
                let word = words.get(random.below(words.len())).copied().unwrap_or_default();
                bytes.splice(at..at, word.iter().copied());
            }
        }
    }
    bytes
}
