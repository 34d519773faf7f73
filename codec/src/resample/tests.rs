//! Tones of known frequency and phase through the resampler, and cuts that must not matter.
#![expect(clippy::cast_possible_truncation, reason = "sines made into samples")]

use super::*;
use proptest::prelude::*;

const PAIRS: [(u32, u32); 12] = [
    (8_000, 16_000),
    (8_000, 48_000),
    (11_025, 8_000),
    (16_000, 8_000),
    (22_050, 16_000),
    (24_000, 8_000),
    (32_000, 8_000),
    (44_100, 8_000),
    (44_100, 16_000),
    (44_100, 48_000),
    (48_000, 8_000),
    (48_000, 16_000),
];

const PEAK: f64 = 10_000.0;

fn sine(hz: f64, rate_hz: u32, samples: usize) -> Vec<i16> {
    let step = std::f64::consts::TAU * hz / f64::from(rate_hz);
    (0..samples)
        .map(|i| (PEAK * (i as f64 * step).sin()).round() as i16)
        .collect()
}

fn whole(from: u32, to: u32, input: &[i16]) -> Vec<i16> {
    let mut resampler = Resampler::new(from, to).unwrap();
    let mut output = Vec::new();
    resampler.process(input, &mut output);
    resampler.flush(&mut output);
    output
}

fn rms(samples: impl Iterator<Item = f64>) -> f64 {
    let (sum, count) = samples.fold((0.0, 0.0), |(sum, count), x| (sum + x * x, count + 1.0));
    f64::sqrt(sum / count)
}

#[test]
fn a_tone_of_the_pass_band_is_the_same_tone_at_the_same_time() {
    for (from, to) in PAIRS {
        for hz in [50.0, 300.0, 1_004.0, 2_500.0, 3_400.0] {
            let output = whole(from, to, &sine(hz, from, from as usize / 2));
            let ideal = sine(hz, to, to as usize / 2);
            assert_eq!(output.len(), ideal.len(), "{from} to {to}");
            // Away from the ends, where silence before and after is part of the signal.
            let away = to as usize / 20..output.len() - to as usize / 20;
            let error = rms(away.map(|i| f64::from(output[i]) - f64::from(ideal[i])));
            // −60 dB of the tone includes any delay: 1/100 of a sample at 3.4 kHz is −31 dB.
            assert!(
                error < PEAK / 2.0_f64.sqrt() / 1_000.0,
                "{from} to {to}, {hz} Hz: error of {error}"
            );
        }
    }
}

#[test]
fn what_the_lower_rate_cannot_hold_is_gone() {
    for (from, to) in PAIRS.into_iter().filter(|(from, to)| from > to) {
        for part in [0.515, 0.55, 0.6, 0.675] {
            let hz = f64::from(to) * part;
            if hz > f64::from(from) * 0.49 {
                continue;
            }
            let output = whole(from, to, &sine(hz, from, from as usize / 2));
            let away = &output[to as usize / 20..output.len() - to as usize / 20];
            let left = rms(away.iter().map(|sample| f64::from(*sample)));
            assert!(
                left < PEAK / 1_414.0 / 2.0,
                "{from} to {to}, {hz} Hz: {left}"
            );
        }
    }
}

#[test]
fn images_are_gone() {
    let output = whole(8_000, 16_000, &sine(3_000.0, 8_000, 8_000));
    let step = std::f64::consts::TAU * 5_000.0 / 16_000.0;
    let (mut re, mut im) = (0.0, 0.0);
    for (i, sample) in output.iter().enumerate().skip(1_600).take(12_800) {
        re += f64::from(*sample) * (i as f64 * step).cos();
        im += f64::from(*sample) * (i as f64 * step).sin();
    }
    assert!(f64::hypot(re, im) / 6_400.0 < PEAK / 1_000.0);
}

#[test]
fn equal_rates_pass_unchanged() {
    let input = sine(777.0, 8_000, 999);
    assert_eq!(whole(8_000, 8_000, &input), input);
}

#[test]
fn full_scale_saturates() {
    let output = whole(48_000, 8_000, &[i16::MAX; 4_800]);
    // The filter overshoots behind the edge; wrapping would show as a sample of the other sign.
    assert!(output.iter().skip(1).all(|sample| *sample > 8_000));
    assert!(output.contains(&i16::MAX));
}

#[test]
fn odd_rates_are_refused() {
    for (from, to) in [(7_999, 8_000), (8_000, 96_000), (44_099, 8_000), (0, 8_000)] {
        assert!(Resampler::new(from, to).is_err(), "{from} to {to}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn cuts_do_not_matter(
        pair in proptest::sample::select(&PAIRS[..]),
        input in proptest::collection::vec(any::<i16>(), 1..5_000),
        cuts in proptest::collection::vec(0usize..900, 1..12),
    ) {
        let (from, to) = pair;
        let mut resampler = Resampler::new(from, to).unwrap();
        let mut output = Vec::new();
        // Twice, since a flush must leave nothing behind.
        for _ in 0..2 {
            output.clear();
            let mut left = &input[..];
            for cut in cuts.iter().cycle() {
                let (part, rest) = left.split_at((*cut).min(left.len()));
                resampler.process(part, &mut output);
                left = rest;
                // A look at the tail is what a flush here would give, and changes nothing.
                let mut tail = Vec::new();
                let count = resampler.tail(&mut tail);
                prop_assert_eq!(count, tail.len());
                let mut flushed = Vec::new();
                resampler.clone().flush(&mut flushed);
                prop_assert_eq!(tail, flushed);
                if left.is_empty() || cuts.iter().sum::<usize>() == 0 {
                    break;
                }
            }
            resampler.process(left, &mut output);
            resampler.flush(&mut output);
            prop_assert_eq!(output.len(), (input.len() * to as usize).div_ceil(from as usize));
            prop_assert_eq!(&output, &whole(from, to, &input));
        }
    }
}
