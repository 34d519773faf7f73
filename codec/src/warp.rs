//! A stretch of sound made a little longer or shorter, without a cut.
//!
//! Called by `capture` to keep a sender's clock in pace with ours. Pure: a slice in, a slice out.
//!
//! The ends stay where they are, sample for sample, so that what is before and behind fits on; in
//! between the time runs a little slower or faster, most in the middle. The interpolation is a
//! windowed sinc; at the ends, where it would need what is beyond, it meets whole samples.

use std::f64::consts::PI;
use std::sync::LazyLock;

/// Samples to each side of a place that are looked at.
const REACH: usize = 8;

/// Fills `output` with what is in `input`, made as long as `output` is. For a difference of one
/// sample in a packet of 20 ms the pitch moves by 0.6 % for that time, 1 % at most.
pub fn warp(input: &[i16], output: &mut [i16]) {
    if input.is_empty() || output.is_empty() {
        output.fill(0);
        return;
    }
    let (from, to) = (length(input.len()), length(output.len()));
    let most = f64::from(to - 1).max(1.0);
    let extra = f64::from(from - to);
    for (at, sample) in (0..to).zip(output.iter_mut()) {
        let share = f64::from(at) / most;
        let eased = share * share * (3.0 - 2.0 * share);
        *sample = interpolate(input, f64::from(at) + extra * eased);
    }
}

/// Places between two samples that are told apart: the nearest of them errs by less than G.711 does.
const PHASES: usize = 1_024;

/// Samples that are looked at for one.
const TAPS: usize = 2 * REACH;

/// The Hann-windowed sinc (Oppenheim and Schafer, §4.6) at each phase, its weights adding up to 1.
/// Made once: a packet that is warped would cost a hundred times more without.
static KERNEL: LazyLock<Box<[[f32; TAPS]]>> = LazyLock::new(|| (0..PHASES).map(weights).collect());

fn weights(phase: usize) -> [f32; TAPS] {
    let part = phase as f64 / PHASES as f64;
    let mut weights = [0.0; TAPS];
    for (tap, weight) in weights.iter_mut().enumerate() {
        let distance = tap as f64 + 1.0 - REACH as f64 - part;
        let angle = PI * distance;
        let sinc = if angle.abs() < 1e-9 {
            1.0
        } else {
            angle.sin() / angle
        };
        *weight = sinc * f64::midpoint(1.0, (angle / REACH as f64).cos());
    }
    let sum: f64 = weights.iter().sum();
    #[expect(clippy::cast_possible_truncation, reason = "to a float's precision")]
    weights.map(|weight| (weight / sum) as f32)
}

/// The input between its samples.
fn interpolate(input: &[i16], place: f64) -> i16 {
    let last = input.len() - 1;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "clamped to the slice"
    )]
    let at = (place.clamp(0.0, last as f64) * PHASES as f64).round() as usize;
    let (whole, phase) = (at / PHASES, at % PHASES);
    let weights = &KERNEL[phase];
    let sum: f32 = weights
        .iter()
        .enumerate()
        .map(|(tap, weight)| {
            let at = (whole + tap + 1).saturating_sub(REACH).min(last);
            weight * f32::from(input[at])
        })
        .sum();
    #[expect(clippy::cast_possible_truncation, reason = "it saturates, as is meant")]
    let sample = sum.round() as i16;
    sample
}

fn length(samples: usize) -> i32 {
    i32::try_from(samples).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tone(hz: f64, samples: usize) -> Vec<i16> {
        (0..samples)
            .map(|at| {
                let angle = std::f64::consts::TAU * hz * at as f64 / 8_000.0;
                #[expect(clippy::cast_possible_truncation, reason = "at most 10,000")]
                let sample = (10_000.0 * angle.sin()).round() as i16;
                sample
            })
            .collect()
    }

    #[test]
    fn the_same_length_is_the_same_sound() {
        let input = tone(1_004.0, 160);
        let mut output = vec![0; 160];
        warp(&input, &mut output);
        assert_eq!(input, output);
    }

    #[test]
    fn ends_fit_and_nothing_jumps() {
        for length in [159, 161] {
            for hz in [300.0, 1_004.0, 2_000.0] {
                let input = tone(hz, 160);
                let mut output = vec![0; length];
                warp(&input, &mut output);
                assert_eq!(output[0], input[0]);
                assert_eq!(output[length - 1], input[159]);
                // No sample is further from its neighbours than the tone's own steepest step, and
                // what the higher pitch adds.
                let steepest = std::f64::consts::TAU * hz / 8_000.0 * 10_000.0 * 1.05;
                for pair in output.windows(2) {
                    assert!(f64::from(pair[1] - pair[0]).abs() < steepest + 60.0);
                }
            }
        }
    }

    #[test]
    fn nothing_of_nothing() {
        let mut output = [7; 3];
        warp(&[], &mut output);
        assert_eq!(output, [0; 3]);
    }
}
