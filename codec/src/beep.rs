//! The beep that a recorder gives before it records.
//!
//! Called by `capture`, a packet's samples at a time; calls nothing. Where it goes, and as what, is
//! not decided here.

use std::f64::consts::{PI, TAU};

/// Its frequency, in Hz.
pub const HZ: u32 = 1_000;

/// Its length in milliseconds, edges and all.
pub const LENGTH_MS: u32 = 500;

/// Each edge in milliseconds: ten periods, so that it does not click.
const EDGE_MS: u32 = 10;

/// The amplitude: 12 dB below full scale, about −9 dBm0, as loud as a loud voice.
const AMPLITUDE: f64 = 8_192.0;

/// Fills `samples` with the beep at `rate_hz` from its sample `first` on, and with silence behind its
/// end.
pub fn samples(rate_hz: u32, first: u64, samples: &mut [i16]) {
    let rate = f64::from(rate_hz.max(1));
    let length = f64::from(LENGTH_MS) / 1_000.0;
    let edge = f64::from(EDGE_MS) / 1_000.0;
    for (number, sample) in (first..).zip(samples) {
        // No beep has more samples than an f64 counts.
        let at = number as f64 / rate;
        let from_edge = at.min(length - at).clamp(0.0, edge);
        // A raised cosine.
        let loud = (1.0 - (PI * from_edge / edge).cos()) / 2.0;
        let value = AMPLITUDE * loud * (TAU * f64::from(HZ) * at).sin();
        #[expect(clippy::cast_possible_truncation, reason = "the amplitude fits")]
        {
            *sample = value as i16;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_has_its_pitch_its_length_and_soft_edges() {
        for rate_hz in [8_000, 11_025, 16_000, 44_100, 48_000] {
            let mut beep = vec![0; rate_hz as usize * 3 / 5];
            for (part, chunk) in beep.chunks_mut(160).enumerate() {
                samples(rate_hz, part as u64 * 160, chunk);
            }
            let (tone, quiet) = beep.split_at(rate_hz as usize / 2);
            assert!(quiet.iter().all(|sample| *sample == 0), "{rate_hz}");
            let rises = tone.windows(2).filter(|two| two[0] < 0 && two[1] >= 0);
            let rises = rises.count();
            assert!((498..=500).contains(&rises), "{rate_hz}: {rises} periods");
            let peak = |samples: &[i16]| samples.iter().map(|sample| sample.abs()).max().unwrap();
            let millisecond = rate_hz as usize / 1_000;
            assert!(peak(&tone[..millisecond]) < 300, "{rate_hz}");
            assert!(peak(&tone[tone.len() - millisecond..]) < 300, "{rate_hz}");
            assert!((7_900..=8_192).contains(&peak(tone)), "{rate_hz}");
        }
    }
}
