//! Q.24's limits: duration, pause, level, twist, deviation, noise; and what is no key.
#![expect(clippy::cast_possible_truncation, reason = "sums made into samples")]

use super::*;
use crate::level::Level;
use proptest::prelude::*;

const ALL: &str = "123A456B789C*0#D";

fn keys(rate_hz: u32, samples: &[i16]) -> String {
    let mut keys = String::new();
    Detector::new(rate_hz).process(samples, |key, _| keys.push(key));
    keys
}

/// Two sines with amplitudes in dBm0 of each.
fn pair(low: (f64, f64), high: (f64, f64), samples: usize) -> Vec<i16> {
    let amplitude = |dbm0: f64| (2.0 * ZERO_DBM0 * 10.0_f64.powf(dbm0 / 10.0)).sqrt();
    (0..samples)
        .map(|i| {
            let time = TAU * i as f64 / 8_000.0;
            let sum =
                amplitude(low.1) * (time * low.0).sin() + amplitude(high.1) * (time * high.0).sin();
            sum.round() as i16
        })
        .collect()
}

/// The samples with `before` samples of silence around them.
fn within(before: usize, samples: &[i16]) -> Vec<i16> {
    [&vec![0; before], samples, &[0; 800]].concat()
}

#[test]
fn each_key_is_found_once_at_each_rate() {
    for rate_hz in [8_000, 16_000, 48_000] {
        let tick = rate_hz as usize / 1_000;
        let mut samples = Vec::new();
        for key in ALL.chars() {
            let mut part = vec![0; 40 * tick];
            assert!(tone(key, 10, rate_hz, 0, &mut part));
            samples.extend_from_slice(&part);
            samples.resize(samples.len() + 40 * tick, 0);
        }
        assert_eq!(keys(rate_hz, &samples), ALL);
    }
}

#[test]
fn a_key_is_40_ms_wherever_it_lies_and_never_23() {
    let mut long = [0; 320];
    tone('5', 10, 8_000, 0, &mut long);
    for before in 0..120 {
        assert_eq!(keys(8_000, &within(before, &long)), "5", "after {before}");
        assert_eq!(
            keys(8_000, &within(before, &long[..184])),
            "",
            "after {before}"
        );
    }
}

#[test]
fn a_pause_parts_keys_and_a_break_does_not() {
    let mut part = [0; 400];
    tone('#', 10, 8_000, 0, &mut part);
    for before in (0..102).step_by(5) {
        let parted = [&within(before, &part)[..before + 400], &[0; 320], &part].concat();
        assert_eq!(keys(8_000, &parted), "##", "after {before}");
        let broken = [&within(before, &part)[..before + 400], &[0; 80], &part].concat();
        assert_eq!(keys(8_000, &broken), "#", "after {before}");
    }
}

#[test]
fn levels_and_twist_as_q24_has_them() {
    for (low, high, found) in [
        (0.0, 0.0, true),
        (-25.0, -25.0, true),
        (-29.0, -29.0, true),
        (-45.0, -45.0, false),
        (-14.0, -10.0, true),
        (-10.0, -18.0, true),
        (-18.0, -10.0, false),
        (-10.0, -22.0, false),
    ] {
        let samples = pair((770.0, low), (1_336.0, high), 800);
        let heard = keys(8_000, &within(33, &samples));
        assert_eq!(heard, if found { "5" } else { "" }, "{low} and {high}");
    }
}

#[test]
fn a_deviation_of_1_5_percent_is_a_key_and_3_5_is_not() {
    for (row, low) in LOW_HZ.into_iter().enumerate() {
        for (column, high) in HIGH_HZ.into_iter().enumerate() {
            for (by, found) in [(0.985, true), (1.015, true), (0.965, false), (1.035, false)] {
                let samples = pair((low * by, -10.0), (high * by, -10.0), 400);
                let key = KEYS[row][column].to_string();
                let heard = keys(8_000, &within(0, &samples));
                assert_eq!(
                    heard,
                    if found { key } else { String::new() },
                    "{low} {high} {by}"
                );
            }
        }
    }
}

#[test]
fn noise_15_db_below_hides_no_key() {
    let mut noise = crate::comfort::Noise::new(&[28]).unwrap();
    let mut heard = String::new();
    let mut detector = Detector::new(8_000);
    for key in ALL.chars() {
        let (mut tones, mut hiss) = ([0; 800], [0; 800]);
        // −7 dBm0 for both is −13.2 dBov.
        tone(key, 7, 8_000, 0, &mut tones[..400]);
        noise.fill(&mut hiss);
        for (tone, hiss) in tones.iter_mut().zip(hiss) {
            *tone += hiss;
        }
        detector.process(&tones, |key, _| heard.push(key));
    }
    assert_eq!(heard, ALL);
}

#[test]
fn one_tone_noise_and_voices_are_no_key() {
    let one = pair((770.0, -10.0), (1_336.0, -90.0), 8_000);
    assert_eq!(keys(8_000, &one), "");
    let mut hiss = vec![0; 800_000];
    crate::comfort::Noise::new(&[20]).unwrap().fill(&mut hiss);
    assert_eq!(keys(8_000, &hiss), "");
    // A voice's harmonics, gliding through all pitches.
    let mut angle = 0.0;
    let voice: Vec<i16> = (0..480_000)
        .map(|i| {
            let time = f64::from(i) / 8_000.0;
            angle += TAU * (180.0 + 100.0 * (time * 0.7).sin()) / 8_000.0;
            let sum: f64 = (1..14)
                .map(|k| (angle * f64::from(k)).sin() / f64::from(k))
                .sum();
            (5_000.0 * sum) as i16
        })
        .collect();
    assert_eq!(keys(8_000, &voice), "");
}

#[test]
fn a_tone_has_its_volume_and_its_parts_join() {
    for volume in [0, 3, 10, 36, 63] {
        let mut whole = [0; 8_000];
        assert!(tone('d', volume, 8_000, 0, &mut whole));
        // A sine at 0 dBm0 is at −6.18 dBov.
        let dbm0 = Level::of(&whole).dbov() + 6.18;
        assert!((dbm0 + f64::from(volume)).abs() < 0.5, "{volume}: {dbm0}");
        let mut parts = [0; 8_000];
        tone('D', volume, 8_000, 0, &mut parts[..777]);
        tone('D', volume, 8_000, 777, &mut parts[777..]);
        assert_eq!(whole, parts);
    }
    assert!(!tone('x', 0, 8_000, 0, &mut [0; 8]));
}

proptest! {
    #[test]
    fn cuts_do_not_matter(
        samples in proptest::collection::vec(any::<i16>(), 0..2_000),
        cut in 0usize..2_000,
        key in proptest::sample::select(ALL.chars().collect::<Vec<_>>()),
    ) {
        let mut samples = samples;
        let mut part = [0; 500];
        tone(key, 5, 8_000, 0, &mut part);
        samples.extend_from_slice(&part);
        let mut detector = Detector::new(8_000);
        let mut heard = String::new();
        let cut = cut.min(samples.len());
        detector.process(&samples[..cut], |key, _| heard.push(key));
        detector.process(&samples[cut..], |key, at| {
            heard.push(key);
            assert!(cut + at < samples.len());
        });
        prop_assert!(heard.ends_with(key));
        prop_assert_eq!(heard, keys(8_000, &samples));
    }
}
