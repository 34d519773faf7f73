//! Comfort noise: what stands where the sender said that it was quiet, and how quiet.
//!
//! Called by `capture` for gaps that a comfort-noise packet (payload type 13) has announced. It
//! calls nothing. Where a gap begins and ends does not belong here.
//!
//! White noise from a small generator with a fixed seed, so that the same packets give the same
//! file; shaped by an all-pole lattice where the packet has reflection coefficients. Its excitation
//! is lowered by what the poles add, so that the level is the packet's with any spectrum.
//!
//! RFC 3389 §3.1 (level), §3.2 (spectrum).

use serde::{Deserialize, Serialize};
use serde_big_array::BigArray;

/// Reflection coefficients used at most; RFC 3389 leaves their number open, and 10 to 12 are usual.
const MOST_POLES: usize = 32;

/// Reflection coefficients are no nearer to ±1 than this: nearer ones ring for longer than a gap.
const MOST_REFLECTION: f64 = 0.97;

/// 0 dBov: a square wave at full scale (RFC 3389 §3.1, as in [`crate::level`]).
const FULL_SCALE: f64 = 32_768.0;

/// The noise of one stream.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Noise {
    /// The deviation of the excitation.
    excitation: f64,
    reflections: [f64; MOST_POLES],
    poles: usize,
    /// The lattice's backward errors of the last sample.
    #[serde(with = "BigArray")]
    lattice: [f64; MOST_POLES + 1],
    state: u64,
}

impl Noise {
    /// The noise that a packet's `payload` describes; `None` for an empty one.
    #[must_use]
    pub fn new(payload: &[u8]) -> Option<Self> {
        let mut noise = Self {
            excitation: 0.0,
            reflections: [0.0; MOST_POLES],
            poles: 0,
            lattice: [0.0; MOST_POLES + 1],
            state: 0x9e37_79b9_7f4a_7c15,
        };
        noise.update(payload).then_some(noise)
    }

    /// Goes on as the next packet's `payload` says; false, and as before, for an empty one.
    pub fn update(&mut self, payload: &[u8]) -> bool {
        let Some((&level, spectrum)) = payload.split_first() else {
            return false;
        };
        self.poles = spectrum.len().min(MOST_POLES);
        let mut gain = 1.0;
        for (reflection, &quantized) in self.reflections.iter_mut().zip(spectrum) {
            let value = 258.0 * (f64::from(quantized) - 127.0) / FULL_SCALE;
            *reflection = value.clamp(-MOST_REFLECTION, MOST_REFLECTION);
            gain *= 1.0 - *reflection * *reflection;
        }
        self.lattice[self.poles + 1..].fill(0.0);
        // The first bit is reserved.
        let level = FULL_SCALE * 10.0_f64.powf(-f64::from(level & 0x7f) / 20.0);
        self.excitation = level * gain.sqrt();
        true
    }

    /// Fills `out` with the next samples.
    pub fn fill(&mut self, out: &mut [i16]) {
        for sample in out {
            let mut forward = self.white() * self.excitation;
            for pole in (0..self.poles).rev() {
                forward -= self.reflections[pole] * self.lattice[pole];
                self.lattice[pole + 1] = self.lattice[pole] + self.reflections[pole] * forward;
            }
            self.lattice[0] = forward;
            #[expect(clippy::cast_possible_truncation, reason = "it saturates, as is meant")]
            let rounded = forward.round() as i16;
            *sample = rounded;
        }
    }

    /// The next of even numbers with deviation 1 (SplitMix64).
    fn white(&mut self) -> f64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        let unit = (mixed >> 11) as f64 / (1u64 << 53) as f64;
        (2.0 * unit - 1.0) * 3.0_f64.sqrt()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::level::Level;
    use proptest::prelude::*;

    fn second(payload: &[u8]) -> Vec<i16> {
        let mut samples = vec![0; 8_000];
        Noise::new(payload).unwrap().fill(&mut samples);
        samples
    }

    #[test]
    fn it_is_as_loud_as_was_said() {
        // Reflections of a spectrum that falls with the frequency, as rooms have.
        let falling = [40u8, 160, 110, 140, 120, 130];
        for level in [20, 30, 45, 60, 70, 80] {
            for spectrum in [&[][..], &falling[..], &[250], &[5, 200]] {
                let payload = [&[level], spectrum].concat();
                let dbov = Level::of(&second(&payload)).dbov();
                assert!((dbov + f64::from(level)).abs() < 1.0, "{payload:?}: {dbov}");
            }
        }
        assert!(second(&[127]).iter().all(|sample| *sample == 0));
        assert_eq!(second(&[0x80 | 45]), second(&[45]));
    }

    #[test]
    fn its_spectrum_is_as_was_said() {
        // One pole: the next sample is −k times this one, beside the excitation.
        for quantized in [64, 190] {
            let k = 258.0 * (f64::from(quantized) - 127.0) / 32_768.0;
            let samples = second(&[30, quantized]);
            let (mut product, mut square) = (0.0, 0.0);
            for pair in samples.windows(2) {
                product += f64::from(pair[0]) * f64::from(pair[1]);
                square += f64::from(pair[0]).powi(2);
            }
            assert!((product / square + k).abs() < 0.05, "{}", product / square);
        }
    }

    #[test]
    fn an_empty_packet_says_nothing() {
        assert!(Noise::new(&[]).is_none());
        let mut noise = Noise::new(&[40]).unwrap();
        assert!(!noise.update(&[]));
        assert!(noise.update(&[50, 100]));
    }

    proptest! {
        #[test]
        fn no_payload_rings_for_ever(payload in proptest::collection::vec(any::<u8>(), 1..60)) {
            let samples = second(&payload);
            let quiet = f64::from(payload[0] & 0x7f) >= 20.0;
            let dbov = Level::of(&samples).dbov();
            prop_assert!(!quiet || dbov < -f64::from(payload[0] & 0x7f) + 6.0, "{dbov}");
        }
    }
}
