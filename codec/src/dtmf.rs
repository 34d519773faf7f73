//! DTMF: the keys in sound, found and made.
//!
//! Called by `capture`: [`Detector`] for keys of senders that have no telephone-event, [`tone`] for
//! events that are to be heard in the file. It calls nothing. What a key does is not decided here.
//!
//! The detector measures eight frequencies by Goertzel's algorithm over 12.75 ms, every 6.4 ms. A
//! block has a key where two frequencies, one of each group, hold nearly all of its energy, which
//! voices do not do for long; four such blocks are a key that is pressed, five without are its end.
//! So a tone of 40 ms is always found and one of 23 ms never, a pause of 40 ms parts two keys and a
//! break of 10 ms does not (ITU-T Q.24 annex A). Nothing is allocated after creation.
//!
//! ITU-T Q.23 (frequencies), Q.24 (reception); RFC 4733 §2.3.3 (volume).

use std::f64::consts::TAU;

use serde::{Deserialize, Serialize};

#[cfg(test)]
mod tests;

/// The low and the high group, in Hz (Q.23).
const LOW_HZ: [f64; 4] = [697.0, 770.0, 852.0, 941.0];
const HIGH_HZ: [f64; 4] = [1_209.0, 1_336.0, 1_477.0, 1_633.0];

/// The keys, by low and high frequency.
const KEYS: [[char; 4]; 4] = [
    ['1', '2', '3', 'A'],
    ['4', '5', '6', 'B'],
    ['7', '8', '9', 'C'],
    ['*', '0', '#', 'D'],
];

/// A block at 8 kHz in samples, and the part of it after which the next begins.
const BLOCK: u32 = 102;
const STEPS: usize = 2;

/// Blocks with a key, one after the other, that are a key.
const PRESSED: u32 = 4;

/// Blocks without it that are its end.
const RELEASED: u32 = 5;

/// What of a block's energy the two frequencies must hold. At 1.5 % off their frequencies, where
/// Q.24 wants them found, they hold 0.8; at 3.5 %, where it does not, half.
const PURE: f64 = 0.7;

/// How much stronger the strongest of a group must be than the others of it: 6 dB.
const CLEAR: f64 = 4.0;

/// How much stronger the high frequency may be than the low one, and the reverse: 4 dB and 8 dB
/// (Q.24 table A-1), and 1 dB for what the block's length costs.
const MOST_TWIST: f64 = 3.2;
const MOST_REVERSE_TWIST: f64 = 8.0;

/// The mean square of a sine at 0 dBm0: a full-scale one is at +3.17 dBm0 (G.711's µ-law).
const ZERO_DBM0: f64 = 32_768.0 * 32_768.0 / 2.0 * 0.481_948;

/// A block below −36 dBm0 has no key: Q.24 wants −25 to −29 found.
const LEAST: f64 = ZERO_DBM0 * 0.000_251;

/// Finds the keys in one stream.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Detector {
    /// Twice the cosine of each frequency's step.
    turns: [f64; 8],
    block: usize,
    /// Samples of the block that ends next are counted from here.
    blocks: [Goertzel; STEPS],
    /// The key of the last blocks, and how many they were.
    seen: Option<char>,
    times: u32,
    /// The key that is pressed, and the blocks without it.
    pressed: Option<char>,
    missed: u32,
}

/// One block in the making.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
struct Goertzel {
    /// The last two states of each frequency.
    states: [[f64; 2]; 8],
    energy: f64,
    /// Samples taken; below 0, samples until it begins.
    taken: isize,
}

impl Detector {
    /// A detector for sound of `rate_hz`.
    #[must_use]
    pub fn new(rate_hz: u32) -> Self {
        let block = (BLOCK * (rate_hz / 1_000).max(1) / 8) as usize;
        let mut turns = [0.0; 8];
        for (turn, hz) in turns.iter_mut().zip(LOW_HZ.iter().chain(&HIGH_HZ)) {
            *turn = 2.0 * (TAU * hz / f64::from(rate_hz.max(1))).cos();
        }
        let mut blocks = [Goertzel::default(); STEPS];
        for (number, state) in blocks.iter_mut().enumerate() {
            state.taken = -isize::try_from(number * block / STEPS).unwrap_or_default();
        }
        Self {
            turns,
            block,
            blocks,
            seen: None,
            times: 0,
            pressed: None,
            missed: 0,
        }
    }

