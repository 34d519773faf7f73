//! A stretch of sound made a little longer or shorter, without a cut.
//!
//! Called by `capture` to keep a sender's clock in pace with ours. Pure: a slice in, a slice out.
//!
//! The ends stay where they are, sample for sample, so that what is before and behind fits on; in
//! between the time runs a little slower or faster, most in the middle. The interpolation is a
//! windowed sinc; at the ends, where it would need what is beyond, it meets whole samples.

/// Samples to each side of a place that are looked at.
const REACH: i32 = 8;

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

/// The input between its samples, by a Hann-windowed sinc (Oppenheim and Schafer, §4.6).
fn interpolate(input: &[i16], place: f64) -> i16 {
    let last = length(input.len()) - 1;
    let place = place.clamp(0.0, f64::from(last));
    #[expect(clippy::cast_possible_truncation, reason = "clamped to the slice")]
    let whole = place.floor() as i32;
    let part = place - f64::from(whole);
    let mut sum = 0.0;
    let mut weights = 0.0;
    for step in 1 - REACH..=REACH {
        let distance = f64::from(step) - part;
        let angle = std::f64::consts::PI * distance;
        let sinc = if angle.abs() < 1e-9 {
            1.0
        } else {
            angle.sin() / angle
        };
        let weight = sinc * f64::midpoint(1.0, (angle / f64::from(REACH)).cos());
        let at = usize::try_from((whole + step).clamp(0, last)).unwrap_or(0);
        sum += weight * f64::from(input[at]);
        weights += weight;
    }
    let value = (sum / weights).round();
    #[expect(clippy::cast_possible_truncation, reason = "clamped to i16's range")]
    let value = value.clamp(f64::from(i16::MIN), f64::from(i16::MAX)) as i16;
    value
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
