//! Sound that knows where it is: noise of which any 8 samples in a row occur once.
//!
//! A test plays a tape and asks, of what was recorded, which piece of the tape lies where
//! ([`crate::judge::pieces`]). The noise is seeded, so each track of each call has its own, and it
//! has no zero sample: a zero in a recording is silence that reeld made.

use reeld::caller::Seeded;

use crate::reference;
use crate::script::Law;

/// Random-looking choices from a seed, the same on every run.
#[derive(Debug, Clone)]
pub struct Dice(Seeded);

impl Dice {
    /// A sequence of its own for each seed.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self(Seeded::new(seed))
    }

    /// The next number.
    pub const fn roll(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// A number below `bound`, which is not 0.
    pub fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.roll() % bound as u64).unwrap_or(0)
    }

    /// So many bytes.
    pub fn bytes(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(count + 8);
        while bytes.len() < count {
            bytes.extend_from_slice(&self.roll().to_le_bytes());
        }
        bytes.truncate(count);
        bytes
    }
}

/// Seeded noise as it is sent, and as the reference decoder hears it.
#[derive(Debug, Clone)]
pub struct Tape {
    law: Law,
    codes: Vec<u8>,
}

impl Tape {
    /// So many samples of noise of this seed.
    #[must_use]
    pub fn noise(law: Law, seed: u64, samples: usize) -> Self {
        let mut dice = Dice::new(seed);
        let table = reference::table(law);
        let mut codes = Vec::with_capacity(samples);
        // Whole chunks, so that a longer tape of the same seed begins with the shorter.
        while codes.len() < samples {
            let chunk = dice.bytes(4_096);
            codes.extend(
                chunk
                    .into_iter()
                    .filter(|&code| table[usize::from(code)] != 0),
            );
        }
        codes.truncate(samples);
        Self { law, codes }
    }

    /// The tape's law.
    #[must_use]
    pub const fn law(&self) -> Law {
        self.law
    }

    /// The G.711 codes to send.
    #[must_use]
    pub fn codes(&self) -> &[u8] {
        &self.codes
    }

    /// What the reference decoder makes of them.
    #[must_use]
    pub fn samples(&self) -> Vec<i16> {
        let table = reference::table(self.law);
        self.codes
            .iter()
            .map(|&code| table[usize::from(code)])
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tapes_are_their_own_and_never_silent() {
        let one = Tape::noise(Law::Mu, 1, 8_000);
        assert_eq!(one.codes(), Tape::noise(Law::Mu, 1, 8_000).codes());
        assert_ne!(one.codes(), Tape::noise(Law::Mu, 2, 8_000).codes());
        assert_eq!(one.codes().len(), 8_000);
        assert_eq!(
            one.codes()[..5_000],
            *Tape::noise(Law::Mu, 1, 5_000).codes()
        );
        assert!(one.samples().iter().all(|&sample| sample != 0));
    }
}
