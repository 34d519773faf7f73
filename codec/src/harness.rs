//! What tests of encoders share: sound to encode, measures of likeness, and judges to run.

use std::process::Command;

/// Deterministic sound that shifts against itself, so that alignment shows: voiced harmonics under
/// an envelope of syllables. `voice` makes sounds that have nothing in common.
pub(crate) fn speech(voice: u32, frames: usize) -> Vec<i16> {
    speech_at(8_000, voice, frames)
}

pub(crate) fn speech_at(rate_hz: u32, voice: u32, frames: usize) -> Vec<i16> {
    let rate = f64::from(rate_hz);
    let pitch = 95.0 + 37.0 * f64::from(voice);
    let mut phase = 0.0_f64;
    (0..frames)
        .map(|i| {
            let t = i as f64 / rate;
            let glide = 1.0 + 0.12 * (t * (2.1 + f64::from(voice))).sin();
            phase += std::f64::consts::TAU * pitch * glide / rate;
            let syllable = (t * std::f64::consts::PI * (3.3 + 1.7 * f64::from(voice)))
                .sin()
                .max(0.0);
            let voiced: f64 = (1..12)
                .map(|n| (phase * f64::from(n)).sin() / f64::from(n).powf(0.8))
                .sum();
            #[expect(
                clippy::cast_possible_truncation,
                reason = "below 12,000 by construction"
            )]
            let sample = (voiced * syllable * 3_000.0) as i16;
            sample
        })
        .collect()
}

pub(crate) fn interleave(left: &[i16], right: &[i16]) -> Vec<i16> {
    left.iter().zip(right).flat_map(|(&l, &r)| [l, r]).collect()
}

pub(crate) fn channel(samples: &[i16], channels: usize, which: usize) -> Vec<i16> {
    samples
        .iter()
        .skip(which)
        .step_by(channels)
        .copied()
        .collect()
}

/// Correlation of two sounds of one length: 1 is the same but for level.
pub(crate) fn correlation(a: &[i16], b: &[i16]) -> f64 {
    let dot = |x: &[i16], y: &[i16]| -> f64 {
        x.iter()
            .zip(y)
            .map(|(&x, &y)| f64::from(x) * f64::from(y))
            .sum()
    };
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
}

pub(crate) fn decibels(of: &[i16], against: &[i16]) -> f64 {
    crate::level::Level::of(of).dbov() - crate::level::Level::of(against).dbov()
}

/// Runs a judge and returns what it prints.
pub(crate) fn judge(program: &str, args: &[&str]) -> Vec<u8> {
    let output = Command::new(program)
        .args(args)
        .output()
        .unwrap_or_else(|error| {
            panic!(
                "{program} judges in this test; `apt install ffmpeg opus-tools` brings it: {error}"
            )
        });
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && errors.is_empty(),
        "{program} {args:?}: {errors}"
    );
    output.stdout
}
