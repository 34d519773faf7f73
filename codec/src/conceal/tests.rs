//! Periodic sound with holes: what fills them, at each rate and edge.
#![expect(clippy::cast_possible_truncation, reason = "sums made into samples")]

use super::*;
use proptest::prelude::*;

/// A voice without change: harmonics of `hz`.
fn voice(hz: f64, rate_hz: u32, samples: usize) -> Vec<i16> {
    (0..samples)
        .map(|i| {
            let angle = std::f64::consts::TAU * hz * i as f64 / f64::from(rate_hz);
            let sum: f64 = (1..9)
                .map(|k| (angle * f64::from(k)).sin() / f64::from(k))
                .sum();
            (4_000.0 * sum) as i16
        })
        .collect()
}

fn rms(samples: &[i16]) -> f64 {
    let squares: f64 = samples
        .iter()
        .map(|sample| f64::from(*sample).powi(2))
        .sum();
    (squares / samples.len() as f64).sqrt()
}

fn error(samples: &[i16], truth: &[i16]) -> f64 {
    let pairs = samples.iter().zip(truth);
    let difference: Vec<i16> = pairs
        .map(|(one, other)| one.saturating_sub(*other))
        .collect();
    rms(&difference) / rms(truth)
}

#[test]
fn a_steady_voice_goes_on() {
    for rate_hz in [8_000, 16_000, 48_000] {
        let ms = rate_hz as usize / 1_000;
        for hz in [80.0, 125.0, 190.0, 250.0, 333.0] {
            let truth = voice(hz, rate_hz, 160 * ms);
            for length in [1, 10, 20] {
                let (from, to) = (60 * ms, (60 + length) * ms);
                let mut gap = vec![0; length * ms];
                assert!(conceal(&truth[..from], &truth[to..], rate_hz, &mut gap));
                let error = error(&gap, &truth[from..to]);
                assert!(error < 0.25, "{hz} Hz of {rate_hz}, {length} ms: {error}");
            }
        }
    }
}

#[test]
fn alone_it_is_whole_for_10_ms_and_silent_after_60() {
    let truth = voice(125.0, 8_000, 2_000);
    let mut gap = vec![0; 800];
    assert!(conceal(&truth[..600], &[], 8_000, &mut gap));
    assert!(error(&gap[..80], &truth[600..680]) < 0.05);
    let part = |at: usize| rms(&gap[at * 80..at * 80 + 80]) / rms(&truth[..640]);
    for (at, gain) in [(0, 1.0), (1, 0.9), (2, 0.7), (3, 0.5), (4, 0.3), (5, 0.1)] {
        assert!((part(at) - gain).abs() < 0.12, "{at}: {}", part(at));
    }
    assert!(gap[480..].iter().all(|sample| *sample == 0));
}

#[test]
fn a_long_gap_is_silent_in_its_middle_and_meets_what_follows() {
    let truth = voice(100.0, 8_000, 4_000);
    let mut gap = vec![0; 1_600];
    assert!(conceal(&truth[..800], &truth[2_400..], 8_000, &mut gap));
    assert!(gap[480..1_440].iter().all(|sample| *sample == 0));
    assert!(error(&gap[1_560..], &truth[2_360..2_400]) < 0.5);
}

#[test]
fn silence_stays_silence() {
    for (before, after) in [(400, 400), (0, 0), (3, 0), (0, 3)] {
        let mut gap = [9; 160];
        assert!(!conceal(&vec![0; before], &vec![0; after], 8_000, &mut gap));
        assert_eq!(gap, [0; 160]);
    }
}

#[test]
fn what_follows_silence_fades_in() {
    let truth = voice(125.0, 8_000, 800);
    let mut gap = [9; 160];
    assert!(conceal(&[0; 400], &truth, 8_000, &mut gap));
    assert!(rms(&gap[..40]) < rms(&gap[120..]) / 2.0);
}

#[test]
fn the_edges_do_not_click() {
    let truth = voice(140.0, 8_000, 2_000);
    let most = truth
        .windows(2)
        .map(|pair| (pair[1] - pair[0]).unsigned_abs())
        .max();
    for from in 500..560 {
        let mut heard = truth.clone();
        // Another voice follows, so that nothing fits.
        let after = voice(90.0, 8_000, 400);
        heard.truncate(from);
        heard.resize(from + 160, 0);
        let (before, gap) = heard.split_at_mut(from);
        conceal(before, &after, 8_000, gap);
        heard.extend_from_slice(&after);
        let step = heard[from - 1..from + 161]
            .windows(2)
            .map(|pair| (i32::from(pair[1]) - i32::from(pair[0])).unsigned_abs())
            .max();
        let limit = u32::from(most.unwrap()) * 3 / 2;
        assert!(step.unwrap() <= limit, "{from}: {step:?} over {limit}");
    }
}

proptest! {
    #[test]
    fn any_lengths_at_any_rate(
        before in proptest::collection::vec(any::<i16>(), 0..900),
        after in proptest::collection::vec(any::<i16>(), 0..400),
        rate_hz in proptest::sample::select(vec![8_000, 11_025, 16_000, 44_100, 48_000]),
        length in 0usize..1_200,
    ) {
        let (mut one, mut two) = (vec![1; length], vec![2; length]);
        let heard = conceal(&before, &after, rate_hz, &mut one);
        prop_assert_eq!(heard, conceal(&before, &after, rate_hz, &mut two));
        prop_assert_eq!(one, two);
    }
}
