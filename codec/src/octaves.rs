//! A frame's energy by octave: what tells speech from its background.
//!
//! Called by `capture`, which learns how loud the background is in each octave. It calls nothing. What
//! is voice does not belong here.
//!
//! Speech is always heard in some octave of the telephone band, and hardly any background fills all of
//! them alike: a hum lies below 250 Hz, a fan low, hiss high. The octaves are those of the Haar wavelet,
//! sums and differences of neighbours: soft edges, and 300 additions a frame. A constant offset and
//! nearly all of a mains hum are in none of them.
//!
//! A frame is 20 ms at any rate, and is looked at in 160 parts: 8 kHz. What lies above 4 kHz is in part
//! averaged away, and in part counted with the uppermost octave, where the hiss of an s belongs.

/// Parts that a frame is looked at in.
pub const PARTS: usize = 160;

/// Octaves: 2 to 4 kHz, 1 to 2 kHz, 500 to 1,000 Hz and 250 to 500 Hz, in this order.
pub const OCTAVES: usize = 4;

/// Sums that run side by side, so that they become SIMD.
const LANES: usize = 4;

/// Brings one channel of a frame of interleaved samples to [`PARTS`] of equal length, each the mean of
/// what it covers. A frame that is not whole (`whole` samples a channel) goes on as it ends.
///
/// `channel` is below `channels`, and `whole` is not 0; a frame without samples is silence.
pub fn parts(
    frame: &[i16],
    channel: usize,
    channels: usize,
    whole: usize,
    parts: &mut [i32; PARTS],
) {
    let there = frame.len() / channels;
    let Some(last) = there.checked_sub(1) else {
        return parts.fill(0);
    };
    let whole_parts = whole / PARTS;
    if whole == whole_parts * PARTS && there == whole {
        for (part, samples) in parts
            .iter_mut()
            .zip(frame.chunks_exact(whole_parts * channels))
        {
            let samples = samples[channel..].iter().step_by(channels);
            *part = samples.map(|sample| i32::from(*sample)).sum();
        }
        if let Ok(count @ 2..) = i32::try_from(whole_parts) {
            for part in parts {
                *part /= count;
            }
        }
        return;
    }
    let sample = |at: usize| i32::from(frame[at.min(last) * channels + channel]);
    // In units of 1/160 of a sample: each sample is PARTS long, each part `whole`.
    let length = i32::try_from(whole).unwrap_or(i32::MAX);
    for (at, part) in parts.iter_mut().enumerate() {
        let (mut from, to) = (at * whole, (at + 1) * whole);
        let mut sum = 0;
        while from < to {
            let end = (from / PARTS + 1) * PARTS;
            let share = i32::try_from(end.min(to) - from).unwrap_or(0);
            sum += share * sample(from / PARTS);
            from = end;
        }
        *part = sum / length;
    }
}

/// The mean square of each octave's share of a frame: together no more than the frame's own.
#[must_use]
pub fn energies(parts: &[i32; PARTS]) -> [f32; OCTAVES] {
    let mut sums = *parts;
    let mut length = PARTS;
    let mut scale = PARTS as f32;
    std::array::from_fn(|_| {
        let mut lanes = [0.0; LANES];
        for pairs in sums[..length].chunks(2 * LANES) {
            for (lane, pair) in lanes.iter_mut().zip(pairs.chunks_exact(2)) {
                let step = (pair[0] - pair[1]) as f32;
                *lane += step * step;
            }
        }
        length /= 2;
        scale *= 2.0;
        for at in 0..length {
            sums[at] = sums[2 * at] + sums[2 * at + 1];
        }
        lanes.iter().sum::<f32>() / scale
    })
}

#[cfg(test)]
#[expect(clippy::cast_possible_truncation, reason = "sines made into samples")]
mod tests {
    use super::*;

    fn sine(hz: f64, rate_hz: f64, samples: usize) -> Vec<i16> {
        (0..samples)
            .map(|at| (8_000.0 * (at as f64 * std::f64::consts::TAU * hz / rate_hz).sin()) as i16)
            .collect()
    }

    fn of(frame: &[i16], whole: usize) -> [f32; OCTAVES] {
        let mut at = [0; PARTS];
        parts(frame, 0, 1, whole, &mut at);
        energies(&at)
    }

    #[test]
    fn a_tone_is_loudest_in_its_octave_at_any_rate() {
        for rate_hz in [8_000, 11_025, 12_000, 16_000, 22_050, 44_100, 48_000] {
            let whole = rate_hz as usize / 50;
            for (octave, hz) in [2_900.0, 1_450.0, 725.0, 362.0].into_iter().enumerate() {
                let heard = of(&sine(hz, f64::from(rate_hz), whole), whole);
                let loudest = heard.iter().copied().fold(0.0, f32::max);
                assert!(heard[octave] == loudest, "{hz} at {rate_hz}: {heard:?}");
                let all: f32 = heard.iter().sum();
                assert!(
                    (0.4..=1.01).contains(&(all / 32_000_000.0)),
                    "{hz} at {rate_hz}: {all}"
                );
            }
        }
    }

    #[test]
    fn offset_and_hum_are_in_none() {
        assert_eq!(of(&[4_000; 160], 160), [0.0; OCTAVES]);
        let hum: f32 = of(&sine(50.0, 8_000.0, 160), 160).iter().sum();
        assert!(hum < 32_000_000.0 * 0.06, "{hum}");
    }

    #[test]
    fn a_channel_is_looked_at_by_itself_and_a_short_frame_ends_as_it_is() {
        let (left, right) = (sine(725.0, 8_000.0, 160), sine(2_900.0, 8_000.0, 160));
        let both: Vec<i16> = left
            .iter()
            .zip(&right)
            .flat_map(|(l, r)| [*l, *r])
            .collect();
        let mut at = [0; PARTS];
        parts(&both, 1, 2, 160, &mut at);
        assert_eq!(energies(&at), of(&right, 160));
        parts(&[900; 30], 0, 1, 160, &mut at);
        assert_eq!(at, [900; PARTS]);
        parts(&[], 0, 1, 160, &mut at);
        assert_eq!(at, [0; PARTS]);
    }
}
