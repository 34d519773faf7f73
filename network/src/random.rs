//! The harness's dice: SplitMix64, so that a seed means the same on every machine and for ever.
//!
//! Called by every module here; calls nothing. A crate's generator may change its ranges with a
//! version, and then a seed that is named in an issue would be lost.
//!
//! Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators (OOPSLA 2014), §5.

/// A stream of numbers that a seed fixes.
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    /// The stream of `seed`; another `lane` of the same seed is another stream.
    #[must_use]
    pub fn new(seed: u64, lane: u64) -> Self {
        let mut random = Self(seed ^ lane.wrapping_mul(0xD134_2543_DE82_EF95));
        random.next_u64();
        random
    }

    /// 64 even bits.
    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// 32 even bits.
    pub fn next_u32(&mut self) -> u32 {
        (self.next_u64() >> 32) as u32
    }

    /// 16 even bits.
    pub fn next_u16(&mut self) -> u16 {
        (self.next_u64() >> 48) as u16
    }

    /// 8 even bits.
    pub fn next_byte(&mut self) -> u8 {
        (self.next_u64() >> 56) as u8
    }

    /// An index into something of this length, which is not 0.
    pub fn below(&mut self, length: usize) -> usize {
        self.between(0, length as u64 - 1) as usize
    }

    /// From `low` to `high`, both included.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.next_u64() % (high - low + 1)
    }

    /// From 0 to 1, 1 not included.
    pub fn unit(&mut self) -> f64 {
        (self.next_u64() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Whether something of this probability happens.
    pub fn chance(&mut self, probability: f64) -> bool {
        self.unit() < probability
    }

    /// One of them.
    pub fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_means_the_same_for_ever() {
        let mut random = Random::new(1, 2);
        assert_eq!(random.next_u64(), 14_199_616_709_479_013_707);
        let mut random = Random::new(1, 2);
        random.next_u64();
        assert!((0..1_000).all(|_| (3..=5).contains(&random.between(3, 5))));
    }
}
