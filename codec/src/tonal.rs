//! Whether a frame is one or two steady tones, as a dial tone, a ringback or a fax is: sound that is as
//! steady as a background and is none.
//!
//! Called by `capture` for frames that are loud and would else be taken for background. It calls
//! nothing. Which key a pair of tones is belongs to [`crate::dtmf`].
//!
//! Two sines are predicted without error from the four samples before; noise is not, however it is
//! coloured. A pair is found where it is some 25 dB above hiss, one tone where it is 15. Below 300 Hz nothing is looked at: a mains hum or a rotor is background.

use crate::octaves::PARTS;

/// Tones below this, as a mean square of samples, are not clear enough to be looked for: −46 dBov, which
/// is [`crate::level::SILENCE_DBOV`].
const AUDIBLE: f64 = 26_971.0;

/// By how much the prediction of a tone must be better than none, in power: 12 dB. Pink noise, a fan and
/// noise in the telephone band stay below 9.
const GAIN: f64 = 16.0;

/// Samples that the prediction is made from: two for each sine.
const ORDER: usize = 4;

/// Samples in which the filter settles, which are not looked at.
const SETTLING: usize = 40;

/// A high-pass filter of fourth order at 300 Hz of 8 kHz (Butterworth, two sections): its numerator is
/// `g·(1, −2, 1)`, these are `g` and the two coefficients of each denominator.
const HIGH_PASS: [[f64; 3]; 2] = [
    [0.811_223_92, -1.599_719_67, 0.645_176_02],
    [0.905_308_61, -1.785_253_06, 0.835_981_37],
];

/// Whether one or two steady tones above 300 Hz, of −46 dBov or more, are nearly all that is heard there.
/// The frame is 20 ms, in [`PARTS`].
#[must_use]
pub fn is_tone(parts: &[i32; PARTS]) -> bool {
    let mut sound = [0.0_f64; PARTS];
    for (sound, part) in sound.iter_mut().zip(parts) {
        *sound = f64::from(part - parts[0]);
    }
    for [gain, a1, a2] in HIGH_PASS {
        let (mut one, mut two) = (0.0, 0.0);
        for sample in &mut sound {
            let heard = gain * *sample + one;
            one = -2.0 * gain * *sample - a1 * heard + two;
            two = gain * *sample - a2 * heard;
            *sample = heard;
        }
    }
    let sound = &sound[SETTLING..];
    let energy: f64 = sound.iter().map(|sample| sample * sample).sum();
    if energy < AUDIBLE * sound.len() as f64 {
        return false;
    }
    unpredicted(sound) * GAIN < energy
}

/// The energy that is left of a sound when the best prediction from [`ORDER`] samples is taken away
/// (covariance method).
fn unpredicted(sound: &[f64]) -> f64 {
    let length = sound.len() - ORDER;
    let together = |one: usize, other: usize| -> f64 {
        let (one, other) = (&sound[ORDER - one..], &sound[ORDER - other..]);
        let pairs = one[..length].iter().zip(&other[..length]);
        pairs.map(|(one, other)| one * other).sum()
    };
    let whole = together(0, 0);
    let wanted: [f64; ORDER] = std::array::from_fn(|row| together(0, row + 1));
    // Rows of the normal equations with their right sides; a touch of noise keeps them solvable, and
    // close low tones need all of a double's digits.
    let mut rows: [[f64; ORDER + 1]; ORDER] = std::array::from_fn(|row| {
        std::array::from_fn(|column| match column {
            ORDER => wanted[row],
            _ if column == row => together(row + 1, column + 1) + whole * 1e-9,
            _ => together(row + 1, column + 1),
        })
    });
    for pivot in 0..ORDER {
        let upper = rows[pivot];
        for row in &mut rows[pivot + 1..] {
            let factor = row[pivot] / upper[pivot];
            for (at, of) in row.iter_mut().zip(upper) {
                *at -= factor * of;
            }
        }
    }
    let mut weights = [0.0; ORDER];
    for row in (0..ORDER).rev() {
        let known: f64 = (row + 1..ORDER).map(|at| rows[row][at] * weights[at]).sum();
        weights[row] = (rows[row][ORDER] - known) / rows[row][row];
    }
    let predicted: f64 = weights
        .iter()
        .zip(wanted)
        .map(|(weight, of)| weight * of)
        .sum();
    whole - predicted
}

#[cfg(test)]
#[expect(clippy::cast_possible_truncation, reason = "sines made into samples")]
mod tests {
    use super::*;

    /// Sines that are `dbov` together, over hiss of `hiss_dbov`.
    fn tones(hz: &[f64], dbov: f64, hiss_dbov: f64) -> [i32; PARTS] {
        let full = |dbov: f64| 32_768.0 * 10.0_f64.powf(dbov / 20.0);
        let peak = full(dbov) * (2.0 / hz.len() as f64).sqrt();
        let mut state = 7_u64;
        std::array::from_fn(|at| {
            let time = at as f64 / 8_000.0;
            let tone: f64 = hz
                .iter()
                .map(|hz| (std::f64::consts::TAU * hz * time).sin())
                .sum();
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            // Evenly spread over one: its deviation is the root of a twelfth.
            let even = (state >> 40) as f64 / (1_u64 << 24) as f64 - 0.5;
            (peak * tone + full(hiss_dbov) * even * 12.0_f64.sqrt()).round() as i32
        })
    }

    #[test]
    fn tones_of_the_telephone_are_tones() {
        for hz in [
            &[425.0][..],
            &[440.0, 480.0],
            &[350.0, 440.0],
            &[1_100.0],
            &[2_100.0],
            &[697.0, 1_209.0],
            &[941.0, 1_477.0],
        ] {
            for dbov in [-20.0, -30.0, -40.0] {
                assert!(is_tone(&tones(hz, dbov, -65.0)), "{hz:?} at {dbov}");
            }
            assert!(is_tone(&tones(hz, -30.0, -57.0)), "{hz:?} over hiss");
            assert!(
                !is_tone(&tones(hz, -52.0, -80.0)),
                "{hz:?} is too low to be heard"
            );
        }
    }

    #[test]
    fn hum_and_noise_are_none() {
        assert!(!is_tone(&tones(&[50.0, 150.0], -35.0, -65.0)));
        assert!(!is_tone(&tones(&[100.0], -30.0, -70.0)));
        assert!(!is_tone(&tones(&[1_000.0], -80.0, -25.0)));
        assert!(
            !is_tone(&tones(&[1_000.0], -30.0, -32.0)),
            "the tone is not most of it"
        );
        assert!(!is_tone(&[0; PARTS]));
    }
}