    /// Takes `samples`, in the order of time; silence stands for what is missing. `heard` is told
    /// each key once, with the index of the sample at which it was sure.
    pub fn process(&mut self, samples: &[i16], mut heard: impl FnMut(char, usize)) {
        for (at, &sample) in samples.iter().enumerate() {
            let sample = f64::from(sample);
            for number in 0..STEPS {
                let state = &mut self.blocks[number];
                state.taken += 1;
                if state.taken <= 0 {
                    continue;
                }
                state.energy += sample * sample;
                for ([one, two], turn) in state.states.iter_mut().zip(&self.turns) {
                    (*one, *two) = (sample + turn * *one - *two, *one);
                }
                if state.taken.unsigned_abs() == self.block {
                    let key = self.key(number);
                    self.blocks[number] = Goertzel::default();
                    if let Some(key) = self.note(key) {
                        heard(key, at);
                    }
                }
            }
        }
    }

    /// The key of a block that is complete.
    fn key(&self, number: usize) -> Option<char> {
        let state = &self.blocks[number];
        let length = self.block as f64;
        if state.energy < LEAST * length {
            return None;
        }
        let mut powers = [0.0; 8];
        for ((power, [one, two]), turn) in powers.iter_mut().zip(&state.states).zip(&self.turns) {
            *power = one * one + two * two - turn * one * two;
        }
        let (low, low_power) = strongest(&powers[..4])?;
        let (high, high_power) = strongest(&powers[4..])?;
        // A sine of amplitude A has energy A²n/2 and power (An/2)².
        let pure = low_power + high_power >= PURE * state.energy * length / 2.0;
        let level =
            high_power <= low_power * MOST_TWIST && low_power <= high_power * MOST_REVERSE_TWIST;
        (pure && level).then(|| KEYS[low][high])
    }

    /// Takes what a block has; the key that this makes one.
    fn note(&mut self, key: Option<char>) -> Option<char> {
        if key == self.seen {
            self.times = self.times.saturating_add(1);
        } else {
            (self.seen, self.times) = (key, 1);
        }
        if key.is_some() && key == self.pressed {
            self.missed = 0;
        } else {
            self.missed = self.missed.saturating_add(1);
            if self.missed >= RELEASED {
                self.pressed = None;
            }
        }
        if key.is_some() && self.times >= PRESSED && self.pressed != key {
            self.pressed = key;
            self.missed = 0;
            return key;
        }
        None
    }
}

/// The strongest of a group, if it is clearly that.
fn strongest(powers: &[f64]) -> Option<(usize, f64)> {
    let (best, &power) = powers
        .iter()
        .enumerate()
        .max_by(|a, b| a.1.total_cmp(b.1))?;
    let clear = |(number, other): (usize, &f64)| number == best || other * CLEAR <= power;
    powers
        .iter()
        .enumerate()
        .all(clear)
        .then_some((best, power))
}

/// Writes `key`'s two tones over `out`, at `volume` below 0 dBm0 for both together (RFC 4733
/// §2.3.3: 0 to 63), beginning `from` samples after the key's beginning, so that parts join. False,
/// and nothing written, for what is no key.
pub fn tone(key: char, volume: u8, rate_hz: u32, from: u64, out: &mut [i16]) -> bool {
    let key = key.to_ascii_uppercase();
    let place = KEYS.iter().enumerate().find_map(|(low, row)| {
        let high = row.iter().position(|other| *other == key)?;
        Some((LOW_HZ[low], HIGH_HZ[high]))
    });
    let Some((low, high)) = place else {
        return false;
    };
    // Half of the power is A²/2.
    let amplitude = (ZERO_DBM0 * 10.0_f64.powf(-f64::from(volume.min(63)) / 10.0)).sqrt();
    for (number, sample) in (from..).zip(out) {
        let time = TAU * number as f64 / f64::from(rate_hz.max(1));
        let sum = amplitude * ((time * low).sin() + (time * high).sin());
        #[expect(clippy::cast_possible_truncation, reason = "it saturates, as is meant")]
        let rounded = sum.round() as i16;
        *sample = rounded;
    }
    true
}
